"""Runs prepared where not every pixel is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.cases import prepare as prepare_module
from backend.pipeline.labels.mapping import LabelChange, change_labels, label_report
from backend.pipeline.sync import trigger
from backend.pipeline.sync.reading import sync_project
from backend.settings import RunSettings
from backend.store import projects
from backend.store.models import ProblemRow
from backend.store.training import runs
from domain.errors import LabelConfigError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.labels.renamed import set_config
from tests.unit.backend.pipeline.preparing import SETTINGS, label, prepare_with
from training.case_files import read_image
from training.nnunet.data.dataset import DatasetSpec
from training.versions.manifests import RunManifest

pytestmark = pytest.mark.usefixtures("_no_preprocessing")

SPARSE = CONFIG.replace(
    '<Label value="lumen"/>',
    '<Label value="Ignore"/><Label value="lumen"/><Label value="Rest"/>',
).replace("</View>", '<Choices name="rest" toName="image"><Choice value="part"/></Choices></View>')
RULES = {
    "ignore_label": "Ignore",
    "background_label": "Rest",
    "unlabelled_choice": "part",
}
PART = {"from_name": "rest", "to_name": "image", "type": "choices", "value": {"choices": ["part"]}}


def prepare(app: FakeApp, **settings: object) -> RunManifest:
    """As ``preparing.prepare``, with settings of the project."""
    app.change_settings(**{**SETTINGS, **settings})

    def of_run() -> RunSettings:
        with app.store.begin() as session:
            return run_settings(projects.get(session, PROJECT), {})

    return prepare_with(app, of_run)


def truth(app: FakeApp, task_id: int) -> npt.NDArray[Any]:
    return read_image(app.context.workspace(PROJECT).label_png(app.case_id(task_id)))


def problems(app: FakeApp) -> list[ProblemRow]:
    with app.store.begin() as session:
        return list(projects.open_problems(session, PROJECT))


@pytest.fixture
def sparse(app: FakeApp) -> FakeApp:
    """Five labelled tasks: known, by the label, by the choice, all ignored, empty and sparse."""
    set_config(app, SPARSE)
    fake = app.label_studio
    label(fake, 1)
    for task_id in (2, 3, 4, 5):
        fake.add_task(task_id)
    fake.label(2, polygon("lumen"), polygon("Ignore", at=50, size=20))
    fake.label(3, polygon("wall"), polygon("Rest", at=70, size=20), PART)
    fake.label(4, polygon("Ignore", at=-1, size=102))
    fake.label(5, PART)
    return app


def test_what_is_known_is_learned_and_the_rest_is_said(sparse: FakeApp) -> None:
    manifest = prepare(sparse, **RULES)
    assert manifest.class_values == ("lumen", "wall")
    assert [row.task_id for row in manifest.entries] == [1, 2, 3]
    assert {row.task_id: row.reason for row in manifest.left_out} == {
        4: "all_ignored",
        5: "all_ignored",
    }
    told = {row.task_id: row for row in problems(sparse)}
    assert told.keys() == {4, 5}
    assert "all of its pixels are ignored" in told[4].message
    assert "background_label" in told[4].remedy
    assert [sorted(np.unique(truth(sparse, k)).tolist()) for k in (1, 2, 3)] == [
        [0, 1, 2],
        [0, 1, 3],
        [0, 2, 3],
    ]


def test_nnunet_is_told_whether_pixels_may_be_ignored(
    sparse: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    real = vars(prepare_module)["prepare"]

    def noting(workspace: Any, cases: Any, folds: Any, spec: DatasetSpec, **more: Any) -> Any:
        told.append(spec.has_ignore)
        return real(workspace, cases, folds, spec, **more)

    monkeypatch.setattr(prepare_module, "prepare", noting)
    prepare(sparse, **RULES)
    prepare(sparse, background_label="Rest")
    assert told == [True, False]


def test_a_changed_setting_writes_the_cases_anew(sparse: FakeApp) -> None:
    first = prepare(sparse, **RULES)
    sparse.label_studio.fetched.clear()
    assert prepare(sparse, **RULES).digest == first.digest
    # What was left out is tried again, as ever.
    assert sorted(sparse.label_studio.fetched) == [4, 5]
    # Everything without a label is ignored now, also where nobody chose it.
    second = prepare(sparse, **RULES, unlabelled="ignore")
    assert second.digest != first.digest
    # What a champion was measured with on the old ones counts no more.
    assert not any(new.is_same(old) for new, old in zip(second.entries, first.entries, strict=True))
    assert sorted(np.unique(truth(sparse, 1)).tolist()) == [1, 2, 3]
    # And nothing at all: the labels are classes.
    third = prepare(sparse)
    assert third.class_values == ("Ignore", "lumen", "Rest", "wall")
    assert [row.task_id for row in third.entries] == [1, 2, 3, 4, 5]
    assert sorted(np.unique(truth(sparse, 2)).tolist()) == [0, 1, 2]
    # Of the choice it is said again that it is no region to learn from.
    assert {row.reason for row in problems(sparse)} == {"other_control"}


def test_the_choice_of_one_of_several_people(sparse: FakeApp) -> None:
    """It says of their own annotation what they did not label, and nothing about the others'."""
    fake = sparse.label_studio
    fake.add_task(6)
    fake.label(6, polygon("lumen", at=10, size=30), by=1)
    fake.label(6, polygon("lumen", at=50, size=30), PART, by=2)
    prepare(sparse, **RULES, annotator_policy="latest")
    latest = truth(sparse, 6)
    assert sorted(np.unique(latest).tolist()) == [1, 3]
    prepare(sparse, **RULES, annotator_policy="majority")
    both = truth(sparse, 6)
    # Whoever labelled all of it decides where the other did not look; where they differ, nobody
    # has the majority, and it is background.
    assert sorted(np.unique(both).tolist()) == [0, 1]
    prepare(sparse, **RULES, annotator_policy="union")
    assert (truth(sparse, 6) == 1).sum() == 2 * (latest == 1).sum()


