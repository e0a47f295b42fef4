"""A project whose every network writes down, by the weights it was given, what it has learnt.

In names of patients and images that the tests make up; nothing is asked of nnloop's own account of
it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis.stateful import RuleBasedStateMachine

from backend.pipeline.cases import prepare as prepare_module
from backend.pipeline.ensembles import candidates, enrol
from backend.pipeline.evaluate import version as evaluate
from backend.pipeline.folds import train
from backend.pipeline.gate import judge_run
from backend.pipeline.sync.reading import sync_project
from backend.store.models import TaskRow, VersionRow
from backend.store.training import runs, versions
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import read_json, write_json
from domain.case import ManifestEntry
from domain.states import VersionOrigin
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
from training.versions.case_predictions import CaseToPredict
from training.versions.member_predictions import HeldOutCase
from training.versions.version_folder import read_version
from training.workspace import Workspace

PLANS = {"configurations": {"2d": {"architecture": {}, "patch_size": [8, 8], "spacing": [1, 1]}}}


class WrittenDown(RuleBasedStateMachine):
    """What is trained, and who judges what; whoever plays with it adds the rules."""

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

    def __init__(self, histories: WrittenDown, path: Path) -> None:
        self._histories, self._path = histories, path
        self.folds = read_version(path).folds

    def predict_single_fold(self, image: npt.NDArray[Any], fold: int) -> npt.NDArray[np.float32]:
        self._histories.judge_case(self._path, fold, self._histories.case_id)
        return np.zeros((3, *image.shape[:2]), np.float32)

    def predict_maps(self, image: npt.NDArray[Any]) -> FoldMaps:
        self._histories.judge_case(self._path, None, self._histories.case_id)
        return maps_of(np.zeros((1, 3, *image.shape[:2]), np.float32))
