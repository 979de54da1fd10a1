"""`goald audit verify`: check that the audit log is unchanged."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import print_json, say, table
from goald.cli.output.screen import Screen
from goald.cli.target import owner_dsn

if TYPE_CHECKING:
    from goald.domain.audit.entries import AuditFinding
    from goald.operations.audit import AuditReport

app = typer.Typer(help="The audit log: configuration changes and achievements.")


@app.callback()
def _audit() -> None:
    """The audit log: configuration changes and achievements."""


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    heads: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with a file written by --save-heads."),
    ] = None,
    save_heads: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="If the log is intact, write the head of every chain."),
    ] = None,
) -> None:
    """Verify every row of the audit log. Safe while goald is running.

    Exits with 1 if the log was changed.
    """
    from goald.operations.audit import verify as verify_log
    from goald.operations.audit_heads import read_heads, write_heads
    from goald.runtime.wiring.operations import audit_log
    from goald.settings import load_settings

    saved = {} if heads is None else read_heads(heads)
    with owner_dsn(load_settings()) as dsn, _progress() as progress:
        report = verify_log(audit_log(dsn), saved, progress)
    saves = save_heads is not None and report.intact
    if save_heads is not None and saves:
        write_heads(save_heads, report.heads)
    if as_json:
        print_json(
            {
                "intact": report.intact,
                "rows": report.rows,
                "chains": len(report.heads),
                "findings": [_as_json(finding) for finding in report.findings],
                "finding_count": report.finding_count,
                "heads_saved": str(save_heads) if saves else None,
            }
        )
    else:
        _print(report)
        if save_heads is not None:
            say(f"Wrote {save_heads}." if saves else f"Did not write {save_heads}.")
    if not report.intact:
        raise typer.Exit(Code.FAILED)


def _print(report: "AuditReport") -> None:
    rows = f"{report.rows:,} {'row' if report.rows == 1 else 'rows'}"
    chains = f"{len(report.heads):,} {'chain' if len(report.heads) == 1 else 'chains'}"
    if report.intact:
        say(f"The audit log is intact: {rows} in {chains}.")
        return
    count = report.finding_count
    findings = "1 finding" if count == 1 else f"{count:,} findings"
    say(f"The audit log is NOT intact: {findings} in {rows} of {chains}.")
    table(
        ["chain", "number", "finding", "meaning"],
        [[each.writer, _numbers(each), each.kind, each.meaning] for each in report.findings],
    )
    if count > len(report.findings):
        say(f"Showing {len(report.findings):,} of {count:,} findings.")


def _numbers(finding: "AuditFinding") -> str:
    return str(finding.number) + (f"-{finding.last}" if finding.last is not None else "")


def _as_json(finding: "AuditFinding") -> dict[str, Any]:
    return {
        "chain": finding.writer,
        "number": finding.number,
        "last_number": finding.last if finding.last is not None else finding.number,
        "finding": finding.kind,
        "meaning": finding.meaning,
    }


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Yields a function that shows the number of rows checked, on a terminal."""
    screen = Screen(sys.stderr)
    try:
        yield lambda rows: screen.live(f"checked {rows:,} rows")
    finally:
        screen.live("")
