"""Writes the support file: a zip for whoever helps, without secrets, names of people or images."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import MetaData, desc, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from backend.deadline import OutOfTimeError, within
from backend.doctor.examine import Looked
from backend.doctor.patient import Patient
from backend.doctor.report import report_of
from backend.doctor.support.known import Known
from backend.queue import JobState
from backend.store.models import Base, ProblemRow, ProjectRow, RunRow, VersionRow
from domain.errors import NnloopError, StackError
from domain.text import one_line

TAIL_BYTES = 200_000
"""Of each log its end is taken; what is under way stands there."""

MOST_LOGS = 40
MOST_ROWS = 200
PART_S = 20.0

_ABOUT = """nnloop support file

doctor.json    what `nnloop doctor` found
settings.json  the settings: of secrets only whether they are set
versions.json  Python, system and installed packages
store.json     tables and how many rows they have, projects with their settings, versions
jobs.json      workers, and the jobs that failed or were lost
runs.json      the last trainings, with what went wrong
problems.json  open problems, the newest first
logs/          the end of each log

Taken out (***): keys, passwords, user and signature of addresses, e-mail addresses, names of
people and of images.{people}
Titles of projects and names of classes are in it: look through it before you give it away.
"""


def write_support_file(
    target: Path, patient: Patient, looked: Sequence[Looked], known: Known, *, knows_people: bool
) -> None:
    """Writes the file; it replaces one of the same name, and only its owner may read it.

    Args:
        target: Where to.
        patient: The installation.
        looked: What was found.
        known: What must not stand in it.
        knows_people: Whether Label Studio said who has an account.

    Raises:
        OSError: It can't be written.
        StackError: A secret would have stood in it; nothing is written.
    """
    redactor = known.redactor(hides_images=True)
    people = "" if knows_people else _NAMES_UNKNOWN
    parts: dict[str, str] = {"README.txt": _ABOUT.format(people=people)}
    for name, collect in _PARTS.items():
        parts[name] = _json(redactor.value(_collected(partial(collect, patient))))
    parts["doctor.json"] = _json(report_of(looked, redactor))
    data_dir = patient.settings.data_dir
    for path in _logs(data_dir):
        name = "-".join(path.relative_to(data_dir).with_suffix(".txt").parts[1:])
        parts[f"logs/{redactor.text(name)}"] = redactor.text(_tail(path))
    for name, content in parts.items():
        if not redactor.is_clean(content) or not redactor.is_clean(name):
            raise StackError(
                f"A secret would have been left in {name}; nothing was written.",
                remedy="Please report it as a fault of nnloop, with what `nnloop doctor` says.",
            )
    _write(target, parts)


_NAMES_UNKNOWN = (
    "\nLabel Studio did not say who has an account: names that stand in logs may be left."
)


def _write(target: Path, parts: dict[str, str]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            info = zipfile.ZipInfo(name, time.gmtime()[:6])
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            file.writestr(info, content.encode("utf-8", "replace"))
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file_out:
            file_out.write(packed.getvalue())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _collected(collect: Callable[[], Any]) -> Any:
    """A part of the file, or why it is not there."""
    try:
        return within(PART_S, collect)
    except OutOfTimeError as error:
        return {"not_there": str(error)}
    except NnloopError as error:
        return {"not_there": error.in_full}
    except (SQLAlchemyError, OSError, ValueError) as error:
        return {"not_there": f"{type(error).__name__}: {one_line(error)}"}


def _settings(patient: Patient) -> dict[str, Any]:
    settings = patient.settings
    found: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found[name] = "set" if value.get_secret_value() else "not set"
        elif not field.repr:
            found[name] = value.partition("://")[0] + "://***" if value else "not set"
        else:
            found[name] = value if isinstance(value, int | float | None) else str(value)
    return {"values": found, "set_by_hand": sorted(settings.model_fields_set)}


def _versions(_: Patient) -> dict[str, Any]:
    packages = {str(one.metadata["Name"]): one.version for one in distributions()}
    return {
        "python": sys.version,
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _store(patient: Patient) -> dict[str, Any]:
    _require_store(patient)
    metadata: MetaData = Base.metadata
    with patient.store.read() as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
        counts = {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in metadata.sorted_tables
        }
        projects = [
            {
                "id": row.id,
                "champion": row.champion_id,
                "channels": row.n_channels,
                "renamed_labels": len(row.label_mapping),
                "label_config": row.label_config,
                "settings": row.settings.model_dump(mode="json", exclude={"annotators"}),
                "connected_at": row.connected_at,
                "synced_at": row.synced_at,
                "error": row.error,
            }
            for row in session.scalars(select(ProjectRow).order_by(ProjectRow.id))
        ]
        columns = (
            VersionRow.id,
            VersionRow.project_id,
            VersionRow.name,
            VersionRow.status,
            VersionRow.origin,
            VersionRow.created_at,
            VersionRow.published_at,
            VersionRow.size_bytes,
        )
        query = select(*columns).order_by(desc(VersionRow.id)).limit(MOST_ROWS)
        made = [dict(row._mapping) for row in session.execute(query)]
    dialect = patient.store.engine.dialect.name
    return {
        "database": dialect,
        "revision": revision,
        "rows": counts,
        "projects": projects,
        "versions": made,
    }


def _jobs(patient: Patient) -> dict[str, Any]:
    workers = [
        {"queues": one.queues, "device": one.device, "memory_mib": one.memory_mib, "at": one.job_id}
        for one in patient.queue.workers()
    ]
    bad = (JobState.FAILED, JobState.LOST)
    jobs = [
        {
            "id": one.id,
            "name": str(one.name or ""),
            "state": str(one.state),
            "since": one.since,
            "cause": one.cause,
        }
        for one in patient.queue.jobs()
        if one.state in bad
    ]
    return {"waiting": patient.queue.counts(), "workers": workers, "failed": jobs[:MOST_ROWS]}


def _runs(patient: Patient) -> list[dict[str, Any]]:
    _require_store(patient)
    columns = (
        RunRow.id,
        RunRow.project_id,
        RunRow.number,
        RunRow.status,
        RunRow.control,
        RunRow.trigger,
        RunRow.seconds,
        RunRow.error,
        RunRow.note,
        RunRow.attempts,
        RunRow.created_at,
        RunRow.finished_at,
    )
    with patient.store.read() as session:
        query = select(*columns).order_by(desc(RunRow.id)).limit(MOST_ROWS)
        return [dict(row._mapping) for row in session.execute(query)]


def _problems(patient: Patient) -> list[dict[str, Any]]:
    _require_store(patient)
    columns = (
        ProblemRow.project_id,
        ProblemRow.task_id,
        ProblemRow.run_id,
        ProblemRow.stage,
        ProblemRow.reason,
        ProblemRow.message,
        ProblemRow.remedy,
        ProblemRow.created_at,
    )
    with patient.store.read() as session:
        query = select(*columns).where(ProblemRow.resolved_at.is_(None))
        query = query.order_by(desc(ProblemRow.id)).limit(MOST_ROWS)
        return [dict(row._mapping) for row in session.execute(query)]


def _require_store(patient: Patient) -> None:
    """A SQLite that is not there would be made by looking into it."""
    if "store" not in patient.there:
        raise StackError("The store can't be read.")


def _logs(data_dir: Path) -> list[Path]:
    """The logs of services and of the newest trainings, the newest first."""
    found = [*data_dir.glob("logs/*.log"), *data_dir.glob("redis/*.log")]
    found += data_dir.glob("projects/*/runs/*/*/train.log")
    dated = []
    for path in found:
        try:
            dated.append((path.stat().st_mtime, path))
        except OSError:
            continue
    return [path for _, path in sorted(dated, reverse=True)][:MOST_LOGS]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read()
    except OSError as error:
        return f"(can't be read: {error.strerror})\n"
    # A line that was cut could hold half of a secret.
    whole = data if size <= TAIL_BYTES else data.partition(b"\n")[2]
    return whole.decode("utf-8", "replace")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"


_PARTS: dict[str, Callable[[Patient], Any]] = {
    "settings.json": _settings,
    "versions.json": _versions,
    "store.json": _store,
    "jobs.json": _jobs,
    "runs.json": _runs,
    "problems.json": _problems,
}
