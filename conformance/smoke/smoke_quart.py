"""Quart, which stands on `flask.sansio`: its apps run beside Flask's, on the same base classes."""

from __future__ import annotations

import asyncio
import typing as t

import flask
import pytest
import quart
from quart.views import MethodView


def run(work: t.Coroutine[t.Any, t.Any, t.Any]) -> t.Any:
    return asyncio.run(work)


@pytest.fixture
def app() -> quart.Quart:
    app = quart.Quart(__name__)
    app.secret_key = "k"
    return app


def get(app: quart.Quart, path: str, method: str = "GET", **options: t.Any) -> tuple[int, str]:
    async def ask() -> tuple[int, str]:
        response = await app.test_client().open(path, method=method, **options)
        return response.status_code, await response.get_data(as_text=True)

    return t.cast(tuple[int, str], run(ask()))


def test_the_base_classes_are_flasks() -> None:
    from flask.sansio.app import App
    from flask.sansio.blueprints import Blueprint

    assert issubclass(quart.Quart, App)
    assert issubclass(flask.Flask, App)
    assert issubclass(quart.Blueprint, Blueprint)


def test_a_view_answers(app: quart.Quart) -> None:
    @app.get("/<int:number>")
    async def show(number: int) -> dict[str, t.Any]:
        return {"number": number, "endpoint": quart.request.endpoint}

    assert get(app, "/7") == (200, '{"endpoint":"show","number":7}\n')
    assert get(app, "/x")[0] == 404
    assert get(app, "/7", "PUT")[0] == 405


def test_nested_blueprints_have_their_hooks_and_urls(app: quart.Quart) -> None:
    outer = quart.Blueprint("outer", __name__, url_prefix="/outer")
    inner = quart.Blueprint("inner", __name__, url_prefix="/inner")

    @outer.before_request
    async def before() -> None:
        quart.g.seen = [*quart.g.get("seen", []), "outer"]

    @inner.before_request
    def before_inner() -> None:
        quart.g.seen.append("inner")

    @inner.get("/")
    async def index() -> str:
        return f"{quart.url_for('.index')} {quart.request.blueprints} {quart.g.seen}"

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.register_blueprint(outer, name="other", url_prefix="/other")
    expected = "/outer/inner/ ['outer.inner', 'outer'] ['outer', 'inner']"
    assert get(app, "/outer/inner/") == (200, expected)
    assert get(app, "/other/inner/")[1].startswith("/other/inner/ ['other.inner', 'other']")


def test_error_handlers_are_found_by_class_and_code(app: quart.Quart) -> None:
    part = quart.Blueprint("part", __name__)

    @part.errorhandler(LookupError)
    async def wrong(error: LookupError) -> tuple[str, int]:
        return f"part: {error!r}", 400

    @app.errorhandler(404)
    def lost(error: Exception) -> tuple[str, int]:
        return "lost", 404

    @part.get("/part")
    async def view() -> str:
        raise KeyError("k")

    app.register_blueprint(part)
    assert get(app, "/part") == (400, "part: KeyError('k')")
    assert get(app, "/nowhere") == (404, "lost")


def test_templates_see_what_processors_and_filters_give(app: quart.Quart) -> None:
    @app.context_processor
    async def names() -> dict[str, str]:
        return {"name": "gina"}

    @app.template_filter()
    def loud(text: str) -> str:
        return text.upper()

    @app.get("/")
    async def index() -> str:
        return await quart.render_template_string("{{ name|loud }} {{ url_for('index') }}<")

    assert get(app, "/") == (200, "GINA /<")


def test_a_session_lasts_and_a_flash_is_shown_once(app: quart.Quart) -> None:
    @app.get("/")
    async def index() -> str:
        shown = quart.get_flashed_messages()
        quart.session["count"] = quart.session.get("count", 0) + 1
        await quart.flash("hello")
        return f"{quart.session['count']} {shown}"

    async def twice() -> list[str]:
        client = app.test_client()
        return [await (await client.get("/")).get_data(as_text=True) for _ in range(2)]

    assert run(twice()) == ["1 []", "2 ['hello']"]


def test_a_view_class_answers(app: quart.Quart) -> None:
    class Item(MethodView):
        async def get(self) -> str:
            return "got"

        def post(self) -> str:
            return "posted"

    app.add_url_rule("/item", view_func=Item.as_view("item"))
    assert get(app, "/item") == (200, "got")
    assert get(app, "/item", "POST") == (200, "posted")
    assert get(app, "/item", "DELETE")[0] == 405


def test_forms_and_json_are_read(app: quart.Quart) -> None:
    @app.post("/form")
    async def form() -> str:
        return (await quart.request.form)["a"]

    @app.post("/json")
    async def json() -> t.Any:
        return await quart.request.get_json()

    assert get(app, "/form", "POST", form={"a": "b"}) == (200, "b")
    assert get(app, "/json", "POST", json={"a": [1]}) == (200, '{"a":[1]}\n')


def test_a_websocket_answers(app: quart.Quart) -> None:
    @app.websocket("/echo")
    async def echo() -> None:
        await quart.websocket.send(await quart.websocket.receive())

    async def talk() -> str | bytes:
        async with app.test_client().websocket("/echo") as socket:
            await socket.send("hello")
            return await socket.receive()

    assert run(talk()) == "hello"


def test_it_has_its_own_contexts_beside_those_of_flask(app: quart.Quart) -> None:
    other = flask.Flask("other")

    @app.get("/")
    async def index() -> str:
        with other.test_request_context("/inside"):
            return f"{quart.request.path} {flask.request.path} {flask.current_app.name}"

    assert get(app, "/") == (200, "/ /inside other")


def test_its_commands_run(app: quart.Quart) -> None:
    @app.cli.command("hello")
    def hello() -> None:
        print("hello from", app.name)

    result = app.test_cli_runner().invoke(args=["hello"])
    assert (result.exception, result.output) == (None, f"hello from {app.name}\n")
