"""What a lab's own script does with an export and masks, image by image, and nothing besides.

``python -m benchmarks.peers.plain_files export EXPORT.json IMAGES RAW NAMES...``,
``... channels IMAGES OUT``, ``... overlays IMAGES MASKS OUT``. A yardstick: it looks at polygons
alone, and believes every image to be there, whole and of the size that the export says.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

GREEN = (0, 255, 0)  # also in OpenCV's order
OPACITY = 0.3


def export(source: Path, images: Path, raw: Path, names: Sequence[str]) -> None:
    """Writes nnU-Net's raw data set; ``names``: the background's, then the classes'."""
    (raw / "imagesTr").mkdir(parents=True)
    (raw / "labelsTr").mkdir()
    rows = json.loads(source.read_text())
    for row in rows:
        # An upload's name begins with some hexadecimal digits.
        name = Path(row["data"]["image"]).name.partition("-")[2]
        image = Image.open(images / name).convert("L")
        mask = Image.new("L", image.size, 0)
        pen = ImageDraw.Draw(mask)
        for region in row["annotations"][0]["result"]:
            value = region["value"]
            points = [(x / 100 * image.width, y / 100 * image.height) for x, y in value["points"]]
            pen.polygon(points, fill=names.index(value["polygonlabels"][0]))
        stem = Path(name).stem
        image.save(raw / "imagesTr" / f"{stem}_0000.png")
        mask.save(raw / "labelsTr" / f"{stem}.png")
    described = {
        "channel_names": {"0": "ultrasound"},
        "labels": {name: number for number, name in enumerate(names)},
        "numTraining": len(rows),
        "file_ending": ".png",
    }
    (raw / "dataset.json").write_text(json.dumps(described))


def channels(images: Path, out: Path) -> None:
    """Copies images under the names that nnU-Net's command wants."""
    out.mkdir(parents=True)
    for path in sorted(images.iterdir()):
        shutil.copy(path, out / f"{path.stem}_0000{path.suffix}")


def overlays(images: Path, masks: Path, out: Path) -> None:
    """Tints what is not background."""
    out.mkdir(parents=True)
    for path in sorted(masks.glob("*.png")):
        mask = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        image = np.asarray(cv2.imread(str(images / path.name), cv2.IMREAD_COLOR))
        tint = image.copy()
        tint[mask > 0] = GREEN
        cv2.imwrite(str(out / path.name), cv2.addWeighted(tint, OPACITY, image, 1 - OPACITY, 0))


def main(arguments: Sequence[str]) -> None:
    """Does one of the three."""
    what, *words = arguments
    if what == "export":
        source, images, raw, *names = words
        export(Path(source), Path(images), Path(raw), names)
    elif what == "channels":
        channels(*map(Path, words))
    else:
        overlays(*map(Path, words))


if __name__ == "__main__":
    main(sys.argv[1:])
