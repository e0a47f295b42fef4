from __future__ import annotations

import pytest

from active_learning.calibration import Calibration
from backend.label_studio import PushedPrediction
from backend.pipeline.predictions.push import push_part
from backend.pipeline.quality.calibrate import CORRECTED, HELD_OUT, calibrate, calibration_of
from backend.pipeline.runs.reconcile import tick
from backend.pipeline.sync import reading
from backend.pipeline.sync.reading import sync_project
from backend.store.models import FoldRow, PredictionRow, VersionRow
from backend.store.quality import scores
from converters.bookkeeping.files import write_json
from domain.states import FoldStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.quality.pushed import (
    HALF,
    SQUARE,
    add_version,
    entry_of,
    manifest_of,
    measures,
    pairs,
    pool,
    predict,
)
from training.evaluation.soft_dice import ExpectedDice
from training.folds.spec import FoldResult
from training.versions.metrics import VersionMetrics
from training.versions.version_folder import PLANS


def version_of(app: FakeApp, version: int) -> VersionRow:
    with app.store.begin() as session:
        return session.get_one(VersionRow, version)


def score_of(app: FakeApp, task_id: int) -> PredictionRow:
    with app.store.begin() as session:
        return session.query(PredictionRow).filter_by(task_id=task_id).one()


def correct(app: FakeApp, version: int, *task_ids: int) -> None:
    """Tasks whose prediction people found to be much too large."""
    for task_id in task_ids:
        predict(app, version, task_id, SQUARE, score=0.9)
        app.label_studio.label(task_id, HALF)
    sync_project(app.context, PROJECT)


def test_corrections_bring_the_scores_of_what_is_left_down(app: FakeApp) -> None:
    pool(app, *range(1, 15))
    version = add_version(app)
    for task_id in (13, 14):
        predict(app, version, task_id, SQUARE, score=0.9, published_at=None)
    push_part(app.context, PROJECT)
    assert score_of(app, 13).score == 0.9
    correct(app, version, *range(1, 10))
    assert version_of(app, version).calibration is None  # nine say little
    correct(app, version, 10)
    calibration = version_of(app, version).calibration
    assert calibration is not None
    assert (calibration.n, calibration.n_own) == (10, 10)
    row = score_of(app, 13)
    assert 0.35 < row.score < 0.7
    assert row.score_low is not None
    assert row.score_low < row.score
    # The pair keeps what was said before the truth was known.
    assert pairs(app)[10].score == 0.9
    reliability = version_of(app, version).metrics.reliability
    assert reliability[CORRECTED].n == 10
    assert reliability[CORRECTED].bias == pytest.approx(0.5, abs=0.03)
    assert HELD_OUT not in reliability


def test_a_worker_that_dies_between_measuring_and_calibrating_loses_nothing(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool(app, *range(1, 12))
    version = add_version(app)
    predict(app, version, 11, SQUARE, score=0.9)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "recalibrate", _die)
        with pytest.raises(KeyboardInterrupt):
            correct(app, version, *range(1, 11))
    assert len(pairs(app)) == 10
    assert version_of(app, version).calibration is None
    sync_project(app.context, PROJECT)  # which finds nothing new
    calibration = version_of(app, version).calibration
    assert calibration is not None
    assert calibration.n_own == 10
    assert score_of(app, 11).score < 0.7
    sync_project(app.context, PROJECT)
    assert version_of(app, version).calibration == calibration


def test_scores_that_moved_are_sent_and_nothing_else(app: FakeApp) -> None:
    pool(app, *range(1, 15))
    version = add_version(app)
    for task_id in (12, 13, 14):
        predict(app, version, task_id, SQUARE, score=0.9, published_at=None)
    push_part(app.context, PROJECT)
    with app.store.begin() as session:
        # One that a person can't tell from its new score.
        row = session.query(PredictionRow).filter_by(task_id=14).one()
        row.measures = measures(0.99999)
    correct(app, version, *range(1, 11))
    before = {p.task_id: p.id for p in app.label_studio.predictions}
    app.label_studio.calls.clear()
    assert any(job == ("push", (PROJECT,)) for job in _due(app))
    push_part(app.context, PROJECT)
    theirs = {p.task_id: p for p in app.label_studio.predictions}
    assert {task_id: p.id for task_id, p in theirs.items()} == before
    for task_id in (12, 13):
        assert theirs[task_id].score == score_of(app, task_id).score
    assert "import_predictions" not in app.label_studio.calls
    app.label_studio.calls.clear()
    push_part(app.context, PROJECT)
    assert app.label_studio.calls == []
    assert not any(job == ("push", (PROJECT,)) for job in _due(app))


def _due(app: FakeApp) -> list[tuple[str, tuple[int, ...]]]:
    with app.store.begin() as session:
        for row in session.query(VersionRow):
            row.published_at = 1.0
    app.queue.asked.clear()
    tick(app.context)
    return app.jobs


def test_what_label_studio_lost_is_pushed_as_a_whole(app: FakeApp) -> None:
    pool(app, *range(1, 14))
    version = add_version(app)
    for task_id in (12, 13):
        predict(app, version, task_id, SQUARE, score=0.9, published_at=None)
    push_part(app.context, PROJECT)
    correct(app, version, *range(1, 11))
    app.label_studio.predictions = [p for p in app.label_studio.predictions if p.task_id == 13]
    for _ in range(2):
        push_part(app.context, PROJECT)
    held = {p.task_id: p.score for p in app.label_studio.predictions}
    assert held == {task_id: score_of(app, task_id).score for task_id in (12, 13)}


