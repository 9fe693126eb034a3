"""Bad bodies: cut short, broken, too large, malformed. The view sees a whole one or none.

Each test runs over WSGI and over ASGI. Where Flask on Werkzeug fails, a test beside it says so.
"""

from __future__ import annotations

import io
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
from gunicorn.http.errors import InvalidChunkSize

import torsyq
from torsyq import Flask
from torsyq import request

from .bad_input import Ask
from .bad_input import call_asgi
from .bad_input import call_wsgi
from .bad_input import environ_of
from .bad_input import fine
from .bad_input import Lane
from .bad_input import LANES
from .bad_input import over_wsgi
from .bad_input import plain_app

MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="g.txt"\r\n\r\ncontent\r\n--x--\r\n'
)
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
FILES = ("Content-Type", "multipart/form-data; boundary=x")


@pytest.fixture(params=LANES)
def ask(request: pytest.FixtureRequest) -> Lane:
    return LANES[request.param]


@pytest.fixture
def app() -> Flask:
    """An app in production: what is raised becomes a 500, and would be seen."""
    made: Flask = plain_app(torsyq)
    return made


# Bodies.


def reading_app(framework: t.Any, **config: t.Any) -> t.Any:
    app = plain_app(framework)
    app.config.update(config)
    app.seen = []

    def view(read: t.Callable[[], t.Any]) -> t.Callable[[], str]:
        def call() -> str:
            app.seen.append(read())
            return repr(app.seen[-1])

        return call

    request = framework.request
    reads: dict[str, t.Callable[[], t.Any]] = {
        "data": lambda: request.data,
        "get_data": lambda: request.get_data(),
        "form": lambda: dict(request.form),
        "files": lambda: [file.read() for file in request.files.values()],
        "values": lambda: dict(request.values),
        "json": lambda: request.get_json(),
        "silent": lambda: request.get_json(silent=True),
        "stream": lambda: request.stream.read(),
        "pieces": lambda: list(iter(lambda: request.stream.read(5), b"")),
        "lines": lambda: list(request.stream),
    }
    for name, read in reads.items():
        app.add_url_rule(f"/{name}", name, view(read), methods=["POST"])
    return app


@pytest.mark.parametrize(
    "body",
    [b"[", b"[1", b"NaN1", b"", b"\xff", b"\xff\xfe{", b"1" * 5000, b"{'a': 1}", b"[" * 100_000]
    + [b'{"a":' * 100_000, b"[1]]", b"\0", b'"\\ud8"'],
)
def test_what_is_no_json_is_a_bad_request(ask: Lane, body: bytes) -> None:
    app = reading_app(torsyq)
    assert ask(app, Ask(b"/json", "POST", headers=[JSON], body=body)).status == 400
    assert app.seen == []
    assert ask(app, Ask(b"/silent", "POST", headers=[JSON], body=body)).text == "None"
    fine(ask, app)


@pytest.mark.parametrize("path", [b"/json", b"/silent"])
def test_flask_fails_on_json_nested_deeply(path: bytes) -> None:
    app = reading_app(flask)
    answer = over_wsgi(app, Ask(path, "POST", headers=[JSON], body=b"[" * 100_000))
    assert answer.status == 500


def test_json_that_can_be_read_can_be_sent(ask: Lane, app: Flask) -> None:
    """Up to the depth that Python 3.12 and 3.13 read there is none that only the answer stumbles over."""
    app.add_url_rule("/", view_func=lambda: request.get_json(), methods=["POST"], endpoint="echo")
    statuses = set()
    # Where the limit is depends on the version of Python.
    for depth in (*range(860, 1000, 3), *range(9000, 12_000, 200), 100_000):
        body = b"[" * depth + b"]" * depth
        answer = ask(app, Ask(b"/", "POST", headers=[JSON], body=body))
        statuses.add(answer.status)
        assert answer.status == 400 or answer.body.strip() == body
    assert statuses == {200, 400}


READS = ["data", "get_data", "stream", "pieces", "lines", "form", "files", "values", "json"]
TYPES = {"form": FORM, "files": FILES, "values": FORM, "json": JSON}
WHOLE = {"form": b"a=1&b=2", "files": MULTIPART, "values": b"a=1&b=2", "json": b'{"a": 1}'}


