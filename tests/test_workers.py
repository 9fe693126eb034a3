"""The threads in which sync functions run beside an event loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import typing as t
from collections.abc import Iterator

import pytest

from torsyq import Flask
from torsyq import g
from torsyq.testing import FlaskClient
from torsyq.workers import InPlace
from torsyq.workers import WorkerThreads

from .asgi import Exchange
from .asgi import exchange
from .asgi import scope
from .asgi import until
from .servers import PATIENCE


@pytest.fixture
def pool() -> Iterator[WorkerThreads]:
    pool = WorkerThreads(2, "test")
    yield pool
    pool.shutdown()


def test_a_seat_keeps_to_a_thread(pool: WorkerThreads) -> None:
    seat = pool.seat()
    threads = {seat.submit(threading.get_ident).result(PATIENCE) for _ in range(20)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_the_thread_with_the_fewest_seats_is_given(pool: WorkerThreads) -> None:
    seats = [pool.seat() for _ in range(4)]
    threads = [seat.submit(threading.get_ident).result(PATIENCE) for seat in seats]
    assert threads[0] != threads[1]
    assert threads.count(threads[0]) == threads.count(threads[1]) == 2
    del seats[::2]
    gc.collect()
    assert pool.seat().submit(threading.get_ident).result(PATIENCE) == threads[0]


def test_what_waits_for_another_of_its_own_is_not_waited_for(pool: WorkerThreads) -> None:
    """As a sync view does that waits for a coroutine which calls a sync function."""
    seat = pool.seat()
    inner = seat.submit(lambda: seat.submit(threading.get_ident).result(PATIENCE))
    assert inner.result(PATIENCE) != seat.submit(threading.get_ident).result(PATIENCE)


def test_in_place_means_here() -> None:
    assert InPlace().submit(threading.get_ident).result(0) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        InPlace().submit(lambda: 1 / 0).result(0)


def test_without_threads_all_runs_on_the_loop(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Pyodide: a stream, then, is sent when all of it is there."""
    here = threading.get_ident()

    @app.get("/")
    def index() -> str:
        return str(threading.get_ident() == here)

    @app.get("/stream")
    def stream() -> t.Iterator[str]:
        yield "a"
        yield str(threading.get_ident() == here)

    @app.get("/async")
    async def on_loop() -> str:
        return str(threading.get_ident() == here)

    app.before_request(lambda: None)
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert isinstance(app.thread_pool, InPlace)
    monkeypatch.undo()
    assert asyncio.run(exchange(app)).body == b"True"
    assert asyncio.run(exchange(app, "/stream")).body == b"aTrue"
    assert asyncio.run(exchange(app, "/async")).body == b"True"


def test_the_sync_functions_of_a_request_share_a_thread(app: Flask, anyclient: FlaskClient) -> None:
    """What belongs to one thread, as a connection of SQLite does, may be kept in g."""
    threads: list[int] = []

    def note(*args: object) -> None:
        threads.append(threading.get_ident())

    @app.get("/")
    def view() -> str:
        note()
        g.seen = True
        return ""

    app.before_request(note)
    app.teardown_request(note)
    app.teardown_appcontext(note)
    for _ in range(20):
        anyclient.get("/")
        assert len(threads) == 4
        assert len(set(threads)) == 1, threads
        threads.clear()


def test_a_request_that_outlasts_the_pool_ends_as_any_other(app: Flask) -> None:
    """Granian says that serving ends while a request goes on whose client has gone."""
    ended: list[str] = []

    async def run() -> Exchange:
        go = asyncio.Event()
        app.before_request(lambda: None)
        app.teardown_request(lambda error: ended.append("request"))
        app.teardown_appcontext(lambda error: ended.append("app"))

        @app.get("/")
        async def view() -> str:
            ended.append("view")
            await go.wait()
            return "answered"

        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: ended)
        await app.shutdown()
        go.set()
        return await task

    assert asyncio.run(run()).body == b"answered"
    assert ended == ["view", "request", "app"]
    app.thread_pool.shutdown()
