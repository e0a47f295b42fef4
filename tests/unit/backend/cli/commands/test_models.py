from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli.commands import models
from backend.cli.main import app as program
from backend.pipeline.gate.verdict import judge
from backend.pipeline.models import archive
from backend.store.training import versions
from domain.gate_verdict import Verdict
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.cli.test_main import Call, call
from tests.unit.backend.pipeline.models.versions import add_version, manifest_of, weights
from tests.unit.training.archive.zips import entries, write_zip
from training.archive.convert import Converted
from training.evaluation import ClassDice, DicePerCase

__all__ = ["call"]

COMMANDS = [command.name or "" for command in models.app.registered_commands]
COMMANDS = [
    name or (command.callback.__name__ if command.callback else "")
    for name, command in zip(COMMANDS, models.app.registered_commands, strict=True)
]


def _dice(value: float) -> dict[str, dict[str, dict[str, float]]]:
    cases = {f"task_{i:08d}": {"lumen": value, "wall": value - 0.1} for i in (1, 2, 3)}
    return {"dice_per_case": cases}


@pytest.fixture
def two(app: FakeApp) -> FakeApp:
    """Two versions; the second serves."""
    manifest = manifest_of((1, "a", "p"), (2, "b", "q"), (3, "c", "r"))
    for number, value in ((1, 0.6), (2, 0.7)):
        gate = Verdict(True, value, None, 3, 0.01, "not worse")
        metrics = {**_dice(value), "oof_dice": {"lumen": value}, "labels": 3, "gate": gate}
        add_version(app, number, manifest=manifest, metrics=metrics)
    return app


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_stands_in_the_readme(command: str) -> None:
    result = CliRunner().invoke(program, ["models", command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert re.search(rf"Example: nnloop models {command}", result.output)
    readme = Path(__file__).resolve().parents[5] / "README.md"
    assert f"`nnloop models {command}" in readme.read_text(encoding="utf-8")


def test_list_shows_the_versions_newest_first(call: Call, two: FakeApp) -> None:
    ended = call("models", "list")
    assert ended.code == 0
    assert ended.out.index("nnloop-v2") < ended.out.index("nnloop-v1")
    assert "champion" in ended.out and "lumen 0.700" in ended.out and "1.0 kB" in ended.out
    rows = json.loads(call("models", "list", "--project", "Carotid", "--json").out)
    assert [(row["name"], row["status"]) for row in rows] == [
        ("nnloop-v1", "retired"),
        ("nnloop-v2", "champion"),
    ]


def test_show_names_the_annotations(call: Call, two: FakeApp) -> None:
    ended = call("models", "show", "nnloop-v2")
    assert "Trained on 3 tasks" in ended.out
    assert re.search(r"2 +102 +b +q +0 +lumen 0\.700, wall 0\.600", ended.out)
    value = json.loads(call("models", "show", "nnloop-v2", "--json").out)
    assert [row["annotation_ids"] for row in value["trained_on"]] == [[101], [102], [103]]


def test_compare_prints_differences_with_bounds(call: Call, two: FakeApp) -> None:
    ended = call("models", "compare", "nnloop-v1", "nnloop-v2")
    assert "+0.100 [+0.100, +0.100]" in ended.out
    assert "3 of 3 groups" in ended.out
    value = json.loads(call("models", "compare", "nnloop-v1", "nnloop-v2", "--json").out)
    assert value["comparison"]["difference"] == pytest.approx(0.1)


def test_an_absent_class_is_a_dash_everywhere(call: Call, app: FakeApp) -> None:
    manifest = manifest_of((1, "a", "p"), (2, "b", "q"), (3, "c", "r"))
    for number, value in ((1, 0.6), (2, 0.7)):
        dice: DicePerCase = {
            f"task_{i:08d}": {"lumen": value, "wall": None, "debris": None} for i in (1, 2, 3)
        }
        dice["task_00000003"]["lumen"] = None
        verdict = judge(dice, dice, 0.01)
        oof: ClassDice = {"lumen": value, "wall": None}
        metrics = {"dice_per_case": dice, "oof_dice": oof, "gate": asdict(verdict)}
        if number == 2:
            for scores in dice.values():
                del scores["debris"]
        add_version(app, number, manifest=manifest, metrics=metrics)
    rows = json.loads(call("models", "list", "--json").out)
    assert [row["oof_dice"]["wall"] for row in rows] == [None, None]
    assert call("models", "list").code == 0
    shown = call("models", "show", "nnloop-v2").out
    assert "Held-out Dice:    lumen 0.700, wall -; per class, mean of all 3 held-out cases" in shown
    assert re.search(r"wall +- +- +- +0 +3", shown)
    assert re.search(r"2 +102 +b +q +0 +lumen 0\.700, wall -", shown)
    compared = call("models", "compare", "nnloop-v1", "nnloop-v2").out
    assert re.search(r"wall +- +- +- +0 \(\+3 without it\)", compared)
    assert re.search(r"lumen +0\.600 +0\.700 +\+0\.100", compared)
    assert "Cases with nothing in them: 1, of which nnloop-v1 left 1 empty" in compared
    assert "only one of the two knows it: debris." in compared
    value = json.loads(call("models", "compare", "nnloop-v1", "nnloop-v2", "--json").out)
    assert value["comparison"]["classes"][1]["difference"] is None
    assert "NaN" not in call("models", "show", "nnloop-v2", "--json").out


def test_rollback_and_promote_without_a_running_stack(call: Call, two: FakeApp) -> None:
    ended = call("models", "rollback")
    assert "nnloop-v1 serves in the place of nnloop-v2" in ended.out
    assert "it follows when `nnloop up` is started" in ended.out
    ended = call("models", "promote", "nnloop-v2", "--json")
    assert json.loads(ended.out)["version"] == "nnloop-v2"
    with two.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None and champion.name == "nnloop-v2"


def test_prune_says_what_goes(call: Call, two: FakeApp) -> None:
    add_version(two, 3)
    two.change_settings(keep_versions=2)
    assert "Would prune nnloop-v1; 1.0 kB" in call("models", "prune", "--dry-run").out
    assert weights(two, 1).exists()
    call("models", "pin", "nnloop-v1")
    assert json.loads(call("models", "prune", "--json").out)["versions"] == []
    call("models", "pin", "nnloop-v1", "--off")
    assert json.loads(call("models", "prune", "--json").out)["versions"] == ["nnloop-v1"]
    assert not weights(two, 1).exists()
    ended = call("models", "promote", "nnloop-v1")
    assert ended.code == 1 and "was pruned" in ended.err


def test_export_names_nnunets_commands(call: Call, two: FakeApp, tmp_path: Path) -> None:
    out = tmp_path / "m.zip"
    ended = call("models", "export", "nnloop-v2", "--out", str(out))
    assert out.exists()
    assert f"nnUNetv2_install_pretrained_model_from_zip {out}" in ended.out
    assert "nnUNetv2_predict -i IMAGES -o PREDICTIONS -d Dataset001_Carotid" in ended.out


def test_import_says_what_it_found(
    call: Call, app: FakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(folder: Path, folds: dict[str, int], *, trust: bool) -> Converted:
        for name, number in folds.items():
            (folder / f"fold_{number}").mkdir()
            (folder / f"fold_{name}.pth").rename(folder / f"fold_{number}" / "checkpoint_final.pth")
        return Converted("nnUNetTrainer", (0, 1), 5)

    monkeypatch.setattr(archive, "convert_checkpoints", convert)
    file = str(write_zip(tmp_path / "m.zip", entries()))
    ended = call("models", "import", file, "--project", "Carotid", "--map", "wall=", "--name", "x")
    assert "x: 2 networks for lumen, (wall)." in ended.out
    assert "It does not know wall" in ended.out
    assert "It serves" in ended.out
    ended = call("models", "import", file, "--map", "bone=lumen")
    assert ended.code == 1
    assert "names 'bone'" in ended.err and "the project lumen, wall" in ended.err


def test_without_a_project_the_only_one_is_meant(call: Call, app: FakeApp) -> None:
    assert "No version yet" in call("models", "list").out
    ended = call("models", "list", "--project", "Veins")
    assert (ended.code, "not connected" in ended.err) == (1, True)
