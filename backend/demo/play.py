"""The demo, step by step, on real parts: Label Studio, Redis, nnU-Net."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from pydantic import SecretStr

from backend.demo.figures import DemoFigures, VersionFigures, measure
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.options import DemoOptions
from backend.demo.person import Person
from backend.demo.queue import Offer, offer_of, offers_lowest, wait_for_queue, with_draws
from backend.demo.ultrasound import generate
from backend.demo.view import View
from backend.label_studio import LabelStudioClient
from backend.pipeline.basis.context import AppContext
from backend.pipeline.connection.connect import connect
from backend.pipeline.queues.report import ControlArmReport, TabReport, tab_reports
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport, project_report
from backend.report.write import ReportOptions, make_folder, write_report
from backend.settings import Settings
from backend.stack import service
from backend.stack.install import ensure_label_studio
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.supervisor import Supervisor
from backend.store.training import versions
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import StackError, TrainingError
from domain.geometry import LabelMap
from domain.states import RunStatus
from training.processes.command import module_command

PROJECT_TITLE = "Carotid ultrasound (synthetic)"
FIRST_LABELS = 12
CORRECTIONS = 8

# Far above what a run takes on two cores (3 to 4 minutes); past it something hangs.
RUN_TIMEOUT_S = 1800.0
POLL_S = 0.5


@dataclass(slots=True)
class _Stage:
    """What the steps of the demo hand on to each other."""

    context: AppContext
    client: LabelStudioClient
    project_id: int = 0
    truth: dict[int, LabelMap] = field(default_factory=dict)
    figures: list[VersionFigures] = field(default_factory=list)
    corrected: list[Offer] = field(default_factory=list)
    offers_were_lowest: list[bool] = field(default_factory=list)
    control_arm: ControlArmReport | None = None
    report: Path = Path()


def play(options: DemoOptions, view: View) -> DemoFigures:
    """Runs the demo; without ``once`` it then serves until Ctrl-C.

    Raises:
        NnloopError: A part did not start, or a run failed; everything is stopped first.
        FileFormatError: There can be no report in its folder.
    """
    started = time.monotonic()
    make_folder(options.report)  # now, not after minutes
    with _data_dir(options) as data_dir:
        supervisor = Supervisor(on_event=view.event)
        try:
            settings, login = _label_studio(data_dir, supervisor, view)
            with service.running(settings, supervisor=supervisor) as (_, ready):
                context = AppContext.open(ready)
                stage = _Stage(context, context.label_studio)
                _steps(stage, options, view)
                seconds = time.monotonic() - started
                if options.picture is not None:
                    _picture(stage, options, options.picture, view)
                if not options.once:
                    view.result(_figures(stage, seconds, 0))
                    tabs = tab_reports(context, stage.project_id)
                    view.serving(stage.client.url, stage.project_id, tabs, login, data_dir)
                    supervisor.wait()
                context.store.close()
        finally:
            supervisor.stop()
        figures = _figures(stage, seconds, len(supervisor.leftover_processes()))
    if options.once:
        view.result(figures)
    return figures


def _steps(stage: _Stage, options: DemoOptions, view: View) -> None:
    _make_project(stage, options, view)
    connect(
        stage.context,
        stage.project_id,
        {
            "min_annotations": FIRST_LABELS,
            "retrain_after": CORRECTIONS,
            # So that all that chance drew is corrected before the second version.
            "queue_length": CORRECTIONS,
            # An artery covers thousands of pixels; smaller parts are specks.
            "min_region_area_px": 300,
            "budget_s": options.budget_s,
        },
    )
    tab = wait_for_queue(stage.context, stage.project_id, lambda tab: tab.length > 0)
    config = parse_label_config(LABEL_CONFIG)
    person = Person(stage.client, stage.project_id, config, stage.truth, options.seed, tab.title)
    view.headline(f"A simulated annotator labels {FIRST_LABELS} tasks in the tab {tab.title!r}")
    for _ in view.track(person.work_the_queue(FIRST_LABELS), FIRST_LABELS, "Labelling"):
        pass
    view.headline("The webhook starts the first training")
    _follow(stage, 1, view)
    # Filled by the version's scores now.
    wait_for_queue(
        stage.context, stage.project_id, lambda now: bool(now.left) and now.strategy != tab.strategy
    )
    _check_order(stage, tab)
    if options.versions == 2:
        view.headline(f"The annotator corrects {CORRECTIONS} tasks, as the queue serves them")
        for served in view.track(person.work_the_queue(CORRECTIONS), CORRECTIONS, "Correcting"):
            stage.corrected.append(offer_of(served))
        stage.corrected = with_draws(stage.context, stage.project_id, stage.corrected)
        view.offers(stage.corrected)
        view.headline("The webhook starts the second training")
        _follow(stage, 2, view)
        wait_for_queue(stage.context, stage.project_id, lambda now: bool(now.left))
        _check_order(stage, tab)
    view.headline("A report on the project is written")
    stage.control_arm = project_report(stage.context, stage.project_id).control_arm
    stage.report = write_report(
        stage.context, stage.project_id, ReportOptions(options.report.absolute())
    )


def _check_order(stage: _Stage, tab: TabReport) -> None:
    stage.offers_were_lowest.append(offers_lowest(stage.client, stage.project_id, tab.title))


@contextmanager
def _data_dir(options: DemoOptions) -> Iterator[Path]:
    if options.data_dir is not None:
        yield options.data_dir.expanduser().resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="nnloop-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _label_studio(
    data_dir: Path, supervisor: Supervisor, view: View
) -> tuple[Settings, tuple[str, str] | None]:
    """The Label Studio to use: the one of LABEL_STUDIO_URL, or one started here."""
    settings = Settings.load(data_dir=data_dir, port=0)
    if settings.label_studio_url:
        url, key = settings.require_label_studio()
        with LabelStudioClient(url, key) as client:
            client.whoami()
        return settings, None
    executable = os.environ.get("NNLOOP_LABEL_STUDIO_BIN")
    binary = Path(executable) if executable else ensure_label_studio(on_progress=view.install)
    server = LabelStudioServer.open(binary, data_dir / "label-studio")
    supervisor.add(server.spec())
    update = {
        "label_studio_url": server.url,
        "label_studio_api_key": SecretStr(server.credentials.token),
    }
    login = (server.credentials.email, server.credentials.password)
    return settings.model_copy(update=update), login


def _make_project(stage: _Stage, options: DemoOptions, view: View) -> None:
    view.headline(f"Project {PROJECT_TITLE!r} with {options.images} generated images")
    samples = list(
        view.track(
            (generate(i, options.seed) for i in range(options.images)), options.images, "Drawing"
        )
    )
    files = [(f"{sample.name}.png", _png(sample.image)) for sample in samples]
    project = stage.client.create_project(PROJECT_TITLE, LABEL_CONFIG)
    task_ids = stage.client.import_images(project.id, files)
    stage.project_id = project.id
    stage.truth = {task_id: sample.truth for task_id, sample in zip(task_ids, samples, strict=True)}


def _png(image: cv2.typing.MatLike) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def _follow(stage: _Stage, number: int, view: View) -> None:
    """Shows a run until it is over, then measures what it pushed."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    with view.run() as show:
        while True:
            report = project_report(stage.context, stage.project_id)
            run = _run(report, number)
            show(report, run)
            if run is not None and run.status.is_final:
                break
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"Run {number} is not over after {RUN_TIMEOUT_S:.0f} s: {report.waiting_for}.",
                    remedy=f"See the logs in {stage.context.settings.data_dir / 'logs'}.",
                )
            time.sleep(POLL_S)
    if run.status != RunStatus.DONE:
        raise TrainingError(f"Run {number} {run.status}: {run.error}")
    config = parse_label_config(LABEL_CONFIG)
    stage.figures.append(measure(stage.client, report, run, config, stage.truth))
    view.version(stage.figures[-1])


