"""Settings: the environment, nnloop.toml, a project's options as people write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from backend.settings import ProjectSettings, Settings
from backend.settings.duration import parse_duration
from backend.settings.faults import faults_of
from backend.settings.image_hosts import ImageHosts, kind_of, true_address
from backend.settings.option import environment_of
from converters.classes.matching import parse_map
from converters.exports.options import parse_spacing
from converters.images.groups import GroupKey
from converters.imports.source import ImportOptions
from converters.masks.mask_folders import MaskName
from domain.errors import NnloopError, SettingsError
from tests.fuzzing import scratch
from tests.fuzzing.target import Target

_NAMES = tuple(environment_of(field)[0] for field in Settings.model_fields.values())
_PROJECT = tuple(ProjectSettings.model_fields)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    try:
        for name in (*_NAMES, "NNLOOP_CONFIG"):
            os.environ.pop(name, None)
        os.environ.update(values)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _variable(data: bytes) -> None:
    """``NAME=value``, any of the names; what no environment holds is no input."""
    name, _, value = data.partition(b"=")
    text = value.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    number = sum(name) % len(_NAMES)
    chosen = name.decode("ascii", "replace")
    with _environment(**{chosen if chosen in _NAMES else _NAMES[number]: text}):
        settings = Settings.load()
        settings.to_environment()
        settings.umask_bits, settings.store_url, settings.service_url  # noqa: B018


def _toml(data: bytes) -> None:
    with scratch.folder() as folder:
        path = scratch.written(folder / "nnloop.toml", data)
        with _environment(NNLOOP_CONFIG=str(path)):
            Settings.load()


def _project(data: bytes) -> None:
    """A setting as the command line passes it on."""
    name, _, value = data.decode("utf-8", "surrogateescape").partition("=")
    chosen = name if name in _PROJECT else _PROJECT[len(name) % len(_PROJECT)]
    try:
        ProjectSettings(**{chosen: value})
    except ValidationError as error:
        faults_of(error, with_values=True)


def _small_texts(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with suppress(ValueError):
        parse_duration(text)
    with suppress(ValueError):
        hosts = ImageHosts.parse(text)
        hosts.permits("nas.lab", 80, "10.0.0.7")
        hosts.with_also("x")
    with suppress(ValueError):
        true_address(text)
        kind_of([text])
    with suppress(ValueError):
        GroupKey.parse(text)
    for read in (parse_spacing, MaskName, lambda one: parse_map([one])):
        with suppress(SettingsError):
            read(text)
    ImportOptions(mask_name=text)
    Path(text)


TARGETS = (
    Target(
        "environment",
        lambda: [
            b"NNLOOP_PORT=9090",
            b"NNLOOP_IMAGE_HOSTS=public,*.example.org,10.0.0.0/8,[::1]:80",
            b"NNLOOP_UMASK=027",
            b"LABEL_STUDIO_URL=http://localhost:8080",
            b"NNLOOP_WORKER_DEVICE=cuda:0",
            b"NNLOOP_DATA_DIR=~/x",
        ],
        _variable,
    ),
    Target(
        "toml",
        lambda: [b'port = 9090\nimage_hosts = "public"\n[x]\ny = [1, 2.5, 1979-05-27]\n'],
        _toml,
    ),
    Target(
        "project_setting",
        lambda: [
            f"{name}={value}".encode()
            for name, value in (
                ("budget_s", "1h30m"),
                ("pixel_spacing_mm", "0.1,0.2"),
                ("group_key", r"name:^(P\d+)_"),
                ("query_strategy", "auto"),
                ("n_folds", "5"),
                ("preset", "tiny"),
            )
        ],
        _project,
    ),
    Target(
        "small_texts",
        lambda: [
            b"1h30m",
            b"public,*.example.org,10.0.0.0/8,[::1]:80",
            b"::ffff:127.0.0.1",
            b"0.1,0.2",
            b"{name}_mask",
            b"a=b",
            rb"name:^(P\d+)_",
        ],
        _small_texts,
        allowed=(NnloopError,),
    ),
)
