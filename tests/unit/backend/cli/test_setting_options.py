"""Every setting is an option, made from its field alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from backend.cli.main import app
from backend.cli.setting_options import values_of, with_settings
from backend.settings import ProjectSettings
from backend.settings.option import Option, flags_of, limits_of, option_of
from domain.errors import SettingsError

# Fields that no option sets; each with its reason. None so far.
WITHOUT_OPTION: Mapping[str, str] = {}


def _text_of(output: str) -> str:
    return " ".join(output.replace("│", " ").split())


@pytest.fixture(scope="module")
def help_of_connect() -> str:
    ended = CliRunner().invoke(app, ["connect", "--help"], env={"COLUMNS": "1000"})
    assert ended.exit_code == 0
    return _text_of(ended.output)


@pytest.mark.parametrize(
    "name", [name for name in ProjectSettings.model_fields if name not in WITHOUT_OPTION]
)
def test_a_project_setting_is_an_option_of_connect(name: str, help_of_connect: str) -> None:
    field = ProjectSettings.model_fields[name]
    assert field.description and option_of(field).panel
    for flag in flags_of(name, field).split("/"):
        assert f" {flag} " in help_of_connect
    assert field.description.replace("`", "") in help_of_connect
    assert limits_of(field).replace("`", "") in help_of_connect


class Grown(ProjectSettings):
    """With fields of the next release."""

    brightness: float = Field(0.5, gt=0, lt=2, description="How bright the lamp is.")
    lamp: Annotated[Literal["led", "gas"], Option("Light")] = Field("led", description="Its kind.")
    spare_lamps: Annotated[
        tuple[str, ...], Option("Light", "--spare", metavar="LAMP", empty="none")
    ] = Field((), description="Others.")
    dims: bool = Field(False, description="Whether it dims.")


@pytest.fixture
def call() -> Callable[..., tuple[str, dict[str, Any]]]:
    """Runs a command with an option per field of ``Grown``: its output and what it was given."""

    def run(*arguments: str) -> tuple[str, dict[str, Any]]:
        program, taken = typer.Typer(), {}

        @program.command()
        @with_settings(Grown)
        def command(**given: Any) -> None:
            taken.update(values_of(given, Grown))

        ended = CliRunner().invoke(program, arguments, env={"COLUMNS": "1000"})
        if isinstance(ended.exception, Exception) and ended.exit_code == 1:
            raise ended.exception
        return ended.output, taken

    return run


def test_a_new_field_is_an_option_without_another_line(call: Any) -> None:
    text = _text_of(call("--help")[0])
    assert "--brightness <float> How bright the lamp is. [default: 0.5] [above 0, below 2]" in text
    assert "--lamp <str> Its kind. [default: led] [one of led, gas]" in text
    assert "--spare LAMP Others. [repeat for more] [default: '', none]" in text
    assert "--dims --no-dims <bool> Whether it dims. [default: no-dims]" in text
    _, given = call("--brightness", "1", "--spare", "a", "--spare", "b", "--dims")
    assert given == {"brightness": 1.0, "spare_lamps": ("a", "b"), "dims": True}


def test_only_what_was_given_is_set(call: Any) -> None:
    assert call()[1] == {}
    assert call("--spare", "", "--trainer", "", "--no-dims")[1] == {
        "spare_lamps": ("",),
        "trainer": "",
        "dims": False,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"budget_s": "1h30m"}, {"budget_s": 5400.0}),
        ({"budget_s": "none"}, {"budget_s": 0.0}),
        ({"budget_s": "0"}, {"budget_s": 0.0}),
        ({"pixel_spacing_mm": "0.1"}, {"pixel_spacing_mm": (0.1, 0.1)}),
        ({"pixel_spacing_mm": "0.1,0.2"}, {"pixel_spacing_mm": (0.1, 0.2)}),
        (
            {"channels": ["t1", "", "t2"], "label_priority": [""]},
            {"channels": ("t1", "t2"), "label_priority": ()},
        ),
        ({"n_folds": None, "seed": 0}, {"seed": 0}),
    ],
)
def test_what_people_write_becomes_the_settings_value(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert values_of(given) == expected


def test_plans_in_a_file_are_named_by_their_whole_path(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert values_of({"plans": "mine.json"}) == {"plans": str(tmp_path / "mine.json")}
    assert values_of({"plans": "large"}) == {"plans": "large"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_folds": 30}, "--folds: Input should be less than or equal to 20 (got 30)"),
        ({"preset": "huge"}, "--preset: Input should be 'auto', 'tiny', "),
        ({"budget_s": "soon"}, "--budget: 'soon' is no duration"),
        ({"pixel_spacing_mm": "wide"}, "--pixel-spacing: The spacing 'wide'"),
        ({"group_key": "name:("}, "--group-key: 'name:(' is no regular expression"),
    ],
)
def test_a_wrong_value_is_told_with_its_option(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match="1 option can't be used") as caught:
        values_of(given)
    assert words in str(caught.value)


def test_every_wrong_value_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"2 options .*--seed: .*; --keep-versions: "):
        values_of({"seed": "x", "keep_versions": 1})


class Nested(BaseModel):
    """A setting whose fault lies inside its value."""

    sizes: tuple[int, ...] = Field((), description="Sizes.")


def test_a_fault_inside_a_value_is_told_with_its_place() -> None:
    with pytest.raises(SettingsError, match=r"--sizes\.1: Input should be a valid integer"):
        values_of({"sizes": ["1", "b"]}, Nested)
