from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from backend.pipeline.quality import corrections, overlap
from backend.pipeline.quality.corrections import measure_corrections
from backend.pipeline.sync.reading import sync_project
from backend.store.forget import forget_project
from backend.store.models import PredictionRow, ProjectRow, TaskRow
from backend.store.quality import pairs as stored
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.labels.renamed import set_config
from tests.unit.backend.pipeline.quality.pushed import (
    HALF,
    SQUARE,
    add_version,
    entry_of,
    manifest_of,
    pairs,
    pool,
    predict,
)

WALL = polygon("wall", at=70.0, size=20.0)


def test_a_submitted_annotation_makes_a_pair(app: FakeApp) -> None:
    pool(app, 1, 2)
    version = add_version(app)
    predict(app, version, 1, SQUARE, score=0.7, score_low=0.5, score_high=0.9)
    predict(app, version, 2, SQUARE)
    annotation = app.label_studio.label(1, SQUARE, WALL)
    app.label_studio.fetched.clear()
    sync_project(app.context, PROJECT)
    (pair,) = pairs(app).values()
    assert (pair.task_id, pair.version_id, pair.annotation_id) == (1, version, annotation)
    # Lumen as predicted, the wall missed.
    assert pair.dice_per_class == {"lumen": 1.0, "wall": 0.0}
    assert pair.dice == 0.5
    assert (pair.score, pair.score_low, pair.score_high) == (0.7, 0.5, 0.9)
    assert pair.measures is not None
    assert pair.measures.soft_dice == 0.9
    assert app.label_studio.fetched == []
    assert measure_corrections(app.context, PROJECT) == 0  # nothing has changed since


def test_an_edit_measures_anew_and_a_deletion_takes_the_pair_away(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE)
    annotation = app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice == 1.0
    app.label_studio.update_annotation(annotation, [HALF])
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice == pytest.approx(0.4, abs=0.02)
    app.label_studio.unlabel(1)
    sync_project(app.context, PROJECT)
    assert pairs(app) == {}


def test_an_image_that_was_exchanged_takes_the_pair_away(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert len(pairs(app)) == 1
    task = app.label_studio.tasks[1]
    app.label_studio.tasks[1] = replace(task, data={"image": "/data/upload/other.png"})
    sync_project(app.context, PROJECT)
    assert pairs(app) == {}


def test_a_deleted_task_takes_the_pair_away(app: FakeApp) -> None:
    pool(app, 1, 2)
    predict(app, add_version(app), 1, SQUARE)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    del app.label_studio.tasks[1]
    sync_project(app.context, PROJECT)
    assert pairs(app) == {}


def test_what_was_not_shown_skipped_or_failed_makes_no_pair(app: FakeApp) -> None:
    pool(app, 1, 2, 3, 4)
    version = add_version(app)
    predict(app, version, 1, SQUARE, published_at=None)
    predict(app, version, 2, SQUARE)
    predict(app, version, 3, error="Task 3: no image.", measures=None)
    for task_id in (1, 3, 4):
        app.label_studio.label(task_id, SQUARE)
    app.label_studio.label(2, was_cancelled=True)
    sync_project(app.context, PROJECT)
    assert pairs(app) == {}


@pytest.mark.parametrize(
    ("predicted", "drawn", "dice"),
    [
        ([], [], 1.0),
        ([SQUARE], [], 0.0),
        ([], [SQUARE], 0.0),
        ([SQUARE], [SQUARE], 1.0),
    ],
)
def test_nothing_predicted_and_nothing_there_is_right(
    app: FakeApp, predicted: list[Any], drawn: list[Any], dice: float
) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, *predicted)
    app.label_studio.label(1, *drawn)
    sync_project(app.context, PROJECT)
    pair = pairs(app)[1]
    assert pair.dice == dice
    # A class in neither says nothing.
    assert pair.dice_per_class["wall"] is None


def test_a_pair_stays_when_the_version_retires(app: FakeApp) -> None:
    pool(app, 1, 2)
    version = add_version(app)
    predict(app, version, 1, SQUARE)
    annotation = app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    add_version(app, 2)
    with app.store.begin() as session:
        for row in session.query(PredictionRow):
            row.published_at = None
    app.label_studio.update_annotation(annotation, [HALF])
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice == pytest.approx(0.4, abs=0.02)
    assert pairs(app)[1].version_id == version


