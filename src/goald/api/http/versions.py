"""Versions of workflows and goals: `ETag`, and what `If-Match` asks for (3.4, RFC 9110)."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from goald.api.problems import BadRequest
from goald.configuration.executor import EditResult
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import GoalRow, WorkflowRow

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_OURS = re.compile(r'"([1-9][0-9]{0,9})"')

ETAG: dict[str, Any] = {
    "ETag": {
        "description": "the version, for `If-Match`",
        "schema": {"type": "string", "examples": ['"1"']},
    }
}
"""What OpenAPI is to say of an answer's headers."""
LOCATION: dict[str, Any] = {
    "Location": {"description": "where it is now", "schema": {"type": "string"}}
}


def status_of(result: EditResult[Any]) -> int:
    """Return 202 if a live shard has not loaded the change yet (E10), 201 for a new object, else
    200."""
    if not result.is_rolled_out:
        return 202
    return 201 if result.created else 200


def etag(row: WorkflowRow | GoalRow) -> str:
    """A strong tag: the version in quotes."""
    return f'"{row.metadata.version if row.metadata else 0}"'


async def _if_match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(description="only if it is of this version, as `ETag` told; else 412"),
    ] = None,
) -> ExpectedVersion:
    if if_match is None:
        return ExpectedVersion()
    # A header that comes twice is one list.
    text = ",".join(request.headers.getlist("if-match")).strip(" \t")
    if text == "*":
        return ExpectedVersion(must_exist=True)
    tags = [tag.strip(" \t") for tag in text.split(",")]
    if not all(_TAG.fullmatch(tag) for tag in tags if tag) or not any(tags):
        detail = 'must be *, or versions in quotes, such as "3"'
        raise BadRequest(f"If-Match {detail}", errors=[{"parameter": "If-Match", "detail": detail}])
    # A weak tag is of no version: what it names is only like what was seen.
    found = (_OURS.fullmatch(tag) for tag in tags)
    return ExpectedVersion(versions=frozenset(int(tag[1]) for tag in found if tag))


IfMatch = Annotated[ExpectedVersion, Depends(_if_match)]
