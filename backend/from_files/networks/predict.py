"""Predicts images in files, one after the other, whatever their number and size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy.typing as npt

from active_learning.measures import measure_image
from backend.from_files.inputs import ImageInput, find_images, joined, namesake, settled
from backend.from_files.models import Model, find_model
from backend.from_files.predicting import REPORT, PredictionSpec
from backend.from_files.results import Predicted, Results
from backend.pipeline.basis.faults import sentence_of
from backend.pipeline.basis.warm_predictor import warm_predictor
from backend.settings import Settings
from converters.bookkeeping.files_report import Outcome, make_report
from converters.bookkeeping.work_index import WorkIndex
from converters.images.channels import stack_channels
from converters.images.image_pixels import without_empty_color
from converters.images.medical_pixels import MedicalImage, as_pixels, load_slices
from converters.images.nifti_slices import NiftiStack
from converters.label_studio.write import regions_to_result
from converters.outlines.limits import Simplification
from converters.outlines.vectorize import inner_last, vectorize
from domain.annotation import LeftOut
from domain.errors import ImageError, NnloopError, PredictionError, TaskError
from domain.hashing import content_hash
from domain.prediction import FoldProbabilities, most_probable
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.postprocessing import postprocessed
from training.versions.keep_largest import read_postprocessing
from training.versions.version_folder import read_version

WATCH_S = 2.0
"""Seconds between two looks into a folder that is watched; a file that still grows waits."""

INDEX = ".nnloop-index.sqlite"

Say = Callable[[str], None]


def predict_files(spec: PredictionSpec, say: Say) -> None:
    """Predicts what is new or changed, and leaves out what can't be read.

    Args:
        spec: What, with what, and what to write.
        say: Called with a line for each image.

    Raises:
        FileFormatError: A file or folder is missing, or the folder of results is another command's.
        PredictionError: There is no model, or it can't be used.
        SettingsError: The options don't fit the model's classes.
    """
    out = Path(spec.out)
    model = find_model(Path(spec.model))
    with WorkIndex(out / INDEX, out, "predict") as index:
        work = _Work(spec, model, index, say)
        sources = [Path(source) for source in spec.sources]
        work.predict(joined(find_images(sources, out), model.n_files))
        removed = index.forget_unseen()
        work.finish(removed)
        seen: dict[str, str] = {}
        while spec.watches:
            time.sleep(WATCH_S)
            found = joined(find_images(sources, out), model.n_files)
            if work.predict(settled(found, seen)):
                work.finish()


@dataclass(slots=True)
class _Todo:
    """An image on its way through the networks; ``found`` is its first channel once it is read.

    ``stack`` is the file that it is a slice of, the one with the number ``part``.
    """

    image: ImageInput
    stamp: str
    found: MedicalImage | None = None
    stack: _Stack | None = None
    part: int = 0


@dataclass(slots=True, eq=False)
class _Stack:
    """A file of several slices on its way; it is written when the last one is there."""

    n: int
    slices: list[NiftiStack] = field(default_factory=list)
    predicted: list[Predicted] = field(default_factory=list)
    is_given_up: bool = False

    def read(self, image: ImageInput, part: int) -> list[MedicalImage]:
        """One of its slices, of every channel; all stay in memory from the first to the last."""
        if self.is_given_up:
            raise ImageError(0, "several_images", "another of its slices could not be predicted.")
        if not self.slices:
            self.slices = [load_slices(path) for path in image.channel_paths]
        first, *others = self.slices
        if any(other.array.shape[:3] != first.array.shape[:3] for other in others):
            raise ImageError(0, "channel_sizes", "its channels have several shapes.")
        # As the first lies: they are one picture.
        found = [replace(one, axes=first.axes).slice(part) for one in self.slices]
        return [MedicalImage(as_pixels(one.shown, 0), one.spacing_mm) for one in found]


class _Work:
    """One call of the command."""

    def __init__(self, spec: PredictionSpec, model: Model, index: WorkIndex, say: Say) -> None:
        self._spec, self._model, self._index, self._say = spec, model, index, say
        self._results = Results(Path(spec.out), model.config, spec.results, model.name)
        self._predictor = warm_predictor(Settings.load(), model.settings, model.folder)
        self._postprocessing = read_postprocessing(model.folder)
        self._n_unchanged = 0
        self._paths: dict[str, Path] = {}
        self._made_by = content_hash(
            [
                model.name,
                read_version(model.folder).created_at,
                repr(model.calibration),
                repr(spec.results),
                model.config.xml,
                [model.settings.mirror_predict, model.settings.tile_step],
            ]
        )

    def predict(self, images: Iterable[ImageInput]) -> int:
        """Predicts what is not there yet; how many images that were."""
        n = 0
        with closing(
            self._predictor.predict_stream(self._new(images), self._load, with_views=True)
        ) as stream:
            for item, found in stream:
                n += 1
                self._keep(item, found)
        return n

    def finish(self, removed: int = 0) -> None:
        """Writes the files about all images."""
        self._results.finish(self._index.records)
        outcome = Outcome(self._n_unchanged, removed)
        make_report(Path(self._spec.out) / REPORT, "predict", self._index, outcome)

    def _new(self, images: Iterable[ImageInput]) -> Iterator[_Todo]:
        for image in images:
            if (other := namesake(image, self._paths)) is not None:
                self._leave_out_namesake(image, other)
                continue
            try:
                stamp = f"{self._made_by} {image.stamp}"
            except OSError as error:
                self._leave_out(image, ImageError(0, "image_missing", str(error.strerror)))
                continue
            if self._index.is_current(image.name, stamp):
                self._n_unchanged += 1
                continue
            n = image.n_slices()
            if n == 1:
                yield _Todo(image, stamp)
                continue
            stack = _Stack(n)
            for part in range(n):
                if not stack.is_given_up:
                    yield _Todo(image, stamp, stack=stack, part=part)

    def _load(self, item: _Todo) -> npt.NDArray[Any]:
        image, stack = item.image, item.stack
        found = image.read() if stack is None else stack.read(image, item.part)
        item.found = found[0]
        pixels = {str(i): without_empty_color(one.pixels) for i, one in enumerate(found)}
        return stack_channels(pixels, 0)

    def _keep(self, item: _Todo, found: Future[FoldMaps]) -> None:
        image, stack = item.image, item.stack
        if stack is not None and stack.is_given_up:
            return
        try:
            maps = found.result()
            assert item.found is not None  # noqa: S101 - it was predicted
            spacing_mm = item.found.spacing_mm or self._spec.results.spacing_mm
            predicted = replace(self._predicted(maps), spacing_mm=spacing_mm)
            if stack is not None:
                stack.predicted.append(predicted)
                if len(stack.predicted) < stack.n:
                    return
            fallback = f"{image.stem}_{image.ending.lstrip('.').lower()}"
            stem = self._index.name_for(image.name, image.stem, fallback)
            if stack is None:
                files, record = self._results.write(image, stem, item.found.pixels, predicted)
            else:
                files, record = self._results.write_stack(
                    image, stem, stack.slices[0], stack.predicted
                )
                stack.slices = []
        except (NnloopError, MemoryError, ValueError) as error:
            if stack is not None:
                stack.is_given_up, stack.slices = True, []
            self._leave_out(image, error)
            return
        self._index.done(image.name, item.stamp, files, record, ())
        if stack is None:
            self._say(f"{image.name}: score {predicted.score:.2f}")
        else:
            mean = fmean(one.score for one in stack.predicted)
            self._say(f"{image.name}: {stack.n} slices, mean score {mean:.2f}")

    def _leave_out_namesake(self, image: ImageInput, other: Path) -> None:
        message = (
            f"{image.path}: {other} is called so too. Predict them into two folders, or name the "
            "folder above both."
        )
        self._index.left_out(str(image.path), LeftOut(0, "same_name", message))
        self._say(f"Left out: {message}")

    def _leave_out(self, image: ImageInput, error: Exception) -> None:
        reason = error.reason if isinstance(error, TaskError) else "not_predicted"
        told = sentence_of(error).removeprefix("Task 0: ").replace(", or delete the task.", ".")
        note = LeftOut(0, reason, f"{image.name}: {told}")
        self._index.left_out(image.name, note)
        self._say(f"Left out: {note.message}")

    def _predicted(self, maps: FoldMaps) -> Predicted:
        """As ``backend.pipeline.predictions.score`` makes a prediction that is pushed."""
        mean = maps.room()

        def averaged() -> Iterator[FoldProbabilities]:
            for rows, block in maps.blocks():
                block.mean(axis=0, out=mean[:, rows])
                yield block

        config, settings = self._model.config, self._model.settings
        names = {one.index: one.value for one in config.group.classes}
        measures = measure_image(averaged(), names, maps.views())
        expected = self._model.calibration.expected(measures)
        postprocessed(mean, self._postprocessing)
        if not math.isfinite(float(mean.sum())):
            raise PredictionError(
                "its prediction is no number.",
                remedy="The model's weights may be broken: train again.",
            )
        label_map = most_probable(mean)
        result: list[dict[str, Any]] = []
        if self._spec.results.tasks:
            regions = vectorize(
                mean,
                list(names),
                iou_target=settings.polygon_overlap,
                iou_floor=min(Simplification().iou_floor, settings.polygon_overlap),
                vertex_budget=settings.vertex_budget,
                min_area_px=int(settings.min_region_area_px),
            )
            size_hw = (int(mean.shape[1]), int(mean.shape[2]))
            drawn = inner_last(regions)
            result = regions_to_result(drawn, config, size_hw, score=expected.score)
        return Predicted(label_map, expected.score, expected.low, expected.high, tuple(result))
