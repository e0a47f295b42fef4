"""Predicts images in files, one after the other, whatever their number and size."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

import numpy.typing as npt

from active_learning.measures import measure_image
from backend.from_files.models import Model, find_model
from backend.from_files.predictions.inputs import (
    ImageInput,
    find_images,
    further_pictures,
    joined,
    namesake,
    settled,
)
from backend.from_files.predictions.predicting import INDEX, REPORT, PredictionSpec
from backend.from_files.predictions.result_folder import JOB, ResultFolder
from backend.from_files.predictions.results import Predicted, Results
from backend.from_files.predictions.told import LEFT_OUT
from backend.from_files.predictions.up_to_date import made_by
from backend.from_files.start import NOTE
from backend.pipeline.basis.faults import is_of_the_whole, sentence_of
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
from domain.errors import FileFormatError, ImageError, NnloopError, PredictionError, TaskError
from domain.prediction import FoldProbabilities, most_probable
from domain.text import counted, one_line
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.postprocessing import postprocessed
from training.versions.keep_largest import read_postprocessing

WATCH_S = 2.0
"""Seconds between two looks into a folder that is watched; a file that still grows waits."""

_LONGEST = 1_000
"""Characters of a sentence about an image."""

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
    sources = [Path(source) for source in spec.sources]

    def look() -> list[ImageInput]:
        return list(joined(find_images(sources, out), model.n_files))

    found = look()
    if not found and not spec.watches:
        raise FileFormatError(
            f"There is no image in {', '.join(spec.sources)}.",
            remedy=f"Images are PNG, JPEG, TIFF, BMP, WebP, GIF, DICOM or NIfTI. What is in {out} "
            "stays as it is.",
        )
    with WorkIndex(out / INDEX, out, JOB) as index, _writing(out):
        work = _Work(spec, model, index, say)
        work.begin(found)
        seen: dict[str, str] = {}
        work.predict(settled(found, seen) if spec.watches else found)
        removed = work.forget_gone(found, _without_images(sources, found))
        work.finish(removed)
        while spec.watches:
            time.sleep(WATCH_S)
            if work.predict(settled(look(), seen)):
                work.finish()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Says what the folder of results or its disk is to blame for."""
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else Path(os.fsdecode(error.filename)).absolute()
        is_out = name is None or out in (name, *name.parents)
        what = f"{out} can't be written" if is_out else f"{name} can't be read"
        raise PredictionError(
            f"{what}: {error.strerror or one_line(error)}.",
            remedy="What is predicted stays: the same command goes on when that is mended.",
        ) from error


def _without_images(sources: Iterable[Path], found: Iterable[ImageInput]) -> list[Path]:
    """Folders in which no image was found: the disk they are on may be away."""
    full = {folder for image in found for folder in image.path.parents}
    return [source for source in sources if source.is_dir() and source not in full]


@dataclass(slots=True)
class _Todo:
    """An image on its way through the networks; ``found`` is its first channel once it is read.

    ``stack`` is the file that it is a slice of, the one with the number ``part``.
    """

    image: ImageInput
    stamp: str
    content: str = ""
    found: MedicalImage | None = None
    stack: _Stack | None = None
    part: int = 0


