"""The fixtures that Flask-RESTX's tests ask for; its archive carries the tests without them.

Written from what the tests say of each fixture and mark.
"""

import json

import pytest
from flask import Blueprint
from flask import Flask
from flask.testing import FlaskClient
from flask_restx import Api


class Client(FlaskClient):
    """A client whose verbs check the answer on the way and give what its JSON holds."""

    def get_json(self, url, status=200, **kwargs):
        return self.parsed(self.get(url, **kwargs), status)

    def post_json(self, url, data, status=200, **kwargs):
        answer = self.post(url, data=json.dumps(data), content_type="application/json", **kwargs)
        return self.parsed(answer, status)

    def get_specs(self, prefix="", status=200, **kwargs):
        return self.get_json(f"{prefix}/swagger.json", status=status, **kwargs)

    def parsed(self, answer, status):
        assert answer.status_code == status
        assert answer.content_type == "application/json"
        return json.loads(answer.text)


@pytest.fixture
def app():
    app = Flask("tests")
    app.test_client_class = Client
    return app


@pytest.fixture
def api(request, app):
    """The API of the mark's arguments: on the app, or below a prefix of its own on a blueprint."""
    mark = request.node.get_closest_marker("api")
    options = dict(mark.kwargs) if mark else {}
    if "prefix" in options:
        place = Blueprint("api", "tests", url_prefix=options.pop("prefix"))
    else:
        place = app
    api = Api(place, **options)
    if place is not app:
        app.register_blueprint(place)
    return api


@pytest.fixture(autouse=True)
def asked_for_request_context(request):
    """The mark's arguments are those of a test request, which is there while the test runs."""
    mark = request.node.get_closest_marker("request_context")
    if mark is None:
        yield
        return
    app = request.getfixturevalue("app")
    with app.test_request_context(*mark.args, **mark.kwargs):
        yield
