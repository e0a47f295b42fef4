"""What goes into the training of one fold, and what comes out: documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from training.evaluation import ClassDice, DicePerCase, mean_over_classes
from training.evaluation.soft_dice import ExpectedDice
from training.presets import Preset
from training.symmetries.symmetries import FREE, Symmetries
from training.workspace import Workspace

SPEC = "spec.json"
PROGRESS = "progress.jsonl"
RESULT = "result.json"
DOUBTS = "doubts.json"
"""What the fold doubts of the labels that it holds out (``DoubtsPerCase``), beside its result."""
ERROR = "error.json"
LOG = "train.log"
CURVES = "curves.png"
LATEST = "checkpoint_latest.pth"
FINAL = "checkpoint_final.pth"
VALIDATION = "validation"
"""nnU-Net's name of the folder of the held-out cases' label maps."""


@dataclass(frozen=True, slots=True)
class FoldSpec:
    """One fold to train.

    Attributes:
        workspace_root: ``Workspace.root``.
        project_id: ``Workspace.project_id``.
        run: Name of the training run; the fold's files go to ``Workspace.fold_dir(run, fold)``.
        fold: Index into splits_final.json.
        class_values: Class names in integer order, background left out.
        preset: Network and schedule.
        device: ``cpu``, ``cuda:<i>`` (an index into the visible GPUs) or ``mps``.
        budget_s: Wall-clock seconds from the start of this process to the fold's result; the epochs
            are planned to fit. Time that earlier, interrupted processes took does not count. None:
            the preset's epochs.
        threads: CPU threads for torch, at least 1.
        warm_start: Checkpoint of the same fold of an earlier version to start from; ignored (and
            said so in the result) when its network has another shape. Never another fold's: its
            weights have seen this fold's held-out cases.
        head: Where ``warm_start`` is a network for other classes: for each of ours, background
            first, the class of its own that it goes on from, -1 for none. None: the same classes.
        seed: Of weights, sampling and augmentation.
        holds_out: False when splits_final.json has the training cases as held-out ones, because
            there was nothing to hold out; then no Dice is measured on them.
        symmetries: Flips and turns that training may use, of what the trainer would.
    """

    workspace_root: str
    project_id: int
    run: str
    fold: int
    class_values: tuple[str, ...]
    preset: Preset
    device: str = "cpu"
    budget_s: float | None = None
    threads: int = 1
    warm_start: str | None = None
    head: tuple[int, ...] | None = None
    seed: int = 0
    holds_out: bool = True
    symmetries: Symmetries = FREE

    @property
    def workspace(self) -> Workspace:
        """The project's folders."""
        return Workspace(Path(self.workspace_root), self.project_id)

    @property
    def fold_dir(self) -> Path:
        """Where everything about this fold is written."""
        return self.workspace.fold_dir(self.run, self.fold)


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """One finished epoch.

    Attributes:
        epoch: 1 for the first. After a restart the last epoch may be reported again.
        epochs: Epochs planned now; a time budget may change it as it goes.
        train_loss: nnU-Net's Dice plus cross-entropy loss; from -1 (perfect) upwards.
        val_loss: The same on held-out patches.
        dice: nnU-Net's pseudo Dice on held-out patches, mean over classes seen, in [0, 1]; None
            when none was seen. It is not full-image Dice.
        seconds: Wall-clock time of the epoch.
        time: When it ended, Unix seconds.
        case_dice: Class -> full-image Dice in [0, 1], mean over a fixed sample of held-out cases,
            predicted without mirroring; None for a class that is absent from all of them. None
            on epochs where it was not measured.
        eta_s: Seconds until the fold has its result, prediction of the held-out cases included.
    """

    fold: int
    epoch: int
    epochs: int
    train_loss: float
    val_loss: float
    dice: float | None
    seconds: float
    time: float
    case_dice: Mapping[str, float | None] | None = None
    eta_s: float | None = None

    @property
    def mean_case_dice(self) -> float | None:
        """Mean of ``case_dice`` over the classes that have one."""
        return mean_over_classes(self.case_dice or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """What the training of one fold came to: result.json, kept in the store as it is.

    Attributes:
        fold: Index into splits_final.json.
        epochs: Epochs trained.
        steps: Optimiser steps in them.
        dice_per_case: Held-out case id -> class -> Dice of the full-size image, None where the
            class is absent (``training.evaluation.dice``); empty when nothing was held out.
        dice_per_class: Mean over the held-out cases that say something about the class, or None.
        seconds: Wall-clock time over all attempts, prediction of the held-out cases included.
        device: As of ``FoldSpec``.
        warm_started: Whether training started from ``FoldSpec.warm_start``.
        stopped: What decided the number of epochs: ``plateau``, ``budget``, or empty: the trainer.
        batch_size: Patches per step at the end.
        planned_batch_size: Patches per step as planned; more than ``batch_size`` where memory ran
            out.
        expected: Held-out case id -> what its prediction said of itself.
        cases_of_class: Class -> held-out cases whose truth shows it.
        form: Of this document.
    """

    fold: int
    epochs: int
    steps: int
    dice_per_case: DicePerCase
    dice_per_class: ClassDice
    seconds: float
    device: str
    warm_started: bool
    stopped: str
    batch_size: int
    planned_batch_size: int
    expected: dict[str, ExpectedDice] = field(default_factory=dict)
    cases_of_class: dict[str, int] = field(default_factory=dict)
    form: Literal[1] = 1

    @property
    def has_smaller_batch(self) -> bool:
        """Whether memory that ran out made the batch smaller."""
        return self.batch_size < self.planned_batch_size


@dataclass(frozen=True, slots=True)
class FoldError:
    """error.json: why a fold's process failed, and whether for a reason that does not pass."""

    message: str
    remedy: str
    lasting: Literal["", "disk", "trainer"] = ""
