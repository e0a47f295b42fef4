"""How far a project was read by Label Studio's times, and when that is not to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from backend.label_studio import ProjectInfo
from backend.store.models import ProjectRow
from backend.store.tasks.readings import UNANSWERED, ReadingRow

OVERLAP_S = 60.0
"""What has changed is asked for again until so long after it was seen first, and once at least:
changes show when they are stored, which may be later than their time, and out of order."""

CLOCK_S = 30.0
"""By so much Label Studio's clock may move against ours before one of them counts as set: less than
``OVERLAP_S``, and more than an answer takes on a busy machine."""

QUIET_S = 600.0
"""An error alone has all read no sooner than so long after the last time: a Label Studio that has
too much to do is not given more."""

# The times of HTTP are whole seconds, and the answer takes a moment.
_SLACK_S = 2.0


def keys_text(image_keys: Sequence[str] | None) -> str:
    """The fields of the images as a row keeps them; of an interface that can't be read none."""
    return "\n".join(image_keys or ())


def why_all(
    row: ReadingRow | None,
    project: ProjectRow,
    info: ProjectInfo,
    image_keys: Sequence[str] | None,
    now: float,
) -> str:
    """Why all tasks have to be read, and not what has changed alone; "" when nothing speaks for it.

    Args:
        row: How far the project was read; None: never.
        project: As it was read last.
        info: Label Studio's, as it is now.
        image_keys: The fields of its images now.
        now: Our clock when ``info`` came.
    """
    if row is None or not row.read_all_at:
        return "it was never read"
    if info.label_config != project.label_config or row.image_keys != keys_text(image_keys):
        return "its labelling interface or its channels were changed"
    ahead = clock_ahead(info, now)
    before = row.clock_ahead_s
    if ahead is not None and before is not None and abs(ahead - before) > CLOCK_S:
        return "a clock was set"
    limit = _text(datetime.fromtimestamp(_clock_of(info, now) + _SLACK_S, UTC))
    if is_later(latest(row.read_to, row.seen_to), limit):
        # Ours and Label Studio's, say: they are one machine's. What is changed from now on has an
        # earlier time than what was read.
        return "clocks were set back"
    if row.doubt == UNANSWERED and 0.0 <= now - row.read_all_at < QUIET_S:
        return ""
    return row.doubt


def clock_ahead(info: ProjectInfo, now: float) -> float | None:
    """By how many seconds Label Studio's clock is ahead of ours; None where it does not say."""
    return None if info.answered_at is None else info.answered_at - now


def is_later(text: str, than: str) -> bool:
    """Whether one of Label Studio's times is later than another; "" is before all."""
    if not text or not than:
        return bool(text)
    return datetime.fromisoformat(text) > datetime.fromisoformat(than)


def latest(first: str, second: str) -> str:
    """The later one of two of Label Studio's times."""
    return second if is_later(second, first) else first


def earlier(text: str, seconds: float) -> str:
    """A time of Label Studio's so much earlier; of "" it is ""."""
    return _text(datetime.fromisoformat(text) - timedelta(seconds=seconds)) if text else ""


def capped(text: str, info: ProjectInfo, now: float) -> str:
    """A time of Label Studio's, or what its clock says now where the time is still to come.

    A clock that was ahead leaves such times. To read from one of them on would hide what is changed
    until then.
    """
    at = datetime.fromtimestamp(_clock_of(info, now), UTC)
    if text and datetime.fromisoformat(text) > at + timedelta(seconds=_SLACK_S):
        return _text(at)
    return text


def advance(row: ReadingRow, newest: str, began_at: float, now: float) -> None:
    """Takes over what a reading has seen.

    Args:
        row: Its ``read_to`` becomes what an earlier reading had seen, if this one, which asked from
            ``read_to`` on, began ``OVERLAP_S`` later or more.
        newest: The latest change it has seen, not after Label Studio's time; "" without one.
        began_at: When it began, by our clock.
        now: Our clock, after the last answer.
    """
    row.seen_at = min(row.seen_at, now)  # our clock was set back
    if row.seen_to and began_at - row.seen_at >= OVERLAP_S:
        row.read_to, row.seen_to = latest(row.read_to, row.seen_to), ""
    if not row.seen_to and is_later(newest, row.read_to):
        row.seen_to, row.seen_at = newest, now


def _clock_of(info: ProjectInfo, now: float) -> float:
    """What Label Studio's clock says, as far as is known."""
    return now if info.answered_at is None else info.answered_at


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
