"""`nnloop export`: the drawn polygons, pixel by pixel, in nnU-Net's own format."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from domain.case import case_id_of_task
from tests.integration.loop.stack import Answer, Loop, LoopProject
from tests.nnunet_threads import use_threads


@pytest.fixture(scope="module")
def exported(
    loop: Loop, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LoopProject, Path, Answer]:
    project = loop.make_project("Export", 4, settings={"min_annotations": 100})
    first, second, empty, skipped = project.task_ids
    loop.annotate(project, [first, second])
    loop.client.annotate(empty, [])
    loop.client.annotate(skipped, [], was_cancelled=True)
    out = tmp_path_factory.mktemp("export") / "Dataset101_Export"
    answer = loop.nnloop("export", "Export", "--format", "nnunet", "--out", str(out))
    return project, out, answer


def test_it_says_what_was_written_and_what_was_not(
    exported: tuple[LoopProject, Path, Answer],
) -> None:
    project, _, answer = exported
    assert answer.status == 0, answer.text
    assert "3 tasks in" in answer.text
    assert f"Task {project.task_ids[3]} was skipped by its annotator." in answer.text


def test_label_maps_are_the_drawn_polygons(exported: tuple[LoopProject, Path, Answer]) -> None:
    project, out, _ = exported
    first, second, empty, _ = project.task_ids
    names = sorted(path.name for path in (out / "labelsTr").iterdir())
    assert names == [f"{case_id_of_task(task_id)}.png" for task_id in (first, second, empty)]
    for task_id in (first, second):
        truth = project.scenes[task_id].label_map
        assert set(np.unique(truth)) == {0, 1, 2}
        np.testing.assert_array_equal(_read(out / "labelsTr", task_id, ".png"), truth)
    assert not _read(out / "labelsTr", empty, ".png").any()


def test_images_are_unchanged(exported: tuple[LoopProject, Path, Answer]) -> None:
    project, out, _ = exported
    for task_id in project.task_ids[:3]:
        image = project.scenes[task_id].image
        np.testing.assert_array_equal(_read(out / "imagesTr", task_id, "_0000.png"), image)


def test_dataset_json_is_what_nnunet_asks_for(exported: tuple[LoopProject, Path, Answer]) -> None:
    _, out, _ = exported
    assert json.loads((out / "dataset.json").read_text()) == {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "disc": 1, "square": 2},
        "numTraining": 3,
        "file_ending": ".png",
    }


def test_nnunet_finds_nothing_wrong_with_it(
    exported: tuple[LoopProject, Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunetv2.experiment_planning import verify_dataset_integrity as verifying

    _, out, _ = exported
    use_threads(monkeypatch, verifying)
    verifying.verify_dataset_integrity(str(out), num_processes=1)


def _read(folder: Path, task_id: int, ending: str) -> npt.NDArray[np.uint8]:
    path = folder / f"{case_id_of_task(task_id)}{ending}"
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), dtype=np.uint8)
