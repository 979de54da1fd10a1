"""The jobs of a shard that are out, and the permits that it has taken for the next ones."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from goald.domain.actions.job import DEFAULT_TIMEOUT_S
from goald.pipeline.executions.recovery import GateInput, JobInFlight
from goald.pipeline.executions.release.credits import Credits
from goald.ports.clock import Clock

Key: TypeAlias = tuple[str, str]
"""(tenant, execution)."""
CALL_SECONDS = DEFAULT_TIMEOUT_S
"""A call whose gate was lost counts as in flight for this long."""


class JobsInFlight:
    """The outstanding job of each execution, as its row has it; and the answers of gates that the
    next evaluation is given."""

    def __init__(self, clock: Clock, jobs: Credits) -> None:
        self._clock = clock
        self._credits = jobs
        self._jobs: dict[Key, JobInFlight] = {}
        self._inputs: dict[Key, GateInput] = {}
        self._closed: dict[Key, JobInFlight] = {}
        self._lost: dict[Key, float] = {}
        """When the jobs were found to be lost, the oldest first. Their executions may have left the
        attempt since, while a worker still calls the provider."""

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, key: Key) -> JobInFlight | None:
        """The job of an execution; None if none is out."""
        return self._jobs.get(key)

    @property
    def all(self) -> Sequence[JobInFlight]:
        """Every job that is out."""
        return list(self._jobs.values())

    def is_lost(self, key: Key) -> bool:
        """Whether the gate of a job of an execution was lost in the last CALL_SECONDS, so that a
        call may be in flight."""
        at = self._lost.get(key)
        return at is not None and self._clock.monotonic() - at < CALL_SECONDS

    def replace_all(self, jobs: Iterable[JobInFlight]) -> None:
        """Take all jobs that are out."""
        self._credits.clear()
        for jobs_ in (self._jobs, self._inputs, self._closed):
            jobs_.clear()
        for job in jobs:
            self.add(job)

    def replace(self, contacts: set[tuple[str, str]], jobs: Iterable[JobInFlight]) -> None:
        """Take the jobs of these contacts (tenant, contact) that are out."""
        for key, job in list(self._jobs.items()):
            if (job.tenant_id, job.contact_id) in contacts:
                self.remove(key, is_finished=False)
        for job in jobs:
            self.add(job)

    def add(self, job: JobInFlight) -> None:
        """A job is committed."""
        key = job.tenant_id, job.execution_id
        self.remove(key, is_finished=False)
        self._jobs[key] = job
        self._credits.add(job.action)

    def remove(self, key: Key, *, is_finished: bool) -> None:
        """The job of an execution is not out any more. `is_finished`: a worker has reported it."""
        self._inputs.pop(key, None)
        self._closed.pop(key, None)
        job = self._jobs.pop(key, None)
        if job is not None and is_finished:
            self._credits.finish(job.action)
        elif job is not None:
            self._credits.remove(job.action)

    def closing(self, jobs: Iterable[JobInFlight]) -> None:
        """The gates of these jobs are closed before a commit. Until the jobs are removed, because
        the commit succeeded, they are `doubtful`."""
        for job in jobs:
            self._closed[job.tenant_id, job.execution_id] = job

    @property
    def doubtful(self) -> Sequence[JobInFlight]:
        """Jobs whose gates were closed, and whose executions have not ended."""
        return list(self._closed.values())

    def answer(self, inputs: Iterable[GateInput]) -> None:
        """Gates were compared. Their answers are given to the evaluations until the jobs are
        removed."""
        now = self._clock.monotonic()
        while self._lost and now - next(iter(self._lost.values())) >= CALL_SECONDS:
            del self._lost[next(iter(self._lost))]
        for each in inputs:
            key = each.job.tenant_id, each.job.execution_id
            self._closed.pop(key, None)
            if each.answer != "open" and self._jobs.get(key) == each.job:
                self._inputs[key] = each
                if each.answer == "lost" and key not in self._lost:
                    self._lost[key] = now

    @property
    def inputs(self) -> Sequence[GateInput]:
        """The answers that an evaluation must be given."""
        return list(self._inputs.values())
