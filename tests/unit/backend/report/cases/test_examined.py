"""Pictures of cases by a real network (of random weights), while images are missing or slow."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from backend.report.cases.examined import Examined, examined_of
from backend.report.sections.cases import cases_section, unsure_section
from backend.store.training import versions
from converters.bookkeeping.documents import write_document
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import FakeLabelStudio
from tests.unit.backend.report.cases.served import serve
from tests.unit.training.nnunet.inference.versions import write_version
from training.versions.version_folder import VersionInfo, read_version

IMAGE_OF_2 = "/data/upload/2.png"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_version(tmp_path_factory.mktemp("version"))
    info = replace(read_version(folder), class_values=("lumen", "wall"))
    write_document(folder / "version.json", VersionInfo, info)
    return folder


@pytest.fixture
def serving(app: FakeApp, weights: Path) -> FakeApp:
    """Tasks 1 to 4 held out, task 2 the worst; 11 and 12 scored; no image is on this machine."""
    serve(app, path=str(weights))
    return app


def examined(app: FakeApp, seconds: float = 60.0) -> Examined:
    return examined_of(app.context, PROJECT, 8, seconds)


def without(found: Examined) -> dict[int, str]:
    """Tasks without pictures, and why."""
    both = (*found.worst, *found.unsure)
    assert all((one.pictures is None) == bool(one.missing) for one in both)
    return {one.case.task.id: one.missing for one in both if one.missing}


@pytest.mark.slow
def test_images_that_are_gone_or_none_cost_their_own_pictures_alone(serving: FakeApp) -> None:
    studio = serving.label_studio
    del studio.images[IMAGE_OF_2]
    studio.images["/data/upload/12.png"] = b"<html>Log in</html>"
    studio.calls.clear()
    steps: list[tuple[str, int, int]] = []
    found = examined_of(
        serving.context,
        PROJECT,
        8,
        60.0,
        lambda what, done=0, total=0: steps.append((what, done, total)),
    )
    assert [one.case.task.id for one in (*found.worst, *found.unsure)] == [2, 1, 3, 4, 12, 11]
    assert [one[1:] for one in steps if "reading" in one[0]] == [(k, 6) for k in range(6)]
    assert [one[1:] for one in steps if "predicting" in one[0]] == [(k, 4) for k in range(5)]
    assert set(without(found)) == {2, 12}
    assert cases_section(found).missing == "No pictures of task 2: the image does not exist."
    assert unsure_section(found).missing.startswith("No pictures of task 12: ")
    assert all(one.pictures.truth for one in found.worst if one.pictures)
    assert not any(one.pictures.truth for one in found.unsure if one.pictures)
    assert [name for name, _ in found.colors] == ["lumen", "wall"]
    assert set(studio.calls) == {"fetch_image"}  # nothing else was asked for or changed


@pytest.mark.slow
def test_label_studio_that_stops_answering_is_asked_no_more(
    serving: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two images; what was fetched before is shown."""
    studio, fetch = serving.label_studio, FakeLabelStudio.fetch_changed
    asked: list[int] = []

    def falls(self: FakeLabelStudio, uri: str, task_id: int, *args: object, **named: object):  # type: ignore[no-untyped-def]
        asked.append(task_id)
        if len(asked) > 2:
            self.is_down = True
            self._answers()
        return fetch(self, uri, task_id, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeLabelStudio, "fetch_changed", falls)
    found = examined(serving)
    assert asked == [2, 1, 3]
    assert without(found) == dict.fromkeys(
        (3, 4, 12, 11), "Label Studio can't be reached. Start it."
    )
    assert studio.is_down


def test_without_time_nothing_is_fetched_and_all_is_named(serving: FakeApp) -> None:
    started = time.monotonic()
    found = examined(serving, 0.0)
    assert time.monotonic() - started < 5.0  # no network was loaded
    assert set(without(found).values()) == {"Not all images could be fetched within 0 s."}
    assert serving.label_studio.fetched == []


@pytest.mark.slow
def test_weights_that_cannot_be_loaded_are_named_once(serving: FakeApp, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    write_version(broken)
    (broken / "fold_0" / "checkpoint_final.pth").write_bytes(b"half a file")
    with serving.store.begin() as session:
        version = versions.champion(session, PROJECT)
        assert version is not None
        version.path = str(broken)
        info = replace(read_version(broken), class_values=("lumen", "wall"))
        write_document(broken / "version.json", VersionInfo, info)
    found = examined(serving)
    assert set(without(found)) == {1, 2, 3, 4, 11, 12}
    assert len(set(without(found).values())) == 1
    assert "broken can't be loaded" in cases_section(found).missing
