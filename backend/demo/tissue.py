"""The neck around the vessel: skin, fat, muscle, fascia, thyroid, windpipe, bone."""

from __future__ import annotations

import numpy as np

from backend.demo.phantom import Field, Phantom, smooth_curve, smooth_noise, striations


def paint_neck(phantom: Phantom, rng: np.random.Generator, medial: float, artery_x: float) -> None:
    """Paints the layers of the neck from the skin to the spine, without vessels.

    ``medial`` is where the midline of the neck lies: -1.0 (left) or 1.0 (right). ``artery_x`` is
    where the artery runs or would run, in mm; thyroid and windpipe lie medial of it.
    """
    x = phantom.x
    width = phantom.size_mm[1]
    towards_midline = medial * (x - width / 2) / (width / 2)  # -1 lateral .. 1 medial

    skin = 1.1 + rng.uniform(0.0, 0.5) + smooth_curve(rng, x, 0.06, 25.0)
    fat = skin + rng.uniform(1.2, 3.0) + smooth_curve(rng, x, 0.25, 18.0)
    belly = np.exp(-(((towards_midline + rng.uniform(0.1, 0.6)) / rng.uniform(0.7, 1.0)) ** 2))
    muscle = fat + 0.8 + rng.uniform(4.0, 6.5) * belly + smooth_curve(rng, x, 0.25, 20.0)
    spine = rng.uniform(20.5, 24.0) + smooth_curve(rng, x, 0.6, 22.0) + 1.5 * towards_midline

    _paint_connective(phantom, rng)
    if rng.random() < 0.75:
        _paint_thyroid(phantom, rng, muscle, artery_x + medial * rng.uniform(10.0, 14.0))
    _paint_prevertebral(phantom, rng, spine)
    _paint_muscle(phantom, rng, fat, muscle)
    _paint_fat(phantom, rng, skin, fat)
    _paint_skin(phantom, rng, skin)
    if rng.random() < 0.35:
        _paint_windpipe(phantom, rng, medial, artery_x + medial * rng.uniform(13.0, 18.0))


def _lines(
    phantom: Phantom, rng: np.random.Generator, top: Field, bottom: Field, n: int, strength: float
) -> None:
    """Short bright interfaces between two depth curves, each with drop-outs along its length."""
    width = phantom.size_mm[1]
    for _ in range(n):
        at = rng.uniform(0.05, 0.95)
        curve = top + at * (bottom - top) + smooth_curve(rng, phantom.x, 0.18, 12.0)
        middle, reach = rng.uniform(0.0, width), rng.uniform(1.0, 6.0)
        window = np.exp(-(((phantom.x - middle) / reach) ** 4))
        phantom.reflect(curve, strength * rng.uniform(0.3, 1.0) * window, rng.uniform(0.05, 0.09))


def _paint_connective(phantom: Phantom, rng: np.random.Generator) -> None:
    """Loose tissue between the organs: echogenic, cloudy, with oblique strands."""
    tilt = smooth_curve(rng, phantom.x, 1.0, 18.0)
    clouds = 3.5 * smooth_noise(rng, phantom.size_hw, (2.0, 5.0))
    strands = striations(rng, phantom, tilt, (0.25, 2.6), 0.5)
    coarse = striations(rng, phantom, 1.5 * tilt, (0.45, 5.0), 0.8)
    phantom.scatter_db[:] = -29.0 + clouds + 8.0 * strands + 6.0 * coarse
    top, bottom = np.full_like(phantom.x, 8.0), np.full_like(phantom.x, 22.0)
    _lines(phantom, rng, top + tilt, bottom + tilt, int(rng.integers(6, 13)), 0.16)


def _paint_thyroid(
    phantom: Phantom, rng: np.random.Generator, muscle: Field, center_x: float
) -> None:
    """A lobe beside the artery: even, bright, finely grained, with a thin capsule."""
    half_x, half_z = rng.uniform(7.0, 9.5), rng.uniform(4.5, 6.5)
    center_z = float(muscle.mean()) + half_z + rng.uniform(-1.0, 1.0)
    dx, dz = (phantom.x - center_x) / half_x, (phantom.z - center_z) / half_z
    level = np.hypot(dx, dz) + 0.09 * smooth_noise(rng, phantom.size_hw, (2.5, 3.5))
    inside = level < 1.0
    grain = 1.3 * smooth_noise(rng, phantom.size_hw, (0.5, 0.8))
    phantom.scatter_db[inside] = (-22.0 + grain)[inside]
    phantom.specular[inside] = 0.0
    facing = np.abs(dz) / np.maximum(np.hypot(dx, dz), 1e-3)
    capsule = 0.15 * np.exp(-0.5 * ((level - 1.0) / 0.018) ** 2) * facing**2
    np.maximum(phantom.specular, capsule.astype(np.float32), out=phantom.specular)


