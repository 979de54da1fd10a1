"""The keys and fields of gates in the scripts."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from goald.domain.actions.gates import GateId
from goald.redis_keys import closed_gates_key

_GATES_PER_PAGE = 8_192
"""A page of closed gates has 2 KiB."""

_GATES_PER_CALL = 1_000
"""Lua passes at most about 8,000 values to a command, and a page of a gate takes 4."""

T = TypeVar("T")


def batches(gates: Sequence[T]) -> Iterator[Sequence[T]]:
    """The gates in calls of a script, which block Redis for a few milliseconds each."""
    for start in range(0, len(gates), _GATES_PER_CALL):
        yield gates[start : start + _GATES_PER_CALL]


class Places:
    """The keys of one call, and the places of its gates."""

    def __init__(self, *keys: str) -> None:
        """`keys`: those that the call has always."""
        self.keys = list(keys)
        self._numbers: dict[str, int] = {}

    def key(self, name: str) -> int:
        """The number of a key, from 1. Adds the key if the call does not have it yet."""
        number = self._numbers.get(name)
        if number is None:
            self.keys.append(name)
            number = self._numbers[name] = len(self.keys)
        return number

    def gate(self, gate: GateId) -> tuple[str, int, str]:
        """The field of a gate, the number of the key of its page, and its place in the page."""
        page, place = divmod(gate.number, _GATES_PER_PAGE)
        return str(gate), self.key(closed_gates_key(gate.series, page)), f"#{place}"
