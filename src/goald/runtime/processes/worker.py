"""A worker as a plain object: performs jobs, and reports its state."""

import asyncio

from prometheus_client import CollectorRegistry

from goald.metrics.workers import WorkerMetrics
from goald.ports.actions.jobs import JobQueue
from goald.ports.clock import Clock
from goald.ports.process_registry import ProcessRegistry
from goald.runtime.connections import close_all
from goald.runtime.heartbeat.reporter import HeartbeatReporter
from goald.workers.worker import Worker


class WorkerProcess:
    """One worker, from its first job to its last result."""

    def __init__(
        self,
        index: int,
        worker: Worker,
        queue: JobQueue,
        processes: ProcessRegistry,
        clock: Clock,
        registry: CollectorRegistry,
        metrics: WorkerMetrics,
    ) -> None:
        """`queue`: that of the worker; it is closed at the end. `registry`: has the metrics."""
        self._worker = worker
        self._queue = queue
        self._heartbeat = HeartbeatReporter(
            "worker",
            index,
            processes=processes,
            clock=clock,
            describe=lambda: {"ready": True},
            registry=registry,
        )
        metrics.watch(
            lambda: worker.in_flight, lambda: worker.waiting, lambda: worker.receivers_waiting
        )

    async def run(self) -> None:
        """Perform jobs until `stop`, and then finish those that were received; see `Worker.run`.
        Waits while Redis is unreachable."""
        reporting = asyncio.create_task(self._heartbeat.run())
        try:
            await self._worker.run()
            await self._heartbeat.remove()
        finally:
            reporting.cancel()
            await close_all(self._queue, self._heartbeat)

    def stop(self) -> None:
        """Receive no more jobs, and make `run` return when those in progress are finished."""
        self._worker.stop()
