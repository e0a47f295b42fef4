"""Colours of a labelling configuration as RGB."""

from __future__ import annotations

from PIL import ImageColor

from domain.labels import LabelClass

Rgb = tuple[int, int, int]
"""Red, green, blue in 0..255."""

_PALETTE: tuple[Rgb, ...] = (
    (0, 158, 255),
    (255, 159, 28),
    (46, 213, 115),
    (255, 82, 119),
    (165, 120, 255),
    (255, 221, 87),
    (0, 210, 190),
    (236, 110, 214),
)
"""For classes without a colour: bright on grey images, told apart with red-green blindness."""


def color_of(label_class: LabelClass) -> Rgb:
    """The class's colour in the interface, or one from a fixed palette if it has none.

    A colour Pillow does not know (a CSS variable, a misspelling) counts as none.
    """
    try:
        red, green, blue = ImageColor.getrgb(label_class.color)[:3]
    except ValueError:
        return _PALETTE[(label_class.index - 1) % len(_PALETTE)]
    return (red, green, blue)
