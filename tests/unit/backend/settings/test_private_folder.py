"""Who may read the data folder."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backend.cli.shared import keep_private
from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.settings.private_folder import (
    Privacy,
    make_private,
    make_store_file,
    open_to_others,
)
from converters.bookkeeping.files import new_folder, write_bytes, write_json
from converters.images.image_pixels import write_png
from domain.errors import SettingsError, StackError
from training.presets import TINY
from training.versions.version_folder import VersionInfo, write_version
from training.workspace import Workspace


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data folder as it was made before: 0755, files 0644."""
    folder = tmp_path / "nnloop"
    images = folder / "projects" / "1" / "imagesTr"
    images.mkdir(parents=True)
    (images / "case_0000.png").write_bytes(b"png")
    (folder / "nnloop.db").write_bytes(b"")
    (folder / "basic_auth").write_text("secret")
    (folder / "basic_auth").chmod(0o600)
    (images / "final.pth").write_bytes(b"pth")
    (images / "final.pth").chmod(0o444)
    return folder


def test_a_new_folder_is_private_whatever_the_umask_of_the_shell(tmp_path: Path) -> None:
    assert make_private(tmp_path / "a" / "b", 0o077) == Privacy()
    assert mode(tmp_path / "a" / "b") == 0o700
    assert mode(tmp_path / "a") == 0o755
    make_private(tmp_path / "shared", 0o007)
    assert mode(tmp_path / "shared") == 0o770


def test_an_existing_folder_is_made_private_and_that_is_said(old: Path) -> None:
    found = make_private(old, 0o077)
    assert found.is_private
    assert found.said == (
        f"The data folder {old} was open to other users (mode 0755). It was made private, and 6 "
        "files and folders in it. NNLOOP_UMASK=027 lets its group read, 007 write "
        "(docs/securing.md)."
    )
    assert mode(old) == mode(old / "projects" / "1") == 0o700
    assert mode(old / "nnloop.db") == 0o600
    images = old / "projects" / "1" / "imagesTr"
    assert (mode(images / "case_0000.png"), mode(images / "final.pth")) == (0o600, 0o400)
    assert make_private(old, 0o077) == Privacy()


def test_what_is_in_it_is_gone_through_once(old: Path) -> None:
    make_private(old, 0o077)
    image = old / "projects" / "1" / "imagesTr" / "case_0000.png"
    image.chmod(0o640)
    assert make_private(old, 0o077) == Privacy()
    assert mode(image) == 0o640
    # The folder itself is looked at every time: without it nobody gets at the rest.
    old.chmod(0o755)
    assert open_to_others(old, 0o077) == (
        f"The data folder {old} is open to other users (mode 0755, 0700 is meant)."
    )
    assert "It was made private. " in make_private(old, 0o077).said
    assert (mode(old), open_to_others(old, 0o077)) == (0o700, "")


def test_another_umask_takes_what_it_says_and_opens_nothing(old: Path) -> None:
    (old / "nnloop.db").chmod(0o666)
    make_private(old, 0o007)
    assert (mode(old), mode(old / "nnloop.db"), mode(old / "projects")) == (0o750, 0o660, 0o750)
    make_private(old, 0o077)
    assert (mode(old), mode(old / "nnloop.db")) == (0o700, 0o600)
    make_private(old, 0o007)
    assert (mode(old), mode(old / "nnloop.db")) == (0o700, 0o600)


