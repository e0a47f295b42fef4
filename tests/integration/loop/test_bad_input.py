"""Tasks that can't be used: each is named with what was wrong, and the run goes on without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.connection.connect import connect
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProblemReport, ProjectReport, project_report
from backend.stack.ports import LOOPBACK
from backend.store.models import RunRow
from backend.store.training.runs import manifest_of
from domain.errors import LabelConfigError, NotConnectedError
from domain.states import RunStatus
from tests.integration.loop.discs import region, scene
from tests.integration.loop.stack import Loop, LoopProject
from training.case_files import read_image

CHEAP = {"budget_s": 1.0}
SECRETS = "http://169.254.169.254/latest/meta-data/"
ANSWERS = {"/refused.png": (401, b""), "/notes.png": (200, b"not a picture at all")}
SQUARE = [[20, 20], [90, 20], [90, 90], [20, 90]]


class _ImageHost(BaseHTTPRequestHandler):
    """Refuses, misses or garbles, by the path asked for."""

    def do_GET(self) -> None:
        status, body = ANSWERS.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def image_host() -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), _ImageHost)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def import_urls(loop: Loop, project: LoopProject, urls: list[str]) -> list[int]:
    """One task per address, as a person imports a list; Label Studio does not look at them."""
    answer = loop.client._connection.json(
        "POST",
        f"/api/projects/{project.id}/import",
        params={"return_task_ids": "true"},
        body=[{"image": url} for url in urls],
    )
    return [int(task_id) for task_id in answer["task_ids"]]


@dataclass(frozen=True)
class Troubled:
    """A run among tasks that can't be used, by what is wrong with them."""

    tasks: dict[str, int]
    run: RunReport
    report: ProjectReport
    used: set[int]
    left_out: dict[int, str]
    label_png: Path
    predictions: dict[int, PushedPrediction]

    def problem(self, name: str, stage: str = "prepare") -> ProblemReport:
        """The one problem about a task."""
        (found,) = (
            p for p in self.report.problems if p.task_id == self.tasks[name] and p.stage == stage
        )
        return found


@pytest.fixture(scope="module")
def troubled(loop: Loop, image_host: str) -> Troubled:
    project = loop.make_project("Troubled", 8, settings={**CHEAP, "min_annotations": 9})
    names = ["good 1", "good 2", "good 3", "empty", "skipped", "deleted", "unknown", "pool"]
    tasks = dict(zip(names, project.task_ids, strict=True))
    paths = ["gone.png", "refused.png", "notes.png", "pool-gone.png"]
    urls = [*(f"{image_host}/{path}" for path in paths), SECRETS]
    by_url = import_urls(loop, project, urls)
    tasks |= zip(["gone", "refused", "text", "pool gone", "pool inner"], by_url, strict=True)
    upload = loop.client.task(tasks["deleted"]).data["image"].removeprefix("/data/")
    (loop.label_studio.data_dir / "media" / upload).unlink()
    loop.client.annotate(tasks["skipped"], [], was_cancelled=True)
    loop.client.annotate(tasks["empty"], [])
    loop.client.annotate(tasks["unknown"], [region("plaque", SQUARE)])
    for name in ("deleted", "gone", "refused", "text"):
        loop.client.annotate(tasks[name], [region("disc", SQUARE)])
    loop.annotate(project, [tasks[f"good {i}"] for i in (1, 2, 3)])
    run = loop.finished_run(project, 1)
    with loop.context.store.begin() as session:
        manifest = manifest_of(session.get_one(RunRow, run.id))
    case_ids = {entry.task_id: entry.case_id for entry in manifest.entries}
    return Troubled(
        tasks=tasks,
        run=run,
        report=loop.report(project),
        used={entry.task_id for entry in manifest.entries},
        left_out={item.task_id: item.reason for item in manifest.left_out},
        label_png=loop.context.workspace(project.id).label_png(case_ids[tasks["empty"]]),
        predictions={row.task_id: row for row in loop.client.iter_predictions(project.id)},
    )


