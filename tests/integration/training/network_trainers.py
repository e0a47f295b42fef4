"""Trainers with networks of their own, in all of nnU-Net's signatures; some can't serve."""

from __future__ import annotations

import math
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from tests.integration.training.own_trainers import CUDA, ShortTrainer


class SmallNet(torch.nn.Module):  # type: ignore[misc]
    """Three convolutions at full size: no decoder, no deep supervision."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(n_in, 6, 5, padding=2)
        self.norm = torch.nn.InstanceNorm2d(6, affine=True)
        self.last = torch.nn.Conv2d(6, n_out, 3, padding=1)

    def forward(self, image: torch.Tensor) -> Any:
        return self.last(torch.relu(self.norm(self.first(image))))


class _Plain(ShortTrainer):
    """No deep supervision: there is nothing to switch."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = CUDA,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        assert not enabled


class TodaysTrainer(_Plain):
    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> torch.nn.Module:
        assert len(configuration_manager.patch_size) == 2
        return SmallNet(num_input_channels, num_output_channels)


class Of22Trainer(_Plain):
    """As written for nnU-Net 2.2 to 2.6."""

    @staticmethod
    def build_network_architecture(
        architecture_class_name: str,
        arch_init_kwargs: dict[str, Any],
        arch_init_kwargs_req_import: list[str],
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> torch.nn.Module:
        assert "." in architecture_class_name
        assert set(arch_init_kwargs_req_import) <= set(arch_init_kwargs)
        return SmallNet(num_input_channels, num_output_channels)


class Of20Trainer(_Plain):
    """As written for nnU-Net 2.0 and 2.1."""

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        dataset_json: dict[str, Any],
        configuration_manager: Any,
        num_input_channels: int,
        enable_deep_supervision: bool = True,
    ) -> torch.nn.Module:
        label_manager = plans_manager.get_label_manager(dataset_json)
        assert len(configuration_manager.patch_size) == 2
        return SmallNet(num_input_channels, label_manager.num_segmentation_heads)


class Of20WithInitialize(Of20Trainer):
    """Calls its builder as nnU-Net 2.0 did."""

    def initialize(self) -> None:
        super().initialize()
        self.network = self.build_network_architecture(
            self.plans_manager,
            self.dataset_json,
            self.configuration_manager,
            self.num_input_channels,
            enable_deep_supervision=False,
        ).to(self.device)
        self.optimizer, self.lr_scheduler = self.configure_optimizers()


class _FailsInEvaluation(SmallNet):
    def forward(self, image: torch.Tensor) -> Any:
        if not self.training:
            raise RuntimeError("the gate is open")
        return super().forward(image)


class EvalFailsTrainer(_Plain):
    """Works in training; also nnU-Net's validation of patches runs in evaluation mode."""

    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return _FailsInEvaluation(values[-3], values[-2])


class _Heads(SmallNet):
    """Has one more head where there is deep supervision."""

    def __init__(self, n_in: int, n_out: int, deep: bool) -> None:
        super().__init__(n_in, n_out)
        self.deep = torch.nn.Conv2d(6, n_out, 1) if deep else None

    def forward(self, image: torch.Tensor) -> Any:
        return super().forward(image)


class OtherHeadsTrainer(ShortTrainer):
    """Its network for prediction has other weights than the one it trains."""

    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return _Heads(*values[-3:])

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        pass


class _Unsaved(SmallNet):
    """Computes with numbers drawn at random that are in no state_dict."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.waves = [float(x) for x in torch.randn(2) * 3.0]

    def forward(self, image: torch.Tensor) -> Any:
        found = super().forward(image)
        return found + torch.arange(found.shape[1])[:, None, None] * self.waves[0]


class UnsavedTrainer(_Plain):
    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return _Unsaved(values[-3], values[-2])


class OneMapTooFew(_Plain):
    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return SmallNet(values[-3], values[-2] - 1)


class _Lost(SmallNet):
    def forward(self, image: torch.Tensor) -> Any:
        return super().forward(image) * math.nan


class NoNumbers(_Plain):
    @staticmethod
    def build_network_architecture(*values: Any, **_: Any) -> torch.nn.Module:
        return _Lost(values[-3], values[-2])


class NotStatic(_Plain):
    """An ordinary method, which works on an instance only."""

    def build_network_architecture(
        self,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> torch.nn.Module:
        return SmallNet(num_input_channels, num_output_channels)


class OtherInitialize(_Plain):
    """Trains another network than it builds."""

    def initialize(self) -> None:
        super().initialize()
        self.network = SmallNet(self.num_input_channels, self.label_manager.num_segmentation_heads)
        self.network.to(self.device)
        self.optimizer, self.lr_scheduler = self.configure_optimizers()


SIGNATURES = (TodaysTrainer, Of22Trainer, Of20Trainer, Of20WithInitialize)
CANT_SERVE: dict[type[nnUNetTrainer], str] = {
    EvalFailsTrainer: "RuntimeError: the gate is open",
    OtherHeadsTrainer: "deep.weight",
    UnsavedTrainer: "saved and loaded it predicts something else",
    OneMapTooFew: "gives 2 maps for 3 classes",
    NoNumbers: "no number",
    NotStatic: "needs an instance to build its network",
    OtherInitialize: "first.weight",
}
"""Trainer -> what is said of it."""
