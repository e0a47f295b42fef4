"""Embeddings of a project's images, made in turns while the world changes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy import typing as npt

from backend.jobs import embed as job
from backend.jobs import loop
from backend.pipeline.basis import embeddings as basis
from backend.pipeline.basis.embeddings import are_missing, for_strategy
from backend.pipeline.predictions import embed
from backend.pipeline.predictions.embed import embed_chunk
from backend.pipeline.predictions.open_pool import Between
from backend.pipeline.status import project_report
from backend.store import projects
from backend.store.models import TaskRow, TrialRow
from backend.store.projects import Fault
from backend.store.tasks import embeddings
from backend.store.tasks.embeddings import EmbeddingRow
from domain.errors import LabelStudioError
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp
from training.nnunet.networks.image_embedding import DIMENSIONS, ImageEmbedding

ONE = Between(must_end=lambda: True)
"""Turns of one image each: somebody waits for the worker all the time."""


@pytest.fixture(autouse=True)
def _long_turns(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "CHUNK_S", 60.0)
    for module in (job, loop):
        monkeypatch.setattr(module, "context", lambda: app.context)


def known(app: FakeApp) -> dict[int, bool]:
    """Task id -> whether its image could be embedded."""
    with app.store.begin() as session:
        return {row.task_id: row.vector != b"" for row in session.query(EmbeddingRow)}


def test_every_image_is_read_once_and_found_again_as_it_was_made(app: FakeApp) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8)
    app.label_studio.add_task(1, image)
    app.add_tasks(2, 3)
    app.add_tasks(4, state=TaskState.LABELLED)
    with app.store.begin() as session:
        data = app.label_studio.tasks[1].data
        session.add(TaskRow(id=1, project_id=PROJECT, data=data))
    assert not embed_chunk(app.context, PROJECT)
    assert sorted(app.label_studio.fetched) == [1, 2, 3, 4]
    with app.store.read() as session:
        pool, labelled = for_strategy(session, PROJECT, [3, 1], "typical")
        assert for_strategy(session, PROJECT, [3, 1], "lowest_score") == (None, None)
    assert pool is not None and labelled is not None
    assert (pool.shape, labelled.shape) == ((2, DIMENSIONS), (1, DIMENSIONS))
    np.testing.assert_allclose(pool[1], ImageEmbedding()(image), atol=1e-3)
    assert not embed_chunk(app.context, PROJECT)
    assert len(app.label_studio.fetched) == 4


def test_a_turn_ends_where_somebody_waits_and_loses_nothing(app: FakeApp) -> None:
    app.add_tasks(*range(1, 9))
    turns = 1
    while embed_chunk(app.context, PROJECT, ONE):
        assert len(known(app)) == turns
        turns += 1
    assert turns == 8
    assert sorted(app.label_studio.fetched) == list(range(1, 9))
    with app.store.begin() as session:
        assert session.query(TrialRow).count() == 0


def test_an_image_that_is_none_keeps_nobody_from_the_others(app: FakeApp) -> None:
    app.add_tasks(1, 2, 3)
    app.label_studio.images["/data/upload/2.png"] = b"<html>"
    assert not embed_chunk(app.context, PROJECT)
    assert known(app) == {1: True, 2: False, 3: True}


def test_a_task_at_which_a_worker_died_is_left_alone(app: FakeApp) -> None:
    app.add_tasks(1, 2)
    with app.store.begin() as session:
        session.add(TrialRow(task_id=2, project_id=PROJECT, worker="", deaths=1))
    assert not embed_chunk(app.context, PROJECT)
    assert known(app) == {1: True, 2: False}
    assert app.label_studio.fetched == [1]


def test_while_label_studio_is_away_nothing_is_held_against_a_task(app: FakeApp) -> None:
    app.add_tasks(1, 2)
    app.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        embed_chunk(app.context, PROJECT)
    assert known(app) == {}
    with app.store.begin() as session:
        assert session.query(TrialRow).count() == 0
    job.embed(PROJECT, 0)
    assert app.jobs == []  # the next reading asks again
    app.label_studio.is_down = False
    job.embed(PROJECT, 0)
    assert known(app) == {1: True, 2: True}


def test_an_image_overwritten_meanwhile_is_looked_at_again(app: FakeApp) -> None:
    app.add_tasks(1)
    embed_chunk(app.context, PROJECT)
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).image_hash = "of other bytes"
    assert are_missing(app.context, PROJECT)
    app.label_studio.images["/data/upload/1.png"] = app.label_studio.images.pop(
        "/data/upload/1.png"
    )
    embed_chunk(app.context, PROJECT)
    assert known(app) == {1: True}
    assert app.label_studio.fetched == [1, 1]


@pytest.mark.parametrize(
    ("strategy", "has_version", "wanted"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("diverse", True, True),
        ("typical", True, True),
        ("lowest_score", False, False),
        ("random", False, False),
    ],
)
def test_embeddings_are_made_where_the_strategy_looks_at_them(
    app: FakeApp, strategy: str, has_version: bool, wanted: bool
) -> None:
    app.add_tasks(1)
    app.change_settings(query_strategy=strategy)
    if has_version:
        app.add_version(published_at=1.0)
    assert are_missing(app.context, PROJECT) == wanted
    embed_chunk(app.context, PROJECT)
    assert known(app) == ({1: True} if wanted else {})


def test_for_typical_images_no_more_are_made_than_are_looked_at(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basis, "MOST_TYPICAL", 3)
    app.add_tasks(*range(1, 9))
    app.add_tasks(9, 10, state=TaskState.LABELLED)
    while embed_chunk(app.context, PROJECT, ONE):
        pass
    assert {9, 10} < known(app).keys()
    assert len(known(app)) == 2 + 3
    app.change_settings(query_strategy="core_set")
    embed_chunk(app.context, PROJECT)
    assert len(known(app)) == 10


def test_status_tells_how_many_are_there_while_some_are_missing(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basis, "MOST_TYPICAL", 3)
    app.add_tasks(1, 2, 3, 4)
    assert project_report(app.context, PROJECT).looked_at == (0, 3)
    embed_chunk(app.context, PROJECT, ONE)
    assert project_report(app.context, PROJECT).looked_at == (1, 3)
    embed_chunk(app.context, PROJECT)
    assert project_report(app.context, PROJECT).looked_at is None
    app.change_settings(query_strategy="random")
    app.add_tasks(5)
    assert project_report(app.context, PROJECT).looked_at is None


def test_nothing_is_made_for_a_project_that_stands_still(app: FakeApp) -> None:
    app.add_tasks(1)
    with app.store.begin() as session:
        gone = Fault(projects.GONE, "It is gone.")
        projects.set_faults(session, PROJECT, projects.CONNECTION, [gone])
    assert not are_missing(app.context, PROJECT)
    embed_chunk(app.context, PROJECT)
    assert known(app) == {}


def test_a_reading_asks_for_them_and_the_last_turn_for_the_queues(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.label_studio.add_task(1)
    app.label_studio.add_task(2)
    loop.sync(PROJECT)
    assert ("embed", (PROJECT, 0)) in app.jobs
    app.queue.asked.clear()
    with monkeypatch.context() as patched:
        patched.setattr(job, "_is_somebody_waiting", lambda: True)
        job.embed(PROJECT, 0)
        assert app.jobs == [("embed", (PROJECT, 1))]
    app.queue.asked.clear()
    job.embed(PROJECT, 1)
    assert app.jobs == [("fill", (PROJECT,))]
    app.queue.asked.clear()
    loop.sync(PROJECT)
    assert ("embed", (PROJECT, 0)) not in app.jobs


def _one(_: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.ones(DIMENSIONS, np.float32)


def test_a_task_labelled_meanwhile_counts_as_labelled(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "shared_embedding", lambda: _one)
    app.add_tasks(1, 2)
    embed_chunk(app.context, PROJECT)
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).state = TaskState.LABELLED
        assert embeddings.of_labelled(session, PROJECT) is not None
        found = embeddings.of_tasks(session, PROJECT, [2])
    assert found is not None and len(found) == 1
