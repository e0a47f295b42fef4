"""The servers of a session: a Label Studio of its own, and nnloop as `nnloop up` runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.stack.install import default_env_dir, executable_in
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.ports import free_port
from backend.stack.process import ManagedProcess
from backend.stack.redis_server import RedisServer
from backend.stack.service import plan_workers, web_spec, worker_spec
from backend.stack.supervisor import Supervisor
from training.devices import list_devices


@dataclass(frozen=True)
class Servers:
    """What runs, and the context of a process of nnloop's."""

    label_studio: LabelStudioServer
    context: AppContext
    trainers: Supervisor

    def train_no_more(self) -> None:
        """Ends the training workers: the first version stays, whatever is annotated from now on."""
        self.trainers.stop()


@contextmanager
def running(folder: Path, ports: list[int], *, with_trainers: bool) -> Iterator[Servers]:
    """Runs everything while the block lasts.

    Args:
        folder: of the data of both; what is there goes on.
        ports: of Label Studio and of nnloop's web service: each names the other by it. Zeros are
            replaced by free ones.
        with_trainers: whether training workers run too.
    """
    ports[:] = [port or free_port() for port in ports]
    executable = Path(os.environ.get("NNLOOP_LABEL_STUDIO_BIN") or executable_in(default_env_dir()))
    label_studio = LabelStudioServer.open(executable, folder / "label-studio", port=ports[0])
    process = ManagedProcess(label_studio.spec())
    process.start()
    data_dir = folder / "nnloop"
    data_dir.mkdir(exist_ok=True)
    supervisor, trainers = Supervisor(), Supervisor()
    try:
        redis = RedisServer.open(data_dir / "redis")
        settings = Settings(
            data_dir=data_dir,
            port=ports[1],
            redis_url=redis.url,
            label_studio_url=label_studio.url,
            label_studio_api_key=label_studio.credentials.token,
            devices="cpu",
            debounce_s=0.3,
            # No reading by the clock: what happens, happens because a webhook came.
            sync_interval_s=3600.0,
            log_level="WARNING",
        )
        supervisor.add(redis.spec())
        supervisor.add(web_spec(settings))
        for plan in plan_workers(list_devices(dict(os.environ))):
            if plan.role != "train":
                supervisor.add(worker_spec(settings, plan))
            elif with_trainers:
                trainers.add(worker_spec(settings, plan))
        context = AppContext.open(settings)
        yield Servers(label_studio, context, trainers)
        context.store.close()
    finally:
        trainers.stop()
        supervisor.stop()
        process.stop()
