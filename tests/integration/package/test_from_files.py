"""Three commands from an export to masks that are measured: no server, no checkout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.demo.annotator import annotate
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.ultrasound import generate
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from tests.integration.package.conftest import Nnloop
from training.case_files import read_image

CONFIG = parse_label_config(LABEL_CONFIG)
TRAIN = ("--preset", "tiny", "--budget", "6s")


def write_export(folder: Path, n: int) -> Path:
    """Label Studio's export of n generated images, the images, and their true label maps."""
    rows = []
    for name in ("images", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        sample = generate(i)
        cv2.imwrite(str(folder / "images" / f"{sample.name}.png"), sample.image)
        cv2.imwrite(str(folder / "truth" / f"{sample.name}.png"), sample.truth)
        drawn = annotate(sample.truth, np.random.default_rng(i))
        size_hw = (int(sample.truth.shape[0]), int(sample.truth.shape[1]))
        result = regions_to_result(drawn, CONFIG, size_hw, is_prediction=False)
        rows.append(
            {
                "id": 100 + i,
                "created_at": f"2026-01-01T00:00:{i:02d}Z",
                "data": {"image": f"/data/upload/7/{i:08x}-{sample.name}.png"},
                "annotations": [{"id": 500 + i, "result": result, "was_cancelled": False}],
            }
        )
    path = folder / "labeled_image.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


def test_an_export_becomes_a_model_that_predicts(nnloop: Nnloop, folder: Path) -> None:
    export, images = write_export(folder, 12), str(folder / "images")
    model, masks = folder / "carotid", folder / "masks"
    done = nnloop(
        "train", str(export), "--images", images, "--out", str(model), *TRAIN, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 labelled images" in done.stdout and "Held-out Dice" in done.stdout
    page = (model / "report.html").read_text()
    assert "nnloop-v1" in page and (model / "training.png").stat().st_size > 10_000

    (folder / "images" / "broken.png").write_bytes(b"\x89PNG no more")
    done = nnloop("predict", images, "--model", str(model), "--out", str(masks), "--overlays")
    # The one that can't be read is named, and costs no other.
    assert done.returncode == 1 and "broken.png" in done.stdout, done.stdout + done.stderr
    assert "12 images predicted" in done.stdout
    rows = list(csv.DictReader((masks / "predictions.csv").open()))
    assert len(rows) == 12
    for row in rows:
        mask = read_image(masks / row["image"])
        assert mask.shape == (int(row["height"]), int(row["width"]))
        # Classes by their order in the export: wall, then lumen.
        assert int(row["lumen area_px"]) == int((mask == 2).sum())
        assert 0 <= float(row["score_low"]) <= float(row["score"]) <= float(row["score_high"]) <= 1
        assert (masks / "overlays" / row["image"]).is_file()

    # Whoever wrote the truth had another order: that is told, not measured as a bad model.
    (folder / "truth" / "classes.json").write_text('{"background": 0, "lumen": 1, "wall": 2}')
    compared = ("evaluate", "--predictions", str(masks), "--reference", str(folder / "truth"))
    done = nnloop(*compared)
    assert done.returncode == 1 and "1 is 'wall' in" in done.stderr, done.stdout
    done = nnloop(
        "predict", images, "--model", str(model), "--out", str(masks) + "-2", "--values", "0,2,1"
    )
    done = nnloop(
        "evaluate", "--predictions", str(masks) + "-2", "--reference", str(folder / "truth")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "masks-2-evaluation" / "metrics.csv").is_file()


def test_moved_and_with_newer_labels_it_goes_on(nnloop: Nnloop, folder: Path) -> None:
    if not (folder / "carotid").exists():
        pytest.skip("nothing was trained")
    moved = (folder / "carotid").rename(folder / "vessels")
    images = str(folder / "images")
    again = ("--out", str(moved), *TRAIN)
    done = nnloop("train", str(folder / "labeled_image.json"), "--images", images, *again)
    assert "Nothing has changed since nnloop-v1" in done.stdout, done.stdout + done.stderr

    export = write_export(folder, 14)
    done = nnloop("train", str(export), "--images", images, *again)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from the weights of nnloop-v1" in done.stdout and "2 new or changed" in done.stdout
    assert "nnloop-v2:" in done.stdout  # what the gate says of it

    out = ("--model", str(moved), "--out", str(folder / "masks"), "--overlays")
    done = nnloop("predict", images, *out)
    assert "carotid_013.png" in done.stdout, done.stdout + done.stderr
