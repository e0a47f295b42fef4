from __future__ import annotations

import pytest
import torch

from training.nnunet.learning import precision


@pytest.mark.parametrize(
    ("has_it", "wanted", "device", "dtype"),
    [
        (True, True, "cpu", torch.bfloat16),
        (True, False, "cpu", torch.float32),
        # Emulated bfloat16 is slower than float32.
        (False, True, "cpu", torch.float32),
        # Others choose by themselves.
        (True, True, "cuda", torch.float32),
    ],
)
def test_bfloat16_where_it_is_wanted_and_fast(
    monkeypatch: pytest.MonkeyPatch, has_it: bool, wanted: bool, device: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: has_it)
    layer, image = torch.nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 8, 8)
    with precision.step_autocast(torch.device(device), bfloat16=wanted):
        assert layer(image).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_the_question_has_an_answer() -> None:
    assert isinstance(precision.has_fast_bfloat16(), bool)
