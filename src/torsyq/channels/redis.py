"""Channels over Redis, for an app that runs in several processes or on several machines.

All of it runs on the process's own event loop, so that one connection listens for all the
subscribers of a process, whatever loop or thread they are in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import typing as t
from collections import defaultdict
from contextlib import suppress
from functools import partial

from ..background import without_request
from ..loop import Call
from ..loop import lasting_loop
from ..loop import runs_here
from ..threads import within
from . import Broker
from . import deliver
from . import Slow
from . import Subscription

if t.TYPE_CHECKING:
    from redis.asyncio.client import PubSub

T = t.TypeVar("T")

_logger = logging.getLogger(__name__)

# Numbers the messages of a channel, keeps the last ones and publishes, in one step. The numbers
# begin with the time, so that they rise even if the channel was forgotten meanwhile.
_PUBLISH = """
local number = redis.call('INCR', KEYS[1])
if number == 1 then
    local now = redis.call('TIME')
    number = now[1] * 1000000 + now[2]
    redis.call('SET', KEYS[1], string.format('%.0f', number))
end
local item = string.format('%.0f', number) .. ':' .. ARGV[1]
local kept = tonumber(ARGV[2])
if kept > 0 then
    redis.call('RPUSH', KEYS[2], item)
    redis.call('LTRIM', KEYS[2], -kept, -1)
    redis.call('EXPIRE', KEYS[2], ARGV[3])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[3], item)
"""

# Seconds between attempts to reach a Redis that does not answer.
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class RedisBroker(Broker):
    """A :class:`.Broker` that hands messages on between processes, through Redis' pub/sub.

    While Redis is away, publishing raises its errors, and subscribers wait, which is logged. What
    is kept as history is caught up with when it is back. Messages that are not text or bytes
    travel as JSON.

    :param url: where Redis is: ``redis://host:port/number``, ``rediss://``, ``unix://``.
    :param prefix: what its keys begin with. Brokers of the same one share their channels.
    :param lifetime: seconds after which a channel without new messages loses its history.
    :param history: as :class:`.Broker`'s, and the next two.
    :param maxsize: how many messages wait for a subscriber at most, beside the history.
    :param slow: what happens to one with more.
    :raises RuntimeError: the package ``redis`` is not installed.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "torsyq:",
        lifetime: int = 24 * 60 * 60,
        history: int = 0,
        maxsize: int = 256,
        slow: Slow = "drop",
    ) -> None:
        try:
            from redis.asyncio import from_url
            from redis.asyncio.retry import Retry
            from redis.backoff import ExponentialBackoff
        except ImportError:
            raise RuntimeError(
                "Channels over Redis need the package 'redis'. Install it with"
                " \"pip install 'torsyq[redis]'\"."
            ) from None
        super().__init__(history=history, maxsize=maxsize, slow=slow)
        self.prefix = prefix
        self.lifetime = lifetime
        self._url = url
        # A connection may have gone stale; a Redis that is away is told of soon.
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
        self._connect = partial(from_url, retry=retry)
        self._line: _Line | None = None

    async def close(self) -> None:
        """End all subscriptions, and the connections to Redis."""
        super().close_sync()
        if self._line is not None:
            line, self._line = self._line, None
            await _on(line.loop, line.close())

    def close_sync(self) -> None:
        """:meth:`close`, where there is no event loop."""
        super().close_sync()
        if self._line is not None:
            line, self._line = self._line, None
            _wait_for(line.loop, line.close)

    def _get_line(self) -> _Line:
        loop = lasting_loop()
        with self._lock:
            # A process that was forked has a loop of its own, and needs its own connections.
            if self._line is None or self._line.loop is not loop:
                self._line = _Line(self, self._connect(self._url), loop)
            return self._line

    async def _publish(self, name: str, message: t.Any) -> None:
        line = self._get_line()
        await _on(line.loop, line.publish(name, message))

    def _publish_sync(self, name: str, message: t.Any) -> None:
        line = self._get_line()
        _wait_for(line.loop, line.publish, name, message)

    async def _history(self, name: str) -> list[t.Any]:
        line = self._get_line()
        return [message for _, message in await _on(line.loop, line.history(name))]

    def _history_sync(self, name: str) -> list[t.Any]:
        line = self._get_line()
        return [message for _, message in _wait_for(line.loop, line.history, name)]

    async def _join(self, subscription: Subscription, history: bool) -> None:
        line = self._get_line()
        await _on(line.loop, line.join(subscription, history))

    def _join_sync(self, subscription: Subscription, history: bool) -> None:
        line = self._get_line()
        _wait_for(line.loop, line.join, subscription, history)

    def _leave(self, subscription: Subscription) -> None:
        line = self._line
        if line is not None:
            # Nobody need wait for that.
            leaving = line.leave(subscription)
            without_request().run(asyncio.run_coroutine_threadsafe, leaving, line.loop)


