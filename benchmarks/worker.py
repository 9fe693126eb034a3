"""The process in which one app is asked: ``python -m benchmarks.worker FRAMEWORK VARIANT SIZE``.

It runs in the framework's own environment, so it needs nothing but the standard library. Orders
come as lines of JSON on the standard input, and each is answered with one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import typing as t
from dataclasses import replace
from importlib import import_module
from time import process_time
from types import FrameType

from benchmarks.drivers import Asgi
from benchmarks.drivers import Driver
from benchmarks.drivers import driver
from benchmarks.workloads import BY_NAME
from benchmarks.workloads import random_paths
from benchmarks.workloads import Request
from benchmarks.workloads import Workload


class Worker:
    """One app and what it may be ordered to do.

    :param framework: the module of :mod:`benchmarks.apps`.
    :param variant: the app of it; with ``@asgi`` or ``@wsgi`` behind it, on that protocol.
    """

    def __init__(self, framework: str, variant: str, size: int) -> None:
        module: t.Any = import_module(f"benchmarks.apps.{framework}")
        variant, _, protocol = variant.partition("@")
        self.size = size
        self.app = module.make(variant, size)
        self.driver: Driver = driver(self.app, protocol or module.PROTOCOL)
        self.requests: dict[str, tuple[Request, ...]] = {}

    def check(self, name: str) -> str:
        """Ask a workload's requests once; ``right``, or what is wrong."""
        workload = BY_NAME[name]
        for request in self._requests(workload):
            answer = self.driver.ask(request)
            if not workload.right(request, answer):
                head = answer.body[:300]
                return f"{request.method} {request.path}: {answer.status} {answer.headers} {head!r}"
        return "right"

    def time(self, name: str, count: int) -> float:
        """The CPU seconds that *count* requests of a workload take."""
        return self.driver.time(self._requests(BY_NAME[name]), count)

    def time_path(self, path: str, count: int) -> float:
        """The CPU seconds of *count* requests to a path."""
        return self.driver.time([Request(path)], count)

    def time_random(self, count: int) -> float:
        """The CPU seconds of *count* requests to the routes of this app, at random."""
        return self.driver.time(random_paths(self.size), count)

    def time_echo(self, path: str, count: int) -> float:
        """The CPU seconds of *count* messages echoed over a WebSocket."""
        return self._asgi.echo(path, count)

    def time_events(self, path: str, clients: int, count: int) -> float:
        """The CPU seconds of *count* server-sent events to so many clients."""
        return self._asgi.fan_out(path, clients, count)

    @property
    def _asgi(self) -> Asgi:
        assert isinstance(self.driver, Asgi)
        return self.driver

    def ask(self, path: str) -> tuple[int, str]:
        """Status and text of the answer to a GET request."""
        answer = self.driver.ask(Request(path))
        return answer.status, answer.body.decode()

    def hops(self, name: str) -> int:
        """How many Python functions one warm request of a workload calls."""
        return len(self.calls(name))

    def calls(self, name: str) -> list[str]:
        """Every Python function that one warm request calls, behind those it is called by."""
        requests = self._requests(BY_NAME[name])[:1]
        self.driver.time(requests, 50)
        calls: list[str] = []

        def note(frame: FrameType | None, event: str, _: t.Any) -> None:
            if event != "call" or _is_ours(frame):
                return
            chain = []
            while frame is not None and not _is_ours(frame):
                chain.append(frame.f_code.co_qualname)
                frame = frame.f_back
            calls.append(" > ".join(reversed(chain)))

        sys.setprofile(note)
        try:
            self.driver.time(requests, 1)
        finally:
            sys.setprofile(None)
        return calls

    def memory(self) -> int:
        """The resident bytes of this process."""
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def collected(self, name: str, count: int) -> int:
        """How many objects only the cycle collector could free after *count* requests."""
        self.time(name, 50)
        gc.collect()
        gc.disable()
        try:
            self.time(name, count)
            return gc.collect()
        finally:
            gc.enable()

    def stop(self) -> None:
        self.driver.close()

    def _requests(self, workload: Workload) -> tuple[Request, ...]:
        """The requests of a workload, with the session's cookie where it asks for one."""
        if workload.name not in self.requests:
            requests = workload.requests
            if workload.warm:
                cookie = self.driver.ask(requests[0]).header("set-cookie").partition(";")[0]
                requests = tuple(replace(r, headers={"Cookie": cookie}) for r in requests)
            self.requests[workload.name] = requests
        return self.requests[workload.name]


_HERE = os.path.dirname(os.path.abspath(__file__))


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(_HERE)


def main() -> None:
    framework, variant, size = sys.argv[1:]
    began = process_time()
    worker = Worker(framework, variant, int(size))
    replies, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(process_time() - began), file=replies, flush=True)
    for line in sys.stdin:
        order, *args = json.loads(line)
        print(json.dumps(getattr(worker, order)(*args)), file=replies, flush=True)
        if order == "stop":
            return


if __name__ == "__main__":
    main()
