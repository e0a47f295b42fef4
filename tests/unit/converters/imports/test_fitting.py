"""What a real Label Studio exported, in its own interface and in others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converters.classes.matching import match_classes
from converters.imports.fitting import Fitting
from converters.imports.readers.label_studio import read
from converters.imports.source import ImportedImage, ImportOptions
from converters.label_studio.config.controls import first_misplaced, places_of
from converters.label_studio.config.label_config import parse_label_config
from domain.annotation import LeftOut
from tests.golden import recorded

KINDS = ("brush", "ellipses", "keypoints", "labels", "other_label", "polygons", "rectangles")


def _images(folder: Path, rows: Any, key: str = "image") -> list[ImportedImage]:
    path = folder / "export.json"
    path.write_text(json.dumps(rows))
    found = list(read(path, ImportOptions(image_key=key)))
    assert not any(isinstance(entry, LeftOut) for entry in found)
    return [entry for entry in found if isinstance(entry, ImportedImage)]


@pytest.mark.parametrize("form", ["JSON", "JSON_MIN"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_fits_the_interface_it_is_of(tmp_path: Path, kind: str, form: str) -> None:
    export = recorded(f"exports/{kind}_{form}")
    config = parse_label_config(export["label_config"])
    n_entries = 0
    for image in _images(tmp_path, export["rows"]):
        assert image.said is not None
        fitting = Fitting(config, match_classes(image.used_names, config.group, {}))
        for annotation in image.said.annotations:
            fitted = fitting.fit(annotation.result, 1, "it")
            assert (fitted.notes, fitted.is_lost) == ([], False)
            assert len(fitted.result) == len(annotation.result)
            drawn = [e for e in fitted.result if e["type"] not in ("choices", "relation")]
            assert first_misplaced(drawn, places_of(config.group)) is None
            if form == "JSON" and kind != "other_label":  # that one is renamed
                assert fitted.result == annotation.result
            n_entries += len(fitted.result)
    assert n_entries


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"scan": "/data/upload/1/a.png", "text": "b"}, "scan"),
        ({"text": "b", "scan": "https://host/a.JPG?size=2"}, "scan"),
        ({"pages": ["s3://bucket/1", "s3://bucket/2"]}, "pages"),
    ],
)
def test_the_image_is_found_whatever_its_field(
    tmp_path: Path, data: dict[str, Any], key: str
) -> None:
    (image,) = _images(tmp_path, [{"id": 1, "data": data, "annotations": []}])
    assert image.said is not None and key not in image.said.data
    found = data[key]
    assert image.said.address == (found if isinstance(found, str) else found[0])


def test_a_task_without_an_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{"id": 4, "data": {"text": "b"}, "annotations": []}]))
    (entry,) = read(path, ImportOptions())
    assert isinstance(entry, LeftOut) and (entry.task_id, entry.reason) == (4, "image_missing")
