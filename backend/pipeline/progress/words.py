"""What the learning curve says, in sentences for status and report."""

from __future__ import annotations

from active_learning.learning_curve import SURE, Forecast
from backend.pipeline.progress.learning import Learning
from domain.text import counted

THIN = "two versions tell little: a third will tell more"


def learning_in_words(learning: Learning) -> str:
    """What there is, what more labels would give, and whether it is enough; in one line."""
    now = learning.now
    if now is None:
        return f"nothing to tell yet: {learning.missing}"
    words = (
        f"mean Dice per image {now.quality:.3f} on the {counted(learning.n_cases, 'case')} that "
        f"{now.name} held out, at {counted(now.labels, 'label')}"
    )
    if learning.missing:
        words += f"; what more would give can't be told yet: {learning.missing}"
    if learning.gains:
        gains = [gain_in_words(gain) for gain in learning.gains.values()]
        first, *others = map(str, learning.gains)
        words += f"; {first} more probably add {gains[0]}"
        words += "".join(f", {n} {text}" for n, text in zip(others, gains[1:], strict=True))
        if learning.is_thin:
            words += f" ({THIN})"
    if learning.enough is not None:
        words += f". Enough: {learning.enough.reason}"
    elif learning.unjudged:
        words += f". Not judged yet: {learning.unjudged}"
    elif learning.is_asked:
        words += f". {not_enough(learning)}"
    return words


def not_enough(learning: Learning) -> str:
    """Why labels are not enough yet by what was set, without a full stop."""
    words = "Labels are not enough yet by what was set"
    if learning.target is None or learning.chance is None:
        return f"{words}: an hour of labelling may still add as much"
    if learning.chance >= SURE:
        return f"{words}: on images that chance drew, less than {learning.target:g} is reached"
    chance = "below 1%" if learning.chance < 0.01 else f"{learning.chance:.0%}"
    return (
        f"{words}: a mean Dice of {learning.target:g} or more has a probability of {chance}, and "
        f"{SURE:.0%} are needed"
    )


def gain_in_words(gain: Forecast) -> str:
    """``0.012 (0.002 to 0.031)``."""
    return f"{gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"
