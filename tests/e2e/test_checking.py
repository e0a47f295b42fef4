"""A person looks at doubtful labels: the tab lists them, one is right and one is corrected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.pipeline.basis.context import AppContext
from backend.pipeline.doubts.keep import keep_doubts
from backend.pipeline.doubts.report import CheckReport, check_report
from backend.pipeline.doubts.tab import TITLE, check_labels
from backend.pipeline.sync.reading import sync_project
from backend.settings import ProjectSettings
from backend.stack.label_studio_server import LabelStudioServer
from backend.store.models import ProjectRow, VersionRow
from backend.store.tasks import snapshots
from domain.annotation import Task
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.doubts import Doubt, DoubtKind, DoubtsPerCase
from tests.e2e.editor import Editor
from tests.e2e.nnloop_beside import connected
from tests.integration.loop.discs import CLASSES, LABEL_CONFIG, scene

N_TASKS, N_DOUBTED = 8, 3
WRONG = Doubt(DoubtKind.WRONG_CLASS, 0.9, 1, 2, (10, 20, 30, 40))
UPDATE = """() => [...document.querySelectorAll("button")]
  .some(button => button.innerText.trim() === "Update" && !button.disabled)"""
ROWS = """() => [...document.querySelectorAll("[class*=table-row-wrapper], [class*=row-wrapper]")]
  .map(row => parseInt(row.innerText)).filter(Number.isInteger)"""


@pytest.fixture
def project(client: LabelStudioClient) -> Iterator[ProjectInfo]:
    """Labelled tasks, as the editor saves them."""
    made = client.create_project("Checking", LABEL_CONFIG)
    scenes = [scene(seed) for seed in range(N_TASKS)]
    ids = client.import_images(made.id, [(f"{i}.png", one.png) for i, one in enumerate(scenes)])
    for task_id, one in zip(ids, scenes, strict=True):
        client.annotate(task_id, [{**region, "origin": "manual"} for region in one.result])
    yield made
    client.delete_project(made.id)


@pytest.fixture
def context(
    client: LabelStudioClient, project: ProjectInfo, label_studio: LabelStudioServer, tmp_path: Path
) -> Iterator[AppContext]:
    """nnloop, whose first version doubts the first tasks."""
    with connected(client, label_studio, tmp_path) as opened:
        with opened.store.begin() as session:
            row = ProjectRow(id=project.id, title=project.title, label_config=LABEL_CONFIG)
            row.settings = ProjectSettings(min_annotations=10_000)
            session.add(row)
        sync_project(opened, project.id)
        doubt(opened, project.id)
        yield opened


def doubt(context: AppContext, project_id: int) -> None:
    """A version has doubted the labels of the first ``N_DOUBTED`` tasks."""
    with context.store.begin() as session:
        version = VersionRow(project_id=project_id, name="nnloop-v1", path="")
        session.add(version)
        session.flush()
        labels = snapshots.chosen_hashes(session, project_id, "latest")
        entries = tuple(
            ManifestEntry(
                case_id=case_id_of_task(task_id, one.source),
                task_id=task_id,
                annotation_id=one.annotation_id,
                content_hash="of a label map",
                group=str(task_id),
                fold=0,
                source=one.source,
            )
            for task_id, one in sorted(labels.items())
        )
        manifest = Manifest(
            entries=entries, left_out=(), class_values=CLASSES, n_folds=2, group_key=""
        )
        doubts: DoubtsPerCase = {entry.case_id: () for entry in entries}
        doubts |= {entry.case_id: (WRONG,) for entry in entries[:N_DOUBTED]}
        keep_doubts(session, version, manifest, labels, doubts)


def look_again(context: AppContext, project_id: int) -> CheckReport:
    """What is said after the next reading."""
    sync_project(context, project_id)
    check_labels(context, project_id)
    return check_report(context, project_id)


def update(page: Page) -> None:
    """Presses Update as soon as it can be pressed, and waits until Label Studio has it."""
    page.wait_for_function(UPDATE)
    with page.expect_response(
        lambda answer: "/api/annotations/" in answer.url and answer.request.method == "PATCH"
    ) as answered:
        page.get_by_role("button", name="submit").click()
    assert answered.value.status == 200


def test_the_tab_lists_them_and_what_was_looked_at_leaves_it(
    client: LabelStudioClient, project: ProjectInfo, context: AppContext, page: Page
) -> None:
    check_labels(context, project.id)
    report = check_report(context, project.id)
    doubted = [one.task_id for one in report.labels]
    before = tasks(client, project.id)
    assert doubted == sorted(before)[:N_DOUBTED]
    page.goto(report.tab_url)
    page.wait_for_selector(f"text={TITLE}")
    page.wait_for_function(f"n => ({ROWS})().length === n", arg=N_DOUBTED)
    assert page.evaluate(ROWS) == doubted

    # As it is, it can't be saved: Update is grey, and no menu has a star.
    editor = Editor.open(page, project.id, doubted[0], n_regions=2)
    assert not page.evaluate(UPDATE)
    # Whoever finds it right deletes something, takes that back, and presses Update.
    remove_region(editor)
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "() => window.Htx.annotationStore.selected.regionStore.regions.length == 2"
    )
    update(page)
    # The other one is wrong.
    editor = Editor.open(page, project.id, doubted[1], n_regions=2)
    remove_region(editor)
    update(page)

    after = tasks(client, project.id)
    right, wrong, rest = doubted
    assert after[right].annotations[0].result == before[right].annotations[0].result
    assert after[right].annotations[0].updated_at > before[right].annotations[0].updated_at
    assert len(after[wrong].annotations[0].result) == 1
    report = look_again(context, project.id)
    assert [one.task_id for one in report.labels] == [rest]
    assert report.n_checked == 1
    page.goto(report.tab_url)
    page.wait_for_selector(f"text={TITLE}")
    page.wait_for_function(f"n => ({ROWS})().length === n", arg=1)
    assert page.evaluate(ROWS) == [rest]


def remove_region(editor: Editor) -> None:
    """Deletes a region by the keyboard."""
    editor.page.evaluate(
        """() => { const shown = window.Htx.annotationStore.selected;
                   shown.selectArea(shown.regionStore.regions[1]); }"""
    )
    editor.page.wait_for_timeout(500)
    editor.page.keyboard.press("Backspace")
    editor.page.wait_for_function(
        "() => window.Htx.annotationStore.selected.regionStore.regions.length == 1"
    )


def tasks(client: LabelStudioClient, project_id: int) -> dict[int, Task]:
    """Task id -> the task as it is."""
    return {task.id: task for task in client.iter_tasks(project_id)}
