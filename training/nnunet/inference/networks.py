"""Networks: everything of a version that predicts, one model or those of an ensemble's members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domain.errors import PredictionError
from training.nnunet.inference.engines.engine import SPLIT_BYTES, Pending
from training.nnunet.inference.image import PreparedImage
from training.nnunet.inference.maps import DEFAULT_IMAGE_BYTES, FoldMaps, room
from training.nnunet.inference.model import EngineName, Model
from training.nnunet.inference.tiling import Tiling
from training.nnunet.inference.views import Views
from training.nnunet.usable_device import usable_device
from training.presets import Preset
from training.versions.version_folder import member_dirs, read_version

Prepared = tuple[PreparedImage, ...]
"""An image as each of the models wants it."""

Finish = Callable[[int], FoldMaps]
"""The i-th of the images that were started together -> its maps."""


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The models of a version in memory.

    Attributes:
        models: One, or one per member of an ensemble.
        presets: Of the models, for what is not asked for otherwise.
        member_folds: Fold of an ensemble -> each member's fold, None for the mean of all of them;
            {} where there is one model, whose folds count.
    """

    models: tuple[Model, ...]
    presets: tuple[Preset, ...] = ()
    member_folds: Mapping[int, tuple[int | None, ...]] = field(default_factory=dict)

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds that a held-out case can be predicted by."""
        return tuple(self.member_folds) or self.models[0].folds

    @property
    def n_bytes(self) -> int:
        """Memory that the networks take, in bytes."""
        return sum(model.n_bytes for model in self.models)

    @classmethod
    def load(
        cls,
        version_dir: Path,
        *,
        folds: Sequence[int] | None,
        device: str,
        engine: EngineName,
    ) -> Networks:
        """Loads a packaged version. Arguments and errors as for ``Model.load``.

        Of an ensemble's members only those folds are loaded that predict the folds asked for.

        Raises:
            DeviceError: The device is not there.
        """
        usable_device(device)
        info = read_version(version_dir)
        table = dict(zip(info.folds, info.member_folds, strict=True)) if info.members else {}
        if folds is not None and table:
            if not folds or not set(folds) <= set(table):
                raise PredictionError(
                    f"{version_dir.name} has folds {list(table)}, asked for {list(folds)}.",
                    remedy="Ask for folds the version has.",
                )
            table = {fold: table[fold] for fold in folds}
        models, presets = [], []
        for number, folder in enumerate(member_dirs(version_dir, info)):
            wanted = folds
            if folds is not None and table:
                needed = {row[number] for row in table.values()}
                wanted = None if None in needed else sorted(k for k in needed if k is not None)
            models.append(Model.load(folder, folds=wanted, device=device, engine=engine))
            presets.append(read_version(folder).preset)
        return cls(tuple(models), tuple(presets), table)


@dataclass(frozen=True, slots=True, eq=False)
class TiledNetworks:
    """Networks with the tiles each model's images are cut into, and memory for an image's maps.

    ``with_views``: where there is but one network, maps come with its views of mirrored images.
    """

    networks: Networks
    tilings: tuple[Tiling, ...]
    image_bytes: int = DEFAULT_IMAGE_BYTES
    with_views: bool = False

    @classmethod
    def of(
        cls, networks: Networks, *, mirroring: bool | None, tile_step: float | None
    ) -> TiledNetworks:
        """Tiles as asked for; None: as each model's preset says."""
        tilings = tuple(
            Tiling(
                model.patch_hw,
                preset.tile_step if tile_step is None else tile_step,
                model.mirror_axes
                if (preset.mirror_predict if mirroring is None else mirroring)
                else (),
                model.swaps,
            )
            for model, preset in zip(networks.models, networks.presets, strict=True)
        )
        return cls(networks, tilings)

    @property
    def batch_images(self) -> int:
        """Images of one size that are best started together, at least 1."""
        return min(model.engine.batch_images for model in self.networks.models)

    def prepare(self, image: npt.NDArray[np.generic]) -> Prepared:
        """An image as each model wants it; PredictionError as ``ImagePreparation.prepare``."""
        return tuple(model.preparation.prepare(image) for model in self.networks.models)

    def start(self, images: Sequence[Prepared]) -> Finish:
        """Starts all networks on images whose prepared sizes are the same.

        Returns:
            A function that waits for them and gives an image's maps: those of the networks of all
            models, one model after the other (``mixing.mixed``).
        """
        pending = [
            self._start(model, np.stack([image[number].pixels for image in images]), tiling)
            for number, (model, tiling) in enumerate(
                zip(self.networks.models, self.tilings, strict=True)
            )
        ]
        logits: list[npt.NDArray[np.float32]] = []
        of_views: list[npt.NDArray[np.float32]] = []
        views = self._views

        def finish(index: int) -> FoldMaps:
            if not logits:
                logits.extend(wait() for wait in pending)
                if views is not None:
                    pixels = np.stack([image[0].pixels for image in images])
                    of_views.append(views.of(pixels, logits[0][0]))
            maps = self._maps([found[:, index] for found in logits], images[index])
            if not of_views:
                return maps
            [model] = self.networks.models
            return replace(
                maps, mirrored=model.preparation.rows(of_views[0][:, index], images[index][0])
            )

        return finish

    @property
    def _views(self) -> Views | None:
        """Of a single network that was trained on mirrored images, if they are asked for."""
        if not self.with_views or len(self.networks.models) > 1:
            return None
        [model], [tiling] = self.networks.models, self.tilings
        is_single = len(model.folds) == 1 and bool(model.mirror_axes)
        return Views(model, tiling, self.image_bytes) if is_single else None

    def _start(self, model: Model, pixels: npt.NDArray[np.float32], tiling: Tiling) -> Pending:
        """Starts one model; fold by fold, once they are asked for, where the logits are large."""
        fold_bytes = 4 * model.preparation.n_classes * pixels[:, 0].size
        n_folds, n_mirrorings = len(model.folds), len(tiling.mirrorings)
        # Below, an engine may add up mirrorings in another order for one fold than for all.
        is_alike = n_mirrorings == 1 or fold_bytes * n_mirrorings > SPLIT_BYTES
        if not is_alike or fold_bytes * n_folds <= self.image_bytes:
            return model.engine.start(pixels, model.folds, tiling)

        def work() -> npt.NDArray[np.float32]:
            found: npt.NDArray[np.float32] | None = None
            for number, fold in enumerate(model.folds):
                [logits] = model.engine.start(pixels, (fold,), tiling)()
                if found is None:
                    found = room((n_folds, *logits.shape), self.image_bytes)
                found[number] = logits
            assert found is not None  # noqa: S101 - there is at least one fold
            return found

        return work

    def held_out(self, image: Prepared, fold: int) -> npt.NDArray[np.float32]:
        """(class, height, width) by one of ``Networks.folds``: the mean over the models."""
        row = self.networks.member_folds.get(fold, (fold,))
        found = []
        for model, tiling, one, prepared in zip(
            self.networks.models, self.tilings, row, image, strict=True
        ):
            folds = model.folds if one is None else (one,)
            logits = model.engine.start(prepared.pixels[None], folds, tiling)()
            found.append(logits[:, 0])
        return self._maps(found, image).mean_of_members()

    def _maps(self, logits: Sequence[npt.NDArray[np.float32]], image: Prepared) -> FoldMaps:
        """Of an image whose logits each model has given, (fold, class, height, width)."""
        members = tuple(
            model.preparation.rows(found, prepared)
            for model, found, prepared in zip(self.networks.models, logits, image, strict=True)
        )
        n_maps = sum(len(found) for found in logits)
        n_classes = self.networks.models[0].preparation.n_maps(logits[0])
        return FoldMaps(members, n_maps, n_classes, image[0].size_hw, image_bytes=self.image_bytes)
