"""The sections that show cases: the worst ones, and the tasks that are least sure."""

from __future__ import annotations

from collections.abc import Iterable

from backend.pipeline.quality.calibrate import HELD_OUT
from backend.report.cases.chosen import ChosenCase
from backend.report.cases.examined import Examined, ExaminedCase
from backend.report.section import Card, Picture, Section
from domain.text import counted

_MOST_CLASSES = 8
"""Classes of a case whose Dice is told, the worst first."""


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
        [_card(one, _facts(one.case)) for one in examined.worst],
        missing=" ".join(examined.problems),
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
        [
            _card(
                one,
                [f"Expected Dice {one.case.score:.2f}."] * (one.case.score is not None)
                + [one.case.why] * bool(one.case.why),
            )
            for one in examined.unsure
        ],
    )


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
        facts.append(f"{told}{f' and {more} better classes' if more > 0 else ''}.")
    elif case.dice is not None:
        facts.append("Nothing is annotated in it.")
    if case.is_changed:
        facts.append("Its annotation, or how it is read, is another now: the picture shows that.")
    return facts


def _card(one: ExaminedCase, facts: list[str]) -> Card:
    return Card(f"Task {one.case.task.id}", facts, list(_pictures(one)), one.link)


def _pictures(one: ExaminedCase) -> Iterable[Picture]:
    if one.pictures is None:
        return
    of = f"of task {one.case.task.id}"
    yield Picture(one.pictures.image, f"Image {of}", "Image")
    if one.pictures.truth:
        yield Picture(one.pictures.truth, f"Annotation {of} over the image", "Annotation")
    yield Picture(one.pictures.prediction, f"Prediction {of} over the image", "Prediction")
    yield Picture(
        one.pictures.uncertainty, f"Heat map {of}: where the networks are unsure", "Uncertainty"
    )
