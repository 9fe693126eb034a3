"""The app as an ASGI 3 application: what a server sends becomes a walk, and back.

The request API stays Flask's: the body has arrived before the walk begins, so ``request.form``
and ``request.get_json()`` need no ``await``. A walk whose functions are all sync is the WSGI walk,
whole, in one worker thread; one with an ``async def`` in it runs on the event loop, and its sync
functions in worker threads.
"""

from __future__ import annotations

import asyncio
import sys
import typing as t
from collections.abc import AsyncIterator
from collections.abc import Iterable
from inspect import iscoroutinefunction
from io import BytesIO
from itertools import chain
from tempfile import SpooledTemporaryFile

from .ctx import RequestContext
from .loop import EitherIterator
from .loop import run_in_thread
from .loop import serving_loop
from .walk import Walk
from .wrappers import Response

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Scope = t.MutableMapping[str, t.Any]
Message = t.MutableMapping[str, t.Any]
Receive = t.Callable[[], t.Awaitable[Message]]
Send = t.Callable[[Message], t.Awaitable[None]]

# A body beyond this many bytes waits on disk.
_IN_MEMORY = 512 * 1024

# The steps of the sync walk; where one is replaced, it must be called, and so the sync walk runs.
_STEPS = (
    "wsgi_app",
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "finalize_request",
    "process_response",
    "handle_http_exception",
    "handle_user_exception",
    "handle_exception",
    "do_teardown_request",
    "do_teardown_appcontext",
    "app_context",
    "ensure_sync",
)

_END = object()


class _Disconnected(Exception):
    """The client went away before its request was whole."""


