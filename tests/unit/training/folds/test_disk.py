from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from domain.errors import TrainingError
from training.folds.disk import check_free, checkpoint_bytes, preprocessed_bytes

MIB = 2**20


def fake(monkeypatch: pytest.MonkeyPatch, free: int) -> list[Path]:
    asked: list[Path] = []

    def disk_usage(path: Path) -> object:
        asked.append(path)
        return shutil._ntuple_diskusage(10 * free, 9 * free, free)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    return asked


def test_a_full_disk_is_named_with_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fake(monkeypatch, 500 * MIB)
    with pytest.raises(TrainingError) as caught:
        check_free(tmp_path / "not" / "yet" / "there", 2 * 2**30)
    # 64 MiB are kept free beside what is asked for.
    assert str(caught.value) == (
        f"The disk of {tmp_path} has 500 MiB free, but 2.06 GiB are needed."
    )
    assert caught.value.remedy
    assert asked == [tmp_path]


@pytest.mark.parametrize(("needed", "fits"), [(0, True), (35 * MIB, True), (37 * MIB, False)])
def test_a_margin_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: int, fits: bool
) -> None:
    fake(monkeypatch, 100 * MIB)
    if fits:
        check_free(tmp_path, needed)
    else:
        with pytest.raises(TrainingError):
            check_free(tmp_path, needed)


def test_checkpoints_of_nnunets_default_network() -> None:
    # 33.5 M parameters under SGD make a file of 268 MB, there twice while it is replaced.
    assert checkpoint_bytes(33_500_000, states=1) == pytest.approx(2 * 268e6, rel=0.01)
    assert checkpoint_bytes(1000, states=0) == 8000


def test_preprocessed_arrays() -> None:
    assert preprocessed_bytes([], n_channels=1, n_classes=1) == 0
    # 200 x 100 pixels: float32 x 3 channels, 2 bytes of label, 10,000 positions of 2 classes.
    assert preprocessed_bytes([(200, 100)], n_channels=3, n_classes=2) == (
        20_000 * 14 + 10_000 * 32 * 2
    )
