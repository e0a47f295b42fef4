"""Names of groups as they are now, of cases that nobody holds out any more."""

from __future__ import annotations

import pytest

from backend.pipeline.basis.lineage import GroupsNow
from backend.store.models import CaseRow, TaskRow
from backend.store.training.cases import save_case
from domain.case import ManifestEntry
from tests.fakes.app import PROJECT, FakeApp
from training.versions.manifests import SeenCase


def _entry(task_id: int, group: str) -> ManifestEntry:
    return ManifestEntry(f"case{task_id}", task_id, task_id, "h", group, 0, source=f"s{task_id}")


def _seen(task_id: int, group: str = "", key: str | None = None) -> SeenCase:
    name = f"case{task_id}"
    return SeenCase(name, task_id, f"s{task_id}", "", group or name, key)


def _add(app: FakeApp, task_id: int, patient: str, alike: str = "") -> None:
    app.add_tasks(task_id)
    with app.store.begin() as session:
        row = session.get_one(TaskRow, task_id)
        row.data, row.source = {**row.data, "patient": patient}, f"s{task_id}"
        save_case(
            session,
            CaseRow(
                project_id=PROJECT,
                case_id=f"case{task_id}",
                task_id=task_id,
                source_hash="",
                files_hash="",
                alike=alike,
            ),
        )


def _is_seen(app: FakeApp, seen: SeenCase, entry: ManifestEntry) -> bool | None:
    """None where nobody can tell."""
    with app.store.begin() as session:
        now = GroupsNow.today(session, PROJECT)
        names = GroupsNow(session, now.image_key, now.group_key, (entry,), sets=now.sets).of([seen])
    if not names.are_known:
        return None
    return bool(names.seen([seen]).seen_of([entry], names.groups))


def test_a_key_that_was_set_later_tells_of_a_case_that_is_no_longer_labelled(app: FakeApp) -> None:
    _add(app, 1, "p")
    assert _is_seen(app, _seen(1), _entry(2, "p")) is False
    app.change_settings(group_key="patient")
    assert _is_seen(app, _seen(1), _entry(2, "p")) is True
    assert _is_seen(app, _seen(1), _entry(2, "q")) is False


@pytest.mark.parametrize(
    ("key", "expected"),
    # Under the key of then its name of then is what there is; under another nobody can tell.
    [("patient", True), ("site", None), (None, False)],
)
def test_a_task_whose_id_another_has_now_keeps_its_name_of_then(
    app: FakeApp, key: str | None, expected: bool | None
) -> None:
    _add(app, 1, "q")
    with app.store.begin() as session:
        session.get_one(TaskRow, 1).source = "another task"
    app.change_settings(group_key=key)
    seen = _seen(1, "p", "patient")
    entry = _entry(2, "p" if key else "case2")
    assert _is_seen(app, seen, entry) is expected


@pytest.mark.parametrize("join_alike", [True, False])
def test_what_looks_alike_counts_where_the_project_joins_it(app: FakeApp, join_alike: bool) -> None:
    _add(app, 1, "p", alike="x")
    _add(app, 2, "q", alike="x")
    app.change_settings(join_alike=join_alike)
    assert _is_seen(app, _seen(1), _entry(2, "case2")) is join_alike
