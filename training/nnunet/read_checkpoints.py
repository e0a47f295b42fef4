"""Reads checkpoints made elsewhere without running code of theirs. Run as a process.

A checkpoint is a pickle, and a pickle is a program. torch's ``weights_only`` reader runs none: it
knows tensors, numbers, text and containers, and stops at any other global. nnU-Net's own
checkpoints also hold numpy's numbers (in ``logging`` and ``init_args``), so those are allowed, by
name. From what was read only the weights and a few numbers are kept.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
import traceback
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.files import read_json, write_json
from converters.bookkeeping.zips import opened_zip
from domain.errors import FileFormatError, NnloopError, TrainerError, TrainingError
from training.archive.convert import ANSWER, JOB
from training.archive.unpack import MAX_BYTES
from training.folds.spec import FINAL
from training.nnunet.architecture import build_network
from training.nnunet.checkpoint import DAMAGED, write_checkpoint
from training.nnunet.classes import trainer_class
from training.nnunet.inference.trial import try_network
from training.versions.version_folder import CONFIGURATION, DATASET, PLANS

PLAIN_TRAINER = "nnUNetTrainer"

_DTYPES = ("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "Float16", "Float32", "Float64")
_HARMLESS = (
    # numpy moved its modules in 2.0: a checkpoint has the names of the numpy it was written with.
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy", "dtype"),
    *(("numpy.dtypes", f"{name}DType") for name in _DTYPES),
)
"""Numbers of numpy. Not its arrays: they can hold objects, and nnU-Net's checkpoints have none."""

_MOST_PATCH_PX = 2**24
"""4096 x 4096: nnU-Net plans patches for 8 GB of memory, which hold a tenth of that."""

_UNREADABLE = (*DAMAGED, OSError, ValueError, RuntimeError, ImportError)
"""What torch raises at odd bytes, beside an error of unpickling."""

_WRAPPERS = ("module.", "_orig_mod.")
"""What distributed training and torch.compile put before the names of weights."""


def main(folder: Path) -> int:
    """Converts the checkpoints named in job.json; the outcome is answer.json."""
    torch.set_num_threads(1)
    try:
        answer = convert(folder, **read_json(folder / JOB))
    except NnloopError as error:
        answer = {"error": str(error), "remedy": error.remedy}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # Whatever nnU-Net makes of plans that are none; for the log as it is.
        traceback.print_exc()
        answer = {
            "error": f"The model's plans.json can't be used: {type(error).__name__}: {error}.",
            "remedy": "Export the model again with nnUNetv2_export_model_to_zip.",
        }
    write_json(folder / ANSWER, answer)
    return 0


def convert(folder: Path, folds: dict[str, int], trust: bool) -> dict[str, Any]:
    """Writes each fold's checkpoint anew; arguments as for ``convert_checkpoints``.

    Returns:
        The fields of ``training.archive.convert.Converted``.

    Raises:
        FileFormatError: As ``convert_checkpoints`` says.
    """
    plans, dataset = read_json(folder / PLANS), read_json(folder / DATASET)
    shapes: dict[str, torch.Size] | None = None
    trainer = PLAIN_TRAINER
    axes: tuple[int, ...] = ()
    epochs: list[int] = []
    first: dict[str, torch.Tensor] = {}
    for name, number in folds.items():
        path = folder / f"fold_{name}.pth"
        checkpoint = read_foreign_checkpoint(path, trust=trust)
        weights = _weights(checkpoint, name)
        if shapes is None:
            trainer = _trainer(checkpoint, trust=trust)
            shapes = _network(trainer, plans, dataset)
            axes = _axes(checkpoint)
            first = weights
        _require_equal(shapes, weights, name)
        epoch = checkpoint.get("current_epoch", 0)
        epochs.append(epoch if isinstance(epoch, int) else 0)
        write_checkpoint(
            folder / f"fold_{number}" / FINAL,
            {
                "network_weights": {key: t.detach().clone() for key, t in weights.items()},
                "optimizer_state": None,
                "grad_scaler_state": None,
                "logging": {},
                "_best_ema": None,
                "current_epoch": epochs[-1],
                "init_args": {
                    "plans": plans,
                    "configuration": CONFIGURATION,
                    "fold": number,
                    "dataset_json": dataset,
                },
                "trainer_name": trainer,
                "inference_allowed_mirroring_axes": axes,
            },
        )
        path.unlink()
    _require_predicting(trainer, plans, dataset, first)
    return {"trainer": trainer, "mirror_axes": list(axes), "epochs": min(epochs)}


