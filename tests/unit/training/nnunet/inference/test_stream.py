from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from domain.errors import ImageError, PredictionError
from training.nnunet.inference.predictor import FoldPredictor
from training.nnunet.inference.stream import _AHEAD, predict_stream


@pytest.fixture(scope="module", params=["torch", "openvino"])
def predictor(request: pytest.FixtureRequest, version_dir: Path) -> FoldPredictor:
    made = FoldPredictor.load(version_dir, engine=request.param)
    made.predict(_image(0))
    assert made.engine == request.param
    return made


def _image(number: int) -> npt.NDArray[Any]:
    size = (40, 36) if number % 3 else (33, 70)
    return np.random.default_rng(number).integers(0, 255, size, np.uint8)


def test_a_stream_is_predict_item_by_item(predictor: FoldPredictor) -> None:
    found = list(predictor.predict_stream(range(7), _image))
    assert [item for item, _ in found] == list(range(7))
    for item, future in found:
        np.testing.assert_allclose(
            future.result().whole(), predictor.predict(_image(item)), atol=1e-6
        )


@pytest.mark.parametrize("size_hw", [(1, 500), (500, 1), (1, 1), (2, 3)])
def test_the_smallest_images_are_predicted(
    predictor: FoldPredictor, size_hw: tuple[int, int]
) -> None:
    image = np.random.default_rng(1).integers(0, 255, size_hw, np.uint8)
    for pixels in (image, np.zeros_like(image)):
        [(_, future)] = predictor.predict_stream([0], lambda _: pixels)  # noqa: B023
        assert future.result().whole().shape == (2, 3, *size_hw)
        assert np.isfinite(future.result().whole()).all()


@pytest.mark.slow
def test_networks_that_fail_on_an_image_fail_on_it_alone(predictor: FoldPredictor) -> None:
    [plain] = predictor._tiled.networks.models

    class Moody:
        """Shares calls, and fails where an image of one value is among those of a call."""

        name, n_bytes, batch_images = "moody", 0, 4

        def start(self, images, folds, tiling):  # type: ignore[no-untyped-def]
            time.sleep(0.1)  # the next ones are loaded meanwhile
            if (np.ptp(images, axis=(1, 2, 3)) == 0).any():
                raise RuntimeError("an image of one value")
            return plain.engine.start(images, folds, tiling)

    networks = dataclasses.replace(
        predictor._tiled.networks, models=(dataclasses.replace(plain, engine=Moody()),)
    )
    tiled = dataclasses.replace(predictor._tiled, networks=networks)

    def load(number: int) -> npt.NDArray[Any]:
        return np.full((40, 36), 7, np.uint8) if number in (2, 5) else _image(1)

    found = list(predict_stream(tiled, range(8), load))
    assert [item for item, _ in found] == list(range(8))
    for item, future in found:
        if item in (2, 5):
            with pytest.raises(RuntimeError, match="one value"):
                future.result()
        else:
            assert future.result().whole().shape == (2, 3, 40, 36)


@pytest.mark.slow
def test_images_share_calls_when_the_engine_says_so(predictor: FoldPredictor) -> None:
    calls: list[int] = []
    engine = predictor._tiled.networks.models[0].engine

    class Sharing:
        name, n_bytes, batch_images = "sharing", 0, 4

        def start(self, images, folds, tiling):  # type: ignore[no-untyped-def]
            calls.append(len(images))
            time.sleep(0.1)  # the next ones are loaded meanwhile
            return engine.start(images, folds, tiling)

    [plain] = predictor._tiled.networks.models
    networks = dataclasses.replace(
        predictor._tiled.networks, models=(dataclasses.replace(plain, engine=Sharing()),)
    )
    tiled = dataclasses.replace(predictor._tiled, networks=networks)
    numbers = [1, 2, 4, 5, 7, 3, 8, 10]  # the sixth has another size
    found = list(predict_stream(tiled, numbers, _image))
    assert [item for item, _ in found] == numbers
    assert sum(calls) == 8
    assert max(calls) > 1
    for item, future in found:
        expected = predictor.predict(_image(item))
        np.testing.assert_allclose(future.result().whole(), expected, atol=1e-5)


def test_an_image_that_fails_does_not_stop_the_others(predictor: FoldPredictor) -> None:
    def load(number: int) -> npt.NDArray[Any]:
        if number == 1:
            raise ImageError(1, "image_missing", "gone.")
        return np.zeros((4, 4)) if number == 2 else _image(number)

    found = dict(predictor.predict_stream(range(4), load))
    with pytest.raises(ImageError, match=r"Task 1: gone\."):
        found[1].result()
    with pytest.raises(PredictionError, match="float64"):
        found[2].result()
    assert found[0].result().whole().shape == (2, 3, 33, 70)
    assert found[3].result().whole().shape == (2, 3, 33, 70)


def test_images_are_loaded_ahead_in_another_thread_but_not_all_at_once(
    predictor: FoldPredictor,
) -> None:
    loaded: list[int] = []
    threads: set[int] = set()
    is_ahead = threading.Event()

    def load(number: int) -> npt.NDArray[Any]:
        loaded.append(number)
        threads.add(threading.get_ident())
        if len(loaded) > 2:
            is_ahead.set()
        return _image(number)

    stream = predictor.predict_stream(iter(range(100)), load)
    assert next(stream)[0] == 0
    assert is_ahead.wait(10)  # while the first is looked at, others are loaded
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1
    time.sleep(0.2)
    assert len(loaded) <= _AHEAD + 4
    stream.close()
    before = len(loaded)
    time.sleep(0.05)
    assert len(loaded) <= before + 1


def test_an_empty_pool_yields_nothing(predictor: FoldPredictor) -> None:
    assert list(predictor.predict_stream([], _image)) == []


def test_items_that_fail_to_come_raise(predictor: FoldPredictor) -> None:
    def items() -> Iterator[int]:
        yield 0
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="the store is gone"):
        list(predictor.predict_stream(items(), _image))
