"""nnloop's own processes: Redis, the web service, the workers."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from backend.pipeline.readiness import LEAST_FREE_BYTES
from backend.queue import JobQueue
from backend.settings import Settings
from backend.settings.private_folder import make_private
from backend.stack.health import answers
from backend.stack.log_file import Rotation
from backend.stack.ports import free_port, require_free
from backend.stack.process import ProcessSpec
from backend.stack.redis_server import RedisServer
from backend.stack.runtime import RunningStack, require_alone
from backend.stack.supervisor import StackEvent, Supervisor
from domain.errors import StackError
from training.devices import Device, list_devices
from training.processes.command import module_command

logger = logging.getLogger(__name__)

# Starting a worker imports torch, which took up to 15 s on two busy cores.
WORKER_START_S = 120.0
WEB_START_S = 60.0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker process: its name, what it does and where."""

    name: str
    role: str
    device: str
    threads: int


def plan_workers(devices: Sequence[Device]) -> tuple[WorkerPlan, ...]:
    """A prediction worker, a loop worker, and training workers as ``list_devices`` says.

    The loop worker reads Label Studio and pushes to it; it loads no network and is mostly idle.
    """
    trainers = [
        WorkerPlan(f"trainer-{i}", "train", device.name, device.threads)
        for i, device in enumerate((d for d in devices for _ in range(d.workers)), start=1)
    ]
    first = devices[0]
    threads = first.threads if first.is_gpu else 1
    return (
        WorkerPlan("predictor", "predict", first.name, threads),
        WorkerPlan("loop", "loop", "cpu", 1),
        *trainers,
    )


def workers_of(settings: Settings, role: str, name: str) -> tuple[ProcessSpec, ...]:
    """The workers of a role on all devices of this machine; what they say goes where ours does.

    Args:
        settings: With the address of Redis.
        role: ``train``, ``predict`` or ``loop``, or ``all`` of them.
        name: Stands before the names of the workers.
    """
    plans = plan_workers(list_devices(environment(settings)))
    return tuple(
        replace(
            worker_spec(settings, replace(plan, name=f"{name}-{plan.name}")),
            log_path=None,
            remedy="",
        )
        for plan in plans
        if role in ("all", plan.role)
    )


@contextmanager
def running(
    settings: Settings,
    *,
    supervisor: Supervisor | None = None,
    on_event: Callable[[StackEvent], None] = lambda event: None,
) -> Iterator[tuple[Supervisor, Settings]]:
    """Runs everything but Label Studio while the block lasts.

    Args:
        settings: ``port`` 0 takes a free one; an empty ``redis_url`` starts a Redis.
        supervisor: Takes the processes in; it is stopped at the end, too.
        on_event: Told what happens, when no supervisor is given.

    Yields:
        The supervisor, and the settings with every address filled in.

    Raises:
        StackError: A process did not start, a port is taken, or nnloop runs already here.
    """
    _require_folder(settings)
    require_alone(settings.data_dir)  # else its port would be what is in the way
    port = settings.port or free_port(settings.host)
    require_free(port, "nnloop's web service", settings.host)
    redis = None if settings.redis_url else RedisServer.open(settings.data_dir / "redis")
    settings = settings.model_copy(
        update={"port": port, "redis_url": redis.url if redis else settings.redis_url}
    )
    supervisor = supervisor or Supervisor(on_event=on_event)
    stack = RunningStack(
        settings.service_url,
        settings.label_studio_url,
        settings.redis_url,
        settings.label_studio_api_key.get_secret_value(),
    )
    stack.write(settings.data_dir)
    try:
        if redis is not None:
            supervisor.add(replace(redis.spec(), rotation=rotation_of(settings)))
        elif not JobQueue(settings.redis_url).ping():
            raise StackError(
                "The Redis server of NNLOOP_REDIS_URL does not answer.",
                remedy="Start it, or unset NNLOOP_REDIS_URL: nnloop then starts its own.",
            )
        supervisor.add(web_spec(settings))
        for plan in plan_workers(list_devices(environment(settings))):
            supervisor.add(worker_spec(settings, plan))
        yield supervisor, settings
    finally:
        supervisor.stop()
        RunningStack.remove(settings.data_dir)


def _require_folder(settings: Settings) -> None:
    """Raises StackError when the data folder can't be written or its disk is nearly full."""
    data_dir = settings.data_dir
    try:
        found = make_private(data_dir, settings.umask_bits)
        if found.said:
            logger.warning("%s", found.said)
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        raise StackError(
            f"The data folder {data_dir} can't be used: {error.strerror}.",
            remedy="Check its rights, or name another one (--data-dir, NNLOOP_DATA_DIR).",
        ) from error
    if free < LEAST_FREE_BYTES:
        raise StackError(
            f"Only {free / 1e9:.1f} GB are free for {data_dir}, "
            f"{LEAST_FREE_BYTES / 1e9:.1f} GB are needed.",
            remedy="Free some space, or name a folder on another disk (--data-dir).",
        )


def web_spec(settings: Settings) -> ProcessSpec:
    """The web service."""
    return ProcessSpec(
        name="web service",
        argv=tuple(module_command("backend.cli", "serve")),
        log_path=_log(settings, "web"),
        rotation=rotation_of(settings),
        env=environment(settings),
        is_ready=partial(answers, f"http://{settings.host}:{settings.port}/health"),
        start_timeout_s=WEB_START_S,
        remedy=f"See {_log(settings, 'web')}.",
    )


def worker_spec(settings: Settings, plan: WorkerPlan) -> ProcessSpec:
    """A worker."""
    queue = JobQueue(settings.redis_url)

    def is_ready() -> bool:
        return any(worker.name.startswith(f"{plan.name}-") for worker in queue.workers())

    threads = str(plan.threads)
    return ProcessSpec(
        name=plan.name,
        argv=tuple(
            module_command("backend.cli", "worker", "--role", plan.role, "--name", plan.name)
        ),
        log_path=_log(settings, plan.name),
        rotation=rotation_of(settings),
        env={
            **environment(settings),
            "NNLOOP_WORKER_DEVICE": plan.device,
            "NNLOOP_WORKER_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        },
        is_ready=is_ready,
        start_timeout_s=WORKER_START_S,
        remedy=f"See {_log(settings, plan.name)}.",
    )


def environment(settings: Settings) -> dict[str, str]:
    """The environment of nnloop's processes: this one's, with the settings made explicit."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        # For what they start in turn, nnU-Net's pools of processes among them.
        "PYTHONSAFEPATH": "1",
        **settings.to_environment(),
    }


def rotation_of(settings: Settings) -> Rotation:
    """When the logs of processes are set aside, by the settings."""
    return Rotation(int(settings.log_mib * 2**20), settings.log_files, settings.log_days)


def _log(settings: Settings, name: str) -> Path:
    return settings.data_dir / "logs" / f"{name}.log"
