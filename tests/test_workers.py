"""The threads in which sync functions run beside an event loop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import typing as t
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor

import pytest

from torsyq import Flask
from torsyq import g
from torsyq.testing import FlaskClient
from torsyq.workers import _Lane
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


def test_a_seat_keeps_to_its_thread_also_where_who_waits_is_faster_than_the_thread(
    pool: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was submitted is done before anybody is called back."""
    seat = pool.seat()
    submit = seat._lane.submit
    may_end, may_call_back = threading.Event(), threading.Event()

    def submit_and_wait(*args: t.Any) -> Future[t.Any]:
        work = submit(*args)
        work.add_done_callback(lambda work: may_call_back.wait(PATIENCE))
        return work

    monkeypatch.setattr(seat._lane, "submit", submit_and_wait)
    first = seat.submit(lambda: (may_end.wait(PATIENCE), threading.get_ident())[1])
    may_end.set()
    ident = first.result(PATIENCE)
    monkeypatch.undo()
    second = seat.submit(threading.get_ident)
    may_call_back.set()
    assert second.result(PATIENCE) == ident


def test_the_thread_with_the_fewest_seats_is_given(pool: WorkerThreads) -> None:
    seats = [pool.seat() for _ in range(4)]
    threads = [seat.submit(threading.get_ident).result(PATIENCE) for seat in seats]
    assert threads[0] != threads[1]
    assert threads.count(threads[0]) == threads.count(threads[1]) == 2
    del seats[::2]
    gc.collect()
    assert pool.seat().submit(threading.get_ident).result(PATIENCE) == threads[0]


def test_no_two_loops_are_given_the_same_free_thread(pool: WorkerThreads) -> None:
    """Each asks in a thread of its own."""
    for _ in range(20):
        start = threading.Barrier(2, timeout=PATIENCE)

        def take(start: threading.Barrier = start) -> object:
            start.wait()
            return pool.seat()

        with ThreadPoolExecutor(2) as loops:
            seats: list[t.Any] = [*loops.map(lambda _: take(), range(2))]
        assert seats[0]._lane is not seats[1]._lane
        del seats
        assert [lane.taken() for lane in pool._lanes] == [0, 0]


def test_seats_may_be_freed_while_one_is_given(pool: WorkerThreads) -> None:
    """As by the collector, which may run in whatever thread and at any step."""
    seats = [pool.seat() for _ in range(2)]

    def freeing(lane: t.Any) -> int:
        seats.clear()
        return taken(lane)

    taken = _Lane.taken
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Lane, "taken", freeing)
        assert pool.seat().submit(threading.get_ident).result(PATIENCE)
    assert [lane.taken() for lane in pool._lanes] == [0, 0]


def test_a_seat_is_given_one_thing_at_a_time_by_several_threads(pool: WorkerThreads) -> None:
    seat = pool.seat()
    go, start = threading.Event(), threading.Barrier(8, timeout=PATIENCE)

    def submit() -> t.Any:
        start.wait()
        return seat.submit(lambda: (go.wait(PATIENCE), threading.current_thread().name)[1])

    with ThreadPoolExecutor(8) as threads:
        works = [threads.submit(submit) for _ in range(8)]
        results = [work.result(PATIENCE) for work in works]
    go.set()
    names = [result.result(PATIENCE) for result in results]
    assert sum(name.startswith("test-0") for name in names) == 1, names


INHERITING = """
import contextvars, sys, threading

class Flags:
    # As Python without the GIL has it from 3.14 on; and then so do threads.
    thread_inherit_context = True

    def __getattr__(self, name, flags=sys.flags):
        return getattr(flags, name)

def start(self, start=threading.Thread.start):
    context, run = contextvars.copy_context(), self.run
    self.run = lambda: context.run(run)
    start(self)

sys.flags = Flags()
threading.Thread.start = start

from torsyq import Flask, has_request_context, loop
from torsyq.blocking import LoopWatch

app = Flask("inherits")
seen = {}

def look(name, run=lambda *args: None):
    def first(*args):
        seen[name] = has_request_context()
        run(*args)

    return first

loop._run_loop = look("loop", loop._run_loop)
LoopWatch._watch = look("watch", LoopWatch._watch)

async def on_loop():
    pass

with app.test_request_context():
    pools = [app.thread_pool, app.thread_pool.seat(), app.websocket_thread_pool]
    works = [pool.submit(has_request_context) for pool in pools]
    seen["pools"] = [work.result(60) for work in works]
    app.debug = True
    app.async_to_sync(on_loop)()
    started = threading.Thread(target=look("own"))
    started.start()
    started.join()

print(sorted(seen.items()))
"""


def test_threads_have_no_context_of_who_started_them() -> None:
    """They would hold its request as long as they live. Those of the app itself do as Python does."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INHERITING],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stderr == ""
    expected = [("loop", False), ("own", True), ("pools", [False] * 3), ("watch", False)]
    assert done.stdout == f"{expected}\n"


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
