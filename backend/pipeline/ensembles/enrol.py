"""Makes a chosen ensemble a version: its postprocessing, the gate's verdict, its folder and row."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.pipeline.basis.context import AppContext
from backend.pipeline.ensembles.candidates import Candidate
from backend.pipeline.ensembles.members import Member, MemberFolds, joint_manifest
from backend.pipeline.evaluate.options import Progress
from backend.pipeline.gate.challenger import Challenger, Judged, add_judged, judge_challenger
from backend.pipeline.gate.champion import FoldOfCase, project_integers
from backend.pipeline.gate.retention import prune_quietly
from backend.pipeline.gate.verdict import DicePerCase, Verdict
from backend.pipeline.models.serving import ask_for_scoring
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from domain.case import Manifest
from domain.states import VersionOrigin, VersionStatus
from training.case_files import read_image
from training.devices import list_devices
from training.evaluation import mean_over_cases, named_dice
from training.versions.case_predictions import CaseToPredict, predict_cases
from training.versions.ensembles import EnsembleParts, package_ensemble
from training.versions.keep_largest import find_steps
from training.versions.manifests import EnsembleManifest
from training.versions.metrics import (
    Considered,
    EnsembleChoice,
    PostprocessingFound,
    VersionMetrics,
)
from training.versions.version_folder import read_version, size_bytes
from training.workspace import Workspace

logger = logging.getLogger(__name__)

_NAME = re.compile(r"nnloop-e(\d+)")


@dataclass(frozen=True, slots=True)
class NewEnsemble:
    """What is to become a version.

    Attributes:
        members: 2 or more, alike.
        candidate: Their mean, measured.
        truth: What the label maps it was measured on were made from.
        considered: What it was chosen from, the best first.
    """

    members: tuple[Member, ...]
    candidate: Candidate
    truth: Manifest
    considered: Sequence[Considered]

    @property
    def remark(self) -> str:
        """How it was measured, where not by held-out folds of all; "" otherwise."""
        doubtful = [member.name for member in self.members if member.is_doubtful]
        return (
            f"{' and '.join(doubtful)} was trained elsewhere, or began so, and may have been "
            "trained on these images"
            if doubtful
            else ""
        )


def enrol(
    context: AppContext, project_id: int, new: NewEnsemble, progress: Progress
) -> tuple[str, Verdict]:
    """Lets the gate judge an ensemble and makes it a version either way, as a training's.

    Returns:
        Its name, and the verdict; it serves when that says so.
    """
    workspace = context.workspace(project_id)
    manifest, member_folds = joint_manifest(new.members)
    is_held_out = any(member.manifest is not None for member in new.members)
    with TemporaryDirectory(prefix="nnloop-") as folder:
        measured = _measure(workspace, new, Path(folder), is_held_out)
        metrics = replace(measured.metrics, labels=len(manifest.entries))
        parts = EnsembleParts(
            [Path(member.row.path) for member in new.members], member_folds, Path(folder)
        )
        kept = _kept_manifest(new, manifest, member_folds) if is_held_out else None
        # Versions trained elsewhere have no manifest: they are measured on today's cases.
        compared = manifest if is_held_out else new.truth
        entries = tuple(e for e in compared.entries if e.case_id in measured.dice)
        while True:
            with context.store.begin() as session:
                champion = versions.champion(session, project_id)
                project = projects.get(session, project_id)
                settings = project.settings
                rows = versions.versions_of(session, project_id)
                name = _next_name(workspace, rows, project.number_taken)
            challenger = Challenger(
                project_id=project_id,
                manifest=replace(compared, entries=entries),
                dice=measured.dice,
                margin=settings.gate_margin,
                why_unmeasured="no case with the present annotations was held out by all members",
                remark=new.remark,
            )
            judged = _judge(context, champion, challenger, progress)
            path = package_ensemble(
                workspace,
                name,
                parts,
                settings=settings.model_dump(mode="json"),
                manifest=kept,
                metrics=judged.added_to(metrics),
            )
            row = VersionRow(
                project_id=project_id,
                origin=VersionOrigin.ENSEMBLE,
                name=name,
                path=str(path),
                status=VersionStatus.REJECTED,
                metrics=judged.added_to(metrics),
                manifest=kept,
                size_bytes=size_bytes(path),
            )
            verdict = judged.verdict
            if add_judged(context, row, champion, is_promoted=verdict.is_promoted):
                break
            # A person or a training put another version in service while this one was measured.
            shutil.rmtree(path, ignore_errors=True)
    logger.info("Project %d: %s: %s", project_id, name, verdict.reason)
    if verdict.is_promoted:
        ask_for_scoring(context, project_id)
    prune_quietly(context, project_id)
    return name, verdict


@dataclass(frozen=True, slots=True)
class _Measured:
    """Metrics without the gate's, and the Dice it is judged by."""

    metrics: VersionMetrics
    dice: DicePerCase


