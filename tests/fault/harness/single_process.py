"""goald in one plain process, without Ray: one shard with every slot, one consumer with every
stream, and the job that erases rows, over the real Redis and Postgres. It starts within a moment,
because it is forked from a process that has imported everything, and can be made to die at a fail
point.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil

from goald.domain.fail_points import FailPoint, no_op
from goald.domain.slots import SlotRange
from goald.redis_keys import event_stream
from goald.runtime import logs
from goald.runtime.processes.consumer import ConsumerSettings
from goald.runtime.processes.shard import ShardSettings
from goald.runtime.wiring.daemon import Endpoints, consumer_process, erasure_pages, shard_process
from goald.settings import DispatchSettings, ReadSettings

STREAMS = 4
REPUBLISH_SECONDS = 3_600.0
GROUP_BYTES = 4 << 20
RESTART_SECONDS = 0.2

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crash:
    """The point at which the process dies by SIGKILL."""

    fail_point: FailPoint
    nth: int
    """The process dies when it reaches the fail point for the nth time."""


class SingleProcess:
    """The process, restarted after its end as Ray restarts actors, except after a `Crash`. A
    `GoaldProcess` of a `FaultEnvironment`."""

    roles = ("shard:0", "consumer:0")

    def __init__(self, redis_url: str, postgres_dsn: str, log_dir: str) -> None:
        self._endpoints = Endpoints(
            redis_url, postgres_dsn, log_level="warning", log_format="text", log_dir=log_dir
        )
        self._log = log_path(self._endpoints)
        self._process: ForkServerProcess | None = None
        self._ended_at = 0.0

    def start(self, crash: Crash | None = None) -> None:
        """Start the process. Does not wait."""
        self._process = _context.Process(
            target=_run, args=(self._endpoints, crash), name="goald", daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def was_killed(self) -> bool:
        """Whether it died by SIGKILL, as at a fail point."""
        return self._process is not None and self._process.exitcode == -signal.SIGKILL

    def restart_if_ended(self) -> None:
        """Restart the process RESTART_SECONDS after it has ended."""
        if self._process is None or self.is_running:
            self._ended_at = 0.0
        elif not self._ended_at:
            self._ended_at = time.monotonic()
        elif time.monotonic() - self._ended_at >= RESTART_SECONDS:
            self._ended_at = 0.0
            self.start()

    def kill(self) -> None:
        """kill -9. Returns when the process has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def pause(self) -> None:
        """SIGSTOP."""
        psutil.Process(self.pid).suspend()

    def resume(self) -> None:
        """SIGCONT."""
        psutil.Process(self.pid).resume()

    def printed(self) -> str:
        """The end of the log since the first start."""
        log = self._log
        return log.read_text(errors="replace")[-8_000:] if log.exists() else ""

    def stop(self) -> int | None:
        """SIGTERM. Returns the exit code. Kills the process after 25 s (D7)."""
        if self._process is None:
            return None
        self._process.terminate()
        self._process.join(25)
        code = self._process.exitcode
        self.kill()
        self._process = None
        return code


def log_path(endpoints: Endpoints) -> Path:
    """The log file of the process."""
    assert endpoints.log_dir is not None
    return Path(endpoints.log_dir) / "one-process.log"


def _run(endpoints: Endpoints, crash: Crash | None) -> None:
    with log_path(endpoints).open("a", buffering=1, encoding="utf-8") as file:
        logs.configure(endpoints.log_level, endpoints.log_format, file)
        try:
            asyncio.run(_serve(endpoints, _kill_at(crash) if crash else no_op))
        except BaseException:
            log.exception("the process failed")
            logging.shutdown()
            os._exit(1)


def _kill_at(crash: Crash) -> Callable[[FailPoint], None]:
    count = 0

    def die(fail_point: FailPoint) -> None:
        nonlocal count
        count += fail_point is crash.fail_point
        if count == crash.nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


async def _serve(endpoints: Endpoints, fail_point: Callable[[FailPoint], None]) -> None:
    slots = SlotRange(0, 255)
    shard = shard_process(
        ShardSettings(
            index=0,
            slots=slots,
            clock_skew=0.0,
            republish=REPUBLISH_SECONDS,
            group_bytes=GROUP_BYTES,
        ),
        endpoints,
        fail_point=fail_point,
    )
    consumer = consumer_process(
        ConsumerSettings(
            index=0,
            streams=tuple(event_stream(number) for number in range(STREAMS)),
            ranges=(slots,),
            read=ReadSettings(entries=200, bytes=1 << 20, in_flight_bytes=4 << 20, pause=0.002),
            dispatch=DispatchSettings(bytes=1 << 20, calls_in_flight=2),
        ),
        [shard],
        endpoints,
        fail_point=fail_point,
    )
    async with asyncio.TaskGroup() as tasks:
        erasing = tasks.create_task(erasure_pages(endpoints).run())
        tasks.create_task(shard.run()).add_done_callback(lambda _: erasing.cancel())
        consuming = tasks.create_task(consumer.run())

        def stop() -> None:
            consumer.stop()
            consuming.add_done_callback(lambda _: shard.stop())

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
