from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from backend.settings import Settings
from backend.settings.option import environment_of
from tests.unit.packaging.paths import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
SETTING_NAMES = {name for field in Settings.model_fields.values() for name in environment_of(field)}
# Label Studio's own, tried in 1.23.2 (LABEL_STUDIO_USERNAME and so on have a prefix of their own).
LABEL_STUDIO_NAMES = {
    "ML_BLOCK_LOCAL_IP",
    "SSRF_PROTECTION_ENABLED",
    "COLLECT_ANALYTICS",
    "SENTRY_DSN",
    "FRONTEND_SENTRY_DSN",
    "LATEST_VERSION_CHECK",
}


def without_substitution(value: str) -> str:
    """``${NAME:-default}`` as its default, other substitutions as nothing."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)?\}", r"\1", value)


def without_required(value: str) -> str:
    """``${NAME:?message}`` as NAME."""
    return re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", value)


def container_ports(service: dict[str, Any]) -> list[int]:
    return [int(without_substitution(port).rsplit(":", 1)[1]) for port in service.get("ports", [])]


@pytest.mark.parametrize("name", OURS)
def test_every_command_parses_in_the_real_program(name: str) -> None:
    import typer

    from backend.cli.main import app
    from backend.queue import ROLES

    group = typer.main.get_command(app)
    subcommand, *arguments = SERVICES[name]["command"]
    commands = group.commands  # type: ignore[attr-defined]
    assert subcommand in commands
    context = commands[subcommand].make_context(subcommand, list(arguments))
    assert context.params.get("role", "train") in ROLES


@pytest.mark.parametrize("name", OURS)
def test_nnloop_is_given_only_variables_it_reads(name: str) -> None:
    assert set(SERVICES[name]["environment"]) - SETTING_NAMES == set()


def test_label_studio_is_given_only_variables_it_reads() -> None:
    names = set(SERVICES["label-studio"]["environment"])
    unknown = {name for name in names - LABEL_STUDIO_NAMES if not name.startswith("LABEL_STUDIO_")}
    assert unknown == set()


def test_label_studio_lets_a_backend_on_a_private_network_in() -> None:
    environment = SERVICES["label-studio"]["environment"]
    assert environment["ML_BLOCK_LOCAL_IP"] == "false"
    assert environment["SSRF_PROTECTION_ENABLED"] == "false"


def test_label_studio_is_the_version_the_environment_is_made_of() -> None:
    from backend.stack.install import LABEL_STUDIO_VERSION

    assert SERVICES["label-studio"]["image"].split(":")[1] == LABEL_STUDIO_VERSION


def test_ports_are_consistent() -> None:
    port = Settings.model_fields["port"].default
    assert container_ports(SERVICES["web"]) == [port]
    environment = SERVICES["web"]["environment"]
    host, _, public_port = environment["NNLOOP_PUBLIC_URL"].removeprefix("http://").partition(":")
    assert int(public_port) == port
    assert host in SERVICES["web"]["networks"]["default"]["aliases"]
    assert EXAMPLE["NNLOOP_PORT"] == str(port)
    [label_studio_port] = container_ports(SERVICES["label-studio"])
    assert environment["LABEL_STUDIO_URL"] == f"http://label-studio:{label_studio_port}"
    assert f":{label_studio_port}/health" in str(SERVICES["label-studio"]["healthcheck"])


def test_the_public_host_has_a_dot() -> None:
    """Label Studio refuses a webhook to http://web:9090 ('Enter a valid URL')."""
    url = SERVICES["web"]["environment"]["NNLOOP_PUBLIC_URL"]
    assert re.fullmatch(r"http://[a-z-]+\.[a-z]+:\d+", url)


def test_every_substitution_is_in_the_example_and_none_is_left_over() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used | {"COMPOSE_PROFILES"} == set(EXAMPLE)
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    assert {name: EXAMPLE[name] for name in defaults} == defaults


def test_the_example_holds_no_secret_and_compose_insists_on_one() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    secrets = {
        "LABEL_STUDIO_PASSWORD",
        "LABEL_STUDIO_API_KEY",
        "BASIC_AUTH_PASS",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
    }
    assert {name for name, value in EXAMPLE.items() if not value} == secrets
    assert set(re.findall(r"\$\{(\w+):\?", text)) == secrets


def test_the_store_and_the_queue_are_reached_inside_only_and_with_a_password() -> None:
    environment = SERVICES["web"]["environment"]
    url = make_url(without_required(environment["NNLOOP_DATABASE_URL"]))
    postgres = SERVICES["postgres"]["environment"]
    assert (url.drivername, url.host, url.port) == ("postgresql+psycopg", "postgres", 5432)
    assert (url.username, url.database) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"])
    assert url.password == without_required(postgres["POSTGRES_PASSWORD"]) == "POSTGRES_PASSWORD"
    redis = environment["NNLOOP_REDIS_URL"]
    assert without_required(redis) == "redis://:REDIS_PASSWORD@redis:6379/0"
    assert without_required(SERVICES["redis"]["command"][-1]) == "REDIS_PASSWORD"
    for name in ("postgres", "redis"):
        assert "ports" not in SERVICES[name]
        assert SERVICES["web"]["depends_on"][name] == {"condition": "service_healthy"}


def test_nothing_of_the_image_is_written() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_the_images_have_the_driver_of_the_store() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any(name.startswith("psycopg") for name in extras["postgresql"])
    assert "psycopg-binary==" in pinned
    for name in OURS:
        given = SERVICES[name]["build"].get("args", {}).get("EXTRAS")
        default = re.findall(r"ARG EXTRAS=(\S+)", (ROOT / "Dockerfile").read_text())[0]
        assert "postgresql" in (given or default).split(",")


def test_each_profile_has_a_worker_of_every_role() -> None:
    from backend.queue import ROLES

    def roles(profile: str) -> list[str]:
        """Of the workers that run under a profile: its own, and those of every profile."""
        workers = [
            service
            for service in SERVICES.values()
            if "--role" in service.get("command", [])
            and profile in service.get("profiles", [profile])
        ]
        return sorted(
            worker["command"][worker["command"].index("--role") + 1] for worker in workers
        )

    assert roles("cpu") == roles("gpu") == sorted(ROLES)
    assert EXAMPLE["COMPOSE_PROFILES"] == "cpu"


def test_only_the_gpu_profile_reserves_a_gpu_and_uses_it() -> None:
    for name in OURS:
        service = SERVICES[name]
        wants_gpu = "gpu" in service.get("profiles", [])
        assert ("deploy" in service) is wants_gpu
        assert service["image"] == ("nnloop:gpu" if wants_gpu else "nnloop:cpu")
        device = service["environment"].get("NNLOOP_WORKER_DEVICE", "cpu")
        assert device == ("cuda:0" if wants_gpu else "cpu")


def test_all_parts_of_nnloop_share_the_data_and_wait_for_their_peers() -> None:
    data_dir = SERVICES["web"]["environment"]["NNLOOP_DATA_DIR"]
    for name in OURS:
        assert SERVICES[name]["volumes"] == [f"nnloop-data:{data_dir}", "/tmp"]
        assert set(SERVICES[name]["depends_on"]) == {"redis", "postgres", "label-studio"}
    for peer in ("redis", "label-studio"):
        assert "test" in SERVICES[peer]["healthcheck"]
    mounted = [v for s in SERVICES.values() for v in s.get("volumes", [])]
    used = {v.split(":")[0] for v in mounted if ":" in v}  # the rest have no name
    assert used == set(COMPOSE["volumes"])
