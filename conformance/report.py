"""``docs/parity.md`` and the doctor's data file, rendered from the stored runs."""

from __future__ import annotations

import json
import typing as t

from conformance.catalogue import PACKAGE_DATA
from conformance.catalogue import REPORT
from conformance.catalogue import Suite
from conformance.verdict import Result
from conformance.verdict import stored

INTRODUCTION = """\
# Parity: what Flask's world says about Torsyq

These are test suites that nobody here wrote. Each is taken from its published source archive
(version pinned, hash checked) and run unmodified in an environment of its own: first on the real
Flask, then with the doors open, so that `import flask` gives Torsyq. The figure of a suite is the
number of tests that pass on Torsyq *among those that pass on Flask*. Nothing is deselected for
Torsyq's sake, and the two runs differ in nothing but the path.

This page is rendered from the stored results in `conformance/results/`; do not edit it. To repeat it:

```console
$ make conformance                            # everything, then this page
$ python -m conformance --suite Flask-Login   # one suite
$ python -m conformance --quick               # Flask's own, and what fits ten minutes
```
"""


def render(suites: list[Suite]) -> str:
    """The page, from what is stored."""
    results = [result for suite in suites if (result := stored(suite))]
    ran = [result for result in results if "absent" not in result]
    absent = [result for result in results if "absent" in result]
    parts = [INTRODUCTION, _totals(ran), _environment(ran)]
    parts.append(_section("Published suites", [r for r in ran if r["kind"] == "published"]))
    parts.append(
        _section("Written smoke apps", [r for r in ran if r["kind"] == "smoke"], SMOKE_NOTE)
    )
    parts += [_differences(ran), _unsteady(ran), _gains(ran)]
    parts += [_notes(suites), _absent(absent)]
    return "\n".join(part for part in parts if part)


SMOKE_NOTE = """\
Their published archives carry no tests that can be run on their own; `conformance/smoke/` holds a
small app for each, as the package's own manual would have it, run the same way on both.
"""


def _totals(ran: list[Result]) -> str:
    flask = sum(result["flask"]["passed"] for result in ran)
    torsyq = sum(result["torsyq"]["passed_of_flask"] for result in ran)
    share = _percent(torsyq, flask)
    return f"**{torsyq:,} of the {flask:,} tests** that pass on Flask pass on Torsyq ({share}), in {len(ran)} suites.\n"


def _environment(ran: list[Result]) -> str:
    newest = max(ran, key=lambda result: t.cast(str, result["date"]))
    names = ", ".join(f"{name} {version}" for name, version in sorted(newest["packages"].items()))
    return f"Last run {newest['date']}, Python {newest['python']}, {names}.\n"


def _percent(part: int, whole: int) -> str:
    # Never rounded up to 100: that figure is for suites with nothing lost.
    return "100 %" if part == whole else f"{int(10000 * part / whole) / 100:.2f} %"


def _section(title: str, results: list[Result], note: str = "") -> str:
    if not results:
        return ""
    rows = ["| suite | version | tests | passed on Flask | passed on Torsyq | share |"]
    rows.append("|---|---|--:|--:|--:|--:|")
    rows += [_row(result) for result in results]
    return "\n".join([f"## {title}\n", *([note] if note else []), *rows, ""])


def _row(result: Result) -> str:
    flask, torsyq = result["flask"]["passed"], result["torsyq"]["passed_of_flask"]
    cells = [result["suite"], result["version"], result["tests"], flask, torsyq]
    cells.append(_percent(torsyq, flask))
    return "| " + " | ".join(map(str, cells)) + " |"


def _differences(ran: list[Result]) -> str:
    lines = ["## Known differences\n"]
    for result in ran:
        for cause, tests in _by_cause(result["lost"]).items():
            lines.append(f"* **{result['suite']}**: {cause}")
            lines += [f"  * `{test}`" for test in tests]
    if len(lines) == 1:
        lines.append("None: every test that passes on Flask passes on Torsyq.")
    return "\n".join([*lines, ""])


def _by_cause(lost: list[Result]) -> dict[str, list[str]]:
    causes: dict[str, list[str]] = {}
    for difference in lost:
        said = (difference["why"].splitlines() or [difference["torsyq"]])[0]
        cause = difference["reason"] or f"not explained yet (`{said[:160]}`)"
        causes.setdefault(cause, []).append(difference["test"])
    return causes


def _gains(ran: list[Result]) -> str:
    gains = [(result["suite"], test) for result in ran for test in result["gained"]]
    if not gains:
        return ""
    head = "## Tests that pass here and not on Flask in the same environment\n"
    return "\n".join([head, *(f"* {suite}: `{test}`" for suite, test in gains), ""])


def _unsteady(ran: list[Result]) -> str:
    tests = [(result["suite"], test) for result in ran for test in result.get("unsteady", [])]
    if not tests:
        return ""
    head = "## Tests that failed here once and passed when run again by themselves\n"
    return "\n".join([head, *(f"* {suite}: `{test}`" for suite, test in tests), ""])


def _notes(suites: list[Suite]) -> str:
    notes = [f"* **{suite.name}**: {suite.note}" for suite in suites if suite.note]
    return "\n".join(["## Notes on single suites\n", *notes, ""]) if notes else ""


def _absent(absent: list[Result]) -> str:
    if not absent:
        return ""
    rows = [f"* **{result['suite']}** {result['version']}: {result['absent']}" for result in absent]
    return "\n".join(["## Suites that could not be run\n", *rows, ""])


def write(suites: list[Suite]) -> None:
    """Write the page, and the few figures of it that ``torsyq doctor`` carries with it."""
    REPORT.write_text(render(suites))
    PACKAGE_DATA.write_text(json.dumps(figures(suites), indent=1, sort_keys=True) + "\n")


def figures(suites: list[Suite]) -> dict[str, Result]:
    """By normalised name of the package: the version tried and what came out."""
    found = {}
    for suite in suites:
        result = stored(suite)
        if result and "absent" not in result:
            found[suite.slug] = {
                "name": suite.name,
                "version": suite.version,
                "flask": result["flask"]["passed"],
                "torsyq": result["torsyq"]["passed_of_flask"],
                "smoke": suite.smoke,
            }
    return found
