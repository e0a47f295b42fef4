"""Runs one fold in a child process: starts it, follows it, and never leaves it behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from converters.bookkeeping.documents import read_document, write_document
from domain.errors import DiskFullError, TrainerError, TrainingError
from training.devices import VARIABLE, visible_gpus
from training.folds.log import parse_progress
from training.folds.spec import (
    ERROR,
    LOG,
    PROGRESS,
    RESULT,
    SPEC,
    EpochProgress,
    FoldError,
    FoldResult,
    FoldSpec,
)
from training.processes.command import module_command
from training.processes.forked import Child, ForkServer
from training.processes.guarded import Guarded, ending_signal

CHILD_MODULE = "training.nnunet.learning.fold_process"

_OF_A_FOLD = ("nnUNet_compile", "CUDA_VISIBLE_DEVICES")
"""Variables that differ between the folds of one device."""

_TERMINATE_S = 3.0
"""Grace between SIGTERM and SIGKILL; checkpoints are atomic, so neither loses more."""

_LASTING = {"disk": DiskFullError, "trainer": TrainerError}
"""What is raised where training again would not help."""


def run_fold(
    spec: FoldSpec,
    on_progress: Callable[[EpochProgress], None],
    should_stop: Callable[[], bool],
    *,
    on_heartbeat: Callable[[], None] = lambda: None,
    forks: ForkServer | None = None,
    poll_s: float = 0.5,
) -> FoldResult | None:
    """Trains a fold to its end; continues one that was interrupted.

    The child ends with this process, and so does all it starts. A fold that has a result is
    not trained again, so the call can be repeated.

    Args:
        spec: What to train; the dataset must be prepared.
        on_progress: Called after each epoch, in order. After an interruption, epochs already
            reported are reported again.
        should_stop: Asked at every poll; True ends the child.
        on_heartbeat: Called at every poll.
        forks: Of ``fold_server``, for the spec's device and threads: the child needs no time to
            load nnU-Net. None: the child loads it.
        poll_s: Seconds between polls.

    Returns:
        The result; None when it was stopped on request.

    Raises:
        TrainingError: The child failed; the message is its one sentence; a DiskFullError or
            TrainerError where trying again would not help. Or the GPU asked for is
            not among those that CUDA_VISIBLE_DEVICES shows.
    """
    spec = _absolute(spec)
    folder = spec.fold_dir
    folder.mkdir(parents=True, exist_ok=True)
    progress = _Progress(folder / PROGRESS)
    if not (folder / RESULT).exists():
        (folder / ERROR).unlink(missing_ok=True)
        write_document(folder / SPEC, FoldSpec, spec)
        child = _start(spec, forks)
        try:
            while child.exit_code is None:
                progress.report(on_progress)
                on_heartbeat()
                if should_stop():
                    return None
                child.wait(poll_s)
        finally:
            code = child.stop()
        _raise_if_failed(spec, code)
    progress.report(on_progress)
    return read_document(folder / RESULT, FoldResult)


def fold_server(device: str, threads: int, log: int) -> ForkServer:
    """A process that has loaded nnU-Net; ``run_fold`` forks the folds of one worker from it.

    Args:
        device: As of ``FoldSpec``; not a GPU, which a process that forks must not have touched.
        threads: As of ``FoldSpec``.
        log: Open file for what it has to say beside its folds.
    """
    environment = {**os.environ, **_variables(device, threads), "CUDA_VISIBLE_DEVICES": ""}
    return ForkServer(CHILD_MODULE, env=environment, log=log)


def _start(spec: FoldSpec, forks: ForkServer | None) -> Child:
    folder, environment = spec.fold_dir, _environment(spec)
    if forks is not None:
        own = {name: environment[name] for name in _OF_A_FOLD}
        return forks.start([str(folder / SPEC)], env=own, log=folder / LOG, grace_s=_TERMINATE_S)
    with (folder / LOG).open("ab") as log:
        return Guarded(
            module_command(CHILD_MODULE, str(folder / SPEC)),
            grace_s=_TERMINATE_S,
            stdout=log,
            env=environment,
        )


class _Progress:
    """Reads the whole lines that were added to progress.jsonl since the last call."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def report(self, on_progress: Callable[[EpochProgress], None]) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            # Half a line is left where a child was killed; its epoch is trained again.
            if (epoch := parse_progress(line)) is not None:
                on_progress(epoch)


def _absolute(spec: FoldSpec) -> FoldSpec:
    # The spec is kept beside the fold, where a relative path says nothing.
    warm_start = spec.warm_start and str(Path(spec.warm_start).resolve())
    return replace(
        spec, workspace_root=str(Path(spec.workspace_root).resolve()), warm_start=warm_start
    )


def _variables(device: str, n_threads: int) -> dict[str, str]:
    """Of every fold of a device; some are read once, when nnU-Net and torch are imported."""
    threads, is_cpu = str(n_threads), device == "cpu"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        # Beside a GPU the threads are processes that make patches, one thread each.
        **dict.fromkeys(names, threads if is_cpu else "1"),
        "nnUNet_def_n_proc": threads,
        # 0 means: patches are made in the training process.
        "nnUNet_n_proc_DA": "0" if is_cpu else threads,
    }


def _environment(spec: FoldSpec) -> dict[str, str]:
    environment = {**os.environ, **_variables(spec.device, spec.threads)}
    kind, _, index = spec.device.partition(":")
    environment["nnUNet_compile"] = "true" if spec.preset.compile else "false"
    # nnU-Net always takes the first GPU it sees: show it the one we mean.
    environment["CUDA_VISIBLE_DEVICES"] = (
        _gpu(int(index or 0), os.environ.get("CUDA_VISIBLE_DEVICES")) if kind == "cuda" else ""
    )
    return environment


def _gpu(position: int, mask: str | None) -> str:
    """What the child's CUDA_VISIBLE_DEVICES must be for a GPU of this process."""
    if mask is None:
        return str(position)
    visible = visible_gpus(mask)
    if position >= len(visible):
        # Any other would be one that somebody has hidden from us.
        raise TrainingError(
            f"There is no GPU cuda:{position}: CUDA_VISIBLE_DEVICES={mask} shows {len(visible)}.",
            remedy=f"Correct {VARIABLE} or CUDA_VISIBLE_DEVICES, then start the worker again.",
        )
    return visible[position]


def _raise_if_failed(spec: FoldSpec, code: int) -> None:
    folder = spec.fold_dir
    if code == 0 and (folder / RESULT).exists():
        return
    if (folder / ERROR).exists():
        error = read_document(folder / ERROR, FoldError)
        kind = _LASTING.get(error.lasting, TrainingError)
        raise kind(error.message, remedy=error.remedy)
    if name := ending_signal(code):
        raise TrainingError(
            f"The process that trained fold {spec.fold} was ended by {name}.",
            remedy="Run it again to continue; if the machine ran out of memory, free some first.",
        )
    raise TrainingError(
        f"The process that trained fold {spec.fold} ended with code {code} and no result.",
        remedy=f"See {folder / LOG}.",
    )
