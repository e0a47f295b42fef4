"""From an export and images to masks, next to a plain script: ``python -m benchmarks.files``.

A lab has an export of Label Studio's with polygons, its images, and no server. The same work is
done twice in one run, each command a process of its own, from its start to its end:

- nnloop: ``nnloop export --format nnunet`` of 214 images, then ``nnloop predict`` of 100 others,
  without overlays and with them;
- the classic way: a script that draws the polygons with Pillow into nnU-Net's raw folder
  (``benchmarks.peers.plain_files``), the command ``nnUNetv2_predict``, and a script that tints the
  images one after the other.

Both predict with the same five networks, tiles and mirroring. nnloop's prediction has a score for
each image, which the other lacks. ``overlay_s`` is what overlays take: of nnloop the second
prediction less the first, at least 0. ``peak_mb`` is the most memory of all processes of a command
(what they share counted once), the highest of the commands. ``cpu_s`` stands beside each time:
other programs on the same cores distort it less. ``agreement`` is the share of equal pixels in the
image that agrees least, of the exported label maps and of the predicted ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from backend.demo.annotator import annotate
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.ultrasound import Sample, generate
from benchmarks.predict import train
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from training.case_files import read_image
from training.versions.version_folder import read_version

N_LABELLED = 214
N_SCANS = 100

CONFIG = parse_label_config(LABEL_CONFIG)

POLL_S = 0.2
"""Between two looks at a command's memory."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a command took: seconds from start to end, of processors, and MB of memory at most."""

    seconds: float
    cpu_s: float
    peak_mb: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description=__doc__)
    parser.add_argument("--labelled", type=int, default=N_LABELLED, help="images in the export")
    parser.add_argument("--scans", type=int, default=N_SCANS, help="images to predict")
    parser.add_argument(
        "--version", type=Path, help="a packaged version of the classes lumen, wall"
    )
    parser.add_argument("--epochs", type=int, default=6, help="of the networks that are trained")
    parser.add_argument("--seed", type=int, default=0, help="of the generated images")
    options = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="nnloop-files-") as scratch:
        lab = Path(scratch)
        print(f"Drawing {options.labelled} labelled images and {options.scans} scans ...")
        write_export(lab, options.labelled, options.seed)
        write_scans(lab / "scans", options.scans, options.seed + 1)
        version = options.version or train(
            lab / "networks", options.epochs, len(os.sched_getaffinity(0))
        )
        own = own_way(lab, version)
        print(json.dumps(own), flush=True)
        classic = classic_way(lab, version)
        print(json.dumps(classic), flush=True)
        agreement = {
            "export": _agreement(lab / "own_raw" / "labelsTr", lab / "classic_raw" / "labelsTr"),
            "predict": _agreement(lab / "masks", lab / "classic_masks"),
        }
    print(
        json.dumps(
            {
                **own,
                "classic": classic,
                "agreement": agreement,
                "labelled": options.labelled,
                "scans": options.scans,
                "seed": options.seed,
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "load": round(load, 1),
            }
        )
    )


def write_export(folder: Path, n: int, seed: int) -> None:
    """``labeled_image.json`` as Label Studio writes it, and ``images/`` as they were uploaded."""
    rows = []
    (folder / "images").mkdir(parents=True)
    for number, sample in enumerate(_samples(n, seed)):
        cv2.imwrite(str(folder / "images" / f"{sample.name}.png"), sample.image)
        drawn = annotate(sample.truth, np.random.default_rng([seed, number]))
        height, width = sample.truth.shape
        result = regions_to_result(drawn, CONFIG, (height, width), is_prediction=False)
        rows.append(
            {
                "id": 100 + number,
                "created_at": f"2026-01-01T00:00:00.{number:06d}Z",
                "data": {"image": f"/data/upload/7/{number:08x}-{sample.name}.png"},
                "annotations": [{"id": 500 + number, "result": result, "was_cancelled": False}],
            }
        )
    (folder / "labeled_image.json").write_text(json.dumps(rows))


def write_scans(folder: Path, n: int, seed: int) -> None:
    """Images that nobody has labelled."""
    folder.mkdir(parents=True)
    for sample in _samples(n, seed):
        cv2.imwrite(str(folder / f"{sample.name}.png"), sample.image)


