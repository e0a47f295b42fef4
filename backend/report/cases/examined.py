"""Cases with their pictures: fetched, predicted by a child process, and drawn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.images import load_image
from backend.pipeline.evaluate.chosen_cases import EvaluationCase
from backend.pipeline.evaluate.reference_files import (
    CommonClasses,
    ReferenceWriter,
    common_classes,
)
from backend.report.cases.chosen import ChosenCase, least_sure, worst_cases
from backend.report.cases.pictures import CasePictures, draw_case
from backend.settings import ProjectSettings
from backend.store import projects, versions
from backend.store.models import VersionRow
from domain.errors import LabelStudioError, NnloopError, SettingsError
from domain.labels import LabelConfig
from domain.text import one_line
from training.case_files import write_case
from training.devices import list_devices
from training.versions.case_predictions import ENTROPY, CaseToPredict, predict_cases
from training.versions.version_folder import VersionInfo, read_version
from training.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ExaminedCase:
    """A case to look at, with its pictures; None where there are none."""

    case: ChosenCase
    pictures: CasePictures | None
    link: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What there is to look at in a report.

    Attributes:
        version: Name of the serving version; "" = none.
        worst: Of the cases with a truth that it could not know, the worst first.
        n_judged: How many such cases there are.
        unsure: Unlabelled tasks, those with the lowest scores first.
        problems: Sentences on pictures that are missing.
    """

    version: str = ""
    worst: tuple[ExaminedCase, ...] = ()
    n_judged: int = 0
    unsure: tuple[ExaminedCase, ...] = ()
    problems: tuple[str, ...] = ()


def examined_of(context: AppContext, project_id: int, n_cases: int, pictures_s: float) -> Examined:
    """The worst cases of the serving version and the tasks it is least sure of, with pictures.

    Args:
        context: Where the project is.
        project_id: Which.
        n_cases: Of the worst, and half as many tasks; 0 or more.
        pictures_s: Seconds that fetching and predicting may take, each.
    """
    with context.store.read() as session:
        project = projects.get(session, project_id)
        version = versions.champion(session, project_id)
        if version is None or not n_cases:
            return Examined(version.name if version else "")
        worst, n_judged = worst_cases(session, project, version, n_cases)
        unsure = least_sure(session, version, (n_cases + 1) // 2)
        makers = _maker(context, session, version, pictures_s)
    pictures: dict[str, CasePictures] = {}
    problems: list[str] = []
    if isinstance(makers, str):
        problems.append(makers)
    else:
        with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
            maker = replace(makers, scratch=Workspace(Path(folder), project_id), out=Path(folder))
            pictures = maker.draw([*worst, *unsure], problems)
    base = (context.settings.label_studio_url or "").rstrip("/")

    def examined(cases: Sequence[ChosenCase]) -> tuple[ExaminedCase, ...]:
        return tuple(
            ExaminedCase(
                one,
                pictures.get(one.case_id),
                f"{base}/projects/{project_id}/data?task={one.task.id}"
                if base.startswith(("http://", "https://"))
                else "",
            )
            for one in cases
        )

    return Examined(version.name, examined(worst), n_judged, examined(unsure), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the pictures of cases."""

    context: AppContext
    version: VersionRow
    info: VersionInfo
    config: LabelConfig
    classes: CommonClasses
    settings: ProjectSettings
    seconds: float
    scratch: Workspace
    out: Path

    def draw(self, cases: Sequence[ChosenCase], problems: list[str]) -> dict[str, CasePictures]:
        """Pictures by case id; what can't be made is named."""
        ready = dict(self._fetched(cases, problems))
        if not ready:
            return {}
        predictions = self.out / "predictions"
        try:
            failures = predict_cases(
                Path(self.version.path),
                [
                    CaseToPredict(str(at.root), at.project_id, one.case_id, one.fold)
                    for one in cases
                    if (at := ready.get(one.case_id)) is not None
                ],
                predictions,
                device=list_devices()[0].name,
                integers=self.classes.integers,
                entropy_within_s=self.seconds,
            )
        except NnloopError as error:  # what was predicted before that is there
            problems.append(one_line(error.in_full, 600))
            failures = ()
        problems += [f"{one.case_id}: {one.message}" for one in failures]
        found = {}
        for one in cases:
            prediction = predictions / f"{one.case_id}.png"
            at = ready.get(one.case_id)
            if at is None or not prediction.exists():
                continue
            try:
                found[one.case_id] = draw_case(
                    at.image_png(one.case_id),
                    self.out / "truth" / f"{one.case_id}.png" if one.annotations else None,
                    prediction,
                    predictions / ENTROPY.format(case_id=one.case_id),
                    self.config,
                )
            except Exception as error:  # noqa: BLE001 - the fault of one case stops no other
                problems.append(_sentence(one, error))
        return found

    def _fetched(
        self, cases: Sequence[ChosenCase], problems: list[str]
    ) -> Iterable[tuple[str, Workspace]]:
        """The cases whose image is there, each with its workspace; their truth is written."""
        writer = ReferenceWriter(
            context=self.context,
            workspace=self.context.workspace(self.version.project_id),
            scratch=self.scratch,
            config=self.config,
            settings=self.settings,
            n_channels=self.info.n_channels,
            out=self.out / "truth",
        )
        until, is_away = time.monotonic() + self.seconds, ""
        for one in cases:
            needs_fetching = not writer.workspace.image_png(one.case_id).exists()
            if needs_fetching and (is_away or time.monotonic() > until):
                continue
            try:
                yield one.case_id, self._write(writer, one)
            except (LabelStudioError, SettingsError) as error:
                is_away = is_away or (
                    "Pictures of images that are not on this machine are missing: "
                    f"{one_line(error.in_full, 400)}"
                )
            except Exception as error:  # noqa: BLE001 - what is no fault of the task is raised
                problems.append(_sentence(one, error))
        if time.monotonic() > until:
            problems.append(f"Images that could not be read within {self.seconds:g} s are missing.")
        if is_away:
            problems.append(is_away)

    def _write(self, writer: ReferenceWriter, one: ChosenCase) -> Workspace:
        if one.annotations:
            return writer.write(EvaluationCase(one.case_id, one.task, one.annotations, one.fold))
        image = load_image(self.context, one.task, self.config)
        nothing = np.zeros(image.shape[:2], np.uint8)
        write_case(self.scratch, one.case_id, image, nothing, n_channels=self.info.n_channels)
        return self.scratch


def _maker(
    context: AppContext, session: Session, version: VersionRow, seconds: float
) -> _Maker | str:
    """Who makes pictures by a version; a sentence where nobody can."""
    project = projects.get(session, version.project_id)
    if version.pruned_at is not None:
        return f"There are no pictures: the weights of {version.name} were removed to free space."
    try:
        info = read_version(Path(version.path))
        config = label_config_of(project, project.settings)
        names = label_names_of(project).current_names(info.class_values)
        classes = common_classes(version.name, names, config)
    except NnloopError as error:
        return f"There are no pictures: {one_line(error.in_full, 400)}"
    nowhere = Path()
    return _Maker(
        context,
        version,
        info,
        config,
        classes,
        project.settings,
        seconds,
        Workspace(nowhere, version.project_id),
        nowhere,
    )


def _sentence(case: ChosenCase, error: Exception) -> str:
    return one_line(fault_of(case.task.id, error).in_full, 400)
