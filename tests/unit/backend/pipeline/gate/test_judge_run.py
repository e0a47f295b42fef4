from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from backend.pipeline.basis.context import AppContext
from backend.pipeline.gate import champion, judge_run
from backend.pipeline.gate.judge_run import evaluate_run
from backend.pipeline.gate.verdict import DicePerCase
from backend.pipeline.predictions.publish import publish
from backend.store.models import FoldRow, PredictionRow, VersionRow
from backend.store.training import versions
from backend.store.training.notices import NoticeRow
from domain.case import case_id_of_task
from domain.states import FoldStatus, RunStatus, VersionOrigin, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result
from tests.unit.backend.pipeline.gate.judging import (
    CLASSES,
    FakePredictor,
    add_challenger,
    dice_of_cases,
    entry,
    manifest_of,
    verdict_of,
    version_of,
    write_cases,
)
from training.case_files import write_case
from training.presets import FULL
from training.versions.manifests import EnsembleManifest
from training.versions.metrics import VersionMetrics
from training.versions.version_folder import VersionInfo


def test_the_first_version_is_promoted(app: FakeApp, predictor: FakePredictor) -> None:
    run_id = add_challenger(app, manifest_of(entry(1, 0)), dice_of_cases(task_00000001=0.2))
    assert evaluate_run(app.context, run_id, lambda: None)
    version = version_of(app, run_id)
    assert (version.name, version.status) == ("nnloop-v2", VersionStatus.CHAMPION)
    assert version.metrics.oof_dice == {"lumen": 0.2, "wall": 0.2}
    assert version.metrics.labels == 1
    assert version.metrics.warm_started == (0,)
    assert predictor.asked == []


def test_who_wants_to_is_told_of_the_verdict(app: FakeApp, predictor: FakePredictor) -> None:
    settings = app.context.settings.model_copy(update={"notify_command": SecretStr("true")})
    context = AppContext(settings, app.store, app.queue)
    first = add_challenger(app, manifest_of(entry(1, 0)), dice_of_cases(task_00000001=0.9))
    assert evaluate_run(context, first, lambda: None)
    assert evaluate_run(context, first, lambda: None)  # the step ran twice
    with app.store.begin() as session:
        (told,) = session.scalars(select(NoticeRow))
    assert (told.event, told.run_id, told.body["version"]) == ("promoted", first, "nnloop-v2")
    assert told.body["verdict"] == verdict_of(app, first).reason


def test_each_case_is_predicted_by_the_fold_that_held_it_out(
    app: FakeApp, predictor: FakePredictor
) -> None:
    known = dice_of_cases(task_00000001=0.9, task_00000002=0.8)
    app.add_version(
        1,
        manifest=manifest_of(entry(1, 0), entry(2, 1), entry(3, 1), entry(4, 0, group="p")),
        metrics={"dice_per_case": known},
    )
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :2] = 1
    for task_id in (2, 3, 5, 6):
        write_case(
            app.context.workspace(PROJECT),
            case_id_of_task(task_id),
            np.zeros((8, 8), np.uint8),
            truth,
            n_channels=1,
        )
    manifest = manifest_of(
        entry(1, 0),  # unchanged: its number is known
        entry(2, 0, "corrected", group="q"),  # in a group now, whose fold has seen it
        entry(3, 1),  # unchanged, but never measured
        entry(5, 1, group="p"),  # new, of a patient that fold 0 held out
        entry(6, 1),  # new
    )
    challenger: DicePerCase = {
        case_id_of_task(i): {"lumen": 0.9, "wall": 0.9} for i in (1, 2, 3, 5, 6)
    }
    beats: list[bool] = []
    run_id = add_challenger(app, manifest, challenger)
    evaluate_run(app.context, run_id, lambda: beats.append(True))
    assert predictor.asked == [1, 1, 0, 1]
    assert len(beats) == 4
    verdict = verdict_of(app, run_id)
    assert verdict.n_cases == 5
    # Fold 1 paints the truth (Dice 1), fold 0 half of it (2/3); wall is absent from both.
    lumen = [0.9, 1.0, 1.0, 2 / 3, 1.0]
    assert verdict.champion == pytest.approx(np.mean(lumen))
    assert verdict.classes[1].champion == 0.9


def test_a_worse_version_does_not_serve(app: FakeApp, predictor: FakePredictor) -> None:
    manifest = manifest_of(entry(1, 0))
    old = app.add_version(
        1, manifest=manifest, metrics={"dice_per_case": dice_of_cases(task_00000001=0.9)}
    )
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000001=0.5))
    assert not evaluate_run(app.context, run_id, lambda: None)
    assert version_of(app, run_id).status == VersionStatus.REJECTED
    with app.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None and champion.id == old


@pytest.mark.parametrize("dice", [0.95, 0.1])
def test_evaluating_twice_changes_nothing(
    app: FakeApp, predictor: FakePredictor, dice: float
) -> None:
    manifest = manifest_of(entry(1, 0))
    app.add_version(
        1, manifest=manifest, metrics={"dice_per_case": dice_of_cases(task_00000001=0.9)}
    )
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000001=dice))
    first = evaluate_run(app.context, run_id, lambda: None)
    assert first is (dice > 0.9)
    assert evaluate_run(app.context, run_id, lambda: None) is first
    with app.store.begin() as session:
        assert len(versions.versions_of(session, PROJECT)) == 2


