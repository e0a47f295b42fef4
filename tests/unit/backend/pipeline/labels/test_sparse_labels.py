"""A version that learned a label as a class, which is ignored or background by now."""

from __future__ import annotations

import numpy as np
import pytest

from backend.pipeline.connection.connect import connect as connect_project
from backend.pipeline.labels.of_version import interfaces_of, labels_of_version
from backend.pipeline.labels.questions import questions
from backend.pipeline.predictions.publish import publish
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.quality.corrections import measure_corrections
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.tasks import predictions
from converters.pictures.overlay import overlay
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.labels.renamed import pushed, serve, shows, trained_app


def ignore(app: FakeApp, **settings: object) -> None:
    """As `nnloop connect` changes the project's settings."""
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        project.settings = project.settings.model_copy(update=settings)


@pytest.mark.usefixtures("_networks")
@pytest.mark.parametrize("setting", ["ignore_label", "background_label"])
def test_it_is_not_predicted_any_more(app: FakeApp, setting: str) -> None:
    trained_app(app)
    serve(app, "lumen", "wall")
    app.label_studio.add_task(31)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, labels={"lumen", "wall"})

    ignore(app, **{setting: "wall"})
    app.label_studio.add_task(32)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app)[32] == {"lumen"}
    # Nothing is asked: the label is there.
    with app.store.begin() as session:
        assert questions(session, projects.get(session, PROJECT)) == ()
    # What people make of such a prediction says something of the classes that are left.
    app.label_studio.label(32, polygon("lumen"), polygon("wall", at=65, size=20))
    sync_project(app.context, PROJECT)
    measure_corrections(app.context, PROJECT)


@pytest.mark.usefixtures("_networks")
@pytest.mark.parametrize("setting", ["ignore_label", "background_label"])
def test_what_was_pushed_of_it_goes_when_the_setting_changes(app: FakeApp, setting: str) -> None:
    """No run is needed: the next reading has it pushed. And it comes back with the label."""
    trained_app(app)
    version_id = serve(app, "lumen", "wall")
    app.label_studio.add_task(31)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, labels={"lumen", "wall"})

    def waits_after(**settings: str) -> bool:
        """Whether something waits to be pushed once a setting is another one."""
        app.jobs.clear()
        connect_project(app.context, PROJECT, settings)
        sync_project(app.context, PROJECT)
        assert ("score", (PROJECT, 0)) in app.jobs  # which pushes what waits
        with app.store.begin() as session:
            return bool(predictions.unpublished(session, version_id, 10))

    assert waits_after(**{setting: "wall"})
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, labels={"lumen"})
    assert not waits_after(group_key="image")
    # A task that came while it was ignored was predicted without it.
    app.label_studio.add_task(32)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    assert not waits_after(**{setting: ""})  # all are predicted again
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert pushed(app) == shows(31, 32, labels={"lumen", "wall"})


def test_its_integers_keep_their_places_and_nothing_of_it_is_drawn(app: FakeApp) -> None:
    trained_app(app)
    version_id = serve(app, "lumen", "wall")
    ignore(app, ignore_label="lumen")
    with app.store.begin() as session:
        version = session.get_one(VersionRow, version_id)
        _, config = interfaces_of(session, version)
        labels = labels_of_version(config, version, ("lumen", "wall"))
    assert (labels.integers, labels.targets) == ([2], (0, 1, 2))
    assert not labels.config.group.has_ignore
    # A picture of it has nothing dark: no pixel of a prediction is unknown.
    image = np.full((20, 20), 200, np.uint8)
    picture = overlay(image, np.full((20, 20), labels.config.group.ignore_index, np.uint8), config)
    assert picture.min() < 200  # the project's own label maps have
    picture = overlay(image, np.ones((20, 20), np.uint8), labels.config)
    assert picture.min() == 200
