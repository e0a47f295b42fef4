"""Brings versions out as nnU-Net's model zip, and models trained elsewhere in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.models.find import find_version
from backend.pipeline.models.label_names import FittedLabels, fit_labels
from backend.pipeline.models.serving import ask_for_scoring
from backend.store import clock, projects
from backend.store.models import ProjectRow, VersionRow
from backend.store.training import versions
from converters.bookkeeping.files import link_or_copy, new_folder
from converters.imports.find import IMAGE_ENDINGS
from converters.masks.channel_files import n_image_files
from domain.errors import FileFormatError, SettingsError
from domain.states import VersionOrigin, VersionStatus
from training.archive.convert import Converted, convert_checkpoints
from training.archive.export import WrittenArchive, dataset_name_of, write_archive
from training.archive.foreign_plans import ForeignModel, unpack_foreign
from training.archive.unpack import ModelFolder, list_models
from training.folds.spec import FINAL
from training.presets import FULL
from training.versions.metrics import ImportedModel, VersionMetrics
from training.versions.version_folder import (
    CONFIGURATION,
    DATASET,
    PLANS,
    VersionInfo,
    library_versions,
    size_bytes,
    write_version,
)
from training.workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class ImportedVersion:
    """A model trained elsewhere that is now a version of a project.

    Attributes:
        version: Its name.
        class_values: The project's names of its classes, in its integer order.
        folds: How many networks it has.
        serves: Whether it is the champion now: it is when the project had none.
        notes: Sentences about what may be expected of it.
    """

    version: str
    class_values: tuple[str, ...]
    folds: int
    serves: bool
    notes: tuple[str, ...]


def export_version(
    context: AppContext,
    name: str,
    file: Path,
    project_id: int | None = None,
    dataset_name: str | None = None,
) -> WrittenArchive:
    """Writes a version as nnU-Net's model zip.

    Args:
        context: The process's context.
        name: The version.
        file: The zip to write.
        project_id: Its project, where its name alone does not tell.
        dataset_name: nnU-Net's name of the data set; None: made of the project's id and title.

    Raises:
        SettingsError: There is no such version, or ``dataset_name`` is not one for nnU-Net.
        PredictionError: It was pruned.
    """
    with context.store.begin() as session:
        row = find_version(session, name, project_id)
        project = projects.get(session, row.project_id)
    chosen = dataset_name or dataset_name_of(project.id, project.title)
    try:
        return write_archive(Path(row.path), file, chosen)
    except ValueError:
        raise SettingsError(
            f"nnU-Net can't name a data set {chosen!r}.",
            remedy="Name it like Dataset501_Carotid.",
        ) from None


def import_model(
    context: AppContext,
    project_id: int,
    file: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    name: str | None = None,
    model: str | None = None,
    trust: bool = False,
) -> ImportedVersion:
    """Makes a version of nnU-Net's model zip. It serves at once where no version does yet.

    Otherwise it is a challenger that `nnloop models promote` puts in service. Checkpoints are read
    without running code of theirs, and kept as plain numbers.

    Args:
        context: The process's context.
        project_id: A connected project.
        file: The zip.
        mapping: Name of a class in the model -> the project's label; "" leaves a class out.
        name: The version's name; None: made of the zip's data set.
        model: ``<trainer>__<plans>__<configuration>`` where the zip holds several.
        trust: Unpickle whatever the checkpoints hold: runs any code in them.

    Raises:
        FileFormatError: The zip is hostile, broken, or of a kind nnloop can't predict with.
        SettingsError: Its classes or channels do not fit the project, or the name is taken.
        LabelConfigError: The project's interface can't be used.
    """
    with context.store.begin() as session:
        project = projects.get(session, project_id)
    chosen = choose_model(list_models(file), file, model)
    version = _checked_name(context, project_id, name or _default_name(chosen, file))
    workspace = context.workspace(project_id)
    workspace.models.mkdir(parents=True, exist_ok=True)
    folder = new_folder(workspace.models, ".importing-")
    try:
        foreign = unpack_foreign(file, chosen, folder, trust=trust)
        _check_channels(foreign, project)
        group = label_config_of(project, project.settings).group
        fitted = fit_labels(foreign.labels, group, mapping or {})
        folds = fold_numbers(chosen)
        converted = convert_checkpoints(folder, folds, trust=trust)
        notes = (*foreign.notes, *_about_channels(foreign, project), *_notes(fitted))
        imported = ImportedModel(
            file=file.name,
            model=chosen.name,
            dataset=chosen.dataset_name,
            trainer=converted.trainer,
            epochs=converted.epochs,
            labels=dict(zip(foreign.labels, fitted.class_values, strict=True)),
            channels=tuple(foreign.channels),
            folds=folds,
            trusted=trust,
            notes=notes,
        )
        metrics = VersionMetrics(imported=imported)
        info = info_of(version, foreign, fitted.class_values, converted, folds)
        path = _write(workspace, info, folder, metrics)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    serves = _add_row(context, project_id, info, path, metrics)
    if serves:
        ask_for_scoring(context, project_id)
    return ImportedVersion(version, fitted.class_values, len(folds), serves, notes)


def choose_model(found: tuple[ModelFolder, ...], file: Path, wanted: str | None) -> ModelFolder:
    """The 2d model of a zip, or the one that is wanted; raises where it is not clear which."""
    if not found:
        raise FileFormatError(
            f"{file.name} holds no model of nnU-Net: no folder "
            "Dataset.../<trainer>__<plans>__<configuration> with plans.json, dataset.json and "
            "fold_<k>/checkpoint_final.pth.",
            remedy="Make it with nnUNetv2_export_model_to_zip or `nnloop models export`.",
        )
    named = {_told_apart(model, found): model for model in found}
    names = ", ".join(named)
    if wanted is not None:
        chosen = [model for name, model in named.items() if wanted in (name, model.name)]
        if len(chosen) != 1:
            raise SettingsError(f"{file.name} has no model {wanted!r}.", remedy=f"It has {names}.")
        return chosen[0]
    flat = [model for model in found if model.configuration == CONFIGURATION]
    flat = flat or [m for m in found if not m.configuration.startswith("3d")]
    if not flat:
        raise FileFormatError(
            f"{file.name} holds only three-dimensional models: {names}.",
            remedy="Export the model's 2d configuration: nnUNetv2_export_model_to_zip -c 2d ...",
        )
    if len(flat) > 1:
        raise SettingsError(
            f"{file.name} holds several models: {names}.",
            remedy=f"Choose one: --model {_told_apart(flat[0], found)}",
        )
    return flat[0]


def _told_apart(model: ModelFolder, found: Sequence[ModelFolder]) -> str:
    """A model's name; of several of one name, as of two data sets, its path in the zip."""
    return model.name if sum(one.name == model.name for one in found) == 1 else model.path


