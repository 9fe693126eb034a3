"""What a WebSocket's client sent and nobody received yet, and how it is noticed that it goes."""

from __future__ import annotations

import asyncio
import sys
import typing as t
from collections import deque
from contextvars import copy_context

from .loop import is_async
from .threads import end_of

if t.TYPE_CHECKING:
    from contextvars import Context

    from .doorman import Doorman
    from .incoming import Message
    from .incoming import Receive
    from .websocket_viewer import Viewer

# What has arrived and was not received yet is bounded by both; beyond, the client has to wait.
_MESSAGES_KEPT = 64
_BYTES_KEPT = 256 * 1024


class WebsocketDisconnected(asyncio.CancelledError):
    """The connection is over: raised by ``receive`` and ``send``.

    It needs no handler: it ends the view, and nothing is logged. Catch it to clean up.

    COMPAT: views written for Quart catch :class:`asyncio.CancelledError`, which this is too. So
    ``except Exception`` around a loop of ``receive`` lets it through, and the loop ends.

    :param code: why, as the client or the server said; 1006 where the line just went dead.
    :param reason: the same in words.
    """

    # Where it is imported from.
    __module__ = "torsyq.websockets"

    def __init__(self, code: int = 1005, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class Inbox:
    """What the client sent and nobody received yet.

    Someone always listens, so that it is noticed when the client goes, whatever the view waits for:
    who waits in ``receive``, or a task, from when the doorman sees that nobody else has for a while.

    PERF: a message that who waits receives takes a turn of the loop less of three: a sixth of an echo.
    """

    def __init__(
        self,
        receive: Receive,
        refuse: t.Callable[[int, str], t.Awaitable[None]],
        limit: int | None,
        viewer: Viewer,
    ) -> None:
        self.end: tuple[int, str] | None = None
        #: Whether the connection is open, or was.
        self.is_open = False
        self._viewer = viewer
        self._loop = viewer.loop
        self._receive = receive
        self._refuse = refuse
        self._limit = limit
        # As many characters have at most four times as many bytes.
        self._surely_fits = sys.maxsize if limit is None else limit // 4
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._readers: deque[asyncio.Future[None]] = deque()
        self._room: asyncio.Future[None] | None = None
        # How it ends, once it does: like this where the server's ``receive`` fails, and each has its
        # own way to say that nobody is there.
        self._ending = 1006, ""
        self._is_refusing = False
        # Who waits in the server's receive, and whether it is cancelled because that is over.
        self._taker: asyncio.Task[t.Any] | None = None
        self._is_dismissed = False
        # Sees that someone listens; where there is none, a task does from the beginning.
        self._doorman: Doorman | None = None
        #: For the doorman.
        self.is_known = False
        self._is_watched = False
        self._listening: asyncio.Task[None] | None = None
        self._context: Context | None = None

    def be_watched(self, doorman: Doorman) -> None:
        """Let *doorman* see that someone listens, where who waits may do so.

        COMPAT: when one that waits in granian's ``receive`` is cancelled, the message that arrives
        at that moment is lost (2.8.7). There, and where what waits is not Python's, only a task
        listens, which nobody cancels.
        """
        if is_async(self._receive) and "granian" not in sys.modules:
            self._doorman = doorman
            # From now on: it may go before it is accepted.
            self._begin()

    def open(self) -> None:
        """Listen to who was accepted."""
        self.is_open = True
        if self._doorman is None:
            self._begin()

    def _begin(self) -> None:
        self._context = copy_context()
        self._let_listen()

    def _let_listen(self) -> None:
        """Have a task listen, if nobody does for a while."""
        self.is_known = False
        if self._doorman is None:
            self.listen()
        elif not self._is_watched:
            self._is_watched = True
            self._doorman.watch(self)

    def listen(self) -> None:
        """Listen in a task from now on, unless somebody does."""
        self._is_watched = False
        if self._listening is None and self._taker is None:
            self._listening = self._loop.create_task(self._listen(), context=self._context)

    async def _listen(self) -> None:
        while self.end is None:
            try:
                data = self._read(await self._receive())
            except Exception:
                data = None
            if data is None:
                await self._part()
            else:
                self._keep(data)
            while len(self._messages) >= _MESSAGES_KEPT or self._size > _BYTES_KEPT:
                self._room = self._loop.create_future()
                await self._room

    def _read(self, message: Message) -> str | bytes | None:
        """What a message says; None if it ends the connection, and how it does is noted."""
        if message["type"] == "websocket.disconnect":
            self._ending = message.get("code") or 1005, message.get("reason") or ""
            return None
        data: str | bytes | None = message.get("text")
        if data is None:
            data = message.get("bytes") or b""
        if len(data) > self._surely_fits and self._is_too_big(data):
            self._is_refusing = True
            self._ending = 1009, "message too big"
            return None
        return data

    def _is_too_big(self, data: str | bytes) -> bool:
        size = len(data.encode() if isinstance(data, str) else data)
        return self._limit is not None and size > self._limit

    def _keep(self, data: str | bytes) -> None:
        self._messages.append(data)
        self._size += len(data)
        self._wake_reader()

    async def _part(self) -> None:
        """The client has gone, or is sent away."""
        code, reason = self._ending
        try:
            if self._is_refusing:
                await self._refuse(code, reason)
            else:
                # Whoever was woken by a message that came just before answers it first.
                await asyncio.sleep(0)
        finally:
            self._over(code, reason)
            self._viewer.dismiss()

    async def get(self) -> str | bytes:
        """The next message.

        :raises WebsocketDisconnected: there will be none.
        """
        self._viewer.has_received = True
        while not self._messages:
            if self.end is not None:
                raise await self.farewell()
            if self._taker is not None or self._listening is not None:
                await self._wait()
                continue
            # PERF: no coroutine of its own, no way through what is kept, and a text is seen to be one
            # without a call: 5 % of an echo.
            task = self._taker = asyncio.current_task(self._loop)
            try:
                try:
                    message = await self._receive()
                    data = message.get("text")
                    if data is None or len(data) > self._surely_fits:
                        data = self._read(message)
                except Exception:
                    data = None
                if data is not None:
                    # What comes next is for the next one.
                    if self._readers:
                        self._wake_reader()
                    return data
                await self._part()
            except asyncio.CancelledError:
                self._wake_reader()
                if not self._is_dismissed or task is None or task.uncancel():
                    raise
            finally:
                self._taker = None
                # A task that is cancelled holds its error, whose traceback holds this frame.
                del task
                if self._is_watched:
                    # PERF: :meth:`_let_listen`, inlined (1 % of an echo).
                    self.is_known = False
                elif self.end is None:
                    self._let_listen()
        data = self._messages.popleft()
        self._size -= len(data)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return data

    async def _wait(self) -> None:
        """Wait until someone else received something, or will not."""
        reader = self._loop.create_future()
        self._readers.append(reader)
        try:
            await reader
        except asyncio.CancelledError:
            if reader.done() and not reader.cancelled():
                # Woken and cancelled at once: the message is for the next one.
                self._wake_reader()
            raise

    def _wake_reader(self) -> None:
        while self._readers:
            reader = self._readers.popleft()
            if not reader.done():
                reader.set_result(None)
                return

    def _over(self, code: int, reason: str) -> None:
        if self.end is None:
            self.end = code, reason
        if self._doorman is not None:
            self._doorman.present.discard(self)
        taker = self._taker
        if taker is not None and taker is not asyncio.current_task() and not self._is_dismissed:
            self._is_dismissed = True
            taker.cancel()
        while self._readers:
            self._wake_reader()
        self._viewer.ending.come()

    def close(self, code: int, reason: str) -> None:
        """End it from this side; what was not received is not wanted."""
        self._messages.clear()
        self._over(code, reason)

    async def farewell(self) -> WebsocketDisconnected:
        """What to raise, now that it is over."""
        assert self.end is not None
        await self._viewer.end_gathering()
        self._viewer.be_told()
        return WebsocketDisconnected(*self.end)

    async def stop(self) -> None:
        """Stop listening."""
        # This and the context of who listens hold the websocket.
        self._context = None
        listening = self._listening
        if listening is not None and listening is not asyncio.current_task():
            self._listening = None
            if not self._is_refusing:
                listening.cancel()
            # Not asyncio.wait(): the frame of Python 3.14's holds the task that waits, which holds its
            # error, whose traceback holds that frame.
            await end_of(listening)
