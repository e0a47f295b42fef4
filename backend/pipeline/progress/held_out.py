"""What versions made of the cases they held out, so that they can be compared with one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, select, type_coerce
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.store.models import ProjectRow, RunRow, VersionRow
from backend.store.training import versions
from backend.store.training.versions import VersionBrief
from domain.labels import LabelNames
from domain.states import VersionOrigin
from training.evaluation import ClassDice, image_dice

MOST_VERSIONS = 24
"""Versions that are looked at: more tell a curve no better, and each is a manifest to read."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A version and its held-out cases.

    Attributes:
        name: The version's.
        labels: It was trained on.
        qualities: Case and its label then -> Dice of the image in [0, 1].
    """

    name: str
    labels: int
    qualities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LeftOutVersion:
    """A version that is not compared with the others, and why."""

    name: str
    reason: str


def held_out_of(
    session: Session, project: ProjectRow
) -> tuple[tuple[HeldOut, ...], tuple[LeftOutVersion, ...]]:
    """The versions trained here that can be compared with the newest of them, oldest first.

    Compared is the Dice of an image in the classes of the newest version, of cases that no fold had
    seen as far as anybody can tell. Also versions that the gate refused are among them: those that
    served alone would look better than trainings are. Versions that were trained otherwise are
    left out; of more than ``MOST_VERSIONS`` some, evenly over the logarithm of their labels.

    Returns:
        The versions, the newest last; and those left out, oldest first.
    """
    chosen = _evenly(
        [
            one
            for one in versions.briefs_of(session, project.id)
            if one.origin is VersionOrigin.TRAINED and one.run_id is not None and one.labels > 0
        ]
    )
    query = select(VersionRow).where(VersionRow.id.in_([one.id for one in chosen]))
    rows = {row.id: row for row in session.scalars(query)}
    manifests = _manifests(session, [one.run_id for one in chosen if one.run_id is not None])
    names = label_names_of(project)
    found = [_Version.of(rows[one.id], manifests.get(one.run_id or 0, {}), names) for one in chosen]
    newest = next((one for one in reversed(found) if one.cases), None)
    if newest is None:
        return (), tuple(LeftOutVersion(one.name, "it held no case out") for one in found)
    compared, left_out = [], []
    for one in found:
        if reason := one.why_not_beside(newest):
            left_out.append(LeftOutVersion(one.name, reason))
        else:
            compared.append(HeldOut(one.name, one.labels, one.qualities(newest.classes)))
    return tuple(compared), tuple(left_out)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version in the words of now.

    Attributes:
        name: Its name.
        labels: It was trained on.
        classes: Those it predicts.
        cases: Case and its label then -> Dice of each class, of cases held out for certain.
        preset: It was trained with.
    """

    name: str
    labels: int
    classes: frozenset[str]
    cases: Mapping[str, ClassDice]
    preset: str

    @classmethod
    def of(cls, row: VersionRow, manifest: Mapping[str, Any], names: LabelNames) -> _Version:
        hashes = _hashes(manifest)
        return cls(
            name=row.name,
            labels=row.metrics.labels,
            classes=frozenset(names.renamed(row.metrics.oof_dice)),
            cases={
                f"{case_id} {hashes[case_id]}": names.renamed(dice)
                for case_id, dice in row.metrics.dice_per_case.items()
                if case_id in hashes
            },
            preset=str((manifest.get("preset") or {}).get("name", "")),
        )

    def why_not_beside(self, newest: _Version) -> str:
        """Why it can't be compared with the newest, half a sentence; "" where it can."""
        if not self.cases:
            return "it held no case out, or nobody can tell what its weights had seen before"
        if lacking := sorted(newest.classes - self.classes):
            return f"it does not know {', '.join(lacking)}"
        if self.preset != newest.preset:
            return (
                f"it was trained with the preset {self.preset}, {newest.name} with {newest.preset}"
            )
        return ""

    def qualities(self, classes: frozenset[str]) -> dict[str, float]:
        """Dice of each image in these classes."""
        return {
            key: image_dice(value for name, value in dice.items() if name in classes)
            for key, dice in self.cases.items()
        }


def _evenly(found: Sequence[VersionBrief]) -> list[VersionBrief]:
    """At most ``MOST_VERSIONS`` by age, the newest among them; by labels alone, not by quality."""
    if len(found) <= MOST_VERSIONS:
        return list(found)
    logs = [math.log(one.labels) for one in found]
    step = (max(logs) - min(logs)) / (MOST_VERSIONS - 2)
    # Where all have equally many labels every place is the same; then the newest speak.
    places = [math.floor((value - min(logs)) / step) if step else 0 for value in logs]
    latest = dict(zip(places, found, strict=True))
    picked = {one.id: one for one in (*latest.values(), found[-1])}
    for one in reversed(found):
        if len(picked) >= MOST_VERSIONS:
            break
        picked.setdefault(one.id, one)
    return [picked[i] for i in sorted(picked)]


def _manifests(session: Session, run_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The manifests of runs as plain JSON: of thousands of entries two values are needed."""
    query = select(RunRow.id, type_coerce(RunRow.manifest, JSON)).where(RunRow.id.in_(run_ids))
    return {run_id: manifest or {} for run_id, manifest in session.execute(query)}


def _hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Case id -> hash of its annotations, of those that surely nobody had seen who judged them."""
    doubtful = {
        fold
        for fold, start in enumerate(manifest.get("starts", ()))
        if start.get("seen", ()) is None
    }
    return {
        entry["case_id"]: entry["content_hash"]
        for entry in manifest.get("entries", ())
        if entry["fold"] not in doubtful
    }
