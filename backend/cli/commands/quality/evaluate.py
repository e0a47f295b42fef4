"""evaluate: how good predictions are, of a version or in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.outputs import output_folder
from backend.cli.shared import AsJson, DataDir, Spacing, connected, console, figure
from backend.cli.views.progress import progress
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from backend.pipeline.evaluate.options import N_WORST, EvaluationOptions, default_workers
from domain.errors import SettingsError
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.evaluate.chosen_cases import Split
    from training.evaluation.case_measures import CaseMeasures, ClassMeasures
    from training.evaluation.summary import Evaluation

_MAX_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    project: Annotated[
        str | None, typer.Argument(help="Id or title of the project; not with --predictions.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Which version; without it the one that serves.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="oof: its training cases, each by the fold that has not seen it (default); "
            "new: tasks labelled since; all: both."
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Folder of predicted label maps, instead of a project.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of the label maps to compare with.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, for the pictures.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of the integers 1, 2, ... in folders: lumen,wall.")
    ] = None,
    mask_name: Annotated[
        str, typer.Option(help="How the reference masks are called: '{name}_1stHO'.")
    ] = "",
    union: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=CLASS+CLASS",
            help="Folders: classes that are measured as one besides; repeat for more. Without it "
            "those of nnU-Net's dataset.json beside them; '' for none. Of a project its own.",
        ),
    ] = None,
    spacing: Spacing = None,
    worst: Annotated[int, typer.Option(min=0, help="Pictures drawn, the worst first.")] = N_WORST,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that measure; default: all CPUs.")
    ] = None,
    out: Annotated[
        Path | None,
        output_folder(
            help="Folder for metrics.csv, summary.json and overlays/; of folders by default the "
            "predictions' with -evaluation behind it."
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Measure predictions: Dice, IoU, HD95 and mean surface distance per class and case.

    Of a project: a version's predictions against the annotations as they are now; nothing else
    is started or changed by it. Of two folders: label maps with the same names (PNG, TIFF, BMP,
    NIfTI). The worst cases come first, with pictures. Ends with code 1 when nothing could be
    measured.

    Example: nnloop evaluate "Carotid" --version nnloop-v2

    Example: nnloop evaluate --predictions masks --reference labelsTs --images imagesTs
    """
    from converters.exports.options import parse_spacing

    spacing_mm = parse_spacing(spacing) if spacing is not None else None
    n_workers = workers or default_workers()
    if project is None:
        needed = {"--predictions": predictions, "--reference": reference}
        missing = [name for name, path in needed.items() if path is None]
        if predictions is None or reference is None:
            raise SettingsError(
                "Nothing says what to evaluate."
                if len(missing) == len(needed)
                else f"{' and '.join(missing)} missing.",
                remedy="Name a project, or give --predictions and --reference.",
            )
        if version is not None or split is not None:
            raise SettingsError(
                "--version and --split belong to a project.", remedy="Name the project."
            )
        from backend.pipeline.evaluate.folders import evaluate_folders
        from converters.masks.mask_folders import MaskName

        whole = predictions.resolve()
        out = out or whole.with_name(f"{whole.name}-evaluation")
        options = EvaluationOptions(out, spacing_mm, worst, n_workers, progress)
        evaluation = evaluate_folders(
            predictions,
            reference,
            options,
            images=images,
            class_values=_names(classes),
            mask_name=MaskName(mask_name),
            unions=union or (),
        )
    else:
        if predictions or reference or images or classes or mask_name or union:
            raise SettingsError(
                "--predictions, --reference, --images, --classes, --mask-name and --union are for "
                "folders, and a project was named too.",
                remedy="Leave out one of the two.",
            )
        from backend.pipeline.evaluate.version import default_out, evaluate_version

        opened, project_id = connected(project, data_dir)
        chosen = _split(split)
        out = out or default_out(opened, project_id, version, chosen)
        options = EvaluationOptions(out, spacing_mm, worst, n_workers, progress)
        evaluation = evaluate_version(opened, project_id, options, version=version, split=chosen)
    if as_json:
        typer.echo(json.dumps(evaluation.to_json(worst), indent=1))
    else:
        _print(evaluation, worst, out, is_of_folders=project is None)
    if not evaluation.cases:
        raise typer.Exit(1)


