"""Images that look alike: found, told of, and one group where the project wants it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from backend.pipeline.basis.beat import Beat
from backend.pipeline.cases import compare
from backend.pipeline.cases.alike import sets_of_project
from backend.store import projects
from backend.store.training.cases import cases_of, sets_of_alike
from converters.images.likeness import find_alike
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png, polygon
from tests.unit.backend.pipeline.preparing import SETTINGS, folds_of, prepare
from training.versions.manifests import RunManifest

pytestmark = pytest.mark.usefixtures("_no_preprocessing")


def _picture(seed: int) -> npt.NDArray[np.uint8]:
    low = np.random.default_rng(seed).integers(0, 200, (5, 6)).astype(np.uint8)
    return np.kron(low, np.ones((8, 8), np.uint8))


def _add(app: FakeApp, task_id: int, image: npt.NDArray[np.uint8]) -> None:
    app.label_studio.add_task(task_id, image)
    app.label_studio.label(task_id, polygon("lumen"), polygon("wall", at=65, size=20))


def _alike_problems(app: FakeApp) -> list[str]:
    with app.store.begin() as session:
        rows = projects.open_problems(session, PROJECT)
        return [f"{row.message} {row.remedy}" for row in rows if row.reason == "alike"]


def _prepare(app: FakeApp, *, join_alike: bool = False) -> RunManifest:
    return prepare(app, join_alike=join_alike)


def test_a_re_export_is_found_told_of_and_joined_on_request(app: FakeApp) -> None:
    for task_id in (1, 2, 3):
        _add(app, task_id, _picture(task_id))
    assert _alike_problems(app) == []
    folds = folds_of(_prepare(app))
    first = next(task for task in folds if list(folds.values()).count(folds[task]) == 1)
    # Brighter, so other files: some land in the other fold.
    for task_id in range(4, 12):
        _add(app, task_id, _picture(first) + np.uint8(task_id))
    folds = folds_of(_prepare(app))
    [told] = _alike_problems(app)
    assert "look like others that another fold holds out" in told
    assert "nnloop connect Carotid --join-alike" in told
    [found] = sets_of_project(app.context, PROJECT)
    assert {entry.task_id for entry in found} == {first, *range(4, 12)}
    joined = _prepare(app, join_alike=True)
    assert len({entry.group for entry in joined.entries}) == 3
    assert len({folds_of(joined)[task] for task in (first, *range(4, 12))}) == 1
    assert _alike_problems(app) == []


def test_only_what_came_or_changed_is_looked_up(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(
        prints: dict[str, str],
        sets: dict[str, str],
        new: list[str],
        beat: Beat,
        links: dict[str, list[str]],
    ) -> dict[str, str]:
        asked.append(len(new))
        return find_alike(prints, sets, new, beat, links)

    monkeypatch.setattr(compare, "find_alike", counted)
    for task_id in (1, 2, 3):
        _add(app, task_id, _picture(task_id))
    _prepare(app)
    _prepare(app)
    _add(app, 4, _picture(1) + np.uint8(30))
    # Drawn again: it looks as it did.
    app.label_studio.unlabel(2)
    app.label_studio.label(2, polygon("wall"))
    _prepare(app)
    assert asked == [3, 1]
    ids = {task_id: app.case_id(task_id) for task_id in (1, 4)}
    with app.store.begin() as session:
        assert set(sets_of_alike(session, PROJECT)) == set(ids.values())
    # Another image under the address: it is looked up anew, and leaves the set.
    app.label_studio.images[app.label_studio.tasks[4].data["image"]] = png(_picture(9))
    _prepare(app)
    with app.store.begin() as session:
        assert cases_of(session, PROJECT)[ids[4]].alike == ""
    assert sets_of_project(app.context, PROJECT) == []


def test_the_same_image_twice_is_one_group_without_being_asked(app: FakeApp) -> None:
    for task_id in (1, 2):
        _add(app, task_id, _picture(task_id))
    _add(app, 3, _picture(1))
    manifest = _prepare(app)
    groups = {entry.task_id: entry.group for entry in manifest.entries}
    assert groups[1] == groups[3] != groups[2]
    [remark] = [item for item in manifest.left_out if item.reason == "same_image"]
    assert (remark.task_id, "the same image as task 1" in remark.message) == (3, True)
    assert SETTINGS["join_alike"] is None
