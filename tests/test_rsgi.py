"""What servers read off the app, and RSGI's two objects made into ASGI's."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import typing as t
import weakref

import pytest
from hypercorn.utils import is_asgi
from uvicorn import Config

from torsyq import Flask
from torsyq import request
from torsyq import websocket
from torsyq.wrappers import Request


def test_servers_that_look_see_asgi_3(app: Flask) -> None:
    config = Config(app)
    config.load()
    assert config.interface == "asgi3"
    assert is_asgi(app)
    assert inspect.iscoroutinefunction(app.__call__)


def test_the_class_offers_flask_s_plain_method(app: Flask) -> None:
    assert inspect.isfunction(Flask.__call__)
    assert not inspect.iscoroutinefunction(Flask.__call__)
    here = str(inspect.signature(app.__call__))
    assert here == "(environ, start_response, send=None)"
    assert app.__call__.__doc__ == Flask.__call__.__doc__


def test_an_app_with_a_call_of_its_own_is_taken_for_what_that_is() -> None:
    class Wsgi(Flask):
        def __call__(self, environ: t.Any, start_response: t.Any) -> t.Any:  # type: ignore[override]
            return self.wsgi_app(environ, start_response)

    app = Wsgi("own")
    assert not is_asgi(app)
    assert inspect.ismethod(app.__call__)


def test_what_is_read_can_be_called(app: Flask) -> None:
    app.get("/")(lambda: "called")
    environ = app.test_request_context("/").request.environ
    told: list[str] = []
    body = app.__call__(environ, lambda status, headers: told.append(status))
    assert (told, b"".join(body)) == (["200 OK"], b"called")


def test_what_is_read_does_not_keep_the_app_alive() -> None:
    gc.disable()
    try:
        app = Flask("short-lived")
        call = app.__call__
        ref = weakref.ref(app)
        del app
        assert ref() is None
    finally:
        gc.enable()
    with pytest.raises(ReferenceError, match="keep and call 'app' itself"):
        call({}, lambda status, headers: None)


def test_a_wsgi_function_in_the_place_of_call_is_not_passed_over(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentry's SDK does this to the class; the loop's walk gives way to it."""
    seen: list[str] = []
    original = Flask.__call__

    def patched(self: Flask, environ: t.Any, start_response: t.Any) -> t.Any:
        seen.append(environ["PATH_INFO"])
        return original(self, environ, start_response)

    monkeypatch.setattr(Flask, "__call__", patched)

    @app.get("/async")
    async def view() -> str:
        return "answered"

    protocol = Http()
    ask(app, Scope(path="/async"), protocol)
    assert (protocol.answer[0], protocol.answer[2]) == (200, b"answered")
    assert seen == ["/async"]


# -- RSGI --------------------------------------------------------------------------------------


class Headers(list[tuple[str, str]]):
    """The headers of a request, as granian gives them."""

    def items(self) -> t.Iterator[tuple[str, str]]:
        return iter(self)

    def __contains__(self, name: object) -> bool:
        return any(name == known for known, _ in self)


class Scope:
    """A request, as granian gives it."""

    proto = "http"
    http_version = "1.1"
    server = "127.0.0.1:8000"
    client = "127.0.0.1:5"
    scheme = "http"
    method = "GET"
    path = "/"
    query_string = ""
    authority: str | None = None

    def __init__(self, **given: t.Any) -> None:
        self.headers = Headers(given.pop("headers", [("host", "a.kz")]))
        self.__dict__.update(given)


class Stream:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)


