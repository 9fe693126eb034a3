"""Server-sent events, as the HTML standard has a browser read them."""

from __future__ import annotations

import asyncio
import threading
import time
import typing as t
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torsyq import Flask
from torsyq import request
from torsyq import stream_with_context
from torsyq.sse import Event
from torsyq.sse import last_event_id
from torsyq.sse import sse_response
from torsyq.testing import FlaskClient

from .asgi import Exchange
from .asgi import scope
from .asgi import until


class Message(t.NamedTuple):
    """What a browser's event listener gets."""

    event: str
    data: str
    last_id: str


def read(stream: bytes) -> tuple[list[Message], int | None]:
    """The messages in a stream and the last retry time, by the standard's rules (9.2.6)."""
    text = stream.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    messages, retry, last_id = [], None, ""
    event, data = "", ""
    for line in text.split("\n")[:-1]:
        if not line:
            if data:
                messages.append(Message(event or "message", data.removesuffix("\n"), last_id))
            event, data = "", ""
            continue
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field and colon:
            continue
        if field == "event":
            event = value
        elif field == "data":
            data += f"{value}\n"
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "retry" and value.isdecimal() and value.isascii():
            retry = int(value)
    return messages, retry


one_line = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]))
any_text = st.text(st.characters(blacklist_categories=["Cs"]))


@given(data=any_text, event=one_line, last=one_line, comment=any_text, retry=st.integers(0))
def test_a_browser_reads_what_was_sent(
    data: str, event: str, last: str, comment: str, retry: int
) -> None:
    sent = Event(data, event=event, id=last, retry=retry, comment=comment).encode()
    lines = data.replace("\r\n", "\n").replace("\r", "\n")
    assert read(sent) == ([Message(event or "message", lines, last)], retry)


def test_an_empty_text_is_an_event_and_no_data_is_none() -> None:
    assert read(Event("").encode())[0] == [Message("message", "", "")]
    assert read(Event(comment="hello", id=5).encode())[0] == []


def test_what_is_not_text_is_json() -> None:
    assert read(Event({"a": [1]}).encode())[0] == [Message("message", '{"a": [1]}', "")]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_a_type_or_an_id_cannot_begin_another_field(bad: str) -> None:
    with pytest.raises(ValueError, match="The type of an event"):
        Event("x", event=bad).encode()
    with pytest.raises(ValueError, match="The id of an event"):
        Event("x", id=bad).encode()


def test_a_source_that_was_not_called_is_refused_before_the_answer_begins(
    app: Flask, anyclient: FlaskClient
) -> None:
    @app.errorhandler(TypeError)
    def wrong(error: TypeError) -> tuple[str, int]:
        return str(error), 500

    @app.get("/")
    def view() -> t.Any:
        def source() -> t.Iterator[str]:
            yield "tea"

        return sse_response(source)  # type: ignore[arg-type]

    answer = anyclient.get("/")
    assert answer.status_code == 500
    assert answer.text == (
        "A function is no source of events: it can't be iterated over. Usually a generator"
        " function was passed as it is: call it, 'sse_response(source())'."
    )


def test_a_negative_retry_time_is_refused() -> None:
    with pytest.raises(ValueError, match="number of milliseconds, not -1"):
        Event(retry=-1).encode()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_a_source_yields_is_sent(app: Flask, anyclient: FlaskClient, kind: str) -> None:
    def items() -> t.Iterator[t.Any]:
        yield "text"
        yield {"json": 1}
        yield Event("b", event="news", id=request.args["id"])

    async def items_async() -> t.AsyncIterator[t.Any]:
        for item in items():
            await asyncio.sleep(0)
            yield item

    @app.get("/sync")
    def sync_view() -> t.Any:
        return sse_response(stream_with_context(items()), retry=500)

    @app.get("/async")
    async def async_view() -> t.Any:
        return sse_response(stream_with_context(items_async()), retry=500)

    response = anyclient.get(f"/{kind}?id=7")
    assert response.mimetype == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    messages, retry = read(response.data)
    assert retry == 500
    assert messages == [
        Message("message", "text", ""),
        Message("message", '{"json": 1}', ""),
        Message("news", "b", "7"),
    ]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_silent_source_is_kept_alive_by_comments(
    app: Flask, anyclient: FlaskClient, kind: str
) -> None:
    go = threading.Event()
    # Begun by the source, since it may be long until it is asked.
    be_silent = threading.Timer(0.3, go.set).start

    def items() -> t.Iterator[str]:
        be_silent()
        go.wait(30)
        yield "late"

    async def items_async() -> t.AsyncIterator[str]:
        be_silent()
        while not go.is_set():
            await asyncio.sleep(0.001)
        yield "late"

    @app.get("/sync")
    def sync_view() -> t.Any:
        return sse_response(items(), keep_alive=0.01)

    @app.get("/async")
    async def async_view() -> t.Any:
        return sse_response(items_async(), keep_alive=0.01)

    response = anyclient.get(f"/{kind}")
    assert response.data.startswith(b":\n\n")
    assert read(response.data)[0] == [Message("message", "late", "")]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("keep_alive", [None, 5])
