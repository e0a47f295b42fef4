"""One annotation changed, next to nnU-Net's own preprocessing: ``python -m benchmarks.retrain``.

Measures the way from the manifest to 'ready to train': the changed case is written and the data set
brought up to date, with 25, 50, 100 and 200 cases. The peer is what nnU-Net offers for it, the
command ``nnUNetv2_plan_and_preprocess`` with two processes on the same raw files; both follow
nnU-Net's own plans (preset ``full``), and the arrays of both are compared at the end.

``--data DIR`` takes a folder with images/ and masks/ (PNG, small integers); its images are mirrored
and repeated up to the number of cases. Without it they are generated, grey, 256 x 256. Times are
medians of ``--repeats``; the command is run ``--full-repeats`` times. ``cpu`` holds processor time,
which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from converters.bookkeeping.files import read_json, write_json
from converters.images.image_pixels import without_empty_color
from converters.images.of_tasks import read_image_file
from domain.geometry import LabelMap, Pixels
from training.case_files import find_cases, write_case
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.nnunet.data.index import arrays_folder
from training.presets import FULL
from training.workspace import Workspace

CASES = (25, 50, 100, 200)
N_FOLDS = 5
SIDE = 256
SEED = 4

Sample = tuple[Pixels, LabelMap]


@dataclass(frozen=True, slots=True)
class Peer:
    """What the command took, wall clock and processor, and the folder its arrays lie in."""

    seconds: list[float]
    cpu_seconds: list[float]
    arrays: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="One annotation changed.")
    parser.add_argument("--data", type=Path, help="a folder with images/ and masks/")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--full-repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    samples = list(read_samples(given.data) if given.data else generated())
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(samples, Path(folder), given.repeats, given.full_repeats)))


def measure(
    samples: Sequence[Sample],
    folder: Path,
    repeats: int,
    full_repeats: int,
    cases: Sequence[int] = CASES,
) -> dict[str, Any]:
    """Both sides on the same files."""
    data = _Growing(Workspace(folder / "nnloop", 1), samples)
    by_cases: dict[int, float] = {}
    cpu_by_cases: dict[int, float] = {}
    first_s = 0.0
    for n in cases:
        first_s += data.grow(n)
        data.change_one()  # the first change loads code
        cpu_before = time.process_time()
        by_cases[n] = statistics.median(data.change_one() for _ in range(repeats))
        cpu_by_cases[n] = (time.process_time() - cpu_before) / repeats
        print(f"{n} cases: {by_cases[n]:.3f} s for one change", flush=True)
    peer = run_peer(data.workspace, folder / "peer", full_repeats)
    full_s, one_s = statistics.median(peer.seconds), by_cases[cases[-1]]
    return {
        "cases": cases[-1],
        "full_s": round(full_s, 2),
        "one_change_s": round(one_s, 4),
        "ratio": round(full_s / one_s, 1),
        "by_cases": {str(n): round(seconds, 4) for n, seconds in by_cases.items()},
        "all_cases_s": round(first_s, 2),
        "arrays_equal": same_arrays(arrays_folder(data.workspace), peer.arrays),
        "n_channels": data.n_channels,
        "cpu": {
            "full_s": round(statistics.median(peer.cpu_seconds), 2),
            "by_cases": {str(n): round(seconds, 4) for n, seconds in cpu_by_cases.items()},
        },
    }


class _Growing:
    """A data set that grows, and in which one annotation changes at a time."""

    def __init__(self, workspace: Workspace, samples: Sequence[Sample]) -> None:
        self.workspace = workspace
        self.n_channels = 3 if any(image.ndim == 3 for image, _ in samples) else 1
        self._samples = samples
        self._n_classes = max(int(labels.max()) for _, labels in samples)
        self._hashes: dict[str, str] = {}
        self._changes = 0

    def grow(self, n: int) -> float:
        """Adds cases up to n; seconds it took to write and to prepare them."""
        started = time.perf_counter()
        for i in range(len(self._hashes), n):
            self._write(i, *self._sample(i))
        done = self._prepare()
        if len(done.preprocessed) > n or done.n_cases != n:
            raise RuntimeError(f"{done.n_cases} cases were prepared instead of {n}.")
        return time.perf_counter() - started

    def change_one(self) -> float:
        """Changes the annotation of one case; seconds from there to 'ready to train'."""
        self._changes += 1
        number = self._changes % len(self._hashes)
        image, labels = self._sample(number)
        labels = np.roll(labels, self._changes, axis=1)
        started = time.perf_counter()
        self._write(number, image, labels)
        done = self._prepare()
        seconds = time.perf_counter() - started
        if len(done.preprocessed) != 1 or done.planned:
            raise RuntimeError(f"{len(done.preprocessed)} cases were preprocessed instead of 1.")
        return seconds

    def _write(self, number: int, image: Pixels, labels: LabelMap) -> None:
        case_id = f"task_{number:08d}"
        case = write_case(self.workspace, case_id, image, labels, n_channels=self.n_channels)
        self._hashes[case_id] = case.content_hash

    def _prepare(self) -> PreparedDataset:
        cases = list(find_cases(self.workspace, self._hashes, self.n_channels).values())
        return prepare(
            self.workspace,
            cases,
            {case.case_id: i % N_FOLDS for i, case in enumerate(cases)},
            DatasetSpec(
                [f"class {k}" for k in range(1, self._n_classes + 1)], self.n_channels, FULL
            ),
        )

    def _sample(self, number: int) -> Sample:
        """An image, mirrored and turned where the set is smaller than what is asked for."""
        image, labels = self._samples[number % len(self._samples)]
        turns, is_mirrored = divmod(number // len(self._samples), 2)
        step = slice(None, None, -1 if is_mirrored else 1)
        return (
            np.ascontiguousarray(np.rot90(image, 2 * turns)[:, step]),
            np.ascontiguousarray(np.rot90(labels, 2 * turns)[:, step]),
        )


def run_peer(workspace: Workspace, folder: Path, repeats: int) -> Peer:
    """``nnUNetv2_plan_and_preprocess`` on the raw files of a workspace, from nothing each time."""
    raw = folder / "nnUNet_raw" / workspace.dataset_name
    raw.mkdir(parents=True)
    for name in ("imagesTr", "labelsTr"):
        (raw / name).symlink_to((workspace.raw_dataset / name).resolve())
    dataset = read_json(workspace.raw_dataset / "dataset.json")
    # nnloop lists the files there; nnU-Net's own data sets don't.
    del dataset["dataset"]
    write_json(raw / "dataset.json", dataset)
    command = [
        str(Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess")),
        *("-d", "1", "-c", "2d", "-np", "2", "--verify_dataset_integrity"),
    ]
    seconds, cpu_seconds = [], []
    for repeat in range(repeats):
        target = folder / f"preprocessed_{repeat}"
        target.mkdir()
        environment = os.environ | {
            "nnUNet_raw": str(raw.parent),
            "nnUNet_preprocessed": str(target),
            "nnUNet_results": str(folder),
        }
        started, cpu_before = time.perf_counter(), _cpu_of_children()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(_cpu_of_children() - cpu_before)
        if done.returncode:
            raise SystemExit(f"{command[0]} failed: {done.stderr[-2000:]}")
        print(f"{command[0].rpartition('/')[2]}: {seconds[-1]:.1f} s", flush=True)
    return Peer(
        seconds, cpu_seconds, target / workspace.dataset_name / arrays_folder(workspace).name
    )


def same_arrays(ours: Path, theirs: Path) -> bool:
    """Whether two folders hold the same arrays, decoded."""
    names = {path.name for path in theirs.glob("*.b2nd")}
    return names == {path.name for path in ours.glob("*.b2nd")} and all(
        np.array_equal(_array(ours / name), _array(theirs / name)) for name in names
    )


def read_samples(folder: Path) -> Iterator[Sample]:
    """Images and masks of a data set; SystemExit when there are none."""
    files = sorted((folder / "masks").glob("*.png"))
    if not files:
        raise SystemExit(f"There is no PNG in {folder / 'masks'}.")
    for number, file in enumerate(files):
        labels = np.array(Image.open(file))
        if labels.ndim != 2 or labels.max() > np.iinfo(np.uint8).max:
            raise SystemExit(f"{file} is no mask of small integers: {labels.shape}.")
        image = without_empty_color(read_image_file(folder / "images" / file.name, number))
        yield image, labels.astype(np.uint8)


def generated(n: int = 50) -> Iterator[Sample]:
    """Noisy images with a bright ring and its inside."""
    rng = np.random.default_rng(SEED)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for _ in range(n):
        centre, radius = rng.uniform(90, 160, 2), rng.uniform(30, 70)
        distance = np.hypot(x - centre[0], y - centre[1])
        labels = np.where(distance < 0.6 * radius, 2, np.where(distance < radius, 1, 0))
        noise = cv2.GaussianBlur(rng.normal(90, 60, (SIDE, SIDE)), (0, 0), 2)
        image = noise + np.array([0, 60, -40])[labels]
        yield np.clip(image, 1, 255).astype(np.uint8), labels.astype(np.uint8)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _array(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = blosc2.open(str(path), mode="r")[:]
    return array


if __name__ == "__main__":
    main()
