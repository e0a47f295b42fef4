"""What a label may be mapped to, swaps and chains."""

from __future__ import annotations

import pytest

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.labels.mapping import LabelChange, change_labels, label_report
from backend.pipeline.labels.of_version import reused_names
from backend.pipeline.labels.writing import write_labels
from backend.pipeline.predictions import score
from backend.pipeline.predictions.publish import publish
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.training import runs, versions
from domain.errors import SettingsError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG
from tests.unit.backend.pipeline.labels.renamed import (
    MAPPED,
    RENAMED,
    annotate,
    problems,
    serve,
    set_config,
    trained_app,
)
from tests.unit.backend.pipeline.predictions.test_score import FakePredictor


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
    set_config(app, RENAMED)
    with pytest.raises(SettingsError) as caught:
        change_labels(app.context, PROJECT, change)
    assert said in str(caught.value)
    with app.store.begin() as session:
        assert projects.get(session, PROJECT).label_mapping == {}


def test_a_name_that_nobody_uses_is_refused_with_those_that_are_used(app: FakeApp) -> None:
    trained_app(app)
    serve(app, "lumen", "wall", "plaque")
    annotate(app, 40, labels=("debris",))
    set_config(app, RENAMED)
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
    trained_app(app)
    set_config(app, RENAMED.replace('"wall"', '"a wall"'))
    with pytest.raises(SettingsError) as caught:
        change_labels(app.context, PROJECT, LabelChange(renamed=[("wall", "awall")]))
    assert caught.value.remedy == 'Its labels are "a wall", "Lumen".'


def test_a_swap_of_two_labels_is_refused_with_the_way_round(app: FakeApp) -> None:
    trained_app(app)
    swap = LabelChange(renamed=[("lumen", "wall"), ("wall", "lumen")])
    with pytest.raises(SettingsError, match="are both labels of the interface") as caught:
        change_labels(app.context, PROJECT, swap)
    assert "third name" in caught.value.remedy and "docs/truth.md" in caught.value.remedy


def test_two_labels_swap_over_a_third_name(app: FakeApp) -> None:
    """As docs/truth.md says."""
    trained_app(app)
    before = {a.id: a.result for t in app.label_studio.tasks.values() for a in t.annotations}
    names = ["lumen", "wall"]
    for old, new in (("lumen", "x"), ("wall", "lumen"), ("x", "wall")):
        names[names.index(old)] = new
        first = CONFIG.replace('"lumen"', '"1"').replace('"wall"', '"2"')
        set_config(app, first.replace('"1"', f'"{names[0]}"').replace('"2"', f'"{names[1]}"'))
        change_labels(app.context, PROJECT, LabelChange(renamed=[(old, new)]))
        write_labels(app.context, PROJECT, is_dry=False)
        sync_project(app.context, PROJECT)
    swapped = {"lumen": "wall", "wall": "lumen"}
    for task in app.label_studio.tasks.values():
        for annotation in task.annotations:
            was = [entry["value"]["polygonlabels"][0] for entry in before[annotation.id]]
            now = [entry["value"]["polygonlabels"][0] for entry in annotation.result]
            assert now == [swapped[name] for name in was]
    assert problems(app) == []


def test_after_a_swap_an_earlier_version_shows_no_class_as_the_other(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_app(app)
    monkeypatch.setattr(score, "warm_predictor", lambda *_: FakePredictor())
    app.label_studio.add_task(50)
    sync_project(app.context, PROJECT)
    serve(app, "lumen", "wall")
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
        set_config(app, xml)
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
    (told,) = problems(app)
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
    trained_app(app)
    serve(app, "lumen", "wall")
    set_config(app, CONFIG.replace('value="lumen"', 'value="wall" alias="lumen"'))
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        project.label_mapping = {"old": "lumen"}
        names = label_names_of(project)
        version = versions.champion(session, PROJECT)
        assert version is not None
        assert reused_names(session, project, version) == frozenset()
    assert names.current_names(("old", "lumen", "wall")) == ("lumen", "lumen", "wall")


def test_a_name_that_annotations_still_use_is_not_given_to_another_class(app: FakeApp) -> None:
    trained_app(app)
    first = CONFIG.replace('"lumen"', '"x"')
    set_config(app, first)
    change_labels(app.context, PROJECT, LabelChange(renamed=[("lumen", "x")]))
    set_config(app, first.replace('"wall"', '"lumen"'))  # nobody wrote lumen as x
    with pytest.raises(SettingsError, match='"lumen" was renamed to "x", and 12 tasks still') as no:
        change_labels(app.context, PROJECT, LabelChange(renamed=[("wall", "lumen")]))
    assert "nnloop labels 1 --unmap lumen --map wall=lumen" in no.value.remedy
    change = LabelChange(renamed=[("wall", "lumen")], forgotten=["lumen"])
    change_labels(app.context, PROJECT, change)


def test_a_rename_taken_back_over_two_steps_gives_the_name_back(app: FakeApp) -> None:
    trained_app(app)
    for old, new in (("lumen", "b"), ("b", "c"), ("c", "lumen")):
        set_config(app, CONFIG.replace('"lumen"', f'"{new}"'))
        change_labels(app.context, PROJECT, LabelChange(renamed=[(old, new)]))
    assert problems(app) == []
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        assert "lumen" not in project.label_mapping


def test_chains_lead_to_the_end_and_the_table_shows_all(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, RENAMED)
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
