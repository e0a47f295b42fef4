from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from backend.pipeline.cases import revalidate
from backend.pipeline.cases.prepare import prepare_run
from backend.pipeline.runs.stages import InterruptedStepError
from backend.pipeline.status import project_report
from backend.pipeline.sync import trigger
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import CaseRow, ProjectRow, TaskRow
from backend.store.training import runs
from domain.errors import LabelStudioError, NotEnoughCasesError, TrainingError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png, polygon
from tests.unit.backend.pipeline.preparing import SETTINGS, folds_of, label, prepare
from training.case_files import read_image

pytestmark = pytest.mark.usefixtures("_no_preprocessing")


def test_the_same_annotations_give_the_same_manifest(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
    assert prepare(app).digest == prepare(app).digest


def test_only_what_changed_is_fetched_again(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
    prepare(app)
    assert sorted(app.label_studio.fetched) == [1, 2, 3]
    app.label_studio.fetched.clear()
    before = prepare(app)
    assert app.label_studio.fetched == []
    label(app.label_studio, 4)
    app.label_studio.label(2, polygon("wall"))
    after = prepare(app)
    assert sorted(app.label_studio.fetched) == [2, 4]
    assert before.digest != after.digest
    # A file that someone deleted is made again.
    app.context.workspace(PROJECT).label_png(app.case_id(3)).unlink()
    app.label_studio.fetched.clear()
    prepare(app)
    assert app.label_studio.fetched == [3]


def test_preparing_a_run_twice_changes_nothing(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
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
    label(fake, 1, 2, 3)
    for task_id in (4, 5, 6, 7, 8):
        fake.add_task(task_id)
    del fake.images[fake.tasks[4].data["image"]]
    fake.images[fake.tasks[5].data["image"]] = b"<html>not an image</html>"
    fake.tasks[7] = replace(fake.tasks[7], data={"text": "no image field"})
    for task_id in (4, 5, 7):
        fake.label(task_id, polygon())
    fake.label(6, polygon("plaque"))
    fake.label(8, was_cancelled=True)
    manifest = prepare(app)
    assert [row.task_id for row in manifest.entries] == [1, 2, 3]
    reasons = {row.task_id: row.reason for row in manifest.left_out}
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
    assert [row.task_id for row in prepare(app).entries] == [1, 2, 3, 4]
    with app.store.begin() as session:
        left = {problem.task_id for problem in projects.open_problems(session, PROJECT)}
    assert left == {5, 6, 7}


def test_an_empty_annotation_is_a_true_negative(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
    app.label_studio.add_task(3)
    app.label_studio.label(3)
    assert [row.task_id for row in prepare(app).entries] == [1, 2, 3]
    label_map = read_image(app.context.workspace(PROJECT).label_png(app.case_id(3)))
    assert not label_map.any()


def test_too_few_usable_tasks_is_one_sentence(app: FakeApp) -> None:
    label(app.label_studio, 1)
    app.label_studio.add_task(2)
    app.label_studio.label(2, polygon("plaque"))
    with pytest.raises(NotEnoughCasesError, match=r"Only 1 of 2 labelled tasks.*Task 2: .*plaque"):
        prepare(app)


def test_one_task_is_enough_for_who_asks_for_it(app: FakeApp) -> None:
    label(app.label_studio, 1)
    manifest = prepare(app, min_annotations=1)
    assert manifest.n_folds == 1
    assert folds_of(manifest) == {1: 0}
    # With a second one they are held out in turn; the first may sit in another fold then.
    label(app.label_studio, 2)
    assert prepare(app, min_annotations=1).n_folds == 2


def test_fewer_cases_than_folds_give_fewerfolds_of(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
    manifest = prepare(app, n_folds=5)
    assert manifest.n_folds == 2


def test_a_case_keeps_its_fold_while_the_set_grows(app: FakeApp) -> None:
    label(app.label_studio, 5, 6, 7)
    first = folds_of(prepare(app))
    label(app.label_studio, 1, 2, 3, 8, 9)
    second = folds_of(prepare(app))
    assert {task: second[task] for task in first} == first
    app.label_studio.unlabel(6)
    third = folds_of(prepare(app))
    assert third == {task: fold for task, fold in second.items() if task != 6}


def test_one_group_is_in_one_fold(app: FakeApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for patient in range(4):
        label(app.label_studio, *range(10 * patient, 10 * patient + 3), patient=f"p{patient}")
    label(app.label_studio, 99)  # without the field: a group of its own
    manifest = prepare(app, group_key="patient")
    folds: dict[str, set[int]] = {}
    for row in manifest.entries:
        folds.setdefault(row.group, set()).add(row.fold)
    assert all(len(held) == 1 for held in folds.values())
    assert set(folds) == {"p0", "p1", "p2", "p3", "task_00000099"}
    [remark] = manifest.left_out
    assert (remark.task_id, remark.reason) == (99, "no_group")
    assert "13 cases, 13 of them new or changed, 0 left out" in caplog.text
    (group,) = project_report(app.context, PROJECT).problem_groups
    assert group.message == (
        "no group by group_key 'patient'; folds take tasks without a group one by one."
    )
    assert group.remedy.startswith("Fill the field 'patient' in the data of the tasks, or correct")


def test_groups_by_a_part_of_the_file_name(app: FakeApp) -> None:
    fake = app.label_studio
    label(fake, *range(1, 7))
    for task_id, task in fake.tasks.items():
        uri = f"/data/upload/1/0a1b2c3d-P{task_id % 3}_{task_id}.png"
        fake.images[uri] = fake.images[task.data["image"]]
        fake.tasks[task_id] = replace(task, data={"image": uri})
    manifest = prepare(app, group_key=r"name:^(P\d+)_", n_folds=5)
    groups = {row.task_id: row.group for row in manifest.entries}
    assert groups == {i: f"P{i % 3}" for i in range(1, 7)}
    assert manifest.n_folds == 3  # leave-one-group-out
    folds = folds_of(manifest)
    assert all(folds[i] == folds[i + 3] for i in (1, 2, 3))
    assert sorted(folds[i] for i in (1, 2, 3)) == [0, 1, 2]


def test_a_single_group_is_trained_on_as_a_whole(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3, patient="p")
    assert prepare(app, group_key="patient").n_folds == 1


def test_a_group_key_that_no_task_has_fails_the_run(app: FakeApp) -> None:
    """Going on would train and validate on the same patients without a word."""
    label(app.label_studio, 1, 2, patient="p1")
    with pytest.raises(TrainingError, match=r"None of the 2 .*'patiemt'") as caught:
        prepare(app, group_key="patiemt")
    assert "nnloop train 1" in caught.value.remedy
    assert "nnloop connect 1 --group-key KEY" in caught.value.remedy
    with pytest.raises(TrainingError, match=r"'name:\^\(P\\d\+\)_'\.$"):  # as it was written
        prepare(app, group_key=r"name:^(P\d+)_")


def test_a_colour_image_turns_the_whole_project_to_colour(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
    assert prepare(app).n_channels == 1
    image = np.zeros((40, 48, 3), np.uint8)
    image[..., 0] = 200
    app.label_studio.add_task(3, image)
    app.label_studio.label(3, polygon())
    manifest = prepare(app)
    assert manifest.n_channels == 3
    workspace = app.context.workspace(PROJECT)
    for task_id in (1, 2, 3):
        assert read_image(workspace.image_png(app.case_id(task_id))).shape == (40, 48, 3)
    with app.store.begin() as session:
        assert session.get_one(ProjectRow, PROJECT).n_channels == 3
    app.label_studio.fetched.clear()
    prepare(app)
    assert app.label_studio.fetched == []


def test_grey_saved_as_rgb_is_grey(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
    app.label_studio.add_task(3, np.full((40, 48, 3), 90, np.uint8))
    app.label_studio.label(3, polygon())
    assert prepare(app).n_channels == 1


def test_while_label_studio_is_down_no_task_is_left_out_for_it(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
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
    label(app.label_studio, 1, 2)
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


def test_what_was_annotated_while_a_run_waited_is_no_news_to_the_next(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
    app.change_settings(**SETTINGS)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        run = trigger.start(session, PROJECT, "by hand")
    assert run is not None and set(run.candidates) == {1, 2}
    label(app.label_studio, 3)
    sync_project(app.context, PROJECT)
    prepare_run(app.context, run.id, lambda: None)
    assert set(app.run(run.id).candidates) == {1, 2, 3}
    app.change_settings(**{**SETTINGS, "min_annotations": 1})
    with app.store.begin() as session:
        assert trigger.evaluate(session, PROJECT).reason.startswith("0 of 5 new")


def test_a_task_that_took_an_id_is_a_case_of_its_own(app: FakeApp) -> None:
    label(app.label_studio, 1, 2)
    before = prepare(app)
    old = app.case_id(2)
    image = app.context.workspace(PROJECT).image_png(old).read_bytes()
    app.label_studio.now = "2026-02-02T00:00:00.000000Z"
    label(app.label_studio, 2)
    app.label_studio.fetched.clear()
    after = prepare(app)
    assert app.label_studio.fetched == [2]
    assert app.case_id(2) != old
    # The old manifest's case is what it was, and the fold of the id has not moved.
    assert app.context.workspace(PROJECT).image_png(old).read_bytes() == image
    assert folds_of(before) == folds_of(after)
    sources = [{row.task_id: row.source for row in m.entries} for m in (before, after)]
    assert sources[0][1] == sources[1][1] and sources[0][2] != sources[1][2]


@pytest.mark.parametrize("has_tag", [True, False])
def test_an_image_overwritten_in_place_is_prepared_again(app: FakeApp, has_tag: bool) -> None:
    label(app.label_studio, 1, 2)
    uri = "/data/upload/2.png"
    if not has_tag:
        app.label_studio.tags[uri] = ""
    before = prepare(app)
    app.label_studio.images[uri] = png(np.full((40, 48), 9, np.uint8))
    after = prepare(app)
    image = read_image(app.context.workspace(PROJECT).image_png(app.case_id(2)))
    assert (image == 9).all()
    hashes = [{row.task_id: row.image_hash for row in m.entries} for m in (before, after)]
    assert hashes[0][1] == hashes[1][1] and hashes[0][2] != hashes[1][2]
    # An image that can't be had is not taken for another one.
    del app.label_studio.images[uri]
    app.label_studio.tags[uri] = ""
    assert len(prepare(app).entries) == 2


def test_looking_again_takes_a_limited_time_longest_ago_first(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(app.label_studio, 1, 2, 3)
    prepare(app)
    app.label_studio.tags = {f"/data/upload/{i}.png": "" for i in (1, 2, 3)}
    with app.store.begin() as session:
        for task_id, at in ((1, 20.0), (2, 10.0), (3, 30.0)):
            row = session.get_one(TaskRow, task_id)
            row.image_checked_at, row.image_tag = at, ""
    now = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(revalidate, "REVALIDATE_S", 2.5)
    app.label_studio.fetched.clear()
    prepare(app)
    assert app.label_studio.fetched == [2, 1]


def test_what_may_be_flipped_is_decided_from_the_labels_and_kept(app: FakeApp) -> None:
    """Both classes of these pictures look alike, and the wall lies right of and below the lumen."""
    label(app.label_studio, 1, 2, 3)
    found = prepare(app).symmetries
    assert found.flips == ()
    assert [reason.partition(":")[0] for reason in found.reasons] == [
        "Not flipped upside down",
        "Not flipped left to right",
        "Turned by at most 15 degrees.",
    ]
    assert "'lumen'" in found.reasons[0]


def test_a_persons_word_on_flips_overrules_the_labels(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
    found = prepare(app, mirror_train="horizontal").symmetries
    assert (found.flips, found.max_turn) == ((1,), 15.0)
    assert prepare(app, mirror_train="both").symmetries.flips == (0, 1)


def test_auto_says_why_it_took_a_preset(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
    found = prepare(app, preset="auto")
    assert found.preset.name == "pretrained"
    assert found.preset_reason == "on a CPU"
    by_hand = prepare(app, preset="tiny")
    assert (by_hand.preset.name, by_hand.preset_reason) == ("tiny", "")
    with app.store.begin() as session:
        assert runs.last_automatic_preset(session, PROJECT) == found.preset
        assert runs.last_automatic_preset(session, PROJECT + 1) is None
        newest, first = runs.runs_of(session, PROJECT)
        assert runs.presets_of(session, [newest.id, first.id]) == {
            newest.id: ("tiny", ""),
            first.id: ("pretrained", found.preset_reason),
        }
