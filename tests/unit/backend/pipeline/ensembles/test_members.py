from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pipeline.ensembles.members import (
    NOT_HELD_OUT,
    Member,
    check_alike,
    joint_manifest,
    same_annotations,
)
from backend.store.models import VersionRow
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import SettingsError
from tests.fakes.documents import run_manifest
from training.presets import TINY
from training.versions.lineage import Judges, Seen, trained_on
from training.versions.version_folder import VersionInfo

CLASSES = ("lumen", "wall")


def member(
    number: int,
    n_folds: int | None,
    tasks: dict[int, int],
    *,
    hashes: dict[int, str] | None = None,
    groups: dict[int, str] | None = None,
    folds: tuple[int, ...] | None = None,
    group_key: str | None = None,
) -> Member:
    """Version ``number``, task -> fold; ``n_folds`` None: trained elsewhere, with 2 folds."""
    info = VersionInfo(f"v{number}", CLASSES, 1, TINY, folds or tuple(range(n_folds or 2)), {})
    entries = tuple(
        ManifestEntry(
            case_id_of_task(task),
            task,
            100 * number + task,
            (hashes or {}).get(task, "same"),
            (groups or {}).get(task, case_id_of_task(task)),
            fold,
        )
        for task, fold in tasks.items()
    )
    row = VersionRow(id=number, name=f"v{number}")
    if n_folds is None:
        return Member(row, info, None)
    manifest = run_manifest(Manifest(entries, (), CLASSES, n_folds, group_key=group_key))
    now = {entry.case_id: entry.group for entry in entries}
    judges = Judges(
        {fold: Seen.of(trained_on(manifest, fold) or (), now) for fold in range(n_folds)},
        now,
        {entry.case_id: entry.fold for entry in entries},
        {entry.group: entry.fold for entry in entries},
    )
    return Member(row, info, manifest, judges)


def _folds(manifest: Manifest) -> dict[int, int]:
    return {entry.task_id: entry.fold for entry in manifest.entries}


def test_members_with_the_same_folds_make_an_ensemble_with_these_folds() -> None:
    first = member(1, 3, {1: 0, 2: 1, 3: 2})
    second = member(2, 3, {1: 0, 2: 1, 3: 2, 4: 0})
    manifest, table = joint_manifest([first, second])
    assert table == ((0, 0), (1, 1), (2, 2))
    assert manifest.n_folds == 3
    assert _folds(manifest) == {1: 0, 2: 1, 3: 2, 4: 0}
    assert manifest.class_values == CLASSES


def test_with_different_numbers_each_uses_its_own_fold() -> None:
    first = member(1, 2, {1: 0, 2: 1, 3: 0})
    second = member(2, 3, {1: 0, 2: 1, 3: 2})
    manifest, table = joint_manifest([first, second])
    assert table == ((0, 0), (0, 2), (1, 1))
    assert [table[fold] for fold in _folds(manifest).values()] == [(0, 0), (1, 1), (0, 2)]


def test_the_manifest_names_the_annotations_behind_any_member() -> None:
    first = member(1, 2, {1: 0, 2: 1})
    second = member(2, 2, {2: 1, 3: 0}, hashes={2: "corrected"})
    for members in ([first, second], [second, first]):
        manifest, _ = joint_manifest(members)
        by_task = {entry.task_id: entry for entry in manifest.entries}
        assert {task: entry.annotation_ids for task, entry in by_task.items()} == {
            1: (101,),
            2: (102, 202),
            3: (203,),
        }
        assert by_task[2].content_hash == "corrected"  # the newest member's


def test_one_trained_elsewhere_answers_with_the_mean_of_its_folds() -> None:
    manifest, table = joint_manifest([member(1, None, {}), member(2, 2, {1: 0, 2: 1})])
    assert table == ((None, 0), (None, 1))
    assert (_folds(manifest), manifest.n_folds) == ({1: 0, 2: 1}, 2)


def test_two_trained_elsewhere_hold_nothing_out() -> None:
    manifest, table = joint_manifest([member(1, None, {}), member(2, None, {})])
    assert (manifest.entries, manifest.n_folds, table) == ((), 1, ((None, None),))


def test_a_case_that_a_member_has_seen_in_all_folds_is_not_judged() -> None:
    on_everything = member(1, 1, {1: 0}, groups={1: "p", 2: "p"})
    second = member(2, 2, {1: 0, 2: 0, 3: 1}, groups={1: "p", 2: "p"})
    manifest, table = joint_manifest([on_everything, second])
    assert _folds(manifest) == {1: NOT_HELD_OUT, 2: NOT_HELD_OUT, 3: 0}
    assert table == ((None, 1),)
    # A version without the fold that held the case out has seen it in all it has.
    lacking = member(3, 3, {1: 0, 2: 1, 3: 2}, folds=(0, 1))
    manifest, _ = joint_manifest([lacking, member(4, 3, {1: 0, 2: 1, 3: 2})])
    assert _folds(manifest)[3] == NOT_HELD_OUT


@given(
    st.dictionaries(st.integers(1, 12), st.integers(0, 2), min_size=1),
    st.dictionaries(st.integers(1, 12), st.integers(0, 4), min_size=1),
)
def test_no_member_ever_judges_what_it_was_trained_on(
    first: dict[int, int], second: dict[int, int]
) -> None:
    members = [member(1, 3, first), member(2, 5, second)]
    manifest, table = joint_manifest(members)
    assert {entry.task_id for entry in manifest.entries} == first.keys() | second.keys()
    for entry in manifest.entries:
        for one, fold in zip(members, table[entry.fold], strict=True):
            own = one.entries.get(entry.case_id)
            assert fold in one.info.folds
            assert own is None or own.fold == fold


def test_cases_count_when_all_were_trained_on_todays_annotations() -> None:
    first = member(1, 2, {1: 0, 2: 1, 3: 0}, hashes={2: "old"})
    second = member(2, 2, {1: 0, 2: 1, 4: 1}, hashes={2: "new", 4: "old"})
    ids = {task: case_id_of_task(task) for task in range(1, 6)}
    now = {ids[1]: "same", ids[2]: "new", ids[3]: "same", ids[4]: "new", ids[5]: "same"}
    # 2 differs for the first, 4 for the second, and nobody knows 5.
    assert same_annotations([first, second], now) == {ids[1], ids[3]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_values": ("wall", "lumen")}, "classes are lumen, wall and wall, lumen"),
        ({"n_channels": 3}, "they take 1 and 3 channels"),
    ],
)
def test_other_classes_and_channels_are_refused(change: dict[str, Any], said: str) -> None:
    first, second = member(1, 2, {1: 0}), member(2, 2, {1: 0})
    check_alike([first, second])
    other = replace(second, info=replace(second.info, **change))
    with pytest.raises(SettingsError, match=f"v1 and v2 can't be averaged: .*{said}"):
        check_alike([first, other])


def test_other_groups_are_refused() -> None:
    first = member(1, 2, {1: 0, 2: 1}, group_key="patient", groups={1: "p"})
    with pytest.raises(SettingsError, match="grouped by 'patient' and None"):
        check_alike([first, member(2, 2, {1: 0})])
    with pytest.raises(SettingsError, match="task_00000001 is of group 'p' for one and 'q'"):
        check_alike([first, member(2, 2, {1: 0}, group_key="patient", groups={1: "q"})])
    check_alike([first, member(2, None, {})])  # nobody knows its groups
