"""What ARCHITECTURE.md says under 'How to add': the places it names are enough."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backend.queue import JobName, QueueName
from converters.label_studio.region_types import REGION_TYPES
from converters.label_studio.regions import READERS
from converters.label_studio.write import WRITERS
from tests.unit.packaging.paths import ROOT

# Each registry gets one row more before the rest of nnloop is loaded, as if it stood there.
ADDED = """
from dataclasses import replace
from types import MappingProxyType

from training import presets

presets.PRESETS = MappingProxyType(
    {**presets.PRESETS, "huge": replace(presets.FULL, name="huge")}
)
from converters.exports import formats as exports
from converters.imports import formats as imports

exports.FORMATS["svg"] = replace(exports.FORMATS["coco"], name="svg", summary="Drawings")
imports.FORMATS["roi"] = replace(imports.FORMATS["coco"], name="roi", summary="ImageJ")
"""

USED = """
from typer.testing import CliRunner

from backend.cli.main import app
from backend.pipeline.basis.preset import preset_of
from backend.settings import ProjectSettings
from tests.unit.packaging.settings_doc import project_table

assert preset_of(ProjectSettings(preset="huge"), ()).preset.name == "huge"
(row,) = [row for row in project_table() if row.startswith("| `preset`")]
assert "`huge`" in row, row
for command, word in (
    ("connect", "huge"), ("train", "huge"), ("export", "svg: Drawings"), ("import", "roi: ImageJ")
):
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0 and word in shown.output, (command, shown.output)
"""


@pytest.mark.slow
def test_a_preset_and_a_format_are_a_row_in_their_registry() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ADDED + USED],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_region_type_is_read_and_written() -> None:
    kinds = {region_type.kind for region_type in REGION_TYPES}
    assert kinds - set(READERS) == set(), "no reader: converters/label_studio/regions/"
    assert kinds - set(WRITERS) == set(), "no writer: converters/label_studio/write.py"
    assert (set(READERS) | set(WRITERS)) - kinds == set(), "no row in REGION_TYPES"


def test_a_job_has_a_queue() -> None:
    assert {name.queue for name in JobName} <= set(QueueName)
