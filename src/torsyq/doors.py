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

if t.TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_OURS = __name__.partition(".")[0]
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_doors")


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
    if name == "flask":
        _hand_over_loaded()
        if not any(isinstance(finder, _Doorkeeper) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Doorkeeper())
    sys.modules[name] = module


def _own_name(name: str) -> str:
    """``flask.json.tag`` is ``torsyq.json.tag``."""
    return _OURS + name.removeprefix("flask")


def _hand_over_loaded() -> None:
    """Register what ``import torsyq`` has loaded, as ``import flask`` leaves its submodules."""
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{_OURS}."):
            sys.modules["flask" + name.removeprefix(_OURS)] = module


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
