"""Files read into a project, again and again while they change."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import pytest

from backend.from_files.context import PROJECT
from backend.from_files.request import _replaced_images, request_run
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.images import load_image
from backend.store import projects
from backend.store.models import RunRow, TaskRow, VersionRow
from backend.store.tasks import snapshots
from backend.store.training import versions
from domain.case import ManifestEntry
from domain.errors import ImageError, LabelConfigError, NotEnoughCasesError
from domain.states import RunControl, RunStatus, TaskState, VersionStatus
from tests.unit.backend.from_files.material import read, region, task, write_export
from training.case_files import read_image
from training.presets import TINY
from training.versions.manifests import RunManifest

ROWS = [task(1, [region("lumen")]), task(2, []), task(3, None)]


def test_labelled_empty_and_unlabelled_are_told_apart(tmp_path: Path) -> None:
    context, reading = read(tmp_path / "out", write_export(tmp_path, ROWS))
    assert (reading.labelled, reading.empty, reading.unlabelled) == (2, 1, 1)
    assert reading.left_out == ()
    with context.store.read() as session:
        assert session.get_one(TaskRow, 2).state == TaskState.LABELLED
        assert session.get_one(TaskRow, 3).state == TaskState.UNLABELLED


def test_read_again_nothing_has_changed(tmp_path: Path) -> None:
    export = write_export(tmp_path, ROWS)
    assert read(tmp_path / "out", export)[1].changed == 2
    assert read(tmp_path / "out", export)[1].changed == 0


def test_a_newer_export_changes_adds_and_takes_away(tmp_path: Path) -> None:
    read(tmp_path / "out", write_export(tmp_path, ROWS))
    newer = [task(1, [region("lumen", at=5)]), task(3, [region("lumen")]), task(4, None)]
    context, reading = read(tmp_path / "out", write_export(tmp_path, newer))
    assert (reading.labelled, reading.empty, reading.unlabelled) == (2, 0, 1)
    with context.store.read() as session:
        assert session.get_one(TaskRow, 2).removed_at is not None
        rows = snapshots.submitted_annotations(session, PROJECT)
    assert [row.id for row, _ in rows] == [1, 3]


def test_a_task_with_the_id_of_another_is_another(tmp_path: Path) -> None:
    read(tmp_path / "out", write_export(tmp_path, ROWS))
    other = task(1, [region("lumen")], created_at="2026-05-05T00:00:00Z")
    context, _ = read(tmp_path / "out", write_export(tmp_path, [other]))
    with context.store.read() as session:
        sources = {row.source for row, _ in snapshots.submitted_annotations(session, PROJECT)}
    first, _ = read(tmp_path / "first", write_export(tmp_path, ROWS))
    with first.store.read() as session:
        before = {row.source for row, _ in snapshots.submitted_annotations(session, PROJECT)}
    assert sources.isdisjoint(before)


def test_classes_keep_their_integers_when_another_is_drawn_first(tmp_path: Path) -> None:
    rows = [task(1, [region("lumen")]), task(2, [region("wall")])]
    read(tmp_path / "out", write_export(tmp_path, rows))
    turned = [task(1, [region("wall")]), task(2, [region("lumen")])]
    context, _ = read(tmp_path / "out", write_export(tmp_path, turned))
    with context.store.read() as session:
        project = projects.get(session, PROJECT)
        assert label_config_of(project, project.settings).class_values == ("lumen", "wall")


def test_a_class_that_comes_later_is_learned(tmp_path: Path) -> None:
    read(tmp_path / "out", write_export(tmp_path, [task(1, [region("lumen")])]))
    rows = [task(1, [region("lumen")]), task(2, [region("plaque")])]
    context, _ = read(tmp_path / "out", write_export(tmp_path, rows))
    with context.store.read() as session:
        project = projects.get(session, PROJECT)
        assert label_config_of(project, project.settings).class_values == ("lumen", "plaque")


def test_images_are_the_files_that_the_addresses_name(tmp_path: Path) -> None:
    context, _ = read(tmp_path / "out", write_export(tmp_path, ROWS))
    address = ROWS[0]["data"]["image"]
    found = context.images.fetch_changed(address, 1, PROJECT)
    assert found is not None
    assert found.data == (tmp_path / "images" / "scan_1.png").read_bytes()
    assert context.images.fetch_changed(address, 1, PROJECT, unless_tag=found.tag) is None
    (tmp_path / "images" / "scan_1.png").write_bytes(b"others")
    changed = context.images.fetch_changed(address, 1, PROJECT, unless_tag=found.tag)
    assert changed is not None and changed.data == b"others"


def test_an_image_that_is_gone_is_a_fault_of_its_task(tmp_path: Path) -> None:
    export = write_export(tmp_path, ROWS)
    (tmp_path / "images" / "scan_1.png").unlink()
    context, reading = read(tmp_path / "out", export)
    assert reading.labelled == 2
    with pytest.raises(ImageError, match="was not found"):
        context.images.fetch_changed(ROWS[0]["data"]["image"], 1, PROJECT)


def test_one_file_for_two_addresses_is_neither_of_them(tmp_path: Path) -> None:
    one = task(1, [region("lumen")], data={"image": "s3://b/left/scan_1.png"})
    two = task(2, [region("lumen")], data={"image": "s3://b/right/scan_1.png"})
    rows = [task(1, [region("lumen")]), task(3, [region("lumen")])]
    write_export(tmp_path, rows)
    export = tmp_path / "export.json"
    export.write_text(json.dumps([one, two, rows[1]]))
    _, reading = read(tmp_path / "out", export)
    assert reading.labelled == 1
    assert [note.reason for note in reading.left_out] == ["image_ambiguous"] * 2
    assert {note.task_id for note in reading.left_out} == {1, 2}


def test_the_same_task_twice_is_said(tmp_path: Path) -> None:
    _, reading = read(tmp_path / "out", write_export(tmp_path, [*ROWS, ROWS[0]]))
    assert [note.reason for note in reading.left_out] == ["duplicate_task"]
    assert reading.labelled == 2


def test_an_export_without_a_region_has_no_classes(tmp_path: Path) -> None:
    with pytest.raises(LabelConfigError, match="no labelled region"):
        read(tmp_path / "out", write_export(tmp_path, [task(1, []), task(2, None)]))


def test_a_run_begins_once_and_again_where_something_has_changed(tmp_path: Path) -> None:
    export = write_export(tmp_path, ROWS)
    context, _ = read(tmp_path / "out", export)
    first = request_run(context, {})
    assert first.run_id is not None and "2 labelled images" in first.said
    # Cut off, it goes on, whatever has changed in the meantime.
    rows = [*ROWS, task(4, [region("lumen")])]
    context, _ = read(tmp_path / "out", write_export(tmp_path, rows))
    again = request_run(context, {"replan": True})
    assert again.run_id == first.run_id and "goes on" in again.said


def test_nothing_labelled_is_told(tmp_path: Path) -> None:
    export = write_export(tmp_path, ROWS)
    context, _ = read(tmp_path / "out", export)
    rows = [task(5, None)]
    empty = write_export(tmp_path, rows)
    with pytest.raises(LabelConfigError):
        read(tmp_path / "out", empty)
    # The folder still says what it said.
    assert request_run(context, {}).run_id is not None
    other, _ = read(tmp_path / "new", write_export(tmp_path, ROWS))
    with other.store.begin() as session:
        snapshots.remove_missing(session, PROJECT, [])
    with pytest.raises(NotEnoughCasesError, match="No image has a label"):
        request_run(other, {})


def test_an_image_replaced_under_its_name_is_trained_on_again(tmp_path: Path) -> None:
    """Also one of the same size and time, as those of an archive have them; labels say nothing."""
    export = write_export(tmp_path, ROWS)
    for path in (tmp_path / "images").iterdir():
        os.utime(path, (10**9, 10**9))
    context, _ = read(tmp_path / "out", export)
    first = request_run(context, {}).run_id
    assert first is not None
    with context.store.begin() as session:
        project = projects.get(session, PROJECT)
        config = label_config_of(project, project.settings)
        tasks = [session.get_one(TaskRow, k) for k in (1, 2)]
    for one in tasks:
        load_image(context, one, config)
    entries = tuple(
        ManifestEntry(f"case_{t.id}", t.id, 1, "x", "g", 0, image_hash=t.image_hash) for t in tasks
    )
    with context.store.begin() as session:
        run = session.get_one(RunRow, first)
        run.manifest = RunManifest(entries, preset=TINY)
        run.status = RunStatus.DONE
        row = VersionRow(
            project_id=PROJECT, name="v1", path="v1", status=VersionStatus.CHALLENGER, size_bytes=1
        )
        session.add(row)
        session.flush()
        versions.promote(session, row)
    assert "Nothing has changed" in request_run(context, {}).said
    path = tmp_path / "images" / "scan_1.png"
    about = path.stat()
    cv2.imwrite(str(path), 255 - read_image(path))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    for _ in range(2):  # also where a first call was cut off before its run began
        assert _replaced_images(context) == {1}
    said = request_run(context, {}).said
    assert "1 image replaced under the same name" in said


def test_a_newer_export_with_another_class_renumbers_none(tmp_path: Path) -> None:
    rows = [task(1, [region("lumen")]), task(2, [region("wall")]), task(3, [region("plaque")])]
    _, reading = read(tmp_path / "out", write_export(tmp_path, rows))
    assert reading.classes == ("lumen", "wall", "plaque")
    # Another comes first, one is in no image any more.
    newer = [task(1, [region("clot")]), task(2, [region("plaque")]), task(3, [region("lumen")])]
    _, reading = read(tmp_path / "out", write_export(tmp_path, newer))
    assert reading.classes == ("lumen", "wall", "plaque", "clot")
    assert "keep their integers: wall = 2" in " ".join(reading.said)
    # None of the names of before: somebody has named the classes.
    _, reading = read(tmp_path / "out", write_export(tmp_path, [task(1, [region("vein")])]))
    assert reading.classes == ("vein",)


def test_images_that_are_all_elsewhere_are_told(tmp_path: Path) -> None:
    export = write_export(tmp_path, ROWS)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "images").mkdir()
    _, reading = read(tmp_path / "out", export)
    assert (reading.found, len(reading.missing)) == (0, 2)


def test_a_run_that_goes_on_names_what_comes_too_late(tmp_path: Path) -> None:
    context, _ = read(tmp_path / "out", write_export(tmp_path, ROWS))
    first = request_run(context, {})
    asked = {"budget_s": 60.0, "n_folds": None}
    said = request_run(context, {"warm_start": False}, asked=asked, cancel="nnloop cancel 1").said
    assert "without --budget, --from-scratch as given now" in said
    assert "anew with that: nnloop cancel 1, then the same command" in said
    assert first.run_id is not None
    with context.store.begin() as session:
        run = session.get_one(RunRow, first.run_id)
        run.control, run.lease_until = RunControl.CANCEL, 10.0**12  # of a process that is gone
    second = request_run(context, {})
    assert second.run_id not in (None, first.run_id) and "Run 2 begins" in second.said
