"""A request and an answer as ASGI's messages."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import tracemalloc
import typing as t
from contextlib import nullcontext
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge

from torsyq import asgi_http
from torsyq import Flask
from torsyq import request
from torsyq import Response
from torsyq import send_file
from torsyq.asgi_http import make_environ
from torsyq.asgi_http import receive_body
from torsyq.wrappers import Request

from .asgi import Exchange
from .asgi import exchange
from .asgi import Message
from .asgi import scope
from .asgi import until


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs]


# The environment.


def test_headers_become_the_environments_keys() -> None:
    environ = make_environ(
        scope(
            headers=headers(
                ("host", "a.example:8000"), ("content-type", "text/plain"), ("x-one", "1")
            )
        )
    )
    assert environ["HTTP_HOST"] == "a.example:8000"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["HTTP_X_ONE"] == "1"
    assert "HTTP_CONTENT_TYPE" not in environ


def test_a_header_sent_twice_is_joined() -> None:
    environ = make_environ(
        scope(
            headers=headers(("accept", "a"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2"))
        )
    )
    assert environ["HTTP_ACCEPT"] == "a,b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_a_header_with_an_underscore_does_not_pass_for_one_with_a_hyphen() -> None:
    environ = make_environ(scope(headers=headers(("x_forwarded_for", "1.2.3.4"))))
    assert not any("FORWARDED" in key for key in environ)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["host", "cookie", "x-a", "x_a", "X-A", "content-length", "x-new"]),
            st.text(st.characters(max_codepoint=255)),
        )
    )
)
def test_any_headers_become_what_each_by_itself_would(pairs: list[tuple[str, str]]) -> None:
    asgi_http._environ_names.pop(b"x-new", None)
    expected: dict[str, str] = {}
    for name, value in pairs:
        if "_" not in name:
            key = name.upper().replace("-", "_")
            key = key if key == "CONTENT_LENGTH" else f"HTTP_{key}"
            joint = "; " if key == "HTTP_COOKIE" else ","
            expected[key] = f"{expected[key]}{joint}{value}" if key in expected else value
    bare = make_environ(scope(headers=[])).keys()
    # Some servers have lists where others have tuples.
    environ = make_environ(scope(headers=[[*pair] for pair in headers(*pairs)]))
    assert {key: environ[key] for key in environ if key not in bare} == expected


def test_a_server_may_leave_out_what_it_need_not_say() -> None:
    said = {"type": "http", "method": "PUT", "path": "/a", "headers": headers(("host", "b"))}
    environ = make_environ(said)
    assert environ["asgi.scope"] is said
    names = "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL"
    assert [environ[name] for name in names] == ["PUT", "", "/a", "", "HTTP/1.1"]
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "b")


def test_an_environment_is_nobody_elses() -> None:
    first = make_environ(scope())
    first.clear()
    assert make_environ(scope())["SERVER_NAME"] == "localhost"


def test_clients_cannot_fill_the_memory_with_names_of_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = type(asgi_http._environ_names)()
    monkeypatch.setattr(asgi_http, "_environ_names", names)
    for number in range(5000):
        environ = make_environ(scope(headers=headers((f"x-{number}", "y"))))
        assert environ[f"HTTP_X_{number}"] == "y"
    assert len(names) < 2000


@pytest.mark.parametrize(
    ("root_path", "path", "expected"),
    [
        ("", "/a", ("", "/a")),
        ("/app", "/app/a", ("/app", "/a")),
        ("/app", "/app", ("/app", "")),
        ("/app/", "/app/a", ("/app", "/a")),
        ("/app", "/apple", ("/app", "/apple")),
        ("/app", "/a", ("/app", "/a")),
    ],
)
def test_the_root_path_is_taken_off_the_path(
    root_path: str, path: str, expected: tuple[str, str]
) -> None:
    environ = make_environ(scope(path, root_path=root_path))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_path_arrives(path: str) -> None:
    assert Request(make_environ(scope(f"/x{path}"))).path == f"/x{path}"


def test_bytes_of_a_path_that_are_not_utf_8_are_those_of_wsgi() -> None:
    environ = make_environ(scope("/caf\ufffd", raw_path=b"/caf%E9"))
    assert environ["PATH_INFO"] == "/caf\xe9"
    below = make_environ(scope("/r/caf\ufffd", raw_path=b"/r/caf%E9", root_path="/r"))
    assert below["PATH_INFO"] == "/caf\xe9"


def test_a_path_that_a_middleware_changed_is_taken_as_it_says() -> None:
    environ = make_environ(scope("/new\ufffd", raw_path=b"/old"))
    assert environ["PATH_INFO"] == "/new\ufffd".encode().decode("latin-1")


@pytest.mark.parametrize("raw_path", [b"/a%2Fb", b"/a%2Fb?q=1"])
def test_the_raw_path_is_kept(raw_path: bytes) -> None:
    environ = make_environ(scope("/a/b", raw_path=raw_path, query_string=b"q=1"))
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/a%2Fb?q=1"
    plain = make_environ(scope("/a/b", raw_path=b"/a%2Fb"))
    assert plain["REQUEST_URI"] == "/a%2Fb"


def test_a_unix_socket_has_no_port_and_no_client() -> None:
    environ = make_environ(scope(server=("/run/app.sock", None), client=None))
    assert environ["SERVER_PORT"] == ""
    assert "REMOTE_ADDR" not in environ
    assert make_environ(scope(server=None))["SERVER_NAME"] == ""


# The request's body.


@pytest.fixture
def made() -> t.Iterator[list[dict[str, t.Any]]]:
    """Environments, whose bodies are closed in the end."""
    environs: list[dict[str, t.Any]] = []
    yield environs
    for environ in environs:
        environ["wsgi.input"].close()


async def received(
    pieces: list[bytes], limit: int | None = None, **environ: str
) -> tuple[dict[str, t.Any], Exchange]:
    it = Exchange(None, scope())  # type: ignore[arg-type]
    for piece in pieces:
        it.tell(piece, more=piece is not pieces[-1])
    made: dict[str, t.Any] = {"REQUEST_METHOD": "POST", "wsgi.input": BytesIO(), **environ}
    await receive_body(it.receive, made, limit)
    return made, it


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"bc"], [b"", b"abc"]])
def test_a_body_without_a_length_gets_one_when_it_is_here(
    pieces: list[bytes], made: list[dict[str, t.Any]]
) -> None:
    environ, _ = asyncio.run(received(pieces, HTTP_TRANSFER_ENCODING="chunked"))
    made.append(environ)
    assert environ["CONTENT_LENGTH"] == "3"
    assert Request(environ).get_data() == b"abc"


def test_a_body_shorter_than_announced_is_not_taken_for_whole() -> None:
    environ, _ = asyncio.run(received([b"abc"], CONTENT_LENGTH="5"))
    with pytest.raises(ClientDisconnected):
        Request(environ).get_data()


def test_a_body_announced_too_large_is_not_received() -> None:
    environ, it = asyncio.run(received([b"abcdef"], limit=5, CONTENT_LENGTH="6"))
    assert it.received == 0
    with Flask("limit").test_request_context():
        request = Request(environ)
        request.max_content_length = 5
        with pytest.raises(RequestEntityTooLarge):
            request.get_data()


def test_no_more_of_a_body_too_large_is_received_than_shows_it(
    made: list[dict[str, t.Any]],
) -> None:
    environ, it = asyncio.run(received([b"abc"] * 9 + [b"end"], limit=5))
    made.append(environ)
    assert it.received == 2
    request = Request(environ)
    request.max_content_length = 5
    with pytest.raises(RequestEntityTooLarge):
        request.get_data()


@pytest.mark.parametrize("first", [[], [b"a"]])
def test_a_client_that_goes_away_during_the_body_is_noticed(first: list[bytes]) -> None:
    async def run() -> None:
        it = Exchange(None, scope())  # type: ignore[arg-type]
        for piece in first:
            it.tell(piece, more=True)
        it.disconnect()
        with pytest.raises(ClientDisconnected):
            await receive_body(it.receive, {}, None)

    asyncio.run(run())


def test_a_large_body_waits_on_disk() -> None:
    """1 GB arrives and is read in pieces, and at no time is a hundredth of it in memory."""
    piece = bytes(1 << 16)
    app = Flask("large")

    @app.post("/")
    async def view() -> dict[str, t.Any]:
        source = request.environ["wsgi.input"]
        assert isinstance(source, tempfile.SpooledTemporaryFile)
        size = 0
        while data := source.read(1 << 16):
            size += len(data)
        return {"size": size, "on_disk": source._rolled}  # type: ignore[attr-defined]

    async def run() -> Exchange:
        it = Exchange(app, scope(method="POST"))
        left = 1 << 14

        async def receive() -> dict[str, t.Any]:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": piece, "more_body": left > 0}

        it.receive = receive  # type: ignore[method-assign]
        return await it.run()

    tracemalloc.start()
    try:
        it = asyncio.run(run())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert it.body == b'{"on_disk":true,"size":1073741824}\n'
    assert peak < 6 << 20


# The answer.


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
