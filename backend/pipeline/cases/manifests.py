"""The manifest of a run: its annotations, their groups and folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import reading_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.lineage import MAX_GROUP, group_of_task
from backend.pipeline.cases.write import Source
from backend.settings import ProjectSettings
from backend.store.training.cases import add_groups, fold_tables, sets_to_join
from converters.images.groups import GroupKey
from domain.annotation import LeftOut
from domain.case import Manifest, ManifestEntry
from domain.errors import TrainingError
from domain.hashing import content_hash
from domain.labels import LabelConfig
from training.folds.joined_groups import alike_by, join_groups
from training.folds.splits import choose_folds
from training.presets import Preset


def make_manifest(
    context: AppContext,
    config: LabelConfig,
    sources: Sequence[Source],
    left_out: Sequence[LeftOut],
    settings: ProjectSettings,
    preset: Preset,
) -> Manifest:
    """Groups the sources and gives every group its fold; ``keep_folds`` remembers them.

    A task without a group is a group of its own; the manifest says so. Groups that share an image
    become one: one image is never on both sides; by ``join_alike`` also those that share images
    that look alike. With 1 group ``n_folds`` is
    1 and nothing is held out. A case's hash covers its annotations and how they were read.

    Args:
        context: The process's context.
        config: The labelling interface.
        sources: What is trained on, at least 1, of one project.
        left_out: What is not, and why.
        settings: The run's.
        preset: The run's.

    Raises:
        TrainingError: A group key is set, and no task has a group.
    """
    project_id = sources[0].task.project_id
    named_groups = _groups_of(sources, settings.group_key, config)
    named = {s.case_id: named_groups.get(s.case_id, s.own_group)[:MAX_GROUP] for s in sources}
    with context.store.begin() as session:
        tables = fold_tables(session, project_id)
        sets = sets_to_join(session, project_id, settings.join_alike)
    same = alike_by({s.case_id: s.task.image_hash for s in sources})
    alike = [*same, *alike_by({s.case_id: sets.get(s.case_id, "") for s in sources})]
    joined = join_groups(named, alike, {name for table in tables.values() for name in table})
    groups = {case_id: joined.get(group, group) for case_id, group in named.items()}
    chosen = choose_folds(tables, groups.values(), settings.n_folds or preset.n_folds)
    alone = [
        LeftOut(
            s.task.id,
            "no_group",
            f"Task {s.task.id}: no group by group_key '{settings.group_key}'; folds take tasks "
            "without a group one by one.",
            remedy=f"{_where_it_is(settings.group_key)}, or correct the setting: nnloop connect "
            f"{project_id} --group-key KEY",
        )
        for s in sources
        if settings.group_key and s.case_id not in named_groups
    ]
    reading = reading_of(config, settings)
    return Manifest(
        entries=tuple(
            ManifestEntry(
                case_id=source.case_id,
                task_id=source.task.id,
                annotation_id=max(source.annotation_ids),
                annotation_ids=source.annotation_ids,
                content_hash=hash_of_label(source.content_hash, reading),
                group=groups[source.case_id],
                fold=chosen.folds[groups[source.case_id]],
                source=source.task.source,
                image_hash=source.task.image_hash,
            )
            for source in sources
        ),
        left_out=(*left_out, *alone, *_same_images(sources, same, named)),
        class_values=config.class_values,
        n_folds=chosen.n_folds,
        group_key=settings.group_key,
        joined_groups=joined,
    )


def hash_of_label(annotations_hash: str, reading: list[Any]) -> str:
    """What a manifest keeps of a label: equal as long as its annotations and their reading are.

    Args:
        annotations_hash: Of the annotations that count (``snapshots.hash_of``).
        reading: How they are read (``reading_of``).
    """
    return content_hash([annotations_hash, reading])


def keep_folds(session: Session, project_id: int, manifest: Manifest) -> None:
    """Fixes the folds of a manifest's groups for good."""
    folds = {entry.group: entry.fold for entry in manifest.entries}
    known = fold_tables(session, project_id).get(manifest.n_folds, {})
    add_groups(session, project_id, manifest.n_folds, folds, known)


def _same_images(
    sources: Sequence[Source], same: Sequence[Sequence[str]], named: Mapping[str, str]
) -> list[LeftOut]:
    """Remarks on images that several tasks of different groups have."""
    task_ids = {source.case_id: source.task.id for source in sources}
    return [
        LeftOut(
            task_ids[case_id],
            "same_image",
            f"Task {task_ids[case_id]}: the same image as task {task_ids[cases[0]]}; their "
            "groups count as one, so that no fold is judged by what it was trained on.",
            remedy="Delete one of them, if it was imported twice.",
        )
        for cases in same
        for case_id in cases[1:]
        if named[case_id] != named[cases[0]]
    ]


def _groups_of(
    sources: Sequence[Source], group_key: str | None, config: LabelConfig
) -> dict[str, str]:
    """Case id -> group, of the tasks that have one."""
    if not group_key:
        return {}
    project_id = sources[0].task.project_id
    key = GroupKey.parse(group_key)
    groups = {}
    for source in sources:
        group = group_of_task(source.task, key, config.image_key)
        if group is not None:
            groups[source.case_id] = group
    if not groups:
        # To go on would train and validate on the same patients without a word.
        raise TrainingError(
            f"None of the {len(sources)} labelled tasks has a group by group_key '{group_key}'.",
            remedy=f"{_where_it_is(group_key)} and ask for a training (nnloop train {project_id}); "
            f"or correct the setting (nnloop connect {project_id} --group-key KEY; --reset "
            "group_key where there are no groups), and a training starts by itself.",
        )
    return groups


def _where_it_is(group_key: str) -> str:
    """What to do with tasks that have no group."""
    if GroupKey.parse(group_key).pattern is not None:
        return "Name the files by it"
    return f"Fill the field '{group_key}' in the data of the tasks"
