"""From measured pools to figures: a queue's corrections played back, and what the scores said."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from active_learning.calibration import (
    PRIOR,
    Calibration,
    Pair,
    Prior,
    fit,
    pool_weights,
)
from active_learning.reliability import reliability
from domain.reliability import Reliability

CORRECTIONS = (0, 10, 30, 60)

BATCH, AT_RANDOM = 10, 1
"""Tasks that people take from the queue before it is ordered anew, and of them drawn at random."""

N_JUDGED = 40
"""Images of a pool that no correction is made of: on these the scores are judged."""

SPLITS = 20
"""Ways of parting a pool in judged and corrected; figures are means over them."""

MEASURES = ("soft_dice", "pairwise_dice", "entropy", "entropy_band", "information_band")
_RISING = ("soft_dice", "pairwise_dice")
"""Measures that are high where a prediction is good; the others are turned round to rank by."""

_WEAK = Prior((0.0, 1.0, 0.0, 0.0), (3.0, 1.0, 3.0, 3.0), PRIOR.dispersion, PRIOR.residuals)
"""Lets a project say what it wants to, without running away where it has nothing to say."""

_LEAST_SD = (0.2, 0.1, 0.2, 0.5)
"""A handful of sets can't say that projects differ by less."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a pool: what the committee said of it, and the truth."""

    soft_dice: float
    pairwise_dice: float
    entropy: float
    entropy_band: float
    information_band: float
    is_empty: bool
    dice: float

    @property
    def pair(self) -> Pair:
        """As a correction of it would be stored."""
        return Pair(self.soft_dice, self.dice, is_empty=self.is_empty)


@dataclass(frozen=True, slots=True)
class Measured:
    """One trained committee.

    Attributes:
        data: Name of the set.
        labels: Images it was trained on.
        seed: Of their choice and of the training.
        cap: The most its working resolution can reach.
        held_out: Soft and true Dice, and emptiness, of its training cases by the folds that held
            them out.
        pool: The other images of the set.
        alone: The same by its first network alone, compared with itself on mirrored images.
    """

    data: str
    labels: int
    seed: int
    cap: float
    held_out: tuple[tuple[float, float, bool], ...]
    pool: tuple[Image, ...]
    alone: tuple[Image, ...] = ()

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Measured:
        """From a line of the results."""
        return cls(
            row["data"],
            row["labels"],
            row["seed"],
            row["cap"],
            tuple((soft, dice, empty) for soft, dice, empty in row["held_out"]),
            tuple(Image(**image) for image in row["pool"]),
            tuple(Image(**image) for image in row.get("alone", ())),
        )

    @property
    def single_pairs(self) -> list[Pair]:
        """Of the held-out cases."""
        return [Pair(soft, dice, True, empty) for soft, dice, empty in self.held_out]


def summarise(found: Sequence[Measured]) -> dict[str, Any]:
    """All figures; each set is judged with a prior that the other sets alone have taught.

    Returns:
        ``datasets`` (name -> corrections -> figure), ``measures`` (name -> measure -> figure, of
        whole pools), ``alone`` (the same of single networks), ``seeds`` (name -> trained
        committees) and ``prior``, of all sets.
    """
    names = list(dict.fromkeys(one.data for one in found))
    datasets: dict[str, Any] = {}
    for name in names:
        prior = learnt([one for one in found if one.data != name])
        own = [one for one in found if one.data == name]
        by_n: dict[int, list[Reliability]] = {}
        for one in own:
            for split in range(SPLITS):
                for n, figures in _played_back(one, prior, split).items():
                    by_n.setdefault(n, []).append(figures)
        datasets[name] = {str(n): _means(rows) for n, rows in sorted(by_n.items())}
    return {
        "datasets": datasets,
        "measures": {
            name: _of_measures(one.pool for one in found if one.data == name) for name in names
        },
        "alone": {
            name: _of_measures(one.alone for one in found if one.data == name) for name in names
        },
        "seeds": {name: sum(one.data == name for one in found) for name in names},
        "prior": asdict(learnt(found)),
    }


def learnt(found: Sequence[Measured]) -> Prior:
    """What projects have in common; the product's own prior where there are fewer than two sets.

    The curve of each set is fitted by itself, the mean and the spread are taken over sets, and the
    residuals are those of images of a set by what the other sets say.
    """
    names = list(dict.fromkeys(one.data for one in found))
    if len(names) < 2:
        return PRIOR
    curves = {name: _curve([one for one in found if one.data == name]) for name in names}
    prior = _over(list(curves.values()), _WEAK)
    residuals: list[float] = []
    noise: list[float] = []
    for name in names:
        others = _over([curve for other, curve in curves.items() if other != name], _WEAK)
        for one in (one for one in found if one.data == name):
            pairs = [image.pair for image in one.pool]
            unfitted = fit([], cap=one.cap, prior=others)
            residuals += np.abs(unfitted.residuals(pairs)).tolist()
            noise += (fit(pairs, cap=one.cap, prior=_WEAK).residuals(pairs) ** 2).tolist()
    at = (np.arange(10) + 0.5) / 10
    return replace(
        prior,
        dispersion=round(float(np.mean(noise)), 3),
        residuals=tuple(np.round(np.quantile(residuals, at), 3).tolist()),
    )


