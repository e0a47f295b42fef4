"""Names that look like the terminal's own markup: every command shows them as they are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from active_learning.effort import Effort
from backend.label_studio.server import User
from backend.pipeline.basis.context import AppContext
from backend.pipeline.sync.reading import sync_project
from backend.store.models import FoldRow
from domain.gate_verdict import Verdict
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.cli.conftest import Terminal
from tests.unit.backend.cli.test_main import Call, call
from tests.unit.backend.pipeline.models.versions import add_version, manifest_of, predict
from tests.unit.backend.pipeline.quality.test_effort import add_efforts

__all__ = ["call"]

RED, SLASH = "[red]x", "a[/]b"
ANNA, BEN = "[link=x]anna@example.com", "ben+[/bold]@example.com"
GROUP = "[blink]p"

# Of each command what must stand in its answer, and that it prints a table.
COMMANDS = {
    ("models", "list"): (RED, SLASH),
    ("models", "show", "nnloop-v2"): (RED, SLASH, GROUP),
    ("models", "compare", "nnloop-v1", "nnloop-v2"): (RED, SLASH),
    ("status",): (RED, SLASH, "[title]"),
    ("runs", "1"): ("[trigger]", "0.500 so far"),
    ("labels", "1"): (RED, SLASH),
    ("agreement", "1"): (RED, SLASH),
    ("effort", "1"): (RED, SLASH),
}


@pytest.fixture
def odd(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    """Two versions, a run in training and labels of two people, all with odd names."""
    monkeypatch.setattr(AppContext, "open", lambda _settings: app.context)
    config = CONFIG.replace('"lumen"', f'"{RED}"').replace('"wall"', f'"{SLASH}"')
    studio = app.label_studio
    studio.info = replace(studio.info, label_config=config, title="[title] of [/many]")
    studio.users += [User(7, ANNA), User(8, BEN)]
    for task_id in (1, 2, 3):
        studio.add_task(task_id)
        for by in (7, 8):
            studio.label(task_id, polygon(RED), polygon(SLASH, at=65, size=20), by=by)
    sync_project(app.context, PROJECT)
    manifest = manifest_of((1, "a", GROUP), (2, "b", "q"), (3, "c", "r"))
    manifest = replace(manifest, class_values=(RED, SLASH))
    for number, value in ((1, 0.6), (2, 0.7)):
        cases = {f"task_{i:08d}": {RED: value, SLASH: value - 0.1} for i in (1, 2, 3)}
        metrics = {
            "dice_per_case": cases,
            "oof_dice": {RED: value, SLASH: value - 0.1},
            "labels": 3,
            "gate": Verdict(True, value, None, 3, 0.01, f"{RED} is not worse [/i]"),
        }
        version = add_version(app, number, classes=(RED, SLASH), manifest=manifest, metrics=metrics)
    predict(app, version, 1)
    effort = {RED: Effort(n_kept=1), SLASH: Effort(n_edited=1)}
    add_efforts(app, 3, effort, version, annotator_id=7, lead_time_s=9.0, dice=0.9)
    run_id = app.add_run(RunStatus.TRAINING, 3, trigger="[trigger]")
    with app.store.begin() as session:
        session.add(FoldRow(run_id=run_id, fold=0, status=FoldStatus.RUNNING, case_dice=0.5))
    return app


@pytest.mark.parametrize("columns", [80, None], ids=["terminal", "pipe"])
def test_every_table_shows_names_as_they_are(
    odd: FakeApp, call: Call, terminal: Terminal, columns: int | None
) -> None:
    if columns:
        terminal(columns)
    for command, names in COMMANDS.items():
        ended = call(*command)
        assert ended.code == 0, ended.err
        assert "─────" in ended.out, command
        assert "…" not in ended.out, command
        for name in names:
            assert name in ended.out, (command, name, ended.out)
        lines = [line for line in ended.out.splitlines() if not line.startswith("Manifest")]
        if columns and command[:2] != ("models", "show"):
            assert max(map(len, lines)) <= columns, command


def test_folders_with_odd_names_are_evaluated(
    odd: FakeApp, call: Call, tmp_path: Path, terminal: Terminal
) -> None:
    for name in ("predictions", "reference"):
        (tmp_path / name).mkdir()
        pixels = np.zeros((40, 50), np.uint8)
        pixels[5:20, 5:20], pixels[25:35, 5:20] = 1, 2
        assert cv2.imwrite(str(tmp_path / name / "[b]case[].png"), pixels)
    where = [f"--{name}={tmp_path / name}" for name in ("predictions", "reference")]
    where.append(f"--out={tmp_path / '[out]'}")
    terminal(80)
    said = call("evaluate", *where, "--classes", f"{RED},{SLASH}").out
    assert f"Dice {RED}" in said and SLASH in said and "[b]case[]" in said and "[out]" in said


def test_there_is_one_kind_of_table() -> None:
    """Another one would cut its cells, and read them as markup."""
    root = Path(__file__).resolve().parents[4] / "backend" / "cli"
    for path in set(root.rglob("*.py")) - {root / "views" / "tables.py"}:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"rich\.table|rich import .*\btable", text), path
