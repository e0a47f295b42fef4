"""Addresses in tasks' data -> files of a folder, however the names are written."""

import unicodedata
from pathlib import Path

import pytest

from converters.addresses.image_address import (
    identity_of,
    names_an_image,
    path_of,
    places,
    storage_path_of,
)
from converters.addresses.upload_names import stored_name
from converters.images.image_folder import FolderOfImages
from converters.images.of_tasks import FolderImages, file_stem, image_name, longer_names
from domain.annotation import Task
from domain.errors import ImageError

NFC = "gr\u00f6\u00dfe \u00e9.png"
NFD = unicodedata.normalize("NFD", NFC)


def folder_of(tmp_path: Path, *names: str) -> FolderOfImages:
    for name in names:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return FolderOfImages(tmp_path)


@pytest.mark.parametrize(
    ("address", "file"),
    [
        # storages: all of it is the key
        ("s3://bucket/dir/scan#3.png", "scan#3.png"),
        ("s3://bucket/dir/scan#3.png", "dir/scan#3.png"),
        ("gs://bucket/what?now.png", "what?now.png"),
        ("azure-blob://box/100%25.png", "100%25.png"),
        ("azure-blob://box/a+b c.png", "a+b c.png"),
        ("S3://bucket/dir/a&b=c;d.png", "a&b=c;d.png"),
        ("s3://bucket/a%20b.png", "a b.png"),
        ("s3://bucket/x#1/y?2/z.png", "x#1/y?2/z.png"),
        # a storage's address as the API shows it
        ("/tasks/1/resolve/?fileuri=czM6Ly9iL2Rpci9zY2FuIzMucG5n", "dir/scan#3.png"),
        ("http://host/tasks/1/presign/?fileuri=czM6Ly9iL2Rpci9zY2FuIzMucG5n", "scan#3.png"),
        ("/tasks/1/presign/?fileuri=czM6Ly9iL2Rpci9hLnBuZw", "a.png"),  # without its padding
        # local files: as the server reads them, and as people write them
        ("/data/local-files/?d=a/b%20c.png", "b c.png"),
        ("/data/local-files/?d=a/b+c.png", "b c.png"),
        ("/data/local-files/?d=a/b+c.png", "b+c.png"),
        ("/data/local-files/?d=a/b%2Bc.png", "b+c.png"),
        ("/data/local-files/?d=a/b&c.png", "b&c.png"),
        ("/data/local-files/?d=a/scan#3.png", "scan#3.png"),
        ("/data/local-files/?d=a/50%25.png", "50%.png"),
        ("/data/local-files/?d=a/50%.png", "50%.png"),
        ("/data/local-files/?d=a%2520b.png", "a b.png"),
        ("http://host:8080/data/local-files/?d=a\\b\\c.png", "b/c.png"),
        # web addresses
        ("https://host/a/b%20c.png?token=1#top", "b c.png"),
        ("https://host/a/scan#3.png", "scan#3.png"),
        ("https://host/a/scan.png?v=3", "scan.png"),
        ("https://host/a/my+scan.png", "my scan.png"),
        ("//host/a/b.png", "b.png"),
        # bare names
        ("scan#3.png", "scan#3.png"),
        ("a%20b.png", "a b.png"),
        ("a%20b.png", "a%20b.png"),
        ("C:\\images\\a.png", "images/a.png"),
        # the other Unicode form, on either side
        (f"/data/local-files/?d=x/{NFC}", NFD),
        (f"s3://bucket/{NFD}", NFC),
        (f"x/{NFC}/a.png", f"{NFD}/a.png"),
        # another case, where that is clear
        ("SCAN.PNG", "scan.png"),
        (NFC.upper(), NFD),
        # uploads
        ("/data/upload/3/0a1b2c3d-my_scan_left_1.png", "my scan (left) 1.png"),
        ("http://host/data/upload/3/0a1b2c3d-my_scan_left_1.png", "0a1b2c3d-my_scan_left_1.png"),
        ("upload/3/0a1b2c3d-my_scan.png", "my scan.png"),
        ("/data/upload/3/0a1b2c3d-a%C3%A9_b.png", "a\u00e9 b.png"),
        ("/data/upload/3/0a1b2c3d-a\u00e9_b.png", "ae\u0301 b.png"),
        ("/data/upload/3/0a1b2c3d-x.png", "X.png"),
        ("0a1b2c3d-my_scan.png", "my scan.png"),
    ],
)
def test_a_file_is_found(address: str, file: str, tmp_path: Path) -> None:
    found = folder_of(tmp_path, file, "other.png").find(address)
    assert found.path == tmp_path / file
    assert found.rivals == ()


