from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from backend.credentials import service_credentials
from backend.label_studio import User
from backend.pipeline.connection.connect import connect
from backend.pipeline.runs.ends import fail
from backend.pipeline.sync.reading import read_project
from backend.store import projects
from backend.store.models import ProjectRow, RunRow
from backend.store.tasks import readings
from domain.errors import LabelConfigError, LabelStudioError, SettingsError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import FakeLabelStudio, polygon


@pytest.fixture
def label_studio(app: FakeApp) -> FakeLabelStudio:
    """A project that nnloop does not know yet."""
    app.label_studio.info = replace(app.label_studio.info, id=5, title="Nerves")
    return app.label_studio


def test_connecting_sets_everything_up(app: FakeApp, label_studio: FakeLabelStudio) -> None:
    report = connect(app.context, "Nerves", {"min_annotations": 4})
    assert (report.project_id, report.classes, report.was_known) == (5, ("lumen", "wall"), False)
    assert report.settings.min_annotations == 4
    assert label_studio.calls == [
        "find_project",
        "list_backends",
        "register_backend",
        "ensure_webhook",
        "set_sampling_uncertainty",
        "list_users",
        "whoami",
        "drafted_tasks",
        "list_tabs",
        "create_queue_tab",
    ]
    # Its tasks come with the first reading.
    assert label_studio.tab_of("nnloop: admin") == ()
    (tab,) = report.tabs
    assert (tab.name, tab.url) == ("admin", "/projects/5/data?tab=2")
    ((url, headers),) = label_studio.webhooks.items()
    assert url == f"{app.context.settings.service_url}/webhook"
    # Webhooks carry no Basic auth of the backend: they need a header of their own.
    kind, _, token = headers["Authorization"].partition(" ")
    user, password = service_credentials(app.context.settings)
    assert (kind, base64.b64decode(token).decode()) == ("Basic", f"{user}:{password}")
    assert password not in repr(report)
    assert app.jobs == [("sync", (5,))]


VECTORS = """<View><Image name="image" value="$image"/>
<PolygonLabels name="label" toName="image"><Label value="lumen"/></PolygonLabels>
<VectorLabels name="edge" toName="image" {closable}>
<Label value="lumen"/><Label value="front"/><Label value="coast"/></VectorLabels></View>"""


@pytest.mark.parametrize(
    ("closable", "warns"),
    [
        ("", True),
        ('closable="false"', True),
        ('closable="true"', False),
        ('Closable="True"', False),
    ],
)
def test_rings_that_the_editor_opens_are_warned_of(
    app: FakeApp, label_studio: FakeLabelStudio, closable: str, warns: bool
) -> None:
    xml = VECTORS.format(closable=closable)
    label_studio.info = replace(label_studio.info, label_config=xml)
    warnings = connect(app.context, 5, {}).warnings
    assert len(warnings) == warns
    if warns:
        # The lumen goes out as polygons.
        assert warnings[0].startswith('Predictions of "front" and "coast" go out as closed rings')
        assert 'Add closable="true" to <VectorLabels name="edge" ...>' in warnings[0]


