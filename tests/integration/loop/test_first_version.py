"""From annotations in Label Studio to a version whose predictions it serves."""

from __future__ import annotations

import numpy as np

from backend.pipeline.predictions.publish import publish
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation
from domain.states import FoldStatus, RunStatus
from tests.integration.loop.discs import HEIGHT, LABEL_CONFIG, WIDTH
from tests.integration.loop.stack import Loop, Served


def test_every_annotation_arrived_as_a_webhook_and_was_followed_up(served: Served) -> None:
    created = [hint for hint in served.hints if hint.action == "ANNOTATION_CREATED"]
    labelled = served.project.task_ids[:6]
    assert [hint.task_ids for hint in created] == [[task_id] for task_id in labelled]
    assert all(hint.handled_at for hint in created)


def test_the_webhook_alone_started_the_run(served: Served) -> None:
    # The clock reads a project once an hour here, so nothing else can have.
    sixth = [hint for hint in served.hints if hint.action == "ANNOTATION_CREATED"][5]
    assert served.run.created_at > sixth.received_at > served.first_annotation_at
    assert served.run.trigger == "6 annotations, the first training is due"
    said = [hint.decision for hint in served.hints]
    assert any("starts training run 1: 6 annotations" in decision for decision in said), said
    assert any(decision.startswith("counted; ") for decision in said), said


def test_a_webhook_without_credentials_is_refused_and_leaves_no_trace(
    loop: Loop, served: Served
) -> None:
    body = {"action": "ANNOTATION_CREATED", "project": {"id": served.project.id}}
    known = len(loop.hints(served.project))
    assert loop.post("/webhook", body, authorization=None).status == 401
    assert loop.post("/webhook", body, authorization="Basic bm5sb29wOndyb25n").status == 401
    assert len(loop.hints(served.project)) == known
    assert loop.post("/webhook", body).status == 200
    assert len(loop.hints(served.project)) == known + 1


def test_both_folds_were_trained_and_the_version_promoted(served: Served) -> None:
    assert (served.run.status, served.run.error) == (RunStatus.DONE, "")
    assert [(f.fold, f.status, f.attempts) for f in served.run.folds] == [
        (0, FoldStatus.DONE, 1),
        (1, FoldStatus.DONE, 1),
    ]
    assert all(fold.epoch == fold.epochs >= 1 for fold in served.run.folds)
    assert served.run.labels == 6
    (version,) = served.report.versions
    assert version.name == served.report.champion == "nnloop-v1"
    assert set(version.oof_dice) == {"disc", "square"}


def test_every_unlabelled_task_has_one_prediction_of_the_version_sampled_by(
    served: Served,
) -> None:
    assert sorted(served.predictions) == served.project.task_ids[6:]
    assert {row.model_version for row in served.predictions.values()} == {"nnloop-v1"}
    assert served.info.model_version == "nnloop-v1"
    assert served.info.sampling == "Uncertainty sampling"
    assert served.info.total_predictions_number == 8


def test_scores_are_expected_qualities(served: Served) -> None:
    scores = [row.score for row in served.predictions.values()]
    assert all(score is not None and 0.0 <= score <= 1.0 for score in scores)
    assert len(set(scores)) > 1


def test_the_pushed_polygons_lie_where_the_discs_are(served: Served) -> None:
    config = parse_label_config(LABEL_CONFIG)
    overlaps = []
    for task_id, row in served.predictions.items():
        pushed = Annotation(id=0, task_id=task_id, result=row.result)
        drawn, left_out = annotation_to_label_map(pushed, config, (HEIGHT, WIDTH))
        assert left_out == ()
        truth = served.project.scenes[task_id].label_map
        seen, real = drawn == 1, truth == 1
        overlaps.append(2 * np.sum(seen & real) / (np.sum(seen) + np.sum(real)))
    # The worst of eight may be one of the faint images; a flipped or shifted one is near 0.
    assert float(np.median(overlaps)) > 0.7


def test_label_studio_offers_the_lowest_score_first(served: Served) -> None:
    lowest = min(served.predictions.values(), key=lambda row: row.score or 0.0)
    assert served.offered is not None
    assert served.offered.task.id == lowest.task_id
    assert [row.id for row in served.offered.predictions] == [lowest.id]


def test_publishing_again_changes_nothing(loop: Loop, served: Served) -> None:
    def held() -> list[tuple[int | None, str, float | None]]:
        rows = loop.client.iter_predictions(served.project.id)
        return sorted((row.id, row.model_version, row.score) for row in rows)

    before, info = held(), loop.client.project(served.project.id)
    for _ in range(2):
        report = publish(loop.context, served.project.id)
        assert report is not None
        assert (report.pushed, report.dropped) == (0, 0)
    assert held() == before
    assert loop.client.project(served.project.id) == info