class _Line:
    """A process's connection to Redis. All but the constructor runs on :attr:`loop`."""

    def __init__(self, broker: RedisBroker, client: t.Any, loop: asyncio.AbstractEventLoop) -> None:
        from redis.exceptions import ResponseError

        self.loop = loop
        self._broker = broker
        self._redis = client
        self._run_publish = client.register_script(_PUBLISH)
        self._pubsub: PubSub = client.pubsub()
        self._listening: asyncio.Task[None] | None = None
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        # The number of the last message of each channel that went to its subscribers.
        self._last: dict[str, int] = {}
        # What comes while the history is on its way to one who joins.
        self._arrived: dict[str, list[tuple[int, t.Any]]] = {}
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._joining = asyncio.Lock()
        self._is_closed = False
        # What is raised where data are not ours.
        self._unmendable = (ValueError, RecursionError, ResponseError)

    def _keys(self, name: str) -> tuple[str, str, str]:
        # In braces, so that a cluster keeps them together.
        key = f"{self._broker.prefix}{{{name}}}"
        return f"{key}:number", f"{key}:history", key

    async def publish(self, name: str, message: t.Any) -> None:
        kept, lifetime = self._broker.history, self._broker.lifetime
        await self._run_publish(self._keys(name), [_encode(message), kept, lifetime])

    async def history(self, name: str) -> list[tuple[int, t.Any]]:
        items = await self._redis.lrange(self._keys(name)[1], 0, -1) if self._broker.history else ()
        return [_decode(item) for item in items]

    async def join(self, subscription: Subscription, history: bool) -> None:
        name = subscription.channel.name
        async with self._joining:
            await self._listen_to(name)
            arrived = self._arrived[name] = []
            try:
                kept = await self.history(name) if history and not self._is_closed else []
            finally:
                del self._arrived[name]
            if self._is_closed:
                subscription._end()
                return
            # From here on nothing else runs, so that none is missed and none comes twice.
            here = self._subscriptions[name]
            for number, message in kept:
                # To the others it may be on its way still.
                self._deliver(name, number, message)
            subscription._begin_with([message for _, message in kept])
            newest = kept[-1][0] if kept else 0
            for number, message in arrived:
                if number > newest:
                    # To the others it came while the history was on its way.
                    deliver(message, [subscription])
            here.add(subscription)

    async def _listen_to(self, name: str) -> None:
        if name in self._subscriptions or self._is_closed:
            return
        confirmed = self._confirmed[name] = self.loop.create_future()
        try:
            await self._pubsub.subscribe(self._keys(name)[2])
            if self._listening is None and not self._is_closed:
                self._listening = asyncio.create_task(self._listen())
            await confirmed
        finally:
            del self._confirmed[name]

    async def leave(self, subscription: Subscription) -> None:
        name = subscription.channel.name
        async with self._joining:
            self._subscriptions.get(name, set()).discard(subscription)
            await self._leave_if_empty(name)

    async def _leave_if_empty(self, name: str) -> None:
        if self._subscriptions.get(name):
            return
        self._subscriptions.pop(name, None)
        self._last.pop(name, None)
        key, connection = self._keys(name)[2], self._pubsub.connection
        # A Redis that is away is told when it is back: see _handle.
        if key.encode() in self._pubsub.channels and connection and connection.is_connected:
            with suppress(Exception):
                await self._pubsub.unsubscribe(key)

    async def _leave_unwanted(self, name: str) -> None:
        async with self._joining:
            await self._leave_if_empty(name)

    async def _listen(self) -> None:
        while True:
            message = await self._insist(partial(self._pubsub.get_message, timeout=None))
            if message is not None:
                await self._handle(message)

    async def _insist(
        self, ask: t.Callable[[], t.Awaitable[T]], but: tuple[type[Exception], ...] = ()
    ) -> T:
        """What Redis answers, asked again while it is away.

        :param but: errors that asking again would not mend.
        """
        attempts = 0
        while True:
            try:
                return await ask()
            except but:
                raise
            except Exception as error:
                for confirmed in self._confirmed.values():
                    _settle(confirmed, error)
                if attempts == 1:
                    # Once, and not of a connection that only broke.
                    _logger.warning(
                        f"Redis does not answer: {error!r}. Subscribers to channels wait until it"
                        " does. Usually it was stopped, or the network to it is down."
                    )
                # Asked again, it connects again and subscribes to all it was subscribed to.
                await asyncio.sleep(_PAUSES[min(attempts, len(_PAUSES) - 1)])
                attempts += 1

    async def _handle(self, message: dict[str, t.Any]) -> None:
        key: str = message["channel"].decode()
        name = key[len(self._broker.prefix) + 1 : -1]
        try:
            if message["type"] == "message":
                self._deliver(name, *_decode(message["data"]))
            elif message["type"] == "subscribe":
                if name in self._confirmed:
                    _settle(self._confirmed[name])
                elif not self._is_wanted(name):
                    # It was left during a break. Who has the lock may wait for what is handled here.
                    asyncio.run_coroutine_threadsafe(self._leave_unwanted(name), self.loop)
                else:
                    # After a break.
                    history = partial(self.history, name)
                    for number, missed in await self._insist(history, self._unmendable):
                        self._deliver(name, number, missed)
        except self._unmendable:
            # The other channels go on.
            _logger.exception(f"What another program has put under {key!r} is no message")

    def _is_wanted(self, name: str) -> bool:
        return name in self._subscriptions or name in self._arrived

    def _deliver(self, name: str, number: int, message: t.Any) -> None:
        if self._is_wanted(name) and number > self._last.get(name, 0):
            self._last[name] = number
            if name in self._arrived:
                self._arrived[name].append((number, message))
            deliver(message, self._subscriptions.get(name, ()))

    async def close(self) -> None:
        self._is_closed = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription._end()
        self._subscriptions.clear()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        for confirmed in self._confirmed.values():
            _settle(confirmed)
        # Who is about to join would connect again.
        async with self._joining:
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]
            await self._redis.aclose()


