"""nnU-Net's data sets with regions as sources of a training: its unions are learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from backend.cli.commands.train_files import FilesRequest, _opened
from backend.cli.main import app
from backend.from_files.context import PROJECT, FilesContext
from backend.from_files.labels.reading import read_source
from backend.from_files.request import settings_of
from backend.settings import ProjectSettings
from backend.store import projects
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import FileFormatError, SettingsError
from tests.unit.backend.from_files.material import SIDE, region, task, write_export
from tests.unit.backend.from_files.test_other_sources import drawn

LABELS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
UNIONS = ("whole=rest of core+enhancing+rest of whole", "core=enhancing+rest of core")


def mask(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 4, (SIDE, SIDE), dtype=np.uint8)


def data_set(root: Path, **about: Any) -> Path:
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number in range(2):
        cv2.imwrite(str(root / "labelsTr" / f"c{number}.png"), mask(number))
        cv2.imwrite(str(root / "imagesTr" / f"c{number}_0000.png"), 60 * mask(number))
    said = {"channel_names": {"0": "grey"}, "labels": LABELS, "regions_class_order": [1, 2, 3]}
    (root / "dataset.json").write_text(json.dumps(said | about))
    return root


def train(root: Path, out: Path, **more: Any) -> tuple[FilesContext, ProjectSettings]:
    """What `nnloop train` does until a run would begin."""
    config = more.pop("config", None)
    options = {"classes": (), "mapping": {}} | {
        name: more.pop(name) for name in ("classes", "mapping") if name in more
    }
    request = FilesRequest(
        source=root, out=out, images=None, format_="", label_config=None, again=False,
        empty_as_negative=False, settings=more, overrides={}, **options,
    )  # fmt: skip
    context = FilesContext.at(out)
    settings = settings_of(context, request.settings)
    group = config.group if config is not None else None
    opened = _opened(request, settings, config.image_key if config else "", group)
    read_source(
        context,
        opened.source,
        title="set",
        settings=settings,
        label_config=config.xml if config else None,
        unions=opened.unions,
        asked=request.settings,
    )
    with context.store.read() as session:
        return context, projects.get(session, PROJECT).settings


def test_a_data_set_with_regions_is_a_source(tmp_path: Path) -> None:
    context, settings = train(data_set(tmp_path / "D"), tmp_path / "out")
    assert (settings.unions, settings.union_order) == (UNIONS, ())
    found = drawn(context)
    assert len(found) == 2
    for number in range(2):
        np.testing.assert_array_equal(found[f"c{number}_0000.png"], mask(number))


def test_what_the_source_says_later_holds_unless_a_person_says_otherwise(tmp_path: Path) -> None:
    root, out = tmp_path / "D", tmp_path / "out"
    train(data_set(root), out)
    # Other unions, then none: the folder follows.
    two = {"background": 0, "whole": [1, 2, 3], "enhancing": 3}
    _, settings = train(data_set(root, labels=two, regions_class_order=[1, 3]), out)
    assert settings.unions == ("whole=enhancing+rest of whole",)
    plain = {"background": 0, "edema": 1, "core": 2, "enhancing": 3}
    _, settings = train(data_set(root, labels=plain), out)
    assert (settings.unions, settings.union_order) == ((), ())
    # A person's: it stays, also when nothing is said of it again.
    mine = ("tumor=core+enhancing",)
    _, settings = train(root, out, unions=mine)
    assert settings.unions == mine
    _, settings = train(root, out)
    assert settings.unions == mine


def test_a_person_takes_the_unions_away(tmp_path: Path) -> None:
    root, out = data_set(tmp_path / "D"), tmp_path / "out"
    for more in ({"unions": ()}, {}):
        _, settings = train(root, out, **more)
        assert (settings.unions, settings.union_order) == ((), ())
    order = ("rest of whole", "rest of core", "enhancing")
    _, settings = train(root, tmp_path / "other", union_order=order)
    assert (settings.unions, settings.union_order) == (UNIONS, order)


def test_classes_of_other_names(tmp_path: Path) -> None:
    root = data_set(tmp_path / "D")
    mapping = {"rest of whole": "edema", "rest of core": ""}
    context, settings = train(root, tmp_path / "a", mapping=mapping)
    assert settings.unions == ("whole=enhancing+edema",)
    expected = np.array([0, 1, 0, 2], np.uint8)[mask(0)]
    np.testing.assert_array_equal(drawn(context)["c0_0000.png"], expected)
    names = ("edema", "necrosis", "enhancing")
    _, settings = train(root, tmp_path / "b", classes=names)
    assert settings.unions[1] == "core=enhancing+necrosis"
    # An interface that a person gave, its names in another form.
    labels = "".join(f"<Label value='{name.title()}'/>" for name in names)
    config = parse_label_config(
        "<View><Image name='image' value='$image'/><PolygonLabels name='label' toName='image'>"
        f"{labels}</PolygonLabels></View>"
    )
    _, settings = train(root, tmp_path / "c", classes=names, config=config)
    assert settings.unions[1] == "core=Enhancing+Necrosis"
    with pytest.raises(SettingsError, match="'rest of whole'") as error:
        train(root, tmp_path / "d", config=config)
    assert "--map 'rest of whole=LABEL'" in error.value.remedy


def test_regions_that_can_not_be_learned(tmp_path: Path) -> None:
    root = data_set(tmp_path / "D", regions_class_order=[3, 2, 1])
    with pytest.raises(FileFormatError, match="can't be learned"):
        train(root, tmp_path / "out")
    _, settings = train(root, tmp_path / "out", unions=())
    assert settings.unions == ()


def test_an_exported_data_set_is_read_as_it_was(tmp_path: Path) -> None:
    rows = [task(1, [region("lumen"), region("wall", at=30)]), task(2, [region("wall")])]
    export = write_export(tmp_path / "in", rows)
    arguments = ["export", export, "--images", export.parent / "images", "--out", tmp_path / "D"]
    union = ["--union", "vessel=lumen+wall"]
    runner = CliRunner()
    result = runner.invoke(app, [str(a) for a in [*arguments, *union]])
    assert result.exit_code == 0, result.output
    said = json.loads((tmp_path / "D" / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "vessel": [1, 2], "lumen": 1}
    assert (said["regions_class_order"], said["nnloop_classes"]) == ([2, 1], ["lumen", "wall"])
    context, settings = train(tmp_path / "D", tmp_path / "out")
    assert (settings.unions, settings.union_order) == (("vessel=lumen+wall",), ())
    assert set(np.unique(list(drawn(context).values()))) == {0, 1, 2}
    # Other formats hold classes: that is said, not left out in silence.
    masks = [*arguments[:-1], tmp_path / "M", "--format", "masks-png", *union]
    result = runner.invoke(app, [str(a) for a in masks])
    assert isinstance(result.exception, SettingsError)
    # Without unions the data set is as it always was.
    assert runner.invoke(app, [str(a) for a in [*arguments, "--union", ""]]).exit_code == 0
    said = json.loads((tmp_path / "D" / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "lumen": 1, "wall": 2}
    assert "regions_class_order" not in said


def test_an_import_says_how_unions_are_learned(tmp_path: Path) -> None:
    root = data_set(tmp_path / "D")
    arguments = ["import", root, "--format", "masks", "--out", tmp_path / "tasks.json"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "nnloop connect PROJECT --union 'whole=rest of core+enhancing+rest of whole'" in said