def test_an_error_of_the_source_ends_the_stream(
    app: Flask, anyclient: FlaskClient, kind: str, keep_alive: int | None
) -> None:
    def items() -> t.Iterator[str]:
        raise KeyError("broken")
        yield ""

    async def items_async() -> t.AsyncIterator[str]:
        raise KeyError("broken")
        yield ""

    @app.get("/sync")
    def sync_view() -> t.Any:
        return sse_response(items(), keep_alive)

    @app.get("/async")
    async def async_view() -> t.Any:
        return sse_response(items_async(), keep_alive)

    with pytest.raises(KeyError, match="broken"):
        anyclient.get(f"/{kind}", buffered=True)


def test_an_iterable_that_cannot_be_closed_is_sent(app: Flask, anyclient: FlaskClient) -> None:
    class Count:
        left = 2

        def __aiter__(self) -> Count:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    @app.get("/sync")
    def sync_view() -> t.Any:
        return sse_response([1, 0])

    @app.get("/async")
    async def async_view() -> t.Any:
        return sse_response(Count())

    for path in "/sync", "/async":
        data = [message.data for message in read(anyclient.get(path).data)[0]]
        assert data == ["1", "0"]


@asynccontextmanager
async def listeners(app: Flask, count: int) -> t.AsyncIterator[list[Exchange]]:
    """So many clients that have got the first event of ``/``; they leave at the end."""
    exchanges = [Exchange(app, scope()) for _ in range(count)]
    for it in exchanges:
        it.tell()
    tasks = [asyncio.create_task(it.run()) for it in exchanges]
    await until(lambda: all(len(it.sent) == 2 for it in exchanges))
    yield exchanges
    for it in exchanges:
        it.disconnect()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)


def test_an_async_source_holds_no_thread_and_ends_with_its_client(app: Flask) -> None:
    events = []

    async def items() -> t.AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            events.append("closed")

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items())

    async def run() -> None:
        async with listeners(app, 100) as exchanges:
            assert "thread_pool" not in app.__dict__
        assert {it.body for it in exchanges} == {b"data: first\n\n"}

    asyncio.run(run())
    assert events == ["closed"] * 100


def test_an_async_source_of_a_sync_view_holds_no_thread(app: Flask) -> None:
    app.config["ASGI_THREADS"] = 1

    async def items() -> t.AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(60)

    @app.get("/")
    def view() -> t.Any:
        return sse_response(items())

    async def run() -> None:
        async with listeners(app, 3):
            pass

    asyncio.run(run())


@pytest.mark.parametrize("is_matched_early", [False, True])
def test_an_async_source_holds_no_thread_of_the_hooks_before_it(
    app: Flask, is_matched_early: bool
) -> None:
    if is_matched_early:
        app.add_url_rule("/upload", view_func=str, stream_body=True)

    @app.before_request
    def hook() -> None:
        assert threading.current_thread() is not threading.main_thread()

    async def items() -> t.AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(60)

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items())

    async def run() -> None:
        async with listeners(app, 3):
            pool: t.Any = app.thread_pool
            await until(lambda: len(pool._free) == len(pool._lanes))

    asyncio.run(run())


async def stream_of(app: Flask, send: t.Any = None) -> tuple[Exchange, asyncio.Task[t.Any]]:
    """A request for ``/``, under way; *send* instead of the server's."""
    it = Exchange(app, scope())
    if send is not None:
        it.send = send  # type: ignore[method-assign]
    it.tell()
    return it, asyncio.create_task(it.run())


