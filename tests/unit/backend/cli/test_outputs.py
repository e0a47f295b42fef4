"""What a command writes, where nothing can be written: one sentence, before any work is done."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo
from typer.testing import CliRunner

from backend.cli import main as cli
from backend.cli.main import app
from backend.cli.outputs import begin, is_output, of_output
from domain.errors import NnloopError, SettingsError
from tests.unit.backend.cli.test_main import Call, call

__all__ = ["call"]

READ = {
    "classes", "data", "data_dir", "file", "images", "label_config", "model", "predictions",
    "reference", "scores", "source",
}  # fmt: skip
"""Options and arguments with a path that is read, or that makes its folder itself (--data-dir)."""


def _paths(program: typer.Typer) -> Iterator[tuple[str, str, OptionInfo | ArgumentInfo]]:
    """(command, parameter, what is said of it) of everything that takes a path."""
    for command in program.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        for one in inspect.signature(command.callback, eval_str=True).parameters.values():
            if get_origin(one.annotation) is Annotated:
                kind, info = get_args(one.annotation)
                if Path in (kind, *get_args(kind)):
                    yield name, one.name, info
    for group in program.registered_groups:
        assert group.typer_instance is not None
        yield from _paths(group.typer_instance)


PATHS = list(_paths(app))


@pytest.mark.parametrize(("command", "name", "info"), PATHS, ids=[f"{c}-{n}" for c, n, _ in PATHS])
def test_every_path_is_read_or_can_be_written(command: str, name: str, info: Any) -> None:
    """A new option is one or the other: what is written has ``output_file`` or ``_folder``."""
    is_both = (command, name) == ("import", "label_config")
    assert (name in READ) != is_output(info.callback) or is_both
    assert not is_both or is_output(info.callback)


WRITING = [
    ("film", "folder", "--out", "film.gif"),
    ("preview", "folder", "--out", "a.png"),
    ("curves", "Carotid", "--out", "a.png"),
    ("report", "Carotid", "--out", "report"),
    ("replay", "--data", "folder", "--out", "out"),
    ("export", "Carotid", "--out", "out"),
    ("import", "a.json", "--format", "coco", "--out", "tasks.json"),
    ("import", "a.json", "--format", "coco", "--label-config", "i.xml", "--out", "../t.json"),
    ("evaluate", "Carotid", "--out", "out"),
    ("train", "a.json", "--out", "out"),
    ("predict", "a.png", "--model", "m", "--out", "out"),
    ("models", "export", "nnloop-v1", "--out", "a.zip"),
    ("demo", "--json", "figures.json"),
    ("demo", "--picture", "a.png"),
    ("demo", "--report", "report"),
]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        *((words, "/proc/nowhere") for words in WRITING),
        (WRITING[0], "a_file/below"),
        (WRITING[0], "n" * 300),
    ],
    ids=str,
)
def test_where_nothing_can_be_written_nothing_is_begun(
    words: tuple[str, ...], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.startswith("/proc") and not Path("/proc/self").exists():
        place = "a_file/below"  # no Linux
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("")
    at = next(i for i, word in enumerate(words) if word.startswith("--") and word in _OUTPUTS)
    arguments = [*words[: at + 1], f"{place}/{words[at + 1]}", *words[at + 2 :]]
    ended = CliRunner().invoke(app, arguments)
    assert isinstance(ended.exception, SettingsError), (ended.output, ended.exception)
    assert "can't be written: " in str(ended.exception)
    assert words[at] in ended.exception.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


_OUTPUTS = ("--json", "--label-config", "--out", "--picture", "--report")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("film", "folder", "--out", "there.gif"), "is a folder"),
        (("train", "a.json", "--out", "file"), "is a file"),
    ],
)
def test_what_is_there_is_of_the_other_kind(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.gif").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=said):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_an_interface_that_is_there_is_only_read(tmp_path: Path) -> None:
    """Its folder may be one where nobody can write."""
    (tmp_path / "a.json").write_text("{}")
    there = "/proc/self/status" if Path("/proc/self/status").exists() else str(tmp_path / "a.json")
    args = ["import", str(tmp_path / "a.json"), "--format", "coco", "--label-config", there]
    ended = CliRunner().invoke(app, [*args, "--out", str(tmp_path / "tasks.json")])
    assert isinstance(ended.exception, NnloopError)  # it is no interface
    assert "can't be written" not in str(ended.exception)


def test_a_place_that_is_made_at_need_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try leaves nothing behind, also of folders that are to be made."""
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["train", "gone.json", "--out", "a/b/c", "--images", "none"])
    assert "gone.json" in str(ended.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_a_sentence(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that comes later, with the name of a file below what was named, or without any."""
    out = tmp_path / "figures.json"

    def play(*_: Any) -> Any:
        raise errors.pop()

    monkeypatch.setattr("backend.demo.play.play", play)
    errors = [
        OSError(2, "No such file", str(tmp_path / "figures.json" / "x")),
        OSError(28, "No space left on device"),
        OSError(28, "No space left on device", str(tmp_path)),
    ]
    while errors:
        said = errors[-1].strerror
        ended = call("demo", "--json", str(out))
        assert ended.code == 1
        text = " ".join(ended.err.split())
        assert f"can't be written: {said}." in text and "Unexpected" not in text
        assert "with --json" in text


def test_errors_of_other_files_stay_what_they_are(tmp_path: Path) -> None:
    begin()
    assert of_output(OSError(28, "No space left on device")) is None
    (tmp_path / "a.json").write_text(json.dumps([]))
    args = ["import", str(tmp_path / "a.json"), "--format", "coco", "--out", str(tmp_path / "t")]
    CliRunner().invoke(app, args)
    assert of_output(OSError(2, "No such file", "/etc/passwd-of-nobody")) is None
    assert of_output(OSError(2, "No such file", str(tmp_path / "t" / "x"))) is not None
    begin()
    assert of_output(OSError(2, "No such file", str(tmp_path / "t" / "x"))) is None


def test_a_source_is_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that a person has drawn, given as --out by mistake."""
    monkeypatch.chdir(tmp_path)
    about = {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 20}],
        "categories": [{"id": 1, "name": "lumen"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]]}
        ],
    }
    source = tmp_path / "coco.json"
    source.write_text(json.dumps(about))
    arguments = ["import", "coco.json", "--format", "coco", "--out"]
    with pytest.raises(SettingsError, match="has not written"):
        CliRunner().invoke(app, [*arguments, "coco.json"], catch_exceptions=False)
    assert json.loads(source.read_text()) == about
    for _ in range(2):  # its own file it writes anew
        assert CliRunner().invoke(app, [*arguments, "tasks.json"]).exit_code == 0
    assert len(json.loads((tmp_path / "tasks.json").read_text())) == 1


def test_main_says_it_like_any_other_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["nnloop", "film", "f", "--out", f"{tmp_path}/file/a.gif"])
    with pytest.raises(SystemExit):
        cli.main()
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("Error: ") and "Not a directory" in said and "with --out" in said
