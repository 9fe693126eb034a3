"""Authlib: its Flask client against its Flask OAuth 2 server, both in process."""

from __future__ import annotations

import typing as t
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import flask
import pytest
from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2 import current_token
from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6750 import BearerTokenValidator


class Client:
    """The one client this server knows."""

    client_id = "cid"

    def check_client_secret(self, secret: str) -> bool:
        return secret == "csecret"

    def check_redirect_uri(self, uri: str) -> bool:
        return uri == "https://shop.test/back"

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind in ("authorization_code", "password", "client_credentials")

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def get_default_redirect_uri(self) -> str:
        return "https://shop.test/back"

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(word for word in (scope or "").split() if word in ("profile", "photos"))


class Code:
    def __init__(self, code: str, request: OAuth2Request) -> None:
        self.code, self.user, self.client_id = code, request.user, request.client.client_id
        self.redirect_uri, self.scope = request.payload.redirect_uri, request.payload.scope

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri or "")

    def get_scope(self) -> str:
        return str(self.scope or "")


class Token:
    def __init__(self, fields: dict[str, t.Any], user: str | None) -> None:
        self.fields, self.user = fields, user

    def get_scope(self) -> str:
        return str(self.fields.get("scope", ""))

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


@pytest.fixture
def server() -> flask.Flask:
    app = flask.Flask("server")
    app.config.update(SECRET_KEY="k", TESTING=True)
    codes: dict[str, Code] = {}
    tokens: dict[str, Token] = {}

    def save_token(token: dict[str, t.Any], request: OAuth2Request) -> None:
        tokens[token["access_token"]] = Token(token, request.user)

    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: t.ClassVar = ["client_secret_basic", "client_secret_post"]

        def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
            codes[code] = Code(code, request)

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> str:
            return str(authorization_code.user)

    class Bearer(BearerTokenValidator):  # type: ignore[misc]
        def authenticate_token(self, token_string: str) -> Token | None:
            return tokens.get(token_string)

    def query_client(client_id: str) -> Client | None:
        return Client() if client_id == "cid" else None

    oauth = AuthorizationServer(app, query_client=query_client, save_token=save_token)
    oauth.register_grant(CodeGrant)
    oauth.register_grant(grants.ClientCredentialsGrant)
    protect = ResourceProtector()
    protect.register_token_validator(Bearer())

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> t.Any:
        if flask.request.method == "GET":
            return oauth.get_consent_grant(end_user="ada").request.payload.scope or "no scope"
        return oauth.create_authorization_response(
            grant_user="ada" if "yes" in flask.request.form else None
        )

    @app.post("/token")
    def token() -> t.Any:
        return oauth.create_token_response()

    @app.get("/me")
    @protect("profile")  # type: ignore[untyped-decorator]
    def me() -> dict[str, str | None]:
        return {"user": current_token.user}

    return app


def authorize(server: flask.Flask, **form: str) -> dict[str, list[str]]:
    query = {"response_type": "code", "client_id": "cid", "scope": "profile", "state": "s"}
    response = server.test_client().post("/authorize", query_string=query, data=form)
    assert response.status_code == 302
    return parse_qs(urlsplit(response.location).query)


def test_the_consent_page_knows_the_scope(server: flask.Flask) -> None:
    query = {"response_type": "code", "client_id": "cid", "scope": "profile"}
    assert server.test_client().get("/authorize", query_string=query).text == "profile"


def test_a_code_becomes_a_token_that_opens_the_door(server: flask.Flask) -> None:
    answer = authorize(server, yes="1")
    assert answer["state"] == ["s"]
    client = server.test_client()
    form = {"grant_type": "authorization_code", "code": answer["code"][0]}
    token = client.post("/token", data=form, auth=("cid", "csecret"))
    assert token.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {token.json['access_token']}"}
    assert client.get("/me", headers=headers).json == {"user": "ada"}
    assert client.post("/token", data=form, auth=("cid", "csecret")).status_code == 400


def test_a_refusal_is_told_to_the_client(server: flask.Flask) -> None:
    assert authorize(server, no="1")["error"] == ["access_denied"]


def test_a_wrong_client_secret_is_401(server: flask.Flask) -> None:
    form = {"grant_type": "client_credentials"}
    answer = server.test_client().post("/token", data=form, auth=("cid", "wrong"))
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_client_credentials(server: flask.Flask) -> None:
    form = {"grant_type": "client_credentials", "scope": "profile"}
    answer = server.test_client().post("/token", data=form, auth=("cid", "csecret"))
    assert answer.json["scope"] == "profile"


def test_without_a_token_the_door_is_shut(server: flask.Flask) -> None:
    answer = server.test_client().get("/me")
    assert (answer.status_code, answer.json["error"]) == (401, "missing_authorization")


def test_a_token_without_the_scope_is_403(server: flask.Flask) -> None:
    client = server.test_client()
    form = {"grant_type": "client_credentials", "scope": "photos"}
    token = client.post("/token", data=form, auth=("cid", "csecret")).json["access_token"]
    answer = client.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["error"]) == (403, "insufficient_scope")


def test_the_client_side_redirects_and_keeps_its_state_in_the_session() -> None:
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY="k", SHOP_CLIENT_ID="cid", SHOP_CLIENT_SECRET="csecret")
    oauth = OAuth(app)
    oauth.register(
        "shop", authorize_url="https://id.test/authorize", access_token_url="https://id.test/token"
    )

    @app.get("/login")
    def login() -> t.Any:
        return oauth.shop.authorize_redirect(flask.url_for("back", _external=True))

    @app.get("/back")
    def back() -> str:
        return str(oauth.shop.authorize_access_token())

    client = app.test_client()
    response = client.get("/login")
    query = parse_qs(urlsplit(response.location).query)
    assert query["redirect_uri"] == ["http://localhost/back"]
    with client.session_transaction() as session:
        assert f"_state_shop_{query['state'][0]}" in session
    app.testing = False
    assert client.get("/back?code=c&state=forged").status_code == 500
