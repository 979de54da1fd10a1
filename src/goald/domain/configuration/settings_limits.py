"""The limits of the settings of tenants, which files and the API share. Migration 0038 has them
too."""

from typing import Annotated

from pydantic import Field

MaxRetryAttempts = Annotated[int, Field(ge=0, le=10, strict=True)]
RetryBaseDelay = Annotated[float, Field(ge=0.001, le=86_400, strict=True)]
ConcurrentExecutions = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
