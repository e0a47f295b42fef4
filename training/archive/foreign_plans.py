"""Plans and data set of a model trained elsewhere: what it predicts, and whether nnloop can."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.bookkeeping.files import read_json, write_json
from converters.classes.dataset_unions import CLASSES, IGNORE, ORDER
from converters.classes.reserved_names import class_of_label
from domain.errors import FileFormatError
from training.archive.unpack import ModelFolder, unpack_model
from training.dataset_labels import painting_order
from training.pretrained import NETWORK
from training.versions.version_folder import CONFIGURATION, DATASET, PLANS

_NOT_NNUNETS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)
_NATURAL = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
_ABSOLUTE = ("CTNormalization", "NoNormalization")
_NETWORK = re.compile(
    r"dynamic_network_architectures\.architectures\.[a-z0-9_]+\.[A-Z]\w*|" + re.escape(NETWORK)
)
_LAYER = re.compile(
    r"(torch\.nn(\.modules\.[a-z]+)?|dynamic_network_architectures\.building_blocks\.[a-z0-9_]+)"
    r"\.[A-Z]\w*"
)


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """What a foreign model's JSON files say.

    Attributes:
        plans: plans.json with the model's configuration alone, under the name nnloop uses.
        dataset: dataset.json, its channels under their present name.
        labels: Class names in integer order, background left out.
        channels: Channel names.
        notes: Sentences for the person: what may make its predictions worse than they were.
    """

    plans: dict[str, Any]
    dataset: dict[str, Any]
    labels: tuple[str, ...]
    channels: tuple[str, ...]
    notes: tuple[str, ...]


def read_foreign(folder: Path, configuration: str, *, trust: bool = False) -> ForeignModel:
    """Reads and checks plans.json and dataset.json.

    nnU-Net calls whatever function the plans name as the network, with arguments from the plans:
    plans.json alone can run code. Only networks of ``dynamic_network_architectures``, nnloop's own
    and layers of torch are let through unless ``trust`` is set.

    Args:
        folder: Written by ``unpack_model``.
        configuration: The one the checkpoints were trained with, by the folder's name.
        trust: Let other networks through.

    Raises:
        FileFormatError: A file can't be read, or the model is of a kind nnloop can't predict with;
            the remedy says what can be done.
    """
    plans, dataset = _read(folder / PLANS), _read(folder / DATASET)
    try:
        return _foreign(plans, dataset, configuration, trust=trust)
    except _NOT_NNUNETS as error:
        raise FileFormatError(
            f"plans.json or dataset.json is not nnU-Net's: {type(error).__name__} {error}.",
            remedy="Export the model again with nnUNetv2_export_model_to_zip.",
        ) from error


def unpack_foreign(
    file: Path, model: ModelFolder, into: Path, *, trust: bool = False
) -> ForeignModel:
    """Unpacks a model of a zip, its plans.json and dataset.json as nnloop uses them.

    Args:
        file: The zip.
        model: Which of its models.
        into: An empty folder.
        trust: As for ``read_foreign``.

    Raises:
        FileFormatError: The zip is hostile, broken, or of a kind nnloop can't predict with.
        DiskFullError: There is no room for it.
    """
    unpack_model(file, model, into)
    foreign = read_foreign(into, model.configuration, trust=trust)
    write_json(into / PLANS, foreign.plans)
    write_json(into / DATASET, foreign.dataset)
    return foreign


def _foreign(
    plans: dict[str, Any], dataset: dict[str, Any], configuration: str, *, trust: bool
) -> ForeignModel:
    chosen = _resolved(plans["configurations"], configuration)
    axes = [int(axis) for axis in plans.get("transpose_forward", [0, 1, 2])]
    patch = [int(side) for side in chosen["patch_size"]]
    named = dataset.get("channel_names") or dataset["modality"]
    channels = tuple(str(named[key]) for key in sorted(named, key=int))
    if min(patch, default=1) < 1:
        raise ValueError(f"patch_size {patch}")
    if len(patch) != 2:
        raise FileFormatError(
            f"The configuration {configuration!r} is {len(patch)}-dimensional.",
            remedy="Export the model's 2d configuration.",
        )
    if axes[0] != 0:
        raise FileFormatError(
            f"The model was trained on volumes cut along another axis (transpose {axes}).",
            remedy="Train it on single images, or on volumes cut along their first axis.",
        )
    _refuse_absolute(dataset, chosen)
    if not trust:
        _require_known_network(chosen)
    return ForeignModel(
        plans={**plans, "configurations": {CONFIGURATION: chosen}},
        dataset={**dataset, "channel_names": {str(k): name for k, name in enumerate(channels)}},
        labels=_labels(dataset),
        channels=channels,
        notes=_notes(dataset, chosen),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path.name} can't be read: {error}.") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path.name} is no JSON object but a {type(value).__name__}.")
    return value


def _resolved(configurations: dict[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits, as nnU-Net resolves it."""
    chain = [name]
    while "inherits_from" in configurations[chain[-1]]:
        chain.append(configurations[chain[-1]]["inherits_from"])
        if len(chain) > len(configurations):
            raise ValueError(f"{name} inherits from itself")
    found: dict[str, Any] = {}
    for parent in reversed(chain):
        found.update(deepcopy(configurations[parent]))
    found.pop("inherits_from", None)
    return found