def _default_name(model: ModelFolder, file: Path) -> str:
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", model.dataset_name or file.stem).strip("-._")
    return f"import-{word or 'model'}"[:60]


def _checked_name(context: AppContext, project_id: int, name: str) -> str:
    if not _NAME.fullmatch(name) or versions.OWN_NAME.fullmatch(name):
        raise SettingsError(
            f"A version can't be named {name!r}.",
            remedy="Use up to 64 letters, digits, '.', '_' and '-'; nnloop-v<number> and "
            "nnloop-e<number> are for those it trains and averages.",
        )
    with context.store.begin() as session:
        if versions.by_name(session, name, project_id):
            raise SettingsError(
                f"The project has a version {name!r} already.", remedy="Name it: --name NAME."
            )
    # Of an import that ended between the folder and the store.
    shutil.rmtree(context.workspace(project_id).version_dir(name), ignore_errors=True)
    return name


def _check_channels(foreign: ForeignModel, project: ProjectRow) -> None:
    # Grey and RGB become one another; other images can't be made up.
    n_images = max(1, len(project.settings.channels))
    found, wanted = len(foreign.channels), project.n_channels or n_images
    if found != wanted and not (found in (1, 3) and wanted in (1, 3)):
        raise SettingsError(
            f"The model takes {found} channels ({', '.join(foreign.channels)}), the project's "
            f"images have {wanted}.",
            remedy="Give the project's tasks the same images in the same order (setting "
            "`channels`), or use a model trained on such images.",
        )
    if n_images == 1 and found == 3 and n_image_files(foreign.channels) != 1:
        is_natural = str(foreign.dataset.get("file_ending", "")).lower() in IMAGE_ENDINGS
        if n_image_files(foreign.channels) or not is_natural:
            raise SettingsError(
                f"The model takes three images ({', '.join(foreign.channels)}), the project's "
                "tasks have one.",
                remedy="Give the project's tasks the same images in the same order (setting "
                "`channels`), or use a model trained on single images.",
            )
    theirs = [_plain_channel(name) for name in foreign.channels]
    ours = [_plain_channel(name) for name in project.settings.channels or ("R", "G", "B")]
    if theirs != ours and sorted(theirs) == sorted(ours):
        raise SettingsError(
            f"The model takes the channels in the order {', '.join(foreign.channels)}, the "
            f"project's are {', '.join(project.settings.channels or ('R', 'G', 'B'))}.",
            remedy="Give the project's channels the model's order (nnloop connect --channel, once "
            "for each), or train a model on images in this one.",
        )


