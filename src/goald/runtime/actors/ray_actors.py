"""The Ray actors: thin shells over `ShardProcess` and `ConsumerProcess`.

Ray restarts an actor that died (`max_restarts=-1`) and repeats no call (`max_task_retries=0`):
events that were not processed are sent again from the stream.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import ray
from asyncpg import InterfaceError, PostgresError
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from redis.exceptions import RedisError

from goald.domain.errors import (
    GoaldError,
    ServiceUnavailable,
    ShardDied,
    StartError,
    is_infrastructure_failure,
)
from goald.pipeline.shard_batch import Processed, ShardBatch, StreamMark
from goald.runtime import logs
from goald.runtime.garbage_collection import collect_garbage_rarely
from goald.runtime.processes.consumer import ConsumerSettings
from goald.runtime.processes.shard import ShardProcess, ShardSettings
from goald.runtime.wiring.daemon import Endpoints, consumer_process, shard_process

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RESTART_SECONDS = 0.25
"""Between a failure and the exit of the process, so that the supervisor can read the reason."""

SERVER_ERRORS = (PostgresError, InterfaceError, RedisError)
"""Errors that a server causes, and no event."""

GC_THRESHOLD = 200_000
"""Objects allocated and not freed between two runs of the garbage collector."""


class RayShard:
    """A `Shard` that runs in a Ray actor."""

    def __init__(self, index: int) -> None:
        """The actor of this shard must have been started."""
        self._actor = ray.get_actor(shard_name(index))
        self._index = index
        self._accepts_batches = False

    async def process(self, batches: Sequence[ShardBatch]) -> Processed:
        """See `Shard.process`. Raises ServiceUnavailable if the actor is down or restarting, and
        ShardDied if it had accepted batches before and ended while it had these (D4)."""
        try:
            if not self._accepts_batches:
                await self._actor.process.remote([])
                self._accepts_batches = True
        except (RayActorError, ShardDied) as error:
            raise ServiceUnavailable(f"shard {self._index} is down: {error}") from None
        try:
            call: Awaitable[Processed] = self._actor.process.remote(
                [tuple(batch) for batch in batches]
            )
            return await call
        except RayActorError as error:
            self._accepts_batches = False
            raise ShardDied(f"shard {self._index} ended: {error}") from None
        except ServiceUnavailable:
            self._accepts_batches = False
            raise

    async def mark(self, marks: Sequence[StreamMark]) -> bool:
        """See `Shard.mark`. Raises ServiceUnavailable if the actor is down or restarting."""
        try:
            call: Awaitable[bool] = self._actor.mark.remote([tuple(mark) for mark in marks])
            return await call
        except RayActorError as error:
            raise ServiceUnavailable(f"shard {self._index} is down: {error}") from None


class Shell:
    """The part that all actors share."""

    _running: "RunningWork"

    async def stop(self) -> None:
        """Return when the work is finished: everything read is acknowledged, and the leases are
        released (D7)."""
        await self._running.wait()

    async def exit(self) -> None:
        """End the process; Ray does not restart it. The caller gets an actor error."""
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]  # Ray does not annotate it


class ShardActor(Shell):
    """A range of slots."""

    def __init__(self, settings: ShardSettings, endpoints: Endpoints) -> None:
        name = shard_name(settings.index)
        configure_process(endpoints, name)
        self._process = self.make_process(settings, endpoints)
        self._running = RunningWork(self._process.run(), name)

    def make_process(self, settings: ShardSettings, endpoints: Endpoints) -> ShardProcess:
        """The process behind this shell; benches override it."""
        return shard_process(settings, endpoints)

    async def process(self, batches: Sequence[tuple[Any, ...]]) -> Processed:
        """See `Shard.process`. Each batch is a `ShardBatch` as a plain tuple."""
        return await self._running.answer(
            self._process.process([ShardBatch(*batch) for batch in batches])
        )

    async def mark(self, marks: Sequence[tuple[Any, ...]]) -> bool:
        """See `Shard.mark`. Each mark is a `StreamMark` as a plain tuple."""
        return await self._process.mark([StreamMark(*mark) for mark in marks])

    async def ready(self) -> bool:
        """Raises StartError with the reason if the work has failed."""
        self._running.check()
        return self._process.ready

    async def stop(self) -> None:
        self._process.stop()
        await super().stop()


class ConsumerActor(Shell):
    """Some streams."""

    def __init__(
        self,
        settings: ConsumerSettings,
        endpoints: Endpoints,
    ) -> None:
        name = consumer_name(settings.index)
        configure_process(endpoints, name)
        shards = [RayShard(index) for index in range(len(settings.ranges))]
        self._process = consumer_process(settings, shards, endpoints)
        self._running = RunningWork(self._process.run(), name)

    async def ready(self) -> bool:
        """Raises StartError with the reason if the work has failed."""
        self._running.check()
        return self._process.ready

    async def stop(self) -> None:
        self._process.stop()
        await super().stop()


class RunningWork:
    """The work of an actor. If it fails, the process exits RESTART_SECONDS later, and Ray
    restarts it; until then `check` raises the reason."""

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.ensure_future(work)
        self._ending = asyncio.ensure_future(self._exit_if_failed(name))

    def check(self) -> None:
        """Raise StartError with the reason if the work has failed."""
        if self._task.done() and (error := self._task.exception()) is not None:
            raise StartError("; ".join(_reasons(error)))

    async def wait(self) -> None:
        """Return when the work returns."""
        await self._task

    async def answer(self, call: Coroutine[Any, Any, Result]) -> Result:
        """Run a call concurrently with the work. If the work ends first, raises
        ServiceUnavailable if no event can be the cause (the work was stopped, or lost its lease
        or its servers), and ShardDied if one can (D4): an event of this call, or a
        deferred event of an earlier call."""
        if self._task.done():
            call.close()
            raise self._end()
        running_call = asyncio.ensure_future(call)
        try:
            await asyncio.wait({running_call, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if running_call.done():
                return running_call.result()
        finally:
            running_call.cancel()
        raise self._end()

    def _end(self) -> ServiceUnavailable:
        """Return the error of a call that needs the work, which has ended."""
        error = None if self._task.cancelled() else self._task.exception()
        if error is None or not _may_be_caused_by_event(error):
            return ServiceUnavailable("the shard has ended")
        return ShardDied("; ".join(_reasons(error)))

    async def _exit_if_failed(self, name: str) -> None:
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            raise
        except BaseException:  # a panic of the native matcher is not an Exception
            log.exception("%s failed and restarts", name)
            await asyncio.sleep(RESTART_SECONDS)
            logging.shutdown()
            os._exit(1)


def _may_be_caused_by_event(error: BaseException) -> bool:
    """Whether an event may have made the work fail; False if a server or a lease did."""
    if isinstance(error, BaseExceptionGroup):
        return any(_may_be_caused_by_event(each) for each in error.exceptions)
    return not (isinstance(error, SERVER_ERRORS) or is_infrastructure_failure(error))


def _reasons(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [reason for each in error.exceptions for reason in _reasons(each)]
    return [str(error) if isinstance(error, GoaldError) else repr(error)]


def configure_process(endpoints: Endpoints, name: str) -> None:
    """Configure the logs, and make the garbage collector run rarely: a read creates thousands of
    lists without cycles, and collecting them would cost more than parsing them."""
    stream = None
    if endpoints.log_dir is not None:
        stream = (Path(endpoints.log_dir) / f"{name}.log").open("a", buffering=1, encoding="utf-8")
    logs.configure(endpoints.log_level, endpoints.log_format, stream)
    collect_garbage_rarely(GC_THRESHOLD)


def shard_name(index: int) -> str:
    """The name of a shard's actor in the Ray namespace of this run."""
    return f"shard-{index}"


def consumer_name(index: int) -> str:
    """The name of a consumer's actor in the Ray namespace of this run."""
    return f"consumer-{index}"


def make_shard(settings: ShardSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    """Start a shard's actor. Does not wait."""
    return named_actor(ShardActor, shard_name(settings.index), settings, endpoints)


def make_consumer(settings: ConsumerSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    """Start a consumer's actor. The shards' actors must have been started. Does not wait."""
    return named_actor(ConsumerActor, consumer_name(settings.index), settings, endpoints)


def named_actor(kind: type[Any], name: str, *arguments: Any) -> "ActorHandle[Any]":
    """Start an actor. Its arguments must be plain values: Ray stores other arguments where a
    restarted actor may not find them."""
    actor = ray.remote(kind).options(name=name, max_restarts=-1, max_task_retries=0, num_cpus=0)
    return cast("ActorHandle[Any]", actor.remote(*arguments))
