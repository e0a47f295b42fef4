from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.stack import log_file
from backend.stack.log_file import LogFile, Rotation

N_LINES = 3_000


def _lines(folder: Path) -> list[str]:
    """Of all logs of a folder, the oldest first."""
    paths = sorted(folder.glob("x.log*"), key=lambda path: int(path.suffix.strip(".log") or 0))
    return [line for path in reversed(paths) for line in path.read_text().splitlines()]


def test_no_line_of_several_processes_is_lost_when_it_is_set_aside(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", Rotation(max_bytes=10_000, n_files=1_000))
    code = (
        "import os, sys\n"
        f"for n in range({N_LINES}):\n"
        "    os.write(1, f'{sys.argv[1]} {n} {\"x\" * (n % 50)}\\n'.encode())"
    )
    writers = []
    for name in ("a", "b"):
        with log.writer() as number:
            argv = [sys.executable, "-S", "-c", code, name]
            writers.append(subprocess.Popen(argv, stdout=number))
    for writer in writers:
        assert writer.wait(30) == 0
    log.drain()
    found = [line.split()[:2] for line in _lines(tmp_path)]
    for name in ("a", "b"):
        assert [int(n) for who, n in found if who == name] == list(range(N_LINES))
    assert len(found) == 2 * N_LINES
    sizes = [path.stat().st_size for path in tmp_path.glob("x.log*")]
    assert len(sizes) > 2 and max(sizes) <= 10_000 + log_file._AT_ONCE


def test_what_is_too_much_or_too_old_goes(tmp_path: Path) -> None:
    path, rotation = tmp_path / "x.log", Rotation(n_files=3, days=2)
    for n in range(6):
        path.write_text(f"{n}\n")
        log_file.set_aside(path, rotation)
    assert _lines(tmp_path) == ["3", "4", "5"]
    old = time.time() - 3 * 86_400
    os.utime(tmp_path / "x.log.2", (old, old))
    path.write_text("6\n")
    log_file.set_aside(path, rotation)
    assert _lines(tmp_path) == ["5", "6"]
    log_file.set_aside(path, rotation)  # there is none any more
    path.write_text("7\n")
    log_file.set_aside(path, Rotation(n_files=0))
    assert not path.exists()


def _say(log: LogFile, text: bytes) -> None:
    with log.writer() as number:
        os.write(number, text)
    log.drain()


@pytest.mark.parametrize("how", ["moved", "removed", "emptied"])
def test_a_log_that_somebody_else_touches_goes_on(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.log"
    log = LogFile(path, Rotation())
    _say(log, b"one\n")
    if how == "moved":  # as logrotate does
        path.rename(tmp_path / "old")
    elif how == "removed":
        path.unlink()
    else:
        path.write_bytes(b"")
    _say(log, b"two\n")
    assert path.read_text() == "two\n"
    assert path.stat().st_mode & 0o077 == 0 or how == "emptied"


def test_what_a_full_disk_swallows_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.log"
    log = LogFile(path, Rotation())
    _say(log, b"one\n")
    with monkeypatch.context() as patch:

        def full(_path: Path) -> None:
            raise OSError(28, "No space left on device")

        path.unlink()
        patch.setattr(log_file, "private_log", full)
        log._write(b"lost\n")
    _say(log, b"two")  # half a line of one that was killed
    assert path.read_text() == "nnloop: 5 bytes of this log could not be written.\ntwo\n"
