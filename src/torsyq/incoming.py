"""A body that is still on its way: what is not here yet is waited for.

Under ASGI, views with ``stream_body=True`` begin before their request's body has arrived. A sync
view, in its worker thread, reads the body as a file; an async one iterates over it. Either way
the next piece is taken from the server only when the one before it is used up, so that a slow
view slows its client and not the machine.
"""

from __future__ import annotations

import typing as t
from contextvars import copy_context
from io import BytesIO

from werkzeug.exceptions import ClientDisconnected

from .lazy import deferred
from .loop import Call
from .loop import runs_here

if t.TYPE_CHECKING:
    import asyncio
else:
    asyncio = deferred("asyncio", globals())

Message = t.MutableMapping[str, t.Any]
Receive = t.Callable[[], t.Awaitable[Message]]

_PIECE = 1 << 16


class Incoming:
    """The rest of a body, after *begun*, taken from the server piece by piece.

    :param receive: as the server gave it.
    :param begun: what has arrived already, open for reading.
    :param on_end: called when all has arrived.
    """

    def __init__(
        self,
        receive: Receive,
        begun: t.IO[bytes] | None = None,
        on_end: t.Callable[[], None] = lambda: None,
    ) -> None:
        self.on_end = on_end
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        # SECURITY: uvicorn reads on in the context in which it is asked to, and so does all that
        # comes later on that line. It must not be the context of this request: the next one,
        # perhaps another client's behind a proxy, would see its g.
        self._context = copy_context()
        self._arriving: Call | None = None
        self._is_unwanted = False
        self._is_broken_off = False
        self._begun: t.IO[bytes] = BytesIO() if begun is None else begun
        self._kept = b""
        self.has_ended = False

    async def next_piece(self) -> bytes:
        """The next piece, empty at the end.

        :raises werkzeug.exceptions.ClientDisconnected: the client went away before the end.
        """
        if self._kept:
            piece, self._kept = self._kept, b""
            return piece
        return self._begun.read(_PIECE) or await self._loop.create_task(
            self._arrival(), context=self._context
        )

    async def _arrival(self) -> bytes:
        while not self.has_ended:
            if not self._is_broken_off:
                message = await self._receive()
                self._is_broken_off = message["type"] == "http.disconnect"
            if self._is_broken_off:
                # Not every server says it twice.
                self._kept = b""
                raise ClientDisconnected()
            if not message.get("more_body", False):
                self.has_ended = True
                self.on_end()
            if body := message.get("body", b""):
                return t.cast("bytes", body)
        return b""

    def _wait_for_piece(self) -> bytes:
        piece = self._kept or self._begun.read(_PIECE)
        self._kept = b""
        if piece or self.has_ended:
            return piece
        if runs_here(self._loop):
            raise RuntimeError(
                "The body of this request is still on its way, and the event loop cannot wait for"
                " it. Usually an async view with 'stream_body=True' reads 'request.form', '.data'"
                " or '.get_json()'. Iterate over the body with 'async for piece in"
                " request.stream', or leave 'stream_body' out."
            )
        self._arriving = arriving = Call(self._arrival).begin(self._loop, self._context)
        if self._is_unwanted:
            arriving.cancel()
        try:
            return t.cast("bytes", arriving.wait())
        except asyncio.CancelledError:
            raise ClientDisconnected() from None

    def stop(self) -> None:
        """Let a thread that waits for the rest wait no longer: for it, the client has gone."""
        self._is_unwanted = True
        if self._arriving is not None:
            self._arriving.cancel()

    def read(self, size: int | None = -1) -> bytes:
        """*size* bytes, fewer only at the end; all of them if it is negative or None."""
        if size is None:
            size = -1
        pieces = []
        while size and (piece := self._wait_for_piece()):
            if 0 <= size < len(piece):
                piece, self._kept = piece[:size], piece[size:]
            pieces.append(piece)
            if size > 0:
                size -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """Up to and with the next line feed, and at most *size* bytes of it."""
        if size is None:
            size = -1
        pieces = []
        while size and (piece := self._wait_for_piece()):
            end = piece.find(b"\n") + 1 or len(piece)
            if size > 0:
                end = min(end, size)
                size -= end
            pieces.append(piece[:end])
            self._kept = piece[end:]
            if piece[end - 1] == 10:
                break
        return b"".join(pieces)

    def __iter__(self) -> t.Iterator[bytes]:
        return iter(self.readline, b"")

    def close(self) -> None:
        """Let go of what has arrived."""
        self._begun.close()
