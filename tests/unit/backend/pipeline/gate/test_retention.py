from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pipeline.gate import retention
from backend.pipeline.gate.retention import prune, prune_quietly, to_prune
from backend.pipeline.models.serving import pin
from backend.settings import ProjectSettings
from backend.store.models import RunRow, VersionRow
from domain.case import Manifest
from domain.states import RunControl, RunStatus, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.unit.backend.pipeline.models.versions import WEIGHTS, add_version, set_status, weights
from training.versions.manifests import FoldStart
from training.versions.version_folder import read_version


def _kept(app: FakeApp, n: int) -> list[int]:
    return [number for number in range(1, n + 1) if weights(app, number).exists()]


def test_the_oldest_go_the_serving_the_one_before_and_pinned_ones_stay(app: FakeApp) -> None:
    for number in range(1, 7):
        add_version(app, number)
    pin(app.context, "nnloop-v2", is_pinned=True)
    app.change_settings(keep_versions=4)
    planned = prune(app.context, PROJECT, dry_run=True)
    assert _kept(app, 6) == [1, 2, 3, 4, 5, 6]
    report = prune(app.context, PROJECT)
    assert planned.versions == report.versions == ("nnloop-v3", "nnloop-v1")
    assert _kept(app, 6) == [2, 4, 5, 6]
    # What it was stays: its row, manifest and settings.
    with app.store.begin() as session:
        rows = {row.name: row for row in session.query(VersionRow)}
        assert rows["nnloop-v3"].pruned_at is not None
        assert rows["nnloop-v4"].pruned_at is None
    assert read_version(weights(app, 3).parents[1]).class_values == ("lumen", "wall")
    assert (weights(app, 3).parents[1] / "manifest.json").exists()
    # Each weight was one file with two names, the version's and the run's: both are gone.
    assert report.freed_bytes == 2 * WEIGHTS
    assert prune(app.context, PROJECT).versions == ()


def test_versions_the_gate_refused_go_before_those_that_served(app: FakeApp) -> None:
    ids = [add_version(app, number) for number in range(1, 6)]
    set_status(app, ids[2], VersionStatus.REJECTED)
    app.change_settings(keep_versions=4)
    assert prune(app.context, PROJECT).versions == ("nnloop-v3",)


def test_what_an_active_run_starts_from_stays(app: FakeApp) -> None:
    for number in range(1, 6):
        add_version(app, number)
    start = str(weights(app, 1).parents[1])
    settings = ProjectSettings().model_dump(mode="json") | {"start_from": start}
    run_id = app.add_run(RunStatus.TRAINING, 9, settings=settings)
    app.change_settings(keep_versions=2)
    assert prune(app.context, PROJECT).versions == ("nnloop-v3", "nnloop-v2")
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).status = RunStatus.DONE
    assert prune(app.context, PROJECT).versions == ("nnloop-v1",)


def test_the_weights_that_folds_of_a_paused_run_start_from_stay(app: FakeApp) -> None:
    for number in range(1, 7):
        add_version(app, number)
    member = weights(app, 3).parents[1].parent / "nnloop-v3" / "members" / "nnloop-v2"
    member.mkdir(parents=True)
    starts = (FoldStart(seed=1, version="nnloop-v1"), FoldStart(seed=2, version="nnloop-v2"))
    manifest = replace(run_manifest(Manifest(())), starts=starts)
    run_id = app.add_run(RunStatus.TRAINING, 9, manifest=manifest, control=RunControl.PAUSE)
    app.change_settings(keep_versions=2)
    assert prune(app.context, PROJECT).versions == ("nnloop-v4",)
    with app.store.begin() as session:
        session.get_one(RunRow, run_id).status = RunStatus.DONE
    assert prune(app.context, PROJECT).versions == ("nnloop-v3", "nnloop-v2", "nnloop-v1")


def test_bytes_are_a_limit_too(app: FakeApp) -> None:
    for number in range(1, 6):
        add_version(app, number)
    app.change_settings(keep_versions=5, keep_bytes=3 * WEIGHTS)
    prune(app.context, PROJECT)
    assert _kept(app, 5) == [3, 4, 5]
    app.change_settings(keep_versions=5, keep_bytes=0)
    prune(app.context, PROJECT)
    assert _kept(app, 5) == [4, 5]


def test_finished_runs_lose_their_checkpoints_and_old_ones_their_folders(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEPT_RUN_LOGS", 2)
    for number in (1, 2, 3):
        add_version(app, number)
    app.add_run(RunStatus.TRAINING, 4)
    workspace = app.context.workspace(PROJECT)
    active = workspace.fold_dir(4, 0) / "checkpoint_latest.pth"
    active.parent.mkdir(parents=True)
    active.write_bytes(b"x")
    assert prune(app.context, PROJECT).run_folders == 1
    assert not workspace.run_dir(1).exists()
    assert [path.name for path in workspace.fold_dir(2, 0).iterdir()] == ["train.log"]
    assert active.exists()
    assert _kept(app, 3) == [1, 2, 3]  # a version's own name of the file stays


def test_a_crash_between_ledger_and_files_is_made_up_for(app: FakeApp) -> None:
    first = add_version(app, 1)
    add_version(app, 2)
    with app.store.begin() as session:
        session.get_one(VersionRow, first).pruned_at = 1.0
    prune(app.context, PROJECT)
    assert _kept(app, 2) == [2]


def test_files_that_stay_do_not_stop_the_loop(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(retention, "remove_weights", fail)
    add_version(app, 1)
    prune_quietly(app.context, PROJECT)


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.booleans(), st.sampled_from(list(VersionStatus))),
        max_size=12,
    ),
    st.integers(2, 8),
    st.none() | st.integers(0, 400),
)
def test_what_is_kept_fits_or_is_protected(
    versions: list[tuple[int, bool, VersionStatus]], keep_versions: int, keep_bytes: int | None
) -> None:
    rows = [
        VersionRow(id=i, name=f"v{i}", size_bytes=size, status=status, pruned_at=None)
        for i, (size, _, status) in enumerate(versions)
    ]
    protected = {i for i, (_, is_protected, _) in enumerate(versions) if is_protected}
    settings = ProjectSettings(keep_versions=keep_versions, keep_bytes=keep_bytes)
    going = {row.id for row in to_prune(rows, protected, settings)}
    kept = [row for row in rows if row.id not in going]
    free = [row for row in kept if row.id not in protected]
    assert not going & protected
    if free:
        assert len(kept) <= keep_versions
        assert keep_bytes is None or sum(row.size_bytes for row in kept) <= keep_bytes
    # Nothing newer of the same kind goes while something older stays.
    for row in free:
        for other in rows:
            is_alike = (row.status == VersionStatus.REJECTED) == (
                other.status == VersionStatus.REJECTED
            )
            assert not (other.id in going and other.id > row.id and is_alike)
