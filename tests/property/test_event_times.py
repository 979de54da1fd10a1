"""A source reads times as the streams do (E20)."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from goald import _native
from goald.domain.times import parse_us, rfc3339
from goald.sources.bodies.json_text import read_json
from goald.sources.mapping.times import time_us_of

LAST_US = 253_402_300_799_999_999
UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
MATCHER = _native.Matcher()


def on_a_stream(time: str) -> int | None:
    """The time of an event, from the JSON of its attribute; None if the event is rejected."""
    event = (
        f'{{"id": "e", "source": "s", "type": "form.submitted", "time": {time}, "tenantid": "t", '
        '"data": {"contact_id": "c"}}'
    )
    try:
        explained = json.loads(MATCHER.explain(event.encode(), LAST_US))
    except ValueError:
        return None
    return parse_us(explained["event"]["time"])


def in_a_source(time: str, zone: ZoneInfo = UTC_ZONE) -> int | None:
    return time_us_of(read_json(time), zone)


moments = st.datetimes() | st.datetimes(
    datetime.fromisoformat("1969-12-31"), datetime.fromisoformat("2030-01-01")
)
"""Without a zone."""
offsets = st.sampled_from(
    [
        "Z",
        "z",
        " UTC",
        "UTC",
        " Z",
        "+00",
        "+0000",
        "-0530",
        " +02:00",
        "+23:59",
        "+24",
        "+1",
        "EST",
    ]
)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A date and time in a form in use, sometimes with a wrong character."""
    moment = draw(moments)
    text = f"{moment.date()}{draw(st.sampled_from('Tt _'))}{moment:%H:%M}"
    if draw(st.booleans()):
        text += f"{moment:%S}".rjust(3, ":")
        text += draw(st.sampled_from(["", ".5", ",25", ".", f".{moment:%f}", ".1234567890123"]))
    text += draw(offsets)
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.sampled_from("0 9-:.+Zé\u0663")) + text[at + 1 :]
    return text


numbers = (
    st.integers(-(10**19), 10**19)
    | st.sampled_from([0, 1, 99_999_999, 100_000_000, 10**11 - 1, 10**11, 10**14 - 1, 10**14])
    | st.integers(10**8, 10**16)
).map(str)
fractions = st.sampled_from(["", ".0", ".25", ".9999999", ".", "e3", "E+3", "e-3"])


@given(written())
@example("1970-01-01T00:00:00Z")
@example("0001-01-01T00:00:00Z")
@settings(deadline=None)
def test_a_source_reads_a_date_and_time_as_a_stream_does(text: str) -> None:
    quoted = json.dumps(text)
    assert in_a_source(quoted) == on_a_stream(quoted)


@given(numbers, fractions, st.sampled_from(["", "+", " "]))
@settings(deadline=None)
def test_a_source_reads_a_number_as_a_stream_does(whole: str, end: str, before: str) -> None:
    as_text = json.dumps(before.strip() + whole + end)
    assert in_a_source(as_text) == on_a_stream(as_text)
    if end not in {".", "e-3"}:  # JSON has no such number; a value with fewer digits
        assert in_a_source(whole + end) == on_a_stream(whole + end)


@given(moments, st.sampled_from(["T", " "]), st.booleans())
@settings(deadline=None)
def test_a_time_without_an_offset_is_refused_on_a_stream_and_has_the_zone_of_a_source(
    moment: datetime, separator: str, has_seconds: bool
) -> None:
    moment = moment.replace(microsecond=0, second=moment.second if has_seconds else 0)
    text = moment.isoformat(separator, "seconds" if has_seconds else "minutes")
    assert on_a_stream(json.dumps(text)) is None
    try:
        utc = moment.replace(tzinfo=BERLIN).astimezone(UTC)
        expected = (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except OverflowError:
        expected = None
    assert in_a_source(json.dumps(text), BERLIN) == expected
    assert in_a_source(json.dumps(text)) == on_a_stream(json.dumps(text + "Z"))


@given(st.integers(100_000_000_000_000, LAST_US))
@settings(deadline=None)
def test_a_time_that_goald_publishes_is_the_same_in_a_source(time_us: int) -> None:
    assert in_a_source(json.dumps(rfc3339(time_us))) == time_us == in_a_source(str(time_us))
