from __future__ import annotations

import io

import torch

from backend.doctor.looks.gpu import Seen, read_seen
from training.nnunet.seen_gpus import look


def test_what_torch_sees_is_read_by_who_asks() -> None:
    lines = io.StringIO()
    look({}, lines)
    seen = read_seen(lines.getvalue())
    assert seen == Seen(torch.__version__, torch.version.cuda or "", seen.gpus, seen.error)
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    assert len(seen.gpus) == n_gpus
    # Where torch could use a GPU and there is none, it says why.
    assert bool(seen.error) == bool(torch.version.cuda and not n_gpus)
