"""preview and film as they are called: what they say, and what they take a name for."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backend.cli.main import app as program
from backend.pipeline.basis.context import AppContext
from domain.errors import NnloopError
from tests.fakes.app import FakeApp
from tests.unit.backend.report.watching.training_run import add_film, add_run


@pytest.fixture(autouse=True)
def _context(app: FakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(AppContext, "open", lambda _settings: app.context)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(app.context.settings.data_dir))
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments), env={"COLUMNS": "100"})


def error(*arguments: str) -> NnloopError:
    result = call(*arguments)
    assert isinstance(result.exception, NnloopError), result.output
    return result.exception


def test_a_film_says_what_it_shows_and_where_it_is(app: FakeApp, tmp_path: Path) -> None:
    add_film(app, add_run(app), 1)
    result = call("film", "Carotid", "--out", "new/training.gif")
    assert result.exit_code == 0, result.output
    assert "1.png" in result.output and "0.667" in result.output
    assert "Fold 0 has none yet." in result.output
    assert "Written: new/training.gif (" in result.output
    assert (tmp_path / "new" / "training.gif").is_file()


def test_what_can_not_be_written_is_refused_first(app: FakeApp) -> None:
    assert "neither .gif nor .mp4" in str(error("film", "Carotid", "--out", "x.avi"))
    assert "no name of a PNG" in str(error("preview", "Carotid", "--out", "x.jpg"))
    assert str(error("preview", "Carotid", "--device", "gpu")).startswith("--device is 'gpu'")
    assert str(error("preview", "Carotid")) == "No training has run here yet."


def test_folders_and_projects_of_one_name(app: FakeApp, tmp_path: Path) -> None:
    # A folder that is no training: its name may be a project's title.
    (tmp_path / "Carotid" / "data").mkdir(parents=True)
    assert str(error("film", "Carotid", "--out", "x.gif")) == "No training has run here yet."
    told = error("film", "./Carotid", "--out", "x.gif")
    assert str(told) == "There is no training in the folder ./Carotid."
    assert not list((tmp_path / "Carotid" / "data").iterdir())
    assert "There is no folder Liver" in str(error("film", "Liver", "--out", "x.gif"))
