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
from collections.abc import AsyncIterable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from queue import Empty
from queue import SimpleQueue
from threading import Thread

from .body import iterating
from .body import pauses
from .body import Pieces
from .globals import current_app
from .globals import request
from .json import dumps
from .loop import current_ending
from .loop import Ending

if t.TYPE_CHECKING:
    from .wrappers import Response

#: What is sent while there is no event: a comment, which says nothing.
KEEP_ALIVE = b":\n\n"

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
        text = "" if self.comment is None else _lines("", self.comment)
        if self.event is not None:
            text += f"event: {_one_line('type', self.event)}\n"
        if self.id is not None:
            text += f"id: {_one_line('id', str(self.id))}\n"
        if self.retry is not None:
            if self.retry < 0:
                raise ValueError(f"'retry' is a number of milliseconds, not {self.retry!r}.")
            text += f"retry: {self.retry:d}\n"
        if self.data is not None:
            text += _lines("data", self.data if isinstance(self.data, str) else dumps(self.data))
        return f"{text}\n".encode("utf-8", "replace")


def _lines(name: str, text: str) -> str:
    if "\n" in text or "\r" in text:
        return "".join(f"{name}: {line}\n" for line in _line_end.split(text))
    return f"{name}: {text}\n"


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
    :raises TypeError: *source* can't be iterated over.
    """
    dumps = current_app.json.dumps

    def encode(item: t.Any) -> bytes:
        if type(item) is str and "\n" not in item and "\r" not in item:
            # PERF: what follows does the same in 3 % more of an event's way to its client.
            return f"data: {item}\n\n".encode("utf-8", "replace")
        if isinstance(item, Event):
            return item.encode(dumps)
        text = _lines("data", item if isinstance(item, str) else dumps(item))
        return f"{text}\n".encode("utf-8", "replace")

    first = None if retry is None else Event(retry=retry)
    body: t.Any
    if isinstance(source, AsyncIterable):
        if first is not None:
            source = _beginning_with(first, source)
        body = Pieces(source, encode, KEEP_ALIVE, keep_alive)
    elif not (hasattr(source, "__iter__") or hasattr(source, "__getitem__")):
        # Now, since the answer has begun when it is iterated over.
        raise TypeError(
            f"A {type(source).__name__} is no source of events: it can't be iterated over. Usually"
            " a generator function was passed as it is: call it, 'sse_response(source())'."
        )
    else:
        body = _send(source, encode, keep_alive, first)
    response = current_app.response_class(body, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # Nginx would hold events back until they fill a buffer.
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _beginning_with(first: Event, source: t.AsyncIterable[t.Any]) -> t.AsyncIterator[t.Any]:
    async with iterating(source) as iterator:
        yield first
        async for item in iterator:
            yield item


def _send(
    source: t.Iterable[t.Any],
    encode: t.Callable[[t.Any], bytes],
    keep_alive: float | None,
    first: Event | None,
) -> t.Iterator[bytes]:
    waits = pauses(keep_alive)
    puller = _Puller(iter(source))
    try:
        if first is not None:
            yield encode(first)
            next(waits)
        while True:
            puller.ask()
            while (answer := puller.answer(next(waits))) is None:
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
        ending = current_ending.get(None)
        if ending is not None:
            ending.add(partial(self._answers.put, (_END, None)))
        self._ending = Ending()
        context = copy_context()
        context.run(current_ending.set, self._ending)
        Thread(target=context.run, args=(self._pull,), daemon=True).start()

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
        self._ending.come()

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
