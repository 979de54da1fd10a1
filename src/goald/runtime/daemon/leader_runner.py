"""Runs the actors of this instance while it is the leader."""

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
    """Starts the actors when this instance is elected. Restarts Ray and all actors if Ray ended,
    and returns to standby if another instance took over."""

    def __init__(
        self,
        environment: ServiceEnvironment,
        endpoints: Endpoints,
        streams: int,
        election: LeaderElection,
        console: ServeConsole,
        on_restart: Callable[[], None],
    ) -> None:
        """`streams`: the number of event streams. `on_restart` is called after each restart of
        Ray, which installs its own SIGTERM handler."""
        self._environment = environment
        self._settings: Settings = environment.settings
        self._endpoints = endpoints
        self._streams = streams
        self._election = election
        self._console = console
        self._on_restart = on_restart
        self._supervisor: Supervisor | None = None
        self._was_elected = False
        self._was_ready = False
        self._restart_reason: str | None = None
        self.ready = asyncio.Event()

    @property
    def standby_reason(self) -> str | None:
        """Why this instance is not active; None if it is."""
        return self._election.standby_reason

    @property
    def is_active(self) -> bool:
        """Whether this instance was elected, and no other one is active."""
        return self._was_elected and self.standby_reason is None

    @property
    def not_ready_reason(self) -> str | None:
        """Why not all actors of this instance run, a short phrase; None if they do."""
        if self.ready.is_set():
            return None
        if self.standby_reason is not None:
            return self.standby_reason
        if self._restart_reason is not None:
            return f"restarting all actors: {self._restart_reason}"
        return "starting actors"

    async def run(self) -> None:
        """Run until cancelled. Must run on the main thread: restarting Ray blocks the event loop
        for some seconds. Raises StartError if the actors cannot be started."""
        from goald.runtime.actors.supervisor import Supervisor  # imports Ray, which takes 1 s

        shards, consumers = self._settings.shards, min(self._settings.consumers, self._streams)
        while True:
            epoch = await self._election.win(self._console.problem)
            self._was_elected = True
            self._console.step(
                f"starting actors: {_count(shards, 'shard')}, {_count(consumers, 'consumer')}"
            )
            supervisor = Supervisor(self._settings, self._endpoints, self._streams, instance=epoch)
            self._supervisor = supervisor
            try:
                await self._election.run_while_leader(self._supervise(supervisor))
            except (LeaseLost, RayEnded) as error:
                self._supervisor = None
                self.ready.clear()
                self._restart_reason = str(error)
                self._console.problem(f"Restarting all actors: {error}")
                self._environment.cluster.restart(self._environment.record, str(error))
                self._on_restart()

    async def stop(self, *, within: float) -> bool:
        """Let the actors finish, and give up the leadership, within this many seconds (D7).
        Returns whether everything was finished."""
        drained = True
        if self._supervisor is not None:
            drained = await self._supervisor.stop(within=within - CLOSE_SECONDS)
        await self._election.release()
        return drained

    async def _supervise(self, supervisor: "Supervisor") -> None:
        """Run until cancelled. Raises RayEnded."""
        starting = asyncio.ensure_future(supervisor.start(without_deadline=self._was_ready))
        try:
            while not starting.done():
                self._environment.cluster.check()
                await asyncio.wait({starting}, timeout=CHECK_SECONDS)
            starting.result()
        finally:
            starting.cancel()
        self._was_ready = True
        self.ready.set()
        while True:
            self._environment.cluster.check()
            await supervisor.check()
            await asyncio.sleep(CHECK_SECONDS)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
