from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import rasterize, run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with four benchmarks: one sound, three that fail in their own ways."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    sources = {
        "__init__": "",
        "helper": "def other(): pass\n",
        "sound": "def main(): pass\nprint('chatter')\nprint('{\"seconds\": 1.5}')\n",
        "wordy": "def main(): pass\nprint('{\"seconds\": 1.5}')\nprint('bye')\n",
        "listy": "def main(): pass\nprint('[1]')\n",
        "broken": "def main(): pass\nraise SystemExit(3)\n",
    }
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return tmp_path


def test_modules_with_a_main_are_discovered(root: Path) -> None:
    assert run.discover(root / "benchmarks") == ["broken", "listy", "sound", "wordy"]
    assert "rasterize" in run.discover()
    assert "run" not in run.discover()


def test_figures_are_the_last_line(root: Path) -> None:
    assert run.run_benchmark("sound", root).figures == {"seconds": 1.5}


@pytest.mark.parametrize(
    ("name", "fault"), [("broken", "exit status 3"), ("listy", "JSON"), ("wordy", "Expecting")]
)
def test_a_failure_is_a_row_and_not_a_figure(root: Path, name: str, fault: str) -> None:
    outcome = run.run_benchmark(name, root)
    assert fault in outcome.fault
    assert f"| {name} | failed | " in run.to_markdown([outcome])


def test_the_table_has_a_row_per_figure() -> None:
    table = run.to_markdown([run.Outcome("a", 1.0, {"x": 1, "y": 2.5})])
    assert "| a | x | 1 |\n| a | y | 2.5 |\n" in table


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["nowhere"]) == 1
    assert "No benchmark named nowhere; there are:" in capsys.readouterr().err


def test_both_sides_of_the_rasterizing_benchmark_do_the_same_work() -> None:
    """They differ along the outlines only; elsewhere both paint the lumen over the wall."""
    [annotation] = rasterize.sample(n_tasks=1)
    ours, peer = rasterize.with_nnloop(annotation), rasterize.with_opencv(annotation)
    assert ours.shape == peer.shape == rasterize.SIZE_HW
    assert set(np.unique(ours)) == set(np.unique(peer)) == {0, 1, 2}
    assert 0 < np.mean(ours != peer) < 0.01
