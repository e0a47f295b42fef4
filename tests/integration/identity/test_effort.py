"""What people did to predictions in a real Label Studio, and what `nnloop effort` says of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from backend.label_studio import PushedPrediction
from backend.store.quality.efforts import EffortRow
from converters.label_studio.beginnings import Beginning
from tests.integration.identity.conftest import WAIT_S, Changing

OWN = "hand-drawn"


def _save(project: Changing, annotation_id: int, **fields: Any) -> None:
    """As the editor does at 'Update': its clock has gone on."""
    project.api.json("PATCH", f"/api/annotations/{annotation_id}/", body=fields)


def _draft(project: Changing, page: str, result: list[dict[str, Any]]) -> None:
    """As the editor does soon after a change that nobody has submitted."""
    body = {"result": result, "lead_time": 300.0}
    project.api.json("POST", f"/api/tasks/{page}/drafts", body=body)


def _read_again(project: Changing) -> None:
    """Until a reading that began now is through: the second that ends, at the latest."""
    for _ in range(2):
        now = time.time()

        def look(since: float = now) -> bool:
            # Each time: while one is under way, no other is waiting behind it.
            project.sync()
            return (project.loop.report(project.project).synced_at or 0.0) > since

        project.loop.wait_until(look, WAIT_S, "a reading")


def _moved(result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The regions, one point of the first elsewhere."""
    found = copy.deepcopy(result)
    found[0]["value"]["points"][0] = [1.0, 1.0]
    return found


def _drawn(project: Changing, task_id: int) -> list[dict[str, Any]]:
    """The truth, as a hand drew it: under ids that no prediction had."""
    truth = project.project.scenes[task_id].result
    return [{**entry, "id": f"{OWN}-{n}", "origin": "manual"} for n, entry in enumerate(truth)]


def _effort(project: Changing) -> dict[str, Any]:
    answer = project.loop.nnloop("effort", str(project.id), "--json")
    assert answer.status == 0, answer.text
    found: dict[str, Any] = answer.body
    return found


def _row(project: Changing, annotation_id: int) -> EffortRow | None:
    with project.loop.context.store.read() as session:
        query = select(EffortRow).where(EffortRow.annotation_id == annotation_id)
        return session.scalar(query)


def _wait(project: Changing, annotation_id: int, **values: Any) -> EffortRow:
    """Until it is measured, and what was measured is so."""

    def look() -> EffortRow | None:
        row = _row(project, annotation_id)
        is_so = row is not None and all(getattr(row, k) == v for k, v in values.items())
        return row if is_so else None

    return project.loop.wait_until(look, WAIT_S, f"the effort of annotation {annotation_id}")


def test_unchanged_edited_drawn_and_what_comes_later(
    serving: Callable[[str, int], Changing],
) -> None:
    project = serving("Effort", 6)
    client, ids = project.client, project.project.task_ids
    shown: dict[int, PushedPrediction] = {i: rows[0] for i, rows in project.held().items()}
    assert all(shown[i].result for i in ids)
    results = [shown[i].result for i in ids]
    n_kept = len(results[0])
    kept = client.annotate(ids[0], results[0], lead_time=6.5, parent_prediction=shown[ids[0]].id)
    edited = client.annotate(
        ids[1], _moved(results[1]), lead_time=30.0, parent_prediction=shown[ids[1]].id
    )
    drawn = client.annotate(ids[2], _drawn(project, ids[2]), lead_time=80.0)
    # All of it removed, and drawn anew.
    anew = client.annotate(
        ids[3], _drawn(project, ids[3]), lead_time=95.0, parent_prediction=shown[ids[3]].id
    )
    for annotation_id in (kept, edited, drawn, anew):
        _wait(project, annotation_id)
    found = _effort(project)
    (version,) = found["versions"]
    assert version["name"] == f"first-{project.id}"
    assert (version["n"], version["n_unchanged"], version["n_edited"]) == (3, 1, 2)
    assert version["effort"]["points_moved"] == 1
    assert version["effort"]["n_removed"] == len(results[3])
    assert version["effort"]["n_drawn"] == len(_drawn(project, ids[3]))
    assert (found["corrected"], found["unchanged"], found["drawn_from_nothing"]) == (3, 1, 1)
    assert found["beginning_unknown"] == 0
    assert found["saved"]["n_timed"] == 3
    assert found["saved"]["spent_s"] == 6.5 + 30.0 + 95.0
    (person,) = found["annotators"]
    assert person["n"] == 3
    row = _wait(project, kept)
    # A version trained elsewhere may have seen the image: no honest pair, and effort all the same.
    assert (row.dice, row.n_regions, row.annotator_id) == (1.0, n_kept, client.whoami().id)
    assert (
        "1 of 3 predictions submitted unchanged"
        in project.loop.nnloop("status", str(project.id)).text
    )

    # A second look at once is the same work, by a clock that has gone on.
    _save(project, kept, result=_moved(results[0]), lead_time=21.5)
    row = _wait(project, kept, lead_time_s=21.5)
    assert sum(one.points_moved for one in row.classes.values()) == 1
    # What is under way and not submitted is no effort yet, and changes none.
    _draft(project, str(ids[4]), _moved(results[4]))
    _draft(project, f"{ids[1]}/annotations/{edited}", _drawn(project, ids[1]))
    _read_again(project)
    found = _effort(project)
    assert found["corrected"] == 3
    assert _wait(project, edited, lead_time_s=30.0).classes
    assert found["versions"][0]["effort"]["points_moved"] == 2
    # Label Studio forgets what the annotations began with, nnloop does not.
    project.loop.switch_webhook(project.project, is_active=False)
    client.delete_prediction(shown[ids[3]].id or 0)
    # Somebody has a page open whose prediction is deleted meanwhile, and submits it.
    client.delete_prediction(shown[ids[4]].id or 0)
    late = client.annotate(ids[4], results[4], lead_time=4.0)
    # A useless one is deleted by hand, and all is drawn: that was no clean page.
    client.delete_prediction(shown[ids[5]].id or 0)
    useless = client.annotate(ids[5], _drawn(project, ids[5]), lead_time=60.0)
    client.delete_annotation(edited)
    _read_again(project)
    row = _wait(project, late)
    assert (row.beginning, row.version_id) == (
        Beginning.PREDICTION,
        _wait(project, kept).version_id,
    )
    project.loop.wait_until(lambda: _row(project, edited) is None, WAIT_S, "what is deleted to go")
    assert _wait(project, useless).beginning == Beginning.OTHER
    found = _effort(project)
    assert found["beginning_unknown"] == 1
    assert (found["corrected"], found["unchanged"], found["drawn_from_nothing"]) == (3, 1, 1)
    assert _wait(project, anew).beginning == Beginning.PREDICTION
