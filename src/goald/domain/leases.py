"""Leases: the right to a range of slots, or to a stream, and whom it may be taken from (D3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

from goald.domain.slots import SlotRange

LEASE_SECONDS = 10.0
"""A holder that cannot renew for so long stops itself."""

LEADER_LEASE = "goald:leader"
"""The stream, in name alone, whose lease makes one `goald serve` of several the one that acts."""


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


@dataclass(frozen=True, slots=True)
class CurrentLease:
    """A lease that is in a taker's way."""

    epoch: int
    holder: str
    renewed: float
    """Another number after each renewal, to compare with an earlier look."""
    is_expired: bool
    """Whether it has run out, by the clock of whoever keeps it."""


TakeoverPolicy: TypeAlias = Callable[[CurrentLease], bool]
"""Whether a lease may be taken from its holder."""


def always_take_over(held: CurrentLease) -> bool:
    """Takes it whoever holds it: for one who knows that its holder is to be replaced."""
    return True


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who holds a lease, as its row names it: `12/shard-0@host:71:started:namespace`."""

    instance: int
    """The epoch under which its instance acts; 0 for one of none."""
    role: str
    """`instance`, `shard` or `consumer`, with its index."""
    host: str
    pid: int
    started: str
    """When the process began, an opaque text: a process id alone is soon another's."""
    namespace: str
    """In which process ids mean the same; empty where it is not known."""

    def __str__(self) -> str:
        place = f"{self.host}:{self.pid}:{self.started}:{self.namespace}"
        return f"{self.instance}/{self.role}@{place}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of `str`; None where another release wrote something else."""
        who, _, place = text.partition("@")
        instance, _, role = who.partition("/")
        parts = place.split(":")
        if not (instance.isdecimal() and role and len(parts) == 4 and parts[1].isdecimal()):
            return None
        return cls(int(instance), role, parts[0], int(parts[1]), parts[2], parts[3])

    @property
    def process(self) -> tuple[str, int, str, str]:
        """What tells this process from every other."""
        return self.host, self.pid, self.started, self.namespace


def describe_holder(holder: str) -> str:
    """A holder in words."""
    who = LeaseHolder.parse(holder)
    return holder if who is None else f"{who.role}, process {who.pid} of {who.host}"
