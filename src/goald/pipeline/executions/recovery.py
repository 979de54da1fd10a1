"""Compares outstanding jobs with their gates, after a load or after Redis was replaced (X2, X4)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from goald.domain.actions.gates import ActionType, GateId
from goald.domain.actions.keys import honours_keys
from goald.domain.slots import slot_of
from goald.pipeline.executions.gates import SlotGates
from goald.ports.actions.gates import GateState, GateStatus

SURE_MS = 3_000_000
"""Closed and finished gates are kept for an hour at least. An unknown gate of a job that was
committed longer ago than this may have been finished."""

GateAnswer: TypeAlias = Literal["open", "closed", "lost"]


class JobInFlight(NamedTuple):
    """A job whose execution waits for a result."""

    tenant_id: str
    contact_id: str
    execution_id: str
    step_id: str
    visit: int
    attempt: int
    action: ActionType
    gate: GateId
    age_ms: int = 0
    """How long ago it was committed, at most."""


class GateInput(NamedTuple):
    """An outstanding job with the answer of its gate, for the next evaluation."""

    job: JobInFlight
    answer: GateAnswer

    def options(self, at_ms: int) -> dict[str, object]:
        """The input as `_native.Matcher.evaluate` takes it."""
        job = self.job
        return {
            "kind": "gate",
            "tenant_id": job.tenant_id,
            "contact_id": job.contact_id,
            "at_ms": at_ms,
            "execution_id": job.execution_id,
            "step_id": job.step_id,
            "visit": job.visit,
            "attempt": job.attempt,
            "gate": self.answer,
            "is_keyed": honours_keys(job.action),
        }


async def compare(
    gates: SlotGates, jobs: Sequence[JobInFlight], *, is_continuous: bool
) -> list[GateInput]:
    """Return what the gates say about these jobs: *closed*, so that the next attempt is granted;
    *lost*, which counts as passed with an unknown outcome; *open* if a worker has the job or will
    get it, so that a result follows. Each job has an answer.

    `is_continuous`: as `SlotGates.fence` returned. Gates that were committed and not registered are
    closed by this call, so a registration that is still on its way is refused.
    """
    if not is_continuous:
        return [GateInput(job, "lost") for job in jobs]
    states = dict(zip(jobs, await gates.states([job.gate for job in jobs]), strict=True))
    unknown = [job for job, state in states.items() if state.status is GateStatus.UNKNOWN]
    states |= dict(zip(unknown, await gates.close([job.gate for job in unknown]), strict=True))
    return [GateInput(job, _answer(gates, job, state)) for job, state in states.items()]


def _answer(gates: SlotGates, job: JobInFlight, state: GateState) -> GateAnswer:
    if state.status is GateStatus.FINISHED:
        return "open"
    # An earlier comparison has found so, and was not committed: the shard died, or has reloaded.
    if gates.is_lost(job.gate, slot_of(job.tenant_id, job.contact_id)):
        return "lost"
    if state.status is GateStatus.CLOSED:
        return "closed"
    if state.status is GateStatus.UNKNOWN:
        return "closed" if job.age_ms < SURE_MS else "lost"
    return "open"
