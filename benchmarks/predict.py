"""Prediction with five folds, next to nnU-Net's own: ``python -m benchmarks.predict``.

100 images of 256 x 256 and 20 of 660 x 460 (width x height), predicted by the same networks on the
same cores with the same tiles, with and without mirroring, by three programs in one run:

- nnloop: PNG files in, each fold's probabilities and the label map of their mean out, in the way
  the pool is scored (``FoldPredictor.predict_stream``);
- the command ``nnUNetv2_predict``: PNG files in, PNG label maps out;
- a warm ``nnUNetPredictor``: arrays in, label maps out, one array after the other
  (``predict_single_npy_array``). Its other way, a list of arrays, starts worker processes at each
  call: ``--warm-way list`` measures that. It takes turns with nnloop, a fifth of the images at a
  time, because other programs may share the cores.

nnU-Net averages the folds' logits, nnloop their probabilities. ``agreement`` (share of equal pixels
with the command's label maps) and ``max_abs_diff`` (of a probability, against the warm predictor)
compare equal averages: the mean of the logarithms of nnloop's probabilities is that of the logits.
``default_agreement`` compares the average that nnloop uses. ``uncertainty_ratio`` is the time with
score, entropy and mutual information over the time without. ``cli_cpu_ratio`` and
``warm_cpu_ratio`` compare processor time, which other programs on the same cores distort less.

``--data DIR`` takes a folder with images/; they are brought to both sizes. Without it images are
generated. Five small networks are trained first, for a few minutes, or ``--version DIR`` names
those of a packaged version. Figures without mirroring are in ``unmirrored``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from active_learning.measures import measure_image
from backend.demo.ultrasound import generate
from converters.images.image_pixels import without_empty_color
from converters.images.of_tasks import read_image_file
from domain.geometry import LabelMap
from domain.prediction import FoldProbabilities
from training.case_files import with_channels, write_case
from training.folds.runner import run_fold
from training.folds.spec import FoldSpec
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.inference.predictor import FoldPredictor
from training.presets import TINY
from training.versions.version_folder import (
    VersionInfo,
    library_versions,
    package_version,
    read_version,
)
from training.workspace import Workspace

SETS = {"256": (100, (256, 256)), "660x460": (20, (460, 660))}
"""Name -> number of images, (height, width)."""

CLASSES = ("lumen", "wall")
N_FOLDS = 5
N_TRAINED_ON = 20
TURNS = 5
COMPARED = 10
"""Images whose probabilities are compared."""
REPEATS = 5

Image = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall-clock time, and processor time of this process and of those it waited for."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True, slots=True)
class Setting:
    """What all programs predict with: a version's folder, its tiles, and threads."""

    version_dir: Path
    tile_step: float
    mirroring: bool
    threads: int
    warm_way: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="Prediction next to nnU-Net's own.")
    parser.add_argument("--data", type=Path, help="a folder with images/")
    parser.add_argument("--version", type=Path, help="a packaged version with 5 folds")
    parser.add_argument("--tile-step", type=float, default=0.5, help="as nnUNetv2_predict's")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--share", type=float, default=1.0, help="share of the images to predict")
    parser.add_argument("--warm-way", choices=("single", "list"), default="single")
    parser.add_argument("--epochs", type=int, default=6, help="of the networks that are trained")
    given = parser.parse_args(arguments)
    _use_cores(given.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        version_dir = given.version or train(root / "networks", given.epochs, given.threads)
        sets: dict[str, Any] = {}
        for name, (n, size_hw) in SETS.items():
            n_images = max(TURNS, round(n * given.share))
            files = write_images(given.data, root / name, n_images, size_hw)
            for mirroring in (True, False):
                setting = Setting(
                    version_dir, given.tile_step, mirroring, given.threads, given.warm_way
                )
                print(f"{name}, mirroring {mirroring} ...", flush=True)
                figures = measure(setting, files, root / f"{name}-{mirroring}")
                print(json.dumps(figures), flush=True)
                if mirroring:
                    sets[name] = figures
                else:
                    sets[name]["unmirrored"] = figures
    settings = {
        "folds": N_FOLDS,
        "tile_step": given.tile_step,
        "threads": given.threads,
        "warm_way": given.warm_way,
        "images": "generated" if given.data is None else given.data.name,
        "preset": read_version(version_dir).preset.name if given.version else "tiny",
    }
    print(json.dumps({"sets": sets, "settings": settings}))


def measure(setting: Setting, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """The figures of one set and one way of mirroring."""
    own = FoldPredictor.load(
        setting.version_dir,
        mirroring=setting.mirroring,
        tile_step=setting.tile_step,
        engine="openvino",
    )
    images = [_read(own, file) for file in files]
    single_s = _single_image_s(own, images[0])
    peer = WarmPeer(setting)
    peer.predict(images[:1])
    own_s = peer_s = measured_s = Seconds()
    for turn in range(TURNS):
        part = slice(turn, None, TURNS)
        own_s = own_s + _timed(partial(predict_files, own, files[part]))[0]
        peer_s = peer_s + _timed(partial(peer.predict, images[part]))[0]
        measured_s = measured_s + _timed(partial(predict_files, own, files[part], measured=True))[0]
    command_s, theirs = run_command(setting, files, folder)
    equal, default = [], []
    for image in images:
        folds = own.predict(image)
        equal.append(_label_map(_like_nnunet(folds)))
        default.append(_label_map(folds.mean(axis=0)))
    differences = [
        float(np.abs(_like_nnunet(own.predict(image)) - peer.probabilities(image)).max())
        for image in images[:COMPARED]
    ]
    return {
        "images_per_s": round(len(files) / own_s.wall, 2),
        "cli_ratio": round(command_s.wall / own_s.wall, 2),
        "warm_ratio": round(peer_s.wall / own_s.wall, 2),
        "cli_cpu_ratio": round(command_s.cpu / own_s.cpu, 2),
        "warm_cpu_ratio": round(peer_s.cpu / own_s.cpu, 2),
        "agreement": round(_agreement(equal, theirs), 5),
        "default_agreement": round(_agreement(default, theirs), 5),
        "max_abs_diff": round(max(differences), 5),
        "uncertainty_ratio": round(measured_s.wall / own_s.wall, 3),
        "single_image_s": round(single_s, 3),
        "engine": own.engine,
        "n_images": len(files),
    }


def train(folder: Path, epochs: int, threads: int) -> Path:
    """A version of five small networks, trained on generated images of 256 x 256."""
    preset = dataclasses.replace(TINY, n_folds=N_FOLDS, epochs=epochs)
    workspace = Workspace(folder, 1)
    cases = []
    for i in range(N_TRAINED_ON):
        sample = generate(i, seed=1)
        image = cv2.resize(sample.image, (256, 256), interpolation=cv2.INTER_AREA)
        truth = cv2.resize(sample.truth, (256, 256), interpolation=cv2.INTER_NEAREST)
        cases.append(
            write_case(workspace, f"task_{i}", image, truth.astype(np.uint8), n_channels=1)
        )
    folds = {case.case_id: i % N_FOLDS for i, case in enumerate(cases)}
    prepare(workspace, cases, folds, DatasetSpec(CLASSES, 1, preset))
    for fold in range(N_FOLDS):
        print(f"training fold {fold} ...", flush=True)
        spec = FoldSpec(str(folder), 1, "1", fold, CLASSES, preset, threads=threads)
        run_fold(spec, lambda _: None, lambda: False)
    info = VersionInfo("v1", CLASSES, 1, preset, tuple(range(N_FOLDS)), library_versions())
    return package_version(workspace, "1", info)


def write_images(data: Path | None, folder: Path, n: int, size_hw: tuple[int, int]) -> list[Path]:
    """Grey PNG files of one size, named as nnU-Net wants them: ``<name>_0000.png``."""
    folder.mkdir(parents=True)
    sources = sorted((data / "images").iterdir()) if data is not None else []
    if data is not None and not sources:
        raise SystemExit(f"There is no image in {data / 'images'}.")
    files = []
    for i in range(n):
        if sources:
            image = with_channels(
                without_empty_color(read_image_file(sources[i % len(sources)], i)), 1
            )
        else:
            image = generate(i, seed=2).image
        file = folder / f"image{i:03d}_0000.png"
        resized = cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(file), resized)
        files.append(file)
    return files


def predict_files(own: FoldPredictor, files: Iterable[Path], *, measured: bool = False) -> None:
    """Nnloop's way from files to label maps; ``measured``: and to what ranks the pool."""
    for _, found in own.predict_stream(files, partial(_read, own)):
        folds = found.result().whole()
        _label_map(folds.mean(axis=0))
        if measured:
            measure_image([folds])


def run_command(
    setting: Setting, files: Sequence[Path], folder: Path
) -> tuple[Seconds, list[LabelMap]]:
    """Seconds of ``nnUNetv2_predict`` and its label maps in the order of the files."""
    results = folder / "results" / "Dataset001_x"
    results.mkdir(parents=True)
    (results / "nnUNetTrainer__nnUNetPlans__2d").symlink_to(setting.version_dir.resolve())
    out = folder / "out"
    command = [
        str(Path(sys.executable).with_name("nnUNetv2_predict")),
        *("-i", str(files[0].parent), "-o", str(out), "-d", "1", "-c", "2d", "-device", "cpu"),
        *("-step_size", str(setting.tile_step), "--disable_progress_bar"),
        *([] if setting.mirroring else ["--disable_tta"]),
    ]
    roots = {"nnUNet_raw": str(folder), "nnUNet_preprocessed": str(folder)}
    environment = {**os.environ, **roots, "nnUNet_results": str(folder / "results")}
    seconds, done = _timed(
        lambda: subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    )
    if done.returncode:
        raise SystemExit(f"nnUNetv2_predict failed: {done.stderr[-2000:]}")
    maps = [cv2.imread(str(out / f"{file.stem[:-5]}.png"), cv2.IMREAD_UNCHANGED) for file in files]
    return seconds, [np.asarray(found, np.uint8) for found in maps]


class WarmPeer:
    """nnU-Net's predictor, its networks in memory."""

    def __init__(self, setting: Setting) -> None:
        """Loads the networks."""
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        self._threads, self._way = setting.threads, setting.warm_way
        with contextlib.redirect_stdout(io.StringIO()):
            self._predictor = nnUNetPredictor(
                tile_step_size=setting.tile_step,
                use_mirroring=setting.mirroring,
                device=torch.device("cpu"),
                allow_tqdm=False,
            )
            self._predictor.initialize_from_trained_model_folder(
                str(setting.version_dir), tuple(range(N_FOLDS)), "checkpoint_final.pth"
            )

    def predict(self, images: Sequence[Image]) -> list[Any]:
        """Label maps."""
        with contextlib.redirect_stdout(io.StringIO()):
            if self._way == "single":
                return [
                    self._predictor.predict_single_npy_array(_for_nnunet(image), _properties())
                    for image in images
                ]
            found: list[Any] = self._predictor.predict_from_list_of_npy_arrays(
                [_for_nnunet(image) for image in images],
                None,
                [_properties() for _ in images],
                None,
                num_processes=self._threads,
                num_processes_segmentation_export=self._threads,
            )
            return found

    def probabilities(self, image: Image) -> npt.NDArray[np.float32]:
        """(class, height, width) float32."""
        with contextlib.redirect_stdout(io.StringIO()):
            _, found = self._predictor.predict_single_npy_array(
                _for_nnunet(image), _properties(), save_or_return_probabilities=True
            )
        return np.asarray(found[:, 0], np.float32)


def _for_nnunet(image: Image) -> npt.NDArray[np.float32]:
    channels = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    return channels[:, None].astype(np.float32)


def _properties() -> dict[str, Any]:
    return {"spacing": (999, 1, 1)}


def _read(own: FoldPredictor, file: Path) -> Image:
    return with_channels(read_image_file(file, 0), own.n_channels)


def _like_nnunet(folds: FoldProbabilities) -> npt.NDArray[np.float32]:
    """Softmax of the mean of the folds' logits, (class, height, width)."""
    logits = np.log(np.maximum(folds, np.finfo(np.float32).tiny)).mean(axis=0)
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def _label_map(probabilities: npt.NDArray[np.float32]) -> LabelMap:
    return np.asarray(probabilities.argmax(axis=0), np.uint8)


def _single_image_s(own: FoldPredictor, image: Image) -> float:
    # The first settles the engine, and allocates.
    own.predict(image)
    return statistics.median(_timed(lambda: own.predict(image))[0].wall for _ in range(REPEATS))


def _agreement(ours: Sequence[LabelMap], theirs: Sequence[LabelMap]) -> float:
    """Share of equal pixels in the image that agrees least."""
    return min(float((a == b).mean()) for a, b in zip(ours, theirs, strict=True))


def _timed(work: Callable[[], Any]) -> tuple[Seconds, Any]:
    started, before = time.perf_counter(), sum(os.times()[:4])
    result = work()
    return Seconds(time.perf_counter() - started, sum(os.times()[:4]) - before), result


def _use_cores(threads: int) -> None:
    """This process and those it starts: nnUNetv2_predict takes every core it may use."""
    import torch

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
