"""Durations of definitions."""

import pytest

from goald.domain.definitions.durations import duration_us

MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90s", 1.5),
        ("15m", 15),
        ("2h", 120),
        ("3d", 4_320),
        ("1w", 10_080),
        ("PT90S", 1.5),
        ("PT36H", 2_160),
        ("P1D", 1_440),
        ("P1W", 10_080),
        ("P1DT2H30M", 1_590),
        ("3660d", 5_270_400),
    ],
)
def test_a_duration_is_elapsed_time(text: str, minutes: float) -> None:
    assert duration_us(text) == minutes * MINUTE


@pytest.mark.parametrize(
    "text",
    ["", "2", "h", "2 h", "2H", "-2h", "1.5h", "1h30m", "P", "PT", "P1DT", "PT1.5H", "٣d", "3d\n"],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        duration_us(text)


@pytest.mark.parametrize("text", ["P1Y", "P1M", "P1Y2M3DT4H", "P2M1D"])
def test_years_and_months_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no fixed length"):
        duration_us(text)


@pytest.mark.parametrize("text", ["0s", "PT0S", "P0D", "3661d", "9999999999w"])
def test_durations_are_limited(text: str) -> None:
    with pytest.raises(ValueError, match="between 1 second and ten years"):
        duration_us(text)
