"""When an instance is ready, by what its processes say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from goald.runtime.heartbeat.heartbeats import Heartbeat, not_ready, parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def said(role: str, index: int = 0, *, ago: float = 0.5, ready: bool = True) -> Heartbeat:
    urls = ("http://h:1", "http://h:2/metrics")
    expected = (1, 2, *urls) if role == "supervisor" else (None, None)
    at = NOW - timedelta(seconds=ago)
    return Heartbeat(role, index, 7, "host", NOW, at, ready, (), *expected)


ALL = [said("supervisor"), said("consumer"), said("shard", 0), said("shard", 1)]


def test_all_there_and_ready() -> None:
    assert not_ready(ALL, NOW) == []


def test_nothing_was_ever_heard() -> None:
    assert not_ready([], NOW) == ["supervisor 0 was never heard of"]


def test_a_process_that_was_never_heard_of_is_named() -> None:
    assert not_ready(ALL[:-1], NOW) == ["shard 1 was never heard of"]


def test_a_process_that_fell_silent_is_named() -> None:
    assert not_ready([*ALL[:-1], said("shard", 1, ago=8)], NOW) == [
        "shard 1 was last heard of 8 s ago"
    ]


def test_a_process_that_is_still_loading_is_named() -> None:
    assert not_ready([*ALL[:-1], said("shard", 1, ready=False)], NOW) == [
        "shard 1 is not ready yet"
    ]


def test_a_process_that_is_not_ready_says_why() -> None:
    waiting = replace(said("shard", 1, ready=False), not_ready_reason="it takes its slots")
    assert not_ready([*ALL[:-1], Heartbeat.from_json(waiting.to_json())], NOW) == [
        "shard 1 is not ready: it takes its slots"
    ]


def test_a_process_of_an_earlier_larger_run_does_not_count() -> None:
    assert not_ready([*ALL, said("shard", 2, ago=900)], NOW) == []


def test_a_clock_that_is_ahead_makes_nobody_younger_than_now() -> None:
    assert said("shard", ago=-3).age_s(NOW) == 0


def test_a_heartbeat_comes_back_from_json_as_it_was() -> None:
    for heartbeat in ALL:
        assert Heartbeat.from_json(heartbeat.to_json()) == heartbeat


def test_what_another_release_wrote_is_passed_over() -> None:
    values: list[str | bytes] = [
        b"{}",
        b"nonsense",
        b"[1]",
        b'{"role": "shard", "index": null}',
        ALL[0].to_json(),
    ]
    assert parse(values) == [ALL[0]]


@pytest.mark.parametrize("text", ["{}", "3", '{"role": "shard"}'])
def test_what_is_no_heartbeat_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a heartbeat"):
        Heartbeat.from_json(text)
