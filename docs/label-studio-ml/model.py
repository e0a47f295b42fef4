"""nnloop behind a server of label-studio-ml 2.x: a model class that passes everything on to nnloop.

For labs whose servers, proxies or deployment are built around that framework. Nothing is predicted
or trained here; nnloop's own web service does both and must run. README.md beside this file says
how to use it, and what is lost on the way.
"""

from __future__ import annotations

import os
import time
from typing import Any

import requests
from label_studio_ml.model import LabelStudioMLBase  # type: ignore[import-not-found]

NNLOOP_URL = os.environ.get("NNLOOP_URL", "http://localhost:9090").rstrip("/")
"""Address of nnloop's web service."""

CREDENTIALS = (os.environ.get("NNLOOP_USER", "nnloop"), os.environ.get("NNLOOP_PASSWORD", ""))
"""``BASIC_AUTH_USER`` and ``BASIC_AUTH_PASS`` of nnloop; those of this server may be others."""

PREDICT_S = 90.0
"""Label Studio waits 100 s for /predict."""

SHORT_S = 2.5
"""Label Studio waits 3 s for /setup, and 1 s for a webhook."""

VERSION_S = 1.0
"""The framework makes a model for every request, and asks each for its version."""

_versions: dict[str, tuple[float, str]] = {}


class NNLoop(LabelStudioMLBase):  # type: ignore[misc]
    """A project of nnloop.

    Raises:
        RuntimeError: By every method that asks nnloop, with its sentence, if it refuses or does not
            answer. The framework answers 500 then, and Label Studio shows the task without a
            prediction.
    """

    def get(self, key: str) -> Any:
        """As in the framework, but ``model_version`` is the one that serves in nnloop."""
        if key != "model_version":
            return super().get(key)
        asked, version = _versions.get(self.project_id, (-VERSION_S, ""))
        if time.monotonic() - asked >= VERSION_S:
            body = {"project": self.project_id, "schema": ""}
            version = self._ask("setup", body, SHORT_S)["model_version"]
            _versions[self.project_id] = time.monotonic(), version
        return version

    def predict(
        self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """What nnloop predicts: one for each task, in order, each with score and model version.

        Args:
            tasks: As Label Studio sends them.
            context: Of an interactive request; nnloop does not use it.
            kwargs: Not used.
        """
        body = {"project": self.project_id, "tasks": tasks, "label_config": self.label_config}
        found: list[dict[str, Any]] = self._ask("predict", body, PREDICT_S)["results"]
        return found

    def fit(self, event: str, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Tells nnloop that something changed; it decides when to train, in the background.

        Args:
            event: Label Studio's name of the action.
            data: The rest of the webhook; only ids of tasks and annotations are passed on.
            kwargs: Not used.
        """
        body: dict[str, Any] = {"action": event, "project": self.project_id}
        for name in ("task", "tasks", "annotation", "annotations"):
            if name in data:
                body[name] = _ids_of(data[name])
        return self._ask("webhook", body, SHORT_S)

    def _ask(self, route: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            answer = requests.post(
                f"{NNLOOP_URL}/{route}", json=body, auth=CREDENTIALS, timeout=timeout_s
            )
            found = answer.json()
        except (requests.RequestException, ValueError) as error:
            reason = type(error).__name__  # its text may hold the address with a password
            raise RuntimeError(f"nnloop's web service did not answer /{route}: {reason}") from None
        if answer.status_code != requests.codes.ok or not isinstance(found, dict):
            raise RuntimeError(f"nnloop answered {answer.status_code} to /{route}: {found}")
        return found


def _ids_of(value: Any) -> Any:
    """Tasks or annotations without anything but their ids: bodies carry tokens."""
    if isinstance(value, list):
        return [_ids_of(one) for one in value]
    if isinstance(value, dict):
        return {key: _ids_of(value[key]) for key in ("id", "task") if key in value}
    return value
