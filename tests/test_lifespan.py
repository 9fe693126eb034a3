"""What happens before the first request and after the last one."""

from __future__ import annotations

import asyncio
import threading
import typing as t
from concurrent.futures import Future
from contextvars import ContextVar

import pytest

from torsyq import Blueprint
from torsyq import current_app
from torsyq import Flask
from torsyq import has_request_context
from torsyq import lifespan
from torsyq import websocket
from torsyq.loop import run_coroutine
from torsyq.loop import serving_loop
from torsyq.testing import FlaskClient

from .asgi import Exchange
from .asgi import exchange
from .asgi import scope
from .asgi import until


def hooked(app: Flask, events: list[str]) -> None:
    """Give *app* every hook of serving, sync and async."""

    def note(name: str) -> None:
        assert current_app.name == app.name
        events.append(name)

    @app.before_serving
    def before() -> None:
        note("before")

    @app.before_serving
    async def before_async() -> None:
        await asyncio.sleep(0)
        note("before async")

    @app.while_serving
    def around() -> t.Iterator[None]:
        note("begin")
        yield
        note("end")

    @app.while_serving
    async def around_async() -> t.AsyncGenerator[None, None]:
        note("begin async")
        yield
        note("end async")

    @app.after_serving
    def after() -> None:
        note("after")

    @app.after_serving
    async def after_async() -> None:
        note("after async")

    @app.get("/")
    async def view() -> str:
        events.append("view")
        return ""


STARTED = ["before", "before async", "begin", "begin async"]
STOPPED = ["end async", "end", "after", "after async"]


def test_the_server_says_when_by_the_lifespan_protocol(app: Flask) -> None:
    events: list[str] = []
    hooked(app, events)

    async def run() -> None:
        async with app.async_test_client() as client:
            assert events == STARTED
            await client.get("/")
            await client.get("/")

    asyncio.run(run())
    assert events == [*STARTED, "view", "view", *STOPPED]


@pytest.mark.parametrize("is_async", [False, True])
def test_without_the_protocol_the_first_request_starts(
    app: Flask, anyclient: FlaskClient, is_async: bool
) -> None:
    events: list[str] = []
    hooked(app, events)

    def view() -> str:
        events.append("view")
        return ""

    if not is_async:
        app.view_functions["view"] = view
    anyclient.get("/")
    anyclient.get("/")
    assert events == [*STARTED, "view", "view"]
    run_coroutine(app.shutdown)()
    assert events == [*STARTED, "view", "view", *STOPPED]


def test_the_functions_run_in_a_context_of_their_own(app: Flask, anyclient: FlaskClient) -> None:
    """Not in the first request's, which happens to wait for them; and all of them in one."""
    seen: list[t.Any] = []
    colour: ContextVar[str] = ContextVar("colour", default="none")

    @app.before_serving
    def before() -> None:
        seen.append(has_request_context())

    @app.while_serving
    async def around() -> t.AsyncGenerator[None, None]:
        seen.append(has_request_context())
        token = colour.set("red")
        yield
        seen.append(colour.get())
        colour.reset(token)

    @app.get("/")
    def view() -> str:
        return colour.get()

    assert anyclient.get("/").text == "none"
    assert anyclient.get("/").text == "none"
    run_coroutine(app.shutdown)()
    assert seen == [False, False, "red"]


def test_without_such_functions_no_context_is_made(app: Flask) -> None:
    """So that teardown functions run with requests only, as they do on WSGI."""
    events: list[str] = []

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        events.append("teardown")

    @app.get("/")
    async def view() -> str:
        events.append("view")
        return ""

    async def run() -> None:
        async with app.async_test_client() as client:
            await client.get("/")

    asyncio.run(run())
    assert events == ["view", "teardown"]


def test_many_first_requests_start_once(app: Flask) -> None:
    events: list[str] = []
    hooked(app, events)

    async def run() -> None:
        await asyncio.gather(*(exchange(app) for _ in range(5)))
        await app.shutdown()

    asyncio.run(run())
    assert events == [*STARTED, *["view"] * 5, *STOPPED]


def test_only_what_has_started_stops(app: Flask) -> None:
    events: list[str] = []
    hooked(app, events)
    asyncio.run(app.shutdown())
    assert events == []


def test_starting_twice_is_starting_once(app: Flask) -> None:
    events: list[str] = []
    hooked(app, events)

    async def run() -> None:
        await app.startup()
        await app.startup()
        await app.shutdown()
        await app.shutdown()

    asyncio.run(run())
    assert events == [*STARTED, *STOPPED]


