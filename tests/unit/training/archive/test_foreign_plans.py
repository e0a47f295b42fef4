from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.files import write_json
from converters.classes.reserved_names import nnunet_labels
from domain.errors import FileFormatError
from tests.unit.training.archive.zips import dataset, plans
from training.archive.foreign_plans import ForeignModel, read_foreign
from training.dataset_labels import n_classes


def _read(
    folder: Path, plan: dict[str, Any], data: dict[str, Any], configuration: str = "2d", **more: Any
) -> ForeignModel:
    write_json(folder / "plans.json", plan)
    write_json(folder / "dataset.json", data)
    return read_foreign(folder, configuration, **more)


def test_labels_stand_in_integer_order(tmp_path: Path) -> None:
    data = dataset(labels={"wall": 2, "background": 0, "lumen": 1})
    found = _read(tmp_path, plans(), data)
    assert (found.labels, found.channels, found.notes) == (("lumen", "wall"), ("grey",), ())


def test_classes_with_nnunets_words_come_back_under_their_own_names(tmp_path: Path) -> None:
    values = ("ignore", "lumen", "background")
    data = dataset(labels=nnunet_labels(values))
    assert _read(tmp_path, plans(), data).labels == values


def test_an_inherited_configuration_becomes_the_one_nnloop_uses(tmp_path: Path) -> None:
    plan = plans()
    plan["configurations"]["2d_large"] = {"inherits_from": "2d", "patch_size": [128, 96]}
    found = _read(tmp_path, plan, dataset(), "2d_large")
    assert list(found.plans["configurations"]) == ["2d"]
    assert found.plans["configurations"]["2d"]["patch_size"] == [128, 96]
    assert found.plans["configurations"]["2d"]["spacing"] == [1.0, 1.0]


def test_channels_under_their_old_name_and_other_files_are_told(tmp_path: Path) -> None:
    data = dataset(modality={"1": "b", "0": "a"}, file_ending=".nii.gz")
    del data["channel_names"]
    found = _read(tmp_path, plans(), data)
    assert found.channels == ("a", "b")
    assert found.dataset["channel_names"] == {"0": "a", "1": "b"}
    assert ".nii.gz" in found.notes[0] and "1 x 1" in found.notes[0]


@pytest.mark.parametrize(
    ("scheme", "ending", "is_taken"),
    [
        ("CTNormalization", ".nii.gz", False),
        ("NoNormalization", ".mha", False),
        ("CTNormalization", ".png", True),  # 16 bits, as they are
        ("ZScoreNormalization", ".nii.gz", True),
    ],
)
def test_a_model_that_goes_by_hounsfield_units_is_refused(
    scheme: str, ending: str, is_taken: bool, tmp_path: Path
) -> None:
    plan = plans()
    plan["configurations"]["2d"]["normalization_schemes"] = [scheme]
    data = dataset(channel_names={"0": "CT"}, file_ending=ending)
    if is_taken:
        assert _read(tmp_path, plan, data).channels == ("CT",)
        return
    with pytest.raises(FileFormatError, match=f"absolute numbers.*{scheme}") as told:
        _read(tmp_path, plan, data)
    assert "--as-predictions" in told.value.remedy


def test_a_model_trained_with_ignored_pixels_predicts_as_any_other(tmp_path: Path) -> None:
    data = dataset(labels={"background": 0, "lumen": 1, "wall": 2, "ignore": 3})
    found = _read(tmp_path, plans(), data)
    assert found.labels == ("lumen", "wall")
    # nnU-Net builds the network by what its dataset.json says: with one output per class.
    assert found.dataset["labels"]["ignore"] == 3 and n_classes(found.dataset) == 3
    manager = PlansManager(found.plans).get_label_manager(found.dataset)
    assert manager.num_segmentation_heads == n_classes(found.dataset)


def test_unions_name_the_classes_they_are_painted_as(tmp_path: Path) -> None:
    labels = {"background": 0, "vessel": [1, 2], "lumen": [1], "ignore": 3}
    data = dataset(labels=labels) | {"regions_class_order": [2, 1]}
    assert _read(tmp_path, plans(), data).labels == ("lumen", "rest of vessel")
    told = data | {"nnloop_classes": ["lumen", "wall"]}
    assert _read(tmp_path, plans(), told).labels == ("lumen", "wall")


