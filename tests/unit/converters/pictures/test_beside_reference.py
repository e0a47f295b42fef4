from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from converters.pictures.beside_reference import INVENTED, MISSED, WRONG_CLASS, comparison
from tests.unit.converters.configs import CONFIG

REFERENCE = np.zeros((120, 160), np.uint8)
REFERENCE[20:60, 20:60] = 1
REFERENCE[20:60, 100:140] = 2
PREDICTION = np.zeros((120, 160), np.uint8)
PREDICTION[20:60, 40:80] = 1
PREDICTION[20:60, 100:140] = 1
IMAGE = np.full((120, 160), 90, np.uint8)


def picture(image: npt.NDArray[Any] | None = IMAGE) -> npt.NDArray[Any]:
    return comparison(image, REFERENCE, PREDICTION, CONFIG, title="case", measures="Dice 0.5")


def at(shown: npt.NDArray[Any], panel: int, row: int, column: int) -> npt.NDArray[Any]:
    """The colour of a pixel of the image in a panel: 3 times as large, below the caption."""
    found: npt.NDArray[Any] = shown[44 + row * 3, 20 + panel * 500 + column * 3].astype(int)
    return found


def test_the_difference_tells_the_three_kinds_apart() -> None:
    shown = picture()
    for column, kind in ((30, MISSED), (70, INVENTED), (120, WRONG_CLASS)):
        found = at(shown, 2, 40, column)
        assert np.abs(found - np.array(kind)).max() < 70
        others = [other for other in (MISSED, INVENTED, WRONG_CLASS) if other != kind]
        assert all(
            np.abs(found - np.array(kind)).sum() < np.abs(found - np.array(other)).sum()
            for other in others
        )
    # Agreed pixels show the darkened image.
    assert np.ptp(at(shown, 2, 40, 50)) == 0 and at(shown, 2, 40, 50)[0] < 90


def test_outlines_are_drawn_where_the_classes_are() -> None:
    shown = picture()
    assert np.ptp(at(shown, 0, 40, 20)) > 80
    assert np.ptp(at(shown, 1, 40, 20)) < 20
    assert np.ptp(at(shown, 1, 40, 40)) > 80


def test_without_an_image_and_in_any_size() -> None:
    assert picture(None).shape == picture().shape
    for shape in ((3000, 40), (40, 3000), (1, 1)):
        label_map = np.ones(shape, np.uint8)
        shown = comparison(None, label_map, label_map * 2, CONFIG, title="x" * 99, measures="")
        assert shown.shape[0] < 800 and 900 < shown.shape[1] < 1600


def test_thin_differences_survive_making_small() -> None:
    reference = np.zeros((2000, 2000), np.uint8)
    reference[:, 1001] = 1
    shown = comparison(None, reference, np.zeros_like(reference), CONFIG, title="", measures="")
    panel = shown[44 : 44 + 480, 1020:1500].astype(int)
    assert (panel.max(axis=2).max(axis=1) > 30).all()


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="one size"):
        comparison(IMAGE, REFERENCE[:-1], PREDICTION, CONFIG, title="", measures="")
    with pytest.raises(ValueError, match="one size"):
        comparison(IMAGE[:-1], REFERENCE, PREDICTION, CONFIG, title="", measures="")
