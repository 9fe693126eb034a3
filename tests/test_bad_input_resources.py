"""However a request ends, its files are closed, its generators ended, its memory given back."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import typing as t
import warnings
import weakref
from pathlib import Path

import flask
import pytest

import torsyq
from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import send_file
from torsyq import session
from torsyq import stream_with_context
from torsyq.globals import request_ctx

from .bad_input import Ask
from .bad_input import environ_of
from .bad_input import fine
from .bad_input import Lane
from .bad_input import LANES
from .bad_input import over_wsgi
from .bad_input import plain_app

FILES = ("Content-Type", "multipart/form-data; boundary=x")


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\nContent-Disposition: form-data; " + p + b"\r\n" for p in parts) + end


# More than stays in memory.
LARGE = b'name="f"; filename="f"\r\n\r\n' + b"a" * 600_000
SMALL = b'name="f"; filename="f"\r\n\r\n' + b"a"


@pytest.fixture(params=LANES)
def ask(request: pytest.FixtureRequest) -> Lane:
    return LANES[request.param]


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> t.Iterator[None]:
    """What was there before is not looked through again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left_open() -> t.Iterator[None]:
    """A file that is only closed by being collected says so."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(one.message) for one in caught] == []


def fail_again(error: t.Any) -> t.Any:
    raise ZeroDivisionError


def upload_app() -> tuple[Flask, list[t.Any]]:
    app: Flask = plain_app(torsyq)
    streams: list[t.Any] = []

    def read() -> None:
        streams.extend(file.stream for file in request.files.values())

    @app.post("/read")
    def view() -> str:
        read()
        return "read"

    @app.post("/fail")
    def fail() -> str:
        read()
        raise OSError

    @app.post("/abort")
    def refuse() -> str:
        read()
        torsyq.abort(403)

    @app.post("/ignore")
    def ignore() -> str:
        return "ignored"

    @app.post("/stream")
    def stream() -> t.Any:
        read()
        return iter(["a", "b"])

    @app.post("/half")
    def half() -> bytes:
        return request.stream.read(100_000)

    return app, streams


@pytest.mark.parametrize("body", [form(SMALL), form(LARGE, SMALL, LARGE)])
@pytest.mark.parametrize("path", ["/read", "/fail", "/abort", "/ignore", "/stream", "/half"])
@pytest.mark.parametrize("hook", ["none", "before", "after", "teardown", "handler"])
def test_uploads_are_closed_however_the_request_ends(
    ask: Lane, hook: str, path: str, body: bytes
) -> None:
    app, streams = upload_app()
    if hook == "before":
        app.before_request(lambda: request.form["missing"])
    elif hook == "after":
        app.after_request(lambda response: 1 / 0)
    elif hook == "teardown":
        app.teardown_request(fail_again)
    elif hook == "handler":
        app.register_error_handler(Exception, fail_again)
    try:
        ask(app, Ask(path.encode(), "POST", headers=[FILES], body=body))
    except ZeroDivisionError:
        assert hook in {"teardown", "handler"}
    assert all(stream.closed for stream in streams)


@pytest.mark.parametrize(
    "body",
    [
        form(LARGE, end=b""),
        form(LARGE)[:-100],
        form(LARGE, b"no header"),
        form(LARGE, *[SMALL] * 1001),
        form(LARGE, b'name="a"\r\n\r\n' + b"a" * 600_000),
        form(LARGE, b"\xff\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_of_a_form_that_fails_are_closed(ask: Lane, body: bytes, chunked: bool) -> None:
    app, streams = upload_app()
    answer = ask(app, Ask(b"/read", "POST", headers=[FILES], body=body, chunked=chunked))
    assert answer.status in {200, 400, 413}
    fine(ask, app)


def test_an_upload_that_breaks_off_is_closed() -> None:
    app, _ = upload_app()
    body = form(LARGE)
    broken = Ask(b"/read", "POST", headers=[FILES], body=body[:-9], length=str(len(body)))
    assert over_wsgi(app, broken).status == 400


# Files and streams on their way out.


@pytest.mark.parametrize("hook", ["none", "after", "late after", "teardown", "status", "header"])
@pytest.mark.parametrize(
    "headers",
    [[], [("Range", "bytes=0-1")], [("Range", "bytes=99-")], [("If-None-Match", "*")]],
    ids=["whole", "range", "beyond", "known"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_sent_are_closed_however_the_request_ends(
    ask: Lane, tmp_path: Path, hook: str, headers: list[tuple[str, str]], method: str
) -> None:
    tmp_path.joinpath("page").write_bytes(b"page")
    app = plain_app(torsyq)
    opened: list[t.Any] = []

    @app.get("/page")
    def page() -> t.Any:
        response = send_file(tmp_path / "page")
        opened.append(response.response)
        if hook == "header":
            response.headers["X-Page"] = "\u2713"
        return (response, 999) if hook == "status" else response

    if hook == "after":
        app.after_request(lambda response: 1 / 0)
    elif hook == "late after":
        app.after_request(lambda response: 1 / 0 if torsyq.request.endpoint == "page" else response)
        app.register_error_handler(Exception, lambda error: ("failed", 500))
    elif hook == "teardown":
        app.teardown_appcontext(lambda error: 1 / 0)
    try:
        ask(app, Ask(b"/page", method, headers=headers))
    except (ZeroDivisionError, UnicodeEncodeError):
        assert hook in {"teardown", "header"}


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_stream_that_nobody_wants_any_more_is_ended(pieces: int) -> None:
    app = plain_app(torsyq)
    events: list[str] = []

    @app.get("/")
    def stream() -> t.Any:
        def rows() -> t.Iterator[str]:
            try:
                for number in range(9):
                    yield f"{request.path}{number}"
            finally:
                events.append("ended")

        response = torsyq.Response(stream_with_context(rows()))
        response.call_on_close(lambda: events.append("closed"))
        return response

    body = app(environ_of(Ask()), lambda status, headers, exc=None: None)
    iterator = iter(body)
    for _ in range(pieces):
        next(iterator)
    body.close()
    assert events == (["ended", "closed"] if pieces else ["closed"])


def test_a_stream_whose_client_goes_away_is_ended_over_asgi() -> None:
    app = plain_app(torsyq)
    events: list[str] = []

    @app.get("/")
    def stream() -> t.Any:
        def rows() -> t.Iterator[str]:
            try:
                while True:
                    yield "row"
            finally:
                events.append("ended")

        return rows()

    async def talk() -> None:
        gone = asyncio.Event()
        sent: list[t.Any] = []

        async def receive() -> t.Any:
            if not sent:
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: t.Any) -> None:
            sent.append(message)
            if len(sent) == 5:
                gone.set()

        scope = {
            "type": "http", "method": "GET", "path": "/", "headers": [], "scheme": "http",
            "query_string": b"",
        }  # fmt: skip
        await asyncio.wait_for(app(scope, receive, send), 60)

    asyncio.run(talk())
    assert events == ["ended"]


# Cycles.


@pytest.mark.parametrize(
    "path", ["/ok", "/fail", "/abort", "/nothing", "/handled", "/form", "/dir"]
)
def test_a_request_that_fails_leaves_nothing_for_the_collector(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = plain_app(torsyq)
    # pytest would keep the errors that are logged.
    monkeypatch.setattr(app.logger, "disabled", True)
    seen: list[weakref.ref[t.Any]] = []

    @app.before_request
    def watch() -> None:
        seen.append(weakref.ref(request_ctx.request))
        session["a"] = g.get("a")

    app.add_url_rule("/fail", view_func=lambda: 1 / 0, endpoint="fail")
    app.add_url_rule("/abort", view_func=lambda: torsyq.abort(403), endpoint="abort")
    app.add_url_rule("/form", view_func=lambda: request.form["missing"], endpoint="form")
    app.add_url_rule("/dir/", view_func=lambda: "", endpoint="dir")

    @app.get("/handled")
    def handled() -> str:
        raise OSError

    @app.errorhandler(OSError)
    def handle(error: OSError) -> str:
        return "handled"

    over_wsgi(app, Ask(path.encode()))
    gc.disable()
    try:
        seen.clear()
        over_wsgi(app, Ask(path.encode()))
        assert [ref() for ref in seen] == [None]
    finally:
        gc.enable()


# Memory that requests could fill.


def test_what_clients_make_up_fills_no_memory() -> None:
    """Hosts, header names, paths, sessions ... : whatever is remembered has a bound."""
    app = plain_app(torsyq)
    # Each thread takes memory too, and it is chance when the pool starts how many of its forty.
    app.config["ASGI_THREADS"] = 1

    @app.get("/<path:p>")
    def page(p: str) -> t.Any:
        session["p"] = p
        return torsyq.jsonify(request.url, request.host, request.args, torsyq.url_for("page", p=p))

    def size() -> int:
        return sum(sys.getsizeof(one) for one in gc.get_objects()) + len(gc.get_objects())

    def visit(number: int) -> None:
        own = f"n{number}"
        headers = [("Host", f"{own}.example"), ("Cookie", f"session={own}")]
        headers += [(f"{letter}-{own}", own) for letter in "XYZ"]
        headers += [("Accept-Language", own), ("If-Modified-Since", own), ("Authorization", own)]
        query = f"{own}={own}".encode()
        for lane in LANES.values():
            lane(app, Ask(f"/{own}".encode(), query=query, headers=headers))
            lane(app, Ask(f"/{own}".encode(), own, headers=headers))

    for number in range(500):
        visit(number)
    gc.collect()
    before = size()
    for number in range(500, 1200):
        visit(number)
    gc.collect()
    # Seven hundred clients more, four requests each; their paths alone would be as large.
    assert size() - before < 64_000


def test_what_clients_write_at_length_fills_no_memory() -> None:
    app = plain_app(torsyq)

    @app.get("/")
    def page() -> torsyq.Response:
        assert len(request.url) > 0
        response = send_file(__file__, mimetype=request.mimetype)
        response.headers[request.mimetype.replace("/", "-")] = "1"
        return response

    def visit(number: int) -> None:
        own = f"n{number}"
        headers = [
            ("Host", f"{own}.{'a.' * 20_000}example"),
            (f"X-{own}{'a' * 40_000}", own),
            ("Content-Type", f"text/{own}{'a' * 40_000}"),
        ]
        for lane in LANES.values():
            lane(app, Ask(b"/", headers=headers))

    def size() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        for number in range(5):
            visit(number)
        before = size()
        for number in range(5, 25):
            visit(number)
        # One request may still be there. All of them would be five times as large.
        assert size() - before < 500_000
    finally:
        tracemalloc.stop()


# What Flask does there.


def test_flask_leaves_files_to_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("page").write_bytes(b"page")
    app = plain_app(flask)
    # pytest would keep the errors that are logged.
    monkeypatch.setattr(app.logger, "disabled", True)
    app.add_url_rule("/page", "page", lambda: flask.send_file(tmp_path / "page"))
    app.add_url_rule("/form", "form", lambda: str(flask.request.files), methods=["POST"])
    app.config["MAX_FORM_PARTS"] = 1
    app.after_request(lambda response: 1 / 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert over_wsgi(app, Ask(b"/page")).status == 500
        gc.collect()
        assert len(caught) == 1
        over_wsgi(app, Ask(b"/form", "POST", headers=[FILES], body=form(LARGE, SMALL)))
        gc.collect()
        assert {one.category for one in caught} == {ResourceWarning}
        assert len(caught) == 2


def test_flask_leaves_requests_to_the_collector() -> None:
    app = plain_app(flask)
    seen: list[weakref.ref[t.Any]] = []

    @app.get("/abort")
    def refuse() -> str:
        seen.append(weakref.ref(flask.globals.request_ctx.request))
        flask.abort(403)

    gc.disable()
    try:
        over_wsgi(app, Ask(b"/abort"))
        assert seen[0]() is not None
    finally:
        gc.enable()