@pytest.mark.parametrize("read", READS)
def test_a_body_cut_short_does_not_reach_the_view(read: str) -> None:
    app = reading_app(torsyq)
    body = WHOLE.get(read, b"some text\nand more")
    cut = Ask(
        f"/{read}".encode(),
        "POST",
        headers=[TYPES.get(read, ("Content-Type", "text/plain"))],
        body=body[:-3],
        length=str(len(body)),
    )
    assert over_wsgi(app, cut).status == 400
    assert app.seen == []
    assert over_wsgi(app, cut._replace(body=body)).status == 200
    fine(over_wsgi, app)


@pytest.mark.parametrize("read", READS)
def test_a_client_that_leaves_while_sending_is_refused(read: str) -> None:
    app = reading_app(torsyq)
    scope = {
        "type": "http", "method": "POST", "path": f"/{read}", "headers": [], "scheme": "http",
        "query_string": b"",
    }  # fmt: skip
    messages: list[dict[str, t.Any]] = [
        {"type": "http.request", "body": b"begun", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert call_asgi(app, scope, messages).status == 400
    assert app.seen == []
    fine(LANES["asgi"], app)


class BrokenChunks(io.BytesIO):
    """What a server's stream does when the framing of chunks is wrong."""

    error: Exception

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size) or self._break()

    def readinto(self, buffer: t.Any) -> int:
        return super().readinto(buffer) or len(self._break())

    def _break(self) -> bytes:
        raise self.error


@pytest.mark.parametrize("error", [OSError("Invalid chunk header"), InvalidChunkSize(b"zz")])
@pytest.mark.parametrize("read", READS)
def test_broken_chunks_do_not_reach_the_view(read: str, error: Exception) -> None:
    app = reading_app(torsyq)
    headers = [TYPES.get(read, ("Content-Type", "text/plain"))]
    environ = environ_of(Ask(f"/{read}".encode(), "POST", headers=headers, chunked=True))
    environ["wsgi.input"] = body = BrokenChunks(WHOLE.get(read, b"some text"))
    body.error = error
    assert call_wsgi(app, environ).status == 400
    assert app.seen == []
    fine(over_wsgi, app)


def test_flask_takes_a_form_cut_short_for_a_whole_one() -> None:
    """Of chunks, with a length announced by a proxy, half the form is all the form there is."""
    app = reading_app(flask)
    ask = Ask(b"/form", "POST", headers=[FORM, ("Content-Length", "7")], body=b"a=1&", chunked=True)
    environ = environ_of(ask)
    del environ["HTTP_TRANSFER_ENCODING"]
    assert call_wsgi(app, environ).text == "{'a': '1'}"
    environ = environ_of(ask)
    del environ["HTTP_TRANSFER_ENCODING"]
    assert call_wsgi(reading_app(torsyq), environ).status == 400


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_too_large(ask: Lane, read: str, chunked: bool) -> None:
    app = reading_app(torsyq, MAX_CONTENT_LENGTH=100)
    body = {
        "files": MULTIPART + b" " * 100,
        "json": b"[" + b" " * 100 + b"]",
    }.get(read, b"a=" + b"1" * 100)  # fmt: skip
    headers = [TYPES.get(read, ("Content-Type", "text/plain"))]
    large = Ask(f"/{read}".encode(), "POST", headers=headers, body=body, chunked=chunked)
    assert ask(app, large).status == 413
    assert app.seen == []
    fine(ask, app)


@pytest.mark.parametrize(
    ("config", "body", "status"),
    [
        ({"MAX_FORM_PARTS": 2}, MULTIPART, 200),
        ({"MAX_FORM_PARTS": 1}, MULTIPART, 413),
        ({"MAX_FORM_MEMORY_SIZE": 1000}, MULTIPART, 200),
        ({"MAX_FORM_MEMORY_SIZE": 100}, MULTIPART.replace(b"\r\n1", b"\r\n" + b"1" * 101), 413),
        (
            {"MAX_FORM_MEMORY_SIZE": 200_000},
            MULTIPART.replace(b"\r\n1", b"\r\n" + b"1" * 200_001),
            413,
        ),
        ({"MAX_FORM_MEMORY_SIZE": 200_000}, MULTIPART.replace(b"content", b"x" * 300_000), 200),
        ({}, MULTIPART.replace(b"\r\n1", b"\r\n" + b"1" * 500_001), 413),
        ({}, MULTIPART[:-8] + b"\r\n".join([MULTIPART[:60]] * 1001) + MULTIPART, 413),
    ],
)
def test_a_form_beyond_a_limit_is_too_large(
    ask: Lane, config: dict[str, int], body: bytes, status: int
) -> None:
    app = reading_app(torsyq, **config)
    assert ask(app, Ask(b"/files", "POST", headers=[FILES], body=body)).status == status
    fine(ask, app)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"--x", b"--x--", b"--x\r\n\r\n", MULTIPART[:-4], MULTIPART[:-20], MULTIPART[3:],
        b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
        b"--x\r\n\xff: \xff\r\n\r\n1\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="b\r\n\r\n1\r\n--x--\r\n',
        b"--x\r\nContent-Disposition: form-data; name*=utf-16''%ff\r\n\r\n1\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Length: -5\r\n\r\n1\r\n--x--\r\n',
        b"\r\n" * 5000 + MULTIPART,
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=x", "multipart/form-data", 'multipart/form-data; boundary="']
    + ["multipart/form-data; boundary=\xff", "multipart/form-data; boundary=" + "x" * 5000],
)
def test_a_malformed_form_is_empty_or_refused(ask: Lane, content_type: str, body: bytes) -> None:
    app = reading_app(torsyq)
    headers = [("Content-Type", content_type)]
    for path in (b"/form", b"/files"):
        assert ask(app, Ask(path, "POST", headers=headers, body=body)).status in {200, 400, 413}
    fine(ask, app)