@pytest.mark.parametrize("how", ["task", "image", "group", "start", "unknown"])
def test_what_a_version_has_seen_is_no_honest_pair(app: FakeApp, how: str) -> None:
    pool(app, 1, 2, patient="a")
    if how == "group":
        app.change_settings(group_key="patient")
    with app.store.begin() as session:
        for task in session.query(TaskRow):
            task.image_hash = f"hash {task.id}"
    of_other = entry_of(app, 2, image_hash="hash 2", group="a" if how == "group" else "two")
    manifest = manifest_of([of_other], group_key="patient" if how == "group" else None)
    if how == "task":
        manifest = manifest_of([entry_of(app, 1)])
    elif how == "image":
        manifest = manifest_of([replace(of_other, image_hash="hash 1")])
    elif how == "start":
        (seen, *_) = manifest_of([entry_of(app, 1)]).entries
        start = replace(manifest.starts[0], seen=(_as_seen(seen),))
        manifest = replace(manifest, starts=(start, manifest.starts[1]))
    elif how == "unknown":
        manifest = replace(manifest, starts=())
    predict(app, add_version(app, manifest=manifest), 1, SQUARE)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice is None
    # It is not tried again, and counts nowhere.
    assert measure_corrections(app.context, PROJECT) == 0
    with app.store.begin() as session:
        assert stored.pairs_of(session, [pairs(app)[1].version_id]) == []


def _as_seen(entry: Any) -> Any:
    from training.versions.manifests import SeenCase

    return SeenCase(entry.case_id, entry.task_id, entry.source, entry.image_hash, entry.group)


def test_a_version_trained_elsewhere_may_have_seen_anything(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, app.add_imported("theirs"), 1, SQUARE)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice is None


def test_renamed_classes_are_compared_under_their_names_of_now(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE, WALL)
    annotation = app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice_per_class == {"lumen": 1.0, "wall": 0.0}
    config = app.label_studio.info.label_config
    app.label_studio.info = replace(
        app.label_studio.info, label_config=config.replace("lumen", "inside")
    )
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {"lumen": "inside"}
    app.label_studio.update_annotation(annotation, [polygon("inside"), WALL])
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice_per_class == {"inside": 1.0, "wall": 1.0}


def test_a_pair_stays_when_two_classes_become_one(app: FakeApp) -> None:
    """What is not labelled yet is predicted again; what is, never will be."""
    pool(app, 1, 2)
    version = add_version(app)
    for task_id in (1, 2):
        predict(app, version, task_id, SQUARE, WALL)
    app.label_studio.label(1, SQUARE, WALL)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {"lumen": "wall"}
    set_config(app, CONFIG.replace('<Label value="lumen"/>', ""))
    assert pairs(app)[1].dice_per_class == {"wall": 1.0}
    with app.store.begin() as session:
        assert list(session.scalars(select(PredictionRow.task_id))) == [1]


def test_a_class_that_the_version_never_learnt_is_no_fault_of_it(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app, manifest=manifest_of(classes=("lumen",))), 1, SQUARE)
    app.label_studio.label(1, SQUARE, WALL)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice_per_class == {"lumen": 1.0}
    assert pairs(app)[1].dice == 1.0


def test_several_annotators_count_by_the_policy_of_the_project(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE)
    app.label_studio.label(1, HALF)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice == 1.0
    app.label_studio.label(1, HALF)
    app.change_settings(annotator_policy="majority")
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice == pytest.approx(0.4, abs=0.02)


def test_an_annotation_that_cannot_be_read_stops_nothing(app: FakeApp) -> None:
    pool(app, 1, 2)
    version = add_version(app)
    predict(app, version, 1, SQUARE)
    predict(app, version, 2, SQUARE)
    app.label_studio.label(1, {**SQUARE, "value": {"points": "none", "polygonlabels": ["lumen"]}})
    app.label_studio.label(2, SQUARE)
    sync_project(app.context, PROJECT)
    assert {task_id: pair.dice for task_id, pair in pairs(app).items()} == {1: None, 2: 1.0}


def test_large_images_are_compared_smaller(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "MOST_PX", 400)
    pool(app, 1)
    predict(app, add_version(app), 1, {**SQUARE, "original_width": 20_000, "original_height": 9})
    app.label_studio.label(1, {**SQUARE, "original_width": 20_000, "original_height": 9})
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice == 1.0


