"""effort: what labels cost people, and what predictions saved them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from backend.cli.commands.projects import Project
from backend.cli.shared import AsJson, DataDir, connected

if TYPE_CHECKING:
    from backend.pipeline.quality.effort import EffortLine, ProjectEffort


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("effort")(effort)


def effort(project: Project, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say what people did to predictions, and what these saved them.

    Per version, class and annotator: how many predictions were submitted unchanged, what was
    moved, added, removed and drawn, how long it took. Hours saved are against drawing the same
    from nothing, by how long people took for that in this project. Who accepts more than quality
    allows is named. Annotations count as they were first submitted.

    Example: nnloop effort "Carotid" --json
    """
    from backend.cli.views.effort_view import print_effort
    from backend.pipeline.quality.effort import effort_of_project
    from backend.store import projects

    opened, project_id = connected(project, data_dir)
    with opened.store.read() as session:
        found = effort_of_project(session, projects.get(session, project_id))
    if as_json:
        typer.echo(json.dumps(as_value(found), indent=1))
    else:
        print_effort(found)


def as_value(found: ProjectEffort) -> dict[str, object]:
    """The effort as a JSON value; times in seconds, Dice in [0, 1], null where unknown."""
    time = found.saved
    return {
        "corrected": found.n,
        "unchanged": found.n_unchanged,
        "drawn_from_nothing": found.n_drawn,
        "beginning_unknown": found.n_other,
        "versions": [_line(line) for line in found.versions],
        "classes": [_line(line) for line in found.classes],
        "annotators": [_line(line) for line in found.annotators],
        "saved": None if time is None else asdict(time) | {"saved_s": time.saved_s},
        "warnings": list(found.warnings),
    }


def _line(line: EffortLine) -> dict[str, object]:
    return asdict(line) | {"n_edited": line.n_edited}
