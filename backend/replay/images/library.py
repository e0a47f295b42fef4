"""The labelled images that are played with: copied once, so that nothing changes under a replay."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.bookkeeping.documents import read_document, write_document
from domain.errors import DocumentError, NnloopError, NotEnoughCasesError, TrainingError
from domain.geometry import LabelMap
from domain.hashing import content_hash
from training.case_files import CaseFiles, find_cases, read_image, write_case
from training.workspace import Workspace

PROJECT = 1
LIBRARY = "library.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

Pixels = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image and its truth, before it is copied.

    Attributes:
        name: Of the file or the case; unique.
        group: Patient, video or site; the name itself without one.
        read: Its pixels (height, width[, channel]) and (height, width) uint8 label map; raises
            NnloopError where it can't be used.
        ignored: Integers of pixels of its label map of which nobody knows what they are.
    """

    name: str
    group: str
    read: Callable[[], tuple[Pixels, LabelMap]]
    ignored: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class LibraryCase:
    """One image of the library.

    Attributes:
        case_id: Its name in the workspace.
        group: As of ``Labelled``.
        content_hash: Of image and truth.
        shares: Of the pixels, that are of each class.
    """

    case_id: str
    group: str
    content_hash: str
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """The project that the images are of, as it was when they were copied.

    Attributes:
        query_strategy: Its setting.
        version: Name of the version that serves; "" = none was trained here.
        dice: Of its held-out cases, mean over the classes, in [0, 1]; None unknown.
    """

    query_strategy: str
    version: str = ""
    dice: float | None = None


@dataclass(frozen=True, slots=True)
class Library:
    """All images, and which of them are kept to measure on.

    Attributes:
        class_values: In integer order, background left out.
        n_channels: Of all images.
        cases: In the order of their ids.
        left_out: Sentences about what could not be used.
        loop: Of a project: its strategy, and what its own version reaches; None of a folder.
    """

    class_values: tuple[str, ...]
    n_channels: int
    cases: tuple[LibraryCase, ...]
    left_out: tuple[str, ...] = ()
    loop: Loop | None = None

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that is learned from or measured on."""
        rows = [[case.case_id, case.group, case.content_hash] for case in self.cases]
        return content_hash([list(self.class_values), self.n_channels, rows])

    def divided(self, test_share: float) -> tuple[tuple[LibraryCase, ...], tuple[LibraryCase, ...]]:
        """The pool and the test set: whole groups by the hashes of their names, until it is full.

        The same for every seed and strategy, whatever else is in the library.

        Args:
            test_share: Of the images, in (0, 1); at least one image is tested on, and one is left.

        Raises:
            NotEnoughCasesError: There are fewer than two groups.
        """
        of_group: dict[str, list[LibraryCase]] = {}
        for case in self.cases:
            of_group.setdefault(case.group, []).append(case)
        if len(of_group) < 2:
            raise NotEnoughCasesError(
                f"A replay needs images of 2 groups, to learn from and to measure on, got "
                f"{len(of_group)} with {len(self.cases)} images.",
                remedy="Give more labelled images, or another --group-key.",
            )
        wanted = max(1, math.floor(test_share * len(self.cases) + 0.5))
        test: list[LibraryCase] = []
        groups = sorted(of_group, key=_digest)
        for group in groups[:-1]:
            if len(test) >= wanted:
                break
            test += of_group[group]
        tested = {case.case_id for case in test}
        pool = tuple(case for case in self.cases if case.case_id not in tested)
        return pool, tuple(sorted(test, key=lambda case: case.case_id))

    def files(self, root: Path) -> dict[str, CaseFiles]:
        """Case id -> its files.

        Raises:
            DocumentError: Some are gone.
        """
        hashes = {case.case_id: case.content_hash for case in self.cases}
        found = find_cases(workspace(root), hashes, self.n_channels)
        gone = sorted(hashes.keys() - found.keys())
        if gone:
            raise DocumentError(
                f"{len(gone)} images of the replay are gone, such as {gone[0]}.",
                remedy=f"Remove {root} and start the replay again.",
            )
        return found


def workspace(root: Path) -> Workspace:
    """Where the library's images lie."""
    return Workspace(root, PROJECT)


