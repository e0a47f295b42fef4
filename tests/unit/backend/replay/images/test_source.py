from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.replay.images.library import Loop, truth_of
from backend.replay.images.source import library_of_folder, library_of_project
from domain.case import ManifestEntry
from domain.errors import FileFormatError, NotEnoughCasesError, SettingsError
from domain.states import RunStatus
from tests.fakes.app import FakeApp
from training.case_files import write_case
from training.presets import TINY
from training.versions.manifests import RunManifest
from training.versions.metrics import VersionMetrics

PROJECT = 1


def write(folder: Path, name: str, value: int | None = 1, *, side: int = 24) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(len(name)).integers(0, 255, (20, 24), dtype=np.uint8)
    assert cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
    if value is not None:
        mask = np.zeros((20, side), np.uint8)
        mask[4:9, 4:9] = value
        assert cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


def test_a_folder_with_all_that_can_be_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "P1_a")
    write(data, "P1_b", 2)
    write(data, "P2_a", 0)
    write(data, "no_mask", None)
    write(data, "narrow", side=20)
    (data / "images" / "broken.png").write_bytes(b"<html>")
    mask = np.zeros((20, 24), np.uint8)
    assert cv2.imwrite(str(data / "masks" / "broken.png"), mask)
    assert cv2.imwrite(str(data / "masks" / "no_image.png"), mask)
    done: list[int] = []
    found = library_of_folder(
        data,
        tmp_path / "out",
        classes=("disc", "square"),
        group_key=r"name:^(P\d)_",
        on_image=lambda: done.append(1),
    )
    assert [(case.case_id, case.group) for case in found.cases] == [
        ("P1_a", "P1"),
        ("P1_b", "P1"),
        ("P2_a", "P2"),
    ]
    assert found.class_values == ("disc", "square")
    assert found.cases[2].shares == (0, 0)
    told = " ".join(found.left_out)
    for name in ("no_mask", "narrow", "broken", "no_image"):
        assert name in told
    assert len(found.left_out) == 4
    assert len(done) == 3


def test_classes_are_counted_where_nobody_names_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "a", 1)
    write(data, "b", 3)
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("class_1", "class_2", "class_3")
    (data / "masks" / "classes.json").write_text('{"background": 0, "lumen": 1, "wall": 3}')
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("lumen", "class_2", "wall")


def test_white_is_the_first_class(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "a", 255)
    write(data, "b", 0)
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("class_1",)
    assert truth_of(tmp_path / "out", "a").max() == 1


def test_what_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="images"):
        library_of_folder(tmp_path / "nowhere", tmp_path / "out")
    write(tmp_path / "data", "a")
    (tmp_path / "data" / "images" / "a.png").write_bytes(b"")
    with pytest.raises(NotEnoughCasesError, match="can be used"):
        library_of_folder(tmp_path / "data", tmp_path / "out")


@pytest.mark.parametrize("key", ["patient", "name:(", "name:^P"])
def test_group_keys_that_are_none(tmp_path: Path, key: str) -> None:
    write(tmp_path / "data", "a")
    with pytest.raises(SettingsError, match="--group-key"):
        library_of_folder(tmp_path / "data", tmp_path / "out", group_key=key)


def add_run(app: FakeApp, number: int, case_ids: tuple[str, ...], *, n_channels: int = 1) -> None:
    entries = tuple(
        ManifestEntry(case_id, index, 1, "h", f"patient{index // 2}", 0)
        for index, case_id in enumerate(case_ids)
    )
    manifest = RunManifest(
        entries=entries, class_values=("disc",), n_folds=3, n_channels=n_channels, preset=TINY
    )
    app.add_run(RunStatus.DONE, number, manifest=manifest)


def write_cases(app: FakeApp, *case_ids: str) -> None:
    truth = np.zeros((20, 24), np.uint8)
    truth[4:9, 4:9] = 1
    for case_id in case_ids:
        write_case(
            app.context.workspace(PROJECT),
            case_id,
            np.full((20, 24), 9, np.uint8),
            truth,
            n_channels=1,
        )


