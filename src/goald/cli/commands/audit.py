"""`goald audit verify`: whether the audit log is as it was written."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import print_json, say, table
from goald.cli.output.screen import Screen

if TYPE_CHECKING:
    from goald.domain.audit.entries import AuditFinding, SavedHead

app = typer.Typer(help="The audit log: who changed what, and what was achieved.")

SHOWN = 1_000
"""So many findings are shown; of a log that was rewritten there are as many as rows."""


@app.callback()
def _audit() -> None:
    """The audit log: who changed what, and what was achieved."""


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    heads: Annotated[
        Path | None, typer.Option(help="Compare with the ends that --save-heads once wrote.")
    ] = None,
    save_heads: Annotated[
        Path | None, typer.Option(help="Write the ends of all chains, to be kept elsewhere.")
    ] = None,
) -> None:
    """Check every chain of the log, row by row. Runs beside a working daemon. Ends with 1
    where something is not as it was written."""
    from goald.adapters.postgres.records.audit_verification import read_chunks
    from goald.cli.commands.audit_heads import read_heads, write_heads
    from goald.domain.audit.log import AuditVerification
    from goald.runtime.instance import find
    from goald.settings import load_settings

    settings = load_settings()
    dsn = settings.postgres_owner_dsn or settings.postgres_dsn or find(settings).postgres_dsn
    saved_heads: Mapping[str, SavedHead] = {} if heads is None else read_heads(heads)
    verification = AuditVerification(saved_heads)
    found: list[AuditFinding] = []
    count = 0
    with _progress() as progress:
        for chunk in read_chunks(dsn):
            for finding in verification.check(chunk):
                count += 1
                if len(found) < SHOWN:
                    found.append(finding)
            progress(verification.rows)
    saved = save_heads is not None and not count
    if save_heads is not None and saved:
        write_heads(save_heads, verification.heads)
    if as_json:
        print_json(
            {
                "intact": not count,
                "rows": verification.rows,
                "chains": len(verification.heads),
                "findings": [_as_json(finding) for finding in found],
                "findings_in_all": count,
                "heads_saved": str(save_heads) if saved else None,
            }
        )
    else:
        _tell(found, count, verification.rows, len(verification.heads))
        if save_heads is not None:
            say(f"Wrote the ends to {save_heads}." if saved else f"Did not write {save_heads}.")
    if count:
        raise typer.Exit(Code.FAILED)


def _tell(found: "list[AuditFinding]", count: int, rows: int, chains: int) -> None:
    over = f"{rows:,} rows in {chains:,} {'chain' if chains == 1 else 'chains'}"
    if not count:
        say(f"The audit log is intact: {over}.")
        return
    say(f"The audit log is NOT as it was written: {count:,} findings over {over}.")
    table(
        ["writer", "number", "what", "which means"],
        [[one.writer, _numbers(one), one.kind, one.meaning] for one in found],
    )
    if count > len(found):
        say(f"… and {count - len(found):,} more.")


def _numbers(finding: "AuditFinding") -> str:
    return str(finding.number) + (f"-{finding.last}" if finding.last is not None else "")


def _as_json(finding: "AuditFinding") -> dict[str, Any]:
    return {
        "writer": finding.writer,
        "number": finding.number,
        "last_number": finding.last if finding.last is not None else finding.number,
        "what": finding.kind,
        "meaning": finding.meaning,
    }


@contextmanager
def _progress() -> Iterator[Any]:
    """Gives what is called with the rows checked so far; they are shown on a terminal."""
    screen = Screen(sys.stderr)
    try:
        yield lambda rows: screen.live(f"checked {rows:,} rows")
    finally:
        screen.live("")
