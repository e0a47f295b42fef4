from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.bookkeeping.documents import to_json
from domain.errors import TrainingError
from training.nnunet.data.plans_made_elsewhere import read_named_plans
from training.versions import working_size
from training.versions.working_size import WorkingSize

STATISTICS = {"0": {"mean": 1.0}}
FINGERPRINT = {"foreground_intensity_properties_per_channel": STATISTICS}
FLAT = {
    "patch_size": [64, 64],
    "spacing": [1.0, 1.0],
    "normalization_schemes": ["ZScoreNormalization"],
    "batch_size": 2,
    "architecture": {"network_class_name": "a.b.C"},
}


def _plans() -> dict[str, Any]:
    return {
        "dataset_name": "Dataset500_Other",
        "plans_name": "nnUNetResEncUNetMPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "foreground_intensity_properties_per_channel": {"0": {"mean": 7.0}},
        "configurations": {"2d": FLAT, "3d_fullres": {**FLAT, "patch_size": [32, 64, 64]}},
    }


def _write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_plans_of_another_set_take_the_form_of_our_own(tmp_path: Path) -> None:
    found = read_named_plans(_write(tmp_path / "p.json", _plans()), FINGERPRINT)
    assert found["configurations"] == {"2d": FLAT}
    assert found["plans_name"] == "nnUNetPlans"
    assert found["image_reader_writer"] == "NaturalImage2DIO"
    # CT images are normalised by the plans' own statistics.
    assert found["foreground_intensity_properties_per_channel"] == {"0": {"mean": 7.0}}


def test_what_they_cost_another_set_is_not_said_of_ours(tmp_path: Path) -> None:
    size = to_json(WorkingSize, WorkingSize(512, 128, {1: 0.9}))
    plans = _plans() | {working_size.KEY: size}
    found = read_named_plans(_write(tmp_path / "p.json", plans), FINGERPRINT)
    assert WorkingSize.of_plans(found) is None


def test_an_inherited_configuration_is_resolved(tmp_path: Path) -> None:
    plans = _plans()
    plans["configurations"] = {"base": FLAT, "2d": {"inherits_from": "base", "batch_size": 9}}
    found = read_named_plans(_write(tmp_path / "p.json", plans), FINGERPRINT)
    assert found["configurations"] == {"2d": {**FLAT, "batch_size": 9}}


def test_missing_statistics_come_from_the_data_set(tmp_path: Path) -> None:
    plans = _plans()
    del plans["foreground_intensity_properties_per_channel"]
    found = read_named_plans(_write(tmp_path / "p.json", plans), FINGERPRINT)
    assert found["foreground_intensity_properties_per_channel"] == STATISTICS


def _without_2d(plans: dict[str, Any]) -> None:
    del plans["configurations"]["2d"]


def _volumes(plans: dict[str, Any]) -> None:
    plans["configurations"]["2d"] = plans["configurations"]["3d_fullres"]


def _colour(plans: dict[str, Any]) -> None:
    plans["configurations"]["2d"] = {**FLAT, "normalization_schemes": ["ZScoreNormalization"] * 3}


def _turned(plans: dict[str, Any]) -> None:
    plans["transpose_forward"] = [2, 0, 1]


def _old(plans: dict[str, Any]) -> None:
    plans["configurations"]["2d"] = {"UNet_class_name": "SomeNet", "patch_size": [8, 8]}


def _nothing(plans: dict[str, Any]) -> None:
    plans.clear()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_2d, "only 3d_fullres"),
        (_volumes, "patch of 3 sides"),
        (_colour, r"3 channels, the project's images have 1"),
        (_turned, r"\[2, 0, 1\]"),
        (_old, "can't be used"),
        (_nothing, "no plans.json"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    plans = _plans()
    spoil(plans)
    with pytest.raises(TrainingError, match=message) as caught:
        read_named_plans(_write(tmp_path / "p.json", plans), FINGERPRINT)
    assert "p.json" in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(TrainingError, match="is no plans"):
        read_named_plans(tmp_path / "p.json", FINGERPRINT)
