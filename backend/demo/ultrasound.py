"""Synthetic B-mode images of the carotid artery in cross-section, with exact truth.

nnloop ships no image data: the demo's project is drawn here, 40 x 28 mm at 16.5 pixels per mm.
The lumen is 5 to 7 mm wide (3.4 to 4.4 mm in the small ones), the intima-media ring 0.6 to 1.2 mm
thick, more where there is plaque.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.demo.options import DEFAULT_SEED
from backend.demo.phantom import Phantom
from backend.demo.scanner import ScanSettings, scan
from backend.demo.tissue import paint_neck
from backend.demo.vessel import Artery, Plaque, Vein
from domain.geometry import LabelMap

DEFAULT_SIZE_HW = (464, 662)
"""(height, width) of the demo's images in pixels."""

KINDS = (
    "typical",
    "typical",
    "typical",
    "open_vein",
    "off_centre",
    "truncated",
    "small",
    "low_gain",
    "high_gain",
    "shadow",
    "plaque",
    "empty",
)
"""What every twelve consecutive images hold, in an order drawn from the seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One synthetic image.

    Attributes:
        image: (height, width) uint8, grey, 0 = black.
        truth: (height, width) uint8, 0 background, 1 lumen, 2 wall; from the geometry drawn.
        kind: one of KINDS.
        name: file stem, such as ``carotid_007``.
    """

    image: npt.NDArray[np.uint8]
    truth: LabelMap
    kind: str
    name: str


def kind_of(index: int, seed: int = DEFAULT_SEED) -> str:
    """The kind of the image with this index (0, 1, ...)."""
    block, place = divmod(index, len(KINDS))
    order = np.random.default_rng([seed, 1, block]).permutation(len(KINDS))
    return KINDS[order[place]]


def generate(
    index: int, seed: int = DEFAULT_SEED, size_hw: tuple[int, int] = DEFAULT_SIZE_HW
) -> Sample:
    """Draws one image and its truth.

    The same arguments give the same image and truth. Another release of NumPy or OpenCV, or another
    processor, may round differently: then single grey values differ by little.

    Args:
        index: 0, 1, ...; the demo uses 0 to 47.
        seed: any integer >= 0.
        size_hw: (height, width) in pixels; at least (300, 400), else anatomy does not fit.

    Raises:
        ValueError: index or seed is negative, or the size too small.
    """
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must be 0 or more, got {index} and {seed}.")
    if size_hw[0] < 300 or size_hw[1] < 400:
        raise ValueError(f"size_hw must be at least (300, 400), got {size_hw}.")
    kind = kind_of(index, seed)
    rng = np.random.default_rng([seed, 2, index])
    phantom = Phantom.empty(size_hw)
    medial = float(rng.choice((-1.0, 1.0)))
    artery = _artery(kind, phantom, rng)
    paint_neck(phantom, rng, medial, artery.center_xz[0])
    truth: LabelMap = np.zeros(size_hw, dtype=np.uint8)
    if kind != "empty":  # else the plane lies where no vessel runs
        if kind == "open_vein" or rng.random() < 0.7:
            _vein(kind, artery, rng, medial).paint(phantom, rng)
        artery.paint(phantom, rng)
        truth = artery.truth(phantom)
    image = scan(phantom, _settings(kind, artery.center_xz[0], phantom.size_mm[1], rng), rng)
    return Sample(image=image, truth=truth, kind=kind, name=f"carotid_{index:03d}")


