"""Takes a run to its end in this process: prepares, trains its folds, judges the version."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from backend.from_files.context import PROJECT, FilesContext
from backend.from_files.start import NOTE
from backend.pipeline.folds import train
from backend.pipeline.folds.budget import budget_of
from backend.pipeline.folds.queue import enqueue_folds
from backend.pipeline.runs import control, ends, stages
from backend.pipeline.runs.notify import deliver_due
from backend.pipeline.runs.run_report import training_eta_s
from backend.queue import stop_requested
from backend.settings.duration import say_duration
from backend.store.models import FoldRow, RunRow
from backend.store.training import leases, runs
from domain.errors import TrainingError
from domain.states import FOLD, FoldStatus, RunControl, RunStatus
from domain.text import counted
from training.folds.slots import Slots
from training.presets import OWN_TRAINER, Preset

LOOK_S = 0.5
"""Seconds between two looks at what has become due."""

TELL_S = 5.0
"""Between two lines about epochs."""

FOLD_MINUTES = (1, 2)
"""Minutes that a fold of a preset for CPUs takes, from and to (``training.presets.TINY``)."""

_CONTROLLED = {
    RunControl.PAUSE: "paused by nnloop pause; nnloop resume lets it go on, and so does Ctrl-C and "
    "the same command again.",
    RunControl.RUN: "goes on.",
    RunControl.CANCEL: "is to end.",
}

Say = Callable[[str], None]


def drive(context: FilesContext, run_id: int, say: Say) -> None:
    """Takes the steps that the workers of a service take, one after the other; folds side by side.

    The same steps in the same states: what is cut off goes on where it was.

    Args:
        context: Of the folder.
        run_id: Which run.
        say: Called with a line for each step and each epoch.

    Raises:
        TrainingError: The run has failed.
    """
    with context.store.begin() as session:
        # Nobody else is at work in the folder: who was killed here before holds nothing.
        leases.free_all(session)
        is_paused = session.get_one(RunRow, run_id).control == RunControl.PAUSE
    if is_paused:  # whoever calls for a training wants it to go on
        say(control.resume(context, PROJECT))
    telling = _Telling(context, run_id, say)
    at_work: dict[tuple[int, ...], Future[None]] = {}
    with closing(Slots(context.queue.devices)) as slots, ThreadPoolExecutor(slots.n) as pool:

        def train_fold(run_id: int, fold: int) -> None:
            with slots.one() as (device, forks):
                place = train.WorkerDevice(device.name, device.threads)
                train.train_fold(context, run_id, fold, place, f"here-{fold}", forks=forks)

        while not stop_requested():
            status = telling.look()
            if status.is_final:
                break
            for over in [job for job, one in at_work.items() if one.done()]:
                at_work.pop(over).result()
            if status in (RunStatus.SCORING, RunStatus.PUBLISHING):
                # Nobody waits for predictions here, and there is nowhere to push them.
                ends.pool_scored(context, PROJECT)
                ends.published(context, PROJECT)
                continue
            if status == RunStatus.TRAINING:
                enqueue_folds(context)
                telling.begin(slots.n)
                while len(at_work) < slots.n and (job := context.queue.take()):
                    if job not in at_work:
                        at_work[job] = pool.submit(train_fold, *job)
            stages.advance(context, run_id)
            if telling.look() == status:
                # Folds are at work, or a step that failed pauses.
                time.sleep(LOOK_S)
    for why in deliver_due(context, PROJECT):
        say(f"{NOTE}Nobody was told how it ended: {why}")
    telling.end()


class _Telling:
    """Says how a run gets on, each thing once."""

    def __init__(self, context: FilesContext, run_id: int, say: Say) -> None:
        self._context, self._run_id, self._say = context, run_id, say
        self._status: RunStatus | None = None
        self._error = ""
        self._control = RunControl.RUN
        self._folds: dict[int, tuple[str, int]] = {}
        self._told = 0.0
        self._n_at_once = 0
        self._has_estimate = False

    def begin(self, n_at_once: int) -> None:
        """Says once how long training is to take, before it does.

        Args:
            n_at_once: Folds that train side by side.
        """
        if self._n_at_once:
            return
        self._n_at_once = n_at_once
        with self._context.store.read() as session:
            run = session.get_one(RunRow, self._run_id)
            folds = [f for f in runs.folds_of(session, self._run_id) if f.status in FOLD.active]
            budget_s = budget_of(run)
        if not folds or run.manifest is None:
            return
        self._say(NOTE + _expected(run.manifest.preset, len(folds), n_at_once, budget_s))

    def look(self) -> RunStatus:
        """The run's status now."""
        with self._context.store.read() as session:
            run = session.get_one(RunRow, self._run_id)
            folds = runs.folds_of(session, self._run_id)
        status = RunStatus(run.status)
        if status != self._status:
            self._status = status
            self._say(f"Run {run.number}: {status}.")
        if run.error and run.error != self._error and not status.is_final:
            self._say(f"Run {run.number}: {run.error} It is tried again.")
        self._error = run.error
        if run.control != self._control and RunControl.PAUSE in (run.control, self._control):
            self._say(f"Run {run.number}: {_CONTROLLED[RunControl(run.control)]}")
        self._control = RunControl(run.control)
        self._estimate(folds)
        for fold in folds:
            before, now = self._folds.get(fold.fold), (str(fold.status), fold.epoch)
            is_done = fold.status == FoldStatus.DONE
            if before == now or not (is_done or time.monotonic() - self._told > TELL_S):
                continue
            self._folds[fold.fold] = now
            if fold.epoch and not (is_done and before is None):
                self._told = time.monotonic()
                self._say(_line(fold))
        return status

    def _estimate(self, folds: Sequence[FoldRow]) -> None:
        """Says once how long all folds still take, by the first epochs."""
        if self._has_estimate or not any(0 < fold.epoch < fold.epochs for fold in folds):
            return
        left_s = training_eta_s(folds, self._n_at_once)
        if left_s is not None:
            self._has_estimate = True
            self._say(
                f"{NOTE}By its first epochs, training takes about {say_duration(left_s)} more."
            )

    def end(self) -> None:
        """Raises what a failed run says."""
        with self._context.store.read() as session:
            run = session.get_one(RunRow, self._run_id)
        if run.status in (RunStatus.FAILED, RunStatus.CANCELLED):
            how = "failed" if run.status == RunStatus.FAILED else "was cancelled"
            raise TrainingError(
                f"Run {run.number} {how}: {run.error or 'no reason is known.'}",
                remedy="Called again, the same command begins anew with what is prepared.",
            )


