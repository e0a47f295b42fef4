"""What Label Studio sends to an ML backend, and what it is answered.

The models take what the real server (1.23.2) sends, and what its versions before and after differ
in: unknown fields are ignored, one object may stand for a list of one, a project may be an id, the
string ``id.created``, or a whole object. A webhook is read leniently down to the ids: it is only a
hint, and a hint of an odd shape is still one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from backend.store.projects import seconds_of

# Largest id that a database column of 64 bits holds.
MAX_ID = 2**63 - 1
# Task ids kept of one webhook; the reading of the project that follows finds all.
MAX_HINT_TASKS = 1000


def project_id_of(value: object) -> int:
    """The id of a project in any of the shapes Label Studio uses.

    >>> project_id_of("2.1795238184"), project_id_of(2), project_id_of({"id": 2, "title": "t"})
    (2, 2, 2)

    Raises:
        ValueError: if the value names no project.
    """
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, float):  # 2e-42 and 2.5e16 are no 2
        value = int(value) if 1 <= value < 2**53 else ""
    text = "" if isinstance(value, bool) else str(value).partition(".")[0]
    if text.isascii() and text.isdigit() and 0 < len(text) < 20 and 0 < int(text) <= MAX_ID:
        return int(text)
    raise ValueError("names no project; a number like 2, or a text like '2.1795238184', does")


def project_created_of(value: object) -> int | None:
    """When a project was made, in whole seconds since the epoch; None where it is not said.

    >>> project_created_of("2.1795238184"), project_created_of(2)
    (1795238184, None)
    >>> project_created_of({"id": 2, "created_at": "2026-11-21T05:16:24.792678Z"})
    1795238184
    """
    if isinstance(value, dict):
        return seconds_of(value.get("created_at"))
    text = value.partition(".")[2] if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


_ID: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_ID},
        {"type": "number", "minimum": 1, "exclusiveMaximum": 2**53},
        {"type": "string", "pattern": r"^0?[1-9][0-9]{0,17}(\..*)?$"},
    ]
}
_PROJECT: dict[str, Any] = {
    "anyOf": [*_ID["anyOf"], {"type": "object", "properties": {"id": _ID}, "required": ["id"]}]
}
ProjectId = Annotated[int, BeforeValidator(project_id_of), WithJsonSchema(_PROJECT)]
# Read from the same field as the id.
ProjectCreated = SkipJsonSchema[Annotated[int | None, BeforeValidator(project_created_of)]]


class Received(BaseModel):
    """What every request has."""

    # Bodies carry tokens and image addresses: no fault may quote what it found.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    # Members that hold tasks or annotations, one or a list; a large body is cut there.
    pieces: ClassVar[Mapping[str, type[BaseModel]]] = {}
    # Whether what is too much of a body may be left out.
    is_hint: ClassVar[bool] = False

    @classmethod
    def wanted(cls) -> dict[str, type[BaseModel] | None]:
        """The names of the members that are read, each with the model of its pieces if it has."""
        names = {str(field.alias or name) for name, field in cls.model_fields.items()}
        return {name: cls.pieces.get(name) for name in names}


class SetupRequest(Received):
    """POST /setup. ``access_token`` and ``extra_params`` are sent too, and never read."""

    project: ProjectId
    project_created: ProjectCreated = Field(None, validation_alias=AliasPath("project"))
    label_config: str = Field("", alias="schema")


class TaskItem(Received):
    """One task of a /predict request."""

    id: int = Field(ge=1, le=MAX_ID)
    data: dict[str, Any] = Field(default_factory=dict)
    created_at: str | None = None
    project: ProjectId | None = None


class PredictRequest(Received):
    """POST /predict. ``params`` (with the interactive context) is accepted and not used."""

    pieces = {"tasks": TaskItem}

    # A union and no validator in front, which would build the whole body as Python objects:
    # measured on one of 54 MiB, 2.9 s of CPU instead of 0.4 s.
    tasks_sent: list[TaskItem] | TaskItem = Field(alias="tasks", union_mode="left_to_right")
    project: ProjectId | None = None
    project_created: ProjectCreated = Field(None, validation_alias=AliasPath("project"))
    label_config: str | None = None

    @property
    def tasks(self) -> list[TaskItem]:
        """The tasks asked for, in order."""
        return self.tasks_sent if isinstance(self.tasks_sent, list) else [self.tasks_sent]

    @property
    def project_id(self) -> int | None:
        """The project the request names, else the one its first task names."""
        if self.project is not None:
            return self.project
        return next((task.project for task in self.tasks if task.project is not None), None)


class _Named(Received):
    """The two fields of a task or an annotation that matter here."""

    id: Any = None
    task: Any = None


# What fits neither of the first two holds no id, or a bare one.
_NamedOnes = Annotated[list[_Named] | _Named | Any, Field(union_mode="left_to_right")]


class WebhookEvent(Received):
    """POST /webhook: what happened, to which project. Everything else only helps to find ids."""

    pieces = dict.fromkeys(("task", "tasks", "annotation", "annotations"), _Named)
    is_hint = True

    action: str = Field(min_length=1)
    project: ProjectId | None = None
    project_created: ProjectCreated = Field(None, validation_alias=AliasPath("project"))
    task: _NamedOnes = None
    tasks: _NamedOnes = None
    annotation: _NamedOnes = None
    annotations: _NamedOnes = None

    @property
    def task_ids(self) -> list[int]:
        """Ids of the tasks it names, each once, in order; deleted annotations name none."""
        tasks = (_value_of(item, "id") for item in [*_as_list(self.task), *_as_list(self.tasks)])
        annotations = (
            _value_of(item, "task")
            for item in [*_as_list(self.annotation), *_as_list(self.annotations)]
        )
        found = [i for i in [*tasks, *annotations] if type(i) is int and 0 < i <= MAX_ID]
        return list(dict.fromkeys(found))[:MAX_HINT_TASKS]


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value_of(item: object, key: Literal["id", "task"]) -> object:
    if isinstance(item, _Named):
        return item.id if key == "id" else item.task
    if isinstance(item, dict):
        return item.get(key)
    return item if key == "id" else None


class HealthAnswer(BaseModel):
    """GET / and GET /health, as label-studio-ml answers them."""

    status: str = "UP"
    model_class: str = "nnloop"


class SetupAnswer(BaseModel):
    """POST /setup: Label Studio skips tasks that have predictions of this version."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str


class PredictResult(BaseModel):
    """One task's prediction: ``score`` in [0, 1], never null (Label Studio refuses the batch)."""

    model_config = ConfigDict(protected_namespaces=())

    result: list[dict[str, Any]]
    score: float = Field(ge=0, le=1, allow_inf_nan=False)
    model_version: str


class PredictAnswer(BaseModel):
    """POST /predict: one result per task, in the order asked."""

    results: list[PredictResult]


class WebhookAnswer(BaseModel):
    """POST /webhook."""

    status: str = "ok"


class VersionsAnswer(BaseModel):
    """GET /versions."""

    versions: list[str]
