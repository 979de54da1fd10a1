"""The interface by which the daemon reports to the person who started it. The daemon reports
events; the console formats them, on a terminal or for a log."""

from typing import Protocol

from goald.runtime.heartbeat.rates import Snapshot
from goald.runtime.instance import Instance


class ServeConsole(Protocol):
    """Called from one thread. Methods do not block for long and raise nothing."""

    def step(self, text: str) -> None:
        """The daemon has begun a part of its start, such as "starting Postgres"."""

    def ready(self, instance: Instance) -> None:
        """Every process is ready. Shows the addresses, and what to try next."""

    def tick(self, snapshot: Snapshot) -> None:
        """Called about once a second while the daemon runs."""

    def stopping(self, text: str) -> None:
        """The daemon has begun to stop; the text gives the reason, such as "on SIGTERM"."""

    def problem(self, text: str) -> None:
        """The daemon found a problem that an operator should know, and continues (D6)."""
