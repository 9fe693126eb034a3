"""Bottle."""

from __future__ import annotations

import typing as t

import bottle

from benchmarks import workloads as w

PROTOCOL = "wsgi"


def _plain(body: t.Any) -> t.Any:
    bottle.response.content_type = "text/plain; charset=utf-8"
    return body


def make(variant: str, size: int) -> t.Any:
    app = bottle.Bottle()
    VARIANTS[variant](app, size)
    return app


def main(app: t.Any, size: int) -> None:
    request, response = bottle.request, bottle.response
    bottle.TEMPLATE_PATH[:] = [str(w.TEMPLATES)]
    folder = str(w.static_file().parent)

    @app.get("/", name="text")
    def text() -> t.Any:
        return w.GREETING

    @app.get("/json")
    def json() -> t.Any:
        return {"message": w.GREETING}

    @app.get("/user/<number:int>", name="user")
    def user(number: int) -> t.Any:
        return {"id": number, "name": f"user {number}"}

    @app.get("/place/<name>/<number:int>", name="place")
    def place(name: str, number: int) -> t.Any:
        return f"{name} {number}"

    @app.get("/search")
    def search() -> t.Any:
        query = request.query
        return f"{query.q} {query.get('page', type=int)} {query.get('size', type=int)}"

    @app.post("/form")
    def form() -> t.Any:
        return " ".join(request.forms[key] for key in ("name", "age", "town", "subject", "sent"))

    @app.post("/echo")
    def echo() -> t.Any:
        return request.json

    @app.post("/upload")
    def upload() -> t.Any:
        return str(len(request.files["file"].file.read()))

    @app.get("/cookie")
    def cookie() -> t.Any:
        visits = int(request.get_cookie("visits"))
        response.set_cookie("visits", str(visits + 1), path="/")
        return str(visits)

    @app.get("/template")
    def template() -> t.Any:
        return bottle.template("rows.tpl", rows=w.ROWS)

    @app.get("/redirect")
    def redirect() -> t.Any:
        bottle.redirect("/", 302)

    @app.get("/urls")
    def urls() -> t.Any:
        place = app.get_url("place", name="north", number=7)
        return f"{app.get_url('text')} {app.get_url('user', number=42)} {place}"

    @app.get("/static/<path:path>")
    def static(path: str) -> t.Any:
        return bottle.static_file(path, root=folder)

    @app.get("/stream")
    def stream() -> t.Any:
        return _plain(w.chunks())

    @app.get("/big")
    def big() -> t.Any:
        return _plain(w.MEGABYTE)


def session(app: t.Any, size: int) -> None:
    @app.get("/session")
    def count() -> t.Any:
        session = bottle.request.get_cookie("session", secret=w.SECRET) or {}
        session["count"] = session.get("count", 0) + 1
        bottle.response.set_cookie("session", session, secret=w.SECRET, path="/", httponly=True)
        return str(session["count"])


def hooks(app: t.Any, size: int) -> None:
    for _ in range(10):

        @app.hook("before_request")
        def before() -> None:
            return None

        @app.hook("after_request")
        def after() -> None:
            return None

    @app.get("/")
    def text() -> t.Any:
        return w.GREETING


def routes(app: t.Any, size: int) -> None:
    def section(name: str) -> t.Any:
        return name

    for n in range(size):
        app.route(f"/section{n}/<name>", "GET", section)


VARIANTS: dict[str, t.Callable[[t.Any, int], None]] = {
    "main": main,
    "session": session,
    "hooks": hooks,
    "routes": routes,
}
