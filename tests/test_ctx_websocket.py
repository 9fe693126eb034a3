"""The context of a WebSocket: current as long as its view runs, and a request's beside."""

from __future__ import annotations

import asyncio
import threading
import typing as t
from contextvars import copy_context

import pytest

from tests.sockets import on_loop
from tests.sockets import Wire
from torsyq import after_this_request
from torsyq import after_this_websocket
from torsyq import copy_current_websocket_context
from torsyq import Flask
from torsyq import g
from torsyq import has_request_context
from torsyq import has_websocket_context
from torsyq import session
from torsyq import websocket
from torsyq.ctx_websocket import WebsocketContext
from torsyq.globals import _cv_websocket
from torsyq.globals import request_ctx
from torsyq.globals import websocket_ctx


@pytest.mark.parametrize(
    "use",
    [
        lambda: websocket.path,
        lambda: websocket._get_current_object(),
        lambda: aiter(websocket),
        lambda: websocket_ctx.websocket,
    ],
)
def test_without_a_websocket_the_names_say_so(app: Flask, use: t.Callable[[], t.Any]) -> None:
    assert not has_websocket_context()
    assert repr(websocket) == "<LocalProxy unbound>"
    with app.test_request_context(), pytest.raises(RuntimeError, match="of websocket context"):
        use()


@pytest.mark.parametrize("func", [after_this_websocket, copy_current_websocket_context])
def test_what_needs_a_websocket_says_so(app: Flask, func: t.Callable[..., t.Any]) -> None:
    with app.test_request_context(), pytest.raises(RuntimeError, match=f"'{func.__name__}' can"):
        func(lambda: None)


@on_loop
async def test_a_websocket_s_context_is_a_request_s_too(app: Flask) -> None:
    seen = []

    @app.websocket("/")
    async def view() -> None:
        assert has_websocket_context()
        assert has_request_context()
        assert isinstance(websocket_ctx._get_current_object(), WebsocketContext)  # type: ignore[attr-defined]
        assert websocket_ctx._get_current_object() is request_ctx._get_current_object()  # type: ignore[attr-defined]
        seen.append(websocket_ctx.websocket is websocket._get_current_object())

    async with Wire(app) as wire:
        await wire.closed()
    assert seen == [True]
    assert not has_websocket_context()
    assert not has_request_context()


def test_what_only_a_request_has_says_so(app: Flask) -> None:
    """Called in a WebSocket, the function would never be."""
    with context(app), pytest.raises(RuntimeError, match="Use 'after_this_websocket'"):
        after_this_request(lambda response: response)


@on_loop
async def test_a_copy_serves_a_task_that_goes_on(app: Flask) -> None:
    left: list[asyncio.Task[str]] = []
    over = asyncio.Event()
    torn: list[t.Any] = []
    app.teardown_websocket(torn.append)

    @app.websocket("/<name>")
    async def view(name: str) -> None:
        session["name"] = name
        g.own = 1

        @copy_current_websocket_context
        async def later() -> str:
            await over.wait()
            return f"{websocket.path} {session['name']} {g.own}"

        left.append(asyncio.create_task(later()))

    async with Wire(app, "/aru") as wire:
        await wire.closed()
    over.set()
    assert await left[0] == "/aru aru 1"
    assert torn == [None, None]


@on_loop
async def test_a_copy_serves_a_thread(app: Flask) -> None:
    heard: list[str] = []
    torn: list[t.Any] = []

    @app.teardown_websocket
    async def teardown(exc: BaseException | None) -> None:
        torn.append((exc, has_websocket_context()))

    @app.websocket("/")
    def view() -> None:
        websocket.accept()  # type: ignore[unused-coroutine]

        @copy_current_websocket_context
        def work() -> None:
            websocket.send("from a thread")  # type: ignore[unused-coroutine]
            heard.append(websocket.path)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "from a thread"
    assert heard == ["/"]
    assert torn == [(None, True), (None, True)]


async def never() -> t.NoReturn:
    raise AssertionError("not called")


def context(app: Flask) -> WebsocketContext:
    with app.test_request_context() as ctx:
        return app.websocket_context(ctx.request.environ, never, t.cast("t.Any", never))


def test_a_context_can_be_pushed_by_hand(app: Flask) -> None:
    torn: list[t.Any] = []
    app.teardown_websocket(torn.append)
    with context(app) as ctx, ctx:
        assert websocket.path == "/"
    assert _cv_websocket.get(None) is None
    assert torn == [None]
    with pytest.raises(ZeroDivisionError), context(app):
        raise ZeroDivisionError
    try:
        raise KeyError
    except KeyError:
        ctx = context(app)
        ctx.push()
        ctx.pop()
    assert [type(exc) for exc in torn] == [type(None), ZeroDivisionError, KeyError]


@on_loop
async def test_a_context_can_be_pushed_on_the_loop(app: Flask) -> None:
    torn: list[t.Any] = []
    app.teardown_websocket(torn.append)
    ctx = context(app)
    await ctx.push_async()
    async with ctx:
        assert websocket.path == "/"
    await ctx.pop_async()
    assert torn == [None]


def test_contexts_are_popped_in_their_order(app: Flask) -> None:
    def out_of_order() -> None:
        first, second = context(app), context(app)
        first.push()
        second.push()
        with pytest.raises(AssertionError, match="Popped wrong websocket context"):
            first.pop()

    # What it leaves behind stays in there.
    copy_context().run(out_of_order)


def test_a_context_popped_once_too_often_says_so(app: Flask) -> None:
    ctx = context(app)
    with pytest.raises(LookupError, match="request_ctx"):
        ctx.pop()
    with context(app), pytest.raises(IndexError, match="more often than it was pushed"):
        ctx.pop()
