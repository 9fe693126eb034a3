"""Channels: what one part of an app publishes reaches all who listen, under a name.

A :class:`Broker` serves one process. :class:`torsyq.channels.redis.RedisBroker` has the same
interface and serves any number of them::

    broker = Broker(history=50)

    @app.websocket("/rooms/<name>")
    async def room(name):
        channel = broker.channel(name)
        async with channel.subscribe() as messages:
            await websocket.accept()
            async for message in messages:
                await websocket.send(message)

    @app.post("/rooms/<name>")
    def say(name):
        broker.channel(name).publish_sync(request.form["text"])
        return "", 204

A message is text, bytes, or what JSON can carry; who receives it must not change it.

A subscriber that does not keep up is not waited for, since all others would wait with it. Once
its queue is full, the oldest message is dropped (``slow="drop"``; :attr:`Subscription.dropped`
counts them), or it is thrown out with :class:`SlowSubscriber` (``slow="disconnect"``).
"""

from __future__ import annotations

import asyncio
import typing as t
from collections import deque
from contextlib import suppress

from ..greenlets import Latch
from ..greenlets import new_latch
from ..greenlets import real_lock
from ..loop import a_loop_runs
from ..loop import current_ending
from ..loop import Ending
from ..loop import runs_here

Slow = t.Literal["drop", "disconnect"]
Arrival = t.Union["asyncio.Future[None]", Latch]
A = t.TypeVar("A", "asyncio.Future[None]", Latch)


class SlowSubscriber(Exception):
    """The subscriber's queue was full, and it was made to be thrown out then."""


def _new_future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _new_latch() -> Latch:
    """What a thread waits at, or a greenlet.

    :raises RuntimeError: it is an event loop's, and would stop all that is on it, perhaps for ever.
    """
    if a_loop_runs():
        raise RuntimeError(
            "A plain 'for' waits for a message of a channel on the event loop, and so would all"
            " that runs there. Usually it is in an 'async def' view: write 'async with"
            " channel.subscribe() as messages' and 'async for' in there."
        )
    return new_latch()


def _check(maxsize: int, slow: Slow) -> None:
    if slow not in ("drop", "disconnect"):
        raise ValueError(f"'slow' is 'drop' or 'disconnect', and not {slow!r}.")
    if maxsize < 1:
        raise ValueError(f"A queue holds at least one message; 'maxsize' is {maxsize}.")


