"""The workers of `goald serve`, in a process each: started, observed and restarted."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from goald.runtime.daemon.children.backoff import Backoff
from goald.runtime.daemon.children.child import ChildProcess, how_it_ended
from goald.runtime.daemon.children.liveness import HANG_SECONDS, Liveness
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.daemon.workers.start import WorkerStart
from goald.settings import Settings

CHECK_SECONDS: Final = 0.1
START_SECONDS: Final = 120.0
"""How long a process may take to prepare."""
STOP_SECONDS: Final = 12.0
"""A worker finishes calls in flight for up to 10 s (`instance.DRAIN_SECONDS`)."""
_MODULE: Final = "goald.runtime.daemon.workers.process"


class WorkerSupervisor:
    """Runs GOALD_WORKERS worker processes while this instance is the active one, until they are
    stopped. They end with this process, even after kill -9."""

    def __init__(
        self,
        settings: Settings,
        own_urls: tuple[str, ...],
        log_dir: Path | None,
        is_active: Callable[[], bool],
        console: ServeConsole,
    ) -> None:
        """`own_urls`: the servers of goald, which no webhook may call. `log_dir`: the directory of
        their logs; None for standard error."""
        self._workers = [
            _SupervisedWorker(
                WorkerStart(settings, index, own_urls, None if log_dir is None else str(log_dir)),
                is_active,
                console,
            )
            for index in range(settings.workers)
        ]

    async def run(self) -> None:
        """Run until cancelled, which leaves the processes running. Must run on the main thread."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers:
                tasks.create_task(worker.run())

    async def until_ready(self) -> None:
        """Return when each worker has received jobs, or waits for them."""
        for worker in self._workers:
            await worker.ready.wait()

    async def stop(self) -> bool:
        """Let the workers finish their calls and report the results, for at most STOP_SECONDS.
        Returns whether they did. Their remaining jobs are taken over after the next start."""
        return all(await asyncio.gather(*(worker.stop() for worker in self._workers)))


class _SupervisedWorker:
    """One worker process, which is replaced when it ends or hangs."""

    def __init__(
        self, start: WorkerStart, is_active: Callable[[], bool], console: ServeConsole
    ) -> None:
        self._start = start
        self._is_active = is_active
        self._console = console
        self._process: ChildProcess | None = None
        self.ready = asyncio.Event()
        """Set once the worker was ready for the first time."""

    async def run(self) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff()
        while True:
            if not self._is_active():
                await asyncio.sleep(CHECK_SECONDS)
                continue
            started_at = loop.time()
            reason = await self._run_once()
            if reason is None:
                continue
            self._console.problem(
                f"Restarting worker {self._start.index}: its process {reason}. {self._where()}"
            )
            await asyncio.sleep(backoff.pause(loop.time() - started_at))

    async def stop(self) -> bool:
        process = self._process
        if process is None:
            return True
        process.terminate()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        while process.poll() is None:
            if loop.time() >= deadline:
                process.kill()
            await asyncio.sleep(CHECK_SECONDS / 4)
        is_finished = process.poll() == 0
        process.wait()
        self._process = None
        return is_finished

    async def _run_once(self) -> str | None:
        """Run a process until it ends. Returns how it ended; None if it was stopped because another
        instance is active now."""
        try:
            process = ChildProcess(_MODULE)
        except OSError as error:  # a limit on processes, memory or open files
            return f"cannot be started ({error.strerror or error})"
        self._process = process
        process.send(self._start.encode())
        loop = asyncio.get_running_loop()
        liveness = Liveness(process, loop.time(), silence=HANG_SECONDS, preparation=START_SECONDS)
        while (code := process.poll()) is None:
            if (hung_for := liveness.hung_for(loop.time())) is not None:
                process.kill()
                await asyncio.to_thread(process.wait)
                self._process = None
                return f"hung for {hung_for:.0f} s"
            if liveness.is_ready:
                self.ready.set()
            if not self._is_active():
                await self.stop()
                return None
            await asyncio.sleep(CHECK_SECONDS)
        process.wait()
        self._process = None
        return how_it_ended(code)

    def _where(self) -> str:
        if self._start.log_dir is None:
            return "See its log on standard error."
        return f"See {Path(self._start.log_dir) / f'worker-{self._start.index}.log'}."
