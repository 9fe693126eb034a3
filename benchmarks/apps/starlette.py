"""Starlette."""

from __future__ import annotations

import typing as t

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse
from starlette.responses import PlainTextResponse
from starlette.responses import RedirectResponse
from starlette.responses import Response
from starlette.responses import StreamingResponse
from starlette.routing import Mount
from starlette.routing import Route
from starlette.routing import WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from benchmarks import workloads as w
from benchmarks.fanout import fanout

PROTOCOL = "asgi"
Request = t.Any


async def text(request: Request) -> Response:
    return PlainTextResponse(w.GREETING)


async def json(request: Request) -> Response:
    return JSONResponse({"message": w.GREETING})


async def user(request: Request) -> Response:
    number = request.path_params["number"]
    return JSONResponse({"id": number, "name": f"user {number}"})


async def place(request: Request) -> Response:
    return PlainTextResponse(request.path_params["name"])


async def search(request: Request) -> Response:
    query = request.query_params
    return PlainTextResponse(f"{query['q']} {int(query['page'])} {int(query['size'])}")


async def form(request: Request) -> Response:
    form = await request.form()
    keys = ("name", "age", "town", "subject", "sent")
    return PlainTextResponse(" ".join(form[key] for key in keys))


async def echo(request: Request) -> Response:
    return JSONResponse(await request.json())


async def upload(request: Request) -> Response:
    async with request.form() as form:
        return PlainTextResponse(str(len(await form["file"].read())))


async def cookie(request: Request) -> Response:
    visits = int(request.cookies["visits"])
    response = PlainTextResponse(str(visits))
    response.set_cookie("visits", str(visits + 1))
    return response


async def redirect(request: Request) -> Response:
    return RedirectResponse("/", 302)


async def urls(request: Request) -> Response:
    app = request.app
    place = app.url_path_for("place", name="north", number=7)
    return PlainTextResponse(
        f"{app.url_path_for('text')} {app.url_path_for('user', number=42)} {place}"
    )


async def stream(request: Request) -> Response:
    async def chunks() -> t.AsyncIterator[bytes]:
        for chunk in w.chunks():
            yield chunk

    return StreamingResponse(chunks(), media_type="text/plain")


async def big(request: Request) -> Response:
    return PlainTextResponse(w.MEGABYTE)


def sync(request: Request) -> Response:
    return PlainTextResponse(w.GREETING)


async def session(request: Request) -> Response:
    request.session["count"] = request.session.get("count", 0) + 1
    return PlainTextResponse(str(request.session["count"]))


async def error(request: Request) -> Response:
    raise w.Trouble


async def trouble(request: Request, error: Exception) -> Response:
    return PlainTextResponse("in trouble", 503)


async def section(request: Request) -> Response:
    return PlainTextResponse(request.path_params["name"])


async def events(request: Request) -> Response:
    return StreamingResponse(fanout.lines(), media_type="text/event-stream")


async def websocket_echo(websocket: t.Any) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


class Hook:
    """What a hook before and one after a request are in Starlette: a layer of middleware."""

    def __init__(self, app: t.Any) -> None:
        self.app = app

    async def __call__(self, scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await self.app(scope, receive, send)


def make(variant: str, size: int) -> t.Any:
    if variant == "session":
        layers = [Middleware(SessionMiddleware, secret_key=w.SECRET)]
        return Starlette(routes=[Route("/session", session)], middleware=layers)
    if variant == "errors":
        return Starlette(routes=[Route("/error", error)], exception_handlers={w.Trouble: trouble})
    if variant == "hooks":
        layers = [Middleware(Hook) for _ in range(10)]
        return Starlette(routes=[Route("/", text)], middleware=layers)
    if variant == "routes":
        return Starlette(routes=[Route(f"/section{n}/{{name}}", section) for n in range(size)])
    templates = Jinja2Templates(directory=w.TEMPLATES)

    async def template(request: Request) -> Response:
        return templates.TemplateResponse(request, "rows.html", {"rows": w.ROWS})

    return Starlette(
        routes=[
            Route("/", text, name="text"),
            Route("/json", json),
            Route("/user/{number:int}", user, name="user"),
            Route("/place/{name}/{number:int}", place, name="place"),
            Route("/search", search),
            Route("/form", form, methods=["POST"]),
            Route("/echo", echo, methods=["POST"]),
            Route("/upload", upload, methods=["POST"]),
            Route("/cookie", cookie),
            Route("/template", template),
            Route("/redirect", redirect),
            Route("/urls", urls),
            Route("/stream", stream),
            Route("/big", big),
            Route("/sync", sync),
            Route("/events", events),
            WebSocketRoute("/ws", websocket_echo),
            Mount("/static", StaticFiles(directory=w.static_file().parent)),
        ]
    )