def _paint_prevertebral(phantom: Phantom, rng: np.random.Generator, spine: Field) -> None:
    """Deep muscle under its fascia and, in some images, bone with its shadow."""
    inside = phantom.z > spine
    tilt = spine - float(spine.mean())
    streaks = striations(rng, phantom, tilt, (0.3, 2.0), 0.7)
    phantom.scatter_db[inside] = (-37.0 + 13.0 * streaks)[inside]
    phantom.specular[inside] = 0.0
    gaps = np.clip(0.6 + smooth_curve(rng, phantom.x, 0.4, 9.0), 0.05, 1.0)
    phantom.reflect(spine, 0.20 * gaps, 0.11)
    if rng.random() < 0.4:
        width = phantom.size_mm[1]
        middle, reach = rng.uniform(0.1, 0.9) * width, rng.uniform(4.0, 8.0)
        bone = spine + rng.uniform(1.5, 3.0) + 1.6 * np.abs((phantom.x - middle) / reach) ** 1.6
        bone = bone + smooth_curve(rng, phantom.x, 0.25, 5.0)
        presence = np.exp(-(((phantom.x - middle) / reach) ** 6))
        gaps = np.clip(0.7 + smooth_curve(rng, phantom.x, 0.4, 5.0), 0.1, 1.0)
        phantom.reflect(bone, 0.4 * presence * gaps, 0.16)
        below = (phantom.z > bone + 0.2) * presence
        phantom.scatter_db[:] -= (12.0 * below).astype(np.float32)


def _paint_muscle(phantom: Phantom, rng: np.random.Generator, top: Field, bottom: Field) -> None:
    """Sternocleidomastoid: dark, with short bright septa along it, between two fasciae."""
    inside = (phantom.z > top) & (phantom.z < bottom)
    tilt = 0.5 * (top + bottom) + smooth_curve(rng, phantom.x, 0.2, 8.0)
    septa = striations(rng, phantom, tilt, (0.24, 2.4), 0.7)
    coarse = striations(rng, phantom, tilt, (0.40, 5.0), 1.1)
    phantom.scatter_db[inside] = (-39.0 + 13.0 * septa + 13.0 * coarse)[inside]
    phantom.specular[inside] = 0.0
    _lines(phantom, rng, top, bottom, int(rng.integers(5, 12)), 0.20)
    for curve, strength in ((top, 0.55), (bottom, 0.45)):
        gaps = np.clip(0.75 + smooth_curve(rng, phantom.x, 0.3, 10.0), 0.1, 1.2)
        phantom.reflect(curve, strength * gaps, rng.uniform(0.07, 0.12))
        if rng.random() < 0.6:  # a fascia often splits into two leaves
            leaf = curve + 0.35 + np.abs(smooth_curve(rng, phantom.x, 0.25, 14.0))
            phantom.reflect(leaf, 0.5 * strength * gaps, 0.07)


def _paint_fat(phantom: Phantom, rng: np.random.Generator, top: Field, bottom: Field) -> None:
    """Subcutaneous fat: dark lobules between thin septa, and the platysma's line."""
    inside = (phantom.z > top) & (phantom.z < bottom)
    lobules = 2.0 * smooth_noise(rng, phantom.size_hw, (0.6, 3.0))
    phantom.scatter_db[inside] = (-35.0 + lobules)[inside]
    phantom.specular[inside & (phantom.z < bottom - 0.3)] = 0.0
    _lines(phantom, rng, top, bottom, int(rng.integers(3, 8)), 0.35)


def _paint_skin(phantom: Phantom, rng: np.random.Generator, bottom: Field) -> None:
    """The bright entry echo, then even dermis."""
    inside = phantom.z < bottom
    phantom.scatter_db[inside] = (-19.0 + 1.5 * smooth_noise(rng, phantom.size_hw, (0.3, 5.0)))[
        inside
    ]
    phantom.specular[inside] = 0.0
    phantom.reflect(np.full_like(phantom.x, 0.12), 0.9, 0.09)
    phantom.reflect(np.full_like(phantom.x, 0.55), 0.12, 0.06)
    phantom.reflect(bottom, 0.16, 0.08)


def _paint_windpipe(phantom: Phantom, rng: np.random.Generator, medial: float, edge: float) -> None:
    """Air medial of ``edge`` (mm): a bright arc, evenly spaced repeats, and nothing true behind."""
    outward = np.clip(medial * (phantom.x - edge), 0.0, None)
    presence = 1.0 - np.exp(-((outward / 0.8) ** 2))
    top = rng.uniform(9.0, 12.0)
    arc = top + 0.04 * np.clip(outward - 2.0, 0.0, None) ** 2
    face = arc + 7.0 * np.exp(-outward / 1.6)
    lean = rng.uniform(0.0, 0.3) * np.clip(phantom.z - top, 0.0, None)
    inward = np.clip(medial * (phantom.x - edge) + lean, 0.0, None)
    behind = (phantom.z > arc + 0.1 + 7.0 * np.exp(-inward / 1.6)) & (inward > 0.0)
    phantom.scatter_db[behind] = (-52.0 + 4.0 * smooth_noise(rng, phantom.size_hw, (0.8, 2.0)))[
        behind
    ]
    phantom.specular[behind] = 0.0
    spacing = rng.uniform(1.6, 2.4)
    for repeat in range(5):
        phantom.reflect(face + repeat * spacing, 0.6 * presence * 0.42**repeat, 0.13)
