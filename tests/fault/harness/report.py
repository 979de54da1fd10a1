"""The table of a `make torture` run, for the screen and for docs/faults.md."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from tests.fault.harness.registry import Round

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "faults.md"
BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"
_HEADER = (
    "fault",
    "rounds",
    "lost",
    "doubled",
    "unjustified",
    "longest recovery",
    "longest time until idle",
    "failed rounds",
)


@dataclass
class FaultResult:
    """The rounds of one fault."""

    fault: str
    planned: int
    rounds: list[Round] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Rounds that ended without a verdict, with the reason."""
    skipped: str = ""

    @property
    def failures(self) -> int:
        """Rounds that were unsafe, not idle in time, or without a verdict."""
        return len(self.errors) + sum(not (each.is_safe and each.is_live) for each in self.rounds)


def table(results: Sequence[FaultResult]) -> str:
    """One line for each fault."""
    rows = [_HEADER, *(_row(each) for each in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def write_section(results: Sequence[FaultResult], seed: int) -> None:
    """Replace the text between the marks in docs/faults.md by the table with its date, machine and
    seed. Raises ValueError if a mark is missing."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise ValueError(f"{DOCUMENT} has no {BEGIN} and {END}")
    lines = ["| " + " | ".join(_HEADER) + " |", "| --- |" + " --- |" * (len(_HEADER) - 1)]
    lines += ["| " + " | ".join(_row(each)) + " |" for each in results]
    origin = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_machine()}, seed {seed}."
    section = "\n".join([BEGIN, "", origin, "", *lines, "", END])
    DOCUMENT.write_text(before + section + after, encoding="utf-8")


def _row(result: FaultResult) -> tuple[str, ...]:
    rounds = result.rounds
    if result.skipped:
        return (result.fault, "skipped", "", "", "", "", "", result.skipped)
    return (
        result.fault,
        str(len(rounds)),
        str(sum(each.lost for each in rounds)),
        str(sum(each.doubled for each in rounds)),
        str(sum(each.unjustified for each in rounds)),
        _longest([each.recovery_s for each in rounds]),
        _longest([each.idle_s for each in rounds]),
        str(result.failures),
    )


def _longest(times: Sequence[float | None]) -> str:
    if not times:
        return ""
    known = [each for each in times if each is not None]
    return f"{max(known):.1f} s" if len(known) == len(times) else "never"


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"
