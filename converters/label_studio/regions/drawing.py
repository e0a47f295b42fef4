"""What a region reader is told and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.geometry import Ring, Shape


class RegionError(ValueError):
    """A region's value can't be read; ``str`` goes on after 'region ... of annotation ...'.

    Never leaves the converters: the reader of annotations turns it into an AnnotationError.
    """

    def __init__(self, what: str, reason: str = "malformed_region") -> None:
        super().__init__(what)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Where:
    """The frame a region is read in.

    ``size_hw`` is the real image's (height, width) in pixels; ``drawn_hw`` the size the region says
    it was drawn on, ``size_hw`` where it says none; ``line_width_px`` the width of open lines.
    """

    size_hw: tuple[int, int]
    drawn_hw: tuple[int, int]
    line_width_px: float


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A region in pixels.

    ``shape`` is None where nothing at all was drawn; ``empty_reason`` and ``empty_words`` then say
    so ("has 0 points"). ``outline`` are open lines in pixels, (n, 2) each: a shape that is too thin
    to cover a pixel centre marks the pixels they cross. ``is_outside`` says that no part lies on
    the image.
    """

    shape: Shape | None
    outline: tuple[Ring, ...] = field(default=())
    is_outside: bool = False
    empty_reason: str = ""
    empty_words: str = ""


def is_beside(points: Ring, size_hw: tuple[int, int]) -> bool:
    """Whether all points, (n, 2) in pixels, lie beyond one side of the image, or on that side."""
    if len(points) == 0:
        return False
    height, width = size_hw
    return bool((points.max(axis=0) <= 0).any() or (points.min(axis=0) >= [width, height]).any())


def nothing(reason: str, words: str) -> Drawing:
    """A region in which nothing was drawn."""
    return Drawing(None, empty_reason=reason, empty_words=words)
