"""The commands of docs/models-from-elsewhere.md, on a real Label Studio."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from backend.cli.main import app
from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.pipeline.basis.context import AppContext
from converters.label_studio.config.inferred_config import polygon_label_config
from tests.unit.packaging.paths import ROOT

PAGE = ROOT / "docs" / "models-from-elsewhere.md"
SIZE_HW = (30, 40)
VERSION = "totalsegmentator-2.4"


def commands() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    nnloop ")]


@pytest.fixture
def projects(client: LabelStudioClient) -> Iterator[list[ProjectInfo]]:
    """Those that the test made and that are to go."""
    made: list[ProjectInfo] = []
    yield made
    for project in made:
        client.delete_project(project.id)


def make(client: LabelStudioClient, made: list[ProjectInfo]) -> ProjectInfo:
    made.append(client.create_project("Carotid", polygon_label_config(["lumen", "wall"])))
    return made[-1]


def test_the_commands_of_the_manual(
    context: AppContext,
    client: LabelStudioClient,
    projects: list[ProjectInfo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NNLOOP_DATA_DIR", str(context.settings.data_dir))
    monkeypatch.setenv("LABEL_STUDIO_URL", context.settings.label_studio_url)
    key = context.settings.label_studio_api_key.get_secret_value()
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", key)
    monkeypatch.chdir(tmp_path)
    predictions, moved, model = commands()
    # What needs a connected project and a network is parsed here; importing one is tested with it.
    words = typer.main.get_command(app)
    context_of = words.make_context("nnloop", [*model, "--help"], resilient_parsing=True)
    assert model[:2] == ["models", "import"] and context_of is not None

    first = make(client, projects)
    files = []
    for name in ("masks", "scans"):
        (tmp_path / name).mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, SIZE_HW, dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files.append((f"scan {i}.png", file.getvalue()))
        mask = np.zeros(SIZE_HW, dtype=np.uint8)
        mask[5:20, 5 : 20 + i] = 1
        Image.fromarray(mask).save(tmp_path / "masks" / f"scan {i}.png")
    (tmp_path / "scores.csv").write_text("image,score\nscan 0.png,0.9\nscan 1.png,0.2\n")
    ids = client.import_images(first.id, files)
    named = [*predictions, "--classes", "lumen,wall"]
    for _ in range(2):
        done = CliRunner().invoke(app, named)
        assert done.exit_code == 0, done.output
    assert "1 no_score" in " ".join(done.output.split())
    held = {p.task_id: (p.model_version, p.score) for p in client.iter_predictions(first.id)}
    assert held == dict(zip(ids, [(VERSION, 0.9), (VERSION, 0.2), (VERSION, 0.5)], strict=True))
    assert len(list(client.iter_predictions(first.id))) == 3
    assert client.project(first.id).model_version == VERSION

    # A person corrects one, another one says that nothing is there, a third is skipped.
    region = next(p for p in client.iter_predictions(first.id) if p.task_id == ids[0]).result
    client.annotate(ids[0], region, ground_truth=True, lead_time=7.5)
    client.annotate(ids[1], [])
    client.annotate(ids[2], [], was_cancelled=True)
    export = client._connection.json(
        "GET",
        f"/api/projects/{first.id}/export",
        params={"exportType": "JSON", "download_all_tasks": "true"},
    )
    (tmp_path / "export.json").write_text(json.dumps(export))
    full = [dict(row) for row in export]
    for row in full:
        of_task = client.task_predictions(row["id"])
        row["predictions"] = [
            {"result": p.result, "score": p.score, "model_version": p.model_version}
            for p in of_task
        ]
    for (_, data), row in zip(files, sorted(export, key=lambda row: row["id"]), strict=True):
        (tmp_path / "scans" / row["data"]["image"].rpartition("/")[2]).write_bytes(data)
    client.delete_project(projects.pop().id)

    second = make(client, projects)
    for _ in range(2):
        done = CliRunner().invoke(app, moved)
        assert done.exit_code == 0, done.output
    tasks = list(client.iter_tasks(second.id))
    assert [len(task.annotations) for task in tasks] == [1, 1, 1]
    corrected, nothing, skipped = (task.annotations[0] for task in tasks)
    assert corrected.result[0]["id"] == region[0]["id"] and corrected.ground_truth
    assert corrected.lead_time_s == 7.5
    assert nothing.result == [] and not nothing.was_cancelled and skipped.was_cancelled
    # The page's own export has the ids of predictions alone, which is told; a full one has them.
    assert "3 prediction_ids" in " ".join(done.output.split())
    (tmp_path / "export.json").write_text(json.dumps(full))
    done = CliRunner().invoke(app, moved)
    assert done.exit_code == 0 and "prediction_ids" not in done.output, done.output
    again = [(p.model_version, p.score) for p in client.iter_predictions(second.id)]
    assert sorted(again) == sorted(held.values())
    assert client.project(second.id).model_version == VERSION
    done = CliRunner().invoke(app, moved)
    assert "3 unchanged" in " ".join(done.output.split())
    assert len(list(client.iter_predictions(second.id))) == 3
