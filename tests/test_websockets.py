"""The websocket object: what it sends and receives, when it ends, and who is told."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading
import typing as t
import weakref
from functools import partial
from functools import wraps

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests.freed import freed
from tests.servers import until
from tests.sockets import eventually
from tests.sockets import on_loop
from tests.sockets import Wire
from torsyq import abort
from torsyq import Flask
from torsyq import Request
from torsyq import request
from torsyq import session
from torsyq import Websocket
from torsyq import websocket
from torsyq import WebsocketDisconnected
from torsyq.sessions import SecureCookieSessionInterface
from torsyq.websockets import InvalidMessage


@pytest.fixture(autouse=True, scope="module", params=["who waits listens", "a task listens"])
def listener(request: pytest.FixtureRequest) -> t.Iterator[None]:
    """What a view sees does not depend on who listens to the server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "granian", raising=False)
        if request.param == "a task listens":
            patch.setitem(sys.modules, "granian", t.cast("t.Any", None))
        yield


# Messages


@on_loop
async def test_text_comes_as_a_string_and_data_as_bytes(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        while True:
            message = await websocket.receive()
            await websocket.send(f"{type(message).__name__}")
            await websocket.send(message)

    async with Wire(app) as wire:
        await wire.accepted()
        for message, kind in ("сәлем", "str"), (b"\x00\xff", "bytes"), ("", "str"), (b"", "bytes"):
            wire.say(message)
            assert await wire.hear() == kind
            assert await wire.hear() == message
        wire.leave()


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc")])
def test_whatever_is_like_bytes_is_sent_as_bytes(app: Flask, data: t.Any) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.send(data)

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            message = await wire.sent("websocket.send")
            assert type(message["bytes"]) is bytes
            assert message["bytes"] == b"abc"

    client()


@on_loop
async def test_half_of_a_surrogate_pair_is_sent_as_a_question_mark(app: Flask) -> None:
    """A client's JSON may bring it; no server can send it, and some end the connection for it."""

    @app.websocket("/")
    async def view() -> None:
        message = await websocket.receive_json()
        await websocket.send(message)
        app.json.ensure_ascii = False  # type: ignore[attr-defined]
        await websocket.send_json(message)

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say('"шай \\ud83c\\udf75, \\ud83c!"')
        assert await wire.hear() == "шай 🍵, ?!"
        assert await wire.hear() == '"шай 🍵, ?!"'


@on_loop
async def test_what_is_no_message_is_refused_with_the_remedy(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(
            TypeError, match=r"and not a dict\. To send it as JSON, use 'send_json'"
        ):
            await websocket.send({"a": 1})  # type: ignore[arg-type]
        assert not websocket.accepted

    async with Wire(app) as wire:
        await wire.sent("websocket.close")


@on_loop
async def test_json_is_written_and_read_by_the_app_s_provider(app: Flask) -> None:
    class Shouting(app.json_provider_class):  # type: ignore[name-defined,misc]
        def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
            return super().dumps(obj, **kwargs).upper()  # type: ignore[no-any-return]

    app.json = Shouting(app)

    @app.websocket("/")
    async def view() -> None:
        value = await websocket.receive_json()
        await websocket.send_json(value)
        await websocket.send_json(1, 2)
        await websocket.send_json(a=value["b"])
        with pytest.raises(TypeError, match="values or keyword arguments, not both"):
            await websocket.send_json(1, b=2)
        assert await websocket.receive_json(parse_int=str) == "12"
        assert await websocket.receive_json() == [3]

    async with Wire(app) as wire:
        wire.say('{"b": ["x"]}')
        await wire.accepted()
        assert await wire.hear() == '{"B": ["X"]}'
        assert await wire.hear() == "[1, 2]"
        assert await wire.hear() == '{"A": ["X"]}'
        wire.say("12")
        wire.say(b"[3]")
        await wire.closed()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe\xfd"])
def test_a_message_that_is_not_json_is_no_error_of_the_app(app: Flask, text: str | bytes) -> None:
    """It closes the connection with 1007; ValueError and BadRequest both catch it."""
    caught: list[type] = []

    @app.websocket("/")
    async def view() -> None:
        try:
            await websocket.receive_json()
        except ValueError as error:
            caught.append(type(error))
        await websocket.receive_json()

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            wire.say(text)
            wire.say(text)
            assert await wire.closed() == (1007, "BAD REQUEST")

    client()
    assert caught == [InvalidMessage]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.text(), st.binary()), max_size=150))
def test_all_messages_arrive_in_their_order(messages: list[str | bytes]) -> None:
    """More of them than are kept waiting, too, and with a view that is slow to begin."""
    app = Flask("order", static_folder=None)

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await asyncio.sleep(0.002)
        for _ in messages:
            await websocket.send(await websocket.receive())

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            for message in messages:
                wire.say(message)
            assert [await wire.hear() for _ in messages] == messages
            assert await wire.closed() == (1000, "")

    client()


@on_loop
async def test_iterating_gives_the_messages_until_the_end(app: Flask) -> None:
    heard = []

    @app.websocket("/")
    async def view() -> None:
        async for message in websocket:
            heard.append(message)
        heard.append("end")

    async with Wire(app) as wire:
        await wire.accepted()
        for word in "a", "b", "c":
            wire.say(word)
        wire.leave()
    assert heard == ["a", "b", "c", "end"]


# Accepting


