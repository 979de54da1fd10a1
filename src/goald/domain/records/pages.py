"""Lists that are read in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

Row = TypeVar("Row")

RowPosition: TypeAlias = tuple[int, ...] | tuple[int | str, ...]
"""The position of a row in an ordered list: the values that the list is ordered by."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The part of a list to read: at most `limit` rows that follow the position `after`, with
    times from `since` (inclusive) to `until` (exclusive), microseconds since the Unix epoch."""

    limit: int
    after: RowPosition | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of a list, and the position that the next page begins after; None at the end."""

    rows: Sequence[Row]
    next: RowPosition | None
