"""An annotation that somebody opens and saves, drawing nothing, stays the label that it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from backend.pipeline.labels.writing import write_labels
from backend.pipeline.quality.submissions import measure_submissions
from backend.pipeline.sync import trigger
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import AnnotationRow, RunRow
from backend.store.quality.efforts import EffortRow
from backend.store.tasks import snapshots
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.needed import ON_POSTGRESQL
from tests.unit.backend.pipeline.labels.renamed import RENAMED, hashes, set_config
from tests.unit.backend.pipeline.quality.pushed import add_version, pairs, pool, predict

IMPORTED = polygon("lumen")


def as_saved(region: dict[str, Any]) -> dict[str, Any]:
    """As the editor writes what was imported: with an origin, and 20.0 as 20."""
    points = [[int(x), int(y)] for x, y in region["value"]["points"]]
    return {**region, "origin": "manual", "value": {**region["value"], "points": points}}


def rows(app: FakeApp) -> dict[int, AnnotationRow]:
    with app.store.begin() as session:
        return {row.id: row for row in session.scalars(select(AnnotationRow))}


def changed_since(app: FakeApp, run_id: int) -> int:
    """Labels that a run has not seen as they are, as the trigger counts them."""
    with app.store.begin() as session:
        policy = projects.get(session, PROJECT).settings.annotator_policy
        now = snapshots.chosen_hashes(session, PROJECT, policy)
        read = session.get_one(RunRow, run_id).candidates
    return sum(now[task_id] != read.get(task_id) for task_id in now)


@pytest.fixture
def imported(app: FakeApp) -> int:
    """The only annotation, imported and read; the run that learnt it is over."""
    pool(app, 1)
    predict(app, add_version(app), 1, IMPORTED)
    annotation = app.label_studio.label(1, IMPORTED, at="2026-02-01T10:00:00Z")
    sync_project(app.context, PROJECT)
    return annotation


def run_over(app: FakeApp) -> int:
    with app.store.begin() as session:
        run = trigger.start(session, PROJECT, "requested by a person")
        assert run is not None
        run.status = RunStatus.DONE
        return run.id


def test_nothing_follows_from_it(app: FakeApp, imported: int) -> None:
    run_id = run_over(app)
    of_case, pair = hashes(app), pairs(app)[1].id
    (effort,) = _efforts(app)
    for result in ([as_saved(IMPORTED)], [IMPORTED], [as_saved(IMPORTED)]):
        app.label_studio.update_annotation(imported, result)
        assert sync_project(app.context, PROJECT).changed == 0
        assert rows(app)[imported].result == result  # what is exported is what is there
    assert changed_since(app, run_id) == 0
    assert hashes(app) == of_case
    assert pairs(app)[1].id == pair
    assert measure_submissions(app.context, PROJECT) == 0
    assert _efforts(app) == [effort]
    # What is drawn then is news, also where it is drawn back.
    moved = polygon("lumen", at=21.0)
    app.label_studio.update_annotation(imported, [moved])
    assert sync_project(app.context, PROJECT).changed == 1
    assert changed_since(app, run_id) == 1
    app.label_studio.update_annotation(imported, [as_saved(IMPORTED)])
    assert sync_project(app.context, PROJECT).changed == 1


def _efforts(app: FakeApp) -> list[float]:
    with app.store.begin() as session:
        return [row.measured_at for row in session.scalars(select(EffortRow))]


def test_a_store_of_before_it_was_told_apart(app: FakeApp, imported: int) -> None:
    """Rows without the hash of what was written: nothing is news to them either."""
    with app.store.begin() as session:
        session.get_one(AnnotationRow, imported).result_hash = ""
    assert sync_project(app.context, PROJECT).changed == 0
    with app.store.begin() as session:
        session.get_one(AnnotationRow, imported).result_hash = ""
    app.label_studio.update_annotation(imported, [as_saved(IMPORTED)])
    assert sync_project(app.context, PROJECT).changed == 0


def test_an_id_that_is_given_to_another_annotation_is_another_label(
    app: FakeApp, imported: int
) -> None:
    before = rows(app)[imported].content_hash
    app.label_studio.unlabel(1)
    app.label_studio._annotation_id = imported - 1
    again = app.label_studio.label(1, as_saved(IMPORTED), at="2026-02-03T10:00:00Z")
    assert again == imported
    assert sync_project(app.context, PROJECT).changed == 1
    assert rows(app)[imported].content_hash != before


def test_a_skip_that_was_submitted_after_all_is_news(app: FakeApp, imported: int) -> None:
    for is_skip in (True, False):
        task = app.label_studio.tasks[1]
        (annotation,) = task.annotations
        saved = replace(annotation, result=[as_saved(IMPORTED)], was_cancelled=is_skip)
        app.label_studio.tasks[1] = replace(task, annotations=(saved,))
        assert sync_project(app.context, PROJECT).changed == 1


@pytest.mark.parametrize("policy", ["union", "majority", "staple"])
def test_who_of_several_saved_last_changes_nothing_where_all_count(
    app: FakeApp, policy: str
) -> None:
    app.change_settings(annotator_policy=policy)
    app.label_studio.add_task(1)
    first = app.label_studio.label(1, IMPORTED, by=1, at="2026-02-01T10:00:00Z")
    app.label_studio.label(1, polygon("lumen", size=30.0), by=2, at="2026-02-01T11:00:00Z")
    sync_project(app.context, PROJECT)
    run_id = run_over(app)
    app.label_studio.update_annotation(first, [as_saved(IMPORTED)])
    assert sync_project(app.context, PROJECT).changed == 0
    assert changed_since(app, run_id) == 0
    app.label_studio.update_annotation(first, [polygon("lumen", at=21.0)])
    sync_project(app.context, PROJECT)
    assert changed_since(app, run_id) == 1


def test_a_rename_is_written_into_what_was_saved_and_not_yet_read(app: FakeApp) -> None:
    """To the next run neither of the two is news."""
    app.label_studio.add_task(1)
    annotation = app.label_studio.label(1, IMPORTED, at="2026-02-01T10:00:00Z")
    sync_project(app.context, PROJECT)
    run_id = run_over(app)
    set_config(app, RENAMED)
    with app.store.begin() as session:
        projects.get(session, PROJECT).label_mapping = {"lumen": "Lumen"}
    app.label_studio.update_annotation(annotation, [as_saved(IMPORTED)])
    assert write_labels(app.context, PROJECT, is_dry=False).annotations == 1
    sync_project(app.context, PROJECT)
    assert changed_since(app, run_id) == 0


MASK = {
    "id": "m",
    "from_name": "label",
    "to_name": "image",
    "type": "brushlabels",
    "value": {"format": "rle", "rle": [0, 0, 0, 4, 0, 0, 0, 0], "brushlabels": ["lumen"]},
}


@pytest.mark.parametrize(
    "strange",
    [
        MASK,  # nobody says how large its image is
        {**MASK, "original_width": 0, "original_height": 0},
        {"id": "t", "from_name": "t", "type": "textarea", "value": {"text": ["half \ud83d"]}},
        {"id": ["t"], "from_name": None, "type": 5, "value": None},
    ],
)
def test_what_cannot_be_read_stops_no_reading(app: FakeApp, strange: dict[str, Any]) -> None:
    pool(app, 1)
    predict(app, add_version(app), 1, IMPORTED)
    annotation = app.label_studio.label(1, IMPORTED, strange, at="2026-02-01T10:00:00Z")
    assert sync_project(app.context, PROJECT).changed == 1
    app.label_studio.update_annotation(annotation, [as_saved(IMPORTED), strange])
    assert sync_project(app.context, PROJECT).changed == 0
    app.label_studio.update_annotation(annotation, [as_saved(IMPORTED)])
    assert sync_project(app.context, PROJECT).changed == 1


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL takes no row that is damaged so")
def test_a_row_that_is_damaged_is_replaced_by_what_is_there(app: FakeApp, imported: int) -> None:
    with app.store.engine.begin() as connection:
        connection.execute(text("UPDATE annotation SET result = '{'"))
    app.label_studio.update_annotation(imported, [as_saved(IMPORTED)])
    assert sync_project(app.context, PROJECT).changed == 1
    assert rows(app)[imported].result == [as_saved(IMPORTED)]
