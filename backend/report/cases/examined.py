"""Cases with their pictures: fetched, predicted by a child process, and drawn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from backend.label_studio.views import task_page
from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of, is_of_the_whole, sentence_of
from backend.pipeline.basis.image_names import image_names
from backend.pipeline.basis.images import load_image
from backend.pipeline.evaluate.chosen_cases import EvaluationCase
from backend.pipeline.evaluate.reference_files import (
    CommonClasses,
    ReferenceWriter,
    common_classes,
)
from backend.report.cases.chosen import ChosenCase, least_sure, worst_cases
from backend.report.cases.pictures import CasePictures, draw_case
from backend.report.steps import OnStep, tell_nobody
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from converters.classes.colors import color_of
from domain.errors import LabelStudioError, NnloopError, SettingsError
from domain.labels import LabelConfig
from domain.text import one_line
from training.case_files import write_case
from training.devices import list_devices
from training.versions.case_predictions import ENTROPY, CaseToPredict, predict_cases
from training.versions.version_folder import VersionInfo, read_version
from training.workspace import Workspace

_FETCHING, _PREDICTING = "Pictures: reading images", "Pictures: predicting"


@dataclass(frozen=True, slots=True)
class ExaminedCase:
    """A case to look at.

    Attributes:
        case: Which.
        pictures: Of it; None where there are none.
        missing: Why there are none; "" where there are.
        link: Where it can be opened; "" = nowhere.
    """

    case: ChosenCase
    pictures: CasePictures | None = None
    missing: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What there is to look at in a report.

    Attributes:
        version: Name of the serving version; "" = none.
        colors: Of the classes in the pictures: (name, ``#rrggbb``); () without pictures.
        worst: Of the cases with a truth that it could not know, the worst first.
        n_judged: How many such cases there are.
        unsure: Unlabelled tasks, those with the lowest scores first.
    """

    version: str = ""
    colors: tuple[tuple[str, str], ...] = ()
    worst: tuple[ExaminedCase, ...] = ()
    n_judged: int = 0
    unsure: tuple[ExaminedCase, ...] = ()


