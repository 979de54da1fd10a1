"""The Ray actors: thin shells over `ShardProcess` and `ConsumerProcess`.

Ray starts an actor that died again (`max_restarts=-1`) and repeats no call
(`max_task_retries=0`): what is to be repeated is repeated from the stream.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from goald.domain.errors import ServiceUnavailable
from goald.pipeline.parts import Part
from goald.runtime import logs
from goald.runtime.consumer import ConsumerSettings
from goald.runtime.shard import ShardProcess, ShardSettings
from goald.runtime.wiring import Endpoints, consumer_process, shard_process

log = logging.getLogger(__name__)

COLLECT_AFTER = 200_000
"""Allocations, less deallocations, between two looks of the collector."""


class RayShard:
    """A shard that runs in an actor, as a consumer sees it."""

    def __init__(self, index: int) -> None:
        """The shard's actor must have been started."""
        self._actor = ray.get_actor(shard_name(index))
        self._index = index

    async def process(self, parts: Sequence[Part]) -> None:
        """See `Shard.process`. An actor that is down or starting again is ServiceUnavailable."""
        try:
            await self._actor.process.remote([tuple(part) for part in parts])
        except RayActorError as error:
            raise ServiceUnavailable(f"shard {self._index} is down: {error}") from None


class ShardActor:
    """A range of slots."""

    def __init__(self, settings: ShardSettings, endpoints: Endpoints) -> None:
        settle_process(endpoints)
        self._process = self.make_process(settings, endpoints)
        self._run = asyncio.ensure_future(run_or_exit(self._process.run()))

    def make_process(self, settings: ShardSettings, endpoints: Endpoints) -> ShardProcess:
        """What the shell is around; benches put another there."""
        return shard_process(settings, endpoints)

    async def process(self, parts: Sequence[tuple[Any, ...]]) -> None:
        await self._process.process([Part(*part) for part in parts])

    async def ready(self) -> bool:
        return self._process.ready

    async def stop(self) -> None:
        """Return when the lease is given back."""
        self._process.stop()
        await self._run


class ConsumerActor:
    """Some streams."""

    def __init__(
        self,
        settings: ConsumerSettings,
        endpoints: Endpoints,
    ) -> None:
        settle_process(endpoints)
        shards = [RayShard(index) for index in range(len(settings.ranges))]
        self._process = consumer_process(settings, shards, endpoints)
        self._run = asyncio.ensure_future(run_or_exit(self._process.run()))

    async def ready(self) -> bool:
        return self._process.ready

    async def stop(self) -> None:
        """Return when all that was read is acknowledged (D7)."""
        self._process.stop()
        await self._run


def settle_process(endpoints: Endpoints) -> None:
    """Set up the logs, and have the collector look seldom: a read makes thousands of lists,
    none of them in a cycle, and a look at each would cost more than parsing them."""
    logs.configure(endpoints.log_level, endpoints.log_format)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def run_or_exit(work: Awaitable[None]) -> None:
    """Run an actor's work; if it fails, end the process, so that Ray starts it anew."""
    try:
        await work
    except Exception:
        log.exception("the actor stops")
        logging.shutdown()
        os._exit(1)


def shard_name(index: int) -> str:
    """The name by which a consumer finds a shard's actor, within this run's namespace."""
    return f"shard-{index}"


def make_shard(settings: ShardSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    """Start a shard's actor. Does not wait."""
    return named_actor(ShardActor, shard_name(settings.index), settings, endpoints)


def make_consumer(settings: ConsumerSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    """Start a consumer's actor, once the shards' are started. Does not wait."""
    return named_actor(ConsumerActor, f"consumer-{settings.index}", settings, endpoints)


def named_actor(kind: type[Any], name: str, *arguments: Any) -> "ActorHandle[Any]":
    """Start an actor. Its arguments are plain values: Ray keeps others where a restart of
    the actor may not find them."""
    made = ray.remote(kind).options(name=name, max_restarts=-1, max_task_retries=0, num_cpus=0)
    return cast("ActorHandle[Any]", made.remote(*arguments))
