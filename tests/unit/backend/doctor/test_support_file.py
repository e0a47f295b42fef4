"""The support file: secrets are put everywhere, and none of them is in it."""

from __future__ import annotations

import base64
import json
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.doctor.patient import Patient
from backend.doctor.support.known import Known
from backend.doctor.support.redaction import Redactor, forms_of
from backend.doctor.support.write import TAIL_BYTES, write_support_file
from backend.doctor.visit import Visit
from backend.label_studio import User
from backend.queue import JobInfo, JobName, JobState
from backend.store.models import ProblemRow, ProjectRow, TaskRow
from domain.errors import StackError
from domain.states import RunStatus
from tests.fakes.app import PROJECT
from tests.unit.backend.doctor.conftest import PASSWORD, Installation
from tests.unit.backend.doctor.test_redaction import ENCODINGS

KEY = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
REDIS, DATABASE, OTHER = "r3dis/w%rd", "d4tenb@nk-wort", "umgebungs geheimnis"
PERSON = User(4, "jürgen.groß@klinik.example", "Jürgen", "Groß-Meier")
IMAGE = "Meier_Hans_1961.png"
SCAN = "IM000147"

SECRETS = (KEY, PASSWORD, REDIS, DATABASE, OTHER, PERSON.email)
NAMES = (PERSON.first_name, PERSON.last_name, IMAGE.partition(".")[0], SCAN, "klinik.example")


