"""What a tab looks like: made once, then a person's."""

from __future__ import annotations

from typing import Any

from backend.label_studio.views import CHECKING, QUEUE, first_look, queue_data, updated_data

# As queues were made before they showed ids.
BEFORE = {
    "explore": [
        "tasks:id",
        "tasks:inner_id",
        "tasks:completed_at",
        "tasks:total_annotations",
        "tasks:cancelled_annotations",
        "tasks:total_predictions",
        "tasks:annotators",
        "tasks:annotations_results",
        "tasks:annotations_ids",
        "tasks:predictions_results",
        "tasks:file_upload",
        "tasks:storage_filename",
        "tasks:created_at",
        "tasks:updated_at",
        "tasks:updated_by",
        "tasks:avg_lead_time",
        "tasks:draft_exists",
    ],
}
BEFORE["labeling"] = [*BEFORE["explore"], "tasks:predictions_model_versions"]


def hidden(data: dict[str, Any]) -> dict[str, list[str]]:
    return data["hiddenColumns"]  # type: ignore[no-any-return]


def test_a_queue_shows_the_ids_by_which_people_name_tasks() -> None:
    found = hidden(first_look(QUEUE))
    for name in ("id", "predictions_score", "predictions_model_versions"):
        assert f"tasks:{name}" not in found["explore"]
    assert not {"tasks:id", "tasks:predictions_score"} & set(found["labeling"])
    assert "tasks:predictions_model_versions" in found["labeling"]
    assert "tasks:id" not in hidden(first_look(CHECKING))["labeling"]


def test_a_tab_of_before_that_nobody_touched_shows_them_too() -> None:
    old = {**queue_data("t", [1]), "hiddenColumns": BEFORE, "columnsWidth": {"tasks:image": 90}}
    new = updated_data(old, "t", [2])
    assert hidden(new) == hidden(first_look(QUEUE))
    assert new["columnsWidth"] == {"tasks:image": 90}
    assert new["filters"] == queue_data("t", [2])["filters"]


def test_columns_that_a_person_chose_stay() -> None:
    chosen = {"explore": BEFORE["explore"][:3], "labeling": []}
    old = {**queue_data("t", [1]), "hiddenColumns": chosen}
    assert hidden(updated_data(old, "t", [2])) == chosen
    # Who hides the ids again: the editor puts them at the end.
    now = first_look(QUEUE)
    again = {key: [*names, "tasks:id"] for key, names in hidden(now).items()}
    assert hidden(updated_data({**now, "hiddenColumns": again}, "t", [2])) == again
    assert "hiddenColumns" not in updated_data({"title": "Mine"}, "t", [2])
