"""WarpedBatches: batches from cases kept in memory, varied by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from training.nnunet.learning.augmentation import (
    Augmentation,
    Geometry,
    Image,
    exchange_classes,
    warp_image,
    warp_labels,
)

MAX_CACHE_BYTES = 2**30
"""Cases beyond it are read from disk each time: 1 GiB is 1,300 RGB cases of 256 x 256."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A case in memory; ``known`` are its points that are not ignored, None where all are known."""

    image: Image
    label_map: npt.NDArray[np.int16]
    foreground: tuple[npt.NDArray[np.int32], ...]
    known: npt.NDArray[np.int32] | None

    @property
    def n_bytes(self) -> int:
        points = sum(array.nbytes for array in self.foreground)
        points += 0 if self.known is None else self.known.nbytes
        return self.image.nbytes + self.label_map.nbytes + points


class WarpedBatches:
    """An endless iterator of batches, in the form of nnU-Net's data loader.

    Each batch is a dict: ``data`` (batch, channel, height, width) float32; ``target`` (batch, 1,
    height, width) int16, of unions (batch, union, height, width) bool, or a list of them, one per
    deep supervision scale; ``keys`` case ids. The same seed gives the same batches.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        batch_size: int,
        patch: tuple[int, int],
        scales: Sequence[Sequence[float]] | None,
        augmentation: Augmentation | None,
        oversample_foreground: float,
        seed: int,
        ignore_label: int | None = None,
        unions: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            dataset: nnU-Net's dataset of the cases to draw from, 2D, at least 1 case.
            batch_size: Patches per batch.
            patch: (height, width) in pixels.
            scales: Deep supervision's, each (y, x), 1 = the patch's own size; None without.
            augmentation: None: patches are cut out and nothing else.
            oversample_foreground: Fraction of patches centred on a labelled pixel, of a class drawn
                from those present, in [0, 1].
            seed: Of everything random here.
            ignore_label: Integer of ignored pixels. Patches are centred on others then, as nnU-Net
                does, and what lies outside an image is ignored: nobody said that it is background.
            unions: Integers of the classes of each output of the network, where that is no class;
                a target has a map for each then, and a last one of what is ignored.
        """
        self._dataset = dataset
        self._case_ids: tuple[str, ...] = tuple(dataset.identifiers)
        self._batch_size, self._patch = batch_size, patch
        self._unions = None if unions is None else [tuple(one) for one in unions]
        if self._unions is not None and ignore_label is not None:
            self._unions.append((ignore_label,))
        self._sizes = None if scales is None else [_scaled(patch, scale) for scale in scales]
        self._augmentation = augmentation
        self._oversample, self._ignored = oversample_foreground, ignore_label
        self._rng = np.random.default_rng(seed)
        self._cache: dict[str, _Case] = {}
        self._cached_bytes = 0

    def __iter__(self) -> WarpedBatches:
        return self

    def __next__(self) -> dict[str, Any]:
        keys = [
            self._case_ids[self._rng.integers(len(self._case_ids))] for _ in range(self._batch_size)
        ]
        images, label_maps = zip(*(self._patch_of(self._case(key)) for key in keys), strict=True)
        data = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).contiguous()
        if self._sizes is None:
            return {"data": data, "target": self._target(label_maps, self._patch), "keys": keys}
        targets = [self._target(label_maps, size) for size in self._sizes]
        return {"data": data, "target": targets, "keys": keys}

    def _target(
        self, label_maps: Sequence[npt.NDArray[np.int16]], size: tuple[int, int]
    ) -> torch.Tensor:
        target = _target(label_maps, size)
        if self._unions is None:
            return target
        return torch.cat([torch.isin(target, torch.tensor(one)) for one in self._unions], dim=1)

    def _patch_of(self, case: _Case) -> tuple[Image, npt.NDArray[np.int16]]:
        shape = case.label_map.shape[0], case.label_map.shape[1]
        centre = self._centre(case, shape)
        if self._augmentation is None:
            still = Augmentation(mirror=(0.0, 0.0), p_rotation=0.0, p_scaling=0.0, max_shift=0.0)
            way = still.geometry(self._rng, centre=centre, shape=shape, patch=self._patch)
            image = warp_image(case.image, way.affine, self._patch)
            return image, self._warped(case, way)
        varied = self._augmentation
        way = varied.geometry(self._rng, centre=centre, shape=shape, patch=self._patch)
        image = warp_image(case.image, way.affine, self._patch)
        image = varied.intensities(image, self._rng)
        return image, exchange_classes(self._warped(case, way), varied.swaps, way.flipped)

    def _warped(self, case: _Case, way: Geometry) -> npt.NDArray[np.int16]:
        return warp_labels(case.label_map, way.affine, self._patch, outside=self._ignored or 0)

    def _centre(self, case: _Case, shape: tuple[int, int]) -> tuple[float, float]:
        """Of a patch inside the image, or around all of it when it is smaller."""
        rng = self._rng
        wanted = [rng.uniform(0, side) for side in shape]
        points = case.known
        if rng.random() < self._oversample and case.foreground:
            points = case.foreground[rng.integers(len(case.foreground))]
        if points is not None:
            wanted = [float(value) for value in points[rng.integers(len(points))]]
        y, x = (
            float(np.clip(value, patch / 2, side - patch / 2)) if side > patch else side / 2
            for value, side, patch in zip(wanted, shape, self._patch, strict=True)
        )
        return y - 0.5, x - 0.5

    def _case(self, case_id: str) -> _Case:
        case = self._cache.get(case_id)
        if case is None:
            case = _read(self._dataset, case_id, self._ignored)
            if self._cached_bytes + case.n_bytes <= MAX_CACHE_BYTES:
                self._cache[case_id] = case
                self._cached_bytes += case.n_bytes
        return case


def _read(dataset: Any, case_id: str, ignored: int | None) -> _Case:
    data, label_map, _, _ = dataset.load_case(case_id)
    image = np.ascontiguousarray(np.asarray(data[:, 0], dtype=np.float32).transpose(1, 2, 0))
    # nnU-Net writes -1 where an image is empty around its borders.
    labels = np.maximum(np.asarray(label_map[0, 0], dtype=np.int16), 0)
    present = [int(k) for k in np.unique(labels)]
    foreground = [
        np.argwhere(labels == k).astype(np.int32) for k in present if k not in (0, ignored)
    ]
    known = np.argwhere(labels != ignored).astype(np.int32) if ignored in present else None
    if known is not None and not len(known):
        known = None  # resampling has left nothing of a few labelled pixels
    return _Case(image, labels, tuple(foreground), known)


def _scaled(patch: tuple[int, int], scale: Sequence[float]) -> tuple[int, int]:
    return round(patch[0] * scale[0]), round(patch[1] * scale[1])


def _target(label_maps: Sequence[npt.NDArray[np.int16]], size: tuple[int, int]) -> torch.Tensor:
    if label_maps[0].shape != size:
        label_maps = [
            np.asarray(cv2.resize(m, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT))
            for m in label_maps
        ]
    return torch.from_numpy(np.stack(label_maps)[:, None])
