"""What keeps `nnloop up` from starting, before anything is started."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from backend.settings import Settings
from backend.stack import service
from backend.stack.runtime import RunningStack
from domain.errors import StackError
from training.processes.birth import birth_mark


def test_a_second_one_on_a_folder_is_told_of_the_first_and_not_of_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LEAST_FREE_BYTES", 0)
    other = os.getppid()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = RunningStack(f"http://127.0.0.1:{port}", "", "", "", other, birth_mark(other))
        stack.write(tmp_path)
        with (
            pytest.raises(StackError, match=f"runs already on .* \\(process {other}\\)"),
            service.running(Settings(data_dir=tmp_path, port=port)),
        ):
            pass
        RunningStack.remove(tmp_path)
        with (
            pytest.raises(StackError, match=f"Port {port} .* is taken"),
            service.running(Settings(data_dir=tmp_path, port=port)),
        ):
            pass
