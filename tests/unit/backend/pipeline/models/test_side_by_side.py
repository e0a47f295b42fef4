from __future__ import annotations

from dataclasses import replace

import pytest

from backend.pipeline.models.details import version_details
from backend.pipeline.models.side_by_side import compare_versions
from backend.store.models import FoldRow, ProjectRow, RunRow, TaskRow
from domain.errors import SettingsError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import fold_result
from tests.unit.backend.pipeline.models.versions import add_version, manifest_of
from training.evaluation import DicePerCase
from training.versions.metrics import VersionMetrics


def _dice(**values: float) -> dict[str, dict[str, float]]:
    return {case: {"lumen": value, "wall": value / 2} for case, value in values.items()}


def test_only_cases_with_the_same_annotations_count(app: FakeApp) -> None:
    old = manifest_of((1, "a", "p"), (2, "b", "p"), (3, "c", "q"), (4, "d", "r"))
    new = manifest_of((1, "a", "p"), (2, "b", "p"), (3, "corrected", "q"), (5, "e", "s"))
    scores = _dice(task_00000001=0.6, task_00000002=0.6, task_00000003=0.9, task_00000004=0.9)
    add_version(app, 1, manifest=old, metrics={"dice_per_case": scores})
    scores = _dice(task_00000001=0.8, task_00000002=0.7, task_00000003=0.1, task_00000005=0.9)
    add_version(app, 2, manifest=new, metrics={"dice_per_case": scores})
    found = compare_versions(app.context, "nnloop-v1", "nnloop-v2")
    assert (found.n_changed, found.n_only_one) == (1, 2)
    assert (found.comparison.n_cases, found.comparison.n_groups) == (2, 1)
    lumen, wall = found.comparison.classes
    assert (lumen.champion, lumen.challenger) == pytest.approx((0.6, 0.75))
    assert wall.difference == pytest.approx(0.075)
    assert found.comparison.difference == pytest.approx((0.15 + 0.075) / 2)
    back = compare_versions(app.context, "nnloop-v2", "nnloop-v1", PROJECT)
    assert back.comparison.difference == pytest.approx(-found.comparison.difference)


def test_a_version_trained_elsewhere_is_compared_by_what_the_gate_measured(app: FakeApp) -> None:
    app.add_imported("theirs")
    metrics = {
        "dice_per_case": _dice(task_00000001=0.8),
        "champion_dice": {"version": "theirs", "dice_per_case": _dice(task_00000001=0.5)},
    }
    add_version(app, 1, manifest=manifest_of((1, "a", "p")), metrics=metrics)
    found = compare_versions(app.context, "theirs", "nnloop-v1")
    assert found.comparison.champion == pytest.approx(0.375)
    assert "theirs was measured when nnloop-v1 went through the gate" in found.remark
    add_version(app, 2, manifest=manifest_of((1, "a", "p")), metrics={})
    with pytest.raises(SettingsError, match="no case in common"):
        compare_versions(app.context, "theirs", "nnloop-v2")


def test_a_version_tells_which_annotations_it_was_trained_on(app: FakeApp) -> None:
    manifest = manifest_of((1, "a", "p"), (2, "b", "q"))
    add_version(app, 1, manifest=manifest, metrics={"dice_per_case": _dice(task_00000002=0.4)})
    with app.store.begin() as session:
        run = session.query(RunRow).one()
        result = fold_result({"task_00000002": {"lumen": 0.4}}, epochs=20, seconds=60.0)
        session.add(FoldRow(run_id=run.id, fold=0, epoch=20, epochs=20, result=result))
    details = version_details(app.context, "nnloop-v1", None)
    assert details.folds == {0: replace(result, dice_per_case={})}
    assert [(e.task_id, e.annotation_ids, e.content_hash, e.group) for e in details.trained_on] == [
        (1, (101,), "a", "p"),
        (2, (102,), "b", "q"),
    ]
    assert details.trained_on[1].dice == {"lumen": 0.4, "wall": 0.2}
    assert details.manifest_digest == manifest.digest
    assert details.libraries == {"torch": "2"}
    assert (details.preset, details.report.run) == ("tiny", 1)


def test_a_version_whose_folder_is_gone_is_told_from_the_store(app: FakeApp) -> None:
    app.add_version(1, manifest=manifest_of((1, "a", "p")))
    details = version_details(app.context, "nnloop-v1", PROJECT)
    assert details.class_values == ("lumen", "wall")
    assert len(details.trained_on) == 1


def test_versions_before_and_after_a_rename_are_compared_class_by_class(app: FakeApp) -> None:
    old, new = manifest_of((1, "a", "p")), manifest_of((1, "a", "p"))
    old = replace(old, class_values=("Lumen", "wall"))
    scores = {"task_00000001": {"Lumen": 0.6, "wall": 0.5}}
    metrics = {"dice_per_case": scores, "oof_dice": {"Lumen": 0.6, "wall": 0.5}}
    add_version(app, 1, manifest=old, metrics=metrics)
    add_version(app, 2, manifest=new, metrics={"dice_per_case": _dice(task_00000001=0.8)})
    # Nobody has said so: the wall alone is common.
    (only,) = compare_versions(app.context, "nnloop-v1", "nnloop-v2").comparison.classes
    assert only.name == "wall"
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {"Lumen": "lumen"}
    lumen, _ = compare_versions(app.context, "nnloop-v1", "nnloop-v2").comparison.classes
    assert (lumen.name, lumen.champion, lumen.challenger) == ("lumen", 0.6, 0.8)
    details = version_details(app.context, "nnloop-v1", None)
    assert details.class_values == ("lumen", "wall")
    assert details.report.oof_dice == {"lumen": 0.6, "wall": 0.5}
    # Read as another class since: what was measured then says nothing of it.
    with app.store.begin() as session:
        run = session.query(RunRow).order_by(RunRow.id).first()
        assert run is not None
        run.manifest = replace(new, label_mapping={"Lumen": "wall"})
    with pytest.raises(SettingsError, match="no case in common"):
        compare_versions(app.context, "nnloop-v1", "nnloop-v2")


def test_a_case_whose_judge_has_seen_its_patient_by_now_is_left_out_and_counted(
    app: FakeApp,
) -> None:
    """Tasks 1 and 2, of two patients when both versions were trained, are of one since."""
    app.change_settings(group_key="patient")
    app.add_tasks(1, 2, 3, 4)
    manifest = replace(
        manifest_of((1, "a", "p"), (2, "b", "q"), (3, "c", "r"), (4, "d", "s")),
        group_key="patient",
    )
    scores: DicePerCase = {entry.case_id: {"lumen": 0.5, "wall": 0.5} for entry in manifest.entries}
    for number in (1, 2):
        metrics = VersionMetrics(dice_per_case=scores)
        add_version(app, number, manifest=manifest, folds=(0, 1), metrics=metrics)
    with app.store.begin() as session:
        for task_id, patient in ((1, "p"), (2, "p"), (3, "r"), (4, "s")):
            row = session.get_one(TaskRow, task_id)
            row.data = {**row.data, "patient": patient}
            row.source = ""
    found = compare_versions(app.context, "nnloop-v1", "nnloop-v2")
    assert (found.n_seen, found.comparison.n_cases) == (2, 2)
