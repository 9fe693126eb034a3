"""Channels: what is published reaches all who listen, in one process and over a real Redis."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import sys
import threading
import typing as t
import weakref
from contextlib import AsyncExitStack
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis as redis_client
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests.asgi import Exchange
from tests.asgi import scope
from tests.servers import environment
from tests.servers import free_port
from tests.servers import run
from tests.servers import until
from tests.sockets import on_loop
from tests.sockets import Wire
from torsyq import Flask
from torsyq import request
from torsyq import websocket
from torsyq.channels import Broker
from torsyq.channels import SlowSubscriber
from torsyq.channels.redis import RedisBroker
from torsyq.sse import sse_response

REDIS = shutil.which("redis-server")

MakeBroker = t.Callable[..., Broker]


class Server:
    """A Redis of the tests' own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(REDIS), "--port", str(self.port), "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        until("Redis", self._answers)

    def _answers(self) -> bool:
        with redis_client.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis_client.ConnectionError:
                return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Server]:
    if REDIS is None:
        pytest.skip("Redis is absent. On Debian: apt-get install redis-server")
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> t.Iterator[MakeBroker]:
    """Makes a broker of either kind; each test has names of its own."""
    made: list[Broker] = []

    def make(**options: t.Any) -> Broker:
        if request.param == "memory":
            broker = Broker(**options)
        else:
            server: Server = request.getfixturevalue("server")
            broker = RedisBroker(server.url, prefix=f"{request.node.name}:", **options)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.close_sync()