def own_way(lab: Path, version: Path) -> dict[str, Any]:
    """What nnloop's commands take."""
    labels = lab / "interface.xml"
    labels.write_text(LABEL_CONFIG)
    exported = _nnloop(
        *("export", "labeled_image.json", "--format", "nnunet", "--images", "images"),
        *("--label-config", str(labels), "--out", "own_raw"),
        lab=lab,
    )
    scans = ("predict", "scans", "--model", str(version), "--out")
    predicted = _nnloop(*scans, "masks", lab=lab)
    with_overlays = _nnloop(*scans, "masks_and_overlays", "--overlays", lab=lab)
    return {
        "export_s": exported.seconds,
        "predict_s": predicted.seconds,
        "overlay_s": round(max(with_overlays.seconds - predicted.seconds, 0.0), 1),
        "peak_mb": max(exported.peak_mb, predicted.peak_mb, with_overlays.peak_mb),
        "cpu_s": {
            "export": exported.cpu_s,
            "predict": predicted.cpu_s,
            "overlay": round(max(with_overlays.cpu_s - predicted.cpu_s, 0.0), 1),
        },
    }


def classic_way(lab: Path, version: Path) -> dict[str, Any]:
    """What the scripts and nnU-Net's command take."""
    script = (sys.executable, "-m", "benchmarks.peers.plain_files")
    names = ("background", *CONFIG.class_values)
    exported = _run(
        [*script, "export", "labeled_image.json", "images", "classic_raw", *names], lab, {}
    )
    results = lab / "results" / "Dataset001_x"
    results.mkdir(parents=True)
    (results / "nnUNetTrainer__nnUNetPlans__2d").symlink_to(version.resolve())
    preset = read_version(version).preset
    named = _run([*script, "channels", "scans", "scans_0000"], lab, {})
    predicted = _run(
        [
            str(Path(sys.executable).with_name("nnUNetv2_predict")),
            *("-i", "scans_0000", "-o", "classic_masks", "-d", "1", "-c", "2d", "-device", "cpu"),
            *("-step_size", str(preset.tile_step), "--disable_progress_bar"),
            *([] if preset.mirror_predict else ["--disable_tta"]),
        ],
        lab,
        {
            "nnUNet_raw": str(lab),
            "nnUNet_preprocessed": str(lab),
            "nnUNet_results": str(lab / "results"),
        },
    )
    tinted = _run([*script, "overlays", "scans", "classic_masks", "classic_overlays"], lab, {})
    return {
        "export_s": exported.seconds,
        "predict_s": round(named.seconds + predicted.seconds, 1),
        "overlay_s": tinted.seconds,
        "peak_mb": max(exported.peak_mb, predicted.peak_mb, tinted.peak_mb),
        "cpu_s": {
            "export": exported.cpu_s,
            "predict": round(named.cpu_s + predicted.cpu_s, 1),
            "overlay": tinted.cpu_s,
        },
    }


def _samples(n: int, seed: int) -> Iterator[Sample]:
    return (generate(number, seed) for number in range(n))


def _nnloop(*words: str, lab: Path) -> Used:
    return _run([str(Path(sys.executable).with_name("nnloop")), *words], lab, {})


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Used:
    """Runs a command to its end, and says what it took; SystemExit with its words if it failed."""
    print(f"{Path(command[0]).name} {' '.join(command[1:4])} ...", flush=True)
    started, before = time.perf_counter(), os.times()
    root = str(Path(__file__).resolve().parent.parent)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    peak: list[float] = [0.0]
    watch = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watch.start()
    said, _ = process.communicate()
    watch.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said[-2000:]}")
    after = os.times()
    cpu_s = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Used(round(time.perf_counter() - started, 1), round(cpu_s, 1), round(peak[0]))


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], _tree_mb(process.pid))
        time.sleep(POLL_S)


def _tree_mb(pid: int) -> float:
    """Memory of a process and all below it, each page that several share in equal parts."""
    total = 0
    try:
        top = psutil.Process(pid)
        for one in (top, *top.children(recursive=True)):
            with suppress(psutil.Error):  # it has just ended
                total += one.memory_full_info().pss
    except psutil.Error:
        return 0.0
    return total / 2**20


def _agreement(one: Path, other: Path) -> float:
    """Of the label maps in two folders, image by image in the order of their names.

    nnloop's export names cases by their tasks, the script by its images: both in one order.
    """
    pairs = list(zip(sorted(one.glob("*.png")), sorted(other.glob("*.png")), strict=True))
    equal = (float((read_image(mine) == read_image(theirs)).mean()) for mine, theirs in pairs)
    return round(min(equal), 5)


if __name__ == "__main__":
    main()
