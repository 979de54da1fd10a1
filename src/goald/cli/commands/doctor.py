"""`goald doctor`: checks whether goald can run here with its guarantees."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import console, print_json


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """Check this machine, Redis and Postgres: one line each, with advice. Changes nothing.

    Exits with 1 if goald cannot run.
    """
    if asyncio.run(_examine(as_json)):
        raise typer.Exit(Code.FAILED)


async def _examine(as_json: bool) -> bool:
    """Whether something fails."""
    from rich.text import Text

    from goald.runtime.wiring.doctor import diagnose
    from goald.settings import load_settings

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    out = console()
    failed = False
    async for finding in diagnose(load_settings()):
        failed = failed or finding.state == "fail"
        if as_json:
            print_json(asdict(finding), lines=True)
            continue
        line = Text(f"{finding.state:<4}", style=colours[finding.state])
        line.append(f"  {finding.name:<22} {finding.text}", style="default")
        out.print(line)
        if finding.advice:
            out.print(Text(f"{'':<28} -> {finding.advice}"))
    return failed


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(doctor)
