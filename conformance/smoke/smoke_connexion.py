"""connexion: a Flask app made from an OpenAPI document, checked by it, over ASGI."""

from __future__ import annotations

import pathlib
import typing as t

import connexion
import flask
import pytest
from connexion.options import SwaggerUIOptions

SPEC = """
openapi: "3.0.3"
info: {title: Pets, version: "1"}
servers: [{url: /v1}]
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-apikeyInfoFunc: conftest_views.check_key}
paths:
  /pets:
    get:
      operationId: conftest_views.find
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, default: 10}}
      responses:
        "200": {description: ok, content: {application/json: {schema: {type: array}}}}
    post:
      operationId: conftest_views.add
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [name]
              properties: {name: {type: string, minLength: 2}}
      responses:
        "201": {description: made}
  /pets/{pet_id}:
    get:
      operationId: conftest_views.one
      parameters:
        - {name: pet_id, in: path, required: true, schema: {type: integer}}
      responses:
        "200": {description: ok}
        "404": {description: none}
  /broken:
    get:
      operationId: conftest_views.broken
      responses: {"200": {description: ok}}
  /secret:
    get:
      operationId: conftest_views.secret
      security: [{key: []}]
      responses: {"200": {description: ok}}
"""
VIEWS = """
import flask

PETS = {}


def check_key(key, required_scopes=None):
    return {"sub": "keeper"} if key == "open" else None


def find(limit):
    return list(PETS.values())[:limit]


def add(body):
    pet = {"id": len(PETS) + 1, **body}
    PETS[pet["id"]] = pet
    return pet, 201, {"X-Made-By": flask.current_app.name}


def one(pet_id):
    return PETS.get(pet_id) or flask.abort(404)


def broken():
    raise LookupError("lost")


def secret(user):
    return {"user": user, "path": flask.request.path}
"""


@pytest.fixture
def client(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Any]:
    (tmp_path / "api.yaml").write_text(SPEC)
    (tmp_path / "conftest_views.py").write_text(VIEWS)
    monkeypatch.syspath_prepend(tmp_path)
    app = connexion.FlaskApp("pets", specification_dir=str(tmp_path))
    app.add_api(
        "api.yaml", swagger_ui_options=SwaggerUIOptions(swagger_ui=True), validate_responses=True
    )
    app.add_error_handler(
        LookupError, lambda request, error: connexion.lifecycle.ConnexionResponse(418, body="tea")
    )
    app.app.add_url_rule("/plain", "plain", lambda: "a plain Flask view")
    with app.test_client() as client:
        yield client
    monkeypatch.delitem(__import__("sys").modules, "conftest_views", raising=False)


def test_the_app_inside_is_a_flask_app(client: t.Any) -> None:
    assert client.get("/plain").text == "a plain Flask view"
    assert isinstance(connexion.FlaskApp("x").app, flask.Flask)


def test_a_pet_is_made_found_and_read(client: t.Any) -> None:
    made = client.post("/v1/pets", json={"name": "Tobet"})
    assert (made.status_code, made.headers["X-Made-By"]) == (201, "pets")
    assert client.get("/v1/pets/1").json() == {"id": 1, "name": "Tobet"}
    assert client.get("/v1/pets?limit=1").json() == [{"id": 1, "name": "Tobet"}]


@pytest.mark.parametrize("body", [{}, {"name": "x"}, {"name": 3}])
def test_a_body_that_breaks_the_document_is_refused(client: t.Any, body: object) -> None:
    assert client.post("/v1/pets", json=body).status_code == 400


@pytest.mark.parametrize("limit", ["0", "many"])
def test_an_argument_that_breaks_the_document_is_refused(client: t.Any, limit: str) -> None:
    assert client.get(f"/v1/pets?limit={limit}").status_code == 400


def test_an_unknown_pet_is_a_problem_document(client: t.Any) -> None:
    answer = client.get("/v1/pets/77")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_error_handler_answers(client: t.Any) -> None:
    answer = client.get("/v1/broken")
    assert (answer.status_code, answer.text) == (418, "tea")


def test_the_key_is_asked_for(client: t.Any) -> None:
    assert client.get("/v1/secret").status_code == 401
    assert client.get("/v1/secret", headers={"X-Key": "shut"}).status_code == 401
    assert client.get("/v1/secret", headers={"X-Key": "open"}).json()["user"] == "keeper"


def test_the_document_and_its_page_are_served(client: t.Any) -> None:
    assert client.get("/v1/openapi.json").json()["info"]["title"] == "Pets"
    assert "swagger" in client.get("/v1/ui/").text


def test_a_wrong_method_is_405(client: t.Any) -> None:
    assert client.delete("/v1/pets").status_code == 405
