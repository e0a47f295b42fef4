"""What a fold keeps to be shown learning: one held-out case, small, as it was predicted then.

::

    <fold>/film/
        film.json       which case, and its frames
        image.png       no side above LONGEST_PX
        truth.png       its label map
        000012.png      the label map predicted after epoch 12

All of it belongs to the case: it goes when the case leaves the data set (``forget_films``).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from converters.bookkeeping.documents import read_document, write_document
from converters.images.image_pixels import write_png
from converters.pictures.panels import RgbImage
from converters.pictures.small import areas_px, small_image, small_label_map
from domain.errors import DocumentError, TrainingError
from domain.geometry import LabelMap
from training.case_files import read_image
from training.evaluation import ClassDice
from training.workspace import Workspace

FOLDER = "film"
RECORD = "film.json"
_IMAGE, _TRUTH = "image.png", "truth.png"

LONGEST_PX = 320
"""Of a picture that is kept: 100 KB at most for a label map, mostly 1 to 3."""

MOST_FRAMES = 48
"""Kept of a fold. Past them every second one goes, and they come half as often: there are 24 to 48,
evenly spaced, however long it trains."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A prediction that was kept: after which epoch (0 = before the first), and class -> Dice."""

    epoch: int
    dice: ClassDice


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """film.json.

    Attributes:
        case_id: The held-out case that is shown.
        class_values: Classes in integer order, background left out, as the fold was trained.
        frames: In the order of their epochs.
        gap: Epochs between two frames, at least.
        form: Of this document.
    """

    case_id: str
    class_values: tuple[str, ...]
    frames: tuple[Frame, ...] = ()
    gap: int = 1
    form: Literal[1] = 1


@dataclass(frozen=True, slots=True, eq=False)
class FilmPictures:
    """A film with its pictures, all of one size.

    Attributes:
        film: With those frames whose picture is there.
        image: (height, width, 3) uint8 RGB.
        truth: (height, width) uint8.
        predictions: The same, of each frame.
    """

    film: Film
    image: RgbImage
    truth: LabelMap
    predictions: tuple[LabelMap, ...]