def test_the_verdict_holds_for_the_version_that_serves_at_its_end(
    app: FakeApp, predictor: FakePredictor
) -> None:
    """A person rolls back while the challenger is measured against the version that served."""
    manifest = manifest_of(entry(1, 0), entry(2, 1))
    known = {"task_00000001": {"lumen": 0.2, "wall": 0.2}}
    old = app.add_version(1, manifest=manifest, metrics={"dice_per_case": {**known}})
    app.add_version(3, manifest=manifest, metrics={"dice_per_case": {}})
    write_cases(app, 1, 2)
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000001=0.5))

    def roll_back() -> None:
        with app.store.begin() as session:
            versions.promote(session, session.get_one(VersionRow, old))

    evaluate_run(app.context, run_id, roll_back)
    verdict = verdict_of(app, run_id)
    assert verdict.champion == pytest.approx(0.2)  # not version 3's 5/6
    assert verdict.is_promoted


def test_no_figures_stay_of_a_version_that_served_before_the_verdict(
    app: FakeApp, predictor: FakePredictor
) -> None:
    """The version a person goes back to has other classes, so it can't be measured."""
    other = app.add_version(1, manifest=manifest_of(entry(1, 0), classes=("bone",)), metrics={})
    manifest = manifest_of(entry(1, 0), entry(2, 1))
    app.add_version(3, manifest=manifest, metrics={"dice_per_case": {}})
    write_cases(app, 1, 2)
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000001=0.5))

    def roll_back() -> None:
        with app.store.begin() as session:
            versions.promote(session, session.get_one(VersionRow, other))

    evaluate_run(app.context, run_id, roll_back)
    metrics = version_of(app, run_id).metrics
    assert verdict_of(app, run_id).champion is None
    assert metrics.champion_dice is None
    assert predictor.asked  # version 3 had been measured


def test_a_challenger_that_is_refused_leaves_the_published_predictions(
    app: FakeApp, predictor: FakePredictor
) -> None:
    manifest = manifest_of(entry(1, 0))
    old = app.add_version(
        1, manifest=manifest, metrics={"dice_per_case": dice_of_cases(task_00000001=0.9)}
    )
    app.add_tasks(7)
    with app.store.begin() as session:
        session.add(PredictionRow(project_id=PROJECT, task_id=7, version_id=old, result=[]))
    publish(app.context, PROJECT)
    run_id = add_challenger(app, manifest, dice_of_cases(task_00000001=0.2))
    assert not evaluate_run(app.context, run_id, lambda: None)
    publish(app.context, PROJECT)
    held = [(row.task_id, row.model_version) for row in app.label_studio.predictions]
    assert held == [(7, "nnloop-v1")]
    assert app.label_studio.info.model_version == "nnloop-v1"


def test_an_ensemble_is_challenged_like_any_champion(
    app: FakeApp, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folds, manifest and numbers stand in its own row; a case all have seen is left out."""
    info = VersionInfo("nnloop-e1", CLASSES, 1, FULL, (0, 1), {}, members=("a", "b"))
    monkeypatch.setattr(champion, "read_version", lambda _path: info)
    version_id = app.add_imported("nnloop-e1")
    old = manifest_of(entry(1, 0), entry(2, 1), entry(3, -1))
    with app.store.begin() as session:
        row = session.get_one(VersionRow, version_id)
        row.origin = VersionOrigin.ENSEMBLE
        row.manifest = EnsembleManifest(
            old.entries, (), old.class_values, old.n_folds, group_key=None, members={}
        )
        row.metrics = VersionMetrics(
            dice_per_case=dice_of_cases(task_00000001=0.9), remark="b is foreign"
        )
    write_cases(app, 1, 2, 3)
    new = manifest_of(entry(1, 0), entry(2, 1), entry(3, 1))
    dice = dice_of_cases(task_00000001=0.3, task_00000002=0.3, task_00000003=0.3)
    run_id = add_challenger(app, new, dice)
    assert not evaluate_run(app.context, run_id, lambda: None)
    assert predictor.asked == [1]
    reason = verdict_of(app, run_id).reason
    assert "on the same 2 held-out cases" in reason and "b is foreign" in reason


def test_a_version_is_made_without_a_fold_that_had_no_time(
    app: FakeApp, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[tuple[int, ...]] = []

    def pack(_workspace: object, _run: object, info: VersionInfo, **_more: object) -> Path:
        packed.append(info.folds)
        return Path("/models/v")

    monkeypatch.setattr(judge_run, "package_version", pack)
    manifest = manifest_of(*(entry(i, i - 1) for i in (1, 2, 3)), n_folds=3)
    run_id = app.add_run(RunStatus.EVALUATING, 2, manifest=manifest)
    with app.store.begin() as session:
        for fold, (steps, dice) in enumerate([(300, 0.8), (40, 0.2), (310, 0.9)]):
            result = fold_result(
                dice_of_cases(**{case_id_of_task(fold + 1): dice}),
                fold=fold,
                steps=steps,
                stopped="budget",
            )
            row = FoldRow(run_id=run_id, fold=fold, status=FoldStatus.DONE, result=result)
            session.add(row)
    assert evaluate_run(app.context, run_id, lambda: None)
    assert packed == [(0, 2)]
    metrics = version_of(app, run_id).metrics
    # Nothing of it enters the figures either: they are those of the folds that predict.
    assert metrics.oof_dice == {"lumen": pytest.approx(0.85), "wall": pytest.approx(0.85)}
    assert metrics.remark == (
        "nnloop-v2 is made of 2 of 3 folds, for want of training time for fold 1 (40 steps, "
        "Dice 0.20)"
    )
