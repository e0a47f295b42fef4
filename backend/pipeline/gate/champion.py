"""The champion's Dice on a challenger's cases: which of its folds may judge which case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.lineage import GroupsNow, judges_of
from backend.pipeline.gate.verdict import DicePerCase, Verdict
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from domain.case import Manifest, ManifestEntry
from domain.labels import LabelNames
from domain.states import VersionOrigin
from domain.text import counted
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

    Each case is judged by a fold of the champion that has not seen it, nor its image, nor its
    group, in its whole lineage (``training.versions.lineage``): the one that held it out where
    there is one. Numbers of unchanged cases that this one measured in its own training are taken
    from there. A case that no fold may judge is left out, and the remark says so. In the classes
    that both know: one that the champion lacks is no fault of its predictions. A version that was
    trained elsewhere answers with the mean of its folds.

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
    folds = networks.folds if trained_on.n_folds > 1 else (0,)
    with context.store.begin() as session:
        now = GroupsNow.by(session, champion.project_id, manifest)
        judges = judges_of(session, champion, trained_on, folds, now)
    chosen = judges.of(manifest.entries, folds)
    measured = _known_dice(champion, trained_on, values, names)
    known = {
        case_id: dice
        for case_id, dice in _unchanged(measured, trained_on, manifest, common).items()
        if chosen.get(case_id) == judges.fold_of_case[case_id]
    }
    cases: list[FoldOfCase] = [
        (entry, chosen[entry.case_id] if trained_on.n_folds > 1 else None)
        for entry in manifest.entries
        if entry.case_id in chosen and entry.case_id not in known
    ]
    dice = {**known, **networks.dice(cases, classes)} if cases else known
    remarks = [champion.metrics.remark, _not_judged(champion, manifest, len(chosen))]
    if judges.doubtful & set(chosen.values()):
        remarks.append(
            f"nobody can tell what {champion.name} started from, so it may have been trained on "
            "these images"
        )
    return Measured(_of_classes(dice, common), "; ".join(filter(None, remarks)))


def _not_judged(champion: VersionRow, manifest: Manifest, n_judged: int) -> str:
    n = len(manifest.entries) - n_judged
    if not n:
        return ""
    return (
        f"without {n} of {counted(len(manifest.entries), 'case')}, which {champion.name} or a "
        "version before it was trained on, or on others of their groups"
    )


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
