"""What a framework costs before the first request, and what a worker holds."""

from __future__ import annotations

import os
import subprocess
import typing as t

from benchmarks.frameworks import Framework
from benchmarks.frameworks import Process
from benchmarks.results import median
from benchmarks.results import Result
from benchmarks.results import spread
from benchmarks.results import store

METHOD = (
    "each number from fresh processes, {rounds} of each framework in turn; CPU time of the import "
    "alone, and of import and making the app of the benchmarks ({routes} routes); resident memory "
    "of that process after a thousand requests for text; medians, ratios to Flask in the same round"
)
_IMPORT = (
    "import sys, time; before = set(sys.modules); began = time.process_time(); import {0}; "
    "print(time.process_time() - began, len(set(sys.modules) - before))"
)
# What an app imports, where it is not the name of the framework.
_MODULES = {
    "django": "django.core.wsgi, django.http, django.urls",
    "starlette": "starlette.applications, starlette.responses, starlette.routing",
}
_ROUTES = 16


def run(frameworks: t.Sequence[Framework], rounds: int) -> Result:
    """Measure and store them."""
    measured = [framework for framework in frameworks if framework.name != "bare"]
    found: dict[str, dict[str, list[float]]] = {
        framework.name: {"import": [], "modules": [], "start": [], "memory": []}
        for framework in measured
    }
    for framework in measured:
        # What is imported for the first time is compiled, which nobody pays twice.
        _import(framework)
    for _ in range(rounds):
        for framework in measured:
            row = found[framework.name]
            imported, modules = _import(framework)
            row["import"].append(imported)
            row["modules"].append(modules)
            process = Process(framework.name, "main")
            try:
                row["start"].append(process.started)
                process("time", "text", 1000)
                row["memory"].append(process("memory"))
                process.close()
            finally:
                process.kill()
        measured.append(measured.pop(0))
    rows = {name: _row(row, found["flask"]) for name, row in found.items()}
    for name, shown in rows.items():
        print(name, shown, flush=True)
    method = METHOD.format(rounds=rounds, routes=_ROUTES)
    return store("import", method, frameworks, rows=rows)


def _import(framework: Framework) -> tuple[float, int]:
    command = [framework.python, "-c", _IMPORT.format(_MODULES.get(framework.name, framework.name))]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    seconds, modules = subprocess.check_output(command, text=True, env=env).split()
    return float(seconds), int(modules)


def _row(row: dict[str, list[float]], base: dict[str, list[float]]) -> dict[str, t.Any]:
    shares = {
        key: spread([own / b for own, b in zip(row[key], base[key], strict=True)])
        for key in ("import", "start", "memory")
    }
    return shares | {
        "modules": int(median(row["modules"])),
        "megabytes": median([size / 2**20 for size in row["memory"]]),
    }