class Asgi(Walk):
    """The part of :class:`.Flask` that speaks ASGI."""

    async def asgi_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application itself, and the place for middleware.

        Example::

            app.asgi_app = SomeMiddleware(app.asgi_app)
        """
        serving_loop.set(asyncio.get_running_loop())
        if scope["type"] == "http":
            await self._answer_http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._answer_lifespan(receive, send)
        else:
            raise RuntimeError(
                f"This app was sent a {scope['type']!r} connection by the ASGI server,"
                " and can answer 'http' and 'lifespan'."
            )

    async def _answer_lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = make_environ(scope)
        try:
            await receive_body(receive, environ, self.config["MAX_CONTENT_LENGTH"])
        except _Disconnected:
            return
        try:
            ctx = self.request_context(environ)
            ctx.match_request()
            if self._walks_on_loop(ctx):
                await self._walk_on_loop(ctx, environ, receive, send)
            else:
                await self._walk_in_thread(environ, send)
        finally:
            environ["wsgi.input"].close()

    def _walks_on_loop(self, ctx: RequestContext) -> bool:
        """Whether one of the functions of the request's walk is ``async def``."""
        if not all(getattr(getattr(self, step), "_stock", None) is True for step in _STEPS):
            return False
        endpoint = ctx.request.endpoint
        names = (None, *ctx.request.blueprints)
        registries: tuple[t.Mapping[t.Any, t.Iterable[t.Any]], ...] = (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.url_value_preprocessors,
            self.template_context_processors,
        )
        functions = chain(
            (self.view_functions.get(endpoint),) if endpoint is not None else (),
            self.teardown_appcontext_funcs,
            *(registry.get(name, ()) for registry in registries for name in names),
            (
                handler
                for name in names
                for by_class in self.error_handler_spec.get(name, {}).values()
                for handler in by_class.values()
            ),
        )
        return any(map(iscoroutinefunction, functions))

    async def _walk_in_thread(self, environ: WSGIEnvironment, send: Send) -> None:
        """Run the WSGI application, middleware included, in a worker thread."""
        loop = asyncio.get_running_loop()

        def send_and_wait(message: Message) -> None:
            asyncio.run_coroutine_threadsafe(send(message), loop).result()  # type: ignore[arg-type]

        rest = await run_in_thread(self.thread_pool, self._run_wsgi, environ, send_and_wait)
        for message in rest:
            await send(message)

    def _run_wsgi(
        self, environ: WSGIEnvironment, send_and_wait: t.Callable[[Message], None]
    ) -> Iterable[Message]:
        """Answer as a WSGI application; the messages that remain to be sent.

        A body that is a list remains, to spare the thread the waiting.
        """
        answer: list[t.Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
        ) -> t.Callable[[bytes], None]:
            answer[:] = status, headers
            return written.append

        written: list[bytes] = []
        body = self.wsgi_app(environ, start_response)
        if type(body) is list:
            return _whole(answer[0], answer[1], b"".join([*written, *body]))
        started = False
        try:
            for chunk in chain(written, body):
                if not started:
                    send_and_wait(_start(*answer))
                    started = True
                send_and_wait({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            if hasattr(body, "close"):
                body.close()
        return [_LAST] if started else _whole(answer[0], answer[1], b"")

    async def _walk_on_loop(
        self, ctx: RequestContext, environ: WSGIEnvironment, receive: Receive, send: Send
    ) -> None:
        """:meth:`wsgi_app` on the event loop; a client that goes away ends it."""
        watch = _Watch(receive)
        try:
            response = await self._respond(ctx, environ)
            await self._send_response(response, environ, send)
        except asyncio.CancelledError:
            if not watch.client_is_gone:
                raise
        finally:
            watch.stop()

    async def _respond(self, ctx: RequestContext, environ: WSGIEnvironment) -> Response:
        error: BaseException | None = None
        ctx._opens_late = True
        try:
            try:
                ctx.push()
                if not getattr(self.session_interface, "_lazy", False):
                    # It may wait for a disk or a server.
                    await self._call(getattr, ctx, "_session")
                return await self.full_dispatch_request_async()
            except Exception as exc:
                error = exc
                return await self.handle_exception_async(exc)
            except BaseException as exc:
                error = exc
                raise
        finally:
            if error is not None and self.should_ignore_error(error):
                error = None
            try:
                await ctx.pop_async(error)
            finally:
                error = None

    async def _send_response(
        self, response: Response, environ: WSGIEnvironment, send: Send
    ) -> None:
        status: str = ""
        headers: list[tuple[str, str]] = []

        def start_response(s: str, h: list[tuple[str, str]], exc_info: t.Any = None) -> t.Any:
            nonlocal status, headers
            status, headers = s, h

        body = response(environ, start_response)
        if type(body) is list:
            for message in _whole(status, headers, b"".join(body)):
                await send(message)
            return
        await send(_start(status, headers))
        try:
            async for chunk in self._chunks(response, body):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            if hasattr(body, "close"):
                await self._call(body.close)
        await send(_LAST)

    async def _chunks(self, response: Response, body: Iterable[bytes]) -> AsyncIterator[bytes]:
        source = response.response
        if isinstance(source, EitherIterator):
            async for chunk in source:
                yield chunk.encode() if isinstance(chunk, str) else chunk
        else:
            # A sync iterator may wait, each time it is asked.
            iterator = iter(body)
            while (chunk := await self._call(next, iterator, _END)) is not _END:
                yield chunk


class _Watch:
    """Cancels the task that answers a request when the client goes away.

    It begins to listen only when the task first waits, so that an answer given at once costs
    no second task.
    """

    def __init__(self, receive: Receive) -> None:
        self.client_is_gone = False
        self._receive = receive
        self._answering = asyncio.current_task()
        self._listening: asyncio.Task[None] | None = None
        self._begin = asyncio.get_running_loop().call_soon(self._listen)

    def _listen(self) -> None:
        self._listening = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_is_gone = True
        if self._answering is not None:
            self._answering.cancel()

    def stop(self) -> None:
        self._begin.cancel()
        if self._listening is not None:
            self._listening.cancel()


def make_environ(scope: Scope) -> WSGIEnvironment:
    """The WSGI environment (:pep:`3333`) of an ASGI connection, but for its body."""
    root_path: str = scope.get("root_path", "")
    path: str = scope["path"]
    if root_path and path.startswith(root_path):
        path = path[len(root_path) :]
    host, port = scope.get("server") or ("", None)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": root_path.encode().decode("latin-1"),
        "PATH_INFO": path.encode("utf-8", "surrogatepass").decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": "" if port is None else str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    raw_path = scope.get("raw_path")
    if raw_path is not None:
        query = environ["QUERY_STRING"]
        environ["REQUEST_URI"] = environ["RAW_URI"] = raw_path.decode("latin-1").partition("?")[
            0
        ] + (f"?{query}" if query else "")
    client = scope.get("client")
    if client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper()
        # SECURITY: "X_Forwarded_For" would pass for "X-Forwarded-For", which proxies guard.
        if "_" in name:
            continue
        name = name.replace("-", "_")
        if name not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            name = f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ


async def receive_body(receive: Receive, environ: WSGIEnvironment, limit: int | None) -> None:
    """Receive the whole body into ``wsgi.input``, on disk where it is large.

    Of a body beyond *limit* only so much is kept as makes reading it a 413.

    :raises _Disconnected: the client went away first.
    """
    length = environ.get("CONTENT_LENGTH", "")
    if limit is not None and length.isdecimal() and int(length) > limit:
        return
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _Disconnected
    if not message.get("more_body", False):
        body = message.get("body", b"")
        environ["wsgi.input"] = BytesIO(body)
        size = len(body)
    else:
        file = environ["wsgi.input"] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed after the walk)
        size = 0
        while True:
            size += file.write(message.get("body", b""))
            if not message.get("more_body", False) or (limit is not None and size > limit):
                break
            message = await receive()
            if message["type"] == "http.disconnect":
                file.close()
                raise _Disconnected
        file.seek(0)
    if size and not length:
        # It came in chunks; its length is known now.
        environ["CONTENT_LENGTH"] = str(size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)


_LAST: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def _start(status: str, headers: list[tuple[str, str]]) -> Message:
    return {
        "type": "http.response.start",
        "status": int(status[:3]),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ],
    }


def _whole(status: str, headers: list[tuple[str, str]], body: bytes) -> tuple[Message, Message]:
    return (
        _start(status, headers),
        {"type": "http.response.body", "body": body, "more_body": False},
    )
