"""Pictures of networks learning: their size whatever the images', and who shows what when."""

from __future__ import annotations

import numpy as np
import pytest

from converters.classes.colors import color_of
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.pictures.learning import (
    MOST_STEPS,
    MOST_STRIPS,
    Strip,
    StripFrame,
    learning_frames,
    steps_of,
)
from converters.pictures.panels import RgbImage
from converters.pictures.preview import predictions_alone, stacked
from domain.labels import LabelConfig
from tests.unit.converters.configs import CONFIG

MANY = parse_label_config(polygon_label_config([f"class number {k}" for k in range(40)]))


def strip(shape: tuple[int, int], epochs: list[int], title: str = "Fold 0") -> Strip:
    """Its truth is class 1 everywhere, its predictions class 2."""
    image = np.full((*shape, 3), 90, np.uint8)
    frames = tuple(
        StripFrame(epoch, np.full(shape, 2, np.uint8), f"epoch {epoch}") for epoch in epochs
    )
    return Strip(title, "x" * 80, image, np.ones(shape, np.uint8), frames)


@pytest.mark.parametrize("n", [1, 2, 3, MOST_STRIPS])
@pytest.mark.parametrize("config", [CONFIG, MANY], ids=["two classes", "forty"])
def test_all_pictures_of_a_film_have_one_small_even_size(n: int, config: LabelConfig) -> None:
    shapes = [(1, 40), (320, 200), (320, 320), (1, 1), (7, 320), (320, 3)]
    strips = [strip(shapes[k], [k, k + 5], f"Fold {k}") for k in range(n)]
    pictures = list(learning_frames(strips, config, steps_of(strips)))
    [shape] = {picture.shape for picture in pictures}
    assert shape[0] % 2 == shape[1] % 2 == 0
    assert 60 < shape[0] < 1000 and 300 < shape[1] < 1700
    assert len(pictures) == len({k + d for k in range(n) for d in (0, 5)})


def tinted(picture: RgbImage, index: int) -> int:
    """Pixels whose colour is nearer to that of a class than to the image's grey."""
    color = np.array(color_of(CONFIG.group.class_by_index(index)), int)
    mixed = 0.28 * color + 0.72 * 90
    return int((np.abs(picture.astype(int) - mixed).max(axis=2) < 4).sum())


def test_a_fold_shows_its_newest_prediction_of_then_and_before_it_the_image() -> None:
    early, late = strip((90, 90), [0, 3]), strip((90, 90), [2], "Fold 1")
    first, second, _ = learning_frames([early, late], CONFIG, steps_of([early, late]))
    # Truth of both, and what one or both predict.
    assert tinted(first, 1) == pytest.approx(2 * tinted(first, 2), rel=0.05)
    assert tinted(second, 1) == pytest.approx(tinted(second, 2), rel=0.05)


def test_steps_are_thinned_evenly_and_keep_both_ends() -> None:
    strips = [strip((5, 5), list(range(0, 1000, 7))), strip((5, 5), list(range(3, 1000, 20)))]
    steps = steps_of(strips)
    assert len(steps) == MOST_STEPS and steps == sorted(set(steps))
    assert steps[0] == 0 and steps[-1] == 994
    assert steps_of([strip((5, 5), [4])]) == [4]


def test_an_unlabelled_image_stands_beside_what_each_fold_predicts() -> None:
    for shape in ((1, 40), (3000, 500), (200, 200)):
        image = np.zeros(shape, np.uint16)
        predictions = [(f"Fold {k}", "epoch 1 of 9", np.ones(shape, np.uint8)) for k in range(6)]
        picture = predictions_alone(image, "x" * 99, predictions, CONFIG)
        assert picture.shape[1] == 7 * 380 + 20 and picture.shape[0] < 600
    wrong = [("Fold 0", "", np.ones((3, 3), np.uint8))]
    with pytest.raises(ValueError, match="differ"):
        predictions_alone(np.zeros((4, 4), np.uint8), "", wrong, CONFIG)


def test_rows_of_any_width_stand_below_one_another() -> None:
    rows = [np.full((k, 10 * k, 3), k, np.uint8) for k in (3, 1, 2)]
    picture = stacked(rows)
    assert picture.shape == (6, 30, 3)
    assert (picture[3, :10] == 1).all() and (picture[4:, :20] == 2).all()
    assert picture[3, 10:].max() < 40
