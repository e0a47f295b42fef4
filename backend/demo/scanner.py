"""The synthetic scanner: from acoustic maps to a B-mode image.

Fully developed speckle (J. W. Goodman, Speckle Phenomena in Optics): many scatterers per
resolution cell make the echo a complex Gaussian whose envelope is Rayleigh distributed. Here white
complex noise, scaled by the tissue's backscatter, is filtered with the scanner's point spread
function; interfaces add a coherent part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from backend.demo.phantom import PX_PER_MM, TISSUE_ATTENUATION, Field, Phantom, smooth_noise


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """The knobs of one image.

    Attributes:
        gain_db: overall gain in dB; 0 is well adjusted.
        dynamic_range_db: what the grey scale spans, 55 to 60 dB.
        focus_mm: depth of the lateral focus in mm.
        looks: independent speckle patterns averaged (spatial compounding), 1 or more.
        tgc_error_db: gain error at the bottom of the image in dB; negative is dark in depth.
        noise_db: electronic noise at the surface in dB, before time gain compensation.
        clutter: side-lobe level, linear amplitude, 0.02 (good) to 0.08 (poor).
        contact_loss: (centre in mm, half width in mm, loss in dB) of badly coupled skin.
    """

    gain_db: float = 0.0
    dynamic_range_db: float = 58.0
    focus_mm: float = 15.0
    looks: int = 2
    tgc_error_db: float = 0.0
    noise_db: float = -66.0
    clutter: float = 0.03
    contact_loss: tuple[tuple[float, float, float], ...] = ()


def scan(
    phantom: Phantom, settings: ScanSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Images a phantom: (height, width) uint8, 0 = black."""
    loss_db = _loss_db(phantom, settings)
    amplitude = _db_to_amplitude(phantom.scatter_db)
    # Side lobes smear a little of every bright structure sideways, most visibly into the lumen.
    smear = cv2.blur(phantom.specular * 1.2 + amplitude, (_odd(6.0), _odd(0.5)))
    amplitude = np.hypot(amplitude, settings.clutter * cv2.blur(smear, (_odd(3.0), _odd(0.5))))
    uneven_db = 1.8 * smooth_noise(rng, phantom.size_hw, (12.0, 8.0))
    received = _db_to_amplitude(uneven_db - loss_db)
    tgc_db = 2.0 * TISSUE_ATTENUATION * phantom.z
    noise = _db_to_amplitude(settings.noise_db + tgc_db)
    height = phantom.size_hw[0]
    tgc_db = tgc_db + settings.tgc_error_db * (np.arange(height)[:, None] / height) ** 1.5
    intensity = np.zeros(phantom.size_hw, dtype=np.float32)
    for _ in range(settings.looks):
        phase = 1.4 * smooth_noise(rng, phantom.size_hw, (1.0, 1.2))
        for wave in (np.cos, np.sin):
            white = rng.standard_normal(phantom.size_hw, dtype=np.float32)
            echo = _point_spread(white * amplitude * received, settings, phantom)
            echo += _soften(phantom.specular * received, settings) * wave(phase)
            echo *= _db_to_amplitude(tgc_db)
            hiss = rng.standard_normal(phantom.size_hw, dtype=np.float32)
            echo += noise * cv2.GaussianBlur(hiss, (0, 0), 1.1) * 3.0
            intensity += echo * echo
    level_db = 10.0 * np.log10(intensity / settings.looks + 1e-9) - 3.0 + settings.gain_db
    grey = np.clip(1.0 + level_db / settings.dynamic_range_db, 0.0, 1.0)
    return np.asarray(np.rint(255.0 * _calm(grey.astype(np.float32)) ** 1.2), dtype=np.uint8)


def _loss_db(phantom: Phantom, settings: ScanSettings) -> Field:
    """Two-way loss in dB at every pixel, wider than the obstacle since the aperture is wide."""
    loss = 2.0 * np.cumsum(phantom.attenuation, axis=0) / PX_PER_MM
    loss = cv2.GaussianBlur(loss.astype(np.float32), (0, 0), sigmaX=5.0, sigmaY=0.6)
    for center, half_width, loss_db in settings.contact_loss:
        # The wide aperture looks around the gap: deeper, its shadow is softer and broader.
        reach = half_width * (1.0 + 0.03 * phantom.z)
        column = np.exp(-((np.abs(phantom.x - center) / reach) ** 2.2))
        # The coupling is lost at the skin, so the entry echo stays and all below is dark.
        loss += (loss_db * column * np.clip(phantom.z / 2.0, 0.1, 1.0)).astype(np.float32)
    return np.asarray(loss, dtype=np.float32)


def _point_spread(field: Field, settings: ScanSettings, phantom: Phantom) -> Field:
    """Filters white scatterers: sharp in depth, wider sideways, widest away from the focus."""
    axial = _unit_energy_kernel(0.10)
    off_focus = np.abs(phantom.z - settings.focus_mm) / 12.0
    narrow, wide = 0.17, 0.42
    sharp = cv2.sepFilter2D(field, cv2.CV_32F, _unit_energy_kernel(narrow), axial)
    broad = cv2.sepFilter2D(field, cv2.CV_32F, _unit_energy_kernel(wide), axial)
    share = np.clip(off_focus, 0.0, 1.0).astype(np.float32)
    # Weights whose squares sum to one keep the energy where both are nearly independent.
    mixed = np.sqrt(1.0 - share) * sharp + np.sqrt(share) * broad
    return np.asarray(mixed, dtype=np.float32)


def _soften(specular: Field, settings: ScanSettings) -> Field:
    """Interfaces at the scanner's resolution; they stay bright, so the kernel sums to one."""
    return np.asarray(cv2.GaussianBlur(specular, (0, 0), sigmaX=3.0, sigmaY=1.2), dtype=np.float32)


def _calm(grey: Field) -> Field:
    """The scanner's own speckle reduction: smooths along the layers, keeps strong edges."""
    calm = cv2.GaussianBlur(grey, (0, 0), sigmaX=2.2, sigmaY=1.1)
    edge = np.abs(calm - cv2.GaussianBlur(grey, (0, 0), sigmaX=5.0, sigmaY=3.0))
    keep = np.clip(0.25 + 2.0 * edge, 0.0, 0.7)
    light = cv2.GaussianBlur(grey, (0, 0), 0.7)
    return np.asarray(np.clip(keep * light + (1.0 - keep) * calm, 0.0, 1.0), dtype=np.float32)


def _unit_energy_kernel(sigma_mm: float) -> npt.NDArray[np.float32]:
    """A Gaussian whose squares sum to one: white noise keeps its variance."""
    sigma = sigma_mm * PX_PER_MM
    reach = math.ceil(3.0 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(taps / np.sqrt((taps**2).sum()), dtype=np.float32)


def _db_to_amplitude(db: npt.ArrayLike) -> Field:
    """Linear amplitude of a level in dB."""
    level = np.asarray(db, dtype=np.float32) / np.float32(20.0)
    return np.asarray(np.power(np.float32(10.0), level), dtype=np.float32)


def _odd(length_mm: float) -> int:
    """The nearest odd number of pixels, at least 1."""
    return max(1, 2 * round(length_mm * PX_PER_MM / 2) + 1)
