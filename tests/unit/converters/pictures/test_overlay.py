import numpy as np
import pytest

from converters.classes.colors import color_of
from converters.pictures.overlay import overlay, prediction_panel
from domain.labels import LabelClass
from tests.unit.converters.configs import CONFIG

IMAGE = np.full((60, 90), 100, dtype=np.uint8)
LABEL_MAP = np.zeros((60, 90), dtype=np.uint8)
LABEL_MAP[10:50, 10:40] = 1
LABEL_MAP[20:40, 20:30] = 0
LABEL_MAP[10:50, 60:80] = 2


def test_classes_are_tinted_and_the_rest_is_untouched() -> None:
    picture = overlay(IMAGE, LABEL_MAP, CONFIG)
    assert picture.shape == (60, 90, 3)
    assert picture.dtype == np.uint8
    assert picture[5, 5].tolist() == picture[30, 25].tolist() == [100, 100, 100]  # outside, hole
    lumen, wall = picture[15, 15].astype(int), picture[30, 70].astype(int)
    assert lumen[0] > 120 > lumen[1]  # towards #ff5277
    assert wall[2] > 120 > wall[0]  # towards rgb(0, 158, 255)
    assert abs(picture[30, 10].astype(int) - [255, 82, 119]).max() < 60  # the outline is solid


def test_an_empty_map_changes_nothing_and_the_input_is_left_alone() -> None:
    image = np.dstack([IMAGE] * 3)
    np.testing.assert_array_equal(overlay(image, np.zeros_like(IMAGE), CONFIG), image)
    overlay(image, LABEL_MAP, CONFIG)
    assert (image == 100).all()


def test_16_bits_are_stretched() -> None:
    wide = np.linspace(1000, 1100, 90, dtype=np.uint16)[np.newaxis].repeat(60, axis=0)
    picture = overlay(wide, np.zeros_like(IMAGE), CONFIG)
    assert (picture.min(), picture.max()) == (0, 255)


def test_panel_shows_all_three() -> None:
    uncertainty = np.zeros((60, 90), dtype=np.float32)
    uncertainty[20:40, 20:40] = 0.6
    empty = np.zeros_like(LABEL_MAP)
    panel = prediction_panel(IMAGE, LABEL_MAP, empty, uncertainty, CONFIG)
    assert panel.dtype == np.uint8
    assert panel.shape[1] == 3 * 480 + 4 * 20
    first, second, third = (panel[60:340, 20 + i * 500 : 500 + i * 500] for i in range(3))
    assert np.ptp(first.reshape(-1, 3).astype(int), axis=1).max() > 100  # truth in colour
    assert np.ptp(second.reshape(-1, 3).astype(int), axis=1).max() == 0  # nothing predicted
    hot, cold = third[140, 150].astype(int), third[20, 440].astype(int)
    assert hot[0] > 200 > 80 > cold[0]


def test_panel_of_a_certain_prediction() -> None:
    panel = prediction_panel(
        IMAGE, LABEL_MAP, LABEL_MAP, np.zeros((60, 90), dtype=np.float32), CONFIG
    )
    assert (panel[60:340, 20:500] == panel[60:340, 520:1000]).all()


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"label map has the shape \(3, 3\)"):
        overlay(IMAGE, np.zeros((3, 3), dtype=np.uint8), CONFIG)
    with pytest.raises(ValueError, match="uncertainty"):
        prediction_panel(IMAGE, LABEL_MAP, LABEL_MAP, np.zeros((3, 3), dtype=np.float32), CONFIG)


@pytest.mark.parametrize(
    ("css", "rgb"), [("red", (255, 0, 0)), ("#0a0b0c80", (10, 11, 12)), ("rgb(1,2,3)", (1, 2, 3))]
)
def test_css_colours(css: str, rgb: tuple[int, int, int]) -> None:
    assert color_of(LabelClass(1, "a", css)) == rgb


@pytest.mark.parametrize("css", ["", "var(--primary)", "redd"])
def test_without_a_usable_colour_the_palette_tells_classes_apart(css: str) -> None:
    assert len({color_of(LabelClass(i, "a", css)) for i in range(1, 9)}) == 8
    assert color_of(LabelClass(9, "a", css)) == color_of(LabelClass(1, "a", css))
