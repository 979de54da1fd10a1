"""The flow on pgqueuer: two entry points, of which the first enqueues the second in a second."""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.calls import CallRecorder
from bench.peers.flow import WAIT_S, main

_BATCH = 100
_POLL = timedelta(seconds=0.1)


class PgqueuerProduct:
    """A queue of jobs: it has no workflows, so each entry point enqueues the next one."""

    def __init__(self, options: argparse.Namespace, calls: CallRecorder) -> None:
        self._options = options
        self._calls = calls

    async def start(self) -> None:
        self._pool = await asyncpg.create_pool(self._options.dsn, min_size=4, max_size=20)
        self._queue = PgQueuer.from_asyncpg_pool(self._pool)
        self._queries = queries = Queries.from_asyncpg_pool(self._pool)
        if self._options.first == 0:
            await queries.install()
        is_full, calls = self._options.flow == "full", self._calls

        @self._queue.entrypoint("first")
        async def first(job: Job) -> None:
            if is_full:
                calls.record(int(job.payload or b"0"), 1)
            await queries.enqueue("second", job.payload, execute_after=timedelta(seconds=WAIT_S))

        @self._queue.entrypoint("second")
        async def second(job: Job) -> None:
            calls.record(int(job.payload or b"0"), 2)

        self._running = asyncio.create_task(
            self._queue.run(dequeue_timeout=_POLL, batch_size=_BATCH)
        )

    async def trigger(self, executions: Sequence[int]) -> None:
        count = len(executions)
        payloads: list[bytes | None] = [str(each).encode() for each in executions]
        await self._queries.enqueue(["first"] * count, payloads, [0] * count)

    async def stop(self) -> None:
        self._queue.shutdown.set()
        await self._running
        await self._pool.close()


if __name__ == "__main__":
    main(PgqueuerProduct)
