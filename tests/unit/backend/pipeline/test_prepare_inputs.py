from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from PIL import Image
from sqlalchemy import event

from backend.pipeline.basis.images import load_image
from backend.pipeline.cases.prepare import prepare_run
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import ProjectRow, TaskRow
from backend.store.training import runs
from converters.bookkeeping.files import read_json
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import CaseError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import png, polygon
from tests.unit.backend.pipeline.preparing import SETTINGS, folds_of, label, prepare
from training.case_files import read_case_image, read_image
from training.nnunet.data.dataset import PreparedDataset

TWO_IMAGES = (
    '<View><Image name="left" value="$t1"/><Image name="right" value="$t2"/>'
    '<PolygonLabels name="label" toName="left"><Label value="lumen"/><Label value="wall"/>'
    '</PolygonLabels><PolygonLabels name="other" toName="right"><Label value="lumen"/>'
    "</PolygonLabels></View>"
)
RGB = np.random.default_rng(0).integers(1, 255, (40, 48, 3)).astype(np.uint8)


def test_the_manifest_names_what_is_trained_on(app: FakeApp) -> None:
    label(app.label_studio, 1, 2, 3)
    newest = app.label_studio.label(2, polygon("wall"))
    manifest = prepare(app)
    assert [row.task_id for row in manifest.entries] == [1, 2, 3]
    assert manifest.entries[1].annotation_id == newest
    assert manifest.class_values == ("lumen", "wall")
    assert (manifest.n_channels, manifest.preset.name, manifest.n_folds) == (1, "tiny", 2)
    # The files are what it says.
    workspace = app.context.workspace(PROJECT)
    label_map = read_image(workspace.label_png(app.case_id(2)))
    assert label_map.shape == (40, 48)
    assert set(np.unique(label_map)) == {0, 2}
    splits = read_json(workspace.preprocessed_dataset / "splits_final.json")
    for fold, split in enumerate(splits):
        held_out = {app.case_id(t) for t, f in folds_of(manifest).items() if f == fold}
        assert set(split["val"]) == held_out
        assert held_out.isdisjoint(split["train"])
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        assert [fold.fold for fold in runs.folds_of(session, run.id)] == [0, 1]
        assert session.get_one(ProjectRow, PROJECT).n_channels == 1


def as_file(image: npt.NDArray[Any], kind: str, mode: str | None = None, **how: Any) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, kind, **how)
    return buffer.getvalue()


def turned(image: npt.NDArray[Any]) -> bytes:
    """A JPEG whose EXIF orientation turns it by 90 degrees to the size of the others."""
    return as_file(np.rot90(image), "JPEG", exif=_turning())


def _turning() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.usefixtures("_no_preprocessing")
@pytest.mark.parametrize(
    ("data", "n_channels"),
    [
        (as_file(RGB[..., 0], "JPEG"), 1),
        (as_file(RGB, "JPEG"), 3),
        (as_file(RGB, "PNG", "RGBA"), 3),
        (as_file(RGB, "PNG", "P"), 3),
        (as_file(RGB[..., 0], "PNG", "LA"), 1),
        (as_file(RGB[..., 0].astype(np.uint16) * 257, "PNG"), 1),
        (as_file(RGB[..., 0], "PNG", "1"), 1),
        (as_file(RGB, "TIFF", "CMYK"), 3),
        (turned(RGB), 3),
        (as_file(RGB, "WEBP", lossless=True, exif=_turning()), 3),
        (as_file(RGB, "JPEG", xmp=XMP), 3),
    ],
    ids=[
        "jpg",
        "jpg RGB",
        "RGBA",
        "palette",
        "LA",
        "16 bits",
        "1 bit",
        "CMYK",
        "EXIF",
        "WebP",
        "XMP",
    ],
)
def test_every_kind_of_file_becomes_a_case(app: FakeApp, data: bytes, n_channels: int) -> None:
    fake = app.label_studio
    label(fake, 1, 2)
    fake.images[fake.tasks[2].data["image"]] = data
    manifest = prepare(app)
    assert manifest.left_out == ()
    assert manifest.n_channels == n_channels
    workspace = app.context.workspace(PROJECT)
    for task_id in (1, 2):
        image = read_case_image(workspace, app.case_id(task_id))
        assert image.shape == ((40, 48) if n_channels == 1 else (40, 48, 3))


@pytest.mark.usefixtures("_no_preprocessing")
def test_a_shape_is_cut_at_the_border(app: FakeApp) -> None:
    label(app.label_studio, 2)
    app.label_studio.add_task(1)
    triangle = polygon("wall")
    triangle["value"]["points"] = [[50, 50], [150, 50], [50, 150]]
    app.label_studio.label(1, triangle)
    prepare(app)
    label_map = read_image(app.context.workspace(PROJECT).label_png(app.case_id(1)))
    # All of the quarter lies on the near side of the long edge.
    expected = np.zeros((40, 48), dtype=np.uint8)
    expected[20:, 24:] = 2
    np.testing.assert_array_equal(label_map, expected)


