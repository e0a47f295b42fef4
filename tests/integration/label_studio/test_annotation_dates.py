"""When Label Studio dates an annotation anew: doubts about labels rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backend.label_studio import LabelStudioClient, PushedPrediction
from domain.annotation import Annotation
from tests.integration.loop.discs import LABEL_CONFIG, scene

SCENE = scene(1)


@dataclass
class Labelled:
    """A task with one annotation."""

    client: LabelStudioClient
    project_id: int
    task_id: int
    annotation_id: int

    def now(self) -> Annotation:
        (task,) = self.client.iter_tasks(self.project_id)
        return next(a for a in task.annotations if a.id == self.annotation_id)


@pytest.fixture
def labelled(client: LabelStudioClient) -> Iterator[Labelled]:
    project = client.create_project("Dates", LABEL_CONFIG)
    (task_id,) = client.import_images(project.id, [("a.png", SCENE.png)])
    yield Labelled(client, project.id, task_id, client.annotate(task_id, SCENE.result))
    client.delete_project(project.id)


def test_nothing_but_saving_dates_an_annotation_anew(labelled: Labelled) -> None:
    client, task_id = labelled.client, labelled.task_id
    before = labelled.now()
    client.task(task_id)
    client.import_predictions(
        labelled.project_id, [PushedPrediction(task_id, SCENE.result, 0.5, "nnloop-v1")]
    )
    client._connection.json(
        "POST",
        f"/api/tasks/{task_id}/annotations/{labelled.annotation_id}/drafts",
        params={"project": labelled.project_id},
        body={"result": [], "lead_time": 3},
    )
    client.annotate(task_id, [])
    wider = LABEL_CONFIG.replace("<Label", '<Label value="other"/><Label', 1)
    client.update_project(labelled.project_id, label_config=wider)
    assert labelled.now() == before


def test_saving_it_as_it_is_or_as_ground_truth_does(labelled: Labelled) -> None:
    before = labelled.now()
    labelled.client.update_annotation(labelled.annotation_id, SCENE.result)
    saved = labelled.now()
    assert saved.updated_at > before.updated_at
    assert saved.result == before.result
    path = f"/api/annotations/{labelled.annotation_id}/"
    labelled.client._connection.json("PATCH", path, body={"ground_truth": True})
    assert labelled.now().ground_truth
    assert labelled.now().result == before.result
