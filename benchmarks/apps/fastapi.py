"""FastAPI."""

# Annotations are read at run time here, so they are not postponed.
import typing as t

from fastapi import Body
from fastapi import Cookie
from fastapi import FastAPI
from fastapi import File
from fastapi import Form
from fastapi import Request
from fastapi import UploadFile
from fastapi import WebSocket
from fastapi.responses import PlainTextResponse
from fastapi.responses import RedirectResponse
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

from benchmarks import workloads as w
from benchmarks.fanout import fanout

PROTOCOL = "asgi"


def make(variant: str, size: int) -> t.Any:
    app = FastAPI()
    VARIANTS[variant](app, size)
    return app


def main(app: FastAPI, size: int) -> None:
    templates = Jinja2Templates(directory=w.TEMPLATES)

    @app.get("/", response_class=PlainTextResponse)
    async def text() -> str:
        return w.GREETING

    @app.get("/json")
    async def json() -> dict[str, str]:
        return {"message": w.GREETING}

    @app.get("/user/{number}")
    async def user(number: int) -> dict[str, t.Any]:
        return {"id": number, "name": f"user {number}"}

    @app.get("/place/{name}/{number}", response_class=PlainTextResponse)
    async def place(name: str, number: int) -> str:
        return name

    @app.get("/search", response_class=PlainTextResponse)
    async def search(q: str, page: int, size: int) -> str:
        return f"{q} {page} {size}"

    @app.post("/form", response_class=PlainTextResponse)
    async def form(
        name: t.Annotated[str, Form()],
        age: t.Annotated[str, Form()],
        town: t.Annotated[str, Form()],
        subject: t.Annotated[str, Form()],
        sent: t.Annotated[str, Form()],
    ) -> str:
        return f"{name} {age} {town} {subject} {sent}"

    @app.post("/echo")
    async def echo(value: t.Annotated[dict[str, t.Any], Body()]) -> dict[str, t.Any]:
        return value

    @app.post("/upload", response_class=PlainTextResponse)
    async def upload(file: t.Annotated[UploadFile, File()]) -> str:
        return str(len(await file.read()))

    @app.get("/cookie")
    async def cookie(visits: t.Annotated[int, Cookie()]) -> PlainTextResponse:
        response = PlainTextResponse(str(visits))
        response.set_cookie("visits", str(visits + 1))
        return response

    @app.get("/template")
    async def template(request: Request) -> t.Any:
        return templates.TemplateResponse(request, "rows.html", {"rows": w.ROWS})

    @app.get("/redirect")
    async def redirect() -> RedirectResponse:
        return RedirectResponse("/", 302)

    @app.get("/urls", response_class=PlainTextResponse)
    async def urls() -> str:
        place = app.url_path_for("place", name="north", number=7)
        return f"{app.url_path_for('text')} {app.url_path_for('user', number=42)} {place}"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> t.AsyncIterator[bytes]:
            for chunk in w.chunks():
                yield chunk

        return StreamingResponse(chunks(), media_type="text/plain")

    @app.get("/big")
    async def big() -> PlainTextResponse:
        return PlainTextResponse(w.MEGABYTE)

    @app.get("/sync", response_class=PlainTextResponse)
    def sync() -> str:
        return w.GREETING

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(fanout.lines(), media_type="text/event-stream")

    @app.websocket("/ws")
    async def echo_messages(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in websocket.iter_text():
            await websocket.send_text(message)

    app.mount("/static", StaticFiles(directory=w.static_file().parent))


def session(app: FastAPI, size: int) -> None:
    app.add_middleware(SessionMiddleware, secret_key=w.SECRET)

    @app.get("/session", response_class=PlainTextResponse)
    async def count(request: Request) -> str:
        request.session["count"] = request.session.get("count", 0) + 1
        return str(request.session["count"])


def errors(app: FastAPI, size: int) -> None:
    @app.get("/error")
    async def error() -> str:
        raise w.Trouble

    @app.exception_handler(w.Trouble)
    async def trouble(request: Request, error: w.Trouble) -> PlainTextResponse:
        return PlainTextResponse("in trouble", 503)


class Hook:
    """What a hook before and one after a request are here: a layer of middleware."""

    def __init__(self, app: t.Any) -> None:
        self.app = app

    async def __call__(self, scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await self.app(scope, receive, send)


def hooks(app: FastAPI, size: int) -> None:
    for _ in range(10):
        app.add_middleware(Hook)

    @app.get("/", response_class=PlainTextResponse)
    async def text() -> str:
        return w.GREETING


def routes(app: FastAPI, size: int) -> None:
    async def section(name: str) -> str:
        return name

    for n in range(size):
        app.get(f"/section{n}/{{name}}", response_class=PlainTextResponse)(section)


VARIANTS: dict[str, t.Callable[[FastAPI, int], None]] = {
    "main": main,
    "session": session,
    "errors": errors,
    "hooks": hooks,
    "routes": routes,
    "async": main,
}
