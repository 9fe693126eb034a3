"""The doors: how ``import flask`` reaches Torsyq.

A door is a small file that stands where a module of Flask would stand and hands over Torsyq's
module of the same name: not a copy of it and not a wrapper, the very same object. So
``flask.app is torsyq.app``, each class exists once, and pickles, ``isinstance`` and
``mock.patch("flask.app.X")`` mean the same thing under either name.

The doors live in one folder, which is opened by being on ``sys.path`` before Flask's own place::

    import torsyq.doors
    torsyq.doors.open()
    import flask                      # Torsyq

or from outside, for any server: ``PYTHONPATH=$(torsyq doors) gunicorn hello:app``.

An installed Torsyq also puts the folder at the end of the path, after its own ``site-packages``
(a ``.pth`` file with that one path, no code). A Flask in there is found first and wins; where
there is none, ``import flask`` finds Torsyq.
"""

from __future__ import annotations

import os
import sys
import typing as t
from importlib import import_module
from importlib.abc import Loader
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType

if t.TYPE_CHECKING:
    from collections.abc import Sequence

_OURS = __name__.partition(".")[0]
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_doors")
# What ``import flask`` loads there, for those who watch.
_LOADED_BY_FLASK = [
    f"flask.{name}"
    for name in [
        "globals",
        "signals",
        "json.provider",
        "json",
        "sansio",
        "helpers",
        "config",
        "ctx",
        "typing",
        "wrappers",
        "json.tag",
        "sessions",
        "logging",
        "templating",
        "sansio.scaffold",
        "sansio.app",
        "sansio.blueprints",
        "cli",
        "app",
        "blueprints",
    ]
]
_NO_WATCHERS = {"_frozen_importlib", "_frozen_importlib_external", "_distutils_hack"}


def path() -> str:
    """Return the folder to put on ``sys.path`` (or ``PYTHONPATH``) to open the doors."""
    return _FOLDER


def open() -> None:  # noqa: A001
    """Make ``import flask`` mean Torsyq from here on in this process.

    Puts :func:`path` first on ``sys.path``. Calling it again changes nothing.

    :raises RuntimeError: another ``flask`` was imported before; two would exist side by side.

    .. code-block:: python

        import torsyq.doors
        torsyq.doors.open()
        from flask import Flask
    """
    loaded = sys.modules.get("flask")
    if loaded is not None and loaded is not sys.modules[_OURS]:
        raise RuntimeError(
            f"The doors cannot be opened: 'flask' is already imported, from"
            f" {getattr(loaded, '__file__', None) or loaded!r}. Something imported Flask before"
            " torsyq.doors.open() ran. Call it before the first import of flask or of a Flask"
            " extension, or open the doors from outside with PYTHONPATH=$(torsyq doors)."
        )
    if sys.path[:1] != [_FOLDER]:
        sys.path[:] = [_FOLDER, *(entry for entry in sys.path if entry != _FOLDER)]


def hand_over(name: str) -> None:
    """Register Torsyq's module under its Flask name. Every door is one call of this.

    :param name: the Flask name, ``flask`` or ``flask.<module>``
    """
    module = import_module(_own_name(name))
    _see_through(sys.modules.get(name), module)
    sys.modules[name] = module
    if name == "flask":
        if not any(isinstance(finder, _Doorkeeper) for finder in sys.meta_path):
            sys.meta_path.insert(_before_ordinary_search(), _Doorkeeper())
        _hand_over_loaded()


class _OpenDoor(ModuleType):
    """What a door's own module object becomes: all but its few names is Torsyq's module.

    COMPAT: tracers (New Relic, Datadog, whatever uses wrapt) wrap a module's loader and patch the
    object that it has filled. That is the door, not what ``sys.modules`` holds in the end.
    """

    def __getattr__(self, name: str) -> t.Any:
        return getattr(_behind(self), name)

    def __setattr__(self, name: str, value: t.Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(_behind(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_behind(self), name)

    def __dir__(self) -> list[str]:
        return dir(_behind(self))


def _behind(door: _OpenDoor) -> ModuleType:
    return sys.modules[_own_name(door.__name__)]


def _see_through(door: ModuleType | None, module: ModuleType) -> None:
    if door is None or door is module:
        return
    # What the import put there by itself (the names with underscores) stays the door's.
    for name in [name for name in vars(door) if not name.startswith("__")]:
        delattr(door, name)
    door.__class__ = _OpenDoor


def _own_name(name: str) -> str:
    """``flask.json.tag`` is ``torsyq.json.tag``."""
    return _OURS + name.removeprefix("flask")


def _hand_over_loaded() -> None:
    """Register what ``import torsyq`` has loaded, as ``import flask`` leaves its submodules."""
    if _is_watched():
        for name in _LOADED_BY_FLASK:
            _import_for_watchers(name)
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{_OURS}."):
            sys.modules["flask" + name.removeprefix(_OURS)] = module


def _is_watched() -> bool:
    """Whether anybody else stands before the ordinary search of the path."""
    before = sys.meta_path[: _before_ordinary_search()]
    return any(
        not isinstance(finder, _Doorkeeper)
        and getattr(finder, "__module__", "").partition(".")[0] not in _NO_WATCHERS
        for finder in before
    )


def _before_ordinary_search() -> int:
    """Where the keeper stands: behind those who watch imports, before the path is searched.

    COMPAT: told by its name, since Datadog's tracer has the import system loaded anew; the class
    of that name is then another than the one that searches.
    """
    names = [getattr(finder, "__name__", "") for finder in sys.meta_path]
    return names.index("PathFinder") if "PathFinder" in names else len(names)


def _import_for_watchers(name: str) -> None:
    """Import *name* of Flask as if for the first time, so that those who watch imports see it.

    COMPAT: tracers wait for the import of ``flask.app`` and the like, to wrap what is in there. If
    they replace a name that is also one of the package, it is replaced there too: Flask's package
    imports it afterwards.
    """
    face, module = sys.modules[_OURS], import_module(_own_name(name))
    before = dict(vars(module))
    import_module(name)
    for key, value in vars(module).items():
        if key in before and before[key] is not value and vars(face).get(key) is before[key]:
            setattr(face, key, value)


class _Doorkeeper(MetaPathFinder, Loader):
    """Finds ``flask.<x>`` once ``flask`` is Torsyq.

    The package's ``__path__`` is Torsyq's own, so the ordinary search would find ``torsyq/x.py``
    and load a second copy of it under the Flask name, with classes of its own. What has no door
    (Torsyq's additions) is handed over as well.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("flask.") or sys.modules.get("flask") is not sys.modules[_OURS]:
            return None
        folder = os.path.join(_FOLDER, *fullname.split(".")[:-1])
        door = PathFinder.find_spec(fullname, [folder])
        if door is None and find_spec(_own_name(fullname)) is not None:
            return ModuleSpec(fullname, self)
        return door

    def exec_module(self, module: ModuleType) -> None:
        hand_over(module.__name__)
