"""What is known of effort, in words for commands, status and report."""

from __future__ import annotations

from active_learning.effort import LONGEST_S
from backend.pipeline.quality.effort import ProjectEffort, SavedTime
from backend.settings.duration import say_duration
from domain.text import counted


def saved_words(saved_s: float, from_scratch_s: float, n_drawn: int) -> str:
    """``saved 3h of 5h (60%), by ...``: what predictions saved, and by what it is known.

    Args:
        saved_s: Seconds; below 0 where correcting took longer.
        from_scratch_s: Seconds that drawing would have taken, above 0.
        n_drawn: As in ``SavedTime``.
    """
    by = (
        f"by the times of {counted(n_drawn, 'annotation')} drawn from nothing"
        if n_drawn
        else "by assumed times of clicks"
    )
    if saved_s < 0:
        return (
            f"correcting took {say_duration(-saved_s)} longer than drawing anew "
            f"({say_duration(from_scratch_s)}), {by}"
        )
    share = saved_s / from_scratch_s
    return f"saved {say_duration(saved_s)} of {say_duration(from_scratch_s)} ({share:.0%}), {by}"


def time_in_words(time: SavedTime) -> str:
    """``saved_words`` with the interval, and over how many annotations; ends a sentence."""
    words = saved_words(time.saved_s, time.from_scratch_s, time.n_drawn)
    if time.low_share is not None and time.high_share is not None:
        words += f"; saved share {time.low_share:.0%} to {time.high_share:.0%} (90 % interval)"
    words += f"; over {counted(time.n, 'annotation')} that began with a prediction"
    if time.n_timed < time.n:
        words += f", of which Label Studio's clock timed {time.n_timed}"
    return f"{words}."


def drawn_in_words(found: ProjectEffort) -> str:
    """``10 annotations were drawn from nothing``, and why not all say how long drawing takes."""
    words = f"{counted(found.n_drawn, 'annotation was', 'annotations were')} drawn from nothing"
    n_untimed = found.n_drawn - found.saved.n_drawn if found.saved and found.saved.n_drawn else 0
    if n_untimed:
        words += (
            f", {n_untimed} of them without a time that says how long drawing takes: Label Studio "
            f"counted none or more than {say_duration(LONGEST_S)}, or nothing is drawn in it"
        )
    return words