class FilmKeeper:
    """Keeps the film of a fold while it trains. What goes wrong here costs pictures alone."""

    def __init__(
        self, fold_dir: Path, class_values: Sequence[str], say: Callable[[str], None] = print
    ) -> None:
        """Nothing is kept before ``begin``.

        Args:
            fold_dir: Of the fold.
            class_values: In integer order, background left out.
            say: Called with a sentence when nothing more can be kept.
        """
        self._folder, self._class_values, self._say = fold_dir / FOLDER, tuple(class_values), say
        self._film: Film | None = None

    @property
    def case_id(self) -> str | None:
        """The case that is shown; None: none is."""
        return self._film.case_id if self._film is not None else None

    def begin(self, workspace: Workspace, sample: Sequence[str], *, epoch: int) -> None:
        """Chooses the case, or goes on with the one of an interrupted training.

        Args:
            workspace: Where the cases lie.
            sample: Cases to choose from; () keeps nothing.
            epoch: The last one that counts: what an earlier attempt kept of later ones goes.
        """
        with self._costs_pictures_alone():
            old = self._old()
            goes_on = (
                old is not None and old.case_id in sample and old.class_values == self._class_values
            )
            if old is not None and goes_on:
                kept = tuple(frame for frame in old.frames if frame.epoch <= epoch)
                self._write(replace(old, frames=kept))
                return
            shutil.rmtree(self._folder, ignore_errors=True)
            if not sample:
                return
            case_id = telling_case(workspace, sample, len(self._class_values))
            self._folder.mkdir(parents=True)
            image = small_image(read_image(workspace.image_png(case_id)), LONGEST_PX)
            write_png(self._folder / _IMAGE, image)
            truth = small_label_map(read_image(workspace.label_png(case_id)), LONGEST_PX)
            write_png(self._folder / _TRUTH, truth)
            self._write(Film(case_id=case_id, class_values=self._class_values))

    def keep(
        self, epoch: int, label_map: LabelMap, dice: ClassDice, *, is_last: bool = False
    ) -> None:
        """Keeps a prediction of ``case_id``, unless one was kept too few epochs before.

        Args:
            epoch: Epochs trained.
            label_map: (height, width) uint8 at the image's size.
            dice: Class -> its Dice there, None where it is absent.
            is_last: No later one comes: it is kept in any case.
        """
        if (film := self._film) is None:
            return
        frames = film.frames
        if is_last:
            frames = tuple(frame for frame in frames if frame.epoch < epoch)
        elif frames and epoch < frames[-1].epoch + film.gap:
            return
        with self._costs_pictures_alone():
            write_png(self._folder / _name(epoch), small_label_map(label_map, LONGEST_PX))
            frames, gap = (*frames, Frame(epoch, dict(dice))), film.gap
            if len(frames) > MOST_FRAMES:
                # An odd number of them: the first and the newest stay.
                frames, gap = frames[::2], 2 * gap
            self._write(replace(film, frames=frames, gap=gap))

    def _write(self, film: Film) -> None:
        # A reader finds every picture that the record names, at the moment it reads it.
        write_document(self._folder / RECORD, Film, film)
        self._film = film
        named = {_IMAGE, _TRUTH, RECORD, *(_name(frame.epoch) for frame in film.frames)}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _old(self) -> Film | None:
        try:
            return read_film(self._folder.parent)
        except TrainingError:
            return None  # half a disk, another release: it begins anew

    @contextlib.contextmanager
    def _costs_pictures_alone(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a training does not end for its pictures
            self._film = None
            self._say(f"No more pictures of the training are kept: {type(error).__name__}: {error}")


def telling_case(workspace: Workspace, sample: Sequence[str], n_classes: int) -> str:
    """The case that shows most classes; of several the one whose smallest class is the largest.

    Args:
        workspace: Where the label maps lie.
        sample: At least one case; of equal ones the first is taken.
        n_classes: Without background; higher integers are none.

    Raises:
        TrainingError: A label map is missing or no image.
    """

    def shows(case_id: str) -> tuple[int, float]:
        label_map = read_image(workspace.label_png(case_id))
        areas = [area for area in areas_px(label_map)[1 : n_classes + 1] if area]
        return len(areas), min(areas, default=0) / label_map.size

    return max(sample, key=shows)


def read_film(fold_dir: Path) -> Film | None:
    """What film.json of a fold says; None where none is kept.

    Raises:
        TrainingError: It is broken, or of another release.
    """
    path = fold_dir / FOLDER / RECORD
    try:
        return read_document(path, Film)
    except FileNotFoundError:
        return None
    except (DocumentError, OSError, ValueError) as error:
        raise TrainingError(
            f"The pictures of {fold_dir.name} can't be read: {error}",
            remedy="A training with this release keeps new ones: nnloop train",
        ) from error


def read_pictures(fold_dir: Path) -> FilmPictures | None:
    """The film of a fold with its pictures, also while it trains; None where none is kept.

    A frame whose picture is gone or broken by now is left out.

    Raises:
        TrainingError: The film is broken, or of another release.
    """
    film = read_film(fold_dir)
    if film is None:
        return None
    folder = fold_dir / FOLDER
    try:
        image, truth = read_image(folder / _IMAGE), read_image(folder / _TRUTH)
    except TrainingError:
        return None
    frames, predictions = [], []
    for frame in film.frames:
        with contextlib.suppress(TrainingError):
            label_map = read_image(folder / _name(frame.epoch))
            if label_map.shape == truth.shape:
                predictions.append(label_map)
                frames.append(frame)
    return FilmPictures(replace(film, frames=tuple(frames)), image, truth, tuple(predictions))


def forget_films(workspace: Workspace, case_ids: Collection[str]) -> None:
    """Removes the films that show one of these cases, of all runs."""
    if not case_ids:
        return
    for path in (workspace.folder / "runs").glob(f"*/fold_*/{FOLDER}/{RECORD}"):
        try:
            film = read_film(path.parents[1])
        except TrainingError:
            film = None  # what it shows is not known
        if film is None or film.case_id in case_ids:
            shutil.rmtree(path.parent, ignore_errors=True)


def _name(epoch: int) -> str:
    return f"{epoch:06d}.png"
