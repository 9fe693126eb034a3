"""No framework: only the work that nobody can leave out."""

from __future__ import annotations

import asyncio
import json
import typing as t
from urllib.parse import parse_qs

from benchmarks import workloads as w
from benchmarks.fanout import fanout

PROTOCOL = "wsgi"

Environ = dict[str, t.Any]
Made = tuple[str, str, t.Iterable[bytes], list[tuple[str, str]]]

_TEXT = "text/plain; charset=utf-8"


def _text(body: bytes, status: str = "200 OK") -> Made:
    return status, _TEXT, [body], [("Content-Length", str(len(body)))]


def _json(value: t.Any) -> Made:
    body = json.dumps(value).encode()
    return "200 OK", "application/json", [body], [("Content-Length", str(len(body)))]


def _hello(environ: Environ) -> Made:
    if environ["REQUEST_METHOD"] != "GET":
        return _text(b"Method Not Allowed", "405 METHOD NOT ALLOWED")
    return _text(w.GREETING.encode())


def _search(environ: Environ) -> Made:
    args = parse_qs(environ["QUERY_STRING"])
    return _text(f"{args['q'][0]} {int(args['page'][0])} {int(args['size'][0])}".encode())


def _form(environ: Environ) -> Made:
    form = parse_qs(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode())
    return _text(
        " ".join(form[key][0] for key in ("name", "age", "town", "subject", "sent")).encode()
    )


def _echo(environ: Environ) -> Made:
    return _json(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))


def _upload(environ: Environ) -> Made:
    boundary = environ["CONTENT_TYPE"].partition("boundary=")[2].encode()
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start = body.index(b"\r\n\r\n") + 4
    file = body[start : body.index(b"\r\n--" + boundary, start)]
    return _text(str(len(file)).encode())


def _cookie(environ: Environ) -> Made:
    pairs = dict(pair.split("=", 1) for pair in environ["HTTP_COOKIE"].split("; "))
    visits = int(pairs["visits"])
    made = _text(str(visits).encode())
    made[3].append(("Set-Cookie", f"visits={visits + 1}; Path=/"))
    return made


def _redirect(environ: Environ) -> Made:
    return "302 FOUND", _TEXT, [b""], [("Location", "/"), ("Content-Length", "0")]


def _static(environ: Environ) -> Made:
    with open(w.STATIC / "page.css", "rb") as file:
        body = file.read()
    return "200 OK", "text/css", [body], [("Content-Length", str(len(body)))]


def _stream(environ: Environ) -> Made:
    return "200 OK", _TEXT, w.chunks(), []


def _big(environ: Environ) -> Made:
    return _text(w.MEGABYTE)


async def _asgi(scope: Environ, receive: t.Any, send: t.Any) -> None:
    """The async side: an ASGI application."""
    if scope["type"] == "lifespan":
        raise NotImplementedError("It has no lifespan.")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["path"] == "/events":
        await send(_start("text/event-stream", []))
        async for line in fanout.lines():
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["path"] == "/json":
        made = _json({"message": w.GREETING})
    elif scope["path"] == "/sync":
        made = await asyncio.to_thread(_text, w.GREETING.encode())
    else:
        made = _text(w.GREETING.encode())
    _, kind, [body], headers = made
    await send(_start(kind, headers))
    await send({"type": "http.response.body", "body": body})


def _start(kind: str, headers: list[tuple[str, str]]) -> Environ:
    """The message that begins an answer."""
    raw = [(key.lower().encode(), value.encode()) for key, value in headers]
    raw.append((b"content-type", kind.encode()))
    return {"type": "http.response.start", "status": 200, "headers": raw}


def make(variant: str, size: int) -> t.Any:
    if variant == "async":
        return _asgi

    from jinja2 import Environment
    from jinja2 import FileSystemLoader

    w.static_file()
    page = Environment(loader=FileSystemLoader(w.TEMPLATES), autoescape=True).get_template(
        "rows.html"
    )

    def template(environ: Environ) -> Made:
        body = page.render(rows=w.ROWS).encode()
        return "200 OK", "text/html", [body], [("Content-Length", str(len(body)))]

    views = {
        "/": _hello,
        "/json": lambda environ: _json({"message": w.GREETING}),
        "/search": _search,
        "/form": _form,
        "/echo": _echo,
        "/upload": _upload,
        "/cookie": _cookie,
        "/redirect": _redirect,
        "/static/page.css": _static,
        "/stream": _stream,
        "/big": _big,
        "/template": template,
    }

    def app(environ: Environ, start_response: t.Any) -> t.Iterable[bytes]:
        path = environ["PATH_INFO"]
        view = views.get(path)
        if view is not None:
            made = view(environ)
        elif path.startswith("/user/"):
            number = int(path[6:])
            made = _json({"id": number, "name": f"user {number}"})
        elif path.startswith("/section"):
            made = _text(path.split("/")[2].encode())
        else:
            made = _text(b"Not Found", "404 NOT FOUND")
        status, kind, body, headers = made
        start_response(status, [("Content-Type", kind), *headers])
        return body

    return app
