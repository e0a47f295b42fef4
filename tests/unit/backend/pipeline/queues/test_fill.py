"""Queues filled: who gets what, and what leaves."""

from __future__ import annotations

import numpy as np

from active_learning.measures.image import ClassMeasures, ImageMeasures
from backend.pipeline.queues.report import tab_reports
from backend.pipeline.sync.reading import sync_project
from backend.store.models import PredictionRow, TaskRow
from backend.store.tasks import embeddings
from domain.queues import QueueArm, QueueExit
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.queues.filled import (
    ANNA,
    BEN,
    entries,
    fill,
    label,
    now,
    of,
    serve,
)


def test_two_people_have_tabs_that_share_nothing_lowest_score_first(lab: FakeApp) -> None:
    serve(lab, 1)
    assert fill(lab) == ["create_queue_tab", "create_queue_tab"]
    anna, ben = of(lab, "Anna"), of(lab, "Ben")
    assert (len(anna), len(ben), set(anna) & set(ben)) == (20, 20, set())
    assert list(anna) == sorted(anna) and list(ben) == sorted(ben)
    chosen = {e.task_id for e in entries(lab, arm=QueueArm.STRATEGY)}
    control = entries(lab, arm=QueueArm.CONTROL)
    assert len(control) == 4 and {e.strategy for e in control} == {"random"}
    assert chosen <= set(range(1, 41)) and len(chosen) == 36
    assert {e.strategy for e in entries(lab, arm=QueueArm.STRATEGY)} == {"lowest_score"}
    assert lab.label_studio.titles() == ["Default", "nnloop: Anna", "nnloop: Ben"]
    # The account that nnloop uses is nobody's.
    assert [tab.name for tab in tab_reports(lab.context, PROJECT)] == ["Anna", "Ben"]


def test_the_default_draws_from_each_predicted_class(lab: FakeApp) -> None:
    lab.change_settings(query_strategy="auto")
    version = serve(lab, 1)
    seen = ClassMeasures(0.1, 0.9, 0.8, 0.8)
    with lab.store.begin() as session:
        for row in session.query(PredictionRow).filter_by(version_id=version):
            # Few images show the wall, and those of which the version is surest.
            classes = {"lumen": seen, "wall": seen} if row.task_id > 92 else {"lumen": seen}
            row.measures = ImageMeasures(3, 0.8, 0.8, 0.1, 0.2, 0.0, 0.0, classes)
    fill(lab)
    chosen = entries(lab, arm=QueueArm.STRATEGY)
    assert {e.strategy for e in chosen} == {"stratified_random"}
    assert sum(e.task_id > 92 for e in chosen) >= 6


def test_a_negative_seed_is_a_seed(lab: FakeApp) -> None:
    lab.change_settings(seed=-7)
    fill(lab)
    assert (len(of(lab, "Anna")), len(of(lab, "Ben"))) == (20, 20)


