"""What requests that change the configuration have in common."""

from typing import Annotated

from fastapi import Query
from pydantic import ConfigDict, Field

from goald.api.models.body import Body
from goald.domain.configuration.workflows import RowMetadata

Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="how many to leave out")]
Limit = Annotated[int, Query(ge=1, le=200, description="how many at most")]
SeenVersion = Annotated[
    int | None,
    Field(ge=1, le=2**31 - 1, description="only if it is of this version; else 409"),
]


class ChangeRequest(Body):
    """A body whose values are of the right types as they are."""

    model_config = ConfigDict(strict=True)


class OfVersion(ChangeRequest):
    """A body that says no more than which version was seen."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    version: SeenVersion = None


def require_metadata(metadata: RowMetadata | None) -> RowMetadata:
    """Return the metadata of a row that was read or written."""
    if metadata is None:
        raise ValueError("the row has not been written")
    return metadata