@pytest.mark.parametrize(
    "length", ["", "-1", "x", "9" * 5000, "9" * 30, "1.5", "\xb2", "1_0", "3,3"]
)
def test_a_length_that_is_none_is_no_error_of_ours(ask: Lane, length: str) -> None:
    app = reading_app(torsyq)
    headers = [("Content-Length", length)]
    odd = Ask(b"/data", "POST", headers=headers, body=b"abc", length=None)
    assert ask(app, odd).status in {200, 400, 413}
    fine(ask, app)


class Late:
    """A body that the client does not send before it is told to."""

    def __init__(self) -> None:
        self.wanted, self.sent = threading.Event(), threading.Event()
        self.body = io.BytesIO(b"a=1")

    def read(self, size: int) -> bytes:
        self.wanted.set()
        assert self.sent.wait(30)
        return self.body.read(size)


def form_app(reads: str) -> Flask:
    """An app of async functions, one of which reads the form of a POST."""
    app = Flask("app")

    async def read(error: Exception | None = None) -> t.Any:
        return request.form["a"] if request.method == "POST" else None

    async def other() -> str:
        return "other"

    if reads == "before_request":
        app.before_request(read)
    elif reads == "errorhandler":
        app.register_error_handler(405, read)
    else:
        app.add_url_rule("/", view_func=read, methods=["POST"], endpoint="post")
    app.add_url_rule("/", view_func=other)
    return app


@pytest.mark.parametrize("reads", ["view", "before_request", "errorhandler"])
@pytest.mark.parametrize("ending", [{"CONTENT_LENGTH": "3"}, {"wsgi.input_terminated": True}])
def test_a_slow_sender_holds_up_nobody_elses_async_view(
    reads: str, ending: dict[str, t.Any]
) -> None:
    """Under WSGI they share one event loop, which must not wait for one client's body."""
    app, late = form_app(reads), Late()
    environ = environ_of(Ask(method="POST", length=None))
    environ |= {"wsgi.input": late, "CONTENT_TYPE": "application/x-www-form-urlencoded", **ending}
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(call_wsgi, app, environ)
        try:
            assert late.wanted.wait(30)
            assert threads.submit(over_wsgi, app, Ask()).result(30).text == "other"
            assert not slow.done()
        finally:
            late.sent.set()
        assert slow.result(30).text == "1"


def test_a_body_that_a_view_streams_or_has_begun_is_left_where_it_is() -> None:
    app = Flask("app")

    async def size() -> int:
        return len([piece async for piece in t.cast("t.Any", request.stream)])

    @app.post("/streams", stream_body=True)
    async def streams() -> str:
        assert not late.wanted.is_set()
        late.sent.set()
        return f"{await size()} piece"

    @app.post("/begun")
    def begun() -> str:
        late.sent.set()
        first = request.stream.read(1)
        return f"{first!r} {app.ensure_sync(size)()} piece"

    for path, expected in (b"/streams", "1 piece"), (b"/begun", "b'a' 1 piece"):
        late = Late()
        environ = environ_of(Ask(path, "POST", length="3")) | {"wsgi.input": late}
        assert call_wsgi(app, environ).text == expected
