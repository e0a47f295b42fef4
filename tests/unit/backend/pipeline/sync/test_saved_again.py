"""An annotation that somebody opens and saves, drawing nothing, stays the label that it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

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
from tests.unit.backend.pipeline.labels.renamed import hashes
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
