"""Member: a version as part of an ensemble; what all members were trained on together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.lineage import GroupsNow, judges_of
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.training import versions
from domain.case import Manifest, ManifestEntry
from domain.errors import SettingsError
from training.versions.ensembles import check_weights
from training.versions.lineage import Judges
from training.versions.version_folder import VersionInfo, read_version

NOT_HELD_OUT = -1
"""Fold of a case that no fold of the ensemble may judge: a member has seen it in all its folds."""

MemberFolds = tuple[int | None, ...]
"""Per member the fold that predicts a case; None: the mean of all its folds."""


@dataclass(frozen=True)
class Member:
    """A version that may be part of an ensemble.

    Attributes:
        row: In the store.
        info: Its version.json, its classes as they are called now.
        manifest: What it was trained on; None when it was trained elsewhere.
        judges: Which of its folds may judge a case; None when it was trained elsewhere.
    """

    row: VersionRow
    info: VersionInfo
    manifest: Manifest | None
    judges: Judges | None = None

    @classmethod
    def of(cls, session: Session, row: VersionRow, now: GroupsNow) -> Member:
        """Reads a version; ``now``: what groups are called now.

        Raises:
            SettingsError: It is an ensemble itself, or was pruned.
            PredictionError: Its folder or its weights are gone.
        """
        if row.pruned_at is not None:
            raise SettingsError(
                f"{row.name} was pruned: its weights are gone.",
                remedy="Choose another (`nnloop models list`).",
            )
        info = read_version(Path(row.path))
        if info.members:
            raise SettingsError(
                f"{row.name} is an ensemble itself, of {', '.join(info.members)}.",
                remedy="Name its members.",
            )
        check_weights(Path(row.path), info)
        manifest = versions.manifest_of(session, row)
        names = label_names_of(projects.get(session, row.project_id))
        info = replace(info, class_values=names.current_names(info.class_values))
        if manifest is None:
            return cls(row, info, None)
        judges = judges_of(session, row, manifest, info.folds, now)
        return cls(row, info, manifest, judges)

    @property
    def name(self) -> str:
        """The version's."""
        return self.row.name

    @property
    def holds_out(self) -> bool:
        """Whether each of its cases was held out by one of its folds."""
        return self.manifest is not None and self.manifest.n_folds > 1

    @cached_property
    def entries(self) -> dict[str, ManifestEntry]:
        """What it was trained on, by case id."""
        return {entry.case_id: entry for entry in self.manifest.entries} if self.manifest else {}

    @property
    def is_doubtful(self) -> bool:
        """Whether it may have seen what it judges: nobody can tell what it started from."""
        return self.judges is None or bool(self.judges.doubtful)

    def judge(self, entries: Sequence[ManifestEntry]) -> dict[str, int | None]:
        """Case id -> the fold that may judge it, None: the mean of all; other cases are missing.

        Of a version trained elsewhere nobody knows what it has seen; it judges all.
        """
        if self.judges is None:
            return dict.fromkeys((entry.case_id for entry in entries), None)
        chosen = self.judges.of(entries, self.info.folds)
        return {case_id: fold if self.holds_out else None for case_id, fold in chosen.items()}


def check_alike(members: Sequence[Member]) -> None:
    """Refuses members that can't be averaged, or whose held-out cases can't be matched.

    Raises:
        SettingsError: Classes, channels or groups differ; the message names both versions.
    """
    first = members[0]
    for other in members[1:]:
        fault = why_unlike(first, other)
        if fault:
            raise SettingsError(
                f"{first.name} and {other.name} can't be averaged: {fault}.",
                remedy="Choose versions that were trained on the same labels, images and groups.",
            )


def why_unlike(first: Member, other: Member) -> str:
    """What keeps two versions from being averaged; "" where nothing does."""
    if first.info.class_values != other.info.class_values:
        ours, theirs = (", ".join(m.info.class_values) for m in (first, other))
        return f"their classes are {ours} and {theirs}"
    if first.info.n_channels != other.info.n_channels:
        return f"they take {first.info.n_channels} and {other.info.n_channels} channels"
    if first.manifest is None or other.manifest is None:
        return ""
    keys = (first.manifest.group_key, other.manifest.group_key)
    if keys[0] != keys[1]:
        return f"their cases are grouped by {keys[0]!r} and {keys[1]!r}"
    for case_id in sorted(first.entries.keys() & other.entries.keys()):
        ours, theirs = first.entries[case_id].group, other.entries[case_id].group
        if ours != theirs:
            return f"{case_id} is of group {ours!r} for one and {theirs!r} for the other"
    return ""


def joint_manifest(members: Sequence[Member]) -> tuple[Manifest, tuple[MemberFolds, ...]]:
    """What all members were trained on, in folds of the ensemble.

    A fold of the ensemble is a fold of each member: the case is predicted by them, and none has
    seen it or its group in its whole lineage. Members with the same number of folds share their
    folds (the fold of a group
    never changes), so the ensemble has the same; with different numbers it has one fold for each
    combination that occurs. A case with different annotations in two members is listed with
    the newest member's hash and the annotations of all.

    Args:
        members: Alike (``check_alike``), at least 1.

    Returns:
        The manifest, its ``n_folds`` 1 where nothing was held out, and the members' folds of fold
        0, 1, ... A case that a member has seen in all folds has fold ``NOT_HELD_OUT``. Groups are
        as the manifests call them.
    """
    newest_first = sorted(members, key=lambda member: -member.row.id)
    entries: dict[str, ManifestEntry] = {}
    for member in newest_first:
        for case_id, entry in member.entries.items():
            known = entries.setdefault(case_id, entry)
            ids = tuple(sorted({*known.annotation_ids, *entry.annotation_ids}))
            entries[case_id] = replace(known, annotation_ids=ids)
    judges = [member.judge(tuple(entries.values())) for member in members]
    rows = {
        case_id: tuple(judge[case_id] for judge in judges)
        for case_id in entries
        if all(case_id in judge for judge in judges)
    }
    # None can't be compared with numbers; a member has either None or a number in every row.
    table = sorted(set(rows.values()), key=lambda row: [-1 if k is None else k for k in row])
    folds = {row: number for number, row in enumerate(table)}
    manifest = Manifest(
        entries=tuple(
            replace(entry, fold=folds[rows[case_id]] if case_id in rows else NOT_HELD_OUT)
            for case_id, entry in sorted(entries.items())
        ),
        class_values=members[0].info.class_values,
        n_folds=max(1, len(table)),
        group_key=next((m.manifest.group_key for m in newest_first if m.manifest), None),
    )
    return manifest, tuple(table) or ((None,) * len(members),)


def same_annotations(members: Sequence[Member], hashes: dict[str, str]) -> set[str]:
    """Cases whose annotations every member that knows them was trained on as they are now.

    Args:
        members: At least 1.
        hashes: Case id -> hash of the annotations that its label map on the disk was made from.
    """
    return {
        case_id
        for case_id, now in hashes.items()
        if all(
            member.entries[case_id].content_hash == now
            for member in members
            if case_id in member.entries
        )
        and any(case_id in member.entries for member in members)
    }
