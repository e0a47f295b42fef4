"""A phantom: what the synthetic scanner looks at, as maps over the image grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

PX_PER_MM = 16.5
"""Pixels per millimetre on both axes: 662 x 464 pixels show 40 x 28 mm, a linear array's view."""

Field: TypeAlias = npt.NDArray[np.float32]
"""(height, width) float32 map over the image grid."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""(height, width) bool."""

TISSUE_ATTENUATION = 0.40
"""One-way attenuation of soft tissue in dB/mm: about 0.5 dB/(cm MHz) at 8 MHz."""


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """Acoustic maps of one image plane. Painters change the arrays in place.

    Attributes:
        x: (1, width) float32, lateral position of the pixel centres in mm.
        z: (height, 1) float32, depth of the pixel centres in mm.
        scatter_db: (height, width) float32, backscatter of the tissue in dB; 0 = the brightest.
        specular: (height, width) float32, coherent reflection, linear amplitude >= 0.
        attenuation: (height, width) float32, one-way attenuation in dB/mm, >= 0.
    """

    x: Field
    z: Field
    scatter_db: Field
    specular: Field
    attenuation: Field

    @classmethod
    def empty(cls, size_hw: tuple[int, int]) -> Phantom:
        """A phantom of even soft tissue, ``size_hw`` (height, width) in pixels."""
        height, width = size_hw
        return cls(
            x=((np.arange(width, dtype=np.float32) + np.float32(0.5)) / PX_PER_MM)[None, :],
            z=((np.arange(height, dtype=np.float32) + np.float32(0.5)) / PX_PER_MM)[:, None],
            scatter_db=np.full(size_hw, -22.0, dtype=np.float32),
            specular=np.zeros(size_hw, dtype=np.float32),
            attenuation=np.full(size_hw, TISSUE_ATTENUATION, dtype=np.float32),
        )

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.scatter_db.shape[0], self.scatter_db.shape[1]

    @property
    def size_mm(self) -> tuple[float, float]:
        """(depth, width) in mm."""
        return self.size_hw[0] / PX_PER_MM, self.size_hw[1] / PX_PER_MM

    def reflect(self, curve: npt.ArrayLike, strength: npt.ArrayLike, thickness_mm: float) -> None:
        """Adds a specular interface along the depth ``curve``.

        Args:
            curve: (1, width) float32, depth in mm.
            strength: linear amplitude, a number or (1, width); falls with the interface's slope,
                since a tilted mirror sends the echo past the transducer.
            thickness_mm: standard deviation of the line across, in mm.
        """
        depth = np.asarray(curve, dtype=np.float32)
        slope = np.gradient(depth[0], 1.0 / PX_PER_MM)[None, :]
        facing = 1.0 / (1.0 + (slope / 0.45) ** 2)
        line = np.exp(-0.5 * ((self.z - depth) / thickness_mm) ** 2)
        np.maximum(self.specular, line * (np.asarray(strength) * facing), out=self.specular)


def smooth_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], scale_hw_mm: tuple[float, float]
) -> Field:
    """(height, width) float32 noise, mean about 0, standard deviation 1.

    ``scale_hw_mm`` is the correlation length in depth and laterally, in mm.
    """
    rows, cols = (
        max(4, math.ceil(n / (scale * PX_PER_MM)) + 1)
        for n, scale in zip(size_hw, scale_hw_mm, strict=True)
    )
    coarse = rng.standard_normal((rows, cols), dtype=np.float32)
    fine = cv2.resize(coarse, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((fine - fine.mean()) / max(float(fine.std()), 1e-6), dtype=np.float32)


def smooth_curve(rng: np.random.Generator, x: Field, amplitude: float, scale_mm: float) -> Field:
    """A wavy curve over ``x`` ((1, width), mm): (1, width) float32 about 0.

    ``amplitude`` is its standard deviation, ``scale_mm`` its longest half wave in mm.
    """
    total = np.zeros_like(x)
    for octave in range(1, 5):
        phase = rng.uniform(0.0, 2.0 * math.pi)
        total += np.sin(x * (math.pi * octave / scale_mm) + phase) * rng.normal(0.0, octave**-1.7)
    return np.asarray(total * (amplitude * 0.9), dtype=np.float32)


def striations(
    rng: np.random.Generator,
    phantom: Phantom,
    tilt: Field,
    scale_hw_mm: tuple[float, float],
    threshold: float,
) -> Field:
    """Streaks along the curve ``tilt`` ((1, width), mm of depth): (height, width) float32 >= 0.

    About 0 to 2; the higher ``threshold`` (in standard deviations), the fewer streaks.
    """
    noise = smooth_noise(rng, phantom.size_hw, scale_hw_mm)
    height, width = phantom.size_hw
    map_x = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width)).copy()
    map_y = np.arange(height, dtype=np.float32)[:, None] - tilt * np.float32(PX_PER_MM)
    bent = cv2.remap(
        noise, map_x, map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(np.clip(bent - threshold, 0.0, 2.0), dtype=np.float32)