class Broker:
    """Hands messages on within this process.

    All methods may be called from any thread and any event loop.

    :param history: how many messages of each channel are kept for those who come later.
    :param maxsize: how many messages wait for a subscriber at most, beside the history.
    :param slow: what happens to one with more: see the module.
    :param channels: how many channels that nobody listens to keep their history; beyond, the
        ones longest unused forget it.
    """

    def __init__(
        self,
        *,
        history: int = 0,
        maxsize: int = 256,
        slow: Slow = "drop",
        channels: int = 1000,
    ) -> None:
        _check(maxsize, slow)
        self.history = history
        self.maxsize = maxsize
        self.slow = slow
        self._channels_kept = channels
        self._topics: dict[str, _Topic] = {}
        # Those that nobody listens to, the one most recently used last.
        self._idle: dict[str, _Topic] = {}
        self._lock = real_lock()

    def channel(self, name: str) -> Channel:
        """The channel of that name. It needs not exist before, and is not to be deleted."""
        return Channel(self, name)

    async def close(self) -> None:
        """End all subscriptions."""
        self.close_sync()

    def close_sync(self) -> None:
        """:meth:`close`, where there is no event loop."""
        with self._lock:
            topics = list(self._topics.values())
            self._topics.clear()
            self._idle.clear()
        for topic in topics:
            for subscription in list(topic.subscriptions):
                subscription._end()

    # What a broker between processes does otherwise.

    async def _publish(self, name: str, message: t.Any) -> None:
        self._publish_sync(name, message)

    def _publish_sync(self, name: str, message: t.Any) -> None:
        with self._lock:
            topic = self._topics.get(name)
            if topic is None:
                if self.history:
                    topic = self._taken_from_idle(name)
                    topic.history.append(message)
                    self._put_aside(name, topic)
                return
            topic.history.append(message)
            # In here, so that all subscribers see the messages in one order.
            deliver(message, topic.subscriptions)

    async def _history(self, name: str) -> list[t.Any]:
        return self._history_sync(name)

    def _history_sync(self, name: str) -> list[t.Any]:
        with self._lock:
            topic = self._topics.get(name) or self._idle.get(name)
            return [] if topic is None else list(topic.history)

    async def _join(self, subscription: Subscription, history: bool) -> None:
        self._join_sync(subscription, history)

    def _join_sync(self, subscription: Subscription, history: bool) -> None:
        name = subscription.channel.name
        with self._lock:
            topic = self._topics.get(name)
            if topic is None:
                topic = self._topics[name] = self._taken_from_idle(name)
            if history:
                # At once with joining: none is missed and none comes twice.
                subscription._begin_with(topic.history)
            topic.subscriptions[subscription] = None

    def _leave(self, subscription: Subscription) -> None:
        name = subscription.channel.name
        with self._lock:
            topic = self._topics.get(name)
            if topic is not None:
                topic.subscriptions.pop(subscription, None)
                if not topic.subscriptions:
                    del self._topics[name]
                    self._put_aside(name, topic)

    # All of these hold the lock.

    def _taken_from_idle(self, name: str) -> _Topic:
        return self._idle.pop(name, None) or _Topic(self.history)

    def _put_aside(self, name: str, topic: _Topic) -> None:
        if topic.history:
            self._idle[name] = topic
            if len(self._idle) > self._channels_kept:
                # SECURITY: names may come from clients, who could fill the memory with them.
                del self._idle[next(iter(self._idle))]


class _Topic:
    """What a broker knows of one channel."""

    def __init__(self, history: int) -> None:
        self.subscriptions: dict[Subscription, None] = {}
        self.history: deque[t.Any] = deque(maxlen=history)


class Channel:
    """A name under which messages are published. Cheap to make: see :meth:`Broker.channel`."""

    __slots__ = ("broker", "name")

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def publish(self, message: t.Any) -> None:
        """Give the message to everyone who is subscribed now, and keep it as history."""
        await self.broker._publish(self.name, message)

    def publish_sync(self, message: t.Any) -> None:
        """:meth:`publish` for sync code, in a worker thread or under WSGI."""
        self.broker._publish_sync(self.name, message)

    async def history(self) -> list[t.Any]:
        """The last messages, the oldest first, as many as the broker keeps."""
        return await self.broker._history(self.name)

    def history_sync(self) -> list[t.Any]:
        """:meth:`history` for sync code."""
        return self.broker._history_sync(self.name)

    def subscribe(
        self, *, history: bool = True, maxsize: int | None = None, slow: Slow | None = None
    ) -> Subscription:
        """Listen, for as long as a ``with`` or ``async with`` statement lasts.

        :param history: begin with the messages that were kept.
        :param maxsize: how many messages wait at most, beside the kept; by default the broker's.
        :param slow: what happens when there are more; by default the broker's.
        :raises ValueError: *maxsize* or *slow* cannot be.
        """
        broker = self.broker
        maxsize = broker.maxsize if maxsize is None else maxsize
        slow = broker.slow if slow is None else slow
        _check(maxsize, slow)
        return Subscription(self, history, maxsize, slow)


