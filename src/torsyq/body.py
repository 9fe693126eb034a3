"""Bodies on their way in and out: read whole or not at all, sent with few calls a chunk."""

from __future__ import annotations

import sys
import typing as t
from contextlib import asynccontextmanager
from contextvars import copy_context
from io import BufferedRandom
from io import BufferedReader
from io import BytesIO
from itertools import chain
from itertools import groupby
from itertools import repeat
from itertools import starmap
from tempfile import SpooledTemporaryFile
from types import GeneratorType

from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import ClosingIterator
from werkzeug.wsgi import get_content_length
from werkzeug.wsgi import LimitedStream

from .greenlets import can_spawn
from .incoming import Incoming
from .lazy import deferred
from .loop import EitherIterator

if t.TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable
    from collections.abc import AsyncIterator
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Iterator

    from _typeshed.wsgi import WSGIEnvironment

    from . import workers
else:
    asyncio = deferred("asyncio", globals())
    workers = deferred("torsyq.workers", globals())

# SECURITY: a length announced is not a length sent; no more than this is reserved on its word.
AT_ONCE = 1 << 21
_CHUNK = 1 << 16

#: A body beyond this many bytes waits on disk.
IN_MEMORY = 512 * 1024

Item = t.TypeVar("Item")

_chained = chain.from_iterable

# The headers of a stream go out with its first piece: a client should not wait for them as long
# as it may take until there is one. So many seconds do.
OPENING_PAUSE = 0.1


def breaks_off(error: Exception) -> bool:
    """Whether *error*, of a server's stream, says that the rest of the body is not to be had."""
    # Gunicorn has errors of its own for broken chunks.
    is_gunicorns = type(error).__module__ == "gunicorn.http.errors"
    return is_gunicorns or isinstance(error, (OSError, ValueError))


class BodyStream(LimitedStream):
    """A body as a file, which can also be iterated with ``async for``, piece by piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to *size* bytes, without one all of them.

        PERF: Python's own makes a buffer, has :meth:`readinto` fill it and copies it (a third of
        the time of pieces of up to 1 KB).

        :raises werkzeug.exceptions.ClientDisconnected: the body breaks off.
        """
        source = self._stream
        left = self.limit - self._pos
        if size is None or size <= 0 or left <= 0:
            return super().read(-1 if size is None else size)
        if type(source) not in _KNOWN and hasattr(source, "readinto"):
            return super().read(size)
        try:
            data = source.read(min(size, left))
        except Exception as error:
            if not breaks_off(error):
                raise
            self.on_disconnect(error)
            return b""
        if not data:
            self.on_disconnect()
        self._pos += len(data)
        return data

    def readinto(self, buffer: t.Any) -> int | None:
        """Read into *buffer*; how much.

        :raises werkzeug.exceptions.ClientDisconnected: the body breaks off.
        """
        if not len(buffer):
            return 0  # Nothing was wanted, so it says nothing of the client.
        try:
            return super().readinto(buffer)
        except Exception as error:
            if not breaks_off(error):
                raise
            self.on_disconnect(error)
            return 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Up to and with the next line feed, and at most *size* bytes of it.

        PERF: Python's own asks for one byte after the other (2 s for 1 MB).

        COMPAT: granian's stream leaves out the line feed (2.8.7). So it is asked for each byte, as is
        what is not known.

        :raises werkzeug.exceptions.ClientDisconnected: the body breaks off.
        """
        source: t.Any = self._stream
        kind = type(source)
        if kind not in _KNOWN and kind.__module__ != "gunicorn.http.body":
            return super().readline(size)
        wanted = sys.maxsize if size is None or size < 0 else size
        line = b""
        while len(line) < wanted and not line.endswith(b"\n"):
            left = self.limit - self._pos
            if left <= 0:
                self.on_exhausted()
                break
            try:
                piece = source.readline(min(left, wanted - len(line)))
            except Exception as error:
                if not breaks_off(error):
                    raise
                self.on_disconnect(error)
                break
            if not piece:
                self.on_disconnect()
                break
            self._pos += len(piece)
            line += piece
        return line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        source = self._stream
        if isinstance(source, Incoming):
            while piece := await source.next_piece():
                self._count(len(piece))
                yield piece
            self.on_disconnect()
        else:
            # The server's stream may wait for the client.
            loop = asyncio.get_running_loop()
            executor = workers.Greenlets() if can_spawn() else None
            while piece := await loop.run_in_executor(executor, self.read, _CHUNK):
                yield piece

    def _count(self, size: int) -> None:
        self._pos += size
        if self._pos > self.limit:
            raise RequestEntityTooLarge()


class NoBody(BytesIO):
    """An empty body, or one that was read already."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""


