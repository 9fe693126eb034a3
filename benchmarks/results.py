"""Stored runs: one file of JSON for each command, with what is needed to judge it."""

from __future__ import annotations

import datetime
import json
import statistics
import typing as t

from benchmarks.frameworks import Framework
from benchmarks.frameworks import machine
from benchmarks.frameworks import versions
from benchmarks.workloads import ROOT

FOLDER = ROOT / "results"

Result = dict[str, t.Any]


def store(name: str, method: str, frameworks: t.Iterable[Framework], **found: t.Any) -> Result:
    """Write a run down, with its versions."""
    result = {
        "method": method,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(frameworks),
        **found,
    }
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return result


def load(name: str) -> Result | None:
    """A stored run, None where there is none."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


def median(values: t.Sequence[float]) -> float:
    """The median, to four digits that count."""
    return float(f"{statistics.median(values):.4g}")


def spread(values: t.Sequence[float]) -> dict[str, float]:
    """The median, and between what half of the values lie."""
    if len(values) < 2:
        return {"median": median(values), "low": median(values), "high": median(values)}
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median([middle]), "low": median([low]), "high": median([high])}
