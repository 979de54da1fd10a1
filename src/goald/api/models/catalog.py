"""Requests and responses for catalog entities."""

from pydantic import BaseModel, ConfigDict, Field

from goald.api.models.requests import ChangeRequest
from goald.domain.configuration.criteria import Text
from goald.domain.configuration.goals import CatalogKind


class EntityChange(ChangeRequest):
    """The desired entity."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Contact Us"}]})

    name: Text


class EntityAnswer(BaseModel):
    """An entity that goals may refer to: a tag, a form, a calendar and so on."""

    model_config = ConfigDict(
        title="Entity",
        json_schema_extra={"examples": [{"kind": "form", "id": "form-123", "name": "Contact Us"}]},
    )

    kind: CatalogKind
    id: str
    name: str


class EntityPage(BaseModel):
    """Entities of one kind, ordered by id."""

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
        description="The `cursor` of the next page; null on the last page."
    )