def _plain_channel(name: str) -> str:
    """As a person calls it: nnloop puts its number in front."""
    return re.sub(r"^\d+_", "", name).strip().casefold()


def _about_channels(foreign: ForeignModel, project: ProjectRow) -> list[str]:
    """Several channels that are called otherwise may be others."""
    theirs, ours = foreign.channels, project.settings.channels
    if len(ours) < 2 or [*map(_plain_channel, theirs)] == [*map(_plain_channel, ours)]:
        return []
    if len(theirs) != len(ours):
        return []  # colours of each
    pairs = ", ".join(f"{one} is given {other}" for one, other in zip(theirs, ours, strict=True))
    return [f"Its channels go by their order: {pairs}."]


def fold_numbers(model: ModelFolder) -> dict[str, int]:
    """nnU-Net's names of a model's folds -> the numbers they get."""
    numbered = sorted(int(name) for name in model.folds if name != "all")
    # A network trained on everything stands in only where there are no folds.
    return {str(number): number for number in numbered} if numbered else {"all": 0}


def _notes(fitted: FittedLabels) -> list[str]:
    left_out = [name for name in fitted.class_values if name.startswith("(")]
    notes = []
    if fitted.missing:
        notes.append(f"It does not know {', '.join(fitted.missing)}: never predicted by it.")
    if left_out:
        notes.append(f"Left out of its predictions: {', '.join(left_out)}.")
    return notes


def info_of(
    version: str,
    foreign: ForeignModel,
    class_values: tuple[str, ...],
    converted: Converted,
    folds: Mapping[str, int],
    created_at: float | None = None,
) -> VersionInfo:
    """version.json of a model that was trained elsewhere.

    Args:
        version: Its name.
        foreign: What its files say.
        class_values: Its classes in integer order, as they are called here.
        converted: What its checkpoints say.
        folds: nnU-Net's names of its folds -> their numbers.
        created_at: In Unix seconds; None: now.
    """
    preset = replace(
        FULL,
        name="imported",
        n_folds=len(folds),
        epochs=converted.epochs,
        trainer=converted.trainer,
        mirror_predict=bool(converted.mirror_axes),
        compile=False,
    )
    return VersionInfo(
        name=version,
        class_values=class_values,
        n_channels=len(foreign.channels),
        preset=preset,
        folds=tuple(folds.values()),
        libraries=library_versions(),
        created_at=clock.now() if created_at is None else created_at,
    )


def _write(workspace: Workspace, info: VersionInfo, folder: Path, metrics: VersionMetrics) -> Path:
    def fill(target: Path) -> None:
        for name in (PLANS, DATASET, *(f"fold_{k}/{FINAL}" for k in info.folds)):
            link_or_copy(folder / name, target / name)

    return write_version(workspace, info, fill, metrics=metrics)


def _add_row(
    context: AppContext, project_id: int, info: VersionInfo, path: Path, metrics: VersionMetrics
) -> bool:
    with context.store.begin() as session:
        row = VersionRow(
            project_id=project_id,
            origin=VersionOrigin.IMPORTED,
            name=info.name,
            path=str(path),
            status=VersionStatus.CHALLENGER,
            metrics=metrics,
            size_bytes=size_bytes(path),
        )
        session.add(row)
        session.flush()
        serves = versions.champion(session, project_id) is None
        if serves:
            versions.promote(session, row)
    return serves
