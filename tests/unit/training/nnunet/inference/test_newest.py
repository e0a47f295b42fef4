"""The newest checkpoint of a fold, while it is written."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path

import pytest
import torch

from training.nnunet.checkpoint import write_checkpoint
from training.nnunet.inference import newest
from training.nnunet.inference.newest import newest_checkpoint
from training.versions.fold_previews import checkpoints_of


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "_PAUSE_S", 0.05)


def write(path: Path, epoch: int) -> None:
    write_checkpoint(path, {"current_epoch": epoch, "weights": torch.full((50_000,), float(epoch))})


def test_a_checkpoint_that_is_replaced_all_the_time_is_always_whole(tmp_path: Path) -> None:
    paths = checkpoints_of(tmp_path, None, 0)
    write(Path(paths[0]), 0)
    is_over = threading.Event()

    def train() -> None:
        epoch = 0
        while not is_over.is_set():
            epoch += 1
            write(Path(paths[0]), epoch)
        write(Path(paths[1]), epoch)
        Path(paths[0]).unlink()

    trainer = threading.Thread(target=train)
    trainer.start()
    seen = []
    until = time.monotonic() + 1.0
    while time.monotonic() < until or trainer.is_alive():
        if time.monotonic() >= until:
            is_over.set()
        found = newest_checkpoint(paths)
        assert found is not None
        assert (found["weights"] == found["current_epoch"]).all()
        seen.append(found["current_epoch"])
    trainer.join()
    assert seen == sorted(seen) and len(set(seen)) > 1
    last = newest_checkpoint(paths)
    assert last is not None and last["current_epoch"] >= seen[-1]


def test_it_is_looked_for_where_it_goes(tmp_path: Path) -> None:
    paths = checkpoints_of(tmp_path / "run", tmp_path / "version", 3)
    assert newest_checkpoint(paths) is None
    for epoch, path in reversed(list(enumerate(paths))):
        write(Path(path), epoch)
        found = newest_checkpoint(paths)
        assert found is not None and found["current_epoch"] == epoch
    assert Path(paths[-1]).parent.name == "fold_3"


def test_one_that_is_torn_is_read_again_and_then_given_up(tmp_path: Path) -> None:
    paths = checkpoints_of(tmp_path, None, 0)
    write(Path(paths[0]), 7)
    whole = Path(paths[0]).read_bytes()
    Path(paths[0]).write_bytes(whole[:1000])
    mend = threading.Timer(0.02, lambda: Path(paths[0]).write_bytes(whole))
    mend.start()
    found = newest_checkpoint(paths)
    assert found is not None and found["current_epoch"] == 7
    mend.join()
    Path(paths[0]).write_bytes(whole[:1000])
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        newest_checkpoint(paths)