@pytest.mark.parametrize("first", ["receive", "send", "receive_json", "send_json"])
def test_the_first_message_accepts(app: Flask, first: str) -> None:
    @app.websocket("/")
    async def view() -> None:
        assert not websocket.accepted
        if first.startswith("send"):
            await getattr(websocket, first)("1")
        else:
            await getattr(websocket, first)()
        assert websocket.accepted

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            wire.say("1")
            assert await wire.accepted() == {"type": "websocket.accept", "headers": []}

    client()


@on_loop
async def test_accepting_takes_headers_and_a_subprotocol(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        assert websocket.requested_subprotocols == ["v2", "v1"]
        await websocket.accept({"X-Room": "1"}, "v1")
        await websocket.accept()

    async with Wire(app, subprotocols=["v2", "v1"]) as wire:
        assert await wire.accepted() == {
            "type": "websocket.accept",
            "headers": [(b"x-room", b"1")],
            "subprotocol": "v1",
        }
        assert await wire.closed() == (1000, "")


@on_loop
async def test_headers_may_be_pairs(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept(headers=[("X-A", "1"), ("X-A", "2")])

    async with Wire(app) as wire:
        assert (await wire.accepted())["headers"] == [(b"x-a", b"1"), (b"x-a", b"2")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"headers": {"X": "a\r\nSet-Cookie: b"}}, "must not contain newline"),
        ({"headers": {"X\n": "a"}}, "must not contain newline"),
        ({"headers": {"sec-websocket-protocol": "v1"}}, "Pass 'subprotocol' instead"),
        ({"subprotocol": "v9"}, r"did not offer the subprotocol 'v9', but \['v1'\]"),
    ],
)
def test_what_cannot_be_sent_with_the_answer_is_refused(
    app: Flask, arguments: dict[str, t.Any], message: str
) -> None:
    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(ValueError, match=message):
            await websocket.accept(**arguments)
        assert not websocket.accepted

    @on_loop
    async def client() -> None:
        async with Wire(app, subprotocols=["v1"]) as wire:
            await wire.closed()

    client()


