"""Two runs compared test by test, and the account of it that is stored."""

from __future__ import annotations

import datetime
import json
import platform
import typing as t

from conformance.catalogue import Suite
from conformance.runner import MAKERS
from conformance.runner import Run

Result = dict[str, t.Any]
OUTCOMES = ("passed", "failed", "skipped", "xfailed")


def lost_tests(flask: Run, torsyq: Run) -> list[str]:
    """The tests that passed on Flask and did not pass here."""
    passed = [test for test, seen in flask.outcomes.items() if seen == "passed"]
    return [test for test in passed if torsyq.outcomes.get(test) != "passed"]


def compare(suite: Suite, flask: Run, torsyq: Run, again: Run | None = None) -> Result:
    """The stored account of *suite*: counts of each side and every test that differs.

    :param again: a second run of the tests that were lost; what passes in it is unsteady, not lost
    """
    lost = lost_tests(flask, torsyq)
    second = again.outcomes if again else {}
    unsteady = [test for test in lost if second.get(test) == "passed"]
    lost = [test for test in lost if test not in unsteady]
    gained = [test for test, seen in torsyq.outcomes.items() if seen == "passed"]
    gained = [test for test in gained if flask.outcomes.get(test) != "passed"]
    return {
        "suite": suite.name,
        "version": suite.version,
        "sha256": suite.sha256,
        "kind": "smoke" if suite.smoke else "published",
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "packages": _packages(suite),
        "tests": len(flask.outcomes),
        "flask": _counts(flask),
        "torsyq": _counts(torsyq) | {"passed_of_flask": flask.count("passed") - len(lost)},
        "lost": [_difference(suite, test, flask, torsyq) for test in sorted(lost)],
        "gained": sorted(gained),
        "unsteady": sorted(unsteady),
    }


def _counts(run: Run) -> Result:
    counts: Result = {outcome: run.count(outcome) for outcome in OUTCOMES}
    return counts | {"seconds": round(run.seconds, 1), "ended": run.ended}


def _difference(suite: Suite, test: str, flask: Run, torsyq: Run) -> Result:
    return {
        "test": test,
        "torsyq": torsyq.outcomes.get(test, "not run"),
        "why": torsyq.why.get(test, torsyq.ended),
        "reason": suite.explain(test),
    }


def _packages(suite: Suite) -> dict[str, str]:
    names = ("flask", "werkzeug", "jinja2", "click", "itsdangerous", "blinker", "pytest")
    pins = (
        line.split("==") for line in suite.pins.read_text().lower().splitlines() if "==" in line
    )
    return {name: version for name, version in pins if name in names}


def absent(suite: Suite, reason: str) -> Result:
    """The account of a suite that could not be run, with the reason."""
    return {"suite": suite.name, "version": suite.version, "absent": reason}


def unexplained(result: Result) -> list[Result]:
    """The tests that pass on Flask, do not pass here, and that nobody has explained."""
    return [difference for difference in result.get("lost", []) if not difference["reason"]]


def wrong_framework(run: Run, side: str) -> bool:
    """Whether the suite ended up with the other `flask` than the one it was to be run on."""
    return run.framework is not None and run.framework != MAKERS[side]


def summary(result: Result) -> str:
    """One line for a person watching."""
    if "absent" in result:
        return f"{result['suite']:<22} not run: {result['absent']}"
    flask, torsyq = result["flask"], result["torsyq"]
    line = f"{result['suite']:<22} {result['version']:<11} {torsyq['passed_of_flask']:>5}"
    line += f" of {flask['passed']:>5} passed on Flask ({flask['seconds']:g} s / {torsyq['seconds']:g} s)"
    ended = [
        f"{side}: {result[side]['ended']}" for side in ("flask", "torsyq") if result[side]["ended"]
    ]
    return line + "".join(f"; {text}" for text in ended)


def store(suite: Suite, result: Result) -> None:
    suite.result.parent.mkdir(exist_ok=True)
    suite.result.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def stored(suite: Suite) -> Result | None:
    """The account of the last stored run of *suite*, its causes read anew from the list."""
    if suite.absent:
        return absent(suite, suite.absent)
    if not suite.result.exists():
        return None
    result: Result = json.loads(suite.result.read_text())
    for difference in result.get("lost", []):
        difference["reason"] = suite.explain(difference["test"])
    return result
