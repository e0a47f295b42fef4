"""What versions have seen, by the groups of today: who may judge a case, and be started from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.images import image_keys_of
from backend.store import projects
from backend.store.identity import CHUNK
from backend.store.models import ProjectRow, TaskRow, VersionRow
from backend.store.training import versions
from backend.store.training.cases import sets_to_join
from converters.images.groups import GroupKey
from domain.annotation import Task
from domain.case import Manifest, ManifestEntry, case_id_of_task
from training.folds.joined_groups import alike_by, join_groups
from training.versions.lineage import Judges, Seen, own_cases, trained_on
from training.versions.manifests import EnsembleManifest, RunManifest, SeenCase

MAX_GROUP = 255
"""Characters of a group's name that count: the width of the column."""


def group_of_task(row: TaskRow, key: GroupKey, image_key: str) -> str | None:
    """The group of a task by a group key; None where it has none.

    Args:
        row: The task.
        key: The project's.
        image_key: The data field that names its image.
    """
    group = key.group_of(Task(row.id, row.project_id, row.data), image_key)
    return None if group is None else group[:MAX_GROUP]


@dataclass(frozen=True, slots=True)
class NamesNow:
    """What groups are called now.

    Attributes:
        groups: Case id -> group.
        joined: Name -> what it is called since it is one with others.
        are_known: Whether none of ``groups`` is a guess.
    """

    groups: dict[str, str]
    joined: dict[str, str]
    are_known: bool

    def seen(self, trained: Collection[SeenCase]) -> Seen:
        """What somebody has seen who was trained on these cases."""
        return Seen.of(trained, self.groups, self.joined)


@dataclass(frozen=True)
class GroupsNow:
    """What groups are called now: those of some cases, and of all that somebody was trained on.

    Attributes:
        session: Of the store.
        image_key: The data field that names a task's image; None where that can't be read.
        group_key: The setting that explains the groups of now.
        entries: The cases that are to be judged or held out, in their groups of now.
        joined: ``Manifest.joined_groups`` of these.
        sets: Case id -> set of cases that look alike, where these count as one group.
        base: What else takes part, so that several askers call groups alike.
    """

    session: Session
    image_key: str | None
    group_key: str | None
    entries: tuple[ManifestEntry, ...]
    joined: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    base: tuple[SeenCase, ...] = ()

    @classmethod
    def by(cls, session: Session, project_id: int, manifest: Manifest) -> GroupsNow:
        """As a manifest calls them."""
        project = projects.get(session, project_id)
        keys = image_keys_of(project.label_config, project.settings)
        return cls(
            session,
            keys[0] if keys else None,
            manifest.group_key,
            manifest.entries,
            manifest.joined_groups,
            _sets(session, project),
        )

    @classmethod
    def today(cls, session: Session, project_id: int) -> GroupsNow:
        """As the project's setting and the tasks call them at this moment."""
        project = projects.get(session, project_id)
        keys = image_keys_of(project.label_config, project.settings)
        return cls(
            session,
            keys[0] if keys else None,
            project.settings.group_key,
            (),
            sets=_sets(session, project),
        )

    def of(self, seen: Collection[SeenCase]) -> NamesNow:
        """What the groups of the entries, and of what was seen, are called.

        The group of a case whose task is gone for good, id and all, is not known where it had its
        name by another group key.
        """
        groups = {entry.case_id: entry.group for entry in self.entries}
        images = {entry.case_id: entry.image_hash for entry in self.entries}
        others = {c.case_id: c for c in (*self.base, *seen) if c.case_id not in groups}
        rows = self._rows({case.task_id for case in others.values()})
        is_known = True
        for case_id, case in others.items():
            row = rows.get(case.task_id)
            is_there = row is not None and row.source == case.source
            group = self.group_of(row) if row is not None and is_there else None
            if group is None and self.group_key is None:
                group = case_id_of_task(case.task_id)
            if group is None and case.group_key == self.group_key:
                group = case.group
            is_known &= group is not None
            groups[case_id] = group or case.group
            images[case_id] = row.image_hash if row is not None and is_there else case.image_hash
        groups = {case_id: self.joined.get(name, name) for case_id, name in groups.items()}
        sets = {case_id: self.sets.get(case_id, "") for case_id in groups}
        joined = join_groups(groups, [*alike_by(images), *alike_by(sets)])
        return NamesNow(
            {case_id: joined.get(name, name) for case_id, name in groups.items()},
            {**{name: joined.get(now, now) for name, now in self.joined.items()}, **joined},
            is_known,
        )

    def group_of(self, row: TaskRow) -> str | None:
        """The group of a task; None where it can't be read."""
        if self.group_key is None:
            return case_id_of_task(row.id)
        key = GroupKey.parse(self.group_key)
        if self.image_key is None and key.pattern is not None:
            return None
        return group_of_task(row, key, self.image_key or "") or case_id_of_task(row.id)

    def _rows(self, ids: Iterable[int]) -> dict[int, TaskRow]:
        wanted = sorted(ids)
        rows: dict[int, TaskRow] = {}
        for start in range(0, len(wanted), CHUNK):
            query = select(TaskRow).where(TaskRow.id.in_(wanted[start : start + CHUNK]))
            rows.update({row.id: row for row in self.session.scalars(query)})
        return rows


