"""Evaluates a version on its project's labelled tasks, against the annotations as they are now."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.lineage import GroupsNow, group_of_task, judges_of
from backend.pipeline.evaluate.chosen_cases import (
    EvaluationCase,
    Judging,
    Source,
    Split,
    choose_cases,
    entries_of,
    why_nothing_was_held_out,
)
from backend.pipeline.evaluate.folders import EvaluationJob, evaluate_pairs
from backend.pipeline.evaluate.options import EvaluationOptions
from backend.pipeline.evaluate.reference_files import ReferenceWriter, common_classes
from backend.pipeline.sync.reading import read_project
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import TaskRow, VersionRow
from backend.store.tasks import snapshots
from backend.store.training import versions
from converters.bookkeeping.files import write_json
from converters.classes.integers import CLASSES, IGNORED
from converters.images.groups import GroupKey
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import (
    LabelStudioError,
    PredictionError,
    SettingsError,
)
from domain.labels import LabelConfig, LabelGroup, LabelNames
from domain.unions import read_unions
from training.devices import list_devices
from training.evaluation.pairs import Pair
from training.evaluation.summary import Evaluation, Problem
from training.versions.case_predictions import CaseToPredict, predict_cases
from training.versions.version_folder import VersionInfo, read_version
from training.workspace import Workspace

PREDICTIONS = "predictions"
REFERENCE = "reference"

_LABEL_MAP = re.compile(r"task_\d{8,}\.png")


@dataclass(frozen=True, slots=True)
class _Project:
    """What the store says, read in one transaction."""

    config: LabelConfig
    names: LabelNames
    settings: ProjectSettings
    version: VersionRow
    info: VersionInfo
    manifest: Manifest | None
    labelled: list[tuple[ManifestEntry, Source]]
    judging: Judging


def default_out(
    context: AppContext, project_id: int, version: str | None, split: Split | None
) -> Path:
    """The folder for an evaluation when none is named: the project's, by version and split."""
    with context.store.begin() as session:
        name = _find_version(session, project_id, version).name
    folder = name if split is None else f"{name}-{split}"
    return context.workspace(project_id).folder / "evaluations" / folder


def evaluate_version(
    context: AppContext,
    project_id: int,
    options: EvaluationOptions,
    *,
    version: str | None = None,
    split: Split | None = None,
) -> Evaluation:
    """Predicts the cases of a split, measures them against today's annotations, writes the report.

    The networks run in a child process. Label maps stay in predictions/ and reference/ beside the
    report. Label Studio is asked for the annotations; when it does not answer, those read last are
    taken, and a remark says so.

    Args:
        context: Where the project is.
        project_id: Which.
        options: Where to and how; without a spacing the project's ``pixel_spacing_mm`` counts.
        version: Its name; None: the version that serves.
        split: None: held-out training cases, or new tasks where nothing was held out.

    Raises:
        PredictionError: There is no such version, its weights are gone, or it held nothing out.
        LabelStudioError: An image has to be fetched, and Label Studio does not answer.
    """
    remarks = _read_annotations(context, project_id)
    project = _read_project(context, project_id, version)
    row, settings = project.version, project.settings
    options = replace(options, spacing_mm=options.spacing_mm or settings.pixel_spacing_mm)
    info = project.info
    classes = common_classes(
        row.name, project.names.current_names(info.class_values), project.config
    )
    cases, problems = choose_cases(
        row.name, project.manifest, project.labelled, split, project.judging
    )
    why = why_nothing_was_held_out(row.name, project.manifest)
    if split is None and why:
        remarks.append(f"{why} Measured on the labelled tasks outside its training set.")
    _remove_label_maps(options.out)
    with tempfile.TemporaryDirectory(prefix="nnloop-") as scratch:
        writer = ReferenceWriter(
            context=context,
            workspace=context.workspace(project_id),
            scratch=Workspace(Path(scratch), project_id),
            config=project.config,
            settings=settings,
            n_channels=info.n_channels,
            out=options.out / REFERENCE,
        )
        ready = _write_references(cases, writer, options, problems)
        pairs = _predict(row, ready, classes.integers, options, problems)
        ignore_index = project.config.group.ignore_index
        integers = {name: integer for integer, name in classes.names.items()}
        if project.config.group.has_ignore:
            integers[IGNORED] = ignore_index
        write_json(options.out / CLASSES, {"background": 0, **integers})
        source = {"project_id": project_id, "version": row.name, "split": split}
        unions = _unions(settings, classes.config.group, remarks)
        job = EvaluationJob(
            pairs,
            classes.names,
            classes.config,
            source,
            problems,
            [*remarks, *classes.remarks],
            ignored=frozenset({ignore_index}),
            unions=unions,
        )
        return evaluate_pairs(job, options)


def _unions(
    settings: ProjectSettings, group: LabelGroup, remarks: list[str]
) -> dict[str, tuple[int, ...]]:
    """The project's unions whose classes are compared; of the others a remark."""
    found = {}
    for text in settings.unions:
        try:
            [union] = read_unions([text], group)
        except SettingsError:
            remarks.append(f"The union {text} is not measured: not all of its classes are.")
            continue
        found[union.name] = union.members
    return found


