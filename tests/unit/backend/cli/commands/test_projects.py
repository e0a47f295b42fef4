"""`nnloop connect`, from what a person writes to what the store holds."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from backend.cli.main import app as program
from backend.label_studio import User
from backend.pipeline.basis.context import AppContext
from backend.pipeline.sync.reading import sync_project
from backend.settings import ProjectSettings
from backend.store.models import ProjectRow
from domain.errors import LabelConfigError, SettingsError
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.packaging.paths import ROOT


@pytest.fixture(autouse=True)
def _context(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppContext, "open", lambda _settings: app.context)
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(app.context.settings.data_dir))


def _stored(app: FakeApp) -> ProjectSettings:
    with app.store.begin() as session:
        return ProjectSettings.model_validate(session.get_one(ProjectRow, PROJECT).settings)


def test_what_is_given_is_kept_and_the_rest_stays(app: FakeApp) -> None:
    app.change_settings(seed=7, n_folds=4, keep_versions=9)
    before = _stored(app)
    arguments = "connect 1 --folds 5 --budget 10m --from-scratch --pixel-spacing 0.1,0.2"
    arguments += " --label-priority wall --label-priority lumen --reset keep_versions"
    ended = CliRunner().invoke(program, arguments.split(), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert _stored(app) == before.model_copy(
        update={
            "n_folds": 5,
            "budget_s": 600.0,
            "warm_start": False,
            "pixel_spacing_mm": (0.1, 0.2),
            "label_priority": ("wall", "lumen"),
            "keep_versions": 5,
        }
    )


def test_wrong_values_are_told_by_their_options_and_change_nothing(app: FakeApp) -> None:
    before = _stored(app)
    arguments = ["connect", "1", "--folds", "30", "--preset", "huge", "--seed", "7"]
    ended = CliRunner().invoke(program, arguments)
    assert isinstance(ended.exception, SettingsError)
    assert "2 options can't be used" in str(ended.exception)
    assert "--folds" in str(ended.exception) and "--preset" in str(ended.exception)
    assert _stored(app) == before
    assert app.label_studio.calls == []


def test_connecting_says_where_each_annotator_labels(app: FakeApp) -> None:
    app.label_studio.users += [User(2, "anna@example.com", "[Anna]"), User(3, "ben@example.com")]
    ended = CliRunner().invoke(program, ["connect", "1", "--annotator", "ben@example.com"])
    assert ended.exit_code == 0, ended.output
    said = " ".join(ended.output.split())
    assert "'Label Tasks As Displayed', which stands behind the arrow beside 'Label All" in said
    assert "  ben: /projects/1/data?tab=2\n" in ended.output
    assert "Anna" not in ended.output
    ended = CliRunner().invoke(program, ["connect", "1", "--reset", "annotators"])
    assert "  [Anna]: /projects/1/data?tab=3\n" in ended.output


def test_of_a_project_just_connected_it_says_that_its_tasks_are_to_come(app: FakeApp) -> None:
    with app.store.begin() as session:
        session.delete(session.get_one(ProjectRow, PROJECT))
    app.label_studio.info = replace(app.label_studio.info, task_number=24)
    said = CliRunner().invoke(program, ["connect", "1"], catch_exceptions=False).output
    assert "its first tasks come in a moment" in said
    assert "no task now" in CliRunner().invoke(program, ["connect", "1"]).output


def test_a_strategy_that_does_not_exist_is_told_with_those_that_do(app: FakeApp) -> None:
    ended = CliRunner().invoke(program, ["connect", "1", "--query-strategy", "best"])
    assert isinstance(ended.exception, SettingsError)
    assert "no query strategy 'best'" in str(ended.exception)
    assert "lowest_score" in str(ended.exception)


def test_the_command_of_the_manual_about_open_pixels(app: FakeApp) -> None:
    """docs/sparse-labels.md: its interface, and the command that names what is in it."""
    page = (ROOT / "docs" / "sparse-labels.md").read_text()
    xml = page.partition("```xml")[2].partition("```")[0].strip()
    (line,) = [line for line in page.splitlines() if line.startswith("    nnloop connect ")]
    with pytest.raises(LabelConfigError, match="unlabelled_choice names 'Only what is drawn'"):
        CliRunner().invoke(program, shlex.split(line)[1:], catch_exceptions=False)
    app.label_studio.info = replace(app.label_studio.info, label_config=xml)
    ended = CliRunner().invoke(program, shlex.split(line)[1:], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    stored = _stored(app)
    assert (stored.ignore_label, stored.background_label) == ("Ignore", "Background")
    assert stored.unlabelled_choice == "Only what is drawn"
    # Whoever ignores all that is not labelled needs a label for background.
    both = ["connect", "Carotid", "--unlabelled", "ignore", "--reset", "background_label"]
    ended = CliRunner().invoke(program, both, catch_exceptions=False)
    assert "would find its classes everywhere" in " ".join(ended.output.split()), ended.output


def test_what_was_set_is_said_again_by_its_options(app: FakeApp) -> None:
    arguments = "connect 1 --target-quality 0.5 --from-scratch --reset keep_versions"
    said = CliRunner().invoke(program, arguments.split(), catch_exceptions=False).output
    assert "Set: --from-scratch, --target-quality 0.5, --keep-versions back to its default" in said
    for budget, words in (("90", "1m30s"), ("none", "none")):
        arguments = f"connect 1 --budget {budget} --gpu-memory 24"
        said = CliRunner().invoke(program, arguments.split(), catch_exceptions=False).output
        assert f"Set: --gpu-memory 24, --budget {words}" in " ".join(said.split())
    for task_id in (1, 2, 3):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    again = CliRunner().invoke(program, ["connect", "1"], catch_exceptions=False).output
    assert "Set:" not in again
    assert "tasks, the lowest score first, those without one by their number" in again
    assert "; chosen by " in again
