import json

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction


def test_the_tab_shows_unlabelled_tasks_lowest_score_first(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(6)])
    scores = dict(zip(ids[:5], [0.7, 0.2, 0.9, 0.4, 0.1], strict=True))  # the last has none
    client.import_predictions(
        project.id, [PushedPrediction(i, [], s, "v1") for i, s in scores.items()]
    )
    client.import_predictions(  # another version must not mix in
        project.id, [PushedPrediction(i, [], 1 - s, "v0") for i, s in scores.items()]
    )
    client.set_model_version(project.id, "v1")
    client.annotate(ids[1], [])
    client.annotate(ids[4], [], was_cancelled=True)
    view_id = client.ensure_uncertainty_view(project.id)
    assert client.ensure_uncertainty_view(project.id) == view_id
    answer = client._connection.json("GET", "/api/tasks/", params={"view": view_id})
    assert [task["id"] for task in answer["tasks"]] == [ids[3], ids[0], ids[2], ids[5]]
    views = client._connection.json("GET", "/api/dm/views/", params={"project": project.id})
    assert [view["data"]["title"] for view in views] == ["Default", "Most uncertain first"]


def test_a_changed_tab_is_put_right(client: LabelStudioClient, project: ProjectInfo) -> None:
    view_id = client.ensure_uncertainty_view(project.id, "Mine")
    path = f"/api/dm/views/{view_id}/"
    right = client._connection.json("GET", path)
    changed = {
        "title": "Mine",
        "ordering": ["-tasks:id"],
        "filters": {"conjunction": "or", "items": []},
    }
    client._connection.json("PATCH", path, body={"project": project.id, "data": changed})
    assert client.ensure_uncertainty_view(project.id, "Mine") == view_id
    fixed = client._connection.json("GET", path)
    assert json.dumps(fixed["data"]["ordering"]) == json.dumps(right["data"]["ordering"])
    items = [
        {key: item[key] for key in ("filter", "operator", "type", "value")}
        for item in fixed["data"]["filters"]["items"]
    ]
    assert [item["filter"] for item in items] == [
        "filter:tasks:total_annotations",
        "filter:tasks:cancelled_annotations",
    ]
