from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.settings.duration import parse_duration, say_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1H 30M", 5400),
        ("1.5h", 5400),
        ("2h", 7200),
        ("600", 600),
        ("1m30", 90),
    ],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "10 minutes", "-5m", "30m1h", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0s"),
        (59, "59s"),
        (60, "1m"),
        (88, "1m28s"),
        (90, "1m30s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (3599, "1h"),
        (5400, "1h30m"),
        (7200, "2h"),
        (90_000, "25h"),
    ],
)
def test_what_people_read(seconds: float, text: str) -> None:
    assert say_duration(seconds) == text


@given(st.integers(1, 200_000))
def test_what_is_said_can_be_written(seconds: int) -> None:
    assert parse_duration(say_duration(seconds)) == pytest.approx(seconds, rel=0.06)