def _expected(preset: Preset, n_folds: int, n_at_once: int, budget_s: float | None) -> str:
    """How long training is to take, as far as that is known before."""
    rounds = math.ceil(n_folds / max(n_at_once, 1))
    folds = counted(n_folds, "fold")
    if n_folds > 1:
        folds += (
            ", one after the other" if n_at_once < 2 else f", {min(n_at_once, n_folds)} at once"
        )
    said = f"Training {folds}, with the preset {preset.name}"
    if budget_s is not None:
        return f"{said}: {say_duration(budget_s)} at most, as --budget says or the preset does."
    said += f": {counted(preset.epochs, 'epoch')} each"
    if preset.trainer == OWN_TRAINER and preset.max_image_side is not None:
        low, high = (say_duration(60.0 * rounds * minutes) for minutes in FOLD_MINUTES)
        said += f", {low} to {high} where each has a core to itself"
    return f"{said}. The first epoch will tell how long it takes here; --budget 30m would limit it."


def _line(fold: FoldRow) -> str:
    what = "done" if fold.status == FoldStatus.DONE else f"epoch {fold.epoch}/{fold.epochs}"
    dice = "" if fold.case_dice is None else f", Dice of held-out images {fold.case_dice:.3f}"
    left = "" if fold.eta_s is None else f", about {say_duration(fold.eta_s)} left"
    return f"Fold {fold.fold}: {what}{dice}{left}"
