"""label-studio-ml 2.x: the bodies of its own contract, and docs/label-studio-ml/model.py before a
real web service.

The framework is in no package index, so a stand-in of the one base class takes its place; what it
is like with the framework itself stands in docs/label-studio-ml/README.md.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn

from backend.pipeline.basis.context import AppContext
from backend.web.app import create_app
from tests.unit.backend.web.conftest import PASSWORD, USER, XML, Service, region

MODEL = Path(__file__).resolve().parents[4] / "docs" / "label-studio-ml" / "model.py"
PROJECT = 1


class Base:
    """What docs/label-studio-ml/model.py uses of LabelStudioMLBase."""

    def __init__(self, project_id: str, label_config: str) -> None:
        self.project_id, self._kept = project_id, {"label_config": label_config}
        assert self.get("model_version")  # as the framework's own does

    def get(self, key: str) -> Any:
        return self._kept.get(key)

    @property
    def label_config(self) -> Any:
        return self.get("label_config")


@pytest.fixture
def deadline_s() -> float:
    return 0.2


@pytest.fixture
def url(context: AppContext) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(create_app(context, run_ticker=False), port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(5)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the manual."""
    for name in ("label_studio_ml", "label_studio_ml.model"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["label_studio_ml.model"].LabelStudioMLBase = Base  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("manual_model", MODEL)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def model_at(module: ModuleType, url: str, project: int = PROJECT) -> Any:
    module.NNLOOP_URL, module.CREDENTIALS = url, (USER, PASSWORD)  # type: ignore[attr-defined]
    return module.NNLoop(project_id=str(project), label_config=XML)


def test_the_frameworks_bodies_before_nnloop(service: Service) -> None:
    """Its tests/test_api.py, body by body; docs/label-studio-ml/README.md has the differences."""
    health = service.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "UP")
    assert service.client.get("/metrics").status_code == 200
    predict = {
        "tasks": {"id": 1},
        "label_config": "<View></View>",
        "project": "1.1000000000",
        "params": {"context": {}},
    }
    setup = {"project": "1.1000000000", "schema": "<View></View>", "extra_params": {}}
    event = {"action": "ANNOTATION_CREATED", "project": {"id": 1, "label_config": "<View></View>"}}
    # Nobody has connected the project: it may be set up, and its hints are kept.
    assert service.client.post("/setup", json=setup).status_code == 200
    assert service.client.post("/predict", json=predict).status_code == 404
    assert service.client.post("/webhook", json=event).status_code == 200
    service.connect(PROJECT)
    # Before the first version there is nothing to say of a task.
    assert service.client.post("/predict", json=predict).status_code == 503


def test_predictions_setup_and_hints_go_through(
    service: Service, url: str, module: ModuleType
) -> None:
    service.connect(PROJECT)
    model = model_at(module, url)
    assert model.get("model_version") == "nnloop-untrained"
    service.promote(PROJECT, "nnloop-v1")
    service.predict(PROJECT, 5, result=[region()], score=0.75)
    time.sleep(module.VERSION_S)
    assert model.get("model_version") == "nnloop-v1"
    found = model.predict([{"id": 5, "data": {"image": "/data/5.png"}}], context={}, login=None)
    assert [(one["score"], one["model_version"]) for one in found] == [(0.75, "nnloop-v1")]
    assert found[0]["result"][0]["value"]["polygonlabels"] == ["lumen"]
    secret = {"id": 5, "data": {"image": "s3://x"}, "token": "keep-me-out"}
    model.fit("ANNOTATION_CREATED", {"task": secret, "annotation": {"id": 9, "task": 5}})
    model.fit("START_TRAINING", {"project": {"id": PROJECT}})
    assert service.hints() == [
        (PROJECT, "ANNOTATION_CREATED", [5]),
        (PROJECT, "START_TRAINING", []),
    ]


def test_what_goes_wrong_is_said_without_the_password(
    service: Service, url: str, module: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model, tasks = model_at(module, url), [{"id": 5, "data": {"image": "/data/5.png"}}]
    with pytest.raises(RuntimeError, match=r"404 to /predict: .*nnloop connect 1"):
        model.predict(tasks)
    service.connect(PROJECT)
    with pytest.raises(RuntimeError, match="503 to /predict: "):
        model.predict(tasks)
    module.CREDENTIALS = (USER, "wrong")  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="401 to /webhook"):
        model.fit("ANNOTATION_CREATED", {})
    module.NNLOOP_URL = f"http://user:{PASSWORD}@127.0.0.1:1"  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="did not answer /webhook: ConnectionError") as error:
        model.fit("ANNOTATION_CREATED", {})
    assert PASSWORD not in str(error.value) + caplog.text
