"""What predicts images in files: folders that are only read, and zips."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backend.from_files import model_zip
from backend.from_files.context import PROJECT, FilesContext
from backend.from_files.model_zip import is_model_zip, unpacked_model
from backend.from_files.models import find_model
from backend.from_files.predictions.inputs import find_images, joined
from backend.store import copy_database
from backend.store.models import VersionRow
from backend.store.training import versions
from converters.bookkeeping.files import write_json
from domain.errors import FileFormatError, PredictionError
from domain.states import VersionStatus
from tests.unit.backend.from_files.material import read, region, task, write_export
from tests.unit.training.archive.zips import FOLDER, dataset, entries, write_zip
from training.archive.convert import Converted
from training.presets import TINY
from training.versions.keep_largest import KEEP_LARGEST, read_postprocessing
from training.versions.version_folder import VersionInfo, read_version, write_version


def trained(out: Path) -> FilesContext:
    """A folder as ``nnloop train`` leaves it, without weights."""
    context, _ = read(out, write_export(out.parent, [task(1, [region("lumen")])]))
    workspace = context.workspace(PROJECT)
    info = VersionInfo("nnloop-v1", ("lumen",), 1, TINY, (0,), {})
    path = write_version(workspace, info, lambda folder: write_json(folder / "plans.json", {}))
    with context.store.begin() as session:
        row = VersionRow(
            project_id=PROJECT,
            name="nnloop-v1",
            path=str(path),
            status=VersionStatus.CHALLENGER,
            size_bytes=1,
        )
        session.add(row)
        session.flush()
        versions.promote(session, row)
    return context


def state(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.stat()
        found[str(path)] = (about.st_mtime_ns, 0 if path.is_dir() else about.st_size)
    return found


@pytest.mark.parametrize("is_open", [True, False])
def test_nothing_in_a_models_folder_changes(is_open: bool, tmp_path: Path) -> None:
    """Also while a training holds its store open, whose newest rows are in the log then."""
    context = trained(tmp_path / "out")
    if not is_open:
        context.store.close()
    before = state(tmp_path / "out")
    model = find_model(tmp_path / "out")
    assert (model.name, model.config.class_values, model.n_files) == ("nnloop-v1", ("lumen",), 1)
    assert model.folder == context.workspace(PROJECT).version_dir("nnloop-v1")
    after = state(tmp_path / "out")
    # SQLite may touch the index of the log that somebody else has open.
    assert {k: v for k, v in after.items() if not k.endswith("-shm")} == {
        k: v for k, v in before.items() if not k.endswith("-shm")
    }


def test_a_folder_that_was_moved_is_found_where_it_is(tmp_path: Path) -> None:
    trained(tmp_path / "out").store.close()
    (tmp_path / "out").rename(tmp_path / "moved")
    assert find_model(tmp_path / "moved").folder.is_relative_to(tmp_path / "moved")


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="There is no folder or file"):
        find_model(tmp_path / "gone")
    (tmp_path / "out" / "data").mkdir(parents=True)
    with pytest.raises(PredictionError, match="No training has begun"):
        find_model(tmp_path / "out")
    assert list((tmp_path / "out" / "data").iterdir()) == []
    (tmp_path / "out" / "data" / "nnloop.db").write_bytes(b"no database" * 100)
    with pytest.raises(PredictionError, match="can't be read"):
        find_model(tmp_path / "out")


@pytest.mark.parametrize("may_open", [True, False])
def test_what_stands_in_the_log_alone_is_copied(
    may_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with closing(sqlite3.connect(source)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE t (n INTEGER)")
        writer.execute("INSERT INTO t VALUES (7)")
        writer.commit()
        if not may_open:  # a folder of somebody else's, without the log's index
            real = sqlite3.connect

            def connect(path: object, *, uri: bool = False) -> sqlite3.Connection:
                if uri:
                    raise sqlite3.OperationalError("unable to open database file")
                return real(str(path))

            monkeypatch.setattr("backend.store.database.sqlite3.connect", connect)
        assert copy_database(source, target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT n FROM t").fetchall() == [(7,)]
    assert not copy_database(tmp_path / "gone.db", target)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work without torch: checkpoints are moved."""

    def move(folder: Path, folds: dict[str, int], *, trust: bool = False) -> Converted:
        for name, number in folds.items():
            (folder / f"fold_{number}").mkdir()
            target = folder / f"fold_{number}" / "checkpoint_final.pth"
            (folder / f"fold_{name}.pth").rename(target)
        return Converted("nnUNetTrainer", (0, 1), 1000)

    monkeypatch.setattr(model_zip, "convert_checkpoints", move)


