"""An async view that blocks the event loop is named, in debug mode."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import typing as t
import weakref
from functools import partial
from types import FunctionType

import pytest

from tests.asgi import exchange
from tests.servers import until
from tests.sockets import Wire
from torsyq import Flask
from torsyq import websocket
from torsyq.testing import FlaskClient


def line_of(view: object) -> int:
    assert isinstance(view, FunctionType)
    return view.__code__.co_firstlineno


def busy_for(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_who_blocks_the_loop_is_told_by_file_and_line(
    app: Flask, anyclient: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.debug = True

    @app.get("/")
    async def view() -> str:
        end = time.monotonic() + 30
        while "blocked" not in caplog.text and time.monotonic() < end:
            pass
        return "done"

    with caplog.at_level(logging.WARNING):
        assert anyclient.get("/").text == "done"
    (record,) = [r for r in caplog.records if "blocked" in r.message]
    assert f"{__file__}:" in record.message
    line = int(record.message.partition(f"{__file__}:")[2].partition(",")[0])
    assert line_of(view) < line <= line_of(view) + 5
    assert "view()" in record.message


@pytest.mark.parametrize("module", ["pytest", "nowhere"])
def test_code_that_a_package_makes_at_run_time_is_the_package_s(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, module: str
) -> None:
    """As SQLAlchemy's, where it waits for a connection; the line in the app is named.

    What nobody's module made, as what is typed at a prompt, is the app's.
    """
    app.debug = True
    names: dict[str, t.Any] = {"__name__": module, "wait": partial(threading.Event().wait, 0.6)}
    exec(compile("def made():\n    wait()\n", "<made>", "exec"), names)

    @app.get("/")
    async def view() -> str:
        names["made"]()
        return "done"

    client.get("/")
    (record,) = [r for r in caplog.records if "blocked" in r.message]
    assert (f"{__file__}:" if module == "pytest" else "<made>:") in record.message


@pytest.mark.parametrize("kind", ["stream", "websocket"])
def test_who_blocks_the_loop_after_the_walk_or_in_a_websocket_is_told(
    app: Flask, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    app.debug = True

    async def block() -> t.AsyncIterator[str]:
        end = time.monotonic() + 30
        while "blocked" not in caplog.text and time.monotonic() < end:
            pass
        yield "done"

    @app.get("/")
    def view() -> t.Any:
        return block()

    @app.websocket("/")
    async def socket() -> None:
        async for piece in block():
            await websocket.send(piece)

    async def run() -> str:
        if kind == "stream":
            return (await exchange(app)).body.decode()
        async with Wire(app) as wire:
            await wire.accepted()
            return str(await wire.hear())

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(run()) == "done"
    assert "blocked" in caplog.text


def test_each_time_is_told_once(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.debug = True

    @app.get("/")
    async def view() -> str:
        busy_for(0.6)
        return "done"

    client.get("/")
    assert len([r for r in caplog.records if "blocked" in r.message]) == 1


def test_where_no_thread_can_be_started_nobody_watches(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Pyodide, where requests are answered all the same."""
    app.debug = True

    @app.get("/")
    async def view() -> str:
        return "salem"

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert asyncio.run(exchange(app)).body == b"salem"


def test_without_debug_mode_nobody_watches(
    app: Flask, anyclient: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/")
    async def view() -> str:
        busy_for(0.3)
        return "done"

    anyclient.get("/")
    assert "blocked" not in caplog.text


def test_the_app_that_blocks_is_told_and_another_s_logger_is_not_made(
    client: FlaskClient, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """A logger that is made brings a handler, if logging has not been configured yet."""
    other = Flask("other")
    for each, seconds in ((other, 0.0), (app, 0.6)):
        each.debug = True

        async def view(seconds: float = seconds) -> str:
            busy_for(seconds)
            return "done"

        each.add_url_rule(f"/{seconds}", f"{seconds}", view)
    assert other.test_client().get("/0.0").text == "done"
    assert client.get("/0.6").text == "done"
    assert [r.name for r in caplog.records if "blocked" in r.message] == [app.name]
    assert "logger" not in vars(other)


def test_a_loop_that_was_watched_is_let_go_of(app: Flask) -> None:
    app.debug = True
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    @app.get("/")
    async def view() -> str:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return "done"

    asyncio.run(exchange(app))
    # The app itself keeps the last one.
    asyncio.run(exchange(app))
    until("the loop is gone", lambda: gc.collect() is not None and loops[0]() is None)
