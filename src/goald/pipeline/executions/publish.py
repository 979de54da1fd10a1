"""Publishes the jobs of committed slices, and returns permits."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from goald.domain.contacts.merging import ContactKey
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.gates import SlotGates
from goald.pipeline.executions.jobs import JobFacts, StartedJob, job_entries
from goald.pipeline.executions.release.releases import Grant, Releases
from goald.pipeline.executions.report import ExecutionReport
from goald.ports.configuration import WorkflowKey
from goald.ports.executions.store import ExecutionKey, ExecutionStart
from goald.ports.shard_store import ShardStore


class JobPublisher:
    """The jobs to publish and the permits to return of one shard."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        gates: SlotGates,
        releases: Releases,
        report: ExecutionReport,
        name_of: Callable[[WorkflowKey], str],
    ) -> None:
        """`name_of`: returns the name of a workflow."""
        self._context = context
        self._store = store
        self._lease = lease
        self._gates = gates
        self._releases = releases
        self._report = report
        self._name_of = name_of
        self._started: list[StartedJob] = []
        self._returned: list[Grant] = []
        self._committed = asyncio.Event()

    def add(self, job: StartedJob) -> None:
        """Publish a job with the next call of `publish`."""
        self._started.append(job)

    def return_permits(self, permits: Iterable[Grant]) -> None:
        """Return permits with the next call of `publish`."""
        self._returned += permits

    def wake(self) -> None:
        """Let `publish` begin: what was added is committed."""
        self._committed.set()

    async def publish(self) -> None:
        """Wait for `wake`, then publish the jobs, and return the permits. A job whose gate was
        closed meanwhile is not published. Raises ServerReplaced: then the jobs must be compared
        with their gates."""
        await self._committed.wait()
        self._committed.clear()
        started, self._started = self._started, []
        returned, self._returned = self._returned, []
        if started:
            facts = await self._facts(started)
            now_us = self._context.clock.now_us()
            answers = await self._gates.register(job_entries(started, facts, now_us))
            self._report.published(answers)
        await self._releases.return_permits(returned)

    async def _facts(self, started: Sequence[StartedJob]) -> JobFacts:
        """Read the facts that the templates of jobs use."""
        keys: list[ContactKey] = sorted({job.contact for job in started})
        find = partial(self._store.contacts, self._lease, keys)
        contacts = await self._context.retry("Postgres: load", "contacts", find)
        starts: dict[ExecutionKey, ExecutionStart] = {}
        if executions := sorted({job.execution for job in started if job.needs_start}):
            read = partial(self._store.executions.begun, self._lease, executions)
            rows = await self._context.retry("Postgres: load", "starts", read)
            starts = {ExecutionKey(row.tenant_id, row.execution_id): row for row in rows}
        return JobFacts(contacts, starts, self._name_of)
