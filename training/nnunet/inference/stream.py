"""predict_stream: one image after the other, the next ones loaded while the networks run."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.networks import Finish, Prepared, TiledNetworks

_AHEAD = 3
"""Images loaded before the networks need them, besides those that share a call."""

_RUNNING = 2
"""Calls of the engine under way: while one is turned into probabilities, the other computes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Loading(Generic[T]):
    item: T
    image: Future[Prepared]

    @property
    def failed(self) -> bool:
        """Waits until it is loaded."""
        return self.image.exception() is not None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the loaded image, as each model wants it."""
        return tuple(one.pixels.shape for one in self.image.result())


@dataclass(frozen=True, slots=True)
class _Running(Generic[T]):
    """Images of one size; ``finish`` is None where the networks did not start on them."""

    images: tuple[_Loading[T], ...]
    finish: Finish | None
    error: Exception | None = None


def predict_stream(
    networks: TiledNetworks,
    items: Iterable[T],
    load: Callable[[T], npt.NDArray[Any]],
) -> Generator[tuple[T, Future[FoldMaps]], None, None]:
    """See ``FoldPredictor.predict_stream``."""

    def prepare(item: T) -> Prepared:
        return networks.prepare(load(item))

    source = iter(items)
    loading: deque[_Loading[T]] = deque()
    running: deque[_Running[T]] = deque()
    loader = ThreadPoolExecutor(1, thread_name_prefix="load images")
    try:
        while True:
            wanted = _AHEAD + networks.batch_images - len(loading)
            for item in itertools.islice(source, max(0, wanted)):
                loading.append(_Loading(item, loader.submit(prepare, item)))
            is_next_ready = bool(loading) and (not running or loading[0].image.done())
            if is_next_ready and len(running) < _RUNNING:
                running.append(_start(networks, loading))
            elif running:
                yield from _finished(networks, running.popleft())
            else:
                return
    finally:
        loader.shutdown(wait=False, cancel_futures=True)


def _start(networks: TiledNetworks, loading: deque[_Loading[T]]) -> _Running[T]:
    """Takes the first images of one size that are loaded, and starts the networks on them."""
    group = [loading.popleft()]
    if group[0].failed:
        return _Running(tuple(group), None)
    shapes = group[0].shapes
    while (
        loading
        and len(group) < networks.batch_images
        and loading[0].image.done()
        and not loading[0].failed
        and loading[0].shapes == shapes
    ):
        group.append(loading.popleft())
    try:
        finish = networks.start([one.image.result() for one in group])
    except Exception as error:  # noqa: BLE001 - handed over with the item it belongs to
        return _Running(tuple(group), None, error)
    return _Running(tuple(group), finish)


def _finished(
    networks: TiledNetworks, running: _Running[T]
) -> Iterator[tuple[T, Future[FoldMaps]]]:
    for i, one in enumerate(running.images):
        future: Future[FoldMaps] = Future()
        try:
            future.set_result(_probabilities(running, one, i))
        except Exception as error:  # noqa: BLE001 - handed over with the item it belongs to
            if len(running.images) > 1:
                # Of images that shared a call one may be the fault of all: each by itself.
                yield from _finished(networks, _start(networks, deque([one])))
                continue
            future.set_exception(error)
        yield one.item, future


def _probabilities(running: _Running[T], one: _Loading[T], index: int) -> FoldMaps:
    for error in (one.image.exception(), running.error):
        if error is not None:
            raise error
    assert running.finish is not None  # noqa: S101 - it started, or there is an error
    return running.finish(index)
