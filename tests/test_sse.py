"""Server-sent events, as the HTML standard has a browser read them."""

from __future__ import annotations

import asyncio
import threading
import time
import typing as t

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

    def items() -> t.Iterator[str]:
        go.wait(30)
        yield "late"

    async def items_async() -> t.AsyncIterator[str]:
        while not go.is_set():
            await asyncio.sleep(0.001)
        yield "late"

    @app.get("/sync")
    def sync_view() -> t.Any:
        return counted(sse_response(items(), keep_alive=0.01))

    @app.get("/async")
    async def async_view() -> t.Any:
        return counted(sse_response(items_async(), keep_alive=0.01))

    def counted(response: t.Any) -> t.Any:
        threading.Timer(0.1, go.set).start()
        return response

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
        exchanges = []
        for _ in range(100):
            it = Exchange(app, scope())
            it.tell()
            exchanges.append((it, asyncio.create_task(it.run())))
        await until(lambda: all(len(it.sent) == 2 for it, _ in exchanges))
        assert "thread_pool" not in app.__dict__
        for it, _ in exchanges:
            it.disconnect()
        await asyncio.wait_for(asyncio.gather(*(task for _, task in exchanges)), 30)
        assert {it.body for it, _ in exchanges} == {b"data: first\n\n"}

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
        exchanges = []
        for _ in range(3):
            it = Exchange(app, scope())
            it.tell()
            exchanges.append((it, asyncio.create_task(it.run())))
        await until(lambda: all(len(it.sent) == 2 for it, _ in exchanges))
        for it, _ in exchanges:
            it.disconnect()
        await asyncio.wait_for(asyncio.gather(*(task for _, task in exchanges)), 30)

    asyncio.run(run())


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


def test_the_last_event_id_is_what_the_client_saw(app: Flask) -> None:
    with app.test_request_context("/"):
        assert last_event_id() is None
    header = "ж7".encode().decode("latin-1")
    with app.test_request_context("/", headers={"Last-Event-ID": header}):
        assert last_event_id() == "ж7"
