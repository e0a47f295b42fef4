"""What people draw on: the labelling interface, and one image of each kind of place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from backend.doctor.check import Check, Finding, NotLookedError, fine, note, wrong
from backend.doctor.patient import Patient
from backend.label_studio.images import STORAGE_SCHEMES
from backend.pipeline.basis.annotations import label_config_with
from backend.pipeline.connection.connect import interface_warnings
from backend.settings import ProjectSettings
from backend.store.models import ProjectRow, TaskRow
from converters.images.image_pixels import read_image
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import ImageError, LabelConfigError
from domain.text import counted, one_line

MOST_TASKS = 20_000
"""So many tasks are looked through for the places of their images."""

MOST_PLACES = 8
"""Of so many places an image is read."""

TRIES = 3
"""Images of one place that are tried where one is missing: it need not be the place's fault."""

SHOWN = 6
"""Of the classes so many are named."""

_FIRST_TASKS = 50
_OBJECTS = re.compile(
    r"<\s*(Video|Audio|Text|HyperText|Paragraphs|TimeSeries|Pdf|Chat|Table|List)\b", re.IGNORECASE
)
_OWN_CODE = re.compile(r"<\s*ReactCode\b", re.IGNORECASE)


def interface(patient: Patient) -> Finding:
    """Whether nnloop can draw what annotators draw."""
    xml = patient.project_info.label_config
    settings, mapping = _settings_of(patient)
    try:
        config = label_config_with(xml, settings, mapping)
    except LabelConfigError as error:
        return _unreadable(xml, error)
    patient.there.add("interface")
    n_more = len(config.class_values) - SHOWN
    more = f" and {n_more} more" if n_more > 0 else ""
    shown = ", ".join(config.class_values[:SHOWN])
    said = f"{shown}{more}, predicted as {config.group.region_type}"
    warnings = [*interface_warnings(config)]
    if _OWN_CODE.search(xml):
        warnings.append(
            "What is drawn in <ReactCode> is the code's own: nnloop reads the other controls alone."
        )
    if warnings:
        return note(" ".join(warnings), "Change it in Label Studio: Settings, Labeling Interface")
    return fine(said)


def _unreadable(xml: str, error: LabelConfigError) -> Finding:
    """What is wrong with an interface, in the words of who made it."""
    example = (
        'Add a control that draws on <Image>, for example <PolygonLabels name="label" '
        'toName="image">, in Label Studio: Settings, Labeling Interface, Code'
    )
    if _OWN_CODE.search(xml):
        return wrong(
            "The interface is a program of its own (<ReactCode>): what it stores is no region that "
            "nnloop could read, and predictions could not be shown in it.",
            example,
        )
    if objects := sorted({f"<{name}>" for name in _OBJECTS.findall(xml)}):
        return wrong(
            f"The interface labels {' and '.join(objects)}; nnloop labels images: {error}",
            example,
        )
    return wrong(str(error), error.remedy or example)


def images(patient: Patient) -> Iterator[Finding]:
    """Reads one image of each place that tasks name: uploads, local files, storages, servers."""
    settings, _ = _settings_of(patient)
    keys = parse_label_config(
        patient.project_info.label_config, channels=settings.channels
    ).image_keys
    places: dict[str, list[tuple[int, str]]] = {}
    counts: dict[str, int] = {}
    for task_id, data in _tasks(patient):
        for key in keys:
            uri = data.get(key)
            if not isinstance(uri, str) or not uri:
                continue
            place = place_of(uri, patient.settings.label_studio_url)
            counts[place] = counts.get(place, 0) + 1
            known = places.setdefault(place, [])
            if len(known) < TRIES:
                known.append((task_id, uri))
    if not places:
        raise NotLookedError(f"no task has an image in {', '.join(keys)}")
    for place in sorted(places, key=lambda one: -counts[one])[:MOST_PLACES]:
        yield _of_place(patient, place, places[place], counts[place])
    if len(places) > MOST_PLACES:
        yield note(f"Images of {len(places) - MOST_PLACES} more places were not read.")


def place_of(uri: str, label_studio_url: str) -> str:
    """Where an image is, in words.

    >>> place_of("/data/upload/3/a.png", ""), place_of("s3://bucket/a.png", "")
    ('an upload', 's3://bucket')
    >>> place_of("https://user:x@nas.lab/a.png?token=1", "")
    'https://nas.lab'
    """
    scheme = uri.partition(":")[0].lower()
    if scheme == "data":
        return "in the task itself (data:)"
    parts = urlsplit(uri)
    own = urlsplit(label_studio_url)
    if parts.netloc and (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
        host = parts.netloc.rpartition("@")[2]
        known = scheme in STORAGE_SCHEMES or scheme in ("http", "https")
        return f"{scheme}://{host}" if known else f"{one_line(scheme, 20)}://"
    for part, words in (("/data/upload/", "an upload"), ("/data/local-files/", "local files")):
        if part in parts.path:
            return words
    return "a path of Label Studio" if uri.startswith("/") or parts.netloc else "no address"


def _of_place(patient: Patient, place: str, tasks: list[tuple[int, str]], n_images: int) -> Finding:
    errors = []
    for task_id, uri in tasks:
        try:
            data = patient.client.fetch_image(uri, task_id, patient.asked_project)
            read_image(data, task_id)
        except ImageError as error:
            errors.append(error)
            if error.reason != "image_missing":
                break
            continue
        more = f" (of {counted(len(errors) + 1, 'image')} tried {len(errors)} missing)"
        return fine(f"{place}: {counted(n_images, 'image')}{more if errors else ''}")
    first = errors[0]
    return wrong(
        f"{place}, {counted(n_images, 'image')}: {first}",
        first.remedy or "See what is at that address, or delete the task",
    )


def _tasks(patient: Patient) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if "connected" in patient.there:
        query = (
            select(TaskRow.id, TaskRow.data)
            .where(TaskRow.project_id == patient.asked_project, TaskRow.removed_at.is_(None))
            .order_by(TaskRow.id.desc())  # what came last is what somebody asks about
            .limit(MOST_TASKS)
        )
        with patient.store.read() as session:
            rows = [(row.id, row.data) for row in session.execute(query)]
        if rows:
            yield from rows
            return
    for task in islice(patient.client.next_tasks(patient.asked_project, 0, _FIRST_TASKS), None):
        yield task.id, task.data


def _settings_of(patient: Patient) -> tuple[ProjectSettings, dict[str, str]]:
    if "connected" not in patient.there:
        return ProjectSettings(), {}
    with patient.store.read() as session:
        row = session.get(ProjectRow, patient.asked_project)
        return (row.settings, row.label_mapping) if row is not None else (ProjectSettings(), {})


CHECKS = (
    Check("interface", "Can nnloop draw what annotators draw?", interface, ("project",)),
    Check(
        "images",
        "Can images be read?",
        images,
        ("project", "interface"),
        deadline_s=120.0,
    ),
)
