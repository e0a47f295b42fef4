"""Random histories of a project: whoever starts from weights, or judges a case, has not seen it.

What every network was trained on is written down here, by the weights that the trainings were
really given, in names of patients and images that the tests make up; nothing is asked of nnloop's
own account of it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as play

from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.ensembles.choose import make_ensemble
from backend.pipeline.evaluate import version as evaluate
from backend.pipeline.evaluate.options import EvaluationOptions
from backend.pipeline.folds.train import WorkerDevice, train_fold
from backend.pipeline.models import serving
from backend.pipeline.models.starts import find_start
from backend.pipeline.runs import stages
from backend.store import projects
from backend.store.training import runs
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import write_json
from domain.errors import NnloopError, SettingsError
from domain.states import RunStatus
from tests.fakes.app import PROJECT
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.folds.lineage_files import (
    image_of,
    write_networks,
)
from tests.unit.backend.pipeline.folds.written_down import PLANS, WrittenDown
from training.folds.spec import FINAL
from training.presets import TINY
from training.versions.version_folder import (
    VERSION,
    VersionInfo,
)

KEYS = (None, "patient", "site")
NUMBERS = st.integers(0, 7)
DICE = st.sampled_from([0.2, 0.5, 0.8])
CHANGES = st.one_of(
    st.tuples(st.just("add_a_task"), st.integers(0, 3), st.integers(0, 2), NUMBERS, st.booleans()),
    st.tuples(st.just("correct_the_patient"), NUMBERS, st.integers(0, 3)),
    st.tuples(st.just("label_or_unlabel"), NUMBERS),
    st.tuples(st.just("make_a_task_again_under_its_id"), NUMBERS, st.integers(0, 3), NUMBERS),
    st.tuples(st.just("delete_a_task"), NUMBERS),
    st.tuples(st.just("overwrite_an_image"), NUMBERS, NUMBERS),
    st.tuples(st.just("set_the_group_key"), st.sampled_from(KEYS)),
    st.tuples(st.just("join_images_that_look_alike_or_not"), st.booleans()),
    st.tuples(st.just("set_the_number_of_folds"), st.integers(2, 4)),
)
"""A method below with its arguments."""

# Which label of the project goes on from which class of a version to start from.
MAPS: tuple[dict[str, str], ...] = ({}, {"lumen": "wall", "wall": "lumen"}, {"wall": ""})

OFTEN = (
    "a run is finished",
    "a fold starts fresh though a version serves",
    "a fold starts warm",
    "a fold starts from a version that was named",
    "a fold of a version judges a case",
    "a version from elsewhere judges a case",
    "a figure of the champion's own training is kept",
    "a figure is doubted aloud",
    "an ensemble is made",
    "a version is evaluated",
)
"""What must have happened in histories, or nothing was tested."""

RARELY = (
    "a fold starts from weights of elsewhere",
    "a run that groups otherwise is finished",
    "a run of another number of folds is finished",
    "all folds of a version judge a case",
    "a case is judged by nobody",
)
"""What may be missing in a few random histories."""


class Histories(WrittenDown):
    """A project that people change in every way between its trainings."""

    # What people do.

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=4))
    def change_the_project(self, changes: list[tuple[Any, ...]]) -> None:
        # One rule, or nearly every step would be one of these, and few a training.
        for name, *arguments in changes:
            getattr(self, name)(*arguments)

    def add_a_task(self, patient: int, site: int, image: int, labelled: bool) -> None:
        task_id = max(self.app.label_studio.tasks, default=0) + 1
        self._add(task_id, patient=patient, site=site, image=image)
        if labelled:
            self.app.label_studio.label(task_id, polygon())

    def correct_the_patient(self, number: int, patient: int) -> None:
        self._change(number, "patient", patient)

    def label_or_unlabel(self, number: int) -> None:
        task_id = self._task(number)
        studio = self.app.label_studio
        if studio.tasks[task_id].annotations and len(studio.tasks) > 2:
            studio.unlabel(task_id)
        else:
            studio.label(task_id, polygon())

    def make_a_task_again_under_its_id(self, number: int, patient: int, image: int) -> None:
        task_id = self._task(number)
        self._add(task_id, patient=patient, site=0, image=image)
        self.app.label_studio.label(task_id, polygon())

    def delete_a_task(self, number: int) -> None:
        if len(self.app.label_studio.tasks) > 3:
            del self.app.label_studio.tasks[self._task(number)]

    def overwrite_an_image(self, number: int, image: int) -> None:
        task = self.app.label_studio.tasks[self._task(number)]
        self.app.label_studio.images[task.data["image"]] = image_of(image)
        self.shows[task.id, task.created_at] = image // 2

    def set_the_group_key(self, key: str | None) -> None:
        self.values["group_key"] = key

    def join_images_that_look_alike_or_not(self, join: bool) -> None:
        self.values["join_alike"] = join

    def set_the_number_of_folds(self, n_folds: int) -> None:
        self.values["n_folds"] = n_folds

    @precondition(lambda self: self._names())
    @rule(number=NUMBERS)
    def put_another_version_in_service(self, number: int) -> None:
        names = self._names()
        with contextlib.suppress(NnloopError):  # it serves already
            serving.promote(self.app.context, names[number % len(names)], PROJECT)

    @rule()
    def import_a_version(self) -> None:
        name = f"theirs{self.moment}"
        self.moment += 1
        self.app.add_imported(name)
        info = VersionInfo(name, ("lumen", "wall"), 1, TINY, (0, 1), {})
        path = self.app.context.workspace(PROJECT).version_dir(name) / VERSION
        write_document(path, VersionInfo, info)
        for fold in info.folds:
            write_json(path.parent / f"fold_{fold}" / FINAL, f"{name}/{fold}")
            self.learnt[f"{name}/{fold}"] = frozenset()
            self.doubtful.add(f"{name}/{fold}")
        write_networks(path.parent, PLANS)

    @precondition(lambda self: len(self._names()) > 1)
    @rule(number=NUMBERS)
    def average_two_versions(self, number: int) -> None:
        names = [name for name in self._names() if not name.startswith(("nnloop-e", "theirs"))]
        chosen = [names[number % len(names)], names[-1]] if names else []
        if len(set(chosen)) == 2:
            self._sync()
            self.in_doubt = False
            try:
                report = make_ensemble(self.app.context, PROJECT, chosen)
            except SettingsError as error:
                assert any(said in str(error) for said in ("can't be averaged", "already")), error
                return
            self.happened["an ensemble is made"] += 1
            self._check_gate(report.version)

    @rule()
    def evaluate_the_champion(self) -> None:
        self._sync()
        evaluate.evaluate_version(
            self.app.context, PROJECT, EvaluationOptions(Path(self.folder.name) / "out")
        )
        self.happened["a version is evaluated"] += 1

    @initialize(dice=DICE)
    def train_the_first_version(self, dice: float) -> None:
        self._train_a_version(dice)

    @rule(dice=DICE)
    def train_a_version(self, dice: float) -> None:
        self._train_a_version(dice)

    @rule(dice=DICE, changes=st.lists(CHANGES, min_size=1, max_size=3))
    def change_the_project_and_train(self, dice: float, changes: list[tuple[Any, ...]]) -> None:
        self.change_the_project(changes)
        self._train_a_version(dice)

    @precondition(lambda self: self._names())
    @rule(dice=DICE, number=NUMBERS, mapping=st.sampled_from(MAPS))
    def train_from_a_version(self, dice: float, number: int, mapping: dict[str, str]) -> None:
        names = [name for name in self._names() if not name.startswith("nnloop-e")]
        start = find_start(self.app.context, PROJECT, names[number % len(names)], mapping)
        self._train_a_version(dice, start.settings)

    def _train_a_version(self, dice: float, asked: Mapping[str, Any] | None = None) -> None:
        self.dice, self.in_doubt = dice, False
        self._sync()
        with self.app.store.begin() as session:
            last = runs.last_run(session, PROJECT)
            number = last.number + 1 if last else 1
            kept = run_settings(projects.get(session, PROJECT), asked or {}).model_dump(mode="json")
        run_id = self.app.add_run(RunStatus.QUEUED, number, settings=kept)
        for task in self.app.label_studio.tasks.values():
            if task.annotations:
                key = (task.id, task.created_at)
                self.looks[key] = self.shows[key]
        stages.advance(self.app.context, run_id)
        with self.app.store.begin() as session:
            folds = [row.fold for row in runs.folds_of(session, run_id)]
        for fold in folds:
            train_fold(self.app.context, run_id, fold, WorkerDevice(), "me")
        stages.advance(self.app.context, run_id)
        assert self.leaks == []
        run = self.app.run(run_id)
        if run.error.startswith("Only "):
            assert run.status == RunStatus.FAILED
            self.happened["a run has too few tasks"] += 1
            return
        assert run.status in (RunStatus.SCORING, RunStatus.DONE), run.error
        with self.app.store.begin() as session:
            session.merge(run).status = RunStatus.DONE
        self._note_run(number)
        self._check_gate(f"nnloop-v{number}")

    def _note_run(self, number: int) -> None:
        with self.app.store.begin() as session:
            rows = [row for row in runs.runs_of(session, PROJECT) if row.status == RunStatus.DONE]
            done = {row.number: runs.manifest_of(row) for row in rows}
        self.happened["a run is finished"] += 1
        now = done.pop(number)
        if done:
            last = done[max(done)]
            self.happened["a run that groups otherwise is finished"] += (
                now.group_key != last.group_key
            )
            self.happened["a run of another number of folds is finished"] += (
                now.n_folds != last.n_folds
            )


@pytest.mark.slow
def test_no_judge_and_no_start_has_ever_seen_the_case(
    migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Histories.database, Histories.patch = migrated_database, monkeypatch
    Histories.happened = Counter()
    play(
        Histories,
        settings=settings(
            # The same ones each time: what must have happened in them is looked at below.
            derandomize=True,
            max_examples=12,
            stateful_step_count=12,
            # Shrinking would take minutes; the message tells what happened.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert [what for what in OFTEN if not Histories.happened[what]] == []


@pytest.mark.slow
def test_a_history_in_which_all_happens(
    migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the random ones are drawn, in this one all of it is there to be judged."""
    Histories.database, Histories.patch = migrated_database, monkeypatch
    Histories.happened = Counter()
    told = Histories()
    try:
        told.train_the_first_version(0.2)
        told.add_a_task(1, 0, 6, labelled=True)
        told.train_a_version(0.5)  # warm
        told.average_two_versions(0)
        told.train_from_a_version(0.8, 0, MAPS[1])
        told.evaluate_the_champion()
        told.set_the_group_key("patient")
        told.set_the_number_of_folds(3)
        told.train_a_version(0.8)
        told.set_the_group_key("site")
        told.train_a_version(0.8)  # one site: it holds nothing out
        told.put_another_version_in_service(-1)
        told.add_a_task(3, 2, 4, labelled=True)
        told.train_a_version(0.8)
        told.import_a_version()
        told.train_from_a_version(0.5, -1, MAPS[0])
        told.train_a_version(0.8)
    finally:
        told.teardown()
    assert [what for what in (*OFTEN, *RARELY) if not Histories.happened[what]] == []
