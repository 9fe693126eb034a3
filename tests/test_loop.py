from __future__ import annotations

import asyncio
import os
import threading
import typing as t
from contextvars import ContextVar

import pytest

from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import session
from torsyq.loop import lasting_loop
from torsyq.loop import run_coroutine

colour: ContextVar[str] = ContextVar("colour", default="none")


def test_one_loop_serves_every_call() -> None:
    async def which() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    call = run_coroutine(which)
    assert call() is call() is lasting_loop()


def test_what_belongs_to_the_loop_outlives_the_call() -> None:
    async def make() -> asyncio.Event:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.001, event.set)
        return event

    async def wait(event: asyncio.Event) -> bool:
        return await event.wait()

    assert run_coroutine(wait)(run_coroutine(make)()) is True


def test_context_variables_are_seen_and_changes_come_back() -> None:
    async def paint() -> str:
        seen = colour.get()
        await asyncio.sleep(0)
        colour.set("blue")
        return seen

    token = colour.set("red")
    try:
        assert run_coroutine(paint)() == "red"
        assert colour.get() == "blue"
    finally:
        colour.reset(token)


def test_errors_reach_the_caller() -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_coroutine(fail)()


def test_the_loop_does_not_wait_for_itself() -> None:
    async def inner() -> None:
        raise AssertionError("never runs")

    async def outer() -> None:
        run_coroutine(inner)()

    with pytest.raises(RuntimeError, match="Await it in the view instead"):
        run_coroutine(outer)()


def test_threads_wait_side_by_side() -> None:
    """Both coroutines must be under way at once for either to end."""
    arrived: list[asyncio.Event] = []

    async def meet() -> bool:
        event = asyncio.Event()
        arrived.append(event)
        if len(arrived) == 2:
            for each in arrived:
                each.set()
        return await asyncio.wait_for(event.wait(), 30)

    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(run_coroutine(meet)())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    async def one() -> int:
        return 1

    assert run_coroutine(one)() == 1
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run_coroutine(one)() == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_async_view_sees_and_changes_request_g_and_session(app: Flask) -> None:
    @app.before_request
    async def before() -> None:
        g.seen = [request.path]

    @app.get("/<int:n>")
    async def view(n: int) -> dict[str, t.Any]:
        await asyncio.sleep(0)
        session["n"] = n
        return {"seen": g.seen, "n": n}

    client = app.test_client()
    assert client.get("/5").json == {"seen": ["/5"], "n": 5}
    with client.session_transaction() as saved:
        assert saved["n"] == 5
