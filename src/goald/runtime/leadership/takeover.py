"""Who takes a lease, and from whom: whoever is known to be dead, or is an earlier self (3.3)."""

import contextlib
import os
import socket
from collections.abc import Callable

from goald.domain.leases import LEASE_SECONDS, CurrentLease, LeaseHolder
from goald.ports.clock import Clock
from goald.runtime.embedded.processes import start_time_of

INSTANCE_ROLE = "instance"


def this_process(instance: int, role: str) -> LeaseHolder:
    """This process as a holder. `instance`: the epoch under which its instance acts; 0: none."""
    host = socket.gethostname().replace(":", "-")
    return LeaseHolder(instance, role, host, os.getpid(), _started(os.getpid()), _namespace())


def is_gone(process: LeaseHolder, ours: LeaseHolder) -> bool:
    """Whether a process is known to have ended: only one whose id means the same here can be."""
    same = (process.host, process.namespace) == (ours.host, ours.namespace)
    return same and bool(ours.namespace) and _started(process.pid) != process.started


class ProcessTakeover:
    """One taker's view of those who hold what it wants. A `MayTake`.

    It takes a lease that has run out; one of an earlier instance, since the later one acts;
    one of its own role in its own instance, which was started anew; and one whose process is
    gone. What a later instance holds it takes only where that has run out: the later one acts,
    unless it acted in what Postgres has lost since, and then numbers are given again (D10).
    """

    def __init__(
        self,
        holder: LeaseHolder,
        clock: Clock,
        is_gone: Callable[[LeaseHolder, LeaseHolder], bool] = is_gone,
    ) -> None:
        self.holder = holder
        self._clock = clock
        self._is_gone = is_gone
        self._seen: dict[int, tuple[float, float]] = {}
        self.outranked = False
        """Whether a later instance holds it: this one is no longer the one that acts."""

    def __call__(self, held: CurrentLease) -> bool:
        of = LeaseHolder.parse(held.holder)
        if of is not None and of.instance > self.holder.instance:
            self.outranked = not (held.is_expired or self._is_silent(held))
            return not self.outranked
        self.outranked = False
        if of is not None and (
            of.instance < self.holder.instance or self._was_us(of) or self._is_gone(of, self.holder)
        ):
            return True
        return held.is_expired or self._is_silent(held)

    def _was_us(self, of: LeaseHolder) -> bool:
        """One shard of an instance is the same whichever its process; one instance of several
        on the same servers is not."""
        if self.holder.role == INSTANCE_ROLE:
            return of.process == self.holder.process
        return (of.instance, of.role) == (self.holder.instance, self.holder.role)

    def _is_silent(self, held: CurrentLease) -> bool:
        """Whether it was not renewed for as long as a lease lasts, by our own clock: that of
        whoever keeps it may have been set back."""
        now = self._clock.monotonic()
        renewed, since = self._seen.get(held.epoch, (held.renewed, now))
        if renewed != held.renewed:
            since = now
        self._seen[held.epoch] = held.renewed, since
        return now - since >= LEASE_SECONDS


def _started(pid: int) -> str:
    """Empty where there is no such process."""
    return (start_time_of(pid) or "").replace(":", "-")


def _namespace() -> str:
    """What tells the process ids of one container from another's; empty where that is unknown:
    then no process is known to be gone."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return ""
