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
from goald.pipeline.executions.rules import ExecutionRules
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
DEFERRED_SHARE = 8
"""The part of a stream's in-flight window that the deferred events of one tenant may take."""


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
        """`streams`: the number of event streams. `instance`: the epoch of the leader lease, under
        which the actors take slots and streams; 0 without leader election. `make_shard`: starts
        the actor of a shard; benches replace it."""
        self._make_shard = make_shard
        self._settings = settings
        self._endpoints = endpoints
        self._streams = streams
        self._instance = instance
        self._suspects: set[str] = set()
        self._shards: list[ActorHandle[Any]] = []
        self._consumers: list[ActorHandle[Any]] = []

    async def start(self, *, without_deadline: bool = False) -> None:
        """Start the shards, then the consumers; return when all are ready. Raises StartError if
        one fails or is not ready within READY_SECONDS. With `without_deadline` it waits until
        they are ready, because a server may be unavailable."""
        ranges = tuple(split_slots(self._settings.shards))
        streams = tuple(event_stream(number) for number in range(self._streams))
        self._shards = [
            self._make_shard(
                ShardSettings(
                    index=index,
                    slots=slots,
                    clock_skew=self._settings.clock_skew,
                    republish=self._settings.republish,
                    early_events=self._settings.early_events,
                    exit_retry=self._settings.exit_retry,
                    publishes_refunds=self._settings.refund_reopens,
                    max_enrollments_per_contact=self._settings.max_enrollments_per_contact,
                    late=self._settings.late,
                    missed_bytes=self._settings.missed_bytes,
                    group_bytes=GROUP_BYTES,
                    max_deferred_bytes=self._settings.read.in_flight_bytes // DEFERRED_SHARE,
                    streams=streams,
                    executions=ExecutionRules(
                        retry_base=self._settings.retry_base_seconds,
                        requires_opt_in=self._settings.require_opt_in,
                        failed_keep=self._settings.failed_keep * 86_400.0,
                    ),
                    instance=self._instance,
                ),
                self._endpoints,
            )
            for index, slots in enumerate(ranges)
        ]
        await self._until_ready("shard", self._shards, without_deadline)
        self._consumers = [
            make_consumer(
                ConsumerSettings(
                    index=index,
                    streams=streams[index :: self.consumers],
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
        await self._until_ready("consumer", self._consumers, without_deadline)

    @property
    def consumers(self) -> int:
        """The number of consumers, at most one for each stream."""
        return min(self._settings.consumers, self._streams)

    async def stop(self, *, within: float = STOP_SECONDS) -> bool:
        """Let the consumers finish what is in flight, then let the shards release their slots
        (D7).

        Returns within this many seconds, at least CLOSE_SECONDS. Returns False if a process did
        not finish in time; its events are read again at the next start.
        """
        drained = await self._stop(self._consumers, max(0.0, within - CLOSE_SECONDS))
        return await self._stop(self._shards, CLOSE_SECONDS) and drained

    async def check(self) -> None:
        """Raise RayEnded if Ray no longer restarts an actor. Two checks in a row must find it
        dead, because an actor that was just killed, and will be restarted, looks the same."""
        roles = [("shard", self._shards), ("consumer", self._consumers)]
        names = await asyncio.gather(
            *(
                _name_if_dead(f"{role} {index}", actor)
                for role, actors in roles
                for index, actor in enumerate(actors)
            )
        )
        dead = {name for name in names if name is not None}
        if confirmed := dead & self._suspects:
            raise RayEnded(f"Ray does not restart {' and '.join(sorted(confirmed))}")
        self._suspects = dead

    async def _until_ready(
        self, role: str, actors: "list[ActorHandle[Any]]", without_deadline: bool
    ) -> None:
        deadline = time.monotonic() + (math.inf if without_deadline else READY_SECONDS)
        waiting = dict(enumerate(actors))
        reason = "no answer"
        while waiting:
            for index, actor in list(waiting.items()):
                try:
                    if await actor.ready.remote():
                        del waiting[index]
                except StartError as error:
                    if without_deadline:
                        continue
                    raise StartError(f"Cannot start {role} {index}: {error}") from None
                except RayError as error:
                    reason = str(error).strip().splitlines()[-1]
            if waiting and time.monotonic() > deadline:
                raise StartError(
                    f"{role} {min(waiting)} is not ready after {READY_SECONDS:.0f} s: {reason}"
                )
            await asyncio.sleep(POLL_SECONDS)

    @staticmethod
    async def _stop(actors: "list[ActorHandle[Any]]", seconds: float) -> bool:
        if not actors:
            return True
        calls = [asyncio.ensure_future(_stop(actor)) for actor in actors]
        _, late = await asyncio.wait(calls, timeout=seconds)
        for call in late:
            call.cancel()
        return not late


async def _name_if_dead(name: str, actor: "ActorHandle[Any]") -> str | None:
    try:
        await asyncio.wait_for(actor.ready.remote(), ANSWER_SECONDS)
    except ActorDiedError:
        return name
    except (RayError, StartError, TimeoutError):
        return None
    return None


async def _stop(actor: "ActorHandle[Any]") -> None:
    with contextlib.suppress(RayError):
        await actor.stop.remote()
        await actor.exit.remote()
