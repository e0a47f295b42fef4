from __future__ import annotations

import pytest

from backend.pipeline.runs.run_report import run_reports, training_eta_s
from backend.store.models import FoldRow, RunRow
from domain.annotation import LeftOut
from domain.case import Manifest, ManifestEntry
from domain.states import FoldStatus, RunControl, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result, run_manifest

Q, R, D = FoldStatus.QUEUED, FoldStatus.RUNNING, FoldStatus.DONE


def _fold(status: FoldStatus, seconds: float | None = None, **fields: object) -> FoldRow:
    name = {D: "result", R: "eta_s", Q: ""}[status]
    value = fold_result(seconds=seconds) if status == D else seconds
    values = {"epoch": 0, "epochs": 10, **fields}
    return FoldRow(status=status, **{name: value} if name else {}, **values)


@pytest.mark.parametrize(
    ("folds", "n_workers", "expected"),
    [
        ([_fold(R, 40.0), _fold(R, 50.0)], 2, 50.0),
        ([_fold(Q), _fold(Q)], 2, None),  # nobody knows how long one takes
        ([_fold(R, 40.0), _fold(Q)], 1, None),
        ([_fold(D, 60.0), _fold(Q), _fold(Q)], 1, 120.0),
        ([_fold(D, 60.0), _fold(Q), _fold(Q)], 2, 60.0),
        ([_fold(D, 60.0), _fold(R, 20.0), _fold(Q)], 1, 80.0),
        ([_fold(D, 60.0), _fold(R, 20.0), _fold(Q)], 2, 60.0),  # on the worker that is free
        ([_fold(R, 30.0, epoch=5), _fold(Q)], 1, 90.0),  # half of it took half a minute
        ([_fold(D, 60.0), _fold(Q)], 0, 60.0),
        ([_fold(D, 60.0)], 1, 0.0),
    ],
)
def test_when_the_last_fold_ends(
    folds: list[FoldRow], n_workers: int, expected: float | None
) -> None:
    assert training_eta_s(folds, n_workers) == expected


def test_a_report_says_what_was_asked_and_what_was_done(app: FakeApp) -> None:
    entry = ManifestEntry("task_1", 1, 1, "h", "g", 0)
    run_id = app.add_run(
        RunStatus.TRAINING,
        2,
        settings={"budget_s": 600.0},
        note="2 of 5 folds are trained.",
        manifest=run_manifest(
            Manifest(
                (entry,) * 3,
                (
                    LeftOut(2, "skipped", "Skipped."),
                    # What is in, with a remark or less a region, is not left out.
                    LeftOut(1, "no_group", "No group."),
                    LeftOut(1, "same_image", "Twice."),
                    LeftOut(1, "keypoint", "A region.", "r1"),
                ),
            )
        ),
    )
    app.add_run(RunStatus.FAILED, 1)
    with app.store.begin() as session:
        result = fold_result(batch_size=1, planned_batch_size=2, stopped="plateau")
        session.add(FoldRow(run_id=run_id, fold=0, status=D, result=result, case_dice=0.8))
        session.add(FoldRow(run_id=run_id, fold=1, status=R, epoch=1, epochs=9, eta_s=12.0))
    with app.store.begin() as session:
        report, failed = run_reports(session, PROJECT, 1)
        session.get_one(RunRow, run_id).control = RunControl.PAUSE
        session.flush()
        assert run_reports(session, PROJECT, 1, number=2)[0].eta_s is None
        assert run_reports(session, PROJECT, 1, number=3) == ()
    assert (report.number, report.labels, report.left_out) == (2, 3, 1)
    assert (failed.number, failed.labels, failed.left_out) == (1, 0, 0)
    assert (report.budget_s, report.eta_s, report.control) == (600.0, 12.0, RunControl.RUN)
    assert report.note == "2 of 5 folds are trained."
    first, second = report.folds
    assert (first.case_dice, first.batch_size, first.stopped) == (0.8, 1, "plateau")
    assert (first.has_smaller_batch, second.has_smaller_batch) == (True, False)
