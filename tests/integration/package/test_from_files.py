"""Three commands from an export to masks that are measured: no server, no checkout."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from backend.demo.annotator import annotate
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.ultrasound import generate
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from tests.integration.package.conftest import Nnloop
from tests.unit.packaging.paths import ROOT
from training.case_files import read_image

CONFIG = parse_label_config(LABEL_CONFIG)
TRAIN = ("--preset", "tiny", "--folds", "2", "--budget", "4s")


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
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export, its images, scans of another day, and true label maps."""
    folder = tmp_path_factory.mktemp("lab")
    write_export(folder, 12)
    scans = folder / "new_scans"
    scans.mkdir()
    for i in range(2):
        shutil.copy(folder / "images" / f"carotid_{i:03d}.png", scans)
    (scans / "broken.png").write_bytes(b"\x89PNG no more")
    return folder


def commands_of(page: str) -> list[list[str]]:
    """What a page of the manual says to call, as it stands there."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    called = [shlex.split(line) for line in lines if line.startswith("    nnloop ")]
    return [words[1:] for words in called if not any(word.isupper() for word in words)]


def test_the_commands_of_the_manual(nnloop: Nnloop, lab: Path) -> None:
    train, predict, evaluate = commands_of("without-a-server.md")
    done = nnloop(*train, *TRAIN, cwd=lab)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 labelled images, 1 of them with nothing to see" in done.stdout
    assert "Held-out Dice" in done.stdout
    assert "nnloop-v1" in (lab / "carotid" / "report.html").read_text()
    assert (lab / "carotid" / "training.png").stat().st_size > 10_000

    # What the folds say of images that they hold out, and how they came to it.
    done = nnloop("preview", "carotid", cwd=lab)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Run 1 is done: this is what its last checkpoints say." in done.stdout
    shown = read_image(lab / "preview.png")
    assert shown.shape[1] > 1000 and done.stdout.count("carotid_") == 4
    done = nnloop("film", "carotid", "--out", "training.gif", cwd=lab)
    assert done.returncode == 0, done.stdout + done.stderr
    with Image.open(lab / "training.gif") as film:
        assert isinstance(film, GifImageFile)
        assert film.n_frames >= 2 and max(film.size) < 1000

    done = nnloop(*predict, cwd=lab)
    # The one that can't be read is named, and costs no other.
    assert done.returncode == 1 and "broken.png" in done.stdout, done.stdout + done.stderr
    assert "2 images predicted" in done.stdout
    masks = lab / "masks"
    rows = list(csv.DictReader((masks / "predictions.csv").open()))
    assert len(rows) == 2
    for row in rows:
        mask = read_image(masks / row["image"])
        assert mask.shape == (int(row["height"]), int(row["width"]))
        # Classes by their order in the export: wall, then lumen.
        assert int(row["lumen area_px"]) == int((mask == 2).sum())
        assert 0 <= float(row["score_low"]) <= float(row["score"]) <= float(row["score_high"]) <= 1
        assert (masks / "overlays" / row["image"]).is_file()

    done = nnloop(*evaluate, cwd=lab)
    # What is assumed of integers that nobody names is said.
    assert done.returncode == 0 and "1 = wall, 2 = lumen" in done.stdout, done.stdout + done.stderr
    assert (lab / "masks-evaluation" / "metrics.csv").is_file()
    # Whoever wrote the truth had another order: that is told, not measured as a bad model.
    (lab / "truth" / "classes.json").write_text('{"background": 0, "lumen": 1, "wall": 2}')
    done = nnloop(*evaluate, cwd=lab)
    assert done.returncode == 1 and "1 is 'wall' in" in done.stderr, done.stdout


def test_the_folder_may_be_moved(nnloop: Nnloop, lab: Path) -> None:
    (lab / "carotid").rename(lab / "vessels")
    again = ("train", "labeled_image.json", "--images", "images", "--out", "vessels", *TRAIN)
    done = nnloop(*again, cwd=lab)
    assert "Nothing has changed since nnloop-v1" in done.stdout, done.stdout + done.stderr
    exported = ("models", "export", "nnloop-v1", "--out", "vessels.zip")
    done = nnloop(*exported, "--data-dir", "vessels/data", cwd=lab)
    assert done.returncode == 0 and (lab / "vessels.zip").is_file(), done.stdout + done.stderr


def test_the_commands_of_the_manual_about_open_pixels(nnloop: Nnloop, tmp_path: Path) -> None:
    """As docs/sparse-labels.md says it, with its interface; of half the images a part is known."""
    page = (ROOT / "docs" / "sparse-labels.md").read_text()
    xml = page.partition("```xml")[2].partition("```")[0].replace("BrushLabels", "PolygonLabels")
    (tmp_path / "interface.xml").write_text(xml)
    path = write_export(tmp_path, 8)
    rows = json.loads(path.read_text())
    chosen = {"value": {"choices": ["Only what is drawn"]}}
    part = {"id": "p", "from_name": "rest", "to_name": "image", "type": "choices", **chosen}
    for row in rows[::2]:
        (annotation,) = row["annotations"]
        if annotation["result"]:
            stroke = {**annotation["result"][0], "id": "b", "value": _stroke("Background", 90)}
            unclear = {**stroke, "id": "i", "value": _stroke("Ignore", 2)}
            annotation["result"] += [stroke, unclear, part]
    path.write_text(json.dumps(rows))
    train, export = commands_of("sparse-labels.md")[1:]  # the first one is about a project
    # With a union (docs/class-unions.md), for the same training shows both.
    done = nnloop(*train, "--union", "vessel=lumen+wall", *TRAIN, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 labelled images" in done.stdout and "Held-out Dice" in done.stdout
    learned = json.loads(next((tmp_path / "carotid" / "data").rglob("dataset.json")).read_text())
    assert learned["labels"] == {"background": 0, "2_vessel": [1, 2], "1_lumen": [1], "ignore": 3}
    scan = ("images/carotid_003.png", "--model", "carotid", "--out", "masks")
    done = nnloop("predict", *scan, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(np.unique(read_image(tmp_path / "masks" / "carotid_003.png"))) <= {0, 1, 2}
    said = json.loads(next((tmp_path / "carotid" / "data").rglob("version.json")).read_text())
    assert said["class_values"] == ["lumen", "wall"]
    done = nnloop(*export, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    raw = tmp_path / "Dataset101_Carotid"
    labels = json.loads((raw / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "lumen": 1, "wall": 2, "ignore": 3}
    ignored = [(read_image(mask) == 3).any() for mask in sorted((raw / "labelsTr").iterdir())]
    assert len(ignored) == 8 and 3 <= sum(ignored) <= 4


def _stroke(label: str, top: float) -> dict[str, object]:
    points = [[2, top], [98, top], [98, top + 6], [2, top + 6]]
    return {"points": points, "closed": True, "polygonlabels": [label]}
