"""How many connections a server holds open: as many as the system lets it, where they cost no thread."""

from __future__ import annotations

import resource
import socket
import typing as t
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from torsyq import connections
from torsyq import serve
from torsyq.cli import ScriptInfo
from torsyq.connections import most_connections
from torsyq.serve import serve_command
from torsyq.serve import Trial

from .servers import free_port
from .servers import PATIENCE
from .servers import process

LISTEN = """
import asyncio
import resource

from torsyq import Flask
from torsyq.sse import sse_response

app = Flask(__name__)

@app.get("/")
async def index():
    return str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

@app.get("/listen")
async def listen():
    async def source():
        yield "begun"
        await asyncio.Event().wait()

    return sse_response(source())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(LISTEN)
    return tmp_path


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of open files, soft and hard, of which a test sets the first; then those set."""
    all_limits: list[tuple[int, int]] = []

    def set_limit(kind: int, limit: tuple[int, int]) -> None:
        if limit[0] > 20_000:
            raise ValueError("not on this system")
        all_limits.append(limit)

    monkeypatch.setattr(resource, "getrlimit", lambda kind: all_limits[-1])
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return all_limits


@pytest.fixture
def many_files() -> t.Iterator[None]:
    """As many files as 1,200 clients need in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if wanted < 4096:
        pytest.skip("The system does not allow so many open files.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def listen(port: int, count: int, stack: ExitStack) -> int:
    """How many of *count* clients hear that their stream of events has begun."""
    for number in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        client.sendall(b"GET /listen HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = b""
        while b"begun" not in heard:
            try:
                heard += client.recv(4096)
            except TimeoutError:
                return number
    return count


def test_the_development_server_holds_hundreds_of_streams(project: Path) -> None:
    port = free_port()
    args = ("-m", "torsyq", "--app", "hello", "run", "-p", str(port))
    with process(project, *args) as server, ExitStack() as stack:
        server.wait_for(port)
        assert " * Interface: asgi, on granian\n" in server.output
        assert listen(port, 200, stack) == 200
        assert server.get(port) is not None


@pytest.mark.parametrize("interface", ["asgi", "rsgi"])
def test_serve_holds_more_than_a_thousand_streams(
    project: Path, interface: str, many_files: None
) -> None:
    port = free_port()
    args = ("-m", "torsyq", "--app", "hello", "serve", "-p", str(port), "--interface", interface)
    with process(project, *args) as server, ExitStack() as stack:
        files = int(server.wait_for(port).text)
        assert f", connections of each: {files * 3 // 4}\n" in server.output
        assert listen(port, 1100, stack) == 1100
        assert server.get(port) is not None


def test_more_than_allowed_wait_until_others_have_gone(project: Path) -> None:
    port = free_port()
    args = ("-m", "torsyq", "--app", "hello", "serve", "-p", str(port), "--backpressure", "2")
    with process(project, *args) as server, ExitStack() as stack:
        server.wait_for(port)
        with ExitStack() as first:
            assert listen(port, 2, first) == 2
            third = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            third.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            third.settimeout(0.2)
            with pytest.raises(TimeoutError):
                third.recv(1)
        third.settimeout(PATIENCE)
        assert third.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("soft", "hard", "most", "raised"),
    [
        (256, 20_000, 15_000, 20_000),
        (1024, 1024, 768, None),
        # Refused, as by macOS, until it is less.
        (256, 100_000, 7680, 10_240),
        (256, resource.RLIM_INFINITY, 7680, 10_240),
        (100_000, 200_000, 75_000, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, connections.MOST, None),
    ],
)
def test_the_limit_of_open_files_decides(
    soft: int, hard: int, most: int, raised: int | None, limits: list[tuple[int, int]]
) -> None:
    """It is raised as far as the system allows, and leaves the app a part."""
    limits.append((soft, hard))
    assert most_connections() == most
    assert limits[1:] == ([] if raised is None else [(raised, hard)])


@pytest.mark.parametrize(
    ("interface", "workers", "most"),
    [("asgi", "4", 15_000), ("rsgi", "4", 15_000), ("wsgi", "4", 256), ("wsgi", "1", 1024)],
)
def test_what_a_worker_holds_open(
    interface: str,
    workers: str,
    most: int,
    limits: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over WSGI, where requests beyond the threads only wait, as many as granian has."""
    limits.append((20_000, 20_000))
    seen: dict[str, t.Any] = {}
    monkeypatch.setattr(serve, "check_app", lambda info: Trial([], 40))
    monkeypatch.setattr(serve, "serve", lambda info, **options: seen.update(options))
    monkeypatch.setattr(serve, "_workers_are_threads", lambda: False)
    args = ["-p", "0", "--interface", interface, "-w", workers]
    CliRunner().invoke(serve_command, args, obj=ScriptInfo("hello"))
    assert seen["backpressure"] == most

    # Where they share a process they share its files.
    monkeypatch.setattr(serve, "_workers_are_threads", lambda: True)
    CliRunner().invoke(serve_command, args, obj=ScriptInfo("hello"))
    assert seen["backpressure"] == min(most, 15_000 // int(workers))

    result = CliRunner().invoke(serve_command, [*args, "--backpressure", "7"], obj=ScriptInfo("x"))
    assert seen["backpressure"] == 7
    assert result.output.endswith(", connections of each: 7\n")