@pytest.mark.parametrize("order", [[1, 1], [2, 3], [2], [3, 1, 2]])
def test_unions_of_which_a_class_is_never_painted_are_refused(
    tmp_path: Path, order: list[int]
) -> None:
    labels = {"background": 0, "vessel": [1, 2], "lumen": [1]}
    with pytest.raises(FileFormatError, match="is predicted"):
        _read(tmp_path, plans(), dataset(labels=labels) | {"regions_class_order": order})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"background": 0, "whole": [1, 2], "core": 2}, "does not say in regions_class_order"),
        ({"background": 0, "ignore": 1, "lumen": 2}, "not background 0 and then 1"),
        ({"background": 0, "ignore": 1}, "no class besides background"),
        ({"background": 0, "lumen": 2}, "not background 0 and then 1"),
        ({"nothing": 0, "lumen": 1}, "not background 0 and then 1"),
        ({"background": 0, "lumen": "1"}, "not background 0 and then 1"),
        ({"background": 0}, "no class besides background"),
    ],
)
def test_labels_nnloop_can_not_read_are_refused(
    tmp_path: Path, labels: dict[str, Any], words: str
) -> None:
    with pytest.raises(FileFormatError, match=words):
        _read(tmp_path, plans(), dataset(labels=labels))


@pytest.mark.parametrize(
    "name",
    [
        "subprocess.Popen",
        "os.system",
        # pydoc.locate walks attributes too: the module alone proves nothing.
        "dynamic_network_architectures.architectures.unet.torch.load",
        "dynamic_network_architectures.architectures.unet.torch.hub.HubLoader",
        None,
    ],
)
def test_plans_that_could_run_code_are_refused(tmp_path: Path, name: str | None) -> None:
    plan = plans()
    plan["configurations"]["2d"]["architecture"]["network_class_name"] = name
    with pytest.raises(FileFormatError, match="could be any code") as caught:
        _read(tmp_path, plan, dataset())
    assert "--trust" in caught.value.remedy
    assert _read(tmp_path, plan, dataset(), trust=True).labels == ("lumen", "wall")


def test_nnloops_own_network_is_let_through(tmp_path: Path) -> None:
    plan = plans()
    plan["configurations"]["2d"]["architecture"] |= {
        "network_class_name": "training.nnunet.networks.pretrained_unet.PretrainedUNet",
        "_kw_requires_import": [],
    }
    assert _read(tmp_path, plan, dataset()).labels == ("lumen", "wall")
    plan["configurations"]["2d"]["architecture"]["network_class_name"] += ".load_pretrained"
    with pytest.raises(FileFormatError, match="could be any code"):
        _read(tmp_path, plan, dataset())


@pytest.mark.parametrize("name", ["builtins.eval", "torch.load", "torch.nn.functional.relu"])
def test_layers_that_could_run_code_are_refused(tmp_path: Path, name: str) -> None:
    plan = plans()
    plan["configurations"]["2d"]["architecture"]["arch_kwargs"]["nonlin"] = name
    with pytest.raises(FileFormatError, match=name):
        _read(tmp_path, plan, dataset())


def test_other_dimensions_and_broken_files_are_refused(tmp_path: Path) -> None:
    plan = plans()
    plan["configurations"]["2d"]["patch_size"] = [16, 64, 64]
    with pytest.raises(FileFormatError, match="3-dimensional"):
        _read(tmp_path, plan, dataset())
    plan = plans()
    plan["transpose_forward"] = [2, 0, 1]
    with pytest.raises(FileFormatError, match="another axis"):
        _read(tmp_path, plan, dataset())
    plan = plans()
    plan["configurations"]["2d"]["inherits_from"] = "2d"
    with pytest.raises(FileFormatError, match="not nnU-Net's"):
        _read(tmp_path, plan, dataset())
    with pytest.raises(FileFormatError, match="not nnU-Net's"):
        _read(tmp_path, {}, dataset())
    (tmp_path / "plans.json").write_text("[1]")
    with pytest.raises(FileFormatError, match="no JSON object"):
        read_foreign(tmp_path, "2d")
    (tmp_path / "plans.json").write_text("[" * 100_000)
    with pytest.raises(FileFormatError, match="can't be read"):
        read_foreign(tmp_path, "2d")


ODD: tuple[Any, ...] = (
    None,
    0,
    -1,
    1.5,
    math.nan,
    math.inf,
    "",
    "x",
    [],
    {},
    [0, 0],
    [None],
    {"0": 1},
    -2.0,
    10**30,
)
"""What might stand in a file that some program has written."""


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all that a JSON value holds."""
    if way:
        yield way
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from _places(child, (*way, key))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["plans", "dataset"])
def test_whatever_stands_in_a_file_it_is_read_or_one_sentence(tmp_path: Path, which: str) -> None:
    n_refused = 0
    for way in _places(plans() if which == "plans" else dataset()):
        for value in ODD:
            plan, data = plans(), dataset()
            place: Any = plan if which == "plans" else data
            for key in way[:-1]:
                place = place[key]
            place[way[-1]] = value
            # Not by write_json: nothing has to be on the disk.
            (tmp_path / "plans.json").write_text(json.dumps(plan))
            (tmp_path / "dataset.json").write_text(json.dumps(data))
            try:
                read_foreign(tmp_path, "2d")
            except FileFormatError as error:
                n_refused += 1
                assert str(error).count("\n") == 0
    assert n_refused > 50
