"""Elastic APM: transactions, spans and errors told by signals and by the app's wrapped methods."""

from __future__ import annotations

import typing as t

import flask
import pytest
from elasticapm.base import Client
from elasticapm.contrib.flask import ElasticAPM

SETTINGS = {
    "service_name": "smoke",
    "capture_body": "all",
    "metrics_interval": "0ms",
    "cloud_provider": "none",
    "central_config": "false",
    # Not the one that looks for a server.
    "transport_class": "elasticapm.transport.base.Transport",
}
Events = list[tuple[str, dict[str, t.Any]]]


class Recorder(Client):  # type: ignore[misc]
    events: Events

    def queue(self, event_type: str, data: dict[str, t.Any], flush: bool = False) -> None:
        self.events.append((event_type, data))


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def app(events: Events) -> t.Iterator[flask.Flask]:
    app = flask.Flask(__name__)
    client = Recorder(**SETTINGS)
    client.events = events
    ElasticAPM(app, client=client)

    @app.route("/item/<int:number>", methods=["GET", "POST"])
    def item(number: int) -> str:
        return flask.render_template_string("{{ number }}", number=number)

    @app.route("/fail", methods=["POST"])
    def fail() -> str:
        raise ValueError("wrong")

    @app.route("/ids")
    def ids() -> str:
        return flask.render_template_string("{{ apm.trace_id }}")

    yield app
    client.close()


def test_a_transaction_is_named_by_its_rule(app: flask.Flask, events: Events) -> None:
    app.test_client().get("/item/3?q=1").close()
    ((_, seen),) = [event for event in events if event[0] == "transaction"]
    assert (seen["name"], seen["result"]) == ("GET /item/<int:number>", "HTTP 2xx")
    assert seen["context"]["request"]["url"]["full"] == "http://localhost/item/3?q=1"


def test_the_body_is_captured(app: flask.Flask, events: Events) -> None:
    app.test_client().post("/item/3", data={"a": "b"}).close()
    (seen,) = [data for kind, data in events if kind == "transaction"]
    assert seen["context"]["request"]["body"] == {"a": "b"}
    assert seen["context"]["response"]["status_code"] == 200


def test_an_error_is_told_once(app: flask.Flask, events: Events) -> None:
    with app.test_client().post("/fail", json={"a": 1}) as answer:
        assert answer.status_code == 500
    (seen,) = [data for kind, data in events if kind == "error"]
    assert seen["exception"]["type"] == "ValueError"
    assert seen["context"]["request"]["body"]
    (transaction,) = [data for kind, data in events if kind == "transaction"]
    assert transaction["outcome"] == "failure"


def test_a_trace_is_continued_and_known_to_templates(app: flask.Flask) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    header = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert app.test_client().get("/ids", headers=header).text == trace


def test_what_no_rule_matches_is_a_transaction_too(app: flask.Flask, events: Events) -> None:
    app.test_client().get("/nothing").close()
    (seen,) = [data for kind, data in events if kind == "transaction"]
    assert seen["result"] == "HTTP 4xx"
