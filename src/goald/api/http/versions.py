"""Versions of workflows, definitions and goals: `ETag` and `If-Match` (RFC 9110)."""

import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from goald.api.problems import BadRequest
from goald.configuration.executor import EditResult
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import DefinitionRow, GoalRow, WorkflowRow

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_VERSION_TAG = re.compile(r'"([1-9][0-9]{0,9})"')

ETAG: dict[str, Any] = {
    "ETag": {
        "description": "The version, for `If-Match`.",
        "schema": {"type": "string", "examples": ['"1"']},
    }
}
"""The OpenAPI description of response headers."""
LOCATION: dict[str, Any] = {
    "Location": {"description": "The path of the created resource.", "schema": {"type": "string"}}
}


def status_of(result: EditResult[Any]) -> int:
    """Return 202 if a live shard has not loaded the change yet (E10), 201 for a new object, else
    200."""
    if not result.is_rolled_out:
        return 202
    return 201 if result.created else 200


def etag(row: WorkflowRow | GoalRow | DefinitionRow) -> str:
    """Return the version as a strong entity tag."""
    return f'"{row.metadata.version if row.metadata else 0}"'


async def _if_match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(description="The expected version, from `ETag`; 412 if it does not match."),
    ] = None,
) -> ExpectedVersion:
    if if_match is None:
        return ExpectedVersion()
    # Repeated headers form one list.
    text = ",".join(request.headers.getlist("if-match")).strip(" \t")
    if text == "*":
        return ExpectedVersion(must_exist=True)
    tags = [tag.strip(" \t") for tag in text.split(",")]
    if not all(_TAG.fullmatch(tag) for tag in tags if tag) or not any(tags):
        detail = 'must be *, or versions in quotes, such as "3"'
        raise BadRequest(f"If-Match {detail}", errors=[{"parameter": "If-Match", "detail": detail}])
    # A weak tag matches no version: it identifies similar content only.
    matches = (_VERSION_TAG.fullmatch(tag) for tag in tags)
    return ExpectedVersion(versions=frozenset(int(tag[1]) for tag in matches if tag))


IfMatch = Annotated[ExpectedVersion, Depends(_if_match)]
"""The parameter type for a route that supports `If-Match`."""


def with_version(expected: ExpectedVersion, version: int | None) -> ExpectedVersion:
    """Return the expected version with the `version` of a body added."""
    return replace(expected, version=version)
