"""From the files that folds write to the labels that are doubted, through the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.pipeline.doubts.report import check_report
from backend.pipeline.gate import judge_run
from backend.pipeline.gate.verdict import DicePerCase
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import FoldRow
from backend.store.tasks import snapshots
from backend.store.training import versions
from converters.bookkeeping.documents import write_document
from domain.doubts import DoubtsPerCase
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result
from tests.fakes.label_studio import polygon
from tests.unit.backend.pipeline.doubts.doubtful import doubt, entries, label_all, wrong
from tests.unit.backend.pipeline.quality.pushed import manifest_of
from training.folds.spec import DOUBTS


@pytest.fixture
def run_id(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run on thirty labels whose folds doubt those of tasks 5 and 8, to be judged."""
    monkeypatch.setattr(judge_run, "package_version", lambda *_args, **_more: Path("/models/v"))
    monkeypatch.setattr(judge_run, "prune_quietly", lambda *_args: None)
    # Which folds the champion has; what they said of each case is known.
    monkeypatch.setattr(judge_run, "warm_predictor", lambda *_args: SimpleNamespace(folds=(0, 1)))
    monkeypatch.setattr(judge_run, "read_postprocessing", lambda *_args: ())
    label_all(app)
    found = entries(app)
    with app.store.begin() as session:
        policy = projects.get(session, PROJECT).settings.annotator_policy
        candidates = snapshots.chosen_hashes(session, PROJECT, policy)
    number = 7
    manifest = manifest_of(found)
    made = app.add_run(RunStatus.EVALUATING, number, manifest=manifest, candidates=candidates)
    for fold in (0, 1):
        held_out = [one for one in found if one.fold == fold]
        result = fold_result({one.case_id: {"lumen": 0.5, "wall": 0.5} for one in held_out})
        doubts: DoubtsPerCase = {
            one.case_id: (wrong(),) if one.task_id in (5, 8) else () for one in held_out
        }
        folder = app.context.workspace(PROJECT).fold_dir(str(number), fold)
        folder.mkdir(parents=True)
        write_document(folder / DOUBTS, DoubtsPerCase, doubts)
        with app.store.begin() as session:
            session.add(FoldRow(run_id=made, fold=fold, status=FoldStatus.DONE, result=result))
    return made


def evaluated(app: FakeApp, run_id: int) -> bool:
    return judge_run.evaluate_run(app.context, run_id, lambda: None)


def doubted(app: FakeApp) -> list[int]:
    return [one.task_id for one in check_report(app.context, PROJECT).labels]


def test_what_the_folds_wrote_is_doubted(app: FakeApp, run_id: int) -> None:
    assert evaluated(app, run_id)
    assert doubted(app) == [5, 8]
    assert check_report(app.context, PROJECT).version == "nnloop-v7"


def test_a_fold_whose_file_is_broken_doubts_nothing(app: FakeApp, run_id: int) -> None:
    (app.context.workspace(PROJECT).fold_dir("7", 0) / DOUBTS).write_text("{")
    assert evaluated(app, run_id)
    assert doubted(app) == [5]


def test_a_label_that_was_corrected_meanwhile_is_not_doubted(app: FakeApp, run_id: int) -> None:
    app.label_studio.label(5, polygon("lumen"))
    sync_project(app.context, PROJECT)
    assert evaluated(app, run_id)
    assert doubted(app) == [8]


@pytest.mark.parametrize(("champion", "expected"), [(0.53, [5, 8]), (0.9, [9])])
def test_a_version_that_is_refused_doubts_all_the_same_unless_it_is_far_worse(
    app: FakeApp, run_id: int, champion: float, expected: list[int]
) -> None:
    """A trial of a few seconds is sure of much, and wrong; what is doubted stays."""
    before: DicePerCase = {
        one.case_id: {"lumen": champion, "wall": champion} for one in entries(app)
    }
    doubt(app, 6, of={9: [wrong()]})
    with app.store.begin() as session:
        version = versions.champion(session, PROJECT)
        assert version is not None
        version.metrics = replace(version.metrics, dice_per_case=before)
    assert doubted(app) == [9]
    assert not evaluated(app, run_id)
    assert doubted(app) == expected
    assert check_report(app.context, PROJECT).version == (
        "nnloop-v7" if 5 in expected else "nnloop-v6"
    )
