"""Missed events: exits what workflows missed while they were paused, when they are active again
(E19).

Pages of missed events and groups of arriving events take turns, so that no tenant delays another
(D8). The tenant's arriving events wait until its last page is done, so that its missed events are
judged first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from goald.domain.errors import BreakerOpen, ContentRefused
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.shard import ShardExecutions
from goald.pipeline.shard.admission import Admission
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.missed.pages import MissedPages, MissedReplay
from goald.ports.configuration import Configuration, WorkflowKey
from goald.ports.outbox import StoredMessage
from goald.ports.shard_store import MissedPage


class MissedEvents:
    """The replays of one slot range, by tenant. A tenant with a replay is suspended.

    A replay is in memory only: a shard that starts finds the remaining events in Postgres.
    """

    def __init__(
        self,
        context: ShardContext,
        evaluator: Evaluator,
        admission: Admission,
        pages: MissedPages,
        executions: ShardExecutions | None = None,
    ) -> None:
        """`executions`: None in a shard that runs no workflows."""
        self._executions = executions
        self._metrics = context.metrics
        self._evaluator = evaluator
        self._admission = admission
        self._pages = pages
        self._replays: OrderedDict[str, dict[str, MissedReplay]] = OrderedDict()
        """By tenant, in order of their turns, then by workflow."""
        self._filled = asyncio.Event()

    async def start(self) -> None:
        """Continue the replays of an earlier holder of the slots. The caller holds
        `Evaluator.groups`, and has evaluated no event."""
        await self._add(self._evaluator.active_workflows())
        await self._hold_steps()

    async def configured(self, changed: Configuration) -> None:
        """Begin the replays of workflows that are active now, and end those of the others: what is
        left stays missed, for the next activation. The caller holds `Evaluator.groups`, and has
        evaluated no event since the change."""
        keys = [WorkflowKey(each["tenant_id"], each["workflow_id"]) for each in changed.workflows]
        is_active = {key: self._evaluator.exits_missed(key) is not None for key in keys}
        ended = [key for key in keys if not is_active[key]]
        for key in (*ended, *(WorkflowKey(*each) for each in changed.deleted)):
            self._end(key)
        await self._add([key for key in keys if is_active[key]])
        await self._hold_steps()

    async def moved(self, tenant: str) -> None:
        """Begin the replays of events that a merged contact missed, after its runs have moved to
        this shard (E21). The caller holds `Evaluator.groups`."""
        await self._add(self._evaluator.active_workflows(tenant))
        await self._hold_steps()

    async def run(self) -> None:
        """Process page after page, of one tenant after the other, until cancelled or until the
        circuit breaker opens. Raises LeaseLost."""
        while True:
            await self._filled.wait()
            replay = self._next()
            exits = self._evaluator.exits_missed(replay.workflow)
            page = await self._pages.read(replay) if exits else None
            try:
                async with self._evaluator.groups:
                    messages = await self._process(replay, page)
            except BreakerOpen:
                self._admission.turns.abandon()
                return
            await self._pages.publish(messages)
            if replay.after is None:
                self._end(replay.workflow, replay)
                async with self._evaluator.groups:
                    await self._hold_steps()

    async def _process(
        self, replay: MissedReplay, page: MissedPage | None
    ) -> Sequence[StoredMessage]:
        """Process a page, unless the configuration or a merge has changed since it was read."""
        if not self._is_current(replay):
            return ()
        exits = self._evaluator.exits_missed(replay.workflow)
        if not exits:
            await self._pages.forget(replay)
        elif page is not None:
            try:
                messages = await self._pages.judge(replay, page)
            except ContentRefused as refused:
                self._admission.breaker.record_failure(replay.workflow.tenant_id)
                await self._pages.dead_letter(replay, page, str(refused))
                return ()
            if messages:
                self._admission.breaker.record_success()
            return messages
        return ()

    async def _add(self, workflows: Sequence[WorkflowKey]) -> None:
        """Begin replays, from the first page."""
        for key in await self._pages.find(workflows):
            self._replays.setdefault(key.tenant_id, {})[key.workflow_id] = MissedReplay(key)
            self._admission.turns.suspend(key.tenant_id)
            self._filled.set()
        self._report()

    async def _hold_steps(self) -> None:
        """Let executions wait until the exits of their workflows are done (X7)."""
        if self._executions is not None:
            pending = (
                WorkflowKey(tenant, of) for tenant in self._replays for of in self._replays[tenant]
            )
            await self._executions.set_waiting(frozenset(pending))

    def _next(self) -> MissedReplay:
        """A replay of the tenant whose turn it is."""
        tenant, replays = next(iter(self._replays.items()))
        self._replays.move_to_end(tenant)
        return next(iter(replays.values()))

    def _is_current(self, replay: MissedReplay) -> bool:
        tenant, workflow = replay.workflow
        return self._replays.get(tenant, {}).get(workflow) is replay

    def _end(self, workflow: WorkflowKey, replay: MissedReplay | None = None) -> None:
        """End a replay, if there is one; with `replay`, only this one."""
        replays = self._replays.get(workflow.tenant_id, {})
        if replay is not None and not self._is_current(replay):
            return
        replays.pop(workflow.workflow_id, None)
        if not replays and self._replays.pop(workflow.tenant_id, None) is not None:
            self._admission.turns.resume(workflow.tenant_id)
        if not self._replays:
            self._filled.clear()
        self._report()

    def _report(self) -> None:
        self._metrics.missed_replays.set(sum(map(len, self._replays.values())))