def test_an_app_that_fails_to_start_tells_the_server_and_ends_what_it_began(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[str] = []
    hooked(app, events)

    @app.while_serving
    async def fails() -> t.AsyncGenerator[None, None]:
        raise ConnectionError("no database")
        yield

    async def run() -> None:
        with pytest.raises(RuntimeError, match="failed at startup: ConnectionError"):
            await app.async_test_client().__aenter__()

    asyncio.run(run())
    assert events == [*STARTED, "end async", "end"]
    assert "Exception in lifespan.startup" in caplog.text


def test_a_first_request_that_fails_to_start_is_tried_again(
    app: Flask, client: FlaskClient
) -> None:
    events: list[str] = []

    @app.before_serving
    async def sometimes() -> None:
        events.append("tried")
        if len(events) == 1:
            raise ConnectionError("not yet")

    @app.get("/")
    def view() -> str:
        return "served"

    with pytest.raises(ConnectionError):
        client.get("/")
    assert client.get("/").text == "served"
    assert client.get("/").text == "served"
    assert events == ["tried", "tried"]


def test_a_start_that_is_cancelled_ends_what_a_thread_has_begun(app: Flask) -> None:
    events: list[str] = []
    go = threading.Event()

    @app.while_serving
    def connected() -> t.Iterator[None]:
        events.append("begin")
        assert go.wait(30)
        yield
        events.append("end")

    async def run() -> None:
        serving_loop.set(asyncio.get_running_loop())
        start = asyncio.create_task(app.startup())
        await until(lambda: events)
        start.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await start

    asyncio.run(run())
    assert events == ["begin", "end"]


def test_an_error_after_serving_does_not_keep_the_others_from_ending(app: Flask) -> None:
    events: list[str] = []
    hooked(app, events)

    @app.while_serving
    async def fails() -> t.AsyncGenerator[None, None]:
        yield
        raise KeyError("at the end")

    async def run() -> None:
        client = await app.async_test_client().__aenter__()
        with pytest.raises(RuntimeError, match="failed at shutdown: KeyError"):
            await client.__aexit__(None, None, None)

    asyncio.run(run())
    assert events == [*STARTED, *STOPPED]


def test_every_function_after_serving_runs_even_if_one_raises(app: Flask) -> None:
    events: list[str] = []

    @app.after_serving
    async def fails() -> t.NoReturn:
        raise KeyError("at the end")

    hooked(app, events)

    async def run() -> None:
        await app.startup()
        with pytest.raises(KeyError, match="at the end"):
            await app.shutdown()

    asyncio.run(run())
    assert events == [*STARTED, *STOPPED]


@pytest.mark.parametrize("is_async", [False, True])
def test_the_start_does_not_end_with_the_client_of_the_first_request(
    app: Flask, is_async: bool
) -> None:
    events = []

    @app.before_serving
    async def start() -> None:
        events.append("begins")
        while "gone" not in events:
            await asyncio.sleep(0.001)
        assert not has_request_context()
        events.append("started")

    async def view() -> str:
        return "x"

    app.get("/")(view if is_async else lambda: "x")

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        while not events:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0)
        events.append("gone")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await exchange(app, "/")).body == b"x"

    asyncio.run(asyncio.wait_for(run(), 10))
    assert events == ["begins", "gone", "started"]


@pytest.mark.parametrize("is_async", [False, True])
def test_no_yield_is_an_error_that_says_so(app: Flask, is_async: bool) -> None:
    def plain() -> None: ...

    async def asynchronous() -> None: ...

    app.while_serving(t.cast("t.Any", asynchronous if is_async else plain))
    expected = r"(plain|asynchronous)\(\) is no generator, .* gave a (NoneType|coroutine)\."
    with pytest.raises(TypeError, match=expected):
        asyncio.run(app.startup())


def test_a_second_yield_is_an_error(app: Flask) -> None:
    @app.while_serving
    async def twice() -> t.AsyncGenerator[None, None]:
        yield
        yield

    async def run() -> None:
        await app.startup()
        with pytest.raises(RuntimeError, match=r"twice\(\) has a second 'yield'"):
            await app.shutdown()

    asyncio.run(run())


def test_blueprints_have_hooks_of_serving(app: Flask) -> None:
    events: list[str] = []
    blueprint = Blueprint("bp", "bp")
    blueprint.before_app_serving(lambda: events.append("before"))
    blueprint.after_app_serving(lambda: events.append("after"))

    @blueprint.while_app_serving
    async def around() -> t.AsyncGenerator[None, None]:
        events.append("begin")
        yield
        events.append("end")

    app.register_blueprint(blueprint)

    async def run() -> None:
        await app.startup()
        await app.shutdown()

    asyncio.run(run())
    assert events == ["before", "begin", "end", "after"]


def test_hooks_cannot_be_added_when_requests_are_handled(app: Flask, client: FlaskClient) -> None:
    client.get("/")
    with pytest.raises(AssertionError, match="before_serving"):
        app.before_serving(lambda: None)


# Several event loops, each in a thread of its own.


