"""Whether bfloat16 is harmless and quicker here: ``python -m benchmarks.bfloat16``.

Five small networks are trained on generated images, as for ``benchmarks.predict``; then the same
proof runs that decides for every version (``training.nnunet.inference.proof``): labels, Dice and
ranking of held-out cases in bfloat16 next to float32, and the time of the networks in turns.
``--version DIR`` takes a version in its project's folder instead. Keys: ``cpu`` (what OpenVINO says
it is good at), ``is_passed``, ``network_speedup{name: ratio}`` (processor time of one image of
256 x 256 in one thread, weights at random),
``proof{cases, equal_labels, dice_change, rank_correlation, speedup}``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import openvino
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from active_learning.measures import measure_image
from benchmarks.predict import CLASSES, N_FOLDS, N_TRAINED_ON, train
from converters.bookkeeping.documents import write_document
from domain.case import Manifest, ManifestEntry
from training.nnunet.inference.engines.cpu_engine import CpuEngine
from training.nnunet.inference.engines.openvino_engine import OpenVinoEngine
from training.nnunet.inference.model import Model
from training.nnunet.inference.proof import held_out_cases, measure
from training.nnunet.inference.tiling import Tiling
from training.versions.version_folder import MANIFEST, read_version

NETWORKS = {
    "16 to 256": ((16, 32, 64, 128, 256, 256), 2),
    "nnU-Net's own, 32 to 512": ((32, 64, 128, 256, 512, 512), 2),
}
"""Name -> features and convolutions per stage."""

_SIDE = 256
_TIMES = 6


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="bfloat16 next to float32, on held-out cases.")
    parser.add_argument("--version", type=Path, help="a version in its project's folder")
    parser.add_argument("--epochs", type=int, default=12, help="of the networks that are trained")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.version or _trained(Path(scratch), given.epochs, given.threads)
        model = Model.load(folder, folds=None, device="cpu", engine="openvino")
        assert isinstance(model.engine, CpuEngine)
        # The first image waits until OpenVINO has shown itself equal to torch.
        cases = held_out_cases(folder)
        pixels = model.preparation.prepare(cases[0].image).pixels[None]
        model.engine.start(pixels, model.folds, Tiling(model.patch_hw, 1.0, ()))()
        active = model.engine.active
        candidate = active.in_bfloat16() if isinstance(active, OpenVinoEngine) else None
        proof = None
        if candidate is not None:
            proof = measure(
                model.preparation,
                cases,
                lambda maps: measure_image([maps]).soft_dice,
                (active, candidate),
                model.folds,
            )
        figures = {
            "cpu": openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
            "proof": proof and {k: round(v, 6) for k, v in asdict(proof).items()},
            "network_speedup": {name: _speedup(*of) for name, of in NETWORKS.items()},
            "is_passed": bool(proof and proof.is_passed),
            "settings": {
                "preset": read_version(folder).preset.name,
                "epochs": given.epochs,
                "threads": given.threads,
                "load": round(os.getloadavg()[0], 1),
            },
        }
    print(json.dumps(figures))


def _speedup(features: Sequence[int], n_conv: int) -> float:
    """Of one network, both precisions in turns."""
    torch.manual_seed(0)
    n = len(features)
    network = PlainConvUNet(
        input_channels=1,
        n_stages=n,
        features_per_stage=list(features),
        conv_op=torch.nn.Conv2d,
        kernel_sizes=3,
        strides=[1] + [2] * (n - 1),
        n_conv_per_stage=n_conv,
        num_classes=3,
        n_conv_per_stage_decoder=n_conv,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()
    engine = OpenVinoEngine({0: network}, n_channels=1, patch_hw=(_SIDE, _SIDE), threads=1)
    other = engine.in_bfloat16()
    if other is None:
        return 1.0
    pixels = np.random.default_rng(0).normal(size=(1, 1, _SIDE, _SIDE)).astype(np.float32)
    taken: list[list[float]] = [[], []]
    for _ in range(_TIMES):
        for one, times in zip((engine, other), taken, strict=True):
            started = time.process_time()
            one.start(pixels, (0,), Tiling((_SIDE, _SIDE), 1.0, ()))()
            times.append(time.process_time() - started)
    return round(min(taken[0]) / min(taken[1]), 2)


def _trained(root: Path, epochs: int, threads: int) -> Path:
    folder = train(root, epochs, threads)
    entries = tuple(
        ManifestEntry(f"task_{i}", i, i, "", f"task_{i}", i % N_FOLDS) for i in range(N_TRAINED_ON)
    )
    manifest = Manifest(entries, class_values=CLASSES, n_folds=N_FOLDS)
    write_document(folder / MANIFEST, Manifest, manifest)
    return folder


if __name__ == "__main__":
    main()
