"""The output of `goald serve`: its steps, its addresses, commands to try, and the live line."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from goald.cli.output.printing import masked
from goald.cli.output.screen import Screen
from goald.cli.output.step_line import StepLine
from goald.runtime.heartbeat.rates import Snapshot
from goald.runtime.instance import Instance

PLAIN_LINE_S = 10.0


class TerminalConsole:
    """A `goald.runtime.daemon.console.ServeConsole`.

    On a terminal the live line is drawn about once a second, and the step in progress shows its
    elapsed seconds; elsewhere a line is printed every 10 s, and one more at the first exit. ASCII
    only.
    """

    def __init__(
        self,
        *,
        demo: bool = False,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = Screen(out if out is not None else sys.stdout)
        self._demo = demo
        self._clock = clock
        self._began = clock()
        self._next_plain = 0.0
        self._seen_exit = False
        self._is_stopping = False
        self._step = StepLine(self._screen, clock)

    def log_stream(self) -> TextIO:
        """The stream for logs, which keeps the live line intact."""
        return self._screen.around(sys.stderr)

    def step(self, text: str) -> None:
        self._step.begin(text)

    def ready(self, instance: Instance) -> None:
        self._step.end()
        rows = [
            ("Redis", masked(instance.redis_url)),
            ("Postgres", masked(instance.postgres_dsn)),
            (
                "API",
                instance.api_url and f"{instance.api_url}, documented at {instance.api_url}/docs",
            ),
            ("metrics", instance.metrics_url),
            ("data", instance.data_dir),
        ]
        self._screen.line()
        self._screen.line(f"goald is ready, {self._clock() - self._began:.1f} s after its start.")
        for name, where in rows:
            if where:
                self._screen.line(f"  {name:<9} {where}")
        self._screen.line()
        self._screen.line("Try in another terminal:")
        for command in _to_try(instance, demo=self._demo):
            self._screen.line(f"  {command}")
        self._screen.line()
        self._screen.line("Ctrl-C stops it; nothing is lost.")
        self._screen.line()
        self._next_plain = self._clock() + PLAIN_LINE_S

    def tick(self, snapshot: Snapshot) -> None:
        self._step.end()
        text = live_line(snapshot)
        if self._screen.has_live:
            self._screen.live(text)
            return
        first_exit = snapshot.exits > 0 and not self._seen_exit
        if first_exit or self._clock() >= self._next_plain:
            self._seen_exit = self._seen_exit or first_exit
            self._next_plain = self._clock() + PLAIN_LINE_S
            self._screen.line(text)

    def stopping(self, text: str) -> None:
        self._step.end()
        self._screen.live("")
        self._screen.line(f"Stopping {text} ...")
        self._is_stopping = True

    def end(self) -> None:
        """Leave the terminal to others, after everything has stopped. May be called twice."""
        self._step.end()
        self._screen.live("")
        if self._is_stopping:
            self._is_stopping = False
            self._screen.line("goald has stopped.")

    def problem(self, text: str) -> None:
        self._step.end()
        self._screen.line(f"! {text}")


def live_line(snapshot: Snapshot) -> str:
    """Return the readiness, rates and counts in one line. `~` marks an estimate."""
    p95 = "-" if snapshot.p95_s is None else f"~{_estimated_ms(snapshot.p95_s)} ms"
    parts = [
        "" if snapshot.ready else "NOT READY",
        f"{snapshot.events_per_s:,.0f} events/s",
        f"{snapshot.exits_per_s:,.1f} exits/s",
        f"{snapshot.exits:,} exits",
        f"{snapshot.actions:,} actions" if snapshot.actions else "",
        f"p95 {p95}",
        f"lag {snapshot.lag:,}",
        f"dead {snapshot.dead:,}",
    ]
    return " | ".join(part for part in parts if part)


def _estimated_ms(seconds: float) -> str:
    """Milliseconds with two digits: the quantile is an estimate from a histogram, whose buckets
    are a fifth of their value or wider."""
    return f"{float(f'{seconds * 1_000:.2g}'):,g}"


def _to_try(instance: Instance, *, demo: bool) -> list[str]:
    """Commands that work as they stand, in the directory where goald was started."""
    goald = _program(instance)
    if not demo:
        return [f"{goald} status", f"{goald} apply FILE.yaml", f"{goald} tail exits"]
    contact = f"you-{time.strftime('%H%M%S')}"  # new at each start, for a new enrollment
    return [
        f"{goald} tail exits",
        f"{goald} send workflow.enrollment.started --tenant demo --contact {contact} "
        f"workflow_id=lead-nurturing enrollment_id={contact}",
        f"{goald} send contact.tag.added --tenant demo --contact {contact} "
        "tag_name=Customer --wait 5",
        *([f'{goald} token --tenant demo --scope "workflows:read"'] if instance.api_url else []),
    ]


def _program(instance: Instance) -> str:
    """How to call this goald from a shell: by its name if PATH finds this executable."""
    ours = Path(sys.argv[0])
    found = shutil.which("goald")
    name = "goald"
    if found is None or not ours.exists() or not os.path.samefile(found, ours):
        relative = os.path.relpath(ours)
        name = shlex.quote(str(ours) if relative.startswith("..") else relative)
    # Another terminal does not have the GOALD_DATA_DIR that this one may have been given.
    if instance.data_dir is None or Path(".goald").resolve() == Path(instance.data_dir).resolve():
        return name
    return f"GOALD_DATA_DIR={shlex.quote(instance.data_dir)} {name}"
