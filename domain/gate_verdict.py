"""What was found when two versions were compared, and what the gate made of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClassComparison:
    """One class of two versions. Dice in [0, 1]; ``difference`` is challenger minus champion.

    Each side's Dice is its mean over the cases that say something about the class for that side
    (``training.evaluation.dice``): the figure that is reported everywhere else. None where no case
    does; then there is no difference either.

    ``n_cases`` say something for at least one side and are paired. Where a class is truly absent
    and one side alone predicted it, that side has 0 and the other says nothing. Leaving the case
    out would hide what was invented, counting 1 for the silent side would reward it for nothing; it
    is given its own mean, as if the case were one more like its others. So the mean of the pairs is
    exactly the difference of the two means. In ``n_alike`` cases neither has the class.

    ``low`` and ``high`` bound the difference, each one-sided; None with fewer than 2 groups.
    """

    name: str
    challenger: float | None
    champion: float | None
    difference: float | None
    low: float | None
    high: float | None
    n_cases: int
    n_alike: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions on the cases both were measured on, in the classes that both know.

    ``challenger`` and ``champion`` are means of ``image_dice`` over the images that show something:
    all but the ``n_empty`` in which none of the classes truly is, and of which each side rightly
    left some empty. Averaging those in, as the 1 that they are by themselves, would water down what
    is lost on the others: with 30 empty images among 34, a loss of 0.05 would be one of 0.006.
    Leaving them out would hide what was seen where nothing is. So ``difference`` is a sum: the
    difference of the two means, and the difference of the empty images left empty as a share of all
    images (a false alarm in one image of 50 costs 0.02). Where no image shows anything, the means
    are the shares left empty. (An empty image in which both saw the same class can't be told from
    one in which both missed it: it counts as showing something, with 0 on both sides.)

    ``n_groups`` is what was resampled. ``not_compared`` are classes that one side alone knows.
    """

    challenger: float
    champion: float
    difference: float
    low: float | None
    high: float | None
    n_cases: int
    n_groups: int
    classes: tuple[ClassComparison, ...]
    n_empty: int = 0
    challenger_left_empty: int = 0
    champion_left_empty: int = 0
    not_compared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer and its numbers.

    ``challenger`` and ``champion`` are mean Dice on the cases both were measured on, as in
    ``Comparison``; ``champion`` and ``difference`` are None when nothing could be compared,
    ``challenger`` too when it was not measured. ``low`` and ``high`` are the one-sided 95 % bounds
    of the difference.
    """

    is_promoted: bool
    challenger: float | None
    champion: float | None
    n_cases: int
    margin: float
    reason: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_groups: int = 0
    classes: tuple[ClassComparison, ...] = field(default=())
    n_empty: int = 0
    challenger_left_empty: int = 0
    champion_left_empty: int = 0
