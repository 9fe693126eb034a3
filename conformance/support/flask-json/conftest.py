"""The fixtures that Flask-JSON's tests ask for; its archive carries the tests without them.

Written from what the tests say of each.
"""

import json
from importlib.metadata import version

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_json import FlaskJSON

# What the marks of some tests ask for.
pytest.flask_ver = tuple(int(part) for part in version("flask").split(".")[:3])


class Client(FlaskClient):
    def post_json(self, url, data, raw=False):
        """Send *data* as JSON; what is raw is sent as it is, and only called so."""
        body = data if raw else json.dumps(data)
        return self.post(url, data=body, content_type="application/json")


@pytest.fixture
def app():
    app = Flask("tests")
    app.testing = True
    app.test_client_class = Client
    FlaskJSON(app)
    return app


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def app_request(app):
    """A request context, pushed while the test runs."""
    with app.test_request_context():
        yield
