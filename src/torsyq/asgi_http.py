"""HTTP as ASGI's messages, made into what WSGI calls a request and an answer, and back."""

from __future__ import annotations

import asyncio
import sys
import typing as t
from functools import lru_cache
from io import BytesIO
from itertools import chain
from tempfile import SpooledTemporaryFile
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import FileWrapper

from .body import Chunks
from .incoming import Incoming
from .incoming import Message
from .incoming import Receive
from .loop import EitherIterator

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import WSGIEnvironment

Scope = t.MutableMapping[str, t.Any]
Send = t.Callable[[Message], t.Awaitable[None]]

# A body beyond this many bytes waits on disk.
_IN_MEMORY = 512 * 1024

# A file's piece in one message.
_FILE_PIECE = 256 * 1024

_unnamed = {"CONTENT_TYPE", "CONTENT_LENGTH"}


# The request.


def make_environ(scope: Scope) -> WSGIEnvironment:
    """The WSGI environment (:pep:`3333`) of an ASGI connection, but for its body."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "").rstrip("/")
    if root_path:
        path = _below(root_path, path)
    path = path if path.isascii() else _bytes_of_path(scope, path, root_path)
    host, port = scope.get("server") or ("", None)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": root_path.encode().decode("latin-1"),
        "PATH_INFO": path,
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
        uri = raw_path.decode("latin-1").partition("?")[0]
        if environ["QUERY_STRING"]:
            uri = f"{uri}?{environ['QUERY_STRING']}"
        environ["REQUEST_URI"] = environ["RAW_URI"] = uri
    client = scope.get("client")
    if client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    for raw_name, raw_value in scope["headers"]:
        name = _environ_name(raw_name)
        if name in environ:
            joint = "; " if name == "HTTP_COOKIE" else ","
            environ[name] = f"{environ[name]}{joint}{raw_value.decode('latin-1')}"
        elif name is not None:
            environ[name] = raw_value.decode("latin-1")
    return environ


def _below(root_path: str, path: str) -> str:
    # The path should begin with the root path; some servers leave it out.
    if path == root_path or path.startswith(f"{root_path}/"):
        return path[len(root_path) :]
    return path


def _bytes_of_path(scope: Scope, path: str, root_path: str) -> str:
    """The path's bytes as WSGI wants them, those too that are not UTF-8 if the server kept them."""
    if "\ufffd" in path and scope.get("raw_path"):
        raw = unquote_to_bytes(scope["raw_path"].partition(b"?")[0])
        # Not if a middleware has changed the one and left the other.
        if raw.decode(errors="replace") == scope["path"]:
            return _below(root_path.encode().decode("latin-1"), raw.decode("latin-1"))
    return path.encode("utf-8", "surrogatepass").decode("latin-1")


@lru_cache(1024)
def _environ_name(name: bytes) -> str | None:
    # PERF: remembered, 10 headers take 1.9 us instead of 5.
    text = name.decode("latin-1").upper()
    # SECURITY: "X_Forwarded_For" would pass for "X-Forwarded-For", which proxies guard.
    if "_" in text:
        return None
    text = text.replace("-", "_")
    return text if text in _unnamed else f"HTTP_{text}"


async def receive_body(receive: Receive, environ: WSGIEnvironment, limit: int | None) -> None:
    """Receive the whole body into ``wsgi.input``, on disk where it is large.

    A body beyond *limit* is left with the server: what exceeds it is taken from there only if
    the view raises its own limit and reads on.

    :raises werkzeug.exceptions.ClientDisconnected: the client went away first.
    """
    length = environ.get("CONTENT_LENGTH", "")
    if limit is not None and length.isdecimal() and int(length) > limit:
        stream_body(receive, environ)
        return
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnected()
    body = message.get("body", b"")
    if not message.get("more_body", False):
        environ["wsgi.input"] = BytesIO(body)
        size = len(body)
    else:
        file = environ["wsgi.input"] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed after the walk)
        size = file.write(body)
        while message.get("more_body", False):
            if limit is not None and size > limit:
                file.seek(0)
                return stream_body(receive, environ, file)
            message = await receive()
            if message["type"] == "http.disconnect":
                file.close()
                raise ClientDisconnected()
            size += file.write(message.get("body", b""))
        file.seek(0)
    if size and not length:
        # It came in chunks; its length is known now.
        environ["CONTENT_LENGTH"] = str(size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)


def stream_body(
    receive: Receive, environ: WSGIEnvironment, begun: t.IO[bytes] | None = None
) -> None:
    """Make ``wsgi.input`` a body that arrives while it is read."""
    environ["wsgi.input"] = Incoming(receive, begun)
    environ["wsgi.input_terminated"] = True


# The answer.


@lru_cache(1024)
def _header_name(name: str) -> bytes:
    # PERF: remembered, the start of an answer takes 1.0 us instead of 1.6.
    return name.lower().encode("latin-1")


class Answer:
    """Sends one answer; :meth:`start_response` is WSGI's.

    Status and headers go out with the first of the body, as :pep:`3333` has it, so that an
    error before that can still become a 500.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._started = False
        #: Called when the body turns out to come in pieces.
        self.on_stream: t.Callable[[], None] = lambda: None
        #: Whether someone has taken the body over, and closes it.
        self.has_body = False
        #: Set when nobody wants the rest.
        self.abandoned = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
    ) -> t.Callable[[bytes], None]:
        """Keep status and headers until the body's first piece."""
        if exc_info is not None and self._started:
            raise exc_info[1]
        self._status, self._headers = status, headers
        return self._written.append

    async def _start(self) -> None:
        self._started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": int(self._status[:3]),
                "headers": [
                    (_header_name(name), value.encode("latin-1")) for name, value in self._headers
                ],
            }
        )

    async def send_whole(self, body: bytes = b"") -> None:
        """Send *body* as all that was missing."""
        if not self._started:
            await self._start()
        await self._send({"type": "http.response.body", "body": body})

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece, and wait until the server wants another."""
        if not self._started:
            self.on_stream()
            await self._start()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def send_awaitable(self, body: Chunks, source: EitherIterator) -> None:
        """Send the pieces of an async iterator, without a thread."""
        self.has_body = True
        try:
            async for piece in source:
                await self.send_piece(piece)
        finally:
            await source.aclose()
            body.close()
        await self.send_whole()

    def _send_from_thread(self, piece: bytes) -> None:
        asyncio.run_coroutine_threadsafe(self.send_piece(piece), self._loop).result()

    def pump(self, body: Iterable[bytes]) -> bytes:
        """Send *body* from a worker thread; what remains to be sent.

        A list remains whole, and so does a small file: then no thread waits for the client.
        """
        if type(body) is list:
            return b"".join([*self._written, *body])
        self.has_body = True
        try:
            pieces = _pieces_of_file(body) if type(body) is FileWrapper else iter(body)
            rest = b""
            for piece in chain(self._written, pieces):
                if self.abandoned:
                    return b""
                if rest:
                    self._send_from_thread(rest)
                    rest = b""
                if type(body) is FileWrapper:
                    rest = piece
                else:
                    self._send_from_thread(piece)
            return rest
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


def _pieces_of_file(body: FileWrapper) -> t.Iterator[bytes]:
    return iter(lambda: body.file.read(_FILE_PIECE), b"")
