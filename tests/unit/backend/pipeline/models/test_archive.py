from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.pipeline.models import archive
from backend.pipeline.models.archive import export_version, import_model
from backend.store.models import ProjectRow
from backend.store.training import versions
from domain.errors import FileFormatError, SettingsError
from domain.states import VersionOrigin, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import add_version
from tests.unit.training.archive.zips import FOLDER, dataset, entries, write_zip
from training.archive.convert import Converted
from training.versions.version_folder import read_version


@pytest.fixture(autouse=True)
def converted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """The child's work without torch: checkpoints are moved. Lists the folds asked for."""
    asked: list[dict[str, int]] = []

    def move(folder: Path, folds: dict[str, int], *, trust: bool = False) -> Converted:
        asked.append(folds)
        for name, number in folds.items():
            (folder / f"fold_{number}").mkdir()
            target = folder / f"fold_{number}" / "checkpoint_final.pth"
            (folder / f"fold_{name}.pth").rename(target)
        return Converted("nnUNetTrainer", (0, 1), 1000)

    monkeypatch.setattr(archive, "convert_checkpoints", move)
    return asked


def test_the_first_version_serves_and_the_next_waits(app: FakeApp, tmp_path: Path) -> None:
    file = write_zip(tmp_path / "m.zip", entries())
    done = import_model(app.context, PROJECT, file)
    assert (done.version, done.serves) == ("import-Dataset501_Carotid", True)
    assert app.jobs == [("score", (PROJECT, 0))]
    again = import_model(app.context, PROJECT, file, name="second")
    assert not again.serves
    with app.store.begin() as session:
        first, second = versions.versions_of(session, PROJECT)
    assert (first.origin, first.run_id) == (VersionOrigin.IMPORTED, None)
    assert (first.status, second.status) == (VersionStatus.CHAMPION, VersionStatus.CHALLENGER)
    assert first.size_bytes > 0
    info = read_version(Path(first.path))
    assert (info.folds, info.class_values, info.n_channels) == ((0, 1), ("lumen", "wall"), 1)
    assert (info.preset.name, info.preset.mirror_predict) == ("imported", True)


def test_folds_keep_their_numbers_and_all_stands_in_only_alone(
    app: FakeApp, tmp_path: Path, converted: list[dict[str, int]]
) -> None:
    import_model(app.context, PROJECT, write_zip(tmp_path / "a.zip", entries(folds=("all",))))
    several = write_zip(tmp_path / "b.zip", entries(folds=("all", "3", "1")))
    import_model(app.context, PROJECT, several, name="b")
    assert converted == [{"all": 0}, {"1": 1, "3": 3}]


def test_three_dimensional_and_ambiguous_zips_say_what_to_do(app: FakeApp, tmp_path: Path) -> None:
    deep = write_zip(tmp_path / "d.zip", entries(FOLDER.replace("2d", "3d_fullres")))
    with pytest.raises(FileFormatError, match="only three-dimensional") as caught:
        import_model(app.context, PROJECT, deep)
    assert "-c 2d" in caught.value.remedy
    other = FOLDER.replace("nnUNetPlans", "nnUNetResEncUNetMPlans")
    both = write_zip(tmp_path / "b.zip", entries() | entries(other))
    with pytest.raises(SettingsError, match="several models") as caught_two:
        import_model(app.context, PROJECT, both)
    assert "--model" in caught_two.value.remedy
    name = other.rpartition("/")[2]
    assert import_model(app.context, PROJECT, both, model=name).folds == 2
    second = entries(FOLDER.replace("Dataset501", "Dataset502"))
    alike = write_zip(tmp_path / "c.zip", entries() | second)
    with pytest.raises(SettingsError, match=r"several models: Dataset501_Carotid/.*Dataset502") as (
        caught_two
    ):
        import_model(app.context, PROJECT, alike)
    wanted = caught_two.value.remedy.partition("--model ")[2].replace("Dataset501", "Dataset502")
    done = import_model(app.context, PROJECT, alike, model=wanted)
    assert done.version == "import-Dataset502_Carotid"
    with pytest.raises(SettingsError, match="no model 'nnUNetTrainer__"):
        import_model(app.context, PROJECT, alike, model=FOLDER.rpartition("/")[2])
    with pytest.raises(SettingsError, match="no model 'x'"):
        import_model(app.context, PROJECT, both, model="x")
    with pytest.raises(FileFormatError, match="holds no model"):
        import_model(app.context, PROJECT, write_zip(tmp_path / "e.zip", {"a": b"b"}))


