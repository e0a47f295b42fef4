"""Where labelled images come from: a folder, or a connected project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from backend.replay.images.library import Labelled, Library, Loop, Pixels, write_library
from backend.store import Store, projects
from backend.store.training import runs, versions
from converters.bookkeeping.files import file_names
from converters.classes.integers import classes_beside, unions_said
from converters.images.groups import GroupKey
from converters.images.image_pixels import read_image, without_empty_color
from converters.masks.label_map_files import read_label_map, white_as_class
from converters.masks.mask_folders import MaskName, mask_files
from domain.annotation import Task
from domain.errors import FileFormatError, NnloopError, NotEnoughCasesError, SettingsError
from domain.geometry import LabelMap
from training import case_files
from training.evaluation import mean_over_classes
from training.workspace import Workspace

_IMAGES, _MASKS = "images", "masks"
_MOST_RUNS = 200
_UNIONS = "The unions of classes: networks of a replay learn each class by itself."


def library_of_folder(
    data: Path,
    root: Path,
    *,
    classes: Sequence[str] = (),
    group_key: str = "",
    on_image: Callable[[], None] = lambda: None,
) -> Library:
    """Copies images and label maps of a folder.

    Args:
        data: Has ``images/`` and ``masks/``, their files named alike; masks hold small integers,
            0 = background.
        root: Of the library.
        classes: Names of the integers 1, 2, ...; empty: those of a classes.json beside the masks,
            else their numbers.
        group_key: ``name:REGEX``, which finds the patient, video or site in a file's name.
        on_image: Called after each image.

    Raises:
        FileFormatError: There are no such folders, or nothing in them fits together.
        NotEnoughCasesError: No image can be used.
        SettingsError: The group key is none.
    """
    folder = data / _MASKS
    for needed in (data / _IMAGES, folder):
        if not needed.is_dir():
            raise FileFormatError(
                f"There is no folder {needed}.",
                remedy=f"Give a folder that holds {_IMAGES}/ and {_MASKS}/, their files named "
                "alike.",
            )
    group_of = _group_of(group_key)
    images: dict[str, list[Path]] = {}
    for name in sorted(file_names(data / _IMAGES)):
        if not name.startswith("."):
            images.setdefault(Path(name).stem, []).append(data / _IMAGES / name)
    found, problems, maps = [], [], []
    for mask in mask_files(folder, MaskName()):
        stem = next((name for name in mask.names if name in images), None)
        if stem is None:
            problems.append(f"{mask.path.name}: there is no image for it.")
            continue
        paths = images.pop(stem)
        if len(paths) > 1:
            problems.append(f"{mask.path.name}: {len(paths)} images could be its own.")
            continue
        found.append((stem, paths[0], mask.path))
        maps.append(mask.path)
    problems += [f"{stem}: there is no label map for it." for stem in images]
    said = classes_beside(folder)
    if said.background and not classes:
        raise FileFormatError(
            f"The background of the masks in {folder} is {said.background}.",
            remedy="Write them with 0 as background: nnloop predict without --values.",
        )
    if not classes and unions_said(folder):
        problems.append(_UNIONS)
    names = dict(enumerate(classes, start=1)) or said.names
    ignored = said.ignored - names.keys()
    highest = max(names, default=0) or _highest(maps)
    values = [names.get(number, f"class_{number}") for number in range(1, highest + 1)]
    labelled = [
        Labelled(stem, group_of(image), partial(_read, image, mask, (*names, *ignored)), ignored)
        for stem, image, mask in found
    ]
    return write_library(labelled, values, root, left_out=problems, on_image=on_image)


def library_of_project(
    store: Store,
    data_dir: Path,
    project_id: int,
    root: Path,
    on_image: Callable[[], None] = lambda: None,
) -> Library:
    """Copies the cases of a project's newest run whose cases are written, with its groups.

    Args:
        store: Of the installation; it is only read.
        data_dir: Its data folder.
        project_id: Which.
        root: Of the library.
        on_image: Called after each image.

    Raises:
        NotEnoughCasesError: It has no such run.
    """
    place = Workspace(data_dir, project_id)
    with store.read() as session:
        numbers = [run.number for run in runs.runs_of(session, project_id, _MOST_RUNS)]
        manifest = None
        for number in numbers:
            run = runs.runs_of(session, project_id, 1, number=number)[0]
            if run.manifest is not None and run.manifest.entries and run.manifest.n_channels:
                manifest = run.manifest
                break
        loop = _loop_of(session, project_id)
        has_unions = bool(projects.get(session, project_id).settings.unions)
    if manifest is None:
        raise NotEnoughCasesError(
            "The project has no training run whose images and label maps are written.",
            remedy="Label some tasks and train once: nnloop train PROJECT.",
        )
    ignored = frozenset({len(manifest.class_values) + 1})
    labelled = [
        Labelled(entry.case_id, entry.group, partial(_read_case, place, entry.case_id), ignored)
        for entry in manifest.entries
    ]
    return write_library(
        labelled,
        manifest.class_values,
        root,
        left_out=[_UNIONS] if has_unions else [],
        loop=loop,
        on_image=on_image,
    )


def _loop_of(session: Session, project_id: int) -> Loop:
    strategy = projects.get(session, project_id).settings.query_strategy
    version = versions.champion(session, project_id)
    if version is None or version.run_id is None:
        return Loop(strategy)  # of one trained elsewhere nobody knows what it has seen
    metrics = version.metrics
    return Loop(strategy, version.name, mean_over_classes(metrics.oof_dice))


def _read_case(place: Workspace, case_id: str) -> tuple[Pixels, LabelMap]:
    truth = case_files.read_image(place.label_png(case_id))
    return case_files.read_case_image(place, case_id), np.asarray(truth, np.uint8)


def _read(image: Path, mask: Path, integers: Sequence[int]) -> tuple[Pixels, LabelMap]:
    try:
        pixels = without_empty_color(read_image(image.read_bytes(), 0))
    except OSError as error:
        raise FileFormatError(f"it can't be read ({type(error).__name__}).") from error
    return pixels, white_as_class(read_label_map(mask).label_map, integers)


def _highest(masks: Sequence[Path]) -> int:
    """The highest integer that any mask holds, 255 alone standing for 1; at least 1."""
    found = 1
    for mask in masks:
        try:
            label_map = white_as_class(read_label_map(mask).label_map, ())
        except NnloopError:
            continue  # it is told of when it is read again
        found = max(found, int(label_map.max()))
    return found


def _group_of(text: str) -> Callable[[Path], str]:
    if not text:
        return lambda image: image.stem
    try:
        key = GroupKey.parse(text)
    except ValueError as error:
        raise SettingsError(f"--group-key: {error}.", remedy="Correct it.") from None
    if key.pattern is None:
        raise SettingsError(
            f"--group-key is {text!r}, a field of tasks, and files have none.",
            remedy=r"Write how their names begin, such as 'name:^(P\d+)_'.",
        )

    def group_of(image: Path) -> str:
        return key.group_of(Task(0, 0, {"image": image.name}), "image") or image.stem

    return group_of
