"""Everything that a GPU changes, on a bare machine with one: ``python -m benchmarks.gpu``.

No server, and 9 minutes at most. In this order, so that what is known is printed should the time be
cut short: a fold of ``fast`` under a budget (seconds per epoch, how busy the GPU was, its memory),
nnU-Net's own trainer on the same plans for the same time, prediction by 5 folds with mirroring
(images of 256 x 256 per second, next to ``nnUNetPredictor``, and how far it agrees with the CPU),
and a training that is given less memory than its batch needs.

``--data DIR`` takes a folder with images/ and masks/; without it trunks are generated. Where there
is no GPU it ends with status 3; ``--rehearse`` goes the same way on a CPU with small networks, to
see that it works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from benchmarks.material.shared_data import Project, write_project
from benchmarks.material.side_images import write_folder
from benchmarks.run import UNABLE
from converters.bookkeeping.documents import read_document, write_document
from converters.bookkeeping.files import read_json, write_json
from training.case_files import read_case_image
from training.evaluation import mean_over_classes
from training.folds.log import read_progress
from training.folds.runner import run_fold
from training.folds.spec import RESULT, SPEC, FoldResult, FoldSpec
from training.nnunet.inference.predictor import FoldPredictor
from training.presets import FAST, Preset
from training.versions.version_folder import VersionInfo, library_versions, package_version

NO_GPU = UNABLE
"""Exit status."""

N_FOLDS = 5
SIDE = 256
N_IMAGES = 200
N_COMPARED = 10
SAMPLE_S = 0.5

SMALL = replace(
    FAST,
    features_per_stage=(8, 16, 32),
    n_conv_per_stage=1,
    max_image_side=64,
    max_patch_side=64,
    iterations_per_epoch=5,
    val_iterations=1,
    min_batch_pixels=8 * 64 * 64,
)
"""Of a rehearsal."""

Image = npt.NDArray[Any]


@dataclass
class GpuWatch:
    """Samples of ``nvidia-smi`` while the block lasts: utilisation in %, memory in MiB."""

    busy: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def __enter__(self) -> GpuWatch:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        query = "--query-gpu=utilization.gpu,memory.used"
        command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
        while not self._over.wait(SAMPLE_S):
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            except (OSError, subprocess.SubprocessError):
                return
            busy, memory = done.stdout.split("\n")[0].split(",")
            self.busy.append(int(busy))
            self.memory.append(int(memory))

    def figures(self) -> dict[str, Any]:
        """Mean utilisation and greatest memory; None where nothing could be sampled."""
        return {
            "gpu_busy_percent": round(statistics.fmean(self.busy)) if self.busy else None,
            "peak_memory_mib": max(self.memory, default=None),
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts share: cases, device, preset, seconds of a training, threads."""

    project: Project
    device: str
    preset: Preset
    budget_s: float
    threads: int

    def spec(self, run: str, **more: Any) -> FoldSpec:
        """Fold 0 of a run."""
        return FoldSpec(
            workspace_root=str(self.project.workspace.root.resolve()),
            project_id=self.project.workspace.project_id,
            run=run,
            fold=0,
            class_values=self.project.class_values,
            preset=more.pop("preset", self.preset),
            device=self.device,
            threads=self.threads,
            **more,
        )

    def train(self) -> dict[str, Any]:
        """A fold under the budget."""
        spec = self.spec("fast", budget_s=self.budget_s)
        started = time.monotonic()
        with GpuWatch() as watch:
            result = run_fold(spec, lambda _: None, lambda: False)
        assert result is not None
        epochs = read_progress(spec.fold_dir)
        return {
            "wall_s": round(time.monotonic() - started, 1),
            "budget_s": self.budget_s,
            "epochs": result.epochs,
            "epoch_s": round(statistics.median(epoch.seconds for epoch in epochs), 2),
            "batch": result.batch_size,
            "dice": _mean(result.dice_per_class),
            **watch.figures(),
        }

    def plain(self) -> dict[str, Any]:
        """nnU-Net's own trainer on the same plans, cases and fold for the same time."""
        workspace = self.project.workspace
        out = workspace.folder / "plain.json"
        spec = {
            "root": str(workspace.root),
            "project_id": workspace.project_id,
            "fold": 0,
            "class_values": list(self.project.class_values),
            "threads": self.threads,
            "budget_s": self.budget_s,
            "device": self.device.partition(":")[0],
            "out": str(out),
        }
        path = workspace.folder / "plain-spec.json"
        write_json(path, spec)
        environment = {**os.environ, "nnUNet_compile": "false"}
        if self.device == "cpu":
            environment["nnUNet_n_proc_DA"] = "0"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.peers.plain_nnunet", str(path)],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        found = read_json(out)
        return {"dice": _mean(found["dice_per_class"]), "steps": found["steps"]}

    def predict(self, n_images: int) -> dict[str, Any]:
        """A version of 5 folds, all of the weights just trained."""
        workspace = self.project.workspace
        source = workspace.fold_dir("fast", 0)
        for fold in range(1, N_FOLDS):
            shutil.copytree(source, workspace.fold_dir("fast", fold))
        n = self.project.n_channels
        info = VersionInfo(
            "gpu", self.project.class_values, n, self.preset, tuple(range(N_FOLDS)),
            library_versions(),
        )  # fmt: skip
        folder = package_version(workspace, "fast", info)
        images = self._images(n_images)
        ours = FoldPredictor.load(folder, device=self.device, mirroring=True, engine="torch")
        ours.predict(images[0])  # warms up
        started = time.monotonic()
        for _, found in ours.predict_stream(images, lambda image: image):
            found.result().whole()
        seconds = time.monotonic() - started
        theirs = nnUNetPredictor(
            device=torch.device(self.device),
            perform_everything_on_device=self.device != "cpu",
            allow_tqdm=False,
        )
        theirs.initialize_from_trained_model_folder(
            str(folder), tuple(range(N_FOLDS)), "checkpoint_final.pth"
        )
        some = images[: max(2, n_images // 5)]
        _nnunet(theirs, some[0])
        started = time.monotonic()
        for image in some:
            _nnunet(theirs, image)
        their_s = time.monotonic() - started
        cpu = FoldPredictor.load(folder, device="cpu", mirroring=True, engine="torch")
        pairs = [(ours.predict(image), cpu.predict(image)) for image in images[:N_COMPARED]]
        return {
            "images_per_s": round(len(images) / seconds, 1),
            "nnunet_images_per_s": round(len(some) / their_s, 1),
            "cpu_max_abs_diff": round(max(float(np.abs(a - b).max()) for a, b in pairs), 5),
            "cpu_equal_pixels": round(
                float(np.mean([(a.mean(0).argmax(0) == b.mean(0).argmax(0)) for a, b in pairs])), 5
            ),
        }

    def out_of_memory(self, peak_mib: int | None) -> dict[str, Any]:
        """A training that may take half of what it took before, of which its start is a part."""
        preset = replace(self.preset, epochs=1, iterations_per_epoch=5, val_iterations=1)
        spec = self.spec("memory", preset=preset)
        spec.fold_dir.mkdir(parents=True)
        path = spec.fold_dir / SPEC
        write_document(path, FoldSpec, spec)
        share = 1.0
        if self.device != "cpu" and peak_mib:
            total = torch.cuda.get_device_properties(0).total_memory / 2**20
            share = max(0.5 * peak_mib / total, 0.005)
        code = (
            "import sys, torch; from training.nnunet.learning.fold_process import main\n"
            f"if torch.cuda.is_available(): torch.cuda.set_per_process_memory_fraction({share})\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        environment = {**os.environ, "nnUNet_n_proc_DA": "0", "nnUNet_compile": "false"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            return {"share": round(share, 4), "failed": True}
        result = read_document(spec.fold_dir / RESULT, FoldResult)
        return {
            "share": round(share, 4),
            "planned_batch": result.planned_batch_size,
            "batch": result.batch_size,
        }

    def _images(self, n: int) -> list[Image]:
        cases = self.project.cases
        images = [read_case_image(self.project.workspace, cases[i % len(cases)].case_id)
                  for i in range(min(n, len(cases)))]  # fmt: skip
        resized = [np.asarray(cv2.resize(image, (SIDE, SIDE))) for image in images]
        return [resized[i % len(resized)] for i in range(n)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints the figures as one JSON line; 3 without a GPU."""
    options = _parse(arguments)
    if not torch.cuda.is_available() and not options.rehearse:
        print(
            "This machine has no NVIDIA GPU that torch can use; see it work with --rehearse.",
            file=sys.stderr,
        )
        return NO_GPU
    device = "cpu" if options.rehearse else "cuda:0"
    figures: dict[str, Any] = {
        "device": "cpu" if options.rehearse else torch.cuda.get_device_name(0),
        "rehearsal": options.rehearse,
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "seeds": [0],
    }
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data
        if data is None:
            data = Path(scratch) / "trunks"
            write_folder(data, options.cases, seed=5)
        project = write_project(
            data, Path(scratch) / "work", n_folds=N_FOLDS, n_cases=options.cases
        )
        preset = SMALL if options.rehearse else FAST
        threads = 1 if options.rehearse else max(1, (os.cpu_count() or 2) - 2)
        started = time.monotonic()
        project.prepare(preset)
        figures["data"] = data.name
        figures["prepare_s"] = round(time.monotonic() - started, 1)
        bench = Bench(project, device, preset, options.budget, threads)
        for name, work in (
            ("fast", bench.train),
            ("plain_nnunet", bench.plain),
            ("predict", lambda: bench.predict(2 if options.rehearse else N_IMAGES)),
            ("out_of_memory", lambda: bench.out_of_memory(figures["fast"]["peak_memory_mib"])),
        ):
            figures[name] = work()
            print(name, json.dumps(figures[name]), flush=True)
    print(json.dumps(figures))
    return 0


def _nnunet(predictor: nnUNetPredictor, image: Image) -> Any:
    channels = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    return predictor.predict_single_npy_array(
        channels[:, None].astype(np.float32), {"spacing": (999, 1, 1)}, None, None, False
    )


def _mean(dice: Any) -> float:
    return round(mean_over_classes(dice) or 0.0, 4)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with images/ and masks/")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--budget", type=float, default=180.0, help="seconds of each training")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with small networks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
