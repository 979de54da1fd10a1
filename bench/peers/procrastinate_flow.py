"""The flow on procrastinate: two tasks, of which the first defers the second by a second."""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence

import procrastinate

from bench.peers.calls import CallRecorder
from bench.peers.flow import WAIT_S, main

_CONCURRENCY = 100
_POLL_S = 0.1


class ProcrastinateProduct:
    """A queue of jobs: it has no workflows, so each task defers the next one."""

    def __init__(self, options: argparse.Namespace, calls: CallRecorder) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=options.dsn, max_size=20)
        self._app = procrastinate.App(connector=connector)
        self._is_full = options.flow == "full"
        self._is_first = options.first == 0

        @self._app.task(name="second")
        async def second(execution: int) -> None:
            calls.record(execution, 2)

        @self._app.task(name="first")
        async def first(execution: int) -> None:
            if self._is_full:
                calls.record(execution, 1)
            await second.configure(schedule_in={"seconds": WAIT_S}).defer_async(execution=execution)

        self._first = first
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._app.open_async()
        if self._is_first:
            await self._app.schema_manager.apply_schema_async()
        self._worker = asyncio.create_task(
            self._app.run_worker_async(
                concurrency=_CONCURRENCY,
                fetch_job_polling_interval=_POLL_S,
                shutdown_graceful_timeout=1.0,
                install_signal_handlers=False,
            )
        )

    async def trigger(self, executions: Sequence[int]) -> None:
        await self._first.batch_defer_async(*({"execution": each} for each in executions))

    async def stop(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        await self._app.close_async()


if __name__ == "__main__":
    main(ProcrastinateProduct)
