"""Config watcher: applies changes of the configuration to a shard, and reports their version."""

from functools import partial
from typing import NamedTuple

from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.executions.shard import ShardExecutions
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.missed.events import MissedEvents
from goald.ports.control.stream import ControlStream
from goald.ports.shard_store import ShardStore

CONTROL_RETRY_SECONDS = 1.0


class ConfigurationFollowers(NamedTuple):
    """The objects that follow changes of the configuration."""

    missed: MissedEvents
    executions: ShardExecutions | None = None
    """None in a shard that runs no workflows."""


class ConfigWatcher:
    """Follows the control stream, which announces changes, and polls for lost announcements
    (E10)."""

    def __init__(
        self,
        context: ShardContext,
        control: ControlStream,
        store: ShardStore,
        lease: SlotLease,
        evaluator: Evaluator,
        followers: ConfigurationFollowers,
        *,
        reconcile: float,
    ) -> None:
        """`reconcile` is the number of seconds between two polls."""
        self._context = context
        self._control = control
        self._store = store
        self._lease = lease
        self._evaluator = evaluator
        self._missed = followers.missed
        self._executions = followers.executions
        self._reconcile = reconcile

    async def run(self) -> None:
        """Run until cancelled. Raises LeaseLost."""
        while True:
            try:
                await self._control.wait(self._reconcile)
            except ServiceUnavailable:
                self._context.metrics.retries.labels("control").inc()
                await self._context.clock.sleep(CONTROL_RETRY_SECONDS)
            await self._catch_up()

    async def _catch_up(self) -> None:
        retry, current = self._context.retry, self._evaluator.config_version
        changed = await retry(
            "Postgres: configuration", "configuration", partial(self._store.configuration, current)
        )
        if changed.version <= current:
            return
        async with self._evaluator.groups:  # no event is evaluated between
            async with self._evaluator.lock:
                self._evaluator.configure(changed)
            # Missed exits precede overdue steps (X7).
            await self._missed.configured(changed)
            if self._executions is not None:
                await self._executions.configured(changed)
        self._context.fail_point(FailPoint.CONFIGURATION_APPLIED)
        renew = partial(self._store.renew, self._lease, changed.version)
        await retry("Postgres: renew lease", "renew", renew)
