from __future__ import annotations

import pytest

from backend.pipeline.evaluate.chosen_cases import Judging, Split, choose_cases, entries_of
from backend.store.models import AnnotationRow, TaskRow
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import PredictionError
from tests.fakes.documents import run_manifest
from training.versions.lineage import Judges, Seen, trained_on


def source(task_id: int, group: str = "") -> tuple[TaskRow, tuple[AnnotationRow, ...]]:
    task = TaskRow(id=task_id, project_id=1, data={"patient": group})
    return task, (AnnotationRow(id=task_id, task_id=task_id, project_id=1),)


def group_of(task: TaskRow) -> str:
    return str(task.data["patient"] or case_id_of_task(task.id))


def manifest(*folds: int, n_folds: int = 2) -> Manifest:
    """Task i + 1 of patient p(i + 1), held out by folds[i]."""
    return Manifest(
        tuple(
            ManifestEntry(case_id_of_task(i), i, i, "hash", f"p{i}", fold)
            for i, fold in enumerate(folds, start=1)
        ),
        class_values=("lumen",),
        n_folds=n_folds,
    )


LABELLED = [source(1, "p1"), source(2, "p2"), source(4, "p2"), source(5, "p9")]


def chosen(split: Split | None, found: Manifest | None, folds: tuple[int, ...] = (0, 1)):  # type: ignore[no-untyped-def]
    entries, _ = entries_of(found, LABELLED, group_of)
    groups = {entry.case_id: entry.group for entry in entries}
    judging = Judging({}, frozenset())
    if found is not None:
        kept = run_manifest(found)
        judges = Judges(
            {fold: Seen.of(trained_on(kept, fold) or (), groups) for fold in folds},
            groups,
            {entry.case_id: entry.fold for entry in found.entries},
            {entry.group: entry.fold for entry in found.entries},
        )
        judging = Judging(judges.of(entries, folds), judges.never_seen(entries))
    labelled = list(zip(entries, LABELLED, strict=True))
    cases, problems = choose_cases("v", found, labelled, split, judging)
    return [(c.task.id, c.fold) for c in cases], [(p.case_id[-1], p.reason) for p in problems]


def test_each_training_case_goes_to_the_fold_that_has_not_seen_it() -> None:
    # Task 3 has lost its annotation since.
    expected = ([(1, 0), (2, 1)], [("3", "not_labelled")])
    assert chosen(Split.OOF, manifest(0, 1, 0)) == expected
    assert chosen(None, manifest(0, 1, 0)) == expected


def test_new_tasks_go_to_all_folds_unless_their_patient_was_trained_on() -> None:
    assert chosen(Split.NEW, manifest(0, 1, 0)) == ([(4, 1), (5, None)], [])
    cases, problems = chosen(Split.ALL, manifest(0, 1, 0))
    assert cases == [(1, 0), (2, 1), (4, 1), (5, None)]
    assert problems == [("3", "not_labelled")]


def test_a_case_whose_fold_was_not_trained_has_no_judge() -> None:
    cases, problems = chosen(Split.ALL, manifest(0, 1), folds=(0,))
    assert cases == [(1, 0), (5, None)]
    assert problems == [("2", "seen"), ("4", "seen")]


@pytest.mark.parametrize("split", [Split.OOF, Split.ALL])
@pytest.mark.parametrize(
    ("found", "words"), [(manifest(0, 0, n_folds=1), "all of its cases"), (None, "elsewhere")]
)
def test_without_held_out_cases_that_is_said(
    split: Split, found: Manifest | None, words: str
) -> None:
    with pytest.raises(PredictionError, match=words):
        chosen(split, found)


def test_without_held_out_cases_new_ones_remain() -> None:
    cases, problems = chosen(None, manifest(0, 0, n_folds=1), folds=(0,))
    assert (cases, problems) == ([(5, None)], [("4", "seen")])  # of a patient trained on
    assert chosen(None, None)[0] == [(1, None), (2, None), (4, None), (5, None)]