@pytest.mark.parametrize("name", ["nnloop-v3", "../up", "", "a b", "x" * 65])
def test_names_that_are_taken_or_no_names_are_refused(
    app: FakeApp, tmp_path: Path, name: str
) -> None:
    file = write_zip(tmp_path / "m.zip", entries())
    if name:
        with pytest.raises(SettingsError, match="can't be named"):
            import_model(app.context, PROJECT, file, name=name)
    import_model(app.context, PROJECT, file, name="v")
    with pytest.raises(SettingsError, match="'v' already"):
        import_model(app.context, PROJECT, file, name="v")


def test_channels_that_can_not_be_made_up_are_refused(app: FakeApp, tmp_path: Path) -> None:
    files = entries()
    two = dataset(channel_names={"0": "b-mode", "1": "doppler"})
    files[f"{FOLDER}/dataset.json"] = json.dumps(two).encode()
    file = write_zip(tmp_path / "m.zip", files)
    with pytest.raises(SettingsError, match=r"2 channels \(b-mode, doppler\)"):
        import_model(app.context, PROJECT, file)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).n_channels = 2
    assert import_model(app.context, PROJECT, file).serves


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (("t1", "t2"), ("t1", "t2"), ""),
        (("0_T1", "1_T2"), ("t1", "t2"), ""),
        (("b-mode", "doppler"), ("t1", "t2"), "b-mode is given t1, doppler is given t2"),
        (("t2", "t1"), ("t1", "t2"), "refused"),
        (("0_t2", "1_t1"), ("t1", "t2"), "refused"),
        (("B", "G", "R"), (), "refused"),
        (("R", "G", "B"), (), ""),
    ],
)
def test_channels_in_another_order_are_refused(
    theirs: tuple[str, ...], ours: tuple[str, ...], said: str, app: FakeApp, tmp_path: Path
) -> None:
    files = entries()
    names = {str(k): name for k, name in enumerate(theirs)}
    files[f"{FOLDER}/dataset.json"] = json.dumps(dataset(channel_names=names)).encode()
    file = write_zip(tmp_path / "m.zip", files)
    with app.store.begin() as session:
        row = session.get_one(ProjectRow, PROJECT)
        row.n_channels = len(theirs)
        row.settings = row.settings.model_copy(update={"channels": ours})
        row.label_config = row.label_config.replace("$image", "$t1" if ours else "$image")
    if said == "refused":
        with pytest.raises(SettingsError, match=rf"in the order {theirs[0]}, .*project's are"):
            import_model(app.context, PROJECT, file)
        return
    done = import_model(app.context, PROJECT, file)
    assert [note for note in done.notes if "channels" in note] == (
        [f"Its channels go by their order: {said}."] if said else []
    )


@pytest.mark.parametrize(
    ("names", "ending", "is_taken"),
    [
        (("T1", "T2", "FLAIR"), ".nii.gz", False),
        (("0_t1", "1_t2", "2_flair"), ".png", False),
        (("R", "G", "B"), ".png", True),
        (("a", "b", "c"), ".png", True),  # nobody can tell: a picture in colour, most likely
    ],
)
def test_a_model_of_three_images_takes_no_picture_in_colour(
    names: tuple[str, ...], ending: str, is_taken: bool, app: FakeApp, tmp_path: Path
) -> None:
    data = dataset(channel_names={str(k): name for k, name in enumerate(names)}, file_ending=ending)
    files = entries() | {f"{FOLDER}/dataset.json": json.dumps(data).encode()}
    file = write_zip(tmp_path / "m.zip", files)
    if is_taken:
        assert import_model(app.context, PROJECT, file).serves
        return
    with pytest.raises(SettingsError, match=f"three images \\({names[0]}"):
        import_model(app.context, PROJECT, file)


def test_a_refused_import_leaves_nothing_behind(app: FakeApp, tmp_path: Path) -> None:
    file = write_zip(tmp_path / "m.zip", entries() | {"../evil": b"x"})
    with pytest.raises(FileFormatError):
        import_model(app.context, PROJECT, file)
    files = {**entries(), f"{FOLDER}/dataset.json": b"{}"}
    with pytest.raises(FileFormatError):
        import_model(app.context, PROJECT, write_zip(tmp_path / "n.zip", files))
    assert list(app.context.workspace(PROJECT).models.iterdir()) == []
    with app.store.begin() as session:
        assert versions.versions_of(session, PROJECT) == []


def test_an_export_is_named_after_the_project(app: FakeApp, tmp_path: Path) -> None:
    add_version(app, 1)
    written = export_version(app.context, "nnloop-v1", tmp_path / "m.zip")
    assert written.dataset_name == "Dataset001_Carotid"
    with pytest.raises(SettingsError, match="data set 'Carotid'"):
        export_version(app.context, "nnloop-v1", tmp_path / "n.zip", dataset_name="Carotid")
