"""The flow on Temporal: a workflow with two activities and a timer. DSN: the server's address."""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.peers.calls import CallRecorder
from bench.peers.flow import WAIT_S, main

_QUEUE = "bench"
_TIMEOUT = timedelta(minutes=5)


@workflow.defn
class Nurture:
    """The flow."""

    @workflow.run
    async def run(self, execution: int, is_full: bool) -> None:
        if is_full:
            await workflow.execute_activity(
                "act", args=[execution, 1], start_to_close_timeout=_TIMEOUT
            )
        await asyncio.sleep(WAIT_S)
        await workflow.execute_activity("act", args=[execution, 2], start_to_close_timeout=_TIMEOUT)


class TemporalProduct:
    """One worker for workflows and activities."""

    def __init__(self, options: argparse.Namespace, calls: CallRecorder) -> None:
        self._options = options
        self._calls = calls

    async def start(self) -> None:
        self._client = await Client.connect(self._options.dsn)
        calls = self._calls

        @activity.defn(name="act")
        async def act(execution: int, step: int) -> None:
            calls.record(execution, step)

        self._worker = Worker(
            self._client,
            task_queue=_QUEUE,
            workflows=[Nurture],
            activities=[act],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=500,
            max_concurrent_workflow_tasks=500,
            max_cached_workflows=20_000,
        )
        self._running = asyncio.create_task(self._worker.run())

    async def trigger(self, executions: Sequence[int]) -> None:
        is_full = self._options.flow == "full"
        await asyncio.gather(
            *(
                self._client.start_workflow(
                    Nurture.run,
                    args=[execution, is_full],
                    id=f"{self._options.flow}-{execution}",
                    task_queue=_QUEUE,
                )
                for execution in executions
            )
        )

    async def stop(self) -> None:
        await self._worker.shutdown()
        await self._running


if __name__ == "__main__":
    main(TemporalProduct)
