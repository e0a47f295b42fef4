"""Makes a data folder of a backup."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.backup.contents import SECRETS, SETTINGS, STORE, Contents
from backend.backup.read import Backup, open_backup
from backend.backup.saved_store import fill_store
from backend.credentials import PASSWORD_FILE
from backend.settings import Settings
from backend.settings.private_folder import make_private
from backend.store import Store, projects
from backend.store.database import STORE_FILE
from backend.store.models import RunRow, TrialRow, VersionRow
from backend.store.tasks.readings import ReadingRow
from backend.store.training import leases, runs
from converters.bookkeeping.files import read_json, write_bytes
from domain.errors import DiskFullError, StackError
from domain.states import RunControl, RunStatus
from training.workspace import Workspace

_UNFINISHED = "restoring"
"""Folder of what is being restored, in the data folder: left there only by one that was cut off."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Attributes:
        contents: Of the backup.
        projects: Their ids.
        interrupted: (project id, number) of runs that were under way and can't go on.
    """

    contents: Contents
    projects: tuple[int, ...]
    interrupted: tuple[tuple[int, int], ...]


def restore_backup(
    settings: Settings,
    path: Path,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> Restored:
    """Makes a data folder, and the rows of another database, of a backup.

    The store comes last: one that is cut off leaves none, and can be repeated.

    Args:
        settings: Name the data folder and the database; neither may hold a project.
        path: The backup.
        on_bytes: Told how many bytes were restored, and of how many.

    Raises:
        FileFormatError: The backup is damaged, or of a newer nnloop. Nothing is left behind.
        StackError: The data folder or the database is in use.
        DiskFullError: The disk has no room for it.
    """
    data_dir = settings.data_dir
    make_private(data_dir, settings.umask_bits)
    unfinished = data_dir / _UNFINISHED
    if unfinished.exists():
        shutil.rmtree(unfinished)
        if not (data_dir / STORE_FILE).exists():
            shutil.rmtree(data_dir / "projects", ignore_errors=True)
    _require_empty(settings)
    with open_backup(path) as backup:
        free = shutil.disk_usage(data_dir).free
        if free < backup.contents.n_bytes:
            raise DiskFullError(
                f"The backup needs {backup.contents.n_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
                f"are free for {data_dir}.",
                remedy="Free space there, or name another folder (--data-dir).",
            )
        unfinished.mkdir(mode=0o700)
        try:
            return _restore(settings, backup, unfinished, on_bytes)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _restore(
    settings: Settings,
    backup: Backup,
    folder: Path,
    on_bytes: Callable[[int, int], None],
) -> Restored:
    saved = backup.saved_store(folder)
    contents, done = backup.contents, 0
    for name, member in contents.members.items():
        if name != STORE:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                backup.copy(name, file)
        done += member.n_bytes
        on_bytes(done, contents.n_bytes)
    interrupted = _settle(folder / STORE, settings.data_dir)
    for name in (SETTINGS, SECRETS):
        if (folder / name).exists():
            (folder / name).chmod(0o600)
            (folder / name).replace(settings.data_dir / f"restored-{name}")
    if contents.has_secrets:
        _keep_password(settings.data_dir)
    if (folder / "projects").exists():
        (folder / "projects").rename(settings.data_dir / "projects")
    if settings.database_url:
        store = Store(settings.store_url, settings.data_dir)
        try:
            store.migrate()
            fill_store(folder / STORE, store.engine)
        finally:
            store.close()
    else:
        (folder / STORE).rename(settings.data_dir / STORE_FILE)
    return Restored(contents, saved.projects, interrupted)


def _keep_password(data_dir: Path) -> None:
    """So that what Label Studio knows of the web service still logs it in."""
    secrets = read_json(data_dir / f"restored-{SECRETS}")
    write_bytes(data_dir / PASSWORD_FILE, secrets["basic_auth_pass"].encode(), mode=0o600)


def _require_empty(settings: Settings) -> None:
    data_dir = settings.data_dir
    holds = [name for name in (STORE_FILE, "projects") if (data_dir / name).exists()]
    if holds:
        raise StackError(
            f"{data_dir} holds {' and '.join(holds)} already.",
            remedy="Name a new folder (--data-dir), or move this one aside.",
        )
    if not settings.database_url:
        return
    store = Store(settings.store_url, data_dir)
    try:
        store.migrate()
        with store.read() as session:
            held = projects.all_ids(session)
    finally:
        store.close()
    if held:
        raise StackError(
            "The database of NNLOOP_DATABASE_URL holds projects already.",
            remedy="Name an empty one.",
        )


def _settle(file: Path, data_dir: Path) -> tuple[tuple[int, int], ...]:
    """Brings a store to the newest tables and to its new place; the runs that can't go on."""
    store = Store(f"sqlite:///{file}", file.parent)
    try:
        store.migrate()
        with store.begin() as session:
            for version in session.scalars(select(VersionRow)):
                version.path = str(
                    Workspace(data_dir, version.project_id).version_dir(version.name)
                )
            # Nobody who held these is there any more.
            leases.free_all(session)
            session.execute(delete(TrialRow))
            # All of each project is read next: much may have changed since.
            session.execute(delete(ReadingRow))
            return tuple(_interrupt(session, run) for run in _cut_off(session))
    finally:
        store.close()


def _cut_off(session: Session) -> list[RunRow]:
    """Runs whose cases or checkpoints are in no backup; what serves already goes on."""
    serving = (RunStatus.SCORING, RunStatus.PUBLISHING)
    return [run for run in runs.active_runs(session) if run.status not in serving]


def _interrupt(session: Session, run: RunRow) -> tuple[int, int]:
    run.error = "It was under way when the backup was made that this store was restored from."
    is_wanted = run.control == RunControl.RUN
    runs.enter_stage(session, run, RunStatus.FAILED)
    if is_wanted:
        # Its annotations count as trained on: no other run would start by itself.
        projects.add_hint(session, run.project_id, projects.START_TRAINING, [])
    return run.project_id, run.number