def test_a_project_gives_its_newest_written_cases_and_groups(app: FakeApp, tmp_path: Path) -> None:
    add_run(app, 1, ("old",))
    add_run(app, 2, ("a", "b", "gone"))
    app.add_run(RunStatus.FAILED, 3)  # it has no manifest
    write_cases(app, "old", "a", "b")
    before = sorted(path for path in app.context.settings.data_dir.rglob("*.png"))
    context = app.context
    found = library_of_project(
        context.store, context.settings.data_dir, PROJECT, tmp_path / "library"
    )
    assert [(case.case_id, case.group) for case in found.cases] == [
        ("a", "patient0"),
        ("b", "patient0"),
    ]
    assert found.class_values == ("disc",)
    assert len(found.left_out) == 1 and "gone" in found.left_out[0]
    after = sorted(
        path
        for path in context.settings.data_dir.rglob("*.png")
        if not path.is_relative_to(tmp_path / "library")
    )
    assert after == before


def test_a_project_that_was_never_trained(app: FakeApp, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughCasesError, match="no training run"):
        library_of_project(app.context.store, app.context.settings.data_dir, PROJECT, tmp_path)


def test_a_project_says_what_acts_and_what_its_version_reaches(
    app: FakeApp, tmp_path: Path
) -> None:
    def loop() -> Loop | None:
        place = app.context.settings.data_dir
        return library_of_project(app.context.store, place, PROJECT, tmp_path / "library").loop

    add_run(app, 1, ("a",))
    write_cases(app, "a")
    assert loop() == Loop("auto")
    app.change_settings(query_strategy="bald")
    dice = {"disc": 0.8, "square": 0.6, "never": None}
    app.add_version(2, metrics=VersionMetrics(labels=12, oof_dice=dice))
    found = loop()
    assert found is not None and found.dice == pytest.approx(0.7)
    assert (found.query_strategy, found.version) == ("bald", "nnloop-v2")
    app.add_version(3, metrics=VersionMetrics(labels=12, oof_dice={"disc": None}))
    assert loop() == Loop("bald", "nnloop-v3", None)
    # Of one from elsewhere nobody knows what it had seen.
    app.add_imported("theirs", metrics=VersionMetrics(oof_dice={"disc": 0.99}))
    assert loop() == Loop("bald")
    assert library_of_folder(folder_with(tmp_path / "data"), tmp_path / "out").loop is None


def folder_with(data: Path) -> Path:
    write(data, "a")
    return data


def test_images_with_ignored_pixels_are_left_out_with_a_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "known", 1)
    write(data, "open", 2)
    write(data, "white", 255)
    (data / "masks" / "classes.json").write_text('{"background": 0, "lumen": 1, "(ignored)": 2}')
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("lumen",)
    assert [case.case_id for case in found.cases] == ["known", "white"]
    assert found.left_out == (
        "open: some of its pixels are ignored, so that nobody knows how a person would label it.",
    )
    (data / "masks" / "classes.json").write_text('{"background": 0, "lumen": 1, "(ignored)": 255}')
    found = library_of_folder(data, tmp_path / "out2")
    assert [case.case_id for case in found.cases] == ["known"]
    assert any(said.startswith("white: some of its pixels") for said in found.left_out)


def test_of_a_project_cases_with_ignored_pixels_are_left_out(app: FakeApp, tmp_path: Path) -> None:
    add_run(app, 1, ("a", "b"))
    write_cases(app, "a", "b")
    truth = np.full((20, 24), 2, np.uint8)  # one class: 2 is ignored
    truth[4:9, 4:9] = 1
    place = app.context.workspace(PROJECT)
    write_case(place, "b", np.full((20, 24), 9, np.uint8), truth, n_channels=1)
    context = app.context
    found = library_of_project(context.store, context.settings.data_dir, PROJECT, tmp_path / "out")
    assert [case.case_id for case in found.cases] == ["a"]
    assert len(found.left_out) == 1 and found.left_out[0].startswith(
        "b: some of its pixels are ign"
    )


def test_what_a_replay_does_not_do_with_masks_is_said(tmp_path: Path) -> None:
    """Unions of classes are not learned; masks whose background is not 0 are another program's."""
    data = tmp_path / "data"
    write(data, "a")
    write(data, "b", 2)
    regions = {"labels": {"background": 0, "vessel": [1, 2], "lumen": 2}}
    (data / "masks" / "dataset.json").write_text(json.dumps(regions))
    found = library_of_folder(data, tmp_path / "out")
    assert found.class_values == ("rest of vessel", "lumen")
    assert [text for text in found.left_out if "learn each class by itself" in text]
    (data / "masks" / "classes.json").write_text('{"background": 7, "lumen": 2}')
    with pytest.raises(FileFormatError, match="is 7"):
        library_of_folder(data, tmp_path / "other")
