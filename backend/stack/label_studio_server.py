"""LabelStudioServer: a Label Studio on SQLite, started by nnloop, ready without a person."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from backend.stack.health import answers
from backend.stack.own_account import Credentials, ensure_credentials
from backend.stack.ports import LOOPBACK, free_port, require_free
from backend.stack.process import ProcessSpec
from domain.errors import StackError

START_TIMEOUT_S = 900.0
"""Seconds until it must answer: the first start migrates its database (24 s on a free machine, more
than 300 s were seen on a busy one). One that ends before is noticed at once."""

_KEPT = ("PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LC_ALL", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class LabelStudioServer:
    """One Label Studio: where it keeps its data, where it listens, and the login it starts with.

    Attributes:
        executable: The ``label-studio`` command of its own environment.
        data_dir: Its database and uploads.
        port: On 127.0.0.1.
        credentials: Login and legacy token of its admin.
        files_root: Folder its local-files storages may read.
        log_path: Its log.
    """

    executable: Path
    data_dir: Path
    port: int
    credentials: Credentials
    files_root: Path
    log_path: Path

    @classmethod
    def open(
        cls, executable: Path, data_dir: Path, *, port: int | None = None
    ) -> LabelStudioServer:
        """The server of a data folder; makes folder and login at the first call.

        Args:
            executable: The ``label-studio`` command.
            data_dir: Its folder.
            port: A wanted port; None = any free one.

        Raises:
            StackError: The port is taken, the folder can't be written, or there is no command.
        """
        data_dir = data_dir.absolute()
        if not executable.exists():
            raise StackError(
                f"There is no Label Studio at {executable}.",
                remedy="Install it with `python -m backend.stack.install`.",
            )
        if port is not None:
            require_free(port, "Label Studio")
        credentials = ensure_credentials(data_dir)
        files_root = data_dir / "files"
        files_root.mkdir(exist_ok=True)
        return cls(
            executable=executable.absolute(),
            data_dir=data_dir,
            port=free_port() if port is None else port,
            credentials=credentials,
            files_root=files_root,
            log_path=data_dir / "label-studio.log",
        )

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"

    def spec(self) -> ProcessSpec:
        """The process to run."""
        return ProcessSpec(
            name="Label Studio",
            argv=(
                str(self.executable),
                "start",
                "--no-browser",
                "--port",
                str(self.port),
                "--internal-host",
                LOOPBACK,
            ),
            log_path=self.log_path,
            env=self.environment(),
            cwd=self.data_dir,
            is_ready=self.is_ready,
            start_timeout_s=START_TIMEOUT_S,
            remedy=f"See {self.log_path}; its data are in {self.data_dir}.",
        )

    def environment(self) -> dict[str, str]:
        """Its whole environment.

        Built from scratch: Label Studio also reads plain names such as HOST, DEBUG, USERNAME or
        PASSWORD, which the surroundings may set to something else.
        """
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        proxies = {n: v for n, v in os.environ.items() if n.lower().endswith("_proxy")}
        return {
            **kept,
            **proxies,
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data_dir),
            "LABEL_STUDIO_HOST": self.url,
            "LABEL_STUDIO_USERNAME": self.credentials.email,
            "LABEL_STUDIO_PASSWORD": self.credentials.password,
            "LABEL_STUDIO_USER_TOKEN": self.credentials.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files_root),
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            # The backend and its webhook are on 127.0.0.1, which both of these forbid by default.
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            "PYTHONUNBUFFERED": "1",
        }

    def is_ready(self) -> bool:
        """Whether it answers ``GET /health`` with 200."""
        return answers(f"{self.url}/health")
