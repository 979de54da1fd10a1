"""Gates: the atomic switches that a worker must pass before it calls a provider (X2)."""

import re
from typing import Final, NamedTuple, NewType, Self

GateSeries = NewType("GateSeries", str)
"""The gates that a holder of a lease registers under one run of Redis: the epoch in 10 digits and a
random part, such as `0000000057-1f0c93ab`. No other holder has the same, even if a restored
Postgres assigns the epoch again (D10)."""

ActionType = NewType("ActionType", str)
"""The type of an action, such as `webhook`. Each type has a stream of jobs."""

_SERIES: Final = re.compile(r"[0-9]{10}-[0-9a-f]{8}")

TOKEN_BYTES: Final = 16


class GateId(NamedTuple):
    """Identifies the gate of one attempt."""

    series: GateSeries
    number: int
    """From 0 within the series. A holder uses consecutive numbers: the memory of a closed gate is a
    few bits at the place of its number."""

    def __str__(self) -> str:
        return f"{self.series}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`. Raises ValueError."""
        series, _, number = text.partition(".")
        if _SERIES.fullmatch(series) is None or not (number.isdecimal() and number.isascii()):
            raise ValueError(f"not a gate: {text[:64]!r}")
        return cls(GateSeries(series), int(number))


def entry_gate(text: bytes) -> GateId | None:
    """The gate that the entry of a job names; None if it names none."""
    try:
        return GateId.parse(text.decode())
    except ValueError:
        return None


def gate_series(epoch: int, randomness: bytes) -> GateSeries:
    """A new series of a holder. `randomness`: 4 random bytes."""
    series = f"{epoch:010d}-{randomness.hex()}"
    if _SERIES.fullmatch(series) is None:
        raise ValueError("a series has an epoch of at most 10 digits and 4 random bytes")
    return GateSeries(series)


def is_before(gate: GateId, floor: GateSeries) -> bool:
    """Whether a gate is of a series before the first one whose gates may pass."""
    return gate.series != floor and series_epoch(gate.series) <= series_epoch(floor)


def series_epoch(series: GateSeries) -> int:
    """The epoch under which the gates of a series are registered."""
    return int(series[:10])
