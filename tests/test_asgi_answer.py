"""An answer as ASGI's messages."""

from __future__ import annotations

import asyncio
import threading
import typing as t
from contextlib import nullcontext

import pytest

from torsyq import Flask
from torsyq import request
from torsyq import Response
from torsyq import send_file

from .asgi import Exchange
from .asgi import exchange
from .asgi import headers
from .asgi import Message
from .asgi import scope
from .asgi import until


def test_head_and_no_content_have_no_body_and_close_the_source(app: Flask) -> None:
    closed = []

    async def pieces() -> t.AsyncIterator[str]:
        yield "never"

    @app.get("/async")
    async def async_view() -> t.Any:
        status = request.args.get("status", 200)
        response = app.response_class(t.cast("t.Any", pieces()), status=status)
        response.call_on_close(lambda: closed.append("async"))
        return response

    @app.get("/sync")
    def view() -> t.Any:
        response = app.response_class(iter(["never"]), status=request.args.get("status", 200))
        response.call_on_close(lambda: closed.append("sync"))
        return response

    async def run(path: str, method: str, query: bytes) -> bytes:
        return (await exchange(app, path, method, query_string=query)).body

    for path in "/async", "/sync":
        assert asyncio.run(run(path, "HEAD", b"")) == b""
        assert asyncio.run(run(path, "GET", b"status=204")) == b""
        assert asyncio.run(run(path, "GET", b"status=304")) == b""
    assert closed == ["async"] * 3 + ["sync"] * 3


def test_a_middleware_may_have_lists_where_others_have_pairs(app: Flask) -> None:
    def middleware(environ: t.Any, start_response: t.Any) -> list[bytes]:
        start_response("200 OK", [["Content-Length", "0"], ["X-Name", "\xe9"], ["x-name", "b"]])
        return [b""]

    app.wsgi_app = middleware  # type: ignore[method-assign]
    [start, _] = asyncio.run(exchange(app, "/")).sent
    expected = [(b"content-length", b"0"), (b"x-name", b"\xe9"), (b"x-name", b"b")]
    assert start["headers"] == expected


def test_a_response_that_was_looked_at_is_sent_as_one_that_was_not(app: Flask) -> None:
    """The latter does not go through WSGI."""

    @app.get("/")
    async def view() -> Response:
        response = Response("\u049b" * 600)
        response.headers["Content-Type"] = response.headers["Content-Type"]
        assert len(response.__dict__) > 1
        return response

    @app.get("/untouched")
    async def untouched() -> str:
        return "\u049b" * 600

    async def run(path: str, method: str) -> Exchange:
        return await exchange(app, path, method)

    for method in "GET", "HEAD":
        looked, plain = (asyncio.run(run(path, method)) for path in ("/", "/untouched"))
        assert looked.sent == plain.sent
        start, body = looked.sent
        assert (b"content-length", b"1200") in start["headers"]
        assert len(body["body"]) == (1200 if method == "GET" else 0)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["text", "stream", "with headers"])
def test_a_response_is_told_of_the_environment_that_the_request_came_with(
    app: Flask, method: str, kind: str
) -> None:
    """As under WSGI, whatever a view or a hook puts in its place."""

    @app.get("/")
    async def view() -> t.Any:
        request.environ = {}
        return {"text": "hi", "stream": iter(["hi"]), "with headers": ("hi", {"X-Name": "a"})}[kind]

    answer = asyncio.run(exchange(app, "/", method))
    assert answer.status == 200
    assert answer.body == (b"hi" if method == "GET" else b"")