async def comes_true(condition: t.Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def first(subscription: t.AsyncIterator[t.Any], count: int) -> list[t.Any]:
    return [await anext(subscription) for _ in range(count)]


def test_what_is_published_reaches_all_of_the_channel(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        broker = make()
        room, other = broker.channel("room"), broker.channel("other")
        assert repr(room) == "<Channel 'room'>"
        await room.publish("nobody hears this")
        async with (
            room.subscribe() as one,
            broker.channel("room").subscribe() as two,
            other.subscribe() as elsewhere,
        ):
            messages = ["a", {"b": [1, None]}, b"\x00\xff", ""]
            for message in messages:
                await room.publish(message)
            await other.publish("other")
            assert await first(one, 4) == messages
            assert await first(two, 4) == messages
            assert await first(elsewhere, 1) == ["other"]
        assert await room.history() == []

    test()


def test_those_who_come_later_begin_with_the_history(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        room = make(history=3).channel("room")
        for number in range(5):
            await room.publish(number)
        assert await room.history() == room.history_sync() == [2, 3, 4]
        async with room.subscribe() as new, room.subscribe(history=False) as uninterested:
            await room.publish(5)
            assert await first(new, 4) == [2, 3, 4, 5]
            assert await first(uninterested, 1) == [5]

    test()


def test_joining_while_others_publish_misses_and_repeats_nothing(make: MakeBroker) -> None:
    """Ten come while a hundred messages are published, with a history that holds them all."""

    @on_loop
    async def test() -> None:
        room = make(history=200).channel("busy")

        async def publish() -> None:
            for number in range(100):
                await room.publish(number)

        async def read(delay: float) -> list[t.Any]:
            await asyncio.sleep(delay)
            async with room.subscribe() as messages:
                return await first(messages, 100)

        readers = [asyncio.create_task(read(number / 500)) for number in range(10)]
        await publish()
        for found in await asyncio.gather(*readers):
            assert found == list(range(100))

    test()


def test_a_message_from_a_thread_wakes_all_of_a_loop_at_once() -> None:
    room = Broker().channel("room")

    @on_loop
    async def test() -> None:
        loop = asyncio.get_running_loop()
        told = []
        tell = loop.call_soon_threadsafe

        def count(*args: t.Any, **kwargs: t.Any) -> t.Any:
            told.append(args)
            return tell(*args, **kwargs)

        async with AsyncExitStack() as stack:
            here = [await stack.enter_async_context(room.subscribe()) for _ in range(20)]
            reading = [asyncio.create_task(first(messages, 1)) for messages in here]
            await asyncio.sleep(0)
            loop.call_soon_threadsafe = count  # type: ignore[assignment,method-assign]
            thread = threading.Thread(target=room.publish_sync, args=("all",))
            thread.start()
            thread.join()
            assert await asyncio.gather(*reading) == [["all"]] * 20
        assert len(told) == 1

    test()


@pytest.mark.parametrize("others", [0, 1])
def test_what_comes_while_the_history_is_on_its_way_is_not_missed(
    server: Server, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    broker = RedisBroker(server.url, prefix=f"meanwhile{others}:", history=9)
    line = broker._get_line()
    history = line.history

    async def slow_history(name: str) -> list[tuple[int, t.Any]]:
        kept = await history(name)
        await line.publish(name, "meanwhile")
        await comes_true(lambda: line._last.get(name, 0) == kept[-1][0] + 1)
        return kept

    @on_loop
    async def test() -> None:
        room = broker.channel("room")
        async with AsyncExitStack() as stack:
            here = [await stack.enter_async_context(room.subscribe()) for _ in range(others)]
            await room.publish("before")
            monkeypatch.setattr(line, "history", slow_history)
            async with room.subscribe() as new:
                await room.publish("after")
                for messages in (*here, new):
                    assert await first(messages, 3) == ["before", "meanwhile", "after"]

    try:
        test()
    finally:
        broker.close_sync()


def test_a_slow_subscriber_loses_the_oldest(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        room = make(maxsize=3).channel("room")
        async with room.subscribe() as slow, room.subscribe(maxsize=100) as quick:
            for number in range(10):
                await room.publish(number)
            assert await first(quick, 10) == list(range(10))
            await comes_true(lambda: slow.dropped == 7)
            assert await first(slow, 3) == [7, 8, 9]

    test()


def test_a_slow_subscriber_can_be_thrown_out(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        room = make(maxsize=3, slow="disconnect").channel("room")
        async with room.subscribe() as slow, room.subscribe(slow="drop") as tolerated:
            for number in range(4):
                await room.publish(number)
            await comes_true(lambda: tolerated.dropped == 1)
            assert await first(tolerated, 3) == [1, 2, 3]
            with pytest.raises(SlowSubscriber, match="More than 3 messages of <Channel 'room'>"):
                await anext(slow)

    test()


def test_threads_publish_and_subscribe(make: MakeBroker) -> None:
    broker = make(history=1)
    heard: list[t.Any] = []
    joined = threading.Event()

    def listen() -> None:
        with broker.channel("room").subscribe(history=False) as messages:
            joined.set()
            for message in messages:
                heard.append(message)
                if message == 9:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    joined.wait(10)
    for number in range(10):
        broker.channel("room").publish_sync(number)
    thread.join(10)
    assert heard == list(range(10))
    assert broker.channel("room").history_sync() == [9]


@on_loop
async def test_a_plain_for_on_an_event_loop_says_so() -> None:
    """It would stop the loop until a message comes: for ever, if that is to come from the loop."""
    with Broker(history=1).channel("room").subscribe() as messages:
        messages.channel.publish_sync("is there already")
        assert next(messages) == "is there already"

        refused = threading.Event()

        def end() -> None:
            # Should it wait all the same, this ends it.
            refused.wait(10)
            messages._end()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(RuntimeError, match="'async for' in there"):
            next(messages)
        refused.set()
        thread.join()


def test_a_task_hears_what_a_thread_says(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        room = make().channel("room")
        async with room.subscribe() as messages:
            waiting = asyncio.create_task(anext(messages))
            await asyncio.sleep(0)
            await asyncio.to_thread(room.publish_sync, "from a thread")
            assert await waiting == "from a thread"

    test()


def test_closing_ends_the_iteration(make: MakeBroker) -> None:
    broker = make()
    room = broker.channel("room")
    joined = threading.Event()

    def listen() -> None:
        with room.subscribe() as messages:
            joined.set()
            assert list(messages) == ["a"]

    thread = threading.Thread(target=listen)
    thread.start()
    joined.wait(10)

    @on_loop
    async def test() -> None:
        async with room.subscribe() as messages:
            await room.publish("a")
            assert await anext(messages) == "a"
            waiting = asyncio.create_task(anext(messages, "end"))
            await asyncio.sleep(0)
            await broker.close()
            assert await waiting == "end"
        # It can be used again.
        async with room.subscribe() as messages:
            await room.publish("b")
            assert await anext(messages) == "b"

    test()
    thread.join(10)
    assert not thread.is_alive()


def test_a_subscriber_who_is_cancelled_leaves(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        room = make().channel("room")
        joined = asyncio.Event()

        async def listen() -> None:
            async with room.subscribe() as messages:
                joined.set()
                await anext(messages)

        task = asyncio.create_task(listen())
        await joined.wait()
        task.cancel()
        await asyncio.wait([task])
        await room.publish("nobody")
        async with room.subscribe() as messages:
            await room.publish("a")
            assert await anext(messages) == "a"

    test()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"slow": "wait"}, "'drop' or 'disconnect', and not 'wait'"), ({"maxsize": 0}, "is 0")],
)
def test_impossible_options_are_refused(
    make: MakeBroker, options: dict[str, t.Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)
    with pytest.raises(ValueError, match=message):
        make().channel("room").subscribe(**options)


@pytest.mark.parametrize("slow", ["drop", "disconnect"])
def test_a_history_may_be_longer_than_a_queue(make: MakeBroker, slow: t.Any) -> None:
    @on_loop
    async def test() -> None:
        room = make(history=5, maxsize=2, slow=slow).channel("room")
        for number in range(5):
            await room.publish(number)
        async with room.subscribe() as messages:
            await room.publish(5)
            await room.publish(6)
            assert await first(messages, 7) == list(range(7))
            assert messages.dropped == 0

    test()


def test_a_subscription_that_does_not_listen_says_what_is_missing(make: MakeBroker) -> None:
    @on_loop
    async def test() -> None:
        room = make().channel("room")
        with pytest.raises(RuntimeError, match="write 'async with"):
            await anext(room.subscribe())
        with pytest.raises(RuntimeError, match="write 'async with"):
            next(room.subscribe())
        async with room.subscribe() as messages:
            await room.publish("a")
            assert await anext(messages) == "a"
        with pytest.raises(RuntimeError, match="write 'async with"):
            await anext(messages)

    test()


def test_websockets_talk_through_a_channel(make: MakeBroker, app: Flask) -> None:
    broker = make(history=10)

    @app.websocket("/rooms/<name>")
    async def room(name: str) -> None:
        async with broker.channel(name).subscribe() as messages:
            async for message in messages:
                await websocket.send(message)

    @app.post("/rooms/<name>")
    def say(name: str) -> tuple[str, int]:
        broker.channel(name).publish_sync(request.form["text"])
        return "", 204

    @on_loop
    async def clients() -> None:
        async with Wire(app, "/rooms/a") as one, Wire(app, "/rooms/a") as two:
            client = app.test_client()
            await asyncio.to_thread(client.post, "/rooms/a", data={"text": "сәлем"})
            for wire in one, two:
                await wire.accepted()
                assert await wire.hear() == "сәлем"
                wire.leave()

    clients()


@pytest.mark.parametrize("hook", ["def", "async def"])
@pytest.mark.parametrize("kind", ["websocket", "stream", "events", "poll"])
def test_a_sync_subscriber_ends_with_its_client(
    make: MakeBroker, app: Flask, kind: str, hook: str
) -> None:
    """Though nothing is published that would wake it, be its walk in a thread or on the loop."""
    room = make().channel("room")
    events: list[str] = []

    async def before() -> None: ...

    app.before_request(before if hook == "async def" else lambda: None)

    def messages() -> t.Iterator[str]:
        with room.subscribe() as subscription:
            yield "listening"
            yield from subscription
        events.append("left")

    @app.websocket("/websocket")
    def talk() -> None:
        for message in messages():
            websocket.send(message)  # type: ignore[unused-coroutine]

    @app.get("/stream")
    def stream() -> t.Any:
        return messages()

    @app.get("/events")
    def news() -> t.Any:
        return sse_response(messages())

    @app.get("/poll")
    def poll() -> str:
        with room.subscribe() as subscription:
            events.append("listening")
            for message in subscription:
                return str(message)
        events.append("left")
        return "no news"

    @on_loop
    async def test() -> None:
        if kind == "websocket":
            async with Wire(app, "/websocket") as wire:
                await wire.accepted()
                await wire.hear()
                wire.leave()
        else:
            it = Exchange(app, scope(f"/{kind}"))
            it.tell()
            task = asyncio.create_task(it.run())
            await comes_true(lambda: b"listening" in it.body or "listening" in events)
            it.disconnect()
            await task
        await comes_true(lambda: "left" in events)

    test()


# In one process


def test_channels_that_nobody_uses_are_forgotten() -> None:
    """The ones longest unused first, and those without a history at once."""
    broker = Broker(history=2, channels=2)
    for name in "a", "b", "a", "c":
        broker.channel(name).publish_sync(name)
    assert list(broker._idle) == ["a", "c"]
    with broker.channel("d").subscribe(), broker.channel("e").subscribe():
        broker.channel("f").publish_sync("f")
        assert (list(broker._topics), list(broker._idle)) == (["d", "e"], ["c", "f"])
        broker.channel("d").publish_sync("x")
    assert (list(broker._topics), list(broker._idle)) == ([], ["f", "d"])
    with broker.channel("f").subscribe():
        assert (list(broker._topics), list(broker._idle)) == (["f"], ["d"])

    brief = Broker()
    brief.channel("a").publish_sync("a")
    with brief.channel("b").subscribe():
        assert list(brief._topics) == ["b"]
    assert brief._topics == brief._idle == {}


def test_channels_that_are_listened_to_do_not_take_the_place_of_others_histories() -> None:
    broker = Broker(history=1, channels=2)
    with broker.channel("a").subscribe(), broker.channel("b").subscribe():
        broker.channel("c").publish_sync("kept")
        assert broker.channel("c").history_sync() == ["kept"]


@on_loop
async def test_a_wait_that_was_given_up_is_not_woken() -> None:
    room = Broker().channel("room")
    async with room.subscribe() as messages:
        waiting = asyncio.create_task(anext(messages))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await room.publish("a")
        assert await anext(messages) == "a"


def test_a_loop_that_is_gone_does_no_harm() -> None:
    room = Broker().channel("room")
    subscription = room.subscribe()

    async def wait_and_forget() -> None:
        await subscription.__aenter__()
        task = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0)
        task.cancel()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(wait_and_forget())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    room.publish_sync("a")
    assert next(subscription) == "a"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("pst"), max_size=60), st.integers(1, 5))
def test_every_subscriber_sees_one_order(steps: list[str], size: int) -> None:
    """Publishing (p), subscribing (s) and taking (t) in any order: none comes twice or too late."""
    room = Broker(history=size, maxsize=size).channel("room")
    published = 0
    subscriptions: list[t.Any] = []
    taken: list[list[int]] = []
    for step in steps:
        if step == "p":
            room.publish_sync(published)
            published += 1
        elif step == "s":
            subscriptions.append(room.subscribe().__enter__())
            taken.append([])
        elif subscriptions:
            index = published % len(subscriptions)
            if subscriptions[index]._waiting:
                taken[index].append(next(subscriptions[index]))
    for subscription, seen in zip(subscriptions, taken, strict=True):
        seen += [next(subscription) for _ in range(len(subscription._waiting))]
        assert seen == sorted(set(seen))
        if published and seen:
            assert seen[-1] == published - 1


# Over Redis


SPEAKER = """
import sys
from torsyq.channels.redis import RedisBroker

room = RedisBroker(sys.argv[1], prefix=sys.argv[2], history=5).channel("room")
with room.subscribe() as messages:
    print("ready", flush=True)
    for message in messages:
        if message == "stop":
            break
        room.publish_sync(message["echo"].upper() if isinstance(message, dict) else "heard")
        break
"""


def test_processes_talk_to_each_other(server: Server) -> None:
    prefix = "processes:"
    room = RedisBroker(server.url, prefix=prefix, history=5).channel("room")
    with subprocess.Popen(
        [sys.executable, "-c", SPEAKER, server.url, prefix],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
            with room.subscribe() as messages:
                room.publish_sync({"echo": "сәлем"})
                assert next(messages) == {"echo": "сәлем"}
                assert next(messages) == "СӘЛЕМ"
        finally:
            other.kill()
    room.broker.close_sync()


@pytest.mark.parametrize("patch", ["gevent.monkey.patch_all", "eventlet.monkey_patch"])
def test_a_greenlet_waits_for_redis(server: Server, tmp_path: Path, patch: str) -> None:
    """Where greenlets have replaced threads, and no other greenlet is there to wake."""
    program = f"""
import warnings
warnings.simplefilter("ignore")
import {patch.rpartition(".")[0]}
{patch}()
from torsyq.channels.redis import RedisBroker

room = RedisBroker({server.url!r}, prefix="{patch}:", history=2).channel("room")
for word in "abc":
    room.publish_sync(word)
print(*room.history_sync())
room.broker.close_sync()
"""
    done = run(tmp_path, "-c", program)
    assert (done.stdout, done.stderr) == ("b c\n", "")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_request_is_held_by_what_it_began(server: Server, app: Flask, kind: str) -> None:
    room = RedisBroker(server.url, prefix=f"held {kind}:").channel("room")
    seen: list[weakref.ref[t.Any]] = []

    @app.get("/sync")
    def listen() -> str:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        with room.subscribe():
            room.publish_sync("a")
        return "said"

    @app.get("/async")
    async def listen_async() -> str:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        async with room.subscribe():
            await room.publish("a")
        return "said"

    def are_free() -> bool:
        gc.collect()
        return not any(held() for held in seen)

    for _ in range(2):
        assert app.test_client().get(f"/{kind}").status_code == 200
    until("they are free", are_free)
    room.broker.close_sync()


def test_a_sync_method_on_the_loop_itself_says_so(server: Server) -> None:
    from torsyq.loop import run_coroutine

    room = RedisBroker(server.url).channel("room")

    async def wrong() -> None:
        with pytest.raises(RuntimeError, match="await the method without '_sync'"):
            room.publish_sync("a")
        # What belongs there works there.
        async with room.subscribe() as messages:
            await room.publish("a")
            assert await anext(messages) == "a"

    run_coroutine(wrong)()
    room.broker.close_sync()


def test_a_redis_that_comes_back_is_caught_up_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its clients' connections break, and messages come meanwhile from elsewhere."""
    if REDIS is None:
        pytest.skip("Redis is absent. On Debian: apt-get install redis-server")
    server = Server(tmp_path)
    try:
        room = RedisBroker(server.url, history=10).channel("room")
        elsewhere = RedisBroker(server.url, history=10).channel("room")
        with room.subscribe() as messages:
            room.publish_sync("a")
            assert next(messages) == "a"
            with redis_client.Redis.from_url(server.url) as admin:
                admin.client_kill_filter(_type="pubsub", skipme=True)
            elsewhere.publish_sync("b")
            assert next(messages) == "b"

            server.stop()
            with pytest.raises(redis_client.ConnectionError):
                room.publish_sync("lost")
            with pytest.raises(redis_client.ConnectionError):
                elsewhere.subscribe().__enter__()
            until("a warning", lambda: "Redis does not answer" in caplog.text)
            server.start()
            until("a subscription", lambda: _subscribers(server))
            room.publish_sync("c")
            assert next(messages) == "c"
        room.broker.close_sync()
        elsewhere.broker.close_sync()
    finally:
        server.stop()


def _subscribers(server: Server) -> int:
    with redis_client.Redis.from_url(server.url) as client:
        ((_, number),) = client.pubsub_numsub("torsyq:{room}")
        return int(number)


def test_catching_up_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is being loaded takes subscriptions before it gives what it has kept."""
    broker = RedisBroker(server.url, prefix="again:", history=10)
    room = broker.channel("room")
    failures = [redis_client.ConnectionError("away"), redis_client.BusyLoadingError("loading")]

    async def lrange(*args: t.Any) -> t.Any:
        if failures:
            raise failures.pop()
        return await real(*args)

    with room.subscribe() as messages:
        assert broker._line is not None
        real = broker._line._redis.lrange
        monkeypatch.setattr(broker._line._redis, "lrange", lrange)
        with redis_client.Redis.from_url(server.url) as admin:
            admin.client_kill_filter(_type="pubsub", skipme=True)
        until("a failure", lambda: not failures)
        room.publish_sync("a")
        assert next(messages) == "a"
    broker.close_sync()


def test_what_is_no_message_does_not_end_the_listening(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program may use the same names."""
    broker = RedisBroker(server.url, prefix="foreign:", history=10)
    with (
        broker.channel("a").subscribe() as messages,
        broker.channel("b").subscribe() as others,
        redis_client.Redis.from_url(server.url) as other_program,
    ):
        other_program.publish("foreign:{a}", "hello")
        broker.channel("a").publish_sync("a")
        assert next(messages) == "a"
        assert "under 'foreign:{a}' is no message" in caplog.text
        other_program.publish("foreign:{a}", b"1:j" + b"[" * 100_000)
        broker.channel("a").publish_sync("after that")
        assert next(messages) == "after that"

        other_program.set("foreign:{b}:history", "hello")
        other_program.client_kill_filter(_type="pubsub", skipme=True)
        until("a complaint", lambda: "under 'foreign:{b}' is no message" in caplog.text)
        broker.channel("a").publish_sync("b")
        assert next(messages) == "b"
        other_program.delete("foreign:{b}:history")
        broker.channel("b").publish_sync("c")
        assert next(others) == "c"
    broker.close_sync()


def test_one_who_is_cancelled_when_he_has_joined_leaves(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = RedisBroker(server.url)

    @on_loop
    async def test() -> None:
        line, loop = broker._get_line(), asyncio.get_running_loop()
        join = line.join

        async def join_and_cancel(*args: t.Any) -> None:
            await join(*args)
            loop.call_soon_threadsafe(task.cancel)

        monkeypatch.setattr(line, "join", join_and_cancel)
        task = asyncio.create_task(broker.channel("room").subscribe().__aenter__())
        await asyncio.wait([task])
        assert task.cancelled()
        await comes_true(lambda: not line._subscriptions)

    test()
    until("the end of the subscription", lambda: not _subscribers(server))
    broker.close_sync()


def test_one_who_cannot_join_leaves_nothing_behind(server: Server) -> None:
    broker = RedisBroker(server.url, history=5)
    with redis_client.Redis.from_url(server.url) as other_program:
        other_program.set("torsyq:{room}:history", "no list")
        with pytest.raises(redis_client.ResponseError), broker.channel("room").subscribe():
            """Never comes here."""
        other_program.delete("torsyq:{room}:history")
    until("the end of the subscription", lambda: not _subscribers(server))
    broker.close_sync()


@pytest.mark.parametrize("history", [0, 5])
def test_closing_ends_those_who_are_about_to_join(
    server: Server, monkeypatch: pytest.MonkeyPatch, history: int
) -> None:
    broker = RedisBroker(server.url, prefix="closing:", history=history)

    async def ignore(message: t.Any) -> None:
        """As a Redis that takes its time to confirm."""

    @on_loop
    async def test() -> None:
        async def join() -> None:
            async with broker.channel("room").subscribe() as messages:
                assert [message async for message in messages] == []

        line = broker._get_line()
        monkeypatch.setattr(line, "_handle", ignore)
        tasks = [asyncio.create_task(join()) for _ in range(2)]
        await comes_true(lambda: bool(line._confirmed))
        await broker.close()
        await asyncio.gather(*tasks)
        assert line._pubsub.connection is None

    test()


def test_a_channel_that_is_left_is_not_listened_to(server: Server) -> None:
    room = RedisBroker(server.url).channel("room")
    with room.subscribe():
        assert _subscribers(server) == 1
        with room.subscribe():
            assert _subscribers(server) == 1
    until("the end of the subscription", lambda: not _subscribers(server))
    room.broker.close_sync()


def test_a_channel_that_is_left_while_redis_is_away_is_not_listened_to(tmp_path: Path) -> None:
    if REDIS is None:
        pytest.skip("Redis is absent. On Debian: apt-get install redis-server")
    server = Server(tmp_path)
    try:
        broker = RedisBroker(server.url)
        names = ["left", "left, too"]
        with broker.channel("kept").subscribe() as messages:
            with ExitStack() as stack:
                for name in names:
                    stack.enter_context(broker.channel(name).subscribe())
                line = t.cast("t.Any", broker._line)
                server.stop()
                until("the break", lambda: not line._pubsub.connection.is_connected)
            until("the leaving", lambda: [*line._subscriptions] == ["kept"])
            until("the end of that", lambda: not line._joining.locked())
            server.start()

            def listened_to() -> list[bytes]:
                with redis_client.Redis.from_url(server.url) as client:
                    return [*client.pubsub_channels()]

            until("one subscription", lambda: listened_to() == [b"torsyq:{kept}"])
            with broker.channel(names[0]).subscribe() as others:
                for name in "kept", names[0]:
                    broker.channel(name).publish_sync(name)
                assert [next(messages), next(others)] == ["kept", names[0]]
        broker.close_sync()
    finally:
        server.stop()


def test_history_ends_some_time(server: Server) -> None:
    room = RedisBroker(server.url, prefix="brief:", history=5, lifetime=100).channel("room")
    room.publish_sync("a")
    with redis_client.Redis.from_url(server.url) as client:
        for key in "number", "history":
            assert 0 < client.ttl(f"brief:{{room}}:{key}") <= 100
        number = int(client.get("brief:{room}:number") or 0)
        client.delete("brief:{room}:number", "brief:{room}:history")
    with room.subscribe() as messages:
        room.publish_sync("b")
        assert next(messages) == "b"
    with redis_client.Redis.from_url(server.url) as client:
        assert int(client.get("brief:{room}:number") or 0) > number
    room.broker.close_sync()


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(RuntimeError, match=r"pip install 'torsyq\[redis\]'"):
        RedisBroker()


def test_redis_is_not_loaded_unless_used() -> None:
    code = "import sys, torsyq.channels.redis; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
