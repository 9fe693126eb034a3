"""Werkzeug's modules without its package face.

``werkzeug/__init__`` imports the development server and the test client (and with them
``http.server``, ``ssl`` ...) only to offer their names, and importing any module of the package
runs it first. Here the package stands as it is, with its ``__init__`` put off until a name is
read that no module of the package has. From then on it is what it would have been.

PERF: a quarter of the time of ``import torsyq``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from importlib.util import module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()


class _Waiting(ModuleType):
    """A package whose ``__init__`` has not run."""

    def __getattr__(self, name: str) -> Any:
        try:
            return import_module(f"{self.__name__}.{name}")
        except ModuleNotFoundError:
            pass
        with _lock:
            if type(self) is _Waiting:
                self.__class__ = _Running  # type: ignore[assignment]
                try:
                    self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
                except BaseException:
                    self.__class__ = _Waiting
                    raise
                self.__class__ = ModuleType  # type: ignore[assignment]
        return getattr(self, name)


class _Running(ModuleType):
    """The same while its ``__init__`` runs: other threads wait for it."""

    def __getattr__(self, name: str) -> Any:
        with _lock:
            return ModuleType.__getattribute__(self, name)


def put_off(package: str) -> None:
    """Put off the ``__init__`` of *package*, unless it has run."""
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    module = module_from_spec(spec)
    module.__class__ = _Waiting
    sys.modules[package] = module


put_off("werkzeug")
