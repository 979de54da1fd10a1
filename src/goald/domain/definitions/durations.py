"""Durations in definitions: `90s`, `15m`, `2h`, `3d`, `1w`, and ISO 8601."""

import re
from typing import Final

SECOND_US: Final = 1_000_000
MAX_DURATION_US: Final = 3_660 * 86_400 * SECOND_US
"""Ten years."""
NOT_A_DURATION: Final = (
    "must be a duration, such as 90s, 15m, 2h, 3d, 1w, or PT36H in the form of ISO 8601"
)
NO_CALENDAR: Final = (
    "years and months have no fixed length: write the duration in days, such as 30d"
)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SHORT = re.compile(r"([0-9]{1,10})([smhdw])", re.ASCII)
_ISO = re.compile(
    r"P(?!$)(?:([0-9]{1,10})W)?(?:([0-9]{1,10})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,10})H)?(?:([0-9]{1,10})M)?(?:([0-9]{1,10})S)?)?",
    re.ASCII,
)
_CALENDAR = re.compile(r"P(?:[0-9]+[YWMD])*[0-9]+[YM].*", re.ASCII)


def duration_us(text: str) -> int:
    """Return a duration in microseconds: of elapsed time, so that a day has 24 hours. Raises
    ValueError, with a message for people, for other texts, and for a duration of 0 or of more than
    ten years."""
    if short := _SHORT.fullmatch(text):
        seconds = int(short[1]) * _SECONDS[short[2]]
    elif iso := _ISO.fullmatch(text):
        seconds = sum(
            int(number or 0) * _SECONDS[unit]
            for number, unit in zip(iso.groups(), "wdhms", strict=True)
        )
    elif _CALENDAR.fullmatch(text[:64]):
        raise ValueError(NO_CALENDAR)
    else:
        raise ValueError(NOT_A_DURATION)
    if not 0 < seconds * SECOND_US <= MAX_DURATION_US:
        raise ValueError("must be between 1 second and ten years")
    return seconds * SECOND_US