def to_markdown(figures: Mapping[str, Any]) -> str:
    """One row per set and number of corrections, then one per measure by itself."""
    columns = [field.name for field in fields(Reliability) if field.name != "n_intervals"]
    lines = [f"| set | scores by | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for name, by_n in figures["datasets"].items():
        rows = {f"calibration, {n} corrections": row for n, row in by_n.items()}
        rows |= figures["measures"][name]
        rows |= {f"{of}, one network": row for of, row in figures["alone"][name].items() if row}
        for label, row in rows.items():
            cells = ["" if row.get(c) is None else f"{row[c]:.3f}" for c in columns]
            lines.append(f"| {name} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _played_back(one: Measured, prior: Prior, split: int) -> dict[int, Reliability]:
    """Corrections -> figures on the judged images; people take what is scored lowest."""
    rng = np.random.default_rng([one.seed, split])
    order = [one.pool[i] for i in rng.permutation(len(one.pool))]
    judged, queue = order[:N_JUDGED], order[N_JUDGED:]
    of_pool = [image.soft_dice for image in one.pool]
    corrected: list[Image] = []
    found: dict[int, Reliability] = {}
    while True:
        curve = _fitted(one, corrected, of_pool, prior)
        if len(corrected) in CORRECTIONS:
            score, low, high = curve.of_pairs([image.pair for image in judged])
            intervals = list(zip(low.tolist(), high.tolist(), strict=True))
            found[len(corrected)] = reliability(score, [i.dice for i in judged], intervals)
        if len(corrected) >= max(CORRECTIONS) or len(queue) < BATCH:
            return found
        score = curve.of_pairs([image.pair for image in queue])[0]
        queue = [queue[i] for i in np.argsort(score, kind="stable")]
        taken = list(range(BATCH - AT_RANDOM))
        taken += rng.choice(np.arange(len(taken), len(queue)), AT_RANDOM, replace=False).tolist()
        corrected += [queue[i] for i in taken]
        queue = [image for i, image in enumerate(queue) if i not in taken]


def _fitted(
    one: Measured, corrected: Sequence[Image], of_pool: Sequence[float], prior: Prior
) -> Calibration:
    """As the product does it (``backend.pipeline.quality.calibrate``)."""
    weights = pool_weights([image.soft_dice for image in corrected], of_pool).tolist()
    pairs = [
        replace(image.pair, weight=weight) for image, weight in zip(corrected, weights, strict=True)
    ]
    return fit([*pairs, *one.single_pairs], cap=one.cap, prior=prior)


def _of_measures(pools: Iterable[Sequence[Image]]) -> dict[str, dict[str, float]]:
    """Measure -> figure, means over the pools that have images."""
    measured = [pool for pool in pools if pool]
    return {measure: _means(_ranked(pool, measure) for pool in measured) for measure in MEASURES}


def _ranked(pool: Sequence[Image], measure: str) -> Reliability:
    """A measure of the whole pool by itself, as if it were a score."""
    values = np.array([getattr(image, measure) for image in pool])
    found = reliability(values if measure in _RISING else -values, [image.dice for image in pool])
    return found if measure in _RISING else replace(found, bias=None, ece=None)


def _means(rows: Iterable[Reliability]) -> dict[str, float]:
    """Of each figure over those that have it."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in asdict(row).items():
            if value is not None and name != "n_intervals":
                found.setdefault(name, []).append(value)
    return {name: round(statistics.fmean(values), 4) for name, values in found.items()}


def _curve(found: Sequence[Measured]) -> Calibration:
    """Of all committees of one set together."""
    pairs = [image.pair for one in found for image in one.pool]
    singles = [pair for one in found for pair in one.single_pairs]
    return fit([*pairs, *singles], cap=found[0].cap, prior=_WEAK)


def _over(curves: Sequence[Calibration], weak: Prior) -> Prior:
    """Mean and spread over sets; where there is one set only, the spread is the weak prior's."""
    rows = np.array([(c.intercept, c.slope, c.single, c.empty) for c in curves])
    sd = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.array(weak.sd)
    mean, wide = rows.mean(axis=0), np.maximum(sd, _LEAST_SD)
    return replace(
        weak,
        mean=tuple(np.round(mean, 3).tolist()),
        sd=tuple(np.round(wide, 3).tolist()),
    )
