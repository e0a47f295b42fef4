"""Random histories of a project: whoever starts from weights, or judges a case, has not seen it.

What every network was trained on is written down here, by the weights that the trainings were
really given, in names of patients and images that the tests make up; nothing is asked of nnloop's
own account of it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as play

from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.cases import prepare as prepare_module
from backend.pipeline.ensembles import candidates, enrol
from backend.pipeline.ensembles.choose import make_ensemble
from backend.pipeline.evaluate import version as evaluate
from backend.pipeline.evaluate.options import EvaluationOptions
from backend.pipeline.folds import train
from backend.pipeline.folds.train import WorkerDevice, train_fold
from backend.pipeline.gate import judge_run
from backend.pipeline.models import serving
from backend.pipeline.models.starts import find_start
from backend.pipeline.runs import stages
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import TaskRow, VersionRow
from backend.store.training import runs, versions
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import read_json, write_json
from domain.case import ManifestEntry
from domain.errors import NnloopError, SettingsError
from domain.states import RunStatus, VersionOrigin
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result
from tests.fakes.label_studio import polygon
from tests.fakes.maps import maps_of
from tests.unit.backend.pipeline.folds.lineage_files import (
    Shown,
    image_of,
    paint,
    weights_of,
    write_networks,
)
from training.case_files import CaseFiles, read_case_image
from training.folds.spec import DOUBTS, FINAL, PROGRESS, RESULT, FoldResult, FoldSpec
from training.nnunet.data.dataset import PreparedDataset
from training.nnunet.inference.maps import FoldMaps
from training.presets import TINY
from training.versions.case_predictions import CaseToPredict
from training.versions.member_predictions import HeldOutCase
from training.versions.version_folder import (
    VERSION,
    VersionInfo,
    read_version,
)
from training.workspace import Workspace

PLANS = {"configurations": {"2d": {"architecture": {}, "patch_size": [8, 8], "spacing": [1, 1]}}}
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
    "a fold starts from weights of elsewhere",
    "a fold of a version judges a case",
    "a version from elsewhere judges a case",
    "a figure of the champion's own training is kept",
    "a figure is doubted aloud",
    "an ensemble is made",
    "a version is evaluated",
)
"""What must have happened in histories, or nothing was tested."""

RARELY = (
    "a run that groups otherwise is finished",
    "a run of another number of folds is finished",
    "all folds of a version judge a case",
    "a case is judged by nobody",
)
"""What may be missing in a few random histories."""


class Histories(RuleBasedStateMachine):
    """A project that people change in every way between its trainings."""

    database: ClassVar[Path]
    patch: ClassVar[pytest.MonkeyPatch]
    happened: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.app = FakeApp(Path(self.folder.name), self.database)
        self.values: dict[str, Any] = {
            "preset": "tiny",
            "n_folds": 2,
            "min_annotations": 1000,
            "group_key": None,
            "join_alike": False,
        }
        # What a task's image looks like now, and when a training read it last.
        self.shows: dict[tuple[int, str], int] = {}
        self.looks: dict[tuple[int, str], int] = {}
        # (task id, created at) -> its data as they were last known, also of tasks that are gone.
        self.data: dict[tuple[int, str], dict[str, Any]] = {}
        self.learnt: dict[str, frozenset[Shown]] = {}
        # Weights of which nobody knows all that they have learnt.
        self.doubtful: set[str] = set()
        self.in_doubt = False
        self.leaks: list[str] = []
        self.moment = 0
        self.dice = 0.5
        self.case_id = ""
        for target, name, fake in (
            (prepare_module, "prepare", self._prepare),
            (prepare_module, "try_fresh_network", lambda *_: None),
            (train, "run_fold", self._train),
            (judge_run, "warm_predictor", lambda _settings, _device, path: _Predictor(self, path)),
            (judge_run, "read_case_image", self._read_case_image),
            (judge_run, "try_version", lambda *_, **__: None),
            (judge_run, "prune_quietly", lambda *_: None),
            (candidates, "predict_members", self._predict_members),
            (enrol, "predict_cases", self._predict_champion),
            (enrol, "prune_quietly", lambda *_: None),
            (evaluate, "predict_cases", self._predict_evaluated),
            (evaluate, "evaluate_pairs", lambda *_: None),
        ):
            self.patch.setattr(target, name, fake)
        for task_id in (1, 2, 3):
            self._add(task_id, patient=task_id, site=0, image=task_id)
            self.app.label_studio.label(task_id, polygon())

    def teardown(self) -> None:
        self.app.store.close()
        self.folder.cleanup()

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

    # What is trained, and what is judged by whom.

    def _train(self, spec: FoldSpec, *_: object, **__: object) -> FoldResult:
        """Learns the cases that the fold does not hold out, on top of what its start has learnt."""
        with self.app.store.begin() as session:
            run = runs.runs_of(session, PROJECT, number=int(spec.run))[0]
            entries = runs.manifest_of(run).entries
            serves = versions.champion(session, PROJECT) is not None
        held_out = [e for e in entries if spec.holds_out and e.fold == spec.fold]
        before: frozenset[Shown] = frozenset()
        name = f"{spec.run}/{spec.fold}"
        if spec.warm_start:
            weights = read_json(Path(spec.warm_start))
            before = self.learnt[weights]
            self._assert_unseen(before, held_out, f"fold {spec.fold} of run {spec.run} starts so")
            if weights in self.doubtful:
                assert run.settings.start_from, "nobody has asked for weights of elsewhere"
                self.doubtful.add(name)
                self.in_doubt |= bool(held_out)
                self.happened["a fold starts from weights of elsewhere"] += 1
            elif run.settings.start_from:
                self.happened["a fold starts from a version that was named"] += 1
            else:
                self.happened["a fold starts warm"] += 1
        elif serves:
            self.happened["a fold starts fresh though a version serves"] += 1
        trained = [e for e in entries if e not in held_out]
        self.learnt[name] = before | {self._shown(entry) for entry in trained}
        dice = {entry.case_id: {"lumen": self.dice, "wall": None} for entry in held_out}
        self._assert_unseen(self.learnt[name], held_out, f"{name} was measured on these")
        result = fold_result(dice, fold=spec.fold)
        write_json(spec.fold_dir / FINAL, name)
        write_document(spec.fold_dir / RESULT, FoldResult, result)
        for file in (PROGRESS, DOUBTS):
            write_json(spec.fold_dir / file, {})
        write_networks(spec.fold_dir, PLANS)
        return result

    def _prepare(
        self,
        workspace: Workspace,
        cases: Sequence[CaseFiles],
        folds: dict[str, int],
        *_: object,
        **__: object,
    ) -> PreparedDataset:
        write_json(workspace.preprocessed_dataset / "plans.json", PLANS)
        used = tuple(sorted(set(folds.values())))
        return PreparedDataset(len(cases), (), (), False, used, {}, 0.0)

    def _check_gate(self, name: str) -> None:
        """Figures of the champion that it was compared by and that its own training measured.

        And that the verdict tells of a doubt, where one of its figures may be of seen cases.
        """
        with self.app.store.begin() as session:
            [made] = versions.by_name(session, name, PROJECT)
            measured, verdict = made.metrics.champion_dice, made.metrics.gate
            champion = manifest = None
            if measured is not None:
                [champion] = versions.by_name(session, measured.version, PROJECT)
                manifest = versions.manifest_of(session, champion)
            judged = versions.manifest_of(session, made)
        assert verdict is not None
        if measured is not None and champion is not None and manifest is not None:
            assert judged is not None
            of_challenger = {entry.case_id: entry for entry in judged.entries}
            own = {entry.case_id: entry.fold for entry in manifest.entries}
            self.happened["a case is judged by nobody"] += bool(
                of_challenger.keys() - measured.dice_per_case.keys()
            )
            for case_id, dice in measured.dice_per_case.items():
                if champion.metrics.dice_per_case.get(case_id) == dice:
                    self._judge(champion, own[case_id], of_challenger[case_id])
                    self.happened["a figure of the champion's own training is kept"] += 1
        if self.in_doubt and made.metrics.dice_per_case:
            words = ("may have been trained on these images", "nobody can tell what")
            assert any(said in verdict.reason for said in words), verdict.reason
            self.happened["a figure is doubted aloud"] += 1

    def _judge(self, version: VersionRow, fold: int | None, entry: ManifestEntry) -> None:
        who = "all folds of a version judge" if fold is None else "a fold of a version judges"
        self.happened[f"{who} a case"] += 1
        for weights in weights_of(Path(version.path), fold):
            self.in_doubt |= weights in self.doubtful
            self._assert_unseen(
                self.learnt[weights], [entry], f"{weights} of {version.name} judges it"
            )

    def judge_case(self, folder: Path, fold: int | None, case_id: str) -> None:
        """A fold of a version (None: the mean of all) predicts a case for a figure."""
        with self.app.store.begin() as session:
            [version] = versions.by_name(session, folder.name, PROJECT)
            if version.origin == VersionOrigin.IMPORTED:
                self.in_doubt = True
                self.happened["a version from elsewhere judges a case"] += 1
                return
            rows = {row.id: row for row in session.query(TaskRow)}
        task = rows[int(case_id.split("_")[1])]
        entry = ManifestEntry(
            case_id, task.id, 0, "", "", 0, source=task.source, image_hash=task.image_hash
        )
        self._judge(version, fold, entry)

    def _read_case_image(self, workspace: Workspace, case_id: str) -> npt.NDArray[Any]:
        self.case_id = case_id
        return read_case_image(workspace, case_id)

    def _predict_members(
        self,
        workspace: Workspace,
        version_dirs: Sequence[Path],
        choices: Sequence[Sequence[int]],
        cases: Sequence[HeldOutCase],
        out: Path,
        *,
        device: str,
        on_case: Callable[[], None],
    ) -> tuple[()]:
        for case in cases:
            for folder, fold in zip(version_dirs, case.folds, strict=True):
                self.judge_case(folder, fold, case.case_id)
            for number in range(len(choices)):
                paint(out / str(number) / f"{case.case_id}.png")
        return ()

    def _predict_champion(
        self, version_dir: Path, cases: Sequence[CaseToPredict], out: Path, **_: object
    ) -> tuple[()]:
        for case in cases:
            self.judge_case(version_dir, case.fold, case.case_id)
            paint(out / f"{case.case_id}.png")
        return ()

    def _predict_evaluated(
        self, version_dir: Path, cases: Sequence[CaseToPredict], out: Path, **_: object
    ) -> tuple[()]:
        for case in cases:
            self.judge_case(version_dir, case.fold, case.case_id)
        return ()

    # The world, as it really is.

    def _sync(self) -> None:
        self.app.change_settings(**self.values)
        sync_project(self.app.context, PROJECT)

    def _assert_unseen(
        self, learnt: Iterable[Shown], entries: Iterable[ManifestEntry], what: str
    ) -> None:
        for entry in entries:
            now = self._shown(entry)
            for one in learnt:
                clash = (
                    (one.task_id, one.created_at) == (now.task_id, now.created_at)
                    or one.image == now.image
                    or now.group in (one.group, self._group(one.task_id, one.created_at))
                    or (self.values["join_alike"] and self._look_alike(one, now))
                )
                if clash:
                    # nnloop takes what is raised in a fold or a step for that one's failure.
                    self.leaks.append(f"{what}: {now}; it was trained on {one}")
                    raise AssertionError(self.leaks[0])

    def _shown(self, entry: ManifestEntry) -> Shown:
        created_at = self._created_at(entry)
        return Shown(
            entry.task_id, created_at, entry.image_hash, self._group(entry.task_id, created_at)
        )

    def _created_at(self, entry: ManifestEntry) -> str:
        with self.app.store.begin() as session:
            row = session.get_one(TaskRow, entry.task_id)
        assert row.source == entry.source  # nothing changes between a reading and its training
        return row.created_at

    def _group(self, task_id: int, created_at: str) -> str:
        """Of a task, by the group key of now and its data as they were last known."""
        key = self.values["group_key"]
        value = self.data[task_id, created_at].get(key) if key else None
        return f"{task_id} {created_at}" if value is None else f"{key} {value}"

    def _look_alike(self, one: Shown, other: Shown) -> bool:
        """By what their tasks showed when a training read them last."""
        looks = [self.looks.get((shown.task_id, shown.created_at)) for shown in (one, other)]
        return None is not looks[0] == looks[1]

    def _names(self) -> list[str]:
        with self.app.store.begin() as session:
            return [row.name for row in versions.versions_of(session, PROJECT)]

    def _task(self, number: int) -> int:
        ids = sorted(self.app.label_studio.tasks)
        return ids[number % len(ids)]

    def _add(self, task_id: int, *, image: int, **data: int) -> None:
        studio = self.app.label_studio
        self.moment += 1
        studio.now = f"2026-01-01T00:{self.moment // 60:02d}:{self.moment % 60:02d}.000000Z"
        named = {name: f"{name[0]}{value}" for name, value in data.items()}
        studio.add_task(task_id, None, **named)
        studio.images[studio.tasks[task_id].data["image"]] = image_of(image)
        self.data[task_id, studio.now] = named
        self.shows[task_id, studio.now] = image // 2

    def _change(self, number: int, field: str, value: int) -> None:
        task = self.app.label_studio.tasks[self._task(number)]
        task.data[field] = self.data[task.id, task.created_at][field] = f"{field[0]}{value}"


class _Predictor:
    """The networks of a version, which say nothing and note whom they judge."""

    def __init__(self, histories: Histories, path: Path) -> None:
        self._histories, self._path = histories, path
        self.folds = read_version(path).folds

    def predict_single_fold(self, image: npt.NDArray[Any], fold: int) -> npt.NDArray[np.float32]:
        self._histories.judge_case(self._path, fold, self._histories.case_id)
        return np.zeros((3, *image.shape[:2]), np.float32)

    def predict_maps(self, image: npt.NDArray[Any]) -> FoldMaps:
        self._histories.judge_case(self._path, None, self._histories.case_id)
        return maps_of(np.zeros((1, 3, *image.shape[:2]), np.float32))


@pytest.mark.slow
def test_no_judge_and_no_start_has_ever_seen_the_case(
    migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Histories.database, Histories.patch = migrated_database, monkeypatch
    Histories.happened = Counter()
    play(
        Histories,
        settings=settings(
            max_examples=14,
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
