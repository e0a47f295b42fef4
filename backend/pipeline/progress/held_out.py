"""What versions made of the cases they held out, so that they can be compared with one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, select, type_coerce
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.store.models import ProjectRow, RunRow, VersionRow
from backend.store.training import versions
from backend.store.training.versions import VersionBrief
from domain.labels import LabelNames
from domain.states import VersionOrigin, VersionStatus
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
    """The versions trained here that can be compared with the one that speaks for now.

    That is the newest one that the gate has not refused (where it refused all, the newest): a trial
    with another preset or little time says nothing about the project. Compared is the Dice of an
    image in its classes, of cases that no fold had seen as far as anybody can tell. Also versions
    that the gate refused are among them, where they were trained as it was: those that served alone
    would look better than trainings are. Of more than ``MOST_VERSIONS`` some are looked at, evenly
    over the logarithm of their labels.

    Returns:
        The versions, the one that speaks for now last; and those left out, oldest first.
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
    trainings = _trainings(session, [one.run_id for one in chosen if one.run_id is not None])
    names = label_names_of(project)
    found = [
        _Version.of(rows[one.id], trainings.get(one.run_id or 0, _Training()), names)
        for one in chosen
    ]
    able = [one for one in reversed(found) if one.cases]
    if not able:
        return (), tuple(LeftOutVersion(one.name, "it held no case out") for one in found)
    now = next((one for one in able if not one.is_refused), able[0])
    compared, left_out = [], []
    for one in found:
        if reason := one.why_not_beside(now):
            left_out.append(LeftOutVersion(one.name, reason))
        else:
            compared.append(HeldOut(one.name, one.labels, one.qualities(now.classes)))
    return tuple(sorted(compared, key=lambda one: one.name == now.name)), tuple(left_out)


@dataclass(frozen=True, slots=True)
class _Training:
    """How a version was trained: its manifest as plain JSON, and the run's own time budget."""

    manifest: Mapping[str, Any] = field(default_factory=dict)
    budget_s: float | None = None

    @property
    def preset(self) -> str:
        return str((self.manifest.get("preset") or {}).get("name", ""))

    @property
    def seconds(self) -> float | None:
        """That training was allowed; None: no limit."""
        own = (self.manifest.get("preset") or {}).get("budget_s")
        return (own if self.budget_s is None else self.budget_s) or None


@dataclass(frozen=True, slots=True)
class _Version:
    """A version in the words of now.

    Attributes:
        name: Its name.
        labels: It was trained on.
        classes: Those it predicts.
        cases: Case and its label then -> Dice of each class, of cases held out for certain.
        preset: It was trained with.
        seconds: It was allowed to train; None: no limit.
        is_refused: By the gate.
    """

    name: str
    labels: int
    classes: frozenset[str]
    cases: Mapping[str, ClassDice]
    preset: str
    seconds: float | None
    is_refused: bool

    @classmethod
    def of(cls, row: VersionRow, training: _Training, names: LabelNames) -> _Version:
        hashes = _hashes(training.manifest)
        return cls(
            name=row.name,
            labels=row.metrics.labels,
            classes=frozenset(names.renamed(row.metrics.oof_dice)),
            cases={
                f"{case_id} {hashes[case_id]}": names.renamed(dice)
                for case_id, dice in row.metrics.dice_per_case.items()
                if case_id in hashes
            },
            preset=training.preset,
            seconds=training.seconds,
            is_refused=row.status == VersionStatus.REJECTED,
        )

    def why_not_beside(self, now: _Version) -> str:
        """Why it can't be compared with the one of now, half a sentence; "" where it can."""
        if not self.cases:
            return "it held no case out, or nobody can tell what its weights had seen before"
        if lacking := sorted(now.classes - self.classes):
            return f"it does not know {', '.join(lacking)}"
        if self.preset != now.preset:
            return f"it was trained with the preset {self.preset}, {now.name} with {now.preset}"
        if self.seconds != now.seconds:
            return f"it was trained {_within(self.seconds)}, {now.name} {_within(now.seconds)}"
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


def _within(seconds: float | None) -> str:
    return "without a time limit" if seconds is None else f"within {seconds:g} s"


def _trainings(session: Session, run_ids: Sequence[int]) -> dict[int, _Training]:
    """Of runs, by id. Manifests as plain JSON: of thousands of entries two values are needed."""
    query = select(
        RunRow.id, type_coerce(RunRow.manifest, JSON), type_coerce(RunRow.settings, JSON)
    ).where(RunRow.id.in_(run_ids))
    return {
        run_id: _Training(manifest or {}, (settings or {}).get("budget_s"))
        for run_id, manifest, settings in session.execute(query)
    }


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
