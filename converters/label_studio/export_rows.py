"""Exported JSON -> Task: the JSON export, JSON_MIN, the API's answers, plain results."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from converters.addresses.pages import LISTED
from converters.label_studio.region_types import region_type_of_value
from domain.annotation import Annotation, Task
from domain.errors import AnnotationError, TaskError
from domain.hashing import content_hash
from domain.text import shown

_MIN_KEYS = frozenset({"annotator", "annotation_id", "created_at", "updated_at", "lead_time"})
"""What a JSON_MIN row has beside the task's data and one list of regions per control."""

_A_YEAR_S = 3.2e7

_DIGITS = re.compile(r"-?[0-9]{1,18}")

OnError = Callable[[TaskError], None]


def tasks_from_export(
    rows: Iterable[Any] | Mapping[str, Any],
    *,
    on_error: OnError | None = None,
    choices: Collection[str] = (),
) -> Iterator[Task]:
    """Reads the rows of an export one after the other, whatever its form.

    Known are the JSON export and the API's list of tasks (rows with ``annotations`` and ``data``;
    ``completions`` in old ones), JSON_MIN (one row per annotation: the rows of a task follow each
    other and become one Task), rows that are predictions or annotations (``result``), rows that are
    results, rows that are the regions of one result, and objects with ``tasks`` in them or with the
    ``task`` and ``annotation`` of a webhook.

    Args:
        rows: the parsed JSON, or its elements as they are read from a file.
        on_error: told of a row that can't be read, which is then left out; None: the error is
            raised and ends the reading.
        choices: names of controls of choices about whole images that are wanted: JSON_MIN has them
            beside the task's data.

    Yields:
        Tasks in the order of the rows. A row without a task id gets its number, from 1; JSON_MIN
        lacks skips, ground truth and region ids.

    Raises:
        AnnotationError: reason ``malformed_task``, or ``no_result`` of a row whose annotations all
            lack theirs; the message names the row.
    """
    if isinstance(rows, Mapping):
        rows = _rows_of_object(rows)
    pending: Task | None = None
    for position, row in enumerate(rows, start=1):
        try:
            task = _task_of_row(row, position, choices)
        except TaskError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        if pending is not None and _belong_together(row, pending, task):
            pending = _joined(pending, task)
            continue
        if pending is not None:
            yield pending
        pending = task
    if pending is not None:
        yield pending


def is_min_row(row: object) -> bool:
    """Whether a row is one of JSON_MIN."""
    if not isinstance(row, dict) or "annotations" in row or "completions" in row:
        return False
    return "annotation_id" in row or row.keys() >= _MIN_KEYS


def _rows_of_object(value: Mapping[str, Any]) -> Iterable[Any]:
    if isinstance(value.get("tasks"), list):
        return list(value["tasks"])
    task, annotation = value.get("task"), value.get("annotation")
    if isinstance(task, Mapping) and isinstance(annotation, Mapping):
        return [{**task, "annotations": [annotation]}]
    return [value]


def _task_of_row(row: Any, position: int, choices: Collection[str]) -> Task:
    try:
        return _known_form(row, position, choices)
    except (RecursionError, ValueError) as error:  # too deep, half a character, a huge integer
        raise _fault(position, position, f"can't be read: {shown(str(error))}") from error


def _known_form(row: Any, position: int, choices: Collection[str]) -> Task:
    if isinstance(row, list):
        return _of_result(row, position)
    if not isinstance(row, dict):
        raise _fault(position, position, f"is no task but {type(row).__name__}")
    if "images" in row and "categories" in row:
        raise _fault(position, position, "is a COCO data set, not an export of Label Studio")
    if "annotations" in row or "completions" in row or isinstance(row.get("data"), dict):
        return _of_export_row(row, position)
    if is_min_row(row):
        return _of_min_row(row, position, choices)
    if "result" in row:
        return _of_prediction(row, position)
    if "value" in row or row.get("type") == "relation":
        return _of_result([row], 1)
    raise _fault(
        position, position, f"is no task: it has only the fields {shown(sorted(map(str, row)))}"
    )


