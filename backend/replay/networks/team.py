"""The real team of a replay: committees that are trained, look, and are corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from backend.replay.annotator import Annotator, Work
from backend.replay.images.library import Library, LibraryCase, truth_of
from backend.replay.look import Look
from backend.replay.networks.committee import Committees, Recipe, Training
from backend.replay.networks.looker import LOOKS, Looker
from backend.replay.rounds import clicks
from training.presets import Preset


class Committee:
    """``rounds.Team`` with the product's training and networks. For several threads."""

    def __init__(
        self, library: Library, root: Path, preset: Preset, committees: Committees, device: str
    ) -> None:
        """Takes where everything is.

        Args:
            library: Of images.
            root: Its folder.
            preset: Of every training.
            committees: Trains and keeps.
            device: Predicts.
        """
        self._library, self._root, self._preset = library, root, preset
        self._committees, self._device = committees, device
        self._annotator = Annotator(library.class_values)

    def look(
        self, labelled: Sequence[LibraryCase], cases: Sequence[LibraryCase], seed: int
    ) -> Mapping[str, Look]:
        """As ``rounds.Team``."""
        recipe = self.recipe(labelled, seed)
        with self._committees.alone(recipe):
            return self._looker(recipe).look(cases, self._committees.folder(recipe) / LOOKS)

    def label(
        self, labelled: Sequence[LibraryCase], batch: Sequence[LibraryCase], seed: int
    ) -> Sequence[Work]:
        """As ``rounds.Team``."""
        truths = {case.case_id: truth_of(self._root, case.case_id) for case in batch}
        if not labelled:
            return [self._annotator.draw(truths[case.case_id]) for case in batch]
        recipe = self.recipe(labelled, seed)
        with self._committees.alone(recipe):
            return [
                self._annotator.correct(mean, truths[case.case_id], clicks(seed, case.case_id))
                for case, mean in self._looker(recipe).means(batch)
            ]

    def training(self, labelled: Sequence[LibraryCase], seed: int) -> Training | None:
        """What training on these took; None where nobody has."""
        return self._committees.training(self.recipe(labelled, seed))

    def forget(self, labelled: Sequence[LibraryCase], seed: int) -> None:
        """Frees the room of networks that are not needed again."""
        recipe = self.recipe(labelled, seed)
        with self._committees.alone(recipe):
            self._committees.forget_weights(recipe)

    def _looker(self, recipe: Recipe) -> Looker:
        return Looker(
            lambda: self._committees.trained(recipe),
            self._root,
            self._library.class_values,
            self._device,
        )

    def recipe(self, labelled: Sequence[LibraryCase], seed: int) -> Recipe:
        """What the committee of a labelled set follows from."""
        return Recipe(self._library, tuple(labelled), self._preset, seed)
