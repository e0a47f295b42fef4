"""Cases are compared once, by what they show; what can't be done now is done by the next one."""

from __future__ import annotations

import numpy as np
import pytest

from backend.pipeline.cases import compare
from backend.pipeline.cases.alike import sets_of_project
from backend.store.models import CaseRow
from backend.store.training.cases import cases_of, sets_of_alike, sets_to_join
from backend.store.training.looks import CaseLookRow, uncompared
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png, polygon
from tests.unit.backend.pipeline.preparing import folds_of, prepare
from tests.unit.converters.images.test_same_view import Image, cut, organ, turned
from training.pretrained import EMBEDDING

pytestmark = pytest.mark.usefixtures("_no_preprocessing")


def _add(app: FakeApp, task_id: int, image: Image) -> None:
    app.label_studio.add_task(task_id, np.ascontiguousarray(image))
    app.label_studio.label(task_id, polygon("lumen"), polygon("wall", at=65, size=20))


def _sets(app: FakeApp) -> list[set[int]]:
    """Task ids of each set; one that the others have left is none."""
    with app.store.read() as session:
        task_ids = {case_id: row.task_id for case_id, row in cases_of(session, PROJECT).items()}
        found: dict[str, set[int]] = {}
        for case_id, name in sets_of_alike(session, PROJECT).items():
            found.setdefault(name, set()).add(task_ids[case_id])
    return sorted((one for one in found.values() if len(one) > 1), key=min)


def _todo(app: FakeApp, kind: str = EMBEDDING) -> int:
    with app.store.read() as session:
        return len(uncompared(session, PROJECT, kind))


@pytest.mark.parametrize("has_weights", [True, False])
def test_a_cut_and_a_turned_copy_are_found_and_are_one_group(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch, has_weights: bool
) -> None:
    monkeypatch.setattr(compare, "has_weights", lambda: has_weights)
    for task_id in range(1, 11):
        _add(app, task_id, organ(task_id))
    prepare(app)
    assert _sets(app) == []
    _add(app, 20, cut(organ(5), 0.05, 0.05, 0.9) if has_weights else organ(5)[:-8, 8:])
    _add(app, 21, turned(organ(8), 3.0))
    manifest = prepare(app)
    assert _sets(app) == [{5, 20}, {8, 21}]
    groups = {entry.task_id: entry.group for entry in manifest.entries}
    assert groups[5] == groups[20] != groups[8] == groups[21]
    assert len(set(groups.values())) == 10
    assert folds_of(manifest)[5] == folds_of(manifest)[20]
    assert _todo(app, EMBEDDING if has_weights else "") == 0


def test_most_images_alike_are_told_of_and_not_joined(app: FakeApp) -> None:
    """One place at many dates: one group would leave nothing to judge by."""
    for task_id in range(1, 9):
        _add(app, task_id, turned(organ(0), task_id - 4.0))
    manifest = prepare(app)
    assert _sets(app) == [set(range(1, 9))]
    assert len({entry.group for entry in manifest.entries}) == 8
    assert len(sets_of_project(app.context, PROJECT)) == 1
    with app.store.read() as session:
        assert sets_to_join(session, PROJECT, None) == {}
        assert sets_to_join(session, PROJECT, False) == {}
        assert len(sets_to_join(session, PROJECT, True)) == 8
    assert len({entry.group for entry in prepare(app, join_alike=True).entries}) == 1


def test_without_time_the_next_training_goes_on(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in range(1, 5):
        _add(app, task_id, organ(task_id))
    _add(app, 5, turned(organ(2), 5.0))
    monkeypatch.setattr(compare, "COMPARE_S", -1.0)
    prepare(app)
    assert (_todo(app), _sets(app)) == (5, [])
    monkeypatch.setattr(compare, "COMPARE_S", 60.0)
    prepare(app)
    assert (_todo(app), _sets(app)) == (0, [{2, 5}])


def test_only_what_came_or_changed_is_laid_over_others(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    alike = compare._Comparing.alike

    def counted(self: compare._Comparing, case_id: str) -> list[str]:
        asked.append(case_id)
        return alike(self, case_id)

    monkeypatch.setattr(compare._Comparing, "alike", counted)
    for task_id in range(1, 5):
        _add(app, task_id, organ(task_id))
    _add(app, 5, turned(organ(2), 5.0))
    prepare(app)
    prepare(app)
    app.label_studio.unlabel(3)
    app.label_studio.label(3, polygon("wall"))
    prepare(app)
    assert len(asked) == 5 and _sets(app) == [{2, 5}]
    # Another image under the address: it leaves its set, and finds another.
    app.label_studio.images[app.label_studio.tasks[5].data["image"]] = png(turned(organ(4), -6.0))
    prepare(app)
    assert asked[5:] == [app.case_id(5)]
    assert _sets(app) == [{4, 5}]


def test_weights_that_come_later_look_again(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "has_weights", lambda: False)
    for task_id in range(1, 11):
        _add(app, task_id, organ(task_id))
    _add(app, 20, turned(cut(organ(9), 0.1, 0.1, 0.8), 8.0))
    prepare(app)
    assert _sets(app) == [], "fingerprints don't bring them together"
    with app.store.read() as session:
        assert {row.vector for row in session.query(CaseLookRow)} == {b""}
    monkeypatch.undo()
    prepare(app)
    assert _sets(app) == [{9, 20}]


def test_a_case_that_cant_be_read_stops_nothing(app: FakeApp) -> None:
    for task_id in range(1, 5):
        _add(app, task_id, organ(task_id))
    _add(app, 5, turned(organ(2), 5.0))
    _add(app, 6, turned(organ(3), 5.0))
    prepare(app)
    assert _sets(app) == [{2, 5}, {3, 6}]
    with app.store.begin() as session:
        session.query(CaseLookRow).delete()
        for row in session.query(CaseRow):
            row.alike = None
    app.context.workspace(PROJECT).image_png(app.case_id(2)).write_bytes(b"no image")
    compare.find_sets(app.context, PROJECT, lambda: None)
    assert _sets(app) == [{3, 6}]


def test_a_project_that_is_forgotten_leaves_nothing(app: FakeApp) -> None:
    from backend.store.forget import forget_project

    _add(app, 1, organ(1))
    _add(app, 2, organ(2))
    prepare(app)
    with app.store.begin() as session:
        assert session.query(CaseLookRow).count() == 2
        forget_project(session, PROJECT)
        assert session.query(CaseLookRow).count() == 0
