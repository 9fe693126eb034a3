"""Signals tell what happens, in Flask's order, and cost nothing while nobody listens."""

from __future__ import annotations

import typing as t

import flask.signals
import pytest
from blinker import NamedSignal

import torsyq.signals
from torsyq import flash
from torsyq import Flask
from torsyq import render_template_string
from torsyq import stream_template_string

NAMES = [name for name, value in vars(flask.signals).items() if isinstance(value, NamedSignal)]

Event = tuple[str, dict[str, t.Any]]


def signal(name: str) -> NamedSignal:
    return t.cast(NamedSignal, getattr(torsyq.signals, name))


@pytest.fixture
def events(app: Flask) -> t.Iterator[list[Event]]:
    """What the app sends, in order."""
    seen: list[Event] = []
    receivers = []
    for name in NAMES:

        def receive(sender: object, _name: str = name, **extra: t.Any) -> None:
            assert sender is app
            seen.append((_name, extra))

        signal(name).connect(receive, app)
        receivers.append((name, receive))
    yield seen
    for name, receive in receivers:
        signal(name).disconnect(receive, app)


def names_of(events: list[Event]) -> list[str]:
    return [name for name, _ in events]


@pytest.mark.parametrize("name", NAMES)
def test_flasks_signals_are_there_under_their_names(name: str) -> None:
    assert signal(name).name == getattr(flask.signals, name).name
    assert signal(name) is torsyq.signals._signals[signal(name).name]
    assert signal(name) is getattr(torsyq, name)


def test_the_namespace_is_not_shared() -> None:
    from blinker import default_namespace

    assert "request-started" not in default_namespace
    assert signal("request_started") is not flask.signals.request_started


@pytest.mark.usefixtures("protocol")
def test_a_request_sends_its_signals_in_order(app: Flask, events: list[Event]) -> None:
    @app.before_request
    def before() -> None:
        events.append(("hook before", {}))

    @app.after_request
    def after(response: torsyq.Response) -> torsyq.Response:
        events.append(("hook after", {}))
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append(("hook teardown", {}))

    @app.get("/")
    def index() -> str:
        events.append(("view", {}))
        return "x"

    assert app.test_client().get("/").text == "x"
    assert names_of(events) == [
        "appcontext_pushed",
        "request_started",
        "hook before",
        "view",
        "hook after",
        "request_finished",
        "hook teardown",
        "request_tearing_down",
        "appcontext_tearing_down",
        "appcontext_popped",
    ]
    extras = dict(events)
    assert extras["request_finished"]["response"].status_code == 200
    assert extras["request_tearing_down"] == {"exc": None}
    assert extras["appcontext_tearing_down"] == {"exc": None}


@pytest.mark.usefixtures("protocol")
def test_an_unhandled_exception_is_told_before_its_response_finishes(
    app: Flask, events: list[Event]
) -> None:
    app.config.update(TESTING=False, PROPAGATE_EXCEPTIONS=False)
    error = ZeroDivisionError("by hand")

    @app.get("/")
    def index() -> str:
        raise error

    assert app.test_client().get("/").status_code == 500
    extras = dict(events)
    assert extras["got_request_exception"] == {"exception": error}
    assert extras["request_tearing_down"] == {"exc": error}
    order = names_of(events)
    assert order.index("got_request_exception") < order.index("request_finished")


@pytest.mark.usefixtures("protocol")
def test_an_http_exception_is_no_exception(app: Flask, events: list[Event]) -> None:
    assert app.test_client().get("/nowhere").status_code == 404
    assert "got_request_exception" not in names_of(events)
    assert dict(events)["request_tearing_down"] == {"exc": None}


def test_an_app_context_alone_sends_only_its_own(app: Flask, events: list[Event]) -> None:
    with app.app_context():
        assert names_of(events) == ["appcontext_pushed"]
    assert names_of(events)[1:] == ["appcontext_tearing_down", "appcontext_popped"]


def test_flashing_sends_message_and_category(app: Flask, events: list[Event]) -> None:
    with app.test_request_context():
        flash("saved", "good")
        assert events[-1] == ("message_flashed", {"message": "saved", "category": "good"})


@pytest.mark.parametrize("streamed", [False, True])
def test_rendering_sends_template_and_context(
    app: Flask, events: list[Event], streamed: bool
) -> None:
    with app.test_request_context():
        if streamed:
            assert "".join(stream_template_string("{{ n }}", n=1)) == "1"
        else:
            assert render_template_string("{{ n }}", n=1) == "1"
    sent = [event for event in events if "template" in event[0]]
    assert names_of(sent) == ["before_render_template", "template_rendered"]
    assert {extra["context"]["n"] for _, extra in sent} == {1}
    assert sent[0][1]["template"] is sent[1][1]["template"]


@pytest.mark.usefixtures("protocol")
def test_a_receiver_added_later_hears_the_next_request(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/").status_code == 404
    heard = []

    def receive(sender: Flask, **extra: t.Any) -> None:
        heard.append(sender)

    with torsyq.request_started.connected_to(receive, app):
        client.get("/")
    client.get("/")
    assert heard == [app]


@pytest.mark.usefixtures("protocol")
def test_a_receiver_of_another_app_hears_nothing(app: Flask) -> None:
    heard = []

    def receive(sender: Flask, **extra: t.Any) -> None:
        heard.append(sender)

    with torsyq.request_started.connected_to(receive, Flask("other")):
        app.test_client().get("/")
    assert heard == []


@pytest.mark.usefixtures("protocol")
def test_an_async_receiver_is_run_to_its_end(app: Flask) -> None:
    heard = []

    async def receive(sender: Flask, **extra: t.Any) -> None:
        heard.append(sender)

    with torsyq.request_started.connected_to(receive, app):
        app.test_client().get("/")
    assert heard == [app]