def test_a_file_is_found_under_another_name_it_was_uploaded_as(tmp_path: Path) -> None:
    (tmp_path / "gr\u00f6\u00dfe.png").write_bytes(b"")
    address = "/data/upload/3/0a1b2c3d-gr_e.png"
    assert FolderOfImages(tmp_path).find(address).path is None
    folder = FolderOfImages(tmp_path, lambda name: name.replace("\u00f6\u00df", "_"))
    assert folder.find(address).path == tmp_path / "gr\u00f6\u00dfe.png"


def test_an_upload_whose_long_name_was_cut(tmp_path: Path) -> None:
    name = "a long name (with brackets) " + "of many words " * 8
    stored = f"upload/12/0a1b2c3d-{stored_name(name)}"[: 100 - 8 - 4] + "_Ab3dE9f.png"
    assert len(stored) == 100
    folder = folder_of(tmp_path, f"{name}.png", f"{name}.jpg", "a long name.png")
    assert folder.find(f"/data/{stored}").path == tmp_path / f"{name}.png"
    (tmp_path / f"{name}2.png").write_bytes(b"")
    rivals = FolderOfImages(tmp_path).find(f"/data/{stored}").rivals
    assert rivals == (f"{name}.png", f"{name}2.png")
    # Of a name that was not cut the end is its own.
    assert folder.find("/data/upload/12/0a1b2c3d-a_long_Ab3dE9f.png").path is None


@pytest.mark.parametrize(
    ("address", "there", "file"),
    [
        ("A.png", ("a.png", "A.png"), "A.png"),
        ("d/a.png", ("a.png", "d/a.png"), "d/a.png"),
        ("dirs/d2/a.png", ("d1/a.png", "d2/a.png", "a.png"), "d2/a.png"),
        ("s3://b/a%20b.png", ("a b.png", "a%20b.png"), "a%20b.png"),
        ("/data/local-files/?d=a+b.png", ("a b.png", "a+b.png"), "a b.png"),
        ("/data/upload/3/0a1b2c3d-x.png", ("x.png", "0a1b2c3d-x.png"), "0a1b2c3d-x.png"),
        (f"x/{NFC}", (NFC, NFD), NFC),
        (f"x/{NFD}", (NFC, NFD), NFD),
    ],
)
def test_the_very_name_goes_first(
    address: str, there: tuple[str, ...], file: str, tmp_path: Path
) -> None:
    assert folder_of(tmp_path, *there).find(address).path == tmp_path / file


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("A.PNG", ("a.png", "A.png")),
        # either may have been uploaded and stored as my_scan.png
        ("/data/upload/3/0a1b2c3d-my_scan.png", ("my scan.png", "my_scan.png")),
    ],
)
def test_what_fits_several_files_fits_none(
    address: str, there: tuple[str, ...], tmp_path: Path
) -> None:
    found = folder_of(tmp_path, *there).find(address)
    assert found.path is None
    assert found.rivals == tuple(sorted(there))
    images = FolderImages(tmp_path, ("image",))
    task = Task(7, 1, {"image": address})
    assert images.stamp(task) == ""
    assert images.size_hw(task) is None
    with pytest.raises(ImageError, match="may be any of") as caught:
        images.read(task, "image")
    assert caught.value.reason == "image_ambiguous"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "..",
        "data:image/png;base64,AAAA",
        "x" * 5000 + ".png",
        "http://[a",
        "a\0",
        "s3://b",
    ],
)
def test_nothing_is_found_and_nothing_breaks(address: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    assert folder_of(tmp_path, "other.png").find(address).path is None


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert folder_of(tmp_path, "b/A.PNG").find("a.png").path is None


def test_no_place_lies_above_the_folder() -> None:
    for address in ("../../a.png", "/data/local-files/?d=../a.png", "..\\..\\a.png", "s3://b/../a"):
        assert all(".." not in place.split("/") for place in places(address))


@pytest.mark.parametrize(
    ("value", "path", "stored"),
    [
        ("s3://bucket/dir/a#3.png", "dir/a#3.png", "bucket/dir/a#3.png"),
        ("https://u:pw@host:1/dir/a.png?x", "/dir/a.png", "host:1/dir/a.png"),
        ("/data/local-files/?d=dir/a.png", "dir/a.png", "dir/a.png"),
        ("a.png", "a.png", "a.png"),
        ("data:image/png;base64,AAAA", "", ""),
    ],
)
def test_paths_and_their_hosts(value: str, path: str, stored: str) -> None:
    assert path_of(value) == path
    assert storage_path_of(value) == stored


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("a/1.png", "b/1.png", False),
        ("a/1.png", "/data/local-files/?d=a/1.png", True),
        ("/data/local-files/?d=a%201.png", "http://h:8080/data/local-files/?d=a+1.png", True),
        ("/data/upload/1/0a1b2c3d-1.png", "http://h/data/upload/1/0a1b2c3d-1.png", True),
        ("/data/upload/1/0a1b2c3d-1.png", "/data/upload/1/1a1b2c3d-1.png", False),
        ("s3://b/1.png", "s3://c/1.png", False),
        ("https://h/1.png?v=1", "https://h/1.png?v=2", False),
        (f"x/{NFC}", f"x/{NFD}", True),
        ("http://[a", "http://[a", True),
    ],
)
def test_addresses_of_one_image(one: str, other: str, is_one: bool) -> None:
    assert (identity_of(one) == identity_of(other)) == is_one