def _settle(confirmed: asyncio.Future[None], error: Exception | None = None) -> None:
    if not confirmed.done():
        if error is None:
            confirmed.set_result(None)
        else:
            confirmed.set_exception(error)


def _encode(message: t.Any) -> bytes:
    if isinstance(message, str):
        return b"s" + message.encode("utf-8", "surrogatepass")
    if isinstance(message, (bytes, bytearray, memoryview)):
        return b"b" + bytes(message)
    return b"j" + json.dumps(message, separators=(",", ":")).encode()


def _decode(item: bytes) -> tuple[int, t.Any]:
    number, _, data = item.partition(b":")
    kind, data = data[:1], data[1:]
    if kind == b"b":
        return int(number), data
    text = data.decode("utf-8", "surrogatepass")
    return int(number), text if kind == b"s" else json.loads(text)


# The connections, and who listens to them, are held by the context in which they are made, and that
# would hold the request which came first.


async def _on(loop: asyncio.AbstractEventLoop, call: t.Coroutine[t.Any, t.Any, T]) -> T:
    context = without_request()
    if runs_here(loop):
        return await within(context, call)
    work = context.run(asyncio.run_coroutine_threadsafe, call, loop)
    return t.cast("T", await asyncio.wrap_future(work))


def _wait_for(
    loop: asyncio.AbstractEventLoop,
    func: t.Callable[..., t.Coroutine[t.Any, t.Any, T]],
    *args: t.Any,
) -> T:
    if runs_here(loop):
        raise RuntimeError(
            "A sync method of a channel was called on the event loop that it would wait for."
            " Usually it is called in an 'async def' view: await the method without '_sync'."
        )
    return Call(loop, without_request(), func, *args).result()  # type: ignore[no-any-return]
