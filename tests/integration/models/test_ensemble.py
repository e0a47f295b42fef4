"""Two versions of one project with different plans, averaged by the command line's own way."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.cli.main import app as program
from backend.pipeline.ensembles.choose import make_ensemble
from backend.pipeline.evaluate.options import EvaluationOptions
from backend.pipeline.evaluate.version import evaluate_version
from backend.pipeline.models.archive import export_version
from backend.pipeline.models.details import version_details
from backend.pipeline.models.side_by_side import compare_versions
from backend.settings import ProjectSettings
from backend.store.models import ProjectRow
from backend.store.training import versions
from converters.bookkeeping.files import read_json
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import PredictionError, SettingsError
from domain.states import VersionOrigin, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import polygon
from tests.integration.training.discs import CLASS_VALUES, disc_image
from training.archive.unpack import list_models
from training.case_files import read_image, write_case
from training.evaluation import mean_over_cases, named_dice
from training.folds.spec import RESULT, FoldSpec
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.inference.postprocessing import postprocessed
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.learning.fold_process import train_fold
from training.presets import TINY, Preset
from training.versions.keep_largest import read_postprocessing
from training.versions.version_folder import (
    VersionInfo,
    library_versions,
    package_version,
    read_version,
    remove_weights,
    size_bytes,
)

pytestmark = pytest.mark.slow

LABELS = "".join(f'<Label value="{value}"/>' for value in CLASS_VALUES)
CONFIG = (
    '<View><Image name="image" value="$image"/>'
    f'<PolygonLabels name="label" toName="image">{LABELS}</PolygonLabels></View>'
)
SIDE = 64
SMALL = replace(
    TINY,
    epochs=2,
    iterations_per_epoch=8,
    max_image_side=SIDE,
    min_image_side=None,
    max_patch_side=SIDE,
    features_per_stage=(8, 16, 32),
    postprocess=True,
)
WIDE = replace(SMALL, features_per_stage=(12, 24, 48))
TASKS = range(1, 7)


@dataclass(frozen=True)
class Ensembled:
    app: FakeApp
    report: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.app.context.workspace(PROJECT).version_dir("nnloop-e1")


def _train(app: FakeApp, number: int, preset: Preset, n_folds: int) -> None:
    """A run as the loop leaves it: folds, version, manifest and rows."""
    workspace = app.context.workspace(PROJECT)
    cases = [
        write_case(workspace, case_id_of_task(i), *disc_image(i, side=SIDE), n_channels=1)
        for i in TASKS
    ]
    entries = tuple(
        ManifestEntry(c.case_id, i, 10 * i, f"hash {i}", c.case_id, i % n_folds)
        for i, c in zip(TASKS, cases, strict=True)
    )
    manifest = Manifest(entries, class_values=CLASS_VALUES, n_folds=n_folds)
    folds = {entry.case_id: entry.fold for entry in entries}
    prepare(workspace, cases, folds, DatasetSpec(CLASS_VALUES, 1, preset))
    dice: dict[str, dict[str, float]] = {}
    for fold in range(n_folds):
        spec = FoldSpec(
            str(workspace.root), PROJECT, str(number), fold, CLASS_VALUES, preset, seed=number
        )
        spec.fold_dir.mkdir(parents=True)
        train_fold(spec, started=time.monotonic())
        dice.update(read_json(spec.fold_dir / RESULT)["dice_per_case"])
    value = run_manifest(manifest, preset)
    info = VersionInfo(
        f"nnloop-v{number}", CLASS_VALUES, 1, preset, tuple(range(n_folds)), library_versions()
    )
    path = package_version(workspace, number, info, manifest=value)
    metrics = {"dice_per_case": dice, "oof_dice": mean_over_cases(dice), "labels": len(cases)}
    app.add_version(number, manifest=value, metrics=metrics, size_bytes=size_bytes(path))


@pytest.fixture(scope="module")
def ensembled(
    migrated_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ensembled]:
    """Versions 1 (two folds) and 2 (a wider network, three folds), and the ensemble of both."""
    app = FakeApp(tmp_path_factory.mktemp("app"), migrated_database)
    with app.store.begin() as session:
        project = session.get_one(ProjectRow, PROJECT)
        project.label_config, project.n_channels = CONFIG, 1
        # What the gate allows to be lost: these folds have hardly learned anything.
        project.settings = ProjectSettings(gate_margin=1.0)
    app.label_studio.info = replace(app.label_studio.info, label_config=CONFIG)
    for i in TASKS:
        app.label_studio.add_task(i, disc_image(i, side=SIDE)[0])
        app.label_studio.label(i, polygon("disc"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_n_proc_DA", "0")
        _train(app, 1, SMALL, 2)
        _train(app, 2, WIDE, 3)
        # As a person does it; no queue is running.
        patch.setenv("NNLOOP_REDIS_URL", "")
        folder = str(app.context.settings.data_dir)
        names = ["nnloop-v1", "nnloop-v2"]
        command = ["models", "ensemble", str(PROJECT), *names, "--json", "--data-dir", folder]
        patch.setenv("NNLOOP_DATA_DIR", folder)
        result = CliRunner().invoke(program, command)
    assert result.exit_code == 0, result.output
    yield Ensembled(app, json.loads(result.stdout))
    app.store.close()


def test_the_ensemble_went_through_the_gate_and_serves(ensembled: Ensembled) -> None:
    report, app = ensembled.report, ensembled.app
    assert (report["version"], report["is_promoted"], report["n_cases"]) == ("nnloop-e1", True, 6)
    assert {tuple(row["versions"]) for row in report["considered"]} == {
        ("nnloop-v1",),
        ("nnloop-v2",),
        ("nnloop-v1", "nnloop-v2"),
    }
    assert "on the same 6 held-out cases" in report["reason"]
    with app.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None
        assert (champion.name, champion.origin) == ("nnloop-e1", VersionOrigin.ENSEMBLE)
        metrics = champion.metrics
        assert metrics.gate is not None and metrics.gate.is_promoted
        assert metrics.champion_dice is not None
        assert metrics.champion_dice.version == "nnloop-v2"
        assert champion.metrics.postprocessing is not None
        [old] = versions.by_name(session, "nnloop-v2", PROJECT)
        assert old.status == VersionStatus.RETIRED


def test_its_dice_is_that_of_its_held_out_predictions(ensembled: Ensembled) -> None:
    with ensembled.app.store.begin() as session:
        [row] = versions.by_name(session, "nnloop-e1", PROJECT)
    manifest = row.manifest
    assert manifest is not None
    info = read_version(ensembled.folder)
    # Two folds and three: their combinations over six cases.
    assert manifest.n_folds == len(info.folds) == 6
    predictor = FoldPredictor.load(ensembled.folder, engine="torch")
    members = [
        FoldPredictor.load(ensembled.folder / "members" / name, engine="torch")
        for name in info.members
    ]
    steps = read_postprocessing(ensembled.folder)
    for entry in manifest.entries:
        assert entry.annotation_ids == (10 * entry.task_id,)
        pair = info.member_folds[info.folds.index(entry.fold)]
        assert pair == (entry.task_id % 2, entry.task_id % 3)
        image, truth = disc_image(entry.task_id, side=SIDE)
        found = predictor.predict_single_fold(image, entry.fold)
        wanted = np.mean(
            [m.predict_single_fold(image, f) for m, f in zip(members, pair, strict=True)], axis=0
        )
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        labels = postprocessed(found, steps).argmax(axis=0).astype(np.uint8)
        dice = named_dice(labels, truth, CLASS_VALUES)
        assert row.metrics.dice_per_case[entry.case_id] == pytest.approx(dice, abs=0.02)
    image, _ = disc_image(99, side=SIDE)
    maps = predictor.predict(image)
    assert maps.shape[0] == 5
    mean = np.mean([member.predict(image).mean(axis=0) for member in members], axis=0)
    np.testing.assert_allclose(maps.mean(axis=0), mean, atol=1e-6)


def test_it_is_a_version_like_any_other(ensembled: Ensembled, tmp_path: Path) -> None:
    context = ensembled.app.context
    details = version_details(context, "nnloop-e1", PROJECT)
    assert details.members == ("nnloop-v1", "nnloop-v2")
    assert [one.task_id for one in details.trained_on] == list(TASKS)
    assert all(one.dice for one in details.trained_on)
    found = compare_versions(context, "nnloop-v1", "nnloop-e1", PROJECT)
    assert found.comparison.n_cases == 6
    options = EvaluationOptions(tmp_path / "out", n_worst=0, workers=1)
    evaluation = evaluate_version(context, PROJECT, options, version="nnloop-e1")
    assert len(evaluation.cases) == 6 and not evaluation.problems
    again = read_image(tmp_path / "out" / "predictions" / f"{case_id_of_task(1)}.png")
    assert again.shape == (SIDE, SIDE)


def test_its_zip_holds_the_members_under_names_of_their_own(
    ensembled: Ensembled, tmp_path: Path
) -> None:
    file = tmp_path / "e.zip"
    written = export_version(ensembled.app.context, "nnloop-e1", file, PROJECT, "Dataset009_Discs")
    names = [model.name for model in list_models(file)]
    assert names == [model.folder for model in written.models]
    assert len(set(names)) == 2
    with zipfile.ZipFile(file) as archive:
        for model in written.models:
            plans = json.loads(archive.read(f"Dataset009_Discs/{model.folder}/plans.json"))
            assert plans["plans_name"] == model.plans_name
        assert written.postprocessing in archive.namelist()
    assert any("--save_probabilities" in command for command in written.commands)
    assert any(command.startswith("nnUNetv2_ensemble -i ") for command in written.commands)
    assert json.dumps([asdict(model) for model in written.models])


def test_it_is_not_made_twice_nor_of_itself(ensembled: Ensembled) -> None:
    context = ensembled.app.context
    with pytest.raises(SettingsError, match="nnloop-e1 is the ensemble of"):
        make_ensemble(context, PROJECT, ["nnloop-v2", "nnloop-v1"])
    with pytest.raises(SettingsError, match="nnloop-e1 is an ensemble itself") as caught:
        make_ensemble(context, PROJECT, ["nnloop-e1", "nnloop-v1"])
    assert caught.value.remedy == "Name its members."


def test_it_predicts_without_its_members(ensembled: Ensembled) -> None:
    image, _ = disc_image(98, side=SIDE)
    before = FoldPredictor.load(ensembled.folder, engine="torch").predict(image)
    workspace = ensembled.app.context.workspace(PROJECT)
    for name in ("nnloop-v1", "nnloop-v2"):
        remove_weights(workspace.version_dir(name))
    after = FoldPredictor.load(ensembled.folder, engine="torch").predict(image)
    np.testing.assert_array_equal(before, after)
    with pytest.raises(PredictionError, match="nnloop-v1 has no weights of fold 0"):
        make_ensemble(ensembled.app.context, PROJECT, ["nnloop-v1", "nnloop-v2"])
