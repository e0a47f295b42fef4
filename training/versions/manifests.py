"""What a version was trained on, as the store and manifest.json keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from domain.case import Manifest
from training.presets import Preset
from training.symmetries.symmetries import FREE, Symmetries


@dataclass(frozen=True, slots=True)
class SeenCase:
    """A case that weights were trained on, as the manifest of that training named it.

    The first five as in ``ManifestEntry``; ``group_key`` is the setting that explains ``group``.
    """

    case_id: str
    task_id: int
    source: str
    image_hash: str
    group: str
    group_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldStart:
    """How the training of a fold starts.

    Attributes:
        seed: Of weights, sampling and augmentation.
        version: The project's version whose weights it starts from; "" for others and fresh ones.
        fold: The fold of that version.
        path: The file of weights, where a person has named the model; "" otherwise.
        head: As of ``FoldSpec``; None where the classes are the same.
        seen: What that fold and its ancestors were trained on, but for what this fold is trained
            on under the same names; None where nobody can tell.
    """

    seed: int
    version: str = ""
    fold: int = 0
    path: str = ""
    head: tuple[int, ...] | None = None
    seen: tuple[SeenCase, ...] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest(Manifest):
    """What a run trains on, and how.

    Attributes:
        preset: All of it as it was when the run began; a later release may change its own.
        preset_reason: Why it was taken; "" where a person has chosen it.
        replanned: Why plans were made although there were some; "" when they stayed.
        symmetries: Flips and turns that its images bear.
        starts: Of fold 0, 1, ...; () until the run goes to training.
        form: Of this document.
    """

    preset: Preset
    preset_reason: str = ""
    replanned: str = ""
    symmetries: Symmetries = FREE
    starts: tuple[FoldStart, ...] = ()
    form: Literal[1] = 1

    def start_of(self, fold: int) -> FoldStart | None:
        """How a fold starts; None where the manifest does not say so."""
        return self.starts[fold] if 0 <= fold < len(self.starts) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleManifest(Manifest):
    """What the members of an ensemble were trained on, in folds of the ensemble.

    Attributes:
        members: Version -> digest of its own manifest; "" when it was trained elsewhere.
        member_folds: Version -> its folds that predict fold 0, 1, ... of the ensemble; None: the
            mean of all it has.
        form: Of this document.
    """

    members: dict[str, str]
    member_folds: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    form: Literal[1] = 1
