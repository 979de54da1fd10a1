"""Keyset pagination: a cursor identifies the last row of a page, so that rows that are added
meanwhile do not shift the next page.

A cursor is opaque to clients. It contains the position and a digest of the position and the list,
so that a cursor of another list, other filters or another tenant, or a modified one, is refused. It
is not a secret: it can only select rows of the caller's tenant.
"""

import hashlib
import json
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import AwareDatetime, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from goald.api.problems import BadRequest
from goald.domain.ids import ID_PATTERN, MAX_ID_CHARACTERS
from goald.domain.records.pages import PageRequest, RowPosition
from goald.domain.times import to_us

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
_SMALLEST, _GREATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999 in microseconds."""


def rfc3339_only(value: Any) -> Any:
    """Refuse a text that is not a time with an offset."""
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise PydanticCustomError(
            "time", "must be a time with an offset, such as 2026-01-01T00:00:00Z"
        )
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(rfc3339_only)]
"""A time in a query: RFC 3339 with an offset."""

QueryId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=ID_PATTERN),
]
"""An id of the platform in a query."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The page that a request asks for. Times are in microseconds."""

    limit: int
    cursor: str | None
    since: int | None
    until: int | None

    def of(self, shape: Sequence[type], *scope: str | int | None) -> "Listing":
        """Return the list that the page belongs to. `shape`: the types of a position: int, str or
        UUID (as text). `scope`: what identifies the list: its name, the tenant and the filters."""
        return Listing(self, tuple(shape), (*scope, self.since, self.until))


@dataclass(frozen=True, slots=True)
class Listing:
    """A list with its filters."""

    request: PageQuery
    shape: tuple[type, ...]
    scope: tuple[str | int | None, ...]

    @property
    def span(self) -> PageRequest:
        """The requested part of the list. Raises BadRequest for a cursor of another list."""
        request = self.request
        after = None if request.cursor is None else self._position(request.cursor)
        return PageRequest(request.limit, after, request.since, request.until)

    def cursor(self, place: RowPosition | None) -> str | None:
        """Return the cursor of the rows after a position; None for None."""
        if place is None:
            return None
        text = json.dumps([self._digest(place), *place], separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _position(self, cursor: str) -> RowPosition:
        try:
            padding = "=" * (-len(cursor) % 4)
            digest, *place = json.loads(b64decode(cursor + padding, b"-_", validate=True))
            found = tuple(_position_value(*pair) for pair in zip(self.shape, place, strict=True))
        except (ValueError, TypeError, RecursionError):
            raise _invalid_cursor("is invalid") from None
        if digest != self._digest(found):
            raise _invalid_cursor("belongs to another list or to other filters")
        return found

    def _digest(self, place: RowPosition) -> str:
        text = json.dumps([*self.scope, *place])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


PageLimit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The maximum number of items.")]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=1_024,
        description="The `next_cursor` of the previous page. Requires the same filters.",
    ),
]


async def _page_query(
    limit: PageLimit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    since: Annotated[Moment | None, Query(description="Only items at or after this time.")] = None,
    until: Annotated[Moment | None, Query(description="Only items before this time.")] = None,
) -> PageQuery:
    return PageQuery(
        limit,
        cursor,
        None if since is None else to_us(since),
        None if until is None else to_us(until),
    )


RequestedPage = Annotated[PageQuery, Depends(_page_query)]
"""The parameter type for a route with `limit`, `cursor`, `since` and `until`."""


async def _id_page_query(limit: PageLimit = DEFAULT_LIMIT, cursor: Cursor = None) -> PageQuery:
    return PageQuery(limit, cursor, None, None)


RequestedIdPage = Annotated[PageQuery, Depends(_id_page_query)]
"""The parameter type for a route with `limit` and `cursor`, in the order of ids."""


def _position_value(kind: type, value: Any) -> int | str:
    """Return a value of a position. Raises ValueError for a value that no row can have."""
    if kind is int:
        if type(value) is int and _SMALLEST <= value <= _GREATEST:
            return value
    elif isinstance(value, str) and _TEXT.fullmatch(value):
        return str(UUID(value)) if kind is UUID else value
    raise ValueError(value)


def _invalid_cursor(reason: str) -> BadRequest:
    detail = f"The cursor {reason}: start again without a cursor"
    return BadRequest(detail, errors=[{"parameter": "cursor", "detail": detail}])
