"""Why a prediction is where it is in the order: one short line for who is about to correct it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from active_learning.measures import ClassMeasures, ImageMeasures

FEW = 5
"""Cases with a class below which its rarity is the first thing to know."""

NEARLY = 0.2
"""Probability from which an absent class may be there after all."""

LEAST_LOSS = 0.1
"""What folds, or probabilities, lack to certainty before it is worth a word."""


class Reason(NamedTuple):
    """Why, as a line without a full stop, and the class that it is about; "" = the whole image."""

    line: str
    class_value: str

    @property
    def note(self) -> str:
        """The line as a sentence."""
        return f"{self.line[:1].upper()}{self.line[1:]}."


def why(
    measures: ImageMeasures,
    cases_of_class: Mapping[str, int] | None = None,
    *,
    is_unlike: bool = False,
) -> Reason | None:
    """What about a prediction is least certain; None where nothing stands out.

    >>> lumen = ClassMeasures(0.1, 0.99, 0.97, 0.95)
    >>> wall = ClassMeasures(0.1, 0.8, 0.7, 0.4)
    >>> why(ImageMeasures(5, 0.8, 0.7, 0.0, 0.0, 0.0, 0.0, {"lumen": lumen, "wall": wall}))
    Reason(line='folds disagree on wall', class_value='wall')

    Args:
        measures: Of the prediction.
        cases_of_class: Class -> cases it was trained on that show it; None where that is not known.
        is_unlike: Whether the image is unlike those with labels (``LabelledLooks``).

    Returns:
        In the names that the version was trained on.
    """
    seen = {name: one for name, one in measures.classes.items() if one.share > 0}
    known = cases_of_class or {}
    rare = [name for name in seen if known.get(name, FEW) < FEW]
    if rare:
        name = min(rare, key=lambda name: (known[name], name))
        return Reason(f"class {name} seen {_times(known[name])}", name)
    if is_unlike:
        return Reason("unlike anything labelled", "")
    losses = {name: _losses(one) for name, one in measures.classes.items()}
    name = max(sorted(losses), key=lambda name: max(losses[name]), default="")
    if not name or max(losses[name]) < LEAST_LOSS:
        return None
    disagreement, doubt = losses[name]
    if name not in seen:
        return Reason(f"maybe {name}, which is not drawn", name)
    compared = "folds" if measures.n_folds > 1 else "mirror images"
    what = f"{compared} disagree on" if disagreement >= doubt else "unsure about"
    return Reason(f"{what} {name}", name)


_NOTES = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"(Class )(.+)( seen (?:never|once|twice|\d+ times)\.)",
        r"((?:Folds|Mirror images) disagree on )(.+)(\.)",
        r"(Unsure about )(.+)(\.)",
        r"(Maybe )(.+)(, which is not drawn\.)",
    )
)
"""``Reason.note`` of each line that names a class: before it, the class, after it."""


def note_in_names_of(note: str, rename: Callable[[str], str | None]) -> str | None:
    """A note, kept since a version was trained, with the name that its class has now.

    >>> note_in_names_of("Unsure about wall.", {"wall": "vessel wall"}.get)
    'Unsure about vessel wall.'

    Args:
        note: ``Reason.note``, or anything else, which comes back as it is.
        rename: Says what a class is called now; None for one that nobody knows any more.

    Returns:
        None where the note is about such a class: it means nothing to anybody.
    """
    for pattern in _NOTES:
        if found := pattern.fullmatch(note):
            before, name, after = found.groups()
            now = rename(name)
            return None if now is None else f"{before}{now}{after}"
    return note


def _losses(one: ClassMeasures) -> tuple[float, float]:
    """What folds lack to agreement, and probabilities to certainty, on a class."""
    disagreement = 0.0 if one.pairwise_dice is None else 1.0 - one.pairwise_dice
    if one.soft_dice is not None:
        return disagreement, 1.0 - one.soft_dice
    # Nowhere the most probable: what matters is how near it came.
    return 0.0, one.highest if one.highest >= NEARLY else 0.0


def _times(n: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n} times")
