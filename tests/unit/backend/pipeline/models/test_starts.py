"""What a training may start from, and how its folds then start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.pipeline.folds.elsewhere import head_of
from backend.pipeline.folds.warm_start import checkpoint_of, choose_starts
from backend.pipeline.models import starts
from backend.pipeline.models.starts import FoundStart, find_start
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import RunRow
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import read_json, write_json
from domain.errors import FileFormatError, PredictionError, SettingsError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import add_version, manifest_of, weights
from tests.unit.training.archive.zips import PLANS, dataset, entries, write_zip
from training.archive.convert import Converted
from training.pretrained import NETWORK
from training.versions.manifests import FoldStart, RunManifest
from training.versions.version_folder import VersionInfo, read_version

MANIFEST = manifest_of((1, "a", "p"), (2, "b", "q"))


@pytest.fixture(autouse=True)
def converted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The child's work without torch: checkpoints are moved. Lists the folders."""
    asked: list[Path] = []

    def move(folder: Path, folds: dict[str, int], *, trust: bool = False) -> Converted:
        asked.append(folder)
        for name, number in folds.items():
            (folder / f"fold_{number}").mkdir()
            target = folder / f"fold_{number}" / "checkpoint_final.pth"
            (folder / f"fold_{name}.pth").rename(target)
        return Converted("nnUNetTrainer", (0, 1), 1000)

    monkeypatch.setattr(starts, "convert_checkpoints", move)
    return asked


def _add_version(app: FakeApp, number: int, **fields: Any) -> Path:
    add_version(app, number, folds=(0, 1), **fields)
    folder = app.context.workspace(PROJECT).version_dir(f"nnloop-v{number}")
    write_json(folder / "dataset.json", dataset())
    return folder


def _starts(
    app: FakeApp, start: FoundStart, number: int = 9
) -> tuple[tuple[FoldStart, ...], str, list[Path | None]]:
    values = ProjectSettings().model_dump(mode="json") | start.settings
    run_id = app.add_run(RunStatus.TRAINING, number, manifest=MANIFEST, settings=values)
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        found = choose_starts(session, app.context.workspace(PROJECT), run, [0, 1])
        files = [checkpoint_of(session, run, one) for one in found.of_folds]
    return found.of_folds, found.note, files


def test_a_zip_is_unpacked_once_and_nobody_knows_what_it_has_seen(
    app: FakeApp, tmp_path: Path, converted: list[Path]
) -> None:
    file = write_zip(tmp_path / "m.zip", entries())
    start = find_start(app.context, PROJECT, str(file), {})
    assert find_start(app.context, PROJECT, str(file), {}) == start
    assert len(converted) == 1
    assert (start.name, start.fresh) == ("m.zip", ())
    assert start.mapping == {"lumen": "lumen", "wall": "wall"}
    assert read_json(Path(start.settings["plans"]))["configurations"] == PLANS["configurations"]
    # Somebody has tidied up: the zip is still there.
    (start.folder / "fold_1" / "checkpoint_final.pth").unlink()
    assert find_start(app.context, PROJECT, str(file), {}) == start
    assert len(converted) == 2
    of_folds, note, files = _starts(app, start)
    assert [one.seen for one in of_folds] == [None, None]
    assert [one.head for one in of_folds] == [(0, 1, 2)] * 2
    assert [file.read_text() for file in files if file] == ["weights 0", "weights 1"]
    assert "nobody can tell" in note
    # No version of the project: it predicts nothing, and nothing of it serves.
    assert app.jobs == []


def test_half_an_unpacking_leaves_nothing_behind(app: FakeApp, tmp_path: Path) -> None:
    file = write_zip(tmp_path / "m.zip", entries() | {"x/../y": b"z"})
    with pytest.raises(FileFormatError):
        find_start(app.context, PROJECT, str(file), {})
    with pytest.raises(FileFormatError):
        find_start(app.context, PROJECT, str(tmp_path / "none.zip"), {})
    assert not list((app.context.workspace(PROJECT).folder / "starts").glob("*"))


