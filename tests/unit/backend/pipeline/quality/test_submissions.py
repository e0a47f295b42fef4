"""What each annotation cost when it was first submitted."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from active_learning.effort import Effort
from backend.label_studio import PushedPrediction
from backend.pipeline.quality import submissions
from backend.pipeline.quality.submissions import measure_submissions
from backend.pipeline.sync.reading import sync_project
from backend.store.forget import forget_project
from backend.store.models import PredictionRow, ProjectRow
from backend.store.quality.efforts import EffortRow
from converters.label_studio.beginnings import Beginning
from converters.label_studio.predicted import as_predicted
from domain.errors import LabelStudioError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.quality.pushed import (
    add_version,
    entry_of,
    manifest_of,
    pairs,
    pool,
    predict,
)

LUMEN, WALL = as_predicted([polygon("lumen"), polygon("wall", at=70.0, size=20.0)])
BY_HAND = polygon("lumen", at=10.0)
MADE = "2026-02-01T10:00:00.000000Z"


def _efforts(app: FakeApp) -> dict[int, EffortRow]:
    """By annotation."""
    with app.store.begin() as session:
        return {row.annotation_id: row for row in session.scalars(select(EffortRow))}


def _moved(region: dict[str, Any], by: float = 5.0) -> dict[str, Any]:
    """One of its points elsewhere."""
    (x, y), *rest = region["value"]["points"]
    return {**region, "value": {**region["value"], "points": [[x + by, y], *rest]}}


def _total(row: EffortRow) -> Effort:
    return sum(row.classes.values(), Effort())


def _edit(app: FakeApp, annotation_id: int, *regions: dict[str, Any], **values: Any) -> None:
    """What Label Studio holds of an annotation after somebody saved it again."""
    app.label_studio.update_annotation(annotation_id, list(regions))
    for task in list(app.label_studio.tasks.values()):
        changed = tuple(
            replace(one, **values) if one.id == annotation_id else one for one in task.annotations
        )
        app.label_studio.tasks[task.id] = replace(task, annotations=changed)


def test_unchanged_edited_and_drawn_from_nothing(app: FakeApp) -> None:
    pool(app, 1, 2, 3)
    version = add_version(app)
    for task_id in (1, 2, 3):
        predict(app, version, task_id, LUMEN, WALL, score=0.7)
    studio = app.label_studio
    kept = studio.label(1, LUMEN, WALL, by=5, lead_time_s=6.5, parent_prediction=11)
    edited = studio.label(2, _moved(LUMEN), BY_HAND, by=5, lead_time_s=30.0, parent_prediction=12)
    drawn = studio.label(3, BY_HAND, by=6, lead_time_s=40.0)
    studio.calls.clear()
    sync_project(app.context, PROJECT)
    assert studio.calls.count("iter_tasks") == 1
    found = _efforts(app)
    assert found[kept].version_id == version
    assert found[kept].score == 0.7
    assert (found[kept].annotator_id, found[kept].lead_time_s) == (5, 6.5)
    assert _total(found[kept]) == Effort(n_kept=2)
    assert (found[kept].n_regions, found[kept].n_points) == (2, 8)
    assert found[kept].dice == 1.0
    assert found[edited].classes["lumen"] == Effort(
        n_edited=1, n_drawn=1, points_moved=1, points_drawn=4
    )
    assert found[edited].classes["wall"] == Effort(n_removed=1)
    assert found[edited].dice_per_class["wall"] == 0.0
    assert found[drawn].beginning == Beginning.NOTHING
    assert found[drawn].version_id is None
    assert found[drawn].dice is None
    assert _total(found[drawn]) == Effort(n_drawn=1, points_drawn=4)
    assert measure_submissions(app.context, PROJECT) == 0  # nothing has changed since


def test_effort_counts_also_where_the_version_has_seen_the_image(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app, manifest=manifest_of([entry_of(app, 1)]))
    predict(app, version, 1, LUMEN, WALL)
    annotation = app.label_studio.label(1, LUMEN)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice is None
    assert _efforts(app)[annotation].version_id == version
    assert _efforts(app)[annotation].dice == 0.5


def test_an_empty_prediction_that_was_accepted(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    parent = predict(app, version, 1)
    annotation = app.label_studio.label(1, parent_prediction=parent, lead_time_s=3.0)
    sync_project(app.context, PROJECT)
    row = _efforts(app)[annotation]
    assert (row.version_id, row.dice, row.n_regions) == (version, 1.0, 0)
    assert _total(row).is_unchanged


def test_labelled_before_the_prediction_was_made(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    annotation = app.label_studio.label(1, BY_HAND, at=MADE)
    predict(app, version, 1, LUMEN, published_at=None, created_at=time.time())
    app.label_studio.calls.clear()
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].beginning == Beginning.NOTHING
    assert "iter_predictions" not in app.label_studio.calls


def test_a_newer_version_came_while_the_old_prediction_was_open(app: FakeApp) -> None:
    pool(app, 1, 2)
    old = add_version(app)
    new = add_version(app, 2)
    for task_id in (1, 2):
        predict(app, old, task_id, LUMEN, published_at=None, created_at=1.0)
        predict(app, new, task_id, WALL)
    kept = app.label_studio.label(1, LUMEN, at=MADE)
    # All of the old one was removed and Label Studio has forgotten it: nobody can tell.
    drawn = app.label_studio.label(2, BY_HAND, at=MADE)
    sync_project(app.context, PROJECT)
    found = _efforts(app)
    assert found[kept].version_id == old
    assert _total(found[kept]).is_unchanged
    assert found[drawn].beginning == Beginning.OTHER


def test_what_was_held_back_was_never_shown(app: FakeApp) -> None:
    pool(app, 1)
    old = add_version(app)
    add_version(app, 2)
    predict(app, old, 1, LUMEN, published_at=None, created_at=1.0, held="no score")
    annotation = app.label_studio.label(1, BY_HAND, at=MADE)
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].beginning == Beginning.NOTHING


def test_label_studio_forgets_the_parent_with_the_prediction(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool(app, 1)
    version = add_version(app)
    parent = predict(app, version, 1, LUMEN)
    annotation = app.label_studio.label(1, BY_HAND, parent_prediction=parent, at=MADE)
    monkeypatch.setattr(submissions, "MEASURE_S", -1.0)
    sync_project(app.context, PROJECT)
    app.label_studio.clear_predictions(PROJECT, [1])
    _edit(app, annotation, BY_HAND, parent_prediction=None)
    monkeypatch.setattr(submissions, "MEASURE_S", 5.0)
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].version_id == version


def test_a_second_look_of_the_same_person_is_the_same_work(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    annotation = app.label_studio.label(1, LUMEN, by=5, at=MADE, lead_time_s=4.0)
    sync_project(app.context, PROJECT)
    assert _total(_efforts(app)[annotation]).is_unchanged
    _edit(
        app, annotation, BY_HAND, updated_by=5, updated_at="2026-02-01T10:10:00Z", lead_time_s=20.0
    )
    sync_project(app.context, PROJECT)
    row = _efforts(app)[annotation]
    assert (row.version_id, row.lead_time_s) == (version, 20.0)
    assert _total(row) == Effort(n_removed=1, n_drawn=1, points_drawn=4)


@pytest.mark.parametrize(("by", "at"), [(5, "2026-02-02T10:10:00Z"), (9, "2026-02-01T10:10:00Z")])
def test_what_is_changed_later_or_by_others_says_nothing_about_the_prediction(
    app: FakeApp, by: int, at: str
) -> None:
    pool(app, 1, 2)
    version = add_version(app)
    for task_id in (1, 2):
        predict(app, version, task_id, LUMEN)
    annotation = app.label_studio.label(1, LUMEN, by=5, at=MADE, lead_time_s=4.0)
    sync_project(app.context, PROJECT)
    unseen = app.label_studio.label(2, LUMEN, by=5, at=MADE)
    for one in (annotation, unseen):
        _edit(app, one, BY_HAND, updated_by=by, updated_at=at, lead_time_s=60.0)
    sync_project(app.context, PROJECT)
    found = _efforts(app)
    assert _total(found[annotation]).is_unchanged
    assert found[annotation].lead_time_s == 4.0
    # Of one that was never read as it was first submitted, nobody knows what that was.
    assert found[unseen].beginning == Beginning.OTHER
    assert pairs(app)[1].dice is not None  # the pair is of the annotation as it is now
    assert pairs(app)[1].dice != 1.0


def test_hints_that_are_lost_lose_nothing(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    # Submitted and looked at again before anything is read.
    annotation = app.label_studio.label(1, LUMEN, by=5, at=MADE, lead_time_s=4.0)
    again = {"updated_by": 5, "updated_at": "2026-02-01T10:30:00Z", "lead_time_s": 9.0}
    _edit(app, annotation, _moved(LUMEN), **again)
    sync_project(app.context, PROJECT)
    row = _efforts(app)[annotation]
    assert (row.version_id, row.lead_time_s) == (version, 9.0)
    assert _total(row) == Effort(n_edited=1, points_moved=1)


def test_a_skip_cost_nothing_until_it_is_submitted_after_all(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    annotation = app.label_studio.label(1, LUMEN, by=5, at=MADE, was_cancelled=True)
    sync_project(app.context, PROJECT)
    assert _efforts(app) == {}
    submitted = {"updated_by": 5, "updated_at": "2026-02-01T10:20:00Z", "lead_time_s": 8.0}
    _edit(app, annotation, LUMEN, was_cancelled=False, **submitted)
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].version_id == version


def test_two_annotators_of_a_task_have_each_their_own(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    kept = app.label_studio.label(1, LUMEN, by=5, lead_time_s=3.0)
    drawn = app.label_studio.label(1, BY_HAND, by=6, lead_time_s=33.0)
    sync_project(app.context, PROJECT)
    found = _efforts(app)
    assert (found[kept].version_id, found[kept].annotator_id) == (version, 5)
    assert (found[drawn].version_id, found[drawn].annotator_id) == (None, 6)


def test_a_class_that_was_renamed_meanwhile_is_no_other(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN, WALL)
    info = app.label_studio.info
    app.label_studio.info = replace(info, label_config=info.label_config.replace("lumen", "inside"))
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {"lumen": "inside"}
    renamed = {**LUMEN, "value": {**LUMEN["value"], "polygonlabels": ["inside"]}}
    swapped = {**WALL, "value": {**WALL["value"], "polygonlabels": ["inside"]}}
    annotation = app.label_studio.label(1, renamed, swapped)
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].classes == {
        "inside": Effort(n_kept=1, n_edited=1, n_relabelled=1)
    }


def test_skipped_deleted_exchanged_and_forgotten(app: FakeApp) -> None:
    pool(app, 1, 2, 3)
    version = add_version(app)
    for task_id in (1, 2, 3):
        predict(app, version, task_id, LUMEN)
    studio = app.label_studio
    ids = [studio.label(task_id, LUMEN, at=MADE) for task_id in (1, 2, 3)]
    sync_project(app.context, PROJECT)
    assert sorted(_efforts(app)) == ids
    studio.unlabel(1)
    _edit(app, ids[1], LUMEN, was_cancelled=True)
    studio.tasks[3] = replace(studio.tasks[3], data={"image": "/data/upload/other.png"})
    studio.images["/data/upload/other.png"] = studio.images["/data/upload/1.png"]
    sync_project(app.context, PROJECT)
    # What is on another image now was not made of the prediction of the former.
    (row,) = _efforts(app).values()
    assert (row.annotation_id, row.beginning) == (ids[2], Beginning.OTHER)
    with app.store.begin() as session:
        forget_project(session, PROJECT)
    assert _efforts(app) == {}


def test_a_draft_costs_nothing_until_it_is_submitted(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    app.label_studio.drafts[1] = {5}
    sync_project(app.context, PROJECT)
    assert _efforts(app) == {}
    annotation = app.label_studio.label(1, _moved(LUMEN), by=5, at=MADE, lead_time_s=12.0)
    # Somebody's draft of an annotation that is there says nothing about it either.
    app.label_studio.drafts[1] = {6}
    sync_project(app.context, PROJECT)
    (row,) = _efforts(app).values()
    assert (row.annotation_id, row.version_id, row.annotator_id) == (annotation, version, 5)


def test_a_skip_costs_nothing_until_a_label_takes_its_place(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    app.label_studio.label(1, LUMEN, by=5, was_cancelled=True, lead_time_s=2.0)
    sync_project(app.context, PROJECT)
    assert _efforts(app) == {}
    annotation = app.label_studio.label(1, LUMEN, by=6, lead_time_s=9.0)
    sync_project(app.context, PROJECT)
    (row,) = _efforts(app).values()
    assert (row.annotation_id, row.version_id, row.lead_time_s) == (annotation, version, 9.0)


@pytest.mark.parametrize("lead_time_s", [None, 0.0, 9 * 3600.0])
def test_a_clock_that_did_not_run_or_ran_over_night_is_kept_as_it_is(
    app: FakeApp, lead_time_s: float | None
) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, LUMEN)
    annotation = app.label_studio.label(1, LUMEN, by=5, lead_time_s=lead_time_s)
    sync_project(app.context, PROJECT)
    row = _efforts(app)[annotation]
    assert row.lead_time_s == lead_time_s
    assert _total(row).is_unchanged


def test_a_submission_of_which_no_webhook_told(app: FakeApp) -> None:
    """The next reading comes late: after a newer version's predictions and a second annotator."""
    pool(app, 1, 2)
    old = add_version(app)
    for task_id in (1, 2):
        predict(app, old, task_id, LUMEN, WALL)
    kept = app.label_studio.label(1, LUMEN, WALL, by=5, at=MADE, parent_prediction=3)
    edited = app.label_studio.label(1, _moved(LUMEN), WALL, by=6, at=MADE, parent_prediction=3)
    new = add_version(app, 2)
    with app.store.begin() as session:
        for row in session.scalars(select(PredictionRow)):
            row.published_at, row.created_at = None, 1.0
    for task_id in (1, 2):
        predict(app, new, task_id, BY_HAND)
    # The predictions that they began with are deleted, and Label Studio has forgotten them.
    for annotation, regions in ((kept, (LUMEN, WALL)), (edited, (_moved(LUMEN), WALL))):
        _edit(app, annotation, *regions, parent_prediction=None)
    sync_project(app.context, PROJECT)
    found = _efforts(app)
    assert {i: row.version_id for i, row in found.items()} == {kept: old, edited: old}
    assert _total(found[kept]).is_unchanged
    assert _total(found[edited]) == Effort(n_kept=1, n_edited=1, points_moved=1)
    sync_project(app.context, PROJECT)  # and the one after that finds nothing new
    assert measure_submissions(app.context, PROJECT) == 0


