"""Flask-DebugToolbar: the bar put into pages, its panels, its own blueprint, redirects held up."""

from __future__ import annotations

import flask
import pytest
from flask_debugtoolbar import DebugToolbarExtension


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="k", DEBUG=True)
    app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = True
    DebugToolbarExtension(app)

    @app.get("/")
    def index() -> str:
        app.logger.warning("seen in the log panel")
        return flask.render_template_string(
            "<html><body><p>{{ name }}</p></body></html>", name="page"
        )

    app.add_url_rule("/plain", "plain", lambda: {"json": 1})
    app.add_url_rule("/moved", "moved", lambda: flask.redirect("/"))
    return app


def test_the_bar_is_put_into_a_page(app: flask.Flask) -> None:
    text = app.test_client().get("/").text
    assert 'id="flDebug"' in text
    assert text.rstrip().endswith("</body></html>")


def test_the_length_is_right_afterwards(app: flask.Flask) -> None:
    response = app.test_client().get("/")
    assert response.content_length == len(response.data)


@pytest.mark.parametrize(
    "panel", ["Versions", "Time", "HTTP Headers", "Request Vars", "Templates", "Route List"]
)
def test_the_panels_are_there(app: flask.Flask, panel: str) -> None:
    assert panel in app.test_client().get("/").text


def test_the_routes_are_listed(app: flask.Flask) -> None:
    assert "/moved" in app.test_client().get("/").text


def test_what_was_logged_is_shown(app: flask.Flask) -> None:
    assert "seen in the log panel" in app.test_client().get("/").text


def test_json_is_left_alone(app: flask.Flask) -> None:
    assert app.test_client().get("/plain").json == {"json": 1}


def test_a_redirect_is_held_up(app: flask.Flask) -> None:
    response = app.test_client().get("/moved")
    assert response.status_code == 200
    assert "Redirect intercepted" in response.text


def test_its_own_files_are_served(app: flask.Flask) -> None:
    path = "/_debug_toolbar/static/css/toolbar.css"
    assert app.test_client().get(path).mimetype == "text/css"


def test_without_debug_nothing_is_added() -> None:
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = "k"
    DebugToolbarExtension(app)
    app.add_url_rule("/", "index", lambda: "<html><body></body></html>")
    assert app.test_client().get("/").text == "<html><body></body></html>"