@pytest.fixture
def leaky(well: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """An installation with secrets in every place that the file is made from."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OTHER)
    well.label_studio.users.append(PERSON)
    settings = well.context.settings.model_copy(
        update={
            "label_studio_api_key": SecretStr(KEY),
            "database_url": f"postgresql://nnloop:{DATABASE}@db.lab/nnloop",
            "redis_url": f"redis://:{REDIS}@localhost:6379/0",
            "label_studio_url": "http://localhost:8080/?token=abcdefgh1",
        }
    )
    context = replace(well.context, settings=settings)
    context.__dict__["label_studio"] = well.label_studio
    well.context = context
    everything = " ".join(
        [*SECRETS, PERSON.first_name, PERSON.last_name, f"/data/upload/1/{IMAGE}", SCAN]
    )
    lines = [f"{name}: {code(secret)}" for secret in SECRETS for name, code in ENCODINGS.items()]
    lines += [
        f"GET http://s3.example/a.png?X-Amz-Signature={KEY[:20]}",
        "Authorization: Basic " + base64.b64encode(f"nnloop:{PASSWORD}".encode()).decode(),
        json.dumps({"email": PERSON.email, "first_name": PERSON.first_name}),
        everything,
    ]
    logs = settings.data_dir / "logs"
    logs.mkdir()
    (logs / "web.log").write_text("\n".join(lines), "utf-8")
    (logs / "large.log").write_text(f"{KEY[:30]}" * 20_000 + f"\n{everything}\nend\n", "utf-8")
    fold = settings.data_dir / "projects" / "1" / "runs" / "1" / "fold_0"
    fold.mkdir(parents=True)
    (fold / "train.log").write_bytes(everything.encode() + b"\xff\xfe\n")
    well.add_run(RunStatus.FAILED, 9, error=f"no {everything}", note=everything, trigger=everything)
    with well.store.begin() as session:
        row = session.get_one(ProjectRow, PROJECT)
        row.error = everything
        session.add(
            ProblemRow(
                project_id=PROJECT, stage="x", reason="y", message=everything, remedy=everything
            )
        )
        session.add(TaskRow(id=77, project_id=PROJECT, data={"image": f"s3://b/{SCAN}"}))
    well.queue.listed = [
        JobInfo("sync-1", JobName.SYNC, (1,), JobState.FAILED, 1.0, "w", f"Error: {everything}")
    ]
    yield well


def _write(well: Installation, target: Path, *, is_away: bool = False) -> dict[str, str]:
    visit = Visit(Patient.of(well.context))
    if is_away:
        well.label_studio.is_down = True
    looked = visit.make(None)
    visit.know_images()
    write_support_file(target, visit.patient, looked, visit.known, knows_people=visit.knows_people)
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        return {name: file.read(name).decode() for name in file.namelist()}


def test_no_secret_is_in_it_in_any_encoding(leaky: Installation, tmp_path: Path) -> None:
    parts = _write(leaky, tmp_path / "support.zip")
    whole = "\n".join([*parts, *parts.values()])
    for secret in SECRETS:
        for name, code in ENCODINGS.items():
            assert code(secret) not in whole, (secret, name)
        for form in forms_of(secret):
            assert form not in whole, (secret, form)
    for name in NAMES:
        assert name not in whole, name
    for part in (KEY[:20], "abcdefgh1", KEY[:30]):
        assert part not in whole
    assert "***" in whole


def test_it_holds_what_helps(leaky: Installation, tmp_path: Path) -> None:
    parts = _write(leaky, tmp_path / "support.zip")
    assert {"doctor.json", "settings.json", "versions.json", "store.json"} <= parts.keys()
    values = {name: json.loads(text) for name, text in parts.items() if name.endswith(".json")}
    assert values["doctor.json"]["checks"][0]["id"] == "folder"
    settings = values["settings.json"]["values"]
    assert settings["label_studio_api_key"] == "set" and settings["redis_url"] == "redis://***"
    assert settings["debounce_s"] == 2.0
    assert values["store.json"]["rows"]["task"] == 4
    assert values["store.json"]["projects"][0]["settings"]["min_annotations"] == 10
    assert "annotators" not in values["store.json"]["projects"][0]["settings"]
    assert values["jobs.json"]["failed"][0]["id"] == "sync-1"
    assert values["runs.json"][0]["status"] == "failed"
    assert values["problems.json"][0]["stage"] == "x"
    assert values["versions.json"]["packages"]["torch"]
    assert parts["logs/large.txt"].endswith("end\n")
    assert len(parts["logs/large.txt"]) < TAIL_BYTES
    assert "logs/1-runs-1-fold_0-train.txt" in parts


def test_it_is_its_owners_and_takes_the_place_of_an_older_one(
    leaky: Installation, tmp_path: Path
) -> None:
    target = tmp_path / "support.zip"
    target.write_text("old")
    target.chmod(0o644)
    _write(leaky, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".support*"))


def test_without_label_studio_it_says_that_names_may_be_left(
    leaky: Installation, tmp_path: Path
) -> None:
    parts = _write(leaky, tmp_path / "support.zip", is_away=True)
    assert "names that stand in logs may be left" in parts["README.txt"]
    whole = "\n".join(parts.values())
    for secret in (KEY, PASSWORD, REDIS, OTHER, PERSON.email):
        assert secret not in whole


def test_it_is_made_where_nothing_is_there(
    well: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("nothing")
    settings = well.context.settings.model_copy(
        update={"data_dir": folder / "none", "redis_url": "", "label_studio_url": ""}
    )
    visit = Visit(Patient(settings))
    looked = visit.make(None)
    visit.know_images()
    target = folder / "support.zip"
    write_support_file(target, visit.patient, looked, visit.known, knows_people=False)
    with zipfile.ZipFile(target) as file:
        assert "not_there" in json.loads(file.read("store.json"))
        assert "not_there" in json.loads(file.read("jobs.json"))
    assert not (folder / "none").exists()


def test_a_secret_that_would_be_left_keeps_it_from_being_written(
    leaky: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes secrets out may have a fault; then nothing is given away."""
    monkeypatch.setattr(Redactor, "text", lambda _self, text: text)
    target = tmp_path / "support.zip"
    with pytest.raises(StackError, match="A secret would have been left in"):
        _write(leaky, target)
    assert not target.exists()


def test_values_that_give_nothing_away_are_not_taken_out(
    well: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "true")
    monkeypatch.setenv("KEY_FILE", "/tmp")
    monkeypatch.setenv("N_KEYS", "12345")
    known = Known()
    known.add_settings(well.context.settings)
    known.add_people([User(1, "admin@example.com"), User(2, "Li.W@example.com", "Li", "W")])
    assert known.names == {"Li W", "Li", "Li.W"}
    assert not {"true", "/tmp", "12345", "nnloop"} & known.secrets
    assert PASSWORD in known.secrets and "redis-wort" in known.secrets
    assert PASSWORD not in repr(known)
