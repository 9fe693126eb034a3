"""Flask-Principal: identities kept in the session, permissions asked in views."""

from __future__ import annotations

import flask
import pytest
from flask_principal import AnonymousIdentity
from flask_principal import Identity
from flask_principal import identity_changed
from flask_principal import identity_loaded
from flask_principal import Permission
from flask_principal import PermissionDenied
from flask_principal import Principal
from flask_principal import RoleNeed

ADMIN = Permission(RoleNeed("admin"))


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="k")
    Principal(app)

    @identity_loaded.connect_via(app)
    def roles(sender: flask.Flask, identity: Identity) -> None:
        if identity.id == "ada":
            identity.provides.add(RoleNeed("admin"))

    @app.post("/login/<name>")
    def login(name: str) -> str:
        identity_changed.send(flask.current_app._get_current_object(), identity=Identity(name))
        return "in"

    @app.post("/logout")
    def logout() -> str:
        flask.session.clear()
        identity_changed.send(flask.current_app._get_current_object(), identity=AnonymousIdentity())
        return "out"

    @app.get("/who")
    def who() -> str:
        return str(flask.g.identity.id)

    @app.get("/admin")
    @ADMIN.require(403)  # type: ignore[untyped-decorator]
    def admin() -> str:
        return "the vault"

    @app.get("/raises")
    @ADMIN.require()  # type: ignore[untyped-decorator]
    def raises() -> str:
        return "the other vault"

    @app.errorhandler(PermissionDenied)
    def denied(error: PermissionDenied) -> tuple[str, int]:
        return "denied", 401

    return app


def test_someone_with_the_role_comes_in(app: flask.Flask) -> None:
    client = app.test_client()
    client.post("/login/ada")
    assert client.get("/who").text == "ada"
    assert client.get("/admin").text == "the vault"
    assert client.get("/raises").text == "the other vault"


def test_someone_without_it_does_not(app: flask.Flask) -> None:
    client = app.test_client()
    client.post("/login/bob")
    assert client.get("/admin").status_code == 403
    denied = client.get("/raises")
    assert (denied.status_code, denied.text) == (401, "denied")


def test_logging_out_takes_the_identity_away(app: flask.Flask) -> None:
    client = app.test_client()
    client.post("/login/ada")
    client.post("/logout")
    assert client.get("/admin").status_code == 403


def test_a_permission_can_guard_a_block(app: flask.Flask) -> None:
    with app.test_request_context():
        app.preprocess_request()
        flask.g.identity = Identity("x")
        assert not ADMIN.can()
        with pytest.raises(PermissionDenied), ADMIN.require():
            pass
