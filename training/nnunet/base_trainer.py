"""``nnUNetTrainer``, imported in less time: everything here imports it from this module.

Its module loads seaborn, which only draws a picture of a whole training, and torch's compiler,
which only compiled networks need: together a third of the CPU time at the start of each process
that predicts. Both are loaded where they are first used.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch  # noqa: F401 - what of it needs its compiler at once has loaded it after this

_COMPILER = "torch._dynamo"


class _LoadedWhenUsed(ModuleType):
    """Stands in a module's place; the module is loaded when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # nobody uses it, somebody looks at all modules
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


class _IsCompiled(type):
    def __instancecheck__(cls, value: Any) -> bool:
        # Nothing is compiled before the compiler is loaded.
        compiler = sys.modules.get(_COMPILER)
        return compiler is not None and isinstance(value, compiler.OptimizedModule)


class _OptimizedModule(metaclass=_IsCompiled):
    """In the place of torch's class, of which nnU-Net's trainer only asks ``isinstance``."""


@contextlib.contextmanager
def _instead(*modules: ModuleType) -> Iterator[None]:
    """Puts modules in the place of those that are not loaded yet."""
    put = [module.__name__ for module in modules if module.__name__ not in sys.modules]
    sys.modules.update({one.__name__: one for one in modules if one.__name__ in put})
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]


_compiler = _LoadedWhenUsed(_COMPILER)
_compiler.OptimizedModule = _OptimizedModule  # type: ignore[attr-defined]
with _instead(_compiler, _LoadedWhenUsed("seaborn")):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

__all__ = ["nnUNetTrainer"]