def test_what_replaces_the_call_of_responses_is_called(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what traces a program does it."""
    seen = []
    original = Response.__call__

    def traced(self: Response, environ: t.Any, start_response: t.Any) -> t.Iterable[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return original(self, environ, start_response)

    @app.get("/")
    async def view() -> str:
        return "hi"

    monkeypatch.setattr(Response, "__call__", traced)
    assert asyncio.run(exchange(app, "/")).body == b"hi"
    assert seen == ["127.0.0.1"]


def test_a_file_is_sent_in_few_messages_and_ranges_are_served(app: Flask, tmp_path: t.Any) -> None:
    data = bytes(range(256)) * 4000
    (tmp_path / "large").write_bytes(data)
    (tmp_path / "small").write_bytes(data[:1000])

    @app.get("/sync/<name>")
    def sync_view(name: str) -> t.Any:
        return send_file(tmp_path / name)

    @app.get("/async/<name>")
    async def async_view(name: str) -> t.Any:
        return send_file(tmp_path / name)

    async def run(path: str, *more: tuple[str, str]) -> Exchange:
        return await exchange(app, path, headers=headers(("host", "x"), *more))

    for kind in "sync", "async":
        small = asyncio.run(run(f"/{kind}/small"))
        assert (small.body, len(small.sent)) == (data[:1000], 2)
        large = asyncio.run(run(f"/{kind}/large"))
        assert large.body == data
        assert len(large.sent) <= 6
        part = asyncio.run(run(f"/{kind}/large", ("range", "bytes=5-300000")))
        assert (part.status, part.body) == (206, data[5:300001])


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("more", [[], [("range", "bytes=1-")]], ids=["whole", "range"])
def test_no_thread_waits_for_the_client_of_a_large_file(
    app: Flask, tmp_path: t.Any, kind: str, more: list[tuple[str, str]]
) -> None:
    """So few slow readers cannot keep all threads, and everyone else, waiting."""
    app.config["ASGI_THREADS"] = 1
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)

    @app.get("/sync")
    def sync_view() -> t.Any:
        return send_file(tmp_path / "large")

    @app.get("/async")
    async def async_view() -> t.Any:
        return send_file(tmp_path / "large")

    @app.get("/other")
    def other() -> str:
        return "other"

    async def run() -> None:
        go, reads = asyncio.Event(), asyncio.Event()

        class SlowReader(Exchange):
            async def send(self, message: Message) -> None:
                await super().send(message)
                if len(self.sent) == 2:
                    reads.set()
                    await go.wait()

        slow = SlowReader(app, scope(f"/{kind}", headers=headers(("host", "x"), *more)))
        slow.tell()
        task = asyncio.create_task(slow.run())
        await asyncio.wait_for(reads.wait(), 30)
        assert (await asyncio.wait_for(exchange(app, "/other"), 30)).body == b"other"
        assert not task.done()
        go.set()
        await task
        assert slow.body == b"x" * (1_000_000 - len(more))

    asyncio.run(run())


@pytest.mark.parametrize("leaves", [True, False], ids=["client leaves", "server stops"])
def test_a_large_file_is_closed_when_nobody_takes_it(
    app: Flask, tmp_path: t.Any, leaves: bool
) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    opened: list[t.IO[bytes]] = []

    @app.get("/")
    def view() -> t.Any:
        opened.append((tmp_path / "large").open("rb"))
        return send_file(opened[0], mimetype="text/plain")

    class NoReader(Exchange):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if len(self.sent) == 2:
                await asyncio.Event().wait()

    async def run() -> None:
        it = NoReader(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: len(it.sent) == 2)
        if leaves:
            it.disconnect()
        else:
            task.cancel()
        with nullcontext() if leaves else pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)
        assert opened[0].closed

    asyncio.run(run())


def test_an_error_before_the_first_piece_reaches_the_server_before_an_answer(app: Flask) -> None:
    @app.get("/sync")
    def sync_view() -> t.Any:
        def pieces() -> t.Iterator[str]:
            yield str(1 // 0)

        return pieces()

    @app.get("/async")
    async def async_view() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            yield str(1 // 0)

        return pieces()

    async def run(path: str) -> None:
        it = Exchange(app, scope(path))
        it.tell()
        with pytest.raises(ZeroDivisionError):
            await it.run()
        assert it.sent == []

    for path in "/sync", "/async":
        asyncio.run(run(path))


def test_an_error_after_the_first_piece_leaves_the_answer_unfinished(app: Flask) -> None:
    closed = []

    @app.get("/sync")
    def sync_view() -> t.Any:
        def pieces() -> t.Iterator[str]:
            try:
                yield "a"
                raise KeyError("b")
            finally:
                closed.append("sync")

        return pieces()

    @app.get("/async")
    async def async_view() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            try:
                yield "a"
                raise KeyError("b")
            finally:
                closed.append("async")

        return pieces()

    async def run(path: str) -> None:
        it = Exchange(app, scope(path))
        it.tell()
        with pytest.raises(KeyError):
            await it.run()
        assert it.body == b"a"
        assert it.sent[-1]["more_body"] is True

    for path in "/sync", "/async":
        asyncio.run(run(path))
    assert closed == ["sync", "async"]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(
    ("how", "status"), [("leaves", 400), ("ends early", 400), ("goes on", 413)]
)
def test_an_answer_made_of_a_body_that_is_no_good_is_no_error(
    app: Flask, kind: str, begun: bool, how: str, status: int
) -> None:
    """Any client could fill the log with tracebacks. What began is not sent as if it were whole."""
    app.config["MAX_CONTENT_LENGTH"] = 20
    ended: list[str] = []

    @app.post("/sync", stream_body=True)
    def view() -> t.Any:
        source = request.stream

        def pieces() -> t.Iterator[bytes]:
            try:
                if begun:
                    yield b"begun"
                yield source.read()
            finally:
                ended.append("sync")

        return pieces()

    @app.post("/async", stream_body=True)
    async def async_view() -> t.Any:
        source: t.Any = request.stream

        async def pieces() -> t.AsyncIterator[bytes]:
            try:
                if begun:
                    yield b"begun"
                async for piece in source:
                    yield piece
            finally:
                ended.append("async")

        return pieces()

    async def run() -> Exchange:
        length = [] if how == "goes on" else headers(("content-length", "9"))
        it = Exchange(app, scope(f"/{kind}", "POST", headers=length))
        if how == "leaves":
            it.disconnect()
        else:
            it.tell(b"1" * 21 if how == "goes on" else b"", more=how == "goes on")
        return await it.run()

    it = asyncio.run(run())
    assert ended == [kind]
    if begun:
        assert (it.status, it.body, it.sent[-1]["more_body"]) == (200, b"begun", True)
    else:
        assert (it.status, it.body) == (status, b"")


def test_write_and_a_second_start_response_work_as_in_wsgi(app: Flask) -> None:
    def wsgi(environ: t.Any, start_response: t.Any) -> t.Iterator[bytes]:
        write = start_response("200 OK", [("X-A", "1")])
        write(b"written ")
        start_response("202 Accepted", [("X-B", "2")])
        yield b"yielded"
        try:
            raise ValueError("too late")
        except ValueError as error:
            start_response("500 Oh", [], (type(error), error, None))

    app.wsgi_app = wsgi  # type: ignore[method-assign]

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        with pytest.raises(ValueError, match="too late"):
            await it.run()
        assert (it.status, it.headers, it.body) == (202, {"x-b": "2"}, b"written yielded")

    asyncio.run(run())


def test_the_headers_of_a_wsgi_app_may_be_lists(app: Flask) -> None:
    def wsgi(environ: t.Any, start_response: t.Any) -> list[bytes]:
        start_response("200 OK", [["Content-Length", "1"], ["X-A", "1"]])
        return [b"1"]

    app.wsgi_app = wsgi  # type: ignore[method-assign]
    answer = asyncio.run(exchange(app, "/"))
    assert (answer.headers, answer.body) == ({"content-length": "1", "x-a": "1"}, b"1")


@pytest.mark.parametrize("size", [0, 1, 255, 256, 70_000])
def test_a_whole_body_is_sent_with_its_length_and_type(app: Flask, size: int) -> None:
    app.add_url_rule("/", view_func=lambda: Response("." * size, mimetype="text/x-own"))
    answer = asyncio.run(exchange(app, "/"))
    assert len(answer.body) == size
    expected = {"content-type": "text/x-own; charset=utf-8", "content-length": str(size)}
    assert answer.headers == expected


def test_a_stream_stops_when_the_client_goes_away(app: Flask) -> None:
    events = []

    @app.get("/sync")
    def sync_view() -> t.Any:
        def pieces() -> t.Iterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                events.append("sync closed")

        return pieces()

    @app.get("/async")
    async def async_view() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            try:
                while True:
                    yield "x"
                    await asyncio.sleep(0.001)
            finally:
                events.append("async closed")

        return pieces()

    async def run(path: str) -> None:
        it = Exchange(app, scope(path))
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: len(it.sent) > 3)
        it.disconnect()
        await asyncio.wait_for(task, 30)

    asyncio.run(run("/sync"))
    asyncio.run(run("/async"))
    assert events == ["sync closed", "async closed"]


def test_a_middleware_that_says_the_body_again_and_again_does_no_harm(app: Flask) -> None:
    """One that reads the body often does so. Whether the client is there is asked all the same."""
    asked = 0

    @app.post("/")
    async def view() -> str:
        # Until someone listens to the client.
        await until(lambda: asked > 1)
        return "done"

    async def run() -> None:
        it = Exchange(app, scope(method="POST"))

        async def receive() -> Message:
            nonlocal asked
            asked += 1
            assert asked < 1000
            return {"type": "http.request", "body": b"x", "more_body": False}

        it.receive = receive  # type: ignore[method-assign]
        await it.run()
        assert (it.body, asked) == (b"done", 2)

    asyncio.run(run())


def test_what_is_to_be_called_on_close_is_called_if_the_stream_fails_to_end(app: Flask) -> None:
    events = []

    @app.get("/")
    async def view() -> Response:
        async def pieces() -> t.AsyncIterator[str]:
            try:
                yield "x"
            finally:
                raise ValueError("of the finally block")

        response = Response(t.cast("t.Any", pieces()))
        response.call_on_close(lambda: events.append("closed"))
        return response

    class Gone(Exchange):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body":
                raise OSError("nobody is there")

    async def run() -> None:
        it = Gone(app, scope())
        it.tell()
        with pytest.raises(ValueError, match="finally"):
            await it.run()

    asyncio.run(run())
    assert events == ["closed"]


def test_what_is_to_be_called_on_close_is_called_if_the_client_left_during_a_sync_view(
    app: Flask,
) -> None:
    events = []
    may_return = threading.Event()

    @app.get("/")
    def view() -> Response:
        async def pieces() -> t.AsyncIterator[str]:
            yield "x"

        events.append("begun")
        may_return.wait(30)
        response = Response(t.cast("t.Any", pieces()))
        response.call_on_close(lambda: events.append("closed"))
        return response

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        # Cancelled, and waiting for the thread.
        await until(task.cancelling)
        may_return.set()
        await asyncio.wait_for(task, 30)

    asyncio.run(run())
    assert events == ["begun", "closed"]


def test_what_is_to_be_called_on_close_is_called_if_the_stream_did_not_begin(app: Flask) -> None:
    """Who cancels a task before its first step gets nothing of it to run."""
    closed = []

    async def pieces() -> t.AsyncIterator[str]:
        yield "never"

    @app.get("/")
    async def view() -> t.Any:
        response = app.response_class(t.cast("t.Any", pieces()))
        response.call_on_close(lambda: closed.append("closed"))
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        return response

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(exchange(app))

    asyncio.run(run())
    assert closed == ["closed"]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_client_that_goes_while_a_large_answer_is_sent_ends_it(app: Flask, kind: str) -> None:
    """Whole as it is: the server may wait in its send, and need not tell who waits there."""

    async def large() -> bytes:
        return bytes(100_000)

    app.add_url_rule("/", view_func=large if kind == "async" else lambda: bytes(100_000))

    async def run() -> list[str]:
        it = Exchange(app, scope())
        sent: list[str] = []

        async def send(message: Message) -> None:
            sent.append(message["type"])
            if message["type"] == "http.response.body":
                it.disconnect()
                await asyncio.Event().wait()

        it.send = send  # type: ignore[method-assign]
        await asyncio.wait_for(it.run(), 30)
        return sent

    assert asyncio.run(run()) == ["http.response.start", "http.response.body"]
