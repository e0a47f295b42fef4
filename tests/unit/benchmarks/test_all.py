from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from benchmarks import geometry, predict, rasterize, run
from benchmarks.material.thin_trees import thin_tree
from benchmarks.peers import coverage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with benchmarks: sound ones, three that fail in their own ways, a long one."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    sources = {
        "__init__": "",
        "helper": "def other(): pass\n",
        "sound": "def main(): pass\nprint('chatter')\nprint('{\"seconds\": 1.5}')\n",
        "wordy": "def main(): pass\nprint('{\"seconds\": 1.5}')\nprint('bye')\n",
        "listy": "def main(): pass\nprint('[1]')\n",
        "broken": "def main(): pass\nraise SystemExit(2)\n",
        "unable": "def main(): pass\nraise SystemExit(3)\n",
        "slow": "LONG = True\ndef main(): pass\nprint('{\"hours\": 9}')\n",
    }
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    package = folder / "boxed"
    package.mkdir()
    (package / "__main__.py").write_text("def main(): pass\nprint('{\"n\": 2}')\n")
    return tmp_path


def test_modules_with_a_main_are_discovered(root: Path) -> None:
    names = ["boxed", "broken", "listy", "slow", "sound", "unable", "wordy"]
    assert run.discover(root / "benchmarks") == names
    assert {"rasterize", "truth"} <= set(run.discover())
    assert "run" not in run.discover()


def test_figures_are_the_last_line(root: Path) -> None:
    assert run.run_benchmark("sound", root).figures == {"seconds": 1.5}
    assert run.run_benchmark("boxed", root).figures == {"n": 2}


@pytest.mark.parametrize(
    ("name", "fault"), [("broken", "exit status 2"), ("listy", "JSON"), ("wordy", "Expecting")]
)
def test_a_failure_is_a_row_and_not_a_figure(root: Path, name: str, fault: str) -> None:
    outcome = run.run_benchmark(name, root)
    assert fault in outcome.fault
    assert f"| {name} | failed | " in run.to_markdown([outcome])


def test_what_this_machine_can_not_measure_is_no_failure(root: Path) -> None:
    outcome = run.run_benchmark("unable", root)
    assert not outcome.fault
    assert "| unable | not run | " in run.to_markdown([outcome])


def test_long_ones_run_only_where_they_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"few_labels", "gate"} <= run.long_ones() <= set(run.discover())
    assert run.long_ones(root / "benchmarks") == {"slow"}
    ran: list[str] = []

    def note(name: str) -> run.Outcome:
        ran.append(name)
        return run.Outcome(name, 0.0)

    monkeypatch.setattr(run, "run_benchmark", note)
    monkeypatch.setattr(run, "TABLE", root / "table.md")
    monkeypatch.setattr(run, "ROOT", root)
    assert run.main() == 0
    assert ran == sorted(set(run.discover()) - run.long_ones())
    assert "few_labels" in capsys.readouterr().out
    assert run.main(["few_labels"]) == 0
    assert ran[-1] == "few_labels"


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


def test_a_long_thin_tree_takes_few_vertices_and_loses_no_branch() -> None:
    own, _ = geometry.measure(iter([thin_tree(3, (200, 200), depth=3)]))
    assert own["iou_min"] >= 0.97
    assert own["parts_kept"] and own["holes_kept"]
    assert own["vertex_ratio"] <= 0.7


def test_the_geometry_benchmark_measures_both_sides_on_the_same_masks() -> None:
    label_map = np.zeros((90, 90), dtype=np.uint8)
    y, x = np.mgrid[:90, :90] + 0.5
    label_map[np.hypot(x - 45, y - 45) < 35] = 1
    label_map[np.hypot(x - 45, y - 45) < 12] = 0
    own, peers = geometry.measure(iter([label_map]))
    assert own["exact_without_simplification"]
    assert own["holes_kept"]
    assert own["parts_kept"]
    assert own["iou_min"] >= 0.99
    assert 0 < own["vertex_ratio"] < 1
    assert own["vertex_ratio_external"] is None  # without the hole it never comes so far
    assert peers["approxPolyDP_external_1"]["iou_mean"] < 0.95
    assert peers["approxPolyDP_holes_1"]["iou_mean"] > 0.95
    assert 0 < own["vertex_ratio_coverage"] < 1
    assert own["seconds"] > 0 and own["seconds_coverage"] > 0
    assert peers["coverage_simplify_1"]["iou_mean"] > 0.95
    assert peers["supervision_mask_to_polygons"]["vertices_median"] > own["vertices_median"]


def test_the_coverage_is_one_and_exact_until_it_is_simplified() -> None:
    """Neighbours, a part that touches at a corner, and a hole."""
    label_map = np.zeros((9, 9), dtype=np.uint8)
    label_map[1:7, 1:5], label_map[1:7, 5:8], label_map[7, 8], label_map[3, 3] = 1, 2, 2, 0
    exact = coverage.outlines(label_map, (1, 2))
    assert shapely.coverage_is_valid(exact)
    np.testing.assert_array_equal(coverage.drawn(exact, (1, 2), (9, 9)), label_map)
    # Middles of pixels' edges, corners where labels meet, the hole; the part at a corner.
    assert [coverage.n_vertices(outline) for outline in exact] == [20 + 2 + 4, 18 + 2 + 1 + 4 + 1]
    simplified = coverage.simplified(exact, 2.0)
    assert shapely.coverage_is_valid(simplified)
    assert sum(map(coverage.n_vertices, simplified)) < 52


def test_the_peer_is_interpolated_between_two_epsilons() -> None:
    sweep = {0.5: geometry.Tally([0.99], [100]), 1.0: geometry.Tally([0.97], [60])}
    assert geometry.vertices_for(0.98, sweep) == pytest.approx(80)
    assert geometry.vertices_for(0.995, sweep) == 0


def test_the_prediction_benchmark_averages_logits_as_nnunet_does() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (5, 3, 6, 7)).astype(np.float32)
    powers = np.exp(logits)
    folds = powers / powers.sum(axis=1, keepdims=True)
    expected = np.exp(logits.mean(axis=0))
    expected /= expected.sum(axis=0)
    np.testing.assert_allclose(predict._like_nnunet(folds), expected, atol=1e-5)
    assert np.abs(folds.mean(axis=0) - expected).max() > 0.05


def test_the_prediction_benchmark_tells_the_image_that_agrees_least() -> None:
    ours = [np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)]
    theirs = [ours[0].copy(), np.eye(10, dtype=np.uint8)]
    assert predict._agreement(ours, theirs) == pytest.approx(0.9)
