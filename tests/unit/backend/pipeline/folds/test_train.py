from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from backend.pipeline.basis.context import AppContext
from backend.pipeline.folds import ledger, train
from backend.pipeline.folds.train import WorkerDevice, train_fold
from backend.pipeline.folds.warm_start import choose_starts
from backend.queue import JobName
from backend.settings import ProjectSettings
from backend.store.models import FoldRow, ProjectRow, RunRow, VersionRow
from backend.store.training import runs
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import DiskFullError, StackError, TrainingError
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest
from tests.fakes.queue import FakeQueue
from training.folds.seeds import fold_seed
from training.folds.spec import FINAL, PROGRESS, EpochProgress, FoldResult, FoldSpec

DEVICE = WorkerDevice("cpu", 2)

Result = FoldResult | None


class FakeTraining:
    """Takes the place of ``run_fold``: does what ``play`` says."""

    def __init__(self, play: Callable[..., Result]) -> None:
        self.play = play
        self.specs: list[FoldSpec] = []

    def __call__(
        self,
        spec: FoldSpec,
        on_progress: Callable[[EpochProgress], None],
        should_stop: Callable[[], bool],
        *,
        on_heartbeat: Callable[[], None],
        forks: object = None,
    ) -> Result:
        self.specs.append(spec)
        return self.play(spec, on_progress, should_stop, on_heartbeat)


def _finished(spec: FoldSpec, *_: object) -> Result:
    return fold_result({"a": {"lumen": 0.5}}, fold=spec.fold, epochs=4, seconds=9.0)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining(_finished)
    monkeypatch.setattr(train, "run_fold", fake)
    return fake


def _manifest(folds_by_task: dict[int, int], classes: tuple[str, ...] = ("lumen",)) -> Any:
    entries = tuple(
        ManifestEntry(case_id_of_task(task), task, task, "h", case_id_of_task(task), fold)
        for task, fold in folds_by_task.items()
    )
    manifest = Manifest(entries, class_values=classes, n_folds=2)
    return run_manifest(manifest)


def _run(app: FakeApp, number: int = 5, **settings: object) -> int:
    run_id = app.add_run(
        RunStatus.TRAINING,
        number,
        manifest=_manifest({1: 0, 2: 1}),
        settings=ProjectSettings(**settings).model_dump(mode="json"),
    )
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0))
    return run_id


def _fold(app: FakeApp, run_id: int) -> FoldRow:
    with app.store.begin() as session:
        return session.query(FoldRow).filter_by(run_id=run_id).one()


def test_a_fold_is_trained_and_kept(app: FakeApp, training: FakeTraining) -> None:
    run_id = _decided(app, _run(app, budget_s=30, seed=7))
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    assert (row.status, row.epoch, row.epochs, row.lease_until) == (FoldStatus.DONE, 4, 4, 0.0)
    assert (row.device, row.worker, row.error) == ("cpu", "me", "")
    assert row.result is not None and row.result.dice_per_case == {"a": {"lumen": 0.5}}
    assert app.jobs == [("advance", (run_id,))]
    (spec,) = training.specs
    assert (spec.run, spec.fold, spec.threads, spec.seed) == (("5", 0, 2, fold_seed(7, 5, 0)))
    assert spec.budget_s == pytest.approx(30.0, abs=1.0) and spec.holds_out
    train_fold(app.context, run_id, 0, DEVICE, "me")  # again: it is done
    assert len(training.specs) == 1


def test_progress_reaches_the_ledger_and_keeps_the_lease(
    app: FakeApp, training: FakeTraining
) -> None:
    run_id = _run(app)

    def play(spec: FoldSpec, on_progress: Any, *_: object) -> Result:
        with app.store.begin() as session:
            session.query(FoldRow).filter_by(run_id=run_id).one().lease_until = 1.0
        dice = {"lumen": 0.8, "wall": 0.6}
        on_progress(EpochProgress(0, 3, 20, -0.5, -0.4, 0.7, 1.0, 0.0, dice, 34.0))
        row = _fold(app, run_id)
        assert (row.epoch, row.epochs, row.train_loss, row.val_loss) == (3, 20, -0.5, -0.4)
        assert (row.dice, row.eta_s) == (0.7, 34.0)
        assert row.case_dice == pytest.approx(0.7)
        on_progress(EpochProgress(0, 4, 20, -0.5, -0.4, 0.7, 1.0, 0.0, None, 33.0))
        assert _fold(app, run_id).case_dice == pytest.approx(0.7)  # not measured in every epoch
        assert (row.status, row.lease_until > time.time()) == (FoldStatus.RUNNING, True)
        return _finished(spec)

    training.play = play
    train_fold(app.context, run_id, 0, DEVICE, "me")
    assert _fold(app, run_id).status == FoldStatus.DONE