def _names(classes: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    if len(set(names)) < len(names):
        raise SettingsError(f"--classes names a class twice: {classes!r}.", remedy="Correct it.")
    return names


def _split(name: str | None) -> Split | None:
    from backend.pipeline.evaluate.chosen_cases import Split

    try:
        return Split(name) if name is not None else None
    except ValueError:
        raise SettingsError(
            f"--split is {name!r}.", remedy=f"Choose one of {', '.join(Split)}."
        ) from None


def _print(evaluation: Evaluation, n_worst: int, out: Path, *, is_of_folders: bool) -> None:
    from training.evaluation.files import UNKNOWN_VALUE

    for remark in evaluation.remarks:
        say(remark)
    if evaluation.cases:
        of = "" if is_of_folders else ", against the annotations of now"
        _summary(evaluation, of).print()
        say(_means(evaluation))
        if n_worst:
            _worst(evaluation, n_worst).print()
    # What folders hold besides classes is said once, above.
    problems = [p for p in evaluation.problems if p.reason != UNKNOWN_VALUE or not is_of_folders]
    for problem in problems[:_MAX_PROBLEMS]:
        say(problem.message, lead=f"[yellow]{problem.reason}[/yellow]")
    if len(problems) > _MAX_PROBLEMS:
        say(f"... and {counted(len(problems) - _MAX_PROBLEMS, 'more problem')}.")
    console.print(f"The whole report: {out}", highlight=False, markup=False, soft_wrap=True)


def _summary(evaluation: Evaluation, of: str) -> Table:
    from training.evaluation.case_measures import Presence

    unit = evaluation.unit
    table = Table(
        ("Class", "n", "Dice", "median", "IoU", f"HD95 {unit}", f"MSD {unit}", "No distance"),
        title=counted(len(evaluation.cases), "case") + of,
    )
    unions = {one.class_value for one in evaluation.unions}
    for one in (*evaluation.classes, *evaluation.unions):
        counts = {
            Presence.MISSED: one.n_missed,
            Presence.INVENTED: one.n_invented,
            Presence.NEITHER: one.n_neither,
        }
        table.add(
            f"{one.class_value} (union)" if one.class_value in unions else one.class_value,
            str(one.dice.n),
            figure(one.dice.mean) + ("" if one.dice.sd is None else f" ± {one.dice.sd:.3f}"),
            figure(one.dice.median),
            figure(one.iou.mean),
            _distance_text(one.hausdorff95.mean),
            _distance_text(one.mean_surface_distance.mean),
            [f"{n} {presence}" for presence, n in counts.items() if n] or "-",
        )
    return table


def _means(evaluation: Evaluation) -> str:
    text = f"Mean Dice of the classes {figure(evaluation.mean_dice)}, of the images "
    text += f"{figure(evaluation.images.mean)}."
    if evaluation.n_empty:
        text += f"\nImages with nothing in them: {evaluation.n_empty}, "
        text += f"of which left empty: {evaluation.n_left_empty}."
    return text


def _worst(evaluation: Evaluation, n_worst: int) -> Table:
    columns = ["", "Case"]
    for one in evaluation.classes:
        columns += [f"Dice {one.class_value}", f"HD95 {evaluation.unit}"]
    table = Table(columns, title="Worst cases first")
    for rank, case in enumerate(evaluation.cases[:n_worst], start=1):
        table.add(str(rank), case.case_id, *_cells(case))
    return table


def _cells(case: CaseMeasures) -> list[str]:
    cells = []
    for one in case.classes:
        cells += [figure(one.dice), _distance(one)]
    return cells


def _distance(one: ClassMeasures) -> str:
    from training.evaluation.case_measures import Presence

    if one.hausdorff95 is None and one.presence is not Presence.NEITHER:
        return str(one.presence)
    return _distance_text(one.hausdorff95)


def _distance_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
