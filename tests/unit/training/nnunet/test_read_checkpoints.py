from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from converters.bookkeeping.files import read_json, write_json
from domain.errors import FileFormatError
from tests.unit.training.archive.zips import dataset, plans
from training.archive.convert import ANSWER, JOB
from training.nnunet import classes
from training.nnunet.checkpoint import read_checkpoint
from training.nnunet.classes import trainer_class
from training.nnunet.read_checkpoints import convert, main, read_foreign_checkpoint


class _Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _network() -> torch.nn.Module:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans())
    network: torch.nn.Module = trainer_class("nnUNetTrainer").build_network_architecture(
        manager, manager.get_configuration("2d"), 1, 3, enable_deep_supervision=False
    )
    return network


def _checkpoint(**values: Any) -> dict[str, Any]:
    """As nnU-Net writes it: numpy's numbers among Python's."""
    return {
        "network_weights": _network().state_dict(),
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.6)], "n": np.int64(3)},
        "_best_ema": np.float64(0.4),
        "current_epoch": 7,
        "init_args": {"plans": plans(), "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
        **values,
    }


def _folder(path: Path, **values: Any) -> Path:
    write_json(path / "plans.json", plans())
    write_json(path / "dataset.json", dataset())
    torch.save(_checkpoint(**values), path / "fold_0.pth")
    return path


def test_what_is_kept_is_plain(tmp_path: Path) -> None:
    weights = _network().state_dict()
    wrapped = {f"module._orig_mod.{key}": value for key, value in weights.items()}
    answer = convert(_folder(tmp_path, network_weights=wrapped), {"0": 4}, False)
    assert answer == {"trainer": "nnUNetTrainer", "mirror_axes": [0, 1], "epochs": 7}
    kept = read_checkpoint(tmp_path / "fold_4" / "checkpoint_final.pth", torch.device("cpu"))
    assert set(kept["network_weights"]) == set(weights)
    assert all(torch.equal(kept["network_weights"][key], weights[key]) for key in weights)
    assert kept["logging"] == {} and kept["init_args"]["fold"] == 4
    assert not (tmp_path / "fold_0.pth").exists()


@pytest.mark.parametrize("place", ["logging", "init_args", "network_weights", "trainer_name"])
def test_code_is_refused_by_name_and_does_not_run(tmp_path: Path, place: str) -> None:
    trace = tmp_path / "ran"
    folder = _folder(tmp_path, **{place: {"x": _Bomb(trace)}})
    with pytest.raises(FileFormatError, match=r"would call posix\.mkdir") as caught:
        convert(folder, {"0": 0}, False)
    assert "--trust" in caught.value.remedy
    assert not trace.exists()
    assert not (tmp_path / "fold_0").exists()


def test_told_to_trust_it_runs_and_what_is_kept_is_plain_all_the_same(tmp_path: Path) -> None:
    folder = _folder(tmp_path, logging=_Bomb(tmp_path / "ran"))
    convert(folder, {"0": 0}, True)
    assert (tmp_path / "ran").is_dir()
    read_checkpoint(tmp_path / "fold_0" / "checkpoint_final.pth", torch.device("cpu"))


def test_arrays_that_could_hold_objects_are_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path, logging=np.array([_Bomb(tmp_path / "ran")], dtype=object))
    with pytest.raises(FileFormatError, match="is refused"):
        convert(folder, {"0": 0}, False)
    assert not (tmp_path / "ran").exists()


def test_a_trainer_with_a_module_in_its_name_is_not_imported(tmp_path: Path) -> None:
    folder = _folder(tmp_path, trainer_name="antigravity:nnUNetTrainer")
    assert convert(folder, {"0": 0}, False)["trainer"] == "nnUNetTrainer"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop(next(iter(w))), "do not fit.*missing"),
        (lambda w: w.update(extra=torch.zeros(1)), "do not fit.*no such weight"),
        (lambda w: w.update({next(iter(w)): torch.zeros(9, 9)}), r"do not fit.*\(9, 9\)"),
        (lambda w: w.update({next(iter(w)): "text"}), "no network_weights of tensors"),
        # One number that claims to be a million: unpacked, it would fill the memory.
        (lambda w: w.update(x=torch.zeros(1).expand(1_000_000)), "no network_weights of tensors"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: Any, words: str) -> None:
    weights = dict(_network().state_dict())
    change(weights)
    with pytest.raises(FileFormatError, match=words):
        convert(_folder(tmp_path, network_weights=weights), {"0": 0}, False)


