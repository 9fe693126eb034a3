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
from .loop import current_ending
from .loop import Ending
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
        self._is_broken_off = False
        # What has arrived and was not read yet. As a file, so that many short reads of a long
        # piece do not each copy the rest of it.
        self._here: t.IO[bytes] = BytesIO() if begun is None else begun
        self.has_ended = False

    async def next_piece(self) -> bytes:
        """The next piece, empty at the end.

        :raises werkzeug.exceptions.ClientDisconnected: the client went away before the end.
        """
        return self._here.read(_PIECE) or await self._loop.create_task(
            self._arrival(), context=self._context
        )

    async def _arrival(self) -> bytes:
        while not self.has_ended:
            if not self._is_broken_off:
                message = await self._receive()
                self._is_broken_off = message["type"] == "http.disconnect"
            if self._is_broken_off:
                # Not every server says it twice.
                raise ClientDisconnected()
            if not message.get("more_body", False):
                self.has_ended = True
                self.on_end()
            if body := message.get("body", b""):
                return t.cast("bytes", body)
        return b""

    def _wait_for_more(self) -> bool:
        """Have the next piece here, now that all of the last one is read; False at the end."""
        if self.has_ended:
            return False
        if runs_here(self._loop):
            raise RuntimeError(
                "The body of this request is still on its way, and the event loop cannot wait for"
                " it. Usually an async view with 'stream_body=True' reads 'request.form', '.data'"
                " or '.get_json()'. Iterate over the body with 'async for piece in"
                " request.stream', or leave 'stream_body' out."
            )
        ending = current_ending.get(None) or Ending()
        try:
            piece = ending.wait_for(Call(self._loop, self._context, self._arrival))
        except asyncio.CancelledError:
            # Nobody wants the rest: for whoever reads on, the client has gone.
            raise ClientDisconnected() from None
        self._here.close()
        self._here = BytesIO(piece)
        return bool(piece)

    def read(self, size: int | None = -1) -> bytes:
        """*size* bytes, fewer only at the end; all of them if it is negative or None."""
        left = -1 if size is None else size
        pieces = []
        while left:
            piece = self._here.read(left)
            if not piece and not self._wait_for_more():
                break
            pieces.append(piece)
            if left > 0:
                left -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """Up to and with the next line feed, and at most *size* bytes of it."""
        left = -1 if size is None else size
        pieces = []
        while left:
            piece = self._here.readline(left)
            if not piece and not self._wait_for_more():
                break
            pieces.append(piece)
            if piece.endswith(b"\n"):
                break
            if left > 0:
                left -= len(piece)
        return b"".join(pieces)

    def __iter__(self) -> t.Iterator[bytes]:
        return iter(self.readline, b"")

    def close(self) -> None:
        """Let go of what has arrived."""
        self._here.close()