@pytest.mark.parametrize("error", [TrainingError("Exploded.", remedy="Less."), OSError("full")])
def test_a_fold_that_fails_twice_has_failed(
    app: FakeApp, training: FakeTraining, error: Exception
) -> None:
    def play(*_: object) -> Result:
        raise error

    training.play = play
    run_id = _run(app)
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    assert (row.status, row.attempts, row.lease_until) == (FoldStatus.QUEUED, 1, 0.0)
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    assert row.status == FoldStatus.FAILED
    assert str(error) in row.error
    assert app.jobs.count(("advance", (run_id,))) == 2


def test_a_fold_that_got_further_is_tried_again(app: FakeApp, training: FakeTraining) -> None:
    run_id = _run(app)
    reached = iter([2, 5, 5])

    def play(_spec: FoldSpec, on_progress: Any, *_: object) -> Result:
        # As after every start, the epochs of earlier attempts are reported again.
        for epoch in range(1, next(reached) + 1):
            on_progress(EpochProgress(0, epoch, 20, -0.5, -0.4, 0.7, 1.0, 0.0))
        raise TrainingError("The process was ended by SIGKILL.")

    training.play = play
    for expected in (FoldStatus.QUEUED, FoldStatus.QUEUED, FoldStatus.FAILED):
        train_fold(app.context, run_id, 0, DEVICE, "me")
        row = _fold(app, run_id)
        assert (row.status, row.error) == (expected, "The process was ended by SIGKILL.")


def test_a_fold_that_never_ends_is_given_up(app: FakeApp, training: FakeTraining) -> None:
    run_id = _run(app)
    with app.store.begin() as session:
        session.query(FoldRow).one().attempts = train.MAX_STARTS
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    assert (row.status, training.specs) == (FoldStatus.FAILED, [])
    assert f"started {train.MAX_STARTS} times" in row.error and "its worker died" in row.error


def test_a_full_disk_is_not_tried_twice(app: FakeApp, training: FakeTraining) -> None:
    def play(*_: object) -> Result:
        raise DiskFullError("The disk of /data has 3 MiB free.", remedy="Free space there.")

    training.play = play
    run_id = _run(app)
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    assert row.status == FoldStatus.FAILED
    assert row.error == "The disk of /data has 3 MiB free. Free space there."


def test_a_set_of_one_group_holds_nothing_out(app: FakeApp, training: FakeTraining) -> None:
    run_id = _run(app)
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        run.manifest = dataclasses.replace(runs.manifest_of(run), n_folds=1)
    train_fold(app.context, run_id, 0, DEVICE, "me")
    assert not training.specs[0].holds_out


def test_the_budget_counts_from_the_start_of_each_attempt(
    app: FakeApp, training: FakeTraining
) -> None:
    run_id = _run(app, budget_s=100)
    folder = app.context.workspace(PROJECT).fold_dir("5", 0)
    folder.mkdir(parents=True)
    epochs = [EpochProgress(0, n, 9, -0.1, -0.1, None, 700.0, 0.0) for n in (1, 2)]
    lines = [json.dumps(dataclasses.asdict(epoch)) for epoch in epochs]
    (folder / PROGRESS).write_text("\n".join([*lines, '{"fold": 0, "epo']))
    train_fold(app.context, run_id, 0, DEVICE, "me")
    # What the earlier attempt took of the run's time is off the share already.
    assert training.specs[0].budget_s == pytest.approx(100.0, abs=30.0)


