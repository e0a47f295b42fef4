"""nnloop's own documents, read back from files and columns that something has damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from backend.replay.images.library import Library
from backend.replay.rounds import Course
from backend.store.models import _DOCUMENTS
from converters.bookkeeping.documents import read_document, to_json, write_document
from domain.case import Manifest
from tests.fuzzing import scratch, small
from tests.fuzzing.target import Target, parsed
from training.folds.film import Film
from training.folds.log import parse_progress
from training.folds.spec import FoldError, FoldResult, FoldSpec
from training.versions.manifests import EnsembleManifest, RunManifest
from training.versions.version_folder import VersionInfo

KINDS: tuple[Any, ...] = (
    *_DOCUMENTS,
    Course,
    EnsembleManifest,
    Film,
    FoldError,
    FoldResult,
    FoldSpec,
    Library,
    Manifest,
    RunManifest,
    VersionInfo,
)


def least_of(kind: Any) -> Any:
    """A JSON value that a document of a kind can be read from, every member there."""
    schema = TypeAdapter(kind).json_schema()
    return _least(schema, schema.get("$defs", {}), 0)


def _least(schema: Any, defs: dict[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        return _least(defs[schema["$ref"].rpartition("/")[2]], defs, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "default" in schema and not schema.get("properties"):
        return schema["default"]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _least(schema[key][0], defs, depth + 1)
    return _of_type(schema, defs, depth)


def _of_type(schema: Any, defs: dict[str, Any], depth: int) -> Any:
    made: dict[str, Callable[[], Any]] = {
        "object": lambda: _object(schema, defs, depth),
        "array": lambda: _array(schema, defs, depth),
        "string": lambda: "a",
        "integer": lambda: schema.get("minimum", 1),
        "number": lambda: schema.get("minimum", 0.5),
        "boolean": lambda: True,
        "null": lambda: None,
    }
    return made[schema["type"]]() if "type" in schema else None


def _object(schema: Any, defs: dict[str, Any], depth: int) -> Any:
    found = {
        name: _least(one, defs, depth + 1) for name, one in schema.get("properties", {}).items()
    }
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and depth < 8:
        found["1"] = _least(more, defs, depth + 1)
    return found


def _array(schema: Any, defs: dict[str, Any], depth: int) -> Any:
    if "prefixItems" in schema:
        return [_least(one, defs, depth + 1) for one in schema["prefixItems"]]
    return [_least(schema["items"], defs, depth + 1)] if "items" in schema and depth < 8 else []


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind)


def _seeds() -> list[bytes]:
    """One for each kind: [its number, the document]."""
    return [small.packed_json([number, least_of(kind)]) for number, kind in enumerate(KINDS)]


def _document(data: bytes) -> None:
    value = parsed(data)
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) is not int:
        value = [len(data), value]
    kind = KINDS[value[0] % len(KINDS)]
    with scratch.folder() as folder:
        path = scratch.written(folder / "document.json", json.dumps(value[1]).encode())
        found = read_document(path, kind)
        # What can be read can be written, and comes back as it is.
        write_document(path, kind, found)
        again = read_document(path, kind)
        assert json.dumps(to_json(kind, again)) == json.dumps(to_json(kind, found)), _name(kind)


def _file(data: bytes) -> None:
    with scratch.folder() as folder:
        read_document(scratch.written(folder / "version.json", data), VersionInfo)


TARGETS = (
    Target(
        "documents",
        _seeds,
        _document,
    ),
    Target("version_json", lambda: [small.packed_json(least_of(VersionInfo))], _file),
    Target(
        "progress_jsonl",
        lambda: [b'{"epoch": 1, "epochs": 2, "train_loss": 0.5, "val_loss": 0.5, "seconds": 1.0}'],
        parse_progress,
        allowed=(),
    ),
)
