"""BlackSheep."""

# Annotations are read at run time here, so they are not postponed.
import os
import typing as t
from contextlib import suppress

from blacksheep import Application
from blacksheep import Content
from blacksheep import Cookie
from blacksheep import FromJSON
from blacksheep import json as json_response
from blacksheep import redirect as redirect_to
from blacksheep import Request
from blacksheep import Response
from blacksheep import StreamedContent
from blacksheep import text as text_response
from blacksheep import WebSocket
from blacksheep import WebSocketDisconnectError
from blacksheep.server.rendering.jinja2 import JinjaRenderer
from blacksheep.server.responses import html_settings
from blacksheep.server.responses import view
from jinja2 import DictLoader

from benchmarks import workloads as w
from benchmarks.fanout import fanout

PROTOCOL = "asgi"


def make(variant: str, size: int) -> Application:
    os.environ["APP_ENV"] = "production"
    app = Application()
    VARIANTS[variant](app, size)
    return app


def main(app: Application, size: int) -> None:
    # It looks for names that end in .jinja.
    pages = {path.name: path.read_text() for path in w.TEMPLATES.glob("*.html")}
    pages["rows.jinja"] = pages["rows.html"]
    html_settings.use(JinjaRenderer(loader=DictLoader(pages)))
    get, post = app.router.get, app.router.post

    @get("/")
    async def text() -> Response:
        return text_response(w.GREETING)

    @get("/json")
    async def json() -> Response:
        return json_response({"message": w.GREETING})

    @get("/user/{int:number}")
    async def user(number: int) -> Response:
        return json_response({"id": number, "name": f"user {number}"})

    @get("/search")
    async def search(q: str, page: int, size: int) -> Response:
        return text_response(f"{q} {page} {size}")

    @post("/form")
    async def form(request: Request) -> Response:
        form: t.Any = await request.form()
        keys = ("name", "age", "town", "subject", "sent")
        return text_response(" ".join(form[key] for key in keys))

    @post("/echo")
    async def echo(data: FromJSON[dict[str, t.Any]]) -> Response:
        return json_response(data.value)

    @post("/upload")
    async def upload(request: Request) -> Response:
        files = await request.files()
        return text_response(str(files[0].size))

    @get("/cookie")
    async def cookie(request: Request) -> Response:
        visits = int(t.cast(str, request.get_cookie("visits")))
        response = text_response(str(visits))
        response.set_cookie(Cookie("visits", str(visits + 1), path="/"))
        return response

    @get("/template")
    async def template() -> Response:
        return view("rows", {"rows": w.ROWS})

    @get("/redirect")
    async def redirect() -> Response:
        return redirect_to("/")

    @get("/stream")
    async def stream() -> Response:
        async def chunks() -> t.AsyncIterator[bytes]:
            for chunk in w.chunks():
                yield chunk

        return Response(200, content=StreamedContent(b"text/plain", chunks))

    @get("/big")
    async def big() -> Response:
        return Response(200, content=Content(b"text/plain", w.MEGABYTE))

    @get("/events")
    async def events() -> Response:
        return Response(200, content=StreamedContent(b"text/event-stream", fanout.lines))

    @app.router.ws("/ws")
    async def websocket_echo(websocket: WebSocket) -> None:
        await websocket.accept()
        with suppress(WebSocketDisconnectError):
            while True:
                await websocket.send_text(await websocket.receive_text())

    app.serve_files(w.static_file().parent, root_path="/static")


def session(app: Application, size: int) -> None:
    app.use_sessions(w.SECRET)

    @app.router.get("/session")
    async def count(request: Request) -> Response:
        session = request.session
        session["count"] = session.get("count", 0) + 1
        return text_response(str(session["count"]))


def errors(app: Application, size: int) -> None:
    @app.router.get("/error")
    async def error() -> Response:
        raise w.Trouble

    async def trouble(app: Application, request: Request, error: w.Trouble) -> Response:
        return text_response("in trouble", 503)

    app.exceptions_handlers[w.Trouble] = trouble


def hooks(app: Application, size: int) -> None:
    async def layer(request: Request, handler: t.Any) -> t.Any:
        return await handler(request)

    for _ in range(10):
        app.middlewares.append(layer)

    @app.router.get("/")
    async def text() -> Response:
        return text_response(w.GREETING)


def routes(app: Application, size: int) -> None:
    async def section(name: str) -> Response:
        return text_response(name)

    for n in range(size):
        app.router.add_get(f"/section{n}/{{name}}", section)


VARIANTS: dict[str, t.Callable[[Application, int], None]] = {
    "main": main,
    "session": session,
    "errors": errors,
    "hooks": hooks,
    "routes": routes,
    "async": main,
}
