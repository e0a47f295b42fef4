"""Makes a chosen ensemble a version: its postprocessing, the gate's verdict, its folder and row."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backend.pipeline.context import AppContext
from backend.pipeline.evaluate.options import Progress
from backend.pipeline.models.candidates import Candidate
from backend.pipeline.models.champion import (
    FoldOfCase,
    Measured,
    measure_champion,
    project_integers,
    unmeasured,
)
from backend.pipeline.models.comparison import DicePerCase, Verdict, judge
from backend.pipeline.models.members import Member, joint_manifest
from backend.pipeline.models.retention import prune_quietly
from backend.pipeline.models.serving import ask_for_scoring
from backend.store import projects, versions
from backend.store.models import VersionRow
from domain.case import Manifest
from domain.errors import SettingsError
from domain.status import VersionOrigin, VersionStatus
from training.case_predictions import CaseToPredict, predict_cases
from training.cases import read_image
from training.devices import list_devices
from training.ensembles import PRESET, package_ensemble
from training.evaluation import mean_over_cases, named_dice
from training.postprocessing import find_steps
from training.versions import read_version, size_bytes
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
        while True:
            with context.store.begin() as session:
                champion = versions.champion(session, project_id)
                settings = projects.settings_of(projects.get(session, project_id))
                name = _next_name(workspace, versions.versions_of(session, project_id))
            # Versions trained elsewhere have no manifest: they are measured on today's cases.
            judged = replace(
                manifest if is_held_out else new.truth,
                entries=tuple(
                    entry
                    for entry in (manifest if is_held_out else new.truth).entries
                    if entry.case_id in dice
                ),
            )
            verdict, measured = _decide(
                context, champion, judged, dice, settings.gate_margin, new.remark, progress
            )
            metrics["gate"] = asdict(verdict)
            metrics.pop("champion_dice", None)
            if champion is not None and measured.dice:
                metrics["champion_dice"] = {
                    "version": champion.name,
                    "dice_per_case": measured.dice,
                }
            path = package_ensemble(
                workspace,
                name,
                [Path(member.row.path) for member in new.members],
                member_folds,
                postprocessing=postprocessing,
                settings=settings.model_dump(mode="json"),
                manifest=manifest_json,
                metrics=metrics,
            )
            row = VersionRow(
                project_id=project_id,
                origin=VersionOrigin.ENSEMBLE,
                name=name,
                path=str(path),
                status=VersionStatus.REJECTED,
                metrics=metrics,
                manifest=manifest_json,
                size_bytes=size_bytes(path),
            )
            if _add(context, row, champion, is_promoted=verdict.is_promoted):
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
    champion: VersionRow | None,
    manifest: Manifest,
    dice: DicePerCase,
    margin: float,
    remark: str,
    progress: Progress,
) -> tuple[Verdict, Measured]:
    if champion is not None and not dice:
        why = "no case with the present annotations was held out by all members"
        return unmeasured(champion, margin, why), Measured({})
    groups = {entry.case_id: entry.group for entry in manifest.entries}
    measured = Measured({})
    if champion is not None:
        workspace, served = context.workspace(champion.project_id), champion
        measured = measure_champion(
            context,
            champion,
            manifest,
            lambda predicted: _ChildJudge(
                workspace, Path(served.path), manifest.class_values, predicted, progress
            ),
        )
    remarks = "; ".join(filter(None, dict.fromkeys((remark, measured.remark))))
    verdict = judge(dice, measured.dice if champion else None, margin, groups, remark=remarks)
    return verdict, measured


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


def _add(
    context: AppContext, row: VersionRow, champion: VersionRow | None, *, is_promoted: bool
) -> bool:
    """Adds the row, and lets it serve; False when another than ``champion`` serves by now."""
    with context.store.begin() as session:
        projects.lock(session, row.project_id)
        serving = versions.champion(session, row.project_id)
        if (serving and serving.id) != (champion and champion.id):
            return False
        if versions.by_name(session, row.name, row.project_id):
            raise SettingsError(
                f"Somebody else has made {row.name} meanwhile.",
                remedy="Look at it with `nnloop models list`, then try again.",
            )
        session.add(row)
        session.flush()
        if is_promoted:
            versions.promote(session, row)
    return True
