"""up, serve, worker: the processes."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.setting_options import setting
from backend.cli.shared import DataDir, error_console, log_as_service, settings
from backend.cli.views.sentences import say
from backend.settings import Settings, installation_id, installation_name
from backend.settings.duration import parse_duration
from domain.errors import SettingsError, StackError

if TYPE_CHECKING:
    from backend.stack.supervisor import StackEvent


logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("up")(up)
    app.command("serve")(serve)
    app.command("worker")(worker)


def up(
    data_dir: DataDir = None,
    port: Annotated[int | None, setting(Settings, "port")] = None,
) -> None:
    """Start everything nnloop needs next to an existing Label Studio, until Ctrl-C.

    Starts Redis (unless NNLOOP_REDIS_URL names one), the web service, one worker that reads Label
    Studio and pushes, one warm prediction worker and one training worker per GPU (up to three on a
    CPU). A process that dies is started again.

    Example: LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=... nnloop up
    """
    from backend.label_studio import LabelStudioClient
    from backend.stack import service
    from backend.stack.supervisor import Supervisor

    if port is not None:
        os.environ["NNLOOP_PORT"] = str(port)
    wanted = settings(data_dir)
    log_as_service(wanted)
    os.umask(wanted.umask_bits)
    url, key = wanted.require_label_studio()
    with LabelStudioClient(url, key) as client:
        user = client.whoami()
    say(f"Label Studio at {url}, as {user.email}")
    supervisor = Supervisor(on_event=_teller(wanted))
    try:
        with supervisor, service.running(wanted, supervisor=supervisor) as (_, ready):
            say(f"at {ready.service_url}", lead="[green]nnloop is up[/green]")
            say("Connect a project: nnloop connect PROJECT")
            say("Stop: Ctrl-C")
            supervisor.wait()
            say(
                f"nnloop stops ({supervisor.stop_signal}). Trainings go on from their last epoch "
                "when it starts again."
            )
    except KeyboardInterrupt:
        say("nnloop was stopped while it started; nothing of it runs any more.")
        raise
    left = supervisor.leftover_processes()
    if left:
        raise StackError(f"nnloop has stopped, but {', '.join(left)} still runs.", remedy="End it.")
    say("nnloop has stopped.")


def serve(
    data_dir: DataDir = None,
) -> None:
    """Run the web service alone: what Label Studio and its webhooks call.

    Example: NNLOOP_REDIS_URL=redis://redis:6379/0 nnloop serve
    """
    import uvicorn
    from uvicorn.importer import import_from_string

    chosen = settings(data_dir)
    log_as_service(chosen)
    os.umask(chosen.umask_bits)
    os.environ.update(chosen.to_environment())
    _take_many_connections()
    uvicorn.run(
        "backend.web.app:open_app",
        factory=True,
        http=import_from_string("backend.web.punctual:PunctualProtocol"),
        host=chosen.host,
        port=chosen.port,
        log_level=chosen.log_level.lower(),
        log_config=None,  # as everything else
        access_log=False,
    )


def worker(
    role: Annotated[
        str,
        typer.Option(help="train, predict, loop (reads Label Studio and pushes), or all."),
    ] = "all",
    name: Annotated[str, typer.Option(help="Name shown in `nnloop status`.")] = "worker",
    device: Annotated[str | None, setting(Settings, "worker_device")] = None,
    threads: Annotated[int | None, setting(Settings, "worker_threads")] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="End when no job waits, as a job of Slurm does.")
    ] = False,
    max_idle: Annotated[
        str, typer.Option(metavar="TIME", help="With --burst: wait so long for more, e.g. 10m.")
    ] = "",
    max_time: Annotated[
        str, typer.Option(metavar="TIME", help="End after so long, e.g. 3h50m.")
    ] = "",
    data_dir: DataDir = None,
) -> None:
    """Run one worker, or with `--device all` one per device, on a machine that shares the data.

    On SIGTERM, SIGINT or SIGUSR1 it ends: the fold that it trains goes on from its last epoch
    wherever the next worker is.

    Example: nnloop worker --role train --device cuda:0
    """
    from backend.queue import ROLES, QueueName, Stay, work
    from backend.stack.service import workers_of
    from backend.stack.supervisor import Supervisor
    from training.devices import memory_of

    if device is not None:
        os.environ["NNLOOP_WORKER_DEVICE"] = device
    if threads is not None:
        os.environ["NNLOOP_WORKER_THREADS"] = str(threads)
    chosen = settings(data_dir)
    log_as_service(chosen)
    os.umask(chosen.umask_bits)
    queues = ROLES.get(role) or tuple(QueueName)
    if role not in (*ROLES, "all"):
        raise SettingsError(
            f"There is no worker role {role!r}.", remedy=f"Choose one of {', '.join(ROLES)}, all."
        )
    if not chosen.redis_url:
        raise SettingsError(
            "NNLOOP_REDIS_URL is not set and no `nnloop up` runs on this data folder.",
            remedy="Name the Redis server that the web service uses.",
        )
    os.environ.update(chosen.to_environment())
    stay = Stay(burst, _duration("--max-idle", max_idle), _duration("--max-time", max_time))
    if stay.idle_s is not None and not burst:
        raise SettingsError("--max-idle belongs to --burst.", remedy="Add --burst.")
    if stay != Stay() and chosen.worker_device == "all":
        raise SettingsError(
            "--burst and --max-time are for one worker, not for --device all.",
            remedy="Start one for each device, e.g. --device cuda:0.",
        )
    if chosen.worker_device == "all":
        with Supervisor(workers_of(chosen, role, name), on_event=_teller(chosen)) as supervisor:
            supervisor.wait()
        return
    folder = installation_name(installation_id(chosen.data_dir), chosen.store_kind)
    place = (chosen.worker_device, memory_of(chosen.worker_device))
    work(chosen.redis_url, queues, label=name, installation=folder, device=place, stay=stay)


def _duration(option: str, text: str) -> float | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise SettingsError(f"{option}: {error}.", remedy="Write e.g. 10m.") from None


def _take_many_connections() -> None:
    """As many as this user may open: the usual 1,024 could be used up by one caller."""
    import resource

    with contextlib.suppress(OSError, ValueError):  # where the system names a number it won't give
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _teller(chosen: Settings) -> Callable[[StackEvent], None]:
    """What tells a person, or a program that reads JSON, what happens to processes."""
    return log_event if chosen.log_format == "json" else show_event


def log_event(event: StackEvent) -> None:
    """Logs what happens to a process."""
    level = logging.WARNING if event.kind == "crashed" else logging.INFO
    logger.log(level, "%s: %s", event.name, event.message)


def show_event(event: StackEvent) -> None:
    """Prints what happens to a process."""
    if event.kind == "crashed":
        say(event.message, lead=f"[red]{event.name}[/red]:", on=error_console)
    else:
        say(f"{event.name}: {event.message}", style="dim")
