"""Versions with folders, as training leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.store.models import PredictionRow, VersionRow
from converters.bookkeeping.files import write_json
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.states import VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import polygon
from training.presets import TINY, Preset
from training.versions.manifests import RunManifest
from training.versions.version_folder import VersionInfo, write_version

WEIGHTS = 1000


def add_version(
    app: FakeApp,
    number: int,
    *,
    classes: tuple[str, ...] = ("lumen", "wall"),
    manifest: RunManifest | None = None,
    folds: tuple[int, ...] = (0,),
    preset: Preset = TINY,
    **fields: Any,
) -> int:
    """A version that serves, its folder and the checkpoints of its run on the disk."""
    workspace = app.context.workspace(PROJECT)
    info = VersionInfo(f"nnloop-v{number}", classes, 1, preset, folds, {"torch": "2"})

    def fill(folder: Path) -> None:
        for fold in folds:
            checkpoint = workspace.fold_dir(number, fold) / "checkpoint_final.pth"
            checkpoint.parent.mkdir(parents=True)
            checkpoint.write_bytes(bytes(WEIGHTS))
            (checkpoint.parent / "train.log").write_text("log")
            (folder / f"fold_{fold}").mkdir()
            (folder / f"fold_{fold}" / "checkpoint_final.pth").hardlink_to(checkpoint)
        write_json(folder / "plans.json", {})
        write_json(folder / "dataset.json", {"labels": {"background": 0}})

    write_version(workspace, info, fill, manifest=manifest or Manifest(()))
    return app.add_version(number, manifest=manifest, size_bytes=WEIGHTS * len(folds), **fields)


def weights(app: FakeApp, number: int) -> Path:
    folder = app.context.workspace(PROJECT).version_dir(f"nnloop-v{number}")
    return folder / "fold_0" / "checkpoint_final.pth"


def set_status(app: FakeApp, version_id: int, status: VersionStatus) -> None:
    with app.store.begin() as session:
        session.get_one(VersionRow, version_id).status = status


def predict(
    app: FakeApp,
    version_id: int,
    *task_ids: int,
    score: Callable[[int], float] = lambda _: 0.5,
) -> None:
    """Predictions of tasks, each with the score that its id is given."""
    with app.store.begin() as session:
        for task_id in task_ids:
            session.add(
                PredictionRow(
                    project_id=PROJECT,
                    task_id=task_id,
                    version_id=version_id,
                    score=score(task_id),
                    result=[polygon()],
                )
            )


def manifest_of(*entries: tuple[int, str, str]) -> RunManifest:
    """Of (task id, content hash, group), the fold by the task's number."""
    rows = tuple(
        ManifestEntry(case_id_of_task(task), task, 100 + task, text, group, task % 2)
        for task, text, group in entries
    )
    manifest = Manifest(rows, class_values=("lumen", "wall"), n_folds=2)
    return run_manifest(manifest)