def pieces(it: Exchange) -> list[bytes]:
    """The pieces of the body that were sent so far."""
    return [m["body"] for m in it.sent[1:]]


def test_an_event_costs_neither_a_task_nor_a_timer(app: Flask) -> None:
    events: asyncio.Queue[str | None] = asyncio.Queue()

    async def items() -> t.AsyncIterator[str]:
        while (event := await events.get()) is not None:
            yield event

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items())

    async def run() -> None:
        loop = asyncio.get_running_loop()
        made = []
        it, task = await stream_of(app)
        events.put_nowait("first")
        await until(lambda: len(it.sent) == 2)

        def count(loop: t.Any, coro: t.Any, **kwargs: t.Any) -> t.Any:
            made.append(coro)
            return asyncio.Task(coro, loop=loop, **kwargs)

        timers = len(loop._scheduled)  # type: ignore[attr-defined]
        loop.set_task_factory(count)
        for n in range(10):
            events.put_nowait(f"{n}")
            while len(it.sent) < 3 + n:
                await asyncio.sleep(0)
        loop.set_task_factory(None)
        assert made == []
        # Those that look out for the client's going were due.
        assert len(loop._scheduled) <= timers + 1  # type: ignore[attr-defined]
        events.put_nowait(None)
        await task
        assert pieces(it)[-3:] == [b"data: 8\n\n", b"data: 9\n\n", b""]

    asyncio.run(run())


def test_the_headers_do_not_wait_for_an_event(app: Flask) -> None:
    go = asyncio.Event()

    async def items() -> t.AsyncIterator[str]:
        await go.wait()
        yield "late"

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive=20)

    async def run() -> None:
        it, task = await stream_of(app)
        await until(lambda: it.sent)
        go.set()
        await task
        assert pieces(it) == [b":\n\n", b"data: late\n\n", b""]

    asyncio.run(run())


def test_an_event_puts_off_the_comments(app: Flask) -> None:
    async def items() -> t.AsyncIterator[str]:
        yield "first"
        # Longer than headers wait at the beginning.
        await asyncio.sleep(0.15)
        yield "second"

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive=20)

    async def run() -> None:
        it, task = await stream_of(app)
        await task
        assert pieces(it) == [b"data: first\n\n", b"data: second\n\n", b""]

    asyncio.run(run())


def test_an_event_waits_while_a_comment_is_being_sent(app: Flask) -> None:
    go, taken = asyncio.Event(), asyncio.Event()
    sent = []
    under_way = 0

    async def items() -> t.AsyncIterator[str]:
        await go.wait()
        yield "late"

    async def send(message: t.Any) -> None:
        nonlocal under_way
        assert not under_way
        under_way += 1
        sent.append(message.get("body"))
        if sent[-1] == b":\n\n":
            go.set()
            await taken.wait()
        under_way -= 1

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive=0.001)

    async def run() -> None:
        _, task = await stream_of(app, send)
        await go.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert sent == [None, b":\n\n"]
        taken.set()
        await task
        assert sent[-2:] == [b"data: late\n\n", b""]

    asyncio.run(run())


def test_a_client_that_is_slow_to_take_an_event_gets_no_comments(app: Flask) -> None:
    taken = asyncio.Event()
    sent = []

    async def send(message: t.Any) -> None:
        sent.append(message.get("body"))
        if sent[-1] == b"data: first\n\n":
            await taken.wait()

    async def items() -> t.AsyncIterator[str]:
        yield "first"

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive=0.001)

    async def run() -> None:
        _, task = await stream_of(app, send)
        await until(lambda: len(sent) == 2)
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(0.02, passed.set_result, None)
        await passed
        taken.set()
        await task
        assert sent == [None, b"data: first\n\n", b""]

    asyncio.run(run())