def _sets(session: Session, project: ProjectRow) -> dict[str, str]:
    return sets_to_join(session, project.id, project.settings.join_alike)


def seen_of_fold(
    session: Session, version: VersionRow, fold: int | None
) -> tuple[SeenCase, ...] | None:
    """What a fold of a version was trained on, its ancestors and members included.

    Args:
        session: Of the store.
        version: Any.
        fold: One of its folds; None: all of them.

    Returns:
        None where nobody can tell.
    """
    manifest = versions.manifest_of(session, version)
    if manifest is None:
        return None
    if isinstance(manifest, RunManifest):
        parts = [
            trained_on(manifest, k) for k in (range(manifest.n_folds) if fold is None else [fold])
        ]
    else:
        parts = [
            _seen_of_member(session, version.project_id, name, k)
            for name, k in _members(manifest, fold)
        ]
    if not parts or any(part is None for part in parts):
        return None
    return tuple(dict.fromkeys(case for part in parts if part for case in part))


def _seen_of_member(
    session: Session, project_id: int, name: str, fold: int | None
) -> tuple[SeenCase, ...] | None:
    found = versions.by_name(session, name, project_id)
    return seen_of_fold(session, found[0], fold) if found else None


def _members(manifest: EnsembleManifest, fold: int | None) -> Sequence[tuple[str, int | None]]:
    """Of an ensemble's fold: its members with their folds; nobody's where it can't be told."""
    if fold is None or not manifest.member_folds:
        return [(name, None) for name in manifest.members]
    return [
        (name, folds[fold]) if 0 <= fold < len(folds) else ("", None)
        for name, folds in manifest.member_folds.items()
    ]


def judges_of(
    session: Session,
    version: VersionRow,
    manifest: Manifest,
    folds: Collection[int],
    now: GroupsNow,
) -> Judges:
    """Who of a version's folds has seen what.

    Args:
        session: Of the store.
        version: One that was not trained elsewhere.
        manifest: Its own.
        folds: Those it has.
        now: What groups are called now.
    """
    return judges_by({fold: seen_of_fold(session, version, fold) for fold in folds}, manifest, now)


def judges_by(
    trained: Mapping[int, Sequence[SeenCase] | None], manifest: Manifest, now: GroupsNow
) -> Judges:
    """Who of some folds has seen what.

    Args:
        trained: Fold -> what it was trained on, with its ancestors; None where nobody can tell.
        manifest: Of their run, or ensemble.
        now: What groups are called now.
    """
    known = {
        fold: part if part is not None else own_cases(manifest, fold)
        for fold, part in trained.items()
    }
    names = now.of(list(dict.fromkeys(case for part in known.values() for case in part)))
    return Judges(
        {fold: names.seen(part) for fold, part in known.items()} if names.are_known else {},
        names.groups,
        {entry.case_id: entry.fold for entry in manifest.entries},
        {entry.group: entry.fold for entry in manifest.entries},
        frozenset(fold for fold, part in trained.items() if part is None),
    )


def names_for_all(session: Session, project_id: int, rows: Iterable[VersionRow]) -> GroupsNow:
    """What groups are called today, alike for several versions that judge together."""
    seen = (seen_of_fold(session, row, None) or () for row in rows)
    base = tuple(dict.fromkeys(case for part in seen for case in part))
    return replace(GroupsNow.today(session, project_id), base=base)


def unseen_by_their_folds(
    session: Session, version: VersionRow, manifest: Manifest, now: GroupsNow
) -> frozenset[str]:
    """Ids of a version's own cases that the folds which held them out have not seen.

    They had not when it was trained; by the groups of now they may have.

    Args:
        session: Of the store.
        version: Any.
        manifest: Its own; without entries where it was trained elsewhere.
        now: What groups are called now.
    """
    folds = {entry.fold for entry in manifest.entries if entry.fold >= 0}
    judges = judges_of(session, version, manifest, folds, now)
    chosen = judges.of(manifest.entries, folds)
    return frozenset(e.case_id for e in manifest.entries if chosen.get(e.case_id) == e.fold)
