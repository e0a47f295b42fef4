"""Makes a chosen ensemble a version: its postprocessing, the gate's verdict, its folder and row."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backend.pipeline.basis.context import AppContext
from backend.pipeline.ensembles.candidates import Candidate
from backend.pipeline.ensembles.members import Member, joint_manifest
from backend.pipeline.evaluate.options import Progress
from backend.pipeline.gate.challenger import add_judged, judge_challenger
from backend.pipeline.gate.champion import FoldOfCase, in_current_names, project_integers
from backend.pipeline.gate.retention import prune_quietly
from backend.pipeline.gate.verdict import DicePerCase, Verdict
from backend.pipeline.models.serving import ask_for_scoring
from backend.store import projects, versions
from backend.store.models import VersionRow
from domain.case import Manifest
from domain.states import VersionOrigin, VersionStatus
from training.case_files import read_image
from training.devices import list_devices
from training.evaluation import mean_over_cases, named_dice
from training.versions.case_predictions import CaseToPredict, predict_cases
from training.versions.ensembles import PRESET, package_ensemble
from training.versions.keep_largest import find_steps
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
        considered: What it was chosen from, for its metrics (JSON values).
    """

    members: tuple[Member, ...]
    candidate: Candidate
    truth: Manifest
    considered: list[dict[str, Any]]

    @property
    def remark(self) -> str:
        """How it was measured, where not by held-out folds of all; "" otherwise."""
        foreign = [member.name for member in self.members if member.manifest is None]
        return (
            f"{' and '.join(foreign)} was trained elsewhere and may have been trained on these "
            "images"
            if foreign
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
        postprocessing = Path(folder)
        metrics, dice = _measure(workspace, new, postprocessing, is_held_out)
        metrics["labels"] = len(manifest.entries)
        manifest_json = _manifest_json(new, manifest) if is_held_out else None
        # Versions trained elsewhere have no manifest: they are measured on today's cases.
        judged = manifest if is_held_out else new.truth
        judged = replace(judged, entries=tuple(e for e in judged.entries if e.case_id in dice))
        while True:
            with context.store.begin() as session:
                champion = versions.champion(session, project_id)
                settings = projects.settings_of(projects.get(session, project_id))
                name = _next_name(workspace, versions.versions_of(session, project_id))
            verdict, of_gate = _decide(
                context,
                project_id,
                champion,
                judged,
                dice,
                settings.gate_margin,
                new.remark,
                progress,
            )
            judged_metrics = {**metrics, **of_gate}
            path = package_ensemble(
                workspace,
                name,
                [Path(member.row.path) for member in new.members],
                member_folds,
                postprocessing=postprocessing,
                settings=settings.model_dump(mode="json"),
                manifest=manifest_json,
                metrics=judged_metrics,
            )
            row = VersionRow(
                project_id=project_id,
                origin=VersionOrigin.ENSEMBLE,
                name=name,
                path=str(path),
                status=VersionStatus.REJECTED,
                metrics=judged_metrics,
                manifest=manifest_json,
                size_bytes=size_bytes(path),
            )
            if add_judged(context, row, champion, is_promoted=verdict.is_promoted):
                break
            # A person or a training put another version in service while this one was measured.
            shutil.rmtree(path, ignore_errors=True)
    logger.info("Project %d: %s: %s", project_id, name, verdict.reason)
    if verdict.is_promoted:
        ask_for_scoring(context, project_id)
    prune_quietly(context, project_id)
    return name, verdict


def _measure(
    workspace: Workspace, new: NewEnsemble, out: Path, is_held_out: bool
) -> tuple[dict[str, Any], DicePerCase]:
    """Metrics without the gate's, and the Dice it is judged by; postprocessing goes to ``out``."""
    dice = new.candidate.dice_per_case
    metrics: dict[str, Any] = {
        "ensemble": {
            "members": [member.name for member in new.members],
            "considered": new.considered,
        },
        "remark": new.remark,
    }
    asks = all(member.holds_out and member.info.preset.postprocess for member in new.members)
    if asks and dice:
        found = find_steps(
            workspace,
            new.candidate.label_maps,
            Path(new.members[0].row.path),
            out,
            new.members[0].info.class_values,
        )
        metrics["postprocessing"] = {
            "keeps_largest": [list(step.labels) for step in found.steps],
            "dice_before": mean_over_cases(dice),
        }
        dice = found.dice_per_case
    # A mean of versions trained elsewhere has held nothing out, as each of them.
    held_out = dice if is_held_out else {}
    return {**metrics, "oof_dice": mean_over_cases(held_out), "dice_per_case": held_out}, dice


def _manifest_json(new: NewEnsemble, manifest: Manifest) -> dict[str, Any]:
    known = next(member for member in new.members if member.manifest is not None)
    return {
        **manifest.to_json(),
        "n_channels": known.info.n_channels,
        "preset": PRESET,
        "group_key": known.group_key,
        "members": {
            member.name: member.manifest.digest if member.manifest else "" for member in new.members
        },
    }


def _decide(
    context: AppContext,
    project_id: int,
    champion: VersionRow | None,
    manifest: Manifest,
    dice: DicePerCase,
    margin: float,
    remark: str,
    progress: Progress,
) -> tuple[Verdict, dict[str, Any]]:
    manifest, dice = in_current_names(context, project_id, manifest, dice)

    def make_judge(serving: VersionRow, predicted: tuple[str, ...]) -> _ChildJudge:
        workspace, classes = context.workspace(serving.project_id), manifest.class_values
        return _ChildJudge(workspace, Path(serving.path), classes, predicted, progress)

    return judge_challenger(
        context,
        champion,
        manifest,
        dice,
        margin,
        make_judge,
        why_unmeasured="no case with the present annotations was held out by all members",
        remark=remark,
    )


@dataclass(frozen=True, slots=True)
class _ChildJudge:
    """A version's networks on the project's cases, in a child process."""

    workspace: Workspace
    version_dir: Path
    class_values: tuple[str, ...]
    predicted_values: tuple[str, ...]
    progress: Progress

    @property
    def folds(self) -> tuple[int, ...]:
        return read_version(self.version_dir).folds

    def dice(self, cases: Sequence[FoldOfCase]) -> DicePerCase:
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
                integers=project_integers(self.predicted_values, self.class_values),
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


def _next_name(workspace: Workspace, rows: Sequence[VersionRow]) -> str:
    """``nnloop-e<number>``, the number after the last; also after one whose making was cut off."""
    names = {row.name for row in rows} | {path.name for path in workspace.models.glob("nnloop-e*")}
    numbers = [int(found[1]) for found in map(_NAME.fullmatch, names) if found]
    return f"nnloop-e{max(numbers, default=0) + 1}"
