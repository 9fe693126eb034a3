"""Test clients that call an app as an ASGI server does.

:class:`AsyncClient` is for tests that are ``async def``, :class:`AsgiClient` for those that are not.
"""

from __future__ import annotations

import asyncio
import io
import json
import typing as t
from collections import deque
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.test import TestResponse
from werkzeug.wsgi import get_current_url

from .loop import run_coroutine
from .loop import serving_loop
from .testing import FlaskClient

if t.TYPE_CHECKING:
    from types import TracebackType

    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.wrappers import Request

    from .app import Flask
    from .incoming import Message
    from .sessions import SessionMixin

Keep = t.Callable[[Headers], None]

_PIECE = 1 << 16


class WebsocketResponseError(Exception):
    """The app answered a WebSocket's handshake with a response instead of accepting it.

    :param response: that response.
    """

    def __init__(self, response: TestResponse) -> None:
        super().__init__(response.status)
        self.response = response


class WebsocketDisconnectError(Exception):
    """The app closed the WebSocket.

    :param code: the code it was closed with (RFC 6455, section 7.4).
    :param reason: what the app said about it.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class _Conversation:
    """One call of the app, and the messages both ways."""

    def __init__(
        self, app: Flask, scope: Message, when_asked: t.Callable[[], object] = bool
    ) -> None:
        """Call the app.

        :param when_asked: called before the app is given a message.
        """
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

        async def give() -> Message:
            when_asked()
            return await self._to_app.get()

        call = app(scope, give, self._from_app.put)
        self._task: asyncio.Task[None] = asyncio.ensure_future(call)
        self._task.add_done_callback(self._say_that_it_ended)

    def _say_that_it_ended(self, task: asyncio.Task[None]) -> None:
        self._from_app.put_nowait({"type": "ended"})

    def tell(self, kind: str, **values: t.Any) -> None:
        self._to_app.put_nowait({"type": kind, **values})

    async def hear(self) -> Message:
        """The next message of the app; one of the type ``ended`` when it has returned.

        :raises Exception: what the app raised instead.
        """
        message = await self._from_app.get()
        if message["type"] == "ended":
            self._say_that_it_ended(self._task)
            if not self._task.cancelled():
                self._task.result()
        return message

    async def end(self) -> None:
        """Wait until the app has returned."""
        while (await self.hear())["type"] != "ended":
            pass

    async def cancel(self) -> None:
        """Stop the app wherever it is."""
        self._task.cancel()
        await asyncio.wait([self._task])


class HTTPConnection:
    """A request that is sent, and a response that is received, piece by piece.

    Made by :meth:`AsyncClient.request`. A ``GET`` or ``HEAD`` that is not sent something at once is
    complete: it has no body, and its view begins.
    """

    def __init__(self, app: Flask, request: Request, keep: Keep) -> None:
        self._app = app
        self._request = request
        self._keep = keep
        self._sent = False
        self._is_complete = False
        self._left = False
        #: The status, when the first piece has been received.
        self.status_code: int | None = None
        #: The headers, when the first piece has been received.
        self.headers = Headers()

    async def __aenter__(self) -> t.Self:
        # HTTP/1 would have to announce that a body follows.
        scope = make_scope(self._request.environ) | {"http_version": "2"}
        self._conversation = _Conversation(self._app, scope, self._complete_if_bodiless)
        return self

    def _complete_if_bodiless(self) -> None:
        if not self._sent and self._request.method in {"GET", "HEAD"}:
            self._complete()

    def _complete(self) -> None:
        self._sent = True
        if not self._is_complete:
            self._is_complete = True
            self._conversation.tell("http.request", body=b"", more_body=False)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._left = True
        if exc_type is None:
            await self.disconnect()
            await self._conversation.end()
        else:
            await self._conversation.cancel()

    async def send(self, data: bytes) -> None:
        """Send a piece of the body.

        :raises RuntimeError: the request is complete.
        """
        if self._is_complete:
            raise RuntimeError(
                "The request is complete, and the view may have begun. A 'GET' is complete where it"
                " is not sent something at once: send the body's first piece before you wait."
            )
        self._sent = True
        self._conversation.tell("http.request", body=data, more_body=True)

    async def send_complete(self) -> None:
        """Send the end of the body."""
        self._complete()

    async def disconnect(self) -> None:
        """Go away, as a client does that is closed."""
        self._complete_if_bodiless()
        self._conversation.tell("http.disconnect")

    async def receive(self) -> bytes:
        """The next piece of the response's body; empty at its end.

        :raises RuntimeError: the ``async with`` block was left, and so the connection.
        """
        if self._left:
            raise RuntimeError(
                "The connection was left. Ask for what the app answers inside its 'async with' block."
            )
        while True:
            message = await self._conversation.hear()
            if message["type"] == "http.response.start":
                self.status_code = message["status"]
                self.headers = _headers(message)
                self._keep(self.headers)
            elif message["type"] == "ended" or message.get("body"):
                return t.cast("bytes", message.get("body", b""))
            elif not message.get("more_body", False):
                return b""

    async def as_response(self) -> TestResponse:
        """The whole response; what was received before is not in it."""
        pieces = []
        while piece := await self.receive():
            pieces.append(piece)
        assert self.status_code is not None, "the app returned without an answer"
        return _response(self.status_code, self.headers, pieces, self._request, self._app)


class WebsocketConnection:
    """A WebSocket, from the client's side. Made by :meth:`AsyncClient.websocket`."""

    def __init__(
        self, app: Flask, request: Request, keep: Keep, subprotocols: t.Sequence[str]
    ) -> None:
        self._app = app
        self._request = request
        self._keep = keep
        self._subprotocols = subprotocols
        #: The headers of the handshake's response.
        self.headers = Headers()
        #: The subprotocol that the app chose.
        self.subprotocol: str | None = None

    async def __aenter__(self) -> t.Self:
        scope = make_scope(self._request.environ)
        scope.update(
            type="websocket",
            scheme="wss" if scope["scheme"] == "https" else "ws",
            subprotocols=list(self._subprotocols),
            extensions={"websocket.http.response": {}},
        )
        del scope["method"]
        self._conversation = _Conversation(self._app, scope)
        try:
            self._conversation.tell("websocket.connect")
            await self._shake_hands()
        except BaseException:
            await self._conversation.cancel()
            raise
        return self

    async def _shake_hands(self) -> None:
        message = await self._conversation.hear()
        if message["type"] == "websocket.accept":
            self.headers = _headers(message)
            self._keep(self.headers)
            self.subprotocol = message.get("subprotocol")
            return
        status, headers, pieces = 403, Headers(), []
        if message["type"] == "websocket.http.response.start":
            status, headers = message["status"], _headers(message)
            self._keep(headers)
            while message.get("more_body", True):
                message = await self._conversation.hear()
                pieces.append(message.get("body", b""))
                message.setdefault("more_body", False)
        raise WebsocketResponseError(_response(status, headers, pieces, self._request, self._app))

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if exc_type is None:
            await self.disconnect()
            await self._conversation.end()
        else:
            await self._conversation.cancel()

    async def send(self, data: str | bytes) -> None:
        """Send a message: text or bytes."""
        key = "text" if isinstance(data, str) else "bytes"
        self._conversation.tell("websocket.receive", **{key: data})

    async def send_json(self, data: t.Any) -> None:
        """Send a message of JSON, as text."""
        await self.send(json.dumps(data))

    async def receive(self) -> str | bytes:
        """The next message from the app.

        :raises WebsocketDisconnectError: the app closed the WebSocket.
        """
        message = await self._conversation.hear()
        if message["type"] == "websocket.send":
            text = message.get("text")
            return t.cast("str | bytes", message["bytes"] if text is None else text)
        code = message.get("code", 1000)
        if code == 1011:
            # Of an error, which reaches the test where errors propagate.
            await self._conversation.end()
        raise WebsocketDisconnectError(code, message.get("reason") or "")

    async def receive_json(self) -> t.Any:
        """The next message from the app, which is JSON."""
        return json.loads(await self.receive())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket."""
        self._conversation.tell("websocket.disconnect", code=code, reason=reason)

    async def disconnect(self) -> None:
        """Go away without closing."""
        await self.close(1006)


class AsyncClient:
    """Make requests to an app from a test that is ``async def``.

    Made by :meth:`.Flask.async_test_client`. Requests are made, and responses read, as with
    :class:`.FlaskClient`, but awaited. In an ``async with`` block the app is started before and
    stopped after it, as a server does::

        async with app.async_test_client() as client:
            response = await client.post("/login", data={"name": "alice"})
            assert response.json == {"welcome": "alice"}

    :param app: the app.
    :param use_cookies: keep cookies from one request to the next.
    """

    def __init__(self, app: Flask, use_cookies: bool = True) -> None:
        self.application = app
        self._client = AsgiClient(app, app.response_class, use_cookies=use_cookies)
        #: As :class:`.FlaskClient`'s: what every request starts from.
        self.environ_base = self._client.environ_base
        #: As :class:`.FlaskClient`'s: they deal with the client's cookies.
        self.get_cookie = self._client.get_cookie
        self.set_cookie = self._client.set_cookie
        self.delete_cookie = self._client.delete_cookie

    async def open(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """Make a request and return the answer.

        :param args: for :class:`.EnvironBuilder`; ``path``, ``method``, ``json``, ``data`` ...
        :param kwargs: likewise; and ``follow_redirects``, to go on until it is none.
        """
        context = copy_context()
        context.run(serving_loop.set, asyncio.get_running_loop())
        # In a thread, since the rules of redirects and cookies are those of the sync client. It
        # calls the app on this loop.
        return await asyncio.to_thread(context.run, self._client.open, *args, **kwargs)

    async def get(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``GET``."""
        return await self.open(*args, **kwargs, method="GET")

    async def post(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``POST``."""
        return await self.open(*args, **kwargs, method="POST")

    async def put(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``PUT``."""
        return await self.open(*args, **kwargs, method="PUT")

    async def patch(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``PATCH``."""
        return await self.open(*args, **kwargs, method="PATCH")

    async def delete(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``DELETE``."""
        return await self.open(*args, **kwargs, method="DELETE")

    async def head(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``HEAD``."""
        return await self.open(*args, **kwargs, method="HEAD")

    async def options(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``OPTIONS``."""
        return await self.open(*args, **kwargs, method="OPTIONS")

    async def trace(self, *args: t.Any, **kwargs: t.Any) -> TestResponse:
        """:meth:`open` with ``TRACE``."""
        return await self.open(*args, **kwargs, method="TRACE")

    def request(self, *args: t.Any, **kwargs: t.Any) -> HTTPConnection:
        """Make a request whose body is sent, and whose answer is received, piece by piece::

            async with client.request("/upload", method="POST") as connection:
                await connection.send(b"a piece")
                await connection.send_complete()
                piece = await connection.receive()

        :param args: for :class:`.EnvironBuilder`, but for the body.
        :param kwargs: likewise.
        """
        request = self._client.make_request(*args, **kwargs)
        return HTTPConnection(self.application, request, self._keep_cookies_of(request))

    def websocket(
        self, *args: t.Any, subprotocols: t.Sequence[str] = (), **kwargs: t.Any
    ) -> WebsocketConnection:
        """Open a WebSocket::

            async with client.websocket("/chat") as socket:
                await socket.send("hello")
                assert await socket.receive() == "hello"

        Entering raises :exc:`WebsocketResponseError` where the app does not accept.

        :param args: for :class:`.EnvironBuilder`.
        :param subprotocols: which the client offers.
        :param kwargs: for :class:`.EnvironBuilder`.
        """
        request = self._client.make_request(*args, **kwargs)
        keep = self._keep_cookies_of(request)
        return WebsocketConnection(self.application, request, keep, subprotocols)

    def _keep_cookies_of(self, request: Request) -> Keep:
        return partial(self._client.keep_cookies, request.environ)

    @asynccontextmanager
    async def session_transaction(
        self, *args: t.Any, **kwargs: t.Any
    ) -> t.AsyncIterator[SessionMixin]:
        """Open the client's session, to look into it or to change it between requests.

        :param args: as for :meth:`.FlaskClient.session_transaction`.
        :param kwargs: likewise.
        """
        with self._client.session_transaction(*args, **kwargs) as session:
            yield session

    async def __aenter__(self) -> t.Self:
        self._lifespan = _Conversation(self.application, {"type": "lifespan"})
        await self._pass("startup")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            await self._pass("shutdown")
            await self._lifespan.end()
        finally:
            if self.application._has_serving_funcs():
                # Another client, which need not be an async one, starts it anew.
                self.application._got_first_request = False

    async def _pass(self, phase: str) -> None:
        self._lifespan.tell(f"lifespan.{phase}")
        message = await self._lifespan.hear()
        if message["type"] != f"lifespan.{phase}.complete":
            await self._lifespan.end()
            raise RuntimeError(f"The app failed at {phase}: {message.get('message', '')}")


class AsgiClient(FlaskClient):
    """A :class:`.FlaskClient` that calls the app over ASGI, on the process's event loop.

    A ``with`` block does not keep contexts.

    Example::

        app.test_client_class = AsgiClient
    """

    def make_request(self, *args: t.Any, **kwargs: t.Any) -> Request:
        """The request that :meth:`open` would send, cookies included."""
        request = self._request_from(args, kwargs)
        self._add_cookies_to_wsgi(request.environ)
        return request

    def run_wsgi_app(
        self, environ: WSGIEnvironment, buffered: bool = False
    ) -> tuple[t.Iterable[bytes], str, Headers]:
        """Send a request to the app; the body, status and headers of its answer."""
        self._add_cookies_to_wsgi(environ)
        status, headers, pieces = run_coroutine(_exchange)(self.application, environ)
        self.keep_cookies(environ, headers)
        return pieces, _status(status), headers

    def keep_cookies(self, environ: WSGIEnvironment, headers: Headers) -> None:
        """Take over the cookies of an answer to the request of *environ*."""
        url = urlsplit(get_current_url(environ))
        self._update_cookies_from_response(
            url.hostname or "localhost", url.path, headers.getlist("Set-Cookie")
        )


async def _exchange(app: Flask, environ: WSGIEnvironment) -> tuple[int, Headers, list[bytes]]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    # A redirect of 307 or 308 sends it once more.
    environ["wsgi.input"] = io.BytesIO(body)
    conversation = _Conversation(app, make_scope(environ))
    for start in range(0, len(body) or 1, _PIECE):
        end = start + _PIECE
        piece = body[start:end]
        conversation.tell("http.request", body=piece, more_body=end < len(body))
    status, headers, pieces = 0, Headers(), deque[bytes]()
    while (message := await conversation.hear())["type"] != "ended":
        if message["type"] == "http.response.start":
            status, headers = message["status"], _headers(message)
        else:
            pieces.append(message.get("body", b""))
    assert status, "the app returned without an answer"
    return status, headers, list(filter(None, pieces))


def make_scope(environ: WSGIEnvironment) -> dict[str, t.Any]:
    """The ASGI scope of the request that a WSGI environment describes."""
    root_path = environ.get("SCRIPT_NAME", "").encode("latin-1").decode(errors="replace")
    path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
    uri = environ.get("REQUEST_URI", "")
    scope: dict[str, t.Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": root_path + path,
        "raw_path": uri.partition("?")[0].encode("latin-1") or None,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": root_path,
        "headers": [
            (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ],
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "client": (environ.get("REMOTE_ADDR", "127.0.0.1"), 0),
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            header = name.replace("_", "-").lower().encode(), environ[name].encode("latin-1")
            scope["headers"].append(header)
    return scope


def _headers(message: Message) -> Headers:
    pairs = message.get("headers", ())
    return Headers([(k.decode("latin-1").title(), v.decode("latin-1")) for k, v in pairs])


def _status(code: int) -> str:
    return f"{code} {HTTP_STATUS_CODES.get(code, 'Unknown').upper()}"


def _response(
    status: int, headers: Headers, pieces: list[bytes], request: Request, app: Flask
) -> TestResponse:
    response = TestResponse(pieces, _status(status), headers, request)
    response.json_module = app.json  # type: ignore[assignment]
    return response