def read_foreign_checkpoint(path: Path, *, trust: bool = False) -> dict[str, Any]:
    """What a checkpoint holds.

    Args:
        path: Written by ``torch.save``.
        trust: Unpickle anything, which runs any code in it.

    Raises:
        FileFormatError: It is no such file, unpacks to more than ``MAX_BYTES``, or names a global
            that is not known to be harmless; the message says which.
    """
    _require_sane_zip(path)
    try:
        if trust:
            checkpoint = torch.load(path, map_location="cpu", weights_only=False)
        else:
            with torch.serialization.safe_globals(_harmless()):
                # Found by reading the pickle's opcodes, none is run.
                unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
                if unsafe:
                    raise _refused(path, sorted(unsafe))
                checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).splitlines()[0]
        raise FileFormatError(
            f"The checkpoint of {path.stem} is refused: {first}",
            remedy="If you trust who made it, import it with --trust, which may run its code.",
        ) from error
    except _UNREADABLE as error:
        raise FileFormatError(
            f"The checkpoint of {path.stem} can't be read: {type(error).__name__}: {error}.",
            remedy="Export the model again with nnUNetv2_export_model_to_zip.",
        ) from error
    if not isinstance(checkpoint, dict):
        raise FileFormatError(f"The checkpoint of {path.stem} is no checkpoint of nnU-Net.")
    return checkpoint


def _refused(path: Path, names: list[str]) -> FileFormatError:
    return FileFormatError(
        f"The checkpoint of {path.stem} is refused: reading it would call {', '.join(names[:5])}, "
        "which could run any code.",
        remedy="If you trust who made it, import it with --trust, which runs its code.",
    )


