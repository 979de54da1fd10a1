"""Times are read in the forms that providers use (E20)."""

from zoneinfo import ZoneInfo

import pytest
from tests.support.sources.payloads import NOW_US, delivery

from goald.sources.compiled import compile_source
from goald.sources.mapping.results import MappingResult
from goald.sources.mapping.times import time_us_of

BERLIN = ZoneInfo("Europe/Berlin")
T_US = 1_769_850_000_000_000
"""2026-01-31T09:00:00Z."""


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T09:00:00Z",
        "2026-01-31T09:00:00.000Z",
        "2026-01-31T09:00:00.000000000Z",
        "2026-01-31 09:00:00 UTC",
        "2026-01-31T09:00Z",
        "2026-01-31T10:00:00+01:00",
        "2026-01-31T10:00:00+0100",
        "2026-01-31T10:00:00+01",
        "2026-01-31T10:00:00",
        "2026-01-31 10:00",
        " 2026-01-31t09:00:00z ",
        1_769_850_000,
        1_769_850_000_000,
        1_769_850_000_000_000,
        "1769850000",
        "1769850000000",
    ],
)
def test_a_time_in_use_is_read(text: object) -> None:
    assert time_us_of(text, BERLIN) == T_US


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-01-31",
        "0001-01-01T00:00:00+23:00",
        "2026-01-31T09:00:00+99:00",
        "٢٠٢٦-01-31T09:00:00Z",
        "9" * 30,
        0,
        -5,
        99_999_999,
        "+1769850000",
        "1.76985e9",
        None,
        True,
        [],
    ],
)
def test_no_other_text_is_taken_for_a_time(text: object) -> None:
    assert time_us_of(text, BERLIN) is None


def test_a_fraction_keeps_its_microseconds() -> None:
    assert time_us_of("2026-01-31T09:00:00.1234567Z", BERLIN) == T_US + 123_456


def _mapped(body: bytes, **document: object) -> MappingResult:
    rule = {"when": "`true`", "type": "form.submitted", "time": "body.at"}
    source = compile_source("custom", {"events": {"form": rule}} | document)
    return source.map(delivery(body), "d-1")


def test_a_time_without_a_zone_is_in_the_zone_of_the_source() -> None:
    result = _mapped(b'{"at": "2026-01-31 10:00:00"}', time_zone="Europe/Berlin")
    assert result.events[0].time_us == T_US


def test_the_arrival_counts_for_no_time_a_false_one_and_one_in_the_future() -> None:
    assert _mapped(b"{}").events[0].time_us is None
    assert _mapped(b"{}").notes == ()
    assert _mapped(b'{"at": "soon"}').events[0].time_us is None
    assert "cannot be read" in _mapped(b'{"at": "soon"}').notes[0]
    ahead = _mapped(b'{"at": %d}' % ((NOW_US + 2 * 86_400_000_000) // 1_000_000))
    assert ahead.events[0].time_us is None, "the stream would refuse the event"
    assert "too far" in ahead.notes[0]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1970-01-01 00:00", "1969-12-31T23:59Z"])
def test_a_placeholder_for_no_time_is_the_arrival(text: str) -> None:
    result = _mapped(b'{"at": "%s"}' % text.encode())
    assert result.events[0].time_us is None, "the event would count for no enrollment"
    assert "not after 1970" in result.notes[0]


def test_a_source_may_bound_the_deviation_from_the_arrival() -> None:
    old = b'{"at": "2026-01-31T09:00:00Z"}'
    assert _mapped(old).events[0].time_us == T_US
    assert _mapped(old, max_deviation_seconds=86_400).events[0].time_us is None
