"""The flow on goald, as a process of `bench.engine`: see `bench.peers.flow`. DSN: the URL of Redis.

A process with executions publishes the events that trigger them. A process without is a worker.
"""

import argparse
import asyncio
from collections.abc import Sequence

from bench.peers.calls import CallRecorder
from bench.peers.flow import main
from goald.client import ActionWorker, Publisher, event
from goald.client.action_worker import Action

ACTION = "bench.act"
TENANTS = 20
_CONCURRENCY = 200


def tenant_of(execution: int) -> str:
    """The tenant of an execution, of TENANTS."""
    return f"bench-{execution % TENANTS}"


class GoaldProduct:
    """A publisher, or a worker with handlers that record when they are called."""

    def __init__(self, options: argparse.Namespace, calls: CallRecorder) -> None:
        self._flow = options.flow
        self._publisher = Publisher(options.dsn) if options.count else None
        self._worker = None
        if not options.count:

            async def act(action: Action) -> None:
                execution = int(action.contact_id.removeprefix("c-"))
                calls.record(execution, 1 if action.step_id == "first" else 2)

            self._worker = ActionWorker(options.dsn, {ACTION: act}, concurrency=_CONCURRENCY)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._worker is not None:
            self._running = asyncio.create_task(self._worker.run())

    async def trigger(self, executions: Sequence[int]) -> None:
        if self._publisher is None:
            return
        for number in executions:
            contact, data = f"c-{number}", {"form_id": self._flow}
            await self._publisher.publish(event("form.submitted", tenant_of(number), contact, data))
        await self._publisher.flush()

    async def stop(self) -> None:
        if self._publisher is not None:
            await self._publisher.aclose()
        if self._worker is not None and self._running is not None:
            self._worker.stop()
            await self._running
            await self._worker.aclose()


if __name__ == "__main__":
    main(GoaldProduct)
