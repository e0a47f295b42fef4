"""People at Label Studio: what they do in the editor and the Data Manager, by its API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks.truth.regions import Region

_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


class Person:
    """One user of one project.

    Args:
        url: Label Studio's address.
        token: The user's legacy token.
        project_id: Which project; 0 before there is one.
    """

    def __init__(self, url: str, token: str, project_id: int = 0) -> None:
        headers = {"Authorization": f"Token {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False)
        self.project_id = project_id

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer; httpx.HTTPStatusError for a refusal."""
        answer = self._http.request(method, path, **request)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def make_project(self, title: str, label_config: str) -> int:
        """A new project, which this person works in from now on."""
        body = {"title": title, "label_config": label_config}
        self.project_id = int(self.call("POST", "/api/projects/", json=body)["id"])
        return self.project_id

    def set_label_config(self, label_config: str) -> None:
        """Changes the labelling interface."""
        path = f"/api/projects/{self.project_id}/"
        self.call("PATCH", path, json={"label_config": label_config})

    def upload(self, files: Sequence[tuple[str, bytes]]) -> list[int]:
        """Image files, one task each; the tasks' ids."""
        answer = self._upload(files, return_task_ids="true")
        return sorted(int(i) for i in answer["task_ids"])

    def store(self, name: str, content: bytes) -> str:
        """An image file without a task; its address."""
        answer = self._upload([(name, content)], commit_to_project="false")
        row = self.call("GET", f"/api/import/file-upload/{answer['file_upload_ids'][0]}")
        return f"/data/{row['file']}"

    def _upload(self, files: Sequence[tuple[str, bytes]], **params: str) -> Any:
        form = {f"f{i}": (n, c, _TYPES[n.rpartition(".")[2]]) for i, (n, c) in enumerate(files)}
        path = f"/api/projects/{self.project_id}/import"
        return self.call("POST", path, params=params, files=form)

    def show(self, task_id: int, image: str) -> None:
        """Puts another image into a task."""
        self.call("PATCH", f"/api/tasks/{task_id}/", json={"data": {"image": image}})

    def delete_task(self, task_id: int) -> None:
        """Deletes a task."""
        self.call("DELETE", f"/api/tasks/{task_id}/")

    def submit(
        self,
        task_id: int,
        result: Sequence[Region],
        *,
        is_skip: bool = False,
        parent_prediction: int | None = None,
    ) -> int:
        """A new annotation, or a skip; its id."""
        body = {"result": list(result), "was_cancelled": is_skip, "lead_time": 5.0}
        if parent_prediction is not None:
            body["parent_prediction"] = parent_prediction
        return int(self.call("POST", f"/api/tasks/{task_id}/annotations/", json=body)["id"])

    def update(self, annotation_id: int, result: Sequence[Region]) -> None:
        """Changes an annotation."""
        self.call("PATCH", f"/api/annotations/{annotation_id}/", json={"result": list(result)})

    def delete_annotation(self, annotation_id: int) -> None:
        """Deletes an annotation."""
        self.call("DELETE", f"/api/annotations/{annotation_id}/")

    def save_draft(self, task_id: int, annotation_id: int | None, result: Sequence[Region]) -> None:
        """A draft, of an annotation or of a new one."""
        of = "" if annotation_id is None else f"/annotations/{annotation_id}"
        body = {"result": list(result), "lead_time": 2.0}
        self.call("POST", f"/api/tasks/{task_id}{of}/drafts", json=body)

    def predictions(self, task_id: int) -> list[Any]:
        """What a task shows as predictions, the newest first."""
        rows = self.call("GET", "/api/predictions/", params={"task": task_id})
        return sorted(rows, key=lambda row: -int(row["id"]))

    def invite(self, email: str, password: str) -> str:
        """Another user, who signs up by an invitation; their token.

        One who has signed up already logs in.
        """
        page = str(self.call("GET", "/api/invite")["invite_url"])
        with httpx.Client(base_url=self._http.base_url, timeout=60, trust_env=False) as browser:
            browser.get(page)
            form = {
                "email": email,
                "password": password,
                "csrfmiddlewaretoken": browser.cookies.get("csrftoken", ""),
                "allow_newsletters": "false",
            }
            browser.post(page, data=form, headers={"Referer": f"{self._http.base_url}{page}"})
            answer = browser.get("/api/current-user/token")
            if answer.status_code != httpx.codes.OK:
                browser.post(
                    "/user/login/", data=form, headers={"Referer": str(self._http.base_url)}
                )
                answer = browser.get("/api/current-user/token")
            answer.raise_for_status()
            return str(answer.json()["token"])
