"""A worker process of `goald serve`. It reads a `WorkerStart` from standard input, and writes signs
of life to standard output."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from goald.runtime import logs
from goald.runtime.daemon.children import signs
from goald.runtime.daemon.children.messages import show_life, standard_input
from goald.runtime.daemon.workers.start import WorkerStart
from goald.runtime.garbage_collection import collect_garbage_rarely
from goald.runtime.open_files import raise_limit
from goald.runtime.wiring.workers import WorkerPlan, worker_process

DRAIN_SECONDS: Final = 10.0
"""How long a stop waits for calls in flight: as long as a webhook may take."""
GC_THRESHOLD: Final = 50_000


async def perform(prepared: Callable[[], None]) -> int:
    """Perform jobs until SIGTERM, then finish those in progress and return 0. Ends the process
    immediately if the driver ends. Calls `prepared` when everything is loaded."""
    lines = await standard_input()
    start = WorkerStart.decode(await lines.readline())
    stream = None
    if start.log_dir is not None:
        log = Path(start.log_dir) / f"worker-{start.index}.log"
        stream = log.open("a", buffering=1, encoding="utf-8")
    logs.configure(start.settings.log_level, start.settings.log_format, stream)
    plan = WorkerPlan(start.index, start.settings.redis.url, start.own_urls, DRAIN_SECONDS)
    worker = worker_process(start.settings, plan)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    collect_garbage_rarely(GC_THRESHOLD)
    raise_limit()  # a call takes a connection
    prepared()
    background = [asyncio.create_task(show_life()), asyncio.create_task(_end_with_driver(lines))]
    try:
        signs.send(signs.READY)
        await worker.run()
    finally:
        for task in background:
            task.cancel()
    return 0


async def _end_with_driver(lines: asyncio.StreamReader) -> None:
    while await lines.readline():
        pass
    os._exit(1)  # the driver has ended
