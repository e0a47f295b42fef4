from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.pipeline.gate import judge_run
from backend.pipeline.gate.judge_run import evaluate_run
from backend.store.models import FoldRow
from backend.store.training import versions
from domain.case import Manifest, ManifestEntry
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest
from tests.unit.training.nnunet.spurious import CLASSES, write_run
from training.evaluation import DicePerCase
from training.presets import FULL, Preset
from training.versions.manifests import RunManifest
from training.versions.metrics import VersionMetrics

RUN = 2


def _manifest(preset: Preset, n_folds: int = 2) -> RunManifest:
    entries = tuple(
        ManifestEntry(f"task_{i}", i, i, "same", f"task_{i}", i // 2 % n_folds) for i in range(4)
    )
    manifest = Manifest(entries, class_values=CLASSES, n_folds=n_folds)
    return run_manifest(manifest, preset)


def _evaluate(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, manifest: RunManifest
) -> VersionMetrics:
    monkeypatch.setattr(judge_run, "package_version", lambda *_args, **_more: Path("/models/v"))
    monkeypatch.setattr(judge_run, "prune_quietly", lambda *_args: None)
    run_id = app.add_run(RunStatus.EVALUATING, RUN, manifest=manifest)
    with app.store.begin() as session:
        for fold in (0, 1):
            cases = (f"task_{2 * fold + i}" for i in (0, 1))
            dice: DicePerCase = {case: {"disc": 0.9, "square": 1.0} for case in cases}
            result = fold_result(dice)
            session.add(FoldRow(run_id=run_id, fold=fold, status=FoldStatus.DONE, result=result))
    assert evaluate_run(app.context, run_id, lambda: None)
    with app.store.begin() as session:
        version = versions.version_of_run(session, run_id)
        assert version is not None
        return version.metrics


def test_a_version_is_judged_as_it_will_predict(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(app.context.workspace(PROJECT), RUN, with_spurious=True)
    metrics = _evaluate(app, monkeypatch, _manifest(FULL))
    assert metrics.oof_dice == {"disc": 1.0, "square": 1.0}
    found = metrics.postprocessing
    assert found is not None and found.keeps_largest == ((1,),)
    assert found.dice_before == {"disc": pytest.approx(0.9), "square": 1.0}


@pytest.mark.parametrize(
    "manifest",
    [_manifest(replace(FULL, postprocess=False)), _manifest(FULL, n_folds=1)],
    ids=["not asked for", "nothing held out"],
)
def test_otherwise_label_maps_stay_as_they_are(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, manifest: RunManifest
) -> None:
    write_run(app.context.workspace(PROJECT), RUN, with_spurious=True)
    metrics = _evaluate(app, monkeypatch, manifest)
    assert metrics.oof_dice["disc"] == pytest.approx(0.9)
    assert metrics.postprocessing is None
