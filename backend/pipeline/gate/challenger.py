"""A challenger, trained or an ensemble, before the gate: judged, then added to the versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from backend.pipeline.basis.context import AppContext
from backend.pipeline.gate.champion import Judge, Measured, measure_champion, unmeasured
from backend.pipeline.gate.verdict import DicePerCase, Verdict, judge
from backend.store import projects, versions
from backend.store.models import VersionRow
from domain.case import Manifest
from domain.errors import SettingsError

MakeJudge = Callable[[VersionRow, tuple[str, ...]], Judge]
"""The champion, and its classes in its integer order -> its networks."""


def judge_challenger(
    context: AppContext,
    champion: VersionRow | None,
    manifest: Manifest,
    dice: DicePerCase,
    margin: float,
    make_judge: MakeJudge,
    *,
    why_unmeasured: str,
    remark: str = "",
) -> tuple[Verdict, dict[str, Any]]:
    """The gate's verdict.

    Args:
        context: The process's context.
        champion: The version that serves, None for the first.
        manifest: The challenger's; its entries are compared.
        dice: The challenger's, per case.
        margin: The gate's.
        make_judge: Called when the champion may have to be measured.
        why_unmeasured: Why no case was held out, where ``dice`` is empty; the beginning of a
            sentence.
        remark: How the challenger was measured, where it matters.

    Returns:
        The verdict, and what the challenger's metrics say of it.
    """
    measured = Measured({})
    if champion is not None and not dice:
        verdict = unmeasured(champion, margin, why_unmeasured)
    else:
        if champion is not None:
            measured = measure_champion(context, champion, manifest, make_judge)
        groups = {entry.case_id: entry.group for entry in manifest.entries}
        remarks = "; ".join(filter(None, dict.fromkeys((remark, measured.remark))))
        verdict = judge(dice, measured.dice if champion else None, margin, groups, remark=remarks)
    metrics: dict[str, Any] = {"gate": asdict(verdict)}
    if champion is not None and measured.dice:
        metrics["champion_dice"] = {"version": champion.name, "dice_per_case": measured.dice}
    return verdict, metrics


def add_judged(
    context: AppContext, row: VersionRow, champion: VersionRow | None, *, is_promoted: bool
) -> bool:
    """Adds a version, and lets it serve where it was promoted.

    Returns:
        False, and nothing is added, when another version than ``champion`` serves by now: it was
        judged against the wrong one.

    Raises:
        SettingsError: The project has a version of this name by now.
    """
    with context.store.begin() as session:
        projects.lock(session, row.project_id)
        serving = versions.champion(session, row.project_id)
        if (serving and serving.id) != (champion and champion.id):
            return False
        if versions.by_name(session, row.name, row.project_id):
            raise SettingsError(
                f"Somebody else has made {row.name} meanwhile.",
                remedy="Look at it with `nnloop models list`, then try again.",
            )
        session.add(row)
        session.flush()
        if is_promoted:
            versions.promote(session, row)
    return True
