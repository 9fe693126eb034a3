"""What granian serves in the runs over sockets: the framework that ``BENCH_FRAMEWORK`` names."""

from __future__ import annotations

import os
import typing as t
from importlib import import_module


def make() -> t.Any:
    """The app, for ``granian --factory benchmarks.serve:make``."""
    module: t.Any = import_module(f"benchmarks.apps.{os.environ['BENCH_FRAMEWORK']}")
    return module.make("main", 0)
