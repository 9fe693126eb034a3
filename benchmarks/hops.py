"""Counts instead of times: Python calls per request, which do not depend on the machine."""

from __future__ import annotations

import re
import typing as t
from collections import Counter

from benchmarks.frameworks import Framework
from benchmarks.frameworks import Pool
from benchmarks.inprocess import verify
from benchmarks.results import Result
from benchmarks.results import store
from benchmarks.workloads import ROUTES
from benchmarks.workloads import Workload

METHOD = (
    "Python functions called by one warm request, counted with the interpreter's profile hook; "
    "calls into C and the app's own functions are not counted"
)
# Whose calls are told apart, by the workload.
PROFILED = ("text", "user")
PEERS = ("flask", "torsyq", "falcon", "bottle", "django")

# What a step of a request is there for. A call counts for the innermost step around it.
STAGES = {
    "the app's steps": r"__call__|wsgi_app|full_dispatch_request|(pre)?process_(request|response)|"
    r"dispatch_request|finalize_request|do_teardown_(request|appcontext)|ensure_sync",
    "contexts": r"app_context|request_context|(App|Request)Context\.(__init__|push|pop)|"
    r"(_ProxyLookup|LocalProxy)\..+",
    "matching the URL": r"create_url_adapter|match_request|Map\.(lookup|bind_to_environ)",
    "the request object": r"Request\.__init__",
    "session": r"\w+SessionInterface\.\w+",
    "signals": r"Signal\.send",
    "the response": r"make_response|Response\.(__init__|__call__)",
}
_steps = {
    name: re.compile(rf"(?:(?:Flask|Walk|Responses)\.)?(?:{steps})")
    for name, steps in STAGES.items()
}


def run(frameworks: t.Sequence[Framework], workloads: t.Sequence[Workload]) -> Result:
    """Count the calls of every workload; for some, tell what they are there for."""
    counted = [framework for framework in frameworks if framework.name in PEERS]
    rows: dict[str, dict[str, int]] = {}
    stages: dict[str, dict[str, dict[str, int]]] = {}
    with Pool() as pool:
        for workload in workloads:
            row = rows[workload.name] = {}
            for framework in counted:
                if workload.name in framework.missing:
                    continue
                process = pool(framework.name, workload.variant, ROUTES)
                verify(process, workload)
                calls: list[str] = process("calls", workload.name)
                row[framework.name] = len(calls)
                if workload.name in PROFILED and framework.name in {"flask", "torsyq"}:
                    stages.setdefault(workload.name, {})[framework.name] = by_stage(calls)
            print(f"{workload.name:10}", *(f"{key} {value}" for key, value in row.items()))
    return store("hops", METHOD, counted, rows=rows, stages=stages)


def by_stage(calls: t.Iterable[str]) -> dict[str, int]:
    """How many calls were there for what."""
    found = Counter(stage(call) for call in calls)
    return {name: found[name] for name in STAGES}


def stage(call: str) -> str:
    """What a call is there for: the innermost step among those it happened in."""
    for function in reversed(call.split(" > ")):
        for name, steps in _steps.items():
            if steps.fullmatch(function):
                return name
    return "the app's steps"
