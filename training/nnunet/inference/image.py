"""ImagePreparation: an image as the network wants it, and its probabilities back at full size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from domain.errors import PredictionError, TrainingError
from domain.prediction import FoldProbabilities
from training.case_files import with_channels
from training.dataset_labels import n_classes, painting_order
from training.nnunet.inference.maps import Rows
from training.nnunet.inference.painting import of_unions
from training.nnunet.inference.stretching import StretchedMaps

SPACING = (999, 1, 1)
"""What nnU-Net's reader of natural images says of every image."""

Slices = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """What goes into the networks, and what is needed to come back.

    Attributes:
        pixels: (channel, height, width) float32, normalized, resampled, padded to the patch.
        inside: Rows and columns of ``pixels`` that are not padding.
        crop: Rows and columns of the image that are not black border.
        size_hw: (height, width) of the image in pixels.
    """

    pixels: npt.NDArray[np.float32]
    inside: Slices
    crop: Slices
    size_hw: tuple[int, int]


class ImagePreparation:
    """nnU-Net's preprocessing without what is of no use for prediction.

    nnU-Net looks the normalization up in its source tree, fills holes in a mask and resamples a
    label map that is not there, for each image. Where the plans normalize within a mask, or name a
    preprocessor of their own, nnU-Net's own code runs. Usable from several threads.
    """

    def __init__(
        self, plans: PlansManager, configuration: ConfigurationManager, dataset: dict[str, Any]
    ) -> None:
        """Takes what nnU-Net's managers made of plans.json and dataset.json.

        Raises:
            PredictionError: The plans are for volumes whose slices lie along another axis.
        """
        if plans.transpose_forward[0] != 0:
            raise PredictionError(
                "The version was trained on volumes, its slices along another axis than the first "
                f"(transpose_forward {plans.transpose_forward}).",
                remedy="Use a version that was trained on images.",
            )
        self._plans, self._configuration, self._dataset = plans, configuration, dataset
        self._is_transposed = list(plans.transpose_forward) == [0, 2, 1]
        self._preprocessor = configuration.preprocessor_class(verbose=False)
        height, width = (int(side) for side in configuration.patch_size)
        self.patch_hw = (height, width)
        self.n_channels = len(dataset["channel_names"])
        self.n_classes = n_classes(dataset)
        self.painting_order = painting_order(dataset)
        is_plain = type(self._preprocessor) is DefaultPreprocessor and not any(
            configuration.use_mask_for_norm
        )
        self._normalizers = self._find_normalizers() if is_plain else None

    def prepare(self, image: npt.NDArray[Any]) -> PreparedImage:
        """Prepares an image.

        Args:
            image: (height, width) or (height, width, channel), uint8 or uint16; brought to the
                model's number of channels.

        Raises:
            PredictionError: The array is no such image.
        """
        try:
            pixels = with_channels(image, self.n_channels)
        except TrainingError as error:
            raise PredictionError(str(error), remedy=error.remedy) from error
        channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        if self._is_transposed:
            channels = channels.swapaxes(1, 2)
        crop = _content(channels)
        if self._normalizers is None:
            data, crop = self._by_nnunet(channels)
        else:
            data = channels[(slice(None), *crop)].astype(np.float32)
            for channel, normalizer in enumerate(self._normalizers):
                data[channel] = normalizer.run(data[channel], None)
            data = self._resampled(data)
        padded, inside = pad_nd_image(
            data, self.patch_hw, "constant", {"constant_values": 0}, True, None
        )
        return PreparedImage(
            np.ascontiguousarray(padded, dtype=np.float32),
            (inside[-2], inside[-1]),
            crop,
            (int(image.shape[0]), int(image.shape[1])),
        )

    def probabilities(
        self, logits: npt.NDArray[np.float32], image: PreparedImage
    ) -> FoldProbabilities:
        """``rows`` of the whole image."""
        return self.rows(logits, image)(slice(0, image.size_hw[0]))

    def rows(self, logits: npt.NDArray[np.float32], image: PreparedImage) -> Rows:
        """Probabilities at the size of the image; black borders that were cropped are background.

        The softmax of classes; of unions ``of_unions``.

        Args:
            logits: (fold, class, height, width) float32 at the size of ``image.pixels``.
            image: Where they come from.

        Returns:
            Rows of the image -> (fold, class, row, width) float32 in [0, 1].
        """
        inner = logits[(slice(None), slice(None), *image.inside)]
        rows, columns = image.crop
        crop_hw = (rows.stop - rows.start, columns.stop - columns.start)
        if inner.shape[2:] != crop_hw and not self._is_linear:
            inner = self._resampled_maps(inner, crop_hw)
        if self._is_transposed:
            inner, rows, columns = inner.swapaxes(2, 3), columns, rows
        stretched = StretchedMaps(inner, (rows.stop - rows.start, columns.stop - columns.start))

        def of(wanted: slice) -> FoldProbabilities:
            first, last = max(wanted.start, rows.start), min(wanted.stop, rows.stop)
            height, width = wanted.stop - wanted.start, image.size_hw[1]
            is_all = (last - first, columns.stop - columns.start) == (height, width)
            found: FoldProbabilities | None = None
            if first < last:
                maps = stretched.rows(slice(first - rows.start, last - rows.start))
                found = self._of_logits(maps)
            if found is not None and is_all:
                return found
            full = np.zeros((len(inner), self.n_maps(logits), height, width), np.float32)
            full[:, 0] = 1.0
            if found is not None:
                full[:, :, first - wanted.start : last - wanted.start, columns] = found
            return full

        return of

    def n_maps(self, logits: npt.NDArray[np.float32]) -> int:
        """Classes in ``rows`` of logits (fold, class or union, height, width), background included.

        Those that a network gives, unless these are unions: a trainer's own may give too few.
        """
        return self.n_classes if self.painting_order else logits.shape[1]

    def _of_logits(self, logits: npt.NDArray[np.float32]) -> FoldProbabilities:
        return of_unions(logits, self.painting_order) if self.painting_order else _softmax(logits)

    @property
    def _spacings(self) -> tuple[list[float], list[float]]:
        """Of the image and of what the network sees."""
        image = [float(SPACING[i]) for i in self._plans.transpose_forward]
        return image, [image[0], *self._configuration.spacing]

    def _resampled(self, data: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        before, after = self._spacings
        # Of an image smaller than one pixel of the network's something is to be left.
        shape = np.maximum(compute_new_shape((1, *data.shape[1:]), before, after), 1)
        if tuple(shape[1:]) == data.shape[1:]:
            return data
        resampled = self._configuration.resampling_fn_data(data[:, None], shape, before, after)
        return np.asarray(resampled, np.float32)[:, 0]

    @property
    def _is_linear(self) -> bool:
        return _is_linear(self._configuration.resampling_fn_probabilities)

    def _resampled_maps(
        self, maps: npt.NDArray[np.float32], size_hw: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """All at once: folds and classes may share a call, every map is resampled by itself."""
        resample = self._configuration.resampling_fn_probabilities
        flat = torch.from_numpy(maps.reshape(-1, 1, *maps.shape[2:]))
        resampled = resample(flat, (1, *size_hw), self._spacings[1], self._spacings[0])
        return np.asarray(resampled, np.float32).reshape(*maps.shape[:2], *size_hw)

    def _by_nnunet(self, channels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], Slices]:
        images = channels.swapaxes(1, 2) if self._is_transposed else channels
        data, _, properties = self._preprocessor.run_case_npy(
            images[:, None].astype(np.float32),
            None,
            {"spacing": SPACING},
            self._plans,
            self._configuration,
            self._dataset,
        )
        if not data.size:
            raise PredictionError(
                f"The image shows too little for the version's working size: {channels.shape[2]} x "
                f"{channels.shape[1]} pixels, a black border left out.",
                remedy="Skip or delete the task, or use a preset of full resolution.",
            )
        rows, columns = properties["bbox_used_for_cropping"][1:]
        return data[:, 0], (slice(*map(int, rows)), slice(*map(int, columns)))

    def _find_normalizers(self) -> list[Any]:
        from nnunetv2.preprocessing import normalization

        schemes = self._configuration.normalization_schemes
        properties = self._plans.foreground_intensity_properties_per_channel
        return [
            recursive_find_python_class(normalization.__path__[0], scheme, normalization.__name__)(
                use_mask_for_norm=False, intensityproperties=properties[str(channel)]
            )
            for channel, scheme in enumerate(schemes)
        ]


def _softmax(logits: npt.NDArray[np.float32]) -> FoldProbabilities:
    """Over the classes. Not torch's: its last digits depend on the number of pixels."""
    powers: FoldProbabilities = logits - logits.max(axis=1, keepdims=True)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _is_linear(resample: Any) -> bool:
    """Whether nnU-Net's resampling of a stack of maps is bilinear in each of them."""
    is_torch = getattr(resample, "func", None) is resample_torch_fornnunet
    keywords = getattr(resample, "keywords", {})
    return (
        is_torch
        and keywords.get("force_separate_z") is False
        and not keywords.get("is_seg")
        and keywords.get("mode", "linear") == "linear"
    )


def _content(channels: npt.NDArray[Any]) -> Slices:
    """Rows and columns between black borders; all of an image that is black all over."""
    # Looking at the edges first is enough for most images.
    if all(edge.any() for edge in (channels[:, 0], channels[:, -1])) and all(
        edge.any() for edge in (channels[:, :, 0], channels[:, :, -1])
    ):
        return slice(0, channels.shape[1]), slice(0, channels.shape[2])
    has_content = np.any(channels, axis=0)
    rows, columns = (np.flatnonzero(np.any(has_content, axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return slice(0, channels.shape[1]), slice(0, channels.shape[2])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
