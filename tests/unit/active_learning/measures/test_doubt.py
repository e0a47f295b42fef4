import math

import numpy as np
import pytest
from hypothesis import given

from active_learning.measures import measure_image
from active_learning.measures.doubt import mutual_information, predictive_entropy
from domain.prediction import FoldProbabilities
from tests.unit.active_learning.measures.maps import constant, fold_probabilities


@pytest.mark.parametrize(
    ("folds", "nats"),
    [
        ([[0.5, 0.5]], math.log(2)),
        ([[1.0, 0.0]], 0.0),
        ([[1.0, 0.0], [0.0, 1.0]], math.log(2)),  # of the mean, not the mean of entropies
        ([[0.25, 0.75]], -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))),
        ([[0.25] * 4, [0.25] * 4], math.log(4)),
    ],
)
def test_predictive_entropy(folds: list[list[float]], nats: float) -> None:
    entropy = predictive_entropy(constant(*folds))
    assert entropy.shape == (2, 3)
    assert entropy.dtype == np.float32
    np.testing.assert_allclose(entropy, nats, atol=1e-6)
    scaled = predictive_entropy(constant(*folds), normalized=True)
    np.testing.assert_allclose(scaled, nats / math.log(len(folds[0])), atol=1e-6)


@pytest.mark.parametrize(
    ("folds", "nats"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),  # all doubt is in the data
        ([[1.0, 0.0], [0.0, 1.0]], math.log(2)),  # all doubt is between the folds
        ([[0.3, 0.7]], 0.0),  # one fold
        (
            [[1.0, 0.0], [0.5, 0.5]],
            -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) - math.log(2) / 2,
        ),
    ],
)
def test_mutual_information(folds: list[list[float]], nats: float) -> None:
    information = mutual_information(constant(*folds))
    assert information.shape == (2, 3)
    assert information.dtype == np.float32
    np.testing.assert_allclose(information, nats, atol=1e-6)


@given(fold_probabilities())
def test_ranges_and_indifference_to_the_order_of_folds(probabilities: FoldProbabilities) -> None:
    n_folds, n_classes = probabilities.shape[:2]
    entropy = predictive_entropy(probabilities)
    information = mutual_information(probabilities)
    assert 0 <= entropy.min() <= entropy.max() <= math.log(n_classes) + 1e-5
    assert information.min() >= 0
    assert (information <= entropy + 1e-5).all()
    assert information.max() <= math.log(min(n_folds, n_classes)) + 1e-5
    np.testing.assert_allclose(mutual_information(probabilities[::-1]), information, atol=1e-5)


@given(fold_probabilities())
def test_an_images_figures_are_means_over_its_pixels(probabilities: FoldProbabilities) -> None:
    measures = measure_image([probabilities])
    entropy, information = predictive_entropy(probabilities), mutual_information(probabilities)
    assert measures.entropy == pytest.approx(entropy.mean(), abs=1e-6)
    assert measures.information == pytest.approx(information.mean(), abs=1e-6)
    band = probabilities.mean(axis=0)[0] <= 0.95
    means = (entropy[band].mean(), information[band].mean()) if band.any() else (0.0, 0.0)
    assert (measures.entropy_band, measures.information_band) == pytest.approx(means, abs=1e-6)


def test_the_band_leaves_sure_background_out() -> None:
    """Half of the image is open, the other half background beyond doubt."""
    half = constant([0.5, 0.5])
    half[:, :, 0] = np.array([1.0, 0.0])[:, None]
    measures = measure_image([half])
    assert measures.entropy == pytest.approx(math.log(2) / 2, abs=1e-6)
    assert measures.entropy_band == pytest.approx(math.log(2), abs=1e-6)
    nothing = measure_image([constant([1.0, 0.0], [1.0, 0.0])])
    assert (nothing.entropy_band, nothing.information_band) == (0.0, 0.0)


@pytest.mark.parametrize("measure", [predictive_entropy, mutual_information])
@pytest.mark.parametrize("shape", [(2, 4, 4), (0, 2, 4, 4), (2, 1, 4, 4)])
def test_other_shapes_are_refused(measure: object, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got the shape"):
        measure(np.zeros(shape, dtype=np.float32))  # type: ignore[operator]
