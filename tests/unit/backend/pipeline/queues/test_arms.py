"""What the control arm tells of a project, and when the queues turn to chance."""

from __future__ import annotations

import time

import pytest

from backend.pipeline.queues.report import control_arm_of
from backend.store.models import TaskRow
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks.queues import QueueEntryRow
from domain.queues import QueueArm, QueueExit
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.queues.filled import entries, fill, lab, serve

__all__ = ["lab"]


def history(app: FakeApp, version: int, *, control: list[float], strategy: list[float]) -> None:
    """Batches that are done, with what their predictions came to."""
    with app.store.begin() as session:
        for number, (arm, dice) in enumerate(
            [(QueueArm.CONTROL, d) for d in control] + [(QueueArm.STRATEGY, d) for d in strategy]
        ):
            task_id = 1000 + number
            session.add(
                QueueEntryRow(
                    project_id=PROJECT,
                    annotator_id=2,
                    task_id=task_id,
                    source="s",
                    batch=900,
                    arm=arm,
                    version_id=version,
                    strategy="random" if arm == QueueArm.CONTROL else "lowest_score",
                    left_at=time.time(),
                    exit=QueueExit.LABELLED,
                )
            )
            session.add(
                HonestPairRow(
                    project_id=PROJECT,
                    task_id=task_id,
                    version_id=version,
                    source="s",
                    dice=dice,
                )
            )


def strategies(app: FakeApp) -> set[str]:
    return {e.strategy for e in entries(app, left_at=None, arm=QueueArm.STRATEGY)}


@pytest.mark.parametrize(
    ("worse", "turns", "strategy"),
    [
        (0.0, True, "random"),  # stratified_random hands over: no class is known here
        (0.0, False, "lowest_score"),
        (0.4, True, "lowest_score"),
    ],
)
def test_a_strategy_that_does_not_pay_hands_over_if_it_is_wished(
    lab: FakeApp, worse: float, turns: bool, strategy: str
) -> None:
    version = serve(lab, 1)
    lab.change_settings(turn_to_random=turns, query_strategy="lowest_score")
    dice = [0.7, 0.8, 0.9] * 12
    history(lab, version, control=dice, strategy=[d - worse for d in dice] * 3)
    fill(lab)
    assert strategies(lab) == {strategy}
    with lab.store.begin() as session:
        found = control_arm_of(session, PROJECT)
    assert found is not None and found.gain is not None
    assert found.quality.mean == pytest.approx(0.8)
    assert found.gain.mean == pytest.approx(worse)
    assert found.gain.pays is (worse > 0)


def test_before_a_batch_is_done_the_control_arm_says_nothing(lab: FakeApp) -> None:
    serve(lab, 1)
    fill(lab)
    with lab.store.begin() as session:
        assert control_arm_of(session, PROJECT) is None


def test_a_pair_of_the_task_that_had_the_id_before_counts_for_nothing(lab: FakeApp) -> None:
    version = serve(lab, 1)
    history(lab, version, control=[0.5, 0.5], strategy=[0.5])
    with lab.store.begin() as session:
        for pair in session.query(HonestPairRow):
            pair.source = "another"
        assert control_arm_of(session, PROJECT) is None
        assert session.get(TaskRow, 1000) is None
