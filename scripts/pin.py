"""Choose the releases that the development environment installs, and print them as pins.

``make constraints`` runs it. A release may ask for a later patch of Python than someone's machine
has (3.11.5, where Debian ships 3.11.2), and some are needed on early patches only. So what is
chosen is the newest that works on the very first release of the oldest Python promised, whatever
Python chooses it::

    python scripts/pin.py > requirements/constraints.txt
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import typing as t
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
Package: t.TypeAlias = dict[str, t.Any]


def oldest_python() -> str:
    """The first release of the Python that ``requires-python`` names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return f"{project['requires-python'].removeprefix('>=')}.0"


def resolve(python: str, *requirements: str) -> list[Package]:
    """What pip would install for these on another Python, as it says in its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", f"--report={report}", f"--target={folder}/unused"]
        command += [f"--python-version={python}", "--only-binary=:all:", *requirements]
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
        packages: list[Package] = json.loads(report.read_text("utf-8"))["install"]
    return packages


def passed_over(packages: list[Package], python: str) -> set[str]:
    """What those packages need on that Python, and pip left out since this one can do without.

    pip takes the version it is told for what a release asks of Python, but not for the conditions
    of requirements (``async-timeout; python_full_version < "3.11.3"``).
    """
    there = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    needed = set()
    for package in packages:
        for line in package["metadata"].get("requires_dist", ()):
            requirement = Requirement(line)
            marker, requirement.marker = requirement.marker, None
            for extra in ("", *package.get("requested_extras", ())):
                here = {"extra": extra}
                if marker and marker.evaluate(here | there) and not marker.evaluate(here):
                    needed.add(str(requirement))
    return needed


def main() -> None:
    """Resolve until nothing that is needed on the oldest Python is missing."""
    python = oldest_python()
    wanted = {".[dev,docs]"}
    while True:
        packages = resolve(python, *sorted(wanted))
        missing = passed_over(packages, python) - wanted
        if not missing:
            break
        wanted |= missing
    pins = {package["metadata"]["name"]: package["metadata"]["version"] for package in packages}
    for name in sorted(pins.keys() - {"torsyq"}, key=str.lower):
        print(f"{name}=={pins[name]}")


if __name__ == "__main__":
    main()
