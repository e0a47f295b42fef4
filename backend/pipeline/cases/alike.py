"""Cases whose images look alike: told of where folds part them. Loads no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.projects import Fault
from backend.store.training import runs
from backend.store.training.cases import sets_of_alike
from domain.case import ManifestEntry
from domain.text import counted

REASON = "alike"
"""Of the problem that tells of them."""


def parted(
    entries: Iterable[ManifestEntry], sets: Mapping[str, str]
) -> list[tuple[ManifestEntry, ...]]:
    """The sets of cases that look alike and lie in different folds, the largest first."""
    found = [one for one in _members(entries, sets) if len({entry.fold for entry in one}) > 1]
    return sorted(found, key=lambda one: (-len(one), one[0].task_id))


def _members(
    entries: Iterable[ManifestEntry], sets: Mapping[str, str]
) -> list[tuple[ManifestEntry, ...]]:
    """The entries of each set, those of no set left out."""
    members: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        if entry.case_id in sets:
            members.setdefault(sets[entry.case_id], []).append(entry)
    return [tuple(one) for one in members.values()]


def sets_of_project(context: AppContext, project_id: int) -> list[tuple[ManifestEntry, ...]]:
    """The sets of cases of the last training that look alike, those that folds part first.

    Raises:
        NotConnectedError: nnloop does not know the project.
    """
    with context.store.read() as session:
        projects.get(session, project_id)
        # The manifests are read one by one, until there is one.
        newest = runs.runs_of(session, project_id)
        manifest = next((run.manifest for run in newest if run.manifest), None)
        sets = sets_of_alike(session, project_id)
    found = [one for one in _members(manifest.entries if manifest else (), sets) if len(one) > 1]
    return sorted(found, key=lambda one: (len({e.fold for e in one}) < 2, one[0].task_id))


def fault_of(found: Sequence[Sequence[ManifestEntry]], project: str) -> Fault | None:
    """What is told of them; None of none. ``project`` is the project's title, for commands."""
    if not found:
        return None
    n = sum(map(len, found))
    return Fault(
        REASON,
        f"{counted(n, 'labelled image')} in {counted(len(found), 'set')} look like others that "
        "another fold holds out (copies, frames of one video, one place): held-out Dice are too "
        "good.",
        f"`nnloop alike {project}` lists them; `nnloop connect {project} --join-alike` makes each "
        "set one group.",
    )
