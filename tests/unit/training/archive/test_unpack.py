from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from domain.errors import DiskFullError, FileFormatError
from tests.unit.training.archive.zips import FOLDER, dataset, entries, plans, write_zip
from training.archive import unpack
from training.archive.foreign_plans import read_foreign
from training.archive.unpack import list_models, unpack_model


def test_only_what_a_model_needs_is_unpacked_under_our_names(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "m.zip", entries() | {"evil.py": b"code"}, deflate=True)
    [model] = list_models(file)
    assert (model.configuration, model.dataset_name) == ("2d", "Dataset501_Carotid")
    assert set(model.folds) == {"0", "1"}
    out = tmp_path / "out"
    out.mkdir()
    unpack_model(file, model, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "dataset.json",
        "fold_0.pth",
        "fold_1.pth",
        "plans.json",
    ]
    assert (out / "fold_1.pth").read_bytes() == b"weights 1"


def test_several_models_and_the_best_checkpoint_where_there_is_no_last(tmp_path: Path) -> None:
    files = entries(folds=("all",)) | entries(FOLDER.replace("2d", "3d_fullres"))
    last = f"{FOLDER}/fold_all/checkpoint_final.pth"
    files[last.replace("final", "best")] = files.pop(last)
    files["Dataset501_Carotid/x__y__2d/plans.json"] = b"{}"  # no data set, no fold
    found = {model.name: model for model in list_models(write_zip(tmp_path / "m.zip", files))}
    assert set(found) == {
        "nnUNetTrainer__nnUNetPlans__2d",
        "nnUNetTrainer__nnUNetPlans__3d_fullres",
    }
    assert found["nnUNetTrainer__nnUNetPlans__2d"].folds == {"all": last.replace("final", "best")}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "a/b\\..\\..\\c"]
)
def test_a_zip_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    file = write_zip(tmp_path / "m.zip", {**entries(), name: b"x"})
    with pytest.raises(FileFormatError, match="leads out of its folder"):
        list_models(file)
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip"]


def test_links_twins_and_encryption_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo(f"{FOLDER}/fold_0/checkpoint_final.pth")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FileFormatError, match="is a link"):
        list_models(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("plans.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("plans.json", "[]")
    with pytest.raises(FileFormatError, match="twice"):
        list_models(tmp_path / "twice.zip")
    data = bytearray(write_zip(tmp_path / "m.zip", entries()).read_bytes())
    flags = data.index(b"PK\x01\x02") + 8  # of the first entry in the directory
    data[flags] |= 1
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(FileFormatError, match="encrypted"):
        list_models(tmp_path / "m.zip")


def test_bombs_are_refused_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_BYTES", 2**20)
    files = entries()
    files[f"{FOLDER}/fold_0/checkpoint_final.pth"] = bytes(2**21)
    file = write_zip(tmp_path / "m.zip", files, deflate=True)
    assert file.stat().st_size < 2**14
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(FileFormatError, match="unpacks to 2 MB"):
        unpack_model(file, list_models(file)[0], out)
    assert list(out.iterdir()) == []
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 3)
    with pytest.raises(FileFormatError, match="entries, more than 3"):
        list_models(file)


def test_a_full_disk_is_noticed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_zip(tmp_path / "m.zip", entries())
    usage = type("Usage", (), {"free": 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DiskFullError):
        unpack_model(file, list_models(file)[0], tmp_path)


def test_what_is_no_zip_or_damaged_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no zip file"):
        list_models(tmp_path / "missing.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(FileFormatError, match="no zip file"):
        list_models(tmp_path / "text.zip")
    file = write_zip(tmp_path / "m.zip", entries())
    data = file.read_bytes()
    file.write_bytes(data.replace(b"weights 1", b"weights 2", 1))
    with pytest.raises(FileFormatError, match=r"fold_1.*can't be unpacked"):
        unpack_model(file, list_models(file)[0], tmp_path)


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "m.zip", {**entries(), "x": b""})
    raw = file.read_bytes()
    at = raw.rindex(b"PK\x01\x02")
    assert raw[at + 46 : at + 47] == b"x"
    # The last name of the directory is cut off.
    raw = raw[: at + 28] + b"\0\0" + raw[at + 30 : at + 46] + raw[at + 47 :]
    end = raw.rindex(b"PK\x05\x06") + 12
    size = int.from_bytes(raw[end : end + 4], "little") - 1
    file.write_bytes(raw[:end] + size.to_bytes(4, "little") + raw[end + 4 :])
    with pytest.raises(FileFormatError, match="has no name"):
        list_models(file)


def test_an_entry_that_lies_before_the_file_or_is_packed_otherwise_is_refused(
    tmp_path: Path,
) -> None:
    whole = write_zip(tmp_path / "m.zip", entries(), deflate=True).read_bytes()
    [model] = list_models(tmp_path / "m.zip")
    at = whole.index(b"PK\x01\x02")
    for offset, value in ((10, 99), (8, 32), (42, 2**31)):  # packing, flags, place
        raw = bytearray(whole)
        size = 4 if offset == 42 else 2
        raw[at + offset : at + offset + size] = value.to_bytes(size, "little")
        (tmp_path / "m.zip").write_bytes(raw)
        into = tmp_path / str(offset)
        into.mkdir()
        with pytest.raises(FileFormatError):
            unpack_model(tmp_path / "m.zip", model, into)


def test_deep_plans_are_refused(tmp_path: Path) -> None:
    for name, value in (("plans.json", plans()), ("dataset.json", dataset())):
        (tmp_path / name).write_text(json.dumps(value))
    deep = json.dumps(plans()).replace("64, 64", "[" * 400 + "64" + "]" * 400 + ", 64")
    (tmp_path / "plans.json").write_text(deep)
    with pytest.raises(FileFormatError, match="not nnU-Net's"):
        read_foreign(tmp_path, "2d")
