"""Times in the bodies of requests: RFC 3339, as in events."""

import pytest
from pydantic import TypeAdapter, ValidationError

from goald.api.models.requests import StrictTimeUs

times: TypeAdapter[int] = TypeAdapter(StrictTimeUs)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000_000),
        ("2026-01-01t01:00:00.25+01:00", 1_767_225_600_250_000),
        ("2026-01-01t00:00:00z", 1_767_225_600_000_000),
    ],
)
def test_rfc_3339_is_accepted(text: str, us: int) -> None:
    assert times.validate_python(text, strict=True) == us


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00",
        "20260101T000000Z",
        "2026-W01-4T00:00:00Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+01:00:30",
        "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "２026-01-01T00:00:00Z",
        1_767_225_600,
        None,
    ],
)
def test_other_formats_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="must be a time with an offset"):
        times.validate_python(value, strict=True)
