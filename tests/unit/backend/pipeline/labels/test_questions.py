"""Labels renamed, added and removed in a Label Studio in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.cases.manifests import make_manifest
from backend.pipeline.cases.write import Source, _source_hash
from backend.pipeline.labels.mapping import LabelChange, change_labels, label_report
from backend.pipeline.labels.of_version import reused_names
from backend.pipeline.labels.writing import write_labels
from backend.pipeline.predictions import score
from backend.pipeline.predictions.publish import publish
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.sync import trigger
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import ProblemRow, RunRow, VersionRow
from backend.store.tasks import snapshots
from backend.store.training import runs, versions
from converters.bookkeeping.documents import write_document
from domain.case import Manifest
from domain.errors import NotEnoughCasesError, SettingsError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.predictions.test_score import FakePredictor
from tests.unit.backend.pipeline.preparing import prepare
from training.presets import TINY, preset_by_name
from training.versions.version_folder import VersionInfo

RENAMED = CONFIG.replace('"lumen"', '"Lumen"')
MAPPED = LabelChange(renamed=[("lumen", "Lumen")])


def _set_config(app: FakeApp, xml: str) -> None:
    app.label_studio.info = replace(app.label_studio.info, label_config=xml)
    sync_project(app.context, PROJECT)


def _annotate(app: FakeApp, *task_ids: int, labels: tuple[str, ...] = ("lumen", "wall")) -> None:
    for task_id in task_ids:
        app.label_studio.add_task(task_id)
        regions = [polygon(name, at=5 + 45 * k, size=40) for k, name in enumerate(labels)]
        app.label_studio.label(task_id, *regions)


def _serve(app: FakeApp, *classes: str) -> int:
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


def _last_run(app: FakeApp) -> RunRow | None:
    with app.store.begin() as session:
        return runs.last_run(session, PROJECT)


def _end_run(app: FakeApp, status: RunStatus = RunStatus.DONE) -> RunRow:
    run = _last_run(app)
    assert run is not None
    with app.store.begin() as session:
        session.merge(run).status = status
    return run


def _waits_for(app: FakeApp) -> str:
    with app.store.begin() as session:
        decision = trigger.evaluate(session, PROJECT)
    assert not decision.is_due, decision.reason
    return decision.reason


def _problems(app: FakeApp, stage: str = "labels") -> list[ProblemRow]:
    with app.store.begin() as session:
        return [row for row in projects.open_problems(session, PROJECT) if row.stage == stage]


def _pushed(app: FakeApp) -> dict[int, set[str]]:
    return {
        row.task_id: {entry["value"]["polygonlabels"][0] for entry in row.result}
        for row in app.label_studio.predictions
    }


def _shows(*task_ids: int, labels: set[str]) -> dict[int, set[str]]:
    return {task_id: set(labels) for task_id in task_ids}


@pytest.fixture
def _networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "warm_predictor", lambda *_: FakePredictor())


def _trained_app(app: FakeApp, **settings: object) -> None:
    """Twelve annotated tasks and a first run that is over."""
    app.change_settings(min_annotations=4, retrain_after=3, preset="tiny", **settings)
    _annotate(app, *range(1, 13))
    sync_project(app.context, PROJECT)
    _end_run(app)


def test_a_rename_is_asked_about_and_no_training_starts_before_the_answer(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, RENAMED)
    (problem,) = _problems(app)
    assert problem.message == (
        'The label "lumen" went and "Lumen" came: a rename? '
        "The annotations of 12 tasks still use it."
    )
    assert "nnloop labels 1 --map lumen=Lumen" in problem.remedy
    assert "--keep-apart lumen=Lumen" in problem.remedy
    _annotate(app, 20, 21, 22, labels=("wall",))
    sync_project(app.context, PROJECT)
    assert _waits_for(app).startswith(f"waits for an answer. {problem.message}")
    assert _last_run(app).number == 1  # type: ignore[union-attr]
    change_labels(app.context, PROJECT, MAPPED)
    assert _problems(app) == []
    sync_project(app.context, PROJECT)
    run = _last_run(app)
    # The annotations are the same: only the three new ones count.
    assert run is not None and run.trigger == "3 new or changed annotations since the last run"


def test_a_single_task_with_an_unknown_label_holds_up_no_training(app: FakeApp) -> None:
    app.change_settings(min_annotations=4, preset="tiny")
    _annotate(app, *range(1, 11), labels=("lumen",))
    _annotate(app, 11, labels=("lumne",))
    sync_project(app.context, PROJECT)
    (problem,) = _problems(app)
    assert problem.message == (
        'The interface lacks the label "lumne", and nobody uses "wall": a rename? '
        "The annotations of 1 task still use it."
    )
    run = _last_run(app)
    assert run is not None and run.trigger == "10 annotations, the first training is due"


def test_a_class_answers_to_its_title(app: FakeApp) -> None:
    """An alias given later: annotations and versions have the name from before."""
    _trained_app(app)
    _set_config(app, CONFIG.replace('value="lumen"', 'value="lumen" alias="l"'))
    assert _problems(app) == []
    report = label_report(app.context, PROJECT)
    assert report.counts_as == {"lumen": "l"}
    assert _waits_for(app).startswith("0 of 3 new or changed annotations")


def test_a_mapped_rename_wastes_no_run(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    sync_project(app.context, PROJECT)
    assert _waits_for(app) == "0 of 3 new or changed annotations since the last run"


def test_labels_that_are_kept_apart_are_not_asked_about_again(app: FakeApp) -> None:
    _trained_app(app)
    _annotate(app, 20, 21, 22, 23, labels=("wall",))
    _set_config(app, RENAMED)
    change_labels(app.context, PROJECT, LabelChange(apart=[("lumen", "Lumen")]))
    (problem,) = _problems(app)
    assert problem.message == (
        'The label "lumen" went; the annotations of 12 tasks still use it. '
        "These tasks are left out."
    )
    sync_project(app.context, PROJECT)
    run = _last_run(app)
    assert run is not None and run.number == 2
    assert run.trigger == "the labels have changed: new is 'Lumen', gone is 'lumen'"


def test_a_question_ends_when_labels_and_annotations_no_longer_differ(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, RENAMED)
    assert len(_problems(app)) == 1
    _set_config(app, CONFIG)  # it was a mistake
    assert _problems(app) == []
    _set_config(app, RENAMED)
    assert len(_problems(app)) == 1
    for task_id in range(1, 13):  # everybody relabelled by hand
        app.label_studio.unlabel(task_id)
        app.label_studio.label(task_id, polygon("Lumen"), polygon("wall", at=65, size=20))
    sync_project(app.context, PROJECT)
    assert _problems(app) == []


def test_a_label_split_in_two_can_not_be_mapped_by_itself(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(
        app, CONFIG.replace('<Label value="lumen"/>', '<Label value="a"/><Label value="b"/>')
    )
    (problem,) = _problems(app)
    assert 'went and "a" and "b" came: a rename, or split up?' in problem.message
    assert "--keep-apart lumen, and relabel those tasks" in problem.remedy
    change_labels(app.context, PROJECT, LabelChange(apart=[("lumen", "")]))
    assert [row.reason for row in _problems(app)] == ["gone"]


def test_a_label_that_came_is_learned_at_the_usual_count(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, CONFIG.replace("<Label", '<Label value="debris"/><Label', 1))
    assert _problems(app) == []
    assert _waits_for(app) == (
        "0 of 3 new or changed annotations since the last run; new is the label 'debris', learned "
        "once it is drawn"
    )


def test_a_label_that_went_unused_starts_a_training(app: FakeApp) -> None:
    app.change_settings(min_annotations=4, preset="tiny")
    _annotate(app, 1, 2, 3, 4, labels=("lumen",))
    sync_project(app.context, PROJECT)
    _end_run(app)
    _set_config(app, CONFIG.replace('<Label value="wall"/>', ""))
    run = _last_run(app)
    assert run is not None and run.trigger == "the labels have changed: gone is 'wall'"


@pytest.mark.parametrize("xml", [RENAMED, CONFIG.replace('<Label value="lumen"/>', "")])
def test_a_run_without_usable_tasks_names_the_cause(app: FakeApp, xml: str) -> None:
    _trained_app(app)
    app.label_studio.info = replace(app.label_studio.info, label_config=xml)
    with pytest.raises(NotEnoughCasesError) as caught:
        prepare(app)
    said = str(caught.value)
    assert said.startswith("Only 0 of 12 labelled tasks can be trained on")
    assert "'lumen', which the labelling" in said or (
        'the annotations of 12 tasks use "lumen", which the interface lacks; did you rename it to '
        '"Lumen"?' in said
    )
    assert "nnloop labels 1 --map lumen=" in caught.value.remedy


def test_after_a_run_that_failed_for_a_rename_the_answer_starts_the_next(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, RENAMED)
    run_id = app.add_run(RunStatus.FAILED, 2)
    with app.store.begin() as session:
        run, first = session.get_one(RunRow, run_id), session.get_one(RunRow, run_id - 1)
        project = projects.get(session, PROJECT)
        run.candidates, run.settings = (
            first.candidates,
            run_settings(project, {}),
        )
    change_labels(app.context, PROJECT, MAPPED)
    sync_project(app.context, PROJECT)
    last = _last_run(app)
    assert last is not None and last.number == 3
    assert last.trigger == "12 new or changed annotations since the last run"


@pytest.mark.usefixtures("_networks")
def test_predictions_that_lost_a_label_are_held_and_go_out_under_the_new_name(app: FakeApp) -> None:
    _trained_app(app)
    version = _serve(app, "lumen", "wall")
    for task_id in (31, 32, 33):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert _pushed(app) == _shows(31, 32, 33, labels={"lumen", "wall"})

    _set_config(app, RENAMED)
    publish(app.context, PROJECT)
    assert _pushed(app) == {}  # nobody is shown regions without a label
    held = [row for row in _problems(app) if row.reason == "held"]
    assert [row.message for row in held] == [
        '3 predictions of nnloop-v1 are held: the labelling interface lacks "lumen".'
    ]
    assert "nnloop labels 1 --map OLD=NEW" in held[0].remedy
    # One made meanwhile is held from the start.
    app.label_studio.add_task(34)
    sync_project(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert _pushed(app) == {}

    fetched = list(app.label_studio.fetched)
    change_labels(app.context, PROJECT, MAPPED)
    with app.store.begin() as session:
        assert session.get_one(VersionRow, version).published_at is None  # the next tick publishes
    report = publish(app.context, PROJECT)
    assert report is not None and (report.pushed, report.dropped) == (4, 0)
    assert _pushed(app) == _shows(31, 32, 33, 34, labels={"Lumen", "wall"})
    assert _problems(app) == []
    assert app.label_studio.fetched == fetched  # nothing was predicted again
    again = publish(app.context, PROJECT)
    assert again is not None and again.pushed == 0

    # The rename is corrected: what was pushed under the wrong name goes out under the right one.
    _set_config(app, RENAMED.replace("<Label", '<Label value="core"/><Label', 1))
    change_labels(app.context, PROJECT, LabelChange(renamed=[("lumen", "core")]))
    publish(app.context, PROJECT)
    assert _pushed(app) == _shows(31, 32, 33, 34, labels={"core", "wall"})
    # And taken back altogether.
    change_labels(app.context, PROJECT, LabelChange(forgotten=["lumen"]))
    _set_config(app, CONFIG)
    publish(app.context, PROJECT)
    assert _pushed(app) == _shows(31, 32, 33, 34, labels={"lumen", "wall"})


@pytest.mark.usefixtures("_networks")
def test_an_interface_that_can_not_be_read_withdraws_nothing(app: FakeApp) -> None:
    _trained_app(app)
    version = _serve(app, "lumen", "wall")
    app.label_studio.add_task(31)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    _set_config(app, "<View")
    with app.store.begin() as session:
        assert session.get_one(VersionRow, version).published_at is not None
    assert _problems(app) == []
    _set_config(app, CONFIG)
    publish(app.context, PROJECT)
    assert _pushed(app) == _shows(31, labels={"lumen", "wall"})
    assert app.label_studio.calls.count("import_predictions") == 1  # they were there


@pytest.mark.usefixtures("_networks")
def test_classes_that_became_one_are_predicted_as_one(app: FakeApp) -> None:
    _trained_app(app)
    _serve(app, "lumen", "wall")
    app.label_studio.add_task(31)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    _set_config(app, CONFIG.replace('"lumen"', '"vessel"').replace('<Label value="wall"/>', ""))
    change = LabelChange(renamed=[("lumen", "vessel"), ("wall", "vessel")])
    change_labels(app.context, PROJECT, change)
    assert not score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert _pushed(app) == {31: {"vessel"}}


@pytest.mark.usefixtures("_networks")
def test_many_predictions_are_replaced_in_one_call(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.pipeline.predictions.held.MAX_SINGLE", 1)
    _trained_app(app)
    _serve(app, "lumen", "wall")
    for task_id in (31, 32, 33):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    _set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    publish(app.context, PROJECT)
    assert _pushed(app) == _shows(31, 32, 33, labels={"Lumen", "wall"})
    assert "delete_prediction" not in app.label_studio.calls


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (LabelChange(renamed=[("lumen", "Lumne")]), '"Lumne" is no label of the interface.'),
        (LabelChange(renamed=[("wall", "Lumen")]), '"wall" is a label of the interface'),
        (LabelChange(dropped=["wall"]), '"wall" is a label of the interface'),
        (LabelChange(renamed=[("a", "Lumen"), ("b", "a"), ("a", "b")]), 'would lead to "'),
        (LabelChange(forgotten=["lumen"]), '"lumen" is not mapped.'),
        (LabelChange(apart=[("lumen", "Lumne")]), '"Lumne" is no label of the interface.'),
    ],
)
def test_a_mapping_that_can_not_be_is_refused_with_the_names(
    app: FakeApp, change: LabelChange, said: str
) -> None:
    _set_config(app, RENAMED)
    with pytest.raises(SettingsError) as caught:
        change_labels(app.context, PROJECT, change)
    assert said in str(caught.value)
    with app.store.begin() as session:
        assert projects.get(session, PROJECT).label_mapping == {}


def test_a_name_that_nobody_uses_is_refused_with_those_that_are_used(app: FakeApp) -> None:
    _trained_app(app)
    _serve(app, "lumen", "wall", "plaque")
    _annotate(app, 40, labels=("debris",))
    _set_config(app, RENAMED)
    used = 'Used, but no label of the interface: "lumen" (12 tasks), '
    for change in (
        LabelChange(renamed=[("lumne", "Lumen")]),
        LabelChange(dropped=["lumne"]),
        LabelChange(apart=[("lumne", "")]),
    ):
        with pytest.raises(SettingsError, match='"lumne" is used by no annotation') as caught:
            change_labels(app.context, PROJECT, change)
        # The one that looks like it comes first; what only a version knows is named too.
        assert caught.value.remedy == used + '"debris" (1 task), "plaque" (nnloop-v1).'
    change_labels(app.context, PROJECT, LabelChange(renamed=[("plaque", "wall")]))
    change_labels(app.context, PROJECT, MAPPED)
    with pytest.raises(SettingsError) as caught:
        change_labels(app.context, PROJECT, LabelChange(renamed=[("lumne", "Lumen")]))
    assert "Mapped already: plaque=wall, lumen=Lumen (nnloop labels 1 --unmap OLD" in (
        caught.value.remedy
    )
    # Of a name that is mapped something else can be said, and how to take it back.
    said = change_labels(app.context, PROJECT, LabelChange(renamed=[("lumen", "wall")]))
    assert said == [
        '"lumen" counts as "wall", no longer as "Lumen": 12 annotations use it.',
        "To forget it: nnloop labels 1 --unmap lumen",
    ]


def test_labels_of_the_interface_that_are_misspelt_are_listed_alike_ones_first(
    app: FakeApp,
) -> None:
    _trained_app(app)
    _set_config(app, RENAMED.replace('"wall"', '"a wall"'))
    with pytest.raises(SettingsError) as caught:
        change_labels(app.context, PROJECT, LabelChange(renamed=[("wall", "awall")]))
    assert caught.value.remedy == 'Its labels are "a wall", "Lumen".'


def test_a_swap_of_two_labels_is_refused_with_the_way_round(app: FakeApp) -> None:
    _trained_app(app)
    swap = LabelChange(renamed=[("lumen", "wall"), ("wall", "lumen")])
    with pytest.raises(SettingsError, match="are both labels of the interface") as caught:
        change_labels(app.context, PROJECT, swap)
    assert "third name" in caught.value.remedy and "docs/truth.md" in caught.value.remedy


def test_two_labels_swap_over_a_third_name(app: FakeApp) -> None:
    """As docs/truth.md says."""
    _trained_app(app)
    before = {a.id: a.result for t in app.label_studio.tasks.values() for a in t.annotations}
    names = ["lumen", "wall"]
    for old, new in (("lumen", "x"), ("wall", "lumen"), ("x", "wall")):
        names[names.index(old)] = new
        first = CONFIG.replace('"lumen"', '"1"').replace('"wall"', '"2"')
        _set_config(app, first.replace('"1"', f'"{names[0]}"').replace('"2"', f'"{names[1]}"'))
        change_labels(app.context, PROJECT, LabelChange(renamed=[(old, new)]))
        write_labels(app.context, PROJECT, is_dry=False)
        sync_project(app.context, PROJECT)
    swapped = {"lumen": "wall", "wall": "lumen"}
    for task in app.label_studio.tasks.values():
        for annotation in task.annotations:
            was = [entry["value"]["polygonlabels"][0] for entry in before[annotation.id]]
            now = [entry["value"]["polygonlabels"][0] for entry in annotation.result]
            assert now == [swapped[name] for name in was]
    assert _problems(app) == []


def test_after_a_swap_an_earlier_version_shows_no_class_as_the_other(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _trained_app(app)
    monkeypatch.setattr(score, "warm_predictor", lambda *_: FakePredictor())
    app.label_studio.add_task(50)
    sync_project(app.context, PROJECT)
    _serve(app, "lumen", "wall")
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    (pushed,) = app.label_studio.predictions
    assert {r["value"]["polygonlabels"][0] for r in pushed.result} == {"lumen", "wall"}
    for config, old, new in (
        (('"lumen"', '"x"'), "lumen", "x"),
        (('"wall"', '"lumen"'), "wall", "lumen"),
        (('"x"', '"wall"'), "x", "wall"),
    ):
        xml = app.label_studio.info.label_config.replace(*config)
        _set_config(app, xml)
        change_labels(app.context, PROJECT, LabelChange(renamed=[(old, new)]))
        write_labels(app.context, PROJECT, is_dry=False)
        sync_project(app.context, PROJECT)
        publish(app.context, PROJECT)
        score_chunk(app.context, PROJECT)
        publish(app.context, PROJECT)
        regions = [r for p in app.label_studio.predictions for r in p.result]
        names = [region["value"]["polygonlabels"][0] for region in regions]
        if new == "x":
            assert set(names) == {"x", "wall"}  # a plain rename
        else:
            assert names == []
    (told,) = _problems(app)
    assert told.reason == "held" and 'called "lumen" and "wall" now' in told.message
    # A version that was trained after the swap means what the interface means.
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        run.settings = run_settings(projects.get(session, PROJECT), {})
    publish(app.context, PROJECT)
    (pushed,) = app.label_studio.predictions
    assert {r["value"]["polygonlabels"][0] for r in pushed.result} == {"lumen", "wall"}


def test_a_title_that_is_another_classs_name_gives_nothing_away(app: FakeApp) -> None:
    _trained_app(app)
    _serve(app, "lumen", "wall")
    _set_config(app, CONFIG.replace('value="lumen"', 'value="wall" alias="lumen"'))
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        project.label_mapping = {"old": "lumen"}
        names = label_names_of(project)
        version = versions.champion(session, PROJECT)
        assert version is not None
        assert reused_names(session, project, version) == frozenset()
    assert names.current_names(("old", "lumen", "wall")) == ("lumen", "lumen", "wall")


def test_a_name_that_annotations_still_use_is_not_given_to_another_class(app: FakeApp) -> None:
    _trained_app(app)
    first = CONFIG.replace('"lumen"', '"x"')
    _set_config(app, first)
    change_labels(app.context, PROJECT, LabelChange(renamed=[("lumen", "x")]))
    _set_config(app, first.replace('"wall"', '"lumen"'))  # nobody wrote lumen as x
    with pytest.raises(SettingsError, match='"lumen" was renamed to "x", and 12 tasks still') as no:
        change_labels(app.context, PROJECT, LabelChange(renamed=[("wall", "lumen")]))
    assert "nnloop labels 1 --unmap lumen --map wall=lumen" in no.value.remedy
    change = LabelChange(renamed=[("wall", "lumen")], forgotten=["lumen"])
    change_labels(app.context, PROJECT, change)


def test_a_rename_taken_back_over_two_steps_gives_the_name_back(app: FakeApp) -> None:
    _trained_app(app)
    for old, new in (("lumen", "b"), ("b", "c"), ("c", "lumen")):
        _set_config(app, CONFIG.replace('"lumen"', f'"{new}"'))
        change_labels(app.context, PROJECT, LabelChange(renamed=[(old, new)]))
    assert _problems(app) == []
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        assert "lumen" not in project.label_mapping


def test_chains_lead_to_the_end_and_the_table_shows_all(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, RENAMED)
    change = LabelChange(renamed=[("core", "Lumen"), ("lumen", "core")])
    assert change_labels(app.context, PROJECT, change)[1] == (
        '"lumen" counts as "core": 12 annotations use it.'
    )
    report = label_report(app.context, PROJECT)
    assert [(use.name, use.n_annotations) for use in report.present] == [("Lumen", 0), ("wall", 12)]
    assert [(use.name, len(use.tasks)) for use in report.missing] == [("lumen", 12)]
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        group = label_config_of(project, project.settings).group
    assert group.class_by_value("lumen") == group.class_by_value("Lumen")


def test_writing_changes_names_alone_and_is_no_news(app: FakeApp) -> None:
    _trained_app(app)
    # A second person drew task 1 later, without the lumen.
    app.label_studio.label(1, polygon("wall", at=30))
    app.label_studio.label(2, polygon("lumen"), was_cancelled=True)
    sync_project(app.context, PROJECT)
    _set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        run.candidates = snapshots.chosen_hashes(session, PROJECT, "latest")
    before = dict(app.label_studio.tasks)
    dry = write_labels(app.context, PROJECT, is_dry=True)
    assert (dry.names, dry.annotations, dry.touched, len(dry.tasks)) == ({"lumen": 12}, 12, 1, 12)
    assert app.label_studio.tasks == before
    assert write_labels(app.context, PROJECT, is_dry=False).annotations == 12
    first, second = app.label_studio.tasks[1].annotations
    assert [r["value"]["polygonlabels"] for r in first.result] == [["Lumen"], ["wall"]]
    assert [r["value"]["points"] for r in first.result] == [
        r["value"]["points"] for r in before[1].annotations[0].result
    ]
    # The newest is still the newest: its truth counts as before.
    assert second.result == before[1].annotations[1].result
    assert second.updated_at > first.updated_at
    assert app.label_studio.tasks[2].annotations[1] == before[2].annotations[1]  # a skip
    sync_project(app.context, PROJECT)
    assert _waits_for(app).startswith("0 of 3 new or changed")
    assert write_labels(app.context, PROJECT, is_dry=False).annotations == 0


def test_what_changed_meanwhile_is_not_written_over(app: FakeApp) -> None:
    _trained_app(app)
    _set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    fake = app.label_studio

    original = fake.unopened_task

    def task(project_id: int, task_id: int) -> object:
        if task_id == 3:
            fake.label(3, polygon("wall", at=50))
        return original(project_id, task_id)

    fake.unopened_task = task  # type: ignore[assignment, method-assign]
    report = write_labels(app.context, PROJECT, is_dry=False)
    assert report.annotations == 11
    assert report.skipped == ["Task 3 was changed at this moment; it is as it was."]
    assert fake.tasks[3].annotations[0].result[0]["value"]["polygonlabels"] == ["lumen"]


@pytest.mark.parametrize(
    "settings",
    [
        {"line_width_px": 5.0},
        {"keypoints": "leave_out"},
        {"label_priority": ("wall",)},
        {"annotator_policy": "union"},
    ],
)
def test_a_setting_that_shapes_label_maps_makes_cases_anew(
    app: FakeApp, settings: dict[str, object]
) -> None:
    before = _hashes(app)
    assert _hashes(app) == before
    app.change_settings(**settings)
    after = _hashes(app)
    assert before[0] != after[0] and before[1] != after[1]
    name = next(iter(settings))
    app.change_settings(min_annotations=1)
    with app.store.begin() as session:
        run = trigger.start(session, PROJECT, "now")
        assert run is not None
    _end_run(app)
    app.change_settings(min_annotations=1, **settings)
    assert _waits_for(app).endswith(f"{name} changed: the next training reads all anew")


@pytest.mark.parametrize(
    ("xml", "mapping", "is_read_anew"),
    [
        (CONFIG, {"plaque": "wall"}, True),
        (CONFIG, {"plaque": ""}, True),
        (CONFIG.replace("PolygonLabels", "BrushLabels"), {}, True),
        (CONFIG.replace('value="wall"', 'value="wall" alias="w"'), {}, True),
        (CONFIG.replace('value="wall"', 'value="wall" background="red"'), {}, False),
    ],
)
def test_an_interface_that_reads_otherwise_makes_cases_anew(
    app: FakeApp, xml: str, mapping: dict[str, str], is_read_anew: bool
) -> None:
    before = _hashes(app)[0]
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        project.label_config, project.label_mapping = xml, mapping
    assert (_hashes(app)[0] != before) is is_read_anew


def _hashes(app: FakeApp) -> tuple[str, str]:
    """Of the source of task 1's files, and of its entry in a manifest."""
    if 1 not in app.label_studio.tasks:
        _annotate(app, 1)
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


