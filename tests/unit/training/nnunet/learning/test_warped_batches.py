from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform

from training.nnunet.learning import warped_batches
from training.nnunet.learning.augmentation import Augmentation
from training.nnunet.learning.warped_batches import WarpedBatches

SCALES = [[1.0, 1.0], [0.5, 0.5], [0.25, 0.25]]


class _Arrays:
    """As much of nnU-Net's dataset as is read: arrays in memory."""

    def __init__(self, shape: tuple[int, int] = (48, 80), n: int = 3) -> None:
        self.identifiers = [f"case_{i}" for i in range(n)]
        self.reads: Counter[str] = Counter()
        self._shape = shape

    def load_case(self, case_id: str) -> tuple[Any, Any, None, dict[str, Any]]:
        self.reads[case_id] += 1
        rng = np.random.default_rng(int(case_id[-1]))
        data = rng.standard_normal((2, 1, *self._shape)).astype(np.float32)
        labels = np.full((1, 1, *self._shape), -1, np.int8)
        labels[0, 0, 4:-4, 4:-4] = 0
        labels[0, 0, 10:20, 60:70] = 1
        return data, labels, None, {}


def _batches(dataset: _Arrays | None = None, **changes: Any) -> WarpedBatches:
    arguments: dict[str, Any] = {
        "batch_size": 4,
        "patch": (32, 64),
        "scales": SCALES,
        "augmentation": Augmentation(),
        "oversample_foreground": 0.5,
        "seed": 7,
    }
    return WarpedBatches(dataset or _Arrays(), **{**arguments, **changes})


def test_batches_have_the_form_of_nnunets_loader() -> None:
    batch = next(_batches())
    assert batch["data"].shape == (4, 2, 32, 64)
    assert batch["data"].dtype == torch.float32
    assert [tuple(t.shape) for t in batch["target"]] == [
        (4, 1, 32, 64),
        (4, 1, 16, 32),
        (4, 1, 8, 16),
    ]
    assert all(t.dtype == torch.int16 and t.min() >= 0 for t in batch["target"])
    assert len(batch["keys"]) == 4


def test_without_deep_supervision_the_target_is_one_tensor() -> None:
    assert next(_batches(scales=None))["target"].shape == (4, 1, 32, 64)


def test_the_same_seed_gives_the_same_batches() -> None:
    one, same, other = _batches(), _batches(), _batches(seed=8)
    for _ in range(3):
        first, second, third = next(one), next(same), next(other)
        assert torch.equal(first["data"], second["data"])
        assert torch.equal(first["target"][0], second["target"][0])
        assert not torch.equal(first["data"], third["data"])


def test_without_augmentation_a_patch_is_cut_out_unchanged() -> None:
    dataset = _Arrays(shape=(32, 64), n=1)
    batch = next(_batches(dataset, augmentation=None, batch_size=1))
    data, labels, _, _ = dataset.load_case("case_0")
    np.testing.assert_array_equal(batch["data"][0].numpy(), data[:, 0])
    np.testing.assert_array_equal(batch["target"][0][0, 0].numpy(), np.maximum(labels[0, 0], 0))


def test_small_images_are_centred_in_the_patch() -> None:
    dataset = _Arrays(shape=(30, 72), n=1)
    labels = next(_batches(dataset, augmentation=None, batch_size=1, patch=(64, 96)))["target"][0]
    rows, columns = np.nonzero(labels[0, 0].numpy())
    assert (rows.min(), columns.min()) == (17 + 10, 12 + 60)


@pytest.mark.parametrize(("share", "always"), [(1.0, True), (0.0, False)])
def test_foreground_is_oversampled(share: float, always: bool) -> None:
    dataset = _Arrays(shape=(200, 400), n=1)
    batches = _batches(dataset, oversample_foreground=share, augmentation=None, batch_size=1)
    seen = [bool((next(batches)["target"][0] == 1).any()) for _ in range(40)]
    assert all(seen) == always


def test_cases_are_read_once_while_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = _Arrays()
    batches = _batches(dataset)
    for _ in range(10):
        next(batches)
    assert set(dataset.reads.values()) == {1}
    monkeypatch.setattr(warped_batches, "MAX_CACHE_BYTES", 0)
    uncached = _Arrays()
    batches = _batches(uncached)
    for _ in range(10):
        next(batches)
    assert sum(uncached.reads.values()) == 40


