"""Annotations go to the tasks that have the image, whatever Label Studio made of its name."""

from __future__ import annotations

import io
import json
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from backend.cli.main import app
from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.pipeline.basis.context import AppContext
from backend.pipeline.files.attach import TaskChoice
from backend.pipeline.files.import_ import import_to_project
from converters.addresses.upload_names import stored_name
from converters.bookkeeping.files_report import FilesReport
from converters.images.of_tasks import image_name
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name
from converters.imports.run import ImportJob
from converters.imports.source import ImportOptions
from converters.imports.tasks import As
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from domain.annotation import Task
from domain.errors import SettingsError
from tests.integration.files.conftest import CONFIG

SIZE_HW = (30, 40)
NAMES = (
    "plain.png",
    "my scan (left) 1.png",
    "a&b #1+é.png",
    "größe.png",
    unicodedata.normalize("NFD", "früh.png"),
    " leading.png",
    "00000000-half-a-prefix.png",
    "100% & 50;.png",
    f"{'long-' * 25}name.png",
)


def _png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, SIZE_HW, dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _upload(client: LabelStudioClient, project_id: int, name: str, data: bytes) -> int:
    """As a browser does it: under the name the file has."""
    answer = client._connection.json(
        "POST",
        f"/api/projects/{project_id}/import",
        params={"return_task_ids": "true"},
        files={"file": (name, data, "image/png")},
    )
    return int(answer["task_ids"][0])


def _coco(path: Path, names: tuple[str, ...], x: int = 5) -> Path:
    ring = [x, 5, 20, 5, 20, 20, x, 20]
    height, width = SIZE_HW
    images = [
        {"id": i, "file_name": name, "width": width, "height": height}
        for i, name in enumerate(names)
    ]
    regions = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": [ring]}
        for i in range(len(names))
    ]
    path.write_text(
        json.dumps(
            {
                "images": images,
                "annotations": regions,
                "categories": [{"id": 1, "name": "kudzu"}],
            }
        )
    )
    return path


def _job(source: Path, images: Path | None, name: str = "coco", as_: As = "annotations") -> Any:
    return ImportJob(
        format_by_name(name),
        source,
        ImportOptions(),
        parse_label_config(CONFIG),
        ImageFinder(images),
        as_,
    )


def _tasks(client: LabelStudioClient, project: ProjectInfo) -> dict[int, Task]:
    return {task.id: task for task in client.iter_tasks(project.id)}


def _counts(tasks: dict[int, Task]) -> list[int]:
    return [len(task.annotations) for task in tasks.values()]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        (folder / name).write_bytes(_png(seed))
    return folder


@pytest.fixture
def uploaded(client: LabelStudioClient, project: ProjectInfo, images: Path) -> dict[str, int]:
    """Task ids by the names as they are on disk."""
    return {name: _upload(client, project.id, name, (images / name).read_bytes()) for name in NAMES}


def test_every_upload_is_found_and_none_is_added(
    context: AppContext,
    project: ProjectInfo,
    client: LabelStudioClient,
    uploaded: dict[str, int],
    images: Path,
    tmp_path: Path,
) -> None:
    held = _tasks(client, project)
    for name, task_id in uploaded.items():
        if len(name) < 80:
            assert image_name(held[task_id], "image") == stored_name(name)
    # Another program writes the names in the other Unicode form.
    composed = tuple(unicodedata.normalize("NFC", name) for name in NAMES)
    source = _coco(tmp_path / "coco.json", composed)
    report = import_to_project(context, project.id, _job(source, images))
    assert (report.done, report.left_out) == (len(NAMES), {})
    assert report.deeds == {"added": len(NAMES)}
    after = _tasks(client, project)
    assert after.keys() == held.keys()
    assert _counts(after) == [1] * len(NAMES)
    again = import_to_project(context, project.id, _job(source, images))
    assert (again.done, again.unchanged) == (len(NAMES), len(NAMES))
    assert _counts(_tasks(client, project)) == [1] * len(NAMES)
    # Changed regions replace those of the first run.
    _coco(source, composed, x=8)
    assert import_to_project(context, project.id, _job(source, images)).unchanged == 0
    assert _counts(_tasks(client, project)) == [1] * len(NAMES)


