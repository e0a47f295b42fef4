"""A challenger, trained or an ensemble, before the gate: judged, then added to the versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from backend.pipeline.basis.context import AppContext
from backend.pipeline.gate.champion import (
    Judge,
    Measured,
    in_current_names,
    measure_champion,
    unmeasured,
)
from backend.pipeline.gate.verdict import DicePerCase, Verdict, judge
from backend.pipeline.quality.calibrate import calibrate
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from domain.case import Manifest
from domain.errors import SettingsError
from training.versions.metrics import ChampionDice, VersionMetrics


@dataclass(frozen=True, slots=True)
class Challenger:
    """What the gate is told of a version.

    Attributes:
        project_id: Its project.
        manifest: Its entries are compared, in its classes.
        dice: Its Dice, per case; empty where no case was held out.
        margin: The gate's.
        why_unmeasured: Why no case was held out, the beginning of a sentence.
        remark: How it was measured, where it matters.
    """

    project_id: int
    manifest: Manifest
    dice: DicePerCase
    margin: float
    why_unmeasured: str
    remark: str = ""

    def in_current_names(self, context: AppContext) -> Challenger:
        """The same under the names that its classes have now."""
        manifest, dice = in_current_names(context, self.project_id, self.manifest, self.dice)
        return replace(self, manifest=manifest, dice=dice)


@dataclass(frozen=True, slots=True)
class Judged:
    """The gate's verdict, and what the version that served came to; None without a comparison."""

    verdict: Verdict
    champion_dice: ChampionDice | None = None

    def added_to(self, metrics: VersionMetrics) -> VersionMetrics:
        """The challenger's metrics with it."""
        return replace(metrics, gate=self.verdict, champion_dice=self.champion_dice)


def judge_challenger(
    context: AppContext,
    champion: VersionRow | None,
    challenger: Challenger,
    networks: Judge | None,
) -> Judged:
    """What the gate says.

    Args:
        context: The process's context.
        champion: The version that serves, None for the first.
        challenger: Its classes as they are called now.
        networks: The champion's; only asked when something has to be measured. None without one.
    """
    if champion is None or networks is None:
        return Judged(_verdict(challenger, None, ""))
    if not challenger.dice:
        return Judged(unmeasured(champion, challenger.margin, challenger.why_unmeasured))
    measured = measure_champion(context, champion, challenger.manifest, networks)
    known = ChampionDice(champion.name, measured.dice) if measured.dice else None
    return Judged(_verdict(challenger, measured, champion.name), known)


def _verdict(challenger: Challenger, measured: Measured | None, against: str) -> Verdict:
    groups = {entry.case_id: entry.group for entry in challenger.manifest.entries}
    remarks = (challenger.remark, measured.remark if measured else "")
    return judge(
        challenger.dice,
        measured.dice if measured else None,
        challenger.margin,
        groups,
        against=against,
        remark="; ".join(filter(None, dict.fromkeys(remarks))),
    )


def add_judged(
    context: AppContext,
    row: VersionRow,
    champion: VersionRow | None,
    *,
    is_promoted: bool,
    with_it: Callable[[Session], None] = lambda _: None,
) -> bool:
    """Adds a version, and lets it serve where it was promoted.

    Args:
        context: The process's context.
        row: The version.
        champion: What it was judged against.
        is_promoted: The gate's word.
        with_it: Writes what else belongs to it, in the same transaction.

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
        calibrate(session, row)
        with_it(session)
        if is_promoted:
            versions.promote(session, row)
    return True
