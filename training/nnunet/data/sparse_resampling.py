"""Resamples label maps of which not every pixel is known: a thin scribble must not vanish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

LEAST_KNOWN = 0.1
"""Share of a coarse pixel that must be labelled, for it to be: a line of 2 pixels, made a tenth as
fine, covers two tenths of it, or a tenth each of two."""


class SparseConfiguration(ConfigurationManager):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's, with label maps resampled by what is known of them.

    nnU-Net takes the label that has half of a pixel: a line thinner than half a coarse pixel is
    lost. Where none has half it takes background: a label made up.
    """

    ignore_label: int

    @property
    def resampling_fn_seg(self) -> Any:
        """As nnU-Net calls it: (label map, new shape, old and new spacing)."""

        def resample(seg: npt.NDArray[Any], shape: Sequence[int], *_: object) -> npt.NDArray[Any]:
            height, width = int(shape[-2]), int(shape[-1])
            maps = [
                resampled(label_map, (height, width), self.ignore_label)
                for label_map in seg.reshape(-1, *seg.shape[-2:])
            ]
            return np.stack(maps).reshape(*seg.shape[:-2], height, width)

        return resample


def resampled(
    label_map: npt.NDArray[Any], size_hw: tuple[int, int], ignore_label: int
) -> npt.NDArray[Any]:
    """A label map at another size.

    A pixel has the label that covers most of what is known of it, where that is at least
    ``LEAST_KNOWN`` of it. A label that would have none keeps the one of which it covers most.

    Args:
        label_map: (height, width) integers.
        size_hw: (height, width) wanted, in pixels.
        ignore_label: Integer of pixels that are not known.

    Returns:
        ``size_hw``, the same dtype.
    """
    if label_map.shape == size_hw:
        return label_map.copy()
    size_wh = size_hw[1], size_hw[0]
    shrinks = size_hw[0] * size_hw[1] < label_map.size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    known = np.zeros(size_hw, np.float32)
    most = np.zeros(size_hw, np.float32)
    found = np.full(size_hw, ignore_label, label_map.dtype)
    peaks: list[tuple[Any, int]] = []
    for label in np.unique(label_map[label_map != ignore_label]):
        share = cv2.resize((label_map == label).astype(np.float32), size_wh, interpolation=how)
        known += share
        more = share > most
        found[more], most[more] = label, share[more]
        peaks.append((label, int(share.argmax())))
    found[known < (LEAST_KNOWN if shrinks else 0.5)] = ignore_label
    for label, peak in peaks:
        if not (found == label).any():
            found.flat[peak] = label
    return found
