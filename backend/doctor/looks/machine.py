"""This machine: the data folder, its rights and disk, memory, shared memory."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import psutil

from backend.doctor.check import Check, Finding, fine, note, wrong
from backend.doctor.patient import Patient
from backend.pipeline.readiness import LEAST_FREE_BYTES
from backend.queue import ROLES
from backend.settings import Settings
from backend.settings.file import settings_file
from backend.settings.option import environment_of
from backend.settings.private_folder import make_private, open_to_others
from domain.errors import StackError
from training.devices import LEAST_MEMORY_MIB, usable_memory_mib

LEAST_SHARED_BYTES = 1_000_000_000
"""Of /dev/shm: docker gives 64 MB, in which a few patches of nnU-Net's fill it."""

LEAST_SCRATCH_BYTES = 500_000_000
"""Of the folder for temporary files: probabilities of a large image lie there."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written

NETWORK_DISKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "beegfs", "lustre", "gpfs"}
    | {"glusterfs", "pvfs2", "virtiofs"}
    | {f"fuse.{name}" for name in ("glusterfs", "sshfs", "s3fs", "ceph")}
)
"""Kinds of file systems on which other machines may work too."""

_LOCK_S = 5.0
_GB = 1e9

# In a process of its own: a lock that holds only within one is none between workers.
_TRIES_LOCK = (
    "import fcntl, sys\n"
    "with open(sys.argv[1]) as file:\n"
    "    try:\n"
    "        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "    except BlockingIOError:\n"
    "        sys.exit(17)\n"
)
_IS_HELD = 17

_AS_ITS_USER = (
    "Run nnloop as that user (sudo -u USER nnloop doctor), or share the folder with a group: "
    "docs/securing.md"
)


def folder(patient: Patient) -> Finding:
    """Whether the data folder is there and can be written."""
    path = patient.settings.data_dir
    another = "Name the folder that nnloop works on: NNLOOP_DATA_DIR or --data-dir"
    try:
        found = path.stat()
    except FileNotFoundError:
        return wrong(f"There is no folder {path}: nothing was started on it yet.", another)
    except PermissionError as error:
        return wrong(f"{path} can't be looked at: {error.strerror}.", _AS_ITS_USER)
    except OSError as error:
        return wrong(f"{path} can't be looked at: {error.strerror}.", another)
    if not path.is_dir():
        return wrong(f"{path} is no folder.", another)
    if not os.access(path, os.W_OK | os.X_OK | os.R_OK):
        return wrong(
            f"{path} belongs to user {found.st_uid}, and this one ({os.geteuid()}) may not write "
            "it.",
            _AS_ITS_USER,
        )
    return fine(str(path))


_SECRETS = ("label_studio_api_key", "basic_auth_pass")


def rights(patient: Patient) -> list[Finding]:
    """Whether other users may read the images, labels and passwords, or a key in the settings."""
    settings = patient.settings
    found = [_rights_of_folder(settings)]
    file = settings_file()
    if names := _secrets_open_to_others(file, settings.umask_bits):
        said = f"Other users may read {file}, which has {' and '.join(names)} in it."
        found.append(wrong(said, f"chmod 600 {shlex.quote(str(file))}"))
    return found


def _secrets_open_to_others(file: Path, umask_bits: int) -> list[str]:
    """Secrets in a file of settings that others may read, against the umask; empty: none."""
    try:
        is_open = file.stat().st_mode & umask_bits & 0o044
        keys = tomllib.loads(file.read_text(encoding="utf-8")) if is_open else {}
    except (OSError, ValueError):
        return []
    found = [environment_of(Settings.model_fields[name]) for name in _SECRETS]
    return [names[0] for names in found if any(keys.get(k) for k in (names[0].lower(), *names))]


def _rights_of_folder(settings: Settings) -> Finding:
    said = open_to_others(settings.data_dir, settings.umask_bits)
    if not said:
        return fine(f"nobody else may enter it (NNLOOP_UMASK={settings.umask})")

    def close() -> str:
        found = make_private(settings.data_dir, settings.umask_bits)
        if not found.is_private:
            raise StackError(found.said)
        return found.said or "The data folder was made private."

    of_group = {0o070: "g-rwx,", 0o020: "g-w,"}.get(settings.umask_bits & 0o070, "")
    where = shlex.quote(str(settings.data_dir))
    return wrong(said, f"chmod -R {of_group}o-rwx {where}", close)


def shared(patient: Patient) -> Finding:
    """Whether files can be written, replaced and locked there, as several processes do."""
    data_dir = patient.settings.data_dir
    kind = _kind_of_disk(data_dir)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=data_dir) as name:
            place = Path(name)
            (place / "new").write_bytes(b"new")
            (place / "old").write_bytes(b"old")
            (place / "new").replace(place / "old")
            is_replaced = (place / "old").read_bytes() == b"new"
            is_locked = _locks(place / "lock")
    except OSError as error:
        return wrong(
            f"A file can't be written or replaced in {data_dir}: {error.strerror or error}.",
            "Free some space, correct its rights, or name another folder: NNLOOP_DATA_DIR",
        )
    if not is_replaced:
        return wrong(
            f"A file that was replaced in {data_dir} still shows what it held before ({kind}).",
            "Mount it without that cache, or name a folder on another disk: NNLOOP_DATA_DIR",
        )
    if not is_locked:
        return wrong(
            f"Locks do not hold in {data_dir} ({kind}): two processes got the same one.",
            "Mount it with locks (NFS: version 4, without nolock), or name a folder on another "
            "disk: NNLOOP_DATA_DIR",
        )
    if kind in NETWORK_DISKS and not patient.settings.database_url:
        return note(
            f"Files can be written, replaced and locked ({kind}), but SQLite's store lies on a "
            "network disk: that holds for one machine only.",
            "With several machines put the store into PostgreSQL: NNLOOP_DATABASE_URL "
            "(docs/backup.md#into-postgresql)",
        )
    return fine(f"files can be written, replaced and locked ({kind})")


def disk(patient: Patient) -> list[Finding]:
    """What is free for cases and checkpoints, and for temporary files."""
    data_dir = patient.settings.data_dir
    free = shutil.disk_usage(data_dir).free
    found = []
    if free < LEAST_FREE_BYTES:
        found.append(
            wrong(
                f"{free / _GB:.1f} GB are free in {data_dir}, a training needs "
                f"{LEAST_FREE_BYTES / _GB:.0f} GB.",
                "Free some: nnloop models prune; or name a folder on another disk: NNLOOP_DATA_DIR",
            )
        )
    files = os.statvfs(data_dir)
    if files.f_files and files.f_favail < 10_000:
        found.append(
            wrong(
                f"{data_dir} has room for {files.f_favail:,} more files.",
                "Delete files on that disk, or name a folder on another: NNLOOP_DATA_DIR",
            )
        )
    scratch = Path(tempfile.gettempdir())
    left = shutil.disk_usage(scratch).free
    if left < LEAST_SCRATCH_BYTES:
        found.append(
            wrong(
                f"{left / 1e6:.0f} MB are free for temporary files in {scratch}.",
                "Free some, or name another folder for them: TMPDIR",
            )
        )
    return found or [fine(f"{free / _GB:.0f} GB free, {left / _GB:.0f} GB for temporary files")]


def memory(patient: Patient) -> Finding:
    """What memory this machine, or its container, has."""
    total = usable_memory_mib()
    if total < LEAST_MEMORY_MIB:
        answer = (
            f"{total:,} MiB: less than the {LEAST_MEMORY_MIB:,} MiB that one fold, the predictions "
            "and Label Studio take together."
        )
        fix = (
            "Give the machine or the container more, or let trainings run elsewhere: nnloop worker"
        )
        return wrong(answer, fix) if works_here(patient) else note(answer, fix)
    available = int(psutil.virtual_memory().available) // 2**20
    return fine(f"{total:,} MiB, {min(available, total):,} MiB of it free now")


def shared_memory(patient: Patient) -> Finding:
    """Whether torch can hand tensors between processes."""
    if not SHARED_MEMORY.is_dir():
        return fine(f"this system shares memory without {SHARED_MEMORY}")
    size = shutil.disk_usage(SHARED_MEMORY)
    if size.total >= LEAST_SHARED_BYTES and size.free >= LEAST_SHARED_BYTES // 4:
        return fine(f"{size.total / _GB:.1f} GB, {size.free / _GB:.1f} GB of it free")
    answer = (
        f"{SHARED_MEMORY} has {size.total / 1e6:.0f} MB, {size.free / 1e6:.0f} MB of it free: "
        "torch hands tensors between processes through it, and trainings break off."
    )
    fix = "shm_size: 2gb in docker-compose.yml, docker run --shm-size 2g, or end what fills it"
    if works_here(patient):
        return wrong(answer, fix)
    return note(f"{answer} No worker is at work here, as far as is known.", fix)


def works_here(patient: Patient) -> bool:
    """Whether a worker that trains or predicts runs on this machine, as Redis knows it."""
    try:
        workers = patient.queue.workers()
    except (StackError, ValueError):
        return False
    here, heavy = f"-{socket.gethostname()}-", {*ROLES["train"], *ROLES["predict"]}
    return any(here in one.name and heavy & {*one.queues} for one in workers)


def file_clock_ahead_s(data_dir: Path) -> float:
    """Seconds by which the clock of the folder's disk is ahead of this machine's."""
    with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=data_dir) as file:
        file.write(b"now")
        file.flush()
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_mtime - time.time()


def _locks(path: Path) -> bool:
    """Whether a lock that this process holds keeps another one out."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        command = [sys.executable, "-P", "-S", "-c", _TRIES_LOCK, str(path)]
        done = subprocess.run(command, timeout=_LOCK_S, capture_output=True, check=False)
        return done.returncode == _IS_HELD


def _kind_of_disk(path: Path) -> str:
    """The file system's name as the system has it: ext4, nfs4, ..."""
    mounted = [Path(one.mountpoint) for one in psutil.disk_partitions(all=True)]
    kinds = [one.fstype for one in psutil.disk_partitions(all=True)]
    around = [
        (len(place.parts), number)
        for number, place in enumerate(mounted)
        if path.is_relative_to(place)
    ]
    # Of several in one place the last one mounted is seen.
    return kinds[max(around)[1]] if around else "a disk of unknown kind"


CHECKS = (
    Check("folder", "Can the data folder be used?", folder, provides="folder"),
    Check("rights", "Is the data folder closed to others?", rights, ("folder",)),
    Check("shared_folder", "Do files and locks hold in it?", shared, ("folder",)),
    Check("disk", "Is there room on the disk?", disk, ("folder",)),
    Check("memory", "Is there memory enough?", memory),
    Check("shared_memory", "Can processes share memory?", shared_memory),
)
