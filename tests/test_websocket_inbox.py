"""Who listens to the server of a WebSocket, and that no message is lost over it."""

from __future__ import annotations

import asyncio
import sys
import typing as t

import pytest

from tests.sockets import eventually
from tests.sockets import on_loop
from tests.sockets import Wire
from torsyq import Flask
from torsyq import websocket
from torsyq import WebsocketDisconnected
from torsyq.channels import Broker


@pytest.fixture(autouse=True)
def under_no_granian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "granian", raising=False)


class Unsafe(Wire):
    """A server that loses what arrives where who waits in its ``receive`` is cancelled."""

    async def _run(self) -> None:
        await self.app(self.scope, self.receive, self._send)

    def receive(self) -> t.Any:
        return asyncio.shield(asyncio.ensure_future(self.to_app.get()))


@on_loop
async def test_while_a_view_receives_no_other_task_listens(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        async for message in websocket:
            await websocket.send(message)

    async with Wire(app) as wire:
        await wire.accepted()
        before = asyncio.all_tasks()
        # Longer than it takes until a task listens to who does not.
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == before
        for text in "ab":
            wire.say(text)
            assert await wire.hear() == text
        wire.leave()


@on_loop
async def test_while_a_view_waits_for_something_else_a_task_listens_after_a_while(
    app: Flask,
) -> None:
    go_on = asyncio.Event()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await go_on.wait()
        for _ in range(3):
            await websocket.send(await websocket.receive())

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("a")
        wire.say("b")
        await eventually(wire.to_app.empty)
        go_on.set()
        assert [await wire.hear() for _ in range(2)] == ["a", "b"]
        wire.say("c")
        assert await wire.hear() == "c"


@pytest.mark.parametrize("where", ["hook", "view"])
def test_a_client_that_goes_before_it_is_accepted_ends_who_decides(app: Flask, where: str) -> None:
    events: list[t.Any] = []

    async def decide() -> None:
        events.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ended")

    if where == "hook":
        app.before_websocket(decide)

    @app.websocket("/")
    async def view() -> None:
        await decide()

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        events.append(type(exc))

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await eventually(lambda: events)
            wire.leave()
        assert wire.from_app.empty()
        assert wire.task.cancelling() == 0

    client()
    assert events == ["begun", "ended", asyncio.CancelledError]


def test_a_client_that_goes_before_it_is_accepted_ends_what_a_thread_waits_for(app: Flask) -> None:
    broker, ends = Broker(), []

    @app.websocket("/")
    def view() -> None:
        with broker.channel("decisions").subscribe() as messages:
            ends.append("begun")
            ends.extend(messages)
        ends.append("ended")

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await eventually(lambda: ends)
            wire.leave()
        assert wire.from_app.empty()

    client()
    assert ends == ["begun", "ended"]


@pytest.mark.parametrize("kind", [Wire, Unsafe])
def test_no_message_is_lost_to_who_gives_up(app: Flask, kind: type[Wire]) -> None:
    """Each is said while somebody waits, and in the same turn of the loop that one is cancelled."""

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        for number in range(20):
            giving_up = asyncio.create_task(websocket.receive())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            wire.say(str(number))
            for _ in range(number // 4):
                await asyncio.sleep(0)
            giving_up.cancel()
            await asyncio.wait([giving_up])
            got = giving_up.result() if not giving_up.cancelled() else await websocket.receive()
            await websocket.send(got)

    @on_loop
    async def client() -> None:
        async with wire:
            await wire.accepted()
            assert [await wire.hear() for _ in range(20)] == [str(n) for n in range(20)]

    wire = kind(app)
    client()


@on_loop
async def test_of_two_that_wait_the_other_gets_what_the_first_one_gave_up(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        first, other = (asyncio.create_task(websocket.receive()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        wire.say("a")
        await websocket.send(await other)

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "a"


@pytest.mark.parametrize("kind", [Wire, Unsafe])
def test_who_waits_is_told_that_another_task_closed(app: Flask, kind: type[Wire]) -> None:
    told: list[t.Any] = []

    async def wait() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected as error:
            task = asyncio.current_task()
            told.append([error.code, error.reason, task is not None and task.cancelling()])
            raise

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        waiting = [asyncio.create_task(wait()) for _ in range(2)]
        await asyncio.sleep(0)
        await websocket.close(4000, "enough")
        await asyncio.wait(waiting)

    @on_loop
    async def client() -> None:
        async with kind(app) as wire:
            await wire.accepted()
            assert await wire.closed() == (4000, "enough")

    client()
    assert told == [[4000, "enough", 0]] * 2


@on_loop
async def test_who_is_cancelled_while_another_task_closes_stays_cancelled(app: Flask) -> None:
    ends: list[str] = []

    async def wait() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected:
            ends.append("told")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await websocket.close()
        await asyncio.wait([waiting])

    async with Wire(app) as wire:
        await wire.accepted()
        await wire.closed()
    assert ends == ["cancelled"]


@on_loop
async def test_a_message_too_big_closes_who_waits_for_it(app: Flask) -> None:
    app.config["WEBSOCKET_MAX_MESSAGE_SIZE"] = 2

    @app.websocket("/")
    async def view() -> None:
        await websocket.receive()

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("abc")
        assert await wire.closed() == (1009, "message too big")


@on_loop
async def test_views_that_only_send_let_others_have_their_turn(app: Flask) -> None:
    """No message is waited for, and neither is the server."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    @app.websocket("/")
    async def view() -> None:
        while turns < 100:
            await websocket.send("a")

    async with Wire(app) as wire:
        beside = asyncio.create_task(other())
        await wire.accepted()
        await eventually(wire.task.done)
        beside.cancel()
