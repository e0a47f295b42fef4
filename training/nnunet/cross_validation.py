"""nnU-Net's find_best_configuration over the finished folds of a run: its postprocessing."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.evaluation import evaluate_predictions
from nnunetv2.evaluation.find_best_configuration import find_best_configuration
from nnunetv2.postprocessing import remove_connected_components

from converters.bookkeeping.files import link_or_copy, read_json, write_json
from converters.classes.dataset_unions import IGNORE
from converters.images.image_pixels import write_png
from training.case_files import read_image
from training.evaluation import DicePerCase, named_dice
from training.folds.spec import VALIDATION
from training.nnunet.data.plans_made_elsewhere import PLANS_NAME
from training.nnunet.environment import nnunet_roots
from training.nnunet.inference.postprocessing import apply_postprocessing
from training.versions.keep_largest import FoundSteps, KeepLargest, read_postprocessing
from training.versions.version_folder import (
    CONFIGURATION,
    DATASET,
    PLANS,
    POSTPROCESSING,
    POSTPROCESSING_PKL,
)
from training.workspace import Workspace

_TRAINER = "nnUNetTrainer"
"""In the name of a folder only, whatever the trainer was."""
_FOLD = 0


def find_postprocessing(
    workspace: Workspace,
    run: str | int,
    folds: Sequence[int],
    class_values: Sequence[str],
    *,
    beat: Callable[[], None] = lambda: None,
) -> FoundSteps:
    """Lets nnU-Net decide on the held-out label maps of all folds.

    A step is kept when it raises Dice over all cases; the first step must lower it for no class.
    nnU-Net's own function decides, on a folder in its layout made of links; its pools, which take
    longer to start than the work takes, are replaced by a loop. postprocessing.json and .pkl
    are left in the run's folder, where ``package_version`` finds them. Can be repeated.

    Args:
        workspace: The project.
        run: The run; its folds were trained with ``Preset.postprocess`` and hold cases out.
        folds: At least 1.
        class_values: Class names in integer order, background left out.
        beat: Called for every label map; what it raises ends the call.
    """
    first = workspace.fold_dir(run, folds[0])
    label_maps = {
        path.stem: path
        for fold in folds
        for path in sorted((workspace.fold_dir(run, fold) / VALIDATION).glob("*.png"))
    }
    return postprocessing_of_label_maps(
        workspace, label_maps, first, workspace.run_dir(run), class_values, beat=beat
    )


def postprocessing_of_label_maps(
    workspace: Workspace,
    label_maps: Mapping[str, Path],
    model_dir: Path,
    out: Path,
    class_values: Sequence[str],
    *,
    beat: Callable[[], None] = lambda: None,
) -> FoundSteps:
    """As ``find_postprocessing``, on label maps wherever they come from.

    Args:
        workspace: The project; it has the truth of the cases.
        label_maps: Case id -> its label map (height, width) uint8, by networks that have not seen
            the case; at least 1.
        model_dir: Holds plans.json and dataset.json of a model that predicts these classes.
        out: Folder for postprocessing.json and .pkl.
        class_values: Class names in integer order, background left out.
        beat: Called for every label map; what it raises ends the call.
    """
    integers = _integers(workspace, label_maps)
    # Of the label maps, not of the model: it may be older than the ignored pixels.
    ignored = len(class_values) + 1
    if not integers - {ignored}:
        # Nothing to count: nnU-Net would fail on it.
        return FoundSteps((), _dice(workspace, label_maps, (), class_values, beat))
    with tempfile.TemporaryDirectory(dir=out, prefix=".crossval-") as name:
        root = Path(name)
        _lay_out(workspace, label_maps, model_dir, root, integers, ignored, class_values)
        with (
            nnunet_roots(root / "raw", root / "preprocessed", root / "results"),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
            _without_pools(beat),
        ):
            # A class that no case shows has no mean.
            warnings.simplefilter("ignore", RuntimeWarning)
            found = find_best_configuration(
                workspace.dataset_name,
                ({"plans": PLANS_NAME, "configuration": CONFIGURATION, "trainer": _TRAINER},),
                allow_ensembling=False,
                num_processes=1,
                folds=(_FOLD,),
            )
        pickled = Path(found["best_model_or_ensemble"]["postprocessing_file"])
        for file in (POSTPROCESSING_PKL, POSTPROCESSING):
            link_or_copy(pickled.with_name(file), out / file)
    steps = read_postprocessing(out)
    return FoundSteps(steps, _dice(workspace, label_maps, steps, class_values, beat))


def _dice(
    workspace: Workspace,
    label_maps: Mapping[str, Path],
    steps: tuple[KeepLargest, ...],
    class_values: Sequence[str],
    beat: Callable[[], None],
) -> DicePerCase:
    dice: DicePerCase = {}
    for case_id, path in label_maps.items():
        beat()
        truth = read_image(workspace.label_png(case_id))
        dice[case_id] = named_dice(
            apply_postprocessing(read_image(path), steps), truth, class_values
        )
    return dice


def _integers(workspace: Workspace, label_maps: Mapping[str, Path]) -> set[int]:
    """What any case shows, in truth or prediction; without background."""
    found: set[int] = set()
    for case_id, path in label_maps.items():
        for label_map in (path, workspace.label_png(case_id)):
            found.update(np.unique(read_image(label_map)).tolist())
    return found - {0}


def _lay_out(
    workspace: Workspace,
    label_maps: Mapping[str, Path],
    model_dir: Path,
    root: Path,
    integers: set[int],
    ignored: int,
    class_values: Sequence[str],
) -> None:
    """Links what nnU-Net wants to find, all in one fold: its decision is over all cases.

    Its dataset.json is of the classes in ``integers`` alone. With one that no case shows nnU-Net's
    mean over the classes would be NaN, and it finds no best model then. nnU-Net wants ignored
    pixels to have the integer after the highest class, here of those alone.
    """
    dataset = root / "preprocessed" / workspace.dataset_name
    model = root / "results" / workspace.dataset_name
    model /= f"{_TRAINER}__{PLANS_NAME}__{CONFIGURATION}"
    link_or_copy(model_dir / PLANS, model / PLANS)
    value: dict[str, Any] = read_json(model_dir / DATASET)
    # Also where unions were learned: what is counted are the classes painted in the end.
    names = ["background", *(f"{k}_{name}" for k, name in enumerate(class_values, start=1))]
    labels = {name: k for k, name in enumerate(names) if k in {0, *integers}}
    ignored_here = max(labels.values()) + 1
    if ignored in integers:
        labels[IGNORE] = ignored_here
    write_json(model / DATASET, {**value, "labels": labels})
    link_or_copy(model_dir / PLANS, dataset / f"{PLANS_NAME}.json")
    for case_id, path in label_maps.items():
        name = f"{case_id}.png"
        link_or_copy(path, model / f"fold_{_FOLD}" / VALIDATION / name)
        truth = dataset / "gt_segmentations" / name
        if ignored not in integers or ignored == ignored_here:
            link_or_copy(workspace.label_png(case_id), truth)
            continue
        label_map = read_image(workspace.label_png(case_id))
        label_map[label_map == ignored] = ignored_here
        truth.parent.mkdir(parents=True, exist_ok=True)
        write_png(truth, label_map)


class _Loop:
    """Stands in for a multiprocessing context and its pool: calls one after the other."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat

    def get_context(self, _: str) -> _Loop:
        return self

    def Pool(self, _: int) -> _Loop:  # noqa: N802
        return self

    def __enter__(self) -> _Loop:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def starmap(self, function: Callable[..., Any], rows: Iterable[Sequence[Any]]) -> list[Any]:
        results = []
        for row in rows:
            self._beat()
            results.append(function(*row))
        return results


@contextlib.contextmanager
def _without_pools(beat: Callable[[], None]) -> Iterator[None]:
    modules: tuple[Any, ...] = (evaluate_predictions, remove_connected_components)
    originals = [module.multiprocessing for module in modules]
    for module in modules:
        module.multiprocessing = _Loop(beat)
    try:
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            module.multiprocessing = original
