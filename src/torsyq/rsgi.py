"""What servers read off the app to learn how to call it: its ``__call__`` and its ``__rsgi__``.

RSGI is granian's own interface. Its two objects are made into ASGI's scope and messages, so that
the app, its middleware around :attr:`.Flask.asgi_app` included, runs as under any ASGI server.
"""

from __future__ import annotations

import typing as t
import weakref
from contextlib import suppress

from .asgi import Asgi
from .asgi_answer import GONE
from .asgi_request import Scope
from .incoming import Message
from .loop import serving_loop

if t.TYPE_CHECKING:
    import asyncio

# -- __call__ ----------------------------------------------------------------------------------


async def _asgi3(environ: t.Any, start_response: t.Any, send: t.Any = None) -> None:
    """Lends its code to :class:`Spoken`; never called."""


class Spoken:
    """``app.__call__``, for those who read it: an ASGI 3 application by all signs.

    A server that finds out by itself what an app speaks (uvicorn, hypercorn) asks
    :func:`inspect.iscoroutinefunction` about this attribute. It looks for the signs below.
    Calls do not come here: Python looks ``__call__`` up on the type.

    :param app: the app; it is not kept alive by its own attribute.
    """

    __code__ = _asgi3.__code__
    __defaults__ = _asgi3.__defaults__
    __kwdefaults__ = None

    def __init__(self, app: Asgi) -> None:
        self.__name__ = "__call__"
        self.__annotations__: dict[str, t.Any] = {}
        self.__doc__ = type(app).__call__.__doc__
        self._app = weakref.ref(app)

    def __call__(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Call the app."""
        app = self._app()
        if app is None:
            raise ReferenceError(
                "The app of this '__call__' is gone. Usually only 'app.__call__' was kept: keep"
                " and call 'app' itself, or 'app.wsgi_app'."
            )
        return t.cast("t.Callable[..., t.Any]", app)(*args, **kwargs)


# -- RSGI --------------------------------------------------------------------------------------


class Rsgi(Asgi):
    """The part of :class:`.Flask` that granian calls with ``--interface rsgi``."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start serving: see :meth:`.before_serving`."""
        loop.run_until_complete(self._on(loop, self.startup))

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop serving: see :meth:`.after_serving`."""
        loop.run_until_complete(self._on(loop, self.shutdown))

    async def _on(
        self, loop: asyncio.AbstractEventLoop, step: t.Callable[[], t.Awaitable[None]]
    ) -> None:
        serving_loop.set(loop)
        await step()

    async def __rsgi__(self, scope: t.Any, protocol: t.Any) -> None:
        """Answer a connection of granian's.

        RSGI has no words for the subprotocol of a WebSocket nor for the code it is closed with:
        clients are told neither.
        """
        kind = _WebSocket if scope.proto == "ws" else _Http
        connection = kind(protocol)
        try:
            await self.asgi_app(kind.scope(scope), connection.receive, connection.send)
        finally:
            connection.end()


def _address(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else (text, None)


def _headers(pairs: t.Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    # Granian writes them as UTF-8, so that this is what leaves the bytes as they are.
    return [(name.decode("latin-1"), _text(value)) for name, value in pairs]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _scope(scope: t.Any, kind: str) -> dict[str, t.Any]:
    headers = [(name.encode(), value.encode()) for name, value in scope.headers.items()]
    if scope.authority is not None and "host" not in scope.headers:
        # HTTP/2 says it outside the headers.
        headers.append((b"host", scope.authority.encode()))
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "scheme": scope.scheme,
        "path": scope.path,
        # Granian decodes bytes that a client should have quoted from UTF-8.
        "query_string": scope.query_string.encode(),
        "root_path": "",
        "headers": headers,
        "server": _address(scope.server),
        "client": _address(scope.client),
    }


# A body may have so many empty pieces in a row. Two end each that an empty frame of HTTP/2 ends.
_EMPTY_PIECES = 16


class _Http:
    """A request, in ASGI's messages."""

    def __init__(self, protocol: t.Any) -> None:
        self._protocol = protocol
        self._pieces = aiter(protocol)
        self._has_arrived = False
        self._empty_pieces = 0
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._stream: t.Any = None

    @staticmethod
    def scope(scope: t.Any) -> Scope:
        return {**_scope(scope, "http"), "method": scope.method}

    async def receive(self) -> Message:
        if self._has_arrived:
            await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        # COMPAT: anext() with a default ends the process here (CPython 3.11, granian 2.8).
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._has_arrived = True
            return {"type": "http.request"}
        self._empty_pieces = 0 if piece else self._empty_pieces + 1
        if self._empty_pieces > _EMPTY_PIECES:
            # SECURITY: when an HTTP/2 connection breaks in a body, granian gives empty pieces for
            # ever, without a pause: whoever waited for the end would stop the event loop.
            self._has_arrived = True
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], _headers(message["headers"])
            return
        body = message.get("body", b"")
        if self._stream is None:
            if not message.get("more_body", False):
                self._protocol.response_bytes(self._status, self._headers, body)
                return
            self._stream = self._protocol.response_stream(self._status, self._headers)
        if body:
            # That nobody is there is told by 'receive'.
            with suppress(*GONE):
                await self._stream.send_bytes(body)
        if not message.get("more_body", False):
            self.end()

    def end(self) -> None:
        # The answer ends when nobody holds its stream any more.
        self._stream = None


class _WebSocket:
    """A WebSocket, in ASGI's messages."""

    def __init__(self, protocol: t.Any) -> None:
        self._protocol = protocol
        self._transport: t.Any = None
        self._is_known = False

    @staticmethod
    def scope(scope: t.Any) -> Scope:
        made = _scope(scope, "websocket")
        made["scheme"] = "wss" if scope.scheme in {"https", "wss"} else "ws"
        # No subprotocols: the answer could not name the one that was chosen.
        return {**made, "subprotocols": [], "extensions": {"websocket.http.response": {}}}

    async def receive(self) -> Message:
        if not self._is_known:
            self._is_known = True
            return {"type": "websocket.connect"}
        message = await self._transport.receive()
        if message.kind == 0:
            return {"type": "websocket.disconnect", "code": 1005}
        key = "bytes" if message.kind == 1 else "text"
        return {"type": "websocket.receive", key: message.data}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self._transport = await self._protocol.accept()
        elif kind == "websocket.send":
            if message.get("bytes") is not None:
                await self._transport.send_bytes(message["bytes"])
            else:
                await self._transport.send_str(message["text"])
        elif kind == "websocket.http.response.start":
            # Of a refusal, RSGI sends no more than the status.
            self._protocol.close(message["status"])
        elif kind == "websocket.close":
            self._protocol.close(403 if self._transport is None else None)

    def end(self) -> None:
        self._transport = None
