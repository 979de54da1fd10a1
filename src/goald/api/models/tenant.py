"""Requests and responses for the settings of a tenant."""

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from goald.api.models.requests import ChangeRequest
from goald.domain.configuration.settings_limits import (
    ConcurrentExecutions,
    MaxRetryAttempts,
    RetryBaseDelay,
)
from goald.domain.configuration.workflows import SettingsPatch, SettingsRow

_BY_CASE = (
    "Whether names of tags are compared with regard to case: then `VIP` and `vip` are two tags."
)
_NOTIFIES = "Whether the admin wants notifications of failed executions; goald sends none yet."
_RETRIES = "How often an action is tried again after an error, unless its step says otherwise."
_DELAY = (
    "Seconds before the first retry; the delay doubles with each further one. null: "
    "GOALD_RETRY_BASE_SECONDS."
)
_LIMIT = "How many executions of the tenant may be ACTIVE at the same time. Others are QUEUED."
_EXAMPLE: JsonDict = {
    "tag_case_sensitive": False,
    "error_notification": True,
    "max_retry_attempts": 3,
    "retry_base_delay_seconds": None,
    "concurrent_executions_per_account": 100,
}


class SettingsChange(ChangeRequest):
    """The desired settings. Absent fields keep their values."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tag_case_sensitive": True}]})

    tag_case_sensitive: bool | None = Field(None, description=f"{_BY_CASE} Default: false.")
    error_notification: bool | None = Field(None, description=f"{_NOTIFIES} Default: true.")
    max_retry_attempts: MaxRetryAttempts | None = Field(None, description=f"{_RETRIES} Default: 3.")
    retry_base_delay_seconds: RetryBaseDelay | None = Field(None, description=_DELAY)
    concurrent_executions_per_account: ConcurrentExecutions | None = Field(
        None, description=f"{_LIMIT} Default: 100."
    )

    @property
    def patch(self) -> SettingsPatch:
        return SettingsPatch(**self.model_dump())


class SettingsAnswer(BaseModel):
    """The settings of a tenant."""

    model_config = ConfigDict(title="Settings", json_schema_extra={"examples": [_EXAMPLE]})

    tag_case_sensitive: bool = Field(description=_BY_CASE)
    error_notification: bool = Field(description=_NOTIFIES)
    max_retry_attempts: int = Field(description=_RETRIES)
    retry_base_delay_seconds: float | None = Field(description=_DELAY)
    concurrent_executions_per_account: int = Field(description=_LIMIT)

    @classmethod
    def of(cls, row: SettingsRow) -> "SettingsAnswer":
        return cls(**asdict(row))
