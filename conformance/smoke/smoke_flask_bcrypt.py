"""Flask-Bcrypt: hashes by the app's settings, checked in a log-in view."""

from __future__ import annotations

import flask
import pytest
from flask_bcrypt import Bcrypt
from flask_bcrypt import check_password_hash
from flask_bcrypt import generate_password_hash


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(BCRYPT_LOG_ROUNDS=4, SECRET_KEY="k")
    return app


def test_a_hash_is_checked(app: flask.Flask) -> None:
    bcrypt = Bcrypt(app)
    hashed = bcrypt.generate_password_hash("secret")
    assert bcrypt.check_password_hash(hashed, "secret")
    assert not bcrypt.check_password_hash(hashed, "Secret")


@pytest.mark.parametrize("rounds", [4, 6])
def test_the_rounds_come_from_the_config(app: flask.Flask, rounds: int) -> None:
    app.config["BCRYPT_LOG_ROUNDS"] = rounds
    assert Bcrypt(app).generate_password_hash("x").startswith(b"$2b$%02d$" % rounds)


def test_init_app_later(app: flask.Flask) -> None:
    bcrypt = Bcrypt()
    bcrypt.init_app(app)
    assert bcrypt.check_password_hash(bcrypt.generate_password_hash("x"), "x")


def test_long_passwords_are_told_apart_when_asked(app: flask.Flask) -> None:
    app.config["BCRYPT_HANDLE_LONG_PASSWORDS"] = True
    bcrypt = Bcrypt(app)
    hashed = bcrypt.generate_password_hash("a" * 80 + "b")
    assert not bcrypt.check_password_hash(hashed, "a" * 80 + "c")


def test_the_module_functions_hash_without_an_app() -> None:
    assert check_password_hash(generate_password_hash("x", 4), "x")


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ValueError, match="non-empty"):
        generate_password_hash("")


def test_log_in_and_out(app: flask.Flask) -> None:
    bcrypt = Bcrypt(app)
    users = {"ada": bcrypt.generate_password_hash("pw")}

    @app.post("/login")
    def login() -> flask.typing.ResponseReturnValue:
        name = flask.request.form["name"]
        if not bcrypt.check_password_hash(users[name], flask.request.form["password"]):
            flask.abort(403)
        flask.session["user"] = name
        return flask.redirect(flask.url_for("me"))

    @app.get("/me")
    def me() -> str:
        return str(flask.session.get("user", "nobody"))

    client = app.test_client()
    assert client.post("/login", data={"name": "ada", "password": "no"}).status_code == 403
    assert client.get("/me").text == "nobody"
    done = client.post("/login", data={"name": "ada", "password": "pw"}, follow_redirects=True)
    assert done.text == "ada"
