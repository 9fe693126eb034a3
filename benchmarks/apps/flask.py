"""Flask, and Torsyq: the same text, with the framework's module as a parameter."""

from __future__ import annotations

import typing as t
from importlib import import_module

from benchmarks import workloads as w

PROTOCOL = "wsgi"


def make(variant: str, size: int, framework: str = "flask") -> t.Any:
    flask: t.Any = import_module(framework)
    if variant in {"main", "keyless"}:
        w.static_file()
        app = flask.Flask("bench", static_folder=w.STATIC, template_folder=w.TEMPLATES)
    else:
        app = flask.Flask("bench", static_folder=None)
    if variant != "keyless":
        # As every app has that uses sessions. Flask then opens one for each request.
        app.secret_key = w.SECRET
    VARIANTS[variant](flask, app, size)
    return app


def main(flask: t.Any, app: t.Any, size: int) -> None:
    request = flask.request

    @app.get("/")
    def text() -> t.Any:
        return w.GREETING

    @app.get("/json")
    def json() -> t.Any:
        return {"message": w.GREETING}

    @app.get("/user/<int:number>")
    def user(number: int) -> t.Any:
        return {"id": number, "name": f"user {number}"}

    @app.get("/place/<name>/<int:number>")
    def place(name: str, number: int) -> t.Any:
        return f"{name} {number}"

    @app.get("/search")
    def search() -> t.Any:
        page = request.args.get("page", type=int)
        size = request.args.get("size", type=int)
        return f"{request.args['q']} {page} {size}"

    @app.post("/form")
    def form() -> t.Any:
        return " ".join(request.form[key] for key in ("name", "age", "town", "subject", "sent"))

    @app.post("/echo")
    def echo() -> t.Any:
        return request.get_json()

    @app.post("/upload")
    def upload() -> t.Any:
        return str(len(request.files["file"].read()))

    @app.get("/cookie")
    def cookie() -> t.Any:
        visits = int(request.cookies["visits"])
        response = flask.make_response(str(visits))
        response.set_cookie("visits", str(visits + 1))
        return response

    @app.get("/template")
    def template() -> t.Any:
        return flask.render_template("rows.html", rows=w.ROWS)

    @app.get("/redirect")
    def redirect() -> t.Any:
        return flask.redirect("/")

    @app.get("/urls")
    def urls() -> t.Any:
        place = flask.url_for("place", name="north", number=7)
        return f"{flask.url_for('text')} {flask.url_for('user', number=42)} {place}"

    @app.get("/stream")
    def stream() -> t.Any:
        return flask.Response(w.chunks(), mimetype="text/plain")

    @app.get("/big")
    def big() -> t.Any:
        return w.MEGABYTE


def session(flask: t.Any, app: t.Any, size: int) -> None:
    session = flask.session

    @app.get("/session")
    def count() -> t.Any:
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])


def errors(flask: t.Any, app: t.Any, size: int) -> None:
    @app.get("/error")
    def error() -> t.Any:
        raise w.Trouble

    @app.errorhandler(w.Trouble)
    def trouble(error: w.Trouble) -> t.Any:
        return "in trouble", 503


def hooks(flask: t.Any, app: t.Any, size: int) -> None:
    for _ in range(10):

        @app.before_request
        def before() -> None:
            return None

        @app.after_request
        def after(response: t.Any) -> t.Any:
            return response

    @app.get("/")
    def text() -> t.Any:
        return w.GREETING


def routes(flask: t.Any, app: t.Any, size: int) -> None:
    def section(name: str) -> t.Any:
        return name

    for n in range(size):
        app.add_url_rule(f"/section{n}/<name>", f"section{n}", section)


def blueprints(flask: t.Any, app: t.Any, size: int) -> None:
    def section(name: str) -> t.Any:
        return name

    for n in range(size):
        blueprint = flask.Blueprint(f"section{n}", __name__, url_prefix=f"/section{n}")
        blueprint.add_url_rule("/<name>", "section", section)
        app.register_blueprint(blueprint)


def sync_and_async(flask: t.Any, app: t.Any, size: int) -> None:
    @app.get("/")
    async def text() -> t.Any:
        return w.GREETING

    @app.get("/json")
    async def json() -> t.Any:
        return {"message": w.GREETING}

    @app.get("/sync")
    def sync() -> t.Any:
        return w.GREETING


VARIANTS: dict[str, t.Callable[[t.Any, t.Any, int], None]] = {
    "main": main,
    "keyless": main,
    "session": session,
    "errors": errors,
    "hooks": hooks,
    "routes": routes,
    "blueprints": blueprints,
    "async": sync_and_async,
}
