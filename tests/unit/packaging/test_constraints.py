from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit.packaging.paths import ROOT

FILES = [ROOT / "constraints.txt", ROOT / "backend/stack/constraints-label-studio.txt"]


def pins(file: Path) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            [specifier] = requirement.specifier
            assert specifier.operator == "=="
            found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_names_versions_only(file: Path) -> None:
    """No host, path, repository or local version: those hold on one machine only."""
    text = re.sub(r"(?m)^#.*\n", "", file.read_text(encoding="utf-8"))
    assert re.findall(r"(?m)^.*(?:://|@|\+|^-|^/).*$", text) == []
    assert len(pins(file)) > 50


def test_every_direct_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = pins(FILES[0])
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in map(Requirement, wanted):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_torch_is_pinned_with_the_torchvision_that_belongs_to_it() -> None:
    """nnunetv2 pulls torchvision in unpinned, and that in turn its own torch."""
    pinned = pins(FILES[0])
    assert pinned["torch"] == Version("2.13.0")
    assert pinned["torchvision"] == Version("0.28.0")


def test_a_cpu_build_satisfies_the_pin() -> None:
    line = next(x for x in FILES[0].read_text().splitlines() if x.startswith("torch=="))
    assert Requirement(line).specifier.contains("2.13.0+cpu")


def test_label_studio_is_pinned_to_the_version_that_is_installed() -> None:
    from backend.stack.install import LABEL_STUDIO_VERSION

    assert pins(FILES[1])["label-studio"] == Version(LABEL_STUDIO_VERSION)


def test_both_environments_speak_through_the_same_sdk() -> None:
    name = canonicalize_name("label-studio-sdk")
    assert pins(FILES[0])[name] == pins(FILES[1])[name]