def _of_export_row(row: dict[str, Any], position: int) -> Task:
    task_id = _integer(row, "id", position, position)
    data = row.get("data", {})
    if not isinstance(data, dict):
        raise _fault(task_id, position, f"has data that are no object but {type(data).__name__}")
    annotations = row.get("annotations", row.get("completions")) or []
    if not isinstance(annotations, list):
        raise _fault(task_id, position, f"has annotations that are no list: {shown(annotations)}")
    # Label Studio's page submits [] for nothing; null, which scripts leave behind, says nothing.
    usable = [a for a in annotations if not isinstance(a, dict) or a.get("result") is not None]
    if annotations and not usable and not any(_is_skip(a) for a in annotations):
        raise AnnotationError(
            task_id,
            "no_result",
            f"row {position} of the export has no annotation with a result: nobody said anything.",
            remedy="Submit the task in Label Studio; an empty list says that nothing is there.",
        )
    usable = usable or annotations
    return Task(
        id=task_id,
        project_id=_project_id(row),
        data=data,
        annotations=tuple(_annotation(a, task_id, position) for a in usable),
        updated_at=_text(row, "updated_at"),
        created_at=_text(row, "created_at"),
    )


def _of_min_row(row: dict[str, Any], position: int, choices: Collection[str]) -> Task:
    """A row of JSON_MIN: its lists of objects that can be regions are, by control."""
    task_id = _integer(row, "id", position, position)
    regions = {
        name: value
        for name, value in row.items()
        if name not in _MIN_KEYS
        and isinstance(value, list)
        and value
        and any(isinstance(entry, dict) and _is_min_region(entry) for entry in value)
    }
    for name, values in regions.items():
        if not all(isinstance(entry, dict) for entry in values):
            raise _fault(task_id, position, f"has a region in {shown(name)} that is no object")
    chosen = [*_min_choices(row, choices)]
    beside = _MIN_KEYS | regions.keys() | {"id"} | {entry["from_name"] for entry in chosen}
    data = {k: v for k, v in row.items() if k not in beside}
    listed = _lists_of_texts(data)
    page = {LISTED: listed} if listed else {}
    if not regions and row.get("annotation_id", 0) is None:
        return Task(task_id, 0, data)  # exported with all tasks; nobody said that nothing is there
    annotation = {
        "id": row.get("annotation_id"),
        "completed_by": row.get("annotator"),
        "created_at": row.get("created_at"),
        "updated_at": row.get("updated_at"),
        "result": [
            *(
                {**entry, **page}
                for name, values in regions.items()
                for entry in _min_entries(name, values)
            ),
            *chosen,
        ],
    }
    return Task(task_id, 0, data, (_annotation(annotation, task_id, position),))


