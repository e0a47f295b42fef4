"""What the doctor says while labels in use are missing in the interface."""

from __future__ import annotations

from backend.doctor.check import State
from backend.label_studio import PushedPrediction
from backend.pipeline.labels.questions import replace_problems
from backend.store.models import PredictionRow
from tests.fakes.app import PROJECT
from tests.unit.backend.doctor.conftest import Installation, found
from tests.unit.backend.pipeline.labels.renamed import RENAMED, annotate, set_config

LACKS = 'The labelling interface lacks "lumen".'


def test_a_rename_that_nobody_has_told_of_is_asked_for(well: Installation) -> None:
    annotate(well, 11, 12, 13)
    set_config(well, RENAMED)
    visit = well.visit()
    one = found(visit, "labels")
    assert one.state == State.WRONG
    assert 'and nobody uses "Lumen": a rename? The annotations of 3 tasks' in one.answer
    assert "nnloop labels 1 --map lumen=Lumen" in one.fix


def test_a_label_that_only_went_is_a_note(well: Installation) -> None:
    with well.store.begin() as session:
        replace_problems(session, PROJECT, ("gone",), [("gone", "It went.", "Relabel.")])
    one = found(well.visit(), "labels")
    assert (one.state, one.answer, one.fix) == (State.NOTE, "It went.", "Relabel.")


def test_predictions_that_are_held_are_none_that_annotators_get(well: Installation) -> None:
    version = well.add_version()
    with well.store.begin() as session:
        for task_id in (1, 2):
            row = PredictionRow(project_id=PROJECT, task_id=task_id, version_id=version)
            row.held = LACKS
            session.add(row)
    one = found(well.visit(), "predictions")
    assert one.state == State.WRONG
    assert one.answer == (
        '2 predictions of nnloop-v1 are held: the labelling interface lacks "lumen".'
    )
    assert "nnloop labels 1 --map OLD=NEW" in one.fix
    # Others of the version are there: it works, and there is something to know.
    well.label_studio.predictions = [PushedPrediction(3, [], 0.5, "nnloop-v1")]
    assert found(well.visit(), "predictions").state == State.NOTE