@pytest.mark.usefixtures("_no_preprocessing")
def test_a_task_of_pages_is_trained_on_its_first(app: FakeApp) -> None:
    fake = app.label_studio
    xml = fake.info.label_config.replace('value="$image"', 'valueList="$pages"')
    assert xml != fake.info.label_config
    fake.info = replace(fake.info, label_config=xml)
    for task_id in (1, 2, 3):
        fake.add_task(task_id)
        uri = fake.tasks[task_id].data["image"]
        fake.tasks[task_id] = replace(fake.tasks[task_id], data={"pages": [uri, "/none.png"]})
    second = polygon("wall", at=65, size=20) | {"item_index": 1}
    fake.label(1, polygon() | {"item_index": 0}, second)
    fake.label(2, polygon())
    fake.label(3, second)
    manifest = prepare(app)
    assert [row.task_id for row in manifest.entries] == [1, 2]
    assert [(row.task_id, row.reason) for row in manifest.left_out] == [
        (1, "other_page"),
        (3, "other_page"),
    ]
    label_map = read_image(app.context.workspace(PROJECT).label_png(app.case_id(1)))
    assert set(np.unique(label_map)) == {0, 1}


def test_classes_with_the_words_of_nnunet_are_prepared(app: FakeApp) -> None:
    fake = app.label_studio
    names = {"lumen": "background", "wall": "ignore"}
    xml = fake.info.label_config
    for old, new in names.items():
        xml = xml.replace(f'value="{old}"', f'value="{new}"')
    fake.info = replace(fake.info, label_config=xml)
    for task_id in (1, 2, 3):
        fake.add_task(task_id)
        fake.label(task_id, polygon("background"), polygon("ignore", at=65, size=20))
    manifest = prepare(app)
    assert manifest.class_values == ("background", "ignore")
    assert manifest.left_out == ()
    dataset = read_json(app.context.workspace(PROJECT).preprocessed_dataset / "dataset.json")
    manager = LabelManager(dataset["labels"], None)
    assert (manager.has_ignore_label, list(manager.foreground_labels)) == (False, [1, 2])


def test_a_task_that_is_too_small_is_left_out_by_name(app: FakeApp) -> None:
    """nnU-Net fails when it resamples the image to nothing; the others are trained on."""
    label(app.label_studio, 1, 2, 3)
    for task_id in (1, 2, 3):
        uri = app.label_studio.tasks[task_id].data["image"]
        app.label_studio.images[uri] = png(np.full((300, 600), 9 * task_id, np.uint8))
    app.label_studio.add_task(4, np.full((1, 1), 9, np.uint8))
    app.label_studio.label(4)
    manifest = prepare(app)
    assert [row.task_id for row in manifest.entries] == [1, 2, 3]
    assert [(row.task_id, row.reason) for row in manifest.left_out] == [(4, "unusable_case")]
    with app.store.begin() as session:
        [problem] = projects.open_problems(session, PROJECT)
    assert problem.message.startswith("Task 4: its image shows 1 x 1 pixels")