def test_links_lead_out_of_the_folder_and_are_not_followed(old: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.png").write_bytes(b"png")
    (old / "scans").symlink_to(outside)
    (old / "mine.png").symlink_to(outside / "mine.png")
    (old / "lost").symlink_to(tmp_path / "nowhere")
    (old / "also-mine.png").hardlink_to(outside / "mine.png")
    make_private(old, 0o077)
    assert (mode(outside), mode(outside / "mine.png")) == (0o755, 0o644)
    assert not (tmp_path / "nowhere").exists()


def test_a_file_with_two_names_inside_is_made_private(old: Path) -> None:
    image = old / "projects" / "1" / "imagesTr" / "case_0000.png"
    (old / "again.png").hardlink_to(image)
    make_private(old, 0o077)
    assert mode(image) == 0o600


def test_what_is_no_file_hangs_nothing(old: Path) -> None:
    os.mkfifo(old / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(old)  # a socket's path is short
        try:
            one.bind("redis.sock")
        finally:
            os.chdir(here)
        assert "made private" in make_private(old, 0o077).said


def test_a_folder_that_holds_more_than_nnloops_is_left_alone(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(old))
    for folder in (old, old.parent):
        folder.chmod(0o755)
        found = make_private(folder, 0o077)
        assert not found.is_private
        assert found.said.startswith(f"The data folder {folder} is open to other users")
        assert "NNLOOP_DATA_DIR" in found.said
        assert mode(old / "nnloop.db") == 0o644
    monkeypatch.setenv("HOME", "/nowhere")
    old.chmod(0o1777)  # as /tmp
    assert "NNLOOP_DATA_DIR" in make_private(old, 0o077).said
    assert mode(old) == 0o1777


def test_a_home_folder_that_is_private_is_no_news(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(old))
    old.chmod(0o700)
    assert make_private(old, 0o077) == Privacy()


@pytest.mark.parametrize("raises", [True, False])
def test_a_disk_without_rights_is_said_and_stops_nothing(
    old: Path, monkeypatch: pytest.MonkeyPatch, *, raises: bool
) -> None:
    """As of a USB stick, or a share of Windows: its files are everybody's, whatever is asked."""

    def chmod(_path: Path, _mode: int) -> None:
        if raises:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", chmod)
    found = make_private(old, 0o077)
    assert not found.is_private
    assert "Its disk does not let nnloop close it" in found.said


def test_a_folder_that_hands_its_group_down_goes_on_to(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2777)
    make_private(shared, 0o007)
    assert mode(shared) == 0o2770


def test_the_store_has_the_rights_of_the_setting_also_for_a_group(tmp_path: Path) -> None:
    make_store_file(tmp_path / "a.db", 0o077)
    make_store_file(tmp_path / "b.db", 0o007)
    assert (mode(tmp_path / "a.db"), mode(tmp_path / "b.db")) == (0o600, 0o660)
    with sqlite3.connect(tmp_path / "b.db") as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("CREATE TABLE t (x)")
        assert mode(tmp_path / "b.db-wal") == 0o660  # SQLite gives it the store's rights
    store.close()
    make_store_file(tmp_path / "a.db", 0o007)
    assert mode(tmp_path / "a.db") == 0o600


def test_a_process_that_opens_the_folder_makes_it_private(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (old / "nnloop.db").unlink()
    context = AppContext.open(Settings.load(data_dir=old, database_url="", redis_url=""))
    context.store.close()
    assert "It was made private" in caplog.text
    assert (mode(old), mode(old / "nnloop.db")) == (0o700, 0o600)


@pytest.mark.parametrize(
    ("umask", "of_file", "of_folder"), [(0o077, 0o600, 0o700), (0o007, 0o660, 0o770)]
)
def test_what_is_written_has_the_rights_that_the_umask_leaves(
    tmp_path: Path, umask: int, of_file: int, of_folder: int
) -> None:
    os.umask(umask)
    write_json(tmp_path / "a.json", 1)
    write_bytes(tmp_path / "a.bin", b"1")
    assert mode(tmp_path / "a.bin") == of_file
    write_json(tmp_path / "secret.json", 1, mode=0o600)
    write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    assert mode(tmp_path / "a.json") == mode(tmp_path / "a.png") == of_file
    assert mode(tmp_path / "secret.json") == 0o600
    assert mode(new_folder(tmp_path, ".packing-")) == of_folder
    info = VersionInfo("v1", ("a",), 1, TINY, (0,), {})

    def fill(folder: Path) -> None:
        (folder / "plans.json").write_text("{}")

    folder = write_version(Workspace(tmp_path, 1), info, fill)
    assert mode(folder) == of_folder
    assert mode(folder / "plans.json") == of_file & 0o444


def test_a_command_that_writes_in_the_folder_takes_its_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNLOOP_UMASK", "027")
    monkeypatch.setenv("NNLOOP_DATA_DIR", "")
    keep_private(tmp_path)
    assert os.umask(0o022) == 0o027


def test_another_users_folder_is_said_in_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "nnloop"
    folder.mkdir(mode=0o500)
    settings = Settings.load(data_dir=folder, database_url="", redis_url="")
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        with pytest.raises(StackError, match=r"is another user's .*Permission denied") as caught:
            AppContext.open(settings)
    finally:
        if is_root:
            os.seteuid(0)
    assert "docs/securing.md" in caught.value.remedy


@pytest.mark.parametrize("text", ["77", "0o77", "700", "078", "1077", "none"])
def test_a_umask_leaves_the_owner_everything(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("NNLOOP_UMASK", text)
    with pytest.raises(SettingsError, match="NNLOOP_UMASK: must be three octal digits"):
        Settings.load()


@pytest.mark.parametrize(("text", "bits"), [("077", 0o077), ("0027", 0o027), ("007", 0o007)])
def test_a_umask_is_octal(monkeypatch: pytest.MonkeyPatch, text: str, bits: int) -> None:
    monkeypatch.setenv("NNLOOP_UMASK", text)
    assert Settings.load().umask_bits == bits
