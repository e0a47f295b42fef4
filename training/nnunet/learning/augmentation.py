"""Random variants of a case, made with OpenCV: about 1 ms for 128 x 128 pixels.

The kinds are nnU-Net's (Isensee et al. 2021, supplementary note 4): rotation, scaling, mirroring,
brightness, contrast, gamma, blur, lower resolution, noise. Geometry is one affine map, so pixels
are interpolated once. Here a shift is added, and scaling is twice as likely: a small network that
sees a few dozen cases for minutes otherwise learns them by heart (docs/tiny-preset.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.symmetries.symmetries import Swap, class_order

Image = npt.NDArray[np.float32]
"""(height, width, channel), standardised by nnU-Net's preprocessing."""

_MAX_CV_CHANNELS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """A map of an image into a patch.

    ``affine`` (2, 3) float64 takes (x, y) to (x, y) in OpenCV's coordinates; ``flipped`` are the
    axes it mirrors, 0 = rows.
    """

    affine: npt.NDArray[np.float64]
    flipped: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How often and how strongly a case is varied. Probabilities are in [0, 1].

    Attributes:
        mirror: Probability of mirroring, for each axis (y, x).
        p_rotation: Probability of a rotation, uniform in [-max_rotation, max_rotation].
        max_rotation: Degrees.
        p_scaling: Probability of a scaling: below or above 1 equally often, uniform within.
        scaling: Least and greatest factor; 2 shows everything twice as large.
        max_shift: Greatest shift along each axis, as a fraction of the image's side.
        p_intensity: Probability of each change of the grey values.
        swaps: Classes that change places when an axis is mirrored.
    """

    mirror: tuple[float, float] = (0.5, 0.5)
    p_rotation: float = 0.2
    max_rotation: float = 180.0
    p_scaling: float = 0.4
    scaling: tuple[float, float] = (0.7, 1.4)
    max_shift: float = 0.05
    p_intensity: float = 0.2
    swaps: tuple[Swap, ...] = ()

    def geometry(
        self,
        rng: np.random.Generator,
        *,
        centre: tuple[float, float],
        shape: tuple[int, int],
        patch: tuple[int, int],
    ) -> Geometry:
        """A random affine map of an image into a patch.

        Args:
            rng: Source of randomness.
            centre: Point (y, x) of the image that goes to the patch's centre, before the shift.
            shape: (height, width) of the image.
            patch: (height, width) of the patch.
        """
        angle, scale = 0.0, 1.0
        if rng.random() < self.p_rotation:
            angle = math.radians(rng.uniform(-self.max_rotation, self.max_rotation))
        if rng.random() < self.p_scaling:
            low, high = self.scaling
            scale = rng.uniform(low, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, high)
        flip_y, flip_x = (-1.0 if rng.random() < p else 1.0 for p in self.mirror)
        shift_y, shift_x = rng.uniform(-self.max_shift, self.max_shift, 2) * shape
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        linear = np.array([[flip_x * cos, -flip_x * sin], [flip_y * sin, flip_y * cos]])
        # Pixel i has its centre at i: the middle of n pixels is (n - 1) / 2.
        source = np.array([centre[1] + shift_x, centre[0] + shift_y])
        target = np.array([(patch[1] - 1) / 2, (patch[0] - 1) / 2])
        affine = np.column_stack([linear, target - linear @ source])
        return Geometry(affine, tuple(a for a, flip in enumerate((flip_y, flip_x)) if flip < 0))

    def intensities(self, image: Image, rng: np.random.Generator) -> Image:
        """Random changes of the grey values; the result has the same shape. May change ``image``.

        Brightness and contrast: factors in [0.75, 1.25]. Gamma: in [0.7, 1.5], keeping mean and
        deviation. Blur: sigma in [0.5, 1] pixels. Resolution: down to a half. Noise: variance up
        to 0.1.
        """
        changes = (_brightness, _contrast, _gamma, _gamma, _blur, _lower_resolution, _noise)
        for change in changes:
            if rng.random() < self.p_intensity:
                image = change(image, rng)
        return image


def warp_image(image: Image, affine: npt.NDArray[np.float64], patch: tuple[int, int]) -> Image:
    """An image under an affine map, linear between pixels, 0 outside: (*patch, channel)."""
    size = (patch[1], patch[0])
    return _per_channels(lambda part: cv2.warpAffine(part, affine, size), image)


def warp_labels(
    label_map: npt.NDArray[np.int16],
    affine: npt.NDArray[np.float64],
    patch: tuple[int, int],
    outside: int = 0,
) -> npt.NDArray[np.int16]:
    """A label map under an affine map, the nearest pixel's label, ``outside`` beyond it.

    Its shape is ``patch``.
    """
    size = (patch[1], patch[0])
    warped = cv2.warpAffine(
        label_map, affine, size, flags=cv2.INTER_NEAREST, borderValue=float(outside)
    )
    return np.asarray(warped, dtype=np.int16)


def exchange_classes(
    label_map: npt.NDArray[np.int16], swaps: Sequence[Swap], flipped: Sequence[int]
) -> npt.NDArray[np.int16]:
    """A flipped label map, (height, width) int16, with the classes that the flip exchanges."""
    order = class_order(swaps, flipped, 1 + max((k for swap in swaps for k in swap[1:]), default=0))
    if order is None:
        return label_map
    becomes = np.arange(max(len(order), int(label_map.max()) + 1), dtype=np.int16)
    becomes[: len(order)] = order
    return becomes[label_map]


def _brightness(image: Image, rng: np.random.Generator) -> Image:
    return image * np.float32(rng.uniform(0.75, 1.25))


def _contrast(image: Image, rng: np.random.Generator) -> Image:
    mean = image.mean((0, 1), keepdims=True)
    changed: Image = (image - mean) * np.float32(rng.uniform(0.75, 1.25)) + mean
    return changed


def _gamma(image: Image, rng: np.random.Generator) -> Image:
    low, high = image.min(), image.max()
    if high - low < 1e-6:
        return image
    mean, deviation = image.mean(), image.std()
    curved = ((image - low) / (high - low)) ** np.float32(rng.uniform(0.7, 1.5))
    scale = deviation / max(curved.std(), np.float32(1e-6))
    changed: Image = (curved - curved.mean()) * scale + mean
    return changed


def _blur(image: Image, rng: np.random.Generator) -> Image:
    sigma = rng.uniform(0.5, 1.0)
    return _per_channels(lambda part: cv2.GaussianBlur(part, (0, 0), sigma), image)


def _lower_resolution(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    scale = rng.uniform(0.5, 1.0)
    coarse = max(1, round(width * scale)), max(1, round(height * scale))
    return _per_channels(lambda part: cv2.resize(cv2.resize(part, coarse), (width, height)), image)


def _noise(image: Image, rng: np.random.Generator) -> Image:
    deviation = np.float32(math.sqrt(rng.uniform(0.0, 0.1)))
    return image + deviation * rng.standard_normal(image.shape, dtype=np.float32)


def _per_channels(work: Callable[[Image], npt.NDArray[np.float32]], image: Image) -> Image:
    """OpenCV takes at most 4 channels at a time, and drops the axis of a single one."""
    n = image.shape[2]
    parts = [
        work(np.ascontiguousarray(image[:, :, i : i + _MAX_CV_CHANNELS]))
        for i in range(0, n, _MAX_CV_CHANNELS)
    ]
    return np.concatenate([p if p.ndim == 3 else p[:, :, None] for p in parts], axis=2)
