"""The terminal output of `goald serve`, and the exit codes of commands."""

import io
import json
import logging
import os
import pty
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from goald.cli.output import exit_codes as outcome
from goald.cli.output import step_line
from goald.cli.output.printing import masked
from goald.cli.output.screen import Screen
from goald.cli.output.serve_console import TerminalConsole, live_line
from goald.domain import errors
from goald.runtime import logs
from goald.runtime.heartbeat.rates import Snapshot
from goald.runtime.instance import Instance

BUSY = Snapshot(312.4, 4.2, 1_234, 0.0061, 17, 3, True)
QUIET = Snapshot(0.0, 0.0, 0, None, 0, 0, False)


DEADLINE_S = 30


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal()


def seen(terminal: Terminal) -> list[str]:
    """The lines on the terminal at the end."""
    return [line.rsplit("\r\x1b[K", 1)[-1] for line in terminal.getvalue().split("\n")]


def test_the_live_line_shows_rates_latency_lag_and_dead_letters() -> None:
    assert live_line(BUSY) == (
        "312 events/s | 4.2 exits/s | 1,234 exits | p95 ~6.1 ms | lag 17 | dead 3"
    )
    assert live_line(QUIET).startswith("NOT READY | 0 events/s")
    assert "actions" not in live_line(QUIET)
    assert " | 1,234 exits | 2,345 actions | p95 " in live_line(replace(BUSY, actions=2_345))
    assert "p95 -" in live_line(QUIET)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0061234, "~6.1 ms"), (0.0473, "~47 ms"), (1.234, "~1,200 ms")]
)
def test_an_estimated_latency_is_shown_with_two_digits(seconds: float, expected: str) -> None:
    assert f" | p95 {expected} | " in live_line(replace(BUSY, p95_s=seconds))


def test_lines_and_logs_are_printed_above_the_live_line(terminal: Terminal) -> None:
    screen = Screen(terminal)
    screen.live("live 1")
    screen.line("something happened")
    screen.around(terminal).write("a log line\n")
    screen.live("live 2")
    assert seen(terminal) == ["something happened", "a log line", "live 2"]


def test_the_live_line_is_truncated_to_the_terminal_width(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Screen(terminal).live("x" * 50)
    assert seen(terminal) == ["x" * 19]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    clock = Clock()
    console = TerminalConsole(out=out, clock=clock)
    clock.now += 11
    console.tick(BUSY)
    assert out.getvalue() == live_line(BUSY) + "\n"


def test_without_a_terminal_a_line_is_printed_every_10_s_and_at_the_first_exit() -> None:
    out, clock = io.StringIO(), Clock()
    console = TerminalConsole(out=out, clock=clock)
    console.ready(Instance("redis://h", "postgresql://h"))
    began = len(out.getvalue())
    lines = []
    for second in range(25):
        clock.now += 1
        before = len(out.getvalue())
        console.tick(BUSY if second >= 3 else QUIET)
        if len(out.getvalue()) > before:
            lines.append(second)
    assert lines == [3, 13, 23]
    assert out.getvalue()[began:].isascii()


def test_ready_prints_addresses_without_passwords_and_suggested_commands(tmp_path: Path) -> None:
    out = io.StringIO()
    console = TerminalConsole(demo=True, out=out, clock=Clock())
    console.ready(
        Instance(
            "redis://:secret@h:1/0",
            "postgresql://goald:secret@h/g",
            metrics_url="http://127.0.0.1:9/metrics",
            data_dir=str(tmp_path),
        )
    )
    text = out.getvalue()
    assert "secret" not in text
    assert "http://127.0.0.1:9/metrics" in text
    for command in ("tail exits", "send workflow.enrollment.started --tenant demo", "tag_name="):
        assert command in text
    assert text.count(f"GOALD_DATA_DIR={tmp_path} ") == 3


def test_a_step_shows_its_elapsed_seconds_on_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_line, "REDRAW_S", 0.01)
    clock = Clock()
    console = TerminalConsole(out=terminal, clock=clock)
    console.step("starting Postgres")
    console.step("starting Ray")
    clock.now += 3.2
    deadline = time.monotonic() + DEADLINE_S
    while seen(terminal)[-1] != "  starting Ray ... 3 s":  # while the step is in progress
        assert time.monotonic() < deadline
        time.sleep(0.01)
    clock.now += 1
    console.problem("standby: instance h:1 is active")
    clock.now += 60
    console.tick(QUIET)
    assert seen(terminal) == [
        "  starting Postgres ...",
        "  starting Ray ... 4 s",
        "! standby: instance h:1 is active",
        live_line(QUIET),
    ]


