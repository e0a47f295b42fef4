"""What a project's annotations say, read from Label Studio's raw JSON: the other side of the check.

Shares no code with nnloop. The rules are those that docs promise: the newest submitted annotation
counts; a skip and a draft say nothing; an empty annotation says background; a region whose label
the interface no longer has leaves its task out, unless a person told of a rename; regions that
people drew or changed lie over those left as predicted, among equals later over earlier ones;
images are turned by the EXIF block of JPEG, PNG and AVIF, and by nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.truth.drawing import Shape, draw
from benchmarks.truth.regions import CHANGED

Row = Mapping[str, Any]
LabelMap = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
_WITH_EXIF = ("JPEG", "MPO", "PNG", "AVIF")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a labelled task says.

    ``label_map`` is (height, width) uint8: k is the k-th of ``names``, the interface's labels; 0 is
    background. ``is_empty``: a person submitted it empty.
    """

    task_id: int
    annotation_id: int
    image: str
    names: tuple[str, ...]
    label_map: LabelMap
    is_empty: bool
    shapes: tuple[Shape, ...] = field(default=(), repr=False)

    def ties(self, rows: Sequence[int], columns: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which of some pixels have their centre on the outline of a shape."""
        found = np.zeros(len(rows), dtype=np.bool_)
        for shape in self.shapes:
            found |= shape.is_tie(rows, columns)
        return found


@dataclass(frozen=True, slots=True)
class Interface:
    """The labelling interface: its labels in document order."""

    names: tuple[str, ...]

    @classmethod
    def parse(cls, xml: str) -> Interface:
        """Reads Label Studio's XML."""
        labels = ElementTree.fromstring(xml).iter("Label")
        names = [str(e.get("alias") or e.get("value") or "") for e in labels]
        return cls(tuple(dict.fromkeys(names)))


class Reader:
    """Reads one project over HTTP.

    Args:
        url: Label Studio's address.
        token: A legacy token.
        project_id: Which project.
    """

    def __init__(self, url: str, token: str, project_id: int) -> None:
        headers = {"Authorization": f"Token {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False)
        self._project_id = project_id
        self._sizes: dict[str, tuple[int, int]] = {}

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def project(self) -> Any:
        """The project's row."""
        return self._json(f"/api/projects/{self._project_id}/")

    def tasks(self) -> list[Any]:
        """Every task with its annotations, skipped ones too, by Label Studio's own export."""
        path = f"/api/projects/{self._project_id}/export"
        rows: list[Any] = self._json(path, exportType="JSON", download_all_tasks="true")
        return sorted(rows, key=lambda row: int(row["id"]))

    def predictions(self) -> list[Any]:
        """Every prediction Label Studio holds of the project."""
        found: list[Any] = self._json("/api/predictions/", project=self._project_id)
        return found

    def truths(self, tasks: Iterable[Row], xml: str, mapping: Mapping[str, str]) -> list[Truth]:
        """What the tasks that count say.

        Args:
            tasks: as ``tasks`` gives them.
            xml: the labelling interface as it is now.
            mapping: {old label: new one}, the renames that nnloop was told of.
        """
        names = Interface.parse(xml).names
        found = []
        for task in tasks:
            chosen = newest(task["annotations"])
            if chosen is None:
                continue
            image = str(task["data"]["image"])
            truth = read(task, chosen, names, mapping, self.size_of(image))
            if truth is not None:
                found.append(truth)
        return found

    def size_of(self, image: str) -> tuple[int, int]:
        """(height, width) of an image as a browser shows it; an address names one for ever."""
        if image not in self._sizes:
            answer = self._http.get(image)
            answer.raise_for_status()
            self._sizes[image] = shown_size(answer.content)
        return self._sizes[image]

    def _json(self, path: str, **params: Any) -> Any:
        answer = self._http.get(path, params=params)
        answer.raise_for_status()
        return answer.json()


def newest(annotations: Iterable[Row]) -> Row | None:
    """The submitted annotation that counts, or None."""
    submitted = [a for a in annotations if not a["was_cancelled"]]
    return max(submitted, key=lambda a: (a["updated_at"], a["id"]), default=None)


def read(
    task: Row,
    annotation: Row,
    names: Sequence[str],
    mapping: Mapping[str, str],
    size_hw: tuple[int, int],
) -> Truth | None:
    """Draws an annotation; None when one of its labels is none of the interface's."""
    drawn: list[tuple[bool, int, Shape]] = []
    labels = _labels_by_id(annotation["result"])
    for entry in annotation["result"]:
        if entry["type"] == "labels":
            continue
        kind = str(entry["type"]).removesuffix("labels")
        given = entry["value"].get(f"{kind}labels") or labels.get(entry["id"], [])
        name = renamed(given[0], mapping, names) if given else ""
        if name not in names:
            return None
        is_changed = entry.get("meta") == CHANGED
        by_hand = is_changed or entry.get("origin", "manual") != "prediction"
        drawn.append((by_hand, names.index(name) + 1, draw(kind, entry["value"], size_hw)))
    label_map = np.zeros(size_hw, dtype=np.uint8)
    for _, index, shape in sorted(drawn, key=lambda row: row[0]):
        label_map[shape.inside] = index
    return Truth(
        task_id=int(task["id"]),
        annotation_id=int(annotation["id"]),
        image=str(task["data"]["image"]),
        names=tuple(names),
        label_map=label_map,
        is_empty=not annotation["result"],
        shapes=tuple(shape for _, _, shape in drawn),
    )


def renamed(name: str, mapping: Mapping[str, str], names: Sequence[str]) -> str:
    """What a label is called now."""
    for _ in mapping:
        if name in names or name not in mapping:
            break
        name = mapping[name]
    return name


def shown_size(data: bytes) -> tuple[int, int]:
    """(height, width) of an image file as browsers show it."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        orientation = 1
        if image.format in _WITH_EXIF and image.info.get("exif"):
            exif = Image.Exif()
            exif.load(image.info["exif"])
            orientation = exif.get(_ORIENTATION, 1)
    return (width, height) if orientation in _TURNED else (height, width)


def _labels_by_id(result: Iterable[Row]) -> dict[str, list[str]]:
    """Region id -> labels, of the spelling with ``<Labels>`` beside ``<Polygon>``."""
    return {e["id"]: e["value"]["labels"] for e in result if e["type"] == "labels"}
