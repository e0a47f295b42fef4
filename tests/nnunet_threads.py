"""nnU-Net's pools of processes take seconds to start; threads do the same work."""

from __future__ import annotations

from multiprocessing.pool import ThreadPool
from types import ModuleType, SimpleNamespace

import pytest


def use_threads(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Gives a module of nnU-Net that makes ``multiprocessing.get_context(...).Pool`` threads."""
    context = SimpleNamespace(Pool=ThreadPool)
    patch.setattr(module, "multiprocessing", SimpleNamespace(get_context=lambda _how: context))
