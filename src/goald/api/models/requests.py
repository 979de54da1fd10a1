"""Shared types of requests: strict objects, versions, pages and times."""

import re
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from goald.domain.configuration.desired import TimeUs
from goald.domain.configuration.workflows import RowMetadata

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", flags=re.ASCII
)

Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="The number of items to skip.")]
Limit = Annotated[int, Query(ge=1, le=200, description="The maximum number of items.")]
SeenVersion = Annotated[
    int | None,
    Field(ge=1, le=2**31 - 1, description="The expected version; 409 if it does not match."),
]


class Body(BaseModel):
    """A JSON object with known fields only.

    FastAPI also validates from attributes, and a decimal has some: without the validator, the body
    `1.5` would be an object without any field.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _require_object(cls, given: Any) -> Any:
        if not isinstance(given, dict | cls):
            raise PydanticCustomError("dict_type", "must be an object")
        return given


class ChangeRequest(Body):
    """A body whose values are not converted."""

    model_config = ConfigDict(strict=True)


class VersionRequest(ChangeRequest):
    """An optional expected version."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    version: SeenVersion = None


def _require_rfc3339(value: Any) -> Any:
    """Return None, which is not a valid time, for formats that only YAML or ISO 8601 allow."""
    return value.upper() if isinstance(value, str) and _RFC3339.fullmatch(value) else None


StrictTimeUs = Annotated[TimeUs, BeforeValidator(_require_rfc3339)]
"""A time in RFC 3339, as in events; microseconds in memory."""


def require_metadata(metadata: RowMetadata | None) -> RowMetadata:
    """Return the metadata of a row that was read or written."""
    if metadata is None:
        raise ValueError("the row has not been written")
    return metadata
