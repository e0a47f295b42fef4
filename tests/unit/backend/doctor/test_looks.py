"""What is looked at by itself: GPU, locks, memory, ranges of versions."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from backend.doctor.check import Finding, NotLookedError, State
from backend.doctor.looks import gpu as gpu_module
from backend.doctor.looks import machine, services
from backend.doctor.looks.gpu import Seen, Sources, ask_torch, gpu, read_seen
from backend.doctor.looks.tasks import place_of
from backend.doctor.looks.versions import is_within, required
from backend.doctor.patient import Patient
from backend.queue import ROLES
from backend.queue.worker_info import WorkerInfo
from backend.settings import Settings
from domain.errors import SettingsError
from tests.unit.backend.doctor.conftest import Installation


def _patient(folder: Path, **values: object) -> Patient:
    return Patient(Settings.load(data_dir=folder, **values))


def _gpu(folder: Path, devices: str, by_driver: int, in_machine: int, seen: Seen | None) -> Finding:
    def torch() -> Seen:
        assert seen is not None, "torch was asked for nothing"
        return seen

    sources = Sources(lambda: by_driver, lambda: in_machine, torch)
    return gpu(_patient(folder, devices=devices), sources)


CPU = Seen("2.9.0+cpu", "")
OLD = Seen("2.9.0", "12.8", (), "The NVIDIA driver on your system is too old (found 11040).")
TWO = Seen("2.9.0", "12.8", ("NVIDIA H100", "NVIDIA H100"))

GPUS = [
    ("", 0, 0, None, State.FINE, "no GPU here"),
    ("", 0, 1, None, State.NOTE, "no driver that shows it"),
    ("cpu", 2, 2, None, State.FINE, "trains on cpu, as NNLOOP_DEVICES says"),
    ("", 1, 1, CPU, State.WRONG, "is a build for CPUs, and the driver shows 1 GPU"),
    ("", 1, 1, OLD, State.WRONG, "can use none (torch 2.9.0, built for CUDA 12.8): The NVIDIA"),
    ("cuda:0", 0, 0, OLD, State.WRONG, "there is no driver with a GPU here"),
    ("cuda:0,cuda:2", 2, 2, TWO, State.WRONG, "names cuda:0, cuda:2, and torch sees 2 GPUs"),
    ("cuda:1", 2, 2, TWO, State.FINE, "2 GPUs (NVIDIA H100), used by torch 2.9.0"),
    ("", 2, 2, TWO, State.FINE, "2 GPUs"),
]


@pytest.mark.parametrize(("devices", "by_driver", "in_machine", "seen", "state", "says"), GPUS)
def test_gpu_and_driver_against_torch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: str,
    by_driver: int,
    in_machine: int,
    seen: Seen | None,
    state: State,
    says: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    one = _gpu(tmp_path, devices, by_driver, in_machine, seen)
    assert (one.state, says in one.answer) == (state, True), one
    assert bool(one.fix) == (state != State.FINE)


def test_hidden_gpus_and_a_device_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    one = _gpu(tmp_path, "", 2, 2, None)
    assert one.state == State.NOTE and "hidden by CUDA_VISIBLE_DEVICES" in one.answer
    with pytest.raises(SettingsError, match="must list cpu"):
        _gpu(tmp_path, "gpu0", 0, 0, None)


def test_gpus_are_found_on_the_bus_without_a_driver(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("a", "0x10de", "0x030200"),
        ("b", "0x10de", "0x040300"),  # the sound of a graphics card
        ("c", "0x8086", "0x030000"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "d").mkdir()
    assert gpu_module._count_in(tmp_path) == 1
    assert gpu_module._count_in(tmp_path / "none") == 0


def test_a_torch_that_says_nothing_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_module, "_MODULE", "backend.doctor.no_such_module")
    with pytest.raises(NotLookedError, match="torch could not be asked"):
        ask_torch()
    for line in ("", "[]", '{"torch": "2.9"}'):
        with pytest.raises(NotLookedError, match="could not be read"):
            read_seen(line)


def test_a_lock_keeps_another_process_out_and_a_disk_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = _patient(tmp_path)
    assert machine.shared(patient).state == State.FINE
    assert list(tmp_path.iterdir()) == []
    # A disk whose locks hold nobody, as NFS mounted with nolock does.
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    one = machine.shared(patient)
    assert one.state == State.WRONG and "two processes got the same one" in one.answer


def test_a_store_in_a_file_on_a_network_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_kind_of_disk", lambda _: "nfs4")
    one = machine.shared(_patient(tmp_path))
    assert one.state == State.NOTE and "SQLite's store lies on a network disk" in one.answer
    url = "postgresql+psycopg://u:p@h/n"
    assert machine.shared(_patient(tmp_path, database_url=url)).state == State.FINE


def test_a_folder_that_is_none_or_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "is no folder" in machine.folder(_patient(tmp_path / "file")).answer
    assert machine.folder(_patient(tmp_path / "none")).state == State.WRONG
    assert machine.folder(_patient(tmp_path)).state == State.FINE
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**8))
    said = machine.disk(_patient(tmp_path))
    assert [one.state for one in said] == [State.WRONG, State.WRONG]
    assert said[0].answer.startswith("0.1 GB are free in") and "nnloop models prune" in said[0].fix
    assert said[1].fix.endswith("TMPDIR")


def test_little_memory_matters_where_workers_are(
    well: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Patient.of(well.context)
    usage = shutil.disk_usage(well.context.settings.data_dir)
    monkeypatch.setattr(machine, "usable_memory_mib", lambda: 2_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(total=67_108_864, free=1))
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    assert machine.memory(patient).state == machine.shared_memory(patient).state == State.NOTE
    monkeypatch.setattr("socket.gethostname", lambda: "lab-3")
    well.queue.at_work = [WorkerInfo("trainer-1-lab-3-77-abc", ROLES["train"], "")]
    assert machine.memory(patient).state == machine.shared_memory(patient).state == State.WRONG
    well.queue.at_work = [WorkerInfo("loop-lab-3-77-abc", ROLES["loop"], "")]
    assert machine.shared_memory(patient).state == State.NOTE


def test_rights_are_told_as_the_umask_means_them(tmp_path: Path) -> None:
    for umask, mode, command in (
        ("077", 0o755, "chmod -R g-rwx,o-rwx "),
        ("027", 0o775, "chmod -R g-w,o-rwx "),
        ("007", 0o777, "chmod -R o-rwx "),
    ):
        tmp_path.chmod(mode)
        (one,) = machine.rights(_patient(tmp_path, umask=umask))
        assert one.state == State.WRONG and one.fix.startswith(command), one
    tmp_path.chmod(0o750)
    assert machine.rights(_patient(tmp_path, umask="027"))[0].state == State.FINE


def test_a_key_in_settings_that_others_may_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    file = tmp_path / "nnloop.toml"
    monkeypatch.setenv("NNLOOP_CONFIG", str(file))

    def told(text: str, mode: int, umask: str = "077") -> list[str]:
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return [one.answer for one in machine.rights(_patient(tmp_path, umask=umask))[1:]]

    secret = 'label_studio_api_key = "abc"\nBASIC_AUTH_PASS = "def"\n'
    (said,) = told(secret, 0o644)
    assert "which has LABEL_STUDIO_API_KEY and BASIC_AUTH_PASS in it" in said
    assert "abc" not in said and "def" not in said
    assert told(secret, 0o640) != []
    assert told(secret, 0o640, umask="027") == []  # its group is meant to read
    assert told(secret, 0o600) == told("port = 9090\n", 0o644) == []
    file.unlink()
    monkeypatch.delenv("NNLOOP_CONFIG")
    assert len(machine.rights(_patient(tmp_path))) == 1


RANGES = [
    ("2.8.0+cpu", ">=2.6,<2.14", True),
    ("2.14.0", ">=2.6,<2.14", False),
    ("3.0", ">=2.8,<3", False),
    ("3", "<3.0.1", True),
    ("6.2.912183", ">=6.2.912183,<7", True),
    ("1.0", "==1.0.0", True),
    ("1.0", "!=1.0", False),
    ("1.2.3", "", True),
    ("unknown", ">=1", False),
]


@pytest.mark.parametrize(("found", "wanted", "expected"), RANGES)
def test_versions_within_ranges(found: str, wanted: str, expected: bool) -> None:
    assert is_within(found, wanted) is expected


def test_what_nnloop_asks_for_is_what_its_package_says() -> None:
    asked = dict(required())
    assert asked["torch"].replace(" ", "").split(",") in (["<2.14", ">=2.6"], [">=2.6", "<2.14"])
    assert "hypothesis" not in asked and "openvino" not in asked


PLACES = [
    ("/data/upload/3/a.png", "an upload"),
    ("http://labels:8080/data/upload/3/a.png", "an upload"),
    ("https://labels:8080/data/upload/3/a.png", "https://labels:8080"),
    ("/data/local-files/?d=scans/a.png", "local files"),
    ("/static/a.png", "a path of Label Studio"),
    ("gs://bucket/a/b.png", "gs://bucket"),
    ("azure-blob://box/a.png", "azure-blob://box"),
    ("https://u:geheim@nas.lab/a.png?token=1", "https://nas.lab"),
    ("ftp://host/a.png", "ftp://"),
    ("data:image/png;base64,AAAA", "in the task itself (data:)"),
    ("a.png", "no address"),
]


@pytest.mark.parametrize(("uri", "place"), PLACES)
def test_places_of_images(uri: str, place: str) -> None:
    assert place_of(uri, "http://labels:8080") == place


def test_the_login_of_the_web_service_is_read_and_never_made(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path, basic_auth_pass="")
    assert services.known_login(settings) is None
    assert not list(tmp_path.iterdir())
    (tmp_path / "basic_auth").write_text("wort\n")
    assert services.known_login(settings) == ("nnloop", "wort")


def test_a_store_of_another_release(well: Installation) -> None:
    patient = Patient.of(replace(well.context))
    assert services.store(patient).state == State.FINE
    with well.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0010'")
    one = services.store(patient)
    assert one.state == State.WRONG and "of an older nnloop (0010" in one.answer
    with well.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "of a newer nnloop (9999" in services.store(patient).answer
    with well.store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    assert "has no tables" in services.store(patient).answer


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "nnloop.db").write_bytes(os.urandom(4096))
    one = services.store(_patient(tmp_path, database_url=""))
    assert one.state == State.WRONG and "nnloop restore FILE" in one.fix
