"""What is said of a training from files before and while it trains."""

from __future__ import annotations

import pytest

from backend.from_files.networks import drive
from backend.from_files.networks.drive import _expected
from backend.pipeline.runs import control
from domain.states import RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from training.devices import Device
from training.presets import FAST, FULL, PRETRAINED


def test_how_long_a_training_is_to_take_is_said_before() -> None:
    said = _expected(PRETRAINED, 3, 2, None)
    assert said.startswith("Training 3 folds, 2 at once, with the preset pretrained: 8 epochs each")
    assert "2m to 4m where each has a core to itself" in said and "--budget 30m" in said
    assert "one after the other" in _expected(PRETRAINED, 3, 1, None)
    assert "6m at most" in _expected(FAST, 3, 1, 360.0)
    full = _expected(FULL, 5, 1, None)  # nothing is known before of nnU-Net's own length
    assert "1000 epochs each. The first epoch will tell" in full


def test_a_paused_run_is_told_of_and_goes_on_with_the_same_command(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pauses it while its folds wait; the command is called again."""
    run_id, said = app.add_run(RunStatus.QUEUED), list[str]()
    telling = drive._Telling(app.context, run_id, said.append)  # type: ignore[arg-type]
    telling.look()
    control.pause(app.context, PROJECT)
    telling.look()
    telling.look()
    assert [line for line in said if "paused" in line] == [said[-1]] and "resume" in said[-1]
    control.resume(app.context, PROJECT)
    telling.look()
    assert said[-1] == "Run 1: goes on."
    # Called again: nothing waits without a word.
    control.pause(app.context, PROJECT)
    monkeypatch.setattr(drive, "stop_requested", lambda: True)
    monkeypatch.setattr(app.queue, "devices", (Device("cpu", 1, 1),), raising=False)
    drive.drive(app.context, run_id, said.append)  # type: ignore[arg-type]
    assert app.run(run_id).control == RunControl.RUN
    assert said[-1] == "Run 1 goes on: queued."
