"""Seconds of a core, memory and size of a large project's report: ``python -m benchmarks.report``.

A made-up store: 50,000 tasks, a tenth of them labelled, 40 classes of which an image shows ten, 20
versions that held out up to all labels, a prediction of each unlabelled task, 2,000 corrections of
half of which chance drew the task, 2,000 open problems. Without pictures of cases: these take what
fetching and predicting a dozen images takes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from active_learning.measures import ImageMeasures
from backend.pipeline.basis.context import AppContext
from backend.queue import JobQueue
from backend.report import html
from backend.report.cases.chosen import least_sure, worst_cases
from backend.report.cases.examined import Examined
from backend.report.figures import figures_of
from backend.report.section import Table
from backend.report.write import N_CASES, sections_of, subtitle_of
from backend.settings import Settings
from backend.store import Store, projects
from backend.store.models import (
    AnnotationRow,
    FoldRow,
    PredictionRow,
    ProblemRow,
    ProjectRow,
    RunRow,
    TaskRow,
    VersionRow,
)
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks.queues import QueueEntryRow
from backend.store.training import versions
from domain.case import ManifestEntry
from domain.queues import QueueArm, QueueExit
from domain.states import RunStatus, TaskState
from training.evaluation import DicePerCase, mean_over_cases
from training.evaluation.soft_dice import ExpectedDice
from training.folds.spec import FoldResult
from training.presets import TINY
from training.versions.manifests import FoldStart, RunManifest
from training.versions.metrics import VersionMetrics

T = TypeVar("T")

PROJECT = 1
SEED = 0
_FOLDS, _SHOWN, _FEWEST = 5, 10, 20
_CORRECTIONS = _PROBLEMS = 2_000
_BOX = [[10, 10], [60, 10], [60, 60], [10, 60]]


def made_up_store(folder: Path, n_tasks: int, n_classes: int, n_versions: int) -> None:
    """Makes the store of a large project in a data folder; everything in it is made up."""
    rng = np.random.default_rng(SEED)
    names = [f"class {k:02d}" for k in range(n_classes)]
    config = "".join(f'<Label value="{name}"/>' for name in names)
    store = Store(f"sqlite:///{folder / 'nnloop.db'}", folder)
    store.migrate()
    n_labels = n_tasks // 10
    with store.begin() as session:
        session.add(
            ProjectRow(
                id=PROJECT,
                title="Large",
                synced_at=time.time(),
                label_config='<View><Image name="image" value="$image"/><PolygonLabels name="label"'
                f' toName="image">{config}</PolygonLabels></View>',
            )
        )
        session.flush()
        _add_tasks(session, n_tasks, n_labels)
        counts = np.geomspace(min(_FEWEST, n_labels), n_labels, n_versions).astype(int)
        for number, n in enumerate(counts.tolist(), start=1):
            last = _add_version(session, number, n, names, rng)
        _add_predictions(session, last, range(n_labels + 1, n_tasks + 1), rng)
        _add_corrections(session, last, min(_CORRECTIONS, n_labels), rng)
        texts = [f"Image {k} is missing." for k in range(_PROBLEMS)]
        many = [{**_MINE, "task_id": k + 1, "stage": "score", "reason": "image", "message": text}
                for k, text in enumerate(texts)]  # fmt: skip
        session.execute(insert(ProblemRow), many)
    store.close()


_MINE = {"project_id": PROJECT}


def _add_tasks(session: Session, n: int, n_labels: int) -> None:
    tasks = [
        {
            **_MINE,
            "id": i,
            "data": {"image": f"/data/upload/{i}.png"},
            "state": TaskState.LABELLED if i <= n_labels else TaskState.UNLABELLED,
        }
        for i in range(1, n + 1)
    ]
    session.execute(insert(TaskRow), tasks)
    value = {"points": _BOX, "closed": True, "polygonlabels": ["class 00"]}
    region = {"type": "polygonlabels", "from_name": "label", "to_name": "image", "value": value}
    labels = [
        {**_MINE, "id": i, "task_id": i, "result": [region] * _SHOWN, "content_hash": f"{i:064d}"}
        for i in range(1, n_labels + 1)
    ]
    session.execute(insert(AnnotationRow), labels)


def _add_version(
    session: Session, number: int, n: int, names: Sequence[str], rng: np.random.Generator
) -> int:
    entries = tuple(
        ManifestEntry(f"task_{i:08d}", i, i, f"{i:064d}", str(i), i % _FOLDS)
        for i in range(1, n + 1)
    )
    easy = np.linspace(0.0, 0.3, len(names))
    per_case: DicePerCase = {}
    for entry in entries:
        shown = rng.choice(len(names), min(_SHOWN, len(names)), replace=False)
        dice = np.clip(rng.normal(0.65 - n**-0.4 + easy[shown], 0.1), 0, 1)
        per_case[entry.case_id] = {
            names[k]: value for k, value in zip(shown.tolist(), dice.tolist(), strict=True)
        }
    manifest = RunManifest(
        entries, (), tuple(names), _FOLDS, n_channels=1, label_mapping={}, group_key="",
        preset=TINY, starts=tuple(FoldStart(seed=fold) for fold in range(_FOLDS)),
    )  # fmt: skip
    run = RunRow(project_id=PROJECT, number=number, status=RunStatus.DONE, manifest=manifest)
    session.add(run)
    session.flush()
    version = VersionRow(
        project_id=PROJECT,
        run_id=run.id,
        name=f"nnloop-v{number}",
        path=f"versions/{number}",
        metrics=VersionMetrics(
            labels=n, oof_dice=mean_over_cases(per_case), dice_per_case=per_case
        ),
    )
    session.add(version)
    for fold in range(_FOLDS):
        session.add(FoldRow(run_id=run.id, fold=fold, result=_fold_result(fold, entries, rng)))
    session.flush()
    versions.promote(session, version)
    return version.id


def _fold_result(
    fold: int, entries: Sequence[ManifestEntry], rng: np.random.Generator
) -> FoldResult:
    mine = [entry.case_id for entry in entries if entry.fold == fold]
    expected = rng.uniform(0.5, 1.0, len(mine)).tolist()
    return FoldResult(
        fold=fold, epochs=1, steps=50, dice_per_case={}, dice_per_class={}, seconds=1.0,
        device="cpu", warm_started=False, stopped="", batch_size=2, planned_batch_size=2,
        expected={
            case_id: ExpectedDice(one, False) for case_id, one in zip(mine, expected, strict=True)
        },
    )  # fmt: skip


def _add_predictions(
    session: Session, version_id: int, task_ids: Sequence[int], rng: np.random.Generator
) -> None:
    value = {"points": _BOX, "closed": True, "polygonlabels": ["class 00"]}
    regions = [{"id": str(k), "type": "polygonlabels", "value": value} for k in range(_SHOWN)]
    rows = [
        {**_MINE, "task_id": i, "version_id": version_id, "score": score, "result": regions}
        for i, score in zip(task_ids, rng.random(len(task_ids)).tolist(), strict=True)
    ]
    session.execute(insert(PredictionRow), rows)


def _add_corrections(session: Session, version_id: int, n: int, rng: np.random.Generator) -> None:
    measures = ImageMeasures(5, 0.8, 0.8, 0.1, 0.2, 0.01, 0.02)
    pairs, drawn = [], []
    for i, (score, dice) in enumerate(rng.uniform(0.5, 1.0, (n, 2)).tolist(), start=1):
        mine = {**_MINE, "task_id": i, "version_id": version_id, "source": ""}
        told = {"score": score, "score_low": score - 0.2, "score_high": score + 0.2}
        pairs.append({**mine, **told, "dice": dice, "measures": measures})
        arm = QueueArm.CONTROL if i % 2 else QueueArm.STRATEGY
        left = {"exit": QueueExit.LABELLED, "left_at": float(i)}
        why = {"arm": arm, "strategy": "lowest_score", "batch": i // 20, "annotator_id": i % 7}
        drawn.append({**mine, **why, **left})
    session.execute(insert(HonestPairRow), pairs)
    session.execute(insert(QueueEntryRow), drawn)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--out", type=Path, help="where the page is kept; by default it is not")
    options = parser.parse_args(arguments)
    sizes = (options.tasks, options.classes, options.versions)
    with tempfile.TemporaryDirectory(prefix="nnloop-") as folder:
        # In a process of its own: memory that it takes is not the report's.
        made = multiprocessing.get_context("spawn").Process(
            target=made_up_store, args=(Path(folder), *sizes)
        )
        made.start()
        made.join()
        if made.exitcode:
            raise SystemExit(made.exitcode)
        found = _measured(Path(folder), options.out)
    found |= dict(zip(("tasks", "classes", "versions"), sizes, strict=True))
    found["seed"] = SEED
    found["machine"] = f"{os.cpu_count()} cores, {platform.machine()}"
    found["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(found))


def _measured(data_dir: Path, out: Path | None) -> dict[str, Any]:
    settings = Settings.load(data_dir=data_dir, database_url="", redis_url="")
    context = AppContext(settings, Store(settings.store_url, data_dir), JobQueue(""))
    found: dict[str, Any] = {}
    before = _peak_mib()
    figures, found["figures_cpu_s"] = _timed(lambda: figures_of(context, PROJECT))
    chosen, found["cases_cpu_s"] = _timed(lambda: _chosen(context))
    name = figures.serving.name if figures.serving else ""
    sections, found["sections_cpu_s"] = _timed(lambda: sections_of(figures, Examined(name)))
    text, found["page_cpu_s"] = _timed(
        lambda: html.page(figures.title, subtitle_of(figures), sections)
    )
    found["peak_grew_mib"] = _peak_mib() - before
    found["page_kib"] = len(text.encode()) // 1024
    found["longest_table_rows"] = max(
        len(block.rows) for one in sections for block in one.blocks if isinstance(block, Table)
    )
    found["cases_chosen"] = chosen
    context.store.close()
    if out:
        out.write_text(text)
    return found


def _chosen(context: AppContext) -> int:
    """The cases whose pictures would be drawn; how many there are."""
    with context.store.read() as session:
        version = versions.champion(session, PROJECT)
        if version is None:
            return 0
        worst, _ = worst_cases(session, projects.get(session, PROJECT), version, N_CASES)
        return len(worst) + len(least_sure(session, version, N_CASES // 2))


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    value = work()
    return value, round(time.process_time() - started, 2)


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
