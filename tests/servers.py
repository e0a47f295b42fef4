"""A real Label Studio and a real Chromium, for the tests and for the recorder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from backend.stack.install import default_env_dir, executable_in
from backend.stack.label_studio_server import LabelStudioServer
from backend.stack.ports import LOOPBACK, free_port
from backend.stack.process import ManagedProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGE_MS = 60_000
"""Longest wait for a page: Label Studio's editor is large and two cores may be busy."""


class NotInstalledError(Exception):
    """The message says what is not here and what to do about it."""


@contextlib.contextmanager
def running_label_studio(folder: Path) -> Iterator[LabelStudioServer]:
    """A Label Studio on a free port, with an empty database in ``folder`` and a legacy token."""
    executable = Path(os.environ.get("NNLOOP_LABEL_STUDIO_BIN") or executable_in(default_env_dir()))
    if not executable.exists():
        raise NotInstalledError(
            f"no Label Studio at {executable}: run `make setup` or set NNLOOP_LABEL_STUDIO_BIN"
        )
    server = LabelStudioServer.open(executable, folder)
    process = ManagedProcess(server.spec())
    process.start()
    try:
        yield server
    finally:
        process.stop()


@contextlib.contextmanager
def running_postgresql(password: str = "") -> Iterator[str]:
    """A PostgreSQL of its own, as a user that may run one; SQLAlchemy's URL of it.

    Without a password it is reached by a socket; with one by a port, as docker-compose.yml has it:
    user and database are called nnloop.
    """
    bin_dir = os.environ.get("NNLOOP_POSTGRESQL_BIN") or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
        str(Path(shutil.which("initdb") or "initdb").parent),
    )
    if not (Path(bin_dir) / "initdb").exists():
        raise NotInstalledError(
            f"no PostgreSQL in {bin_dir}: install postgresql or set NNLOOP_POSTGRESQL_BIN"
        )
    # It refuses to run as root. A path of a socket may have 100 characters.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="nnloop-pg-", dir="/tmp"))
    if as_user:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    port = free_port() if password else 5432
    options = f"-k {folder} -c fsync=off -c full_page_writes=off -c port={port} -c "
    options += f"listen_addresses={LOOPBACK if password else ''}"
    secret = folder / "password"
    secret.write_text(password)
    if as_user:
        shutil.chown(secret, "postgres")
    login = ("-A", "scram-sha-256", "--pwfile", str(secret)) if password else ("-A", "trust")

    def pg(program: str, *arguments: str) -> None:
        subprocess.run(
            [*as_user, f"{bin_dir}/{program}", "-D", data, *arguments],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    try:
        pg("initdb", "-U", "nnloop", *login, "-N", "-E", "UTF8")
        pg("pg_ctl", "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            if password:
                at = f"nnloop:{password}@{LOOPBACK}:{port}"
                with psycopg.connect(f"postgresql://{at}/postgres", autocommit=True) as connection:
                    connection.execute("CREATE DATABASE nnloop")
                yield f"postgresql+psycopg://{at}/nnloop"
            else:
                yield f"postgresql+psycopg://nnloop@/postgres?host={folder}"
        finally:
            pg("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that NNLOOP_CHROMIUM names."""
    path = os.environ.get("NNLOOP_CHROMIUM", "/usr/bin/chromium")
    if not Path(path).exists():
        raise NotInstalledError(f"no browser at {path}: install chromium or set NNLOOP_CHROMIUM")
    from playwright.sync_api import sync_playwright  # only where a browser is wanted

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()


@contextlib.contextmanager
def logged_in(
    browser: Browser, label_studio: LabelStudioServer, login: tuple[str, str] | None = None
) -> Iterator[Page]:
    """A page of a person (by default the first) who has logged in through the form."""
    email, password = login or (
        label_studio.credentials.email,
        label_studio.credentials.password,
    )
    context = browser.new_context(
        base_url=label_studio.url, viewport={"width": 1400, "height": 1000}
    )
    context.set_default_timeout(PAGE_MS)
    opened = context.new_page()
    opened.goto("/user/login")
    opened.fill("input[name=email]", email)
    opened.fill("input[name=password]", password)
    opened.click("button[type=submit]")
    opened.wait_for_url(lambda url: "/user/login" not in url)
    yield opened
    context.close()
