"""Networks as a trainer builds them, whichever of nnU-Net's signatures it has.

``build_network_architecture`` has had three: (plans_manager, dataset_json, configuration_manager,
num_input_channels, enable_deep_supervision) in nnU-Net 2.0 and 2.1; (architecture_class_name,
arch_init_kwargs, arch_init_kwargs_req_import, num_input_channels, num_output_channels,
enable_deep_supervision) from 2.2 on; (plans_manager, configuration_manager, num_input_channels,
num_output_channels, enable_deep_supervision) today. Today's base class calls the last two; of the
first it sees no more than that it begins with plans_manager, and hands over the wrong things.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from domain.errors import TrainerError
from domain.text import one_line
from training.nnunet.base_trainer import nnUNetTrainer
from training.nnunet.memory import is_out_of_memory
from training.versions.version_folder import CONFIGURATION

_METHOD = "build_network_architecture"


def build_network(
    trainer: type[Any], plans: PlansManager, dataset: dict[str, Any]
) -> torch.nn.Module:
    """The network a trainer's weights are loaded into, deep supervision off, weights at random.

    Args:
        trainer: A subclass of nnU-Net's ``nnUNetTrainer``.
        plans: With the configuration ``CONFIGURATION``.
        dataset: dataset.json.

    Raises:
        TrainerError: The trainer can't build it.
    """
    build: Callable[..., Any] = getattr(trainer, _METHOD)
    if not isinstance(inspect.getattr_static(trainer, _METHOD), staticmethod | classmethod):
        raise TrainerError(
            f"{trainer.__name__} needs an instance to build its network, which predictions lack.",
            remedy=f"Make its {_METHOD} a static method, or name another trainer.",
        )
    try:
        names = inspect.signature(build).parameters
        configuration = plans.get_configuration(CONFIGURATION)
        n_in = len(dataset["channel_names"])
        n_out = plans.get_label_manager(dataset).num_segmentation_heads
        if "plans_manager" not in names:
            network = build(
                configuration.network_arch_class_name,
                configuration.network_arch_init_kwargs,
                configuration.network_arch_init_kwargs_req_import,
                n_in,
                n_out,
                False,
            )
        elif "dataset_json" in names:
            network = build(plans, dataset, configuration, n_in, False)
        else:
            network = build(plans, configuration, n_in, n_out, False)
    except Exception as error:
        # The trainer is anybody's code: it may raise anything.
        if is_out_of_memory(error):
            raise
        raise TrainerError(
            f"{trainer.__name__} can't build its network for prediction: "
            f"{type(error).__name__}: {one_line(error)}",
            remedy=f"Let its {_METHOD} work with the installed nnU-Net, or name another trainer.",
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise TrainerError(
            f"{trainer.__name__} builds no network but a {type(network).__name__}.",
            remedy=f"Let its {_METHOD} return a torch.nn.Module, or name another trainer.",
        )
    return network


def as_called_today(trainer: type[Any], dataset: dict[str, Any]) -> dict[str, Any]:
    """What a class derived from ``trainer`` needs so that today's base class can build its network.

    Args:
        trainer: As for ``build_network``.
        dataset: dataset.json of what is trained on.

    Returns:
        Attributes for the derived class; {} where the base class knows the signature.
    """
    build: Callable[..., Any] = getattr(trainer, _METHOD)
    names = inspect.signature(build).parameters
    if "plans_manager" not in names or "dataset_json" not in names:
        return {}
    today = inspect.signature(nnUNetTrainer.build_network_architecture)

    def adapted(plans_manager: Any, *values: Any, **named: Any) -> Any:
        # A trainer with an `initialize` of its own calls it as it has written it.
        if "dataset_json" in named or (values and isinstance(values[0], dict)):
            return build(plans_manager, *values, **named)
        given = today.bind(plans_manager, *values, **named)
        given.apply_defaults()
        return build(
            plans_manager,
            dataset,
            given.arguments["configuration_manager"],
            given.arguments["num_input_channels"],
            given.arguments["enable_deep_supervision"],
        )

    return {_METHOD: staticmethod(adapted)}
