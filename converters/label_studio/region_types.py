"""Every kind of region Label Studio draws on an image, in both spellings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RegionType:
    """A kind of region.

    ``kind`` is the ``type`` of its regions where the labels come from a ``<Labels>`` tag beside the
    control ``tag``; with labels of its own the control is ``<...Labels>``, and its name in lower
    case is both the ``type`` and the key in a region's ``value`` that holds the label names.
    ``geometry`` are the keys in ``value`` that say where the region is, ``optional`` those that say
    more of it where they are there; ``is_mask`` says that it is kept as pixels.
    """

    tag: str
    geometry: tuple[str, ...]
    optional: tuple[str, ...] = ()
    is_mask: bool = False

    @property
    def kind(self) -> str:
        """``polygon`` for ``<Polygon>`` and ``<PolygonLabels>``."""
        return self.tag.lower()

    @property
    def labels_tag(self) -> str:
        """``PolygonLabels``."""
        return f"{self.tag}Labels"

    @property
    def labels_key(self) -> str:
        """``polygonlabels``."""
        return f"{self.kind}labels"

    def place(self, value: dict[str, Any]) -> dict[str, Any]:
        """What of a ``value`` says where the region is: equal for regions in the same place."""
        return {key: value.get(key) for key in (*self.geometry, "rotation")}


REGION_TYPES = (
    RegionType("Polygon", ("points",)),
    RegionType("Brush", ("rle",), is_mask=True),
    RegionType("Bitmask", ("imageDataURL",), is_mask=True),
    RegionType("Rectangle", ("x", "y", "width", "height"), ("rotation",)),
    RegionType("Ellipse", ("x", "y", "radiusX", "radiusY"), ("rotation",)),
    RegionType("Vector", ("vertices",)),
    RegionType("KeyPoint", ("x", "y"), ("width",)),
)
"""Those that predictions would rather go out by come first."""

LABELS_TAG = "Labels"
LABELS_TYPE = "labels"
"""``type`` of the entry that gives a region its label in the spelling with ``<Labels>``."""

PER_REGION_KEYS = frozenset(
    {"choices", "taxonomy", "rating", "number", "text", "textarea", "datetime", "ranker"}
)
"""Keys in the ``value`` of an entry that says something about a region and repeats where it is."""

_BY_NAME = {name: t for t in REGION_TYPES for name in (t.kind, t.labels_key)}


def region_type_by_name(name: object) -> RegionType | None:
    """The region type with this ``type`` in results, in either spelling, or None."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def region_type_of_value(value: dict[str, Any]) -> RegionType | None:
    """The region type whose geometry a ``value`` holds, or None: some exports drop the type."""
    return next((t for t in REGION_TYPES if all(key in value for key in t.geometry)), None)
