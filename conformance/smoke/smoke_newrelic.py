"""New Relic's agent: it waits for the imports of Flask's modules and wraps what is in them."""

from __future__ import annotations

import os

import newrelic.agent

os.environ["NEW_RELIC_LICENSE_KEY"] = "0" * 40
os.environ["NEW_RELIC_MONITOR_MODE"] = "false"
newrelic.agent.initialize()

# After the agent, as under `newrelic-admin run-program`.
import flask  # noqa: E402
import pytest  # noqa: E402
from flask.views import MethodView  # noqa: E402


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    part = flask.Blueprint("part", __name__)

    @part.route("/part/<int:number>")
    def show(number: int) -> str:
        return flask.render_template_string("{{ n }}", n=number)

    @part.before_request
    def before_part() -> None:
        pass

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        return response

    @app.errorhandler(ValueError)
    def wrong(error: ValueError) -> tuple[str, int]:
        return "wrong", 400

    class Item(MethodView):
        def get(self) -> str:
            return "item"

        def post(self) -> str:
            raise ValueError

    app.add_url_rule("/item", view_func=Item.as_view("item"))
    app.register_blueprint(part)
    return app


def is_wrapped(value: object) -> bool:
    return type(value).__module__.startswith("newrelic.")


@pytest.mark.parametrize("step", ["wsgi_app", "handle_exception", "preprocess_request"])
def test_a_step_of_the_walk_is_wrapped(step: str) -> None:
    assert is_wrapped(vars(flask.Flask)[step])


@pytest.mark.parametrize("step", ["endpoint", "before_request", "after_app_request"])
def test_a_step_of_a_blueprint_is_wrapped(step: str) -> None:
    assert is_wrapped(vars(flask.Blueprint).get(step) or getattr(flask.Blueprint, step))


@pytest.mark.parametrize("name", ["render_template", "render_template_string"])
def test_rendering_is_wrapped_under_both_names(name: str) -> None:
    import flask.templating

    assert is_wrapped(getattr(flask, name))
    assert is_wrapped(getattr(flask.templating, name))


def test_views_are_wrapped(app: flask.Flask) -> None:
    assert {name: is_wrapped(view) for name, view in app.view_functions.items()} == {
        "static": True,
        "item": True,
        "part.show": True,
    }


def test_requests_are_answered(app: flask.Flask) -> None:
    client = app.test_client()
    assert client.get("/part/3").text == "3"
    assert client.post("/item").status_code == 400
    assert client.get("/nothing").status_code == 404