def test_what_is_left_when_the_time_is_over_follows(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool(app, 1, 2, 3)
    version = add_version(app)
    for task_id in (1, 2, 3):
        predict(app, version, task_id, SQUARE)
        app.label_studio.label(task_id, SQUARE)
    monkeypatch.setattr(corrections, "MEASURE_S", -1.0)
    sync_project(app.context, PROJECT)
    assert pairs(app) == {}
    monkeypatch.setattr(corrections, "MEASURE_S", 5.0)
    assert measure_corrections(app.context, PROJECT) == 3


def test_a_forgotten_project_has_no_pairs(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        forget_project(session, PROJECT)
    assert pairs(app) == {}


@pytest.mark.parametrize("size", [{}, {"original_width": 48.0, "original_height": 40.0}])
def test_a_size_that_nobody_tells_makes_no_prediction_perfect(
    app: FakeApp, size: dict[str, float]
) -> None:
    """Label Studio takes both from programs."""
    pool(app, 1, 2)
    version = add_version(app)
    drawn = {k: v for k, v in SQUARE.items() if not k.startswith("original_")} | size
    predict(app, version, 1)
    predict(app, version, 2, SQUARE)
    for task_id in (1, 2):
        app.label_studio.label(task_id, drawn)
    sync_project(app.context, PROJECT)
    assert {task_id: pair.dice for task_id, pair in pairs(app).items()} == {1: 0.0, 2: 1.0}


def test_a_version_that_shares_no_class_with_the_project_is_not_perfect(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app, manifest=manifest_of(classes=("former",))), 1)
    app.label_studio.label(1, SQUARE)
    sync_project(app.context, PROJECT)
    assert pairs(app)[1].dice is None


def _interface(app: FakeApp, *changes: tuple[str, str], **mapping: str) -> None:
    """The labelling interface is changed, and people tell of renames; then it is read.

    What was annotated is read before: a prediction of the old interface is withdrawn with it.
    """
    sync_project(app.context, PROJECT)
    xml = app.label_studio.info.label_config
    for old, new in changes:
        assert old in xml
        xml = xml.replace(old, new)
    app.label_studio.info = replace(app.label_studio.info, label_config=xml)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = mapping
    sync_project(app.context, PROJECT)


LOSES_WALL = ('<Label value="wall"/>', "")


def test_a_class_that_the_interface_has_lost_leaves_the_others_comparable(app: FakeApp) -> None:
    pool(app, 1, 2, 3)
    version = add_version(app)
    predict(app, version, 1, SQUARE, WALL)
    predict(app, version, 2, WALL)
    predict(app, version, 3, SQUARE, WALL)
    app.label_studio.label(1, SQUARE)
    app.label_studio.label(2, SQUARE)
    app.label_studio.label(3)
    _interface(app, LOSES_WALL)
    assert {task_id: pair.dice_per_class for task_id, pair in pairs(app).items()} == {
        1: {"lumen": 1.0},
        2: {"lumen": 0.0},
        3: {"lumen": 0.0},
    }


def test_what_lies_over_a_class_that_stays_goes_on_hiding_it(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE, polygon("wall", size=20.0))
    app.label_studio.label(1, SQUARE)
    _interface(app, LOSES_WALL)
    # Of the square a quarter was predicted as wall.
    assert pairs(app)[1].dice_per_class["lumen"] == pytest.approx(2 * 3 / (3 + 4), abs=0.02)


def test_only_lost_classes_are_no_comparison(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE, WALL)
    app.label_studio.label(1, polygon("vein"))
    _interface(app, ("lumen", "vein"), ("wall", "bone"))
    assert pairs(app)[1].dice is None


def test_a_class_by_whose_name_another_one_goes_now_is_not_compared(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE, WALL)
    app.label_studio.label(1, polygon("inside"), WALL)
    new = '<Label value="inside"/><Label value="lumen"/>'
    _interface(app, ('<Label value="lumen"/>', new), lumen="inside")
    assert pairs(app)[1].dice_per_class == {"wall": 1.0}


def test_a_class_that_was_dropped_meanwhile_is_not_compared(app: FakeApp) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, SQUARE, WALL)
    app.label_studio.label(1, SQUARE, WALL)
    _interface(app, LOSES_WALL, wall="")
    assert pairs(app)[1].dice_per_class == {"lumen": 1.0}


def test_what_another_control_draws_now_is_not_taken_for_nothing(app: FakeApp) -> None:
    """The classes of regions that can't be read any more are not compared, others are."""
    pool(app, 1, 2, 3)
    version = add_version(app)
    predict(app, version, 1, SQUARE, {**WALL, "from_name": "gone"})
    strokes = {"format": "rle", "rle": [], "brushlabels": ["wall"]}
    predict(app, version, 2, SQUARE, {**WALL, "type": "brushlabels", "value": strokes})
    predict(app, version, 3, SQUARE, {**WALL, "type": "brushlabels"})
    for task_id in (1, 2, 3):
        app.label_studio.label(task_id, SQUARE, WALL)
    sync_project(app.context, PROJECT)
    assert {task_id: pair.dice_per_class for task_id, pair in pairs(app).items()} == {
        1: {"lumen": 1.0},
        2: {"lumen": 1.0},
        3: {},  # nobody knows of which class it was
    }
