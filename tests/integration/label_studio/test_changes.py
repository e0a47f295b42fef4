"""What tells of changes at a cost that does not grow with the project."""

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction
from tests.integration.label_studio.conftest import region


def test_counts_and_times_tell_what_has_changed(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    assert client.newest_change(project.id) == ""
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(6)])
    client.annotate(ids[4], [region()])
    client.annotate(ids[1], [region()])
    client.annotate(ids[1], [], was_cancelled=True)
    info = client.project(project.id)
    assert (info.task_number, info.n_submitted, info.n_skipped) == (6, 2, 1)
    assert (info.title, info.label_config) == (project.title, project.label_config)
    assert info.answered_at is not None
    tasks = {task.id: task for task in client.iter_tasks(project.id)}
    assert client.newest_change(project.id) == tasks[ids[1]].updated_at
    assert [task.id for task in client.iter_tasks(project.id, task_ids=[ids[4], 10**9])] == [ids[4]]
    assert list(client.iter_tasks(project.id, task_ids=[])) == []
    assert client.next_tasks(project.id, ids[3], 1) == [tasks[ids[4]]]
    assert client.next_tasks(project.id, ids[5], 3) == []
    client.delete_task(ids[2])
    assert client.count_tasks(project.id, ids[1], ids[3]) == 2
    assert client.count_tasks(project.id, ids[2], ids[2]) == 0
    assert client.existing_tasks(project.id, ids) == set(ids) - {ids[2]}
    changed = tasks[ids[0]].updated_at
    client.update_data(ids[0], {"image": "/data/upload/other.png"})
    assert next(t.id for t in client.iter_tasks(project.id, updated_after=changed)) == ids[0]


def test_a_prediction_is_stored_alone_and_found(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(3)])
    stored = client.store_prediction(PushedPrediction(ids[0], [region()], 0.5, "v1"))
    assert stored is not None and stored.id is not None
    client.store_prediction(PushedPrediction(ids[1], [region()], 0.5, "other"))
    assert list(client.iter_predictions(project.id, "v1")) == [stored]
    assert client.tasks_with_prediction(project.id, "v1", ids) == {ids[0]}
    assert client.count_predictions(project.id)["v1"] == 1
    assert client.count_predictions_of(project.id, ids) == 2
    client.import_predictions(project.id, [PushedPrediction(i, [region()], 0.5, "v2") for i in ids])
    assert client.count_predictions_of(project.id, ids) == 5
    assert client.count_predictions_of(project.id, ids[2:]) == 1
    # Of a task that is not there.
    assert client.store_prediction(PushedPrediction(10**9, [], 0.5, "v1")) is None
