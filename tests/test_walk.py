"""The walk of a request: its order of events is Flask's, and it keeps to its budget of calls."""

from __future__ import annotations

import asyncio
import gc
import io
import re
import sys
import traceback
import typing as t
import weakref
from datetime import timedelta
from functools import wraps
from unittest import mock

import flask
import pytest
from flask.testing import FlaskClient as OriginalClient
from werkzeug.exceptions import InternalServerError
from werkzeug.exceptions import NotFound
from werkzeug.routing import BuildError
from werkzeug.wrappers import Response as BaseResponse

import torsyq
from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import Response
from torsyq import session
from torsyq.sessions import SecureCookieSessionInterface
from torsyq.testing import EnvironBuilder
from torsyq.testing import FlaskClient

from .calls import Calls

Framework = t.Any  # The modules flask and torsyq, which offer the same names.


def environ(path: str = "/", method: str = "GET", **kwargs: t.Any) -> dict[str, t.Any]:
    made = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return made | kwargs


def start_response(status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> t.Any:
    """A server that does not care."""


# The order of events, compared with Flask's.


def trace_app(framework: Framework, events: list[t.Any]) -> t.Any:
    """An app with every kind of hook and signal, which writes down what runs."""
    app = framework.Flask("trace", static_folder=None)
    app.secret_key = "k"
    app.config["PROPAGATE_EXCEPTIONS"] = False

    def note(name: str) -> t.Callable[..., t.Any]:
        def hook(*args: t.Any, **kwargs: t.Any) -> None:
            seen = [a if isinstance(a, (str, dict, type(None))) else type(a).__name__ for a in args]
            events.append((name, *seen))

        return hook

    def note_response(name: str) -> t.Callable[[t.Any], t.Any]:
        def hook(response: t.Any) -> t.Any:
            events.append((name, response.status))
            return response

        return hook

    outer = framework.Blueprint("outer", "outer", url_prefix="/outer")
    inner = framework.Blueprint("inner", "inner", url_prefix="/inner")
    for name, scaffold in ("app", app), ("outer", outer), ("inner", inner):
        for number in "1", "2":
            scaffold.url_value_preprocessor(note(f"{name} url value {number}"))
            scaffold.before_request(note(f"{name} before {number}"))
            scaffold.after_request(note_response(f"{name} after {number}"))
            scaffold.teardown_request(note(f"{name} teardown {number}"))
    app.teardown_appcontext(note("appcontext teardown 1"))
    app.teardown_appcontext(note("appcontext teardown 2"))

    @app.errorhandler(KeyError)
    def on_key_error(error: KeyError) -> tuple[str, int]:
        events.append("app KeyError handler")
        return "key", 418

    @inner.errorhandler(404)
    def on_not_found(error: NotFound) -> tuple[str, int]:
        events.append("inner 404 handler")
        return "nothing here", 404

    @app.errorhandler(500)
    def on_error(error: t.Any) -> tuple[str, int]:
        events.append(("app 500 handler", repr(error.original_exception)))
        return "sorry", 500

    @app.route("/", methods=["GET", "POST"])
    def index() -> str:
        events.append("index")
        framework.after_this_request(note_response("this request 1"))
        framework.after_this_request(note_response("this request 2"))
        return "index"

    @app.route("/key-error")
    def key_error() -> str:
        raise KeyError("k")

    @app.route("/crash")
    def crash() -> str:
        raise ZeroDivisionError("z")

    @app.route("/none")
    def none() -> None:
        return None

    @app.route("/session")
    def touch() -> str:
        framework.session["n"] = 1
        return "kept"

    @app.route("/slash/")
    def slash() -> str:
        return "slash"

    @inner.route("/<int:n>")
    def show(n: int) -> str:
        events.append(("number", n))
        return str(n)

    @inner.route("/missing")
    def missing() -> None:
        framework.abort(404)

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    return app


def run_traced(
    framework: Framework,
    requests: list[tuple[str, str]],
    change: t.Callable[[t.Any], None] = lambda app: None,
) -> list[t.Any]:
    events: list[t.Any] = []
    app = trace_app(framework, events)
    change(app)
    signals = {
        name: getattr(framework, name)
        for name in (
            "appcontext_pushed",
            "request_started",
            "request_finished",
            "got_request_exception",
            "request_tearing_down",
            "appcontext_tearing_down",
            "appcontext_popped",
        )
    }
    receivers = []
    for name, signal in signals.items():

        def receive(sender: t.Any, _name: str = name, **extra: t.Any) -> None:
            extra.pop("_async_wrapper", None)
            seen = {k: getattr(v, "status", None) or repr(v) for k, v in extra.items()}
            events.append(("signal", _name, seen))

        receivers.append(receive)
        signal.connect(receive, app)
    client = app.test_client()
    for method, path in requests:
        response = client.open(path, method=method)
        allowed = sorted(response.allow)  # A set, whose order is any.
        response.headers.pop("Allow", None)
        if cookie := response.headers.get("Set-Cookie"):
            # The signature has the time in it.
            response.headers["Set-Cookie"] = re.sub(r"(session=[^.]+)\.[^;]+", r"\1", cookie)
        events.append((response.status, allowed, sorted(response.headers), response.data))
    return events


PATHS = [
    "/",
    "/key-error",
    "/crash",
    "/none",
    "/session",
    "/slash",
    "/nope",
    "/outer/inner/5",
    "/outer/inner/x",
    "/outer/inner/missing",
]


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_events_come_in_the_order_of_flask(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)  # Session cookies carry the time.
    requests = [(method, path)] * 2
    assert run_traced(torsyq, requests) == run_traced(flask, requests)


def asynchronous(app: Flask) -> None:
    """Make every function of *app* async."""

    def changed(func: t.Any) -> t.Any:
        @wraps(func)
        async def hook(*args: t.Any, **kwargs: t.Any) -> t.Any:
            await asyncio.sleep(0)
            return func(*args, **kwargs)

        return hook

    for name, view in app.view_functions.items():
        app.view_functions[name] = changed(view)
    app.teardown_appcontext_funcs[:] = map(changed, app.teardown_appcontext_funcs)
    registries: list[dict[t.Any, list[t.Any]]] = [
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.url_value_preprocessors,
    ]
    for registry in registries:
        for functions in registry.values():
            functions[:] = map(changed, functions)
    for by_code in app.error_handler_spec.values():
        for handlers in by_code.values():
            handlers.update({key: changed(handler) for key, handler in handlers.items()})


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_events_come_in_the_same_order_where_every_function_is_async(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    requests = [(method, path)] * 2
    assert run_traced(torsyq, requests, asynchronous) == run_traced(flask, requests)


@pytest.mark.usefixtures("protocol")
def test_a_before_request_value_is_the_answer() -> None:
    app = Flask("early")
    called = []

    @app.before_request
    def early() -> tuple[str, int]:
        return "early", 202

    @app.before_request
    def never() -> None:
        called.append("never")

    @app.get("/")
    def view() -> str:
        called.append("view")
        return "late"

    response = app.test_client().get("/")
    assert (response.text, response.status_code, called) == ("early", 202, [])


# What a view may return.


@pytest.mark.parametrize(
    "value",
    [
        "text",
        b"bytes",
        bytearray(b"array"),
        {"a": 1},
        [1, 2],
        ("t", 201),
        ("t", "404 Nope"),
        ("t", {"X-A": "1"}),
        ("t", [("X-A", "1"), ("X-A", "2")]),
        ("t", 202, {"X-A": ["1", "2"]}),
        ("t", 202, {"Content-Type": "text/plain"}),
        ({"a": 1}, 201, {"X-A": "1"}),
        iter(["a", "b"]),
        NotFound("gone"),
        (NotFound("gone"), 410),
        BaseResponse("other", 203, {"X-A": "1"}),
        None,
        (None, 200),
        ("t",),
        ("t", 1, 2, 3),
        5,
        {1, 2},
        object(),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_return_values_become_what_flask_makes_of_them(value: t.Any) -> None:
    def outcome(framework: Framework) -> t.Any:
        app = framework.Flask("returns")
        with app.test_request_context("/"):
            try:
                response = app.make_response(value)
            except TypeError as error:
                return str(error)
        if isinstance(value, t.Iterator):
            return response.status, list(response.headers), response.is_streamed
        return response.status, list(response.headers), response.get_data()

    assert outcome(torsyq) == outcome(flask)


def test_a_wsgi_application_is_taken_as_the_response(app: Flask, anyclient: FlaskClient) -> None:
    def other(environ: t.Any, start_response: t.Any) -> list[bytes]:
        start_response("299 Fine", [("X-Other", "yes")])
        return [b"other"]

    @app.get("/")
    def view() -> t.Any:
        return other

    response = anyclient.get("/")
    assert (response.status_code, response.data) == (299, b"other")
    assert response.headers["X-Other"] == "yes"


def test_what_can_be_called_is_a_wsgi_application_even_if_it_can_be_awaited_too(
    app: Flask, anyclient: FlaskClient
) -> None:
    """Tests of applications return mocks, which can do everything."""

    @app.get("/")
    def view() -> t.Any:
        return mock.MagicMock()

    assert anyclient.get("/").data == b""


def test_a_response_of_the_class_is_returned_as_it_is(app: Flask) -> None:
    response = app.response_class("x")
    with app.test_request_context():
        assert app.make_response(response) is response


def test_a_callable_that_is_no_wsgi_application_is_explained(app: Flask) -> None:
    not_wsgi: t.Any = lambda: 1  # noqa: E731
    with (
        app.test_request_context(),
        pytest.raises(TypeError, match="or WSGI callable, but it was a function"),
    ):
        app.make_response(not_wsgi)


@pytest.mark.parametrize("framework", [flask, torsyq])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", ("text", None, None)),
        (b"bytes", (b"bytes", None, None)),
        (("text", 201), ("text", 201, None)),
        (("text", {"X-A": "1"}), ("text", None, {"X-A": "1"})),
    ],
)
def test_a_response_class_is_told_status_and_headers_even_where_there_are_none(
    framework: Framework, value: t.Any, told: tuple[t.Any, t.Any, t.Any]
) -> None:
    """Its constructor may have other defaults, or ask for them."""

    class Own(framework.Response):  # type: ignore[misc]
        def __init__(self, response: t.Any, status: t.Any, headers: t.Any, **more: t.Any) -> None:
            given.append((response, status, headers))
            super().__init__(response, status, headers, **more)

    given: list[t.Any] = []
    app = framework.Flask("classes")
    app.response_class = Own
    app.add_url_rule("/", "view", lambda: value)
    response = app.test_client().get("/")

    # What follows is the client's, which makes one of the class as well.
    assert given[0] == told
    assert response.status_code == (told[1] or 200)


# Set-up may change until, and registries after, the first request.


def test_late_changes_of_public_registries_are_seen(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    def view() -> str:
        return "old"

    assert anyclient.get("/").text == "old"
    app.view_functions["view"] = lambda: "new"
    assert anyclient.get("/").text == "new"

    app.before_request_funcs.setdefault(None, []).append(lambda: g.setdefault("x", 1) and None)
    app.after_request_funcs.setdefault(None, []).append(
        lambda response: response.headers.update({"X-Late": str(g.x)}) or response
    )
    assert anyclient.get("/").headers["X-Late"] == "1"

    app.url_map.add(app.url_rule_class("/late", endpoint="late"))
    app.view_functions["late"] = lambda: "late"
    assert anyclient.get("/late").text == "late"


def test_a_view_that_becomes_async_is_awaited(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    def view() -> str:
        return "sync"

    async def later() -> str:
        return "async"

    assert anyclient.get("/").text == "sync"
    app.view_functions["view"] = later
    assert anyclient.get("/").text == "async"
    assert anyclient.get("/").text == "async"


def test_every_step_can_be_overridden() -> None:
    called = []

    def recorded(name: str) -> t.Any:
        def step(self: Flask, *args: t.Any, **kwargs: t.Any) -> t.Any:
            called.append(name)
            return getattr(super(Recorder, self), name)(*args, **kwargs)

        return step

    steps = [
        "wsgi_app",
        "request_context",
        "app_context",
        "create_url_adapter",
        "full_dispatch_request",
        "preprocess_request",
        "dispatch_request",
        "ensure_sync",
        "finalize_request",
        "make_response",
        "process_response",
        "do_teardown_request",
        "do_teardown_appcontext",
    ]
    Recorder = type("Recorder", (Flask,), {name: recorded(name) for name in steps})
    app = Recorder("recorder")
    app.add_url_rule("/", endpoint="index", view_func=lambda: "index")
    assert app.test_client().get("/").text == "index"
    assert called == [
        "wsgi_app",
        "request_context",
        "create_url_adapter",
        "app_context",
        "create_url_adapter",
        *steps[4:],
    ]


def test_middleware_wraps_wsgi_app(app: Flask, anyclient: FlaskClient) -> None:
    inner = app.wsgi_app

    def middleware(environ: t.Any, start_response: t.Any) -> t.Any:
        environ["middleware.was.here"] = "yes"
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]

    @app.get("/")
    def view() -> str:
        return t.cast(str, request.environ["middleware.was.here"])

    assert anyclient.get("/").text == "yes"


# Errors.


@pytest.mark.usefixtures("protocol")
def test_an_error_of_the_app_is_a_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("quiet")

    @app.get("/")
    def view() -> str:
        raise ValueError("secret detail")

    response = app.test_client().get("/")
    assert response.status_code == 500
    assert "secret detail" not in response.text
    assert caplog.messages == ["Exception on / [GET]"]


@pytest.mark.usefixtures("protocol")
def test_control_characters_of_a_path_cannot_forge_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("quiet")

    @app.before_request
    def fail() -> None:
        raise ValueError

    app.test_client().get("/x%0aERROR%20in%20app:%20forged%1b%5b31m")
    (message,) = caplog.messages
    assert message.isprintable()


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("config", [{"TESTING": True}, {"DEBUG": True}])
def test_errors_reach_the_developer(config: dict[str, bool]) -> None:
    app = Flask("loud")
    app.config.update(config)

    @app.get("/")
    def view() -> str:
        raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        app.test_client().get("/")


def test_handle_exception_called_from_elsewhere_raises_the_error_it_is_given(app: Flask) -> None:
    error = ValueError("mine")
    with app.test_request_context(), pytest.raises(ValueError, match="mine"):
        app.handle_exception(error)


@pytest.mark.usefixtures("protocol")
def test_an_error_while_answering_an_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("twice")

    @app.after_request
    def broken(response: t.Any) -> t.Any:
        raise RuntimeError("in after_request")

    @app.get("/")
    def view() -> str:
        return "fine"

    assert app.test_client().get("/").status_code == 500
    assert caplog.messages[-1].startswith("Request finalizing failed")
    # The log's lines name it.
    assert [record.module for record in caplog.records] == ["app", "app"]


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("kind", ["sync view, async handler", "async view, sync handler"])
def test_a_handler_is_called_where_its_error_is_being_handled(
    caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """``logger.exception()``, ``sys.exc_info()`` and a bare ``raise`` find the error."""
    app = Flask("handled")

    def fail(error: type[Exception]) -> t.NoReturn:
        raise error("here")

    def log(error: Exception) -> str:
        app.logger.exception("seen")
        return "handled"

    def again(error: Exception) -> str:
        raise

    async def fail_async(error: type[Exception]) -> t.NoReturn:
        fail(error)

    async def log_async(error: Exception) -> str:
        return log(error)

    async def again_async(error: Exception) -> str:
        return again(error)

    views = (fail, log_async, again_async), (fail_async, log, again)
    view, logging_handler, raising_handler = views[kind.startswith("async")]
    app.add_url_rule("/log", view_func=view, endpoint="log", defaults={"error": ValueError})
    app.add_url_rule("/again", view_func=view, endpoint="again", defaults={"error": KeyError})
    app.register_error_handler(ValueError, logging_handler)
    app.register_error_handler(KeyError, raising_handler)

    assert app.test_client().get("/log").text == "handled"
    (record,) = caplog.records
    assert record.exc_info is not None
    frames = traceback.extract_tb(record.exc_info[2])
    # Where it was raised, and nothing of how the handler was called.
    assert frames[-1].name == "fail"
    assert not {"amid", "amid_async"} & {frame.name for frame in frames}
    assert app.test_client().get("/again").status_code == 500
    assert repr(caplog.records[-1].exc_info[1]) == "KeyError('here')"  # type: ignore[index]


@pytest.mark.usefixtures("protocol")
def test_a_response_that_cannot_be_sent_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    class Unsendable(torsyq.Response):
        def get_wsgi_headers(self, environ: t.Any) -> t.Any:
            raise ValueError("bad header")

    app = Flask("unsendable")

    @app.get("/")
    def view() -> Unsendable:
        return Unsendable("x")

    assert app.test_client().get("/").status_code == 500


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_a_response_that_answers_by_itself_raises_for_the_server(framework: Framework) -> None:
    """Nothing is answered or logged in its place, and the teardown functions see no error."""

    class TakenOver(framework.Response):  # type: ignore[misc]
        def __call__(self, environ: t.Any, start_response: t.Any) -> t.Any:
            raise StopIteration

    app = framework.Flask("taken_over")
    app.logger.error = mock.Mock(side_effect=AssertionError)
    ended: list[t.Any] = []
    app.teardown_request(ended.append)
    app.add_url_rule("/", view_func=lambda: TakenOver())
    answered = mock.Mock()
    with pytest.raises(StopIteration):
        app(environ(), answered)
    assert ended == [None]
    answered.assert_not_called()


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("is_handled", [True, False])
@pytest.mark.parametrize("place", ["before_request", "view", "errorhandler", "after_request"])
def test_a_stop_iteration_is_an_error_like_any_other(place: str, is_handled: bool) -> None:
    """Also where the walk goes on the event loop, although no coroutine can raise it."""

    def outcome(framework: Framework) -> t.Any:
        app = framework.Flask("stops")
        seen: list[t.Any] = []

        def stop(*args: object) -> t.NoReturn:
            raise StopIteration("here")

        def note(what: str, error: BaseException | None) -> None:
            seen.append((what, repr(error), repr(sys.exc_info()[1])))

        @app.get("/")
        def view() -> str:
            if place == "errorhandler":
                raise KeyError
            return stop() if place == "view" else ""

        if place in {"before_request", "after_request"}:
            getattr(app, place)(stop)
        app.register_error_handler(KeyError, stop)

        @app.errorhandler(StopIteration if is_handled else 500)
        def handle(error: t.Any) -> tuple[str, int]:
            note("handled", getattr(error, "original_exception", error))
            return "sorry", 500

        @app.teardown_request
        def teardown(error: BaseException | None) -> None:
            seen.append(repr(error))

        def report(sender: t.Any, exception: Exception) -> None:
            note("reported", exception)

        app.log_exception = lambda exc_info: seen.append(repr(exc_info[1]))
        with framework.got_request_exception.connected_to(report, app):
            response = app.test_client().get("/")
        return response.status, response.text, seen

    assert outcome(torsyq) == outcome(flask)


def test_an_interrupt_passes_through_and_the_context_is_popped(app: Flask) -> None:
    ended: list[t.Any] = []
    app.teardown_request(ended.append)

    @app.get("/")
    def view() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app(environ(), start_response)
    assert [type(error) for error in ended] == [KeyboardInterrupt]


@pytest.mark.usefixtures("protocol")
def test_should_ignore_error_hides_it_from_teardown() -> None:
    class Ignoring(Flask):
        def should_ignore_error(self, error: BaseException | None) -> bool:
            return isinstance(error, ValueError)

    app = Ignoring("ignoring")
    ended: list[t.Any] = []
    app.teardown_request(ended.append)

    @app.get("/")
    def view() -> str:
        raise ValueError

    app.test_client().get("/")
    assert ended == [None]


def test_every_teardown_function_runs_even_if_one_raises(app: Flask) -> None:
    ran = []

    def broken(exc: BaseException | None) -> None:
        ran.append("broken")
        raise RuntimeError("broken")

    for register in app.teardown_request, app.teardown_appcontext:
        register(lambda exc: ran.append("first"))
        register(broken)
        register(lambda exc: ran.append("last"))

    with pytest.raises(RuntimeError, match="broken"), app.test_request_context():
        pass
    assert ran == ["last", "broken", "first"] * 2


def test_a_handler_for_500_sees_the_original_error(app: Flask, anyclient: FlaskClient) -> None:
    app.testing = False
    seen = []

    @app.errorhandler(InternalServerError)
    def on_error(error: InternalServerError) -> tuple[str, int]:
        seen.append(error.original_exception)
        return "handled", 500

    @app.get("/")
    def view() -> str:
        raise ZeroDivisionError

    assert anyclient.get("/").text == "handled"
    assert [type(error) for error in seen] == [ZeroDivisionError]


@pytest.mark.parametrize("status", ["", "abc", 0, 99, 600, 1000, "0 Zero", "abc Nope"])
def test_a_status_no_server_takes_is_a_500(status: str | int) -> None:
    app = Flask("status")
    sent = []

    @app.get("/")
    def view() -> t.Any:
        return "x", status

    app(environ(), lambda status, headers, exc_info=None: sent.append(status))
    assert sent == ["500 INTERNAL SERVER ERROR"]


# URLs.


def test_url_for_matches_flask_in_and_out_of_requests() -> None:
    def urls(framework: Framework) -> list[t.Any]:
        app = framework.Flask("urls")
        bp = framework.Blueprint("bp", "bp", url_prefix="/bp")
        app.add_url_rule("/", endpoint="index", view_func=lambda: "")
        app.add_url_rule("/<int:n>", endpoint="n", view_func=lambda n: "", methods=["GET", "PUT"])
        bp.add_url_rule("/here", endpoint="here", view_func=lambda: "")
        app.register_blueprint(bp)
        made: list[t.Any] = []

        def build(*args: t.Any, **kwargs: t.Any) -> None:
            try:
                made.append(app.url_for(*args, **kwargs))
            except (RuntimeError, ValueError, BuildError) as error:
                made.append((type(error).__name__, str(error)))

        def build_all() -> None:
            build("index")
            build("n", n=5, q="a b", _anchor="x y/ü")
            build("n", n=5, _method="PUT")
            build("n", n=5, _method="DELETE")
            build("n")
            build(".here")
            build(".index")
            build("bp.here", _external=True, _scheme="https")
            build("bp.here", _external=False)
            build("bp.here", _scheme="https")
            build("bp.here", _external=False, _scheme="https")

        for path in "/", "/bp/here":
            with app.test_request_context(path):
                build_all()
        with app.app_context():
            build_all()
        build_all()
        app.config.update(SERVER_NAME="kz.example", APPLICATION_ROOT="/app")
        with app.app_context():
            build_all()
        build_all()
        return made

    assert urls(torsyq) == urls(flask)


def test_trusted_hosts_are_checked_however_often_a_host_came_before(
    app: Flask, anyclient: FlaskClient
) -> None:
    @app.get("/")
    def view() -> str:
        return request.host

    for _ in range(2):
        assert anyclient.get("/", base_url="http://evil.example").status_code == 200
    app.config["TRUSTED_HOSTS"] = ["good.example"]
    for _ in range(2):
        assert anyclient.get("/", base_url="http://evil.example").status_code == 400
        assert anyclient.get("/", base_url="http://good.example").text == "good.example"


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("framework", [flask, torsyq])
def test_a_redirect_that_would_lose_a_form_is_explained_in_debug_mode(framework: Framework) -> None:
    app = framework.Flask("form")
    app.debug = True
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.add_url_rule("/slash/", endpoint="s", view_func=lambda: "", methods=["GET", "POST"])
    app.url_map.redirect_defaults = True

    client: OriginalClient = app.test_client()
    assert client.get("/slash").status_code == 308
    assert client.post("/slash").status_code == 308
    with app.test_request_context("/slash", method="POST"):
        framework.request.routing_exception.code = 302
        with pytest.raises(AssertionError, match="redirect"):
            app.dispatch_request()


# Costs.


def hops(app: Flask, environ: dict[str, t.Any]) -> list[str]:
    """The Python functions of the framework that a request calls."""
    for _ in range(3):
        app(environ.copy(), start_response)
    with Calls() as called:
        app(environ.copy(), start_response)
    return [code.co_qualname for code in called if code.co_filename != __file__]


def lean_app() -> Flask:
    app = Flask("lean")
    app.secret_key = "k"

    @app.get("/")
    def text() -> str:
        return "Hello, World!"

    @app.get("/user/<int:n>")
    def user(n: int) -> str:
        return str(n)

    @app.get("/session")
    def name() -> t.Any:
        return session.get("name", "nobody")

    @app.get("/login")
    def login() -> str:
        session["name"] = "Aigul"
        return "in"

    return app


@pytest.mark.parametrize(("path", "budget"), [("/", 20), ("/user/5", 25)])
def test_a_request_keeps_to_its_budget_of_calls(path: str, budget: int) -> None:
    called = hops(lean_app(), environ(path))
    assert len(called) <= budget, called


def test_reading_a_session_keeps_to_its_budget_of_calls() -> None:
    app = lean_app()
    client = app.test_client()
    client.get("/login")
    cookie = client.get_cookie("session")
    assert cookie is not None
    called = hops(app, environ("/session", HTTP_COOKIE=f"session={cookie.value}"))
    assert len(called) <= 40, called


def test_a_request_is_freed_without_the_collector() -> None:
    app = lean_app()
    requests: list[weakref.ref[torsyq.Request]] = []

    @app.before_request
    def remember() -> None:
        requests.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]

    @app.get("/crash")
    def crash() -> str:
        raise ValueError

    app.logger.disabled = True
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    signed = f"session={serializer.dumps({'name': 'Aigul'})}"
    gc.collect()
    gc.disable()
    try:
        for path in "/", "/user/5", "/session", "/login", "/nope", "/crash":
            app(environ(path), start_response)
        app.permanent_session_lifetime = timedelta(seconds=-1)
        for cookie in "session=a.b.c", "session=a", signed:
            app(environ("/session", HTTP_COOKIE=cookie), start_response)
        app(environ("/", HTTP_HOST="a..b"), start_response)
        app.config["TRUSTED_HOSTS"] = ["example.com"]
        app(environ("/", HTTP_HOST="example.org"), start_response)
        assert [ref() for ref in requests] == [None] * 11
    finally:
        gc.enable()


def test_the_environment_can_be_built_without_a_server(app: Flask) -> None:
    builder = EnvironBuilder(app, "/", method="POST", json={"a": 1})
    with app.request_context(builder.get_environ()):
        assert request.json == {"a": 1}


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_ensure_sync_replaced_late_is_asked_about_every_function(framework: Framework) -> None:
    app = framework.Flask("late")
    app.add_url_rule("/", "index", lambda: "here")
    app.before_request(lambda: None)
    app.after_request(lambda response: response)
    app(environ(), start_response)
    asked = []

    def ensure_sync(func: t.Any) -> t.Any:
        asked.append(func)
        return func

    app.ensure_sync = ensure_sync
    for _ in range(2):
        app(environ(), start_response)
    assert len(asked) == 6


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_the_error_is_told_of_an_after_request_function_that_returns_text(
    framework: Framework,
) -> None:
    app = framework.Flask("text")
    app.after_request(lambda response: "text")
    with pytest.raises(TypeError, match="'str' object is not callable"):
        app(environ(), start_response)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("register", ["after_request", "after_this_request"])
def test_a_function_after_a_request_that_returns_nothing_is_named(
    app: Flask,
    anyclient: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    register: str,
    is_async: bool,
) -> None:
    """Flask tells that a 'NoneType' object is not callable, to the server."""
    app.testing = False

    def count(response: Response) -> None:
        """Lacks its 'return response'."""

    async def count_async(response: Response) -> None:
        """As well."""

    func: t.Any = count_async if is_async else count

    @app.get("/")
    def index() -> str:
        if register == "after_this_request":
            torsyq.after_this_request(func)
        return "counted"

    if register == "after_request":
        app.after_request(lambda response: response)
        app.after_request(func)
    answer = anyclient.get("/")
    assert answer.status_code == 500
    error = caplog.records[0].exc_info
    assert error is not None
    assert str(error[1]) == (
        f"The function '{func.__name__}', which is called after a request, returned None instead"
        " of a response. Usually its 'return response' is missing."
    )
