"""The settings of executions. `GOALD_RETRY_BASE_SECONDS` can be set for each tenant, too."""

from pydantic import Field
from pydantic_settings import BaseSettings


class ExecutionVariables(BaseSettings):
    """The part of `Settings` about executions."""

    log_retention: int = Field(
        90, ge=1, description="How long the log of executions is kept (days)"
    )
    retry_base_seconds: float = Field(
        60.0,
        ge=0.001,
        le=86_400,
        description="Time before the first retry of an action; it doubles with each further one "
        "(seconds). A tenant may have another one (`retry_base_delay_seconds`)",
    )
    require_opt_in: bool = Field(
        False,
        description="Whether a contact starts executions only if it is known to have opted in. "
        "Otherwise those of which nothing is known may start them, too",
    )
    failed_keep: int = Field(
        30, ge=1, le=3_650, description="How long a failed execution can be retried (days)"
    )