def _run(report: ProjectReport, number: int) -> RunReport | None:
    return next((run for run in report.runs if run.number == number), None)


def _figures(stage: _Stage, seconds: float, leftover: int) -> DemoFigures:
    return DemoFigures(
        versions=tuple(stage.figures),
        corrected=tuple(stage.corrected),
        control_arm=stage.control_arm,
        first_offered_is_lowest_score=all(stage.offers_were_lowest),
        report=str(stage.report),
        seconds_total=round(seconds, 1),
        leftover_processes=leftover,
    )


def _picture(stage: _Stage, options: DemoOptions, path: Path, view: View) -> None:
    """Has the champion draw the unlabelled image whose score is at the lower quartile."""
    view.headline(f"Drawing {path}")
    with stage.context.store.begin() as session:
        version = versions.champion(session, stage.project_id)
    if version is None:
        raise StackError("No version serves, so there is no prediction to draw.")
    rows = [
        row
        for row in stage.client.iter_predictions(stage.project_id, version.name)
        if row.score is not None and stage.truth[row.task_id].any()
    ]
    rows.sort(key=lambda row: (row.score, row.task_id))
    index = sorted(stage.truth).index(rows[len(rows) // 4].task_id)
    # A process of its own: this one never loads networks.
    command = module_command("backend.demo.picture", version.path)
    subprocess.run([*command, str(index), str(options.seed), str(path)], check=True)
