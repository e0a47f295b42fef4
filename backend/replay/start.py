"""Starts a replay in a process of its own, for those that load no networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.replay.options import ReplayOptions
from converters.bookkeeping.documents import to_json
from training.devices import list_devices
from training.pretrained import require_weights
from training.processes.networks import run_child

CHILD_MODULE = "backend.replay.networks.process"

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that say how many threads one fold, or one prediction, has. Of more than there are free
cores, each waits for the slowest."""


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """What the process plays: a library's folder, and the rules."""

    root: str
    options: ReplayOptions


def start_replay(
    root: Path, options: ReplayOptions, on_line: Callable[[str], None] = lambda _: None
) -> None:
    """Plays to the end what is not on disk yet; called again after any end, it goes on.

    Args:
        root: Where ``library.write_library`` has put the images.
        options: The rules.
        on_line: Called with a line for each round.

    Raises:
        PredictionError: It could not go on; or it ended before its time.
        SettingsError: The preset's weights are not installed.
    """
    require_weights(options.training_preset)
    spec = ReplaySpec(str(root.resolve()), options)
    run_child(
        CHILD_MODULE,
        to_json(ReplaySpec, spec),
        on_line,
        work="played the replay",
        env=dict.fromkeys(_THREADS, str(list_devices()[0].threads)),
    )
