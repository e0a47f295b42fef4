"""A pool of images, and a version that serves and fails at some of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backend.pipeline.predictions import score
from backend.store import projects
from backend.store.models import ProblemRow
from converters.bookkeeping.documents import write_document
from converters.label_studio.write import regions_to_result, validate_prediction
from converters.outlines.vectorize import vectorize
from domain.errors import (
    PredictionError,
)
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png
from tests.fakes.maps import maps_of
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.stream import predict_stream
from training.presets import TINY
from training.versions.version_folder import VersionInfo

PAGE = "<html>\n<body>\x1b[31mIt is " + "broken\n" * 500


@dataclass(frozen=True)
class Prepared:
    pixels: npt.NDArray[Any]


class Networks:
    """Networks of two folds that share calls, and fail by the height of an image."""

    batch_images = 3

    def __init__(self, at: dict[str, dict[int, Exception]]) -> None:
        self.at = at

    def prepare(self, image: npt.NDArray[Any]) -> tuple[Prepared, ...]:
        self._fail("prepare", image)
        return (Prepared(image),)

    def start(self, images: list[tuple[Prepared, ...]]) -> Callable[[int], FoldMaps]:
        for image in images:
            self._fail("start", image[0].pixels)

        def finish(index: int) -> FoldMaps:
            pixels = images[index][0].pixels
            self._fail("finish", pixels)
            height, width = pixels.shape[:2]
            maps = np.full((2, 3, height, width), 0.05, np.float32)
            maps[:, 0] = 0.9
            maps[:, :, height // 4 :, : width // 2] = np.array([0.05, 0.9, 0.05])[:, None, None]
            return maps_of(maps * np.float32("nan") if height in self.at["nan"] else maps)

        return finish

    def _fail(self, stage: str, image: npt.NDArray[Any]) -> None:
        error = self.at[stage].get(image.shape[0])
        if error is not None:
            raise error


class Predictor:
    """The real stream over such networks."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks

    def predict_stream(
        self, items: Iterable[Any], load: Callable[[Any], npt.NDArray[Any]], **_: bool
    ) -> Generator[tuple[Any, Future[Any]], None, None]:
        return predict_stream(self.networks, items, load)  # type: ignore[arg-type]


def noise(height: int, width: int = 48) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(height).integers(1, 255, (height, width), dtype=np.uint8)


# By the height of an image, which no healthy one has.
STAGES: dict[str, dict[int, Exception]] = {
    "prepare": {50: PredictionError("odd"), 51: ValueError(PAGE)},
    "start": {52: RuntimeError("size mismatch"), 53: MemoryError("no room")},
    "finish": {54: IndexError("out of range"), 55: RuntimeError("CUDA out of memory. Tried 9 GB")},
    "nan": {56: ValueError()},
    "vectorize": {57: ZeroDivisionError("division by zero")},
    "result": {58: TypeError("unhashable"), 59: ValueError()},
    "unstorable": {60: ValueError()},
    "dropped": {61: ValueError()},
}


def serve_faulty_version(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> int:
    """A version that serves, and fails at every stage that STAGES names; its id."""
    monkeypatch.setattr(score, "warm_predictor", lambda *_: Predictor(Networks(STAGES)))

    def fail_vectorize(mean: npt.NDArray[Any], *args: Any, **more: Any) -> Any:
        if mean.shape[1] in STAGES["vectorize"]:
            raise STAGES["vectorize"][mean.shape[1]]
        return vectorize(mean, *args, **more)

    heights: list[int] = []

    def fail_result(regions: Any, config: Any, size_hw: tuple[int, int], **more: Any) -> Any:
        heights.append(size_hw[0])
        if size_hw[0] in STAGES["result"]:
            raise STAGES["result"][size_hw[0]]
        made = regions_to_result(regions, config, size_hw, **more)
        return [object()] if size_hw[0] in STAGES["unstorable"] else made

    def fail_validate(config: Any, result: Any, **more: Any) -> list[str]:
        if heights[-1] in STAGES["dropped"]:
            return ["Not\nallowed."]
        if heights[-1] in STAGES["unstorable"]:
            return []
        return validate_prediction(config, result, **more)

    monkeypatch.setattr(score, "vectorize", fail_vectorize)
    monkeypatch.setattr(score, "regions_to_result", fail_result)
    monkeypatch.setattr(score, "validate_prediction", fail_validate)
    made = app.add_version()
    info = VersionInfo("nnloop-v1", ("lumen", "wall"), 1, TINY, (0, 1), {})
    write_document(
        app.context.workspace(PROJECT).version_dir("nnloop-v1") / "version.json", VersionInfo, info
    )
    return made


def add(app: FakeApp, task_id: int, image: bytes | npt.NDArray[Any]) -> None:
    app.add_tasks(task_id)
    data = image if isinstance(image, bytes) else png(image)
    app.label_studio.images[app.label_studio.tasks[task_id].data["image"]] = data


def open_problems(app: FakeApp) -> list[ProblemRow]:
    with app.store.begin() as session:
        return projects.open_problems(session, PROJECT)