class WholeStream(BodyStream):
    """A body the server marks the end of, read to that end.

    A body that ends before the length it announced, whose chunks are broken, or that goes on beyond
    the limit, is not passed on as if it were complete.

    :param expected: the announced length, if there was one.
    :param maximum: what no body may exceed.
    :raises werkzeug.exceptions.ClientDisconnected: on reading, the body breaks off.
    :raises werkzeug.exceptions.RequestEntityTooLarge: on reading, it is longer than *maximum*.
    """

    def __init__(self, stream: t.IO[bytes], expected: int | None, maximum: int | None) -> None:
        super().__init__(stream, sys.maxsize if maximum is None else maximum, is_max=True)
        self._expected = expected

    def on_exhausted(self) -> None:
        """Called at the limit: too much, unless this was all there is."""
        try:
            more = self._stream.read(1)
        except Exception as error:
            if not breaks_off(error):
                raise
            raise ClientDisconnected() from error
        if more:
            raise RequestEntityTooLarge()
        self.on_disconnect()

    def readall(self) -> bytes:
        """The rest of the body, never only as much of it as the limit allows."""
        data = super().readall() if not self.is_exhausted else b""
        if self.is_exhausted:
            self.on_exhausted()
        return data

    def on_disconnect(self, error: Exception | None = None) -> None:
        """Called when nothing more comes: too little, if more was announced."""
        if error is not None or (self._expected is not None and self._pos < self._expected):
            raise ClientDisconnected()


class _Gathered(SpooledTemporaryFile[bytes]):
    """A body that has arrived, on disk where it is large; closed with its request."""

    def __del__(self) -> None:
        self.close()


#: Streams that are known to read, and to tell lines, as Python's own do. Whose class derives from
#: one of these may know something else of what they read.
_KNOWN = {BytesIO, BufferedRandom, BufferedReader, SpooledTemporaryFile, Incoming, _Gathered}


class _Broken:
    """What remains of a body that broke off."""

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error.with_traceback(None)

    def read(self, size: int = -1) -> t.NoReturn:
        # Raised once: its traceback holds whoever reads, who holds this.
        error, self._error = self._error or ClientDisconnected(), None
        try:
            raise error
        finally:
            del error

    readline = read


class _Begun:
    """A body whose beginning has arrived, and the rest of it."""

    def __init__(self, begun: t.IO[bytes], rest: t.Any) -> None:
        self._begun, self._rest = begun, rest

    def read(self, size: int = -1) -> bytes:
        data = self._begun.read(size)
        if size is None or size < 0:
            return data + t.cast("bytes", self._rest.read(size))
        return data or t.cast("bytes", self._rest.read(size))

    def readline(self, size: int = -1) -> bytes:
        line = self._begun.readline(size)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + t.cast("bytes", self._rest.readline(size - len(line) if size > 0 else -1))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


def gather_body(environ: WSGIEnvironment, maximum: int | None) -> None:
    """Have ``wsgi.input`` hold the whole body, so that nobody waits for the client on reading it.

    What goes beyond *maximum* is left with the server, and what broke off is an error on reading.
    """
    source = environ.get("wsgi.input")
    if source is None or isinstance(source, (BytesIO, SpooledTemporaryFile, Incoming, _Begun)):
        return
    length = content_length(environ)
    is_terminated = "wsgi.input_terminated" in environ
    if length == 0 or (length is None and not is_terminated):
        return
    if maximum is not None and length is not None and length > maximum:
        return
    left = sys.maxsize if is_terminated or length is None else length
    if maximum is not None:
        left = min(left, maximum + 1)
    gathered = _Gathered(IN_MEMORY)
    rest: t.Any = None
    try:
        while left and (piece := source.read(min(left, _CHUNK))):
            left -= gathered.write(piece)
        if not left and is_terminated:
            rest = source
    except Exception as error:
        rest = _Broken(error)
    gathered.seek(0)
    environ["wsgi.input"] = gathered if rest is None else _Begun(gathered, rest)


def content_length(environ: WSGIEnvironment) -> int | None:
    """The announced length of the body, ``None`` where none is or it comes in chunks."""
    length = environ.get("CONTENT_LENGTH")
    if length is None:
        return None
    if "HTTP_TRANSFER_ENCODING" in environ or not (length.isdigit() and length.isascii()):
        return get_content_length(environ)
    return int(length) if len(length) < 20 else get_content_length(environ)


def open_body(environ: WSGIEnvironment, maximum: int | None) -> t.IO[bytes]:
    """The body as a stream that ends where the body does.

    :raises werkzeug.exceptions.RequestEntityTooLarge: more than *maximum* bytes are announced.
    """
    length = content_length(environ)
    if length is not None and maximum is not None and length > maximum:
        raise RequestEntityTooLarge()
    stream: t.IO[bytes] = environ["wsgi.input"]
    if "wsgi.input_terminated" in environ:
        return t.cast("t.IO[bytes]", WholeStream(stream, length, maximum))
    if length is None:
        return NoBody()
    return t.cast("t.IO[bytes]", BodyStream(stream, length))


def read_body(environ: WSGIEnvironment, length: int | None, maximum: int | None) -> bytes:
    """The whole body, as reading it from :func:`open_body` gives it.

    :param length: its announced length.

    PERF: 1 us instead of 10 for a small one.
    """
    terminated = "wsgi.input_terminated" in environ
    if length is None or length > AT_ONCE or (maximum is not None and length > maximum):
        return open_body(environ, maximum).read()
    read = environ["wsgi.input"].read
    try:
        data: bytes = read(length)
        if len(data) == length and not (terminated and (more := read(_CHUNK))):
            return data
    except Exception as error:
        if not breaks_off(error):
            raise
        raise ClientDisconnected() from error
    if len(data) == length:
        data += more
    if maximum is not None and len(data) > maximum:
        raise RequestEntityTooLarge()
    rest = open_body(environ, maximum)
    rest._pos = len(data)  # type: ignore[attr-defined]
    return data + rest.read()


