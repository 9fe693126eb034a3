"""Requests that are answered at the same moment never see anything of each other.

64 threads, and 1,000 requests on one loop, over real sockets: the app holds all of them until
the last has come, then each looks at what it believes to be its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import typing as t
from pathlib import Path

import pytest

from .servers import command
from .servers import free_port
from .servers import PATIENCE
from .servers import Process
from .servers import process

THREADS = 64
TASKS = 1_000

HELLO = """
import asyncio
import threading
from contextvars import ContextVar

from flask import Flask, copy_current_request_context, g, request, session

app = Flask(__name__)
app.config.update(SECRET_KEY="of the test", ASGI_THREADS=64)
own = ContextVar("own")
late = ContextVar("late", default=None)
barrier = threading.Barrier(64, timeout=30)
arrived = []


@app.get("/")
def index():
    return "ready"


@app.before_request
def remember():
    # In another thread than an async view, whose context it changes all the same.
    if "n" in request.args:
        assert "n" not in g
        if "asgi.scope" in request.environ:
            # In WSGI's threads, context variables outlive the request, as they do on Flask.
            assert own.get(None) is None and late.get() is None
        g.n = request.args["n"]
        own.set(g.n)
        session["n"] = request.args["n"]


@app.after_request
def tell(response):
    if "n" in request.args:
        response.headers["X-After"] = ",".join(seen())
    return response


@app.teardown_request
def check(error):
    if "n" in request.args and set(seen()) != {request.args["n"]}:
        print("MIXED UP in teardown", seen(), flush=True)


def seen():
    return [
        request.args["n"],
        request.headers["X-N"],
        request.cookies["n"],
        request.view_args["n"],
        g.n,
        session["n"],
        own.get(),
        late.get(),
    ]


@app.get("/sync/<n>")
def sync(n):
    late.set(n)
    barrier.wait()
    return seen()


@app.get("/async/<n>")
async def in_the_loop(n):
    late.set(n)
    if not arrived or arrived[-1]["left"] == 0:
        arrived.append({"left": int(request.args["of"]), "all": asyncio.Event()})
    round = arrived[-1]
    round["left"] -= 1
    if round["left"] == 0:
        round["all"].set()
    await asyncio.wait_for(round["all"].wait(), 60)
    first = seen()

    @copy_current_request_context
    async def inner():
        await asyncio.sleep(0)
        return seen()

    return first + await asyncio.create_task(inner())
"""


@pytest.fixture
def many_files() -> t.Iterator[None]:
    """A connection is an open file, here and in the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * TASKS if hard == resource.RLIM_INFINITY else min(hard, 4 * TASKS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask(port: int, path: str, n: str) -> tuple[str, str, list[str]]:
    """The status, the header of the after_request function and the list of the view."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nX-N: {n}\r\nCookie: n={n}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    status = head.split(" ", 2)[1]
    if status != "200":
        return status, "", [head + body]
    found = re.search(r"(?im)^x-after: (.*?)\r?$", head)
    assert found is not None
    listed = body[body.index("[") : body.rindex("]") + 1]
    return status, found[1], json.loads(listed)


async def ask_at_once(port: int, paths: dict[str, str]) -> dict[str, tuple[str, str, list[str]]]:
    """All answers, though none may come before the last request is in the app.

    granian 2.8.7 starts at most one thread when a request arrives, and none where it takes an old
    thread for idle that just took another request. Then that one lies in the queue until a thread
    is free or a further request comes: a bare WSGI callable with a barrier stays one short, too,
    about once in two hundred times on a busy machine. So further requests come, until all is said.
    """
    asked = asyncio.gather(*(ask(port, path, n) for n, path in paths.items()))
    further = []
    async with asyncio.timeout(3 * PATIENCE):
        while not (await asyncio.wait([asked], timeout=1))[0]:
            further.append(asyncio.create_task(ask_further(port)))
        await asyncio.gather(*further)
    return dict(zip(paths, asked.result(), strict=True))


async def ask_further(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
    finally:
        writer.close()


def check(server: Process, port: int, paths: dict[str, str], times: int) -> None:
    for n, (status, after, view) in asyncio.run(ask_at_once(port, paths)).items():
        assert (status, set(view), len(view)) == ("200", {n}, 8 * times), server.output
        assert set(after.split(",")) == {n}
    assert "MIXED UP" not in server.output


def with_threads(server: str, port: int) -> tuple[str, ...]:
    """The command, with as many threads as there are requests."""
    return tuple("64" if word == "8" else word for word in command(server, port))


@pytest.mark.parametrize(
    "name", ["granian-wsgi", "gunicorn-gthread", "waitress", "uvicorn", "granian-asgi"]
)
def test_threads(name: str, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    port = free_port()
    with process(tmp_path, *with_threads(name, port)) as server:
        server.wait_for(port)
        for turn in range(5):
            numbers = [f"{turn}-{number}" for number in range(THREADS)]
            check(server, port, {n: f"/sync/{n}?n={n}" for n in numbers}, 1)


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn", "granian-asgi"])
def test_tasks(name: str, tmp_path: Path, many_files: None) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    port = free_port()
    with process(tmp_path, *command(name, port)) as server:
        server.wait_for(port)
        numbers = [str(number) for number in range(TASKS)]
        check(server, port, {n: f"/async/{n}?n={n}&of={TASKS}" for n in numbers}, 2)


def test_threads_that_wait_for_one_loop(tmp_path: Path) -> None:
    """Async views under WSGI: each in its thread, all coroutines on the process's loop."""
    (tmp_path / "hello.py").write_text(HELLO)
    port = free_port()
    with process(tmp_path, *with_threads("granian-wsgi", port)) as server:
        server.wait_for(port)
        numbers = [str(number) for number in range(THREADS)]
        check(server, port, {n: f"/async/{n}?n={n}&of={THREADS}" for n in numbers}, 2)