def test_what_an_own_version_has_seen_goes_down_the_lineage(app: FakeApp) -> None:
    manifest = manifest_of((1, "a", "p"), (2, "b", "q"), (3, "c", "r"))
    manifest = RunManifest(
        **{
            name: getattr(manifest, name)
            for name in ("entries", "n_folds", "class_values", "preset")
        },
        starts=(FoldStart(seed=1), FoldStart(seed=2)),
    )
    folder = _add_version(app, 1, manifest=manifest)
    start = find_start(app.context, PROJECT, "nnloop-v1", {})
    assert start.folder == folder
    of_folds, note, files = _starts(app, start)
    assert files == [folder / f"fold_{k}" / "checkpoint_final.pth" for k in (0, 1)]
    # Task 3 is trained on by fold 0 of the old version, and is in neither fold of the new one.
    seen = [one.seen for one in of_folds]
    assert [[case.task_id for case in cases or ()] for cases in seen] == [[3], []]
    assert "nobody" not in note
    assert [one.version for one in of_folds] == ["nnloop-v1"] * 2


def test_no_fold_starts_from_an_own_version_that_has_seen_what_it_holds_out(app: FakeApp) -> None:
    moved = [
        replace(entry, fold=1 - entry.fold) if entry.task_id < 3 else entry
        for entry in manifest_of((1, "a", "p"), (2, "b", "q"), (4, "d", "s")).entries
    ]
    folds = (FoldStart(seed=1), FoldStart(seed=2))
    _add_version(app, 1, manifest=replace(MANIFEST, entries=tuple(moved), starts=folds))
    of_folds, note, files = _starts(app, find_start(app.context, PROJECT, "nnloop-v1", {}))
    assert files == [None, None]
    assert [one.seen for one in of_folds] == [(), ()]
    assert "From fresh weights start all folds: nnloop-v1, or a version before it, has seen" in note


def test_a_version_that_is_gone_or_pruned_by_then(app: FakeApp) -> None:
    folder = _add_version(app, 1, manifest=MANIFEST)
    start = find_start(app.context, PROJECT, "nnloop-v1", {})
    weights(app, 1).unlink()
    of_folds, note, files = _starts(app, start)
    assert files == [None, folder / "fold_1" / "checkpoint_final.pth"]
    assert of_folds[0] == FoldStart(seed=of_folds[0].seed)
    assert note.endswith("From fresh weights start fold 0: the weights of nnloop-v1 are gone.")
    (folder / "fold_1" / "checkpoint_final.pth").unlink()
    of_folds, note, files = _starts(app, start, 11)
    assert [one.seen for one in of_folds] == [(), ()]
    assert note == "From fresh weights start all folds: the weights of nnloop-v1 are gone."
    with pytest.raises(PredictionError, match="pruned"):
        find_start(app.context, PROJECT, "nnloop-v1", {})
    (folder / "version.json").unlink()
    _of_folds, note, files = _starts(app, start, 10)
    assert files == [None, None]
    assert "fresh weights" in note


@pytest.mark.parametrize(
    ("mapping", "mapped", "fresh"),
    [
        ({"lumen": "wall", "wall": ""}, {"lumen": "wall"}, ("lumen",)),
        ({"lumen": ""}, {"wall": "wall"}, ("lumen",)),
    ],
)
def test_classes_go_by_their_names_or_as_told(
    app: FakeApp, mapping: dict[str, str], mapped: dict[str, str], fresh: tuple[str, ...]
) -> None:
    _add_version(app, 1, manifest=MANIFEST)
    start = find_start(app.context, PROJECT, "nnloop-v1", mapping)
    assert (start.mapping, start.fresh) == (mapped, fresh)
    assert f"head for {fresh[0]}" in start.remark


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"bone": "lumen"}, "no class 'bone'"),
        ({"lumen": "bone"}, "no label 'bone'"),
        ({"lumen": "wall"}, "Several classes"),
    ],
)
def test_a_map_that_can_not_be_is_refused(
    app: FakeApp, mapping: dict[str, str], message: str
) -> None:
    _add_version(app, 1, manifest=MANIFEST)
    with pytest.raises(SettingsError, match=message) as caught:
        find_start(app.context, PROJECT, "nnloop-v1", mapping)
    assert caught.value.remedy


