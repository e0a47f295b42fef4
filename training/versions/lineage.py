"""What the weights of a fold were trained on, those they started from included."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from domain.case import Manifest, ManifestEntry
from training.versions.manifests import RunManifest, SeenCase

Groups = Mapping[str, str]
"""Case id -> its group as it is called now."""


def trained_on(manifest: RunManifest, fold: int) -> tuple[SeenCase, ...] | None:
    """All that a fold of a run was trained on, back to fresh weights.

    A fold that started from another keeps what that one had seen (``FoldStart.seen``), which kept
    it of the one before: so one manifest tells of the whole lineage.

    Returns:
        None where nobody can tell: the manifest does not say how the fold started, or it started
        from weights that were trained elsewhere.
    """
    start = manifest.start_of(fold)
    if start is None or start.seen is None:
        return None
    return tuple(dict.fromkeys([*own_cases(manifest, fold), *start.seen]))


def own_cases(manifest: Manifest, fold: int) -> tuple[SeenCase, ...]:
    """What the training of a fold has shown it, without what it started from.

    The only fold of a set with one group is trained on everything.
    """
    return tuple(
        SeenCase(e.case_id, e.task_id, e.source, e.image_hash, e.group, manifest.group_key)
        for e in manifest.entries
        if manifest.n_folds < 2 or e.fold != fold
    )


def handed_down(seen: Iterable[SeenCase], manifest: RunManifest, fold: int) -> tuple[SeenCase, ...]:
    """``FoldStart.seen`` of a fold that starts from weights that were trained on ``seen``."""
    own = set(own_cases(manifest, fold))
    return tuple(case for case in dict.fromkeys(seen) if case not in own)


@dataclass(frozen=True)
class Seen:
    """What somebody who judges cases was trained on, in the names of then and of now.

    A case counts as seen when it was trained on itself, or its image under another name, or one
    that shares a group with it: as groups were called when it was trained on, or as they are now.

    Attributes:
        cases: Case ids.
        images: Hashes of images.
        groups: Names of groups, of then and of now.
    """

    cases: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, trained: Collection[SeenCase], groups: Groups, joined: Mapping[str, str] | None = None
    ) -> Seen:
        """Of what weights were trained on.

        Args:
            trained: ``trained_on``.
            groups: Of these cases, as they are called now; one that is missing is gone, and its
                name of then is all there is.
            joined: Name of a group -> what it is called since it is one with others.
        """
        then = {case.group for case in trained}
        return cls(
            frozenset(case.case_id for case in trained),
            frozenset(case.image_hash for case in trained) - {""},
            frozenset(then)
            | frozenset((joined or {}).get(name, name) for name in then)
            | frozenset(groups[case.case_id] for case in trained if case.case_id in groups),
        )

    def __or__(self, other: Seen) -> Seen:
        """What two that judge together have seen."""
        return Seen(
            self.cases | other.cases, self.images | other.images, self.groups | other.groups
        )

    def seen_of(self, entries: Collection[ManifestEntry], groups: Groups) -> frozenset[str]:
        """Ids of the cases among ``entries`` that count as seen.

        Args:
            entries: With the names of then.
            groups: Of these cases, as they are called now; ``entry.group`` where one is missing.
        """
        now = {entry.case_id: groups.get(entry.case_id, entry.group) for entry in entries}
        of_seen = {
            now[entry.case_id]
            for entry in entries
            if entry.case_id in self.cases
            or entry.image_hash in self.images
            or now[entry.case_id] in self.groups
        }
        return frozenset(case_id for case_id, group in now.items() if group in of_seen)


@dataclass(frozen=True)
class Judges:
    """The folds of a version as judges: which of them may judge a case.

    Attributes:
        seen: Fold -> what it has seen; a fold of which that can't be told is missing.
        groups: Of the cases that are judged, and of all that was seen, as they are called now.
        fold_of_case: Case id -> the fold that held it out in the version's own training.
        fold_of_group: The same of groups, as they were called then.
        doubtful: Folds that started from weights of which nobody can tell what they have seen.
    """

    seen: Mapping[int, Seen]
    groups: Groups = field(default_factory=dict)
    fold_of_case: Mapping[str, int] = field(default_factory=dict)
    fold_of_group: Mapping[str, int] = field(default_factory=dict)
    doubtful: frozenset[int] = frozenset()

    def of(self, entries: Collection[ManifestEntry], folds: Collection[int]) -> dict[str, int]:
        """Case id -> the fold that judges it; a case that no fold may judge is missing.

        The fold that held the case or its group out, where it has not seen it in any way; else one
        that has not, dealt out by the entries' own folds.

        Args:
            entries: The cases.
            folds: Those the version has.
        """
        there = sorted(self.seen.keys() & set(folds))
        seen = {fold: self.seen[fold].seen_of(entries, self.groups) for fold in there}
        found: dict[str, int] = {}
        for entry in entries:
            own = self.fold_of_case.get(entry.case_id, self.fold_of_group.get(entry.group))
            start = entry.fold % max(len(there), 1)
            turned = [*there[start:], *there[:start]]
            for fold in turned if own not in seen else [own, *turned]:
                if entry.case_id not in seen[fold]:
                    found[entry.case_id] = fold
                    break
        return found

    def never_seen(self, entries: Collection[ManifestEntry]) -> frozenset[str]:
        """Ids of the cases that no fold has seen; none where that can't be told of every fold."""
        everything = Seen()
        for seen in self.seen.values():
            everything |= seen
        return frozenset(e.case_id for e in entries) - everything.seen_of(entries, self.groups)
