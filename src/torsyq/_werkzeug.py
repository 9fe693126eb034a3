"""Werkzeug's modules without its package face, and without what they seldom use.

``werkzeug/__init__`` imports the development server and the test client (and with them
``http.server``, ``ssl`` ...) only to offer their names, and importing any module of the package
runs it first. Here the package stands as it is, with its ``__init__`` put off until a name is
read that no module of the package has. From then on it is what it would have been.

PERF: without this ``import torsyq`` would take a quarter longer.

Its modules also import some of the standard library for what few requests need, such as
``email.utils`` for the dates in headers, which brings ``socket`` and half of ``email`` along.
Where nobody has imported these yet, Werkzeug gets stand-ins, which import them when they are read.
Whoever imports them afterwards gets the modules themselves.

PERF: without these it would take a sixth longer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from importlib.util import module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()
# Not the same: it is never held during an import.
_swap_lock = RLock()


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


class _StandIn(ModuleType):
    """Has the names of a module, which it imports when one of them is read.

    COMPAT: none is kept here, so that one replaced in the module (by a test) is seen.
    """

    def __getattr__(self, name: str) -> Any:
        self._step_aside()
        module = import_module(self.__name__)
        _put_modules_in_place()
        return getattr(module, name)

    def _step_aside(self) -> None:
        """Let the next import find the module itself, and a package its modules."""
        with _swap_lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        for value in vars(self).values():
            if isinstance(value, _StandIn):
                value._step_aside()


def _put_modules_in_place() -> None:
    """Give Werkzeug's modules the modules that are loaded by now, instead of their stand-ins.

    PERF: a stand-in that is read costs a third of a text's request each time.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("werkzeug.") and isinstance(module, ModuleType):
            for key, value in list(vars(module).items()):
                if isinstance(value, _StandIn):
                    loaded = sys.modules.get(value.__name__, value)
                    setattr(module, key, loaded)


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Inside of ``with``, importing one of these modules gives a stand-in, if it is not loaded.

    :param names: a package before its modules. If it is loaded, they get no stand-ins.
    """
    made: dict[str, _StandIn] = {}
    for name in names:
        package, _, own_name = name.rpartition(".")
        if name in sys.modules or (package and package not in made):
            continue
        sys.modules[name] = made[name] = _StandIn(name)
        if package:
            setattr(made[package], own_name, made[name])
    try:
        yield
    finally:
        for module in made.values():
            module._step_aside()


put_off("werkzeug")
with stand_ins("difflib", "email", "email.utils", "ipaddress", "shutil", "uuid"):
    import_module("werkzeug.routing")
    import_module("werkzeug.wrappers")
