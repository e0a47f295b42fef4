from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import read_json, write_json
from domain.case import Manifest
from domain.errors import PredictionError
from tests.fakes.documents import fold_result
from training.archive.export import dataset_name_of, write_archive
from training.archive.unpack import list_models
from training.evaluation import ClassDice
from training.folds.spec import FoldResult
from training.presets import TINY
from training.pretrained import NETWORK
from training.versions.ensembles import EnsembleParts, package_ensemble
from training.versions.version_folder import VersionInfo, remove_weights, write_version
from training.workspace import Workspace

ROOT = "Dataset501_Carotid/nnUNetTrainer__nnUNetResEncUNetMPlans__2d"


def _version(
    root: Path,
    folds: tuple[int, ...] = (0, 2),
    n_folds: int = 3,
    scores: ClassDice | None = None,
) -> Path:
    info = VersionInfo("v", ("lumen", "ignore"), 1, TINY, folds, {})

    def fill(folder: Path) -> None:
        write_json(folder / "plans.json", {"plans_name": "nnUNetResEncUNetMPlans"})
        labels = {"background": 0, "1_lumen": 1, "2_ignore": 2}
        write_json(folder / "dataset.json", {"labels": labels, "file_ending": ".png"})
        write_json(folder / "dataset_fingerprint.json", {})
        for fold in folds:
            write_json(folder / f"fold_{fold}" / "checkpoint_final.pth", fold)
            given = scores or {"lumen": 0.8, "ignore": 0.6}
            result = fold_result({"task_1": given}, fold=fold)
            write_document(folder / f"fold_{fold}" / "result.json", FoldResult, result)

    return write_version(Workspace(root, 1), info, fill, manifest=Manifest((), n_folds=n_folds))


def _json(file: Path, name: str) -> Any:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read(f"{ROOT}/{name}"))


def test_the_zip_has_the_names_nnunet_looks_for(tmp_path: Path) -> None:
    file = tmp_path / "out" / "m.zip"
    written = write_archive(_version(tmp_path), file, "Dataset501_Carotid")
    with zipfile.ZipFile(file) as archive:
        names = sorted(name.removeprefix(f"{ROOT}/") for name in archive.namelist())
    assert names == [
        "dataset.json",
        "dataset_fingerprint.json",
        "fold_0/checkpoint_final.pth",
        "fold_0/validation/summary.json",
        "fold_2/checkpoint_final.pth",
        "fold_2/validation/summary.json",
        "plans.json",
    ]
    # Its own names; but 'ignore' would mean something else to nnU-Net.
    assert _json(file, "dataset.json")["labels"] == {"background": 0, "lumen": 1, "2_ignore": 2}
    summary = _json(file, "fold_2/validation/summary.json")
    assert summary["mean"] == {"1": {"Dice": 0.8}, "2": {"Dice": 0.6}}
    assert summary["foreground_mean"]["Dice"] == pytest.approx(0.7)
    install, predict = written.commands
    assert install.endswith(str(file))
    assert "-d Dataset501_Carotid -p nnUNetResEncUNetMPlans -c 2d -f 0 2" in predict


def test_a_network_of_nnloops_own_is_named_as_what_the_zip_needs(tmp_path: Path) -> None:
    folder = _version(tmp_path)
    plain = write_archive(folder, tmp_path / "plain.zip", "Dataset501_Carotid")
    assert plain.needs == "nnU-Net"
    plans = read_json(folder / "plans.json")
    plans["configurations"] = {"2d": {"architecture": {"network_class_name": NETWORK}}}
    write_json(folder / "plans.json", plans)
    own = write_archive(folder, tmp_path / "own.zip", "Dataset501_Carotid")
    assert "nnloop" in own.needs
    assert own.commands[1:] == plain.commands[1:]


