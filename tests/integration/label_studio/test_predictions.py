import math
from dataclasses import replace

import numpy as np
import pytest

from backend.label_studio import (
    LabelStudioClient,
    ProjectInfo,
    PushedPrediction,
    predictions,
    task_pages,
)
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.write import regions_to_result
from domain.annotation import Region
from domain.errors import LabelStudioError, MissingError, PredictionError
from domain.geometry import Polygon
from tests.integration.label_studio.conftest import region


def test_import_reads_back_and_deletes_by_version(
    client: LabelStudioClient, project: ProjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "IMPORT_ROWS", 2)  # so that five rows need three bodies
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(5)])
    rows = [PushedPrediction(i, [region()], n / 10, "v1") for n, i in enumerate(ids)]
    assert client.import_predictions(project.id, rows) == 5
    assert client.import_predictions(project.id, [PushedPrediction(ids[0], [], None, "v2")]) == 1
    back = list(client.iter_predictions(project.id, "v1"))
    assert [(p.task_id, p.score, p.model_version) for p in back] == [
        (r.task_id, r.score, r.model_version) for r in rows
    ]
    assert back[0].result[0]["value"] == region()["value"]
    assert client.count_predictions(project.id) == {"v1": 5, "v2": 1}
    assert [p.model_version for p in client.task_predictions(ids[0])] == ["v1", "v2"]
    assert [p.score for p in client.task_predictions(ids[0], "v2")] == [None]
    assert client.delete_model_version(project.id, "v1") == 5
    assert client.delete_model_version(project.id, "v1") == 0
    assert client.count_predictions(project.id) == {"v2": 1}


def test_a_score_changes_alone_and_tasks_are_cleared(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(3)])
    noted = {**region(), "meta": {"text": ["Folds disagree on wall."]}}
    rows = [PushedPrediction(i, [noted], 0.5 + n / 10, "v1") for n, i in enumerate(ids)]
    client.import_predictions(project.id, rows)
    before = {p.task_id: p for p in client.iter_predictions(project.id)}
    client.set_score(before[ids[2]].id or 0, 0.1)
    after = {p.task_id: p for p in client.iter_predictions(project.id)}
    assert after[ids[2]] == replace(before[ids[2]], score=0.1)
    assert after[ids[2]].result[0]["meta"] == noted["meta"]
    assert after[ids[0]] == before[ids[0]]
    # That is the order in which annotators are served.
    client.set_sampling_uncertainty(project.id)
    client.set_model_version(project.id, "v1")
    task = client._connection.json("GET", f"/api/projects/{project.id}/next")
    assert task["id"] == ids[2]
    client.clear_predictions(project.id, [ids[2], ids[1], ids[1] + 10_000])
    assert [p.task_id for p in client.iter_predictions(project.id)] == [ids[0]]
    with pytest.raises(MissingError):
        client.set_score(before[ids[2]].id or 0, 0.2)


def test_predictions_of_some_tasks_are_read_in_pages(
    client: LabelStudioClient, project: ProjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_pages, "PAGE_SIZE", 3)
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(5)])
    rows = [PushedPrediction(i, [], n / 10, v) for n, i in enumerate(ids) for v in ("v1", "v2")]
    client.import_predictions(project.id, rows)
    wanted = [ids[4], ids[0], ids[2], ids[2] + 10_000]  # the last one is no task
    back = list(client.iter_predictions(project.id, "v2", task_ids=wanted))
    assert [(p.task_id, p.model_version) for p in back] == [(ids[i], "v2") for i in (0, 2, 4)]
    assert len(list(client.iter_predictions(project.id, task_ids=wanted))) == 6
    assert list(client.iter_predictions(project.id, task_ids=[])) == []


def test_annotators_are_served_what_the_shown_version_has_seen(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    """While a new version is pushed bit by bit, its part comes first, and shows its predictions."""
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(4)])
    client.set_sampling_uncertainty(project.id)
    old = [PushedPrediction(i, [], n / 10, "v1") for n, i in enumerate(ids)]
    client.import_predictions(project.id, old)
    client.import_predictions(project.id, [PushedPrediction(ids[3], [region()], 0.9, "v2")])
    client.set_model_version(project.id, "v2")
    served = client.next_task(project.id)
    assert served is not None
    assert served.task.id == ids[3]
    assert [p.model_version for p in served.predictions] == ["v2"]


def test_a_task_of_another_project_is_refused(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    with pytest.raises(LabelStudioError, match="400"):
        client.import_predictions(project.id, [PushedPrediction(999999, [], 0.5, "v1")])


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_never_leaves(
    client: LabelStudioClient, project: ProjectInfo, score: float
) -> None:
    (task_id,) = client.import_images(project.id, [("a.png", b"x")])
    with pytest.raises(PredictionError, match=f"task {task_id}"):
        client.import_predictions(project.id, [PushedPrediction(task_id, [], score, "v1")])
    assert client.count_predictions(project.id) == {}


ZONES = '<PolygonLabels name="zones" toName="image"><Label value="ice"/></PolygonLabels>'
OTHERS = (
    '<VectorLabels name="front" toName="image"><Label value="front"/></VectorLabels>',
    '<BrushLabels name="front" toName="image"><Label value="front"/><Label value="x"/>'
    "</BrushLabels>",
    '<Ellipse name="shape" toName="image"/><Labels name="a" toName="image"><Label value="front"/>'
    '</Labels><Labels name="b" toName="image"><Label value="x"/></Labels>',
)


@pytest.mark.parametrize("other", OTHERS)
def test_classes_over_several_controls_are_all_kept(
    client: LabelStudioClient, project: ProjectInfo, other: str
) -> None:
    xml = f'<View><Image name="image" value="$image"/>{ZONES}{other}</View>'
    client.update_project(project.id, label_config=xml)
    config = parse_label_config(client.project(project.id).label_config)
    square = np.array([[2, 2], [12, 2], [12, 12], [2, 12]], dtype=np.float64)
    regions = [
        Region("", c.index, (Polygon(square + 14.0 * c.index),)) for c in config.group.classes
    ]
    result = regions_to_result(regions, config, (64, 64), score=0.5)
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(4)])
    assert client.import_predictions(
        project.id, [PushedPrediction(i, result, 0.5, "v1") for i in ids]
    )
    back = list(client.iter_predictions(project.id, "v1"))
    assert [row.task_id for row in back] == ids
    assert all(row.result == result for row in back)
    # Submitted as it is, it means the same.
    client.annotate(ids[0], back[0].result)
    (annotation,) = client.task(ids[0]).annotations
    label_map, notes = annotation_to_label_map(annotation, config, (64, 64))
    assert notes == ()
    assert set(np.unique(label_map)) == {0, *(c.index for c in config.group.classes)}
