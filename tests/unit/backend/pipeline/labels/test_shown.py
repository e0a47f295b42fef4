"""What is said with predictions names classes as the interface does."""

from __future__ import annotations

from typing import Any

from backend.pipeline.labels.mapping import change_labels
from backend.pipeline.labels.shown import as_shown, notes_of
from backend.pipeline.predictions.publish import publish
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.predicted import as_predicted
from domain.labels import LabelGroup, LabelNames
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.labels.renamed import MAPPED, RENAMED, set_config
from tests.unit.backend.pipeline.quality.pushed import add_version, pool, predict


def _noted(note: str, label: str = "wall", **meta: Any) -> dict[str, Any]:
    return {**polygon(label), "meta": {"text": [note, "Thin."], **meta}}


def _group(xml: str, **mapping: str) -> LabelGroup:
    config = parse_label_config(xml)
    return LabelNames(mapping, config.class_values).applied_to(config).group


def _notes(app: FakeApp) -> dict[int, list[str]]:
    return {row.task_id: notes_of(row.result) for row in app.label_studio.predictions}


def test_a_note_goes_out_again_when_its_class_is_renamed(app: FakeApp) -> None:
    """Also one about a class that no region of the prediction has."""
    pool(app, 1, 2)
    version = add_version(app)
    told = {1: "Unsure about lumen.", 2: "Maybe lumen, which is not drawn."}
    for task_id, label in ((1, "lumen"), (2, "wall")):
        regions = as_predicted([_noted(told[task_id], label)])
        predict(app, version, task_id, *regions, published_at=None)
    publish(app.context, PROJECT)
    assert _notes(app) == {task_id: [note, "Thin."] for task_id, note in told.items()}
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    publish(app.context, PROJECT)
    assert _notes(app) == {
        1: ["Unsure about Lumen.", "Thin."],
        2: ["Maybe Lumen, which is not drawn.", "Thin."],
    }
    held = {row.id for row in app.label_studio.predictions}
    publish(app.context, PROJECT)  # and stays there
    assert {row.id for row in app.label_studio.predictions} == held


def test_notes_in_the_names_of_now() -> None:
    other = polygon("wall", at=70.0)
    result = [_noted("Class lumen seen twice.", tags=["kept"]), other]
    shown, lost = as_shown(result, _group(RENAMED, lumen="Lumen"))
    assert lost == ()
    assert shown[0]["meta"] == {"text": ["Class Lumen seen twice.", "Thin."], "tags": ["kept"]}
    assert shown[1] is other
    assert notes_of(result) == ["Class lumen seen twice.", "Thin."]  # what is stored stays


def test_a_class_is_called_as_annotators_read_it() -> None:
    xml = CONFIG.replace('value="lumen"', 'value="Inner lumen" alias="lumen"')
    (region,), _ = as_shown([_noted("Unsure about lumen.")], _group(xml))
    assert region["meta"]["text"] == ["Unsure about Inner lumen.", "Thin."]


def test_a_note_about_a_class_that_is_no_more_goes() -> None:
    only_wall = CONFIG.replace('<Label value="lumen"/>', "")
    (region,), lost = as_shown([_noted("Maybe lumen, which is not drawn.")], _group(only_wall))
    assert (region["meta"], lost) == ({"text": ["Thin."]}, ())
    alone = {**polygon("wall"), "meta": {"text": ["Maybe lumen, which is not drawn."]}}
    assert as_shown([alone], _group(only_wall))[0] == [polygon("wall")]


def test_what_programs_put_there_stays() -> None:
    group = _group(CONFIG)
    strange: list[Any] = [None, [], {"text": "Unsure about lumen."}, {"text": [3, None]}]
    for meta in strange:
        entry = {**polygon("wall"), "meta": meta}
        assert as_shown([entry, "no region"], group)[0] == [entry, "no region"]