def test_an_absent_class_has_no_figure_in_nnunets_summary(tmp_path: Path) -> None:
    file = tmp_path / "m.zip"
    write_archive(
        _version(tmp_path, scores={"lumen": 0.8, "ignore": None}), file, "Dataset501_Carotid"
    )
    summary = _json(file, "fold_2/validation/summary.json")
    assert summary["foreground_mean"] == {"Dice": 0.8}
    assert summary["mean"]["2"] == {"Dice": None}
    nothing = _version(tmp_path / "other", scores={"lumen": None, "ignore": None})
    write_archive(nothing, file, "Dataset501_Carotid")
    with zipfile.ZipFile(file) as archive:
        assert not [name for name in archive.namelist() if name.endswith("summary.json")]


def test_a_network_trained_on_everything_is_called_all(tmp_path: Path) -> None:
    written = write_archive(_version(tmp_path, (0,), 1), tmp_path / "m.zip", "Dataset501_Carotid")
    assert written.models[0].folds == ("all",)


def test_a_pruned_version_and_a_wrong_name_are_refused(tmp_path: Path) -> None:
    folder = _version(tmp_path)
    with pytest.raises(ValueError, match="'Carotid'"):
        write_archive(folder, tmp_path / "m.zip", "Carotid")
    assert remove_weights(folder) > 0
    with pytest.raises(PredictionError, match="was pruned"):
        write_archive(folder, tmp_path / "m.zip", "Dataset501_Carotid")
    assert not (tmp_path / "m.zip").exists()


@pytest.mark.parametrize(
    ("number", "title", "name"),
    [
        (7, "Carotid", "Dataset007_Carotid"),
        (999, "a b/c", "Dataset999_a_b_c"),
        (1000, "", "Dataset001_nnloop"),
        (12, "Gefäß", "Dataset012_Gef"),
    ],
)
def test_names_of_data_sets(number: int, title: str, name: str) -> None:
    assert dataset_name_of(number, title) == name


def test_the_postprocessing_lies_where_nnunet_looks_for_it(tmp_path: Path) -> None:
    folder = _version(tmp_path)
    for name in ("postprocessing.json", "postprocessing.pkl"):
        (folder / name).write_text(name)
    write_archive(folder, tmp_path / "m.zip", "Dataset501_Carotid")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        for name in ("postprocessing.json", "postprocessing.pkl"):
            stored = archive.read(f"{ROOT}/crossval_results_folds_0_2/{name}")
            assert stored.decode() == name


def test_an_ensembles_members_get_folders_of_their_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 1)
    first, second = _version(tmp_path / "a"), _version(tmp_path / "b", (0, 1))
    for folder, name in ((first, "nnloop-v3"), (second, "nnloop-v4")):
        path = folder / "version.json"
        value = {**json.loads(path.read_text()), "name": name}
        path.unlink()
        write_json(path, value)
    found = tmp_path / "found"
    for name in ("postprocessing.json", "postprocessing.pkl"):
        write_json(found / name, {})
    ensemble = package_ensemble(
        workspace, "nnloop-e1", EnsembleParts([first, second], [(0, 0)], found)
    )
    file = tmp_path / "e.zip"
    written = write_archive(ensemble, file, "Dataset501_Carotid")
    assert [(model.plans_name, model.folds) for model in written.models] == [
        ("nnUNetResEncUNetMPlans_nnloop_v3", ("0", "2")),
        ("nnUNetResEncUNetMPlans_nnloop_v4", ("0", "1")),
    ]
    assert [model.name for model in list_models(file)] == [
        f"nnUNetTrainer__{model.plans_name}__2d" for model in written.models
    ]
    install, first_, second_, ensembled, cleaned = written.commands
    assert install.endswith(str(file))
    assert first_.endswith("-f 0 2 --save_probabilities") and "-o PREDICTIONS_1" in first_
    assert "-p nnUNetResEncUNetMPlans_nnloop_v4" in second_
    assert ensembled == "nnUNetv2_ensemble -i PREDICTIONS_1 PREDICTIONS_2 -o PREDICTIONS -np 1"
    assert f"$nnUNet_results/{written.postprocessing}" in cleaned
    with zipfile.ZipFile(file) as archive:
        assert written.postprocessing in archive.namelist()
    remove_weights(ensemble / "members" / "nnloop-v4")
    with pytest.raises(PredictionError, match="nnloop-v4 has no weights of fold 0"):
        write_archive(ensemble, file, "Dataset501_Carotid")