def _require_sane_zip(path: Path) -> None:
    try:
        with opened_zip(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise FileFormatError(
            f"The checkpoint of {path.stem} is not in torch's present format: {error}.",
            remedy="Load and save it again with a present torch, or copy the file again.",
        ) from error
    if total > MAX_BYTES:
        raise FileFormatError(
            f"The checkpoint of {path.stem} unpacks to {total / 2**20:,.0f} MB.",
            remedy="No model of nnU-Net is as large: take it from a source you trust.",
        )


def _harmless() -> list[Any]:
    found: list[Any] = []
    for module, name in _HARMLESS:
        try:
            found.append((getattr(importlib.import_module(module), name), f"{module}.{name}"))
        except (ImportError, AttributeError):
            continue  # another numpy's name: its checkpoints can't be told here, and are refused
    return found


def _weights(checkpoint: dict[str, Any], fold: str) -> dict[str, torch.Tensor]:
    weights = checkpoint.get("network_weights")
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and _is_plain(value) for key, value in weights.items()
    ):
        raise FileFormatError(f"The checkpoint of fold {fold} has no network_weights of tensors.")
    broken = [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise FileFormatError(
            f"A weight of fold {fold} is no number (NaN or infinite): {broken[0]}; so are "
            f"{len(broken)} of {len(weights)}.",
            remedy="Its training went wrong: train that fold again, or export the others alone.",
        )
    found = {}
    for key, value in weights.items():
        name = key
        while name.startswith(_WRAPPERS):
            name = name.removeprefix("module.").removeprefix("_orig_mod.")
        found[name] = value
    return found


def _is_plain(value: Any) -> bool:
    """Whether it is a dense tensor with all its numbers in the file, not one number repeated."""
    return (
        type(value) is torch.Tensor
        and value.layout is torch.strided
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _trainer(checkpoint: dict[str, Any], *, trust: bool) -> str:
    """The trainer that builds a checkpoint's network."""
    # nnloop's checkpoints name nnU-Net's default where nnU-Net looks, and the real one beside it.
    own = checkpoint.get("nnloop")
    names = (own.get("trainer") if isinstance(own, dict) else None, checkpoint.get("trainer_name"))
    return _known_trainer(names, trust=trust)


def _network(trainer: str, plans: dict[str, Any], dataset: dict[str, Any]) -> dict[str, torch.Size]:
    """The shapes of the weights of a trainer's network.

    Built without memory of its own ('meta'): plans could ask for any amount.
    """
    try:
        with torch.device("meta"):
            network = build_network(trainer_class(trainer), PlansManager(plans), dataset)
    except TrainerError as error:
        raise FileFormatError(
            f"The network in plans.json can't be built: {error}",
            remedy="Import it with the nnunetv2 it was trained with, or train it again.",
        ) from error
    return {key: value.shape for key, value in network.state_dict().items()}


def _require_predicting(
    trainer: str, plans: dict[str, Any], dataset: dict[str, Any], weights: Mapping[str, Any]
) -> None:
    """Raises where the network, its weights loaded, can't predict an image of noise."""
    height, width = PlansManager(plans).get_configuration(CONFIGURATION).patch_size
    if height * width > _MOST_PATCH_PX:
        raise FileFormatError(
            f"The patches in plans.json are {height} x {width} pixels.",
            remedy="No model of nnU-Net has patches as large: take it from a source you trust.",
        )
    network = build_network(trainer_class(trainer), PlansManager(plans), dataset)
    network.load_state_dict(weights)
    shape = (height, width, len(dataset["channel_names"]))
    image = np.random.default_rng(0).integers(1, 255, shape, np.uint8)
    try:
        try_network(network, plans, dataset, image, trainer)
    except TrainerError as error:
        raise FileFormatError(
            str(error),
            remedy="Import it with the nnunetv2 it was trained with, or train it again.",
        ) from error


def _known_trainer(names: Sequence[object], *, trust: bool) -> str:
    """The first of these trainers that is installed; nnU-Net's plain one where none is.

    A name alone is looked up in the installed nnU-Net. One with a module in it would be imported:
    never by a foreign file that is not trusted.
    """
    for name in names:
        if isinstance(name, str) and (name.isidentifier() or trust):
            with contextlib.suppress(TrainingError):
                trainer_class(name)
                return name
    return PLAIN_TRAINER


def _require_equal(
    wanted: dict[str, torch.Size], weights: dict[str, torch.Tensor], fold: str
) -> None:
    wrong = [key for key in wanted if key not in weights or weights[key].shape != wanted[key]]
    wrong += [key for key in weights if key not in wanted]
    if wrong:
        key = wrong[0]
        found = tuple(weights[key].shape) if key in weights else "missing"
        asked = tuple(wanted[key]) if key in wanted else "no such weight"
        raise FileFormatError(
            f"The weights of fold {fold} do not fit the network of the plans: {key} is {found}, "
            f"the plans say {asked} ({len(wrong)} of {len(wanted)} differ).",
            remedy="Give the plans.json it was trained with; a trainer with a network of its own "
            "must be installed in nnU-Net.",
        )


def _axes(checkpoint: dict[str, Any]) -> tuple[int, ...]:
    axes = checkpoint.get("inference_allowed_mirroring_axes")
    if not isinstance(axes, list | tuple):
        return ()
    return tuple(sorted({axis for axis in axes if axis in (0, 1)}))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