def test_nothing_is_sent_or_written_when_nothing_changed(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    before = [(e.id, e.left_at, e.version_id) for e in entries(lab)]
    assert fill(lab) == fill(lab) == []
    assert [(e.id, e.left_at, e.version_id) for e in entries(lab)] == before


def test_what_is_labelled_skipped_or_gone_leaves_and_says_how(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    first, second, third, fourth = of(lab, "Anna")[:4]
    label(lab, first)
    label(lab, second, BEN, skip=True)
    del lab.label_studio.tasks[third]
    lab.label_studio.images[f"/data/upload/{fourth}b.png"] = b""
    lab.label_studio.tasks[fourth].data["image"] = f"/data/upload/{fourth}b.png"
    sync_project(lab.context, PROJECT)
    assert fill(lab) == ["update_queue_tab"]
    left = {e.task_id: e.exit for e in entries(lab) if e.left_at is not None}
    assert {left[first], left[second], left[third], left[fourth]} == {
        QueueExit.LABELLED,
        QueueExit.SKIPPED,
        QueueExit.GONE,
    }
    assert left[third] == left[fourth] == QueueExit.GONE
    assert len(of(lab, "Anna")) == 16


def test_a_finished_batch_is_followed_by_the_next(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    batch, bens = of(lab, "Anna"), of(lab, "Ben")
    for task_id in batch[:-1]:
        lab.label_studio.label(task_id, polygon(), by=ANNA.id, at=now())
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert of(lab, "Anna") == batch[-1:]  # a batch is a set to be finished
    label(lab, batch[-1])
    fill(lab)
    assert len(of(lab, "Anna")) == 20
    assert not set(of(lab, "Anna")) & {*batch, *bens}
    assert of(lab, "Ben") == bens


def test_a_new_version_replaces_what_nobody_has_begun(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    before = {name: of(lab, name) for name in ("Anna", "Ben")}
    control = {e.task_id for e in entries(lab, arm=QueueArm.CONTROL)}
    drafted = before["Ben"][9]
    lab.label_studio.drafts = {drafted: {BEN.id}}
    serve(lab, 2, score=0.9, step=-0.005)  # the other way round
    fill(lab)
    for name in ("Anna", "Ben"):
        now_, head = set(of(lab, name)), set(before[name][:2])
        assert len(now_) == 20
        assert head <= now_ and control & set(before[name]) <= now_
        new = now_ - head - control - {drafted}
        # And the two that the new order serves first.
        assert sum(task_id <= 50 for task_id in new) <= 2
    assert drafted in of(lab, "Ben")
    assert fill(lab) == []
    # What left Anna's tab may still be open at hers.
    gone = {e.task_id: e.annotator_id for e in entries(lab, exit=QueueExit.WITHDRAWN)}
    open_ = {e.task_id: e.annotator_id for e in entries(lab, left_at=None)}
    assert all(open_.get(task_id, home) == home for task_id, home in gone.items())


def test_what_was_replaced_and_is_labelled_all_the_same_counts_for_its_batch(lab: FakeApp) -> None:
    """A page that is open keeps the list it had."""
    serve(lab, 1)
    fill(lab)
    serve(lab, 2, score=0.9, step=-0.005)
    fill(lab)
    gone = [e.task_id for e in entries(lab, exit=QueueExit.WITHDRAWN, annotator_id=ANNA.id)]
    assert len(gone) > 10
    for task_id in gone[:3]:
        label(lab, task_id)
    label(lab, gone[3], BEN)  # from another tab: no task of Anna's batch
    assert fill(lab) == ["update_queue_tab"]
    assert len(of(lab, "Anna")) == 17
    anna = tab_reports(lab.context, PROJECT)[0]
    assert (anna.left, anna.length) == (17, 20)
    assert fill(lab) == []
    labelled = {e.task_id for e in entries(lab, exit=QueueExit.LABELLED)}
    assert labelled == {*gone[:3]}
    # To the end of the batch, and the next is drawn.
    for task_id in gone[4:]:
        lab.label_studio.label(task_id, polygon(), by=ANNA.id, at=now())
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert 0 < len(of(lab, "Anna")) <= 20 - len(gone) + 1
    for task_id in of(lab, "Anna"):
        lab.label_studio.label(task_id, polygon(), by=ANNA.id, at=now())
    sync_project(lab.context, PROJECT)
    fill(lab)
    assert len(of(lab, "Anna")) == 20


def test_while_the_next_version_scores_the_pool_nothing_moves(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    lab.add_version(2)  # serves, but has seen nothing
    assert fill(lab) == []


def test_before_the_first_version_there_are_queues_without_a_control_arm(lab: FakeApp) -> None:
    fill(lab)
    assert (len(of(lab, "Anna")), len(of(lab, "Ben"))) == (20, 20)
    found = entries(lab)
    assert {e.arm for e in found} == {QueueArm.STRATEGY}
    # `typical` needs embeddings, of which there are none yet: who really acted is kept.
    assert {(e.strategy, e.version_id) for e in found} == {("random", None)}
    serve(lab, 1)
    fill(lab)
    assert {e.strategy for e in entries(lab, left_at=None)} == {"random", "lowest_score"}
    assert fill(lab) == []


def test_with_the_first_version_chance_draws_too_in_place_of_what_was_drawn_before_it(
    lab: FakeApp,
) -> None:
    fill(lab)
    early = {e.batch for e in entries(lab)}
    serve(lab, 1)
    fill(lab)
    for person in (ANNA, BEN):
        now_there = entries(lab, annotator_id=person.id, left_at=None)
        assert 18 <= len({e.task_id for e in now_there}) <= 22
    control = entries(lab, left_at=None, arm=QueueArm.CONTROL)
    assert len(control) == 4 and not early & {e.batch for e in control}
    # The two that may be open stay in the batch of before.
    assert sum(e.batch in early for e in entries(lab, left_at=None)) >= 4
    serve(lab, 2)
    fill(lab)
    # Another version draws no other control tasks.
    after = entries(lab, left_at=None, arm=QueueArm.CONTROL)
    assert {e.task_id for e in after} == {e.task_id for e in control}


def test_once_there_are_embeddings_typical_images_take_the_places_of_random_ones(
    lab: FakeApp,
) -> None:
    lab.change_settings(query_strategy="auto")
    fill(lab)
    begun = of(lab, "Anna")[0]
    lab.label_studio.drafts = {begun: {ANNA.id}}
    rng = np.random.default_rng(0)
    # Two kinds of images; the second is rare.
    kinds = np.eye(8)[[int(task_id > 90) for task_id in range(1, 103)]]
    with lab.store.begin() as session:
        for task_id, kind in enumerate(kinds, start=1):
            task = session.get_one(TaskRow, task_id)
            vector = kind + 0.1 * rng.normal(size=8)
            made = np.asarray(vector / np.linalg.norm(vector), np.float32)
            embeddings.save(session, task, "", made)
    assert fill(lab) == ["update_queue_tab", "update_queue_tab"]
    now_there = entries(lab, left_at=None)
    assert {e.strategy for e in now_there if e.task_id != begun} >= {"typical"}
    assert begun in of(lab, "Anna")
    assert len(now_there) == 40
    # Nothing changes any more: what is typical was drawn once.
    assert fill(lab) == []
