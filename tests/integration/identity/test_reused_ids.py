"""Other images under the same ids, in a real Label Studio on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import shapely

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.images import load_image
from backend.pipeline.cases.write import CaseWriter, Source
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.tasks import snapshots
from tests.integration.identity.conftest import WAIT_S, Changing
from tests.integration.loop.discs import scene
from training.case_files import read_image


def _upload_of(changing: Changing, task_id: int) -> Path:
    """Where Label Studio keeps an uploaded image."""
    address: str = changing.client.task(task_id).data["image"]
    media = changing.loop.label_studio.data_dir / "media"
    return media / address.removeprefix("/data/")


def test_tasks_that_took_the_ids_of_deleted_ones(serving: Callable[[str, int], Changing]) -> None:
    project = serving("Reused ids", 4)
    ids = project.project.task_ids
    old = project.held()
    project.loop.switch_webhook(project.project, is_active=False)  # nobody tells nnloop
    for task_id in ids:
        project.client.delete_task(task_id)
    others = [(f"other-{i}.png", scene(50 + i).png) for i in range(4)]
    assert project.client.import_images(project.id, others) == ids
    # The answer is about the images that are there now, though nnloop has not heard of them yet.
    # On a busy machine the deadline may pass first: the annotator reloads.
    answer = project.loop.wait_until(
        lambda: found if (found := project.ask(*ids)).status != 503 else None, WAIT_S, "an answer"
    )
    assert answer.status == 200, answer.text
    answered = {i: r["result"] for i, r in zip(ids, answer.body["results"], strict=True)}
    before = {i: old[i][0].result for i in ids}
    assert all(_points(answered[i]) != _points(before[i]) for i in ids)
    held = project.wait_for_predictions(ids, old)
    assert {i: _points(rows[0].result) for i, rows in held.items()} == {
        i: _points(result) for i, result in answered.items()
    }


def test_an_image_changed_by_patch(serving: Callable[[str, int], Changing]) -> None:
    project = serving("Patched image", 3)
    first, second, third = project.project.task_ids
    old = project.held()
    # Another task's image. No webhook reports this; the clock finds it.
    data = project.client.task(second).data
    project.api.json("PATCH", f"/api/tasks/{first}/", body={"data": data})
    assert [row.id for row in project.client.task_predictions(first)] == [old[first][0].id]
    project.sync()
    held = project.wait_for_predictions([first], {first: old[first]})
    # The engine may have changed since, so the same image gives nearly the same shapes.
    assert _overlap(held[first][0].result, old[second][0].result) > 0.9
    assert _overlap(held[first][0].result, old[first][0].result) < 0.9
    # The others were left alone.
    assert (held[second], held[third]) == (old[second], old[third])
    case_ids = {task_id: project.task(task_id).source for task_id in (first, second)}
    assert case_ids[first] != case_ids[second]  # made at other times: each a case of its own


def test_an_image_overwritten_in_place(serving: Callable[[str, int], Changing]) -> None:
    project = serving("Overwritten", 2)
    first, second = project.project.task_ids
    context = project.loop.context
    old = project.held()
    with context.store.begin() as session:
        row = projects.get(session, project.id)
        config = label_config_of(row, row.settings)
    assert project.task(first).image_hash != ""
    _upload_of(project, first).write_bytes(scene(77).png)
    load_image(context, project.task(first), config)  # whoever fetches it next
    held = project.wait_for_predictions([first], {first: old[first]})
    assert _points(held[first][0].result) != _points(old[first][0].result)
    assert held[second] == old[second]

    # A labelled task's case is prepared again, though nothing else has changed.
    project.loop.annotate(project.project, [second])
    sync_project(context, project.id)

    def prepare() -> bytes:
        with context.store.begin() as session:
            row = projects.get(session, project.id)
            found = snapshots.submitted_annotations(session, project.id, results=False)
        sources = [Source(task, annotations) for task, annotations in found]
        written = CaseWriter(context, row, config, row.settings, lambda: None).write(sources)
        (case_id,) = written.files
        image = read_image(context.workspace(project.id).image_png(case_id))
        return image.tobytes()

    assert prepare() == prepare() == project.project.scenes[second].image.tobytes()
    other = scene(78)
    _upload_of(project, second).write_bytes(other.png)
    assert prepare() == other.image.tobytes()


def test_a_new_project_with_the_task_ids_of_a_deleted_one(
    serving: Callable[[str, int], Changing], connected: Callable[[str, int], Changing]
) -> None:
    gone = serving("To be deleted", 3)
    ids = gone.project.task_ids
    gone.client.delete_project(gone.id)
    fresh = connected("In its place", 3)
    assert fresh.project.task_ids == ids
    report = fresh.loop.report(fresh.project)
    assert (report.tasks, report.unlabelled, report.champion) == (3, 3, "")
    gone.sync()
    gone.loop.wait_until(lambda: "project_gone" in gone.faults(), WAIT_S, "the lost project")
    assert gone.faults()["project_gone"].startswith(f"Forget it (nnloop disconnect {gone.id})")
    answer = gone.loop.post(
        "/predict", {"tasks": [{"id": ids[0], "data": {}}], "project": f"{gone.id}.1"}
    )
    assert (answer.status, "is not connected" in answer.text) == (404, True)
    said = gone.loop.nnloop("disconnect", "To be deleted")
    assert said.status == 0, said.text
    assert "is not in Label Studio any more" in said.text
    assert f"Forgot project {gone.id}." in said.text
    assert fresh.loop.report(fresh.project).tasks == 3


def _overlap(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """IoU of all that two results cover."""
    shapes = [
        shapely.union_all([shapely.Polygon(r["value"]["points"]).buffer(0) for r in result])
        for result in (one, other)
    ]
    union = shapes[0].union(shapes[1]).area
    return float(shapes[0].intersection(shapes[1]).area / union) if union else 1.0


def _points(result: list[dict[str, object]]) -> list[object]:
    return [region["value"] for region in result]
