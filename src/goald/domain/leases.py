"""Leases: the right to a range of slots, or to a stream (D3)."""

from dataclasses import dataclass

from goald.domain.slots import SlotRange

LEASE_SECONDS = 10.0
"""A holder that cannot renew for so long stops itself."""


@dataclass(frozen=True, slots=True)
class SlotLease:
    """The right to evaluate and commit for a range of slots, under one epoch."""

    slots: SlotRange
    epoch: int
    holder: str


@dataclass(frozen=True, slots=True)
class StreamLease:
    """The right to read and acknowledge one stream, under one epoch."""

    stream: str
    epoch: int
    holder: str
