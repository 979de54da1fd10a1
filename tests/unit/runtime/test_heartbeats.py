"""An instance is ready if its supervisor and every process that it started are ready."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from goald.adapters.redis.process_registry import decode, decode_all, encode
from goald.ports.process_registry import Heartbeat
from goald.runtime.heartbeat.readiness import not_ready_reasons

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def heartbeat(role: str, index: int = 0, *, age: float = 0.5, ready: bool = True) -> Heartbeat:
    urls = ("http://h:1", "http://h:2/metrics")
    expected = (1, 2, *urls) if role == "supervisor" else (None, None)
    at = NOW - timedelta(seconds=age)
    return Heartbeat(role, index, 7, "host", NOW, at, ready, (), *expected)


ALL = [heartbeat("supervisor"), heartbeat("consumer"), heartbeat("shard", 0), heartbeat("shard", 1)]


def test_an_instance_is_ready_if_every_process_is() -> None:
    assert not_ready_reasons(ALL, NOW) == []


def test_without_a_supervisor_the_only_reason_is_that_goald_is_not_running() -> None:
    for processes in ([], ALL[1:]):
        assert not_ready_reasons(processes, NOW) == [
            "goald serve is not running: its supervisor has sent no heartbeat"
        ]


def test_a_silent_supervisor_is_the_only_reason() -> None:
    silent = [replace(each, at=NOW - timedelta(seconds=90)) for each in ALL]
    assert not_ready_reasons(silent, NOW) == ["supervisor 0: no heartbeat for 90 s"]


def test_a_process_without_a_heartbeat_is_named() -> None:
    assert not_ready_reasons(ALL[:-1], NOW) == ["shard 1: no heartbeat yet"]


def test_a_process_whose_heartbeat_is_old_is_named() -> None:
    assert not_ready_reasons([*ALL[:-1], heartbeat("shard", 1, age=8)], NOW) == [
        "shard 1: no heartbeat for 8 s"
    ]


def test_a_worker_of_the_instance_must_be_ready_and_others_need_not() -> None:
    supervisor = replace(ALL[0], workers=1)
    assert not_ready_reasons([decode(encode(supervisor)), *ALL[1:]], NOW) == [
        "worker 0: no heartbeat yet"
    ]
    workers = [heartbeat("worker"), heartbeat("worker", 100, age=90)]
    assert not_ready_reasons([supervisor, *ALL[1:], *workers], NOW) == []


def test_a_process_that_is_loading_is_named() -> None:
    assert not_ready_reasons([*ALL[:-1], heartbeat("shard", 1, ready=False)], NOW) == [
        "shard 1: starting"
    ]


def test_the_reason_of_a_process_is_part_of_its_heartbeat() -> None:
    waiting = replace(heartbeat("shard", 1, ready=False), not_ready_reason="taking its slots")
    assert not_ready_reasons([*ALL[:-1], decode(encode(waiting))], NOW) == [
        "shard 1: taking its slots"
    ]


def test_a_shard_comes_before_the_consumer_that_waits_for_it() -> None:
    consumer = replace(heartbeat("consumer", ready=False), not_ready_reason="waiting for shard 0")
    shard = replace(heartbeat("shard", ready=False), not_ready_reason="cannot commit")
    assert not_ready_reasons([ALL[0], consumer, shard, ALL[3]], NOW) == [
        "shard 0: cannot commit",
        "consumer 0: waiting for shard 0",
    ]


def test_a_process_of_an_earlier_larger_run_does_not_count() -> None:
    assert not_ready_reasons([*ALL, heartbeat("shard", 2, age=900)], NOW) == []


def test_a_heartbeat_from_a_clock_that_is_ahead_has_age_zero() -> None:
    assert heartbeat("shard", age=-3).age_s(NOW) == 0


def test_a_decoded_heartbeat_equals_the_encoded_one() -> None:
    for each in ALL:
        assert decode(encode(each)) == each


def test_values_of_another_release_are_ignored() -> None:
    values: list[str | bytes] = [
        b"{}",
        b"nonsense",
        b"[1]",
        b'{"role": "shard", "index": null}',
        encode(ALL[0]),
    ]
    assert decode_all(values) == [ALL[0]]


@pytest.mark.parametrize("text", ["{}", "3", '{"role": "shard"}'])
def test_decoding_something_else_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a heartbeat"):
        decode(text)
