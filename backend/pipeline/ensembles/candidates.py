"""Versions and means of versions, measured on the same held-out cases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.ensembles.members import (
    NOT_HELD_OUT,
    Member,
    MemberFolds,
    joint_manifest,
    same_annotations,
)
from backend.pipeline.evaluate.options import Progress
from backend.pipeline.gate.verdict import DicePerCase
from backend.store import projects
from backend.store.models import RunRow
from domain.case import Manifest
from domain.errors import PredictionError, SettingsError
from domain.states import RunStatus
from training.case_files import read_image
from training.devices import list_devices
from training.evaluation import mean_over_images, named_dice
from training.versions.member_predictions import HeldOutCase, predict_members

Choice = tuple[int, ...]
"""Members, by their place."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version, or the mean of several.

    Attributes:
        choice: Which of the members.
        versions: Their names.
        dice_per_case: Of its label maps, before any postprocessing.
        label_maps: Folder of CASE_ID.png; goes with the measuring.
    """

    choice: Choice
    versions: tuple[str, ...]
    dice_per_case: DicePerCase
    label_maps: Path

    @property
    def dice(self) -> float:
        """Mean over the images (``mean_over_images``), in [0, 1]; NaN without cases."""
        mean = mean_over_images(self.dice_per_case)
        return float("nan") if mean is None else mean


@dataclass(frozen=True, slots=True)
class Truth:
    """The label maps on the disk: which run wrote them, and from what."""

    run: int
    manifest: Manifest


def singles_and_pairs(n: int) -> list[Choice]:
    """What nnU-Net's ``find_best_configuration`` compares of n members."""
    return [(k,) for k in range(n)] + list(itertools.combinations(range(n), 2))


def read_truth(session: Session, project_id: int) -> Truth:
    """The run that wrote the label maps last.

    Raises:
        SettingsError: No run has written any yet, or one is writing them now.
    """
    query = select(RunRow).where(RunRow.project_id == project_id).order_by(RunRow.number.desc())
    rows = list(session.scalars(query))
    writing = [row for row in rows if row.status == RunStatus.PREPARING]
    if writing:
        raise SettingsError(
            f"Run {writing[0].number} is writing the project's cases at this moment.",
            remedy="Try again when it trains (`nnloop status`).",
        )
    written = next((row for row in rows if row.manifest), None)
    if written is None or written.manifest is None:
        raise SettingsError(
            "No training has written cases of this project yet, so there is nothing to measure on.",
            remedy="Train first: nnloop train PROJECT.",
        )
    return Truth(written.number, written.manifest)


def held_out_cases(
    context: AppContext, project_id: int, members: Sequence[Member], truth: Truth
) -> list[HeldOutCase]:
    """The cases no member has seen in the folds that predict them, with annotations as they were.

    A version trained elsewhere held nothing out and predicts by the mean of its folds. A case that
    a member was not trained on counts: its folds have not seen it.
    """
    with context.store.read() as session:
        names = label_names_of(projects.get(session, project_id))
    if members[0].info.class_values != names.current_names(truth.manifest.class_values):
        return []  # the label maps have other integers
    workspace = context.workspace(project_id)
    hashes = {entry.case_id: entry.content_hash for entry in truth.manifest.entries}
    folds: dict[str, MemberFolds]
    if any(member.manifest is not None for member in members):
        manifest, table = joint_manifest(members)
        same = same_annotations(members, hashes)
        folds = {
            entry.case_id: table[entry.fold]
            for entry in manifest.entries
            if entry.fold != NOT_HELD_OUT and entry.case_id in same
        }
    else:
        folds = dict.fromkeys(hashes, (None,) * len(members))
    return [
        HeldOutCase(case_id, row)
        for case_id, row in sorted(folds.items())
        if workspace.label_png(case_id).exists()
    ]


@contextmanager
def measured(
    context: AppContext,
    project_id: int,
    members: Sequence[Member],
    choices: Sequence[Choice],
    cases: Sequence[HeldOutCase],
    progress: Progress,
) -> Iterator[list[Candidate]]:
    """The candidates in the order of ``choices``, their label maps there until the end.

    The networks run in a child process.

    Raises:
        PredictionError: A version can't be loaded, or no case can be predicted.
    """
    workspace = context.workspace(project_id)
    names = [member.name for member in members]
    with TemporaryDirectory(prefix="nnloop-") as folder:
        out = Path(folder)
        failed = set()
        if cases:
            with progress(f"Predicting with {', '.join(names)}", len(cases)) as on_case:
                failures = predict_members(
                    workspace,
                    [Path(member.row.path) for member in members],
                    choices,
                    cases,
                    out,
                    device=list_devices()[0].name,
                    on_case=on_case,
                )
            failed = {failure.case_id for failure in failures}
            if len(failed) == len(cases):
                raise PredictionError(
                    f"None of {len(cases)} cases could be predicted: {failures[0].message}"
                )
        truth = {
            case.case_id: read_image(workspace.label_png(case.case_id))
            for case in cases
            if case.case_id not in failed
        }
        yield [
            Candidate(
                tuple(choice),
                tuple(names[k] for k in choice),
                {
                    case_id: named_dice(
                        read_image(out / str(number) / f"{case_id}.png"),
                        labels,
                        members[0].info.class_values,
                    )
                    for case_id, labels in truth.items()
                },
                out / str(number),
            )
            for number, choice in enumerate(choices)
        ]
