"""Pair: the files of one case in a folder of predictions and a folder of references."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from converters.masks.label_map_files import stem_of
from converters.masks.mask_folders import (
    FIRST_CHANNEL,
    MaskFile,
    MaskName,
    folder_of_masks,
    mask_files,
)
from domain.errors import FileFormatError
from training.evaluation.summary import Problem

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
    predictions: Path,
    reference: Path,
    images: Path | None = None,
    mask_name: MaskName | None = None,
) -> tuple[tuple[Pair, ...], tuple[Problem, ...]]:
    """Matches the files of two folders by their names without suffix, in order of the names.

    Names count as NFC. What has no partner of its own name is matched by the name of its image
    (``a`` and ``a_mask``).

    Args:
        predictions: Folder of label maps; other files in it are not looked at.
        reference: The same; of nnU-Net's data set its folder of labels.
        images: Folder of images, named like the label maps, or with nnU-Net's ``_0000``.
        mask_name: How the references are called, and the predictions where any of them is; None:
            in the usual ways.

    Returns:
        The pairs, and a problem for every label map or image without partner, or with two.

    Raises:
        FileFormatError: A folder is missing, or has no label map.
    """
    problems: list[Problem] = []
    try:
        predicted = _label_maps(predictions, "prediction", mask_name, problems)
    except FileFormatError:
        predicted = _label_maps(predictions, "prediction", None, problems)
    referred = _label_maps(reference, "reference", mask_name, problems)
    pictures = _images(images)
    pairs = []
    for case_id, one, other in sorted(_matched(predicted, referred), key=lambda row: row[0]):
        if other is None and one is not None:
            message = f"{one.path.name} has no reference in {reference}."
            problems.append(Problem(case_id, "reference_missing", message))
        elif one is None and other is not None:
            message = f"{other.path.name} has no prediction in {predictions}."
            problems.append(Problem(case_id, "prediction_missing", message))
        elif one is not None and other is not None:
            names = (case_id, *one.names, *other.names)
            found = next((pictures[name] for name in names if name in pictures), ())
            image = found[0] if len(found) == 1 else None
            if len(found) > 1:
                files = ", ".join(path.name for path in found)
                message = f"The image of {case_id} may be any of {files}; its picture goes without."
                problems.append(Problem(case_id, "image_ambiguous", message))
            elif images is not None and image is None:
                message = f"{case_id} has no image in {images}; its picture goes without."
                problems.append(Problem(case_id, "image_missing", message))
            pairs.append(Pair(case_id, one.path, other.path, image))
    return tuple(pairs), tuple(problems)


def _matched(
    predicted: dict[str, MaskFile], referred: dict[str, MaskFile]
) -> Iterator[tuple[str, MaskFile | None, MaskFile | None]]:
    """(case id, prediction, reference), either None where it has no partner."""
    for case_id in predicted.keys() & referred.keys():
        yield case_id, predicted[case_id], referred[case_id]
    left = {key: file for key, file in predicted.items() if key not in referred}
    by_name: dict[str, list[str]] = {}
    for key, file in left.items():
        for name in file.names:
            by_name.setdefault(name, []).append(key)
    for key, file in referred.items():
        if key in predicted:
            continue
        found = [(name, by_name[name]) for name in file.names if name in by_name]
        partners = {partner for _, keys in found for partner in keys if partner in left}
        if len(partners) == 1:
            yield found[0][0], left.pop(partners.pop()), file
        else:
            yield key, None, file
    for key, file in left.items():
        yield key, file, None


def _label_maps(
    folder: Path, what: str, mask_name: MaskName | None, problems: list[Problem]
) -> dict[str, MaskFile]:
    found: dict[str, MaskFile] = {}
    for as_named in mask_files(folder_of_masks(folder), mask_name):
        # macOS writes names in NFD.
        file = replace(as_named, names=tuple(map(_nfc, as_named.names)))
        key = file.names[0]
        if key in found:
            message = (
                f"The {what}s {found[key].path.name} and {file.path.name} are one case; the first "
                "counts."
            )
            problems.append(Problem(key, "two_files", message))
            continue
        found[key] = file
    return found


def _images(folder: Path | None) -> dict[str, list[Path]]:
    """Images by their names without ending; the very name goes before nnU-Net's first channel."""
    found: dict[str, list[Path]] = {}
    channels: dict[str, list[Path]] = {}
    for path in _files(folder) if folder else ():
        stem = path.stem if path.suffix.lower() in _IMAGE_SUFFIXES else stem_of(path)
        if stem is not None:
            stem = _nfc(stem)
            found.setdefault(stem, []).append(path)
            if stem.endswith(FIRST_CHANNEL):
                channels.setdefault(stem.removesuffix(FIRST_CHANNEL), []).append(path)
    return channels | found


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileFormatError(f"There is no folder {folder}.", remedy="Correct the path.")
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
