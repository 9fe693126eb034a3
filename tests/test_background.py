"""Background tasks: after the response, in contexts of their own, waited for at the end."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
import threading
import typing as t
from contextlib import suppress
from contextvars import Context
from contextvars import ContextVar
from contextvars import copy_context

import pytest

from torsyq import copy_current_request_context
from torsyq import current_app
from torsyq import Flask
from torsyq import g
from torsyq import has_request_context
from torsyq import request
from torsyq import Response
from torsyq import send_file
from torsyq.ctx import BACKGROUND
from torsyq.ctx import begin_all
from torsyq.ctx import UNDER_WAY
from torsyq.ctx import when_over
from torsyq.loop import serving_loop
from torsyq.testing import FlaskClient

from .asgi import Exchange
from .asgi import exchange
from .asgi import scope

colour: ContextVar[str] = ContextVar("colour", default="none")


def wait_for(app: Flask) -> None:
    """Wait for the app's background tasks, as its end does."""
    from torsyq.loop import run_coroutine

    run_coroutine(app.shutdown)()


def test_a_task_that_was_called_already_is_refused_where_it_is_added(app: Flask) -> None:
    async def task(number: int) -> None: ...

    for called in task(1), None:
        with pytest.raises(TypeError, match=r"write 'add_background_task\(func, argument\)'"):
            app.add_background_task(called)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_runs_in_contexts_of_its_own(app: Flask, anyclient: FlaskClient, kind: str) -> None:
    seen: dict[str, t.Any] = {}

    def task(number: int, *, word: str) -> None:
        seen.update(
            number=number,
            word=word,
            app=current_app.name,
            colour=colour.get(),
            own_g=not hasattr(g, "mark"),
            request=has_request_context(),
        )

    async def async_task(number: int, *, word: str) -> None:
        await asyncio.sleep(0)
        task(number, word=word)

    @app.get("/")
    async def view() -> str:
        g.mark = colour.set("red")
        app.add_background_task(task if kind == "sync" else async_task, 5, word="w")
        return "answered"

    assert anyclient.get("/").text == "answered"
    wait_for(app)
    assert seen == {
        "number": 5,
        "word": "w",
        "app": "tests.app",
        "colour": "red",
        "own_g": True,
        "request": False,
    }


def test_a_task_begins_when_the_response_has_been_sent(app: Flask) -> None:
    events: list[str] = []

    async def task() -> None:
        events.append("task")

    @app.teardown_request
    def teardown(error: t.Any) -> None:
        events.append("teardown")

    for number, is_async in enumerate([True, False]):

        def view() -> str:
            app.add_background_task(task)
            return "answered"

        async def async_view() -> str:
            app.add_background_task(task)
            await asyncio.sleep(0.01)
            return "answered"

        app.add_url_rule(f"/{number}", str(number), async_view if is_async else view)

    async def run(path: str) -> None:
        it = Exchange(app, scope(path))
        it.tell()

        async def send(message: t.Any) -> None:
            await asyncio.sleep(0)
            events.append(message["type"])

        it.send = send  # type: ignore[method-assign]
        await it.run()
        await app.shutdown()

    for path in "/0", "/1":
        asyncio.run(run(path))
        assert events == ["teardown", "http.response.start", "http.response.body", "task"]
        events.clear()


def test_under_wsgi_a_task_begins_when_the_context_is_gone(app: Flask, client: FlaskClient) -> None:
    events: list[str] = []
    app.teardown_request(lambda error: events.append("teardown"))

    @app.get("/")
    def view() -> str:
        app.add_background_task(lambda: events.append("task"))
        events.append("view")
        return ""

    client.get("/")
    wait_for(app)
    assert events == ["view", "teardown", "task"]


@pytest.mark.parametrize("kind", ["copy of the request's context", "context variables"])
def test_a_thread_may_begin_a_task_when_its_request_is_over(
    app: Flask, anyclient: FlaskClient, kind: str
) -> None:
    is_over, done = threading.Event(), threading.Event()
    seen: list[t.Any] = []

    def task() -> None:
        seen.append((colour.get(), has_request_context()))
        done.set()

    def work() -> None:
        assert is_over.wait(30)
        seen.append(request.path)
        app.add_background_task(task)

    @app.get("/")
    async def view() -> str:
        colour.set("red")
        context = copy_context()
        func = work if kind == "context variables" else copy_current_request_context(work)
        threads.append(threading.Thread(target=context.run, args=(func,)))
        threads[0].start()
        return ""

    threads: list[threading.Thread] = []
    anyclient.get("/")
    is_over.set()
    threads[0].join(30)
    assert done.wait(30)
    assert seen == ["/", ("red", False)]
    wait_for(app)


