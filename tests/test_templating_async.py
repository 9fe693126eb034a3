"""Templates on the event loop."""

from __future__ import annotations

import asyncio
import typing as t

import pytest
from jinja2 import DictLoader
from jinja2 import TemplateNotFound

import torsyq
from torsyq import Blueprint
from torsyq import Flask
from torsyq import g
from torsyq.templating_async import _environment
from torsyq.templating_async import render_template_async
from torsyq.templating_async import render_template_string_async
from torsyq.templating_async import stream_template_async
from torsyq.templating_async import stream_template_string_async
from torsyq.testing import FlaskClient

TEMPLATES = {
    "page.html": "{% extends 'base.html' %}{% block body %}{{ name() }} {{ g.n }}{% endblock %}",
    "base.html": "<{% block body %}{% endblock %}>",
    "list.html": "{% for n in numbers() %}{{ n }} {% endfor %}{{ request.path }}",
}


@pytest.fixture
def app(app: Flask) -> Flask:
    app.jinja_loader = DictLoader(TEMPLATES)
    return app


async def name() -> str:
    await asyncio.sleep(0)
    return "<Aizhan>"


async def numbers() -> t.AsyncIterator[int]:
    for n in range(3):
        await asyncio.sleep(0)
        yield n


def test_a_template_may_await(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    async def view() -> str:
        g.n = 7
        return await render_template_async("page.html", name=name)

    assert anyclient.get("/").text == "<&lt;Aizhan&gt; 7>"


def test_a_template_given_as_text_may_await(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    async def view() -> str:
        return await render_template_string_async("{{ name() }} {{ config.TESTING }}", name=name)

    assert anyclient.get("/").text == "&lt;Aizhan&gt; True"


def test_a_template_is_streamed(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/file")
    async def file() -> t.Any:
        return await stream_template_async(["missing.html", "list.html"], numbers=numbers)

    @app.get("/text")
    async def text() -> t.Any:
        return await stream_template_string_async("{{ name() }}|{{ request.path }}", name=name)

    assert anyclient.get("/file").get_data() == b"0 1 2 /file"
    assert anyclient.get("/text").get_data() == b"&lt;Aizhan&gt;|/text"


def test_a_template_is_streamed_without_a_request(app: Flask) -> None:
    async def run() -> str:
        async with app.app_context():
            chunks = await stream_template_string_async("{{ name() }}", name=name)
            return "".join([chunk async for chunk in chunks])

    assert asyncio.run(run()) == "&lt;Aizhan&gt;"


def test_context_processors_may_be_async(app: Flask, anyclient: FlaskClient) -> None:
    blueprint = Blueprint("bp", "bp")

    @app.context_processor
    async def of_app() -> dict[str, str]:
        await asyncio.sleep(0)
        return {"a": "app", "b": "app", "c": "app"}

    @blueprint.context_processor
    def of_blueprint() -> dict[str, str]:
        return {"b": "blueprint", "c": "blueprint"}

    @blueprint.get("/")
    async def view() -> str:
        return await render_template_string_async("{{ a }} {{ b }} {{ c }}", c="view")

    app.register_blueprint(blueprint)
    assert anyclient.get("/").text == "app blueprint view"


def test_a_replaced_update_template_context_is_called() -> None:
    class Custom(Flask):
        def update_template_context(self, context: dict[str, t.Any]) -> None:
            context["custom"] = "yes"

    async def run() -> str:
        async with Custom("custom").app_context():
            return await render_template_string_async("{{ custom }}")

    assert asyncio.run(run()) == "yes"


def test_signals_are_sent_to_sync_and_async_receivers(app: Flask) -> None:
    events: list[t.Any] = []

    async def before(sender: t.Any, template: t.Any, context: t.Any) -> None:
        await asyncio.sleep(0)
        events.append(("before", template.name, context["x"]))

    def after(sender: t.Any, template: t.Any, context: t.Any) -> None:
        events.append(("after", template.name, context["x"]))

    async def run() -> None:
        async with app.app_context():
            g.n = 1
            await render_template_async("page.html", name=name, x=5)

    with (
        torsyq.before_render_template.connected_to(before, app),
        torsyq.template_rendered.connected_to(after, app),
    ):
        asyncio.run(run())
    assert events == [("before", "page.html", 5), ("after", "page.html", 5)]


def test_the_async_environment_exists_only_when_used_and_shares_with_the_apps(app: Flask) -> None:
    assert not hasattr(app.jinja_env, "async_twin")

    @app.template_filter()
    def shout(text: str) -> str:
        return f"{text}!"

    async def run() -> str:
        async with app.app_context():
            return await render_template_string_async("{{ 'late'|shout }}")

    assert asyncio.run(run()) == "late!"
    app.jinja_env.filters["shout"] = lambda text: f"{text}!!"
    assert asyncio.run(run()) == "late!!"
    assert app.jinja_env.is_async is False


def test_changed_templates_are_loaded_anew_in_debug_mode(app: Flask) -> None:
    async def run() -> bool:
        async with app.app_context():
            await render_template_string_async("")
            return t.cast("bool", app.jinja_env.async_twin.auto_reload)  # type: ignore[attr-defined]

    assert asyncio.run(run()) is False
    app.debug = True
    assert asyncio.run(run()) is True


def test_a_missing_template_and_a_missing_app_are_told(app: Flask) -> None:
    async def run() -> None:
        with pytest.raises(RuntimeError, match="Working outside of application context"):
            await render_template_async("page.html")
        async with app.app_context():
            with pytest.raises(TemplateNotFound):
                await render_template_async("missing.html")

    asyncio.run(run())


def test_another_loop_never_sees_the_async_environment_half_made(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = app.jinja_env
    overlay = env.overlay
    twins: list[t.Any] = []

    def overlay_while_another_asks() -> t.Any:
        made = overlay()
        monkeypatch.setattr(env, "overlay", overlay)
        twins.append(_environment(app))
        return made

    monkeypatch.setattr(env, "overlay", overlay_while_another_asks)
    assert _environment(app) is twins[0] is _environment(app)
    assert twins[0].is_async