class Subscription:
    """The messages of a channel, to be iterated over by one task or thread.

    Made by :meth:`Channel.subscribe`. Iteration ends when the broker is closed; in sync code also
    when the client has gone whose request or WebSocket waits for a message, or the server stops.

    :raises SlowSubscriber: (on iteration) it did not keep up, and ``slow`` is ``"disconnect"``.
    """

    def __init__(self, channel: Channel, history: bool, maxsize: int, slow: Slow) -> None:
        self.channel = channel
        #: How many messages were dropped because the queue was full.
        self.dropped = 0
        self._with_history = history
        self._maxsize = maxsize
        self._slow = slow
        self._waiting: deque[t.Any] = deque()
        self._lock = real_lock()
        # What the one who iterates waits for.
        self._arrival: Arrival | None = None
        self._ending: Ending | None = None
        self._listens = False
        self._ended = False
        self._overrun = False

    async def __aenter__(self) -> t.Self:
        self._listens = True
        try:
            await self.channel.broker._join(self, self._with_history)
        except BaseException:
            # It may have joined in the very moment in which it was cancelled.
            self.__exit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self.__exit__()

    def __enter__(self) -> t.Self:
        self._listens = True
        try:
            self.channel.broker._join_sync(self, self._with_history)
        except BaseException:
            self.__exit__()
            raise
        self._ending = current_ending.get(None)
        if self._ending is not None:
            self._ending.add(self._end)
        return self

    def __exit__(self, *error: object) -> None:
        self._listens = False
        self.channel.broker._leave(self)
        if self._ending is not None:
            self._ending.remove(self._end)

    def __aiter__(self) -> t.Self:
        return self

    async def __anext__(self) -> t.Any:
        while True:
            message, arrival = self._take(_new_future, StopAsyncIteration)
            if arrival is None:
                return message
            await arrival

    def __iter__(self) -> t.Self:
        return self

    def __next__(self) -> t.Any:
        while True:
            message, arrival = self._take(_new_latch, StopIteration)
            if arrival is None:
                return message
            arrival.acquire()

    def _take(self, new_arrival: t.Callable[[], A], end: type[Exception]) -> tuple[t.Any, A | None]:
        """The next message; or else what is told when there is one.

        :param end: raised where there will be none.
        """
        with self._lock:
            if self._overrun:
                raise SlowSubscriber(
                    f"More than {self._maxsize} messages of {self.channel!r} waited for a"
                    " subscriber. Usually its client reads too slowly or not at all. Close the"
                    " connection; 'slow=\"drop\"' drops the oldest messages instead."
                )
            if self._waiting:
                return self._waiting.popleft(), None
            if self._ended:
                raise end
            if not self._listens:
                raise RuntimeError(
                    f"This subscription to {self.channel!r} does not listen, so that no message"
                    " comes. Usually it is iterated over as it is: write 'async with"
                    " channel.subscribe() as messages', or 'with' in sync code, and iterate in"
                    " there."
                )
            self._arrival = arrival = new_arrival()
            return None, arrival

    def _begin_with(self, history: t.Collection[t.Any]) -> None:
        """Let the messages that were kept wait, however many: none of them is late."""
        self._waiting.extend(history)
        self._maxsize += len(history)

    def _put(self, message: t.Any) -> Arrival | None:
        """Let the message wait; who is to be told of it."""
        with self._lock:
            if len(self._waiting) >= self._maxsize:
                if self._slow == "disconnect":
                    self._overrun = True
                else:
                    self._waiting.popleft()
                    self.dropped += 1
            if not self._overrun:
                self._waiting.append(message)
            arrival, self._arrival = self._arrival, None
            return arrival

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            arrival, self._arrival = self._arrival, None
        _tell([arrival])


def deliver(message: t.Any, subscriptions: t.Iterable[Subscription]) -> None:
    """Give *message* to each of *subscriptions*."""
    _tell([subscription._put(message) for subscription in subscriptions])


def _tell(arrivals: t.Iterable[Arrival | None]) -> None:
    """Wake those who wait.

    PERF: a loop is told once of all it is to wake: a message from a thread reaches 1,000
    subscribers in half the time.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for arrival in arrivals:
        if isinstance(arrival, asyncio.Future):
            by_loop.setdefault(arrival.get_loop(), []).append(arrival)
        elif arrival is not None:
            arrival.release()
    for loop, futures in by_loop.items():
        if runs_here(loop):
            _settle(futures)
            continue
        # A loop that is closed waits for nothing.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, futures)


def _settle(arrivals: list[asyncio.Future[None]]) -> None:
    for arrival in arrivals:
        if not arrival.done():
            arrival.set_result(None)
