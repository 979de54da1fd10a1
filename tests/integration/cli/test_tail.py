"""`goald tail` over a real Redis, without a daemon."""

import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from tests.support.services.commands import GOALD, Ran, add_dead_letter, an_exit


def test_tail_from_start_prints_existing_entries_of_a_tenant(
    run: Callable[..., Ran], streams: Any
) -> None:
    streams.xadd("goald:exits", {"event": an_exit("c-1")})
    streams.xadd("goald:exits", {"event": an_exit("c-2", tenant="beta")})
    streams.xadd("goald:exits", {"event": an_exit("c-3")})
    ran = run("tail", "exits", "--from-start", "--count", "2", "--tenant", "acme", "--json")
    assert [line["data"]["contact_id"] for line in ran.lines] == ["c-1", "c-3"]
    output = run("tail", "exits", "--from-start", "--count", "3").out
    assert output.count("leaves nurture") == 3


def test_tail_follows_new_entries_and_exits_with_0_when_its_reader_exits(streams: Any) -> None:
    process = subprocess.Popen(
        [*GOALD, "tail", "notices", "--from-start", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    streams.xadd("goald:notices", {"event": '{"type": "one"}'})
    assert json.loads(process.stdout.readline()) == {"type": "one"}
    process.stdout.close()
    streams.xadd("goald:notices", {"event": '{"type": "two"}'})
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_tail_exits_with_130_on_ctrl_c(streams: Any) -> None:
    process = subprocess.Popen(
        [*GOALD, "tail", "exits", "--from-start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    streams.xadd("goald:exits", {"event": an_exit()})
    assert "leaves nurture" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")


def test_tail_prints_entries_that_are_not_events(run: Callable[..., Ran], streams: Any) -> None:
    streams.xadd("goald:exits", {"event": b"\xff\x00"})
    streams.xadd("goald:exits", {"other": "field"})
    add_dead_letter(streams, {"tenantid": 3})
    assert run("tail", "exits", "--from-start", "--count", "2").code == 0
    assert run("tail", "exits", "--from-start", "--count", "2", "--json").code == 0
    assert "it has no source" in run("tail", "dead", "--from-start", "--count", "1").out
