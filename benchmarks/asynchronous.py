"""The async side: plain text, JSON and a sync view under ASGI, WebSockets, server-sent events."""

from __future__ import annotations

import json
import typing as t

from benchmarks.frameworks import Framework
from benchmarks.frameworks import Pool
from benchmarks.frameworks import Process
from benchmarks.inprocess import METHOD
from benchmarks.inprocess import rate
from benchmarks.inprocess import show
from benchmarks.inprocess import Timer
from benchmarks.inprocess import timer
from benchmarks.results import Result
from benchmarks.results import store
from benchmarks.workloads import GREETING

CLIENTS = 1000
PATHS = {"text": "/", "json": "/json", "sync": "/sync"}
PEERS = ("bare", "torsyq", "quart", "starlette", "fastapi", "litestar", "blacksheep")
# BlackSheep calls a sync handler on the loop itself, which is another thing.
MISSING = {("blacksheep", "sync")}


def run(frameworks: t.Sequence[Framework], rounds: int, batch: float) -> Result:
    """Time the async side and store the ratios to Quart; async views on WSGI, to Flask."""
    peers = [framework for framework in frameworks if framework.name in PEERS]
    rows: dict[str, t.Any] = {}
    with Pool() as pool:
        for name, path in PATHS.items():
            timers: dict[str, Timer] = {}
            for framework in peers:
                if (framework.name, name) not in MISSING:
                    process = pool(framework.name, "async@asgi")
                    verify(process, path)
                    timers[framework.name] = timer(process, "time_path", path)
            rows[name] = rate(timers, "quart", rounds, batch)
            show(name, rows[name])
        live = {f.name: timer(pool(f.name, "async@asgi"), "time_echo", "/ws") for f in peers}
        rows["websocket"] = rate(live, "quart", rounds, batch)
        show("websocket", rows["websocket"])
        live = {f.name: timer(pool(f.name, "async@asgi"), *_EVENTS) for f in peers}
        # Opening a thousand streams takes time that is not counted: fewer turns do. What a
        # framework does for each only once, after a while, is not what an event costs: longer ones.
        rows["events"] = rate(live, "quart", 9, batch * 10)
        show("events", rows["events"])
        wsgi = {}
        for name in ("flask", "torsyq"):
            process = pool(name, "async@wsgi")
            verify(process, "/")
            wsgi[name] = timer(process, "time_path", "/")
        rows["wsgi"] = rate(wsgi, "flask", rounds, batch)
        show("wsgi", rows["wsgi"])
    method = METHOD.format(batch=batch * 1000, rounds=rounds, base="Quart")
    return store("async", method, frameworks, rows=rows, clients=CLIENTS)


_EVENTS = "time_events", "/events", CLIENTS


def verify(process: Process, path: str) -> None:
    """Refuse to time what does not answer rightly."""
    status, text = process("ask", path)
    right = json.loads(text) == {"message": GREETING} if path == "/json" else text == GREETING
    if status != 200 or not right:
        raise RuntimeError(f"{process.name}, {path}: {status} {text!r}")
