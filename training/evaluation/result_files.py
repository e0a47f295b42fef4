"""The files of an evaluation: metrics.csv, summary.json, and pictures of the worst cases."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.bookkeeping.files import write_bytes, write_json
from converters.images.image_pixels import read_image, write_png
from converters.images.of_tasks import file_stem
from converters.masks.label_map_files import NIFTI_SUFFIXES, read_label_volume, read_slice
from converters.pictures.beside_reference import comparison
from domain.errors import FileFormatError, ImageError
from domain.geometry import LabelMap, Pixels
from domain.labels import LabelConfig
from training.evaluation.case_measures import CaseMeasures
from training.evaluation.files import renumbered
from training.evaluation.pairs import Pair
from training.evaluation.summary import Evaluation, Problem

METRICS = "metrics.csv"
SUMMARY = "summary.json"
OVERLAYS = "overlays"

COLUMNS = (
    "rank",
    "case_id",
    "class",
    "presence",
    "dice",
    "iou",
    "hausdorff95",
    "mean_surface_distance",
    "unit",
    "spacing_vertical_mm",
    "spacing_horizontal_mm",
    "reference_px",
    "predicted_px",
    "slices",
    "spacing_slice_mm",
)

_OWN_PICTURE = re.compile(r"\d{3,}_.*\.png")


def write_tables(evaluation: Evaluation, out: Path, extra: Mapping[str, Any], n_worst: int) -> None:
    """Writes metrics.csv (a row per case and class, the worst case first) and summary.json.

    Cells are empty where a measure is undefined (the class is in neither map) or a distance is
    infinite; ``presence`` says which.

    Args:
        evaluation: What was measured.
        out: Folder; made if missing.
        extra: Goes to the head of summary.json: what was evaluated.
        n_worst: Cases named in summary.json.
    """
    write_bytes(out / METRICS, _csv(evaluation.cases))
    write_json(out / SUMMARY, {**extra, **evaluation.to_json(n_worst)})


def write_overlays(
    evaluation: Evaluation,
    pairs: Mapping[str, Pair],
    class_names: Iterable[int],
    config: LabelConfig,
    out: Path,
    n_worst: int,
    ignored: Collection[int] = (),
) -> tuple[Problem, ...]:
    """Draws overlays/RANK_CASE.png of the worst cases; those of an earlier evaluation go.

    Args:
        evaluation: Its cases, the worst first.
        pairs: Case id -> files.
        class_names: The integers of the classes in the files.
        config: Names and colours of the classes 1, 2, ... in order of these integers.
        out: The evaluation's folder.
        n_worst: Number of pictures; 0 or more.
        ignored: Integers of pixels of a reference that count in no measure.

    Returns:
        A problem for every image that can't be shown; its picture goes without.
    """
    folder = out / OVERLAYS
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if _OWN_PICTURE.fullmatch(path.name):
            path.unlink()
    integers = list(class_names)
    problems: list[Problem] = []
    for rank, case in enumerate(evaluation.cases[:n_worst], start=1):
        pair = pairs[case.case_id]
        reference, _ = renumbered(read_label_volume(pair.reference).label_map, integers, ignored)
        prediction, _ = renumbered(read_label_volume(pair.predicted).label_map, integers)
        title, number = case.case_id, 0
        if reference.ndim == 3:
            number = _worst_slice(reference, prediction)
            title = f"{case.case_id}, slice {number} of 0 to {len(reference) - 1}"
            reference, prediction = reference[number], prediction[number]
        try:
            image = _picture(pair.image, number)
        except (FileFormatError, ImageError, OSError) as error:
            message = f"The image {pair.image} can't be shown ({type(error).__name__})."
            problems.append(Problem(case.case_id, "image_unreadable", message))
            image = None
        if image is not None and image.shape[:2] != reference.shape:
            message = (
                f"The image of {case.case_id} is {image.shape[0]} x {image.shape[1]} pixels, its "
                f"label maps {reference.shape[0]} x {reference.shape[1]}; its picture goes without."
            )
            problems.append(Problem(case.case_id, "image_size_differs", message))
            image = None
        picture = comparison(
            image, reference, prediction, config, title=title, measures=_in_words(case)
        )
        write_png(folder / f"{rank:03d}_{file_stem(case.case_id + '.png') or 'case'}.png", picture)
    return tuple(problems)


def _worst_slice(reference: LabelMap, prediction: LabelMap) -> int:
    """Of a volume the slice with the most wrong pixels; where none is, that with the most classes.

    Args:
        reference: (slice, height, width).
        prediction: The same shape.
    """
    wrong = (reference != prediction).sum(axis=(1, 2))
    shown = (reference > 0).sum(axis=(1, 2))
    return int(np.lexsort((shown, wrong))[-1])


def _csv(cases: Iterable[CaseMeasures]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, case in enumerate(cases, start=1):
        for one in (*case.classes, *case.unions):
            writer.writerow(
                (
                    rank,
                    case.case_id,
                    one.class_value,
                    one.presence,
                    _number(one.dice, ".6f"),
                    _number(one.iou, ".6f"),
                    _number(one.hausdorff95),
                    _number(one.mean_surface_distance),
                    case.unit,
                    *(case.spacing_mm or ("", "")),
                    one.reference_px,
                    one.predicted_px,
                    case.n_slices,
                    "" if case.slice_mm is None else case.slice_mm,
                )
            )
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _number(value: float | None, form: str = ".6g") -> str:
    return "" if value is None else format(value, form)


def _in_words(case: CaseMeasures) -> str:
    return "Dice " + ", ".join(
        f"{one.class_value} " + ("-" if one.dice is None else f"{one.dice:.3f}")
        for one in case.classes
    )


def _picture(path: Path | None, number: int = 0) -> Pixels | None:
    if path is None:
        return None
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return read_image(path.read_bytes(), 0)
    array = read_slice(path, number).astype(np.float64)
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    stretched = (np.nan_to_num(array, nan=low) - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(stretched, 0, 255).astype(np.uint8)
