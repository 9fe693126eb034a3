"""Quart: Flask's API on ASGI."""

from __future__ import annotations

import typing as t

import quart

from benchmarks import workloads as w
from benchmarks.fanout import fanout

PROTOCOL = "asgi"


def make(variant: str, size: int) -> t.Any:
    if variant in {"main", "keyless"}:
        w.static_file()
        app = quart.Quart("bench", static_folder=str(w.STATIC), template_folder=str(w.TEMPLATES))
    else:
        app = quart.Quart("bench", static_folder=None)
    if variant != "keyless":
        # As every app has that uses sessions. Quart then opens one for each request.
        app.secret_key = w.SECRET
    VARIANTS[variant](app, size)
    return app


def main(app: t.Any, size: int) -> None:
    request = quart.request

    @app.get("/")
    async def text() -> t.Any:
        return w.GREETING

    @app.get("/json")
    async def json() -> t.Any:
        return {"message": w.GREETING}

    @app.get("/user/<int:number>")
    async def user(number: int) -> t.Any:
        return {"id": number, "name": f"user {number}"}

    @app.get("/place/<name>/<int:number>")
    async def place(name: str, number: int) -> t.Any:
        return f"{name} {number}"

    @app.get("/search")
    async def search() -> t.Any:
        page = request.args.get("page", type=int)
        size = request.args.get("size", type=int)
        return f"{request.args['q']} {page} {size}"

    @app.post("/form")
    async def form() -> t.Any:
        form = await request.form
        return " ".join(form[key] for key in ("name", "age", "town", "subject", "sent"))

    @app.post("/echo")
    async def echo() -> t.Any:
        return await request.get_json()

    @app.post("/upload")
    async def upload() -> t.Any:
        return str(len((await request.files)["file"].read()))

    @app.get("/cookie")
    async def cookie() -> t.Any:
        visits = int(request.cookies["visits"])
        response = await quart.make_response(str(visits))
        response.set_cookie("visits", str(visits + 1))
        return response

    @app.get("/template")
    async def template() -> t.Any:
        return await quart.render_template("rows.html", rows=w.ROWS)

    @app.get("/redirect")
    async def redirect() -> t.Any:
        return quart.redirect("/")

    @app.get("/urls")
    async def urls() -> t.Any:
        place = quart.url_for("place", name="north", number=7)
        return f"{quart.url_for('text')} {quart.url_for('user', number=42)} {place}"

    @app.get("/stream")
    async def stream() -> t.Any:
        async def chunks() -> t.AsyncIterator[bytes]:
            for chunk in w.chunks():
                yield chunk

        return chunks(), {"Content-Type": "text/plain"}

    @app.get("/big")
    async def big() -> t.Any:
        return w.MEGABYTE

    @app.get("/sync")
    def sync() -> t.Any:
        return w.GREETING

    @app.websocket("/ws")
    async def echo_messages() -> None:
        while True:
            await quart.websocket.send(await quart.websocket.receive())

    @app.get("/events")
    async def events() -> t.Any:
        response = await quart.make_response(fanout.lines(), {"Content-Type": "text/event-stream"})
        response.timeout = None
        return response


def session(app: t.Any, size: int) -> None:
    session = quart.session

    @app.get("/session")
    async def count() -> t.Any:
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])


def errors(app: t.Any, size: int) -> None:
    @app.get("/error")
    async def error() -> t.Any:
        raise w.Trouble

    @app.errorhandler(w.Trouble)
    async def trouble(error: w.Trouble) -> t.Any:
        return "in trouble", 503


def hooks(app: t.Any, size: int) -> None:
    for _ in range(10):

        @app.before_request
        async def before() -> None:
            return None

        @app.after_request
        async def after(response: t.Any) -> t.Any:
            return response

    @app.get("/")
    async def text() -> t.Any:
        return w.GREETING


def routes(app: t.Any, size: int) -> None:
    async def section(name: str) -> t.Any:
        return name

    for n in range(size):
        app.add_url_rule(f"/section{n}/<name>", f"section{n}", section)


VARIANTS: dict[str, t.Callable[[t.Any, int], None]] = {
    "main": main,
    "keyless": main,
    "session": session,
    "errors": errors,
    "hooks": hooks,
    "routes": routes,
    "async": main,
}
