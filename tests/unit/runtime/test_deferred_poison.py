"""An event that is deferred and kills its shard is dead-lettered, whenever the shard dies (D4)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.streams import MemoryOutbound, MemoryStreams
from goald.domain.errors import ServiceUnavailable
from goald.metrics.pipeline import ConsumerMetrics
from goald.pipeline.context import PipelineContext
from goald.pipeline.ingest.dispatch import ShardDispatcher
from goald.pipeline.ingest.outstanding import Outstanding
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.dead_letters import DeadLetters
from goald.pipeline.shard_batch import Processed
from goald.redis_keys import DEAD
from goald.runtime.actors.ray_actors import RayShard, RunningWork
from goald.settings import DispatchSettings

POISON = b'{"tenantid": "acme", "data": {"contact_id": "ann"}, "poison": true}'
OTHER = b'{"tenantid": "globex", "data": {"contact_id": "bob"}}'


class DyingShard:
    """The handle of an actor that defers each event and dies of POISON: as soon as a call has
    returned while POISON is deferred, before it is sent again, or while a call waits for it.
    The actor is restarted when a call has found it dead."""

    def __init__(self) -> None:
        self.process = self
        self.deaths = 0
        self._is_dead = False
        self._start()

    def _start(self) -> None:
        self._poisoned = asyncio.Event()
        self._working = RunningWork(self._work(), "shard-0")
        self._working._ending.cancel()  # it would end this process
        self._working._task.add_done_callback(asyncio.Task.exception)

    async def _work(self) -> None:
        await self._poisoned.wait()
        self.deaths += 1
        raise ValueError("an event that cannot be evaluated")

    async def remote(self, batches: Sequence[tuple[Any, ...]]) -> Processed:
        try:
            return await self._working.answer(self._process(batches))
        finally:
            if not batches and self._working._task.done():
                self._start()

    async def _process(self, batches: Sequence[tuple[Any, ...]]) -> Processed:
        has_poison = any(POISON in batch[4] for batch in batches)
        if not any(batch[6] for batch in batches):
            if has_poison:
                self._poisoned.set()
                await asyncio.Event().wait()
            return Processed()
        if has_poison:
            asyncio.get_running_loop().call_soon(self._poisoned.set)
        return Processed(deferred=range(len(batches)))


class ImpatientClock(SystemClock):
    async def sleep(self, seconds: float) -> None:
        await super().sleep(0.01)


async def test_event_that_kills_its_shard_between_two_calls_is_dead_lettered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = DyingShard()
    monkeypatch.setattr("ray.get_actor", lambda _: shard)
    clock = ImpatientClock()
    context = PipelineContext.create(clock, ConsumerMetrics(CollectorRegistry()))
    streams = MemoryStreams(clock)
    breaker = CircuitBreaker(context.metrics.breaker_open)
    dead_letters = DeadLetters(context, MemoryOutbound(streams), breaker)
    settings = DispatchSettings(bytes=1 << 16, calls_in_flight=2)
    dispatcher = ShardDispatcher(0, RayShard(0), settings, context, dead_letters, Outstanding())
    running = asyncio.ensure_future(dispatcher.run())
    entries = [[b"1-%d" % at, [b"event", body]] for at, body in enumerate((OTHER, POISON, OTHER))]
    ((_, buffer, _),) = _native.Router(bytes(256)).route(entries).buffers
    try:
        async with asyncio.timeout(20):
            await dispatcher.put("goald:events:0", 1, buffer)
    finally:
        running.cancel()
        await asyncio.wait({running})
    (dead,) = streams.entries(DEAD)
    assert POISON in dead[1]
    assert shard.deaths == 5


async def test_a_shard_that_ended_has_not_died_again_of_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until its process ends, each call would count as an attempt of events that it never had."""
    shard = DyingShard()
    monkeypatch.setattr("ray.get_actor", lambda _: shard)
    shard._poisoned.set()
    await asyncio.wait({shard._working._task})
    with pytest.raises(ServiceUnavailable) as failed:
        await RayShard(0).process([])
    assert type(failed.value) is ServiceUnavailable
