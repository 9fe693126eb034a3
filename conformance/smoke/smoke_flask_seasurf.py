"""Flask-SeaSurf: a token against forged requests, in a cookie and in the session."""

from __future__ import annotations

import flask
import pytest
from flask_seasurf import SeaSurf


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = "smoke"
    seasurf = SeaSurf(app)

    @app.route("/", methods=["GET", "POST"])
    def index() -> str:
        return flask.render_template_string("{{ csrf_token() }}")

    @seasurf.exempt
    @app.route("/free", methods=["POST"])
    def free() -> str:
        return "free"

    return app


def test_a_post_without_the_token_is_refused(app: flask.Flask) -> None:
    client = app.test_client()
    assert client.post("/").status_code == 403
    assert client.post("/free").text == "free"


@pytest.mark.parametrize("way", ["form", "header"])
def test_a_post_with_the_token_is_let_through(app: flask.Flask, way: str) -> None:
    client = app.test_client()
    token = client.get("/").text
    cookie = client.get_cookie("_csrf_token")
    assert cookie is not None
    assert cookie.value == token
    if way == "form":
        answer = client.post("/", data={"_csrf_token": token})
    else:
        answer = client.post("/", headers={"X-CSRFToken": token})
    assert answer.status_code == 200


def test_the_answer_varies_with_the_cookie(app: flask.Flask) -> None:
    answer = app.test_client().get("/")
    assert answer.headers["Vary"] == "Cookie"
    assert len(answer.headers.getlist("Set-Cookie")) == 2


def test_over_https_the_referrer_must_be_ours(app: flask.Flask) -> None:
    client = app.test_client()
    base = "https://localhost"
    token = client.get("/", base_url=base).text
    headers = {"X-CSRFToken": token}
    assert client.post("/", base_url=base, headers=headers).status_code == 403
    headers["Referer"] = "https://localhost/"
    assert client.post("/", base_url=base, headers=headers).status_code == 200