def test_plans_of_any_size_take_no_memory(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    huge = plans()
    kwargs = huge["configurations"]["2d"]["architecture"]["arch_kwargs"]
    kwargs["features_per_stage"] = [100_000, 100_000]  # 90 billion weights per convolution
    write_json(folder / "plans.json", huge)
    with pytest.raises(FileFormatError, match="do not fit"):
        convert(folder, {"0": 0}, False)


@pytest.mark.parametrize("data", [b"", b"hello", b"a", b"aaaa", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fold_0.pth"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="fold_0 is not in torch's present format"):
        read_foreign_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(FileFormatError, match="no checkpoint of nnU-Net"):
        read_foreign_checkpoint(path)


class OwnNetwork(nnUNetTrainer):  # type: ignore[misc]
    """A trainer with a network of its own, in the signature of nnU-Net 2.2."""

    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return torch.nn.Conv2d(values[-3], values[-2], 3, padding=1)


class OfPatchesOnly(OwnNetwork):
    """Its network takes one size of image, and another than the plans say."""

    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        flat = torch.nn.Flatten(), torch.nn.Linear(values[-3] * 16 * 16, values[-2])
        return torch.nn.Sequential(*flat)


def _of_own(trainer: type[Any]) -> dict[str, Any]:
    weights = trainer.build_network_architecture("", {}, [], 1, 3, False).state_dict()
    return {"network_weights": weights, "nnloop": {"trainer": f"{__name__}:{trainer.__name__}"}}


def test_a_trainer_of_ones_own_is_taken_from_a_file_that_is_trusted(tmp_path: Path) -> None:
    """nnloop's checkpoints name nnU-Net's default for nnU-Net's commands, and the real one too."""
    folder = _folder(tmp_path, **_of_own(OwnNetwork))
    assert convert(folder, {"0": 0}, True)["trainer"] == f"{__name__}:OwnNetwork"


def test_and_from_no_other(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="do not fit the network of the plans"):
        convert(_folder(tmp_path, **_of_own(OwnNetwork)), {"0": 0}, False)


def test_a_trusted_one_that_is_not_installed_here_falls_back(tmp_path: Path) -> None:
    folder = _folder(tmp_path, nnloop={"trainer": "not.installed:Here"})
    assert convert(folder, {"0": 0}, True)["trainer"] == "nnUNetTrainer"


def test_a_trainer_that_was_put_into_nnunet_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = _of_own(OwnNetwork)["network_weights"]
    folder = _folder(tmp_path, network_weights=weights, trainer_name="OwnNetwork")
    monkeypatch.setattr(classes, "_TRAINERS", "tests.unit.training.nnunet")
    assert convert(folder, {"0": 0}, False)["trainer"] == "OwnNetwork"


def test_a_model_that_cant_predict_is_refused_while_it_is_imported(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="can't serve: RuntimeError"):
        convert(_folder(tmp_path, **_of_own(OfPatchesOnly)), {"0": 0}, True)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    weights = {
        key: torch.full_like(value, torch.nan) for key, value in _network().state_dict().items()
    }
    with pytest.raises(FileFormatError, match="is no number"):
        convert(_folder(tmp_path, network_weights=weights), {"0": 0}, False)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_one_such_weight_in_one_of_the_folds_is_enough(tmp_path: Path, number: float) -> None:
    folder = _folder(tmp_path)
    weights = _network().state_dict()
    next(iter(weights.values())).view(-1)[0] = number
    torch.save(_checkpoint(network_weights=weights), folder / "fold_3.pth")
    with pytest.raises(FileFormatError, match="A weight of fold 3 is no number"):
        convert(folder, {"0": 0, "3": 1}, False)


@pytest.mark.parametrize(
    ("key", "value"), [("n_stages", "two"), ("features_per_stage", {}), ("strides", [[1e400]])]
)
def test_plans_that_nnunet_stumbles_over_are_one_sentence(
    tmp_path: Path, key: str, value: Any
) -> None:
    folder = _folder(tmp_path)
    broken = plans()
    broken["configurations"]["2d"]["architecture"]["arch_kwargs"][key] = value
    write_json(folder / "plans.json", broken)
    write_json(folder / JOB, {"folds": {"0": 0}, "trust": False})
    assert main(folder) == 0
    answer = read_json(folder / ANSWER)
    assert "plans.json can't be" in answer["error"] and answer["remedy"]


def test_patches_of_any_size_take_no_memory(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    huge = plans()
    huge["configurations"]["2d"]["patch_size"] = [200_000, 200_000]
    write_json(folder / "plans.json", huge)
    with pytest.raises(FileFormatError, match="200000 x 200000"):
        convert(folder, {"0": 0}, False)
