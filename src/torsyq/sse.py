"""Server-sent events: a response that goes on, an event at a time.

The format and its rules are the WHATWG's (HTML, section 9.2). A browser reads the stream with
``new EventSource("/events")``, connects again when it breaks, and says then which event it saw
last; :func:`last_event_id` tells.

Example::

    @app.get("/events")
    async def events():
        async def source():
            async for number, text in news.since(last_event_id()):
                yield Event(text, id=number)

        return sse_response(source())
"""

from __future__ import annotations

import re
import typing as t
from contextvars import copy_context
from dataclasses import dataclass
from itertools import repeat
from queue import Empty
from queue import SimpleQueue
from threading import Thread

from .globals import current_app
from .globals import request
from .json import dumps
from .lazy import deferred

if t.TYPE_CHECKING:
    import asyncio

    from .wrappers import Response
else:
    asyncio = deferred("asyncio")

#: What is sent while there is no event: a comment, which says nothing.
KEEP_ALIVE = b":\n\n"

# Seconds until the first of them.
_OPENING_PAUSE = 0.1

_line_end = re.compile("\r\n|\r|\n")
_END: t.Any = object()


@dataclass(slots=True)
class Event:
    """One event.

    :param data: text, or anything that the app writes as JSON; None for none.
    :param event: its type, ``message`` to the browser if it has none.
    :param id: what a client that connects again will send; ``""`` makes it forget.
    :param retry: how many milliseconds a client waits before it connects again.
    :param comment: text that clients ignore.
    :raises ValueError: (when encoded) the type or the id would end early, or *retry* is negative.
    """

    data: t.Any = None
    event: str | None = None
    id: str | int | None = None
    retry: int | None = None
    comment: str | None = None

    def encode(self, dumps: t.Callable[[t.Any], str] = dumps) -> bytes:
        """The event as it is sent.

        :param dumps: writes JSON; by default as the current app does.
        """
        lines = []
        if self.comment is not None:
            lines += [f": {line}" for line in _line_end.split(self.comment)]
        if self.event is not None:
            lines.append(f"event: {_one_line('type', self.event)}")
        if self.id is not None:
            lines.append(f"id: {_one_line('id', str(self.id))}")
        if self.retry is not None:
            if self.retry < 0:
                raise ValueError(f"'retry' is a number of milliseconds, not {self.retry!r}.")
            lines.append(f"retry: {self.retry:d}")
        if self.data is not None:
            text = self.data if isinstance(self.data, str) else dumps(self.data)
            lines += [f"data: {line}" for line in _line_end.split(text)]
        return "".join([*(f"{line}\n" for line in lines), "\n"]).encode(errors="replace")


def _one_line(what: str, text: str) -> str:
    # SECURITY: a line end in it would begin a field of the client's making.
    if not {"\r", "\n", "\0"}.isdisjoint(text):
        raise ValueError(
            f"The {what} of an event cannot contain a line end or NUL, and {text!r} does."
        )
    return text


def last_event_id() -> str | None:
    """The id of the last event that the client saw before it connected again."""
    value = request.headers.get("Last-Event-ID")
    return None if value is None else value.encode("latin-1").decode(errors="replace")


def sse_response(
    source: t.Iterable[t.Any] | t.AsyncIterable[t.Any],
    keep_alive: float | None = 15,
    retry: int | None = None,
) -> Response:
    """Send what *source* yields as server-sent events.

    An async source holds no thread while it waits. One that uses ``request`` or ``session``
    is to be wrapped in :func:`.stream_with_context`.

    :param source: an iterable, sync or async, of events, texts, or what the app writes as JSON.
    :param keep_alive: after so many seconds without an event a comment is sent, which keeps
        proxies from closing the connection, and finds out that the client is gone. None: never.
    :param retry: how many milliseconds a client waits before it connects again.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def encode(item: t.Any) -> bytes:
        event = item if isinstance(item, Event) else Event(item)
        return event.encode(app.json.dumps)

    opening = b"" if retry is None else Event(retry=retry).encode()
    send: t.Any = _send_async if hasattr(source, "__aiter__") else _send
    body = send(source, encode, keep_alive, opening)
    response: Response = app.response_class(body, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # Nginx would hold events back until they fill a buffer.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _pauses(keep_alive: float | None, opening: bytes) -> t.Iterator[float | None]:
    # The headers go out with the first piece: a client should not wait for them as long as for
    # an event.
    if not opening and keep_alive is not None:
        yield min(_OPENING_PAUSE, keep_alive)
    yield from repeat(keep_alive)


async def _send_async(
    source: t.AsyncIterable[t.Any],
    encode: t.Callable[[t.Any], bytes],
    keep_alive: float | None,
    opening: bytes,
) -> t.AsyncIterator[bytes]:
    if opening:
        yield opening
    pauses = _pauses(keep_alive, opening)
    loop = asyncio.get_running_loop()
    # Each step of the source is a task, since what is waited for with a limit is cancelled at
    # the limit; all of them in one context, as if they were one.
    context = copy_context()
    iterator = aiter(source)
    step = None
    try:
        while True:
            step = loop.create_task(_next(iterator), context=context)
            while not (await asyncio.wait([step], timeout=next(pauses)))[0]:
                yield KEEP_ALIVE
            if (item := step.result()) is _END:
                return
            yield encode(item)
    finally:
        await loop.create_task(_end(iterator, step), context=context)


async def _next(iterator: t.AsyncIterator[t.Any]) -> t.Any:
    return await anext(iterator, _END)


async def _end(iterator: t.Any, step: asyncio.Task[t.Any] | None) -> None:
    if step is not None and not step.done():
        step.cancel()
        await asyncio.wait([step])
        if not step.cancelled():
            # Read, so that it is not reported as never read.
            step.exception()
    if hasattr(iterator, "aclose"):
        await iterator.aclose()


def _send(
    source: t.Iterable[t.Any],
    encode: t.Callable[[t.Any], bytes],
    keep_alive: float | None,
    opening: bytes,
) -> t.Iterator[bytes]:
    if opening:
        yield opening
    pauses = _pauses(keep_alive, opening)
    puller = _Puller(iter(source))
    try:
        while True:
            puller.ask()
            while (answer := puller.answer(next(pauses))) is None:
                yield KEEP_ALIVE
            item, error = answer
            if error is not None:
                raise error
            if item is _END:
                return
            yield encode(item)
    finally:
        puller.stop()


class _Puller:
    """Takes items from an iterator in a thread of its own, so that one can wait for less long."""

    def __init__(self, iterator: t.Iterator[t.Any]) -> None:
        self._iterator = iterator
        self._questions: SimpleQueue[bool] = SimpleQueue()
        self._answers: SimpleQueue[tuple[t.Any, BaseException | None]] = SimpleQueue()
        Thread(target=copy_context().run, args=(self._pull,), daemon=True).start()

    def ask(self) -> None:
        """Have the next item taken."""
        self._questions.put(True)

    def answer(self, timeout: float | None) -> tuple[t.Any, BaseException | None] | None:
        """The item or the error that was asked for; None if it is not there in time."""
        try:
            return self._answers.get(timeout=timeout)
        except Empty:
            return None

    def stop(self) -> None:
        """Take no more; the iterator is closed as soon as it lets go."""
        self._questions.put(False)

    def _pull(self) -> None:
        try:
            while self._questions.get():
                try:
                    self._answers.put((next(self._iterator, _END), None))
                except BaseException as error:
                    self._answers.put((None, error))
        finally:
            close = getattr(self._iterator, "close", None)
            if close is not None:
                close()