class Loop:
    """One that runs in a thread, as a server's does."""

    def __enter__(self) -> t.Self:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def begin(self, func: t.Callable[..., t.Any], *args: t.Any) -> Future[t.Any]:
        async def on_loop() -> t.Any:
            serving_loop.set(self.loop)
            return await func(*args)

        return asyncio.run_coroutine_threadsafe(on_loop(), self.loop)

    def run(self, func: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
        return self.begin(func, *args).result(30)

    def __exit__(self, *exc_info: object) -> None:
        self.run(self.loop.shutdown_asyncgens)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


def test_on_several_loops_an_app_starts_once_with_the_first_and_stops_with_the_last(
    app: Flask,
) -> None:
    events: list[str] = []
    hooked(app, events)
    asked = threading.Event()
    app.before_serving(lambda: events.append(f"others: {asked.wait(30)}"))

    with Loop() as one, Loop() as two, Loop() as three:
        first = one.begin(app.startup)
        others = [other.begin(app.startup) for other in (two, three)]
        for other in two, three:
            # They wait by now.
            other.run(asyncio.sleep, 0)
        assert not any(starting.done() for starting in others)
        asked.set()
        for starting in first, *others:
            starting.result(30)
        started = ["before", "before async", "others: True", "begin", "begin async"]
        assert events == started
        for loop in three, one:
            loop.run(app.shutdown)
            assert events == started
            assert two.run(exchange, app).body == b""
            events.pop()
        two.run(app.shutdown)
        assert events == [*started, *STOPPED]


def test_an_app_begins_to_serve_while_no_other_loop_looks_whether_it_does() -> None:
    """That one would see it neither serve nor start, and start it again."""
    locked: list[bool] = []

    class Watched(Flask):
        @property
        def _serving(self) -> bool:
            return bool(locked)

        @_serving.setter
        def _serving(self, value: bool) -> None:
            locked.append(lifespan._lock.locked())

    asyncio.run(Watched("watched").startup())
    assert locked == [True]


def test_who_waits_for_another_loop_to_start_may_be_cancelled(app: Flask) -> None:
    go = threading.Event()
    app.before_serving(lambda: go.wait(30))
    with Loop() as one, Loop() as two:
        first = one.begin(app.startup)
        one.run(asyncio.sleep, 0)
        second = two.begin(app.startup)
        two.run(asyncio.sleep, 0)
        second.cancel()
        third = two.begin(app.startup)
        two.run(asyncio.sleep, 0)
        assert not first.done()
        assert not third.done()
        go.set()
        first.result(30)
        third.result(30)
        for loop in one, two:
            loop.run(app.shutdown)


def test_where_one_loop_fails_to_start_the_app_another_tries(app: Flask) -> None:
    go = threading.Event()
    tries: list[int] = []

    @app.before_serving
    def connect() -> None:
        tries.append(threading.get_ident())
        assert go.wait(30)
        if len(tries) == 1:
            raise ConnectionError

    with Loop() as one, Loop() as two:
        first, second = one.begin(app.startup), two.begin(app.startup)
        two.run(asyncio.sleep, 0)
        go.set()
        results = [first.exception(30), second.exception(30)]
        assert sorted(map(repr, results)) == ["ConnectionError()", "None"]
        assert len(tries) == 2
        two.run(app.shutdown)
        one.run(app.shutdown)


def test_a_loop_that_goes_leaves_the_others_their_threads_websockets_and_tasks(app: Flask) -> None:
    done, may_end = threading.Event(), threading.Event()

    @app.get("/")
    def view() -> str:
        return threading.current_thread().name

    @app.get("/task")
    async def begin() -> str:
        app.add_background_task(task)
        return ""

    async def task() -> None:
        while not may_end.is_set():
            await asyncio.sleep(0.001)
        done.set()

    @app.websocket("/listen")
    def listen() -> None:
        websocket.send(websocket.receive())  # type: ignore[arg-type, unused-coroutine]

    async def connect() -> t.Any:
        connection = app.async_test_client().websocket("/listen")
        return await connection.__aenter__(), connection

    with Loop() as one, Loop() as two:
        for loop in one, two:
            loop.run(app.startup)
        pool = app.thread_pool
        two.run(exchange, app, "/task")
        wire, connection = two.run(connect)
        one.run(app.shutdown)
        two.run(wire.send, "salem")
        assert two.run(wire.receive) == "salem"
        two.run(connection.__aexit__, None, None, None)
        assert two.run(exchange, app).body.startswith(b"tests.app-worker")
        assert app.thread_pool is pool
        assert not done.is_set()
        may_end.set()
        two.run(app.shutdown)
        assert done.is_set()
        assert not Flask.thread_pool.is_made(app)
        assert not Flask.websocket_thread_pool.is_made(app)


def test_what_runs_at_the_end_finds_the_loop_it_ends_on(app: Flask) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def note() -> None:
        loops.append(asyncio.get_running_loop())

    @app.while_serving
    async def around() -> t.AsyncGenerator[None, None]:
        await note()
        yield
        await note()

    app.before_serving(lambda: app.async_to_sync(note)())
    app.after_serving(lambda: app.async_to_sync(note)())
    with Loop() as two:
        with Loop() as one:
            one.run(app.startup)
            two.run(app.startup)
            one.run(app.shutdown)
        two.run(app.shutdown)
        assert loops == [one.loop, one.loop, two.loop, two.loop]
    # And one that is closed counts no more.
    with Loop() as one:
        one.run(app.startup)
    asyncio.run(app.shutdown())
    assert len(loops) == 8
