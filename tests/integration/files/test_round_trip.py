"""Projects by API: into Label Studio and out again, with equal masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pycocotools.coco import COCO

from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.pipeline.basis.context import AppContext
from backend.pipeline.files.export import ExportRequest, export_file, export_project
from backend.pipeline.files.import_ import import_to_project
from converters.bookkeeping.files_report import FilesReport
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.imports.find import ImageFinder
from converters.imports.formats import format_by_name as import_format
from converters.imports.run import ImportJob, run_import_to_file
from converters.imports.source import ImportOptions
from converters.imports.tasks import As
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.outlines.limits import Simplification
from converters.painting.rasterize import shape_to_mask
from domain.annotation import LeftOut
from tests.integration.files.conftest import CONFIG
from tests.needed import REAL_IMAGES, real_images

INSECTS = REAL_IMAGES / "insects"
SIZE_HW = (576, 768)
N_IMAGES = 4


@pytest.fixture
def via(tmp_path: Path) -> Path:
    """The first few real images with their human polygons."""
    whole = json.loads((real_images("insects") / "train_via_region_data.json").read_text())
    path = tmp_path / "via.json"
    path.write_text(json.dumps(dict(list(whole.items())[:N_IMAGES])))
    return path


def _job(source: Path, name: str, images: Path, prefix: str, as_: As) -> ImportJob:
    return ImportJob(
        import_format(name),
        source,
        ImportOptions(),
        parse_label_config(CONFIG),
        ImageFinder(images, prefix),
        as_,
    )


def _export(
    context: AppContext, project_id: int, name: str, folder: Path
) -> tuple[FilesReport, Path]:
    request = ExportRequest(format_by_name(name), folder / name, ExportOptions())
    return export_project(context, project_id, request), folder / name


def _truth(via: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """Union of the VIA polygons by image name, painted from the source itself."""
    found = {}
    for entry in import_format("via").read(via, ImportOptions()):
        assert not isinstance(entry, LeftOut)
        masks = [shape_to_mask(s, SIZE_HW) for r in entry.regions for s in r.shapes]
        found[f"train_{entry.file_name}"] = np.logical_or.reduce(masks)
    return found


def test_via_into_a_project_and_out_as_coco_yolo_and_overlays(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, via: Path, tmp_path: Path
) -> None:
    job = _job(via, "via", INSECTS / "images", "train_", "annotations")
    report = import_to_project(context, project.id, job)
    assert (report.done, report.unchanged, report.left_out) == (N_IMAGES, 0, {})
    again = import_to_project(context, project.id, job)
    assert (again.done, again.unchanged) == (N_IMAGES, N_IMAGES)
    tasks = list(client.iter_tasks(project.id))
    assert [len(task.annotations) for task in tasks] == [1] * N_IMAGES

    truth = _truth(via)
    _, out = _export(context, project.id, "coco", tmp_path)
    coco = COCO(str(out / "annotations.json"))
    for image in coco.loadImgs(coco.getImgIds()):
        masks = [coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))]
        union = np.logical_or.reduce(masks)
        name = next(n for n in truth if image["file_name"].startswith(n.rpartition(".")[0]))
        assert (union == truth.pop(name)).all()
    assert truth == {}

    report, out = _export(context, project.id, "yolo", tmp_path)
    assert report.done == len(list((out / "labels").iterdir())) == N_IMAGES
    report, out = _export(context, project.id, "overlays", tmp_path)
    pictures = [Image.open(path) for path in (out / "overlays").iterdir()]
    assert [(p.width, p.height > SIZE_HW[0]) for p in pictures] == [(SIZE_HW[1], True)] * N_IMAGES

    # The same project as an export file, without the server, gives the same masks.
    _, by_api = _export(context, project.id, "masks-png", tmp_path)
    exported = tmp_path / "export.json"
    answer = client._connection.send(
        "GET", f"/api/projects/{project.id}/export", params={"exportType": "JSON"}
    )
    exported.write_bytes(answer.content)
    request = ExportRequest(format_by_name("masks-png"), tmp_path / "by-file", ExportOptions())
    export_file(exported, request)
    names = sorted(p.name for p in (by_api / "masks").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "by-file" / "masks").iterdir())
    for name in names:
        one, other = by_api / "masks" / name, tmp_path / "by-file" / "masks" / name
        assert one.read_bytes() == other.read_bytes()


def test_coco_as_predictions_and_out_again(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, via: Path, tmp_path: Path
) -> None:
    tasks_file = tmp_path / "tasks.json"
    job = _job(via, "via", INSECTS / "images", "train_", "annotations")
    run_import_to_file(job, tasks_file)
    request = ExportRequest(
        format_by_name("coco"), tmp_path / "coco", ExportOptions(), INSECTS / "images"
    )
    export_file(tasks_file, request)
    job = _job(
        tmp_path / "coco" / "annotations.json", "coco", INSECTS / "images", "", "predictions"
    )
    report = import_to_project(context, project.id, job)
    assert (report.done, report.left_out) == (N_IMAGES, {})
    assert client.count_predictions(project.id) == {"imported": N_IMAGES}
    assert import_to_project(context, project.id, job).unchanged == N_IMAGES
    assert client.count_predictions(project.id) == {"imported": N_IMAGES}

    client.set_model_version(project.id, "imported")
    report, out = _export(context, project.id, "predictions", tmp_path)
    assert report.done == N_IMAGES
    rows = json.loads((out / "predictions.json").read_text())
    # What was written goes in again as it is, into another project.
    other = client.create_project("Files again", CONFIG)
    try:
        client._connection.json("POST", f"/api/projects/{other.id}/import", body=rows)
        held = [row.result for row in client.iter_predictions(other.id)]
        assert held == [row["predictions"][0]["result"] for row in rows]
    finally:
        client.delete_project(other.id)


def test_changed_and_edited_annotations(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, via: Path
) -> None:
    job = _job(via, "via", INSECTS / "images", "train_", "annotations")
    import_to_project(context, project.id, job)
    first, second, *_ = list(client.iter_tasks(project.id))
    client.update_annotation(second.annotations[0].id, [])  # a person corrects it
    whole = json.loads(via.read_text())
    for image in whole.values():
        image["regions"] = image["regions"][:1]
    via.write_text(json.dumps(whole))
    report = import_to_project(context, project.id, job)
    assert (report.done, report.unchanged, report.left_out) == (N_IMAGES, 1, {"edited": 1})
    assert [len(a.result) for a in client.task(first.id).annotations] == [1]
    assert [len(a.result) for a in client.task(second.id).annotations] == [0]


def test_a_killed_import_is_taken_up_without_doubles(
    context: AppContext,
    project: ProjectInfo,
    client: LabelStudioClient,
    via: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        """Stands for a SIGKILL right after the call."""

    def dies_after(call: Callable[..., object]) -> Callable[..., object]:
        def dying(*arguments: object, **options: object) -> object:
            call(*arguments, **options)
            raise Killed

        return dying

    job = _job(via, "via", INSECTS / "images", "train_", "annotations")
    for method in ("import_images", "annotate"):
        with monkeypatch.context() as patch:
            patch.setattr(LabelStudioClient, method, dies_after(getattr(LabelStudioClient, method)))
            with pytest.raises(Killed):
                import_to_project(context, project.id, job)
    report = import_to_project(context, project.id, job)
    assert report.done == N_IMAGES
    tasks = list(client.iter_tasks(project.id))
    assert [len(task.annotations) for task in tasks] == [1] * N_IMAGES


@pytest.mark.parametrize("name", ["coco", "masks-png"])
def test_two_tasks_of_one_image_get_their_own_back(
    context: AppContext, project: ProjectInfo, client: LabelStudioClient, name: str, tmp_path: Path
) -> None:
    picture = tmp_path / "one.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40), dtype=np.uint8)).save(
        picture
    )
    (first,) = client.import_images(project.id, [(picture.name, picture.read_bytes())])
    rows = [{"data": client.task(first).data}]
    client._connection.json("POST", f"/api/projects/{project.id}/import", body=rows)
    config = parse_label_config(CONFIG)
    squares = ([5.0, 5.0], [50.0, 5.0], [50.0, 50.0]), ([20.0, 20.0], [90.0, 20.0], [60.0, 90.0])
    task_ids = [task.id for task in client.iter_tasks(project.id)]
    assert len(task_ids) == len(squares)
    for task_id, points in zip(task_ids, squares, strict=True):
        client.annotate(
            task_id,
            [
                {
                    "id": "r",
                    "from_name": config.group.controls[0].name,
                    "to_name": config.group.to_name,
                    "type": "polygonlabels",
                    "original_width": 40,
                    "original_height": 30,
                    "value": {"points": list(points), "closed": True, "polygonlabels": ["kudzu"]},
                }
            ],
        )
    report, out = _export(context, project.id, name, tmp_path)
    assert (report.done, report.left_out) == (2, {})
    source = out / ("annotations.json" if name == "coco" else "masks")
    for images in (None, tmp_path):
        job = replace(
            _job(source, name.partition("-")[0], tmp_path, "", "predictions"),
            images=ImageFinder(images),
            how=Simplification(tolerance_px=0),
            model_version="without images" if images is None else "with images",
        )
        report = import_to_project(context, project.id, job)
        assert (report.done, report.left_out) == (2, {})
        for task in client.iter_tasks(project.id):
            (held,) = client.task_predictions(task.id, job.model_version)
            predicted = replace(task.annotations[0], result=held.result)
            maps = [
                annotation_to_label_map(one, config, (30, 40))[0]
                for one in (predicted, *task.annotations)
            ]
            assert maps[0].any()
            assert (maps[0] == maps[1]).all()
