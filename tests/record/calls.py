"""What Label Studio sends to a backend and to webhooks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from backend.label_studio import LabelStudioClient, PushedPrediction
from tests.fakes.listener import Listener
from tests.record.images import config, control, image, polygon
from tests.record.recording import Recording

TITLE = "Recorder"
N_TASKS = 4
WAIT_S = 30.0
N_TESTS = 100
BOX = [[30, 30], [60, 30], [60, 70], [30, 70]]
POINT = {"x": 40.0, "y": 50.0, "width": 0.5, "keypointlabels": ["Lesion"]}

Call = tuple[str, str, dict[str, str], bytes]


def record_calls(recording: Recording, client: LabelStudioClient, listener: Listener) -> None:
    """One project, connected to the listener with a password; one call of every kind."""
    Calls(recording, client, listener).record()


class Calls:
    """The project whose calls are recorded."""

    def __init__(self, recording: Recording, client: LabelStudioClient, listener: Listener) -> None:
        self.recording, self.client, self.listener = recording, client, listener
        self.send = client._connection.json
        xml = config(control("PolygonLabels", "Lesion", "Organ", attributes=' smart="true"'))
        self.project_id = client.create_project("Calls", xml).id
        self.task_ids = client.import_images(
            self.project_id, [image(number) for number in range(N_TASKS)]
        )
        listener.answer("/versions", {"versions": []})
        listener.answer("/train", {})

    def record(self) -> None:
        """Everything, in an order that gives the same ids each time."""
        backend_id = self._connect()
        self._predict(backend_id)
        self._webhooks()
        self._heard(
            "webhook_START_TRAINING",
            lambda: self.send("POST", f"/api/ml/{backend_id}/train", body={}),
            action="START_TRAINING",
        )
        self._own_header()

    def _connect(self) -> int:
        body = {
            "project": self.project_id,
            "url": self.listener.url,
            "title": TITLE,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "user",
            "basic_auth_pass": "password",
            "extra_params": {"a": 1},
        }
        backend_id = int(self.send("POST", "/api/ml/", body=body)["id"])
        self._note("health", "/health")
        self._note("setup", "/setup")
        self._heard("versions", lambda: self.send("GET", f"/api/ml/{backend_id}/versions"))
        return backend_id

    def _predict(self, backend_id: int) -> None:
        answer = {"result": [polygon(BOX, "Lesion")], "score": 0.5, "model_version": "v1"}
        self.listener.answer("/predict", {"results": [answer]})
        second = self.task_ids[1]
        # No predictions yet: opening the task asks for one.
        self._heard(
            "predict_open_task",
            lambda: self.send("GET", f"/api/tasks/{second}", params={"project": self.project_id}),
        )
        self.client.update_project(self.project_id, model_version=TITLE)
        self._heard(
            "predict_next_task", lambda: self.send("GET", f"/api/projects/{self.project_id}/next")
        )
        self._heard("predict_test_random", lambda: self._test(backend_id))
        self.listener.answer("/predict", {"results": [answer] * N_TASKS})
        self._heard("predict_batch", lambda: self._action("retrieve_tasks_predictions"))
        self.listener.answer("/predict", {"results": [answer]})
        self._interactive("polygon", backend_id, polygon(BOX, "Lesion"))
        point = polygon(BOX) | {"type": "keypoint", "value": POINT}
        self._interactive("keypoint", backend_id, point)

    def _test(self, backend_id: int) -> None:
        """The button 'Send test request', whose task is random: until it was the first one."""
        for _ in range(N_TESTS):
            del self.listener.calls[:]
            self.send("POST", f"/api/ml/{backend_id}/predict/test?random=true")
            asked = [json.loads(body) for _, _, _, body in self.listener.calls if body]
            if any(body.get("tasks", [{}])[0].get("id") == self.task_ids[0] for body in asked):
                return
        raise RuntimeError(f"{N_TESTS} test requests were never about the first task")

    def _interactive(self, name: str, backend_id: int, drawn: dict[str, Any]) -> None:
        """What the editor asks with when a person has drawn a region."""
        body = {"task": self.task_ids[0], "context": {"result": [drawn]}}
        path = f"/api/ml/{backend_id}/interactive-annotating"
        self._heard(f"predict_interactive_{name}", lambda: self.send("POST", path, body=body))

    def _webhooks(self) -> None:
        _, second, third, fourth = self.task_ids
        made: list[int] = []
        self._heard(
            "webhook_ANNOTATION_CREATED",
            lambda: made.append(
                self.client.annotate(second, [polygon(BOX, "Lesion", origin="manual")])
            ),
        )
        self._heard(
            "webhook_ANNOTATION_CREATED_skipped",
            lambda: self.send(
                "POST",
                f"/api/tasks/{fourth}/annotations/",
                body={"result": [], "was_cancelled": True},
            ),
        )
        self._heard(
            "webhook_ANNOTATION_UPDATED",
            lambda: self.send("PATCH", f"/api/annotations/{made[0]}/", body={"ground_truth": True}),
        )
        row = PushedPrediction(third, [polygon(BOX, "Lesion")], 0.9, "v2")
        self.client.import_predictions(self.project_id, [row])
        self._heard(
            "webhook_ANNOTATIONS_CREATED",
            lambda: self._action("predictions_to_annotations", third),
        )
        self._heard(
            "webhook_ANNOTATIONS_DELETED", lambda: self._action("delete_tasks_annotations", second)
        )
        self._heard(
            "webhook_PROJECT_UPDATED",
            lambda: self.client.update_project(self.project_id, description="changed"),
        )
        annotated = {"annotations": [{"result": [polygon(BOX, "Organ")]}]}
        task = {"data": {"image": "/data/upload/x.png"}, **annotated}
        self._heard(
            "webhook_TASKS_CREATED",
            lambda: self.send("POST", f"/api/projects/{self.project_id}/import", body=[task]),
        )
        newest = max(task.id for task in self.client.iter_tasks(self.project_id))
        self._heard("webhook_TASKS_DELETED", lambda: self._action("delete_tasks", newest))

    def _own_header(self) -> None:
        body = {
            "project": self.project_id,
            "url": f"{self.listener.url}/myhook",
            "send_payload": True,
            "send_for_all_actions": True,
            "headers": {"X-Sig": "<signature>"},
        }
        self.listener.answer("/myhook", {})
        self.send("POST", "/api/webhooks/", body=body)
        self.client.annotate(self.task_ids[0], [polygon(BOX, "Organ", origin="manual")])
        self._note("webhook_own_header", "/myhook")

    def _action(self, name: str, *task_ids: int) -> Any:
        """An action of the data manager, on some tasks or on all."""
        chosen = {"all": False, "included": list(task_ids)} if task_ids else {"all": True}
        return self.send(
            "POST",
            "/api/dm/actions",
            params={"id": name, "project": self.project_id},
            body={"selectedItems": {"excluded": [], **chosen}},
        )

    def _heard(self, name: str, work: Callable[[], object], *, action: str = "") -> None:
        """Records the call that ``work`` brings about; the name tells its path."""
        del self.listener.calls[:]
        work()
        path = f"/{name.partition('_')[0]}"
        action = action or (name.removeprefix("webhook_") if path == "/webhook" else "")
        self._note(name, path, action.removesuffix("_skipped"))

    def _note(self, name: str, path: str, action: str = "") -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for call in list(self.listener.calls):
                if call[1].partition("?")[0] == path and action.encode() in call[3]:
                    self.recording.add_call(name, call)
                    return
            time.sleep(0.05)
        paths = [call[1] for call in self.listener.calls]
        raise RuntimeError(f"{name}: no call to {path} came, only {paths}")