@pytest.mark.usefixtures("_networks")
@pytest.mark.parametrize(
    ("xml", "controls"),
    [(MOVED, {"label", "strokes"}), (CONFIG.replace('"label"', '"areas"'), {"areas"})],
)
def test_a_class_that_another_control_draws_now_goes_out_by_that_one(
    app: FakeApp, xml: str, controls: set[str]
) -> None:
    _trained_app(app)
    _serve(app, "lumen", "wall")
    for task_id in (21, 22):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)

    def shown() -> dict[int, set[str]]:
        rows = app.label_studio.predictions
        return {row.task_id: {entry["from_name"] for entry in row.result} for row in rows}

    assert shown() == {21: {"label"}, 22: {"label"}}
    _set_config(app, xml)
    publish(app.context, PROJECT)  # the clock finds it
    assert shown() == {}  # a region that no control shows is never left
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert shown() == {21: controls, 22: controls}


def test_a_new_class_with_the_old_name_of_a_renamed_one_is_told_of(app: FakeApp) -> None:
    _trained_app(app)
    _serve(app, "lumen", "wall")
    _set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    assert _problems(app) == []
    both = RENAMED.replace("<Label", '<Label value="lumen"/><Label', 1)
    _set_config(app, both)
    (told,) = _problems(app)
    assert told.message == (
        'The label "lumen", once renamed to "Lumen", is in the interface again: what the '
        'annotations of 12 tasks call "lumen" counts as "lumen", not as "Lumen"; the predictions '
        'of nnloop-v1 that show "lumen" are held.'
    )
    assert "nnloop labels 1 --unmap lumen" in told.remedy and "--write" in told.remedy
    _set_config(app, RENAMED)  # taken out once more
    assert _problems(app) == []
    _set_config(app, CONFIG)  # the rename was taken back: nothing to tell
    assert _problems(app) == []
    _set_config(app, both)
    assert len(_problems(app)) == 1
    change_labels(app.context, PROJECT, LabelChange(forgotten=["lumen"]))
    assert "name_again" not in {row.reason for row in _problems(app)}
