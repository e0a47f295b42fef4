"""A run in a real store, with cases, films and checkpoints of random weights, as if it trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from backend.pipeline.sync.reading import sync_project
from backend.store.models import FoldRow, TaskRow
from backend.store.tasks import snapshots
from domain.case import ManifestEntry, case_id_of_task
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.quality.pushed import manifest_of
from tests.unit.training.nnunet.inference.versions import dataset, plans
from training.case_files import write_case
from training.folds.film import FilmKeeper
from training.nnunet.architecture import build_network
from training.nnunet.checkpoint import write_checkpoint
from training.nnunet.classes import trainer_class
from training.presets import TINY
from training.versions.manifests import FoldStart, RunManifest, SeenCase

CLASSES = ("lumen", "wall")
LABELLED, UNLABELLED = (1, 2, 3, 4), 11


def add_run(
    app: FakeApp,
    *,
    status: RunStatus = RunStatus.TRAINING,
    number: int = 1,
    n_folds: int = 2,
    label_mapping: dict[str, str] | None = None,
    starts: Sequence[FoldStart] = (),
) -> int:
    """Tasks 1 to 4, held out by fold id % 2, and 11, which nobody has labelled; the run's id."""
    app.change_settings(min_annotations=10_000)
    for task_id in LABELLED:
        if task_id not in app.label_studio.tasks:
            app.label_studio.add_task(task_id)
            app.label_studio.label(task_id, polygon("lumen"), polygon("wall", at=65, size=30))
    app.label_studio.add_task(UNLABELLED)
    sync_project(app.context, PROJECT)
    workspace = app.context.workspace(PROJECT)
    with app.store.begin() as session:
        entries = []
        for task_id in LABELLED:
            task = session.get_one(TaskRow, task_id)
            case_id = case_id_of_task(task_id, task.source)
            [annotation] = snapshots.chosen_of_task(session, task, "latest")
            fold = task_id % max(n_folds, 1)
            entries.append(
                ManifestEntry(
                    case_id, task_id, annotation.id, "x", str(task_id), fold, (), task.source
                )
            )
            png = np.frombuffer(app.label_studio.images[f"/data/upload/{task_id}.png"], np.uint8)
            image = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
            assert image is not None
            label_map = np.zeros(image.shape[:2], np.uint8)
            label_map[8:24, 10:29], label_map[26:38, 31:45] = 1, 2
            write_case(workspace, case_id, np.asarray(image), label_map, n_channels=1)
    made = manifest_of(entries)
    manifest = RunManifest(
        entries=made.entries,
        class_values=CLASSES,
        n_folds=n_folds,
        n_channels=1,
        preset=TINY,
        starts=tuple(starts) or tuple(FoldStart(seed=k) for k in range(n_folds)),
    )
    settings = {"label_mapping": label_mapping or {}}
    run_id = app.add_run(status, number, manifest=manifest, settings=settings)
    with app.store.begin() as session:
        for fold in range(n_folds):
            running = FoldStatus.RUNNING if status == RunStatus.TRAINING else FoldStatus.DONE
            session.add(FoldRow(run_id=run_id, fold=fold, status=running, attempts=1, epochs=9))
    return run_id


def fold_dir(app: FakeApp, fold: int, number: int = 1) -> Path:
    return app.context.workspace(PROJECT).fold_dir(number, fold)


def case_of(app: FakeApp, run_id: int, fold: int) -> str:
    """The first case that a fold holds out."""
    manifest = app.run(run_id).manifest
    assert manifest is not None
    return next(entry.case_id for entry in manifest.entries if entry.fold == fold)


def add_film(app: FakeApp, run_id: int, fold: int, n: int = 3) -> None:
    """Frames of epoch 0, 1, ..., of growing Dice."""
    folder = fold_dir(app, fold, app.run(run_id).number)
    film = FilmKeeper(folder, CLASSES)
    film.begin(app.context.workspace(PROJECT), [case_of(app, run_id, fold)], epoch=0)
    for epoch in range(n):
        label_map = np.zeros((40, 48), np.uint8)
        label_map[8 : 10 + epoch, 10:29] = 1
        film.keep(epoch, label_map, {"lumen": epoch / n, "wall": None})


def add_checkpoint(
    app: FakeApp, fold: int, *, epoch: int, name: str = "checkpoint_latest.pth", number: int = 1
) -> Path:
    """A checkpoint as training writes it, of weights drawn from the epoch."""
    trainer = trainer_class("nnUNetTrainer")
    made = {"plans": plans(), "configuration": "2d", "fold": fold, "dataset_json": dataset()}
    torch.manual_seed(epoch)
    network = build_network(trainer, PlansManager(plans()), dataset())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)
    path = fold_dir(app, fold, number) / name
    write_checkpoint(
        path,
        {
            "network_weights": network.state_dict(),
            "optimizer_state": {"step": torch.ones(3)},
            "grad_scaler_state": None,
            "current_epoch": epoch,
            "init_args": made,
            "inference_allowed_mirroring_axes": (0, 1),
            "nnloop": {"trainer": "nnUNetTrainer", "epochs": 9, "swaps": []},
        },
    )
    return path


def seen_all(app: FakeApp) -> tuple[SeenCase, ...]:
    """Every labelled task, as an ancestor may have been trained on it."""
    with app.store.read() as session:
        rows = [session.get_one(TaskRow, task_id) for task_id in LABELLED]
    return tuple(
        SeenCase(case_id_of_task(row.id, row.source), row.id, row.source, "", str(row.id))
        for row in rows
    )


def set_fold(app: FakeApp, run_id: int, fold: int, status: FoldStatus) -> None:
    with app.store.begin() as session:
        for row in session.query(FoldRow).filter_by(run_id=run_id, fold=fold):
            row.status = status
