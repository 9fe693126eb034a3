"""An answer as ASGI's messages, made of a response or of what WSGI calls an answer."""

from __future__ import annotations

import typing as t
from contextlib import suppress
from contextvars import Context
from contextvars import copy_context
from math import inf
from time import monotonic

from werkzeug.wsgi import _RangeWrapper
from werkzeug.wsgi import FileWrapper

from .asgi_request import complete_environ
from .body import Chunks
from .body import OPENING_PAUSE
from .body import Pieces
from .doorman import PATIENCE
from .headers import LENGTHS
from .headers import SHORT
from .headers import WIRED
from .incoming import Incoming
from .incoming import Message
from .incoming import Receive
from .lazy import deferred
from .loop import Call
from .loop import current_ending
from .loop import Ending
from .loop import exit_of_app
from .loop import runs_here
from .statuses import STATUS_LINES
from .wrappers import Response

if t.TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from .doorman import Doorman
    from .workers import Seat
    from .wrappers import Request
else:
    asyncio = deferred("asyncio", globals())

Send = t.Callable[[Message], t.Awaitable[None]]

#: What a server may raise to say that nobody is there.
GONE = OSError, RuntimeError

# A file as a body, or a part of one, and how much of it goes into one message.
_FILES = {FileWrapper, _RangeWrapper}
_FILE_PIECE = 256 * 1024

#: So much is sent without waiting for the client.
SENT_AT_ONCE = 64 * 1024

# After so many pieces of a stream, others have their turn.
_BREATH = 16


