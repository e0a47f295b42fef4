"""A project whose labels are renamed, added and removed, in a Label Studio in memory."""

from __future__ import annotations

from dataclasses import replace

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.cases.manifests import make_manifest
from backend.pipeline.cases.write import Source, _source_hash
from backend.pipeline.labels.mapping import LabelChange
from backend.pipeline.sync import trigger
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import ProblemRow, RunRow, VersionRow
from backend.store.tasks import snapshots
from backend.store.training import runs, versions
from converters.bookkeeping.documents import write_document
from domain.case import Manifest
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import CONFIG, polygon
from training.presets import TINY, preset_by_name
from training.versions.version_folder import VersionInfo

RENAMED = CONFIG.replace('"lumen"', '"Lumen"')

MAPPED = LabelChange(renamed=[("lumen", "Lumen")])


def set_config(app: FakeApp, xml: str) -> None:
    app.label_studio.info = replace(app.label_studio.info, label_config=xml)
    sync_project(app.context, PROJECT)


def annotate(app: FakeApp, *task_ids: int, labels: tuple[str, ...] = ("lumen", "wall")) -> None:
    for task_id in task_ids:
        app.label_studio.add_task(task_id)
        regions = [polygon(name, at=5 + 45 * k, size=40) for k, name in enumerate(labels)]
        app.label_studio.label(task_id, *regions)


def serve(app: FakeApp, *classes: str) -> int:
    """A version that serves, its networks those of FakePredictor."""
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1")
    info = VersionInfo("nnloop-v1", classes, 1, TINY, (0, 1), {})
    write_document(folder / "version.json", VersionInfo, info)
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        run.manifest = run_manifest(Manifest((), class_values=classes, n_folds=2))
        row = VersionRow(project_id=PROJECT, run_id=run.id, name="nnloop-v1", path=str(folder))
        session.add(row)
        session.flush()
        versions.promote(session, row)
        return row.id


def last_run(app: FakeApp) -> RunRow | None:
    with app.store.begin() as session:
        return runs.last_run(session, PROJECT)


def end_run(app: FakeApp, status: RunStatus = RunStatus.DONE) -> RunRow:
    run = last_run(app)
    assert run is not None
    with app.store.begin() as session:
        session.merge(run).status = status
    return run


def waits_for(app: FakeApp) -> str:
    with app.store.begin() as session:
        decision = trigger.evaluate(session, PROJECT)
    assert not decision.is_due, decision.reason
    return decision.reason


def problems(app: FakeApp, stage: str = "labels") -> list[ProblemRow]:
    with app.store.begin() as session:
        return [row for row in projects.open_problems(session, PROJECT) if row.stage == stage]


def pushed(app: FakeApp) -> dict[int, set[str]]:
    return {
        row.task_id: {entry["value"]["polygonlabels"][0] for entry in row.result}
        for row in app.label_studio.predictions
    }


def shows(*task_ids: int, labels: set[str]) -> dict[int, set[str]]:
    return {task_id: set(labels) for task_id in task_ids}


def trained_app(app: FakeApp, **settings: object) -> None:
    """Twelve annotated tasks and a first run that is over."""
    app.change_settings(min_annotations=4, retrain_after=3, preset="tiny", **settings)
    annotate(app, *range(1, 13))
    sync_project(app.context, PROJECT)
    end_run(app)


def hashes(app: FakeApp) -> tuple[str, str]:
    """Of the source of task 1's files, and of its entry in a manifest."""
    if 1 not in app.label_studio.tasks:
        annotate(app, 1)
        sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        settings = project.settings
        config = label_config_of(project, settings)
        ((task, annotations),) = snapshots.chosen_annotations(session, PROJECT, "latest")
    source = Source(task, annotations)
    manifest = make_manifest(app.context, config, [source], [], settings, preset_by_name("tiny"))
    return _source_hash(source, config, settings, 1), manifest.entries[0].content_hash


MOVED = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/></PolygonLabels><BrushLabels name="strokes" toName="image">'
    '<Label value="wall"/></BrushLabels></View>'
)