def _recalibrated(app: FakeApp, n_left: int) -> int:
    """Ten corrections, and so many tasks whose pushed score is another one by then."""
    pool(app, *range(1, 11 + n_left))
    version = add_version(app)
    for task_id in range(11, 11 + n_left):
        predict(app, version, task_id, SQUARE, score=0.9, published_at=None)
    push_part(app.context, PROJECT)
    correct(app, version, *range(1, 11))
    app.label_studio.clear_predictions(PROJECT, range(1, 11))  # of these nothing is sent any more
    app.label_studio.calls.clear()
    return version


def test_many_scores_go_in_few_calls(app: FakeApp) -> None:
    _recalibrated(app, 30)
    assert push_part(app.context, PROJECT) == 30
    assert app.label_studio.calls.count("clear_predictions") == 1
    assert app.label_studio.calls.count("import_predictions") == 1
    assert "set_score" not in app.label_studio.calls
    held = {p.task_id: p.score for p in app.label_studio.predictions}
    assert held == {task_id: score_of(app, task_id).score for task_id in range(11, 41)}
    app.label_studio.calls.clear()
    push_part(app.context, PROJECT)
    assert app.label_studio.calls == []


def test_a_worker_that_dies_after_the_deletion_leaves_nothing_out(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _recalibrated(app, 30)
    with monkeypatch.context() as patched:
        patched.setattr(app.label_studio, "import_predictions", _die)
        with pytest.raises(KeyboardInterrupt):
            push_part(app.context, PROJECT)
    assert app.label_studio.predictions == []
    assert push_part(app.context, PROJECT) == 30


def _die(*_: object) -> int:
    raise KeyboardInterrupt


def test_what_another_model_said_stays(app: FakeApp) -> None:
    _recalibrated(app, 30)
    theirs = PushedPrediction(11, [], 0.3, "theirs", 9_000)
    app.label_studio.predictions.append(theirs)
    for _ in range(3):
        push_part(app.context, PROJECT)
    assert theirs in app.label_studio.predictions
    ours = {p.task_id: p.score for p in app.label_studio.predictions if p != theirs}
    assert ours == {task_id: score_of(app, task_id).score for task_id in range(11, 41)}


def test_small_moves_are_not_sent_and_do_not_add_up_unseen(app: FakeApp) -> None:
    pool(app, 1)
    version = add_version(app)
    predict(app, version, 1, SQUARE, score=0.9, measures=measures(0.9))
    with app.store.begin() as session:
        for k in range(1, 5):
            moved = Calibration(intercept=-0.05 * k, slope=1.0)
            n_moved = scores.rescore(session, version, moved, 0.01)
            # 0.0045 a step: the third one is more than 0.01 away from what was sent.
            assert n_moved == (k == 3)


def test_held_out_cases_calibrate_a_new_version(app: FakeApp) -> None:
    pool(app, *range(1, 41))
    entries = [entry_of(app, k, fold=k % 2) for k in range(1, 41)]
    manifest = manifest_of(entries)
    dice = {entry.case_id: {"lumen": 0.6, "wall": None} for entry in entries}
    version = add_version(app, manifest=manifest)
    with app.store.begin() as session:
        row = session.get_one(VersionRow, version)
        row.metrics = VersionMetrics(dice_per_case=dice)
        for fold in range(2):
            expected = {
                e.case_id: ExpectedDice(0.9, is_empty=False) for e in entries if e.fold == fold
            }
            result = FoldResult(
                fold=fold,
                epochs=1,
                steps=1,
                dice_per_case={k: dice[k] for k in expected},
                dice_per_class={},
                seconds=1.0,
                device="cpu",
                warm_started=False,
                stopped="",
                batch_size=1,
                planned_batch_size=1,
                expected=expected,
            )
            session.add(
                FoldRow(run_id=row.run_id, fold=fold, status=FoldStatus.DONE, result=result)
            )
        session.flush()
        calibrate(session, row)
    found = version_of(app, version)
    assert found.calibration is not None
    assert (found.calibration.n, found.calibration.n_own) == (40, 0)
    assert found.calibration.expected(measures(0.9, n_folds=1)).score == pytest.approx(
        0.6, abs=0.03
    )
    assert found.metrics.reliability[HELD_OUT].n == 40
    assert found.metrics.reliability[HELD_OUT].bias == pytest.approx(0.0, abs=0.03)


def test_a_new_version_learns_from_the_corrections_of_the_one_before(app: FakeApp) -> None:
    pool(app, *range(1, 13))
    version = add_version(app)
    correct(app, version, *range(1, 11))
    second = add_version(app, 7)
    with app.store.begin() as session:
        row = session.get_one(VersionRow, second)
        calibrate(session, row)
        assert row.calibration is not None
        assert (row.calibration.n, row.calibration.n_own) == (10, 0)
        assert row.calibration.expected(measures(0.9)).score < 0.7


def test_a_score_stays_below_what_the_resolution_can_reach(app: FakeApp) -> None:
    version = version_of(app, add_version(app))
    assert calibration_of(version) == Calibration()
    folder = app.context.workspace(PROJECT).version_dir(version.name)
    size = {"side": 1000, "working_side": 100, "kept": {"1": 0.6, "2": 0.8}}
    write_json(folder / PLANS, {"nnloop_working_size": size})
    assert calibration_of(version).cap == pytest.approx(0.7)
    assert calibration_of(version).expected(measures(0.99)).score < 0.7
