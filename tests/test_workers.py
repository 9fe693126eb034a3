"""The threads in which sync functions run beside an event loop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import typing as t
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait

import pytest

from torsyq import abort
from torsyq import Blueprint
from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import stream_with_context
from torsyq import websocket
from torsyq import workers
from torsyq.testing import FlaskClient
from torsyq.workers import InPlace
from torsyq.workers import Seat
from torsyq.workers import WorkerThreads

from .asgi import Exchange
from .asgi import exchange
from .asgi import scope
from .asgi import until
from .servers import PATIENCE
from .sockets import Wire


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
    thread_of(seat)
    lane = seat._kept.lane  # type: ignore[union-attr]
    submit = lane.submit
    may_end, may_call_back = threading.Event(), threading.Event()

    def submit_and_wait(*args: t.Any) -> Future[t.Any]:
        work = submit(*args)
        work.add_done_callback(lambda work: may_call_back.wait(PATIENCE))
        return work

    monkeypatch.setattr(lane, "submit", submit_and_wait)
    first = seat.submit(lambda: (may_end.wait(PATIENCE), threading.get_ident())[1])
    may_end.set()
    ident = first.result(PATIENCE)
    monkeypatch.undo()
    second = seat.submit(threading.get_ident)
    may_call_back.set()
    assert second.result(PATIENCE) == ident


def thread_of(seat: Seat) -> int:
    ident: int = seat.submit(threading.get_ident).result(PATIENCE)
    return ident


def test_a_thread_is_given_to_nobody_else_while_its_seat_is_there(pool: WorkerThreads) -> None:
    """Not even where there are more seats than threads that are kept idle."""
    seats = [pool.seat() for _ in range(20)]
    threads = [thread_of(seat) for seat in seats]
    assert len({*threads}) == 20
    assert [thread_of(seat) for seat in seats] == threads
    del seats[7]
    assert thread_of(pool.seat()) == threads[7]


def test_a_thread_is_good_also_where_the_collector_has_freed_it(pool: WorkerThreads) -> None:
    seat = pool.seat()
    thread = thread_of(seat)
    seat.cycle = seat  # type: ignore[attr-defined]
    del seat
    gc.collect()
    assert thread_of(pool.seat()) == thread


def test_as_many_threads_are_kept_idle_as_the_pool_has(pool: WorkerThreads) -> None:
    seats = [pool.seat() for _ in range(20)]
    threads = [thread_of(seat) for seat in seats]
    while seats:
        del seats[0]
    started = {thread.ident: thread for thread in threading.enumerate()}
    ended = [started[ident] for ident in threads[2:] if ident in started]
    for thread in ended:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert {thread_of(pool.seat()) for _ in range(20)} <= {*threads[:2]}


def test_too_many_share_threads(pool: WorkerThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is shared is free when all have left it."""
    monkeypatch.setattr(workers, "MOST_LANES", 2)
    seats = [pool.seat() for _ in range(12)]
    threads = {thread_of(seat) for seat in seats}
    assert len(threads) == 2
    del seats[:6]
    assert len({thread_of(seat) for seat in seats}) == 2
    assert len(pool._free) == 0
    seats.clear()
    seats = [pool.seat() for _ in range(2)]
    assert {thread_of(seat) for seat in seats} == threads


