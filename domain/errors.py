"""Every error nnloop raises on purpose.

::

    NnloopError
    +-- SettingsError            a setting is missing or wrong
    |   +-- DeviceError          a device that a setting names is not there
    +-- LabelConfigError         the labelling interface can't be used
    +-- TaskError                one task can't be used; carries ``task_id`` and ``reason``
    |   +-- ImageError           missing, refused (401), not an image
    |   +-- AnnotationError      unknown label, empty geometry, wrong types
    +-- LabelStudioError         Label Studio refused, failed or did not answer
    |   +-- LabelStudioAuthError the key was refused
    |   +-- NotConnectedError    nnloop does not know this project
    |   +-- MissingError         Label Studio has no such thing (404)
    |   +-- ProjectGoneError     a connected project was deleted; carries ``reason``
    +-- TrainingError            a run or a fold can't go on
    |   +-- NotEnoughCasesError  fewer usable cases than a run needs
    |   +-- DiskFullError        the disk has no room for what comes next
    |   +-- TrainerError         a trainer makes no model that could serve
    |   +-- CaseError            some cases can't be trained on; carries ``faults``
    +-- PredictionError          a model version can't predict
    +-- FileFormatError          a file to read is not what it should be; names the place in it
    +-- DocumentError            a row or file of nnloop's own is not what it should be
    +-- StackError               a process nnloop needs can't be started or has died
    +-- TransitionError          a run or a fold can't go from one state to another

A message is one sentence that says what was wrong and the value got; ``remedy`` is one sentence
that says what to do. Neither ever holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.text import sayable


class NnloopError(Exception):
    """Base of the tree. ``str(error)`` is the message; ``remedy`` may be empty."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        # Parts of it may come from a file or a task, with half a character.
        super().__init__(sayable(message))
        self.remedy = sayable(remedy)

    @property
    def in_full(self) -> str:
        """Message and remedy, for a place that has one text for both."""
        return f"{self} {self.remedy}".strip()


class SettingsError(NnloopError):
    """A setting is missing or wrong; the message lists every fault found."""


class DeviceError(SettingsError):
    """A device that a setting names is not on this machine, or torch can't use it."""


class LabelConfigError(NnloopError):
    """The labelling configuration can't be parsed, or has no control nnloop can use."""


class TaskError(NnloopError):
    """One task can't be used. The run goes on without it.

    ``reason`` is a stable machine-readable word (``image_missing``, ``unknown_label``, ...).
    """

    def __init__(self, task_id: int, reason: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"Task {task_id}: {message}", remedy=remedy)
        self.task_id = task_id
        self.reason = reason


class ImageError(TaskError):
    """The image of a task is missing, refused, or no image."""


class AnnotationError(TaskError):
    """An annotation of a task can't be turned into a label map."""


class LabelStudioError(NnloopError):
    """Label Studio refused a call, failed, or did not answer in time."""


class LabelStudioAuthError(LabelStudioError):
    """Label Studio refused the key (401 or 403)."""


class NotConnectedError(LabelStudioError):
    """The project was never connected to nnloop."""


class MissingError(LabelStudioError):
    """Label Studio has no such project, task or prediction (404)."""


class ProjectGoneError(LabelStudioError):
    """A connected project was deleted in Label Studio, or another one has its id.

    ``reason`` is a stable machine-readable word.
    """

    def __init__(self, message: str, *, remedy: str = "", reason: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class TrainingError(NnloopError):
    """A training run or one of its folds can't go on."""


class NotEnoughCasesError(TrainingError):
    """Fewer usable cases than a training run needs."""


class CaseError(TrainingError):
    """Cases that can't be trained on. ``faults`` says why: case id -> sentence."""

    def __init__(self, faults: Mapping[str, str], *, remedy: str = "") -> None:
        first, why = next(iter(faults.items()))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"Case {first}{more}: {why}", remedy=remedy)
        self.faults = dict(faults)


class DiskFullError(TrainingError):
    """The disk has no room for what comes next; trying again does not help."""


class TrainerError(TrainingError):
    """A trainer makes no model that could serve; training with it again does not help."""


class PredictionError(NnloopError):
    """A model version can't be loaded or can't predict."""


class FileFormatError(NnloopError):
    """An export, mask or data set file can't be read; the message names the place in the file."""


class DocumentError(NnloopError):
    """A row or a JSON file that nnloop itself has written can't be read."""


class StackError(NnloopError):
    """A process nnloop needs can't be started, or has died."""


class TransitionError(NnloopError):
    """A run, a fold, or what is wanted of a run, can't go from one state to another."""
