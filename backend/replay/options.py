"""What is played: strategies, seeds, how much is labelled, how long is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from active_learning.strategies import STRATEGY_NAMES
from domain.errors import SettingsError
from training.presets import Preset, preset_by_name

RANDOM = "random"
STRATIFIED = "stratified_random"
ORACLE = "oracle_stratified_random"
"""Draws by the classes that an image really has, which nobody knows before it is labelled: no
strategy, but the bound of what knowing the classes could gain."""

BASELINES = (RANDOM, STRATIFIED, ORACLE)
"""Always played: whoever does not beat them gains nothing."""

EPOCHS = 5
"""Of a training: its steps are dealt out to so many, for the learning rate to fall in."""

PATCHES = 2
"""In a step, where they are as large as they may be: the fewest that nnU-Net takes."""

_SMALLEST_SIDE = 32
_EVERYTHING = 0.9


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What is played.

    Attributes:
        strategies: Names; the baselines are added.
        seeds: Seeds 0, 1, ...: each draws another start, other weights.
        start: Images labelled before the first training.
        batch: Images that each round adds.
        rounds: Trainings of a strategy: the first on the start, each other one on a batch more.
        preset: Its network and learning rate; ``steps`` and ``image_side`` take the place of its
            own.
        steps: Optimiser steps of every network, whatever it is trained on.
        image_side: Longest side, in pixels, at which the networks see the median image. Where
            classes lose their shapes there, they see patches of a finer one, as in a project.
        folds: Networks of a committee; fewer where fewer groups are labelled.
        test_share: Of the images, kept aside to measure on.

    Raises:
        SettingsError: There is no such strategy or preset, or a number is out of range.
    """

    strategies: tuple[str, ...] = BASELINES
    seeds: int = 4
    start: int = 8
    batch: int = 8
    rounds: int = 6
    preset: str = "pretrained"
    steps: int = 200
    image_side: int = 128
    folds: int = 3
    test_share: float = 0.3

    def __post_init__(self) -> None:
        """Adds the baselines, and checks everything."""
        wanted = tuple(dict.fromkeys((*BASELINES, *self.strategies)))
        object.__setattr__(self, "strategies", wanted)
        unknown = sorted(set(wanted) - {*STRATEGY_NAMES, ORACLE})
        if unknown:
            raise SettingsError(
                f"There is no query strategy {unknown[0]!r}.",
                remedy=f"Choose among {', '.join((*STRATEGY_NAMES, ORACLE))}.",
            )
        preset_by_name(self.preset)
        lowest = {
            "seeds": 1,
            "start": 1,
            "batch": 1,
            "rounds": 1,
            "steps": EPOCHS,
            "image_side": _SMALLEST_SIDE,
            "folds": 2,
        }
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise SettingsError(
                    f"{_option(name)} must be at least {least}, got {getattr(self, name)}.",
                    remedy="Give a larger number.",
                )
        if not 0.0 < self.test_share <= _EVERYTHING:
            raise SettingsError(
                f"--test-share must be above 0 and at most {_EVERYTHING}, got {self.test_share}.",
                remedy="Give the share of the images to measure on, such as 0.3.",
            )

    @property
    def training_preset(self) -> Preset:
        """The preset as it is trained here: so many steps in all cases, smaller images."""
        own = preset_by_name(self.preset)
        epochs = min(EPOCHS, self.steps)
        found = replace(
            own,
            n_folds=self.folds,
            epochs=epochs,
            iterations_per_epoch=-(-self.steps // epochs),
            val_iterations=1,
            max_image_side=self.image_side,
            min_image_side=None,
            max_patch_side=self.image_side,
            batch_size=None,
            batch_pixels=PATCHES * self.image_side**2,
            min_batch_pixels=None,
            # No time for what changes no order: one look at each image, no end before the others'.
            mirror_predict=False,
            patience=None,
            budget_s=None,
            postprocess=False,
            compile=False,
        )
        return found

    def rules(self) -> dict[str, object]:
        """All that a round depends on besides its strategy and seed, as a JSON value."""
        values = asdict(self)
        return {name: values[name] for name in values if name not in ("strategies", "seeds")}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
