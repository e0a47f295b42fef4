"""What was predicted before and is as it was: told without loading a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backend.from_files.models import Model
from backend.from_files.predictions.inputs import find_images, joined, namesake
from backend.from_files.predictions.predicting import INDEX, REPORT
from backend.from_files.predictions.result_folder import JOB, MASKS, ResultFolder
from backend.from_files.predictions.results import TABLE, ResultOptions
from converters.bookkeeping.work_index import WorkIndex
from domain.errors import NnloopError
from domain.hashing import content_hash
from training.versions.version_folder import read_version


def made_by(model: Model, results: ResultOptions) -> str:
    """Another one means other masks of the same images."""
    return content_hash(
        [
            model.name,
            read_version(model.folder).created_at,
            repr(model.calibration),
            repr(results),
            model.config.xml,
            [model.settings.mirror_predict, model.settings.tile_step],
        ]
    )


def n_up_to_date(
    sources: Sequence[Path], model: Model, out: Path, results: ResultOptions
) -> int | None:
    """How many images were predicted, where each is as it was and nothing else is to be done.

    Args:
        sources: Files and folders.
        model: What would predict.
        out: Folder of results.
        results: What would be written.

    Returns:
        None where anything is to be done, or to be said.
    """
    out = out.absolute()
    if not all((out / name).is_file() for name in (INDEX, TABLE, REPORT)):
        return None
    paths: dict[str, Path] = {}
    try:
        found = list(joined(find_images([s.absolute() for s in sources], out), model.n_files))
        with WorkIndex(out / INDEX, out, JOB) as index:
            n_done, n_left_out, _ = index.counts()
            folder = ResultFolder(index, out, made_by(model, results))
            is_all = (
                n_done == len(found)
                and _is_finished(out)
                and not n_left_out
                and all(
                    namesake(image, paths) is None and folder.is_current(image, image.stamp)
                    for image in found
                )
            )
    except (NnloopError, OSError):
        return None  # whoever predicts says what is wrong
    return len(found) if is_all and found else None


def _is_finished(out: Path) -> bool:
    """Whether the files about all images were written after the last mask: no call was cut off."""
    written = (out / REPORT).stat().st_mtime_ns
    results = (path for path in out.rglob("*") if path.name.endswith(MASKS))
    return all(path.stat().st_mtime_ns <= written for path in results)
