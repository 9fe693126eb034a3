"""The pinned list of suites: what is run, from which published archive, with which packages."""

from __future__ import annotations

import dataclasses
import fnmatch
import pathlib
import re
import sys
import tomllib
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".conformance"
PINS = HERE / "pins"
RESULTS = HERE / "results"
SMOKE = HERE / "smoke"
SUPPORT = HERE / "support"
PACKAGE_DATA = ROOT / "src" / "torsyq" / "cli" / "parity.json"
REPORT = ROOT / "docs" / "parity.md"


@dataclasses.dataclass(frozen=True)
class Known:
    """A difference that is understood: the tests (a shell pattern on the node id) and its cause."""

    test: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Suite:
    """One published suite, or one written smoke app, and how to run it.

    :param sha256: of the published source archive; empty for a smoke app, which needs none.
    :param tests: files and folders inside the archive handed to pytest.
    :param requires: what is installed beside the package itself when pins are made anew.
    :param drop: parts of the archive not unpacked, so that the installed package is what is tested.
    :param build: what reading the archive's metadata needs, where its own declaration is short.
    :param cwd: the folder inside the archive that pytest is started in.
    :param support: a folder of ours laid beside the tests: fixtures that the archive left out.
    :param absent: why the suite cannot be run; it is listed in the report and nothing else.
    """

    name: str
    version: str
    sha256: str = ""
    tests: tuple[str, ...] = ("tests",)
    requires: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    cwd: str = "."
    minutes: float = 5
    smoke: bool = False
    support: str = ""
    absent: str = ""
    note: str = ""
    known: tuple[Known, ...] = ()

    @property
    def slug(self) -> str:
        return re.sub(r"[-_.]+", "-", self.name).lower()

    @property
    def pins(self) -> pathlib.Path:
        return PINS / f"{self.slug}.txt"

    @property
    def result(self) -> pathlib.Path:
        return RESULTS / f"{self.slug}.json"

    @property
    def smoke_file(self) -> str:
        # Not the bare name: pytest puts the file's folder on the path, before the package it tests.
        return f"smoke_{self.slug.replace('-', '_')}.py"

    def explain(self, test: str) -> str:
        """The stored cause of a difference in *test*; empty when nobody has explained it."""
        for known in self.known:
            if known.test == test or fnmatch.fnmatchcase(test, known.test):
                return known.reason
        return ""


def load(path: pathlib.Path = HERE / "suites.toml") -> list[Suite]:
    """Read the list, Flask's own suite first, the others in the order written."""
    with path.open("rb") as file:
        tables = tomllib.load(file)["suite"]
    return [_suite(table) for table in tables]


def _suite(table: dict[str, t.Any]) -> Suite:
    known = tuple(Known(**entry) for entry in table.pop("known", []))
    env = tuple(table.pop("env", {}).items())
    values: dict[str, t.Any] = {}
    for key, value in table.items():
        values[key] = tuple(value) if isinstance(value, list) else value
    return Suite(known=known, env=env, **values)


def pick(suites: list[Suite], names: list[str]) -> list[Suite]:
    """The suites called *names*; a name that fits none ends the program with the list."""
    by_slug = {suite.slug: suite for suite in suites}
    slugs = [re.sub(r"[-_.]+", "-", name).lower() for name in names]
    unknown = [slug for slug in slugs if slug not in by_slug]
    if unknown:
        sys.exit(f"No such suite: {', '.join(unknown)}. There are: {', '.join(by_slug)}.")
    return [by_slug[slug] for slug in slugs]