def examined_of(
    context: AppContext,
    project_id: int,
    n_cases: int,
    pictures_s: float,
    on_step: OnStep = tell_nobody,
) -> Examined:
    """The worst cases of the serving version and the tasks it is least sure of, with pictures.

    Args:
        context: Where the project is.
        project_id: Which.
        n_cases: Of the worst, and half as many tasks; 0 or more.
        pictures_s: Seconds that fetching and predicting may take, each.
        on_step: Is told what is being done.
    """
    with context.store.read() as session:
        project = projects.get(session, project_id)
        version = versions.champion(session, project_id)
        if version is None or not n_cases:
            return Examined(version.name if version else "")
        worst, n_judged = worst_cases(session, project, version, n_cases)
        unsure = least_sure(session, version, (n_cases + 1) // 2)
        names = image_names(session, project, (one.task.id for one in (*worst, *unsure)))
        worst, unsure = ([_named(one, names) for one in cases] for cases in (worst, unsure))
        maker = _maker(context, session, version, pictures_s, on_step)
    both = [*worst, *unsure]
    colors: tuple[tuple[str, str], ...] = ()
    if isinstance(maker, str):
        drawn: _Drawn = {one.case_id: maker for one in both}
    else:
        colors = _colors(maker.config)
        with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
            at = Path(folder)
            drawn = replace(maker, scratch=Workspace(at, project_id), out=at).draw(both)
    url = context.settings.label_studio_url or ""
    is_web = url.startswith(("http://", "https://"))

    def examined(cases: Sequence[ChosenCase]) -> tuple[ExaminedCase, ...]:
        found = []
        for one in cases:
            it = drawn[one.case_id]
            pictures, missing = (None, it) if isinstance(it, str) else (it, "")
            link = task_page(url, project_id, one.task.id) if is_web else ""
            found.append(ExaminedCase(one, pictures, missing, link))
        return tuple(found)

    return Examined(version.name, colors, examined(worst), n_judged, examined(unsure))


def _named(case: ChosenCase, names: Mapping[int, str]) -> ChosenCase:
    return replace(case, name=names.get(case.task.id, ""))


def _colors(config: LabelConfig) -> tuple[tuple[str, str], ...]:
    found = []
    for one in config.group.classes:
        red, green, blue = color_of(one)
        found.append((one.value, f"#{red:02x}{green:02x}{blue:02x}"))
    return tuple(found)


_Drawn = dict[str, CasePictures | str]
"""By case id: pictures, or why there are none."""


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
    on_step: OnStep

    def draw(self, cases: Sequence[ChosenCase]) -> _Drawn:
        """Pictures of each case, or why there are none."""
        found: _Drawn = {}
        ready = self._fetched(cases, found)
        if not ready:
            return found
        predictions, reason = self.out / "predictions", "It was not predicted."
        n_done = 0

        def on_case() -> None:
            nonlocal n_done
            n_done += 1
            self.on_step(_PREDICTING, n_done, len(ready))

        self.on_step(_PREDICTING, 0, len(ready))
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
                on_case=on_case,
                entropy_within_s=self.seconds,
            )
        except NnloopError as error:  # what was predicted before that is there
            failures, reason = (), one_line(error.in_full, 600)
        reasons = {one.case_id: one.message for one in failures}
        for one in cases:
            at = ready.get(one.case_id)
            if at is None:
                continue
            prediction = predictions / f"{one.case_id}.png"
            if not prediction.exists():
                found[one.case_id] = reasons.get(one.case_id, reason)
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
                found[one.case_id] = _reason(one, error)
        return found

    def _fetched(self, cases: Sequence[ChosenCase], found: _Drawn) -> dict[str, Workspace]:
        """Of the cases whose image is there the workspace of each; their truth is written.

        Of the others ``found`` gets the reason.
        """
        writer = ReferenceWriter(
            context=self.context,
            workspace=self.context.workspace(self.version.project_id),
            scratch=self.scratch,
            config=self.config,
            settings=self.settings,
            n_channels=self.info.n_channels,
            out=self.out / "truth",
        )
        ready: dict[str, Workspace] = {}
        until, away = time.monotonic() + self.seconds, ""
        for k, one in enumerate(cases):
            self.on_step(_FETCHING, k, len(cases))
            if not writer.workspace.image_png(one.case_id).exists():
                late = time.monotonic() > until
                if late and not away:
                    away = f"Not all images could be fetched within {self.seconds:g} s."
                if away:
                    found[one.case_id] = away
                    continue
            try:
                ready[one.case_id] = self._write(writer, one)
            except (LabelStudioError, SettingsError) as error:
                away = one_line(error.in_full, 400)
                found[one.case_id] = away
            except Exception as error:  # noqa: BLE001 - the fault of one case stops no other
                found[one.case_id] = _reason(one, error)
        return ready

    def _write(self, writer: ReferenceWriter, one: ChosenCase) -> Workspace:
        if one.annotations:
            return writer.write(EvaluationCase(one.case_id, one.task, one.annotations, one.fold))
        image = load_image(self.context, one.task, self.config)
        nothing = np.zeros(image.shape[:2], np.uint8)
        write_case(self.scratch, one.case_id, image, nothing, n_channels=self.info.n_channels)
        return self.scratch


def _maker(
    context: AppContext, session: Session, version: VersionRow, seconds: float, on_step: OnStep
) -> _Maker | str:
    """Who makes pictures by a version; a sentence where nobody can."""
    project = projects.get(session, version.project_id)
    if version.pruned_at is not None:
        return f"The weights of {version.name} were removed to free space."
    try:
        info = read_version(Path(version.path))
        config = label_config_of(project, project.settings)
        names = label_names_of(project).current_names(info.class_values)
        classes = common_classes(version.name, names, config)
    except NnloopError as error:
        return one_line(error.in_full, 400)
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
        on_step,
    )


def _reason(case: ChosenCase, error: Exception) -> str:
    """Why a case has no pictures. Even what would fail everywhere does not cost the page."""
    if is_of_the_whole(error):
        return one_line(sentence_of(error), 400)
    reason = one_line(fault_of(case.task.id, error).in_full, 400)
    return reason.removeprefix(f"Task {case.task.id}: ")
