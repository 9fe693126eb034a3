"""One run of one suite on one framework, in its own process group with a time bound."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t

from conformance.catalogue import CACHE
from conformance.catalogue import HERE
from conformance.catalogue import Suite

Side = t.Literal["flask", "torsyq"]
# The class of an app says who made it: `import flask` gives the same names on either side.
MAKERS = {"flask": "flask.app", "torsyq": "torsyq.app"}
RUNNING: set[subprocess.Popen[bytes]] = set()
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


@dataclasses.dataclass
class Run:
    """What one run said.

    :param outcomes: by test: passed, failed, skipped, xfailed.
    :param why: the first words of each outcome that is not passed.
    :param framework: the module of the `Flask` class seen at the end; None if never imported.
    """

    outcomes: dict[str, str]
    why: dict[str, str]
    seconds: float
    framework: str | None = None
    ended: str = ""

    def count(self, outcome: str) -> int:
        return sum(1 for seen in self.outcomes.values() if seen == outcome)


def side_environment(suite: Suite, side: Side, python: pathlib.Path) -> dict[str, str]:
    """The variables of a run: only the path differs between the two sides."""
    kept = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT")
    env = {key: os.environ[key] for key in kept if key in os.environ}
    env["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    product = CACHE / "product"
    path = [str(product / "torsyq" / "_doors"), str(product)] if side == "torsyq" else []
    env["PYTHONPATH"] = os.pathsep.join([*path, str(HERE / "plugin")])
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONHASHSEED"] = "0"
    return env | dict(suite.env)


def run(
    suite: Suite,
    side: Side,
    python: pathlib.Path,
    cwd: pathlib.Path,
    log: pathlib.Path,
    only: t.Sequence[str] = (),
) -> Run:
    """Run *suite* at *cwd*; its output goes to *log*, what is made of it comes back.

    :param only: names of single tests, as an earlier run gave them
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    account = log.with_suffix(".jsonl")
    account.unlink(missing_ok=True)
    tests = [suite.smoke_file] if suite.smoke else _expand(suite.tests, cwd)
    # Named from pytest's root, which is the archive's folder or the one above it.
    tests = [name.removeprefix(cwd.name + "/") for name in only] or tests
    command = [str(python), "-m", "pytest", "-p", "conformance_witness"]
    # A file that needs what is not installed here (an LDAP library, say) takes no other with it.
    command += ["-q", "-ra", "--tb=short", "--continue-on-collection-errors", *suite.args, *tests]
    # A folder of its own: pytest clears up what other runs on the machine left in the common one.
    scratch = tempfile.mkdtemp(prefix=f"{suite.slug}-")
    env = side_environment(suite, side, python) | {"TMPDIR": scratch}
    env["CONFORMANCE_WITNESS"] = str(account)
    started = time.monotonic()
    try:
        ended = _bounded(command, cwd, env, log, suite.minutes * 60)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _read(account, time.monotonic() - started, ended)


def _expand(patterns: t.Iterable[str], cwd: pathlib.Path) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        found += sorted(str(path.relative_to(cwd)) for path in cwd.glob(pattern)) or [pattern]
    return found


def _bounded(
    command: list[str], cwd: pathlib.Path, env: dict[str, str], log: pathlib.Path, seconds: float
) -> str:
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        RUNNING.add(process)
        try:
            status = process.wait(seconds)
            return "" if status in (0, 1) else f"pytest ended with status {status}"
        except subprocess.TimeoutExpired:
            return f"stopped at its bound of {seconds / 60:g} minutes"
        finally:
            _end_group(process)


def end_all() -> None:
    """End whatever is running now."""
    for process in list(RUNNING):
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # Also after a clean end: a suite may leave servers of its own behind.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    RUNNING.discard(process)


def _read(account: pathlib.Path, seconds: float, ended: str) -> Run:
    outcomes: dict[str, str] = {}
    why: dict[str, str] = {}
    framework = None
    seen: collections.Counter[str] = collections.Counter()
    lines = account.read_text().splitlines() if account.exists() else []
    for entry in map(json.loads, lines):
        if "test" not in entry:
            framework = entry["framework"]
            continue
        test = ADDRESS.sub("0x", entry["test"])
        seen[test] += 1
        if seen[test] > 1:
            test = f"{test}#{seen[test]}"
        outcomes[test] = entry["outcome"]
        if entry["why"]:
            why[test] = ADDRESS.sub("0x", entry["why"])
    if not outcomes and not ended:
        ended = "no test ran"
    return Run(outcomes, why, seconds, framework, ended)


def probe(side: Side, python: pathlib.Path, suite: Suite) -> None:
    """Make sure *side* is what `import flask` gives before anything is measured."""
    code = "import flask; print(flask.Flask.__module__)"
    env = side_environment(suite, side, python)
    done = subprocess.run([str(python), "-c", code], env=env, capture_output=True, text=True)
    if done.stdout.strip() != MAKERS[side]:
        said = done.stdout.strip() or (done.stderr.strip().splitlines() or ["nothing"])[-1]
        sys.exit(f"`import flask` should have given {MAKERS[side]} and gave: {said}")
