"""A pytest plugin, loaded by the driver: writes each test's outcome as it falls, and who `flask` was.

Written as the run goes on (JSON lines), so that a run stopped at its time bound still tells.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

RANK = {"passed": 0, "xfailed": 1, "skipped": 2, "failed": 3}


class Witness:
    def __init__(self, path: str) -> None:
        self.path = path
        self.outcomes: dict[str, tuple[str, str]] = {}

    def write(self, **fields: object) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(fields) + "\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        worst, why = self.outcomes.get(report.nodeid, ("passed", ""))
        if RANK[outcome] > RANK[worst]:
            worst, why = outcome, self.reason(report)
        self.outcomes[report.nodeid] = (worst, why)
        if report.when == "teardown":
            self.write(test=report.nodeid, outcome=worst, why=why)
            del self.outcomes[report.nodeid]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.write(
                test=f"{report.nodeid} (collection)", outcome="failed", why=self.reason(report)
            )

    def reason(self, report: pytest.TestReport | pytest.CollectReport) -> str:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr or "")
        return text[:2000] if crash else text[-2000:]

    def pytest_unconfigure(self) -> None:
        module = sys.modules.get("flask")
        flask_class = getattr(module, "Flask", None)
        self.write(framework=getattr(flask_class, "__module__", None))


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get("CONFORMANCE_WITNESS")
    if path:
        # Suites that start pytest or Python of their own must not write into this run's account.
        del os.environ["CONFORMANCE_WITNESS"]
        config.pluginmanager.register(Witness(path))
