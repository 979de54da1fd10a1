"""`goald serve --embedded --demo` and the commands that use it."""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

GOALD = [sys.executable, "-m", "goald.cli.main"]
DEADLINE_S = 120.0


class Daemon:
    """A running `goald serve --embedded --demo`, with its output."""

    def __init__(self, data_dir: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if "GOALD_" not in name}
        self.environment = kept | {"GOALD_DATA_DIR": str(data_dir)}
        self.process = subprocess.Popen(
            [*GOALD, "serve", "--embedded", "--demo"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.printed: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*GOALD, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if found := condition():
                return found
            assert self.process.poll() is None, f"it ended: {self.printed}"
            time.sleep(0.1)
        raise AssertionError(f"no {what} in time: {self.printed}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self._reader.join(DEADLINE_S)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self.printed.extend(line.rstrip("\n") for line in out)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    data_dir = Path(tempfile.mkdtemp(prefix="goald-", dir="/tmp"))
    daemon = Daemon(data_dir)
    try:
        daemon.wait_for("start", lambda: any("Ctrl-C stops it" in each for each in daemon.printed))
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(data_dir, ignore_errors=True)


def test_serve_reports_every_process_as_ready(daemon: Daemon) -> None:
    ran = daemon.wait_for(
        "readiness", lambda: (r := daemon.run("status", "--json")).returncode == 0 and r
    )
    status = json.loads(ran.stdout)
    roles = {(each["role"], each["index"]) for each in status["processes"] if each["ready"]}
    expected = {"supervisor", "consumer", "shard", "redis", "postgres"}
    assert expected <= {role for role, _ in roles}
    assert ("shard", 1) in roles
    assert status["pid"] == daemon.process.pid
    assert len(status["streams"]) == 4


def test_serve_prints_the_first_exits_of_the_demo(daemon: Daemon) -> None:
    exits = re.compile(r"events/s .* [1-9][0-9,]* exits ")
    daemon.wait_for("exit", lambda: any(exits.search(line) for line in daemon.printed))
    before = itertools.takewhile(lambda line: "goald is ready" not in line, daemon.printed)
    assert [line for line in before if "events/s" in line or "heartbeat" in line] == []


def test_the_commands_that_serve_suggests_work(daemon: Daemon) -> None:
    heading = daemon.printed.index("Try in another terminal:")
    commands = [shlex.split(line) for line in daemon.printed[heading + 1 : heading + 4]]
    tail, enrol, achieve = (words[words.index("tail" if i == 0 else "send") :]
                            for i, words in enumerate(commands))  # fmt: skip
    follower = daemon.run(*tail, "--from-start", "--count", "1")
    assert follower.returncode == 0
    assert "leaves" in follower.stdout
    assert daemon.run(*enrol).returncode == 0
    achieved = daemon.run(*achieve[:-1], "60")
    assert achieved.returncode == 0, achieved.stderr
    assert "leaves lead-nurturing" in achieved.stdout
    assert "tag_added by contact.tag.added" in achieved.stdout


def test_an_ignored_event_is_reported_as_ignored(daemon: Daemon) -> None:
    ran = daemon.run("send", "page.visited", "--tenant", "demo", "--contact", "x", "--wait", "60")
    assert ran.returncode == 0, ran.stderr
    assert "Processed: the event was ignored." in ran.stdout
    assert "goald ignores events of type page.visited" in ran.stderr


def test_send_reports_why_an_invalid_event_was_rejected(daemon: Daemon) -> None:
    ran = daemon.run(
        "send", "payment.completed", "--tenant", "demo", "--contact", "x", "amount=1e1000000",
        "--wait", "60",
    )  # fmt: skip
    assert ran.returncode == 1
    assert "amount" in ran.stdout


def test_apply_returns_when_every_shard_uses_the_configuration(
    daemon: Daemon, tmp_path: Path
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        "tenant: acme\nworkflows:\n  - id: w\n    active: true\n    goals:\n"
        "      - {goal_type: form_submitted, criteria: {form_id: f-1}}\n"
    )
    ran = daemon.run("apply", str(file))
    assert ran.returncode == 0, ran.stderr
    assert "2 of 2 shards have loaded the change" in ran.stdout
    for words in (
        ["workflow.enrollment.started", "workflow_id=w", "enrollment_id=e-1"],
        ["form.submitted", "form_id=f-1", "--wait", "60"],
    ):
        sent = daemon.run("send", *words, "--tenant", "acme", "--contact", "c-1")
        assert sent.returncode == 0, sent.stderr
    assert "c-1 leaves w (enrollment e-1): form_submitted" in sent.stdout


def test_the_metrics_of_every_process_are_served(daemon: Daemon) -> None:
    url = json.loads(daemon.run("status", "--json").stdout)["metrics_url"]
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a local address
        text = answer.read().decode()
    assert "goald_ready 1.0" in text
    assert re.search(r'goald_exits_total\{index="1",role="shard"\} [1-9]', text)


def test_serve_stops_on_sigterm_and_status_then_reports_that_it_is_not_running(
    daemon: Daemon,
) -> None:
    assert daemon.stop() == 0
    ran = daemon.run("status")
    assert ran.returncode == 1
    assert "No goald is running" in ran.stderr
