"""The actors of one instance, for as long as it is the one that acts."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from goald.domain.errors import LeaseLost, RayEnded
from goald.runtime.connections import CLOSE_SECONDS
from goald.runtime.daemon.console import ServeConsole
from goald.runtime.daemon.environment import ServiceEnvironment
from goald.runtime.leadership.election import LeaderElection
from goald.runtime.wiring.daemon import Endpoints
from goald.settings import Settings

if TYPE_CHECKING:
    from goald.runtime.actors.supervisor import Supervisor

CHECK_SECONDS = 0.5


class LeaderRunner:
    """Starts the actors once no other instance acts; all of them anew, with Ray, where Ray has
    ended; and stands by where another instance took over."""

    def __init__(
        self,
        ground: ServiceEnvironment,
        endpoints: Endpoints,
        streams: int,
        primacy: LeaderElection,
        console: ServeConsole,
        on_restart: Callable[[], None],
    ) -> None:
        """`streams`: how many there are. `on_restart` is told after Ray was started again,
        which takes over SIGTERM."""
        self._ground = ground
        self._settings: Settings = ground.settings
        self._endpoints = endpoints
        self._streams = streams
        self._primacy = primacy
        self._console = console
        self._on_restart = on_restart
        self._supervisor: Supervisor | None = None
        self._began_once = False
        self._ended: str | None = None
        self.ready = asyncio.Event()

    @property
    def stands_by(self) -> str | None:
        """Why this instance does not act; None where it does."""
        return self._primacy.waits_for

    @property
    def not_ready_reason(self) -> str | None:
        """Why its actors do not all run, a short phrase; None where they do."""
        if self.ready.is_set():
            return None
        return self.stands_by or self._ended or "actors are being started"

    async def run(self) -> None:
        """Until cancelled. Blocks the loop for some seconds where Ray is started anew: that
        belongs on the main thread. Raises StartError where the actors cannot be started."""
        from goald.runtime.actors.supervisor import (
            Supervisor,  # brings Ray, which is slow to import
        )

        shards, consumers = self._settings.shards, min(self._settings.consumers, self._streams)
        while True:
            epoch = await self._primacy.take(self._console.problem)
            self._console.step(f"starting actors: shards {shards}, consumers {consumers}")
            supervisor = Supervisor(self._settings, self._endpoints, self._streams, instance=epoch)
            self._supervisor = supervisor
            try:
                await self._primacy.during(self._supervise(supervisor))
            except (LeaseLost, RayEnded) as error:
                self._supervisor = None
                self.ready.clear()
                self._ended = str(error)
                self._console.problem(f"{error}: every actor is started anew")
                self._ground.cluster.restart(self._ground.record, str(error))
                self._on_restart()

    async def stop(self, *, within: float) -> bool:
        """Let the actors finish, and another instance act, in so many seconds (D7). Whether all
        was finished."""
        drained = True
        if self._supervisor is not None:
            drained = await self._supervisor.stop(within=within - CLOSE_SECONDS)
        await self._primacy.release()
        return drained

    async def _supervise(self, supervisor: "Supervisor") -> None:
        """Until cancelled. Raises RayEnded."""
        starting = asyncio.ensure_future(supervisor.start(patiently=self._began_once))
        try:
            while not starting.done():
                self._ground.cluster.check()
                await asyncio.wait({starting}, timeout=CHECK_SECONDS)
            starting.result()
        finally:
            starting.cancel()
        self._began_once = True
        self.ready.set()
        while True:
            self._ground.cluster.check()
            await supervisor.check()
            await asyncio.sleep(CHECK_SECONDS)
