"""The frameworks that are measured, where they are installed, and the processes they run in."""

from __future__ import annotations

import json
import os
import platform
import select
import subprocess
import sys
import typing as t
import venv
from dataclasses import dataclass

from benchmarks.workloads import ROOT
from benchmarks.workloads import SCRATCH

# Seconds after which a process that does not answer is given up.
PATIENCE = 60
PINS = ROOT / "requirements.txt"


@dataclass(frozen=True)
class Framework:
    """One row of peers.

    :param packages: what its environment holds, at the versions ``requirements.txt`` pins; none
        for what the development environment has.
    :param missing: workloads it does not do, or not with means of its own.
    """

    name: str
    title: str
    packages: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return str(SCRATCH / self.name / "bin" / "python") if self.packages else sys.executable

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        if not self.packages:
            return True
        return (SCRATCH / self.name / ".installed").exists()

    def install(self) -> None:
        """Build its environment, unless it is there."""
        if self.installed:
            return
        folder = SCRATCH / self.name
        venv.create(folder, with_pip=True, clear=True)
        pip = [self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", str(PINS), *self.packages], check=True)
        (folder / ".installed").touch()


def _without(*workloads: str) -> frozenset[str]:
    """These workloads, and the one for those whose apps have a secret key."""
    return frozenset({*workloads, "keyless"})


FRAMEWORKS = {
    framework.name: framework
    for framework in (
        Framework("bare", "bare callable", missing=_without("session", "urls", "error", "hooks")),
        Framework("flask", "Flask"),
        Framework("torsyq", "Torsyq"),
        Framework(
            "falcon",
            "Falcon",
            ("falcon", "granian"),
            _without("template", "session", "urls"),
        ),
        Framework("bottle", "Bottle", ("bottle",), _without("error")),
        Framework(
            "blacksheep",
            "BlackSheep",
            ("blacksheep", "jinja2", "itsdangerous"),
            _without("405", "urls"),
        ),
        Framework(
            "starlette",
            "Starlette",
            ("starlette", "jinja2", "itsdangerous", "python-multipart"),
            _without(),
        ),
        Framework(
            "litestar", "Litestar", ("litestar", "jinja2", "cryptography", "multipart"), _without()
        ),
        Framework(
            "fastapi",
            "FastAPI",
            ("fastapi", "jinja2", "itsdangerous", "python-multipart"),
            _without(),
        ),
        Framework("django", "Django", ("django",), _without()),
        Framework("quart", "Quart", ("quart",)),
    )
}


class Process:
    """A :class:`benchmarks.worker.Worker` in its own process.

    :param started: the CPU seconds it took to import the framework and make the app.
    """

    def __init__(self, framework: str, variant: str, size: int = 0) -> None:
        self.name = f"{framework}, {variant}"
        command = [FRAMEWORKS[framework].python, "-m", "benchmarks.worker"]
        self.process = subprocess.Popen(
            [*command, framework, variant, str(size)],
            cwd=ROOT.parent,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started: float = self._read()

    def __call__(self, order: str, *args: t.Any) -> t.Any:
        """Give an order; its result."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([order, *args]) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Shut the app down and end."""
        if self.process.poll() is None:
            self("stop")
            self.process.communicate(timeout=10)

    def kill(self) -> None:
        """End a process that does not answer any more."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> t.Any:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            seen = "ended: see its error above" if ready else f"was silent for {PATIENCE} s"
            raise RuntimeError(f"{self.name}: {seen}.")
        return json.loads(line)


class Pool:
    """The processes of a run, each started when it is first asked."""

    def __init__(self) -> None:
        self.processes: dict[tuple[str, str, int], Process] = {}

    def __call__(self, framework: str, variant: str, size: int = 0) -> Process:
        key = framework, variant, size
        if key not in self.processes:
            self.processes[key] = Process(*key)
        return self.processes[key]

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self.processes.values():
            try:
                process.close()
            finally:
                process.kill()
        self.processes.clear()


def chosen(names: t.Iterable[str] | None) -> list[Framework]:
    """The frameworks of these names, or all that are installed."""
    if names:
        return [FRAMEWORKS[name] for name in names]
    return [framework for framework in FRAMEWORKS.values() if framework.installed]


def versions(frameworks: t.Iterable[Framework]) -> dict[str, str]:
    """What is installed where the frameworks run, and Python's version."""
    code = (
        "import importlib.metadata as m, json; print(json.dumps({d.metadata['Name'].lower(): "
        "d.version for d in m.distributions() if d.metadata['Name']}))"
    )
    found = {"python": platform.python_version()}
    for framework in frameworks:
        output = subprocess.check_output([framework.python, "-c", code], text=True)
        installed = json.loads(output)
        names = framework.packages or (framework.name,)
        if framework.name == "torsyq":
            names = ("torsyq", "werkzeug", "jinja2", "itsdangerous", "granian")
        found |= {name: installed[name] for name in names if name in installed}
    return dict(sorted(found.items()))


def machine() -> str:
    """The processor, in a line."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.machine()
