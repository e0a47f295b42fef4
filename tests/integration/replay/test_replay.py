"""A replay from the command line with real networks, cut off in its middle and called again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import psutil
import pytest

from backend.replay.networks.committee import TRAINING
from backend.replay.options import BASELINES
from backend.replay.report import CURVES, FIGURES, TEXT
from tests.integration.training.discs import disc_image

N_IMAGES = 10
OPTIONS = (
    *("--strategies", "lowest_score", "--seeds", "1", "--start", "3", "--batch", "2"),
    *("--rounds", "2", "--preset", "tiny", "--steps", "10", "--image-side", "64", "--folds", "2"),
    *("--classes", "disc,square"),
)

PATIENCE_S = 500
"""On a machine with much else to do."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for number in range(N_IMAGES):
        for part, array in zip(("images", "masks"), disc_image(number, 64), strict=True):
            assert cv2.imwrite(str(folder / part / f"image{number}.png"), array)
    return folder


def command(data: Path, out: Path, *more: str) -> Sequence[str]:
    replay = ("replay", "--data", str(data), "--out", str(out), *OPTIONS, *more)
    return (sys.executable, "-m", "backend.cli", *replay)


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "NNLOOP_DEVICES": "cpu", "NNLOOP_DATA_DIR": str(tmp_path / "store")}


def test_killed_in_a_round_and_called_again_it_ends_with_a_report(
    data: Path, tmp_path: Path
) -> None:
    out, env = tmp_path / "out", environment(tmp_path)
    with (tmp_path / "log").open("wb") as log:
        started = subprocess.Popen(
            command(data, out), env=env, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        until = time.monotonic() + PATIENCE_S
        while not list(out.glob("courses/*/random-0.json")):
            assert started.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.1)
        children = psutil.Process(started.pid).children(recursive=True)
        second = subprocess.run(
            command(data, out), env=env, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1 and "Another replay is at work" in second.stderr
    finally:
        started.kill()
        started.wait()
    psutil.wait_procs(children, timeout=PATIENCE_S)
    assert not any(one.is_running() for one in children)
    trained = {path: path.stat().st_mtime_ns for path in out.rglob(TRAINING)}
    assert trained

    done = subprocess.run(
        command(data, out, "--json"), env=env, capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    assert set(figures["strategies"]) == {*BASELINES, "lowest_score"}
    for row in figures["strategies"].values():
        assert [point["labels"] for point in row["curve"]] == [3, 5]
        assert all(0 <= point["dice"] <= 1 for point in row["curve"])
    assert figures["images"] == {"pool": 7, "test": 3}
    assert figures["full"]["0"]["labels"] == 7
    for path, moment in trained.items():
        assert path.stat().st_mtime_ns == moment, "trained twice"
    # One on everything, one on the start that all share, one more at most for each strategy.
    assert len(list(out.rglob(TRAINING))) <= 6
    assert not list(out.rglob("*.pth")), "weights are not kept"
    for name in (TEXT, FIGURES, CURVES):
        assert (out / name).stat().st_size > 500
    again = subprocess.run(
        command(data, out, "--json"), env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(again.stdout) == figures
