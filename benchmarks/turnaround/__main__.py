"""From the 20th label to better polygons: ``python -m benchmarks.turnaround``.

The demo's project with 200 generated images: 12 are labelled, a first version is trained and scores
the others; 8 more are labelled, those with the lowest score. From the last of them on it is timed
when the second version's polygons come. Redis, web service, workers and training are the product's
own processes; Label Studio's calls are answered from memory (``studio.py``), so that no server is
in the way. Times are seconds of wall clock after the 20th label.

- ``stages``: of the second run: ``wait`` until it starts (hint, debounce, reading), then
  ``prepare``, ``train``, ``evaluate``, ``score``, ``publish``.
- ``first_s``, ``first_50_s``, ``all_s``: until 1, 50 and all of the second version's predictions
  are in Label Studio and shown; None where the gate has refused it.
- ``oof_dice``: of the second version on held-out cases, mean over classes.
- ``folds``: epochs and Dice of each. ``labels_s``: until all of the first version's were there,
  after its last label.
- ``cpu_s``: processor time of everything that ran, for both versions: other programs on the machine
  disturb it less than the times above. ``load`` says how many processes wanted a core at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import SecretStr

from backend.demo.annotator import annotate
from backend.demo.figures import STAGES
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.options import DEFAULT_SEED
from backend.demo.ultrasound import Sample, generate
from backend.pipeline.basis.context import AppContext
from backend.pipeline.connection.connect import connect
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport, project_report
from backend.settings import Settings
from backend.stack import service
from benchmarks.turnaround.studio import KEY, PROJECT, Studio, StudioServer
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from training.devices import usable_cores

N_IMAGES = 200
FIRST, MORE = 12, 8
CORES = 2
RUN_S = 1800.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="From the 20th label to better polygons.")
    parser.add_argument("--images", type=int, default=N_IMAGES)
    parser.add_argument("--cores", type=int, default=CORES)
    parser.add_argument("--budget", type=float, help="seconds a training may take")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    given = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        # What is started from here on runs on these cores.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    with tempfile.TemporaryDirectory(prefix="nnloop-turnaround-") as folder:
        figures = measure(Path(folder), given.images, given.seed, given.budget)
    # All are over and waited for, each by the one that started it.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures["cpu_s"] = round(used.ru_utime + used.ru_stime, 1)
    print(json.dumps({**figures, **_machine(), "seed": given.seed}))


def measure(folder: Path, n_images: int, seed: int, budget_s: float | None) -> dict[str, Any]:
    """Two versions of the demo's project."""
    print(f"Drawing {n_images} images ...", flush=True)
    samples = [generate(i, seed) for i in range(n_images)]
    studio = Studio(LABEL_CONFIG, [_png(sample) for sample in samples])
    server = StudioServer(studio)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = Settings.load(data_dir=folder, port=0).model_copy(
        update={"label_studio_url": server.url, "label_studio_api_key": SecretStr(KEY)}
    )
    with service.running(settings) as (_, ready):
        context = AppContext.open(ready)
        overrides = {
            "min_annotations": FIRST,
            "retrain_after": MORE,
            "min_region_area_px": 300,
            "budget_s": budget_s,
            # Whatever the second version came to, it is timed until its polygons are there.
            "gate_margin": 1.0,
        }
        connect(context, PROJECT, overrides)
        hand = _Hand(studio, samples, seed)
        first = hand.label(range(1, FIRST + 1))
        _follow(context, 1)
        _print_version("first version", studio, "nnloop-v1", first)
        last = hand.label(studio.lowest_scores(MORE))
        report, run = _follow(context, 2)
        found = _figures(studio, report, run, last)
        found["labels_s"] = round(studio.pushed["nnloop-v1"][-1] - first, 1)
        context.store.close()
    server.shutdown()
    return found


class _Hand:
    """Labels tasks, and reports each as Label Studio's webhook does."""

    def __init__(self, studio: Studio, samples: Sequence[Sample], seed: int) -> None:
        self._studio, self._samples, self._seed = studio, samples, seed
        self._config = parse_label_config(LABEL_CONFIG)

    def label(self, task_ids: Sequence[int]) -> float:
        """Labels tasks within a second or two; returns when the last one was submitted."""
        for task_id in task_ids:
            truth = self._samples[task_id - 1].truth
            regions = annotate(truth, np.random.default_rng([self._seed, task_id]))
            size_hw = (int(truth.shape[0]), int(truth.shape[1]))
            result = regions_to_result(regions, self._config, size_hw, is_prediction=False)
            self._studio.annotate(task_id, result)
            self._report(task_id)
        return time.monotonic()

    def _report(self, task_id: int) -> None:
        webhook = self._studio.webhook
        event = {
            "action": "ANNOTATION_CREATED",
            "project": {"id": PROJECT},
            "task": {"id": task_id},
            "annotation": {"id": 1, "task": task_id},
        }
        request = urllib.request.Request(
            webhook["url"],
            json.dumps(event).encode(),
            {**webhook["headers"], "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass


def _follow(context: AppContext, number: int) -> tuple[ProjectReport, RunReport]:
    deadline = time.monotonic() + RUN_S
    told = ""
    while time.monotonic() < deadline:
        report = project_report(context, PROJECT)
        run = next((run for run in report.runs if run.number == number), None)
        if run is not None and run.status != told:
            told = run.status
            print(f"run {number}: {told}", flush=True)
        if run is not None and run.status.is_final:
            if run.error:
                raise SystemExit(f"Run {number} {run.status}: {run.error}")
            return report, run
        time.sleep(0.5)
    raise SystemExit(f"Run {number} is not over after {RUN_S:.0f} s.")


def _figures(studio: Studio, report: ProjectReport, run: RunReport, last: float) -> dict[str, Any]:
    version = next(version for version in report.versions if version.run == run.number)
    pushed = studio.pushed.get(version.name, [])
    shown = studio.shown.get(version.name, 0.0)
    seconds = {name: round(run.seconds.get(stage, 0.0), 1) for name, stage in STAGES.items()}
    started_after = run.created_at - (time.time() - (time.monotonic() - last))
    dice = [value for value in version.oof_dice.values() if value is not None]

    def after(count: int) -> float | None:
        if not 0 < count <= len(pushed):
            return None
        return round(max(pushed[count - 1], shown) - last, 1)

    return {
        "stages": {"wait": round(started_after, 1), **seconds},
        "first_s": after(1),
        "first_50_s": after(50),
        "all_s": after(len(pushed)),
        "oof_dice": round(float(np.mean(dice)), 4) if dice else None,
        "n_pushed": len(pushed),
        "held": studio.versions_held(),
        "folds": [
            {"epochs": fold.epoch, "dice": fold.case_dice and round(fold.case_dice, 4)}
            for fold in run.folds
        ],
    }


def _print_version(title: str, studio: Studio, name: str, since: float) -> None:
    times = [at - since for at in studio.pushed.get(name, [])]
    if times:
        print(f"{title}: pushed {times[0]:.1f} to {times[-1]:.1f} s after its last label")


def _machine() -> dict[str, Any]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cores": usable_cores(), "machine": platform.machine(), "load": load}


def _png(sample: Sample) -> bytes:
    return bytes(cv2.imencode(".png", sample.image)[1])


if __name__ == "__main__":
    main()
