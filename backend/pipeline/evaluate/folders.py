"""Evaluates a folder of predicted label maps against a folder of references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.pipeline.evaluate.options import EvaluationOptions
from converters.classes.integers import ClassNames, classes_beside, unions_beside
from converters.masks.mask_folders import MaskName, folder_of_masks, images_beside
from domain.errors import FileFormatError, SettingsError
from domain.labels import LabelClass, LabelConfig, LabelGroup
from domain.text import counted
from domain.unions import read_unions
from training.evaluation.case_measures import CaseMeasures
from training.evaluation.exchanged import about_exchanged
from training.evaluation.files import Counts, class_names_from_values, measure_pairs
from training.evaluation.pairs import Pair, find_pairs
from training.evaluation.result_files import write_overlays, write_tables
from training.evaluation.summary import Evaluation, Problem, evaluate

_SHOWN = 12
"""Values named in one sentence."""


_BACKGROUND = "background"

_UNMEASURED = {
    "prediction_missing": "without a prediction",
    "reference_missing": "without a reference",
    "prediction_failed": "that could not be predicted",
    "sizes_differ": "of two sizes",
    "axes_differ": "that lie otherwise",
    "unreadable": "that can't be read",
    "all_ignored": "of which all is ignored",
}
"""Reasons by which a case is in no figure, as a person says them."""


def evaluate_folders(
    predictions: Path,
    reference: Path,
    options: EvaluationOptions,
    *,
    images: Path | None = None,
    class_values: Sequence[str] = (),
    mask_name: MaskName | None = None,
    unions: Sequence[str] = (),
) -> Evaluation:
    """Measures every case that both folders have, and writes the report.

    Args:
        predictions: Folder of label maps: PNG, TIFF, BMP or NIfTI, of which a volume is one case.
        reference: The same, with the same names.
        options: Where to and how.
        images: Folder of images for the pictures, named alike (nnU-Net's ``_0000`` may follow).
        class_values: Names of the integers 1, 2, ...; empty takes those of classes.json or
            nnU-Net's dataset.json in the reference folder or above it, else of the predictions'
            folder, else what occurs.
        mask_name: How the references are called; None: in the usual ways.
        unions: Classes that are measured as one besides, each as ``vessel=lumen+wall``; () takes
            those of the references' dataset.json, else of the predictions'; ("",) none.

    Raises:
        FileFormatError: A folder is missing or has no label map, nothing in them is labelled, or
            they mean different classes by an integer.
        SettingsError: The report would go into one of the folders that are read, both are one
            folder, or a union can't be read.
    """
    if predictions.resolve() == reference.resolve():
        raise SettingsError(
            f"The predictions and the references are the same files, of {predictions}.",
            remedy="Give the folder of what people drew with --reference.",
        )
    for folder in (predictions, reference, images):
        # nnU-Net keeps a summary.json of its own beside its predictions.
        if folder is not None and options.out.resolve() == folder.resolve():
            raise SettingsError(
                f"The report would be written among the files of {folder}.",
                remedy="Give --out another folder.",
            )
    labels = folder_of_masks(reference)
    pairs, problems = find_pairs(predictions, reference, images or images_beside(labels), mask_name)
    names, remarks = _named(predictions, labels, class_values)
    if not names:
        names = class_names_from_values(pairs, options.workers)
    if not names and not pairs and problems:
        raise FileFormatError(
            f"No case is in both {predictions} and {reference}: {problems[0].message}",
            remedy="Name their files alike, or say with --mask-name how the references are called.",
        )
    if not names:
        raise FileFormatError(
            f"No label map in {predictions} and {reference} holds a class.",
            remedy="Name the classes with --classes, if all of them are meant to be empty.",
        )
    source = {"predictions": str(predictions), "reference": str(reference)}
    is_named = bool(class_values)
    about = _said(labels, is_named=is_named)
    ignored = about.ignored - names.keys()
    backgrounds = {
        "prediction": _said(folder_of_masks(predictions), is_named=is_named).background,
        "reference": about.background,
    }
    values = [names[integer] for integer in sorted(names)]
    config = config_of(values, has_ignore=bool(ignored))
    learned, about_unions = _unions(unions, labels, folder_of_masks(predictions), names)
    job = EvaluationJob(
        pairs,
        names,
        config,
        source,
        problems,
        (*remarks, *about_unions),
        names_values=True,
        ignored=ignored,
        backgrounds={what: value for what, value in backgrounds.items() if value not in names},
        unions={one.name: one.members for one in read_unions(learned, config.group)},
    )
    return evaluate_pairs(job, options)


def _unions(
    given: Sequence[str], reference: Path, predictions: Path, names: Mapping[int, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The unions to measure, and a sentence about those that nobody has named on the way here."""
    if given:
        return tuple(filter(None, given)), ()
    for folder in (reference, predictions):
        try:
            found = unions_beside(folder, names).unions
        except FileFormatError as error:
            return (), (f"No union of classes is measured. {error}",)
        if found:
            return found, (
                f"Unions of classes are measured besides, as {folder} says: {', '.join(found)}.",
            )
    return (), ()


def _named(
    predictions: Path, reference: Path, class_values: Sequence[str]
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Class names by integer, and a sentence where one of the folders has none.

    Raises:
        FileFormatError: The two folders mean different classes by an integer, or one means the same
            by two.
    """
    if class_values:
        return _as_said(class_values, (predictions, reference))
    of_reference, of_predictions = (
        classes_beside(reference),
        classes_beside(folder_of_masks(predictions)),
    )
    theirs, ours = of_reference.names, of_predictions.names
    for folder, names in ((reference, theirs), (predictions, ours)):
        _require_one_integer_each(folder, names)
    if theirs and ours:
        _require_same(
            (predictions, _with_background(of_predictions)),
            (reference, _with_background(of_reference)),
        )
    if theirs or not ours:
        return theirs, ()
    said = ", ".join(f"{number} = {name}" for number, name in sorted(ours.items()))
    return ours, (f"Nothing names the integers of {reference}: taken as in {predictions}, {said}.",)


def _as_said(
    class_values: Sequence[str], folders: Sequence[Path]
) -> tuple[dict[int, str], tuple[str, ...]]:
    """The names that a person gives, and a sentence where a folder has others for them.

    Raises:
        FileFormatError: A folder gives one of these names to another integer.
    """
    names = dict(enumerate(class_values, start=1))
    remarks = []
    for folder in folders:
        try:
            theirs = classes_beside(folder_of_masks(folder)).names
        except FileFormatError:
            continue  # the names stand in for a file that can't be used
        if len(set(theirs.values())) < len(theirs):
            continue  # and for one that gives two integers to one class
        for integer, name in sorted(theirs.items()):
            said = names.get(integer)
            if name in class_values and said != name:
                raise FileFormatError(
                    f"--classes says {class_values.index(name) + 1} = {name}, and what lies beside "
                    f"the masks in {folder} says {integer} = {name}.",
                    remedy="Leave --classes out, or name the classes as they are there; where the "
                    "two folders differ, write both with the same integers "
                    "(nnloop predict --values 0,2,1).",
                )
        others = [
            f"{i} = {name}" for i, name in sorted(theirs.items()) if names.get(i, name) != name
        ]
        if others:
            remarks.append(f"Called as --classes says; in {folder} they are {', '.join(others)}.")
    return names, tuple(remarks)


def _with_background(about: ClassNames) -> dict[int, str]:
    return about.names | {0: _BACKGROUND, about.background: _BACKGROUND}


def _require_same(one: tuple[Path, dict[int, str]], other: tuple[Path, dict[int, str]]) -> None:
    """FileFormatError where two folders mean two things by an integer, or one thing by two."""
    (predictions, ours), (reference, theirs) = one, other
    found = ""
    for number in sorted(theirs.keys() & ours.keys()):
        if theirs[number] != ours[number]:
            found = (
                f"{number} is {ours[number]!r} in {predictions} and {theirs[number]!r} in "
                f"{reference}."
            )
            break
    integers = {name: number for number, name in ours.items()}
    for number, name in sorted(theirs.items()):
        if not found and name != _BACKGROUND and integers.get(name, number) != number:
            found = f"{name!r} is {integers[name]} in {predictions} and {number} in {reference}."
    if found:
        raise FileFormatError(
            found,
            remedy="Write both with the same integers (nnloop predict --values 0,2,1), or correct "
            "the names beside one of them.",
        )


def _require_one_integer_each(folder: Path, names: Mapping[int, str]) -> None:
    """As nnU-Net's regions may have it that nothing tells two integers apart: one class of them."""
    for name, n in Counter(names.values()).items():
        if n > 1:
            alike = " and ".join(str(number) for number in sorted(names) if names[number] == name)
            raise FileFormatError(
                f"What is said of the masks in {folder} is not one integer per class: {alike} are "
                f"{name!r}.",
                remedy="Name the integers 1, 2, ... with --classes.",
            )


def _said(folder: Path, *, is_named: bool) -> ClassNames:
    """What stands beside a folder about its classes.

    Where a person names the classes, a file about them that can't be used does not matter.
    """
    try:
        return classes_beside(folder)
    except FileFormatError:
        if is_named:
            return ClassNames()
        raise


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """Pairs of files to measure.

    Attributes:
        pairs: The cases.
        class_names: Integer in the files -> class name.
        config: Colours of the classes 1, 2, ... in order of these integers.
        source: What is evaluated, for the head of summary.json.
        problems: Known before.
        remarks: Sentences about the whole.
        names_values: Whether a person names the integers, so that unknown ones may be mended so.
        ignored: Integers of pixels of a reference that count in no measure.
        backgrounds: The integer of background in the ``prediction`` and the ``reference``, where it
            is not 0: it is no unknown value.
        unions: Name -> classes of ``config`` that are measured as one besides.
    """

    pairs: Sequence[Pair]
    class_names: Mapping[int, str]
    config: LabelConfig
    source: Mapping[str, Any]
    problems: Sequence[Problem] = field(default=())
    remarks: Sequence[str] = field(default=())
    names_values: bool = False
    ignored: frozenset[int] = frozenset()
    backgrounds: Mapping[str, int] = field(default_factory=dict)
    unions: Mapping[str, Sequence[int]] = field(default_factory=dict)


def evaluate_pairs(job: EvaluationJob, options: EvaluationOptions) -> Evaluation:
    """Measures pairs of files and writes the report."""
    pairs, class_names, remarks = job.pairs, job.class_names, job.remarks
    measured: list[CaseMeasures] = []
    found = list(job.problems)
    unknown: Counter[tuple[str, int]] = Counter()
    counts: Counts | None = None
    with options.progress("Measuring", len(pairs)) as on_case:
        for one in measure_pairs(
            pairs,
            class_names,
            ignored=job.ignored,
            backgrounds=job.backgrounds,
            unions=job.unions,
            spacing_mm=options.spacing_mm,
            workers=options.workers,
            on_case=on_case,
        ):
            found.extend(one.problems)
            unknown.update(one.unknown)
            if one.counts is not None:
                counts = one.counts if counts is None else counts + one.counts
            if one.measures is not None:
                measured.append(one.measures)
    if job.names_values:
        remarks = (*remarks, *about_exchanged(counts, class_names))
        remarks = (*remarks, *_about_unknown(unknown, class_names))
    remarks = (*remarks, *_about_unmeasured(found, len(measured)), *_about_volumes(measured))
    values = [class_names[integer] for integer in sorted(class_names)]
    evaluation = evaluate(measured, values, found, remarks)
    by_id = {pair.case_id: pair for pair in pairs}
    of_pictures = write_overlays(
        evaluation,
        by_id,
        sorted(class_names),
        job.config,
        options.out,
        options.n_worst,
        job.ignored,
    )
    if of_pictures:
        evaluation = evaluate(measured, values, [*found, *of_pictures], remarks)
    write_tables(evaluation, options.out, job.source, options.n_worst)
    return evaluation


def _about_unmeasured(problems: Sequence[Problem], n_measured: int) -> tuple[str, ...]:
    """Says what the figures leave out: what could not be predicted is often what is hard."""
    reasons = {p.case_id: p.reason for p in problems if p.reason in _UNMEASURED}
    if not reasons or not n_measured:
        return ()
    counts = Counter(_UNMEASURED[reason] for reason in reasons.values())
    each = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
    n = n_measured + len(reasons)
    return (f"{len(reasons)} of {counted(n, 'case')} count in none of these figures: {each}.",)


def _about_volumes(measured: Sequence[CaseMeasures]) -> tuple[str, ...]:
    """Says what counts as one case, where files hold several slices."""
    n = sum(case.n_slices > 1 for case in measured)
    if not n:
        return ()
    n_slices = sum(case.n_slices for case in measured if case.n_slices > 1)
    return (
        f"{counted(n, 'case is a volume', 'cases are volumes')} ({n_slices} slices in all): each "
        "counts as one image, its Dice over all its slices, its distances in three dimensions.",
    )


def _about_unknown(
    unknown: Mapping[tuple[str, int], int], class_names: Mapping[int, str]
) -> tuple[str, ...]:
    """One sentence about all values that are no class, with its remedy."""
    if not unknown:
        return ()
    each = [
        f"{value} in {counted(n, what)}"
        for (what, value), n in sorted(unknown.items(), key=lambda row: (row[0][1], row[0][0]))
    ]
    more = f" and {counted(len(each) - _SHOWN, 'more value')}" if len(each) > _SHOWN else ""
    known = ", ".join(f"{integer} = {name}" for integer, name in sorted(class_names.items()))
    return (
        f"Values without a class counted as background: {', '.join(each[:_SHOWN])}{more}. The "
        f"classes are {known}; name others with --classes (1, 2, ... in order) or in a "
        "classes.json beside the references.",
    )


def config_of(class_values: Sequence[str], *, has_ignore: bool = False) -> LabelConfig:
    """A configuration that has nothing but classes: their colours come from the palette.

    With ``has_ignore`` pixels of the integer after the last class are not known.
    """
    classes = tuple(LabelClass(i, value) for i, value in enumerate(class_values, start=1))
    group = LabelGroup(
        "label",
        "image",
        "polygonlabels",
        classes,
        unlabelled="ignore" if has_ignore else "background",
    )
    return LabelConfig(group, "image", "")
