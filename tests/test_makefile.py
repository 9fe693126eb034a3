"""``make`` on a fresh machine: the environment it builds, and what it says when it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make")
needs_make = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements" / "constraints.txt").read_text("utf-8").split()
    return dict(line.split("==") for line in lines)


def test_every_pin_installs_on_the_first_release_of_the_oldest_python() -> None:
    """Python 3.11.2 is what Debian 12 has; a pin that asks for 3.11.5 breaks ``make`` there."""
    read = 0
    for name, version in pins().items():
        try:
            installed = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # needed on other Pythons only
            continue
        if installed["Version"] == version:
            read += 1
            asked = installed.json.get("requires_python", "")
            assert "3.11.0" in SpecifierSet(str(asked)), name
    assert read > 50


def test_the_targets_are_phony() -> None:
    """Or a folder of that name would count as made, as ``docs`` does."""
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert targets == set(phony.split())


def test_the_published_source_holds_what_the_tests_read() -> None:
    """So that ``make test`` passes there, too. The build adds README and the like by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    published = set(project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    published |= {"README.md", "LICENSE", "pyproject.toml"}
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("*.py"))

    assert set(re.findall(r'\bROOT / "([^"/]+)', tests)) - published == set()


def make(folder: Path, python: Path | str) -> subprocess.CompletedProcess[str]:
    """Set up in a folder that holds no more than the set-up reads."""
    (folder / "requirements").mkdir(exist_ok=True)
    for name in ("Makefile", "pyproject.toml", "requirements/constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = [str(MAKE), f"PYTHON={python}", ".venv/.installed"]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )


def script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), "utf-8")
    path.chmod(0o755)
    return path


@needs_make
def test_an_older_python_is_told_what_is_needed(tmp_path: Path) -> None:
    old = script(
        tmp_path / "python3", 'test "$1" = --version && echo Python 3.9.2 && exit', "exit 1"
    )

    done = make(tmp_path, old)

    assert done.returncode != 0
    assert f"Torsyq needs Python 3.11 or newer; '{old}' is Python 3.9.2." in done.stderr
    assert "make PYTHON=python3.13 .venv/.installed" in done.stderr
    assert not (tmp_path / ".venv").exists()


@needs_make
def test_a_set_up_that_was_broken_off_is_done_anew(tmp_path: Path) -> None:
    left_over = script(tmp_path / ".venv" / "bin" / "left-over", "exit 1")
    # Makes a virtual environment, whose Python installs nothing.
    python = script(
        tmp_path / "python3",
        f'test "$1 $2" = "-m venv" || exec {sys.executable} "$@"',
        f'{sys.executable} -m venv --without-pip "$3" "$4"',
        f'ln -sf {shutil.which("true")} "$4/bin/python"',
    )

    done = make(tmp_path, python)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".venv" / ".installed").exists()
    assert not left_over.exists()
