"""Requests over a socket: granian with one worker on one core, wrk on the other.

wrk is a Debian package. Where it is absent, the command says so and ends.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import typing as t
import urllib.request
from contextlib import ExitStack

from benchmarks.frameworks import Framework
from benchmarks.inprocess import show
from benchmarks.results import median
from benchmarks.results import Result
from benchmarks.results import spread
from benchmarks.results import store
from benchmarks.workloads import ROOT

METHOD = (
    "granian on WSGI, one worker with one blocking thread, pinned to one core; wrk with {connections} "
    "connections on the other; {rounds} rounds of {seconds} s in which every framework has its "
    "turn; medians of the ratios to Flask in the same round, by requests per second of CPU time of "
    "the server, and by requests per second"
)
SERVED = ("bare", "flask", "torsyq", "falcon")
PATHS = {"text": "/", "json": "/json"}
CONNECTIONS = 32
SERVER_CORE, CLIENT_CORE = "0", "1"


class Server:
    """A framework's app behind granian, pinned to a core."""

    def __init__(self, framework: Framework) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        command = ["taskset", "-c", SERVER_CORE, framework.python, "-m", "granian"]
        command += ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error"]
        self.process = subprocess.Popen(
            [*command, "--factory", "benchmarks.serve:make"],
            cwd=ROOT.parent,
            env=os.environ | {"BENCH_FRAMEWORK": framework.name},
            start_new_session=True,
        )

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(self.url("/"), timeout=5) as answer:
                    assert answer.read() == b"Hello, World!"
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu(self) -> float:
        """The CPU seconds that its processes have used."""
        ticks = 0
        for pid in (self.process.pid, *_children(self.process.pid)):
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it and its worker."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run(frameworks: t.Sequence[Framework], rounds: int, seconds: int) -> Result | None:
    """Ask all servers in turn and store the ratios to Flask."""
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            print(f"Served runs need {program}: apt-get install {package}")
            return None
    served = [framework for framework in frameworks if framework.name in SERVED]
    rows: dict[str, t.Any] = {}
    with ExitStack() as stack:
        servers = {}
        for framework in served:
            servers[framework.name] = server = Server(framework)
            stack.callback(server.stop)
        for server in servers.values():
            server.wait()
        for name, path in PATHS.items():
            rows[name] = _measure(servers, path, rounds, seconds)
            show(name, rows[name])
    method = METHOD.format(connections=CONNECTIONS, rounds=rounds, seconds=seconds)
    return store("served", method, served, rows=rows)


def _measure(servers: dict[str, Server], path: str, rounds: int, seconds: int) -> dict[str, t.Any]:
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for server in servers.values():
        _load(server, path, 1)
    order = list(servers)
    for _ in range(rounds):
        for name in order:
            rates[name].append(_load(servers[name], path, seconds))
        order.append(order.pop(0))
    found = {}
    for name, own in rates.items():
        pairs = list(zip(own, rates["flask"], strict=True))
        found[name] = spread([mine[0] / base[0] for mine, base in pairs]) | {
            "by_clock": median([mine[1] / base[1] for mine, base in pairs]),
            "per_second": median([mine[1] for mine in own]),
        }
    return found


def _load(server: Server, path: str, seconds: int) -> tuple[float, float]:
    """Requests per second of the server's CPU time, and per second."""
    before = server.cpu()
    command = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    output = subprocess.check_output([*command, server.url(path)], text=True)
    used = server.cpu() - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{server.url(path)}: {output}")
    count, took = re.search(r"(\d+) requests in ([\d.]+)s", output).groups()  # type: ignore[union-attr]
    return int(count) / used, int(count) / float(took)


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]