def test_targets_of_unions_are_nnunets() -> None:
    unions = [(1, 2), (1,)]
    plain, batch = next(_batches()), next(_batches(unions=unions))
    convert = ConvertSegmentationToRegionsTransform(regions=unions, channel_in_seg=0)
    for target, labels in zip(batch["target"], plain["target"], strict=True):
        expected = torch.stack([convert(segmentation=one)["segmentation"] for one in labels])
        assert target.dtype == torch.bool
        assert torch.equal(target, expected.bool())


def test_what_is_ignored_is_the_last_map_of_unions() -> None:
    batch = next(_batches(unions=[(1, 2), (1,)], ignore_label=3))
    # Of these cases everything is known but what lies outside of them.
    assert [t.shape[1] for t in batch["target"]] == [3, 3, 3]
    assert not (batch["target"][0][:, 2] & batch["target"][0][:, 0]).any()


IGNORED = 2


class _Scribbled(_Arrays):
    """Of one class a few pixels are known, of background a few, and nothing else."""

    def load_case(self, case_id: str) -> tuple[Any, Any, None, dict[str, Any]]:
        data, labels, _, facts = super().load_case(case_id)
        labels[:] = IGNORED
        labels[0, 0, 20:22, 300:340] = 1
        labels[0, 0, 100:104, 40:44] = 0
        return data, labels, None, facts


@pytest.mark.parametrize(("share", "seen"), [(1.0, {1}), (0.0, {0, 1})])
def test_patches_are_centred_on_what_is_known(share: float, seen: set[int]) -> None:
    dataset = _Scribbled(shape=(200, 400), n=1)
    batches = _batches(
        dataset,
        oversample_foreground=share,
        augmentation=None,
        batch_size=1,
        ignore_label=IGNORED,
    )
    found = [next(batches)["target"][0] for _ in range(60)]
    each = [set(torch.unique(one).tolist()) - {IGNORED} for one in found]
    assert all(each), "a patch of which nothing is known teaches nothing"
    assert set().union(*each) == seen
    # Ignored pixels are no class to be oversampled, though their integer is the highest.
    assert all(one == {1} for one in each) == (share == 1.0)


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_what_lies_outside_an_image_is_not_known_either(augmentation: Augmentation | None) -> None:
    dataset = _Scribbled(shape=(200, 400), n=1)
    small = _Arrays(shape=(30, 72), n=1)
    target = next(
        _batches(small, augmentation=None, batch_size=1, patch=(64, 96), ignore_label=IGNORED)
    )["target"][0][0, 0]
    assert (target[:17] == IGNORED).all() and (target[:, -12:] == IGNORED).all()
    assert set(torch.unique(target[17:47, 12:84]).tolist()) == {0, 1}
    batches = _batches(dataset, augmentation=augmentation, ignore_label=IGNORED)
    for _ in range(5):
        for scale in next(batches)["target"]:
            assert set(torch.unique(scale).tolist()) <= {0, 1, IGNORED}


def test_exchanged_classes_leave_ignored_pixels() -> None:
    varied = Augmentation(mirror=(1.0, 1.0), swaps=((0, 1, 2), (1, 1, 2)))
    dataset = _Arrays(shape=(30, 72), n=1)
    batches = _batches(dataset, augmentation=varied, patch=(64, 96), ignore_label=3)
    values = [set(torch.unique(next(batches)["target"][0]).tolist()) for _ in range(5)]
    assert all(3 in found and found <= {0, 1, 2, 3} for found in values)


def test_a_case_of_which_resampling_left_nothing() -> None:
    class Unknown(_Arrays):
        def load_case(self, case_id: str) -> tuple[Any, Any, None, dict[str, Any]]:
            data, labels, _, facts = super().load_case(case_id)
            labels[:] = IGNORED
            return data, labels, None, facts

    batch = next(_batches(Unknown(), ignore_label=IGNORED))
    assert all((scale == IGNORED).all() for scale in batch["target"])