def write_library(
    images: Sequence[Labelled],
    class_values: Sequence[str],
    root: Path,
    *,
    left_out: Sequence[str] = (),
    loop: Loop | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Library:
    """Copies images and truths.

    Args:
        images: At least 1 that can be used.
        class_values: In integer order, background left out.
        root: Of the library.
        left_out: Known before.
        loop: Of the project that they are of.
        on_image: Called after each that was copied.

    Raises:
        NotEnoughCasesError: None can be used.
    """
    problems = list(left_out)
    # Read twice: all of them at once may be more than memory holds.
    channels: dict[str, int] = {}
    for image in images:
        try:
            pixels, _ = _read(image, len(class_values))
            channels[image.name] = 1 if pixels.ndim == 2 else pixels.shape[2]
        except NnloopError as error:
            problems.append(f"{image.name}: {error}")
    n_channels, place = max(channels.values(), default=1), workspace(root)
    cases = []
    for image in images:
        if image.name not in channels:
            continue
        case_id = case_id_of(image.name)
        try:
            pixels, truth = _read(image, len(class_values))
            files = write_case(place, case_id, pixels, truth, n_channels=n_channels)
        except NnloopError as error:
            problems.append(f"{image.name}: {error}")
        else:
            shares = shares_of(truth, class_values)
            cases.append(LibraryCase(case_id, image.group, files.content_hash, shares))
        on_image()
    if not cases:
        why = f" ({problems[0]})" if problems else ""
        raise NotEnoughCasesError(
            f"None of {len(images)} images can be used{why}.",
            remedy="Give images with label maps of their size.",
        )
    found = Library(
        tuple(class_values),
        n_channels,
        tuple(sorted(cases, key=lambda case: case.case_id)),
        tuple(problems),
        loop,
    )
    write_document(root / LIBRARY, Library, found)
    return found


def read_library(root: Path) -> Library:
    """The library that ``write_library`` wrote.

    Raises:
        DocumentError: It is missing or broken.
    """
    try:
        return read_document(root / LIBRARY, Library)
    except OSError as error:
        raise DocumentError(
            f"There is no library of images in {root}.", remedy="Start the replay again."
        ) from error


def truth_of(root: Path, case_id: str) -> LabelMap:
    """(height, width) uint8."""
    return np.asarray(read_image(workspace(root).label_png(case_id)), dtype=np.uint8)


def case_id_of(name: str) -> str:
    """A name that can be a file's; others get one by their hash."""
    return name if _NAME.fullmatch(name) and len(name) <= 100 else f"image_{_digest(name)[:16]}"


def shares_of(truth: LabelMap, class_values: Sequence[str]) -> tuple[float, ...]:
    """Of the pixels, that are of each class."""
    counts = np.bincount(truth.ravel(), minlength=len(class_values) + 1)
    return tuple(float(n) / truth.size for n in counts[1 : len(class_values) + 1])


def with_class(cases: Iterable[LibraryCase], class_values: Sequence[str]) -> Mapping[str, int]:
    """Class -> images that show it."""
    rows = list(cases)
    return {
        name: sum(case.shares[number] > 0 for case in rows)
        for number, name in enumerate(class_values)
    }


def _read(image: Labelled, n_classes: int) -> tuple[Pixels, LabelMap]:
    pixels, truth = image.read()
    if truth.shape != pixels.shape[:2]:
        raise TrainingError(
            f"its label map has {truth.shape[0]} x {truth.shape[1]} pixels, the image "
            f"{pixels.shape[0]} x {pixels.shape[1]}."
        )
    if image.ignored and np.isin(truth, list(image.ignored)).any():
        raise TrainingError(
            "some of its pixels are ignored, so that nobody knows how a person would label it."
        )
    if (highest := int(truth.max())) > n_classes:
        raise TrainingError(f"its label map holds {highest}, and there are {n_classes} classes.")
    return pixels, truth


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
