"""The sections that show cases: the worst ones, and the tasks that are least sure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from backend.pipeline.quality.calibrate import HELD_OUT
from backend.report.cases.chosen import ChosenCase
from backend.report.cases.examined import Examined, ExaminedCase
from backend.report.section import Block, Card, Legend, Picture, Section
from domain.text import counted

_MOST_CLASSES = 8
"""Classes of a case whose Dice is told, the worst first."""

_MOST_NAMED = 10
"""Tasks that are named of those without pictures."""


def cases_section(examined: Examined) -> Section:
    """The worst cases whose truth the serving version could not know."""
    title = "Worst cases"
    if not examined.worst:
        return Section(
            "worst",
            title,
            missing="No case can be shown: none has a truth yet that the serving version did not "
            "know, or none was asked for."
            if examined.version
            else "There is no version yet whose cases could be shown.",
        )
    return Section(
        "worst",
        title,
        [
            f"The {len(examined.worst)} with the lowest Dice of "
            f"{counted(examined.n_judged, 'image')} whose annotation {examined.version} had not "
            "seen: they are the exception, not the rule. A low Dice may be the fault of the "
            "annotation: look at both. The heat map is bright where the networks are unsure.",
        ],
        [*_legend(examined), *(_card(one, _facts(one.case)) for one in examined.worst)],
        missing=_without_pictures(examined.worst),
    )


def unsure_section(examined: Examined) -> Section:
    """The unlabelled tasks of which the least is expected."""
    title = "Least sure"
    if not examined.unsure:
        return Section(
            "unsure",
            title,
            missing="No unlabelled task has a prediction of the serving version that could be "
            "shown.",
        )
    return Section(
        "unsure",
        title,
        [
            f"The unlabelled tasks with the lowest scores: {examined.version} expects least of "
            "its predictions there. Nobody knows the truth about them yet."
        ],
        [*_legend(examined), *(_card(one, _expected(one.case)) for one in examined.unsure)],
        missing=_without_pictures(examined.unsure),
    )


def _without_pictures(cases: Sequence[ExaminedCase]) -> str:
    """Which cases have no pictures, and why."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for one in cases:
        if one.missing:
            by_reason[one.missing].append(one.case.task.id)
    sentences = []
    for reason, ids in by_reason.items():
        more = len(ids) - _MOST_NAMED
        named = ", ".join(map(str, ids[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
        sentences.append(f"No pictures of task{'s' * (len(ids) > 1)} {named}: {reason}")
    return " ".join(sentences)


def _legend(examined: Examined) -> list[Block]:
    return [Legend(examined.colors)] if examined.colors else []


def _expected(case: ChosenCase) -> list[str]:
    facts = [f"Expected Dice {case.score:.2f}."] if case.score is not None else []
    return [*facts, f"{case.why[0].upper()}{case.why[1:].rstrip('.')}."] if case.why else facts


def _facts(case: ChosenCase) -> list[str]:
    how = (
        f"held out: predicted by fold {case.fold}, which was not trained on it"
        if case.kind == HELD_OUT
        else "corrected: predicted by all folds before it was labelled"
    )
    facts = [f"Dice {case.dice:.2f}, {how}."] if case.dice is not None else []
    known = sorted(((v, name) for name, v in (case.dice_per_class or {}).items() if v is not None))
    if known:
        told = ", ".join(f"{name} {value:.2f}" for value, name in known[:_MOST_CLASSES])
        more = len(known) - _MOST_CLASSES
        facts.append(f"By class: {told}{f' and {more} better classes' if more > 0 else ''}.")
    elif case.dice is not None:
        facts.append("Nothing is annotated in it.")
    if case.is_changed:
        facts.append("Its annotation, or how it is read, is another now: the picture shows that.")
    return facts


def _card(one: ExaminedCase, facts: list[str]) -> Card:
    name = f": {one.case.name}" if one.case.name else ""
    return Card(f"Task {one.case.task.id}{name}", facts, list(_pictures(one)), one.link)


def _pictures(one: ExaminedCase) -> Iterable[Picture]:
    if one.pictures is None:
        return
    of, found = f"of task {one.case.task.id}", one.pictures
    yield Picture(found.image, f"Image {of}", "Image")
    if found.truth:
        empty = ": nothing" * found.is_truth_empty
        yield Picture(found.truth, f"Annotation {of} over the image{empty}", f"Annotation{empty}")
    empty = ": nothing" * found.is_prediction_empty
    yield Picture(found.prediction, f"Prediction {of} over the image{empty}", f"Prediction{empty}")
    yield Picture(found.uncertainty, f"Heat map {of}: where the networks are unsure", "Uncertainty")
