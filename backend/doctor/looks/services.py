"""Redis, the workers, the store, and nnloop's own web service."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from backend.credentials import DEFAULT_USER, PASSWORD_FILE
from backend.doctor.check import Check, Finding, NotLookedError, fine, not_looked, note, wrong
from backend.doctor.patient import Patient
from backend.pipeline.status import service_report
from backend.queue.redis_facts import KEEPS_ALL
from backend.settings import Settings
from backend.stack.health import WebAnswer, ask
from backend.store.database import STORE_FILE
from backend.store.upgrade import known_revisions
from domain.errors import StackError
from domain.text import counted, one_line

OLDEST_POSTGRESQL = 15
"""As docs/backup.md says."""

_OF_CONTAINERS = (Path("/.dockerenv"), Path("/run/.containerenv"))

_START = "nnloop up; in containers: docker compose up -d"


def redis(patient: Patient) -> Finding:
    """Whether Redis answers, and keeps what it is given."""
    if not patient.settings.redis_url:
        return wrong(
            "nnloop does not run here: no `nnloop up` works on this data folder, and "
            "NNLOOP_REDIS_URL is not set.",
            f"Start it ({_START}), or name the Redis it uses: NNLOOP_REDIS_URL",
        )
    try:
        if patient.queue.is_of_others():
            return wrong(
                "The processes at this Redis work on another data folder or database than this "
                "command.",
                "Name theirs: NNLOOP_DATA_DIR or --data-dir, and NNLOOP_DATABASE_URL",
            )
        facts = patient.queue.server()
    except StackError as error:
        return wrong(str(error), "Start Redis, or correct NNLOOP_REDIS_URL")
    except ValueError as error:
        return wrong(
            f"NNLOOP_REDIS_URL is no address of a Redis: {one_line(error)}.",
            "Write NNLOOP_REDIS_URL=redis://:PASSWORD@HOST:6379/0",
        )
    return fine(f"Redis {facts.version}")


def redis_keeps(patient: Patient) -> Finding:
    """Whether jobs survive a restart of Redis, and a full one."""
    facts = patient.queue.server()
    full = f"it may take {facts.limit_bytes / 1e6:.0f} MB" if facts.limit_bytes else "no limit"
    if facts.policy not in ("", KEEPS_ALL) and facts.limit_bytes:
        return wrong(
            f"A full Redis forgets jobs (maxmemory-policy {facts.policy}, {full}).",
            f"redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}, and the same in redis.conf",
        )
    if not facts.writes_well:
        return wrong(
            "Redis could not write to its disk the last time.",
            "Free some space on Redis' disk and see its log",
        )
    if facts.limit_bytes and facts.used_bytes > 0.9 * facts.limit_bytes:
        return wrong(
            f"Redis is nearly full: {facts.used_bytes / 1e6:.0f} MB, {full}.",
            "Raise maxmemory in redis.conf",
        )
    if not facts.appends:
        return note(
            "Redis keeps no file of its changes: what waits is given again by itself after it was "
            "restarted, what failed is forgotten.",
            "redis-cli CONFIG SET appendonly yes, and the same in redis.conf",
        )
    return fine(f"it writes what it is given, and forgets nothing ({full})")


def workers(patient: Patient) -> Finding:
    """Whether somebody does each kind of work."""
    report = service_report(patient.context)
    if report.error:
        raise NotLookedError(report.error)
    if report.missing_roles:
        said = ", ".join(f"`nnloop worker --role {role}`" for role in report.missing_roles)
        names = ", ".join(map(repr, report.missing_roles))
        return wrong(
            f"No worker does {names}: {_undone(report.missing_roles)}.",
            f"Start everything ({_START}), or what is missing: {said}",
        )
    n_waiting = sum(report.waiting.values())
    return fine(f"{counted(len(report.workers), 'worker')}, {counted(n_waiting, 'job')} waiting")


def _undone(roles: tuple[str, ...]) -> str:
    undone = {
        "train": "nothing is trained",
        "predict": "nothing is prepared, judged or predicted",
        "loop": "Label Studio is not read and gets no predictions",
    }
    return ", ".join(undone[role] for role in roles if role in undone)


def store(patient: Patient) -> Finding:
    """Whether the store can be read and has the tables of this nnloop."""
    settings = patient.settings
    if not settings.database_url and not (settings.data_dir / STORE_FILE).is_file():
        return wrong(
            f"There is no store in {settings.data_dir}: nnloop has never worked there.",
            "Name the folder that nnloop works on (NNLOOP_DATA_DIR or --data-dir), or start it: "
            "nnloop up",
        )
    try:
        opened = patient.store
        with opened.read() as session:
            backend = opened.engine.dialect.name
            version = _version_of(backend, session.execute)
            has_tables = inspect(session.connection()).has_table("alembic_version")
            query = text("SELECT version_num FROM alembic_version")
            revision = session.scalar(query) if has_tables else None
    except StackError as error:
        return wrong(str(error), error.remedy)
    except SQLAlchemyError as error:
        what = one_line(getattr(error, "orig", None) or type(error).__name__)
        return wrong(
            f"The store can't be read: {what.rstrip('.')}.",
            "Start the database, correct NNLOOP_DATABASE_URL or NNLOOP_DATA_DIR, or restore a "
            "backup: nnloop restore FILE",
        )
    if backend == "postgresql" and int(version.split(".")[0] or 0) < OLDEST_POSTGRESQL:
        return wrong(
            f"PostgreSQL {version} is older than nnloop is tested with.",
            f"Update it to PostgreSQL {OLDEST_POSTGRESQL} or newer (docs/backup.md)",
        )
    if revision is None:
        return wrong(
            f"The store ({backend}) has no tables: nnloop has never worked on it.",
            "Correct NNLOOP_DATABASE_URL or NNLOOP_DATA_DIR, move a store there "
            "(docs/backup.md#into-postgresql), or start nnloop on it: nnloop up",
        )
    known = known_revisions()
    newest = known[-1]
    if revision != newest:
        if revision in known:
            return wrong(
                f"The store has the tables of an older nnloop ({revision}, here is {newest}).",
                "Start this nnloop on it: nnloop up brings them up to date (docs/upgrade.md)",
            )
        return wrong(
            f"The store has the tables of a newer nnloop ({revision}, here is {newest}).",
            "Use the release that wrote it, or the copy of before the upgrade (docs/upgrade.md)",
        )
    words = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    return fine(f"{words.get(backend, backend)} {version}, tables {revision}")


def _version_of(backend: str, execute: object) -> str:
    query = "SELECT sqlite_version()" if backend == "sqlite" else "SHOW server_version"
    found = execute(text(query)).scalar()  # type: ignore[operator]
    return str(found).split(" ")[0]


def service(patient: Patient) -> Finding:
    """Whether nnloop's web service answers from here, and takes this installation's password."""
    settings = patient.settings
    url = settings.service_url
    answer = ask(f"{url}/health")
    if _is_ours(answer):
        return _logged_in(settings, url)
    own = f"http://{settings.host.replace('0.0.0.0', '127.0.0.1')}:{settings.port}"  # noqa: S104
    if url != own and _is_ours(ask(f"{own}/health")):
        return note(
            f"It answers at {own}, but not at {url}, which Label Studio is told ({_said(answer)}): "
            "that may be an address that only Label Studio can use.",
            "If Label Studio does not reach it either, correct NNLOOP_PUBLIC_URL",
        )
    if answer.status:
        return wrong(
            f"At {url} something else answers than nnloop ({_said(answer)}).",
            "Correct NNLOOP_PUBLIC_URL: with the path that the proxy before it has, or another "
            "NNLOOP_PORT where the port is another program's",
        )
    return wrong(
        f"nnloop's web service does not answer at {url} ({_said(answer)}).",
        f"Start it ({_START}; alone: nnloop serve), or correct NNLOOP_PUBLIC_URL, NNLOOP_HOST and "
        "NNLOOP_PORT",
    )


def _logged_in(settings: Settings, url: str) -> Finding:
    login = known_login(settings)
    if login is None:
        return not_looked(
            f"it answers at {url}, but its password is not here (BASIC_AUTH_PASS, or the file "
            f"{PASSWORD_FILE} of its data folder)"
        )
    answer = ask(f"{url}/versions", login)
    if answer.status == 401:
        return wrong(
            f"The web service at {url} refuses the password of this installation: it was started "
            "with another one, or is another nnloop's.",
            "Set the same BASIC_AUTH_USER and BASIC_AUTH_PASS for every process, or correct "
            "NNLOOP_PUBLIC_URL",
        )
    return fine(f"it answers at {url}")


def known_login(settings: Settings) -> tuple[str, str] | None:
    """User and password of the web service; None where there is no password yet."""
    password = settings.basic_auth_pass.get_secret_value()
    with suppress(OSError, UnicodeDecodeError):
        password = password or (settings.data_dir / PASSWORD_FILE).read_text("utf-8").strip()
    return (settings.basic_auth_user or DEFAULT_USER, password) if password else None


def addresses(patient: Patient) -> list[Finding]:
    """Whether the two addresses can be meant for who uses them."""
    settings = patient.settings
    found = []
    studio, own = urlsplit(settings.label_studio_url), urlsplit(settings.service_url)
    is_elsewhere = bool(studio.hostname) and not is_this_machine(studio.hostname)
    if is_elsewhere and is_this_machine(own.hostname) and not _is_own(studio.hostname or ""):
        found.append(
            wrong(
                f"Label Studio is told to reach nnloop at {settings.service_url}, which is Label "
                "Studio's own machine or container.",
                "Set NNLOOP_PUBLIC_URL to this machine's address as Label Studio reaches it (in "
                "docker-compose.yml http://nnloop.internal:9090), and NNLOOP_HOST=0.0.0.0; then: "
                "nnloop connect PROJECT",
            )
        )
    if own.hostname and "." not in own.hostname and not is_this_machine(own.hostname):
        found.append(
            wrong(
                f"NNLOOP_PUBLIC_URL is {settings.service_url}: Label Studio saves no webhook to a "
                "host name without a dot.",
                "Give the container a name with one, as docker-compose.yml does: "
                "NNLOOP_PUBLIC_URL=http://nnloop.internal:9090",
            )
        )
    return found or [
        fine(f"Label Studio at {settings.label_studio_url or '-'}, nnloop at {own.geturl()}")
    ]


def is_this_machine(host: str | None) -> bool:
    """Whether a host name or address is whatever machine uses it."""
    host = (host or "").strip("[]").lower()
    return host in ("localhost", "::1", "0.0.0.0") or bool(re.match(r"127\.", host))  # noqa: S104


def _is_own(host: str) -> bool:
    """Whether a host name leads to an address of this machine's."""
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return not found.isdisjoint(
        one.address for rows in psutil.net_if_addrs().values() for one in rows
    )