@pytest.mark.parametrize("keep_alive", [0, 0.001])
def test_a_comment_that_cannot_be_sent_ends_the_stream(app: Flask, keep_alive: float) -> None:
    closed = []

    async def send(message: t.Any) -> None:
        raise OSError("nobody is there")

    async def items() -> t.AsyncIterator[str]:
        try:
            await asyncio.sleep(60)
            yield "never"
        finally:
            closed.append(True)

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive)

    async def run() -> None:
        _, task = await stream_of(app, send)
        await asyncio.wait_for(task, 30)

    asyncio.run(run())
    assert closed


def test_comments_without_a_pause_let_events_through(app: Flask) -> None:
    async def items() -> t.AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0.001)
            yield f"{number}"

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive=0)

    async def run() -> None:
        it, task = await stream_of(app)
        await asyncio.wait_for(task, 30)
        assert [m.data for m in read(it.body)[0]] == ["0", "1", "2"]

    asyncio.run(run())


def test_a_body_that_a_hook_has_wrapped_is_kept_alive_too(
    app: Flask, anyclient: FlaskClient
) -> None:
    go = threading.Event()
    closed = []

    async def items() -> t.AsyncIterator[str]:
        try:
            while not go.is_set():
                await asyncio.sleep(0.001)
            yield "late"
            yield "never"
        finally:
            closed.append(True)

    async def until_late(body: t.Any) -> t.AsyncIterator[bytes]:
        async for piece in body:
            yield piece.upper()
            if piece.startswith(b"data"):
                await body.aclose()
                return

    @app.after_request
    def wrap(response: t.Any) -> t.Any:
        response.response = until_late(response.response)
        threading.Timer(0.1, go.set).start()
        return response

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(items(), keep_alive=0.01, retry=5)

    data = anyclient.get("/").data
    assert data.startswith(b"RETRY: 5\n\n:\n\n")
    assert data.endswith(b"DATA: LATE\n\n")
    assert closed


def test_an_iterable_whose_iterator_can_be_closed_is_closed(
    app: Flask, anyclient: FlaskClient
) -> None:
    closed = []

    class News:
        async def __aiter__(self) -> t.AsyncIterator[str]:
            try:
                yield "one"
            finally:
                closed.append(True)

    @app.get("/")
    async def view() -> t.Any:
        return sse_response(News(), keep_alive=None)

    assert anyclient.get("/").data == b"data: one\n\n"
    assert closed


def test_a_sync_source_is_closed_when_the_client_goes_away(app: Flask) -> None:
    events = []

    def items() -> t.Iterator[str]:
        try:
            while True:
                yield "x"
                time.sleep(0.001)
        finally:
            events.append("closed")

    @app.get("/")
    def view() -> t.Any:
        return sse_response(items())

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: len(it.sent) > 2)
        it.disconnect()
        await asyncio.wait_for(task, 30)
        await until(lambda: events)

    asyncio.run(run())


@pytest.mark.parametrize("retry", [None, 5])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_source_is_closed_if_the_client_goes_at_the_first_event(
    app: Flask, kind: str, retry: int | None
) -> None:
    closed = []

    class Numbers:
        """Itself to be closed, and no iterator of it."""

        def __iter__(self) -> t.Iterator[int]:
            return self

        def __next__(self) -> int:
            return 1

        def close(self) -> None:
            closed.append(True)

        def __aiter__(self) -> t.AsyncIterator[int]:
            return AsyncNumbers()

        async def aclose(self) -> None:
            closed.append(True)

    class AsyncNumbers:
        def __aiter__(self) -> t.AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            return 1

    @app.get("/")
    def view() -> t.Any:
        numbers: t.Any = Numbers()
        return sse_response(iter(numbers) if kind == "sync" else numbers, retry=retry)

    class Gone(Exchange):
        async def send(self, message: t.Any) -> None:
            if message["type"] == "http.response.body":
                raise OSError("nobody is there")

    async def run() -> None:
        it = Gone(app, scope())
        it.tell()
        with pytest.raises(OSError, match="nobody"):
            await it.run()
        await until(lambda: closed)

    if kind == "sync":
        del Numbers.__aiter__
    asyncio.run(run())
    assert closed == [True]


def test_the_last_event_id_is_what_the_client_saw(app: Flask) -> None:
    with app.test_request_context("/"):
        assert last_event_id() is None
    header = "ж7".encode().decode("latin-1")
    with app.test_request_context("/", headers={"Last-Event-ID": header}):
        assert last_event_id() == "ж7"