def test_rings_of_vectors_beside_labels_are_warned_of(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    xml = """<View><Image name="image" value="$image"/><Vector name="pen" toName="image"/>
    <Labels name="label" toName="image"><Label value="front"/></Labels></View>"""
    label_studio.info = replace(label_studio.info, label_config=xml)
    (warning,) = connect(app.context, 5, {}).warnings
    assert '<Vector name="pen" ...>' in warning


def test_connecting_again_changes_only_what_is_given(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    connect(app.context, 5, {"min_annotations": 4, "seed": 3})
    report = connect(app.context, 5, {"seed": 8})
    assert report.was_known
    assert (report.settings.min_annotations, report.settings.seed) == (4, 8)
    with app.store.begin() as session:
        assert projects.all_ids(session) == [PROJECT, 5]


def test_settings_that_can_not_be_used_change_nothing(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    with pytest.raises(SettingsError, match="2 project setting") as caught:
        connect(app.context, 5, {"min_annotations": 0, "preset": "huge"})
    assert "min_annotations" in str(caught.value) and "preset" in str(caught.value)
    assert label_studio.calls == ["find_project"]
    with app.store.begin() as session:
        assert session.get(ProjectRow, 5) is None


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("name:(P", "no regular expression"),
        ("name:^P\\d+_", "one group in parentheses.*it has 0"),
        ("name:(a)(b)", "it has 2"),
    ],
)
def test_a_group_key_that_can_not_be_read_is_refused(
    app: FakeApp, label_studio: FakeLabelStudio, key: str, fault: str
) -> None:
    with pytest.raises(SettingsError, match=f"group_key: .*{fault}"):
        connect(app.context, 5, {"group_key": key})


def test_channels_are_checked_against_interface_and_tasks(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    connect(app.context, 5, {"channels": ("image", "anything")})  # no task to compare with yet
    label_studio.add_task(1, flair="/data/upload/2.png")
    connect(app.context, 5, {"channels": ("image", "flair")})
    with app.store.begin() as session:
        session.get_one(ProjectRow, 5).n_channels = 6
    with pytest.raises(SettingsError, match=r"'fliar', which task 1 does not have"):
        connect(app.context, 5, {"channels": ("image", "fliar")})
    with pytest.raises(LabelConfigError, match="shows one of the channels 'flair'"):
        connect(app.context, 5, {"channels": ("flair",)})
    connect(app.context, 5, {"seed": 3})
    with app.store.begin() as session:
        row = session.get_one(ProjectRow, 5)
        assert row.settings.channels == ("image", "flair")
        assert row.n_channels == 6
    connect(app.context, 5, {"channels": ()})
    with app.store.begin() as session:
        assert session.get_one(ProjectRow, 5).n_channels == 0


def test_a_group_key_that_tasks_lack_is_warned_of(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    assert connect(app.context, 5, {"group_key": "patient"}).warnings == ()  # no task yet
    for task_id in (1, 2, 3):
        label_studio.add_task(task_id, Patient=f"p{task_id}")
    label_studio.label(1, polygon())
    told = connect(app.context, 5, {"group_key": "patient"}).warnings
    assert told == (
        "None of the 3 tasks has a group by group_key 'patient': training will fail. Their fields "
        "are Patient, image. Correct it: nnloop connect 5 --group-key KEY, or --reset group_key "
        "where there are no groups.",
    )
    read_project(app.context, 5)
    label_studio.calls.clear()
    assert connect(app.context, 5, {}).warnings == told
    assert "iter_tasks" not in label_studio.calls  # the store knows them
    with app.store.begin() as session:
        assert readings.began(session, 5).doubt == "it was connected"  # all is read next
    assert connect(app.context, 5, {"group_key": "Patient"}).warnings == ()
    (told_of_names,) = connect(app.context, 5, {"group_key": r"name:^(P\d+)_"}).warnings
    assert r"by group_key 'name:^(P\d+)_': training" in told_of_names
    assert "A file is called '1.png'." in told_of_names


def test_some_tasks_without_a_group_are_counted_and_named(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    for task_id in (1, 2):
        label_studio.add_task(task_id, site="x")
    for task_id in (3, 4):
        label_studio.add_task(task_id)
    label_studio.label(1, polygon())
    connect(app.context, 5, {})
    read_project(app.context, 5)
    (told,) = connect(app.context, 5, {"group_key": "site"}).warnings
    assert told.startswith("2 of 4 tasks have no group by group_key 'site' (3, 4). ")
    label_studio.unlabel(1)
    label_studio.label(3, polygon())
    read_project(app.context, 5)
    (told,) = connect(app.context, 5, {}).warnings
    assert "(3, 4), among them all that are labelled: training will fail." in told


def test_correcting_the_group_key_takes_away_what_it_failed(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    connect(app.context, 5, {"group_key": "patiemt"})

    def reasons() -> list[str]:
        with app.store.begin() as session:
            return [row.reason for row in projects.open_problems(session, 5)]

    with app.store.begin() as session:
        run = RunRow(project_id=5, number=1, status=RunStatus.PREPARING)
        session.add(run)
        session.flush()
        run_id = run.id
    fail(app.context, run_id, "None of the 3 labelled tasks has a group.")
    connect(app.context, 5, {"seed": 3})
    assert reasons() == ["run_failed"]
    connect(app.context, 5, {"group_key": "patient"})
    assert reasons() == []


def test_nobody_is_given_a_queue_who_is_not_there(
    app: FakeApp, label_studio: FakeLabelStudio
) -> None:
    label_studio.users += [User(2, "carla@example.com", "Carla")]
    connect(app.context, 5, {})
    titles = label_studio.titles()
    with pytest.raises(SettingsError, match="'carl@x': nobody") as caught:
        connect(app.context, 5, {"annotators": ("carla@example.com", "carl@x")})
    assert "admin@example.com, carla@example.com" in caught.value.remedy
    assert label_studio.titles() == titles
    settings = connect(app.context, 5, {"annotators": ("Carla",)}).settings
    assert settings.annotators == ("Carla",)
    label_studio.users.pop()  # she left: other settings can still be changed
    assert connect(app.context, 5, {"seed": 3}).settings.seed == 3


def test_where_users_can_not_be_listed_any_annotator_is_taken(
    app: FakeApp, label_studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> list[User]:
        raise LabelStudioError("403: not for you.")

    monkeypatch.setattr(label_studio, "list_users", refused)
    settings = connect(app.context, 5, {"annotators": ("carl@x",)}).settings
    assert settings.annotators == ("carl@x",)


def test_a_project_without_polygons_is_refused(app: FakeApp, label_studio: FakeLabelStudio) -> None:
    label_studio.info = replace(label_studio.info, label_config="<View/>")
    with pytest.raises(LabelConfigError):
        connect(app.context, 5, {})
    with app.store.begin() as session:
        assert session.get(ProjectRow, 5) is None


def test_an_unknown_project_is_refused(app: FakeApp, label_studio: FakeLabelStudio) -> None:
    with pytest.raises(LabelStudioError, match="no project 'Veins'"):
        connect(app.context, "Veins", {})


def test_a_setting_goes_back_to_its_default(app: FakeApp, label_studio: FakeLabelStudio) -> None:
    connect(app.context, 5, {"gpu_memory_gb": 8.0, "n_folds": 4, "seed": 3})
    settings = connect(app.context, 5, {"seed": 8}, reset=["gpu_memory_gb", "n_folds"]).settings
    assert (settings.gpu_memory_gb, settings.n_folds, settings.seed) == (None, None, 8)
    with pytest.raises(SettingsError, match="no project setting 'memory' to reset"):
        connect(app.context, 5, {}, reset=["memory"])