def test_the_run_goes_on_with_what_can_be_used(troubled: Troubled) -> None:
    assert (troubled.run.status, troubled.run.error) == (RunStatus.DONE, "")
    assert troubled.used == {troubled.tasks[n] for n in ("good 1", "good 2", "good 3", "empty")}
    assert (troubled.run.labels, troubled.run.left_out) == (4, 6)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("deleted", "image_missing", "does not exist"),  # the upload's file is gone
        ("gone", "image_missing", "does not exist"),  # 404
        ("refused", "image_refused", "was refused (status 401)"),
        ("text", "not_an_image", "image"),
        ("unknown", "unknown_label", "has the label 'plaque', which the labelling"),
    ],
)
def test_a_task_left_out_is_named_with_the_reason(
    troubled: Troubled, name: str, reason: str, words: str
) -> None:
    task_id = troubled.tasks[name]
    assert troubled.left_out[task_id] == reason
    problem = troubled.problem(name)
    assert problem.reason == reason
    assert problem.message.startswith(f"Task {task_id}: ")
    assert words in problem.message


def test_an_empty_annotation_is_trained_on_as_background(troubled: Troubled) -> None:
    drawn = read_image(troubled.label_png)
    assert drawn.shape == (128, 160)
    assert not drawn.any()


def test_a_skipped_task_is_left_out_and_is_no_problem(troubled: Troubled) -> None:
    task_id = troubled.tasks["skipped"]
    assert troubled.left_out[task_id] == "skipped"
    assert troubled.report.skipped == 1
    assert task_id not in {p.task_id for p in troubled.report.problems}
    assert task_id not in troubled.predictions


def test_an_unlabelled_task_without_image_does_not_hold_up_the_pool(troubled: Troubled) -> None:
    assert set(troubled.predictions) == {troubled.tasks["pool"]}
    problem = troubled.problem("pool gone", stage="score")
    assert "pool-gone.png' does not exist" in problem.message
    # Where a cloud keeps a machine's secrets: not asked, however often an annotator imports it.
    problem = troubled.problem("pool inner", stage="score")
    assert problem.reason == "host_refused"
    assert "NNLOOP_IMAGE_HOSTS=127.0.0.1,169.254.169.254 " in problem.remedy


def test_status_names_every_one_of_them(loop: Loop, troubled: Troubled) -> None:
    answer = loop.nnloop("status", "Troubled", "--problems", COLUMNS="1000")
    assert answer.status == 0
    assert len(troubled.report.problems) == 7
    lines = [line.split(maxsplit=1) for line in answer.text.splitlines()]
    for problem in troubled.report.problems:
        assert [problem.stage, problem.message] in [[w.strip() for w in line] for line in lines]
    assert "1 skipped" in answer.text


def test_a_run_with_one_usable_case_says_so(loop: Loop, image_host: str) -> None:
    project = loop.make_project("One case", 1, settings={**CHEAP, "min_annotations": 2})
    (gone,) = import_urls(loop, project, [f"{image_host}/gone.png"])
    project.scenes[gone] = scene(1)
    loop.annotate(project, project.task_ids)
    run = loop.finished_run(project, 1)
    assert run.status == RunStatus.FAILED
    assert run.error.startswith("Only 1 of 2 labelled tasks can be trained on (Task ")
    assert f"Task {gone}: the image" in run.error
    assert "Traceback" not in run.error
    report = loop.report(project)
    assert [(p.stage, p.reason) for p in report.problems if p.task_id is None] == [
        ("run", "run_failed")
    ]
    assert report.active_run is None


def test_a_label_config_that_draws_nothing_is_refused_before_anything_is_changed(
    loop: Loop,
) -> None:
    config = """<View><Image name="image" value="$image"/>
      <Choices name="label" toName="image"><Choice value="disc"/></Choices></View>"""
    made = loop.client.create_project("Choices", config)
    with pytest.raises(LabelConfigError, match="PolygonLabels"):
        connect(loop.context, made.id, {})
    assert loop.client.list_backends(made.id) == []
    with pytest.raises(NotConnectedError):
        project_report(loop.context, made.id)
