"""VersionMetrics: what was measured of a version, as the store and metrics.json keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from domain.gate_verdict import Verdict
from domain.reliability import Reliability
from training.evaluation import ClassDice, DicePerCase


@dataclass(frozen=True, slots=True)
class PostprocessingFound:
    """What nnU-Net's postprocessing does, and what held-out Dice were without it.

    ``keeps_largest``: of the classes of a row, integers, only the largest part together is kept.
    """

    keeps_largest: tuple[tuple[int, ...], ...]
    dice_before: ClassDice


@dataclass(frozen=True, slots=True)
class ChampionDice:
    """The Dice of the version that served, on the cases of the one that was judged."""

    version: str
    dice_per_case: DicePerCase


@dataclass(frozen=True, slots=True)
class Considered:
    """A version or a mean of versions, and its mean Dice in [0, 1] on the common cases."""

    versions: tuple[str, ...]
    dice: float | None


@dataclass(frozen=True, slots=True)
class EnsembleChoice:
    """The versions that an ensemble averages, and what they were chosen from, the best first."""

    members: tuple[str, ...]
    considered: tuple[Considered, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """Where a version that was trained elsewhere came from.

    Attributes:
        file: Name of the zip.
        model: ``<trainer>__<plans>__<configuration>`` in it.
        dataset: nnU-Net's name of the data set.
        trainer: nnU-Net's name of the trainer.
        epochs: Trained, the least of all folds.
        labels: Class of the model -> label of the project.
        channels: nnU-Net's names of them.
        folds: nnU-Net's name of a fold -> the number it got.
        trusted: Whether whatever its checkpoints held was unpickled.
        notes: Sentences about what may be expected of it.
    """

    file: str
    model: str
    dataset: str
    trainer: str
    epochs: int
    labels: dict[str, str]
    channels: tuple[str, ...]
    folds: dict[str, int]
    trusted: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMetrics:
    """What was measured of a version.

    Attributes:
        labels: Cases it was trained on.
        oof_dice: Per class, the mean over held-out cases.
        dice_per_case: Of the cases it held out; {} when it held none out.
        warm_started: Folds that started from an earlier version's weights.
        postprocessing: None where none was looked for.
        gate: None when it did not go through the gate.
        champion_dice: What it was compared with; None without a comparison.
        ensemble: None when it is none.
        remark: How it was measured, where that is not by held-out folds of all members; which folds
            of its run it is made without.
        imported: None when it was trained here.
        cases_of_class: Class -> cases it was trained on that show it; {} where nobody counted.
        reliability: How far its scores can be believed, each on its kind of pairs: ``held out``,
            cases that one fold alone predicted, by calibrations that had not seen them;
            ``corrected``, pushed predictions with the scores they were pushed with.
        form: Of this document.
    """

    labels: int = 0
    oof_dice: ClassDice = field(default_factory=dict)
    dice_per_case: DicePerCase = field(default_factory=dict)
    warm_started: tuple[int, ...] = ()
    postprocessing: PostprocessingFound | None = None
    gate: Verdict | None = None
    champion_dice: ChampionDice | None = None
    ensemble: EnsembleChoice | None = None
    remark: str = ""
    imported: ImportedModel | None = None
    cases_of_class: dict[str, int] = field(default_factory=dict)
    reliability: dict[str, Reliability] = field(default_factory=dict)
    form: Literal[1] = 1
