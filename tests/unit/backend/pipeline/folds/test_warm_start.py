"""Warm starts from an ensemble; those from other versions are in test_folds.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.pipeline.folds.warm_start import checkpoint_of, choose_starts
from backend.settings import ProjectSettings
from backend.store.models import RunRow, VersionRow
from backend.store.training import versions
from converters.bookkeeping.files import write_json
from domain.states import RunStatus, VersionOrigin
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import manifest_of
from training.folds.spec import FINAL
from training.presets import TINY
from training.versions.ensembles import EnsembleParts, package_ensemble
from training.versions.manifests import EnsembleManifest, RunManifest
from training.versions.metrics import EnsembleChoice, VersionMetrics
from training.versions.version_folder import VersionInfo, write_version

MANIFEST = manifest_of((1, "a", "p"), (2, "b", "q"))
MOVED = manifest_of((1, "a", "q"), (2, "b", "p"))


def _plans(width: int) -> dict[str, Any]:
    shape = {"architecture": {"features": [width]}, "patch_size": [8, 8], "spacing": [1, 1]}
    return {"configurations": {"2d": {**shape, "batch_size": width}}}


def _add_ensemble(app: FakeApp, *manifests: RunManifest) -> Path:
    """Version k has networks of width k; their ensemble serves."""
    workspace = app.context.workspace(PROJECT)
    members = []
    for number, manifest in enumerate(manifests, start=1):
        info = VersionInfo(f"nnloop-v{number}", ("lumen", "wall"), 1, TINY, (0, 1), {})

        def fill(folder: Path, width: int = number) -> None:
            write_json(folder / "plans.json", _plans(width))
            for fold in (0, 1):
                write_json(folder / f"fold_{fold}" / FINAL, width)

        members.append(write_version(workspace, info, fill))
        app.add_version(number, manifest=manifest)
    path = package_ensemble(workspace, "nnloop-e1", EnsembleParts(members, [(0, 0), (1, 1)]))
    with app.store.begin() as session:
        row = VersionRow(
            project_id=PROJECT,
            origin=VersionOrigin.ENSEMBLE,
            name="nnloop-e1",
            path=str(path),
            metrics=VersionMetrics(
                ensemble=EnsembleChoice(tuple(member.name for member in members))
            ),
            manifest=EnsembleManifest(manifests[0].entries, n_folds=2, group_key=None, members={}),
        )
        session.add(row)
        session.flush()
        versions.promote(session, row)
    return path


def _warm_start(app: FakeApp, width: int, **settings: Any) -> tuple[str | None, str]:
    """Of fold 1 of a run whose plans are of this width, and what is said of it."""
    workspace = app.context.workspace(PROJECT)
    write_json(workspace.preprocessed_dataset / "plans.json", _plans(width))
    values = ProjectSettings(**settings).model_dump(mode="json")
    run_id = app.add_run(RunStatus.TRAINING, 9, manifest=MANIFEST, settings=values)
    with app.store.begin() as session:
        run = session.get_one(RunRow, run_id)
        starts = choose_starts(session, workspace, run, [0, 1])
        found = checkpoint_of(session, run, starts.of_folds[1])
        return None if found is None else str(found), starts.note


def test_a_fold_starts_from_the_member_with_the_same_plans(app: FakeApp) -> None:
    _add_ensemble(app, MANIFEST, MANIFEST)
    version = app.context.workspace(PROJECT).version_dir("nnloop-v2")
    assert _warm_start(app, 2) == (str(version / "fold_1" / FINAL), "")


def test_a_member_that_was_pruned_lives_on_in_the_ensemble(app: FakeApp) -> None:
    path = _add_ensemble(app, MANIFEST, MANIFEST)
    (app.context.workspace(PROJECT).version_dir("nnloop-v2") / "fold_1" / FINAL).unlink()
    assert _warm_start(app, 2)[0] == str(path / "members" / "nnloop-v2" / "fold_1" / FINAL)


def test_without_such_a_member_it_starts_from_scratch_and_says_so(app: FakeApp) -> None:
    _add_ensemble(app, MANIFEST, MANIFEST)
    assert _warm_start(app, 3) == (
        None,
        "All folds start from fresh weights: no member of nnloop-e1 has the plans of this run.",
    )


def test_the_member_must_not_have_seen_what_is_held_out(app: FakeApp) -> None:
    _add_ensemble(app, MANIFEST, MOVED)
    assert _warm_start(app, 2) == (
        None,
        "From fresh weights start all folds: nnloop-v2, or a version before it, has seen 1 of "
        "1 case held out, or others of their groups.",
    )


def test_an_imported_member_starts_nothing(app: FakeApp) -> None:
    _add_ensemble(app, MANIFEST, MANIFEST)
    with app.store.begin() as session:
        session.query(VersionRow).filter_by(name="nnloop-v2").one().run_id = None
    found, note = _warm_start(app, 2)
    assert found is None
    assert "nnloop-v2 was trained elsewhere, and nobody can tell what it has seen" in note


def test_from_scratch_is_from_scratch(app: FakeApp) -> None:
    _add_ensemble(app, MANIFEST, MANIFEST)
    assert _warm_start(app, 2, warm_start=False) == (None, "")
