"""nnU-Net's model zip both ways, with nnU-Net's own commands and its own predictor."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from backend.from_files.model_zip import unpacked_model
from backend.from_files.networks.predict import predict_files
from backend.from_files.predictions.predicting import PredictionSpec
from backend.from_files.predictions.results import ResultOptions
from backend.pipeline.folds.elsewhere import head_of
from backend.pipeline.models.archive import ImportedVersion, export_version, import_model
from backend.pipeline.models.details import version_details
from backend.pipeline.models.starts import find_start
from backend.store.models import ProjectRow
from backend.store.training import versions
from domain.errors import FileFormatError
from tests.fakes.app import PROJECT, FakeApp
from tests.integration.models.conftest import MODEL, Foreign, nnunet
from tests.integration.training.discs import disc_image, write_discs
from training.case_files import read_image, write_case
from training.folds.spec import FINAL, FoldSpec
from training.nnunet.checkpoint import read_checkpoint
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.learning.fold_process import train_fold
from training.presets import TINY
from training.versions.version_folder import VersionInfo, package_version, read_version

pytestmark = pytest.mark.slow

LABELS = '<Label value="Quadrat"/><Label value="disc"/>'
CONFIG = (
    '<View><Image name="image" value="$image"/>'
    f'<PolygonLabels name="label" toName="image">{LABELS}</PolygonLabels></View>'
)


@dataclass(frozen=True)
class Imported:
    app: FakeApp
    done: ImportedVersion
    folder: Path

    def predictor(self) -> FoldPredictor:
        return FoldPredictor.load(self.folder, mirroring=True, tile_step=0.5, engine="torch")


@pytest.fixture(scope="module")
def imported(
    foreign: Foreign, migrated_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Imported]:
    """A project whose labels have another order and one another name, with the model in it."""
    app = FakeApp(tmp_path_factory.mktemp("app"), migrated_database)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_config = CONFIG
    mapping = {"square": "Quadrat"}
    done = import_model(app.context, PROJECT, foreign.zip, mapping=mapping, name="theirs")
    yield Imported(app, done, app.context.workspace(PROJECT).version_dir("theirs"))
    app.store.close()


def test_a_model_of_nnunet_predicts_here_as_it_does_there(
    imported: Imported, foreign: Foreign
) -> None:
    done = imported.done
    assert (done.version, done.folds, done.serves) == ("theirs", 2, True)
    assert done.class_values == ("disc", "Quadrat")  # the model's integers, the project's names
    assert imported.app.jobs == [("score", (PROJECT, 0))]
    image, _ = disc_image(300)
    probabilities = imported.predictor().predict(image)
    for fold in (0, 1):
        theirs = nnUNetPredictor(
            tile_step_size=0.5, device=torch.device("cpu"), allow_tqdm=False, use_mirroring=True
        )
        theirs.initialize_from_trained_model_folder(
            str(foreign.folder), (fold,), "checkpoint_final.pth"
        )
        _, expected = theirs.predict_single_npy_array(
            image[None, None].astype(np.float32),
            {"spacing": (999, 1, 1)},
            save_or_return_probabilities=True,
        )
        # nnU-Net sums tiles in half precision: 1e-2 is its own error.
        assert np.abs(probabilities[fold] - expected[:, 0]).max() < 2e-2
        kept = read_checkpoint(imported.folder / f"fold_{fold}" / FINAL, torch.device("cpu"))
        assert kept["optimizer_state"] is None


def test_it_can_be_told_where_a_version_comes_from(imported: Imported) -> None:
    details = version_details(imported.app.context, "theirs", PROJECT)
    assert details.imported is not None
    assert details.imported.labels == {"disc": "disc", "square": "Quadrat"}
    assert details.imported.model == MODEL
    assert details.preset == "imported" and details.trained_on == ()


def test_a_version_predicts_with_nnunets_commands_as_it_does_here(
    imported: Imported, tmp_path: Path
) -> None:
    file = tmp_path / "ours.zip"
    context = imported.app.context
    written = export_version(context, "theirs", file, dataset_name="Dataset077_Discs")
    results, images, out = (tmp_path / name for name in ("results", "images", "out"))
    for folder in (results, images, out):
        folder.mkdir()
    array, _ = disc_image(301)
    cv2.imwrite(str(images / "image_0000.png"), array)
    nnunet(results, "nnUNetv2_install_pretrained_model_from_zip", str(file))
    # The command that is shown to people, on a CPU and with one fold: over several, nnU-Net
    # averages logits where nnloop averages probabilities.
    command = written.commands[1].replace("IMAGES", str(images)).replace("PREDICTIONS", str(out))
    options = ("-f", "1", "-device", "cpu", "-npp", "1", "-nps", "1")
    nnunet(results, *command.partition(" -f ")[0].split(), *options)
    theirs = cv2.imread(str(out / "image.png"), cv2.IMREAD_UNCHANGED)
    ours = imported.predictor().predict_single_fold(array, 1).argmax(axis=0)
    assert (ours == theirs).mean() > 0.995
    # Images in files are predicted with the zip alone.
    (tmp_path / "model").mkdir()
    model = unpacked_model(file, tmp_path / "model")
    masks = tmp_path / "masks"
    predict_files(PredictionSpec((str(images),), str(model), str(masks), ResultOptions()), print)
    expected = imported.predictor().predict(array).mean(axis=0).argmax(axis=0)
    mask = cv2.imread(str(masks / "image_0000.png"), cv2.IMREAD_UNCHANGED)
    assert (mask == expected).mean() > 0.999


def test_a_training_goes_on_from_nnunets_zip_with_its_plans_and_classes(
    imported: Imported, foreign: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # in this process
    context = imported.app.context
    start = find_start(context, PROJECT, str(foreign.zip), {"square": "Quadrat"})
    assert start.fresh == ()
    # The interface's order is another than the model's.
    ours = ("Quadrat", "disc")
    head = head_of(ours, read_version(start.folder).class_values, start.mapping)
    assert head == (0, 2, 1)
    hardly = replace(TINY, n_folds=2, epochs=1, iterations_per_epoch=1, val_iterations=1, lr=1e-9)
    preset = hardly.customized(plans=start.settings["plans"])
    workspace, cases = write_discs(tmp_path, 4)
    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    swapped = [
        write_case(
            workspace,
            case.case_id,
            read_image(case.image_pngs[0]),
            np.array([0, 2, 1], np.uint8)[read_image(case.label_png)],
            n_channels=1,
        )
        for case in cases
    ]
    prepare(workspace, swapped, folds, DatasetSpec(ours, 1, preset))
    checkpoint = start.folder / "fold_1" / FINAL
    spec = FoldSpec(str(tmp_path), 7, "1", 1, ours, preset, warm_start=str(checkpoint), head=head)
    spec.fold_dir.mkdir(parents=True)
    train_fold(spec, started=time.monotonic())
    info = VersionInfo("v1", ours, 1, preset, (1,), {})
    tuned = FoldPredictor.load(package_version(workspace, "1", info), engine="torch")
    image, _ = disc_image(302)
    expected = imported.predictor().predict_single_fold(image, 1)
    found = FoldPredictor.predict_single_fold(tuned, image, 1)
    np.testing.assert_allclose(found, expected[[0, 2, 1]], atol=0.05)


class _Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_refused_by_name_and_does_not_run(
    imported: Imported, foreign: Foreign, tmp_path: Path
) -> None:
    file, scratch, trace = (tmp_path / name for name in ("armed.zip", "armed.pth", "ran"))
    with zipfile.ZipFile(foreign.zip) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            if name.endswith("fold_0/checkpoint_final.pth"):
                checkpoint = torch.load(source.open(name), weights_only=False)
                torch.save(checkpoint | {"logging": _Bomb(trace)}, scratch)
                target.write(scratch, name)
            else:
                target.writestr(name, source.read(name))
    models = imported.app.context.workspace(PROJECT).models
    before = sorted(models.iterdir())
    with pytest.raises(FileFormatError, match=r"would call posix\.mkdir") as caught:
        import_model(imported.app.context, PROJECT, file, mapping={"square": ""}, name="armed")
    assert "--trust" in caught.value.remedy
    assert not trace.exists()
    assert sorted(models.iterdir()) == before
    with imported.app.store.begin() as session:
        assert versions.by_name(session, "armed") == []
