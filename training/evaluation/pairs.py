"""Pair: the files of one case in a folder of predictions and a folder of references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.label_map_files import stem_of
from domain.errors import FileFormatError
from training.evaluation.summary import Problem

_FIRST_CHANNEL = "_0000"
"""How nnU-Net marks the first channel of an image."""

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp", ".gif"})
"""Besides those of label maps."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One case. ``image`` is only for pictures; None when there is none."""

    case_id: str
    predicted: Path
    reference: Path
    image: Path | None = None


def find_pairs(
    predictions: Path, reference: Path, images: Path | None = None
) -> tuple[tuple[Pair, ...], tuple[Problem, ...]]:
    """Matches the files of two folders by their names without suffix, in order of the names.

    Args:
        predictions: Folder of label maps; other files in it are not looked at.
        reference: The same.
        images: Folder of images, named like the label maps, or with nnU-Net's ``_0000``.

    Returns:
        The pairs, and a problem for every label map or image without partner, or with two.

    Raises:
        FileFormatError: A folder is missing, or has no label map.
    """
    problems: list[Problem] = []
    predicted = _label_maps(predictions, "prediction", problems)
    referred = _label_maps(reference, "reference", problems)
    pictures = _images(images)
    pairs = []
    for case_id in sorted(predicted.keys() | referred.keys()):
        if case_id not in referred:
            message = f"{predicted[case_id].name} has no reference in {reference}."
            problems.append(Problem(case_id, "reference_missing", message))
        elif case_id not in predicted:
            message = f"{referred[case_id].name} has no prediction in {predictions}."
            problems.append(Problem(case_id, "prediction_missing", message))
        else:
            image = pictures.get(case_id)
            if images is not None and image is None:
                message = f"{case_id} has no image in {images}; its picture goes without."
                problems.append(Problem(case_id, "image_missing", message))
            pairs.append(Pair(case_id, predicted[case_id], referred[case_id], image))
    return tuple(pairs), tuple(problems)


def _label_maps(folder: Path, what: str, problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _files(folder):
        stem = stem_of(path)
        if stem is None:
            continue
        if stem in found:
            message = (
                f"The {what}s {found[stem].name} and {path.name} are one case; the first counts."
            )
            problems.append(Problem(stem, "two_files", message))
            continue
        found[stem] = path
    if not found:
        raise FileFormatError(
            f"{folder} holds no label maps.",
            remedy="Give a folder with PNG, TIFF, BMP or NIfTI files, one per case.",
        )
    return found


def _images(folder: Path | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _files(folder) if folder else ():
        stem = path.stem if path.suffix.lower() in _IMAGE_SUFFIXES else stem_of(path)
        if stem is not None:
            found.setdefault(stem, path)
            if stem.endswith(_FIRST_CHANNEL):
                found.setdefault(stem.removesuffix(_FIRST_CHANNEL), path)
    return found


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileFormatError(f"There is no folder {folder}.", remedy="Correct the path.")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
