"""Vessels in cross-section: the artery whose geometry is the truth, and the vein beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backend.demo.phantom import PX_PER_MM, Field, Mask, Phantom, smooth_noise
from domain.geometry import LabelMap

LUMEN = 1
"""The integer of `lumen` in a truth map."""
WALL = 2
"""The integer of `wall` in a truth map: the intima-media ring around the lumen."""

_HARMONICS = (2, 3, 4, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Plaque:
    """A bulge of the wall into the lumen.

    ``angle`` in radians (pi / 2 = far wall, -pi / 2 = near wall), ``width`` its angular standard
    deviation, ``height_mm`` how far it reaches into the lumen, ``calcified`` from 0 to 1.
    """

    angle: float
    width: float
    height_mm: float
    calcified: float


@dataclass(frozen=True, slots=True, eq=False)
class Artery:
    """A closed contour around a centre, in polar form, and a wall of varying thickness.

    Lengths in mm. ``shape`` holds (amplitude relative to the radius, phase) per harmonic 2 to 5;
    harmonic 2 makes the ellipse. ``eccentric`` is (relative amplitude, angle) of the thickening.
    """

    center_xz: tuple[float, float]
    radius_mm: float
    wall_mm: float
    shape: tuple[tuple[float, float], ...]
    eccentric: tuple[float, float]
    plaques: tuple[Plaque, ...] = ()

    def polar(self, phantom: Phantom) -> tuple[Field, Field]:
        """Distance from the centre in mm and angle in radians, each (height, width)."""
        dx = phantom.x - np.float32(self.center_xz[0])
        dz = phantom.z - np.float32(self.center_xz[1])
        return np.hypot(dx, dz), np.arctan2(dz, dx)

    def outer_radius(self, theta: Field) -> Field:
        """Radius in mm of the media-adventitia border at each angle."""
        relative = np.ones_like(theta)
        for order, (amplitude, phase) in zip(_HARMONICS, self.shape, strict=True):
            relative += amplitude * np.cos(order * (theta - phase))
        return np.asarray((self.radius_mm + self.wall_mm) * relative, dtype=np.float32)

    def wall_thickness(self, theta: Field) -> Field:
        """Thickness in mm of the intima-media ring at each angle, plaque included."""
        amplitude, angle = self.eccentric
        thickness = self.wall_mm * (1.0 + amplitude * np.cos(theta - angle))
        for plaque in self.plaques:
            thickness = thickness + plaque.height_mm * _bump(theta, plaque)
        return np.asarray(thickness, dtype=np.float32)

    def truth(self, phantom: Phantom) -> LabelMap:
        """(height, width) uint8 label map by the pixel-centre rule: 0, LUMEN, WALL."""
        rho, theta = self.polar(phantom)
        outer = self.outer_radius(theta)
        inner = outer - self.wall_thickness(theta)
        truth = np.zeros(phantom.size_hw, dtype=np.uint8)
        truth[rho < outer] = WALL
        truth[rho < inner] = LUMEN
        return truth

    def paint(self, phantom: Phantom, rng: np.random.Generator) -> None:
        """Draws blood, intima, media, adventitia, plaque, haze and edge shadows."""
        rho, theta = self.polar(phantom)
        outer = self.outer_radius(theta)
        inner = outer - self.wall_thickness(theta)
        in_lumen, in_wall = rho < inner, (rho >= inner) & (rho < outer)
        # Echoes come back from what faces the beam: near and far wall, hardly the lateral ones.
        facing = np.abs(np.sin(theta)) ** 2.5
        patchy = np.clip(1.0 + 0.35 * smooth_noise(rng, phantom.size_hw, (2.0, 2.0)), 0.2, 1.8)

        beyond = np.clip(rho - outer, 0.0, None)
        adventitia = np.exp(-0.5 * (beyond / 0.32) ** 2) * (rho >= outer)
        lift = adventitia * (2.0 + 11.0 * facing) * patchy
        phantom.scatter_db[:] += lift * (phantom.scatter_db < -8.0)
        phantom.scatter_db[in_wall] = (-38.0 + 10.0 * facing * patchy)[in_wall]
        phantom.scatter_db[in_lumen] = -64.0
        phantom.specular[in_wall | in_lumen] = 0.0
        phantom.attenuation[in_lumen] = 0.03

        intima = np.exp(-0.5 * ((rho - inner - 0.06) / 0.07) ** 2) * facing * patchy
        border = np.exp(-0.5 * ((rho - outer - 0.10) / 0.10) ** 2) * facing * patchy
        np.maximum(phantom.specular, 0.13 * intima + 0.34 * border, out=phantom.specular)

        self._paint_haze(phantom, rng, in_lumen)
        for plaque in self.plaques:
            self._paint_plaque(phantom, plaque, rho - inner, theta, in_wall)
        self._paint_edge_shadows(phantom, rng)

    def _paint_haze(self, phantom: Phantom, rng: np.random.Generator, in_lumen: Mask) -> None:
        """Reverberation of the near wall: a haze with faint bands that dies out with depth."""
        below_near_wall = np.cumsum(in_lumen, axis=0) / PX_PER_MM
        reach = rng.uniform(0.9, 2.0)
        bands = 2.5 * np.cos(below_near_wall * (2.0 * math.pi / rng.uniform(0.6, 0.9)))
        haze = -36.0 - rng.uniform(0.0, 6.0) - 8.7 * below_near_wall / reach + bands
        haze += 2.0 * smooth_noise(rng, phantom.size_hw, (0.8, 2.5))
        lumen_db = np.maximum(phantom.scatter_db, haze)
        phantom.scatter_db[in_lumen] = lumen_db[in_lumen]

    def _paint_plaque(
        self, phantom: Phantom, plaque: Plaque, depth: Field, theta: Field, in_wall: Mask
    ) -> None:
        """Plaque tissue; where calcified a bright cap that casts an acoustic shadow."""
        bump = _bump(theta, plaque)
        inside = in_wall & (bump > 0.15)
        phantom.scatter_db[inside] = np.maximum(phantom.scatter_db, -24.0 + 5.0 * bump)[inside]
        if plaque.calcified > 0.0:
            cap = np.exp(-0.5 * ((depth - 0.30) / 0.22) ** 2) * (bump > 0.55) * in_wall
            phantom.specular[:] = np.maximum(phantom.specular, 0.8 * plaque.calcified * cap)
            phantom.scatter_db[:] += (14.0 * plaque.calcified * cap).astype(np.float32)
            phantom.attenuation[:] += (22.0 * plaque.calcified * cap).astype(np.float32)

    def _paint_edge_shadows(self, phantom: Phantom, rng: np.random.Generator) -> None:
        """Refraction at the lateral walls steals the beam: a narrow shadow below each."""
        cx, cz = self.center_xz
        for side in (-1.0, 1.0):
            angle = np.full((1, 1), 0.0 if side > 0 else math.pi, dtype=np.float32)
            edge_x = cx + side * float(self.outer_radius(angle)[0, 0])
            lean = side * 0.06 * (phantom.z - cz)
            column = np.exp(-0.5 * ((phantom.x - edge_x - lean) / 0.38) ** 2)
            start = np.exp(-0.5 * ((phantom.z - cz) / 0.9) ** 2)
            phantom.attenuation[:] += (rng.uniform(1.0, 2.2) * column * start).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Vein:
    """The jugular vein: thin-walled, compressible, no intima-media ring. Lengths in mm.

    ``radii_xz`` are the half axes; a collapsed vein is a slit. ``tilt`` in radians.
    """

    center_xz: tuple[float, float]
    radii_xz: tuple[float, float]
    tilt: float
    shape: tuple[tuple[float, float], ...]

    def paint(self, phantom: Phantom, rng: np.random.Generator) -> None:
        """Draws blood and the thin bright wall."""
        dx, dz = phantom.x - self.center_xz[0], phantom.z - self.center_xz[1]
        c, s = math.cos(self.tilt), math.sin(self.tilt)
        u, v = (c * dx + s * dz) / self.radii_xz[0], (c * dz - s * dx) / self.radii_xz[1]
        theta = np.arctan2(v, u)
        bound = np.ones_like(theta)
        for order, (amplitude, phase) in zip(_HARMONICS, self.shape, strict=True):
            bound += amplitude * np.cos(order * (theta - phase))
        level = np.hypot(u, v) / bound
        inside = level < 1.0
        thickness = 0.10 / self.radii_xz[1]
        rim = np.exp(-0.5 * ((level - 1.0 - thickness) / thickness) ** 2)
        blood_db = -54.0 + 3.0 * smooth_noise(rng, phantom.size_hw, (1.0, 2.0))
        phantom.scatter_db[inside] = blood_db[inside]
        phantom.specular[inside] = 0.0
        phantom.attenuation[inside] = 0.05
        wall = 0.16 * rim * np.abs(np.sin(theta)) ** 1.5
        np.maximum(phantom.specular, wall.astype(np.float32), out=phantom.specular)


def _bump(theta: Field, plaque: Plaque) -> Field:
    """A smooth bump on the circle, 1 at the plaque's angle."""
    bump = np.exp((np.cos(theta - plaque.angle) - 1.0) / plaque.width**2)
    return np.asarray(bump, dtype=np.float32)