def in_container() -> bool:
    """Whether this process runs in one."""
    return any(map(Path.exists, _OF_CONTAINERS))


def host_found(url: str) -> bool:
    """Whether this machine knows the host of an address."""
    parts = urlsplit(url)
    try:
        return bool(socket.getaddrinfo(parts.hostname, parts.port or 80))
    except (OSError, UnicodeError):
        return False


def _is_ours(answer: WebAnswer) -> bool:
    try:
        value = json.loads(answer.text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("model_class") == "nnloop"


def _said(answer: WebAnswer) -> str:
    return answer.error or f"status {answer.status}"


CHECKS = (
    Check(
        "redis",
        "Does Redis answer?",
        redis,
        provides="redis",
        deadline_s=15.0,
        late="Redis does not answer",
        late_fix="Start Redis, or correct NNLOOP_REDIS_URL",
    ),
    Check("redis_keeps", "Does Redis keep what it is given?", redis_keeps, ("redis",)),
    Check("workers", "Is there a worker for everything?", workers, ("redis",)),
    Check(
        "store",
        "Can the store be read?",
        store,
        provides="store",
        deadline_s=15.0,
        late="The store does not answer",
        late_fix="Start the database, or correct NNLOOP_DATABASE_URL",
    ),
    Check(
        "service",
        "Does nnloop's web service answer?",
        service,
        provides="service",
        deadline_s=20.0,
        late="The web service does not answer",
        late_fix="Start it again: nnloop up",
    ),
    Check("addresses", "Can both addresses be right?", addresses),
)
