"""`goald tail` and `goald dead`, over a real Redis and no daemon."""

import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from tests.support.services.commands import GOALD, Ran, add_dead_letter, an_exit, events_in


def test_tail_prints_what_is_there_from_the_start(run: Callable[..., Ran], streams: Any) -> None:
    streams.xadd("goald:exits", {"event": an_exit("c-1")})
    streams.xadd("goald:exits", {"event": an_exit("c-2", tenant="beta")})
    streams.xadd("goald:exits", {"event": an_exit("c-3")})
    ran = run("tail", "exits", "--from-start", "--count", "2", "--tenant", "acme", "--json")
    assert [line["data"]["contact_id"] for line in ran.lines] == ["c-1", "c-3"]
    shown = run("tail", "exits", "--from-start", "--count", "3").out
    assert shown.count("leaves nurture") == 3


def test_tail_follows_and_ends_well_when_its_reader_does(streams: Any) -> None:
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


def test_a_table_may_be_cut_off_by_its_reader(streams: Any) -> None:
    for number in range(2_000):
        add_dead_letter(streams, {"id": number}, reason="long " * 100)
    command = f"{' '.join(GOALD)} dead list --count 2000 | head -1"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("id")


def test_tail_ends_with_130_on_ctrl_c(streams: Any) -> None:
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


def test_tail_survives_entries_that_are_no_events(run: Callable[..., Ran], streams: Any) -> None:
    streams.xadd("goald:exits", {"event": b"\xff\x00"})
    streams.xadd("goald:exits", {"other": "field"})
    add_dead_letter(streams, {"tenantid": 3})
    assert run("tail", "exits", "--from-start", "--count", "2").code == 0
    assert run("tail", "exits", "--from-start", "--count", "2", "--json").code == 0
    assert "it has no source" in run("tail", "dead", "--from-start", "--count", "1").out


def test_dead_letters_are_listed_shown_and_sent_again(
    run: Callable[..., Ran], streams: Any
) -> None:
    event = {"tenantid": "acme", "data": {"contact_id": "c-1"}}
    letter = add_dead_letter(streams, event)
    [listed] = run("dead", "list", "--json").json
    assert (listed["id"], listed["reason"], listed["delivery_attempts"]) == (
        letter,
        "it has no source",
        1,
    )
    assert "it has no source" in run("dead", "list").out
    assert json.loads(run("dead", "show", letter, "--json").json["event"]) == event
    assert "goald:events:1" in run("dead", "show", letter).out
    assert run("dead", "replay", letter).code == 0
    assert events_in(streams) == [event]
    assert streams.xlen("goald:dead") == 0


def test_dead_replay_of_all_takes_each_once(run: Callable[..., Ran], streams: Any) -> None:
    for number in range(1_100):
        add_dead_letter(streams, {"id": number})
    assert run("dead", "replay", "--all", "--json").json == {"replayed": 1_100, "not_found": []}
    assert streams.xlen("goald:events:1") == 1_100


def test_a_dead_letter_that_is_not_there_is_an_error(run: Callable[..., Ran], streams: Any) -> None:
    for command in ("show", "replay"):
        ran = run("dead", command, "1-1")
        assert ran.code == 1
        assert "no dead letter 1-1" in ran.err


def test_dead_purge_throws_away_only_what_is_named(run: Callable[..., Ran], streams: Any) -> None:
    for number in range(5):
        add_dead_letter(streams, {"id": number})
    assert run("dead", "purge").code == 2
    assert run("dead", "replay").code == 2
    assert run("dead", "purge", "--older-than", "1", "--json").json == {"purged": 0}
    assert run("dead", "purge", "--count", "2", "--json").json == {"purged": 2}
    assert run("dead", "purge", "--all", "--json").json == {"purged": 3}