def test_a_label_that_the_interface_lost_is_one_clear_problem(app: FakeApp) -> None:
    """Nobody has drawn it: it is no rename, the setting names what is not there."""
    set_config(app, SPARSE)
    rules = {"ignore_label": "Ignore", "background_label": "Rest"}
    label(app.label_studio, 1, 2, 3)
    prepare(app, **rules)
    set_config(app, CONFIG)
    (told,) = problems(app)
    assert told.task_id is None
    assert "ignore_label names 'Ignore', which the labelling configuration lacks" in told.message
    assert "'lumen', 'wall'" in told.remedy and "--ignore-label" in told.remedy
    with pytest.raises(LabelConfigError, match="ignore_label names 'Ignore'"):
        prepare(app, **rules)
    set_config(app, SPARSE)
    assert problems(app) == []


def test_a_label_that_is_called_otherwise_now(sparse: FakeApp) -> None:
    first = prepare(sparse, **RULES)
    set_config(sparse, SPARSE.replace("Ignore", "Unclear"))
    (told,) = [row for row in problems(sparse) if row.task_id is None]
    assert (told.reason, told.stage) == ("rename", "labels")
    assert "nnloop labels 1 --map Ignore=" in told.remedy
    report = label_report(sparse.context, PROJECT)
    assert [use.name for use in report.present] == ["Unclear", "lumen", "Rest", "wall"]
    assert [use.name for use in report.missing] == ["Ignore"]
    change_labels(sparse.context, PROJECT, LabelChange(renamed=[("Ignore", "Unclear")]))
    sync_project(sparse.context, PROJECT)
    assert [row for row in problems(sparse) if row.task_id is None] == []
    # The setting still says its old name, and so do the annotations.
    second = prepare(sparse, **RULES)
    assert [row.task_id for row in second.entries] == [row.task_id for row in first.entries]
    assert sorted(np.unique(truth(sparse, 2)).tolist()) == [0, 1, 3]


def test_labels_that_are_no_classes_are_not_waited_for(sparse: FakeApp) -> None:
    prepare(sparse, **RULES)
    with sparse.store.begin() as session:
        assert "new is the label" not in trigger.evaluate(session, PROJECT).reason
    # Without the setting they are classes that the last training did not know.
    sparse.change_settings(**SETTINGS)
    with sparse.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None and run.settings.class_values == ("lumen", "wall")
        project = projects.get(session, PROJECT)
        said = trigger._remark(project, project.settings, run)
    assert "new is the label 'Ignore'" in said


def test_a_run_that_failed_for_the_setting_is_due_when_it_is_mended(sparse: FakeApp) -> None:
    sparse.change_settings(**{**SETTINGS, "min_annotations": 3})
    wrong = {"ignore_label": "Ignored"}
    with sparse.store.begin() as session:
        settings = run_settings(projects.get(session, PROJECT), {})
    sync_project(sparse.context, PROJECT)
    for run in (1, 2):
        sparse.add_run(RunStatus.FAILED, run + 10, settings=settings.model_copy(update=wrong))
    with sparse.store.begin() as session:
        decision = trigger.evaluate(session, PROJECT)
    assert (decision.is_due, "ignore_label" in decision.reason) == (True, True), decision