async def refuse(send: Send, status: int = 400) -> None:
    """Answer a client whose body is no good: mostly it went away before that was complete.

    Perhaps it only stopped sending, or its body could not be read.
    """
    with suppress(*GONE):
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def wire_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them.

    :raises UnicodeEncodeError: one of them cannot be sent.
    """
    try:
        return [*map(_wired, headers)]
    except TypeError:
        # A middleware has lists where others have pairs.
        return [_wired((name, value)) for name, value in headers]


_wired = WIRED.__getitem__

_call = Response.__call__

# PERF: reading the number takes ten times as long (1 % of a request).
_codes = {line: code for code, line in STATUS_LINES.items()}


class Answer(Ending):
    """Sends one answer; :meth:`start_response` is WSGI's.

    Status and headers go out with the first of the body, as :pep:`3333` has it, so that an
    error before that can still become a 500. When the client goes away, the task that made this
    is cancelled, and what a worker thread waits for is ended.
    """

    # What was given to write(). An answer has its own when there is something.
    _written: list[bytes] = []

    #: A client that leaves while a plain function runs ends the async view after it.
    tells_the_next = True
    #: Whether the doorman has seen it before.
    is_known = False
    #: Whether status and headers are on their way.
    has_started: bool
    #: Whether nobody wants the rest.
    client_is_gone = False
    #: What is closed at the end: a file that is being sent, a body that nobody began to send.
    to_close: t.Any
    # Notices the client's leaving, from when it is listened to.
    _listening: asyncio.Task[None] | None = None
    #: The message of status and headers.
    opening: Message
    #: What the walk ended with.
    body: t.Any
    #: Whether someone has taken the body of the answer over, and closes it.
    has_body = False
    #: The thread that the walk has kept to, on the loop.
    seat: Seat | None = None
    #: What the walk has set in its thread, for a body that is sent without one.
    context: Context | None = None

    def __init__(self, body: t.Any, receive: Receive, send: Send, doorman: Doorman) -> None:
        # PERF: what is read of each answer, sooner from here than from the class.
        self._body, self._receive, self.send = body, receive, send
        self._doorman, self.loop = doorman, doorman.loop
        self._answering: asyncio.Task[t.Any] | None = None
        self.has_started = False
        self.to_close: t.Any = None

    def watch_client(self) -> None:
        """Have it noticed when the client goes away, since from now on something is waited for.

        PERF: most answers wait for nothing; to look after their clients too is 4 % of a request.
        """
        if self._answering is None:
            self._answering = asyncio.current_task(self.loop)
            self._doorman.watch(self)

    def listen(self) -> None:
        """Notice when the client goes away, from now on, or when its request is here."""
        if isinstance(self._body, Incoming) and not self._body.has_ended:
            self._body.on_end = self.listen
        elif self._listening is None:
            self._listening = self.loop.create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            # A middleware that says the body again and again shall not keep the loop busy.
            await asyncio.sleep(PATIENCE)
        self.give_up()

    def give_up(self) -> None:
        """End it, since nobody is there."""
        if self._answering is not None and not self.client_is_gone:
            self.client_is_gone = True
            self._answering.cancel()

    @property
    def may_be_made_of_body(self) -> bool:
        """Whether its own body may be reading the request's, which arrives meanwhile."""
        return self.has_body and isinstance(self._body, Incoming)

    def end(self) -> None:
        """Listen no more, and let go of the thread and of the request's body."""
        self.seat = None
        if self._answering is not None:
            self._doorman.present.discard(self)
            if self._listening is not None:
                self._listening.cancel()
            if self.client_is_gone:
                self._answering.uncancel()
            # A task that is cancelled holds its error, whose traceback holds this.
            self._answering = self._listening = None
        try:
            if self.to_close is not None and hasattr(self.to_close, "close"):
                self.to_close.close()
        finally:
            if self._body is not None:
                self._body.close()

    def take(self, response: t.Callable[..., t.Any], request: Request) -> Iterable[bytes]:
        """Keep status and headers of what a walk on the loop came to; the body.

        PERF: one of Torsyq's own that is as it was made takes no way through WSGI: 4 % of a text's
        request.
        """
        environ = request._environ
        if (
            type(response) is Response
            and len(response.__dict__) == 1
            and Response.__call__ is _call  # A tracer may have put its own there.
        ):
            made = response._made_of
            if made is not None and type(made[3]) is bytes and environ["REQUEST_METHOD"] != "HEAD":
                _, status, headers, body = made
                size = len(body)
                length = LENGTHS[size] if size < SHORT else ("Content-Length", str(size))
                self.opening = {
                    "type": "http.response.start",
                    "status": status,
                    "headers": wire_headers([*headers, length]),
                }
                return [body]
        else:
            # Someone has put something there that might read the whole environment.
            complete_environ(environ)
        return response(environ, self.start_response)  # type: ignore[no-any-return]

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
    ) -> t.Callable[[bytes], None]:
        """Keep status and headers until the body's first piece."""
        if exc_info is not None and self.has_started:
            raise exc_info[1]
        # Here, so that a header that can't be sent is an error of the walk, and becomes a 500.
        self.opening = {
            "type": "http.response.start",
            "status": _codes.get(status) or int(status[:3]),
            "headers": wire_headers(headers),
        }
        return self

    def __call__(self, piece: bytes) -> None:
        """WSGI's ``write``: keep *piece* until the body's first.

        PERF: so that it need not be made for each answer (1 % of a text's request).
        """
        if not self._written:
            self._written = []
        self._written.append(piece)

    def start(self) -> t.Awaitable[None]:
        """Send status and headers."""
        self.has_started = True
        return self.send(self.opening)

    async def refuse(self, status: int) -> None:
        """Send *status*, unless another one is on its way."""
        if not self.has_started:
            await refuse(self.send, status)

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece, and wait until the server wants another."""
        if not self.has_started:
            await self.start()
        await self.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def send_awaitable(self, body: Chunks, source: Pieces) -> None:
        """Send the pieces of an async iterator, without a thread."""
        self.has_body = True
        self.to_close = None
        stream = Stream(self)
        try:
            await stream.send(source)
        except SystemExit as error:
            raise exit_of_app(error) from error
        finally:
            stream.end()
            try:
                await source.aclose()
            finally:
                body.close()

    def pump(self, body: Iterable[bytes]) -> list[bytes] | None:
        """Send *body* from a worker thread; what remains to be sent.

        A list remains whole, and so does a small file; a large one is for :meth:`send_file`.
        """
        if type(body) is list:
            return [*self._written, *body]
        self.has_body = True
        self.to_close = None
        current_ending.set(self)
        try:
            if type(body) in _FILES:
                self._ahead = [*self._written, _piece_of_file(body)], _piece_of_file(body)
                if self._ahead[1]:
                    self.to_close = body
                    return None
                return self._ahead[0]
            if runs_here(self.loop):
                # Where there are no threads: nothing can be sent before all of it is there.
                return [*self._written, *body]
            for piece in body:
                if self.has_come:
                    return []
                piece = b"".join([*self._written, piece])
                self.wait_for(Call(self.loop, None, self.send_piece, piece))
                self._written = []
            return [*self._written]
        finally:
            # What is waited for from now on cleans up: the client may go meanwhile.
            current_ending.set(Ending())
            if body is not self.to_close and hasattr(body, "close"):
                body.close()

    async def send_file(self, in_thread: t.Callable[..., t.Awaitable[bytes]]) -> list[bytes]:
        """Send a large file, which is read in threads. None of them waits for the client.

        :return: what remains to be sent.
        """
        pieces, ahead = self._ahead
        while ahead:
            await self.send_piece(b"".join(pieces))
            pieces, ahead = [ahead], await in_thread(_piece_of_file, self.to_close)
        return pieces


class Stream:
    """Sends pieces when there are some and, beside that, a filler when there are none.

    PERF: one timer for a stream, which is set anew when it has run out, and not a task, a wait and
    a timer for every event: an event to 1,000 clients takes a third of the time.
    """

    def __init__(self, answer: Answer) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._filling: asyncio.Task[None] | None = None
        self._answer = answer
        self._loop = answer.loop
        self._began = self._silent_since = monotonic()

    async def send(self, pieces: Pieces) -> None:
        """Send all of *pieces*, each when the server wants another."""
        answer, encode = self._answer, pieces.encode
        count = 0
        if pieces.pause is not None:
            self._fill(pieces.filler, pieces.pause)
        async for item in pieces.items():
            piece = encode(item)
            self._silent_since = inf
            if self._filling is not None:
                await asyncio.wait([self._filling])
            if not answer.has_started:
                await answer.start()
            await answer.send({"type": "http.response.body", "body": piece, "more_body": True})
            self._silent_since = monotonic()
            count += 1
            if count % _BREATH == 0:
                # Neither the source nor a server whose client has gone need ever wait.
                await asyncio.sleep(0)
        if self._filling is not None:
            await asyncio.wait([self._filling])

    def _fill(self, filler: bytes, pause: float) -> None:
        self._filler, self._pause = filler, pause
        self._context = copy_context()
        self._look_again(min(OPENING_PAUSE, pause))

    def end(self) -> None:
        """Send no more fillers."""
        if self._timer is not None:
            self._timer.cancel()
        if self._filling is not None:
            self._filling.cancel()

    def _look_again(self, delay: float) -> None:
        # A timer is kept until it would have run out, and the present context with it.
        self._timer = self._loop.call_later(delay, self._look, context=Context())

    def _look(self) -> None:
        left = self._silent_since + self._pause - monotonic()
        if left == inf:
            # Something is being sent. If that takes long, the client has something to read.
            self._look_again(self._pause)
        elif left > 0 and self._silent_since != self._began:
            self._look_again(left)
        else:
            filling = self._send_filler()
            self._filling = self._loop.create_task(filling, context=self._context)

    async def _send_filler(self) -> None:
        try:
            await self._answer.send_piece(self._filler)
        except Exception:
            # Each server has its own way to say that nobody is there.
            self._answer.give_up()
        else:
            self._filling = None
            if self._silent_since != inf:
                self._silent_since = monotonic()
            self._look_again(self._pause)


def _piece_of_file(body: t.Any) -> bytes:
    if type(body) is FileWrapper:
        return body.file.read(_FILE_PIECE)
    pieces, size = [], 0
    for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size >= _FILE_PIECE:
            break
    return b"".join(pieces)
