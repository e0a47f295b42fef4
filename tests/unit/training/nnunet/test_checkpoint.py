from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.nnunet.checkpoint import only_weights, plain, read_checkpoint, write_checkpoint

CPU = torch.device("cpu")


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/this/would/have/been/code",)


def test_a_full_disk_says_so_and_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pth"
    write_checkpoint(path, {"a": torch.ones(3)})
    opened = Path.open
    # Every write to /dev/full fails as on a full disk.
    monkeypatch.setattr(Path, "open", lambda _, mode: opened(Path("/dev/full"), mode))
    with pytest.raises(OSError, match="No space left") as caught:
        write_checkpoint(path, {"a": torch.zeros(100_000)})
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert read_checkpoint(path, CPU)["a"].sum() == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_half_way_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    write_checkpoint(path, {"a": torch.ones(3)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The first megabyte has room.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_checkpoint(path, {"a": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert read_checkpoint(path, CPU)["a"].sum() == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_cannot_run_code_even_where_nnunet_would_let_it(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pth"
    torch.save({"payload": Payload()}, path)
    with only_weights(), pytest.raises(Exception, match=r"[Ww]eights.only"):
        torch.load(path, weights_only=False)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_plain_numbers() -> None:
    value = {"a": [np.float32(0.5), (np.int64(2), None)], "b": "text"}
    assert plain(value) == {"a": [0.5, [2, None]], "b": "text"}
    assert type(plain(value)["a"][0]) is float
