"""The report of a real version: its pictures, its figures, and the world changing under it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.pipeline.connection.connect import connect
from backend.report.cases.chosen import worst_cases
from backend.report.write import PAGE
from backend.stack.ports import LOOPBACK, free_port
from backend.store import projects
from backend.store.models import AnnotationRow
from backend.store.training import versions
from tests.integration.loop.discs import region
from tests.integration.loop.stack import SMALL, Loop, Served

CHANGED = "is another now"


def write(loop: Loop, out: Path, *arguments: str, **environment: str) -> str:
    """The page that the command line writes."""
    done = loop.nnloop("report", "Discs", "--out", str(out), *arguments, **environment)
    assert done.status == 0, done.text
    assert done.text.strip() == f"The report: {out / PAGE}"
    return (out / PAGE).read_text()


def section(page: str, key: str) -> str:
    """One section of a page."""
    return page.split(f'<section id="{key}">')[1].split("</section>")[0]


def cards(page: str, key: str) -> dict[int, str]:
    """The cards of a section by task."""
    found = re.findall(r"<h3>Task (\d+): [^<]+</h3>(.*?)</article>", section(page, key), re.S)
    return {int(task): text for task, text in found}


@pytest.fixture(scope="module")
def page(loop: Loop, served: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(loop, tmp_path_factory.mktemp("report"))


def test_worst_cases_have_pictures_and_none_is_called_changed(page: str, served: Served) -> None:
    worst, unsure = cards(page, "worst"), cards(page, "unsure")
    assert set(worst) == set(served.project.task_ids[:6])
    assert {text.count('src="data:image/jpeg;base64,') for text in worst.values()} == {4}
    assert len(unsure) == 4 and not set(unsure) & set(worst)
    assert {text.count('src="data:image/jpeg;base64,') for text in unsure.values()} == {3}
    assert CHANGED not in page
    assert "No pictures" not in page


def test_figures_are_those_of_status(page: str, loop: Loop) -> None:
    (status,) = loop.nnloop("status", "Discs", "--json").body["projects"]
    (now,) = status["learning"]["versions"]
    assert f"{status['champion']} makes the predictions" in page
    assert f"{status['labelled']} of {status['tasks']} images" in page
    assert f"<strong>{now['held_out']:.2f}</strong>" in page
    assert f"<td>{now['quality']:.3f}</td>" in section(page, "learning")
    assert f"the same {status['learning']['n_cases']} images" in page
    assert status["control_arm"] is None and "drawn by chance is done yet" in page


def changed_cases(loop: Loop, project_id: int) -> list[int]:
    """Tasks of the worst cases that a report would call changed, of all that can be judged."""
    with loop.context.store.read() as session:
        project, version = projects.get(session, project_id), versions.champion(session, project_id)
        assert version is not None
        worst, n_judged = worst_cases(session, project, version, 20)
        assert len(worst) == n_judged >= 6
        return [one.task.id for one in worst if one.is_changed]


def test_a_case_is_called_changed_once_its_annotation_is_another(
    loop: Loop, served: Served
) -> None:
    project, task = served.project, served.project.task_ids[2]
    assert changed_cases(loop, project.id) == []
    (annotation,) = next(t.annotations for t in loop.client.iter_tasks(project.id) if t.id == task)

    def is_read() -> str:
        with loop.context.store.read() as session:
            query = select(AnnotationRow.content_hash).where(AnnotationRow.id == annotation.id)
            return session.scalars(query).one()

    before = is_read()
    connect(loop.context, project.id, {"retrain_after": 1000})  # a change starts no training
    try:
        other = [region("disc", [[5, 5], [60, 5], [60, 60]])]
        loop.client.update_annotation(annotation.id, other)
        loop.wait_until(lambda: is_read() != before, 60, "the changed annotation")
        assert changed_cases(loop, project.id) == [task]
    finally:
        loop.client.update_annotation(annotation.id, project.scenes[task].result)
        loop.wait_until(lambda: is_read() == before, 60, "the annotation as it was")
        connect(loop.context, project.id, {"retrain_after": SMALL["retrain_after"]})
    assert changed_cases(loop, project.id) == []


def test_without_label_studio_it_is_written_and_says_what_is_missing(
    loop: Loop, served: Served, page: str, tmp_path: Path
) -> None:
    nowhere = f"http://{LOOPBACK}:{free_port()}"
    found = write(loop, tmp_path, "--cases", "2", LABEL_STUDIO_URL=nowhere)
    worst, unsure = cards(found, "worst"), cards(found, "unsure")
    assert [text.count("<img") for text in worst.values()] == [4, 4]  # images of the training
    (task,) = unsure
    assert unsure[task].count("<img") == 0
    assert f"No pictures of task {task}: " in section(found, "unsure")
    assert nowhere in section(found, "unsure")
    assert list(worst) == list(cards(page, "worst"))[:2]


def test_where_it_cannot_be_written_it_says_so(loop: Loop, served: Served, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    done = loop.nnloop("report", "Discs", "--out", str(file))
    assert done.status == 1
    assert f"{file} is a file" in done.text
    assert "Give --out a folder" in done.text
    assert "Traceback" not in done.text
    assert file.read_text() == "mine"