@on_loop
async def test_headers_after_accepting_come_too_late(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.send("hello")
        with pytest.raises(RuntimeError, match="is accepted already"):
            await websocket.accept({"X": "1"})

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "hello"


@on_loop
async def test_tasks_that_accept_at_once_accept_once(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await asyncio.gather(*(websocket.send(str(number)) for number in range(5)))

    async with Wire(app) as wire:
        await wire.accepted()
        assert sorted([await wire.hear() for _ in range(5)]) == ["0", "1", "2", "3", "4"]


# What the request said


@on_loop
async def test_the_websocket_has_the_request_s_attributes(app: Flask) -> None:
    seen: dict[str, t.Any] = {}

    @app.websocket("/rooms/<int:number>")
    async def view(number: int) -> None:
        seen.update(
            args=websocket.args["q"],
            blueprints=websocket.blueprints,
            cookie=websocket.cookies["c"],
            endpoint=websocket.endpoint,
            header=websocket.headers["X-Header"],
            host=websocket.host,
            path=websocket.path,
            remote_addr=websocket.remote_addr,
            rule=websocket.url_rule.rule if websocket.url_rule else None,
            scheme=websocket.scheme,
            scope=websocket.scope["type"],
            url=websocket.url,
            view_args=websocket.view_args,
            text=repr(websocket),
        )
        assert request.args is websocket.args
        with pytest.raises(AttributeError, match="nothing"):
            websocket.nothing  # noqa: B018

    async with Wire(
        app, "/rooms/5", query="q=1", headers={"Cookie": "c=2", "X-Header": "3"}
    ) as wire:
        await wire.closed()
    assert seen == {
        "args": "1",
        "blueprints": [],
        "cookie": "2",
        "endpoint": "view",
        "header": "3",
        "host": "localhost",
        "path": "/rooms/5",
        "remote_addr": "127.0.0.1",
        "rule": "/rooms/<int:number>",
        "scheme": "ws",
        "scope": "websocket",
        "url": "ws://localhost/rooms/5?q=1",
        "view_args": {"number": 5},
        "text": "<Websocket 'ws://localhost/rooms/5?q=1'>",
    }


def test_what_is_public_on_a_request_is_on_its_websocket_until_that_has_its_own() -> None:
    public = {name for name in dir(Request({})) if not name.startswith("_")}
    assert public <= {*dir(Websocket)}

    class Named(Websocket):
        path = "of the class"

    plain, named = Websocket.__new__(Websocket), Named.__new__(Named)
    plain.request = named.request = Request({"PATH_INFO": "/a", "REQUEST_METHOD": "GET"})
    assert (plain.path, plain.method, named.path) == ("/a", "GET", "of the class")
    plain.path = "its own"
    assert (plain.path, plain.request.path) == ("its own", "/a")
    with pytest.raises(AttributeError, match="'Websocket' object has no attribute 'pahts'"):
        plain.pahts  # noqa: B018


def test_an_object_without_a_request_has_no_attributes() -> None:
    """So that copying and unpickling tools, which look before there is one, find nothing."""
    with pytest.raises(AttributeError):
        Websocket.__new__(Websocket).path  # noqa: B018


@on_loop
async def test_the_class_can_be_replaced(app: Flask) -> None:
    class Polite(Websocket):
        async def greet(self) -> None:
            await self.send("good day")

    app.websocket_class = Polite

    @app.websocket("/")
    async def view() -> None:
        await websocket.greet()

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "good day"


# The end


@on_loop
async def test_the_client_s_going_is_raised_by_receive(app: Flask) -> None:
    caught: list[t.Any] = []

    @app.websocket("/")
    async def view() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected as error:
            caught.append((error.code, error.reason, str(error)))
            assert websocket.closed
            # There is time to clean up.
            await asyncio.sleep(0.01)
            caught.append("cleaned up")
        with pytest.raises(WebsocketDisconnected):
            await websocket.send("too late")
        with pytest.raises(WebsocketDisconnected):
            await websocket.receive()

    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave(4001, "tired")
    assert caught == [(4001, "tired", "4001 tired"), "cleaned up"]
    assert wire.from_app.empty()


@on_loop
async def test_a_going_without_words_has_the_code_for_that(app: Flask) -> None:
    codes = []

    @app.websocket("/")
    async def view() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected as error:
            codes.append((error.code, str(error)))

    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave(None)
    assert codes == [(1005, "1005")]


@on_loop
async def test_a_view_written_for_quart_finds_its_cancellation(app: Flask) -> None:
    """And one that catches every Exception in a loop does not go on for ever."""
    ends = []

    @app.websocket("/quart")
    async def quart() -> None:
        try:
            while True:
                await websocket.send(await websocket.receive())
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    @app.websocket("/greedy")
    async def greedy() -> None:
        while True:
            try:
                await websocket.receive()
            except Exception:  # pragma: no cover (the point is that it isn't reached)
                ends.append("caught")

    for path in "/quart", "/greedy":
        async with Wire(app, path) as wire:
            await wire.accepted()
            wire.leave()
    assert ends == ["cancelled"]


@on_loop
async def test_what_came_before_the_end_is_still_received(app: Flask) -> None:
    heard = []

    @app.websocket("/")
    async def view() -> None:
        async for message in websocket:
            # Slower than the client, who is gone by now.
            await asyncio.sleep(0.01)
            heard.append(message)

    async with Wire(app) as wire:
        await wire.accepted()
        for word in "a", "b", "c":
            wire.say(word)
        wire.leave()
    assert heard == ["a", "b", "c"]


@on_loop
async def test_a_view_that_only_sends_is_cancelled_when_the_client_goes(app: Flask) -> None:
    ends: list[t.Any] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.send("hello")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            ends.append(type(error))
            raise

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        ends.append(type(exc))

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "hello"
        wire.leave()
    assert ends == [asyncio.CancelledError, asyncio.CancelledError]
    assert wire.task.cancelling() == 0


def in_plain_decorator(app: Flask, view: t.Callable[[], t.Any]) -> t.Callable[[], t.Any]:
    """What a decorator makes of an async view that was written for sync ones."""

    @wraps(view)
    def decorated() -> t.Any:
        return app.ensure_sync(view)()

    return decorated


@pytest.mark.parametrize("end", ["client", "shutdown", "server"])
@on_loop
async def test_an_async_view_in_a_sync_decorator_is_cancelled_too(app: Flask, end: str) -> None:
    """It would keep its thread for as long as it waits."""
    ends: list[t.Any] = []

    async def view() -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("view")

    @app.teardown_websocket
    async def teardown(exc: BaseException | None) -> None:
        await asyncio.sleep(0)
        ends.append(type(exc))

    app.add_websocket("/", "view", in_plain_decorator(app, view))
    wire = await Wire(app).__aenter__()
    await wire.accepted()
    if end == "client":
        wire.leave()
    elif end == "shutdown":
        await app.shutdown()
    else:
        wire.task.cancel()
    await asyncio.wait([wire.task])
    assert ends == ["view", asyncio.CancelledError]
    assert wire.task.cancelled() == (end == "server")


@pytest.mark.parametrize("told", ["view", "helper"])
@on_loop
async def test_who_knows_that_the_client_has_gone_may_clean_up(app: Flask, told: str) -> None:
    """An async view in a sync decorator; not where only a task beside it was told."""
    ends: list[t.Any] = []

    async def view() -> None:
        await websocket.accept()
        helper = asyncio.create_task(websocket.receive())
        try:
            await (asyncio.wait([helper]) if told == "helper" else helper)
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                ends.append("cancelled")
            ends.append("ends")

    app.add_websocket("/", "decorated", lambda: app.ensure_sync(view)())
    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave()
    assert ends == ["ends"]


@pytest.mark.parametrize("told", ["receive", "send", "close", "closed"])
@on_loop
async def test_a_sync_view_that_knows_of_the_end_may_clean_up(app: Flask, told: str) -> None:
    """By what it waits for: nothing cuts it off, whether or not the view was to end by then."""
    ends: list[str] = []
    viewers: list[t.Any] = []

    async def cleans_up(when: str) -> None:
        if when == "late":
            viewers[0].dismiss()
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            ends.append(f"{when}: cancelled")
        ends.append(when)

    @app.websocket("/")
    def view() -> None:
        websocket.accept()  # type: ignore[unused-coroutine]
        viewers.append(websocket._viewer)
        if told == "close":
            websocket.close(4002)  # type: ignore[unused-coroutine]
        else:
            until("the client has gone", lambda: viewers[0].coroutines.has_come)
            if told == "closed":
                assert websocket.closed
            else:
                with pytest.raises(WebsocketDisconnected):
                    getattr(websocket, told)(*["?"] * (told == "send"))
        app.async_to_sync(cleans_up)("first")
        app.async_to_sync(cleans_up)("late")

    async with Wire(app) as wire:
        await wire.accepted()
        if told == "close":
            assert await wire.closed() == (4002, "")
        else:
            wire.leave()
        await asyncio.wait([wire.task])
    assert ends == ["first", "late"]


@on_loop
async def test_an_async_view_in_a_busy_decorator_is_cancelled_when_it_begins(app: Flask) -> None:
    """The client has gone while the decorator was at work, and nobody has told it."""
    ends: list[str] = []

    async def view() -> None:
        ends.append("begun")
        await asyncio.Event().wait()

    @app.websocket("/")
    def decorated() -> t.Any:
        websocket.accept()  # type: ignore[unused-coroutine]
        until("the client has gone", lambda: websocket._viewer.coroutines.has_come)
        return app.ensure_sync(view)()

    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave()
        await asyncio.wait([wire.task])
    assert ends == []
    assert wire.task.cancelling() == 0


@pytest.mark.parametrize("wait", ["receive", "accept"])
def test_a_view_that_begins_when_the_client_has_gone_is_cancelled_too(
    app: Flask, wait: str
) -> None:
    """It went while a hook was at work, which had let it in and goes on."""
    events: list[str] = []

    @app.before_websocket
    async def let_in() -> None:
        await getattr(websocket, wait)()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")

    @app.websocket("/")
    async def view() -> None:
        events.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ended")

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            wire.say("hello")
            await eventually(wire.to_app.empty)
            wire.leave()
        assert wire.task.cancelling() == 0

    client()
    assert events == ["cancelled", "begun", "ended"]


@on_loop
async def test_a_view_that_swallows_its_cancellation_ends_as_it_likes(app: Flask) -> None:
    ends = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            ends.append("in peace")

    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave()
    assert ends == ["in peace"]
    assert wire.task.cancelling() == 0


@pytest.mark.parametrize("decorated", [False, True])
@pytest.mark.parametrize("how", ["gather", "group", "tasks"])
def test_sending_and_receiving_in_tasks_ends_with_the_client(
    app: Flask, how: str, decorated: bool
) -> None:
    """Both of them, and who is told of it cleans up undisturbed."""
    ends = []

    async def sending() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("sending")
            raise

    async def receiving() -> None:
        try:
            while True:
                await websocket.send(await websocket.receive())
        except WebsocketDisconnected:
            await asyncio.sleep(0)
            ends.append("receiving")
            raise

    async def view() -> None:
        if how == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(sending())
                group.create_task(receiving())
        elif how == "gather":
            await asyncio.gather(asyncio.create_task(sending()), asyncio.create_task(receiving()))
        else:
            tasks = [asyncio.create_task(sending()), asyncio.create_task(receiving())]
            done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    app.add_websocket("/", "view", in_plain_decorator(app, view) if decorated else view)

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            wire.say("a")
            await wire.accepted()
            assert await wire.hear() == "a"
            wire.leave()
        assert wire.task.cancelling() == 0
        # Not only with the loop.
        await eventually(lambda: len(ends) == 2)

    client()
    assert sorted(ends) == ["receiving", "sending"]


@on_loop
@pytest.mark.parametrize("closes", [True, False], ids=["closes", "returns"])
async def test_who_accepts_while_the_view_ends_the_connection_finds_it_closed(
    app: Flask, closes: bool
) -> None:
    """The session that is sent along may be long in being saved."""
    saving, ended = asyncio.Event(), asyncio.Event()
    sending: list[asyncio.Task[None]] = []

    class Slow(SecureCookieSessionInterface):
        async def save_session(self, *args: t.Any) -> None:  # type: ignore[override]
            saving.set()
            await ended.wait()
            super().save_session(*args)

    app.session_interface = Slow()

    @app.websocket("/")
    async def view() -> None:
        session["seen"] = True
        sending.append(asyncio.create_task(websocket.send("late")))
        await saving.wait()
        if closes:
            await websocket.close()
            ended.set()
            await asyncio.wait(sending)

    async with Wire(app) as wire:
        await wire.sent("websocket.close")
    ended.set()
    with pytest.raises(WebsocketDisconnected):
        await sending[0]
    assert wire.from_app.empty()


@on_loop
async def test_a_connection_is_accepted_once_though_who_did_so_is_cancelled(app: Flask) -> None:
    """As by a timeout for the first message."""

    class Slow(Wire):
        async def _send(self, message: dict[str, t.Any]) -> None:
            await super()._send(message)
            await eventually(lambda: is_cancelled)

    is_cancelled: list[bool] = []

    @app.websocket("/")
    async def view() -> None:
        first = asyncio.create_task(websocket.receive())
        await wire.accepted()
        first.cancel()
        await asyncio.wait([first])
        is_cancelled.append(first.cancelled())
        await websocket.send(await websocket.receive())

    async with Slow(app) as wire:
        await eventually(lambda: is_cancelled)
        wire.say("hello")
        assert await wire.hear() == "hello"
        assert await wire.closed() == (1000, "")


@pytest.mark.parametrize("decorated", [False, True])
@pytest.mark.parametrize("error", [None, KeyError("k")])
def test_a_task_group_around_receive_ends_with_the_client(
    app: Flask, error: Exception | None, decorated: bool
) -> None:
    """The group that it wraps the going in is taken off; what else is in it remains an error."""
    ends = []

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        ends.append(repr(exc))

    async def sending() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("sending")
            if error is not None:
                raise error

    async def view() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sending())
            while True:
                await websocket.receive()

    app.add_websocket("/", "view", in_plain_decorator(app, view) if decorated else view)

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            wire.leave()

    if error is None:
        client()
        assert ends == ["sending", "WebsocketDisconnected(1001, '')"]
    else:
        with pytest.raises(ExceptionGroup) as caught:
            client()
        assert caught.value.exceptions == (error,)
        assert ends[0] == "sending"


@pytest.mark.parametrize("decorated", [False, True])
@pytest.mark.parametrize("is_accepted", [False, True])
@on_loop
async def test_what_is_gathered_with_a_send_that_fails_ends_with_it(
    app: Flask, is_accepted: bool, decorated: bool
) -> None:
    """It would wait for ever, since the view that gathers it has ended."""
    ends: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("waiting")

    async def sending() -> None:
        wire.broken = ConnectionResetError()
        await websocket.send("hello")

    async def view() -> None:
        if is_accepted:
            await websocket.accept()
        await asyncio.gather(waiting(), sending())

    app.add_websocket("/", "view", in_plain_decorator(app, view) if decorated else view)
    async with Wire(app) as wire:
        pass
    assert ends == ["waiting"]
    assert wire.task.cancelling() == 0


@on_loop
async def test_a_view_is_not_cancelled_again_while_it_cleans_up(app: Flask) -> None:
    """By the end of the app, or a task that finds that the client has gone."""
    ends: list[str] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("begun")
            await eventually(lambda: stopping)
            for _ in range(5):
                await asyncio.sleep(0)
            ends.append("ended")

    stopping: list[asyncio.Task[None]] = []
    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave()
        await eventually(lambda: ends)
        stopping.append(asyncio.create_task(app.shutdown()))
    await stopping[0]
    assert ends == ["begun", "ended"]
    assert wire.task.cancelling() == 0


@on_loop
async def test_an_exception_group_of_the_view_s_own_is_an_error(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        raise ExceptionGroup("own", [KeyError("k")])

    wire = await Wire(app).__aenter__()
    await asyncio.wait([wire.task])
    with pytest.raises(ExceptionGroup, match="own"):
        wire.task.result()


@on_loop
async def test_a_receive_that_is_given_up_loses_no_message(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(websocket.receive(), 0.005)
        waiting, another = (asyncio.create_task(websocket.receive()) for _ in range(2))
        await asyncio.sleep(0)
        # Woken by a message and cancelled before it runs.
        websocket._inbox._keep("a")
        waiting.cancel()
        await websocket.send(await another)
        await websocket.send(await asyncio.wait_for(websocket.receive(), 5))
        giving_up = asyncio.create_task(websocket.receive())
        await asyncio.sleep(0)
        giving_up.cancel()
        await websocket.send(await websocket.receive())

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "a"
        wire.say("b")
        assert await wire.hear() == "b"
        wire.say("c")
        assert await wire.hear() == "c"


@on_loop
async def test_a_send_that_fails_is_the_client_s_going(app: Flask) -> None:
    caught: list[t.Any] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        wire.broken = OSError("gone")
        try:
            await websocket.send("anyone?")
        except WebsocketDisconnected as error:
            caught.extend([error.code, repr(error.__cause__)])
            raise

    async with Wire(app) as wire:
        await wire.accepted()
    assert caught == [1006, "OSError('gone')"]


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("gone")], ids=repr)
@pytest.mark.parametrize("step", ["accept", "receive", "send"])
def test_a_client_that_went_before_it_was_accepted_is_no_error(
    app: Flask, caplog: pytest.LogCaptureFixture, step: str, error: Exception
) -> None:
    caught: list[t.Any] = []

    @app.websocket("/")
    async def view() -> None:
        wire.broken = error
        try:
            await (websocket.send("hello") if step == "send" else getattr(websocket, step)())
        except WebsocketDisconnected as gone:
            caught.extend([gone.code, gone.__cause__, websocket.closed])
            raise

    @on_loop
    async def client() -> None:
        async with wire:
            pass

    wire = Wire(app)
    client()
    assert caught == [1006, error, True]
    assert not caplog.records


@on_loop
async def test_a_close_that_fails_is_no_error(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        wire.broken = OSError("gone")

    async with Wire(app) as wire:
        await wire.accepted()


@on_loop
async def test_a_server_that_fails_to_receive_has_lost_the_client(app: Flask) -> None:
    codes = []

    @app.websocket("/")
    async def view() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected as error:
            codes.append(error.code)

    wire = Wire(app)
    messages = iter([{"type": "websocket.connect"}])

    async def receive() -> t.Any:
        try:
            return next(messages)
        except StopIteration:
            raise OSError("reset") from None

    await app(wire.scope, receive, wire._send)
    assert codes == [1006]


@on_loop
async def test_a_client_that_is_gone_before_it_was_there_is_no_error(app: Flask) -> None:
    wire = Wire(app)
    wire.leave()
    await app(wire.scope, wire.to_app.get, wire._send)
    assert wire.from_app.empty()


@on_loop
async def test_closing_says_why(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await websocket.close(4000, "күні бітті")
        assert websocket.closed
        await websocket.close(1000)
        with pytest.raises(WebsocketDisconnected) as caught:
            await websocket.receive()
        assert caught.value.code == 4000

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.closed() == (4000, "күні бітті")
    assert wire.from_app.empty()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
def test_a_code_that_is_not_for_sending_is_refused(app: Flask, code: int) -> None:
    @app.websocket("/")
    async def view() -> None:
        with pytest.raises(ValueError, match=f"^{code} is no code to close with: 1000"):
            await websocket.close(code)

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.closed()

    client()


@on_loop
async def test_a_reason_of_more_than_123_bytes_is_refused(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        with pytest.raises(ValueError, match="at most 123 bytes"):
            await websocket.close(1000, "қ" * 62)
        await websocket.close(1000, "қ" * 61)

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.closed() == (1000, "қ" * 61)


@on_loop
async def test_closing_from_a_task_wakes_the_one_that_receives(app: Flask) -> None:
    codes = []

    @app.websocket("/")
    async def view() -> None:
        closing = asyncio.create_task(closes())
        try:
            await websocket.receive()
        except WebsocketDisconnected as error:
            codes.append(error.code)
        await closing

    async def closes() -> None:
        await websocket.accept()
        await websocket.close(4002)

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.closed() == (4002, "")
    assert codes == [4002]


@pytest.mark.parametrize("how", ["it knows", "the server knows"])
@on_loop
async def test_the_end_of_a_connection_does_not_end_who_sends_to_it_from_another(
    app: Flask, how: str
) -> None:
    """From a request, a background task or another WebSocket; there it is an error like others."""
    there: list[t.Any] = []
    errors = []

    @app.websocket("/there")
    async def view() -> None:
        await websocket.accept()
        there.append(websocket._get_current_object())
        await asyncio.Event().wait()

    async def tell() -> None:
        for one in there:
            try:
                await one.send("?")
            except Exception as error:
                errors.append(error)

    @app.websocket("/")
    async def teller() -> None:
        await tell()
        await websocket.send("goes on")

    @app.get("/")
    async def request() -> str:
        app.add_background_task(tell)
        await tell()
        return "goes on"

    @app.get("/plain")
    def plain() -> str:
        try:
            there[0].send("?")
        except Exception as error:
            errors.append(error)
        return "goes on"

    async with Wire(app, "/there") as wire:
        await wire.accepted()
        if how == "it knows":
            wire.leave()
            await asyncio.wait([wire.task])
        else:
            wire.broken = OSError()
        async with Wire(app) as other:
            await other.accepted()
            assert await other.hear() == "goes on"
        for path in "/", "/plain":
            assert (await app.async_test_client().get(path)).text == "goes on"
        await eventually(lambda: len(errors) == 4)
    assert {type(error) for error in errors} == {ConnectionError}
    assert "'/there'" in str(errors[0])


@pytest.mark.parametrize("decorated", [False, True])
@pytest.mark.parametrize("who", ["task", "hook", "send"])
def test_a_view_that_waits_for_something_else_ends_though_the_end_was_made_beside_it(
    app: Flask, who: str, decorated: bool
) -> None:
    """A task or a hook has closed the connection, or a task found it broken while sending."""
    ends = []

    async def beside() -> None:
        await websocket.accept()
        await asyncio.sleep(0)
        if who == "send":
            await websocket.send("?")
        await websocket.close(4002)

    @app.before_websocket
    async def before() -> None:
        if who == "hook":
            await beside()

    async def view() -> None:
        task = asyncio.create_task(beside())
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("view")
            await asyncio.wait([task])

    app.add_websocket("/", "view", in_plain_decorator(app, view) if decorated else view)

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            if who == "send":
                wire.broken = OSError()
            else:
                assert await wire.closed() == (4002, "")
        assert ends == ["view"]
        assert wire.task.cancelling() == 0

    client()


@on_loop
async def test_a_view_that_has_closed_the_connection_may_go_on(app: Flask) -> None:
    ends = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await websocket.close(4002)
        websocket._viewer.dismiss()
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            ends.append("cancelled")
        ends.append("ends")

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.closed() == (4002, "")
    assert ends == ["ends"]


@on_loop
async def test_what_is_left_of_a_view_finds_the_connection_closed(app: Flask) -> None:
    left: list[asyncio.Task[None]] = []

    async def talks_on() -> None:
        await websocket.accept()
        await eventually(lambda: websocket.closed)
        await websocket.send("still there?")

    @app.websocket("/")
    async def view() -> None:
        left.append(asyncio.create_task(talks_on()))
        await websocket.accept()

    async with Wire(app) as wire:
        await wire.accepted()
        await wire.closed()
    with pytest.raises(WebsocketDisconnected):
        await left[0]


@on_loop
async def test_a_server_that_stops_ends_the_view(app: Flask) -> None:
    ends: list[t.Any] = []

    @app.websocket("/")
    async def view() -> None:
        try:
            await websocket.receive()
        finally:
            ends.append("view")

    @app.teardown_websocket
    async def teardown(exc: BaseException | None) -> None:
        ends.append(type(exc))

    wire = await Wire(app).__aenter__()
    await wire.accepted()
    wire.task.cancel()
    await asyncio.wait([wire.task])
    assert wire.task.cancelled()
    assert ends == ["view", asyncio.CancelledError]


# Size and pace


@pytest.mark.parametrize(
    ("message", "fits"),
    [
        ("a" * 100, True),
        ("a" * 101, False),
        ("қ" * 50, True),
        ("қ" * 51, False),
        (b"a" * 101, False),
    ],
)
def test_a_message_that_is_too_big_ends_the_connection(
    app: Flask, message: str | bytes, fits: bool
) -> None:
    app.config["WEBSOCKET_MAX_MESSAGE_SIZE"] = 100
    codes = []

    @app.websocket("/")
    async def view() -> None:
        try:
            await websocket.send(await websocket.receive())
        except WebsocketDisconnected as error:
            codes.append((error.code, error.reason))

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            wire.say(message)
            if fits:
                assert await wire.hear() == message
            else:
                assert await wire.closed() == (1009, "message too big")

    client()
    assert codes == ([] if fits else [(1009, "message too big")])


@on_loop
async def test_a_view_that_ends_at_once_does_not_cut_the_refusal_short(app: Flask) -> None:
    app.config["WEBSOCKET_MAX_MESSAGE_SIZE"] = 1

    @app.websocket("/")
    async def view() -> None:
        await websocket.receive()

    async with Wire(app) as wire:
        await wire.accepted()
        wire.congested = True
        wire.say("abc")
        await asyncio.sleep(0.02)
        wire.congested = False
        assert await wire.closed() == (1009, "message too big")


@on_loop
async def test_without_a_limit_any_size_goes(app: Flask) -> None:
    app.config["WEBSOCKET_MAX_MESSAGE_SIZE"] = None

    @app.websocket("/")
    async def view() -> None:
        await websocket.send(str(len(await websocket.receive())))

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("a" * 5_000_000)
        assert await wire.hear() == "5000000"


@pytest.mark.parametrize(("message", "kept"), [("a", 64), ("a" * 100_000, 3)])
def test_a_slow_view_slows_its_client(app: Flask, message: str, kept: int) -> None:
    """Only so many messages, and so many bytes, are taken from the server ahead of the view."""
    go_on = asyncio.Event()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await go_on.wait()
        for _ in range(200):
            await websocket.receive()
        await websocket.send("all")

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            for _ in range(200):
                wire.say(message)
            await eventually(lambda: wire.to_app.qsize() == 200 - kept)
            await asyncio.sleep(0.01)
            assert wire.to_app.qsize() == 200 - kept
            go_on.set()
            assert await wire.hear() == "all"

    client()


@on_loop
async def test_a_slow_client_slows_the_view(app: Flask) -> None:
    sent = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.receive()
        for number in range(3):
            await websocket.send(str(number))
            sent.append(number)

    async with Wire(app) as wire:
        await wire.accepted()
        wire.congested = True
        wire.say("go")
        await asyncio.sleep(0.02)
        assert sent == []
        wire.congested = False
        assert [await wire.hear() for _ in range(3)] == ["0", "1", "2"]


# Sync views


@on_loop
async def test_in_a_sync_view_the_methods_wait(app: Flask) -> None:
    threads = []

    @app.websocket("/<name>")
    def view(name: str) -> None:
        threads.append(threading.current_thread().name)
        websocket.accept({"X-Name": name})  # type: ignore[unused-coroutine]
        websocket.send(websocket.receive())  # type: ignore[arg-type,unused-coroutine]
        websocket.send_json(websocket.receive_json())  # type: ignore[unused-coroutine]
        with pytest.raises(InvalidMessage):
            websocket.receive_json()  # type: ignore[unused-coroutine]
        websocket.close(4003)  # type: ignore[unused-coroutine]

    async with Wire(app, "/aru") as wire:
        assert (await wire.accepted())["headers"] == [(b"x-name", b"aru")]
        wire.say("hi")
        assert await wire.hear() == "hi"
        wire.say("[1]")
        assert await wire.hear() == "[1]"
        wire.say("{")
        assert await wire.closed() == (4003, "")
    assert threads == ["tests.app-websocket_0"]


@on_loop
async def test_a_sync_view_is_told_of_the_client_s_going(app: Flask) -> None:
    ends: list[t.Any] = []

    @app.websocket("/")
    def view() -> None:
        try:
            websocket.receive()  # type: ignore[unused-coroutine]
        except WebsocketDisconnected as error:
            ends.append(error.code)
            raise

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        ends.append(type(exc))

    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave(4004)
    assert ends == [4004, WebsocketDisconnected]


@on_loop
async def test_a_sync_view_iterates_plainly(app: Flask) -> None:
    heard = []

    @app.websocket("/")
    def view() -> None:
        for message in t.cast("t.Iterable[str]", websocket):
            heard.append(message)

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("a")
        wire.say("b")
        wire.leave()
    assert heard == ["a", "b"]


@pytest.mark.parametrize("method", ["send", "send_json"])
@pytest.mark.parametrize("end", ["client", "server"])
def test_a_sync_view_waits_in_no_send_that_never_ends(app: Flask, method: str, end: str) -> None:
    """Gunicorn's never ends when the client of it has gone. Each would keep one of the threads."""
    events: list[object] = []
    go = threading.Event()

    @app.websocket("/")
    def view() -> None:
        socket: t.Any = websocket
        socket.send("one")
        go.wait()
        events.append("sends")
        try:
            getattr(socket, method)("two")
        except WebsocketDisconnected as error:
            events.append(error.code)
            raise

    @on_loop
    async def connection() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            assert await wire.hear() == "one"
            wire.congested = True
            go.set()
            await eventually(lambda: events)
            if end == "client":
                wire.leave(4001)
            else:
                await app.shutdown()
            await eventually(lambda: len(events) == 2)
            wire.congested = False

    connection()
    assert events == ["sends", 4001 if end == "client" else 1001]


@on_loop
async def test_a_sync_view_finishes_what_it_awaits_when_the_client_goes(app: Flask) -> None:
    """As an async one does, which has a second for that."""
    saved: list[t.Any] = []

    async def save(message: str | bytes) -> None:
        saved.append("begun")
        await eventually(lambda: websocket.closed)
        saved.append(message)

    @app.websocket("/")
    def view() -> None:
        for message in websocket:
            app.async_to_sync(save)(message)

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("hello")
        await eventually(lambda: saved)
        wire.leave()
    assert saved == ["begun", "hello"]


@on_loop
async def test_a_plain_for_in_an_async_view_says_so(app: Flask) -> None:
    """It would go round for ever, with a coroutine for a message, and nothing else could run."""

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        with pytest.raises(RuntimeError, match="write 'async for message in websocket'"):
            next(iter(websocket))
        await websocket.send("told")

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "told"


@on_loop
async def test_a_server_that_stops_does_not_wait_for_a_sync_view(app: Flask) -> None:
    ends = []

    @app.websocket("/")
    def view() -> None:
        try:
            websocket.receive()  # type: ignore[unused-coroutine]
        except WebsocketDisconnected as error:
            ends.append(error.code)

    wire = await Wire(app).__aenter__()
    await wire.accepted()
    wire.task.cancel()
    await asyncio.wait([wire.task])
    assert wire.task.cancelled()
    assert ends == [1001]


@pytest.mark.parametrize("kind", ["def", "async def"])
@on_loop
async def test_the_end_of_the_app_ends_views_that_the_server_has_left_alone(
    app: Flask, kind: str
) -> None:
    ends: list[t.Any] = []

    def sync_view() -> None:
        try:
            websocket.receive()  # type: ignore[unused-coroutine]
        except WebsocketDisconnected as error:
            ends.append(error.code)

    async def view() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected as error:
            await asyncio.sleep(0)
            ends.append(error.code)

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        ends.append("teardown")

    app.add_websocket("/", "view", view if kind == "async def" else sync_view)
    async with Wire(app) as wire:
        await wire.accepted()
        await app.shutdown()
        assert ends == [1001, "teardown"]
    async with Wire(app) as wire:
        await wire.accepted()
        wire.leave()


@on_loop
async def test_the_end_of_the_app_ends_a_view_that_waits_for_something_else(app: Flask) -> None:
    ends: list[t.Any] = []

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("view")

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        ends.append(type(exc))

    async with Wire(app) as wire:
        await wire.accepted()
        await app.shutdown()
        assert ends == ["view", asyncio.CancelledError]


@on_loop
async def test_one_sync_view_too_many_is_refused(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["WEBSOCKET_THREADS"] = 1

    @app.websocket("/")
    def view() -> None:
        websocket.receive()  # type: ignore[unused-coroutine]

    async with Wire(app) as first:
        await first.accepted()
        async with Wire(app) as second:
            assert (await second.refused())[0] == 503
        assert "'WEBSOCKET_THREADS'" in caplog.text
        first.leave()
    async with Wire(app) as third:
        await third.accepted()
        third.leave()


@on_loop
async def test_a_helper_in_a_thread_may_send(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await asyncio.to_thread(partial(websocket.send, "from a thread"))  # type: ignore[unused-coroutine]

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "from a thread"


# What remains


def freed_when_over(app: Flask, end: t.Callable[[asyncio.Task[None]], t.Awaitable[object]]) -> None:
    """Open a WebSocket, have *end* wait for its task, and hold that it is freed then."""

    @app.before_websocket
    async def watch() -> None:
        kept.append(weakref.ref(websocket._get_current_object()))

    @on_loop
    async def server() -> None:
        wire = await Wire(app).__aenter__()
        await wire.accepted()
        assert await wire.hear() == "a"
        task = wire.task
        del wire.task
        await end(task)

    with freed() as kept:
        server()


@pytest.mark.parametrize("often", [False, True])
def test_nothing_remains_of_a_connection_that_the_server_cancels(app: Flask, often: bool) -> None:
    """Its task holds the error, whose traceback holds the frames of who waited for a message."""

    @app.websocket("/")
    async def view() -> None:
        await websocket.send("a")
        await websocket.receive()

    async def cancel(task: asyncio.Task[None]) -> None:
        task.cancel()
        while often and not task.done():
            # As AnyIO does, until it is obeyed.
            await asyncio.sleep(0)
            task.cancel()
        # Who asks for its result would take the error out of it.
        await asyncio.wait([task])
        assert task.cancelled()

    freed_when_over(app, cancel)


def test_nothing_remains_of_a_connection_whose_error_is_the_servers(app: Flask) -> None:
    app.testing = True

    @app.websocket("/")
    async def view() -> None:
        await websocket.send("a")
        raise ZeroDivisionError

    async def leave(task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])
        assert type(task.exception()) is ZeroDivisionError

    freed_when_over(app, leave)


@pytest.mark.parametrize(
    "end", ["return", "error", "client", "refusal", "abort", "no route", "error in a thread"]
)
def test_nothing_remains_of_a_connection(end: str) -> None:
    """No task, and no cycle of references: it is freed without the collector."""
    if end == "error in a thread" and sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("without the GIL, what a thread has made is freed when that thread wakes")
    app = Flask("remains", static_folder=None)
    app.secret_key = "k"
    # Pytest keeps what is logged, and the traceback with it.
    app.logger.disabled = True

    @app.before_websocket
    async def watch() -> None:
        kept.append(weakref.ref(websocket._get_current_object()))

    def fail() -> None:
        websocket.send(websocket.receive())  # type: ignore[unused-coroutine, arg-type]
        raise ZeroDivisionError

    async def view() -> t.Any:
        if end == "refusal":
            return "no"
        if end == "abort":
            abort(403)
        session["a"] = 1
        await websocket.send(await websocket.receive())
        if end == "error":
            raise ZeroDivisionError
        if end == "client":
            await websocket.receive()
        return None

    app.websocket("/")(fail if end == "error in a thread" else view)

    @on_loop
    async def client() -> None:
        before = asyncio.all_tasks()
        async with Wire(app, "/nowhere" if end == "no route" else "/") as wire:
            wire.say("a")
            if end not in {"refusal", "abort", "no route"}:
                await wire.accepted()
                assert await wire.hear() == "a"
            wire.leave()
        del wire
        await eventually(lambda: asyncio.all_tasks() == before)

    with freed() as kept:
        client()
