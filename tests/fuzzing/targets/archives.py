"""Zips that people give: models, backups; and arrays in them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from functools import cache
from typing import Any

from backend.backup.contents import Contents, Member
from backend.backup.read import verify_backup
from backend.replay.images.embeddings import read_embeddings
from backend.replay.images.library import Library
from backend.store.upgrade import known_revisions
from domain.errors import NnloopError
from tests.fuzzing import scratch, small
from tests.fuzzing.target import Target
from tests.unit.training.archive.zips import DATASET, PLANS, entries
from training.archive.foreign_plans import read_foreign, unpack_foreign
from training.archive.unpack import list_models
from training.versions.keep_largest import read_postprocessing


def _model(data: bytes) -> None:
    with scratch.folder() as folder:
        path = scratch.written(folder / "model.zip", data)
        for number, model in enumerate(list_models(path)):
            into = folder / str(number)
            into.mkdir()
            try:
                unpack_foreign(path, model, into)
            except NnloopError as error:
                error.in_full.encode()
            assert {one.name for one in into.iterdir()} <= {
                "plans.json",
                "dataset.json",
                *(f"fold_{fold}.pth" for fold in model.folds),
            }
        assert {one.name for one in folder.parent.iterdir()} == {folder.name}


def _plans(data: bytes, name: str) -> None:
    with scratch.folder() as folder:
        for other, value in (("plans.json", PLANS), ("dataset.json", DATASET)):
            scratch.written(folder / other, small.packed_json(value))
        scratch.written(folder / name, data)
        read_foreign(folder, "2d")


def _backup(data: bytes) -> None:
    with scratch.folder() as folder:
        verify_backup(scratch.written(folder / "backup.zip", data))


@cache
def _store() -> bytes:
    """A store without rows, of the newest revision."""
    from backend.store import Store

    with scratch.folder() as folder:
        store = Store(f"sqlite:///{folder / 'nnloop.db'}", folder)
        store.migrate()
        store.close()
        with sqlite3.connect(folder / "nnloop.db") as opened:
            opened.execute("PRAGMA journal_mode=DELETE")
            (revision,) = opened.execute("SELECT version_num FROM alembic_version").fetchone()
        opened.close()
        assert revision in known_revisions()
        return (folder / "nnloop.db").read_bytes()


def _contents(files: dict[str, bytes]) -> Contents:
    members = {
        name: Member(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    }
    return Contents("0.2.0", 1.0, "0001", {"projects": 0}, False, members)


def _whole_backup() -> bytes:
    files = {"nnloop.db": _store(), "settings.json": b"{}", "projects/1/plans/x.json": b"{}"}
    return small.zipped({**files, "backup.json": _contents(files).to_json()})


def _arrays() -> bytes:
    import io

    import numpy as np

    out = io.BytesIO()
    np.savez(out, hashes=["a", "b"], vectors=np.zeros((2, 3), np.float32))
    return out.getvalue()


def _embeddings(data: bytes) -> None:
    library: Any = Library.__new__(Library)
    object.__setattr__(library, "cases", ())
    with scratch.folder() as folder:
        scratch.written(folder / "embeddings.npz", data)
        read_embeddings(folder, library)


def _postprocessing(data: bytes) -> None:
    with scratch.folder() as folder:
        scratch.written(folder / "postprocessing.json", data)
        read_postprocessing(folder)


TARGETS = (
    Target("model_zip", lambda: [small.zipped(entries())], _model),
    Target("plans_json", lambda: [json.dumps(PLANS).encode()], lambda d: _plans(d, "plans.json")),
    Target(
        "model_dataset_json",
        lambda: [json.dumps(DATASET).encode()],
        lambda d: _plans(d, "dataset.json"),
    ),
    Target("backup_zip", lambda: [_whole_backup()], _backup),
    Target(
        "backup_json",
        lambda: [_contents({"nnloop.db": b"x"}).to_json()],
        lambda data: Contents.from_json(data),
    ),
    Target("embeddings_npz", lambda: [_arrays()], _embeddings),
    Target(
        "postprocessing_json",
        lambda: [
            json.dumps(
                {
                    "postprocessing_fns": ["remove_all_but_largest_component_from_segmentation"],
                    "postprocessing_kwargs": [{"labels_or_regions": [1]}],
                }
            ).encode()
        ],
        _postprocessing,
    ),
)
