"""Leases: the right to a range of slots or to a stream, and the policy of takeovers (D3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

from goald.domain.slots import SlotRange

LEASE_SECONDS = 10.0
"""How long a lease is valid after it was renewed. A holder that cannot renew it stops."""

LEADER_LEASE = "goald:leader"
"""The name of the lease that elects the active instance of several `goald serve`."""


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
    """A lease that another process wants to take over."""

    epoch: int
    holder: str
    renewed: float
    """Changes with each renewal, so that two reads can be compared."""
    is_expired: bool
    """Whether the lease has expired, by the clock of the server that stores the lease."""


TakeoverPolicy: TypeAlias = Callable[[CurrentLease], bool]
"""Decides whether a process may take over a lease."""


def always_take_over(lease: CurrentLease) -> bool:
    """Takes over every lease, for a caller that knows that the holder must be replaced."""
    return True


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """The process that holds a lease. Its text is stored with the lease:
    `12/shard-0@host:71:started:namespace`."""

    instance: int
    """The epoch of its instance; 0 if it belongs to none."""
    role: str
    """`instance`, `shard` or `consumer`, with its index."""
    host: str
    pid: int
    started: str
    """When the process started, as opaque text, because process ids are reused."""
    namespace: str
    """The PID namespace of the process; empty if unknown."""

    def __str__(self) -> str:
        place = f"{self.host}:{self.pid}:{self.started}:{self.namespace}"
        return f"{self.instance}/{self.role}@{place}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of `str`; None if the text has another form."""
        process, _, place = text.partition("@")
        instance, _, role = process.partition("/")
        parts = place.split(":")
        if not (instance.isdecimal() and role and len(parts) == 4 and parts[1].isdecimal()):
            return None
        return cls(int(instance), role, parts[0], int(parts[1]), parts[2], parts[3])

    @property
    def process(self) -> tuple[str, int, str, str]:
        """Identifies the process among all processes."""
        return self.host, self.pid, self.started, self.namespace


def describe_holder(holder: str) -> str:
    """The holder in words, for a message."""
    parsed = LeaseHolder.parse(holder)
    if parsed is None:
        return holder
    return f"{parsed.role}, process {parsed.pid} of {parsed.host}"