def test_a_model_that_knows_none_of_the_labels_needs_a_word(app: FakeApp) -> None:
    folder = _add_version(app, 1, manifest=MANIFEST)
    info = read_version(folder)
    write_document(
        folder / "version.json", VersionInfo, replace(info, class_values=("Ader", "Nerv"))
    )
    with pytest.raises(SettingsError, match=r"No class of nnloop-v1 \(Ader, Nerv\)") as caught:
        find_start(app.context, PROJECT, "nnloop-v1", {})
    assert "--map" in caught.value.remedy
    found = find_start(app.context, PROJECT, "nnloop-v1", {"Ader": "lumen", "Nerv": ""})
    assert found.mapping == {"Ader": "lumen"}
    fresh = find_start(app.context, PROJECT, "nnloop-v1", {"Ader": ""})
    assert (fresh.mapping, fresh.fresh) == ({}, ("lumen", "wall"))


def test_other_channels_and_unknown_names_are_refused(app: FakeApp) -> None:
    folder = _add_version(app, 1, manifest=MANIFEST)
    write_json(folder / "dataset.json", dataset(channel_names={"0": "a", "1": "b"}))
    with app.store.begin() as session:
        projects.get(session, PROJECT).n_channels = 1
    with pytest.raises(SettingsError, match="2 channels"):
        find_start(app.context, PROJECT, "nnloop-v1", {})
    with pytest.raises(SettingsError, match="no version 'nnloop-v7'"):
        find_start(app.context, PROJECT, "nnloop-v7", {})


def test_no_name_and_no_lost_file_ends_in_a_bare_error(app: FakeApp) -> None:
    folder = _add_version(app, 1, manifest=MANIFEST)
    for name in ("v" * 5000, "a\0b"):
        with pytest.raises(SettingsError, match="no version"):
            find_start(app.context, PROJECT, name, {})
    for name in ("dataset.json", "plans.json"):
        (folder / name).unlink()
        with pytest.raises(PredictionError, match=f"has no {name} any more") as caught:
            find_start(app.context, PROJECT, "nnloop-v1", {})
        assert caught.value.remedy
        write_json(folder / name, dataset())


def test_a_network_with_a_pretrained_encoder_trains_at_its_own_rates(app: FakeApp) -> None:
    folder = _add_version(app, 1, manifest=MANIFEST)
    assert "preset" not in find_start(app.context, PROJECT, "nnloop-v1", {}).settings
    (folder / "plans.json").chmod(0o644)
    network = {"architecture": {"network_class_name": NETWORK}}
    write_json(folder / "plans.json", {"configurations": {"2d": network}})
    start = find_start(app.context, PROJECT, "nnloop-v1", {})
    assert start.settings["preset"] == "pretrained"
    assert "rates of preset pretrained" in start.remark


def test_a_class_that_was_left_out_begins_fresh(app: FakeApp) -> None:
    _add_version(app, 1, manifest=MANIFEST)
    start = find_start(app.context, PROJECT, "nnloop-v1", {"lumen": ""})
    of_folds, note, _ = _starts(app, start)
    assert [one.head for one in of_folds] == [(0, -1, 2)] * 2
    assert "their heads for wall too" in note


def test_where_each_class_goes_on_from() -> None:
    assert head_of(("a", "b"), ("b", "x"), {"b": "b"}) == (0, -1, 1)
    assert head_of(("a", "b"), ("b", "x"), {"b": "b", "x": "a"}) == (0, 2, 1)
    assert head_of(("a",), ("a", "x"), {"x": "a"}) == (0, 2)
    assert head_of(("a",), ("a", "x"), {}) == (0, -1)
    assert head_of(("a",), (), {}) == (0, -1)