def _labels(dataset: dict[str, Any]) -> tuple[str, ...]:
    """Class names by their integers. Of unions each class that is painted."""
    # A network has no output for what was ignored: it predicts as any other.
    labels = {name: value for name, value in dataset["labels"].items() if name != IGNORE}
    order = painting_order(dataset) if ORDER in dataset else ()
    unions = [name for name, value in labels.items() if isinstance(value, list | tuple)]
    if unions and not order:
        raise FileFormatError(
            f"The model predicts unions of classes (nnU-Net's regions) such as {unions[0]!r}, and "
            f"dataset.json does not say in {ORDER} which classes they are painted as.",
            remedy="Export the model again with nnUNetv2_export_model_to_zip.",
        )
    if order:
        return _painted(labels, order, dataset.get(CLASSES))
    by_integer = {value: str(name) for name, value in labels.items() if type(value) is int}
    wanted = list(range(len(labels)))
    if sorted(by_integer) != wanted or by_integer[0] != "background":
        raise FileFormatError(
            f"The labels in dataset.json are not background 0 and then 1, 2, ...: {labels}.",
            remedy="Export the model again with nnUNetv2_export_model_to_zip.",
        )
    if len(wanted) < 2:
        raise FileFormatError("The model knows no class besides background.")
    return tuple(class_of_label(by_integer[k], k) for k in wanted[1:])


def _refuse_absolute(dataset: dict[str, Any], configuration: dict[str, Any]) -> None:
    """Images have no numbers below zero here, and no Hounsfield units: such are shifted."""
    ending = str(dataset.get("file_ending", "")).lower()
    schemes = [name for name in configuration.get("normalization_schemes", []) if name in _ABSOLUTE]
    if schemes and ending not in _NATURAL:
        raise FileFormatError(
            f"The model goes by the absolute numbers of its {ending or 'unknown'} images "
            f"({schemes[0]}), as CT's; each image counts by its own mean and spread here, so that "
            "its predictions would be wrong.",
            remedy="Predict with nnUNetv2_predict and import the masks (nnloop import "
            "--as-predictions), or train it with channel names that are not CT or noNorm.",
        )


def _require_known_network(configuration: dict[str, Any]) -> None:
    architecture = configuration.get("architecture")
    if architecture is None:
        return  # plans of an older nnU-Net: it knows only two networks by name
    kwargs = architecture.get("arch_kwargs", {})
    layers = [kwargs.get(key) for key in architecture.get("_kw_requires_import", [])]
    names = [(architecture.get("network_class_name"), _NETWORK)]
    names += [(layer, _LAYER) for layer in layers if layer is not None]
    for name, pattern in names:
        if not (isinstance(name, str) and pattern.fullmatch(name)):
            raise FileFormatError(
                f"plans.json builds its network with {name!r}, which could be any code.",
                remedy="If you trust who made it, import it with --trust (and install what it "
                "needs).",
            )


def _notes(dataset: dict[str, Any], configuration: dict[str, Any]) -> tuple[str, ...]:
    ending = str(dataset.get("file_ending", ""))
    notes = []
    if ending.lower() not in _NATURAL:
        spacing = " x ".join(f"{float(s):g}" for s in configuration.get("spacing", []))
        notes.append(
            f"It was trained on {ending or 'unknown'} files at a pixel size of {spacing or '?'}; "
            "Label Studio's images count as 1 x 1, so the size of what it looks for may differ."
        )
    return tuple(notes)


def _painted(labels: dict[str, Any], order: tuple[int, ...], said: Any) -> tuple[str, ...]:
    """Names of the classes that unions are painted as: a union's rest has no name of its own."""
    members = {
        str(name): tuple(value) if isinstance(value, list | tuple) else (value,)
        for name, value in labels.items()
        if value not in (0, [0])
    }
    n_classes = max(integer for inside in members.values() for integer in inside)
    if set(order) != set(range(1, n_classes + 1)) or len(order) != len(members):
        raise FileFormatError(
            f"The model predicts unions of classes painted as {list(order)}: not each of 1, 2, ... "
            "is predicted.",
            remedy=f"Use a model whose {ORDER} names every class.",
        )
    if isinstance(said, list) and len(said) == n_classes:
        return tuple(str(name) for name in said)
    names: dict[int, str] = {}
    for integer, (name, inside) in zip(order, members.items(), strict=True):
        names[integer] = (
            class_of_label(name, integer) if inside == (integer,) else f"rest of {name}"
        )
    return tuple(names[integer] for integer in range(1, n_classes + 1))
