"""The help of every command, and the modules that the command line imports at start."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from goald.cli.main import app, main


def paths(group: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    for name, command in group.commands.items():
        yield (*prefix, name)
        yield from paths(command, (*prefix, name)) if hasattr(command, "commands") else ()


@pytest.mark.parametrize("words", [(), *paths(typer.main.get_command(app))], ids=" ".join)
def test_help_shows_flags_as_flags(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--help"]) == 0
    output = capsys.readouterr().out
    assert "--help" in output
    assert "<bool>" not in output
    assert "Usage: goald" in output


def test_help_starts_without_ray_and_database_drivers() -> None:
    heavy = {"ray", "asyncpg", "psycopg", "sqlalchemy", "fastapi", "pydantic", "redis", "msgpack"}
    program = (
        "import sys, goald.cli.main as cli\n"
        "cli.main(['--help'])\n"
        f"print('imported:', sorted({heavy!r} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "imported: []"
