"""Sizes of pixels that DICOM says in sequences, which SimpleITK does not show.

Ultrasound says them of regions of the picture (DICOM PS3.3, C.8.5.5), enhanced images of groups of
their frames (C.7.6.16).
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from converters.images.pixel_spacing import spacing_from

_REGIONS = "SequenceOfUltrasoundRegions"
_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"

_PLANE = 1
"""RegionSpatialFormat of a picture in two dimensions; others are curves over time."""

_CENTIMETRES = 3
"""PhysicalUnitsXDirection and ...YDirection: what a region's numbers are in."""

_ALIKE = 1e-3
"""Relative difference up to which two sizes are one, written with other digits."""


def spacing_in_sequences(path: Path) -> tuple[float, float] | None:
    """(vertical, horizontal) size of a pixel in millimetres.

    None where the file says none in a sequence, can't be read, or says several: they would be right
    for a part of the picture or of the frames alone.
    """
    try:
        return _one_of(_sizes(path))
    except Exception:  # noqa: BLE001 - pydicom checks little of what it reads, and raises anything
        return None


def _sizes(path: Path) -> Iterator[tuple[float, float]]:
    # Imported here: few images are DICOM.
    from pydicom import config, dcmread
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    # Else it warns, and logs, of each value that is not quite as it should be.
    config.settings.reading_validation_mode = config.IGNORE
    warnings.filterwarnings("ignore", module="pydicom")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    if _has_preamble(path):
        syntax = read_file_meta_info(path).get("TransferSyntaxUID")
        if syntax == DeflatedExplicitVRLittleEndian:
            return  # it may be blown up to any size, and nobody writes it

    def read(*names: str) -> Any:
        return dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(names))

    found = read(_REGIONS, _SHARED)
    yield from _of_regions(found.get(_REGIONS) or ())
    shared = list(_of_groups(found.get(_SHARED) or ()))
    # Of each frame, where that is not the same for all.
    yield from shared or _of_groups(read(_PER_FRAME).get(_PER_FRAME) or ())


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _of_regions(regions: Iterable[Any]) -> Iterator[tuple[float, float]]:
    for region in regions:
        units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
        if region.get("RegionSpatialFormat") == _PLANE and units == (_CENTIMETRES, _CENTIMETRES):
            # Negative where the other direction is counted up.
            per_column, per_row = region.PhysicalDeltaX, region.PhysicalDeltaY
            yield spacing_from([10.0 * abs(float(per_row)), 10.0 * abs(float(per_column))])


def _of_groups(groups: Iterable[Any]) -> Iterator[tuple[float, float]]:
    for group in groups:
        for measures in group.get("PixelMeasuresSequence") or ():
            if measures.get("PixelSpacing") is not None:
                yield spacing_from([float(part) for part in measures.PixelSpacing])


def _one_of(sizes: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    first: tuple[float, float] | None = None
    for size in sizes:
        if first is None:
            first = size
        elif not all(map(_is_alike, size, first)):
            return None
    return first


def _is_alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ALIKE)
