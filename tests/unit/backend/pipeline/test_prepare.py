from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.pipeline import prepare as prepare_module
from backend.pipeline.prepare import prepare_run
from backend.pipeline.runs import InterruptedStepError
from backend.pipeline.sync import sync_project
from backend.settings import ProjectSettings
from backend.store import projects, runs
from backend.store.models import CaseRow, ProjectRow
from converters.files import read_json
from domain.case import Manifest, case_id_of_task
from domain.errors import LabelStudioError, NotEnoughCasesError
from domain.status import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import FakeLabelStudio, polygon
from training.cases import CaseFiles, read_image
from training.nnunet.dataset import PreparedDataset
from training.workspace import Workspace

SETTINGS = ProjectSettings(preset="tiny", n_folds=2, min_annotations=1000).model_dump(mode="json")


@pytest.fixture(autouse=True)
def _no_preprocessing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """nnU-Net's own part takes two seconds; one test has it, the others do without."""
    if "real_dataset" in request.fixturenames:
        return

    def prepare(
        _workspace: Workspace, cases: list[CaseFiles], folds: dict[str, int], **_more: object
    ) -> PreparedDataset:
        assert {case.case_id for case in cases} == set(folds)
        used = tuple(sorted(set(folds.values())))
        return PreparedDataset(len(cases), (), (), False, used, {}, 0.0)

    monkeypatch.setattr(prepare_module, "prepare", prepare)


@pytest.fixture
def real_dataset() -> None:
    """Asks for nnU-Net's preprocessing."""


def _label(label_studio: FakeLabelStudio, *task_ids: int, **data: Any) -> None:
    for task_id in task_ids:
        label_studio.add_task(task_id, **data)
        label_studio.label(task_id, polygon("lumen"), polygon("wall", at=65, size=20))


def _prepare(app: FakeApp, **settings: object) -> dict[str, Any]:
    """A run on what Label Studio holds now; returns its manifest."""
    app.change_settings(**SETTINGS)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        last = runs.last_run(session, PROJECT)
        number = last.number + 1 if last else 1
    run_id = app.add_run(RunStatus.PREPARING, number, settings={**SETTINGS, **settings})
    try:
        prepare_run(app.context, run_id, lambda: None)
    finally:
        with app.store.begin() as session:
            session.merge(app.run(run_id)).status = RunStatus.DONE
    manifest = app.run(run_id).manifest
    assert manifest is not None
    return manifest


def _folds(manifest: dict[str, Any]) -> dict[int, int]:
    return {row["task_id"]: row["fold"] for row in manifest["entries"]}


@pytest.mark.usefixtures("real_dataset")
def test_the_manifest_names_what_is_trained_on(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2, 3)
    newest = app.label_studio.label(2, polygon("wall"))
    manifest = _prepare(app)
    assert [row["task_id"] for row in manifest["entries"]] == [1, 2, 3]
    assert manifest["entries"][1]["annotation_id"] == newest
    assert manifest["class_values"] == ["lumen", "wall"]
    assert (manifest["n_channels"], manifest["preset"], manifest["n_folds"]) == (1, "tiny", 2)
    assert Manifest.from_json(manifest).digest == manifest["digest"]
    # The files are what it says.
    workspace = app.context.workspace(PROJECT)
    label_map = read_image(workspace.label_png(case_id_of_task(2)))
    assert label_map.shape == (40, 48)
    assert set(np.unique(label_map)) == {0, 2}
    splits = read_json(workspace.preprocessed_dataset / "splits_final.json")
    for fold, split in enumerate(splits):
        held_out = {case_id_of_task(t) for t, f in _folds(manifest).items() if f == fold}
        assert set(split["val"]) == held_out
        assert held_out.isdisjoint(split["train"])
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        assert [fold.fold for fold in runs.folds_of(session, run.id)] == [0, 1]
        assert session.get_one(ProjectRow, PROJECT).n_channels == 1


def test_the_same_annotations_give_the_same_manifest(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2, 3)
    assert _prepare(app)["digest"] == _prepare(app)["digest"]


def test_only_what_changed_is_fetched_again(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2, 3)
    _prepare(app)
    assert sorted(app.label_studio.fetched) == [1, 2, 3]
    app.label_studio.fetched.clear()
    before = _prepare(app)
    assert app.label_studio.fetched == []
    _label(app.label_studio, 4)
    app.label_studio.label(2, polygon("wall"))
    after = _prepare(app)
    assert sorted(app.label_studio.fetched) == [2, 4]
    assert before["digest"] != after["digest"]
    # A file that someone deleted is made again.
    app.context.workspace(PROJECT).label_png(case_id_of_task(3)).unlink()
    app.label_studio.fetched.clear()
    _prepare(app)
    assert app.label_studio.fetched == [3]


def test_preparing_a_run_twice_changes_nothing(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2)
    app.change_settings(**SETTINGS)
    sync_project(app.context, PROJECT)
    run_id = app.add_run(RunStatus.PREPARING, settings=SETTINGS)
    prepare_run(app.context, run_id, lambda: None)
    first = app.run(run_id).manifest
    prepare_run(app.context, run_id, lambda: None)
    assert app.run(run_id).manifest == first
    with app.store.begin() as session:
        assert len(runs.folds_of(session, run_id)) == 2