def test_threads_are_shared_where_the_system_has_no_more(
    pool: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> t.NoReturn:
        raise RuntimeError("can't start new thread")

    first, second = pool.seat(), pool.seat()
    thread = thread_of(first)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert thread_of(second) == thread
        other = WorkerThreads(1, "other")
        with pytest.raises(RuntimeError, match="can't start"):
            other.seat(is_new=True).submit(threading.get_ident)
    assert thread_of(other.seat(is_new=True)) != thread
    other.shutdown()


def test_no_two_loops_are_given_the_same_free_thread(pool: WorkerThreads) -> None:
    """Each asks in a thread of its own."""
    for _ in range(20):
        start = threading.Barrier(2, timeout=PATIENCE)

        def take(start: threading.Barrier = start) -> tuple[Seat, int]:
            start.wait()
            seat = pool.seat()
            return seat, thread_of(seat)

        with ThreadPoolExecutor(2) as loops:
            (_, one), (_, other) = loops.map(lambda _: take(), range(2))
        assert one != other


def test_newcomers_wait_for_a_place(pool: WorkerThreads) -> None:
    """In the order in which they come; who has begun waits for none."""
    go = threading.Event()
    order: list[int] = []

    both = threading.Event()

    def work(number: int) -> None:
        order.append(number)
        if len(order) == 2:
            both.set()
        go.wait(PATIENCE)

    known = pool.seat()
    seats = [pool.seat(is_new=True) for _ in range(6)]
    works = [seat.submit(work, number) for number, seat in enumerate(seats)]
    assert [work.running() for work in works[2:]] == [False] * 4
    assert thread_of(known)
    assert works[2].cancel()
    assert both.wait(PATIENCE)
    go.set()
    for work_of_other in works[:2] + works[3:]:
        work_of_other.result(PATIENCE)
    assert sorted(order[:2]) == [0, 1]
    assert sorted(order[2:]) == [3, 4, 5]


def test_the_place_of_who_is_cancelled_is_free(pool: WorkerThreads) -> None:
    for _ in range(20):
        seats = [pool.seat(is_new=True) for _ in range(8)]
        works = [seat.submit(threading.get_ident) for seat in seats]
        for work in works:
            work.cancel()
        wait(works, PATIENCE)
    until_all = threading.Barrier(3, timeout=PATIENCE)
    seats = [pool.seat(is_new=True) for _ in range(2)]
    works = [seat.submit(until_all.wait) for seat in seats]
    until_all.wait()
    assert len({work.result(PATIENCE) for work in works}) == 2


def test_who_is_cancelled_while_it_waits_for_a_place_is_still_new(pool: WorkerThreads) -> None:
    """Where hundreds of clients leave, their teardown functions do not all run at once."""
    go = threading.Event()
    others = [pool.seat(is_new=True) for _ in range(2)]
    works = [other.submit(go.wait, PATIENCE) for other in others]
    seat = pool.seat(is_new=True)
    assert seat.submit(threading.get_ident).cancel()
    clean_up = seat.submit(threading.get_ident)
    assert pool.seat().submit(clean_up.running).result(PATIENCE) is False
    assert not clean_up.done()
    go.set()
    assert clean_up.result(PATIENCE) == thread_of(seat)
    wait(works, PATIENCE)


def test_who_waits_for_a_place_is_told_where_the_pool_is_let_go_with_what_it_has(
    pool: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST_LANES", 1)
    go = threading.Event()
    holder = pool.seat()
    holder.submit(go.wait, PATIENCE)
    seats = [pool.seat(is_new=True) for _ in range(3)]
    works = [seat.submit(threading.get_ident) for seat in seats]
    works[0].cancel()
    pool.shutdown(wait=False, cancel_futures=True)
    go.set()
    with pytest.raises(CancelledError):
        works[2].result(PATIENCE)


def test_who_waits_for_a_place_has_it_also_when_the_pool_is_let_go(pool: WorkerThreads) -> None:
    go = threading.Event()
    seats = [pool.seat(is_new=True) for _ in range(6)]
    works = [seat.submit(go.wait, PATIENCE) for seat in seats]
    pool.shutdown(wait=False)
    go.set()
    assert all(work.result(PATIENCE) for work in works)


def test_the_error_of_who_waited_for_a_place_is_held_by_nobody(pool: WorkerThreads) -> None:
    class Held:
        pass

    def fail(held: object) -> t.NoReturn:
        raise ValueError

    go = threading.Event()
    seats = [pool.seat(is_new=True) for _ in range(3)]
    others = [seat.submit(go.wait, PATIENCE) for seat in seats[:2]]
    held = Held()
    alive = weakref.ref(held)
    work = seats[2].submit(fail, held)
    del held
    go.set()
    wait(others, PATIENCE)
    gc.disable()
    try:
        assert isinstance(work.exception(PATIENCE), ValueError)
        del work
        # The thread lets go of what it has run.
        asyncio.run(until(lambda: alive() is None))
    finally:
        gc.enable()


def test_who_waits_for_a_place_is_told_where_no_thread_comes(pool: WorkerThreads) -> None:
    go = threading.Event()
    seats = [pool.seat(is_new=True) for _ in range(4)]
    works = [seat.submit(go.wait, PATIENCE) for seat in seats]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "keep", lambda: 1 / 0)
        go.set()
        assert all(work.result(PATIENCE) for work in works[:2])
        for work in works[2:]:
            with pytest.raises(ZeroDivisionError):
                work.result(PATIENCE)
    assert thread_of(pool.seat(is_new=True))


def test_a_seat_is_given_one_thing_at_a_time_by_several_threads(pool: WorkerThreads) -> None:
    seat = pool.seat()
    thread = thread_of(seat)
    go, start = threading.Event(), threading.Barrier(8, timeout=PATIENCE)

    def submit() -> t.Any:
        start.wait()
        return seat.submit(lambda: (go.wait(PATIENCE), threading.get_ident())[1])

    with ThreadPoolExecutor(8) as threads:
        works = [threads.submit(submit) for _ in range(8)]
        results = [work.result(PATIENCE) for work in works]
    go.set()
    idents = [result.result(PATIENCE) for result in results]
    assert idents.count(thread) == 1
    assert len({*idents}) == 8


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


def test_a_context_made_in_a_view_has_a_thread_of_its_own(app: Flask) -> None:
    """And the generator that is streamed goes on in that of the request."""

    @app.before_request
    def note() -> None:
        g.thread = threading.get_ident()

    app.teardown_appcontext(lambda error: None)

    @app.get("/")
    async def view() -> t.Iterator[str]:
        async with app.app_context():
            pass
        return stream_with_context(pieces())

    def pieces() -> t.Iterator[str]:
        yield "the same: "
        yield str(g.thread == threading.get_ident())

    assert asyncio.run(exchange(app)).body == b"the same: True"
    app.thread_pool.shutdown()


def test_an_async_stream_ends_in_the_thread_of_its_request(app: Flask) -> None:
    threads: list[int] = []

    def note(*args: object) -> None:
        threads.append(threading.get_ident())

    app.before_request(note)
    app.teardown_appcontext(note)

    @app.get("/")
    async def view() -> t.AsyncIterator[str]:
        @stream_with_context
        async def pieces() -> t.AsyncIterator[str]:
            other = app.thread_pool.seat()  # type: ignore[attr-defined]
            other.submit(threading.get_ident).result(PATIENCE)
            yield ""

        return pieces()

    asyncio.run(exchange(app))
    assert len(threads) == 3
    assert len(set(threads)) == 1
    app.thread_pool.shutdown()


@pytest.mark.parametrize("path", ["/task", "/error", "/view_error"])
def test_what_a_request_leaves_keeps_no_thread(app: Flask, path: str) -> None:
    """A task that goes on, and an error that a log has kept."""
    app.config.update(ASGI_THREADS=2, PROPAGATE_EXCEPTIONS=False)
    app.logger.disabled = True
    left: list[object] = []
    app.teardown_request(lambda error: None)

    @app.before_request
    def hook() -> None:
        if request.path == "/error":
            raise ValueError

    @app.errorhandler(500)
    async def keep(error: Exception) -> tuple[str, int]:
        left.append(error)
        return "", 500

    @app.get("/task")
    async def task() -> str:
        left.append(asyncio.create_task(asyncio.sleep(PATIENCE)))
        return ""

    @app.get("/view_error")
    @app.get("/error")
    async def view() -> str:
        raise ValueError

    async def run() -> None:
        await statuses(begin(app, 10, path))
        assert len(left) == 10
        gc.collect()
        pool: t.Any = app.thread_pool
        assert len(pool._lanes) == len(pool._free) <= 2

    asyncio.run(run())
    app.logger.disabled = False
    app.thread_pool.shutdown()


def test_what_goes_on_in_a_thread_keeps_it(app: Flask) -> None:
    """Also when the request is over in whose task it was begun: nobody else waits behind it."""
    go = threading.Event()
    tasks: list[asyncio.Task[object]] = []
    app.before_request(lambda: None)

    @app.get("/")
    async def view() -> str:
        call = app._call(go.wait, PATIENCE)
        tasks.append(asyncio.ensure_future(call))
        await asyncio.sleep(0)
        return ""

    @app.get("/other")
    async def other() -> str:
        return ""

    async def run() -> None:
        assert (await exchange(app)).status == 200
        assert (await exchange(app, "/other")).status == 200
        assert not go.is_set()
        go.set()
        assert await tasks[0]

    asyncio.run(run())
    app.thread_pool.shutdown()


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


class Scarce:
    """What a walk takes in a plain function and has until its teardown, as a database connection.

    :param count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self.wanted_by: list[object] = []
        self.had_by: list[object] = []

    def take(self) -> None:
        """Wait for one; answer 503 where none comes."""
        self.wanted_by.append(None)
        # Long enough for every test that is answered, and short for one that is not.
        found = self._free.acquire(timeout=3)
        self.wanted_by.pop()
        if not found:
            abort(503)
        self.had_by.append(None)
        g.scarce = True

    def give_back(self, error: BaseException | None = None) -> None:
        if g.pop("scarce", False):
            self.had_by.pop()
            self._free.release()


def begin(app: Flask, count: int, path: str = "/") -> list[asyncio.Task[Exchange]]:
    return [asyncio.create_task(exchange(app, path)) for _ in range(count)]


async def statuses(walks: list[asyncio.Task[Exchange]]) -> set[int]:
    return {answer.status for answer in await asyncio.gather(*walks)}


def test_what_gives_back_does_not_wait_behind_what_waits_for_it(app: Flask) -> None:
    """60 walks want one of 15, with a hook in one of 40 places, and give it back at their end."""
    scarce = Scarce(15)
    app.before_request(scarce.take)
    app.teardown_request(scarce.give_back)

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.001)
        return ""

    async def run() -> set[int]:
        return await statuses(begin(app, 60))

    assert asyncio.run(run()) == {200}
    app.thread_pool.shutdown()


def test_nor_does_what_is_called_from_what_runs(app: Flask) -> None:
    """The pool is full of walks that want what this one has."""
    app.config["ASGI_THREADS"] = 4
    scarce = Scarce(1)
    app.before_request(scarce.take)
    app.teardown_request(scarce.give_back)
    called = asyncio.Event()

    @app.get("/sync")
    def sync() -> str:
        return ""

    @app.get("/")
    async def view() -> str:
        await called.wait()
        return await app._call(outer)  # type: ignore[no-any-return]

    def outer() -> str:
        return app.async_to_sync(inner)()  # type: ignore[no-any-return]

    async def inner() -> str:
        return await app._call(str)  # type: ignore[no-any-return]

    async def run() -> set[int]:
        nested = begin(app, 1)
        await until(lambda: scarce.had_by)
        others = begin(app, 4, "/sync")
        await until(lambda: len(scarce.wanted_by) == 4)
        called.set()
        return await statuses(nested + others)

    assert asyncio.run(run()) == {200}
    app.thread_pool.shutdown()


def test_nor_does_what_an_all_sync_walk_calls_on_the_loop(app: Flask) -> None:
    """All places of first functions are taken by walks that want what this one has."""
    app.config["ASGI_THREADS"] = 4
    scarce = Scarce(1)
    app.before_request(scarce.take)
    app.teardown_request(scarce.give_back)
    called = threading.Event()

    @app.get("/sync")
    def sync() -> str:
        called.wait(PATIENCE)
        return app.async_to_sync(inner)()  # type: ignore[no-any-return]

    async def inner() -> str:
        return await app._call(str)  # type: ignore[no-any-return]

    @app.get("/")
    async def view() -> str:
        return ""

    async def run() -> set[int]:
        nested = begin(app, 1, "/sync")
        await until(lambda: scarce.had_by)
        others = begin(app, 4)
        await until(lambda: len(scarce.wanted_by) == 4)
        called.set()
        return await statuses(nested + others)

    assert asyncio.run(run()) == {200}
    app.thread_pool.shutdown()


def test_nor_does_the_body_that_a_plain_generator_makes(app: Flask) -> None:
    """It goes on in the thread of its walk, where it finds what belongs to that thread in g."""
    app.config["ASGI_THREADS"] = 4
    scarce = Scarce(1)
    app.before_request(scarce.take)
    app.teardown_request(scarce.give_back)
    called = asyncio.Event()

    @app.before_request
    def note() -> None:
        g.thread = threading.get_ident()

    @app.get("/sync")
    def sync() -> str:
        return ""

    @app.get("/")
    async def view() -> t.Iterator[str]:
        await called.wait()
        return stream_with_context(pieces())

    def pieces() -> t.Iterator[str]:
        yield "the same: "
        yield str(g.thread == threading.get_ident())

    async def run() -> bytes:
        (streamed,) = begin(app, 1)
        await until(lambda: scarce.had_by)
        others = begin(app, 4, "/sync")
        await until(lambda: len(scarce.wanted_by) == 4)
        called.set()
        assert await statuses(others) == {200}
        return (await streamed).body

    assert asyncio.run(run()) == b"the same: True"
    app.thread_pool.shutdown()


async def one_has_it_and_four_want_it(
    app: Flask, scarce: Scarce, called: asyncio.Event
) -> set[int]:
    """The statuses; the one, at ``/``, waits until the four, at ``/hooked``, do so in their hooks."""
    first = begin(app, 1)
    await until(lambda: scarce.had_by)
    others = begin(app, 4, "/hooked")
    await until(lambda: len(scarce.wanted_by) == 4)
    called.set()
    return await statuses(first + others)


def test_nor_does_what_comes_after_an_async_view(app: Flask) -> None:
    """The view may hold something that a plain teardown function gives back."""
    app.config["ASGI_THREADS"] = 4
    scarce = Scarce(1)
    called = asyncio.Event()
    hooked = Blueprint("hooked", __name__)
    hooked.before_request(scarce.take)
    app.teardown_request(scarce.give_back)

    @hooked.get("/hooked")
    async def view() -> str:
        return ""

    @app.get("/")
    async def taking() -> str:
        scarce.take()
        await called.wait()
        return ""

    app.register_blueprint(hooked)

    assert asyncio.run(one_has_it_and_four_want_it(app, scarce, called)) == {200}
    app.thread_pool.shutdown()


def test_nor_does_what_comes_after_an_async_hook(app: Flask) -> None:
    """Which may have taken what the view has no part in giving back."""
    app.config["ASGI_THREADS"] = 4
    scarce = Scarce(1)
    called = asyncio.Event()
    plain, asynchronous = Blueprint("plain", __name__), Blueprint("asynchronous", __name__)
    plain.before_request(scarce.take)
    app.teardown_request(scarce.give_back)

    @asynchronous.before_request
    async def take() -> None:
        scarce.take()
        await called.wait()

    @asynchronous.get("/")
    def view() -> str:
        return ""

    @plain.get("/hooked")
    async def hooked() -> str:
        return ""

    app.register_blueprint(plain)
    app.register_blueprint(asynchronous)

    assert asyncio.run(one_has_it_and_four_want_it(app, scarce, called)) == {200}
    app.thread_pool.shutdown()


def test_nor_does_the_end_of_a_websocket(app: Flask) -> None:
    app.config["ASGI_THREADS"] = 4
    scarce = Scarce(2)
    accepted: list[object] = []
    app.before_websocket(scarce.take)
    app.teardown_websocket(scarce.give_back)

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        accepted.append(None)

    async def one() -> None:
        async with Wire(app):
            pass

    async def run() -> None:
        await asyncio.gather(*[one() for _ in range(12)])

    asyncio.run(run())
    assert len(accepted) == 12
    app.thread_pool.shutdown()


def test_only_so_many_walks_begin_at_once(app: Flask) -> None:
    """So that requests for CPU time do not slow one another down."""
    app.config["ASGI_THREADS"] = 3
    at_work: list[int] = []
    counts: list[int] = []
    go = threading.Event()

    @app.before_request
    def work() -> None:
        at_work.append(1)
        counts.append(len(at_work))
        go.wait(PATIENCE)
        at_work.pop()

    @app.get("/")
    async def view() -> str:
        return ""

    async def run() -> set[int]:
        walks = begin(app, 12)
        await until(lambda: len(at_work) == 3)
        await until(lambda: len(app.thread_pool._waiting) == 9)  # type: ignore[attr-defined]
        go.set()
        return await statuses(walks)

    assert asyncio.run(run()) == {200}
    assert max(counts) == 3
    app.thread_pool.shutdown()


def test_background_tasks_wait_for_a_place(app: Flask) -> None:
    app.config["ASGI_THREADS"] = 3
    go = threading.Event()
    done: list[int] = []

    def task() -> None:
        go.wait(PATIENCE)
        done.append(1)

    @app.get("/")
    async def view() -> str:
        app.add_background_task(task)
        return ""

    async def run() -> None:
        assert await statuses(begin(app, 12)) == {200}
        await until(lambda: len(app.thread_pool._waiting) == 9)  # type: ignore[attr-defined]
        go.set()
        await until(lambda: len(done) == 12)

    asyncio.run(run())
    app.thread_pool.shutdown()
