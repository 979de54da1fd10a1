"""Decides whether a process may take over a lease (D3)."""

import contextlib
import os
import socket
from collections.abc import Callable

from goald.domain.leases import LEASE_SECONDS, CurrentLease, LeaseHolder
from goald.ports.clock import Clock
from goald.runtime.embedded.processes import start_time_of

INSTANCE_ROLE = "instance"


def this_process(instance: int, role: str) -> LeaseHolder:
    """This process as a lease holder. `instance`: the epoch of its instance; 0 if it has none."""
    host = socket.gethostname().replace(":", "-")
    return LeaseHolder(instance, role, host, os.getpid(), _started(os.getpid()), _namespace())


def has_ended(process: LeaseHolder, ours: LeaseHolder) -> bool:
    """Whether a process is known to have ended. Only a process of the same host and PID
    namespace can be."""
    same = (process.host, process.namespace) == (ours.host, ours.namespace)
    return same and bool(ours.namespace) and _started(process.pid) != process.started


class ProcessTakeover:
    """A `TakeoverPolicy` of one process.

    Takes a lease that has expired; a lease of an earlier instance, because the later one is
    active; a lease of the same role in the same instance, because that process was restarted; and
    a lease of a process that has ended. Takes the lease of a later instance only if it has expired:
    that instance is active, unless its epoch was given in data that Postgres has lost since, and
    epochs are given again (D10).
    """

    def __init__(
        self,
        holder: LeaseHolder,
        clock: Clock,
        has_ended: Callable[[LeaseHolder, LeaseHolder], bool] = has_ended,
    ) -> None:
        self.holder = holder
        self._clock = clock
        self._has_ended = has_ended
        self._renewals: dict[int, tuple[float, float]] = {}
        self.is_superseded = False
        """Whether a later instance holds the lease, so that this instance is not active."""
        self.refused_holder: str | None = None
        """The process that holds the lease, as a phrase for the operator; None if the lease was
        not refused."""

    def __call__(self, current: CurrentLease) -> bool:
        owner = LeaseHolder.parse(current.holder)
        can_take = self._allows(current, owner)
        self.refused_holder = None if can_take or owner is None else _phrase(owner)
        return can_take

    def _allows(self, current: CurrentLease, owner: LeaseHolder | None) -> bool:
        is_expired = current.is_expired or self._is_silent(current)
        if owner is not None and owner.instance > self.holder.instance:
            self.is_superseded = not is_expired
            return is_expired
        self.is_superseded = False
        return is_expired or (
            owner is not None
            and (
                owner.instance < self.holder.instance
                or self._is_predecessor(owner)
                or self._has_ended(owner, self.holder)
            )
        )

    def _is_predecessor(self, owner: LeaseHolder) -> bool:
        """Whether the owner is this process or its predecessor. A restarted
        shard replaces the earlier process of its role; an instance replaces no other."""
        if self.holder.role == INSTANCE_ROLE:
            return owner.process == self.holder.process
        return (owner.instance, owner.role) == (self.holder.instance, self.holder.role)

    def _is_silent(self, current: CurrentLease) -> bool:
        """Whether the lease was not renewed for LEASE_SECONDS by the clock of this process, because
        the clock of the server may have been set back."""
        now = self._clock.monotonic()
        renewed, since = self._renewals.get(current.epoch, (current.renewed, now))
        if renewed != current.renewed:
            since = now
        self._renewals[current.epoch] = current.renewed, since
        return now - since >= LEASE_SECONDS


def _phrase(owner: LeaseHolder) -> str:
    if owner.role == INSTANCE_ROLE:
        return f"instance {owner.host}:{owner.pid} is active"
    return f"{owner.role} of {owner.host}:{owner.pid} holds the lease"


def _started(pid: int) -> str:
    """The start time of a process; empty if there is none with this id."""
    return (start_time_of(pid) or "").replace(":", "-")


def _namespace() -> str:
    """The PID namespace, which distinguishes the process ids of two containers; empty if it is
    unknown, and then no process is known to have ended."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return ""