def test_a_file_that_may_be_the_image_of_two_tasks_is_that_of_none(tmp_path: Path) -> None:
    folder_of(tmp_path, "1.png", "a/2.png", "b/2.png")
    images = FolderImages(tmp_path, ("image",))
    addresses = ["a/1.png", "a/2.png", "b/2.png", "a/1.png", "b/1.png"]
    for number, address in enumerate(addresses, start=1):
        assert images.stamp(Task(number, 1, {"image": address}))
    found = {error.task_id: str(error) for error in images.doubtful()}
    assert found.keys() == {1, 4, 5}
    assert "'a/1.png' and that of task 5, 'b/1.png', are both '1.png'" in found[4]


def test_names_for_files_that_are_written() -> None:
    def name(value: object) -> str:
        return image_name(Task(1, 1, {"image": value}), "image")

    assert name("s3://bucket/dir/scan#3.png") == "scan#3.png"
    assert name(NFD) == NFC
    assert name("/data/upload/1/0a1b2c3d-a.png") == "a.png"
    assert name(["p0.png", "p1.png"]) == "p0.png"
    assert name([]) == name(None) == name(3) == name("data:image/png;base64,AAAA") == ""
    assert file_stem(NFD) == "gr\u00f6\u00dfe_\u00e9"
    assert longer_names(Task(1, 1, {"image": None}), "image") == ()


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u6f22", "\U00020000"])
def test_a_long_name_stays_one_the_file_system_takes(letter: str, tmp_path: Path) -> None:
    stem = file_stem(letter * 400 + ".png")
    assert len(stem.encode()) <= 200
    assert set(stem) == {letter}
    (tmp_path / f"{stem}_0000.nii.gz").write_bytes(b"")


def test_what_looks_like_an_image() -> None:
    assert names_an_image("s3://b/a#1.PNG")
    assert names_an_image("/data/local-files/?d=a.webp")
    assert names_an_image("data:image/png;base64,AAAA")
    assert not names_an_image("data:text/plain,a.png")
    assert not names_an_image("a note about a.png.")
