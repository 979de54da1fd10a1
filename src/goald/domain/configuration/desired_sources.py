"""The sources in the file for `goald apply`. The file refers to their secrets, and never contains
them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class _SourceSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SecretReference(_SourceSection):
    """The place of a secret: an environment variable or a file."""

    env: str | None = Field(None, min_length=1)
    file: str | None = Field(None, min_length=1)
    """A path, relative to the folder of the configuration file."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_text(cls, given: Any) -> Any:
        # Pydantic would say only that it must be a map.
        if isinstance(given, str):
            raise PydanticCustomError(
                "secret_in_file",
                "a secret does not belong in this file: write {env: NAME} or {file: PATH}",
            )
        return given

    @model_validator(mode="after")
    def _require_one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise PydanticCustomError("secret_place", "must have either `env` or `file`")
        return self


class DesiredSource(_SourceSection):
    """A source. Its name, and the document that its preset and overrides make, are validated later:
    the domain does not know presets, and the faults of a source are reported together."""

    name: str
    preset: str
    secrets: list[SecretReference] | None = None
    """None keeps those of an existing source."""
    contact: dict[str, Any] | None = None
    """Short for `contact` in `overrides`."""
    overrides: dict[str, Any] = Field(default_factory=dict)
