"""What happens before the first request and after the last one."""

from __future__ import annotations

import asyncio
import typing as t
from contextvars import ContextVar

import pytest

from torsyq import Blueprint
from torsyq import current_app
from torsyq import Flask
from torsyq import has_request_context
from torsyq.loop import run_coroutine
from torsyq.testing import FlaskClient

from .asgi import exchange


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
STOPPED = ["after", "after async", "end async", "end"]


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


def test_a_second_yield_is_an_error(app: Flask) -> None:
    @app.while_serving
    async def twice() -> t.AsyncGenerator[None, None]:
        yield
        yield

    async def run() -> None:
        await app.startup()
        with pytest.raises(RuntimeError, match="has a second 'yield'"):
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
    assert events == ["before", "begin", "after", "end"]


def test_hooks_cannot_be_added_when_requests_are_handled(app: Flask, client: FlaskClient) -> None:
    client.get("/")
    with pytest.raises(AssertionError, match="before_serving"):
        app.before_serving(lambda: None)
