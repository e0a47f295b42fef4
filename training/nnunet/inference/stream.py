"""predict_stream: one image after the other, the next ones loaded while the networks run."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from domain.prediction import FoldProbabilities
from training.nnunet.inference.engine import Pending
from training.nnunet.inference.image import PreparedImage
from training.nnunet.inference.model import Model
from training.nnunet.inference.tiling import Tiling

_AHEAD = 3
"""Images loaded before the networks need them, besides those that share a call."""

_RUNNING = 2
"""Calls of the engine under way: while one is turned into probabilities, the other computes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Loading(Generic[T]):
    item: T
    image: Future[PreparedImage]

    @property
    def failed(self) -> bool:
        """Waits until it is loaded."""
        return self.image.exception() is not None


@dataclass(frozen=True, slots=True)
class _Running(Generic[T]):
    """Images of one size; ``pending`` is None for a single one that could not be loaded."""

    images: tuple[_Loading[T], ...]
    pending: Pending | None


def predict_stream(
    model: Model,
    tiling: Tiling,
    items: Iterable[T],
    load: Callable[[T], npt.NDArray[Any]],
) -> Generator[tuple[T, Future[FoldProbabilities]], None, None]:
    """See ``FoldPredictor.predict_stream``."""

    def prepare(item: T) -> PreparedImage:
        return model.preparation.prepare(load(item))

    source = iter(items)
    loading: deque[_Loading[T]] = deque()
    running: deque[_Running[T]] = deque()
    loader = ThreadPoolExecutor(1, thread_name_prefix="load images")
    try:
        while True:
            wanted = _AHEAD + model.engine.batch_images - len(loading)
            for item in itertools.islice(source, max(0, wanted)):
                loading.append(_Loading(item, loader.submit(prepare, item)))
            is_next_ready = bool(loading) and (not running or loading[0].image.done())
            if is_next_ready and len(running) < _RUNNING:
                running.append(_start(model, tiling, loading))
            elif running:
                yield from _finished(model, running.popleft())
            else:
                return
    finally:
        loader.shutdown(wait=False, cancel_futures=True)


def _start(model: Model, tiling: Tiling, loading: deque[_Loading[T]]) -> _Running[T]:
    """Takes the first images of one size that are loaded, and starts the networks on them."""
    group = [loading.popleft()]
    if group[0].failed:
        return _Running(tuple(group), None)
    shape = group[0].image.result().pixels.shape
    while (
        loading
        and len(group) < model.engine.batch_images
        and loading[0].image.done()
        and not loading[0].failed
        and loading[0].image.result().pixels.shape == shape
    ):
        group.append(loading.popleft())
    pixels = np.stack([one.image.result().pixels for one in group])
    return _Running(tuple(group), model.engine.start(pixels, model.folds, tiling))


def _finished(model: Model, running: _Running[T]) -> Iterator[tuple[T, Future[FoldProbabilities]]]:
    logits = running.pending() if running.pending is not None else None
    for i, one in enumerate(running.images):
        future: Future[FoldProbabilities] = Future()
        error = one.image.exception()
        if error is not None or logits is None:
            future.set_exception(error)
        else:
            image = one.image.result()
            future.set_result(model.preparation.probabilities(logits[:, i], image))
        yield one.item, future
