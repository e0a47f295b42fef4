"""What an annotator sees: the least certain task first, its polygons already there."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.integration.loop.stack import Loop, Served

EDITOR = """() => {
  const editor = window.Htx, store = editor?.annotationStore;
  const regions = store?.selected?.regionStore?.regions;
  if (!editor?.task || !regions) return null;
  return {
    task: Number(editor.task.id),
    kind: store.selected.type,
    regions: regions.map(region => ({
      label: region.labels[0],
      points: region.points.length,
      from_prediction: region.origin === "prediction",
    })),
  };
}"""


def labelled(loop: Loop, served: Served) -> int:
    """The count that `nnloop status` shows."""
    answer = loop.nnloop("status", str(served.project.id), "--json")
    assert answer.status == 0, answer.text
    return int(answer.body["projects"][0]["labelled"])


def test_the_stream_offers_the_least_certain_task_with_its_polygons(
    loop: Loop, served: Served, page: Page
) -> None:
    project = served.project
    champion = loop.client.project(project.id).model_version
    annotated = {task.id for task in loop.client.iter_tasks(project.id) if task.annotations}
    pool = [
        row
        for row in loop.client.iter_predictions(project.id, champion)
        if row.task_id not in annotated
    ]
    lowest = min(pool, key=lambda row: row.score or 0.0)
    count = labelled(loop, served)
    hints = len(loop.hints(project))

    page.goto(f"/projects/{project.id}/data")
    # Opened by its address (?labeling=1) the stream follows the tab's order, not the sampling.
    page.get_by_role("button", name="Label All Tasks").click()
    page.wait_for_selector(".konvajs-content canvas")
    page.wait_for_function(f"() => ({EDITOR})()?.regions.length > 0")
    seen: dict[str, Any] = page.evaluate(EDITOR)
    assert seen["task"] == lowest.task_id
    assert seen["kind"] == "annotation"
    assert seen["regions"] == [
        {
            "label": region["value"]["polygonlabels"][0],
            "points": len(region["value"]["points"]),
            "from_prediction": True,
        }
        for region in lowest.result
    ]

    page.get_by_role("button", name="Submit current annotation").click()
    page.wait_for_function(f"() => (({EDITOR})()?.task ?? {lowest.task_id}) !== {lowest.task_id}")
    (annotation,) = loop.client.task(lowest.task_id).annotations
    try:
        assert [r["value"] for r in annotation.result] == [r["value"] for r in lowest.result]
        arrived = loop.wait_until(
            lambda: [h for h in loop.hints(project)[hints:] if h.handled_at], 20, "the webhook"
        )
        assert ("ANNOTATION_CREATED", [lowest.task_id]) in [(h.action, h.task_ids) for h in arrived]
        assert labelled(loop, served) == count + 1
    finally:
        # The project is shared: the tests of the next version count its annotations.
        loop.client.delete_annotation(annotation.id)
    loop.wait_until(lambda: loop.report(project).labelled == count, 20, "the deleted annotation")
