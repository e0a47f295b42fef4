"""Committees: the product's own training on a labelled set, kept on disk by what made them."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from backend.replay.images.library import PROJECT, Library, LibraryCase
from converters.bookkeeping.documents import read_document, write_document
from converters.bookkeeping.files import link_or_copy
from domain.errors import CaseError, TrainingError
from domain.hashing import content_hash
from training.case_files import CaseFiles
from training.folds.runner import run_fold
from training.folds.seeds import fold_seed
from training.folds.slots import Slots
from training.folds.spec import FoldResult, FoldSpec
from training.folds.splits import choose_folds
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.presets import Preset
from training.versions.version_folder import (
    VersionInfo,
    library_versions,
    package_version,
)
from training.workspace import Workspace

TRAINING = "training.json"
VERSION = "committee"
_RUN = "1"
_KEY_LETTERS = 20

_preparing = threading.Lock()
"""nnU-Net finds its folders by variables of the process: one data set is prepared at a time."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a committee follows from.

    Attributes:
        library: Whose classes and channels.
        labelled: What it is trained on, at least 1.
        preset: Its ``n_folds`` networks.
        seed: Of the replay.
    """

    library: Library
    labelled: tuple[LibraryCase, ...]
    preset: Preset
    seed: int

    @property
    def key(self) -> str:
        """Name of its folder: by the contents of what it is trained on, whoever chose them."""
        rows = sorted([case.case_id, case.group, case.content_hash] for case in self.labelled)
        preset = asdict(self.preset)
        of_library = [list(self.library.class_values), self.library.n_channels]
        return content_hash([rows, of_library, preset, self.seed])[:_KEY_LETTERS]

    def folds(self) -> dict[str, int]:
        """Case id -> fold, by the hashes of the groups, as in a project."""
        groups = {case.case_id: case.group for case in self.labelled}
        chosen = choose_folds({}, groups.values(), self.preset.n_folds)
        return {case_id: chosen.folds[group] for case_id, group in groups.items()}


@dataclass(frozen=True, slots=True)
class Training:
    """What training a committee took: training.json.

    ``steps`` are those of each network, ``seconds`` the wall-clock ones of all, preparation
    included.
    """

    n_labelled: int
    n_folds: int
    steps: int
    seconds: float


class Committees:
    """Trains committees, each once, below a folder."""

    def __init__(self, root: Path, files: dict[str, CaseFiles], slots: Slots) -> None:
        """Nothing is trained yet.

        Args:
            root: Where they are kept.
            files: Of the library's cases, by id.
            slots: Where to train.
        """
        self._root, self._files, self._slots = root, files, slots
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def folder(self, recipe: Recipe) -> Path:
        """Where a committee and what is known of it lie."""
        return self._root / recipe.key

    @contextlib.contextmanager
    def alone(self, recipe: Recipe) -> Iterator[None]:
        """Nobody else works on this committee meanwhile."""
        with self._guard:
            lock = self._locks.setdefault(recipe.key, threading.Lock())
        with lock:
            yield

    def trained(self, recipe: Recipe) -> Path:
        """The packaged networks of a committee, trained where they are not there.

        What was interrupted goes on from its last epoch.

        Raises:
            TrainingError: A training failed, or there is nothing to train on.
        """
        folder = self.folder(recipe)
        place = Workspace(folder, PROJECT)
        version_dir = place.version_dir(VERSION)
        if not any(version_dir.glob("fold_*/*.pth")):
            shutil.rmtree(version_dir, ignore_errors=True)
            started = time.monotonic()
            results = self._train(recipe, place)
            folds = tuple(result.fold for result in results)
            info = VersionInfo(
                VERSION,
                recipe.library.class_values,
                recipe.library.n_channels,
                recipe.preset,
                folds,
                library_versions(),
            )
            package_version(place, _RUN, info)
            seconds = time.monotonic() - started
            training = Training(len(recipe.labelled), len(folds), results[0].steps, seconds)
            write_document(folder / TRAINING, Training, training)
        for scratch in (place.raw_root, place.preprocessed_root, place.run_dir(_RUN)):
            shutil.rmtree(scratch, ignore_errors=True)
        return version_dir

    def training(self, recipe: Recipe) -> Training | None:
        """What it took; None where it was not trained."""
        path = self.folder(recipe) / TRAINING
        return read_document(path, Training) if path.exists() else None

    def forget_weights(self, recipe: Recipe) -> None:
        """Frees the room of its networks; what was measured stays."""
        shutil.rmtree(Workspace(self.folder(recipe), PROJECT).folder, ignore_errors=True)

    def _train(self, recipe: Recipe, place: Workspace) -> list[FoldResult]:
        prepared = self._prepared(recipe, place)
        holds_out = len(prepared.held_out) > 1
        specs = [
            FoldSpec(
                workspace_root=str(place.root),
                project_id=PROJECT,
                run=_RUN,
                fold=fold,
                class_values=recipe.library.class_values,
                preset=recipe.preset,
                seed=fold_seed(recipe.seed, len(recipe.labelled), fold),
                holds_out=holds_out,
            )
            for fold in prepared.folds
        ]
        with ThreadPoolExecutor(len(specs)) as pool:
            return list(pool.map(self._run, specs))

    def _prepared(self, recipe: Recipe, place: Workspace) -> PreparedDataset:
        """The data set; what can't be trained on is left out, as in a project."""
        spec = DatasetSpec(recipe.library.class_values, recipe.library.n_channels, recipe.preset)
        used = recipe
        while True:
            cases = [self._linked(place, case.case_id) for case in used.labelled]
            try:
                with _preparing:
                    return prepare(place, cases, used.folds(), spec)
            except CaseError as error:
                kept = tuple(c for c in used.labelled if c.case_id not in error.faults)
                if not kept:
                    raise
                used = replace(used, labelled=kept)

    def _run(self, spec: FoldSpec) -> FoldResult:
        with self._slots.one() as (device, forks):
            placed = replace(spec, device=device.name, threads=device.threads)
            result = run_fold(placed, lambda _: None, lambda: False, forks=forks)
        if result is None:
            raise TrainingError(
                f"The training of fold {spec.fold} was stopped.", remedy="Call it again."
            )
        return result

    def _linked(self, place: Workspace, case_id: str) -> CaseFiles:
        """The case's files in a workspace, without a copy."""
        files = self._files[case_id]
        images = tuple(place.image_png(case_id, number) for number in range(len(files.image_pngs)))
        for source, target in zip(files.image_pngs, images, strict=True):
            link_or_copy(source, target)
        label = place.label_png(case_id)
        link_or_copy(files.label_png, label)
        return CaseFiles(case_id, images, label, files.content_hash)
