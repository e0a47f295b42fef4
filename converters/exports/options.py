"""What a person chooses about an export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from converters.images.pixel_spacing import spacing_from
from converters.label_studio.regions.read_settings import ReadSettings
from converters.painting.policies import AnnotatorPolicy
from domain.errors import SettingsError
from domain.unions import UnionPlan

PolygonStyle = Literal["exact", "drawn"]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of all formats; each reads those that concern it.

    ``spacing_mm`` is the size of a pixel in millimetres, (vertical, horizontal), of images of which
    neither their task nor their file says it; None if unknown.
    ``polygons`` says what COCO segmentations are: ``exact`` gives polygons that pycocotools reads
    as the very same pixels, ``drawn`` the points as they were drawn. ``annotators`` says which
    annotations of a task make its mask, ``reading`` how regions are read. ``unions`` are those of
    classes that nnU-Net's data set says networks are to learn.
    """

    spacing_mm: tuple[float, float] | None = None
    polygons: PolygonStyle = "exact"
    annotators: AnnotatorPolicy = "latest"
    reading: ReadSettings = field(default_factory=ReadSettings)
    unions: UnionPlan | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value that changes when an option does that makes other files of a task."""
        value = asdict(replace(self, unions=None))
        del value["unions"]  # they stand in dataset.json alone, which every run writes
        return value


def parse_spacing(text: str) -> tuple[float, float]:
    """``"0.1"`` or ``"0.1,0.2"`` (vertical, horizontal) in millimetres.

    Raises:
        SettingsError: No one or two numbers between 1e-6 and 1e6.
    """
    try:
        return spacing_from(text)
    except ValueError as error:
        raise SettingsError(
            f"The spacing {text!r} is no size of a pixel.",
            remedy="Give millimetres: 0.1 for square pixels, or 0.1,0.2 (vertical, horizontal).",
        ) from error
