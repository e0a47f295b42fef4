"""Machines: processes with a folder for scratch, a name and a clock of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.stack.install import default_env_dir, executable_in
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.ports import free_port
from backend.stack.process import ManagedProcess, ProcessSpec
from backend.stack.redis_server import RedisServer
from backend.stack.service import WorkerPlan, web_spec, worker_spec
from benchmarks.chaos.proxy import Proxy, running_proxy
from tests.servers import NotInstalledError, running_postgresql

CLOCK = Path(__file__).parent / "clock"
ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """One machine with one service of nnloop's; or a server, which keeps its own environment.

    Args:
        name: Of the machine.
        spec: What runs on it.
        scratch: Its folder; None: a server's.
    """

    def __init__(self, name: str, spec: ProcessSpec, scratch: Path | None = None) -> None:
        self.name = name
        if scratch is not None:
            spec = replace(spec, env=_environment(name, spec, scratch), cwd=scratch)
            self._clock = scratch / "clock"
        self._process = ManagedProcess(spec)

    @property
    def is_running(self) -> bool:
        """Whether its service runs."""
        return self._process.is_running

    def start(self, *, wait: bool = False) -> None:
        """Starts its service anew; ``wait``: until it is ready."""
        if wait:
            self._process.start()
        else:
            self._process.launch()

    def kill(self) -> None:
        """SIGKILL for the service; what it started is ended by its guards."""
        if (pid := self._process.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def vanish(self) -> None:
        """SIGKILL for everything on the machine, the guards too, as when the power goes."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP for everything on the machine."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def set_clock(self, ahead_s: float) -> None:
        """Sets the machine's clock."""
        self._clock.write_text(str(ahead_s))

    def stop(self) -> None:
        """Ends it for good."""
        self._process.stop(grace_s=3.0)

    def _signal(self, number: int) -> None:
        if (pid := self._process.pid) is None:
            return
        try:
            service = psutil.Process(pid)
            # Its guard is the parent.
            guard = service.parent()
            found = [*([guard] if guard and guard.pid != os.getpid() else []), service]
            found += service.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _environment(name: str, spec: ProcessSpec, scratch: Path) -> dict[str, str]:
    for folder in ("tmp", "home"):
        (scratch / folder).mkdir(parents=True, exist_ok=True)
    return {
        **(spec.env or os.environ),
        "TMPDIR": str(scratch / "tmp"),
        "HOME": str(scratch / "home"),
        "PYTHONPATH": os.pathsep.join((str(CLOCK), str(ROOT))),
        "CHAOS_CLOCK": str(scratch / "clock"),
        "CHAOS_HOST": name,
    }


@dataclass
class Cluster:
    """Everything that runs.

    ``context`` is of a process of nnloop's that calls Label Studio itself, and not by the proxy.
    """

    context: AppContext
    settings: Settings
    proxy: Proxy
    machines: dict[str, Machine]

    @property
    def of_nnloop(self) -> list[Machine]:
        """Those whose clock may be set."""
        return [m for name, m in self.machines.items() if name not in ("redis", "label-studio")]


@contextmanager
def running_cluster(folder: Path, seed: int) -> Iterator[Cluster]:
    """Web, loop, predictor, two trainers; one PostgreSQL, Redis, data folder, Label Studio.

    Raises:
        NotInstalledError: There is no Label Studio or no PostgreSQL.
    """
    executable = Path(os.environ.get("NNLOOP_LABEL_STUDIO_BIN") or executable_in(default_env_dir()))
    if not executable.exists():
        raise NotInstalledError(f"no Label Studio at {executable}")
    with ExitStack() as stack:
        database_url = stack.enter_context(running_postgresql())
        label_studio = LabelStudioServer.open(executable, folder / "label-studio")
        redis = RedisServer.open(folder / "redis", use_socket=False)
        machines: dict[str, Machine] = {}
        stack.callback(_stop, machines)
        for name, spec in (("label-studio", label_studio.spec()), ("redis", redis.spec())):
            machines[name] = Machine(name, spec)
            machines[name].start(wait=True)
        proxy = stack.enter_context(running_proxy(label_studio.url, seed))
        (folder / "nnloop").mkdir()
        settings = Settings(
            data_dir=folder / "nnloop",
            database_url=database_url,
            redis_url=redis.url,
            port=free_port(),
            label_studio_url=proxy.url,
            label_studio_api_key=label_studio.credentials.token,
            devices="cpu",
            debounce_s=0.5,
            sync_interval_s=10.0,
        )
        direct = settings.model_copy(update={"label_studio_url": label_studio.url})
        context = AppContext.open(direct)
        stack.callback(context.store.close)
        plans = [
            WorkerPlan("loop", "loop", "cpu", 1),
            WorkerPlan("predictor", "predict", "cpu", 1),
            WorkerPlan("trainer-1", "train", "cpu", 1),
            WorkerPlan("trainer-2", "train", "cpu", 1),
        ]
        specs = {"web": web_spec(settings)}
        specs |= {plan.name: worker_spec(settings, plan) for plan in plans}
        for name, spec in specs.items():
            machines[name] = Machine(name, spec, folder / "machines" / name)
        for name in specs:
            machines[name].start(wait=name == "web")
        yield Cluster(context, settings, proxy, machines)


def _stop(machines: dict[str, Machine]) -> None:
    for machine in reversed(machines.values()):
        machine.stop()