def test_tasks_that_can_not_be_used_are_left_out_with_the_reason(app: FakeApp) -> None:
    fake = app.label_studio
    _label(fake, 1, 2, 3)
    for task_id in (4, 5, 6, 7, 8):
        fake.add_task(task_id)
    del fake.images[fake.tasks[4].data["image"]]
    fake.images[fake.tasks[5].data["image"]] = b"<html>not an image</html>"
    fake.tasks[7] = replace(fake.tasks[7], data={"text": "no image field"})
    for task_id in (4, 5, 7):
        fake.label(task_id, polygon())
    fake.label(6, polygon("plaque"))
    fake.label(8, was_cancelled=True)
    manifest = _prepare(app)
    assert [row["task_id"] for row in manifest["entries"]] == [1, 2, 3]
    reasons = {row["task_id"]: row["reason"] for row in manifest["left_out"]}
    assert reasons == {
        4: "image_missing",
        5: "not_an_image",
        6: "unknown_label",
        7: "image_missing",
        8: "skipped",
    }
    with app.store.begin() as session:
        problems = {p.task_id: p.message for p in projects.open_problems(session, PROJECT)}
    assert set(problems) == {4, 5, 6, 7}  # a skip is no problem
    for named, message in problems.items():
        assert message.startswith(f"Task {named}: ")
    # Repaired, it is in, and its problem is gone.
    fake.add_task(4)
    fake.label(4, polygon())
    assert [row["task_id"] for row in _prepare(app)["entries"]] == [1, 2, 3, 4]
    with app.store.begin() as session:
        left = {problem.task_id for problem in projects.open_problems(session, PROJECT)}
    assert left == {5, 6, 7}


def test_an_empty_annotation_is_a_true_negative(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2)
    app.label_studio.add_task(3)
    app.label_studio.label(3)
    assert [row["task_id"] for row in _prepare(app)["entries"]] == [1, 2, 3]
    label_map = read_image(app.context.workspace(PROJECT).label_png(case_id_of_task(3)))
    assert not label_map.any()


def test_too_few_usable_tasks_is_one_sentence(app: FakeApp) -> None:
    _label(app.label_studio, 1)
    app.label_studio.add_task(2)
    app.label_studio.label(2, polygon("plaque"))
    with pytest.raises(NotEnoughCasesError, match=r"Only 1 of 2 labelled tasks.*Task 2: .*plaque"):
        _prepare(app)


def test_fewer_cases_than_folds_give_fewer_folds(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2)
    manifest = _prepare(app, n_folds=5)
    assert manifest["n_folds"] == 2


def test_a_case_keeps_its_fold_while_the_set_grows(app: FakeApp) -> None:
    _label(app.label_studio, 5, 6, 7)
    first = _folds(_prepare(app))
    _label(app.label_studio, 1, 2, 3, 8, 9)
    second = _folds(_prepare(app))
    assert {task: second[task] for task in first} == first
    app.label_studio.unlabel(6)
    third = _folds(_prepare(app))
    assert third == {task: fold for task, fold in second.items() if task != 6}


def test_one_group_is_in_one_fold(app: FakeApp) -> None:
    for patient in range(4):
        _label(app.label_studio, *range(10 * patient, 10 * patient + 3), patient=f"p{patient}")
    _label(app.label_studio, 99)  # without the field: a group of its own
    manifest = _prepare(app, group_key="patient")
    folds_of: dict[str, set[int]] = {}
    for row in manifest["entries"]:
        folds_of.setdefault(row["group"], set()).add(row["fold"])
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert set(folds_of) == {"p0", "p1", "p2", "p3", "task_00000099"}


def test_a_colour_image_turns_the_whole_project_to_colour(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2)
    assert _prepare(app)["n_channels"] == 1
    image = np.zeros((40, 48, 3), np.uint8)
    image[..., 0] = 200
    app.label_studio.add_task(3, image)
    app.label_studio.label(3, polygon())
    manifest = _prepare(app)
    assert manifest["n_channels"] == 3
    workspace = app.context.workspace(PROJECT)
    for task_id in (1, 2, 3):
        assert read_image(workspace.image_png(case_id_of_task(task_id))).shape == (40, 48, 3)
    with app.store.begin() as session:
        assert session.get_one(ProjectRow, PROJECT).n_channels == 3
    app.label_studio.fetched.clear()
    _prepare(app)
    assert app.label_studio.fetched == []


def test_grey_saved_as_rgb_is_grey(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2)
    app.label_studio.add_task(3, np.full((40, 48, 3), 90, np.uint8))
    app.label_studio.label(3, polygon())
    assert _prepare(app)["n_channels"] == 1


def test_while_label_studio_is_down_no_task_is_left_out_for_it(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2, 3)
    app.change_settings(**SETTINGS)
    sync_project(app.context, PROJECT)
    run_id = app.add_run(RunStatus.PREPARING, settings=SETTINGS)

    def go_down() -> None:
        app.label_studio.is_down = len(app.label_studio.fetched) == 2

    with pytest.raises(LabelStudioError):
        prepare_run(app.context, run_id, go_down)
    assert app.run(run_id).manifest is None
    app.label_studio.is_down = False
    prepare_run(app.context, run_id, lambda: None)
    assert sorted(app.label_studio.fetched) == [1, 2, 3]  # what was there is not read again


def test_a_worker_asked_to_end_keeps_what_it_has(app: FakeApp) -> None:
    _label(app.label_studio, 1, 2)
    app.change_settings(**SETTINGS)
    sync_project(app.context, PROJECT)
    run_id = app.add_run(RunStatus.PREPARING, settings=SETTINGS)

    def stop() -> None:
        if app.label_studio.fetched:
            raise InterruptedStepError("The worker was asked to end.")

    with pytest.raises(InterruptedStepError):
        prepare_run(app.context, run_id, stop)
    with app.store.begin() as session:
        assert [row.task_id for row in session.query(CaseRow)] == [1]
