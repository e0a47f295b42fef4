from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.pipeline.ensembles import candidates, enrol
from backend.pipeline.ensembles.choose import make_ensemble
from backend.pipeline.gate.retention import prune
from backend.pipeline.models.serving import promote, rollback
from backend.store.models import RunRow, VersionRow
from backend.store.training import versions
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import write_json
from domain.case import case_id_of_task
from domain.errors import PredictionError, SettingsError
from domain.states import RunStatus, VersionOrigin, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import add_version, manifest_of
from training.case_files import write_case
from training.evaluation import DicePerCase
from training.presets import FULL, TINY
from training.versions.case_predictions import CaseToPredict, Failure
from training.versions.ensembles import package_ensemble
from training.versions.keep_largest import FoundSteps, KeepLargest
from training.versions.member_predictions import HeldOutCase
from training.versions.version_folder import VersionInfo, read_version
from training.workspace import Workspace

TASKS = (1, 2, 3, 4)
MANIFEST = manifest_of(*((task, f"h{task}", f"g{task}") for task in TASKS))
FOLDS = (0, 1)
SIDE = 20


class Networks:
    """In the place of the child processes: each choice of versions finds so many rows of wall."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], int] = {}
        self.asked: list[HeldOutCase] = []
        self.champion_asked: list[CaseToPredict] = []
        self.fails: set[str] = set()

    def predict_members(
        self,
        workspace: Workspace,
        version_dirs: Sequence[Path],
        choices: Sequence[Sequence[int]],
        cases: Sequence[HeldOutCase],
        out: Path,
        *,
        device: str,
        on_case: Callable[[], None],
    ) -> tuple[Failure, ...]:
        self.asked = list(cases)
        names = [folder.name for folder in version_dirs]
        for case in cases:
            on_case()
            for number, choice in enumerate(choices):
                if case.case_id not in self.fails:
                    rows = self.rows[tuple(names[k] for k in choice)]
                    _paint(out / str(number) / f"{case.case_id}.png", rows)
        return tuple(Failure(c.case_id, "No.") for c in cases if c.case_id in self.fails)

    def predict_cases(
        self,
        version_dir: Path,
        cases: Sequence[CaseToPredict],
        out: Path,
        *,
        device: str,
        integers: Sequence[int],
        on_case: Callable[[], None],
    ) -> tuple[Failure, ...]:
        self.champion_asked += cases
        for case in cases:
            _paint(out / f"{case.case_id}.png", self.rows[(version_dir.name,)])
        return ()


def _paint(path: Path, rows: int) -> None:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:10] = 1
    labels[10 : 10 + rows] = 2
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def _dice(rows: int) -> float:
    """Mean Dice of ``_paint`` when the truth has 10 rows of wall."""
    return (1.0 + 2 * rows / (rows + 10)) / 2


def _known(rows: int) -> dict[str, Any]:
    scores = {"lumen": 1.0, "wall": 2 * rows / (rows + 10)}
    return {"dice_per_case": {case_id_of_task(task): scores for task in TASKS}}


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    fake = Networks()
    monkeypatch.setattr(candidates, "predict_members", fake.predict_members)
    monkeypatch.setattr(enrol, "predict_cases", fake.predict_cases)
    return fake


@pytest.fixture
def three(app: FakeApp, networks: Networks) -> FakeApp:
    """Versions 1, 2 and 3, of which the third serves; 2 and 3 are best together."""
    workspace = app.context.workspace(PROJECT)
    truth = np.ones((SIDE, SIDE), np.uint8)
    truth[10:] = 2
    for task in TASKS:
        write_case(workspace, case_id_of_task(task), truth, truth, n_channels=1)
    for number, rows in ((1, 2), (2, 5), (3, 6)):
        add_version(app, number, manifest=MANIFEST, folds=FOLDS, metrics=_known(rows))
        networks.rows[(f"nnloop-v{number}",)] = rows
    for pair, rows in (((1, 2), 4), ((1, 3), 7), ((2, 3), 9)):
        networks.rows[tuple(f"nnloop-v{number}" for number in pair)] = rows
    return app


def _row(app: FakeApp, name: str) -> VersionRow:
    with app.store.begin() as session:
        [row] = versions.by_name(session, name, PROJECT)
        return row


def test_the_best_pair_is_made_and_serves(three: FakeApp, networks: Networks) -> None:
    report = make_ensemble(three.context, PROJECT)
    assert [row.versions for row in report.considered][:2] == [
        ("nnloop-v2", "nnloop-v3"),
        ("nnloop-v1", "nnloop-v3"),
    ]
    assert len(report.considered) == 6
    assert report.considered[0].dice == pytest.approx(_dice(9))
    assert (report.version, report.is_promoted, report.n_cases) == ("nnloop-e1", True, 4)
    # Each case by the fold that held it out, in all versions alike.
    assert {case.case_id: case.folds for case in networks.asked} == {
        case_id_of_task(task): (task % 2,) * 3 for task in TASKS
    }
    row = _row(three, "nnloop-e1")
    assert (row.status, row.origin) == (VersionStatus.CHAMPION, VersionOrigin.ENSEMBLE)
    assert row.metrics.ensemble is not None and row.metrics.gate is not None
    assert row.metrics.ensemble.members == ("nnloop-v2", "nnloop-v3")
    assert row.metrics.gate.champion == pytest.approx(_dice(6))
    assert row.metrics.oof_dice["wall"] == pytest.approx(18 / 19)
    assert row.metrics.labels == 4
    assert row.manifest is not None and row.manifest.n_folds == 2
    assert row.size_bytes > 4000
    assert read_version(Path(row.path)).members == ("nnloop-v2", "nnloop-v3")
    assert networks.champion_asked == []  # its own training has measured it
    assert three.jobs == [("score", (PROJECT, 0))]
    assert _row(three, "nnloop-v3").status == VersionStatus.RETIRED


def test_nothing_is_made_when_no_pair_beats_the_best_version(
    three: FakeApp, networks: Networks
) -> None:
    networks.rows[("nnloop-v3",)] = 9  # as good as the best pair
    report = make_ensemble(three.context, PROJECT)
    assert (report.version, report.is_promoted) == ("", False)
    assert report.reason == "No pair is better than nnloop-v3 alone"
    with three.store.begin() as session:
        assert len(versions.versions_of(session, PROJECT)) == 3


def test_a_worse_ensemble_is_kept_and_does_not_serve(three: FakeApp) -> None:
    report = make_ensemble(three.context, PROJECT, ["nnloop-v1", "nnloop-v2"])
    assert (report.version, report.is_promoted) == ("nnloop-e1", False)
    assert "worse by more than" in report.reason
    assert len(report.considered) == 3
    row = _row(three, "nnloop-e1")
    assert (row.status, Path(row.path).is_dir()) == (VersionStatus.REJECTED, True)
    assert _row(three, "nnloop-v3").status == VersionStatus.CHAMPION
    assert three.jobs == []
    # By hand it may serve all the same, and go again.
    assert promote(three.context, "nnloop-e1", PROJECT).before == "nnloop-v3"
    assert rollback(three.context, PROJECT).version == "nnloop-v3"


def test_a_champion_is_measured_where_it_has_no_number(three: FakeApp, networks: Networks) -> None:
    with three.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None
        known = champion.metrics.dice_per_case
        kept = {case: known[case] for case in sorted(known)[:3]}
        champion.metrics = replace(champion.metrics, dice_per_case=kept)
    make_ensemble(three.context, PROJECT)
    [asked] = networks.champion_asked
    assert (asked.case_id, asked.fold) == (case_id_of_task(4), 0)


def test_only_cases_with_todays_annotations_count(three: FakeApp, networks: Networks) -> None:
    changed = [(task, "changed" if task == 2 else f"h{task}", f"g{task}") for task in TASKS]
    add_version(three, 4, manifest=manifest_of(*changed), folds=FOLDS)
    promote(three.context, "nnloop-v3", PROJECT)
    networks.fails = {case_id_of_task(3)}
    report = make_ensemble(three.context, PROJECT, ["nnloop-v2", "nnloop-v3"])
    assert [case.case_id for case in networks.asked] == [case_id_of_task(t) for t in (1, 3, 4)]
    assert report.n_cases == 2


def test_versions_that_do_not_fit_are_left_out_and_told_of(
    three: FakeApp, networks: Networks
) -> None:
    add_version(three, 4, manifest=MANIFEST, folds=FOLDS, classes=("wall",))
    alone = replace(MANIFEST, n_folds=1)
    add_version(three, 5, manifest=alone)
    add_version(three, 6, manifest=MANIFEST, folds=FOLDS)
    with three.store.begin() as session:
        session.query(VersionRow).filter_by(name="nnloop-v1").one().pruned_at = 1.0
        session.query(VersionRow).filter_by(name="nnloop-v6").one().path = "/gone"
    promote(three.context, "nnloop-v3", PROJECT)
    report = make_ensemble(three.context, PROJECT)
    assert report.version == "nnloop-e1"
    assert [sentence.split()[:2] for sentence in report.left_out] == [
        ["There", "is"],
        ["nnloop-v5", "held"],
        ["nnloop-v4", "knows"],
    ]


def _add_imported(app: FakeApp, *names: str) -> None:
    workspace = app.context.workspace(PROJECT)
    for name in names:
        info = VersionInfo(name, ("lumen", "wall"), 1, FULL, FOLDS, {})
        folder = workspace.version_dir(name)
        write_document(folder / "version.json", VersionInfo, info)
        for fold in FOLDS:
            write_json(folder / f"fold_{fold}" / "checkpoint_final.pth", fold)
        app.add_imported(name)
    promote(app.context, "nnloop-v3", PROJECT)


def test_one_trained_elsewhere_is_averaged_with_a_remark(
    three: FakeApp, networks: Networks
) -> None:
    _add_imported(three, "theirs")
    networks.rows |= {("theirs",): 8, ("nnloop-v3", "theirs"): 9}
    report = make_ensemble(three.context, PROJECT, ["nnloop-v3", "theirs"])
    assert report.is_promoted
    assert (
        "theirs was trained elsewhere, or began so, and may have been trained on these"
        in report.reason
    )
    assert {case.folds for case in networks.asked} == {(0, None), (1, None)}
    row = _row(three, "nnloop-e1")
    assert row.metrics.remark.startswith("theirs was")
    assert row.metrics.dice_per_case and row.manifest is not None
    # Without names it is not considered: it held nothing out.
    assert "theirs held no case out." in make_ensemble(three.context, PROJECT).left_out


def test_what_was_trained_elsewhere_holds_nothing_out_together_either(
    three: FakeApp, networks: Networks
) -> None:
    _add_imported(three, "theirs", "others")
    networks.rows |= {("theirs",): 3, ("others",): 4, ("theirs", "others"): 5}
    report = make_ensemble(three.context, PROJECT, ["theirs", "others"])
    # Worse than the champion on today's cases, by the mean of all folds.
    assert (report.n_cases, report.is_promoted) == (4, False)
    assert "worse by more than" in report.reason
    row = _row(three, "nnloop-e1")
    assert (row.manifest, row.metrics.dice_per_case) == (None, {})


@pytest.mark.parametrize(("preset", "asks"), [(FULL, True), (TINY, False)])
def test_postprocessing_is_found_when_the_presets_ask_for_it(
    app: FakeApp, networks: Networks, monkeypatch: pytest.MonkeyPatch, preset: Any, asks: bool
) -> None:
    workspace = app.context.workspace(PROJECT)
    perfect: DicePerCase = {case_id_of_task(task): {"lumen": 1.0, "wall": 1.0} for task in TASKS}

    def find(
        _: Workspace, label_maps: Path, model_dir: Path, out: Path, classes: tuple[str, ...]
    ) -> FoundSteps:
        assert len(list(label_maps.glob("*.png"))) == 4
        assert classes == ("lumen", "wall")
        write_json(out / "postprocessing.json", {})
        return FoundSteps((KeepLargest((2,)),), perfect)

    monkeypatch.setattr(enrol, "find_steps", find)
    truth = np.ones((SIDE, SIDE), np.uint8)
    for number, rows in ((1, 2), (2, 5)):
        add_version(app, number, manifest=MANIFEST, folds=FOLDS, preset=preset)
        networks.rows[(f"nnloop-v{number}",)] = rows
    networks.rows[("nnloop-v1", "nnloop-v2")] = 9
    truth[10:] = 2
    for task in TASKS:
        write_case(workspace, case_id_of_task(task), truth, truth, n_channels=1)
    make_ensemble(app.context, PROJECT)
    row = _row(app, "nnloop-e1")
    found = row.metrics.postprocessing
    assert (found is not None and found.keeps_largest == ((2,),)) is asks
    assert (row.metrics.dice_per_case == perfect) is asks
    assert (Path(row.path) / "postprocessing.json").exists() is asks


def test_another_champion_meanwhile_is_judged_again(
    three: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = package_ensemble
    calls: list[Any] = []

    def meanwhile(*args: Any, **more: Any) -> Path:
        if not calls:
            promote(three.context, "nnloop-v2", PROJECT)
        calls.append(1)
        return package(*args, **more)

    monkeypatch.setattr(enrol, "package_ensemble", meanwhile)
    make_ensemble(three.context, PROJECT)
    assert len(calls) == 2
    row = _row(three, "nnloop-e1")
    known = row.metrics.champion_dice
    assert known is not None and known.version == "nnloop-v2"
    assert _row(three, "nnloop-v2").status == VersionStatus.RETIRED
    assert "nnloop-v2" not in row.name


def test_it_is_not_made_twice(three: FakeApp) -> None:
    make_ensemble(three.context, PROJECT)
    with pytest.raises(SettingsError, match="nnloop-e1 is the ensemble of nnloop-v2 and"):
        make_ensemble(three.context, PROJECT)
    with pytest.raises(SettingsError, match="nnloop-e1 is the ensemble of"):
        make_ensemble(three.context, PROJECT, ["nnloop-v3", "nnloop-v2"])
    with pytest.raises(SettingsError, match="nnloop-e1 is an ensemble itself"):
        make_ensemble(three.context, PROJECT, ["nnloop-v1", "nnloop-e1"])
    assert make_ensemble(three.context, PROJECT, ["nnloop-v1", "nnloop-v2"]).version == "nnloop-e2"


@pytest.mark.parametrize("names", [["nnloop-v1"], ["nnloop-v1", "nnloop-v1"]])
def test_one_version_is_no_ensemble(three: FakeApp, names: list[str]) -> None:
    with pytest.raises(SettingsError, match="2 or more different versions"):
        make_ensemble(three.context, PROJECT, names)


def test_what_stands_in_the_way_is_said(app: FakeApp, networks: Networks) -> None:
    with pytest.raises(SettingsError, match="No training has written cases"):
        make_ensemble(app.context, PROJECT)
    add_version(app, 1, manifest=MANIFEST, folds=FOLDS)
    with pytest.raises(SettingsError, match=r"needs 2 versions .* there is nnloop-v1"):
        make_ensemble(app.context, PROJECT)
    add_version(app, 2, manifest=MANIFEST, folds=FOLDS)
    with pytest.raises(SettingsError, match="no held-out case in common"):
        make_ensemble(app.context, PROJECT)  # no label map is on the disk
    run_id = app.add_run(RunStatus.PREPARING, 3)
    with pytest.raises(SettingsError, match="Run 3 is writing the project's cases"):
        make_ensemble(app.context, PROJECT)
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).status = RunStatus.DONE
    with pytest.raises(SettingsError, match="no version 'nnloop-v9'"):
        make_ensemble(app.context, PROJECT, ["nnloop-v1", "nnloop-v9"])


def test_nothing_is_known_where_no_case_can_be_judged(app: FakeApp, networks: Networks) -> None:
    for number in (1, 2):
        add_version(app, number, manifest=MANIFEST, folds=FOLDS, metrics=_known(5))
    report = make_ensemble(app.context, PROJECT, ["nnloop-v1", "nnloop-v2"])
    assert (report.n_cases, report.is_promoted) == (0, False)
    assert [row.dice for row in report.considered] == [None] * 3
    assert "no case with the present annotations was held out by all members" in report.reason


def test_a_run_that_writes_the_cases_meanwhile_ends_it(
    three: FakeApp, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(*args: Any, **more: Any) -> tuple[Failure, ...]:
        three.add_run(RunStatus.TRAINING, 9, manifest=MANIFEST)
        return networks.predict_members(*args, **more)

    monkeypatch.setattr(candidates, "predict_members", predict)
    with pytest.raises(SettingsError, match="Run 9 has written the project's cases anew"):
        make_ensemble(three.context, PROJECT)


def test_all_cases_failing_is_an_error(three: FakeApp, networks: Networks) -> None:
    networks.fails = {case_id_of_task(task) for task in TASKS}
    with pytest.raises(PredictionError, match=r"None of 4 cases could be predicted: No\."):
        make_ensemble(three.context, PROJECT)


def test_an_ensemble_outlives_its_pruned_members_and_is_pruned_itself(three: FakeApp) -> None:
    make_ensemble(three.context, PROJECT)
    three.change_settings(keep_versions=2)
    planned = prune(three.context, PROJECT, dry_run=True)
    report = prune(three.context, PROJECT)
    # The champion and the version before it stay. Of the two that go, one lives on inside.
    assert planned.versions == report.versions == ("nnloop-v2", "nnloop-v1")
    assert planned.freed_bytes == report.freed_bytes == 2000
    folder = Path(_row(three, "nnloop-e1").path)
    assert (folder / "members" / "nnloop-v2" / "fold_1" / "checkpoint_final.pth").exists()
    promote(three.context, "nnloop-v3", PROJECT)
    add_version(three, 4, manifest=MANIFEST, folds=FOLDS)
    # Now its turn has come: nothing keeps the second member's weights any more.
    assert prune(three.context, PROJECT).versions == ("nnloop-e1",)
    assert not list(folder.rglob("*.pth"))
    assert read_version(folder).members == ("nnloop-v2", "nnloop-v3")