@pytest.mark.usefixtures("_no_preprocessing")
def test_unusable_cases_are_left_out_until_the_rest_is_usable(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(app.label_studio, 1, 2, 3, 4)
    seen: list[list[str]] = []

    def prepare_without(
        _workspace: object, cases: Any, folds: Any, *_: object, **__: object
    ) -> PreparedDataset:
        seen.append(sorted(folds))
        bad = [case_id for case_id in folds if case_id in map(app.case_id, (2, 4))]
        if bad:
            raise CaseError({bad[0]: "it is odd."}, remedy="Mend it.")
        return PreparedDataset(len(cases), (), (), False, (0, 1), {}, 0.0)

    monkeypatch.setattr("backend.pipeline.cases.prepare.prepare", prepare_without)
    manifest = prepare(app)
    assert [len(cases) for cases in seen] == [4, 3, 2]
    # The folds of those left out were not kept: the others fill both.
    assert set(folds_of(manifest).values()) == {0, 1}
    messages = {row.task_id: f"{row.message} {row.remedy}" for row in manifest.left_out}
    assert messages == {2: "Task 2: it is odd. Mend it.", 4: "Task 4: it is odd. Mend it."}


def _two_images(app: FakeApp, task_id: int, first: Any, second: Any, **fields: Any) -> None:
    fake = app.label_studio
    fake.add_task(task_id, first)
    uris = {"t1": fake.tasks[task_id].data["image"], "t2": f"/data/upload/{task_id}_2.png"}
    fake.images[uris["t2"]] = png(second)
    fake.tasks[task_id] = replace(fake.tasks[task_id], data={**uris, **fields})


def _drawn(name: str, image: str) -> dict[str, Any]:
    return {**polygon("lumen"), "from_name": name, "to_name": image}


def _show_two_images(app: FakeApp) -> None:
    app.label_studio.info = replace(app.label_studio.info, label_config=TWO_IMAGES)


@pytest.mark.usefixtures("_no_preprocessing")
def test_several_images_of_a_task_are_channels(app: FakeApp) -> None:
    _show_two_images(app)
    grey = RGB[..., 0]
    _two_images(app, 1, grey, grey // 2)
    _two_images(app, 2, grey, grey.astype(np.uint16) * 3)
    _two_images(app, 3, grey, grey[:20])
    app.label_studio.label(1, _drawn("label", "left"))
    app.label_studio.label(2, _drawn("other", "right"))
    app.label_studio.label(3, _drawn("label", "left"))
    manifest = prepare(app, channels=["t2", "left"])  # a field, and an image object
    assert manifest.n_channels == 2
    assert [row.task_id for row in manifest.entries] == [1, 2]
    [left_out] = manifest.left_out
    assert (left_out.task_id, left_out.reason) == (3, "channel_sizes")
    assert "'t1' has 48 x 40 pixels, but 't2' has 48 x 20" in left_out.message
    workspace = app.context.workspace(PROJECT)
    np.testing.assert_array_equal(
        read_case_image(workspace, app.case_id(1)), np.dstack([grey // 2, grey])
    )
    np.testing.assert_array_equal(
        read_case_image(workspace, app.case_id(2)),
        np.dstack([grey.astype(np.uint16) * 3, grey]),
    )
    # What is drawn on either image counts, and lies in the same place.
    labels = [read_image(workspace.label_png(app.case_id(i))) for i in (1, 2)]
    assert labels[0].any()
    np.testing.assert_array_equal(labels[0], labels[1])
    app.label_studio.fetched.clear()
    assert prepare(app, channels=["t2", "left"]).digest == manifest.digest
    assert app.label_studio.fetched == [3, 3]  # only the one left out is tried again


@pytest.mark.usefixtures("_no_preprocessing")
def test_colour_in_one_channel_makes_all_of_them_colour(app: FakeApp) -> None:
    _show_two_images(app)
    grey = RGB[..., 0]
    for task_id, second in ((1, grey), (2, RGB)):
        _two_images(app, task_id, grey, second)
        app.label_studio.label(task_id, _drawn("label", "left"))
    assert prepare(app, channels=["t1", "t2"]).n_channels == 6
    image = read_case_image(app.context.workspace(PROJECT), app.case_id(2))
    np.testing.assert_array_equal(image, np.dstack([grey, grey, grey, RGB]))


def test_a_prediction_sees_the_channels_in_the_same_order(app: FakeApp) -> None:
    grey = RGB[..., 0]
    _two_images(app, 1, grey, grey // 2)
    data = app.label_studio.tasks[1].data
    task = TaskRow(id=1, project_id=PROJECT, data=data)
    config = parse_label_config(TWO_IMAGES, channels=["t2", "t1"])
    image = load_image(app.context, task, config)
    np.testing.assert_array_equal(image, np.dstack([grey // 2, grey]))


@pytest.mark.usefixtures("_no_preprocessing")
def test_cost_of_unchanged_tasks_in_the_store(app: FakeApp) -> None:
    """The number of statements does not grow with the number of tasks."""

    def statements(n_tasks: int) -> int:
        label(app.label_studio, *range(100, 100 + n_tasks))
        app.label_studio.label(100, polygon("plaque"))  # left out, with a problem
        app.label_studio.label(101, polygon("wall"))
        prepare(app)
        app.label_studio.label(101, polygon("lumen"))
        sync_project(app.context, PROJECT)
        with app.store.begin() as session:
            last = runs.last_run(session, PROJECT)
            assert last is not None
            number = last.number + 1
        run_id = app.add_run(RunStatus.PREPARING, number, settings=SETTINGS)
        seen: list[str] = []
        engine = app.store.engine
        listen = lambda _c, _cursor, sql, *_: seen.append(sql)  # noqa: E731
        event.listen(engine, "before_cursor_execute", listen)
        prepare_run(app.context, run_id, lambda: None)
        event.remove(engine, "before_cursor_execute", listen)
        with app.store.begin() as session:
            session.merge(app.run(run_id)).status = RunStatus.DONE
        return len(seen)

    assert statements(5) == statements(25)
