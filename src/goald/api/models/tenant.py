"""Requests and responses for the settings of a tenant."""

from pydantic import BaseModel, ConfigDict, Field

from goald.api.models.requests import ChangeRequest
from goald.domain.configuration.workflows import SettingsRow

_BY_CASE = (
    "Whether names of tags are compared with regard to case: then `VIP` and `vip` are two tags."
)


class SettingsChange(ChangeRequest):
    """The desired settings. Absent fields keep their values."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tag_case_sensitive": True}]})

    tag_case_sensitive: bool | None = Field(None, description=f"{_BY_CASE} Default: false.")


class SettingsAnswer(BaseModel):
    """The settings of a tenant."""

    model_config = ConfigDict(
        title="Settings", json_schema_extra={"examples": [{"tag_case_sensitive": False}]}
    )

    tag_case_sensitive: bool = Field(description=_BY_CASE)

    @classmethod
    def of(cls, row: SettingsRow) -> "SettingsAnswer":
        return cls(tag_case_sensitive=row.tag_case_sensitive)