def _min_choices(row: Mapping[str, Any], names: Collection[str]) -> Iterator[dict[str, Any]]:
    """Choices about the whole image as entries of a result: one is a text, several an object."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            value = {"choices": [value]}
        if isinstance(value, Mapping) and isinstance(value.get("choices"), list):
            yield {"from_name": name, "type": "choices", "value": {"choices": value["choices"]}}


def _is_min_region(entry: dict[str, Any]) -> bool:
    """Also without its size, as predictions of scripts come that were submitted unchanged."""
    has_labels = any(key.endswith("labels") for key in entry if isinstance(key, str))
    return "original_width" in entry or (has_labels and region_type_of_value(entry) is not None)


def _lists_of_texts(data: dict[str, Any]) -> list[str]:
    """The fields that may hold the pages of an image."""
    return [
        key
        for key, value in data.items()
        if isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)
    ]


def _min_entries(from_name: str, values: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """JSON_MIN's objects as entries of a result.

    The ids are lost there, and with them which label belongs to which shape in the spelling with
    ``<Labels>``. Both entries hold the geometry, so an id made from that joins them again.
    """
    times: dict[str, int] = {}
    for value in values:
        frame: dict[str, Any] = {
            k: value[k] for k in ("original_width", "original_height", "item_index") if k in value
        }
        inner = {k: v for k, v in value.items() if k not in frame and k not in ("type", "id")}
        # What else such an entry says of a region (a rating, a text) is no part of its place.
        kind = region_type_of_value(inner)
        place = content_hash(kind.place(inner) if kind else inner)[:10]
        nth = times[place] = times.get(place, 0) + 1
        entry: dict[str, Any] = {
            "from_name": from_name,
            "id": f"{place}-{nth}",
            "value": inner,
            **frame,
        }
        if isinstance(value.get("type"), str):
            entry["type"] = value["type"].lower()
        yield entry


def _of_prediction(row: dict[str, Any], position: int) -> Task:
    task_id = _integer(row, "task", position, position)
    return Task(task_id, _project_id(row), {}, (_annotation(row, task_id, position),))


def _of_result(result: list[Any], position: int) -> Task:
    return Task(position, 0, {}, (Annotation(id=position, task_id=position, result=result),))


def _annotation(value: Any, task_id: int, position: int) -> Annotation:
    if not isinstance(value, dict):
        raise _fault(task_id, position, f"has an annotation that is {type(value).__name__}")
    result = value.get("result")
    if result is None:
        result = []
    if not isinstance(result, list):
        raise _fault(task_id, position, f"has a result that is no list: {shown(result)}")
    person, email = value.get("completed_by"), ""
    if isinstance(person, dict):
        email = _text(person, "email")
        person = person.get("id")
    return Annotation(
        id=_integer(value, "id", 0, position),
        task_id=task_id,
        result=result,
        was_cancelled=_is_skip(value),
        ground_truth=_is_true(value.get("ground_truth")),
        completed_by=person if _is_integer(person) else None,
        created_at=_text(value, "created_at"),
        updated_at=_text(value, "updated_at") or _text(value, "created_at"),
        lead_time_s=_seconds(value.get("lead_time")),
        email=email.strip(),
    )


def _seconds(value: Any) -> float | None:
    """A time that somebody took; None for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _A_YEAR_S else None


def _is_skip(annotation: Mapping[str, Any]) -> bool:
    return _is_true(annotation.get("was_cancelled")) or _is_true(annotation.get("skipped"))


def _is_true(value: object) -> bool:
    """Whether a flag is set; tables and scripts write it as a text or a number."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "1.0", "yes", "t")
    return value is True or (isinstance(value, int | float) and value == 1)


def _belong_together(row: Any, pending: Task, task: Task) -> bool:
    """Rows of JSON_MIN about one task, and the rows of one plain result."""
    if not isinstance(row, dict) or pending.id != task.id:
        return False
    return "annotation_id" in row or "from_name" in row or row.get("type") == "relation"


def _joined(pending: Task, task: Task) -> Task:
    (new,), (*_, last) = task.annotations, pending.annotations
    if new.id == last.id and not task.data:  # regions of one plain result
        merged = Annotation(id=last.id, task_id=last.task_id, result=last.result + new.result)
        return Task(pending.id, 0, {}, (*pending.annotations[:-1], merged))
    return Task(pending.id, 0, pending.data, (*pending.annotations, new))


def _integer(value: dict[str, Any], key: str, default: int, position: int) -> int:
    found = value.get(key)
    if found is None:
        return default
    number = whole_number(found)
    if number is None:
        raise _fault(position, position, f"has the {key} {shown(found)}, which is no whole number")
    return number


def whole_number(value: object) -> int | None:
    """An id; tables and scripts write it as a text or with a decimal point. None for others."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return value if isinstance(value, int) and _is_integer(value) else None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _project_id(row: dict[str, Any]) -> int:
    project = row.get("project")
    return int(project) if isinstance(project, int) and _is_integer(project) else 0


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _fault(task_id: int, position: int, what: str) -> AnnotationError:
    return AnnotationError(
        task_id,
        "malformed_task",
        f"row {position} of the export {what}.",
        remedy="Export the project again as JSON, or correct the row.",
    )
