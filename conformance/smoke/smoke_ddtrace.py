"""Datadog's tracer: it wraps the steps of the walk, the hooks, the views and the signals in spans."""

from __future__ import annotations

import os
import typing as t

os.environ["DD_TRACE_AGENT_URL"] = "http://127.0.0.1:1"
os.environ["DD_INSTRUMENTATION_TELEMETRY_ENABLED"] = "false"
os.environ["DD_REMOTE_CONFIGURATION_ENABLED"] = "false"

import ddtrace
from ddtrace.trace import TraceFilter
from ddtrace.trace import tracer

SPANS: list[t.Any] = []


class Keep(TraceFilter):  # type: ignore[misc]
    def process_trace(self, trace: list[t.Any]) -> None:
        SPANS.extend(trace)


tracer.configure(trace_processors=[Keep()])
ddtrace.patch(flask=True, jinja2=False)

# After the tracer, as under `ddtrace-run`.
import flask  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    part = flask.Blueprint("part", __name__, url_prefix="/part")

    @part.before_request
    def before_part() -> None:
        pass

    @part.get("/<int:number>")
    def show(number: int) -> str:
        return flask.render_template_string("{{ n }}", n=number)

    @app.get("/wrong")
    def wrong() -> str:
        raise ValueError("no")

    @app.errorhandler(404)
    def lost(error: Exception) -> tuple[str, int]:
        return "lost", 404

    @app.get("/file")
    def file() -> flask.Response:
        return flask.send_file(__file__)

    @app.teardown_appcontext
    def last(error: BaseException | None) -> None:
        pass

    app.register_blueprint(part)
    return app


def ask(app: flask.Flask, path: str) -> list[str]:
    """The spans of a GET, each under the name of its parent."""
    SPANS.clear()
    app.test_client().get(path).close()
    names = {span.span_id: short(span.name) for span in SPANS}
    return [f"{names.get(span.parent_id, '')} > {short(span.name)}" for span in SPANS]


def short(name: str) -> str:
    return name.removeprefix(f"{__name__}.").removeprefix("flask.")


def test_each_step_is_a_span_under_the_step_that_calls_it(app: flask.Flask) -> None:
    assert ask(app, "/part/3") == [
        " > request",
        "request > application",
        "application > preprocess_request",
        "preprocess_request > before_part",
        "application > dispatch_request",
        "dispatch_request > part.show",
        "part.show > render_template_string",
        "application > process_response",
        "application > do_teardown_request",
        "application > do_teardown_appcontext",
        "do_teardown_appcontext > last",
        "request > response",
    ]


def test_the_request_names_its_rule_and_endpoint(app: flask.Flask) -> None:
    ask(app, "/part/3?q=1")
    request = SPANS[0]
    assert request.resource == "GET /part/<int:number>"
    assert request.get_tag("flask.endpoint") == "part.show"
    assert request.get_tag("flask.view_args.number") or request.get_metric("flask.view_args.number")
    assert request.get_tag("http.status_code") == "200"


def test_an_error_of_a_view_is_told_by_the_view_and_the_request(app: flask.Flask) -> None:
    ask(app, "/wrong")
    failed = {short(span.name): span.get_tag("error.type") for span in SPANS if span.error}
    assert failed["wrong"] == "builtins.ValueError"
    assert "request" in failed
    assert SPANS[0].get_tag("http.status_code") == "500"


def test_an_error_handler_is_a_span(app: flask.Flask) -> None:
    spans = ask(app, "/nowhere")
    assert "handle_user_exception > handle_http_exception" in spans
    assert "handle_http_exception > lost" in spans
    assert SPANS[0].get_tag("http.status_code") == "404"


def test_sending_a_file_is_a_span_of_the_view(app: flask.Flask) -> None:
    assert "file > send_file" in ask(app, "/file")


@pytest.mark.parametrize("signal", ["request_started", "request_finished", "request_tearing_down"])
def test_a_receiver_is_a_span(app: flask.Flask, signal: str) -> None:
    def heard(sender: flask.Flask, **extra: object) -> None:
        pass

    getattr(flask, signal).connect(heard, app)
    spans = ask(app, "/part/3")
    assert [span for span in spans if span.endswith("heard")]


def test_a_hook_that_is_added_later_is_a_span(app: flask.Flask) -> None:
    ask(app, "/part/3")
    app._got_first_request = False

    @app.after_request
    def late(response: flask.Response) -> flask.Response:
        return response

    assert "process_response > late" in ask(app, "/part/3")
