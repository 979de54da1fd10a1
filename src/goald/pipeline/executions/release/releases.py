"""Releases due steps as jobs: those with a credit, and a permit of their account (X8, X16)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from goald.domain.ids import EnrollmentId, TenantId
from goald.domain.slots import slot_of
from goald.pipeline.executions.gates import SlotGates
from goald.pipeline.executions.release.credits import Credits
from goald.pipeline.executions.release.queues import QueueKey, RoundRobin
from goald.ports.actions.permits import Permit, PermitAnswer
from goald.ports.clock import Clock

FULL_SECONDS: Final = 0.5
"""How long an account without room waits before its permits are asked for again."""


class QueuedExecution(NamedTuple):
    """An execution whose step is due."""

    contact_id: str
    execution_id: str
    has_permit: bool


class DueSteps(Protocol):
    """The due steps in a shard's memory."""

    def queues(self) -> Iterable[tuple[QueueKey, int]]:
        """The queues that are not empty, with their lengths."""

    def first(self, queue: QueueKey, limit: int) -> Sequence[QueuedExecution]:
        """The first executions of a queue: those that have a permit, then those that have waited
        longest."""


Grant = tuple[str, str, str]
"""(tenant, contact, execution): it may start a job in the next evaluation."""


class Releases:
    """The release of the due steps of one shard."""

    def __init__(
        self,
        clock: Clock,
        steps: DueSteps,
        jobs: Credits,
        gates: SlotGates,
        limit: Callable[[str], int],
    ) -> None:
        """`jobs`: those that are out. `limit`: how many executions of a tenant may be ACTIVE."""
        self._clock = clock
        self._steps = steps
        self._credits = jobs
        self._gates = gates
        self._limit = limit
        self._turns = RoundRobin()
        self._delays: dict[QueueKey, int | None] = {}
        self._full: dict[str, float] = {}
        """Accounts that had no room, and until when they are not asked again."""

    def delay(self, queue: QueueKey, until_ms: int | None) -> None:
        """Hold the jobs of a connection until this time: the provider accepts none (X5). None:
        until `resume`."""
        self._delays[queue] = until_ms

    def resume(self, queue: QueueKey) -> None:
        """The connection can be used again."""
        self._delays.pop(queue, None)

    def has_room(self, tenant: str) -> None:
        """A permit of the account was returned."""
        self._full.pop(tenant, None)

    async def grants(self) -> list[Grant]:
        """The executions that may start a job now. Takes the permits that they lack: return those
        that the evaluation does not use. Raises as `SlotGates.take_permits`."""
        queues = [each for each in self._steps.queues() if not self._is_held(each[0])]
        granted: list[Grant] = []
        requests: list[tuple[Permit, int]] = []
        asking: list[Grant] = []
        for key, count in self._turns.share(queues, self._credits.free).items():
            for each in self._steps.first(key, count):
                grant = (key.tenant_id, each.contact_id, each.execution_id)
                if each.has_permit:
                    granted.append(grant)
                elif not self._is_full(key.tenant_id):
                    asking.append(grant)
                    requests.append((permit_of(grant), self._limit(key.tenant_id)))
        answers = await self._gates.take_permits(requests)
        for grant, answer in zip(asking, answers, strict=True):
            if answer is PermitAnswer.GRANTED:
                granted.append(grant)
            else:
                self._full[grant[0]] = self._clock.monotonic() + FULL_SECONDS
        return granted

    async def return_permits(self, unused: Iterable[tuple[str, str, str]]) -> None:
        """Return the permits of executions (tenant, contact, execution) that are not ACTIVE any
        more, or did not become ACTIVE. Their accounts have room."""
        permits = [permit_of(each) for each in unused]
        await self._gates.return_permits(permits)
        for permit in permits:
            self.has_room(permit.tenant_id)

    def _is_held(self, queue: QueueKey) -> bool:
        if queue in self._delays:
            until = self._delays[queue]
            if until is None or until > self._clock.now_us() // 1_000:
                return True
            del self._delays[queue]
        return False

    def _is_full(self, tenant: str) -> bool:
        until = self._full.get(tenant)
        if until is not None and until <= self._clock.monotonic():
            del self._full[tenant]
            until = None
        return until is not None


def permit_of(grant: Grant) -> Permit:
    """The permit of an execution, which belongs to the slot of its contact."""
    tenant, contact, execution = grant
    return Permit(TenantId(tenant), EnrollmentId(execution), slot_of(tenant, contact))
