from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from backend.cli.main import app
from domain.errors import FileFormatError, LabelConfigError, SettingsError
from tests.unit.converters.exports.project import (
    ROWS,
    SIZE_HW,
    annotation,
    region,
    row,
    truth,
    write_project,
)


def _run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def _mask(path: Path) -> Any:
    return np.asarray(Image.open(path))


def test_export_from_a_file_without_server_infers_classes(tmp_path: Path) -> None:
    path, images = write_project(tmp_path, ROWS[:4])
    out = tmp_path / "out"
    arguments = ("export", path, "--format", "masks-png", "--images", images, "--out", out)
    said = _run(*arguments)
    assert "2 tasks" in said
    assert "1 = wall, 2 = lumen" in " ".join(said.split())
    assert "Task 9 was skipped" in said
    inferred = _mask(out / "masks" / "left.png")
    # the project's own order is lumen, wall
    assert (inferred == np.array([0, 2, 1])[truth(7)]).all()
    assert "2 were there already" in _run(*arguments)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("masks-png", ""),
        ("masks-png", "masks"),
        ("masks-npy", ""),
        ("masks-per-class", ""),
        ("masks-per-class", "masks"),
        ("nifti", ""),
        ("nifti", "labels"),
        ("nnunet", ""),
    ],
)
def test_masks_go_out_and_in_again(tmp_path: Path, name: str, folder: str) -> None:
    path, images = write_project(tmp_path, ROWS[:1])
    out, tasks, xml = tmp_path / "out", tmp_path / "tasks.json", tmp_path / "config.xml"
    _run("export", path, "--format", name, "--out", out, "--images", images)
    arguments = ("--format", "masks", "--out", tasks, "--label-config", xml, "--exact")
    _run("import", out / folder, *arguments)
    assert xml.exists()
    (task,) = json.loads(tasks.read_text())
    image = "task_00000007_0000.png" if name == "nnunet" else "left.png"
    assert task["data"]["image"] == image
    _run("export", tasks, "--format", "masks-npy", "--out", tmp_path / "npy", "--label-config", xml)
    again = np.load(tmp_path / "npy" / "masks" / f"{Path(image).stem}.npy")
    assert again.shape == SIZE_HW
    _run("export", path, "--format", "masks-npy", "--out", tmp_path / "truth")
    assert (again == np.load(tmp_path / "truth" / "masks" / "left.npy")).all()


def test_a_flat_folder_gives_no_image_to_two_tasks(tmp_path: Path) -> None:
    rows = [
        {**ROWS[0], "id": i, "data": {"image": f"{d}/left.png"}} for i, d in ((1, "a"), (2, "b"))
    ]
    other = {**ROWS[0], "data": {"image": "c/other.png"}}
    _, images = write_project(tmp_path, [ROWS[0], {**ROWS[0], "data": {"image": "x-other.png"}}])
    path = tmp_path / "flat.json"
    out = ("--format", "masks-png", "--images", images, "--out", tmp_path / "out")
    path.write_text(json.dumps([rows[0], other]))
    _run("export", path, *out)
    unlabelled = {"id": 2, "data": {"image": "b/left.png"}, "annotations": []}
    for second in (rows[1], unlabelled):
        path.write_text(json.dumps([rows[0], other, second]))
        said = _run("export", path, *out)
        assert "1 task in" in said and "2 image_ambiguous" in said
        assert [p.stem for p in (tmp_path / "out" / "masks").iterdir()] == ["other"]
    (images / "a").mkdir()
    (images / "left.png").rename(images / "a" / "left.png")
    path.write_text(json.dumps([rows[0], other]))
    assert "2 tasks in" in _run("export", path, *out)


def test_all_left_out_is_exit_code_1(tmp_path: Path) -> None:
    path, _ = write_project(tmp_path, ROWS[:1])
    out = tmp_path / "out"
    said = _run("export", path, "--format", "nnunet", "--out", out, code=1)
    assert "image_missing" in said
    assert json.loads((out / "report.json").read_text())["tasks_left_out"] == 1


