import math

import pytest

from backend.label_studio import LabelStudioClient, PredictionRow, ProjectInfo, predictions
from domain.errors import LabelStudioError, PredictionError
from tests.integration.label_studio.conftest import region


def test_import_reads_back_and_deletes_by_version(
    client: LabelStudioClient, project: ProjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "IMPORT_ROWS", 2)  # so that five rows need three bodies
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(5)])
    rows = [PredictionRow(i, [region()], n / 10, "v1") for n, i in enumerate(ids)]
    assert client.import_predictions(project.id, rows) == 5
    assert client.import_predictions(project.id, [PredictionRow(ids[0], [], None, "v2")]) == 1
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


def test_a_task_of_another_project_is_refused(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    with pytest.raises(LabelStudioError, match="400"):
        client.import_predictions(project.id, [PredictionRow(999999, [], 0.5, "v1")])


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_never_leaves(
    client: LabelStudioClient, project: ProjectInfo, score: float
) -> None:
    (task_id,) = client.import_images(project.id, [("a.png", b"x")])
    with pytest.raises(PredictionError, match=f"task {task_id}"):
        client.import_predictions(project.id, [PredictionRow(task_id, [], score, "v1")])
    assert client.count_predictions(project.id) == {}
