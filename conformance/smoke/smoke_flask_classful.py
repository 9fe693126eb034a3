"""Flask-Classful: class-based views that register their own routes."""

from __future__ import annotations

import typing as t

import flask
import pytest
from flask_classful import FlaskView
from flask_classful import route


class QuotesView(FlaskView):  # type: ignore[misc]
    def index(self) -> str:
        return "all"

    def get(self, id: str) -> str:  # noqa: A002
        return f"one {id}"

    def post(self) -> tuple[str, int]:
        return "made " + flask.request.form["text"], 201

    def delete(self, id: str) -> tuple[str, int]:  # noqa: A002
        return "", 204

    def random(self) -> str:
        return flask.url_for("QuotesView:get", id=7)

    @route("/by/<author>/", methods=["PUT"])
    def by(self, author: str) -> str:
        return f"{flask.request.method} {author}"

    def before_get(self, id: str, **kwargs: t.Any) -> flask.Response | None:  # noqa: A002
        return flask.make_response("refused", 403) if id == "13" else None

    def after_index(self, response: flask.Response) -> flask.Response:
        response.headers["X-After"] = "yes"
        return response


class OtherView(FlaskView):  # type: ignore[misc]
    trailing_slash = False

    def index(self) -> str:
        return "other"


@pytest.fixture
def client() -> flask.testing.FlaskClient:
    app = flask.Flask(__name__)
    QuotesView.register(app)
    OtherView.register(app, route_base="/other", route_prefix="/v2/")
    return app.test_client()


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/quotes/", 200, "all"),
        ("GET", "/quotes/4/", 200, "one 4"),
        ("GET", "/quotes/13/", 403, "refused"),
        ("POST", "/quotes/", 201, "made it"),
        ("DELETE", "/quotes/4/", 204, ""),
        ("PUT", "/quotes/by/ada/", 200, "PUT ada"),
        ("POST", "/quotes/by/ada/", 405, None),
        ("GET", "/v2/other", 200, "other"),
    ],
)
def test_routes(
    client: flask.testing.FlaskClient, method: str, path: str, status: int, text: str | None
) -> None:
    response = client.open(path, method=method, data={"text": "it"} if method == "POST" else None)
    assert response.status_code == status
    assert text is None or response.text == text


def test_a_url_can_be_built(client: flask.testing.FlaskClient) -> None:
    assert client.get("/quotes/random/").text.endswith("/7/")


def test_the_wrapper_after_a_view(client: flask.testing.FlaskClient) -> None:
    assert client.get("/quotes/").headers["X-After"] == "yes"