def _artery(kind: str, phantom: Phantom, rng: np.random.Generator) -> Artery:
    """An artery of this kind, placed in the plane."""
    depth, width = phantom.size_mm
    radius = rng.uniform(1.7, 2.2) if kind == "small" else rng.uniform(2.5, 3.5)
    wall = rng.uniform(0.65, 1.05)
    x = width / 2 + rng.normal(0.0, 2.0)
    z = rng.uniform(0.46, 0.60) * depth
    if kind == "off_centre":
        x = width / 2 + rng.choice((-1.0, 1.0)) * rng.uniform(0.24, 0.33) * width
        z = rng.uniform(0.44, 0.70) * depth
    if kind == "truncated":
        outside = rng.uniform(-0.7, 0.15) * radius
        side = rng.choice(("left", "right", "bottom"))
        x = {"left": -outside, "right": width + outside}.get(side, x)
        z = depth + outside - 0.3 if side == "bottom" else z
    shape = tuple(
        (rng.uniform(0.0, bound), rng.uniform(0.0, 2.0 * math.pi))
        for bound in (0.09, 0.035, 0.018, 0.012)
    )
    plaques = tuple(
        Plaque(
            angle=float(rng.choice((-1.0, 1.0))) * math.pi / 2 + rng.normal(0.0, 0.6),
            width=rng.uniform(0.35, 0.6),
            height_mm=rng.uniform(0.25, 0.5) * radius,
            calcified=rng.uniform(0.5, 1.0),
        )
        for _ in range(int(rng.integers(1, 3)) if kind == "plaque" else 0)
    )
    eccentric = (rng.uniform(0.0, 0.15), rng.uniform(0.0, 2.0 * math.pi))
    return Artery((x, z), radius, wall, shape, eccentric, plaques)


def _vein(kind: str, artery: Artery, rng: np.random.Generator, medial: float) -> Vein:
    """The jugular vein on the artery's lateral and superficial side."""
    is_open = kind == "open_vein" or rng.random() < 0.25
    radii = (
        (rng.uniform(3.8, 5.5), rng.uniform(2.0, 3.2))
        if is_open
        else (rng.uniform(3.0, 5.0), rng.uniform(0.35, 0.8))
    )
    reach = artery.radius_mm + artery.wall_mm + radii[0] * rng.uniform(0.75, 1.0)
    center = (
        artery.center_xz[0] - medial * reach,
        artery.center_xz[1] - rng.uniform(0.8, 2.5),
    )
    shape = tuple(
        (rng.uniform(0.0, bound), rng.uniform(0.0, 2.0 * math.pi))
        for bound in (0.08, 0.06, 0.04, 0.02)
    )
    return Vein(center, radii, medial * rng.uniform(-0.1, 0.4), shape)


def _settings(
    kind: str, center_x: float, width_mm: float, rng: np.random.Generator
) -> ScanSettings:
    """The knobs as a hurried or a careful examiner leaves them."""
    gain = rng.normal(0.0, 2.0)
    tgc_error = rng.normal(0.0, 3.0)
    losses: list[tuple[float, float, float]] = []
    if kind == "low_gain":
        gain, tgc_error = rng.uniform(-12.5, -8.0), rng.uniform(-7.0, -2.0)
    if kind == "high_gain":
        gain, tgc_error = rng.uniform(7.0, 11.0), rng.uniform(0.0, 6.0)
    if kind == "shadow":
        beside = center_x + rng.choice((-1.0, 1.0)) * rng.uniform(1.5, 4.0)
        losses.append((beside, rng.uniform(1.5, 3.0), rng.uniform(14.0, 22.0)))
    if rng.random() < 0.2:  # the probe's end lifts off the skin
        end = float(rng.choice((0.0, width_mm)))
        losses.append((end, rng.uniform(2.0, 5.0), rng.uniform(10.0, 22.0)))
    return ScanSettings(
        gain_db=gain,
        dynamic_range_db=rng.uniform(55.0, 60.0),
        focus_mm=rng.uniform(12.0, 18.0),
        looks=int(rng.integers(2, 5)),
        tgc_error_db=tgc_error,
        noise_db=rng.uniform(-70.0, -60.0),
        clutter=math.exp(rng.uniform(math.log(0.02), math.log(0.08))),
        contact_loss=tuple(losses),
    )
