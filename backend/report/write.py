"""Writes the report of a project: figures, pictures, then one page."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from backend.pipeline.basis.context import AppContext
from backend.report import html
from backend.report.cases.examined import Examined, examined_of
from backend.report.figures import ReportFigures, figures_of
from backend.report.section import Section
from backend.report.sections.cases import cases_section, unsure_section
from backend.report.sections.control import control_section
from backend.report.sections.doubtful import doubtful_section
from backend.report.sections.effort import effort_section
from backend.report.sections.learning import learning_section
from backend.report.sections.reliability import reliability_section
from backend.report.sections.summary import summary_section
from backend.report.sections.versions import versions_section
from backend.report.sections.words import moment
from backend.report.steps import OnStep, tell_nobody
from converters.bookkeeping.files import write_bytes
from domain.errors import FileFormatError

PAGE = "report.html"

N_CASES = 8
"""Of the worst cases, and half as many of the tasks that are least sure."""

PICTURES_S = 180.0
"""Longest time that pictures of cases may take; what is not made by then is left out."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a person chooses about a report.

    Attributes:
        out: Folder for report.html; made if missing.
        n_cases: Cases that are shown, the worst first; 0 = none.
        pictures_s: Seconds that their pictures may take.
        of_files: Whether labels and images are files, and there is no Label Studio.
    """

    out: Path
    n_cases: int = N_CASES
    pictures_s: float = PICTURES_S
    of_files: bool = False


def write_report(
    context: AppContext,
    project_id: int,
    options: ReportOptions,
    on_step: OnStep = tell_nobody,
) -> Path:
    """Writes the page in the place of an older one; where it is.

    Nothing is read from Label Studio but images, and nothing is changed there.

    Raises:
        NotConnectedError: nnloop does not know the project.
        FileFormatError: The folder can't be written to.
    """
    path = options.out / PAGE
    make_folder(options.out)
    on_step("Reading what is known of the project")
    figures = replace(figures_of(context, project_id), of_files=options.of_files)
    cases = examined_of(context, project_id, options.n_cases, options.pictures_s, on_step)
    on_step("Writing the page")
    text = html.page(figures.title, subtitle_of(figures), sections_of(figures, cases))
    with _writing(options.out):
        write_bytes(path, text.encode())
    return path


def make_folder(out: Path) -> None:
    """Makes the folder of a report, if it is missing, and sees that the page can be written.

    Raises:
        FileFormatError: It can't.
    """
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        if (out / PAGE).is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{PAGE} is a folder there")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileFormatError(
            f"The report can't be written to {out}: {error.strerror or error}.",
            remedy="Name another folder, or make room in this one.",
        ) from error


def sections_of(figures: ReportFigures, cases: Examined) -> Sequence[Section]:
    """All sections in order, of files those that need nobody who labels; pure."""
    if figures.of_files:
        return [
            summary_section(figures),
            versions_section(figures),
            learning_section(figures),
            reliability_section(figures),
            doubtful_section(figures),
            cases_section(cases),
        ]
    return [
        summary_section(figures),
        learning_section(figures),
        versions_section(figures),
        reliability_section(figures),
        control_section(figures),
        effort_section(figures),
        doubtful_section(figures),
        cases_section(cases),
        unsure_section(cases),
    ]


def subtitle_of(figures: ReportFigures) -> str:
    """When and of what."""
    of = f"Report of {moment(figures.made_at)}"
    if figures.of_files and figures.synced_at is not None:
        return f"{of} on files as they were at {moment(figures.synced_at)}."
    if figures.synced_at is None:
        return f"{of}. Label Studio has not been read yet."
    return f"{of} on what was read from Label Studio at {moment(figures.synced_at)}."
