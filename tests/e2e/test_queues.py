"""Two people label in a browser, each in their own tab: no task twice, lowest score first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction
from backend.pipeline.basis.context import AppContext
from backend.pipeline.queues.fill import fill_queues
from backend.pipeline.queues.report import TabReport, tab_reports
from backend.pipeline.sync.reading import sync_project
from backend.settings import ProjectSettings
from backend.stack.label_studio_server import LabelStudioServer
from backend.store.models import PredictionRow, ProjectRow, TaskRow, VersionRow
from backend.store.tasks.queues import QueueEntryRow
from backend.store.training import versions
from benchmarks.truth.people import Person
from domain.queues import QueueArm
from tests.e2e.nnloop_beside import connected
from tests.servers import logged_in

N_TASKS, LENGTH = 30, 10
PASSWORD = "their-own-9-words"
CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="label" toName="image"><Label value="lumen"/></PolygonLabels></View>"""
TASK = "() => Number(window.Htx?.task?.id ?? 0)"


@pytest.fixture
def project(client: LabelStudioClient) -> Iterator[ProjectInfo]:
    """Tasks of which a version has predicted each."""
    made = client.create_project("Queues", CONFIG)
    content = io.BytesIO()
    Image.new("L", (320, 240), 90).save(content, "PNG")
    files = [(f"{number}.png", content.getvalue()) for number in range(N_TASKS)]
    ids = client.import_images(made.id, files)
    scores = np.random.default_rng(0).permutation(N_TASKS) / N_TASKS
    client.import_predictions(
        made.id,
        [PushedPrediction(i, [], float(s), "nnloop-v1") for i, s in zip(ids, scores, strict=True)],
    )
    client.set_model_version(made.id, "nnloop-v1")
    yield made
    client.delete_project(made.id)


@pytest.fixture
def context(
    client: LabelStudioClient, project: ProjectInfo, label_studio: LabelStudioServer, tmp_path: Path
) -> Iterator[AppContext]:
    """nnloop beside the real Label Studio, the project connected and its version serving."""
    with connected(client, label_studio, tmp_path) as opened:
        _serve(opened, client, project)
        yield opened


def _serve(opened: AppContext, client: LabelStudioClient, project: ProjectInfo) -> None:
    store = opened.store
    pushed = {row.task_id: row.score for row in client.iter_predictions(project.id)}
    with store.begin() as session:
        row = ProjectRow(id=project.id, title=project.title, label_config=CONFIG)
        row.settings = ProjectSettings(queue_length=LENGTH, query_strategy="lowest_score")
        session.add(row)
    sync_project(opened, project.id)
    with store.begin() as session:
        version = VersionRow(project_id=project.id, name="nnloop-v1", path="")
        session.add(version)
        session.flush()
        versions.promote(session, version)
        version.published_at = 1.0
        for task in session.query(TaskRow):
            session.add(
                PredictionRow(
                    project_id=project.id,
                    task_id=task.id,
                    version_id=version.id,
                    score=pushed[task.id] or 0.0,
                    source=task.source,
                )
            )


def opened_stream(page: Page, tab: TabReport) -> int:
    """Opens the tab by its address and starts labelling it as displayed; the first task."""
    page.goto(tab.url)
    page.wait_for_selector(f"text={tab.title}")
    page.get_by_role("button", name="Toggle open").click()
    page.get_by_text("Label Tasks As Displayed").click()
    page.get_by_role("button", name="Submit current annotation").wait_for()
    page.wait_for_function(f"() => ({TASK})() > 0")
    return int(page.evaluate(TASK))


def submitted(page: Page, task_id: int) -> int:
    """Submits; the next task, 0 when Label Studio says that there is none."""
    with page.expect_response(
        lambda answer: (
            f"/tasks/{task_id}/annotations" in answer.url and answer.request.method == "POST"
        )
    ):
        page.get_by_role("button", name="Submit current annotation").click()
    page.wait_for_function(
        f"""before => {{
            const now = ({TASK})();
            const isOver = /no more|all tasks|queue is empty/i.test(document.body.innerText);
            return isOver || (now > 0 && now !== before);
        }}""",
        arg=task_id,
    )
    found = int(page.evaluate(TASK))
    return found if found != task_id else 0


def test_two_people_label_ten_tasks_each_none_twice_lowest_score_first(
    client: LabelStudioClient,
    project: ProjectInfo,
    context: AppContext,
    label_studio: LabelStudioServer,
    browser: Browser,
) -> None:
    admin = Person(label_studio.url, label_studio.credentials.token)
    emails = [f"{name}-{project.id}@example.com" for name in ("anna", "ben")]
    for email in emails:
        admin.invite(email, PASSWORD)
    admin.close()
    with context.store.begin() as session:
        row = session.get_one(ProjectRow, project.id)
        row.settings = ProjectSettings(
            queue_length=LENGTH, annotators=tuple(emails), query_strategy="lowest_score"
        )
    fill_queues(context, project.id)
    tabs = tab_reports(context, project.id)
    scores = {row.task_id: row.score or 0.0 for row in client.iter_predictions(project.id)}

    done: list[list[int]] = [[], []]
    with ExitStack() as stack:
        pages = [
            stack.enter_context(logged_in(browser, label_studio, (email, PASSWORD)))
            for email in emails
        ]
        now = [opened_stream(page, tab) for page, tab in zip(pages, tabs, strict=True)]
        for _ in range(LENGTH):
            for person, page in enumerate(pages):  # in turns, as two do at once
                done[person].append(now[person])
                now[person] = submitted(page, now[person])
        assert now == [0, 0]

        assert [len(set(tasks)) for tasks in done] == [LENGTH, LENGTH]
        assert not set(done[0]) & set(done[1])
        for tasks in done:
            assert [scores[i] for i in tasks] == sorted(scores[i] for i in tasks)
        with context.store.begin() as session:
            entries = session.query(QueueEntryRow).all()
            drawn = {arm: {e.task_id for e in entries if e.arm == arm} for arm in QueueArm}
        # Chance drew two for each; the strategy the lowest of the rest.
        assert len(drawn[QueueArm.CONTROL]) in (2, 3, 4)
        rest = sorted(scores.keys() - drawn[QueueArm.CONTROL], key=lambda i: scores[i])
        chosen = drawn[QueueArm.STRATEGY] - drawn[QueueArm.CONTROL]
        assert chosen == set(rest[: len(chosen)])

        # A few seconds later the next batch stands there.
        sync_project(context, project.id)
        fill_queues(context, project.id)
        following = opened_stream(pages[0], tabs[0])
        assert following not in {*done[0], *done[1]}
    annotated = {task.id: task.annotations for task in client.iter_tasks(project.id)}
    assert {i for i, found in annotated.items() if found} == {*done[0], *done[1]}
    people = [{annotated[i][0].completed_by for i in tasks} for tasks in done]
    assert [len(one) for one in people] == [1, 1] and people[0] != people[1]