def _remove_label_maps(out: Path) -> None:
    """Removes those of an earlier evaluation, of cases that may be gone, and no other file."""
    for folder in (out / PREDICTIONS, out / REFERENCE):
        for path in folder.glob("task_*.png"):
            if _LABEL_MAP.fullmatch(path.name):
                path.unlink()


def _write_references(
    cases: list[EvaluationCase],
    writer: ReferenceWriter,
    options: EvaluationOptions,
    problems: list[Problem],
) -> list[tuple[EvaluationCase, Workspace]]:
    """The cases that can be predicted, each with the workspace that has its image."""
    ready = []
    with options.progress("Reading annotations", len(cases)) as on_case:
        for case in cases:
            try:
                ready.append((case, writer.write(case)))
            except Exception as error:  # noqa: BLE001 - what is no fault of the task is raised
                message = fault_of(case.task.id, error).in_full
                problems.append(Problem(case.case_id, "unreadable", message))
            on_case()
    return ready


def _predict(
    version: VersionRow,
    ready: list[tuple[EvaluationCase, Workspace]],
    integers: tuple[int, ...],
    options: EvaluationOptions,
    problems: list[Problem],
) -> list[Pair]:
    if not ready:
        return []
    to_predict = [
        CaseToPredict(str(workspace.root), workspace.project_id, case.case_id, case.fold)
        for case, workspace in ready
    ]
    with options.progress(f"Predicting with {version.name}", len(ready)) as on_case:
        failures = predict_cases(
            Path(version.path),
            to_predict,
            options.out / PREDICTIONS,
            device=list_devices()[0].name,
            integers=integers,
            on_case=on_case,
        )
    problems.extend(Problem(f.case_id, "prediction_failed", f.message) for f in failures)
    failed = {failure.case_id for failure in failures}
    return [
        Pair(
            case.case_id,
            options.out / PREDICTIONS / f"{case.case_id}.png",
            options.out / REFERENCE / f"{case.case_id}.png",
            workspace.image_png(case.case_id),
        )
        for case, workspace in ready
        if case.case_id not in failed
    ]


def _read_annotations(context: AppContext, project_id: int) -> list[str]:
    """Reads Label Studio; a remark when it does not answer and what was read last has to do."""
    try:
        read_project(context, project_id)
    except (LabelStudioError, SettingsError) as error:
        with context.store.begin() as session:
            read_at = projects.get(session, project_id).synced_at
        if read_at is None:
            raise
        moment = datetime.fromtimestamp(read_at).astimezone().isoformat(" ", "minutes")
        return [f"{error} The annotations are those read at {moment}."]
    return []


def _read_project(context: AppContext, project_id: int, version: str | None) -> _Project:
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        settings = project.settings
        row = _find_version(session, project_id, version)
        if row.pruned_at is not None:
            raise PredictionError(
                f"The weights of {row.name} were removed to free space.",
                remedy="Evaluate another version; `nnloop models list` names them.",
            )
        info = read_version(Path(row.path))
        config = label_config_of(project, settings)
        manifest = versions.manifest_of(session, row)
        labelled = snapshots.chosen_annotations(
            session, project_id, settings.annotator_policy, results=False
        )
        entries, joined = entries_of(manifest, labelled, _groups(config, settings.group_key))
        judging = Judging({}, frozenset())
        if manifest is not None:
            now = replace(
                GroupsNow.today(session, project_id), entries=tuple(entries), joined=joined
            )
            judges = judges_of(session, row, manifest, info.folds, now)
            judging = Judging(judges.of(entries, info.folds), judges.never_seen(entries))
    return _Project(
        config=config,
        names=label_names_of(project),
        settings=settings,
        version=row,
        info=info,
        manifest=manifest,
        labelled=list(zip(entries, labelled, strict=True)),
        judging=judging,
    )


def _groups(config: LabelConfig, group_key: str | None) -> Callable[[TaskRow], str]:
    """The group of a task as it is called now."""
    key = GroupKey.parse(group_key) if group_key else None

    def group_of(row: TaskRow) -> str:
        group = group_of_task(row, key, config.image_key) if key else None
        return group or case_id_of_task(row.id)

    return group_of


def _find_version(session: Session, project_id: int, name: str | None) -> VersionRow:
    if name is None:
        champion = versions.champion(session, project_id)
        if champion is None:
            raise PredictionError(
                f"No version of project {project_id} serves yet.",
                remedy="Wait for the first training, or name a version with --version.",
            )
        return champion
    found = versions.by_name(session, name, project_id)
    if not found:
        known = ", ".join(row.name for row in versions.versions_of(session, project_id)) or "none"
        raise PredictionError(
            f"Project {project_id} has no version {name!r}.", remedy=f"It has: {known}."
        )
    return found[0]