def test_what_is_lost_comes_before_what_has_a_remark(tmp_path: Path) -> None:
    rows = [
        row(1, "left.png", annotation(1, region("wall", [[10, 10], [10, 90]]))),  # a line
        row(2, "gone.png", annotation(2)),
        row(3, "gone.png", annotation(3)),
    ]
    path, images = write_project(tmp_path, rows)
    (images / "gone.png").unlink()
    said = _run("export", path, "--format", "csv", "--images", images, "--out", tmp_path / "out")
    lost, used = (
        said.index(words)
        for words in ("Left out (2 whole tasks): 2 image_missing\n", "remark: 1 thin_marked\n")
    )
    assert (
        lost < said.index("Task 3: its image 'gone.png'") < used < said.index("too thin to cover")
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["left_out_by_reason"] == {"image_missing": 2}
    assert report["noted_by_reason"] == {"thin_marked": 1}
    assert [note["reason"] for note in report["left_out"]] == ["image_missing"] * 2
    assert [note["reason"] for note in report["noted"]] == ["thin_marked"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--format", "bmp"), SettingsError),
        (("--format", "csv", "--spacing", "x"), SettingsError),
        (("--format", "csv", "--annotators", "x"), SettingsError),
        (("--format", "coco", "--polygons", "x"), SettingsError),
        (("--format", "csv", "--images", "/nowhere"), SettingsError),
        (("--format", "csv", "--label-config", "/nowhere.xml"), LabelConfigError),
    ],
)
def test_wrong_options_say_so(
    tmp_path: Path, options: tuple[str, ...], error: type[Exception]
) -> None:
    path, _ = write_project(tmp_path)
    with pytest.raises(error):
        _run("export", path, "--out", tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("there.jsonl", "there.jsonl is there"),
        ("there.json.gz", "there.json.gz is there"),
        ("there", "there is there"),
        ("packed.json", "packed.json is packed"),
        ("exports", "exports is a folder"),
        ("exports/", "exports/ is a folder"),
        ("folder.json", "folder.json is a folder"),
        ("exports/projct", "no file exports/projct"),
        ("exports/x.v2", "no file exports/x.v2"),
        ("./none", "no file ./none"),
        ("none.jsonl", "no file none.jsonl"),
        ("none.JSON", "no file none.JSON"),
        ("C:\\data\\export.xml", "no file C:"),
    ],
)
def test_a_file_is_never_taken_for_a_title(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name in ("there.jsonl", "there.json.gz", "there"):
        Path(name).write_text("{}")
    Path("packed.json").write_bytes(gzip.compress(b"[]"))
    for name in ("exports", "folder.json"):
        Path(name).mkdir()
    with pytest.raises(FileFormatError) as caught:
        _run("export", source, "--format", "masks-png", "--out", "out")
    assert words in str(caught.value)
    assert "LABEL_STUDIO" not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize("title", ["MRI / CT", "Liver.v2", "7", "St. Anna", "x" * 300, "Niere"])
def test_a_title_is_looked_for_in_label_studio(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="LABEL_STUDIO_URL"):
        _run("export", title, "--format", "masks-png", "--out", "out")


def test_an_export_of_any_case_is_read(tmp_path: Path) -> None:
    path, _ = write_project(tmp_path, ROWS[:1])
    other = path.rename(tmp_path / "PROJECT.JSON")
    assert "1 task" in _run("export", other, "--format", "csv", "--out", tmp_path / "out")


def test_the_reasons_are_named_where_no_class_is_found(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {**ROWS[0], "id": "seven"},
        {**ROWS[0], "id": "eight"},
        ROWS[2],
        ROWS[3],
        {"id": 5, "data": {}, "annotations": [{"id": 1, "result": [{"type": "choices"}]}]},
        {"id": 6, "data": {}, "annotations": [{"id": 2, "result": []}]},
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(LabelConfigError) as caught:
        _run("export", path, "--format", "masks-png", "--out", tmp_path / "out")
    said = str(caught.value)
    assert "2 malformed_task" in said
    assert "the id 'seven', which is no whole number" in said
    assert "2 more" in said


def test_missing_files_and_unclear_targets_say_so(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="There is no file"):
        _run("export", tmp_path / "none.json", "--out", tmp_path / "out")
    with pytest.raises(SettingsError, match="Where to import"):
        _run("import", tmp_path, "--format", "masks")
    with pytest.raises(FileFormatError, match="no label maps"):
        _run("import", tmp_path, "--format", "masks", "--out", tmp_path / "t.json")
