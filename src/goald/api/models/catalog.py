"""Entities of the catalog, as they are sent and answered."""

from pydantic import BaseModel, ConfigDict, Field

from goald.api.models.editing import ChangeRequest
from goald.domain.configuration.criteria import Text
from goald.domain.configuration.goals import CatalogKind


class EntityChange(ChangeRequest):
    """What an entity is to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Contact Us"}]})

    name: Text


class EntityAnswer(BaseModel):
    """What a goal may refer to: a tag, a form, a calendar and so on."""

    model_config = ConfigDict(
        title="Entity",
        json_schema_extra={"examples": [{"kind": "form", "id": "form-123", "name": "Contact Us"}]},
    )

    kind: CatalogKind
    id: str
    name: str


class EntityPage(BaseModel):
    """Entities of one kind, by id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [{"kind": "form", "id": "form-123", "name": "Contact Us"}],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[EntityAnswer]
    next_cursor: str | None = Field(
        description="asks for what follows, as `cursor`; null where nothing does"
    )
