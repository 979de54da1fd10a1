"""The supervisor: starts the actors, waits until they are ready, and stops them."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError

from goald.domain.errors import RayEnded, StartError
from goald.domain.slots import split_slots
from goald.redis_keys import event_stream
from goald.runtime.actors.ray_actors import make_consumer, make_shard
from goald.runtime.processes.consumer import ConsumerSettings
from goald.runtime.processes.shard import ShardSettings
from goald.runtime.wiring.daemon import Endpoints
from goald.settings import Settings

READY_SECONDS = 120.0
STOP_SECONDS = 24.0
CLOSE_SECONDS = 4.0
POLL_SECONDS = 0.05
ANSWER_SECONDS = 2.0
GROUP_BYTES = 4 << 20


class Supervisor:
    """The actors of one instance."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        streams: int,
        *,
        instance: int = 0,
        make_shard: Callable[[ShardSettings, Endpoints], "ActorHandle[Any]"] = make_shard,
    ) -> None:
        """`streams`: how many event streams there are. `instance`: the epoch under which the
        actors take what they work on; 0 for an instance on its own. `make_shard`: starts
        another actor than ours, for comparisons."""
        self._make_shard = make_shard
        self._settings = settings
        self._endpoints = endpoints
        self._streams = streams
        self._instance = instance
        self._given_up: set[str] = set()
        self._shards: list[ActorHandle[Any]] = []
        self._consumers: list[ActorHandle[Any]] = []

    async def start(self, *, patiently: bool = False) -> None:
        """Start shards, then consumers; return when all are ready. Raises StartError where one
        fails or takes long, unless `patiently`: then it may be for want of a server."""
        ranges = tuple(split_slots(self._settings.shards))
        self._shards = [
            self._make_shard(
                ShardSettings(
                    index=index,
                    slots=slots,
                    clock_skew=self._settings.clock_skew,
                    republish=self._settings.republish,
                    early_events=self._settings.early_events,
                    exit_retry=self._settings.exit_retry,
                    group_bytes=GROUP_BYTES,
                    instance=self._instance,
                ),
                self._endpoints,
            )
            for index, slots in enumerate(ranges)
        ]
        await self._until_ready("shard", self._shards, patiently)
        streams = [event_stream(number) for number in range(self._streams)]
        self._consumers = [
            make_consumer(
                ConsumerSettings(
                    index=index,
                    streams=tuple(streams[index :: self.consumers]),
                    ranges=ranges,
                    read=self._settings.read,
                    dispatch=self._settings.dispatch,
                    early_events=self._settings.early_events,
                    instance=self._instance,
                ),
                self._endpoints,
            )
            for index in range(self.consumers)
        ]
        await self._until_ready("consumer", self._consumers, patiently)

    @property
    def consumers(self) -> int:
        """How many there are: never more than streams."""
        return min(self._settings.consumers, self._streams)

    async def stop(self, *, within: float = STOP_SECONDS) -> bool:
        """Let consumers finish what is under way, then shards give their slots back (D7).

        Returns within so many seconds, at least CLOSE_SECONDS; False if something did not end
        in time (it is read again).
        """
        drained = await self._stop(self._consumers, max(0.0, within - CLOSE_SECONDS))
        return await self._stop(self._shards, CLOSE_SECONDS) and drained

    async def check(self) -> None:
        """Raise RayEnded where Ray has given an actor up. One that merely died it starts
        again."""
        named = [("shard", self._shards), ("consumer", self._consumers)]
        given_up = await asyncio.gather(
            *(
                _is_given_up(f"{role} {index}", actor)
                for role, actors in named
                for index, actor in enumerate(actors)
            )
        )
        found = {name for name in given_up if name is not None}
        if again := found & self._given_up:  # twice, since one that was just killed looks alike
            raise RayEnded(f"Ray has given up {' and '.join(sorted(again))}")
        self._given_up = found

    async def _until_ready(
        self, role: str, actors: "list[ActorHandle[Any]]", patiently: bool
    ) -> None:
        deadline = time.monotonic() + (math.inf if patiently else READY_SECONDS)
        waiting = dict(enumerate(actors))
        why = "it does not answer"
        while waiting:
            for index, actor in list(waiting.items()):
                try:
                    if await actor.ready.remote():
                        del waiting[index]
                except StartError as error:
                    if patiently:
                        continue
                    raise StartError(f"{role} {index} cannot start: {error}") from None
                except RayError as error:
                    why = str(error).strip().splitlines()[-1]
            if waiting and time.monotonic() > deadline:
                raise StartError(
                    f"{role} {min(waiting)} is not ready after {READY_SECONDS:.0f} s: {why}"
                )
            await asyncio.sleep(POLL_SECONDS)

    @staticmethod
    async def _stop(actors: "list[ActorHandle[Any]]", seconds: float) -> bool:
        if not actors:
            return True
        calls = [asyncio.ensure_future(_stopped(actor)) for actor in actors]
        _, late = await asyncio.wait(calls, timeout=seconds)
        for call in late:
            call.cancel()
        return not late


async def _is_given_up(name: str, actor: "ActorHandle[Any]") -> str | None:
    try:
        await asyncio.wait_for(actor.ready.remote(), ANSWER_SECONDS)
    except ActorDiedError:
        return name
    except (RayError, StartError, TimeoutError):
        return None
    return None


async def _stopped(actor: "ActorHandle[Any]") -> None:
    with contextlib.suppress(RayError):
        await actor.stop.remote()
        await actor.exit.remote()