def test_an_annotation_deleted_and_submitted_again_counts_once(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    app.label_studio.label(1, LUMEN, by=5, at=MADE, lead_time_s=4.0)
    sync_project(app.context, PROJECT)
    app.label_studio.unlabel(1)
    again = app.label_studio.label(
        1, _moved(LUMEN), by=5, at="2026-02-01T11:00:00Z", lead_time_s=14.0
    )
    sync_project(app.context, PROJECT)
    (row,) = _efforts(app).values()
    assert (row.annotation_id, row.version_id, row.lead_time_s) == (again, version, 14.0)
    assert _total(row) == Effort(n_edited=1, points_moved=1)


def test_an_id_that_is_given_out_anew_is_another_annotation(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, LUMEN)
    annotation = app.label_studio.label(1, LUMEN, by=5, at=MADE)
    sync_project(app.context, PROJECT)
    app.label_studio.unlabel(1)
    app.label_studio._annotation_id = annotation - 1
    again = app.label_studio.label(1, BY_HAND, by=6, at="2026-02-03T10:00:00Z")
    assert again == annotation
    sync_project(app.context, PROJECT)
    row = _efforts(app)[annotation]
    assert (row.annotator_id, row.beginning) == (6, Beginning.NOTHING)


def test_what_cannot_be_read_stops_nothing(app: FakeApp) -> None:
    pool(app, 1, 2)
    version = add_version(app)
    for task_id in (1, 2):
        predict(app, version, task_id, LUMEN)
    broken = {**LUMEN, "value": {"points": "none", "polygonlabels": ["lumen"]}}
    annotation = app.label_studio.label(1, broken, "no region at all")  # type: ignore[arg-type]
    other = app.label_studio.label(2, LUMEN, parent_prediction=3)
    sync_project(app.context, PROJECT)
    found = _efforts(app)
    assert found[annotation].dice is None
    assert found[other].dice == 1.0


def test_what_is_left_when_the_time_is_over_follows(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool(app, 1, 2, 3)
    version = add_version(app)
    for task_id in (1, 2, 3):
        predict(app, version, task_id, LUMEN)
        app.label_studio.label(task_id, LUMEN)
    monkeypatch.setattr(submissions, "MEASURE_S", -1.0)
    sync_project(app.context, PROJECT)
    assert _efforts(app) == {}
    monkeypatch.setattr(submissions, "MEASURE_S", 5.0)
    assert measure_submissions(app.context, PROJECT) == 3


def test_an_interface_that_cannot_be_read_leaves_it_to_later(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, LUMEN)
    config = app.label_studio.info.label_config
    app.label_studio.info = replace(app.label_studio.info, label_config="<View/>")
    app.label_studio.label(1, LUMEN)
    sync_project(app.context, PROJECT)
    assert _efforts(app) == {}
    app.label_studio.info = replace(app.label_studio.info, label_config=config)
    sync_project(app.context, PROJECT)
    assert len(_efforts(app)) == 1


def test_another_programs_prediction_is_none_of_ours(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, LUMEN)
    theirs = {**polygon("lumen", at=30.0), "id": "theirs", "origin": "prediction"}
    annotation = app.label_studio.label(1, theirs, parent_prediction=99)
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].beginning == Beginning.OTHER


def test_predictions_that_failed_are_no_beginning(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, error="Task 1: no image.", measures=None)
    annotation = app.label_studio.label(1, BY_HAND)
    sync_project(app.context, PROJECT)
    assert _efforts(app)[annotation].beginning == Beginning.NOTHING
    with app.store.begin() as session:
        assert session.scalar(select(PredictionRow.version_id)) == version


def test_a_prediction_that_somebody_deleted_there_was_no_clean_page(app: FakeApp) -> None:
    """The serving version's: it was shown, found useless, and all was drawn anew."""
    pool(app, 1, 2, 3)
    version = add_version(app)
    for task_id in (1, 2, 3):
        predict(app, version, task_id, LUMEN)
    app.label_studio.clear_predictions(PROJECT, [1])
    by_hand: dict[str, Any] = {"by": 5, "at": MADE, "lead_time_s": 40.0}
    useless, clean = (app.label_studio.label(task_id, BY_HAND, **by_hand) for task_id in (1, 2))
    # Deleted and pushed again, as with another score: it may have been there, or not yet.
    app.label_studio.clear_predictions(PROJECT, [3])
    again = app.label_studio.label(3, BY_HAND, **by_hand)
    app.label_studio.now = "2026-02-01T10:00:05.000000Z"
    predict(app, version, 3, LUMEN)
    app.label_studio.calls.clear()
    sync_project(app.context, PROJECT)
    found = {i: row.beginning for i, row in _efforts(app).items()}
    assert found == {
        useless: Beginning.OTHER,
        clean: Beginning.NOTHING,
        again: Beginning.OTHER,
    }
    assert app.label_studio.calls.count("iter_predictions") == 1
    app.label_studio.calls.clear()
    sync_project(app.context, PROJECT)  # and nothing is asked twice
    assert "iter_predictions" not in app.label_studio.calls


def test_what_is_sure_without_asking_is_not_asked(app: FakeApp) -> None:
    pool(app, 1, 2, 3)
    version = add_version(app)
    predict(app, version, 1, LUMEN)
    predict(app, version, 2, LUMEN)
    app.label_studio.label(1, _moved(LUMEN), at=MADE)
    app.label_studio.label(2, {**BY_HAND, "origin": "prediction"}, at=MADE)
    app.label_studio.label(3, BY_HAND, at=MADE)
    app.label_studio.calls.clear()
    sync_project(app.context, PROJECT)
    assert len(_efforts(app)) == 3
    assert "iter_predictions" not in app.label_studio.calls


def test_what_label_studio_did_not_answer_follows(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool(app, 1, 2)
    version = add_version(app)
    for task_id in (1, 2):
        predict(app, version, task_id, LUMEN)
    kept = app.label_studio.label(1, LUMEN, at=MADE)
    drawn = app.label_studio.label(2, BY_HAND, at=MADE)

    def _refuse(*_: Any, **__: Any) -> Any:
        raise LabelStudioError("Label Studio did not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(app.label_studio, "iter_predictions", _refuse)
        sync_project(app.context, PROJECT)
    assert sorted(_efforts(app)) == [kept]
    sync_project(app.context, PROJECT)
    assert _efforts(app)[drawn].beginning == Beginning.NOTHING


def test_all_was_removed_of_one_of_two_predictions(app: FakeApp) -> None:
    """Label Studio's id says of which; of one that is gone, that it is none of those it has."""
    pool(app, 1, 2, 3)
    old, new = add_version(app), add_version(app, 2)
    olds = [predict(app, old, task_id, LUMEN) for task_id in (1, 2, 3)]
    for task_id in (1, 2, 3):
        predict(app, new, task_id, WALL)
    theirs = 9_000
    parents = (olds[0], olds[1], theirs)
    first, gone, others = (
        app.label_studio.label(task_id, BY_HAND, at=MADE, parent_prediction=parent)
        for task_id, parent in zip((1, 2, 3), parents, strict=True)
    )
    assert olds[1] is not None
    app.label_studio.delete_prediction(olds[1])
    sync_project(app.context, PROJECT)
    found = _efforts(app)
    assert {i: row.version_id for i, row in found.items()} == {first: old, gone: old, others: None}
    assert found[others].beginning == Beginning.OTHER


def test_all_was_removed_of_another_programs_prediction(app: FakeApp) -> None:
    """It is there still; nnloop's own, which somebody deleted, was not what it began with."""
    pool(app, 1)
    ours = predict(app, add_version(app), 1, LUMEN)
    theirs = PushedPrediction(1, [], 0.5, "another model")
    app.label_studio.import_predictions(PROJECT, [theirs])
    parent = app.label_studio.predictions[-1].id
    assert ours is not None
    app.label_studio.delete_prediction(ours)
    annotation = app.label_studio.label(1, BY_HAND, at=MADE, parent_prediction=parent)
    sync_project(app.context, PROJECT)
    effort = _efforts(app)[annotation]
    assert (effort.beginning, effort.version_id) == (Beginning.OTHER, None)
    assert effort.classes["lumen"].n_removed == 0
