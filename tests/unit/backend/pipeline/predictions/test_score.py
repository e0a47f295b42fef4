from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from active_learning.calibration import Calibration
from backend.pipeline.predictions import score
from backend.pipeline.predictions.score import score_chunk, score_task
from backend.store import projects
from backend.store.models import PredictionRow, TaskRow, VersionRow
from backend.store.tasks import embeddings, predictions
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import write_json
from converters.label_studio.predicted import as_predicted, is_marked
from domain.annotation import Annotation
from domain.errors import LabelStudioError, NnloopError
from domain.states import TaskState
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.maps import maps_of
from training.nnunet.inference.maps import FoldMaps
from training.presets import TINY
from training.versions.metrics import VersionMetrics
from training.versions.version_folder import VersionInfo


class FakePredictor:
    """Two folds that agree on a lumen in the left half and differ on the wall."""

    def predict_stream(
        self, items: Iterable[TaskRow], load: Callable[[TaskRow], npt.NDArray[Any]], **_: bool
    ) -> Generator[tuple[TaskRow, Future[FoldMaps]], None, None]:
        for item in items:
            future: Future[FoldMaps] = Future()
            try:
                future.set_result(maps_of(self.predict(load(item))))
            except NnloopError as error:
                future.set_exception(error)
            yield item, future

    def predict(self, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        height, width = image.shape[:2]
        result = np.full((2, 3, height, width), 0.05, np.float32)
        result[:, 0] = 0.9
        result[:, :, 5 : height - 5, 5 : width // 2] = np.array([0.05, 0.9, 0.05])[:, None, None]
        result[0, :, 5:20, width // 2 + 3 : width - 3] = np.array([0.02, 0.02, 0.96])[:, None, None]
        return result


@pytest.fixture(autouse=True)
def _predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "warm_predictor", lambda *_: FakePredictor())
    # A busy machine must not end a chunk before its time.
    monkeypatch.setattr(score, "CHUNK_S", 60.0)


def _add_version(app: FakeApp, classes: tuple[str, ...] = ("lumen", "wall")) -> int:
    version = app.add_version()
    info = VersionInfo("nnloop-v1", classes, 1, TINY, (0, 1), {})
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1")
    write_document(folder / "version.json", VersionInfo, info)
    return version


def _rows(app: FakeApp, version_id: int, *task_ids: int) -> dict[int, PredictionRow]:
    with app.store.begin() as session:
        return predictions.find(session, version_id, task_ids)


def _labels(row: PredictionRow) -> set[str]:
    return {region["value"]["polygonlabels"][0] for region in row.result}


def test_the_pool_is_scored(app: FakeApp) -> None:
    assert not score_chunk(app.context, PROJECT)  # no champion
    version = _add_version(app)
    app.add_tasks(1, 2)
    app.add_tasks(3, state=TaskState.LABELLED)
    assert not score_chunk(app.context, PROJECT)  # nothing is left
    rows = _rows(app, version, 1, 2, 3)
    assert set(rows) == {1, 2}
    row = rows[1]
    assert row.measures is not None
    # Lumen: Dice 1 between the folds; wall: 0.
    assert row.measures.pairwise_dice == pytest.approx(0.5)
    assert list(row.measures.classes) == ["lumen", "wall"]
    # No person has judged a prediction yet: it is what other projects have taught.
    assert row.score == pytest.approx(Calibration().expected(row.measures).score)
    assert row.score != pytest.approx(row.measures.soft_dice, abs=0.01)
    assert row.score_low is not None
    assert row.score_high is not None
    assert 0 <= row.score_low < row.score < row.score_high <= 1
    assert "lumen" in _labels(row)
    assert (row.error, row.published_at) == ("", None)


def test_every_region_has_a_score_of_its_own_and_one_says_why(app: FakeApp) -> None:
    version = _add_version(app)
    app.add_tasks(1)
    score_chunk(app.context, PROJECT)
    row = _rows(app, version, 1)[1]
    lumen, wall = sorted(row.result, key=lambda region: region["value"]["polygonlabels"])
    # The mean probability of its class inside.
    assert lumen["score"] == pytest.approx(0.9, abs=0.01)
    assert wall["score"] == pytest.approx((0.96 + 0.05) / 2, abs=0.01)
    # One fold of two sees a wall.
    assert wall["meta"]["text"] == ["Folds disagree on wall."]
    assert "meta" not in lumen
    # The ids still say that nobody has changed them.
    noted = Annotation(1, 1, row.result)
    plain = [{k: v for k, v in region.items() if k != "meta"} for region in row.result]
    assert [r["id"] for r in as_predicted(plain)] == [r["id"] for r in noted.result]


def test_a_class_that_was_hardly_ever_seen_is_named_first(app: FakeApp) -> None:
    version = _add_version(app)
    with app.store.begin() as session:
        row = session.get_one(VersionRow, version)
        row.metrics = VersionMetrics(cases_of_class={"lumen": 3, "wall": 20})
    app.add_tasks(1)
    score_chunk(app.context, PROJECT)
    (noted,) = [r for r in _rows(app, version, 1)[1].result if "meta" in r]
    assert noted["meta"]["text"] == ["Class lumen seen 3 times."]
    assert noted["value"]["polygonlabels"] == ["lumen"]


def test_an_image_unlike_the_labelled_ones_is_said_to_be(app: FakeApp) -> None:
    version = _add_version(app)
    app.add_tasks(*range(1, 31), state=TaskState.LABELLED)
    app.add_tasks(31, 32, 33)
    near = np.eye(16, dtype=np.float32)[0]
    looks = np.random.default_rng(0).normal(near, 0.02, (33, 16)).astype(np.float32)
    looks[30] = near
    looks[31] = np.eye(16, dtype=np.float32)[5]
    with app.store.begin() as session:
        for task_id in range(1, 33):  # nobody has looked at the last one yet
            task = session.get_one(TaskRow, task_id)
            embeddings.save(session, task, "", looks[task_id - 1])
    score_chunk(app.context, PROJECT)
    notes = {
        task_id: [r["meta"]["text"][0] for r in row.result if "meta" in r]
        for task_id, row in _rows(app, version, 31, 32, 33).items()
    }
    assert notes == {
        31: ["Folds disagree on wall."],
        32: ["Unlike anything labelled."],
        33: ["Folds disagree on wall."],
    }


@pytest.mark.slow
def test_a_chunk_gives_the_worker_back_in_time(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowPredictor(FakePredictor):
        def predict(self, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            time.sleep(1.1)
            return super().predict(image)

    monkeypatch.setattr(score, "warm_predictor", lambda *_: SlowPredictor())
    monkeypatch.setattr(score, "CHUNK_S", 1.0)
    version = _add_version(app)
    app.add_tasks(1, 2, 3)
    assert score_chunk(app.context, PROJECT)
    assert len(_rows(app, version, 1, 2, 3)) == 1
    monkeypatch.setattr(score, "stop_requested", lambda: True)
    assert score_chunk(app.context, PROJECT)
    assert len(_rows(app, version, 1, 2, 3)) == 1


def test_a_task_that_fails_does_not_hold_the_pool_up(app: FakeApp) -> None:
    version = _add_version(app)
    app.add_tasks(1, 2)
    app.label_studio.images[app.label_studio.tasks[1].data["image"]] = b"no image"
    assert not score_chunk(app.context, PROJECT)
    rows = _rows(app, version, 1, 2)
    assert rows[1].error.startswith("Task 1: ")
    assert rows[2].error == ""
    with app.store.begin() as session:
        (problem,) = projects.open_problems(session, PROJECT)
        assert problem.task_id == 1
        # Later it works: the problem is gone.
        session.get_one(PredictionRow, rows[1].id).not_before = 0.0
    app.label_studio.add_task(1)
    assert not score_chunk(app.context, PROJECT)
    assert _rows(app, version, 1)[1].error == ""
    with app.store.begin() as session:
        assert projects.open_problems(session, PROJECT) == []


def test_tasks_that_go_on_failing_do_not_keep_the_pool_open(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "RETRY_PAUSES_S", (-1.0,) * 9)  # each is due again at once
    _add_version(app)
    app.add_tasks(1)
    app.label_studio.images.clear()
    assert not score_chunk(app.context, PROJECT)
    assert not score_chunk(app.context, PROJECT)


def test_while_label_studio_is_down_no_task_has_failed(app: FakeApp) -> None:
    version = _add_version(app)
    app.add_tasks(1)
    app.label_studio.is_down = True
    with pytest.raises(LabelStudioError):
        score_chunk(app.context, PROJECT)
    assert _rows(app, version, 1) == {}


def test_one_task_is_scored_whatever_its_state_and_once(app: FakeApp) -> None:
    version = _add_version(app)
    app.add_tasks(1, state=TaskState.LABELLED)
    score_task(app.context, PROJECT, 1)
    score_task(app.context, PROJECT, 1)
    score_task(app.context, PROJECT, 77)  # deleted meanwhile
    assert len(_rows(app, version, 1, 77)) == 1
    assert app.label_studio.fetched == [1]


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (("lumen", "wall"), {"lumen", "wall"}),
        (("wall", "lumen"), {"lumen", "wall"}),  # the interface's order changed since
        # A label that the interface has lost stays in the store, and what has it is held.
        (("lumen", "plaque"), {"lumen", "plaque"}),
    ],
)
def test_labels_are_those_of_the_version(
    app: FakeApp, trained: tuple[str, ...], expected: set[str]
) -> None:
    version = _add_version(app, trained)
    app.add_tasks(1)
    score_chunk(app.context, PROJECT)
    row = _rows(app, version, 1)[1]
    assert row.error == ""
    assert _labels(row) <= expected
    assert row.held == ('The labelling interface lacks "plaque".' if "plaque" in trained else "")
    # The left half is what the version's first class stands for.
    left = [r for r in row.result if max(x for x, _ in r["value"]["points"]) <= 52]
    assert {r["value"]["polygonlabels"][0] for r in left} == ({trained[0]} & expected)


def test_classes_over_two_controls_go_out_by_the_one_that_has_them(app: FakeApp) -> None:
    xml = (
        '<View><Image name="image" value="$image"/>'
        '<PolygonLabels name="zones" toName="image"><Label value="lumen"/></PolygonLabels>'
        '<VectorLabels name="front" toName="image"><Label value="wall"/></VectorLabels></View>'
    )
    with app.store.begin() as session:
        projects.get(session, PROJECT).label_config = xml
    version = _add_version(app)
    app.add_tasks(1)
    score_chunk(app.context, PROJECT)
    row = _rows(app, version, 1)[1]
    assert row.error == ""
    found = {(r["from_name"], r["type"], r["value"][r["type"]][0]) for r in row.result}
    assert found == {("zones", "polygonlabels", "lumen"), ("front", "vectorlabels", "wall")}
    assert all(is_marked(region["id"]) for region in row.result)


def test_a_prediction_label_studio_would_drop_is_an_error_of_its_task(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "validate_prediction", lambda *_args, **_more: ["Not allowed."])
    version = _add_version(app)
    app.add_tasks(1)
    score_chunk(app.context, PROJECT)
    assert "Label Studio would drop the prediction: Not allowed." in _rows(app, version, 1)[1].error


def test_predictions_go_out_postprocessed(app: FakeApp) -> None:
    version = _add_version(app)
    app.add_tasks(1)
    folder = app.context.workspace(PROJECT).version_dir("nnloop-v1")
    write_json(
        folder / "postprocessing.json",
        {
            "postprocessing_fns": ["remove_all_but_largest_component_from_segmentation"],
            "postprocessing_kwargs": [{"labels_or_regions": [1, 2]}],
        },
    )
    score_task(app.context, PROJECT, 1)
    # The wall lies apart from the larger lumen. What the folds disagree on stays known.
    row = _rows(app, version, 1)[1]
    assert _labels(row) == {"lumen"}
    assert row.measures is not None
    assert row.measures.pairwise_dice == pytest.approx(0.5)


def test_of_a_prediction_that_is_noise_the_largest_parts_go_out(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of specks would hold the worker for minutes, and nobody could edit them."""
    speckled = FakePredictor().predict(np.zeros((40, 48), np.uint8))
    speckled[:, :, 22:36:2, 28:46:2] = np.array([0.05, 0.05, 0.9])[:, None, None]

    class Speckled(FakePredictor):
        def predict(self, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            return speckled

    monkeypatch.setattr(score, "warm_predictor", lambda *_: Speckled())
    monkeypatch.setattr(score, "MOST_PARTS", 5)
    version = _add_version(app)
    app.add_tasks(1, 2)
    score_chunk(app.context, PROJECT)
    assert {len(row.result) for row in _rows(app, version, 1, 2).values()} == {2}
    with app.store.begin() as session:
        found = projects.open_problems(session, PROJECT)
    assert {p.task_id: p.message for p in found} == {
        i: f"Task {i}: the network sees 65 parts in it; only the 2 largest are shown."
        for i in (1, 2)
    }
