"""Compares two versions of a project on the cases that both held out."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.lineage import GroupsNow, unseen_by_their_folds
from backend.pipeline.gate.verdict import Comparison, DicePerCase, compare_cases
from backend.pipeline.models.find import find_version
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from domain.case import Manifest
from domain.errors import SettingsError
from domain.labels import LabelNames


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Two versions on common cases.

    Attributes:
        first: Name of the older one, `champion` in ``comparison``.
        second: Name of the other one, `challenger` in ``comparison``.
        comparison: Differences are second minus first.
        n_changed: Common cases left out because their annotations differ between the two.
        n_only_one: Cases that only one of the two has.
        n_seen: Cases left out because, by the groups of now, a fold that measured them has seen
            them.
        remark: How it was measured, where that is not by held-out folds of both.
    """

    first: str
    second: str
    comparison: Comparison
    n_changed: int
    n_only_one: int
    remark: str = ""
    n_seen: int = 0


def compare_versions(
    context: AppContext, first: str, second: str, project_id: int | None = None
) -> VersionComparison:
    """Pairs the out-of-fold Dice of two versions, each measured by its own training.

    Only cases whose annotations are the same in both manifests, and were read alike, count, and
    which neither of the folds that measured them has seen by the groups of now; classes are
    compared under the names that they have now. A version that was trained
    elsewhere held nothing out; it is compared with a version that the gate measured it against.

    Raises:
        SettingsError: One of them does not exist, or they have no case in common.
    """
    with context.store.begin() as session:
        old = find_version(session, first, project_id)
        new = find_version(session, second, old.project_id)
        now = GroupsNow.today(session, old.project_id)
        sides = [_Side.of(session, row, now) for row in (old, new)]
    (old_side, new_side), remark = sides, ""
    for side, other in ((old_side, new_side), (new_side, old_side)):
        measured = other.row.metrics.champion_dice
        if not side.dice and measured is not None and measured.version == side.row.name:
            side.dice, side.hashes = side.renamed(measured.dice_per_case), other.hashes
            remark = (
                f"{side.row.name} was measured when {other.row.name} went through the gate; it may "
                "have been trained on these images"
            )
    common = old_side.dice.keys() & new_side.dice.keys()
    same = {c for c in common if old_side.hashes.get(c) == new_side.hashes.get(c) != ""}
    found = compare_cases(
        {case: new_side.dice[case] for case in same},
        {case: old_side.dice[case] for case in same},
        {**old_side.groups, **new_side.groups},
    )
    if found is None:
        raise SettingsError(
            f"{first} and {second} have no case in common that both held out.",
            remedy="Compare versions of one project that were trained with at least 2 groups; one "
            "trained elsewhere is compared with a version that was judged against it.",
        )
    n_only_one = len(old_side.dice.keys() ^ new_side.dice.keys())
    return VersionComparison(
        first,
        second,
        found,
        len(common) - len(same),
        n_only_one,
        remark,
        len(old_side.seen | new_side.seen),
    )


@dataclass
class _Side:
    row: VersionRow
    names: LabelNames
    dice: DicePerCase
    hashes: dict[str, str]
    groups: dict[str, str]
    seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, session: Session, row: VersionRow, now: GroupsNow) -> _Side:
        manifest = versions.manifest_of(session, row) or Manifest(())
        names = label_names_of(projects.get(session, row.project_id))
        before = LabelNames(manifest.label_mapping, manifest.class_values)
        side = cls(
            row,
            names,
            {},
            {
                entry.case_id: entry.content_hash if names.agrees_with(before) else ""
                for entry in manifest.entries
            },
            {entry.case_id: entry.group for entry in manifest.entries},
        )
        honest = unseen_by_their_folds(session, row, manifest, now)
        side.seen = row.metrics.dice_per_case.keys() - honest
        side.dice = side.renamed(
            {c: dice for c, dice in row.metrics.dice_per_case.items() if c in honest}
        )
        return side

    def renamed(self, dice: DicePerCase) -> DicePerCase:
        return {case_id: self.names.renamed(scores) for case_id, scores in dice.items()}