@pytest.mark.parametrize("is_asgi", [True, False])
def test_what_is_asked_for_while_its_request_ends_begins_once(app: Flask, is_asgi: bool) -> None:
    begun: list[str] = []

    class Waiting(list[t.Callable[[], object]]):
        """As if another thread ended the request when something is about to be put in."""

        def append(self, begin: t.Callable[[], object]) -> None:
            if is_asgi:
                ctx.request.environ[UNDER_WAY] = False
                begin_all(self)
            else:
                ctx.pop()
            super().append(begin)

    with app.app_context():
        ctx = app.test_request_context()
        if is_asgi:
            ctx.request.environ.update({UNDER_WAY: True, BACKGROUND: Waiting()})
        else:
            ctx._background = Waiting()
        ctx.push()
        when_over(ctx, lambda: begun.append("task"))
        assert begun == ["task"]
        if is_asgi:
            when_over(ctx, lambda: begun.append("another"))
            ctx.pop()
            assert begun == ["task", "another"]


def test_a_copy_of_a_context_that_ends_first_begins_its_own_tasks_only(
    app: Flask, client: FlaskClient
) -> None:
    events: list[str] = []
    own_is_done = threading.Event()

    def own_task() -> None:
        events.append("of the copy")
        own_is_done.set()

    @app.get("/")
    def view() -> str:
        app.add_background_task(lambda: events.append("of the request"))
        copied = copy_current_request_context(app.add_background_task)
        thread = threading.Thread(target=copied, args=(own_task,))
        thread.start()
        thread.join(30)
        assert own_is_done.wait(30)
        events.append("view")
        return ""

    client.get("/")
    wait_for(app)
    assert events == ["of the copy", "view", "of the request"]


def test_a_thread_that_outlives_the_server_may_begin_a_task(app: Flask) -> None:
    done = threading.Event()
    contexts: list[Context] = []

    async def inner() -> None:
        done.set()

    def task() -> None:
        # Sync code finds a loop, and so does what it begins.
        app.async_to_sync(asyncio.sleep)(0)
        app.add_background_task(inner)

    @app.get("/")
    def view() -> str:
        contexts.append(copy_context())
        return ""

    async def run() -> None:
        await exchange(app)
        await app.shutdown()

    asyncio.run(run())
    contexts[0].run(app.add_background_task, task)
    assert done.wait(30)
    wait_for(app)


def test_the_end_waits_for_what_a_thread_has_begun_just_before(app: Flask) -> None:
    done: list[str] = []

    async def task() -> None:
        done.append("task")

    async def run() -> None:
        serving_loop.set(asyncio.get_running_loop())
        begin = copy_context().run
        thread = threading.Thread(target=begin, args=(app.add_background_task, task))
        thread.start()
        thread.join(30)
        await app.shutdown()
        assert done == ["task"]

    asyncio.run(run())


def test_a_task_of_a_request_that_failed_runs(app: Flask, anyclient: FlaskClient) -> None:
    events: list[str] = []

    @app.get("/")
    async def view() -> str:
        app.add_background_task(lambda: events.append("task"))
        raise KeyError("k")

    with pytest.raises(KeyError):
        anyclient.get("/")
    wait_for(app)
    assert events == ["task"]


def test_a_task_of_a_request_whose_file_cannot_be_closed_runs(
    app: Flask, anyclient: FlaskClient
) -> None:
    done: list[str] = []

    class Stubborn(io.BytesIO):
        def close(self) -> None:
            super().close()
            raise OSError("the disk is gone")

    @app.get("/")
    def view() -> Response:
        app.add_background_task(done.append, "done")
        return send_file(Stubborn(b"x" * 1_000_000), mimetype="text/plain")

    with suppress(OSError):
        anyclient.get("/").close()
    wait_for(app)
    assert done == ["done"]


def test_outside_of_a_request_a_task_begins_at_once(app: Flask) -> None:
    done = threading.Event()
    app.add_background_task(done.set)
    assert done.wait(30)

    async def run() -> None:
        ended = asyncio.Event()

        async def task() -> None:
            ended.set()

        async with app.async_test_client():
            serving_loop.set(asyncio.get_running_loop())
            app.add_background_task(task)
            await asyncio.wait_for(ended.wait(), 30)

    asyncio.run(run())


