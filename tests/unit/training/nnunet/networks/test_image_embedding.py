import io

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from active_learning.strategies.embedded import SAME
from converters.images.image_pixels import read_image
from training.nnunet.networks.image_embedding import DIMENSIONS, ImageEmbedding

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def embedding() -> ImageEmbedding:
    return ImageEmbedding()


def drawing(seed: int, height: int = 120, width: int = 160) -> Pixels:
    """A colour image with some blobs, and with noise as every camera has it."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(20, 120, 3), np.uint8)
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        color = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.circle(image, centre, int(rng.integers(5, 30)), color, -1)
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5) + rng.normal(0, 6, (height, width, 1))
    return np.asarray(np.clip(smooth, 0, 255), np.uint8)


def apart(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Squared distance."""
    return float(((a - b) ** 2).sum())


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1), np.uint8),
        np.full((1, 3000), 65535, np.uint16),
        np.random.default_rng(0).integers(0, 65536, (3000, 1), np.uint16),
        np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (2160, 3840, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (30, 20, 2), np.uint8),
        np.random.default_rng(0).integers(0, 65536, (30, 20, 6), np.uint16),
    ],
    ids=lambda image: f"{image.shape}",
)
def test_every_image_has_a_vector_of_length_1(
    embedding: ImageEmbedding, image: npt.NDArray[np.uint8]
) -> None:
    vector = embedding(image)
    assert vector.shape == (DIMENSIONS,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_equal_pixels_have_equal_vectors_whatever_came_before(embedding: ImageEmbedding) -> None:
    first = embedding(drawing(0))
    embedding(drawing(1))
    np.testing.assert_array_equal(first, embedding(drawing(0)))
    np.testing.assert_array_equal(first, ImageEmbedding()(drawing(0)))


def test_grey_is_what_the_same_grey_in_colour_is(embedding: ImageEmbedding) -> None:
    grey = drawing(0)[:, :, 0]
    colored = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    assert apart(embedding(grey), embedding(colored)) < 1e-8
    assert apart(embedding(grey), embedding(np.dstack([grey, grey]))) < 1e-8
    assert apart(embedding(grey), embedding(grey.astype(np.uint16) * 257)) < 1e-3


def test_an_image_written_again_is_the_same_image_and_another_one_is_not(
    embedding: ImageEmbedding,
) -> None:
    images = [drawing(seed) for seed in range(6)]
    vectors = [embedding(image) for image in images]
    for image, vector in zip(images, vectors, strict=True):
        written = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        jpeg = np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR))
        brighter = np.clip(image.astype(np.float32) * 1.1, 0, 255).astype(np.uint8)
        assert apart(embedding(jpeg), vector) < SAME
        assert apart(embedding(brighter), vector) < SAME
    others = [apart(a, b) for i, a in enumerate(vectors) for b in vectors[:i]]
    assert min(others) > 4 * SAME


def test_a_photograph_turned_by_its_exif_block_is_the_turned_image(
    embedding: ImageEmbedding,
) -> None:
    image = drawing(0)
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise
    Image.fromarray(np.rot90(image).copy()).save(turned, "PNG", exif=exif)
    np.testing.assert_array_equal(
        embedding(read_image(turned.getvalue(), task_id=1)), embedding(image)
    )


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 2, 2, 2)])
def test_what_is_no_image_is_refused(embedding: ImageEmbedding, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="An image must be uint8 or uint16"):
        embedding(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="got float64"):
        embedding(np.zeros((4, 4)))
