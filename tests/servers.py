"""Real server processes for tests: started, waited for within a bound, never left behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from contextlib import contextmanager
from pathlib import Path

import torsyq.doors

PATIENCE = 30.0
"""Seconds after which what has not happened will not."""


# How each server is told to serve ``hello:app`` at a port; none is told what the app speaks
# unless it asks.
SERVERS: dict[str, str] = {
    "uvicorn": "uvicorn hello:app --port {port} --http h11",
    "uvicorn-httptools": "uvicorn hello:app --port {port} --http httptools",
    "hypercorn": "hypercorn hello:app --bind 127.0.0.1:{port}",
    "granian-wsgi": "granian hello:app --interface wsgi --port {port} --blocking-threads 8",
    "granian-asgi": "granian hello:app --interface asgi --port {port}",
    "granian-asginl": "granian hello:app --interface asginl --port {port}",
    "granian-rsgi": "granian hello:app --interface rsgi --port {port}",
    "gunicorn-sync": "gunicorn hello:app --bind 127.0.0.1:{port}",
    "gunicorn-gthread": "gunicorn hello:app --bind 127.0.0.1:{port} -k gthread --threads 8",
    "gunicorn-gevent": "gunicorn hello:app --bind 127.0.0.1:{port} -k gevent",
    "gunicorn-asgi": "gunicorn hello:app --bind 127.0.0.1:{port} -k asgi",
    "gunicorn-uvicorn": "gunicorn hello:app --bind 127.0.0.1:{port} -k uvicorn_worker.UvicornWorker",
    "waitress": "waitress --listen 127.0.0.1:{port} --threads 8 hello:app",
    "torsyq-serve-wsgi": "torsyq --app hello serve --port {port} --interface wsgi --threads 8",
    "torsyq-serve-asgi": "torsyq --app hello serve --port {port} --interface asgi",
    "torsyq-run": "torsyq --app hello run --port {port} --interface wsgi",
}
ASGI_SERVERS = [
    name
    for name in SERVERS
    if not name.endswith(("-wsgi", "-sync", "-gthread", "-gevent", "-run")) and name != "waitress"
]


def command(server: str, port: int) -> tuple[str, ...]:
    """What follows ``python`` to serve ``hello:app``."""
    return ("-m", *SERVERS[server].format(port=port).split())


class Answer(t.NamedTuple):
    """What a server answered."""

    status: int
    text: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(what: str, check: t.Callable[[], t.Any]) -> t.Any:
    """Call ``check`` until it returns something true, and return that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {PATIENCE} seconds")


class Process:
    """A program under test, in a process group of its own, with its output in a file."""

    def __init__(self, args: list[str], cwd: Path, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.popen = subprocess.Popen(
                args, cwd=cwd, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def get(self, port: int, path: str = "/") -> Answer | None:
        """Ask once; ``None`` while nobody listens, or when the process has ended."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except (ConnectionError, http.client.HTTPException):
            if self.popen.poll() is not None:
                raise AssertionError(f"the server has ended:\n{self.output}") from None
            return None
        finally:
            connection.close()

    def wait_for(
        self, port: int, path: str = "/", good: t.Callable[[Answer], object] = lambda _: True
    ) -> Answer:
        """Ask until a good answer comes."""

        def ask() -> Answer | None:
            answer = self.get(port, path)
            return answer if answer is not None and good(answer) else None

        try:
            found: Answer = until(f"an answer to {path}", ask)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        return found

    def wait_for_output(self, text: str) -> str:
        def look() -> str | None:
            return self.output if text in self.output else None

        found: str = until(f"{text!r} in the output", look)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE)


def environment(doors: bool = True, **extra: str) -> dict[str, str]:
    """The variables of a test's process: no FLASK_* but those given; with doors, flask is Torsyq."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    env.pop("WERKZEUG_RUN_MAIN", None)
    env["PYTHONUNBUFFERED"] = "1"
    if doors:
        env["PYTHONPATH"] = torsyq.doors.path()
    return {**env, **extra}


@contextmanager
def process(folder: Path, *args: str, doors: bool = True, **env: str) -> t.Iterator[Process]:
    """Run ``python ...`` in a folder; whatever happens, nothing of it is left running."""
    started = Process(
        [sys.executable, *args],
        folder,
        environment(doors, **env),
        folder / f"output-{free_port()}.log",
    )
    try:
        yield started
    finally:
        try:
            os.killpg(started.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        started.popen.wait()


def run(
    folder: Path, *args: str, doors: bool = True, encoding: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python ...`` in a folder to its end."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env=environment(doors, **env),
        capture_output=True,
        text=True,
        encoding=encoding,
        timeout=PATIENCE,
    )
