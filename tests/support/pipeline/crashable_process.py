"""Processes in one event loop that die as real ones do: between any two steps, at once.

A process reaches the world through `Gated` adapters alone. One that is dead does nothing more
to the world, whatever its tasks still do; one that is frozen comes to a stand at its next
call, and goes on with it when it is thawed, whoever has taken its place meanwhile.
"""

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from goald.domain.errors import CommitUnknown, LeaseHeld, LeaseLost, ServiceUnavailable
from goald.domain.fail_points import FailPoint
from goald.pipeline.shard_batch import ShardBatch


class Died(BaseException):
    """The process that runs this is dead."""


class Services:
    """What befalls the calls of every process, whoever makes them."""

    def __init__(self) -> None:
        self.is_away: set[str] = set()
        """`store`, `streams`: these answer nothing and do nothing."""
        self.faults: list[tuple[str, bool]] = []
        """(a method's name, whether it takes effect): the next such call fails."""

    def fails(self, service: str, method: str) -> bool | None:
        """Whether this call is to fail, and then whether it takes effect; None where not."""
        if service in self.is_away:
            return False
        for fault in self.faults:
            if fault[0] == method:
                self.faults.remove(fault)
                return fault[1]
        return None


class Fate:
    """Whether one process lives, stands still, or is to die at a step."""

    def __init__(self, services: Services, chance: random.Random) -> None:
        self._services = services
        self._chance = chance
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.died = asyncio.Event()
        self.bomb: tuple[FailPoint, int] | None = None
        """Dies when it has reached this step so many times."""

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

    def fail_point(self, step: FailPoint) -> None:
        """`Reached` of this process."""
        self._live()
        if self.bomb is not None and step is self.bomb[0]:
            left = self.bomb[1] - 1
            self.bomb = (step, left) if left else None
            if not left:
                self.die()
                raise Died

    async def call(self, service: str, method: str, act: Callable[..., Any], *given: Any,
                   **named: Any) -> Any:  # fmt: skip
        """One call of the process to the world. Takes a turn of the loop or two."""
        if method == "close":
            return await act()
        for _ in range(self._chance.randrange(3)):
            await asyncio.sleep(0)
        await self.passing()
        error = CommitUnknown if method == "commit" else ServiceUnavailable
        takes_effect = self._services.fails(service, method)
        if takes_effect is False:
            if method in ("publish", "dead_letter"):  # what fails in the middle has begun
                await act(given[0][: self._chance.randrange(len(given[0]))])
            raise error(f"{method} was made to fail")
        if method == "commit":
            self.fail_point(FailPoint.LEASE_LOCKED)
        answer = await act(*given, **named)
        self._live()
        if takes_effect:
            raise error(f"the answer of {method} was lost")
        return answer

    async def passing(self) -> None:
        """Go on, unless the process stands still, or is dead."""
        await self._thawed.wait()
        self._live()

    def _live(self) -> None:
        if self.is_dead:
            raise Died


class Gated:
    """An adapter as one process sees it."""

    def __init__(self, adapter: Any, service: str, fate: Fate) -> None:
        self._adapter = adapter
        self._service = service
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._adapter, name)
        if inspect.iscoroutinefunction(found):
            return partial(self._fate.call, self._service, name, found)
        return Gated(found, self._service, self._fate) if name == "outbox" else found


class Mortal:
    """A shard or a consumer that runs until it ends, fails or dies."""

    def __init__(self, fate: Fate, process: Any) -> None:
        self.fate = fate
        self.process = process
        self.error: BaseException | None = None
        """What ended it, where that is none of the ends a process may have."""
        self.has_stopped = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._answers: set[asyncio.Future[None]] = set()
        self._start(self._run())
        self._start(self._undertake())

    def kill(self) -> None:
        self.fate.die()

    def serve(self, parts: Sequence[ShardBatch], delay: int) -> "asyncio.Future[None]":
        """The answer of a shard to a call, which reaches it after so many turns of the loop."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        self._start(self._serve(parts, delay, answer))
        return answer

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            await self.process.run()
            self.has_stopped = True
        except BaseException as error:
            self.error = next((one for one in _leaves(error) if not _is_an_end(one)), None)
        self.kill()

    async def _undertake(self) -> None:
        await self.fate.died.wait()
        me = asyncio.current_task()
        for task in self._tasks:
            if task is not me:
                task.cancel()
        for answer in list(self._answers):
            answer.set_exception(ServiceUnavailable("the shard died"))

    async def _serve(
        self, parts: Sequence[ShardBatch], delay: int, answer: "asyncio.Future[None]"
    ) -> None:
        try:
            for _ in range(delay):
                await asyncio.sleep(0)
            await self.fate.passing()
            await self.process.process(parts)
            await self.fate.passing()
        except Died:
            self.kill()
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(None)


class FarShard:
    """A `Shard` in another process: calls arrive in any order, and answers may be lost."""

    def __init__(self, fate: Fate, found: Callable[[], Mortal | None], services: Services,
                 chance: random.Random) -> None:  # fmt: skip
        """`fate`: the caller's. `found`: whom it reaches."""
        self._fate = fate
        self._found = found
        self._services = services
        self._chance = chance

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        await self._fate.passing()
        shard = self._found()
        if shard is None or shard.fate.is_dead:
            raise ServiceUnavailable("there is no shard")
        takes_effect = self._services.fails("shard", "process")
        if takes_effect is False:
            raise ServiceUnavailable("the call was lost")
        await asyncio.shield(shard.serve(parts, self._chance.randrange(4)))
        await self._fate.passing()
        if takes_effect:
            raise ServiceUnavailable("the answer was lost")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _is_an_end(error: BaseException) -> bool:
    """Whether a process may end so: killed, or since another has what it held."""
    return isinstance(error, Died | LeaseLost | LeaseHeld | asyncio.CancelledError)
