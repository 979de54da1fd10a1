"""ConfigWatcher: a shard takes what changes in the configuration, and says that it has it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint, FailPointHook
from goald.domain.leases import SlotLease
from goald.metrics import ShardMetrics
from goald.pipeline.retry import retrying
from goald.pipeline.shard.evaluate import Evaluator
from goald.ports.clock import Clock
from goald.ports.control_stream import ControlStream
from goald.ports.shard_store import ShardStore

CONTROL_RETRY_SECONDS = 1.0

T = TypeVar("T")


class ConfigWatcher:
    """The control stream says when the configuration has changed; what was lost on it is found
    by asking now and then (E10)."""

    def __init__(
        self,
        *,
        control: ControlStream,
        store: ShardStore,
        evaluator: Evaluator,
        memory: asyncio.Lock,
        lease: SlotLease,
        clock: Clock,
        metrics: ShardMetrics,
        reconcile: float,
        fail_point: FailPointHook,
    ) -> None:
        """`memory`: held while the evaluator's memory changes. `reconcile`: seconds after which
        the configuration is asked for all the same."""
        self._control = control
        self._store = store
        self._evaluator = evaluator
        self._memory = memory
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._reconcile = reconcile
        self._fail_point = fail_point

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost."""
        while True:
            try:
                await self._control.wait(self._reconcile)
            except ServiceUnavailable:
                self._metrics.retries.labels("control").inc()
                await self._clock.sleep(CONTROL_RETRY_SECONDS)
            await self._catch_up()

    async def _catch_up(self) -> None:
        held = self._evaluator.config_version
        changed = await self._trying("configuration", lambda: self._store.configuration(held))
        if changed.version <= held:
            return
        async with self._memory:
            self._evaluator.configure(changed)
        self._fail_point(FailPoint.CONFIGURATION_APPLIED)
        await self._trying("renew", lambda: self._store.renew(self._lease, changed.version))

    async def _trying(self, step: str, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(call, self._clock, self._metrics.retries.labels(step).inc)