@pytest.mark.parametrize("end", ["ready", "tick", "stopping", "end"])
def test_the_elapsed_seconds_end_with_the_step(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    before = threading.active_count()
    console = TerminalConsole(out=terminal, clock=Clock())
    console.step("starting Ray")
    calls = {
        "ready": lambda: console.ready(Instance("redis://h", "postgresql://h")),
        "tick": lambda: console.tick(QUIET),
        "stopping": lambda: console.stopping("on SIGTERM"),
        "end": console.end,
    }
    calls[end]()
    assert threading.active_count() == before
    assert seen(terminal)[0] == "  starting Ray ..."


def test_without_a_terminal_a_step_is_one_plain_line() -> None:
    out, clock = io.StringIO(), Clock()
    console = TerminalConsole(out=out, clock=clock)
    console.step("starting Ray")
    clock.now += 5
    console.step("starting actors")
    console.end()
    assert out.getvalue() == "  starting Ray ...\n  starting actors ...\n"


def test_stopping_erases_the_live_line(terminal: Terminal) -> None:
    console = TerminalConsole(out=terminal, clock=Clock())
    console.step("starting Postgres")
    console.tick(BUSY)
    console.problem("Redis is unreachable")
    console.stopping("on SIGTERM")
    assert seen(terminal) == [
        "  starting Postgres ...",
        "! Redis is unreachable",
        "Stopping on SIGTERM ...",
        "",
    ]


def test_the_last_line_reports_that_goald_has_stopped(terminal: Terminal) -> None:
    console = TerminalConsole(out=terminal, clock=Clock())
    console.stopping("on SIGINT")
    console.end()
    console.end()
    assert seen(terminal) == ["Stopping on SIGINT ...", "goald has stopped.", ""]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (None, ""),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("rediss://u:p%40@h/0", "rediss://u:***@h/0"),
        ("redis://:p@h/0", "redis://:***@h/0"),
        ("postgresql:///goald?host=/tmp&password=p", "postgresql:///goald?host=/tmp&password=***"),
        ("host=h password='a b' dbname=g", "host=h password=*** dbname=g"),
    ],
)
def test_passwords_in_addresses_are_masked(address: str | None, expected: str) -> None:
    assert masked(address) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("x"), 2),
        (errors.ServiceUnavailable("x"), 3),
        (ConnectionRefusedError("x"), 3),
        (errors.NotFound("x"), 1),
        (errors.StartError("x"), 1),
        (errors.InvalidFile("x"), 1),
        (KeyError("x"), 1),
    ],
)
def test_an_error_prints_one_line_and_returns_an_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOALD_LOG_LEVEL", raising=False)
    assert outcome.report(error) == code
    printed = capsys.readouterr().err
    assert printed.startswith("goald: ")
    assert printed.count("\n") == 1


def test_lost_connections_exit_with_the_retryable_code() -> None:
    import asyncpg
    from redis.exceptions import ConnectionError as RedisConnectionError

    assert outcome.code_of(RedisConnectionError("gone")) == 3
    assert outcome.code_of(asyncpg.InterfaceError("closed")) == 3


def test_a_rejected_login_names_the_setting_and_exits_with_the_code_of_wrong_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncpg
    from redis.exceptions import AuthenticationError

    monkeypatch.delenv("GOALD_LOG_LEVEL", raising=False)
    assert outcome.report(AuthenticationError("wrong password")) == 2
    assert "Redis rejects the login: the password is wrong" in capsys.readouterr().err
    assert outcome.report(asyncpg.InvalidPasswordError("failed for user u")) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("goald: Postgres rejects the login: failed for user u. Check user")
    assert "GOALD_POSTGRES_DSN" in printed


def test_debug_log_level_prints_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_LOG_LEVEL", "debug")
    try:
        raise errors.NotFound("nothing here")
    except errors.NotFound as error:
        outcome.report(error)
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Restore the configuration of the logs."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def logged(style: str, stream: io.StringIO) -> str:
    logs.configure("info", style, stream)
    log = structlog.get_logger("goald.test")
    log.debug("not expected")
    log.info("started", shards=2)
    return stream.getvalue()


@pytest.mark.usefixtures("logging_as_before")
def test_logs_are_json_without_a_terminal() -> None:
    line = json.loads(logged("auto", io.StringIO()))
    assert line["event"] == "started"
    assert (line["shards"], line["level"], line["logger"]) == (2, "info", "goald.test")
    assert datetime.fromisoformat(line["timestamp"]).tzinfo == UTC


@pytest.mark.usefixtures("logging_as_before")
def test_logs_are_text_on_a_terminal() -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", logged("auto", Terminal()))
    assert "started" in text
    assert "shards=2" in text


def test_a_real_terminal_has_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as out:
        assert Screen(out).has_live
    os.close(leader)
