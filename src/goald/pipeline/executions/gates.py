"""The gates and permits of a range of slots, under its lease (X2, X8).

The holder of the slots begins a **series** of gates: when it starts, and again after Redis was
replaced or lost data. The order is fence, compare the outstanding jobs (`recovery.compare`), verify
the lease, report the permits, admit. Until then no gate of an earlier run of Redis passes.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from goald.domain.actions.gates import GateId, GateSeries, gate_series, is_before
from goald.domain.errors import ServerReplaced
from goald.domain.fail_points import FailPoint
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.ports.actions.gates import GateRun, Gates, GateState, JobEntry, Registration
from goald.ports.actions.permits import Permit, PermitAnswer, Permits
from goald.ports.configuration import WorkflowKey

SERIES_BYTES = 4


class SlotGates:
    """The gates of one slot range. Calls are retried while Redis is unavailable, and raise
    LeaseLost, or ServerReplaced: then `fence` must be called again before any other."""

    def __init__(
        self,
        context: ShardContext,
        gates: Gates,
        permits: Permits,
        lease: SlotLease,
        randomness: Callable[[int], bytes],
    ) -> None:
        """`randomness`: returns that many random bytes."""
        self._context = context
        self._gates = gates
        self._permits = permits
        self._lease = lease
        self._randomness = randomness
        self._series = GateSeries("")
        self._run = GateRun("", is_continuous=False)
        self._numbers: Iterator[int] = iter(())

    async def fence(self) -> bool:
        """Begin a new series. Returns whether the run of Redis is continuous, so that the gates of
        earlier series say what happened; if not, each outstanding job counts as passed, with an
        unknown outcome (X4)."""
        self._series = gate_series(self._lease.epoch, self._randomness(SERIES_BYTES))
        self._numbers = itertools.count()
        fence = partial(self._gates.fence, self._lease, self._series)
        self._run = await self._context.retry("Redis: gates", "fence", fence)
        self._context.fail_point(FailPoint.GATES_FENCED)
        return self._run.is_continuous

    def is_lost(self, gate: GateId, slot: int) -> bool:
        """Whether a job with this gate was outstanding when gates of its slot were lost: under an
        earlier run of Redis, or before it lost its data."""
        return is_before(gate, self._run.floors[slot - self._lease.slots.first])

    async def admit(self, active: Sequence[Permit]) -> bool:
        """Report the permits of all ACTIVE executions of the slots, and let the gates of the slots
        be passed. The lease must have been verified since `fence`. Returns False if Redis was
        replaced meanwhile: fence and compare again."""
        report = partial(self._permits.report, self._lease.slots, self._series, active)
        admit = partial(self._gates.admit, self._lease, self._run)
        try:
            await self._context.retry("Redis: permits", "report_permits", report)
            self._context.fail_point(FailPoint.PERMITS_REPORTED)
            is_admitted = await self._context.retry("Redis: gates", "admit", admit)
        except ServerReplaced:
            return False
        self._context.fail_point(FailPoint.GATES_ADMITTED)
        return is_admitted

    def next(self) -> GateId:
        """The gate of a further job. It is unknown to Redis until `register`."""
        return GateId(self._series, next(self._numbers))

    async def register(self, jobs: Sequence[JobEntry]) -> Sequence[Registration]:
        """Publish jobs that were committed with these gates. A job whose gate was closed before is
        not published."""
        if not jobs:
            return ()
        register = partial(self._gates.register, self._lease, jobs)
        answers = await self._context.retry("Redis: jobs", "register", register)
        self._context.fail_point(FailPoint.JOBS_REGISTERED)
        return answers

    async def close(self, gates: Sequence[GateId]) -> Sequence[GateState]:
        """Close gates, before the commit that ends their executions or supersedes their attempts.
        Returns the states before."""
        if not gates:
            return ()
        close = partial(self._gates.close_gates, self._lease, gates)
        states = await self._context.retry("Redis: gates", "close_gates", close)
        self._context.fail_point(FailPoint.GATES_CLOSED)
        return states

    async def states(self, gates: Sequence[GateId]) -> Sequence[GateState]:
        """The states of gates. Changes nothing."""
        if not gates:
            return ()
        return await self._context.retry(
            "Redis: gates", "gate_states", partial(self._gates.states, gates)
        )

    async def set_active(self, workflows: Sequence[WorkflowKey], *, is_active: bool) -> None:
        """Refuse the gates of workflows that are not active, or no longer (X11)."""
        if not workflows:
            return
        keys = [(TenantId(tenant), WorkflowId(workflow)) for tenant, workflow in workflows]
        change = partial(self._gates.set_active, keys, is_active=is_active)
        await self._context.retry("Redis: gates", "set_active", change)

    async def erase(self, contacts: Sequence[tuple[TenantId, ContactId]]) -> None:
        """Erase the rendered payloads of deleted contacts, whose gates are closed (X3)."""
        erase = partial(self._gates.erase_payloads, contacts)
        await self._context.retry("Redis: jobs", "erase_payloads", erase)

    async def take_permits(self, requests: Sequence[tuple[Permit, int]]) -> Sequence[PermitAnswer]:
        """Take permits, each with the limit of its account, before the commit that makes the
        executions ACTIVE."""
        if not requests:
            return ()
        take = partial(self._permits.take, self._lease.slots, self._series, requests)
        answers = await self._context.retry("Redis: permits", "take_permits", take)
        self._context.fail_point(FailPoint.PERMITS_TAKEN)
        return answers

    async def return_permits(self, permits: Sequence[Permit]) -> None:
        """Return permits, after the commit that ends the status ACTIVE, or if the permit is not
        used."""
        if permits:
            release = partial(self._permits.release, self._lease.slots, self._series, permits)
            await self._context.retry("Redis: permits", "return_permits", release)
            self._context.fail_point(FailPoint.PERMITS_RETURNED)