def test_what_a_run_waits_for_a_worker_is_not_off_its_budget(
    app: FakeApp, training: FakeTraining
) -> None:
    """Another project's folds trained for an hour before the first of ours could start."""
    run_id = _run(app, budget_s=100)
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=1))
        run = session.get_one(RunRow, run_id)
        run.stage_started_at = time.time() - 3600
        run.seconds = {"preparing": 2.0}
    train_fold(app.context, run_id, 0, DEVICE, "me")
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        assert run.seconds == {"preparing": 2.0, "waited": pytest.approx(3600, abs=30)}
        # The second one comes 60 s later: they are off.
        run.stage_started_at -= 60
    train_fold(app.context, run_id, 1, DEVICE, "me")
    assert [spec.budget_s for spec in training.specs] == pytest.approx([50, 40], abs=10)
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        assert runs.seconds_in(run, RunStatus.TRAINING, time.time()) == pytest.approx(60, abs=20)
        assert run.seconds["waited"] == pytest.approx(3600, abs=30)


def test_a_worker_asked_to_end_gives_the_fold_back(
    app: FakeApp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(spec: FoldSpec, _progress: object, should_stop: Any, _beat: object) -> Result:
        assert should_stop()
        return None

    monkeypatch.setattr(ledger, "stop_requested", lambda: True)
    training.play = play
    run_id = _run(app)
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    # That was no failure: it costs none of the attempts.
    assert (row.status, row.attempts, row.lease_until) == (FoldStatus.QUEUED, 0, 0.0)


@pytest.mark.parametrize("change", ["paused", "to be cancelled", "over", "taken over"])
def test_a_fold_that_is_not_ours_any_more_is_left(
    app: FakeApp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(ledger, "CONTROL_S", 0.0)  # a look at every poll
    run_id = _run(app)

    def play(spec: FoldSpec, _progress: object, should_stop: Any, beat: Any) -> Result:
        beat()
        assert not should_stop()
        with app.store.begin() as session:
            run = session.get_one(RunRow, run_id)
            if change == "over":
                run.status = RunStatus.FAILED
            elif change == "paused":
                runs.set_control(session, run, RunControl.PAUSE)
            elif change == "to be cancelled":
                runs.set_control(session, run, RunControl.CANCEL)
            else:
                row = session.query(FoldRow).filter_by(run_id=run_id).one()
                row.worker, row.lease_until = "other", 9e9
        beat()
        assert should_stop()
        return None

    training.play = play
    train_fold(app.context, run_id, 0, DEVICE, "me")
    if change == "taken over":
        row = _fold(app, run_id)
        assert (row.worker, row.status, row.lease_until) == ("other", FoldStatus.RUNNING, 9e9)
    else:
        row = _fold(app, run_id)
        # Given back at once, as if it had not been tried.
        assert (row.status, row.attempts, row.lease_until) == (FoldStatus.QUEUED, 0, 0.0)


@pytest.mark.parametrize(
    "fields", [{"status": RunStatus.FAILED}, {"control": RunControl.PAUSE}], ids=str
)
def test_only_a_run_in_training_is_trained(
    app: FakeApp, training: FakeTraining, fields: dict[str, object]
) -> None:
    run_id = _run(app)
    with app.store.begin() as session:
        session.execute(update(RunRow).values(fields))
    train_fold(app.context, run_id, 0, DEVICE, "me")
    assert (training.specs, app.jobs) == ([], [])


def _decided(app: FakeApp, run_id: int) -> int:
    """The run, its folds' starts decided as when it goes to training."""
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        starts = choose_starts(session, app.context.workspace(PROJECT), run, [0])
        run.manifest = dataclasses.replace(runs.manifest_of(run), starts=starts.of_folds)
    return run_id


@pytest.mark.parametrize(
    ("old_folds", "classes", "settings", "is_warm"),
    [
        ({1: 0, 2: 1}, ("lumen",), {}, True),
        ({1: 1, 2: 0}, ("lumen",), {}, False),  # it was trained on what this fold holds out
        ({3: 1}, ("lumen",), {}, True),  # it has seen none of it
        ({1: 0, 2: 1}, ("wall",), {}, False),
        ({1: 0, 2: 1}, ("Lumen",), {}, True),  # renamed since
        ({1: 0, 2: 1}, ("lumen",), {"warm_start": False}, False),
    ],
)
def test_warm_start_never_sees_what_is_held_out(
    app: FakeApp,
    training: FakeTraining,
    old_folds: dict[int, int],
    classes: tuple[str, ...],
    settings: dict[str, object],
    is_warm: bool,
) -> None:
    app.add_version(1, manifest=_manifest(old_folds, classes))
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {"Lumen": "lumen"}
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1") / "fold_0"
    folder.mkdir(parents=True)
    (folder / FINAL).touch()
    train_fold(app.context, _decided(app, _run(app, 5, **settings)), 0, DEVICE, "me")
    expected = str(folder / FINAL) if is_warm else None
    assert training.specs[0].warm_start == expected


def test_an_imported_version_starts_no_fold(app: FakeApp, training: FakeTraining) -> None:
    version_id = app.add_version(1, manifest=_manifest({1: 0, 2: 1}))
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1") / "fold_0"
    folder.mkdir(parents=True)
    (folder / FINAL).touch()
    with app.store.begin() as session:
        # Nobody knows what it was trained on, so it may have seen what is held out.
        session.get_one(VersionRow, version_id).run_id = None
    train_fold(app.context, _decided(app, _run(app)), 0, DEVICE, "me")
    assert training.specs[0].warm_start is None


def test_seeds_differ_by_run_and_fold_and_stay_when_a_fold_is_tried_again(
    app: FakeApp, training: FakeTraining
) -> None:
    seeds = {}
    for number in (5, 6):
        run_id = _decided(app, _run(app, number, seed=3))
        with app.store.begin() as session:
            session.add(FoldRow(run_id=run_id, fold=1))
        for fold in (0, 1):
            training.play = lambda *_: None  # as if its worker ended
            train_fold(app.context, run_id, fold, DEVICE, "me")
            training.play = _finished
            train_fold(app.context, run_id, fold, DEVICE, "you")
            first, again = (spec.seed for spec in training.specs[-2:])
            assert first == again == fold_seed(3, number, fold)
            seeds[number, fold] = first
        manifest = app.run(run_id).manifest
        assert manifest is not None
        assert [start.seed for start in manifest.starts] == [seeds[number, 0], seeds[number, 1]]
        with app.store.begin() as session:
            session.get_one(RunRow, run_id).status = RunStatus.DONE
    assert len(set(seeds.values())) == 4


def test_a_fold_whose_weights_are_gone_starts_fresh_and_what_they_had_seen_stays_known(
    app: FakeApp, training: FakeTraining
) -> None:
    app.add_version(1, manifest=_manifest({1: 0, 3: 1}))
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1") / "fold_0"
    folder.mkdir(parents=True)
    (folder / FINAL).touch()
    run_id = _decided(app, _run(app))
    (folder / FINAL).unlink()
    train_fold(app.context, run_id, 0, DEVICE, "me")
    assert training.specs[0].warm_start is None
    manifest = app.run(run_id).manifest
    assert manifest is not None
    assert manifest.starts[0].version == "nnloop-v1"
    # Task 3 is not among its own cases: its ancestor's.
    assert [case.task_id for case in manifest.starts[0].seen or ()] == [3]


class _DeadQueue(FakeQueue):
    def ensure(self, name: JobName, *ids: int) -> bool:
        raise StackError("Redis does not answer.")


def test_without_redis_a_fold_is_trained_to_its_end(app: FakeApp, training: FakeTraining) -> None:
    run_id = _run(app)
    context = AppContext(app.context.settings, app.store, _DeadQueue())
    train_fold(context, run_id, 0, DEVICE, "me")
    assert _fold(app, run_id).status == FoldStatus.DONE


def test_a_fold_that_can_not_be_described_fails_with_the_reason(
    app: FakeApp, training: FakeTraining
) -> None:
    run_id = _run(app)
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        run.manifest = None
    train_fold(app.context, run_id, 0, DEVICE, "me")
    row = _fold(app, run_id)
    assert (row.status, row.lease_until) == (FoldStatus.QUEUED, 0.0)  # free for its second try
    assert "has no manifest" in row.error
    assert not training.specs
