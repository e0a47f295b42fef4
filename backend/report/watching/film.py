"""The film of a run: its folds learning, each on a case that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.image_names import image_names
from backend.report.watching.watched import (
    WatchedRun,
    config_of_run,
    find_run,
    is_there,
    why_nothing,
)
from converters.classes.colors import color_of
from converters.pictures.learning import (
    MOST_STRIPS,
    Strip,
    StripFrame,
    learning_frames,
    steps_of,
)
from converters.pictures.moving import check_ending, write_moving
from domain.errors import TrainingError
from domain.states import FoldStatus, RunStatus
from training.evaluation import image_dice
from training.folds.film import FilmPictures, Frame, read_pictures

_FIRST_S, _LAST_S = 0.8, 2.5
_ALL_S = 5.0
"""Of the pictures between the first and the last."""
_SHORTEST_S, _LONGEST_S = 0.1, 0.5


@dataclass(frozen=True, slots=True)
class FilmedFold:
    """What of a fold is shown: which image, the last epoch, and the first and the last Dice."""

    fold: int
    name: str
    epoch: int
    first_dice: float
    last_dice: float


@dataclass(frozen=True, slots=True)
class Filmed:
    """A film that was written.

    Attributes:
        run: Number of the run.
        folds: What it shows.
        seconds: How long it is.
        n_bytes: How large.
        said: A sentence for each fold that it does not show, and other remarks.
    """

    run: int
    folds: tuple[FilmedFold, ...]
    seconds: float
    n_bytes: int
    said: tuple[str, ...]


def make_film(
    context: AppContext, project_id: int, out: Path, *, number: int | None, folds: Sequence[int]
) -> Filmed:
    """Writes what the folds of a run have kept, side by side, as a GIF or an MP4.

    Args:
        context: Where the project is.
        project_id: Which.
        out: The file.
        number: Of the run; None: the newest.
        folds: Which; () = all, as many as there is room for.

    Raises:
        FileFormatError: It can't be written as such a file.
        TrainingError: There is no such run or fold, or nothing to show.
    """
    check_ending(out)
    said: list[str] = []
    strips: dict[int, Strip] = {}
    shown: list[FilmedFold] = []
    workspace = context.workspace(project_id)
    with context.store.read() as session:
        watched = find_run(session, project_id, number, folds)
        if watched.manifest.n_folds < 2:
            raise TrainingError(
                f"{watched.name} was trained on all of its cases: none was held out to be shown.",
                remedy="Label more images (of other groups), so that there are folds.",
            )
        if not watched.folds:
            raise why_nothing(watched, "pictures")
        for row in watched.folds:
            if len(strips) == MOST_STRIPS:
                said.append(
                    f"Only {MOST_STRIPS} folds are shown; --fold K, given several times, chooses."
                )
                break
            try:
                found = read_pictures(workspace.fold_dir(watched.run.number, row.fold))
            except TrainingError as error:
                said.append(f"Fold {row.fold}: {error.in_full}")
                continue
            if found is None or not found.predictions:
                said.append(f"Fold {row.fold} {_why_none(row.status, watched)}.")
                continue
            entry = watched.entry_of(found.film.case_id)
            if entry is None or not is_there(session, entry):
                said.append(
                    f"Fold {row.fold} is left out: the image it shows is not in the project any "
                    "more."
                )
                continue
            names = image_names(session, watched.project, [entry.task_id])
            name = names.get(entry.task_id) or f"task {entry.task_id}"
            strips[row.fold] = _strip(row.fold, name, found)
            frames = found.film.frames
            dice = [_dice(frame) for frame in (frames[0], frames[-1])]
            shown.append(FilmedFold(row.fold, name, frames[-1].epoch, *dice))
        if not strips:
            raise _nothing(watched, said)
        class_values = watched.manifest.class_values
        config = config_of_run(watched, class_values)
        run_number = watched.run.number
    steps = steps_of(list(strips.values()))
    pictures = list(learning_frames(list(strips.values()), config, steps))
    seconds = seconds_of(len(pictures))
    write_moving(out, pictures, seconds, [color_of(one) for one in config.group.classes])
    return Filmed(run_number, tuple(shown), sum(seconds), out.stat().st_size, tuple(said))


def seconds_of(n: int) -> list[float]:
    """How long each of n pictures stands: all of them some seconds, the last one longest."""
    if n == 1:
        return [_LAST_S]
    each = float(np.clip(_ALL_S / max(n - 2, 1), _SHORTEST_S, _LONGEST_S))
    return [_FIRST_S, *[each] * (n - 2), _LAST_S]


def _strip(fold: int, name: str, found: FilmPictures) -> Strip:
    frames = zip(found.film.frames, found.predictions, strict=True)
    return Strip(
        f"Fold {fold}",
        name,
        found.image,
        found.truth,
        tuple(StripFrame(one.epoch, label_map, _said(one)) for one, label_map in frames),
    )


def _said(frame: Frame) -> str:
    when = f"epoch {frame.epoch}" if frame.epoch else "at the start"
    return f"{when}, Dice {_dice(frame):.2f}"


def _dice(frame: Frame) -> float:
    return image_dice(frame.dice.values())


def _why_none(status: str, watched: WatchedRun) -> str:
    if FoldStatus(status).is_final:
        return "has no pictures: an older release trained it, or they were removed"
    if RunStatus(watched.run.status).is_final:
        return "has kept none before the run was over"
    return "has not begun" if FoldStatus(status) == FoldStatus.QUEUED else "has none yet"


def _nothing(watched: WatchedRun, said: Sequence[str]) -> TrainingError:
    """Why there is no film; what is said of the first fold where the run itself tells nothing."""
    told = why_nothing(watched, "pictures")
    is_telling = watched.run.status == RunStatus.CANCELLED or not said
    if is_telling:
        return told
    others = "" if len(said) == 1 else f" The same or similar of {len(said) - 1} more."
    return TrainingError(f"{watched.name}: {said[0]}{others}", remedy=told.remedy)