def test_by_name_alone_where_there_are_no_files(
    context: AppContext,
    project: ProjectInfo,
    client: LabelStudioClient,
    uploaded: dict[str, int],
    tmp_path: Path,
) -> None:
    """All but the name that was cut; the other image of the source is in no task."""
    source = _coco(tmp_path / "coco.json", (*NAMES, "elsewhere.png"))
    report = import_to_project(context, project.id, _job(source, None))
    assert (report.done, report.left_out) == (len(NAMES) - 1, {"image_missing": 2})
    assert _tasks(client, project)[uploaded[NAMES[-1]]].annotations == ()
    whole = json.loads(source.read_text())
    for image in whole["images"]:
        image["width"] += 1
    source.write_text(json.dumps(whole))
    report = import_to_project(context, project.id, _job(source, None))
    assert report.left_out == {"image_missing": 2, "size_mismatch": len(NAMES) - 1}


def test_equal_names_are_told_apart_by_content_and_equal_images_are_not(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    for folder in ("p1", "p2", "p3"):
        (images / folder).mkdir(parents=True)
    ids = {}
    for seed, folder in enumerate(("p1", "p2")):
        (images / folder / "a.png").write_bytes(_png(seed))
        ids[folder] = _upload(client, project.id, "a.png", _png(seed))
    (images / "p3" / "a.png").write_bytes(_png(77))  # in no task
    for name in ("twin.png", "renamed.png"):
        (images / name).write_bytes(_png(5 if name == "twin.png" else 6))
    twins = [_upload(client, project.id, "twin.png", _png(5)) for _ in range(2)]
    renamed = _upload(client, project.id, "quite another name.png", _png(6))
    exported = _upload(client, project.id, "out and in.png", _png(8))
    stored = PurePosixPath(_tasks(client, project)[exported].data["image"]).name
    assert stored.endswith("-out_and_in.png")
    (images / "out and in.png").write_bytes(_png(8))
    names = ("p1/a.png", "p2/a.png", "p3/a.png", "twin.png", "renamed.png", stored)
    source = _coco(tmp_path / "coco.json", names)
    report = import_to_project(context, project.id, _job(source, images))
    assert report.left_out == {"ambiguous_task": 1, "other_image": 1}
    after = _tasks(client, project)
    assert len(after) == 6
    labelled = {task.id for task in after.values() if task.annotations}
    assert labelled == {ids["p1"], ids["p2"], renamed, exported}
    assert not labelled & set(twins)
    # Without the files nothing tells the three a.png apart, so none is guessed.
    other = _coco(tmp_path / "by-name.json", names)
    report = import_to_project(context, project.id, _job(other, None))
    assert report.left_out == {"ambiguous_task": 4, "image_missing": 1}
    report = import_to_project(context, project.id, _job(source, images), TaskChoice(new=True))
    assert report.left_out == {}
    # None of them was made by an import: all six images are new tasks, and the others stay.
    assert len(_tasks(client, project)) == 12


def test_what_a_person_submitted_stays_alone(
    context: AppContext,
    project: ProjectInfo,
    client: LabelStudioClient,
    uploaded: dict[str, int],
    images: Path,
    tmp_path: Path,
) -> None:
    drawn, skipped, *_ = uploaded.values()
    client.annotate(drawn, [])
    client.annotate(skipped, [], was_cancelled=True)
    before = _tasks(client, project)
    source = _coco(tmp_path / "coco.json", NAMES[:3])
    report = import_to_project(context, project.id, _job(source, images))
    assert (report.done, report.left_out) == (1, {"labelled": 2})
    after = _tasks(client, project)
    assert [after[i].annotations for i in (drawn, skipped)] == [
        before[i].annotations for i in (drawn, skipped)
    ]
    predicted = import_to_project(context, project.id, _job(source, images, as_="predictions"))
    assert (predicted.done, predicted.left_out) == (3, {})
    for _ in range(2):
        report = import_to_project(
            context, project.id, _job(source, images), TaskChoice(again=True)
        )
        assert report.left_out == {}
        after = _tasks(client, project)
        assert [len(after[i].annotations) for i in (drawn, skipped)] == [2, 2]
        assert after[drawn].annotations[0] == before[drawn].annotations[0]


def test_an_id_that_was_given_to_another_image_is_not_trusted(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "first.png").write_bytes(_png(1))
    source = _coco(tmp_path / "coco.json", ("first.png",))
    import_to_project(context, project.id, _job(source, images))
    (made,) = _tasks(client, project)
    client.delete_task(made)
    taken = _upload(client, project.id, "second.png", _png(2))
    report: FilesReport = import_to_project(context, project.id, _job(source, images))
    assert (report.done, report.unchanged) == (1, 0)
    after = _tasks(client, project)
    assert len(after) == 2
    assert after[taken].annotations == ()


def test_masks_go_to_the_images_they_are_of(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    inside = np.zeros(SIZE_HW, dtype=np.uint8)
    inside[5:20, 5:20] = 255
    Image.fromarray(inside).save(masks / "scan 1_mask.png")
    Image.fromarray(inside * 0).save(masks / "scan 2_mask.png")
    one, two = (_upload(client, project.id, f"scan {i}.png", _png(i)) for i in (1, 2))
    report = import_to_project(context, project.id, _job(masks, None, "masks"))
    assert (report.done, report.left_out) == (1, {"empty": 1})
    after = _tasks(client, project)
    assert [len(after[i].annotations) for i in (one, two)] == [1, 0]


def test_the_command_refuses_before_it_writes_and_does_what_its_flags_say(
    context: AppContext,
    project: ProjectInfo,
    client: LabelStudioClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(context.settings.data_dir))
    monkeypatch.setenv("LABEL_STUDIO_URL", context.settings.label_studio_url)
    key = context.settings.label_studio_api_key.get_secret_value()
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", key)
    config = polygon_label_config(["lumen", "wall"])
    client._connection.json("PATCH", f"/api/projects/{project.id}/", body={"label_config": config})
    images = tmp_path / "images"
    images.mkdir()
    for seed, name in enumerate(("lost.png", "new.png", "empty.png")):
        (images / name).write_bytes(_png(seed))
    source = _coco(tmp_path / "coco.json", ("lost.png", "new.png", "empty.png"))
    whole = json.loads(source.read_text())
    whole["annotations"] = whole["annotations"][:2]
    whole["annotations"][0]["category_id"] = 9
    source.write_text(json.dumps(whole))

    def run(*more: str) -> Result:
        arguments = ("import", source, "--format", "coco", "--images", images)
        options = (*arguments, "--project", project.id, *more)
        return CliRunner().invoke(app, [str(part) for part in options])

    refused = run()
    assert isinstance(refused.exception, SettingsError)
    assert "The source has kudzu; the labelling interface lumen, wall." in refused.exception.remedy
    assert _tasks(client, project) == {}
    lost = run("--map", "kudzu=wall", "--empty-as-negative")
    assert lost.exit_code == 1
    assert "regions_lost" in lost.output
    held = _tasks(client, project)
    by_name = {
        image_name(t, "image"): [len(a.result) for a in t.annotations] for t in held.values()
    }
    assert by_name == {"new.png": [1], "empty.png": [0]}
    assert run("--map", "kudzu=wall", "--empty-as-negative").exit_code == 1
    assert _tasks(client, project) == held
    # Regions of another program for the same images, on tasks that have an annotation now.
    other = tmp_path / "other.json"
    other.write_text(source.read_text())
    source = other
    assert "1 labelled" in run("--map", "kudzu=lumen", "--empty-as-negative").output
    run("--map", "kudzu=lumen", "--again")
    # What says the same as an annotation that is there (nothing) is not said twice.
    assert sorted(_counts(_tasks(client, project))) == [1, 2]
    source = tmp_path / "third.json"
    source.write_text(other.read_text())
    run("--map", "kudzu=lumen", "--empty-as-negative", "--new")
    assert sorted(_counts(_tasks(client, project))) == [1, 1, 1, 2]