def encode_chunks(chunks: Iterable[str | bytes]) -> Iterator[bytes]:
    """*chunks*, text among them encoded. Of an async iterable, both kinds of iterator."""
    if type(chunks) is not GeneratorType:
        if isinstance(chunks, Pieces):
            return t.cast("Iterator[bytes]", chunks)
        # COMPAT: what can be iterated either way (a mock can) is iterated as Flask does.
        only_async = hasattr(chunks, "__aiter__") and not hasattr(chunks, "__iter__")
        if only_async or isinstance(chunks, EitherIterator):
            source = t.cast("AsyncIterable[str | bytes]", chunks)
            return t.cast("Iterator[bytes]", Pieces(source, _encode_chunk))
    # PERF: by runs of one type, so that bytes go through no frame of ours (a seventh of a stream).
    return _chained(starmap(_encode_run, groupby(chunks, type)))


def _encode_run(kind: type, run: Iterator[t.Any]) -> Iterator[bytes]:
    if kind is bytes:
        return run
    return map(str.encode if kind is str else _encode_chunk, run)


def _encode_chunk(chunk: str | bytes) -> bytes:
    return chunk.encode() if isinstance(chunk, str) else chunk


class Pieces(EitherIterator):
    """What an async source yields, as bytes, and something else wherever it is silent.

    :param encode: makes bytes of an item.
    :param filler: sent after *pause* seconds of silence; None: any silence is fine.
    """

    def __init__(
        self,
        source: AsyncIterable[t.Any],
        encode: Callable[[t.Any], bytes],
        filler: bytes = b"",
        pause: float | None = None,
    ) -> None:
        pieces = _encoded(source, encode)
        super().__init__(pieces if pause is None else _filled(pieces, filler, pause))
        self.encode, self.filler, self.pause = encode, filler, pause
        self._source = source

    def items(self) -> AsyncIterator[t.Any]:
        """What to iterate over instead, for who encodes and fills by himself.

        PERF: a generator less for each piece to go through (5 % of an event's way to its client).
        """
        iterator = aiter(self._source)
        self._iterator = _closable(self._source, iterator)
        self._is_open = True
        return iterator


@asynccontextmanager
async def iterating(source: AsyncIterable[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """An iterator over *source*. At the end that of the two is closed which can be."""
    iterator = aiter(source)
    try:
        yield iterator
    finally:
        closable = _closable(source, iterator)
        if hasattr(closable, "aclose"):
            await closable.aclose()


async def _encoded(
    source: AsyncIterable[t.Any], encode: Callable[[t.Any], bytes]
) -> AsyncIterator[bytes]:
    async with iterating(source) as iterator:
        async for item in iterator:
            yield encode(item)


def _closable(source: AsyncIterable[t.Any], iterator: AsyncIterator[t.Any]) -> t.Any:
    """Which of the two is to be closed, if either can be."""
    return source if hasattr(source, "aclose") else iterator


def pauses(pause: float | None) -> Iterator[float | None]:
    """The seconds to wait for each piece of a stream before something else is sent."""
    if pause is not None:
        yield min(OPENING_PAUSE, pause)
    yield from repeat(pause)


async def _filled(
    source: AsyncIterator[bytes], filler: bytes, pause: float
) -> AsyncIterator[bytes]:
    waits = pauses(pause)
    loop = asyncio.get_running_loop()
    # Each step of the source is a task, since what is waited for with a limit is cancelled at
    # the limit; all of them in one context, as if they were one.
    context = copy_context()
    step = None
    try:
        while True:
            step = loop.create_task(_next(source), context=context)
            while not (await asyncio.wait([step], timeout=next(waits)))[0]:
                yield filler
            if (piece := step.result()) is None:
                return
            yield piece
    finally:
        await loop.create_task(_end(source, step), context=context)


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    return await anext(source, None)


async def _end(source: t.Any, step: asyncio.Task[bytes | None] | None) -> None:
    if step is not None and not step.done():
        step.cancel()
        await asyncio.wait([step])
        if not step.cancelled():
            # Read, so that it is not reported as never read.
            step.exception()
    await source.aclose()


class Chunks(ClosingIterator):
    """What a streamed response hands to the server: *chunks*, and *close* to call at the end.

    PERF: a chunk costs one frame beside the application's own, not three.
    """

    def __init__(self, chunks: Iterable[bytes], close: Callable[[], None]) -> None:
        #: Where the chunks come from, if they can be awaited.
        self.awaitable = chunks if isinstance(chunks, Pieces) else None
        self._chunks = iter(chunks)
        self._close = close

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]
        return self._chunks

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Close the chunks' iterator, then what the response wants closed."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        self._close()