def test_a_task_may_keep_the_request(app: Flask, anyclient: FlaskClient) -> None:
    seen: list[str] = []

    @app.get("/<name>")
    async def view(name: str) -> str:
        @copy_current_request_context
        async def task() -> None:
            await asyncio.sleep(0)
            seen.append(request.path)

        app.add_background_task(task)
        return ""

    anyclient.get("/kept")
    wait_for(app)
    assert seen == ["/kept"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_of_a_task_is_logged(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    def task() -> None:
        raise ZeroDivisionError("z")

    async def async_task() -> None:
        task()

    app.add_background_task(task if kind == "sync" else async_task)
    wait_for(app)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "Exception in background task" in record.message
    assert "ZeroDivisionError: z" in caplog.text


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_that_exits_does_not_end_the_server(
    app: Flask, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    def leave() -> None:
        raise SystemExit(2)

    async def leave_async() -> None:
        leave()

    @app.get("/")
    def view() -> str:
        app.add_background_task(leave if kind == "sync" else leave_async)
        return ""

    async def run() -> None:
        await exchange(app)
        await app.shutdown()

    asyncio.run(run())
    (record,) = caplog.records
    assert "Exception in background task" in record.message
    assert "SystemExit: 2" in caplog.text


def test_the_end_waits_for_tasks_no_longer_than_configured(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = 0.05
    events: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cancelled")

    @app.get("/")
    async def view() -> str:
        app.add_background_task(forever)
        return ""

    async def run() -> None:
        await exchange(app)
        await app.shutdown()

    asyncio.run(run())
    assert events == ["cancelled"]
    assert "1 background task(s) did not end within 0.05 seconds" in caplog.text


def test_the_end_waits_for_tasks_that_tasks_have_begun(app: Flask) -> None:
    done: list[int] = []

    async def step(number: int) -> None:
        await asyncio.sleep(0)
        if number < 5:
            app.add_background_task(step, number + 1)
        done.append(number)

    @app.get("/")
    async def view() -> str:
        app.add_background_task(step, 1)
        return ""

    async def run() -> None:
        await exchange(app)
        await app.shutdown()

    asyncio.run(run())
    assert done == [1, 2, 3, 4, 5]


def test_tasks_that_begin_each_other_for_ever_have_no_longer_than_configured(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = 0.05

    async def again() -> None:
        await asyncio.sleep(0.001)
        app.add_background_task(again)

    @app.get("/")
    async def view() -> str:
        app.add_background_task(again)
        return ""

    async def run() -> None:
        await exchange(app)
        await app.shutdown()

    asyncio.run(run())
    # One, or two where it has just begun the next.
    assert "background task(s) did not end within 0.05 seconds" in caplog.text


def test_the_end_of_a_server_does_not_wait_for_tasks_on_the_loop_of_the_process(app: Flask) -> None:
    """What a thread that no request uses begins runs there, and is waited for at exit."""
    may_end = threading.Event()
    ended = threading.Event()

    async def task() -> None:
        while not may_end.is_set():
            await asyncio.sleep(0.001)
        ended.set()

    async def run() -> None:
        await asyncio.to_thread(app.add_background_task, task)
        async with asyncio.timeout(5):
            await app.shutdown()

    try:
        asyncio.run(run())
        assert not ended.is_set()
    finally:
        may_end.set()
    wait_for(app)
    assert ended.is_set()


def test_the_worker_threads_go_and_come_back(app: Flask) -> None:
    @app.get("/")
    def view() -> str:
        return threading.current_thread().name

    async def run() -> None:
        first = app.thread_pool
        assert (await exchange(app)).body.startswith(b"tests.app-worker")
        await app.shutdown()
        assert (await exchange(app)).body.startswith(b"tests.app-worker")
        assert app.thread_pool is not first
        await app.shutdown()

    asyncio.run(run())


AT_EXIT = """
import asyncio
from torsyq import Flask

app = Flask("exits")

@app.get("/")
def view():
    app.add_background_task(task)
    return ""

async def task():
    await asyncio.sleep(0.05)
    await app._call(print, "task done", flush=True)

@app.after_serving
def after():
    print("after serving", flush=True)

@app.while_serving
async def around():
    print("begin", flush=True)
    yield
    print("end", flush=True)

def serve():
    app.test_client().get("/")
    print("script ends", flush=True)

"""

HERE = "serve()"
# A child of multiprocessing's that is forked does not do what is asked for by atexit.
IN_CHILD = """
import multiprocessing

child = multiprocessing.get_context("fork").Process(target=serve)
child.start()
child.join()
"""


@pytest.mark.parametrize("where", [HERE, IN_CHILD], ids=["here", "in a forked child"])
def test_under_wsgi_the_end_of_the_process_is_the_end_of_serving(where: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_EXIT + where],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stderr == ""
    assert run.stdout.split("\n") == [
        "begin",
        "script ends",
        "task done",
        "end",
        "after serving",
        "",
    ]
