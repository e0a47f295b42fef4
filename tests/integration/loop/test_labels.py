"""Labels renamed while a run trains, mapped, written, added, removed and split up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backend.label_studio import PushedPrediction
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProblemReport
from domain.annotation import Task
from domain.states import RunStatus
from tests.integration.loop.discs import LABEL_CONFIG
from tests.integration.loop.stack import Answer, Loop, LoopProject

RENAMED = LABEL_CONFIG.replace('"disc"', '"Disc"')
WITH_DEBRIS = RENAMED.replace("<Label", '<Label value="debris"/><Label', 1)
WITHOUT_SQUARE = RENAMED.replace('<Label value="square" background="#F4A261"/>', "")
SPLIT = WITHOUT_SQUARE.replace(
    '<Label value="Disc" background="#2A9DF4"/>', '<Label value="left"/><Label value="right"/>'
)
N_LABELLED, N_IMAGES = 6, 10


@dataclass
class Step:
    """What was seen after a change."""

    labels: dict[int, set[str]] = field(default_factory=dict)
    problems: list[ProblemReport] = field(default_factory=list)
    waiting_for: str = ""
    n_runs: int = 0
    answer: Answer | None = None


@dataclass
class Story:
    """A project whose labels change, step by step."""

    loop: Loop
    project: LoopProject
    run: RunReport
    steps: dict[str, Step] = field(default_factory=dict)
    exported: Answer | None = None
    predict: Answer | None = None
    tasks: dict[str, dict[int, Task]] = field(default_factory=dict)

    def set_labels(self, xml: str) -> None:
        """As an admin saves the labelling interface; waits until nnloop has read it."""
        self.loop.client.update_project(self.project.id, label_config=xml)
        before = self.loop.report(self.project).synced_at or 0.0
        self.loop.wait_until(
            lambda: (self.loop.report(self.project).synced_at or 0.0) > before, 30, "a reading"
        )

    def labels(self, *arguments: str) -> Answer:
        answer = self.loop.nnloop("labels", self.project.title, *arguments)
        assert answer.status == 0, answer.text
        return answer

    def pushed(self) -> dict[int, set[str]]:
        return {row.task_id: labels_of(row) for row in self.rows()}

    def rows(self) -> list[PushedPrediction]:
        return list(self.loop.client.iter_predictions(self.project.id))

    def keep(self, name: str, answer: Answer | None = None) -> None:
        report = self.loop.report(self.project)
        self.steps[name] = Step(
            self.pushed(), list(report.problems), report.waiting_for, len(report.runs), answer
        )
        self.tasks[name] = {task.id: task for task in self.loop.client.iter_tasks(self.project.id)}

    def wait_for_labels(self, what: str, *allowed: set[str]) -> None:
        """Until every unlabelled task shows a prediction with labels of these alone."""

        def are_shown() -> bool:
            shown = self.pushed()
            return len(shown) == N_IMAGES - N_LABELLED and all(x in allowed for x in shown.values())

        self.loop.wait_until(are_shown, 30, what)
        self.wait_for_held(is_held=False)

    def wait_for_held(self, *, is_held: bool) -> None:
        """Until `nnloop status` says that something is held, or says it no more."""

        def is_said() -> bool:
            found = any(p.reason == "held" for p in self.loop.report(self.project).problems)
            return found is is_held

        self.loop.wait_until(is_said, 30, f"held: {is_held}")


def labels_of(row: PushedPrediction) -> set[str]:
    return {entry["value"]["polygonlabels"][0] for entry in row.result}


@pytest.fixture(scope="module")
def story(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Story:
    settings = {"budget_s": 9.0}
    project = loop.make_project("Renamed", N_IMAGES, settings=settings)
    loop.annotate(project, project.task_ids[:N_LABELLED])

    def is_training() -> bool:
        run = loop.run(project, 1)
        return run is not None and any(fold.epoch >= 1 for fold in run.folds)

    loop.wait_until(is_training, 90, "the first epoch")
    loop.client.update_project(project.id, label_config=RENAMED)
    story = Story(loop, project, loop.finished_run(project, 1))
    story.wait_for_held(is_held=True)
    story.keep("renamed")
    task = loop.client.task(project.task_ids[-1])
    question = {
        "tasks": [{"id": task.id, "data": task.data, "created_at": task.created_at}],
        "project": project.id,
        "label_config": RENAMED,
    }
    story.predict = loop.post("/predict", question)

    mapped = story.labels("--map", "disc=Disc")
    both = {"Disc", "square"}
    story.wait_for_labels("the predictions under the new name", both, {"Disc"}, {"square"}, set())
    story.keep("mapped", mapped)
    out: Path = tmp_path_factory.mktemp("renamed") / "Dataset102"
    story.exported = loop.nnloop("export", project.title, "--out", str(out))

    story.keep("dry", story.labels("--write", "--dry-run"))
    story.keep("written", story.labels("--write", "--json"))

    story.set_labels(WITH_DEBRIS)
    story.keep("added")
    story.set_labels(WITHOUT_SQUARE)
    story.wait_for_held(is_held=True)
    story.keep("removed")
    dropped = story.labels("--drop", "square")
    story.wait_for_labels("the predictions without the square", {"Disc"}, set())
    story.keep("dropped", dropped)
    story.set_labels(SPLIT)
    story.keep("split")
    return story


def _of_labels(step: Step) -> dict[str, str]:
    return {p.reason: p.message for p in step.problems if p.stage == "labels"}


def test_a_label_renamed_while_a_run_trains_holds_its_predictions(story: Story) -> None:
    assert (story.run.status, story.run.error) == (RunStatus.DONE, "")
    step = story.steps["renamed"]
    assert step.labels == {}  # nothing goes out empty, or under a name that is no label
    said = _of_labels(step)
    assert said["rename"].startswith('The label "disc" went and "Disc" came: a rename?')
    assert said["held"].endswith('are held: the labelling interface lacks "disc".')
    assert step.waiting_for.startswith("waits for an answer.")
    assert story.predict is not None and story.predict.status == 503
    assert "nnloop labels" in story.predict.text


def test_the_answer_publishes_them_under_the_new_name_without_a_run(story: Story) -> None:
    step = story.steps["mapped"]
    assert step.answer is not None
    assert '"disc" counts as "Disc": 6 annotations use it.' in step.answer.text
    assert set(step.labels) == set(story.project.task_ids[N_LABELLED:])
    assert any("Disc" in labels for labels in step.labels.values())
    assert _of_labels(step) == {}
    assert step.n_runs == 1
    assert story.exported is not None and "6 tasks in" in story.exported.text


def test_writing_changes_the_names_in_annotations_and_nothing_else(story: Story) -> None:
    dry, written = story.steps["dry"], story.steps["written"]
    assert dry.answer is not None
    assert (
        '6 annotations of people in Label Studio would be changed ("disc" in 6' in dry.answer.text
    )
    assert story.tasks["dry"] == story.tasks["mapped"]
    assert written.answer is not None
    found = json.loads(written.answer.text)
    uses = {row["name"]: row["annotations"] for row in found["labels"]}
    assert (uses, found["missing"]) == ({"Disc": 6, "square": 6}, [])
    for task_id, before in story.tasks["dry"].items():
        after = story.tasks["written"][task_id]
        assert len(after.annotations) == len(before.annotations)
        for old, new in zip(before.annotations, after.annotations, strict=True):
            assert _renamed(old.result) == new.result
            same = ("id", "was_cancelled", "ground_truth", "completed_by", "created_at")
            assert all(getattr(old, name) == getattr(new, name) for name in same)
    assert written.n_runs == 1
    assert written.waiting_for.startswith("0 of 3 new or changed annotations")


def _renamed(result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    text = json.dumps(result).replace('"polygonlabels": ["disc"]', '"polygonlabels": ["Disc"]')
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_a_label_that_came_changes_nothing_until_it_is_drawn(story: Story) -> None:
    step = story.steps["added"]
    assert step.labels == story.steps["written"].labels
    assert _of_labels(step) == {}
    assert step.n_runs == 1
    assert "new is the label 'debris', learned once it is drawn" in step.waiting_for


def test_a_label_that_went_leaves_its_tasks_out_and_holds_its_predictions(story: Story) -> None:
    step = story.steps["removed"]
    said = _of_labels(step)
    assert said["gone"].startswith(
        'The label "square" went; the annotations of 6 tasks and nnloop-v1 still use it.'
    )
    assert said["held"].endswith('held: the labelling interface lacks "square".')
    # What shows none stays.
    earlier = story.steps["added"].labels
    assert step.labels == {i: x for i, x in earlier.items() if "square" not in x}
    assert step.n_runs == 1
    assert step.waiting_for == "0 of 6 annotations, 6 more needed"


def test_a_label_that_is_dropped_counts_as_background(story: Story) -> None:
    step = story.steps["dropped"]
    assert step.answer is not None
    assert '"square" counts as background: 6 annotations use it.' in step.answer.text
    assert _of_labels(step) == {}
    assert set(step.labels) == set(story.project.task_ids[N_LABELLED:])
    assert all(labels <= {"Disc"} for labels in step.labels.values())
    assert step.n_runs == 1
    assert step.waiting_for.endswith("names of labels changed: the next training reads all anew")


def test_a_label_that_was_split_up_is_asked_about(story: Story) -> None:
    step = story.steps["split"]
    assert 'went and "left" and "right" came: a rename, or split up?' in _of_labels(step)["rename"]
    assert step.waiting_for.startswith("waits for an answer.")
    assert step.n_runs == 1
