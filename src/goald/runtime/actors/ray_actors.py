"""The Ray actors: thin shells over `ShardProcess` and `ConsumerProcess`.

Ray starts an actor that died again (`max_restarts=-1`) and repeats no call
(`max_task_retries=0`): what is to be repeated is repeated from the stream.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

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
from goald.pipeline.shard_batch import ShardBatch
from goald.runtime import logs
from goald.runtime.processes.consumer import ConsumerSettings
from goald.runtime.processes.shard import ShardProcess, ShardSettings
from goald.runtime.wiring.daemon import Endpoints, consumer_process, shard_process

log = logging.getLogger(__name__)

RESTART_SECONDS = 0.25
"""Between a failure and the end of the process: long enough to be asked why."""

OF_SERVERS = (PostgresError, InterfaceError, RedisError)
"""What a server does to an actor has nothing to do with the events that it had."""

COLLECT_AFTER = 200_000
"""Allocations, less deallocations, between two looks of the collector."""


class RayShard:
    """A shard that runs in an actor, as a consumer sees it."""

    def __init__(self, index: int) -> None:
        """The shard's actor must have been started."""
        self._actor = ray.get_actor(shard_name(index))
        self._index = index
        self._takes_parts = False

    async def process(self, parts: Sequence[ShardBatch]) -> None:
        """See `Shard.process`. An actor that is down or starting again is ServiceUnavailable; one
        that was seen to take parts, and ended while it had these, ShardDied (D4)."""
        try:
            if not self._takes_parts:
                await self._actor.process.remote([])
                self._takes_parts = True
        except RayActorError as error:
            raise ServiceUnavailable(f"shard {self._index} is down: {error}") from None
        try:
            await self._actor.process.remote([tuple(part) for part in parts])
        except RayActorError as error:
            self._takes_parts = False
            raise ShardDied(f"shard {self._index} ended: {error}") from None
        except ServiceUnavailable:
            self._takes_parts = False
            raise


class Shell:
    """What the actors have in common."""

    _running: "Running"

    async def stop(self) -> None:
        """Return when the work is done: what was read is acknowledged (D7), leases are
        given back."""
        await self._running.end()

    async def exit(self) -> None:
        """End the process, for good. The caller sees the actor die."""
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]


class ShardActor(Shell):
    """A range of slots."""

    def __init__(self, settings: ShardSettings, endpoints: Endpoints) -> None:
        name = shard_name(settings.index)
        settle_process(endpoints, name)
        self._process = self.make_process(settings, endpoints)
        self._running = Running(self._process.run(), name)

    def make_process(self, settings: ShardSettings, endpoints: Endpoints) -> ShardProcess:
        """What the shell is around; benches put another there."""
        return shard_process(settings, endpoints)

    async def process(self, parts: Sequence[tuple[Any, ...]]) -> None:
        await self._running.beside(self._process.process([ShardBatch(*part) for part in parts]))

    async def ready(self) -> bool:
        """Raises StartError, with the reason, if the work has failed."""
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
        settle_process(endpoints, name)
        shards = [RayShard(index) for index in range(len(settings.ranges))]
        self._process = consumer_process(settings, shards, endpoints)
        self._running = Running(self._process.run(), name)

    async def ready(self) -> bool:
        """Raises StartError, with the reason, if the work has failed."""
        self._running.check()
        return self._process.ready

    async def stop(self) -> None:
        self._process.stop()
        await super().stop()


class Running:
    """An actor's work. If it fails, the process ends a little later, so that Ray starts it
    anew; until then whoever asks is told why."""

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.ensure_future(work)
        self._ending = asyncio.ensure_future(self._exit_if_failed(name))

    def check(self) -> None:
        """Raise StartError, with the reason, if the work has failed."""
        if self._task.done() and (error := self._task.exception()) is not None:
            raise StartError("; ".join(_reasons(error)))

    async def end(self) -> None:
        """Wait for the work to return."""
        await self._task

    async def beside(self, call: Coroutine[Any, Any, None]) -> None:
        """Answer a call while the work goes on. Where the work ends before it is answered, raises
        ServiceUnavailable if that has nothing to do with the call: it was stopped, lost its lease
        or its servers. Else ShardDied: the call may be what it died of (D4)."""
        if self._task.done():
            call.close()
            raise ServiceUnavailable("the shard has ended")
        answering = asyncio.ensure_future(call)
        try:
            await asyncio.wait({answering, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
        finally:
            answering.cancel()
        error = None if self._task.cancelled() else self._task.exception()
        if error is None or not _may_be_an_events(error):
            raise ServiceUnavailable("the shard has ended")
        raise ShardDied("; ".join(_reasons(error)))

    async def _exit_if_failed(self, name: str) -> None:
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            raise
        except BaseException:  # a panic of the Rust core is no Exception
            log.exception("%s stops", name)
            await asyncio.sleep(RESTART_SECONDS)
            logging.shutdown()
            os._exit(1)


def _may_be_an_events(error: BaseException) -> bool:
    """Whether an event may be what made the work fail: not where a server did."""
    if isinstance(error, BaseExceptionGroup):
        return any(_may_be_an_events(part) for part in error.exceptions)
    return not (isinstance(error, OF_SERVERS) or is_infrastructure_failure(error))


def _reasons(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [reason for part in error.exceptions for reason in _reasons(part)]
    return [str(error) if isinstance(error, GoaldError) else repr(error)]


def settle_process(endpoints: Endpoints, name: str) -> None:
    """Set up the logs, and have the collector look seldom: a read makes thousands of lists,
    none of them in a cycle, and a look at each would cost more than parsing them."""
    stream = None
    if endpoints.log_dir is not None:
        stream = (Path(endpoints.log_dir) / f"{name}.log").open("a", buffering=1, encoding="utf-8")
    logs.configure(endpoints.log_level, endpoints.log_format, stream)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def shard_name(index: int) -> str:
    """The name by which a consumer finds a shard's actor, within this run's namespace."""
    return f"shard-{index}"


def consumer_name(index: int) -> str:
    """The name of a consumer's actor."""
    return f"consumer-{index}"


def make_shard(settings: ShardSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    """Start a shard's actor. Does not wait."""
    return named_actor(ShardActor, shard_name(settings.index), settings, endpoints)


def make_consumer(settings: ConsumerSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    """Start a consumer's actor, once the shards' are started. Does not wait."""
    return named_actor(ConsumerActor, consumer_name(settings.index), settings, endpoints)


def named_actor(kind: type[Any], name: str, *arguments: Any) -> "ActorHandle[Any]":
    """Start an actor. Its arguments are plain values: Ray keeps others where a restart of
    the actor may not find them."""
    made = ray.remote(kind).options(name=name, max_restarts=-1, max_task_retries=0, num_cpus=0)
    return cast("ActorHandle[Any]", made.remote(*arguments))
