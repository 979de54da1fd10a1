"""The preloaded `goald` of the pages behaves like the installed one."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.preloaded import goald_on_path
from tests.support.services.commands import an_exit

DEADLINE_S = 60


@pytest.fixture(scope="module")
def goald() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="goald-docs-") as name,
        goald_on_path(Path(name)) as folder,
    ):
        yield str(folder / "goald")


def test_a_command_has_its_own_environment_and_directory(goald: str, tmp_path: Path) -> None:
    (tmp_path / "goald.toml").write_text("shards = 7\n")
    for consumers in ("3", "4"):
        ran = subprocess.run(
            [goald, "check-config", "--json"],
            cwd=tmp_path,
            env={"GOALD_CONSUMERS": consumers},
            capture_output=True,
            check=True,
            timeout=DEADLINE_S,
        )
        found = {row["name"]: row["value"] for row in json.loads(ran.stdout)}
        assert (found["GOALD_SHARDS"], found["GOALD_CONSUMERS"]) == ("7", consumers)


def test_a_command_reads_its_input_and_returns_its_exit_code(goald: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [goald, "nonsense"], cwd=tmp_path, capture_output=True, check=False, timeout=DEADLINE_S
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"goald: ")
    environment = {"GOALD_REDIS_URL": "redis://h", "GOALD_POSTGRES_DSN": "postgresql://h"}
    ran = subprocess.run(
        [goald, "explain", "-"],
        cwd=tmp_path,
        env=environment,
        input=b"not an event",
        capture_output=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ran.returncode == 1
    assert b"JSON" in ran.stderr


def test_ctrl_c_ends_a_command(goald: str, tmp_path: Path, streams: Any) -> None:
    streams.xadd("goald:exits", {"event": an_exit(contact="ann")})
    with (tmp_path / "errors").open("wb") as errors:
        command = subprocess.Popen(
            [goald, "tail", "exits", "--from-start"],
            cwd=tmp_path,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert command.stdout is not None
    with command.stdout as output:
        try:
            assert b"ann leaves" in output.readline()
            command.send_signal(signal.SIGINT)
            assert command.wait(DEADLINE_S) == 130
        finally:
            command.kill()
            command.wait()
    assert b"Traceback" not in (tmp_path / "errors").read_bytes()
