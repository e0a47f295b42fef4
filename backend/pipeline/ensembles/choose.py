"""Makes ensembles: versions that predict the mean of other versions' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.lineage import names_for_all
from backend.pipeline.basis.run_settings import class_values_of
from backend.pipeline.ensembles.candidates import (
    Candidate,
    Truth,
    held_out_cases,
    measured,
    read_truth,
    singles_and_pairs,
)
from backend.pipeline.ensembles.enrol import NewEnsemble, enrol
from backend.pipeline.ensembles.members import Member, check_alike, why_unlike
from backend.pipeline.evaluate.options import Progress, silent
from backend.pipeline.models.find import find_version
from backend.store import projects
from backend.store.training import versions
from domain.errors import NnloopError, SettingsError
from domain.states import VersionOrigin
from domain.text import counted
from training.versions.metrics import Considered


@dataclass(frozen=True, slots=True)
class EnsembleReport:
    """What was measured, and what came of it.

    Attributes:
        considered: The best first.
        n_cases: Cases measured, the same for all.
        left_out: Sentences: which versions were not considered, and why.
        version: Name of the ensemble that was made; "" when none was.
        is_promoted: Whether it serves now.
        reason: Why none was made, or the gate's sentence.
    """

    considered: tuple[Considered, ...]
    n_cases: int
    left_out: tuple[str, ...]
    version: str
    is_promoted: bool
    reason: str


def make_ensemble(
    context: AppContext,
    project_id: int,
    names: Sequence[str] = (),
    *,
    progress: Progress = silent,
) -> EnsembleReport:
    """Makes a version of the named ones, or of the best pair there is, and lets the gate judge it.

    nnU-Net's ``find_best_configuration`` with ensembling: every version alone and the mean of every
    pair are compared by mean foreground Dice on the cases that all held out, and the pair has to
    beat the best single version. Where its members' presets ask for it, its own postprocessing is
    looked for. It serves when the gate finds it not worse than the champion.

    Args:
        context: The process's context.
        project_id: A connected project.
        names: At least 2 versions; none: every version that has the project's classes and
            channels, its weights, and folds that held cases out, is considered.
        progress: Follows the prediction.

    Raises:
        SettingsError: There are too few versions, they can't be averaged, one is an ensemble itself
            or pruned, or they have no held-out case in common.
        PredictionError: A version can't be loaded.
    """
    if len(set(names)) != len(names) or len(names) == 1:
        raise SettingsError(
            f"An ensemble is of 2 or more different versions, got {', '.join(names)}.",
            remedy="Name at least two, or none to try every pair.",
        )
    left_out: list[str] = []
    with context.store.begin() as session:
        truth = read_truth(session, project_id)
        if names:
            rows = [find_version(session, name, project_id) for name in names]
            now = names_for_all(session, project_id, rows)
            members = [Member.of(session, row, now) for row in rows]
            check_alike(members)
        else:
            members, left_out = _eligible(session, project_id)
        _refuse_again(session, project_id, members if names else [])
    cases = held_out_cases(context, project_id, members, truth)
    if not cases and not names:
        raise SettingsError(
            f"{', '.join(member.name for member in members)} have no held-out case in common whose "
            "annotations are the same.",
            remedy="Name the versions to average, or train them again.",
        )
    everything = tuple(range(len(members)))
    choices = (
        [*((k,) for k in everything), everything] if names else singles_and_pairs(len(members))
    )
    with measured(context, project_id, members, choices, cases, progress) as candidates:
        _check_truth(context, project_id, truth)
        considered = tuple(
            Considered(one.versions, one.dice if one.dice_per_case else None)
            for one in sorted(candidates, key=lambda one: -one.dice if one.dice_per_case else 0.0)
        )
        n_cases = len(candidates[0].dice_per_case)
        chosen = candidates[-1] if names else best_pair(candidates)
        if chosen is None:
            best = considered[0]
            reason = f"No pair is better than {best.versions[0]} alone"
            return EnsembleReport(considered, n_cases, tuple(left_out), "", False, reason)
        chosen_members = [members[k] for k in chosen.choice]
        with context.store.begin() as session:
            _refuse_again(session, project_id, chosen_members)
        new = NewEnsemble(
            members=tuple(chosen_members),
            candidate=chosen,
            truth=truth.manifest,
            considered=considered,
        )
        name, verdict = enrol(context, project_id, new, progress)
    return EnsembleReport(
        considered, n_cases, tuple(left_out), name, verdict.is_promoted, verdict.reason
    )


def best_pair(candidates: Sequence[Candidate]) -> Candidate | None:
    """The best pair, if it is better than every single version; None otherwise."""
    pairs = [one for one in candidates if len(one.choice) > 1]
    best_single = max(one.dice for one in candidates if len(one.choice) == 1)
    best = max(pairs, key=lambda one: one.dice)
    return best if best.dice > best_single else None


def _eligible(session: Session, project_id: int) -> tuple[list[Member], list[str]]:
    """Versions worth a try, oldest first, and sentences about the others."""
    project = projects.get(session, project_id)
    classes = class_values_of(project)
    now = names_for_all(session, project_id, versions.versions_of(session, project_id))
    members: list[Member] = []
    left_out: list[str] = []
    for row in reversed(versions.versions_of(session, project_id)):
        if row.origin == VersionOrigin.ENSEMBLE or row.pruned_at is not None:
            continue
        try:
            member = Member.of(session, row, now)
        except NnloopError as error:
            left_out.append(str(error))
            continue
        if not member.holds_out:
            left_out.append(f"{row.name} held no case out.")
        elif member.info.class_values != classes:
            left_out.append(f"{row.name} knows {', '.join(member.info.class_values)}.")
        elif member.info.n_channels != (project.n_channels or member.info.n_channels):
            left_out.append(f"{row.name} takes {counted(member.info.n_channels, 'channel')}.")
        elif members and (fault := why_unlike(members[0], member)):
            left_out.append(f"{row.name} can't be averaged with {members[0].name}: {fault}.")
        else:
            members.append(member)
    if len(members) < 2:
        found = ", ".join(member.name for member in members) or "none"
        raise SettingsError(
            "An ensemble needs 2 versions with the present labels and channels, their weights, and "
            f"cases they held out; there is {found}."
            + (f" {' '.join(left_out)}" if left_out else ""),
            remedy="Train another, for example with `nnloop train PROJECT --planner "
            "nnUNetPlannerResEncM`.",
        )
    return members[::-1], left_out


def _refuse_again(session: Session, project_id: int, members: Sequence[Member]) -> None:
    wanted = sorted(member.name for member in members)
    for row in versions.versions_of(session, project_id):
        known = row.metrics.ensemble.members if row.metrics.ensemble else ()
        if wanted and row.pruned_at is None and sorted(known) == wanted:
            raise SettingsError(
                f"{row.name} is the ensemble of {' and '.join(wanted)} already.",
                remedy=f"`nnloop models show {row.name}` tells how it did; `nnloop models promote "
                f"{row.name}` puts it in service.",
            )


def _check_truth(context: AppContext, project_id: int, before: Truth) -> None:
    with context.store.begin() as session:
        now = read_truth(session, project_id)
    if now.run != before.run:
        raise SettingsError(
            f"Run {now.run} has written the project's cases anew meanwhile.", remedy="Try again."
        )
