import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction
from domain.errors import LabelStudioError


def test_a_project_is_found_by_title_and_id(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    assert "PolygonLabels" in project.label_config
    assert client.project(project.id) == project
    assert client.find_project(project.title).id == project.id
    assert client.find_project(str(project.id)).id == project.id
    assert project.id in [p.id for p in client.list_projects()]


def test_an_unknown_title_names_what_there_is(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    with pytest.raises(LabelStudioError, match=project.title):
        client.find_project("no such project")


def test_two_projects_of_one_title_need_an_id(
    client: LabelStudioClient, project: ProjectInfo
) -> None:
    twin = client.create_project(project.title, project.label_config)
    try:
        with pytest.raises(LabelStudioError, match=f"{project.id}, {twin.id}"):
            client.find_project(project.title)
    finally:
        client.delete_project(twin.id)


def test_an_unknown_id_is_a_404_with_a_remedy(client: LabelStudioClient) -> None:
    with pytest.raises(LabelStudioError, match="404") as caught:
        client.project(999999)
    assert caught.value.remedy


def test_a_refused_title_says_why(client: LabelStudioClient, project: ProjectInfo) -> None:
    with pytest.raises(LabelStudioError, match="at least 3 characters"):
        client.update_project(project.id, title="x")


def test_sampling_and_model_version(client: LabelStudioClient, project: ProjectInfo) -> None:
    assert client.set_sampling_uncertainty(project.id).sampling == "Uncertainty sampling"
    with pytest.raises(LabelStudioError, match="Model version doesn't exist"):
        client.set_model_version(project.id, "v1")
    (task_id,) = client.import_images(project.id, [("a.png", b"x")])
    client.import_predictions(project.id, [PushedPrediction(task_id, [], 0.5, "v1")])
    assert client.set_model_version(project.id, "v1").model_version == "v1"
    assert client.project(project.id).total_predictions_number == 1
