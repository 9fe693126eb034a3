"""Litestar."""

# Annotations are read at run time here, so they are not postponed.
import typing as t

import litestar
from litestar import get
from litestar import Litestar
from litestar import MediaType
from litestar import post
from litestar import Request
from litestar import Response
from litestar import websocket_listener
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.params import Body
from litestar.params import Parameter
from litestar.response import Redirect
from litestar.response import Stream
from litestar.response import Template
from litestar.static_files import create_static_files_router
from litestar.template.config import TemplateConfig

from benchmarks import workloads as w
from benchmarks.fanout import fanout

PROTOCOL = "asgi"
AnyRequest = Request[t.Any, t.Any, t.Any]


@get("/", media_type=MediaType.TEXT, name="text")
async def text() -> str:
    return w.GREETING


@get("/json")
async def json() -> dict[str, str]:
    return {"message": w.GREETING}


@get("/user/{number:int}", name="user")
async def user(number: int) -> dict[str, t.Any]:
    return {"id": number, "name": f"user {number}"}


@get("/place/{town:str}/{number:int}", media_type=MediaType.TEXT, name="place")
async def place(town: str, number: int) -> str:
    return town


@get("/search", media_type=MediaType.TEXT)
async def search(q: str, page: int, size: int) -> str:
    return f"{q} {page} {size}"


@post("/form", media_type=MediaType.TEXT, status_code=200)
async def form(
    data: t.Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> str:
    return " ".join(data[key] for key in ("name", "age", "town", "subject", "sent"))


@post("/echo", status_code=200)
async def echo(data: dict[str, t.Any]) -> dict[str, t.Any]:
    return data


@post("/upload", media_type=MediaType.TEXT, status_code=200)
async def upload(
    data: t.Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> str:
    return str(len(await data["file"].read()))


@get("/cookie", media_type=MediaType.TEXT)
async def cookie(visits: t.Annotated[int, Parameter(cookie="visits")]) -> Response[str]:
    response = Response(str(visits))
    response.set_cookie("visits", str(visits + 1))
    return response


@get("/template")
async def template() -> Template:
    return Template("rows.html", context={"rows": w.ROWS})


@get("/redirect", status_code=302)
async def redirect() -> Redirect:
    return Redirect("/", status_code=302)


@get("/urls", media_type=MediaType.TEXT)
async def urls(request: AnyRequest) -> str:
    reverse = request.app.route_reverse
    return (
        f"{reverse('text')} {reverse('user', number=42)} {reverse('place', town='north', number=7)}"
    )


@get("/stream")
async def stream() -> Stream:
    async def chunks() -> t.AsyncIterator[bytes]:
        for chunk in w.chunks():
            yield chunk

    return Stream(chunks(), media_type="text/plain")


@get("/big", media_type=MediaType.TEXT)
async def big() -> bytes:
    return w.MEGABYTE


@get("/sync", media_type=MediaType.TEXT, sync_to_thread=True)
def sync() -> str:
    return w.GREETING


@get("/events")
async def events() -> Stream:
    return Stream(fanout.lines(), media_type="text/event-stream")


@websocket_listener("/ws")
async def echo_messages(data: str) -> str:
    return data


@get("/session", media_type=MediaType.TEXT)
async def session(request: AnyRequest) -> str:
    request.session["count"] = request.session.get("count", 0) + 1
    return str(request.session["count"])


@get("/error", media_type=MediaType.TEXT)
async def error() -> str:
    raise w.Trouble


def trouble(request: AnyRequest, error: Exception) -> Response[str]:
    return Response("in trouble", status_code=503, media_type=MediaType.TEXT)


def hook(app: t.Any) -> t.Any:
    """What a hook before and one after a request are here: a layer of middleware."""

    async def layer(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await app(scope, receive, send)

    return layer


def section(n: int) -> t.Any:
    @get(f"/section{n}/{{name:str}}", media_type=MediaType.TEXT)
    async def section(name: str) -> str:
        return name

    return section


def make(variant: str, size: int) -> Litestar:
    plain: dict[str, t.Any] = {"openapi_config": None, "debug": False}
    if variant == "session":
        layers = [CookieBackendConfig(secret=w.SECRET[:16].encode()).middleware]
        return Litestar([session], middleware=layers, **plain)
    if variant == "errors":
        return Litestar([error], exception_handlers={w.Trouble: trouble}, **plain)
    if variant == "hooks":
        return Litestar([text], middleware=[hook] * 10, **plain)
    if variant == "routes":
        return Litestar([section(n) for n in range(size)], **plain)
    views: list[t.Any] = [text, json, user, place, search, form, echo, upload, cookie, template]
    views += [redirect, urls, stream, big, sync, events, echo_messages]
    views.append(create_static_files_router("/static", [w.static_file().parent]))
    config = TemplateConfig(directory=w.TEMPLATES, engine=JinjaTemplateEngine)
    return litestar.Litestar(views, template_config=config, **plain)
