"""Whether an engine in bfloat16 is harmless for a version: measured on its own held-out cases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from domain.errors import TrainingError
from domain.geometry import LabelMap
from domain.hashing import content_hash
from domain.prediction import FoldProbabilities, most_probable
from training.case_files import read_case_image, read_image
from training.evaluation import image_dice, named_dice
from training.nnunet.inference.engines.engine import Engine
from training.nnunet.inference.image import ImagePreparation
from training.nnunet.inference.tiling import Tiling
from training.versions.version_folder import read_manifest
from training.workspace import Workspace

logger = logging.getLogger(__name__)

LEAST_CASES = 8
"""With fewer a ranking says nothing."""
MOST_CASES = 16
"""More would take annotators' time."""

EQUAL_LABELS = 0.999
DICE_LOSS = 0.001
RANK_CORRELATION = 0.99
LEAST_SPEEDUP = 1.2
"""Of the networks alone; less is not worth another answer."""

_MOST_PX = 2**21

_TIMED = 5
"""Times a tile is predicted by both engines in turn; the quickest counts."""

Score: TypeAlias = Callable[[FoldProbabilities], float]


@dataclass(frozen=True, slots=True, eq=False)
class ProofCase:
    """A case that a fold held out.

    Attributes:
        image: As for ``FoldPredictor.predict``.
        truth: (height, width) uint8 label map.
        fold: The fold that has not seen it; None where all have.
        class_values: Names of the classes in integer order, background left out.
    """

    image: npt.NDArray[Any]
    truth: LabelMap
    fold: int | None
    class_values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What bfloat16 changes, and what it gains.

    Attributes:
        cases: How many were predicted.
        equal_labels: Share of their pixels with the same most probable class, in [0, 1].
        dice_change: Mean Dice of the held-out cases, less that in float32.
        rank_correlation: Spearman's, of the scores in both; 1 where all are equal.
        speedup: Time of the networks in float32 over that in bfloat16.
    """

    cases: int
    equal_labels: float
    dice_change: float
    rank_correlation: float
    speedup: float

    @property
    def is_passed(self) -> bool:
        """Whether bfloat16 may answer."""
        return (
            self.cases >= LEAST_CASES
            and self.equal_labels >= EQUAL_LABELS
            and self.dice_change >= -DICE_LOSS
            and self.rank_correlation >= RANK_CORRELATION
            and self.speedup >= LEAST_SPEEDUP
        )

    @property
    def in_words(self) -> str:
        """What was measured."""
        return (
            f"{self.equal_labels:.4%} of the pixels of {self.cases} held-out cases have the same "
            f"label, Dice changes by {self.dice_change:+.5f}, ranks correlate by "
            f"{self.rank_correlation:.4f}, {self.speedup:.2f} times as quick"
        )


def held_out_cases(version_dir: Path) -> list[ProofCase]:
    """Up to ``MOST_CASES`` cases that a version's folds have held out, as their files are now.

    Chosen by a hash of their ids. Empty where none was held out, or the version is a member of an
    ensemble, or was trained elsewhere. Larger images than ``_MOST_PX`` are left out.
    """
    manifest = read_manifest(version_dir)
    workspace = Workspace.of_version(version_dir)
    if manifest is None or workspace is None or manifest.n_folds < 2:
        return []
    found: list[ProofCase] = []
    for entry in sorted(manifest.entries, key=lambda entry: content_hash(entry.case_id)):
        try:
            image = read_case_image(workspace, entry.case_id)
            truth = read_image(workspace.label_png(entry.case_id))
        except TrainingError:
            continue  # its files went with the case
        if truth.size <= _MOST_PX and truth.shape == image.shape[:2]:
            found.append(ProofCase(image, truth, entry.fold, manifest.class_values))
        if len(found) == MOST_CASES:
            break
    return found


def quicker(
    preparation: ImagePreparation,
    folds: tuple[int, ...],
    cases: Callable[[], Sequence[ProofCase]],
    score: Score,
    engine: Engine,
) -> Engine | None:
    """The same engine in bfloat16 where that is quicker and harmless; None where it is not.

    Args:
        preparation: Of the version's images.
        folds: The version's.
        cases: Reads held-out cases; nothing is compiled where there are too few.
        score: What ranks images.
        engine: In float32.
    """
    in_bfloat16 = getattr(engine, "in_bfloat16", None)
    if in_bfloat16 is None or len(found := cases()) < LEAST_CASES:
        return None
    candidate: Engine | None = in_bfloat16()
    if candidate is None:
        return None
    proof = measure(preparation, found, score, (engine, candidate), folds)
    if proof is None:
        return None
    verdict = "Predicting in bfloat16" if proof.is_passed else "Predicting in float32"
    logger.info("%s: in bfloat16 %s.", verdict, proof.in_words)
    return candidate if proof.is_passed else None


def measure(
    preparation: ImagePreparation,
    cases: Sequence[ProofCase],
    score: Score,
    engines: tuple[Engine, Engine],
    folds: tuple[int, ...],
) -> Proof | None:
    """Predicts each case with two engines, unmirrored; None when the process ends meanwhile."""
    tiling = Tiling(preparation.patch_hw, 1.0, ())
    n_equal = n_pixels = 0
    dices: list[tuple[float, float]] = []
    scores: list[tuple[float, float]] = []
    pixels: npt.NDArray[np.float32] | None = None
    for case in cases:
        if not threading.main_thread().is_alive():
            return None  # the interpreter waits for this thread
        prepared = preparation.prepare(case.image)
        pixels = prepared.pixels[None]
        both = [
            preparation.probabilities(one.start(pixels, folds, tiling)()[:, 0], prepared)
            for one in engines
        ]
        labels = [most_probable(maps.mean(axis=0)) for maps in both]
        n_equal += int(np.count_nonzero(labels[0] == labels[1]))
        n_pixels += labels[0].size
        scores.append((score(both[0]), score(both[1])))
        if case.fold in folds:
            index = folds.index(case.fold)
            found = [_dice(maps[index], case) for maps in both]
            dices.append((found[0], found[1]))
    if pixels is None or not dices:
        return None
    change = np.mean([after - before for before, after in dices])
    return Proof(
        cases=len(dices),
        equal_labels=n_equal / n_pixels,
        dice_change=float(change),
        rank_correlation=_spearman(np.array(scores).T),
        speedup=_speedup(engines, pixels, folds, tiling),
    )


def _dice(maps: npt.NDArray[np.float32], case: ProofCase) -> float:
    return image_dice(named_dice(most_probable(maps), case.truth, case.class_values).values())


def _spearman(scores: npt.NDArray[np.float64]) -> float:
    """Of two rows of scores."""
    ranks = [rankdata(row) for row in scores]
    if (ranks[0] == ranks[1]).all():
        return 1.0
    if ranks[0].std() == 0 or ranks[1].std() == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _speedup(
    engines: tuple[Engine, Engine],
    pixels: npt.NDArray[np.float32],
    folds: Sequence[int],
    tiling: Tiling,
) -> float:
    """In turns: other programs share the cores."""
    seconds: list[list[float]] = [[], []]
    for _ in range(_TIMED):
        for one, taken in zip(engines, seconds, strict=True):
            started = time.perf_counter()
            one.start(pixels, folds, tiling)()
            taken.append(time.perf_counter() - started)
    return min(seconds[0]) / min(seconds[1])
