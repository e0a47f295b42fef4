"""The champion's Dice on a challenger's cases: which of its folds may judge which case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.gate.verdict import DicePerCase, Verdict
from backend.store import projects, versions
from backend.store.models import VersionRow
from domain.case import Manifest, ManifestEntry
from domain.labels import LabelNames
from domain.states import VersionOrigin
from training.versions.version_folder import read_version

FoldOfCase = tuple[ManifestEntry, int | None]
"""A case and the fold that predicts it; None: the mean of all folds."""


class Judge(Protocol):
    """A version's networks, ready to be measured."""

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds it can predict by."""
        ...

    def dice(self, cases: Sequence[FoldOfCase], predicted: tuple[str, ...]) -> DicePerCase:
        """Dice per class of cases, with the version's postprocessing, by today's annotations.

        ``predicted`` are the version's classes in its integer order, as they are called today.
        """
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """The champion's Dice on the challenger's cases, of the classes that both know.

    ``remark`` says how it was measured, where it matters; without any Dice why not.
    """

    dice: DicePerCase
    remark: str = ""


def measure_champion(
    context: AppContext, champion: VersionRow, manifest: Manifest, networks: Judge
) -> Measured:
    """The champion's Dice on the challenger's cases, with today's annotations.

    A case the champion was trained on is predicted by the fold that held it out; one it has never
    seen by the fold that would have. Numbers of unchanged cases are taken from its own training. In
    the classes that both know: one that the champion lacks is no fault of its predictions. A
    version without folds that held anything out answers with the mean of its folds, on the cases
    it is not known to have been trained on.

    Args:
        context: The process's context.
        champion: The version that serves.
        manifest: The challenger's; its entries are measured.
        networks: The champion's; only asked when something has to be measured, or may have to.

    Returns:
        Of every case the classes in common; no cases where there are none.
    """
    with context.store.begin() as session:
        trained_on = versions.manifest_of(session, champion)
        names = names_for(session, champion.project_id, manifest)
    if champion.run_id is None or trained_on is None:
        values = read_version(Path(champion.path)).class_values
    else:
        values = trained_on.class_values
    classes = names.current_names(values)
    common = [name for name in manifest.class_values if name in classes]
    if not common:
        return Measured({}, "the version that serves knows none of the present labels")
    if trained_on is None:
        dice = networks.dice([(entry, None) for entry in manifest.entries], classes)
        return Measured(
            _of_classes(dice, common),
            f"{champion.name} was trained elsewhere and measured by the mean of its folds; it may "
            "have been trained on these images",
        )
    if trained_on.n_folds == 1:
        seen = {entry.group for entry in trained_on.entries}
        unseen = [entry for entry in manifest.entries if entry.group not in seen]
        if not unseen:
            return Measured({}, f"{champion.name} was trained on the groups of all cases")
        dice = networks.dice([(entry, None) for entry in unseen], classes)
        return Measured(
            _of_classes(dice, common), f"on the cases of groups that {champion.name} has not seen"
        )
    measured = _known_dice(champion, trained_on, values, names)
    known = _unchanged(measured, trained_on, manifest, common)
    cases = _by_unseen_folds(networks.folds, known, trained_on, manifest)
    dice = {**known, **networks.dice(cases, classes)}
    return Measured(_of_classes(dice, common), champion.metrics.remark)


def names_for(session: Session, project_id: int, manifest: Manifest) -> LabelNames:
    """What classes are called in a manifest that is about to be judged, by the renames of today.

    A manifest older than a rename is judged under its own names where two of its classes are one
    by now: its label maps still tell them apart.
    """
    names = label_names_of(projects.get(session, project_id))
    if len(set(names.current_names(manifest.class_values))) < len(manifest.class_values):
        return LabelNames()
    return names


def in_current_names(
    context: AppContext, project_id: int, manifest: Manifest, dice: DicePerCase
) -> tuple[Manifest, DicePerCase]:
    """A manifest and its Dice under the names that its classes have now."""
    with context.store.begin() as session:
        names = names_for(session, project_id, manifest)
    return (
        replace(manifest, class_values=names.current_names(manifest.class_values)),
        {case_id: names.renamed(scores) for case_id, scores in dice.items()},
    )


def _of_classes(dice: DicePerCase, names: Sequence[str]) -> DicePerCase:
    return {
        case_id: {name: value for name, value in scores.items() if name in names}
        for case_id, scores in dice.items()
    }


def _known_dice(
    champion: VersionRow, manifest: Manifest, values: tuple[str, ...], names: LabelNames
) -> DicePerCase:
    """What its own training measured, where that was against the truth of today.

    None of it where two of its classes are one by now, or a name is read as another class.
    """
    before = LabelNames(manifest.label_mapping, values)
    is_merged = len(set(names.current_names(values))) < len(values)
    if is_merged or not names.agrees_with(before):
        return {}
    dice = champion.metrics.dice_per_case
    return {case_id: names.renamed(scores) for case_id, scores in dice.items()}


def _unchanged(
    measured: DicePerCase, old: Manifest, new: Manifest, names: Sequence[str]
) -> DicePerCase:
    """What of its own figures is of cases that are unchanged."""
    before = {entry.case_id: entry for entry in old.entries}
    return {
        entry.case_id: measured[entry.case_id]
        for entry in new.entries
        if (earlier := before.get(entry.case_id)) is not None
        and earlier.is_same(entry)
        and set(names) <= measured.get(entry.case_id, {}).keys()
    }


def _by_unseen_folds(
    folds: Sequence[int], known: DicePerCase, old: Manifest, new: Manifest
) -> list[FoldOfCase]:
    """The cases that are not known, each with the fold that has not seen it."""
    old_entries = {entry.case_id: entry for entry in old.entries}
    fold_of_group = {entry.group: entry.fold for entry in old.entries}
    cases: list[FoldOfCase] = []
    for entry in new.entries:
        if entry.case_id in known:
            continue
        before = old_entries.get(entry.case_id)
        # No fold has seen a case of a new group: with another number of folds any of them will do.
        fold = (
            before.fold
            if before
            else fold_of_group.get(entry.group, folds[entry.fold % len(folds)])
        )
        if fold in folds:
            cases.append((entry, fold))
    return cases


def project_integers(predicted: Sequence[str], class_values: Sequence[str]) -> tuple[int, ...]:
    """What a version's classes 0, 1, 2, ... are in today's label maps.

    The order of labels may have changed since; a class that the project lacks is background.

    Args:
        predicted: The version's classes in its integer order, background left out, as they are
            called today; two may be one by now.
        class_values: The project's.
    """
    names = list(class_values)
    return (0, *(names.index(name) + 1 if name in names else 0 for name in predicted))


def unmeasured(champion: VersionRow, margin: float, why: str) -> Verdict:
    """A challenger of which nothing is known, for no case was held out.

    It replaces only a version of which as little is known.

    Args:
        champion: The version that serves.
        margin: The gate's.
        why: Why nothing was held out, the beginning of a sentence.
    """
    is_known = bool(champion.metrics.dice_per_case)
    is_foreign = champion.origin == VersionOrigin.IMPORTED
    reason = (
        f"{why}; {champion.name} serves on until a version can be compared with it"
        if is_known or is_foreign
        else f"{why}, nor for {champion.name}; it knows more annotations"
    )
    return Verdict(not (is_known or is_foreign), None, None, 0, margin, reason)
