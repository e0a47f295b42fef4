from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.backup.contents import CONTENTS, STORE, Contents, is_member
from backend.backup.read import verify_backup
from backend.backup.restore import Restored, restore_backup
from backend.backup.saved_store import SavedStore, copy_store, fill_store
from backend.backup.write import write_backup
from backend.credentials import PASSWORD_FILE, service_credentials
from backend.settings import Settings
from backend.store import Store
from backend.store.all_tables import TABLES
from backend.store.models import FoldRow, InboxRow, ProjectRow, RunRow, TrialRow
from backend.store.projects import START_TRAINING
from backend.store.training import versions
from domain.errors import DiskFullError, FileFormatError, StackError
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import add_version, predict, weights


@pytest.fixture
def home(app: FakeApp) -> FakeApp:
    """A project with two versions, a prediction and a run's curves."""
    app.add_tasks(1, 2)
    add_version(app, 1)
    second = add_version(app, 2, published_at=1.0)
    predict(app, second, 2)
    (app.context.workspace(PROJECT).preprocessed_dataset / "arrays").mkdir(parents=True)
    (app.context.workspace(PROJECT).preprocessed_dataset / "plans.json").write_text("{}")
    (app.context.workspace(PROJECT).preprocessed_dataset / "arrays" / "a.b2nd").write_bytes(b"1")
    return app


@pytest.fixture
def file(home: FakeApp, tmp_path: Path) -> Path:
    path = tmp_path / "out" / "one.zip"
    write_backup(home.context, path)
    return path


@pytest.fixture
def restore(tmp_path: Path) -> Callable[..., Restored]:
    def restore(file: Path, name: str = "new") -> Restored:
        return restore_backup(_settings(tmp_path / name), file)

    return restore