def _measure(workspace: Workspace, new: NewEnsemble, out: Path, is_held_out: bool) -> _Measured:
    """What the candidate came to with its postprocessing, which goes to ``out``."""
    dice = new.candidate.dice_per_case
    postprocessing: PostprocessingFound | None = None
    is_postprocessed = all(
        member.holds_out and member.info.preset.postprocess for member in new.members
    )
    if is_postprocessed and dice:
        found = find_steps(
            workspace,
            new.candidate.label_maps,
            Path(new.members[0].row.path),
            out,
            new.members[0].info.class_values,
        )
        postprocessing = PostprocessingFound(
            tuple(step.labels for step in found.steps), mean_over_cases(dice)
        )
        dice = found.dice_per_case
    # A mean of versions trained elsewhere has held nothing out, as each of them.
    held_out = dice if is_held_out else {}
    metrics = VersionMetrics(
        oof_dice=mean_over_cases(held_out),
        dice_per_case=held_out,
        postprocessing=postprocessing,
        ensemble=EnsembleChoice(
            tuple(member.name for member in new.members), tuple(new.considered)
        ),
        remark=new.remark,
    )
    return _Measured(metrics, dice)


def _kept_manifest(
    new: NewEnsemble, manifest: Manifest, member_folds: Sequence[MemberFolds]
) -> EnsembleManifest:
    known = next(member for member in new.members if member.manifest is not None)
    return EnsembleManifest(
        entries=manifest.entries,
        class_values=manifest.class_values,
        n_folds=manifest.n_folds,
        n_channels=known.info.n_channels,
        group_key=manifest.group_key,
        members={
            member.name: member.manifest.digest if member.manifest else "" for member in new.members
        },
        member_folds={
            member.name: tuple(row[k] for row in member_folds)
            for k, member in enumerate(new.members)
        },
    )


def _judge(
    context: AppContext, champion: VersionRow | None, challenger: Challenger, progress: Progress
) -> Judged:
    current = challenger.in_current_names(context)
    if champion is None:
        return judge_challenger(context, None, current, None)
    networks = _ChildJudge(
        workspace=context.workspace(champion.project_id),
        version_dir=Path(champion.path),
        class_values=current.manifest.class_values,
        progress=progress,
    )
    return judge_challenger(context, champion, current, networks)


@dataclass(frozen=True, slots=True)
class _ChildJudge:
    """A version's networks on the project's cases, in a child process."""

    workspace: Workspace
    version_dir: Path
    class_values: tuple[str, ...]
    progress: Progress

    @property
    def folds(self) -> tuple[int, ...]:
        return read_version(self.version_dir).folds

    def dice(self, cases: Sequence[FoldOfCase], predicted: tuple[str, ...]) -> DicePerCase:
        if not cases:
            return {}
        root, project_id = str(self.workspace.root), self.workspace.project_id
        with (
            TemporaryDirectory(prefix="nnloop-") as folder,
            self.progress(f"Predicting with {self.version_dir.name}", len(cases)) as on_case,
        ):
            failures = predict_cases(
                self.version_dir,
                [CaseToPredict(root, project_id, entry.case_id, fold) for entry, fold in cases],
                Path(folder),
                device=list_devices()[0].name,
                integers=project_integers(predicted, self.class_values),
                on_case=on_case,
            )
            failed = {failure.case_id for failure in failures}
            return {
                entry.case_id: named_dice(
                    read_image(Path(folder) / f"{entry.case_id}.png"),
                    read_image(self.workspace.label_png(entry.case_id)),
                    self.class_values,
                )
                for entry, _ in cases
                if entry.case_id not in failed
            }


def _next_name(workspace: Workspace, rows: Sequence[VersionRow], taken: int) -> str:
    """``nnloop-e<number>``, the number after the last; also after one whose making was cut off."""
    names = {row.name for row in rows} | {path.name for path in workspace.models.glob("nnloop-e*")}
    numbers = [int(found[1]) for found in map(_NAME.fullmatch, names) if found]
    return f"nnloop-e{max([taken, *numbers]) + 1}"
