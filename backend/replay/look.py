"""Look: what a committee says of one image, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass

from training.evaluation import ClassDice


@dataclass(frozen=True, slots=True)
class Look:
    """One image.

    Attributes:
        dice: Class -> Dice with the truth in [0, 1], None where it is absent from both.
        measures: Image measures by name, as strategies know them.
        shares: Of the pixels, that are predicted as each foreground class.
    """

    dice: ClassDice
    measures: dict[str, float]
    shares: tuple[float, ...]
