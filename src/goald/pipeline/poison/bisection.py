"""Bisection: finds the events that Postgres refuses in a group, by halving it (D4)."""

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, Self, TypeVar


class Divisible(Protocol):
    """Something ordered that can be halved."""

    def halves(self) -> "tuple[Self, Self] | None":
        """Return both halves in order; None if it cannot be halved further."""


G = TypeVar("G", bound=Divisible)
S = TypeVar("S", bound=Divisible)


class Bisection(Generic[G, S]):
    """The remaining groups (G) to evaluate, and the remaining slices (S) to commit.

    Iteration yields the next group to evaluate. While one group's slices are iterated, the
    caller may divide a refused slice, or repeat the group; iteration then continues with the
    result. The order of the events never changes.
    """

    def __init__(self, group: G) -> None:
        self._groups = [group]
        self._slices: list[S] = []

    def __iter__(self) -> Iterator[G]:
        """Yield the next group to evaluate until none is left."""
        while self._groups:
            yield self._groups.pop()

    def slices(self, slices: Iterable[S]) -> Iterator[S]:
        """Yield the slices of the current group's evaluation, as far as they stay valid."""
        self._slices = list(slices)[::-1]
        while self._slices:
            yield self._slices.pop()

    def divide(self, group: G, refused: S) -> bool:
        """Halve the current group; if it is one event, halve the refused slice instead.

        Returns False if neither can be halved: then the refused slice is minimal.
        """
        if halves := group.halves():
            self._slices.clear()
            self._groups += halves[::-1]
            return True
        if narrower := refused.halves():
            self._slices += narrower[::-1]
            return True
        return False

    def next(self, group: G) -> None:
        """Evaluate this group next. The remaining slices of the current one are discarded."""
        self._slices.clear()
        self._groups.append(group)

    @property
    def is_last_slice(self) -> bool:
        """Whether the current slice is the last of the current group."""
        return not self._slices

    @property
    def is_finished(self) -> bool:
        """Whether the current slice is the last one, and no group remains to be evaluated."""
        return not self._slices and not self._groups
