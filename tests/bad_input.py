"""Requests as no decent client sends them, put to an app over WSGI and over ASGI."""

from __future__ import annotations

import asyncio
import io
import sys
import typing as t
from pathlib import Path
from urllib.parse import quote_from_bytes

from torsyq import Flask
from torsyq.globals import _cv_app
from torsyq.globals import _cv_request

WsgiApp = t.Callable[..., t.Any]

_running = asyncio.Runner()


class Answer(t.NamedTuple):
    """What a server would send on."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class Ask(t.NamedTuple):
    """A request, as its bytes come in."""

    path: bytes = b"/"
    method: str = "GET"
    query: bytes = b""
    headers: t.Sequence[tuple[str, str]] = (("Host", "localhost"),)
    body: bytes = b""
    #: What the headers say of the body; None: nothing.
    length: str | None = ""
    #: Whether the body comes in chunks, which the server puts together.
    chunked: bool = False
    scheme: str = "http"


def environ_of(ask: Ask) -> dict[str, t.Any]:
    """The WSGI environment a server makes of a request (PEP 3333)."""
    environ: dict[str, t.Any] = {
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": ask.path.decode("latin-1"),
        "QUERY_STRING": ask.query.decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": ask.scheme,
        "wsgi.input": io.BytesIO(ask.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in _all_headers(ask):
        key = name.upper().replace("-", "_")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if ask.chunked:
        environ["wsgi.input_terminated"] = True
    return environ


def _all_headers(ask: Ask) -> list[tuple[str, str]]:
    headers = list(ask.headers)
    if ask.chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    elif ask.length is not None:
        headers.append(("Content-Length", ask.length or str(len(ask.body))))
    return headers


def over_wsgi(app: WsgiApp, ask: Ask) -> Answer:
    """The answer of a WSGI application, which keeps the rules of the protocol."""
    return call_wsgi(app, environ_of(ask))


def call_wsgi(app: WsgiApp, environ: dict[str, t.Any]) -> Answer:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: t.Any, exc_info: t.Any = None) -> None:
        assert not started or exc_info is not None
        started[:] = [(status, headers)]

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    (status, headers) = started[0]
    assert status[:3].isdigit()
    assert status[3:4] == " "
    return _checked(Answer(int(status[:3]), headers, body))


def over_asgi(app: WsgiApp, ask: Ask) -> Answer:
    """The answer of an ASGI application, which keeps the rules of the protocol."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": ask.scheme,
        "path": ask.path.decode("utf-8", "replace"),
        "raw_path": quote_from_bytes(ask.path).encode(),
        "query_string": ask.query,
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in _all_headers(ask)
        ],
        "client": ("127.0.0.1", 1234),
        "server": ("localhost", 80),
    }
    half = len(ask.body) // 2
    messages = [
        {"type": "http.request", "body": ask.body[:half], "more_body": True},
        {"type": "http.request", "body": ask.body[half:], "more_body": False},
    ]
    return call_asgi(app, scope, messages)


def call_asgi(app: WsgiApp, scope: dict[str, t.Any], messages: list[dict[str, t.Any]]) -> Answer:
    sent: list[dict[str, t.Any]] = []
    waiting = iter(messages)

    async def receive() -> dict[str, t.Any]:
        message = next(waiting, None)
        if message is None:
            # The client stays, and says no more.
            await asyncio.Event().wait()
        return message  # type: ignore[return-value]

    async def send(message: dict[str, t.Any]) -> None:
        sent.append(message)

    async def talk() -> None:
        await app(scope, receive, send)

    _running.run(talk())
    if not sent:
        return Answer(0, [], b"")
    start, *pieces = sent
    assert start["type"] == "http.response.start"
    if {"type": "http.disconnect"} not in messages:
        assert [piece.get("more_body", False) for piece in pieces][-1:] == [False]
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    ]
    return _checked(
        Answer(start["status"], headers, b"".join(piece.get("body", b"") for piece in pieces))
    )


def _checked(answer: Answer) -> Answer:
    assert 100 <= answer.status <= 599
    for name, value in answer.headers:
        assert not {"\r", "\n", "\0"} & {*name, *value}, (name, value)
        value.encode("latin-1")
    assert b"Traceback (most recent" not in answer.body
    assert _cv_app.get(None) is None
    assert _cv_request.get(None) is None
    return answer


Lane = t.Callable[[t.Any, Ask], Answer]
LANES: dict[str, Lane] = {"wsgi": over_wsgi, "asgi": over_asgi}


def plain_app(framework: t.Any) -> t.Any:
    app = framework.Flask("tests.app", root_path=str(Path(__file__).parent), static_folder=None)
    app.config["SECRET_KEY"] = "k"
    app.add_url_rule("/ok", view_func=lambda: "fine", endpoint="ok")
    return app


def fine(ask: Lane, app: Flask) -> None:
    """The next request is served."""
    answer = ask(app, Ask(b"/ok"))
    assert (answer.status, answer.body) == (200, b"fine")
