from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import PredictionError
from training.versions.keep_largest import KEEP_LARGEST, KeepLargest, read_postprocessing


def _write(folder: Path, functions: Any, kwargs: Any) -> None:
    value = {"postprocessing_fns": functions, "postprocessing_kwargs": kwargs}
    (folder / "postprocessing.json").write_text(json.dumps(value))


def test_nnunets_account_is_read(tmp_path: Path) -> None:
    assert read_postprocessing(tmp_path) == ()
    _write(tmp_path, [KEEP_LARGEST] * 2, [{"labels_or_regions": [1, 2]}, {"labels_or_regions": 2}])
    assert read_postprocessing(tmp_path) == (KeepLargest((1, 2)), KeepLargest((2,)))


@pytest.mark.parametrize(
    ("functions", "kwargs"),
    [
        (["os.system"], [{"labels_or_regions": 1}]),
        ([KEEP_LARGEST], [{"labels_or_regions": 1, "background_label": 2}]),
        ([KEEP_LARGEST], [{"labels_or_regions": [[1, 2]]}]),  # a union of classes
        ([KEEP_LARGEST], [{"labels_or_regions": []}]),
        ([KEEP_LARGEST], [{"labels_or_regions": 0}]),
        ([KEEP_LARGEST], [{"labels_or_regions": "1"}]),
        ([KEEP_LARGEST], []),
        ([KEEP_LARGEST], [1]),
        (None, None),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, functions: Any, kwargs: Any) -> None:
    _write(tmp_path, functions, kwargs)
    with pytest.raises(PredictionError, match="postprocessing"):
        read_postprocessing(tmp_path)
