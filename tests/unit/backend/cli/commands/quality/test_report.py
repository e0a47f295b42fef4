from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backend.cli.main import app as program
from domain.errors import FileFormatError, NotConnectedError, SettingsError
from tests.fakes.app import FakeApp


@pytest.fixture(autouse=True)
def _here(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.shared.context", lambda _data_dir: app.context)


def _report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program, ["report", *map(str, arguments)], env={"COLUMNS": "80"})


def test_it_says_where_the_page_is_and_only_that(tmp_path: Path) -> None:
    out = tmp_path / ("long" * 30) / "new"  # longer than a line: it can be copied whole
    for _ in range(2):  # into a folder that is not there, then over the page that is
        said = _report("Carotid", "--out", out)
        assert (said.exit_code, said.stdout) == (0, f"The report: {out / 'report.html'}\n")
        steps = ["Reading what is known of the project", "Writing the page"]
        assert said.stderr.splitlines() == steps
        assert "<h1>Carotid</h1>" in (out / "report.html").read_text()
        assert [one.name for one in out.iterdir()] == ["report.html"]


def test_without_a_folder_each_project_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path("nnloop-report-1") / "report.html"
    assert _report("Carotid").stdout == f"The report: {page}\n"
    assert page.is_file()


def test_a_page_that_cannot_be_written_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "beneath"):
        error = _report("1", "--out", out).exception
        assert isinstance(error, SettingsError)
        assert str(out) in str(error) and "--out" in error.remedy
    (tmp_path / "report.html").mkdir()
    with pytest.raises(FileFormatError, match=r"report\.html is a folder there"):
        raise _report("1", "--out", tmp_path).exception or AssertionError("it was written")
    assert file.read_text() == "mine"


def test_a_project_that_is_not_connected_leaves_no_folder(tmp_path: Path) -> None:
    error = _report("Aorta", "--out", tmp_path / "new").exception
    assert isinstance(error, NotConnectedError)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("cases", ["-1", "101", "many"])
def test_a_number_of_cases_has_bounds(cases: str, tmp_path: Path) -> None:
    said = _report("1", "--out", tmp_path / "new", "--cases", cases)
    assert said.exit_code == 2
    assert not (tmp_path / "new").exists()
