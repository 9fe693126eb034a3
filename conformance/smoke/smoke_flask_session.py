"""Flask-Session: sessions kept on the server, the cookie carrying only an id."""

from __future__ import annotations

import pathlib

import flask
import pytest
from cachelib.file import FileSystemCache
from flask_session import Session


@pytest.fixture(params=["json", "msgpack"])
def app(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY="k",
        SESSION_TYPE="cachelib",
        SESSION_SERIALIZATION_FORMAT=request.param,
        SESSION_CACHELIB=FileSystemCache(str(tmp_path)),
    )
    Session(app)

    @app.post("/set/<name>")
    def put(name: str) -> str:
        flask.session[name] = flask.request.form["value"]
        return "ok"

    @app.get("/get/<name>")
    def get(name: str) -> str:
        return str(flask.session.get(name, "-"))

    @app.post("/clear")
    def clear() -> str:
        flask.session.clear()
        return "ok"

    @app.post("/append")
    def append() -> dict[str, object]:
        flask.session.setdefault("list", []).append(1)
        flask.session.modified = True
        return {"list": flask.session["list"]}

    app.add_url_rule("/nothing", "nothing", lambda: "nothing")
    return app


def test_a_value_lasts_and_stays_on_the_server(app: flask.Flask) -> None:
    client = app.test_client()
    response = client.post("/set/name", data={"value": "a-long-secret"})
    assert "a-long-secret" not in response.headers["Set-Cookie"]
    assert client.get("/get/name").text == "a-long-secret"


def test_clients_do_not_see_one_another(app: flask.Flask) -> None:
    one, two = app.test_client(), app.test_client()
    one.post("/set/name", data={"value": "one"})
    assert two.get("/get/name").text == "-"


def test_an_unknown_id_gives_an_empty_session(app: flask.Flask) -> None:
    client = app.test_client()
    client.set_cookie("session", "made-up")
    assert client.get("/get/name").text == "-"


def test_clearing_takes_the_cookie_away(app: flask.Flask) -> None:
    client = app.test_client()
    client.post("/set/name", data={"value": "x"})
    assert "session=;" in client.post("/clear").headers["Set-Cookie"]
    assert client.get("/get/name").text == "-"


def test_an_untouched_session_sets_no_cookie(app: flask.Flask) -> None:
    assert "Set-Cookie" not in app.test_client().get("/nothing").headers


def test_changes_inside_a_value(app: flask.Flask) -> None:
    client = app.test_client()
    client.post("/append")
    assert client.post("/append").json == {"list": [1, 1]}


def test_the_cookie_has_the_attributes_of_the_config(app: flask.Flask) -> None:
    app.config.update(
        SESSION_COOKIE_NAME="sid", SESSION_COOKIE_SAMESITE="Lax", SESSION_PERMANENT=False
    )
    Session(app)
    cookie = app.test_client().post("/set/name", data={"value": "x"}).headers["Set-Cookie"]
    assert cookie.startswith("sid=")
    assert "SameSite=Lax" in cookie
    assert "HttpOnly" in cookie


def test_the_vary_header(app: flask.Flask) -> None:
    assert "Cookie" in app.test_client().get("/get/name").headers["Vary"]


def test_regenerating_changes_the_id(app: flask.Flask) -> None:
    @app.post("/regenerate")
    def regenerate() -> str:
        app.session_interface.regenerate(flask.session)  # type: ignore[attr-defined]
        return "ok"

    client = app.test_client()
    before = client.post("/set/name", data={"value": "x"}).headers["Set-Cookie"].split(";")[0]
    after = client.post("/regenerate").headers["Set-Cookie"].split(";")[0]
    assert before != after
    assert client.get("/get/name").text == "x"
