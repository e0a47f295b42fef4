import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter.brush import encode_rle
from PIL import Image

from converters.label_studio.regions import READERS, RegionError
from domain.geometry import MAX_PIXELS
from tests.unit.converters.label_studio.regions.reading import Mask, painted, where
from tests.unit.converters.shapes import size_of, sizes

masks = hnp.arrays(np.bool_, sizes)


def rle_of(alpha: Any) -> list[int]:
    """As the editor writes it: four equal channels... of which the last one counts."""
    rgba = np.zeros((*alpha.shape, 4), dtype=int)
    rgba[..., 3] = alpha
    encoded: list[int] = encode_rle(rgba.ravel())
    return encoded


def url_of(alpha: Any, mode: str = "RGBA") -> str:
    rgba = np.zeros((*alpha.shape, 4), dtype=np.uint8)
    rgba[..., 3] = alpha
    buffer = io.BytesIO()
    Image.fromarray(rgba).convert(mode).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@settings(max_examples=40, deadline=None)
@given(masks, st.sampled_from([1, 100, 128, 255]))
def test_brush_round_trip(mask: Mask, opacity: int) -> None:
    value = {"format": "rle", "rle": rle_of(mask * opacity)}
    np.testing.assert_array_equal(painted("brush", value, where(size_of(mask))), mask)


@settings(max_examples=40, deadline=None)
@given(masks)
def test_bitmask_round_trip(mask: Mask) -> None:
    value = {"imageDataURL": url_of(mask * 255)}
    np.testing.assert_array_equal(painted("bitmask", value, where(size_of(mask))), mask)


def test_half_opacity_is_the_edge() -> None:
    alpha = np.array([[0, 1, 127, 128, 255]])
    expected = [[False, False, False, True, True]]
    place = where((1, 5))
    assert painted("bitmask", {"imageDataURL": url_of(alpha)}, place).tolist() == expected
    assert painted("brush", {"rle": rle_of(alpha)}, place).tolist() == expected


def test_a_mask_of_one_channel() -> None:
    rle = encode_rle(np.array([0, 255, 255, 0]))
    assert painted("brush", {"rle": rle}, where((2, 2))).tolist() == [[False, True], [True, False]]


def test_a_mask_of_another_size_is_sampled_at_the_centres() -> None:
    alpha = np.array([[255, 0], [0, 255]])
    for kind, value in (
        ("brush", {"rle": rle_of(alpha)}),
        ("bitmask", {"imageDataURL": url_of(alpha)}),
    ):
        mask = painted(kind, value, where((4, 6), drawn_hw=(2, 2)))
        np.testing.assert_array_equal(mask, np.kron(alpha > 0, np.ones((2, 3), dtype=bool)))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("brush", {"rle": []}),
        ("brush", {"rle": [0, 0, 0, 0]}),
        ("brush", {"rle": rle_of(np.zeros((3, 3)))}),
        ("bitmask", {"imageDataURL": ""}),
        ("bitmask", {"imageDataURL": "data:,"}),
        ("bitmask", {"imageDataURL": url_of(np.zeros((3, 3)))}),
    ],
)
def test_empty_masks_are_left_out(kind: str, value: dict[str, Any]) -> None:
    drawing = READERS[kind](value, where((3, 3)))
    assert drawing.shape is None
    assert drawing.empty_reason == "empty_region"


FULL = rle_of(np.full((3, 3), 255))


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("brush", {"rle": "abc"}, "no list of bytes"),
        ("brush", {"rle": [1, 2, 256]}, "no list of bytes"),
        ("brush", {"rle": [1, True]}, "no list of bytes"),
        ("brush", {"rle": FULL[:8]}, "ends too early"),
        ("brush", {"rle": FULL[:5]}, "ends too early"),
        ("brush", {"rle": FULL, "format": "png"}, "'png'"),
        ("brush", {"rle": rle_of(np.ones((3, 4)))}, "48 values"),
        ("brush", {"rle": [255, 255, 255, 255, 0]}, "values"),
        ("brush", {"rle": [0] * 8_000_001}, "8,000,001 bytes"),
        ("bitmask", {"imageDataURL": 3}, "no text"),
        ("bitmask", {"imageDataURL": "http://127.0.0.1/mask.png"}, "starts with"),
        ("bitmask", {"imageDataURL": "data:image/png;base64,%%%"}, "base64"),
        ("bitmask", {"imageDataURL": "data:image/png;base64,AAAA"}, "no PNG"),
        ("bitmask", {"imageDataURL": url_of(np.ones((3, 3)))[:60]}, "no PNG|base64"),
        ("bitmask", {"imageDataURL": url_of(np.ones((3, 3)), "RGB")}, "transparency"),
        ("bitmask", {"imageDataURL": url_of(np.ones((4, 3)))}, "3 x 4 pixels"),
    ],
)
def test_refusals(kind: str, value: dict[str, Any], words: str) -> None:
    with pytest.raises(RegionError, match=words):
        READERS[kind](value, where((3, 3)))


def test_a_mask_beyond_the_limit_is_refused_undecoded() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = (4 * side * side).to_bytes(4, "big")
    with pytest.raises(RegionError, match="the limit is 80,000,000") as caught:
        READERS["brush"]({"rle": [*header, 7, 7]}, where((side, side)))
    assert caught.value.reason == "too_large"


def test_a_png_bomb_is_refused_undecoded() -> None:
    png = base64.b64decode(url_of(np.ones((1, 1))).split(",")[1])
    huge = png[:16] + (60_000).to_bytes(4, "big") * 2 + png[24:]
    url = "data:image/png;base64," + base64.b64encode(huge).decode()
    with pytest.raises(RegionError):
        READERS["bitmask"]({"imageDataURL": url}, where((3, 3)))