def _unpack(file: Path, into: Path) -> Path:
    into.mkdir()
    return unpacked_model(file, into)


@pytest.mark.usefixtures("moved")
def test_a_zip_is_a_model_with_its_postprocessing(tmp_path: Path) -> None:
    step = {"postprocessing_fns": [KEEP_LARGEST]}
    step["postprocessing_kwargs"] = [{"labels_or_regions": [1]}]  # type: ignore[list-item]
    after = {f"{FOLDER}/crossval_results_folds_0_1/postprocessing.json": json.dumps(step).encode()}
    file = write_zip(tmp_path / "vessels.zip", entries() | after)
    assert is_model_zip(file)
    model = find_model(_unpack(file, tmp_path / "a"))
    assert model.config.class_values == ("lumen", "wall")
    assert (model.n_channels, model.n_files) == (1, 1)
    assert [one.labels for one in read_postprocessing(model.folder)] == [(1,)]
    info = read_version(model.folder)
    assert (info.folds, info.preset.mirror_predict) == ((0, 1), True)
    # The same zip is the same version; another one of that name is another.
    again = find_model(_unpack(file, tmp_path / "b"))
    assert (again.name, read_version(again.folder).created_at) == (model.name, info.created_at)
    write_zip(file, entries())
    other = find_model(_unpack(file, tmp_path / "c"))
    assert other.name != model.name
    assert read_postprocessing(other.folder) == ()


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize(
    ("names", "ending", "n_files"),
    [
        (("grey",), ".png", 1),
        (("R", "G", "B"), ".png", 1),
        (("red", "green", "blue"), ".png", 1),
        (("T1", "T2", "FLAIR"), ".nii.gz", 3),
        (("0_t1", "1_t2", "2_flair"), ".png", 3),  # an export of nnloop's, of three images
        (("a", "b", "c"), ".png", 0),
        (("t1", "t2"), ".png", 2),
        (("0_t1_R", "1_t1_G", "2_t1_B", "3_t2_R", "4_t2_G", "5_t2_B"), ".png", 2),
    ],
)
def test_the_files_of_an_image_by_the_names_of_its_channels(
    names: tuple[str, ...], ending: str, n_files: int, tmp_path: Path
) -> None:
    """Three channels that are no colours were one grey file each, thrice: three wrong masks."""
    data = dataset(channel_names={str(k): name for k, name in enumerate(names)}, file_ending=ending)
    files = entries() | {f"{FOLDER}/dataset.json": json.dumps(data).encode()}
    model = find_model(_unpack(write_zip(tmp_path / "m.zip", files), tmp_path / "a"))
    assert (model.n_channels, model.n_files) == (len(names), n_files)


def test_where_names_do_not_tell_the_files_do(tmp_path: Path) -> None:
    for name in ("a.png", "b_0000.png"):
        (tmp_path / name).write_bytes(b"x")
    found = joined(find_images([tmp_path], tmp_path / "out"), 0)
    assert [(image.name, image.others) for image in found] == [("a.png", ()), ("b_0000.png", ())]
    for name in ("b_0001.png", "b_0002.png"):
        (tmp_path / name).write_bytes(b"x")
    a, b = joined(find_images([tmp_path], tmp_path / "out"), 0)
    assert (a.others, b.stem) == ((None, None), "b")
    assert [path and path.name for path in b.others] == ["b_0001.png", "b_0002.png"]


def test_what_is_no_model_zip_is_one_sentence(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "a.zip", entries()).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    assert is_model_zip(tmp_path / "cut.zip")
    with pytest.raises(FileFormatError):
        _unpack(tmp_path / "cut.zip", tmp_path / "b")
    two = entries() | entries(FOLDER.replace("nnUNetPlans", "otherPlans"))
    with pytest.raises(PredictionError, match="2 models"):
        _unpack(write_zip(tmp_path / "two.zip", two), tmp_path / "c")
    assert not is_model_zip(tmp_path)