@dataclass(slots=True, eq=False)
class _Stack:
    """A file of several slices on its way; it is written when the last one is there."""

    n: int
    content: str = ""
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
        self._out = Path(spec.out)
        self._results = Results(self._out, model.config, spec.results, model.name)
        self._predictor = warm_predictor(Settings.load(), model.settings, model.folder)
        self._postprocessing = read_postprocessing(model.folder)
        self._unchanged: set[str] = set()
        self._done: set[str] = set()
        self._n_told = 0
        self._paths: dict[str, Path] = {}
        self._folder = ResultFolder(index, self._out, made_by(model, spec.results))
        self._failed: dict[str, str] = {}

    def begin(self, images: Sequence[ImageInput]) -> None:
        """See ``ResultFolder.check``; what was said of other classes goes, as it holds no more."""
        self._folder.check(images, self._results.tables)
        self._folder.tidy()
        self._results.begin()

    def forget_gone(self, images: Iterable[ImageInput], away: Sequence[Path]) -> int:
        """Removes what was made of images that are gone; of how many."""
        n = self._folder.forget_gone({image.name for image in images}, away)
        for folder in () if self._spec.watches else away:  # one that is watched fills
            self._say(f"{NOTE}There is no image in {folder}.")
        if n:
            self._say(f"{NOTE}Of {counted(n, 'image')} that is gone, what was predicted went too.")
        return n

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
        if len(self._unchanged) > self._n_told:
            self._n_told = len(self._unchanged)
            self._say(f"{NOTE}{counted(self._n_told, 'image')} predicted before, and unchanged.")
        self._results.finish(self._index.records)
        outcome = Outcome(len(self._unchanged), removed)
        make_report(self._out / REPORT, JOB, self._index, outcome)

    def _new(self, images: Iterable[ImageInput]) -> Iterator[_Todo]:
        for image in images:
            if (other := namesake(image, self._paths)) is not None:
                message = (
                    f"{image.path}: {other} is called so too. Predict them into two folders, or "
                    "name the folder above both."
                )
                self._leave_out_beside(image, "same_name", message)
                continue
            try:
                image.name.encode()
            except UnicodeEncodeError:
                message = f"{image.path}: its name is not in UTF-8. Rename it."
                self._leave_out_beside(image, "file_name", message)
                continue
            stamp = ""
            try:
                stamp = image.stamp
                if self._failed.get(image.name) == stamp:
                    continue  # nothing has changed about it since it was left out
                is_current = self._folder.is_current(image, stamp)
            except ImageError as error:
                self._leave_out_beside(image, error.reason, f"{image.path}: {_told(error)}")
                continue
            except OSError as error:
                self._leave_out(image, stamp, ImageError(0, "image_missing", _of_system(error)))
                continue
            if is_current:
                if image.name not in self._done:  # a folder that is watched is looked through again
                    self._unchanged.add(image.name)
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
        # Before it is read: of a file that is replaced meanwhile it is not the one that is kept.
        if stack is None:
            item.content = image.content_hash()
        elif not stack.content:
            stack.content = image.content_hash()
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
            n = 1 if stack is None else stack.n
            stem = self._folder.claim(image, lambda stem: self._results.files_of(stem, n))
            if stack is None:
                files, record = self._results.write(image, stem, item.found.pixels, predicted)
            else:
                files, record = self._results.write_stack(
                    image, stem, stack.slices[0], stack.predicted
                )
                stack.slices = []
        except Exception as error:
            if stack is not None:
                stack.is_given_up, stack.slices = True, []
            if is_of_the_whole(error):
                if isinstance(error, OSError):
                    raise
                raise self._of_the_whole(error) from error
            self._leave_out(image, item.stamp, error)
            return
        content = item.content if stack is None else stack.content
        notes = [] if stack is not None else further_pictures(image)
        self._folder.done(image, item.stamp, content, files, record, notes)
        self._done.add(image.name)
        self._unchanged.discard(image.name)
        for note in notes:
            self._say(f"{NOTE}{note.message}")
        if stack is None:
            self._say(f"{one_line(image.name)}: score {predicted.score:.2f}")
        else:
            mean = fmean(one.score for one in stack.predicted)
            self._say(f"{one_line(image.name)}: {stack.n} slices, mean score {mean:.2f}")

    def _leave_out_beside(self, image: ImageInput, reason: str, message: str) -> None:
        """One whose name says nothing, or is another's: what was made of that one stays."""
        key = quote(os.fsencode(image.path))
        if self._failed.get(key) != message:
            self._failed[key] = message
            self._left_out(key, reason, message)

    def _leave_out(self, image: ImageInput, stamp: str, error: Exception) -> None:
        self._failed[image.name] = stamp
        reason = error.reason if isinstance(error, TaskError) else "not_predicted"
        self._left_out(image.name, reason, f"{image.name}: {_told(error)}")

    def _left_out(self, key: str, reason: str, message: str) -> None:
        message = one_line(message, _LONGEST)
        self._index.left_out(key, LeftOut(0, reason, message))
        self._say(f"{LEFT_OUT}{message}")

    def _of_the_whole(self, error: Exception) -> NnloopError:
        if isinstance(error, NnloopError):
            return error
        return PredictionError(
            f"The device can't go on: {one_line(error)}",
            remedy="What is predicted stays: the same command goes on.",
        )

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


def _told(error: Exception) -> str:
    """Of an error, what is no matter of a task's."""
    if isinstance(error, OSError):
        return _of_system(error)
    return sentence_of(error).removeprefix("Task 0: ").replace(", or delete the task.", ".")


def _of_system(error: OSError) -> str:
    return f"{error.strerror or one_line(error)}."
