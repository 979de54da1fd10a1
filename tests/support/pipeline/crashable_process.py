"""Processes in one event loop that crash like real ones: abruptly, between any two fail points.

A process reaches its servers only through `FaultyAdapter`. A dead process has no further effect on
them, even if its tasks still run. A frozen process stops at its next call, and continues with that
call when it is thawed, even if another process has replaced it meanwhile.
"""

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from goald.domain.errors import CommitUnknown, LeaseHeld, LeaseLost, ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.pipeline.shard_batch import Processed, ShardBatch, StreamMark

Result = TypeVar("Result")


class ProcessDied(BaseException):
    """Raised in the tasks of a process that is dead."""


class FaultInjector:
    """Makes calls of any process fail."""

    def __init__(self) -> None:
        self.unavailable: set[str] = set()
        """The services that are unavailable: `store`, `streams`."""
        self.faults: list[tuple[str, bool]] = []
        """(method, whether it takes effect): the next call of the method fails."""
        self.commit_seconds = 0.0
        """How long a commit takes, or the check of a lease after an evaluation."""

    def fails(self, service: str, method: str) -> bool | None:
        """Return None if this call succeeds; otherwise whether it takes effect before it fails."""
        if service in self.unavailable:
            return False
        for fault in self.faults:
            if fault[0] == method:
                self.faults.remove(fault)
                return fault[1]
        return None


class ProcessControl:
    """Kills, freezes and thaws one process, or makes it die at a fail point."""

    def __init__(self, services: FaultInjector, chance: random.Random) -> None:
        self._services = services
        self._chance = chance
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.died = asyncio.Event()
        self.bomb: tuple[FailPoint, int] | None = None
        """(fail point, count): the process dies when it has reached the fail point this often."""

    @property
    def is_dead(self) -> bool:
        return self.died.is_set()

    @property
    def is_frozen(self) -> bool:
        return not self._thawed.is_set()

    def die(self) -> None:
        self.died.set()
        self._thawed.set()

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def fail_point(self, fail_point: FailPoint) -> None:
        """The `FailPointHook` of this process."""
        self._check_alive()
        if self.bomb is not None and fail_point is self.bomb[0]:
            remaining = self.bomb[1] - 1
            self.bomb = (fail_point, remaining) if remaining else None
            if not remaining:
                self.die()
                raise ProcessDied

    async def call(self, service: str, method: str, act: Callable[..., Any], *args: Any,
                   **kwargs: Any) -> Any:  # fmt: skip
        """Make one call of the process to a service, after up to two iterations of the loop."""
        if method == "close":
            return await act()
        for _ in range(self._chance.randrange(3)):
            await asyncio.sleep(0)
        await self.wait_running()
        error = CommitUnknown if method == "commit" else ServiceUnavailable
        takes_effect = self._services.fails(service, method)
        if takes_effect is False:
            if method in ("publish", "dead_letter"):  # may fail half-way
                await act(args[0][: self._chance.randrange(len(args[0]))])
            raise error(f"{method} was made to fail")
        if method == "commit":
            self.fail_point(FailPoint.LEASE_LOCKED)
        if method in ("commit", "check"):
            await asyncio.sleep(self._services.commit_seconds)
            await self.wait_running()
        reply = await act(*args, **kwargs)
        self._check_alive()
        if takes_effect:
            raise error(f"the reply of {method} was lost")
        return reply

    async def wait_running(self) -> None:
        """Return when the process is not frozen. Raises ProcessDied if it is dead."""
        await self._thawed.wait()
        self._check_alive()

    def _check_alive(self) -> None:
        if self.is_dead:
            raise ProcessDied


class FaultyAdapter:
    """An adapter whose calls pass through one process's control."""

    def __init__(self, adapter: Any, service: str, control: ProcessControl) -> None:
        self._adapter = adapter
        self._service = service
        self._control = control

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._adapter, name)
        if inspect.iscoroutinefunction(found):
            return partial(self._control.call, self._service, name, found)
        is_adapter = name in ("outbox", "executions")
        return FaultyAdapter(found, self._service, self._control) if is_adapter else found


class CrashableProcess:
    """A shard or a consumer that runs until it ends, fails or is killed."""

    def __init__(self, control: ProcessControl, process: Any) -> None:
        self.control = control
        self.process = process
        self.error: BaseException | None = None
        """The error that ended it, unless a process may end with that error."""
        self.has_stopped = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._replies: set[asyncio.Future[Any]] = set()
        self._start(self._run())
        self._start(self._clean_up())

    def kill(self) -> None:
        self.control.die()

    def serve(
        self, call: Callable[[], Coroutine[Any, Any, Result]], delay: int
    ) -> "asyncio.Future[Result]":
        """Start a call to the shard after this many iterations of the loop; return its reply."""
        reply: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._replies.add(reply)
        reply.add_done_callback(self._replies.discard)
        self._start(self._serve(call, delay, reply))
        return reply

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            await self.process.run()
            self.has_stopped = True
        except BaseException as error:
            self.error = next((each for each in _leaves(error) if not _is_expected_end(each)), None)
        self.kill()

    async def _clean_up(self) -> None:
        await self.control.died.wait()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        for reply in list(self._replies):
            if not reply.done():  # a reply of this iteration of the loop is still in the set
                reply.set_exception(ServiceUnavailable("the shard died"))

    async def _serve(
        self,
        call: Callable[[], Coroutine[Any, Any, Result]],
        delay: int,
        reply: "asyncio.Future[Result]",
    ) -> None:
        try:
            for _ in range(delay):
                await asyncio.sleep(0)
            await self.control.wait_running()
            result = await call()
            await self.control.wait_running()
        except ProcessDied:
            self.kill()
        except Exception as error:
            if not reply.done():
                reply.set_exception(error)
        else:
            if not reply.done():
                reply.set_result(result)


class RemoteShard:
    """A `Shard` in another process: calls may arrive out of order, and replies may be lost."""

    def __init__(
        self,
        control: ProcessControl,
        target: Callable[[], CrashableProcess | None],
        services: FaultInjector,
        chance: random.Random,
    ) -> None:
        """`control`: the caller's. `target` returns the process that calls reach."""
        self._control = control
        self._target = target
        self._services = services
        self._chance = chance

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        return await self._call("process", lambda shard: shard.process(batches))

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        return await self._call("mark", lambda shard: shard.mark(marks))

    async def _call(
        self, method: str, call: Callable[[Any], Coroutine[Any, Any, Result]]
    ) -> Result:
        await self._control.wait_running()
        shard = self._target()
        if shard is None or shard.control.is_dead:
            raise ServiceUnavailable("no shard is running")
        takes_effect = self._services.fails("shard", method)
        if takes_effect is False:
            raise ServiceUnavailable("the call was lost")
        delay, process = self._chance.randrange(4), shard.process
        result = await asyncio.shield(shard.serve(lambda: call(process), delay))
        await self._control.wait_running()
        if takes_effect:
            raise ServiceUnavailable("the reply was lost")
        return result


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for nested in error.exceptions for leaf in _leaves(nested)]
    return [error]


def _is_expected_end(error: BaseException) -> bool:
    """Whether a process may end with this error: killed, or replaced by another holder."""
    return isinstance(error, ProcessDied | LeaseLost | LeaseHeld | asyncio.CancelledError)
