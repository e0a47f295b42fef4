"""docker-compose.yml as local processes: its commands and environments, its host names mapped.

Redis and PostgreSQL run as compose runs them, with passwords and at ports; Label Studio is the
session's. What the image sets (Dockerfile, ENV) is set as well.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from backend.pipeline.basis.context import AppContext
from backend.queue import JobQueue
from backend.settings import Settings
from backend.stack.health import answers
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.ports import LOOPBACK, free_port
from backend.stack.process import ManagedProcess, ProcessSpec
from backend.stack.redis_server import redis_executable
from backend.stack.supervisor import Supervisor
from tests.integration.loop.stack import Answer, Loop
from tests.servers import running_postgresql
from tests.unit.packaging.paths import ROOT
from training.processes.command import module_command

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PROFILE = "cpu"


@dataclass
class Composed(Loop):
    """The loop, and the environment in which compose runs a command of its web service."""

    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def nnloop(self, *arguments: str, **environment: str) -> Answer:
        """As ``docker compose exec web nnloop ...``."""
        return super().nnloop(*arguments, **self.environment, **environment)


@dataclass(frozen=True)
class Host:
    """Where the services of the file are on this machine.

    Attributes:
        dot_env: What a person fills in.
        addresses: Compose's name of a service and its port -> host and port here.
        data_dir: Of nnloop; it need not be there.
    """

    dot_env: dict[str, str] = field(repr=False)
    addresses: dict[str, str]
    data_dir: Path

    def environment(self, service: str) -> dict[str, str]:
        """The environment of a service, mapped to this machine, and nothing of the tests' own."""
        given = {
            name: self.mapped(str(value))
            for name, value in COMPOSE["services"][service].get("environment", {}).items()
        }
        kept = ("PATH", "HOME", "PYTHONPATH", "TMPDIR", "OMP_NUM_THREADS")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONSAFEPATH": "1",
            **{name: self.mapped(value) for name, value in image_environment().items()},
            **given,
            # Tests wait for webhooks, and their trainings have the cores for themselves.
            "NNLOOP_PORT": self.addresses["nnloop.internal:9090"].rpartition(":")[2],
            "NNLOOP_DEBOUNCE_S": "0.5",
            "NNLOOP_TRAINING_NICENESS": "0",
        }

    def mapped(self, text: str) -> str:
        """With values of the .env, addresses of this machine, and its data folder."""

        def value(found: re.Match[str]) -> str:
            name, default = found.group(1), found.group(2)
            return self.dot_env.get(name, default or "")

        text = re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", value, text)
        for name, address in self.addresses.items():
            text = text.replace(name, address)
        return str(self.data_dir) if text == "/data" else text

    @property
    def database_url(self) -> str:
        """NNLOOP_DATABASE_URL of every service."""
        return self.environment("web")["NNLOOP_DATABASE_URL"]


def image_environment() -> dict[str, str]:
    """What the last ENV of the Dockerfile sets, but for the path."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    line = [line for line in text.splitlines() if line.startswith("ENV ")][-1]
    return {k: v for k, v in re.findall(r"(\w+)=(\S+)", line) if k != "PATH"}


@contextmanager
def servers(label_studio: LabelStudioServer, folder: Path) -> Iterator[Host]:
    """Redis and PostgreSQL of the file, running and empty; ``folder`` is the volume of the data."""
    redis_port = free_port()
    dot_env = {
        "COMPOSE_PROFILES": PROFILE,
        "LABEL_STUDIO_API_KEY": label_studio.credentials.token,
        "POSTGRES_PASSWORD": secrets.token_hex(8),
        "REDIS_PASSWORD": secrets.token_hex(8),
        "BASIC_AUTH_PASS": secrets.token_hex(8),
        "NNLOOP_IMAGE_HOSTS": LOOPBACK,
    }
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(running_postgresql(dot_env["POSTGRES_PASSWORD"]))
        host = Host(
            dot_env,
            {
                "redis:6379": f"{LOOPBACK}:{redis_port}",
                "postgres:5432": url.rpartition("@")[2].partition("/")[0],
                "label-studio:8080": label_studio.url.rpartition("//")[2],
                "nnloop.internal:9090": f"{LOOPBACK}:{free_port()}",
            },
            folder / "data",
        )
        _, *options = COMPOSE["services"]["redis"]["command"]
        (folder / "redis").mkdir(parents=True)
        spec = ProcessSpec(
            name="Redis",
            argv=(
                *(str(redis_executable()), *map(host.mapped, options)),
                *("--port", str(redis_port), "--bind", LOOPBACK, "--dir", str(folder / "redis")),
            ),
            log_path=folder / "redis.log",
            is_ready=lambda: JobQueue(host.environment("web")["NNLOOP_REDIS_URL"]).ping(),
        )
        process = ManagedProcess(spec)
        process.start()
        stack.callback(process.stop)
        yield host


@contextmanager
def running(host: Host, label_studio: LabelStudioServer) -> Iterator[Composed]:
    """nnloop's services of the profile; at the end nothing of them may be left running."""
    environment = host.environment("web")
    address = host.addresses["nnloop.internal:9090"]
    services = {
        name: service
        for name, service in COMPOSE["services"].items()
        if service.get("build") and PROFILE in service.get("profiles", [PROFILE])
    }
    specs = [
        ProcessSpec(
            name=name,
            argv=tuple(module_command("backend.cli", *service["command"])),
            log_path=host.data_dir / "logs" / f"{name}.log",
            env=host.environment(name),
            is_ready=partial(answers, f"http://{address}/health")
            if name == "web"
            else lambda: True,
        )
        for name, service in services.items()
    ]
    settings = Settings(
        data_dir=host.data_dir,
        database_url=environment["NNLOOP_DATABASE_URL"],
        redis_url=environment["NNLOOP_REDIS_URL"],
        port=int(environment["NNLOOP_PORT"]),
        public_url=environment["NNLOOP_PUBLIC_URL"],
        label_studio_url=environment["LABEL_STUDIO_URL"],
        label_studio_api_key=environment["LABEL_STUDIO_API_KEY"],
        basic_auth_pass=environment["BASIC_AUTH_PASS"],
    )
    with Supervisor(specs) as supervisor:
        context = AppContext.open(settings)
        yield Composed(
            context, settings, supervisor, label_studio, context.label_studio, environment
        )
        context.store.close()
    assert supervisor.leftover_processes() == []
