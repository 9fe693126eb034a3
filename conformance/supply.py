"""What a run needs on disk: the archive, hash checked and unpacked, and a pinned environment."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv

from conformance.catalogue import CACHE
from conformance.catalogue import ROOT
from conformance.catalogue import SMOKE
from conformance.catalogue import Suite
from conformance.catalogue import SUPPORT

BASE = (
    "flask==3.1.3",
    "werkzeug==3.1.9",
    "jinja2",
    "itsdangerous",
    "click",
    "blinker",
    "markupsafe",
)


class SupplyError(Exception):
    """Something a suite needs cannot be had; the message is for the report."""


def pip(*args: str, python: pathlib.Path | None = None) -> str:
    """Run this interpreter's pip, for the environment of *python* when given."""
    target = ["--python", str(python)] if python else []
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *target, *args]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SupplyError("pip " + " ".join(args[:1]) + ": " + " | ".join(said[-6:]))
    return done.stdout


def python_of(folder: pathlib.Path) -> pathlib.Path:
    scripts = "Scripts" if os.name == "nt" else "bin"
    return folder / scripts / ("python.exe" if os.name == "nt" else "python")


def sdist(suite: Suite, *, check: bool = True) -> pathlib.Path:
    """The published source archive, from the cache or the package index, its hash checked."""
    place = CACHE / "sdists" / f"{suite.slug}-{suite.version}"
    if not (place.is_dir() and any(place.iterdir())):
        _download(suite, place)
    archive = next(place.iterdir())
    seen = hashlib.sha256(archive.read_bytes()).hexdigest()
    if check and seen != suite.sha256:
        raise SupplyError(
            f"{archive.name} has sha256 {seen}, the list says {suite.sha256 or 'none'}"
        )
    return archive


def _download(suite: Suite, place: pathlib.Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        command = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", f"{scratch}/got"]
        python = None
        if suite.build:
            python = python_of(_new_environment(pathlib.Path(scratch, "venv")))
            pip("install", "-q", *suite.build, python=python)
            command.append("--no-build-isolation")
        pip(*command, f"{suite.name}=={suite.version}", python=python)
        pathlib.Path(scratch, "got").rename(place)


def unpack(suite: Suite, place: pathlib.Path) -> pathlib.Path:
    """Lay a fresh copy of the suite's tests at *place*; gives the folder pytest starts in."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    # Where a suite brings no settings, pytest would climb up and read this repository's.
    (place / "pytest.ini").touch()
    if suite.smoke:
        shutil.copy(SMOKE / suite.smoke_file, place)
        return place
    with tarfile.open(sdist(suite)) as tar:
        # As an attribute, since Python before 3.11.4 knows no filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(place)
    (top,) = (entry for entry in place.iterdir() if entry.is_dir())
    for name in suite.drop:
        shutil.rmtree(top / name)
    if suite.support:
        shutil.copytree(SUPPORT / suite.support, top / suite.tests[0], dirs_exist_ok=True)
    return top / suite.cwd


def environment(suite: Suite) -> pathlib.Path:
    """The Python of the suite's own environment, made from its pins; kept until these change."""
    folder = CACHE / "venvs" / suite.slug
    stamp = folder / "stamp.json"
    if not suite.pins.exists():
        raise SupplyError(f"{suite.pins.relative_to(ROOT)} is missing: run with --pin first")
    wanted = json.dumps([sys.version, suite.pins.read_text()])
    if not (stamp.exists() and stamp.read_text() == wanted):
        _new_environment(folder)
        pip("install", "-q", "--no-deps", "-r", str(suite.pins), python=python_of(folder))
        stamp.write_text(wanted)
    return python_of(folder)


def product() -> pathlib.Path:
    """Build and install Torsyq from this checkout, once for all suites; gives the folder it is in.

    What is proved is the package as it would be published, not the folder it was written in.
    """
    place = CACHE / "product"
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="product-") as scratch:
        pip("install", "-q", "--no-deps", "--target", f"{scratch}/new", str(ROOT))
        if place.exists():
            place.rename(pathlib.Path(scratch, "old"))
        pathlib.Path(scratch, "new").rename(place)
    return place


def pin(suite: Suite) -> None:
    """Choose the versions anew and write them down."""
    with tempfile.TemporaryDirectory() as scratch:
        python = python_of(_new_environment(pathlib.Path(scratch, "venv")))
        own = [] if suite.slug == "flask" else [f"{suite.name}=={suite.version}"]
        pip("install", "-q", "pytest", *BASE, *own, *suite.requires, python=python)
        frozen = pip("freeze", "--all", python=python).splitlines()
    kept = sorted((line for line in frozen if not line.startswith(("pip=",))), key=str.lower)
    suite.pins.write_text("\n".join(kept) + "\n")


def _new_environment(folder: pathlib.Path) -> pathlib.Path:
    shutil.rmtree(folder, ignore_errors=True)
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    return folder
