"""What the daemon tells the person who started it. The daemon says what happens; a console
decides how it looks. A run without a person has one too: its lines are for a log."""

from typing import Protocol

from goald.runtime.heartbeat.rates import Snapshot
from goald.runtime.instance import Instance


class ServeConsole(Protocol):
    """Called by `goald.runtime.serve`, from one thread. Never blocks for long, never raises."""

    def step(self, text: str) -> None:
        """What is being done now, such as "starting Postgres"."""

    def ready(self, instance: Instance) -> None:
        """Everything is up: where things are, and what to try next."""

    def tick(self, snapshot: Snapshot) -> None:
        """About once a second while it runs."""

    def stopping(self, text: str) -> None:
        """It has begun to stop, and why, such as "on SIGTERM"."""

    def problem(self, text: str) -> None:
        """Something that a person should know and goald goes on from (D6)."""