class Http:
    """The other object."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.answer: tuple[int, list[tuple[str, str]], bytes | Stream]
        self.stream: weakref.ref[Stream]

    async def __aiter__(self) -> t.AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def client_disconnect(self) -> None:
        await asyncio.Event().wait()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = status, headers, body

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Stream:
        stream = Stream()
        self.sent = stream.sent
        self.stream = weakref.ref(stream)
        self.answer = status, headers, b""
        return stream


def ask(app: Flask, scope: Scope, protocol: t.Any) -> None:
    asyncio.run(app.__rsgi__(scope, protocol))


def test_a_request_over_rsgi(app: Flask) -> None:
    seen: list[Request] = []

    @app.post("/қ")
    def view() -> t.Any:
        seen.append(request._get_current_object())  # type: ignore[attr-defined]
        return request.data, 201, {"X-Own": "1", "X-Latin": "\xe9"}

    protocol = Http(b"one ", b"two")
    scope = Scope(
        method="POST",
        path="/қ",
        query_string="a=%20",
        headers=[("x-a", "1"), ("x-a", "2"), ("content-length", "7")],
        http_version="2",
        authority="a.kz",
        server="[::1]:80",
        client="/run/socket",
    )
    ask(app, scope, protocol)
    status, headers, body = protocol.answer
    assert (status, body) == (201, b"one two")
    assert ("x-own", "1") in headers
    assert ("x-latin", "\xe9") in headers
    (one,) = seen
    assert one.url == "http://a.kz/қ?a=%20"
    assert one.headers["X-A"] == "1,2"
    assert (one.environ["SERVER_NAME"], one.environ["SERVER_PORT"]) == ("::1", "80")
    assert one.environ["REMOTE_ADDR"] == "/run/socket"


@pytest.mark.parametrize("text", ["\xe9", "\u049b"])
def test_a_query_over_rsgi_need_not_be_quoted(app: Flask, text: str) -> None:
    app.get("/")(lambda: request.args["a"])
    protocol = Http()
    ask(app, Scope(query_string=f"a={text}"), protocol)
    assert (protocol.answer[0], protocol.answer[2]) == (200, text.encode())


def test_the_end_of_the_body_is_followed_by_the_client_s_leaving(app: Flask) -> None:
    left: list[str] = []

    class Left(Http):
        async def client_disconnect(self) -> None:
            pass

    async def listens(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        for _ in range(3):
            message = await receive()
            left.append(message["type"])

    app.asgi_app = listens  # type: ignore[method-assign]
    ask(app, Scope(), Left(b"body"))
    assert left == ["http.request", "http.request", "http.disconnect"]


def test_a_body_that_breaks_off_over_rsgi_does_not_stop_the_loop(app: Flask) -> None:
    """Granian 2.8 gives empty pieces for ever then, over HTTP/2, and never waits."""

    class Broken(Http):
        async def __aiter__(self) -> t.AsyncIterator[bytes]:
            yield b"begins"
            while True:
                yield b""

    @app.post("/", stream_body=True)
    async def view() -> str:
        return str([piece async for piece in t.cast("t.Any", request.stream)])

    @app.post("/whole")
    async def whole() -> str:
        return request.get_data(as_text=True)

    for path in "/", "/whole":
        protocol = Broken()
        ask(app, Scope(method="POST", path=path), protocol)
        assert protocol.answer[0] == 400


@pytest.mark.parametrize("pieces", [[b"", b""], [b"one", b"", b""], [b"o", b"", b"", b"", b"ne"]])
def test_empty_pieces_over_rsgi_are_no_break(app: Flask, pieces: list[bytes]) -> None:
    """Granian 2.8 gives two where a client ends its body with an empty frame, as httpx does."""

    @app.post("/", stream_body=True)
    async def view() -> bytes:
        return b"".join([piece async for piece in t.cast("t.Any", request.stream)])

    @app.post("/whole")
    async def whole() -> bytes:
        return request.get_data()

    for path in "/", "/whole":
        protocol = Http(*pieces)
        ask(app, Scope(method="POST", path=path), protocol)
        assert (protocol.answer[0], protocol.answer[2]) == (200, b"".join(pieces))


def test_a_stream_over_rsgi_ends(app: Flask) -> None:
    """Granian ends the answer when nobody holds the stream any more."""

    @app.get("/")
    async def view() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            yield "one"
            yield "two"

        return pieces()

    protocol = Http()
    gc.disable()
    try:
        ask(app, Scope(), protocol)
        assert protocol.stream() is None
    finally:
        gc.enable()
    assert protocol.sent == [b"one", b"two"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_that_leaves_a_stream_over_rsgi_is_no_error(app: Flask, kind: str) -> None:
    ended: list[str] = []

    @app.get("/sync")
    def sync() -> t.Iterator[str]:
        def pieces() -> t.Iterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                ended.append("sync")

        return pieces()

    @app.get("/async")
    async def view() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                ended.append("async")

        return pieces()

    class Closed(Stream):
        async def send_bytes(self, data: bytes) -> None:
            raise RuntimeError("RSGI transport is closed")

    class Gone(Http):
        def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Stream:
            return Closed()

        async def client_disconnect(self) -> None:
            """It has come already."""

    ask(app, Scope(path=f"/{kind}"), Gone())
    assert ended == [kind]


class Message:
    def __init__(self, kind: int, data: str | bytes = "") -> None:
        self.kind, self.data = kind, data


class Socket:
    """A WebSocket's other object, and its transport as well.

    The client goes when each of its messages was answered.
    """

    def __init__(self, *messages: Message) -> None:
        self.messages = [*messages]
        self.unanswered = len(messages)
        self.answered = asyncio.Event()
        self.said: list[t.Any] = []

    async def accept(self) -> Socket:
        self.said.append("accept")
        return self

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        if self.unanswered:
            await asyncio.wait_for(self.answered.wait(), 10)
        return Message(0)

    async def send_str(self, text: str) -> None:
        self._answer(text)

    async def send_bytes(self, data: bytes) -> None:
        self._answer(data)

    def _answer(self, data: str | bytes) -> None:
        self.said.append(data)
        self.unanswered -= 1
        if not self.unanswered:
            self.answered.set()

    def close(self, status: int | None = None) -> None:
        self.said.append(("close", status))


def test_a_websocket_over_rsgi(app: Flask) -> None:
    @app.websocket("/")
    async def echo() -> None:
        assert websocket.scheme == "wss"
        async for message in websocket:
            await websocket.send(message)

    protocol = Socket(Message(2, "text"), Message(1, b"bytes"))
    ask(app, Scope(proto="ws", scheme="https"), protocol)
    assert protocol.said[:3] == ["accept", "text", b"bytes"]


def test_a_websocket_that_the_app_closes(app: Flask) -> None:
    @app.websocket("/")
    async def closed() -> None:
        await websocket.accept()
        await websocket.close(4001)

    protocol = Socket()
    ask(app, Scope(proto="ws"), protocol)
    assert protocol.said == ["accept", ("close", None)]


def test_a_websocket_that_is_refused(app: Flask) -> None:
    protocol = Socket()
    ask(app, Scope(proto="ws", path="/nowhere"), protocol)
    assert protocol.said == [("close", 404)]


def test_a_websocket_that_ends_unaccepted(app: Flask) -> None:
    """By middleware, which may know nothing of refusals with a status."""

    async def closes(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await send({"type": "websocket.close"})

    app.asgi_app = closes  # type: ignore[method-assign]
    protocol = Socket()
    ask(app, Scope(proto="ws"), protocol)
    assert protocol.said == [("close", 403)]


def test_the_hooks_of_serving_run(app: Flask) -> None:
    """On the loop that the requests run on."""
    seen: list[t.Any] = []

    @app.before_serving
    async def start() -> None:
        seen.append(asyncio.get_running_loop())

    @app.after_serving
    async def stop() -> None:
        seen.append(asyncio.get_running_loop())

    loop = asyncio.new_event_loop()
    try:
        app.__rsgi_init__(loop)
        app.__rsgi_del__(loop)
    finally:
        loop.close()
    assert seen == [loop, loop]


def test_a_shallow_copy_answers_for_itself(app: Flask) -> None:
    copied = copy.copy(app)
    app.get("/")(lambda: "original")
    copied.wsgi_app = lambda environ, start_response: [b"copy"]  # type: ignore[method-assign]
    assert copied({}, lambda status, headers: None) == [b"copy"]
