"""Model: a version's networks and how its images are prepared."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.files import read_json
from domain.errors import PredictionError, TrainingError
from training.folds.spec import FINAL
from training.nnunet.architecture import build_network
from training.nnunet.checkpoint import read_checkpoint
from training.nnunet.classes import trainer_class
from training.nnunet.data.plans import CONFIGURATION
from training.nnunet.inference.engines.cpu_engine import CpuEngine
from training.nnunet.inference.engines.engine import Engine
from training.nnunet.inference.engines.torch_engine import TorchEngine
from training.nnunet.inference.image import ImagePreparation
from training.symmetries.symmetries import Swap
from training.versions.version_folder import VersionInfo, read_version

logger = logging.getLogger(__name__)

EngineName: TypeAlias = Literal["auto", "torch", "openvino"]
"""``auto``: on a CPU OpenVINO as soon as it is ready; ``openvino``: the first image waits for it.
Either way only after it has shown itself equal to torch."""

MIRROR_AXES = (0, 1)
"""nnU-Net trains images mirrored along both axes, unless its trainer says otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Networks in memory.

    ``mirror_axes`` are those the networks were trained mirrored along (0 = rows), ``swaps`` the
    classes that changed places there.
    """

    engine: Engine
    preparation: ImagePreparation
    folds: tuple[int, ...]
    patch_hw: tuple[int, int]
    mirror_axes: tuple[int, ...]
    swaps: tuple[Swap, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Memory that the networks take, in bytes."""
        return self.engine.n_bytes

    @classmethod
    def of_networks(
        cls,
        networks: Mapping[int, torch.nn.Module],
        plans: dict[str, Any],
        dataset: dict[str, Any],
        *,
        device: str,
        engine: EngineName,
        mirror_axes: Sequence[int] = MIRROR_AXES,
        swaps: Sequence[Swap] = (),
    ) -> Model:
        """A model of networks that are on ``device`` already.

        Raises:
            PredictionError: The version predicts something that nnloop does not read.
        """
        manager = PlansManager(plans)
        _require_readable(plans)
        configuration = manager.get_configuration(CONFIGURATION)
        preparation = ImagePreparation(manager, configuration, dataset)
        height, width = (int(side) for side in configuration.patch_size)
        runs: Engine = TorchEngine(networks, device=device)
        on_cpu = torch.device(device).type == "cpu"
        if engine != "torch" and on_cpu and (openvino_engine := _openvino_engine(engine)):
            make = partial(
                openvino_engine,
                dict(networks),
                n_channels=preparation.n_channels,
                patch_hw=(height, width),
                threads=torch.get_num_threads(),
            )
            runs = CpuEngine(
                runs,
                make,
                folds=tuple(networks),
                n_channels=preparation.n_channels,
                background=engine == "auto",
                has_unions=bool(preparation.painting_order),
            )
        return cls(
            runs, preparation, tuple(networks), (height, width), tuple(mirror_axes), tuple(swaps)
        )

    @classmethod
    def load(
        cls,
        version_dir: Path,
        *,
        folds: Sequence[int] | None,
        device: str,
        engine: EngineName,
    ) -> Model:
        """Loads a packaged version.

        Args:
            version_dir: Written by ``training.versions.version_folder.package_version``.
            folds: Which folds; None: all of them.
            device: ``cpu``, ``cuda:<i>`` or ``mps``.
            engine: What runs the networks on a CPU.

        Raises:
            PredictionError: A file is missing or broken, a fold is not in the version, or the
                version predicts something that nnloop does not read.
        """
        version = read_version(version_dir)
        chosen = tuple(version.folds if folds is None else folds)
        if not chosen or not set(chosen) <= set(version.folds):
            raise PredictionError(
                f"{version_dir.name} has folds {list(version.folds)}, asked for {list(chosen)}.",
                remedy="Ask for folds the version has.",
            )
        networks, axes = {}, MIRROR_AXES
        swaps: tuple[Swap, ...] = ()
        try:
            plans, dataset = (read_json(version_dir / n) for n in ("plans.json", "dataset.json"))
            _require_readable(plans)
            for fold in chosen:
                checkpoint = read_checkpoint(
                    version_dir / f"fold_{fold}" / FINAL, torch.device("cpu")
                )
                network = _build(version, plans, dataset)
                network.load_state_dict(checkpoint["network_weights"])
                networks[fold] = network.to(device).eval()
                axes = tuple(checkpoint.get("inference_allowed_mirroring_axes", axes) or ())
                swaps = tuple(tuple(row) for row in checkpoint.get("nnloop", {}).get("swaps", ()))
        except (
            OSError,
            ValueError,
            KeyError,
            RuntimeError,
            TrainingError,
            pickle.UnpicklingError,
        ) as error:
            raise PredictionError(
                f"{version_dir.name} can't be loaded: {_why(error)}",
                remedy="Restore the version's folder, or train again.",
            ) from error
        return cls.of_networks(
            networks,
            plans,
            dataset,
            device=device,
            engine=engine,
            mirror_axes=sorted({*axes, *(axis for axis, *_ in swaps)}),
            swaps=swaps,
        )


def _openvino_engine(engine: EngineName) -> Callable[..., Engine] | None:
    """What makes an engine of OpenVINO; None where it is not installed and need not be."""
    try:
        # Only here: a machine with a GPU runs without it.
        from training.nnunet.inference.engines.openvino_engine import OpenVinoEngine
    except ImportError as error:
        if engine == "openvino":
            raise PredictionError(
                f"NNLOOP_ENGINE is openvino, but OpenVINO can't be loaded: {error}.",
                remedy="Install nnloop with the extra cpu (pip install 'nnloop[cpu]'), or set "
                "NNLOOP_ENGINE=auto.",
            ) from error
        logger.info("Predicting with torch: OpenVINO is not installed (the extra `cpu`).")
        return None
    return OpenVinoEngine


def _why(error: Exception) -> str:
    """The words of an error; of one that names a key alone, what that means."""
    if isinstance(error, KeyError):
        key = error.args[0] if error.args else None
        return f"a file lacks {key!r}"
    return str(error) or type(error).__name__


def _build(version: VersionInfo, plans: dict[str, Any], dataset: dict[str, Any]) -> torch.nn.Module:
    """The network the plans describe, as the preset's trainer builds it; weights at random."""
    return build_network(trainer_class(version.preset.trainer), PlansManager(plans), dataset)


def _require_readable(plans: dict[str, Any]) -> None:
    if CONFIGURATION not in plans["configurations"]:
        raise PredictionError(
            f"The version has no configuration {CONFIGURATION!r}, only "
            f"{', '.join(plans['configurations'])}.",
            remedy="Use a version whose 2d configuration was trained.",
        )
