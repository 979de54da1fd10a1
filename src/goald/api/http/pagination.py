"""Pages of lists that grow while they are read: a cursor says behind which row the next
page begins, whatever was added before it.

A cursor is opaque to whoever gets it. It holds the place, and a digest over it and the list
that it belongs to: one of another list, of other filters, of another tenant, or that
somebody changed, is refused. It is no secret: the tenant's rows are all that it can show.
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
from goald.domain.pages import PageRequest, RowPosition
from goald.domain.times import to_us

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
_SMALLEST, _GREATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999 in microseconds; no count reaches so far."""


def _rfc3339(value: Any) -> Any:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise PydanticCustomError(
            "time", "must be a time with its offset, such as 2026-01-01T00:00:00Z"
        )
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
"""A time in a query: RFC 3339, with its offset."""

QueryId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
]
"""An id that the platform owns, in a query."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page a request asks for. Times in microseconds."""

    limit: int
    cursor: str | None
    since: int | None
    until: int | None

    def of(self, shape: Sequence[type], *scope: str | int | None) -> "Listing":
        """The list that this is a page of. `shape`: what its places are made of, each int,
        str or UUID (as its text). `scope`: what makes it this list and no other: its name,
        the tenant, what it is filtered by."""
        return Listing(self, tuple(shape), (*scope, self.since, self.until))


@dataclass(frozen=True, slots=True)
class Listing:
    """One list, as its filters narrow it."""

    asked: Asked
    shape: tuple[type, ...]
    scope: tuple[str | int | None, ...]

    @property
    def span(self) -> PageRequest:
        """The part that is asked for. Raises BadRequest for a cursor that is not this list's."""
        asked = self.asked
        after = None if asked.cursor is None else self._place(asked.cursor)
        return PageRequest(asked.limit, after, asked.since, asked.until)

    def cursor(self, place: RowPosition | None) -> str | None:
        """The cursor of what follows a place; None where nothing does."""
        if place is None:
            return None
        text = json.dumps([self._digest(place), *place], separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _place(self, cursor: str) -> RowPosition:
        try:
            padding = "=" * (-len(cursor) % 4)
            digest, *place = json.loads(b64decode(cursor + padding, b"-_", validate=True))
            found = tuple(_part(*pair) for pair in zip(self.shape, place, strict=True))
        except (ValueError, TypeError, RecursionError):
            raise _not_ours("is not one that was given out") from None
        if digest != self._digest(found):
            raise _not_ours("belongs to another list or to other filters")
        return found

    def _digest(self, place: RowPosition) -> str:
        text = json.dumps([*self.scope, *place])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


async def _asked(
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")
    ] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=1_024,
            description="The `next_cursor` of the page before; the same filters belong to it.",
        ),
    ] = None,
    since: Annotated[Moment | None, Query(description="Only from this time on.")] = None,
    until: Annotated[Moment | None, Query(description="Only before this time.")] = None,
) -> Asked:
    return Asked(
        limit,
        cursor,
        None if since is None else to_us(since),
        None if until is None else to_us(until),
    )


PageAsked = Annotated[Asked, Depends(_asked)]
"""`limit`, `cursor`, `since` and `until` of a request."""


def _part(kind: type, value: Any) -> int | str:
    """A part of a place, if it is one that a row can have: ValueError otherwise."""
    if kind is int:
        if type(value) is int and _SMALLEST <= value <= _GREATEST:
            return value
    elif isinstance(value, str) and _TEXT.fullmatch(value):
        return str(UUID(value)) if kind is UUID else value
    raise ValueError(value)


def _not_ours(what: str) -> BadRequest:
    detail = f"The cursor {what}: begin again without one"
    return BadRequest(detail, errors=[{"parameter": "cursor", "detail": detail}])
