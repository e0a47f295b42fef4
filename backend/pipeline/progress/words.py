"""What the learning curve says, in sentences for status and report."""

from __future__ import annotations

from active_learning.learning_curve import Forecast
from backend.pipeline.progress.learning import Learning
from domain.text import counted


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
    if learning.enough is not None:
        words += f". Enough: {learning.enough.reason}"
    elif learning.unjudged:
        words += f". Not judged yet: {learning.unjudged}"
    return words


def gain_in_words(gain: Forecast) -> str:
    """``0.012 (0.002 to 0.031)``."""
    return f"{gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"