def _settings(folder: Path) -> Settings:
    return Settings.load(data_dir=folder, database_url="", redis_url="")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    stores = []

    def opened(name: str = "new") -> Store:
        settings = _settings(tmp_path / name)
        stores.append(Store(settings.store_url, settings.data_dir))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The backup with other files in it, its table included."""
    with zipfile.ZipFile(file) as source:
        members = {name: source.read(name) for name in source.namelist()}
    change(members)
    path = file.with_name("changed.zip")
    with zipfile.ZipFile(path, "w") as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


def test_a_restored_folder_is_the_same_in_another_place(
    home: FakeApp, file: Path, restore: Callable[..., Restored], opened: Callable[[], Store]
) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # nothing left beside it
    contents = verify_backup(file)
    assert contents.counts == {
        "projects": 1,
        "tasks": 2,
        "annotations": 0,
        "runs": 2,
        "versions": 2,
        "predictions": 1,
    }
    restored = restore(file)
    assert restored.projects == (PROJECT,) and restored.interrupted == ()
    shutil.rmtree(home.context.workspace(PROJECT).folder)  # it needs nothing of the old one
    with opened().read() as session:
        rows = versions.versions_of(session, PROJECT)
        for row in rows:
            assert (Path(row.path) / "fold_0" / "checkpoint_final.pth").stat().st_size == 1000
            assert Path(row.path).is_relative_to(file.parents[1] / "new")
        champion = versions.champion(session, PROJECT)
        assert champion is not None and champion.name == "nnloop-v2"
    new = file.parents[1] / "new" / "projects" / str(PROJECT)
    assert (new / "runs" / "2" / "fold_0" / "train.log").read_text() == "log"
    assert not (new / "runs" / "2" / "fold_0" / "checkpoint_final.pth").exists()
    names = [p.name for p in new.glob("nnUNet_preprocessed/*/*")]
    assert names == ["plans.json"]


def test_every_row_of_every_table_comes_back(home: FakeApp, file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file) as source:
        source.extract(STORE, tmp_path / "seen")
    with sqlite3.connect(tmp_path / "seen" / STORE) as copy, home.store.engine.connect() as ours:
        for table in TABLES:
            n = copy.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0]
            assert n == len(ours.execute(select(table)).all()), table.name
    copy.close()


def test_rows_can_be_copied_into_any_database(home: FakeApp, tmp_path: Path) -> None:
    """As a store of PostgreSQL is copied, from and to it; here with SQLite on both sides."""
    copy_store(home.store.engine, tmp_path / "copy.db")
    other = Store(f"sqlite:///{tmp_path / 'other.db'}", tmp_path)
    other.migrate()
    fill_store(tmp_path / "copy.db", other.engine)
    with home.store.engine.connect() as ours, other.engine.connect() as theirs:
        for table in TABLES:
            key = list(table.primary_key)
            query = select(table).order_by(*key)
            assert ours.execute(query).all() == theirs.execute(query).all(), table.name
    other.close()


def test_a_backup_replaces_no_file_and_is_whole_or_not_there(home: FakeApp, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(FileFormatError, match="exists already"):
        write_backup(home.context, file)
    assert file.read_bytes() == before
    with pytest.raises(FileFormatError, match="can't be written"):
        write_backup(home.context, file / "below" / "b.zip")


def test_a_full_disk_leaves_nothing_behind(
    home: FakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.backup.write.os.fsync", full)
    target = tmp_path / "full" / "b.zip"
    with pytest.raises(DiskFullError, match="no room"):
        write_backup(home.context, target)
    assert list(target.parent.iterdir()) == []


def test_a_version_that_is_pruned_meanwhile_counts_as_pruned(
    home: FakeApp,
    tmp_path: Path,
    restore: Callable[..., Restored],
    opened: Callable[[], Store],
) -> None:
    path = tmp_path / "pruned.zip"

    def prune(done: int, total: int) -> None:
        # Between the two versions, and after the store was copied.
        weights(home, 2).unlink(missing_ok=True)
        shutil.rmtree(home.context.workspace(PROJECT).version_dir("nnloop-v2"), ignore_errors=True)

    write_backup(home.context, path, on_bytes=prune)
    verify_backup(path)
    restore(path)
    with opened().read() as session:
        pruned = [v.name for v in versions.versions_of(session, PROJECT) if v.pruned_at]
    assert pruned == ["nnloop-v2"]


def test_writers_go_on_while_a_backup_is_written(home: FakeApp, tmp_path: Path) -> None:
    stop = threading.Event()
    written = []

    def write() -> None:
        while not stop.is_set():
            with home.store.begin() as session:
                session.add(InboxRow(project_id=PROJECT, action="A"))
                session.add(InboxRow(project_id=PROJECT, action="B"))
            written.append(2)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(5):
            write_backup(home.context, tmp_path / f"{n}.zip")
    finally:
        stop.set()
        writer.join()
    assert written
    for n in range(5):
        with zipfile.ZipFile(tmp_path / f"{n}.zip") as backup:
            backup.extract(STORE, tmp_path / f"seen-{n}")
        saved = sqlite3.connect(tmp_path / f"seen-{n}" / STORE)
        (rows,) = saved.execute("SELECT count(*) FROM inbox").fetchone()
        saved.close()
        assert rows % 2 == 0  # never half of a transaction


def test_what_is_damaged_is_found(file: Path, restore: Callable[..., Restored]) -> None:
    whole = file.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(FileFormatError):
            verify_backup(file)
    # One bit in the weights, which no checksum of a checkpoint would tell.
    at = whole.index(bytes(1000)) + 500
    file.write_bytes(whole[:at] + b"\1" + whole[at + 1 :])
    with pytest.raises(FileFormatError, match="damaged"):
        verify_backup(file)
    with pytest.raises(FileFormatError):
        restore(file)
    assert [path.name for path in (file.parents[1] / "new").iterdir()] == [".private"]
    file.write_text("no zip")
    with pytest.raises(FileFormatError, match="no backup of nnloop"):
        verify_backup(file)
    with pytest.raises(FileFormatError, match="can't be read"):
        verify_backup(file.parent)


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "projects/1/models/../../../evil",
        "/etc/passwd",
        "projects/1/models//x",
        "projects/x/models/a",
        "nnloop.toml",
        "projects/1/models/a\\..\\b",
        "projects/1/models/c:x",
        "",
    ],
)
def test_names_that_lead_out_are_refused(file: Path, name: str) -> None:
    assert not is_member(name)

    def add(members: dict[str, bytes]) -> None:
        table = json.loads(members[CONTENTS])
        table["members"][name] = {"n_bytes": 0, "sha256": ""}
        members[CONTENTS] = json.dumps(table).encode()

    with pytest.raises(FileFormatError, match="wrongly"):
        verify_backup(rewritten(file, add))


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"form": 99}', '{"form": 1}', "[" * 5000])
def test_a_table_that_is_none(text: str) -> None:
    with pytest.raises(FileFormatError):
        Contents.from_json(text.encode())


def test_a_store_of_a_newer_nnloop_is_refused(file: Path, tmp_path: Path) -> None:
    def newer(members: dict[str, bytes]) -> None:
        (tmp_path / "newer.db").write_bytes(members[STORE])
        with sqlite3.connect(tmp_path / "newer.db") as store:
            store.execute("UPDATE alembic_version SET version_num = '9999'")
        store.close()
        members[STORE] = (tmp_path / "newer.db").read_bytes()
        table = json.loads(members[CONTENTS])
        table["members"][STORE] = {
            "n_bytes": len(members[STORE]),
            "sha256": hashlib.sha256(members[STORE]).hexdigest(),
        }
        members[CONTENTS] = json.dumps(table).encode()

    with pytest.raises(FileFormatError, match="newer nnloop"):
        verify_backup(rewritten(file, newer))


def test_nothing_that_is_there_is_replaced(
    home: FakeApp, file: Path, restore: Callable[..., Restored]
) -> None:
    with pytest.raises(StackError, match=r"holds nnloop\.db and projects already"):
        restore_backup(home.context.settings, file)
    assert weights(home, 2).exists()
    restore(file)
    with pytest.raises(StackError, match="already"):
        restore(file)


def test_a_restoration_that_was_cut_off_can_be_repeated(
    file: Path, restore: Callable[..., Restored], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    new = file.parents[1] / "new"
    with monkeypatch.context() as patch:
        patch.setattr("backend.backup.restore.shutil.rmtree", lambda *_, **__: None)
        patch.setattr("backend.backup.restore.Restored", kill)
        patch.setattr("backend.backup.restore.STORE_FILE", "not-yet.db")
        with pytest.raises(Killed):
            restore(file)
    (new / "not-yet.db").unlink()
    assert (new / "restoring").exists() and (new / "projects").exists()
    restore(file)
    assert (new / "nnloop.db").exists() and not (new / "restoring").exists()


def test_a_run_under_way_begins_anew(
    home: FakeApp, tmp_path: Path, restore: Callable[..., Restored], opened: Callable[[], Store]
) -> None:
    run = home.add_run(RunStatus.TRAINING, 3, lease_until=9e9)
    with home.store.begin() as session:
        session.add(FoldRow(run_id=run, fold=0, status=FoldStatus.RUNNING, lease_until=9e9))
        session.add(TrialRow(task_id=1, project_id=PROJECT, worker="gone"))
        session.add(ProjectRow(id=9, title="Other"))
        session.flush()
        paused = RunRow(
            project_id=9, number=1, status=RunStatus.PREPARING, control=RunControl.PAUSE
        )
        serving = RunRow(project_id=10, number=1, status=RunStatus.SCORING, lease_until=9e9)
        session.add_all([paused, serving])
    path = tmp_path / "under-way.zip"
    write_backup(home.context, path)
    restored = restore(path)
    assert sorted(restored.interrupted) == [(PROJECT, 3), (9, 1)]
    with opened().begin() as session:
        found = {(r.project_id, r.number): r for r in session.scalars(select(RunRow))}
        assert found[PROJECT, 3].status == RunStatus.FAILED
        assert "backup" in found[PROJECT, 3].error
        assert found[10, 1].status == RunStatus.SCORING and found[10, 1].lease_until == 0
        asked = session.scalars(select(InboxRow).where(InboxRow.action == START_TRAINING)).all()
        # Nobody wanted the paused one to go on.
        assert [hint.project_id for hint in asked] == [PROJECT]
        assert session.scalars(select(TrialRow)).all() == []


def test_secrets_come_only_when_asked_for(
    home: FakeApp, file: Path, tmp_path: Path, restore: Callable[..., Restored]
) -> None:
    _, password = service_credentials(home.context.settings)
    assert password.encode() not in file.read_bytes()
    with zipfile.ZipFile(file) as backup:
        for name in backup.namelist():
            assert password.encode() not in backup.read(name)
    full = tmp_path / "full.zip"
    write_backup(home.context, full, with_secrets=True)
    restore(full)
    kept = tmp_path / "new" / PASSWORD_FILE
    assert kept.read_text() == password and kept.stat().st_mode & 0o777 == 0o600
    secrets = tmp_path / "new" / "restored-secrets.json"
    assert json.loads(secrets.read_text())["basic_auth_pass"] == password
    assert secrets.stat().st_mode & 0o777 == 0o600


def test_a_restored_folder_has_a_name_of_its_own(
    home: FakeApp, file: Path, restore: Callable[..., Restored]
) -> None:
    # Else processes on the old folder and on this one would share their jobs.
    restore(file)
    assert not (file.parents[1] / "new" / "installation").exists()


def test_an_empty_store_can_be_saved(app: FakeApp, tmp_path: Path) -> None:
    with app.store.begin() as session:
        session.delete(session.get_one(ProjectRow, PROJECT))
    write_backup(app.context, tmp_path / "empty.zip")
    restored = restore_backup(_settings(tmp_path / "new"), tmp_path / "empty.zip")
    assert restored.projects == ()


def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(FileFormatError, match="can't be read"):
        SavedStore.read(tmp_path / "x.db")
