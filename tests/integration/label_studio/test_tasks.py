from collections.abc import Callable
from itertools import count

import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction, task_pages
from backend.stack.label_studio_server import LabelStudioServer
from benchmarks.truth.people import Person
from domain.errors import LabelStudioError, MissingError
from tests.integration.label_studio.conftest import region


def test_ids_come_back_in_the_order_of_the_files(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    # repeated, odd and long names, and more files than fit one upload
    names = ["b b.png", "a.png", "a.png", "ü(1).png", "x" * 200 + ".png", "dir/a.png"]
    names += [f"{i}.png" for i in range(60)]
    files = [(name, f"content {i}".encode()) for i, name in enumerate(names)]
    ids = client.import_images(project.id, files)
    assert len(set(ids)) == len(files)
    by_id = {task.id: task for task in client.iter_tasks(project.id)}
    for index in [0, 1, 2, 3, 4, 5, 6, 65]:
        uri = by_id[ids[index]].data["image"]
        assert client.fetch_image(uri, ids[index], project.id) == files[index][1]


def test_every_annotation_is_read_skips_too_and_deleted_ones_vanish(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    drawn, empty, skipped, deleted, bare = client.import_images(
        project.id, [(f"{i}.png", b"x") for i in range(5)]
    )
    first = client.annotate(drawn, [region()], lead_time=3.5)
    second = client.annotate(drawn, [region("wall")])
    client.annotate(empty, [])
    client.annotate(skipped, [], was_cancelled=True)
    client.delete_annotation(client.annotate(deleted, [region()]))
    tasks = {task.id: task for task in client.iter_tasks(project.id)}
    assert list(tasks) == [drawn, empty, skipped, deleted, bare]
    assert [a.id for a in tasks[drawn].annotations] == [first, second]
    shape = tasks[drawn].annotations[0].result[0]
    assert shape["value"] == region()["value"]
    assert (shape["original_width"], shape["from_name"]) == (20, "label")
    assert tasks[drawn].annotations[0].completed_by == client.whoami().id
    assert tasks[drawn].annotations[0].updated_at > tasks[bare].updated_at
    assert [a.was_cancelled for a in tasks[empty].annotations] == [False]
    assert [a.was_cancelled for a in tasks[skipped].annotations] == [True]
    assert tasks[deleted].annotations == tasks[bare].annotations == ()
    assert client.task(drawn) == tasks[drawn]
    assert client.task(skipped) == tasks[skipped]
    assert client.unopened_task(project.id, drawn) == tasks[drawn]
    client.delete_task(empty)
    with pytest.raises(MissingError, match=f"no task {empty}"):
        client.unopened_task(project.id, empty)  # not the next one


def test_an_annotation_can_be_somebody_elses(
    client: LabelStudioClient, project: ProjectInfo, label_studio: LabelStudioServer
) -> None:
    """As annotations of another Label Studio are imported."""
    (task_id,) = client.import_images(project.id, [("0.png", b"x")])
    admin = Person(label_studio.url, label_studio.credentials.token)
    admin.invite("author@example.com", "password-of-an-author")
    admin.close()
    (author,) = (user for user in client.list_users() if user.email == "author@example.com")
    client.annotate(task_id, [region()], completed_by=author.id)
    client.annotate(task_id, [region("wall")])
    (task,) = client.iter_tasks(project.id)
    assert [one.completed_by for one in task.annotations] == [author.id, client.whoami().id]
    # Nobody is made an author whom this server does not know.
    with pytest.raises(LabelStudioError):
        client.annotate(task_id, [region()], completed_by=author.id + 1000)


def test_pages_join_and_survive_a_deletion_between_them(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(7)])
    pages = task_pages.task_pages(client._connection, project.id, ["id"], page_size=3)
    seen = [row["id"] for row in next(pages)]
    client.delete_task(ids[0])  # by page number, task 4 would now be skipped
    seen += [row["id"] for page in pages for row in page]
    assert seen == ids


@pytest.mark.parametrize("change", ["create", "update", "skip", "delete"])
def test_every_change_of_an_annotation_counts_for_updated_after(
    client: LabelStudioClient, project: ProjectInfo, change: str
) -> None:
    _, task_id = client.import_images(project.id, [("a.png", b"x"), ("b.png", b"x")])
    annotation_id = client.annotate(task_id, []) if change in ("update", "delete") else 0
    before = max(task.updated_at for task in client.iter_tasks(project.id))
    assert list(client.iter_tasks(project.id, updated_after=before)) == []
    if change == "update":
        client.update_annotation(annotation_id, [region()])
    elif change == "delete":
        client.delete_annotation(annotation_id)
    else:
        client.annotate(task_id, [], was_cancelled=change == "skip")
    changed = [task.id for task in client.iter_tasks(project.id, updated_after=before)]
    assert changed == [task_id]


def test_a_time_without_fraction_is_understood(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    client.import_images(project.id, [("a.png", b"x")])
    assert len(list(client.iter_tasks(project.id, updated_after="2020-01-01T00:00:00Z"))) == 1


def test_next_serves_the_lowest_score_first_then_nothing(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    ids = client.import_images(project.id, [(f"{i}.png", b"x") for i in range(4)])
    scores = dict(zip(ids, [0.7, 0.2, 0.9, 0.4], strict=True))
    client.import_predictions(
        project.id, [PushedPrediction(i, [region()], s, "v1") for i, s in scores.items()]
    )
    client.set_model_version(project.id, "v1")
    client.set_sampling_uncertainty(project.id)
    served = []
    for _ in count():
        found = client.next_task(project.id)
        if found is None:
            break
        assert found.predictions[0].score == pytest.approx(scores[found.task.id])
        assert found.predictions[0].task_id == found.task.id
        client.annotate(found.task.id, [region()], parent_prediction=found.predictions[0].id)
        served.append(found.task.id)
    assert served == sorted(ids, key=scores.__getitem__)


def test_next_of_an_unknown_project_is_an_error(client: LabelStudioClient) -> None:
    with pytest.raises(LabelStudioError, match="404"):
        client.next_task(999999)


def test_a_refused_upload_says_why(client: LabelStudioClient, project: ProjectInfo) -> None:
    with pytest.raises(LabelStudioError, match="not supported"):
        client.import_images(project.id, [("evil.exe", b"x")])


def test_reading_is_lazy(
    client: LabelStudioClient, project: ProjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.import_images(project.id, [(f"{i}.png", b"x") for i in range(5)])
    calls: list[str] = []
    json: Callable[..., object] = client._connection.json

    def counted(method: str, path: str, **options: object) -> object:
        calls.append(path)
        return json(method, path, **options)

    monkeypatch.setattr(client._connection, "json", counted)
    pages = task_pages.task_pages(client._connection, project.id, ["id"], page_size=2)
    next(pages)
    assert len(calls) == 1
