"""The app over ASGI: where its walks run, and that they are the walks of WSGI."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import traceback
import typing as t
import weakref
from contextlib import suppress
from contextvars import ContextVar
from copy import copy
from io import BytesIO
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected

import torsyq
from torsyq import Blueprint
from torsyq import copy_current_request_context
from torsyq import current_app
from torsyq import Flask
from torsyq import g
from torsyq import Request
from torsyq import request
from torsyq import Response
from torsyq import send_file
from torsyq import session
from torsyq import stream_with_context
from torsyq import url_for
from torsyq.ctx import RequestContext
from torsyq.globals import _cv_app
from torsyq.globals import _cv_request
from torsyq.globals import app_ctx
from torsyq.globals import request_ctx
from torsyq.signals import appcontext_pushed
from torsyq.testing import FlaskClient
from torsyq.views import MethodView
from torsyq.views import View

from .asgi import Exchange
from .asgi import exchange
from .asgi import Message
from .asgi import scope
from .asgi import until
from .calls import Calls
from .freed import freed

colour: ContextVar[str] = ContextVar("colour", default="none")


def thread() -> str:
    return threading.current_thread().name


def stream() -> t.Any:
    """The body of the current request; an IO to type checkers, without ``async for``."""
    return request.stream


def get(app: Flask, path: str = "/", **values: t.Any) -> Exchange:
    return asyncio.run(exchange(app, path, **values))


def test_a_sync_view_of_a_walk_on_the_loop_may_call_its_arguments_anything(app: Flask) -> None:
    @app.before_request
    async def hook() -> None:
        pass

    @app.get("/<self>/<func>/<pool>")
    def view(self: str, func: str, pool: str) -> list[str]:
        return [self, func, pool]

    assert get(app, "/a/b/c").body == b'["a","b","c"]\n'


def test_a_server_may_name_what_it_passes_to_asgi_app(app: Flask) -> None:
    """Daphne does."""
    app.add_url_rule("/", view_func=lambda: "named")

    async def named(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await app.asgi_app(scope=scope, receive=receive, send=send)

    assert asyncio.run(exchange(named, "/")).body == b"named"


def test_on_another_loop_than_asyncios_the_server_is_told_so(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="not asyncio's. Usually it was told to use Trio"):
        app.asgi_app(scope(), mock.Mock(), mock.Mock()).send(None)


# Where things run.


def test_the_client_for_any_protocol_takes_the_way_it_is_named_for(
    app: Flask, anyclient: FlaskClient, protocol: str
) -> None:
    @app.get("/")
    def view() -> list[str]:
        return [frame.name for frame in traceback.extract_stack()]

    called: list[str] = anyclient.get("/").get_json()
    assert ("wsgi_app" in called) is (protocol != "asgi-loop")
    assert ("_walk_in_thread" in called) is (protocol == "asgi")


def test_a_walk_of_sync_functions_runs_whole_in_one_worker_thread(app: Flask) -> None:
    threads = []

    @app.before_request
    @app.teardown_request
    def hook(*args: t.Any) -> None:
        threads.append(thread())

    @app.get("/")
    def view() -> t.Iterator[str]:
        def pieces() -> t.Iterator[str]:
            threads.append(thread())
            yield "x"

        threads.append(thread())
        return pieces()

    get(app)
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threads[0].startswith("tests.app-worker")


def test_a_walk_with_something_async_in_it_runs_on_the_loop(app: Flask) -> None:
    threads = {}

    @app.before_request
    def before() -> None:
        threads["before"] = thread()

    @app.get("/")
    async def view() -> str:
        threads["view"] = thread()
        return ""

    @app.get("/sync")
    def sync_view() -> str:
        threads["view"] = thread()
        return ""

    main = thread()
    get(app)
    assert threads["view"] == main
    assert threads["before"].startswith("tests.app-worker")
    get(app, "/sync")
    assert threads["view"] == threads["before"]


def test_sync_functions_see_and_change_what_the_async_ones_do(app: Flask) -> None:
    @app.before_request
    def before() -> None:
        g.steps = ["before"]
        colour.set("red")
        session["n"] = 1

    @app.get("/")
    async def view() -> str:
        g.steps += [f"view {colour.get()} {session['n']}"]
        colour.set("blue")
        return ""

    @app.after_request
    def after(response: t.Any) -> t.Any:
        g.steps += [f"after {colour.get()}"]
        response.data = ", ".join(g.steps)
        return response

    assert get(app).body == b"before, view red 1, after blue"


def test_a_sync_hook_may_set_back_what_another_one_has_set(
    app: Flask, anyclient: FlaskClient
) -> None:
    """With its token, which is good in one context only; everyone sees that it is set back."""
    own: ContextVar[str] = ContextVar("own")
    seen: list[str] = []

    @app.teardown_request
    async def after_all(error: BaseException | None) -> None:
        seen.append(own.get("nothing"))

    @app.before_request
    def before() -> None:
        g.token = own.set("before")

    @app.after_request
    def after(response: t.Any) -> t.Any:
        own.reset(g.second)
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        seen.append(own.get())
        own.reset(g.token)

    @app.get("/")
    def view() -> str:
        g.second = own.set("view")
        return own.get()

    assert anyclient.get("/").text == "view"
    assert seen == ["before", "nothing"]


def test_wrapped_wsgi_middleware_runs_whole_in_a_thread(app: Flask) -> None:
    seen = {}

    @app.get("/")
    async def view() -> str:
        seen["view"] = thread()
        return "inner"

    inner = app.wsgi_app

    def middleware(environ: t.Any, start_response: t.Any) -> t.Any:
        seen["middleware"] = thread()
        return [*inner(environ, start_response), b" and outer"]

    app.wsgi_app = middleware  # type: ignore[method-assign]
    answer = get(app)
    assert answer.body == b"inner and outer"
    assert seen == {"view": thread(), "middleware": "tests.app-worker_0"}


@pytest.mark.parametrize("where", ["class", "instance"])
def test_a_replaced_step_is_called(where: str) -> None:
    class Custom(Flask):
        pass

    app = Custom("custom")

    @app.get("/")
    async def view() -> str:
        return f"{colour.get()} in {thread()}"

    def dispatch_request(self: t.Any = None) -> t.Any:
        colour.set("step")
        return Flask.dispatch_request(app)

    main = thread().encode()
    assert get(app).body == b"none in " + main
    target = Custom if where == "class" else app
    target.dispatch_request = dispatch_request  # type: ignore[method-assign]
    assert get(app).body == b"step in " + main


@pytest.mark.parametrize("name", ["async_to_sync", "ensure_sync"])
def test_what_the_app_runs_async_functions_by_runs_them(name: str) -> None:
    def alone(self: Flask, func: t.Any) -> t.Any:
        return lambda: asyncio.run(func())

    app = type("Alone", (Flask,), {name: alone})("alone")

    @app.get("/")
    async def view() -> str:
        return str(asyncio.get_running_loop() is loops[0])

    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> bytes:
        loops.append(asyncio.get_running_loop())
        return (await exchange(app)).body

    assert asyncio.run(run()) == b"False"


def test_a_step_that_is_replaced_for_a_while_is_called_then_and_only_then() -> None:
    class Custom(Flask):
        pass

    app = Custom("custom")

    @app.get("/")
    async def view() -> str:
        return colour.get()

    original = Flask.dispatch_request

    def dispatch_request(self: t.Any) -> t.Any:
        colour.set("step")
        return original(self)

    for cls in (Flask, Custom):
        for _ in range(2):
            with mock.patch.object(cls, "log_exception"):
                assert get(app).body == b"none"
            with mock.patch.object(cls, "dispatch_request", dispatch_request):
                assert get(app).body == b"step"
            cls.dispatch_request = dispatch_request  # type: ignore[method-assign]
            assert get(app).body == b"step"
            cls.dispatch_request = original  # type: ignore[method-assign]
            assert get(app).body == b"none"
        del cls.dispatch_request
    assert get(app).body == b"none"


def test_a_class_of_requests_may_be_set_late_on_the_class_of_the_app() -> None:
    class Own(Request):
        tag = "own"

    class Custom(Flask):
        request_class = Request

    app = Custom("custom")

    @app.get("/")
    async def view() -> str:
        return getattr(request, "tag", "none")

    assert get(app).body == b"none"
    Custom.request_class = Own
    assert get(app).body == b"own"


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_the_environment_is_whole_for_whoever_reads_it(app: Flask, path: str) -> None:
    told: dict[str, t.Any] = {}

    @app.get("/async")
    async def asynchronous() -> str:
        assert repr(request).startswith("<Request 'http://localhost/async")
        told.update(request.environ)
        return f"{request.headers['X-One']} {request.remote_addr}"

    @app.get("/sync")
    def sync() -> str:
        told.update(request.environ)
        return f"{request.headers['X-One']} {request.remote_addr}"

    sent = [(b"host", b"localhost"), (b"x-one", b"1"), (b"cookie", b"a=b"), (b"x-one", b"2")]
    answer = get(app, path, headers=sent, client=("1.2.3.4", 5), raw_path=path.encode())
    assert answer.body == b"1,2 1.2.3.4"
    names = "HTTP_X_ONE", "HTTP_COOKIE", "REMOTE_PORT", "REQUEST_URI"
    assert [told[name] for name in names] == ["1,2", "a=b", "5", path]
    assert told["wsgi.input"].read() == b""


def test_a_request_or_context_or_response_of_the_app_s_own_is_given_the_whole_environment() -> None:
    class OwnRequest(Request):
        def __init__(self, environ: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(environ, *args, **kwargs)
            self.tag = f"request {environ['HTTP_X_TAG']}"

    class OwnApp(Flask):
        def request_context(self, environ: t.Any) -> RequestContext:
            colour.set(f"context {environ['HTTP_X_TAG']}")
            return super().request_context(environ)

    class OwnResponse(Response):
        def get_wsgi_headers(self, environ: t.Any) -> t.Any:
            headers = super().get_wsgi_headers(environ)
            headers["X-Tag"] = f"response {environ['HTTP_X_TAG']}"
            return headers

    async def view() -> Response:
        return OwnResponse(getattr(request, "tag", colour.get()))

    for app in (Flask("plain"), OwnApp("context"), Flask("request")):
        if app.name == "request":
            app.request_class = OwnRequest
        app.get("/")(view)
        answer = get(app, headers=[(b"host", b"localhost"), (b"x-tag", b"7")])
        assert answer.body == (b"none" if app.name == "plain" else f"{app.name} 7".encode())
        assert answer.headers["x-tag"] == "response 7"


def test_threads_that_a_view_or_its_stream_begins_know_the_loop_of_the_server(app: Flask) -> None:
    async def here() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    where = app.async_to_sync(here)
    seen: list[tuple[str, asyncio.AbstractEventLoop]] = []

    @app.get("/")
    async def view() -> t.Any:
        seen.append(("view", await asyncio.to_thread(where)))
        seen.append(("task", await asyncio.create_task(asyncio.to_thread(where))))

        async def stream() -> t.AsyncIterator[str]:
            yield "a"
            seen.append(("stream", await asyncio.to_thread(where)))

        return stream()

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        seen.append(("teardown", where()))

    async def run() -> asyncio.AbstractEventLoop:
        assert (await exchange(app)).body == b"a"
        return asyncio.get_running_loop()

    loop = asyncio.run(run())
    assert seen == [(name, loop) for name in ("view", "task", "teardown", "stream")]


def test_what_a_view_begins_before_it_waits_for_anything_is_on_the_loop_of_the_server(
    app: Flask,
) -> None:
    async def here() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    seen: list[asyncio.AbstractEventLoop] = []

    @app.get("/")
    async def view() -> str:
        @copy_current_request_context
        def work() -> asyncio.AbstractEventLoop:
            return app.async_to_sync(here)()  # type: ignore[no-any-return]

        seen.append(await asyncio.to_thread(work))
        return ""

    async def in_background() -> None:
        seen.append(asyncio.get_running_loop())

    @app.teardown_appcontext
    async def teardown(error: BaseException | None) -> None:
        if len(seen) == 1:  # Not for the task's own context.
            app.add_background_task(in_background)

    async def run() -> list[asyncio.AbstractEventLoop]:
        await exchange(app)
        await app.shutdown()
        return [asyncio.get_running_loop()] * 2

    assert asyncio.run(run()) == seen


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_may_put_another_environment_in_the_place_of_the_request_s(
    app: Flask, is_async: bool
) -> None:
    @app.before_request
    def inflate() -> None:
        body = {"wsgi.input": BytesIO(b"new"), "CONTENT_LENGTH": "3"}
        request.environ = {**request.environ, **body}

    def view() -> bytes:
        return request.get_data()

    async def view_async() -> bytes:
        return request.get_data()

    app.add_url_rule("/", view_func=view_async if is_async else view, methods=["POST"])
    it = asyncio.run(exchange(app, "/", "POST", b"older"))
    assert it.body == b"new"
    assert app.test_client().post("/", data=b"older").data == b"new"


def test_what_is_put_onto_a_response_is_given_the_whole_environment(app: Flask) -> None:
    @app.get("/")
    async def view() -> Response:
        response = Response("")
        usual = response.get_wsgi_headers

        def with_tag(environ: t.Any) -> t.Any:
            headers = usual(environ)
            headers["X-Tag"] = environ["HTTP_X_TAG"]
            return headers

        response.get_wsgi_headers = with_tag  # type: ignore[method-assign]
        return response

    headers = [(b"host", b"localhost"), (b"x-tag", b"7")]
    assert get(app, headers=headers).headers["x-tag"] == "7"


def test_an_environment_is_completed_once(app: Flask) -> None:
    @app.get("/")
    async def view() -> str:
        copied = copy(request._get_current_object())  # type: ignore[attr-defined]
        request.environ["REMOTE_ADDR"] = request.headers["X-Forwarded-For"]
        assert copied.headers["X-Forwarded-For"] == "1.1.1.1"
        return f"{request.environ['REMOTE_ADDR']} {request.remote_addr}"

    # Headers that can be gone through but once, as a middleware may leave them.
    headers = iter([(b"host", b"localhost"), (b"x-forwarded-for", b"1.1.1.1")])
    assert get(app, headers=headers).body == b"1.1.1.1 1.1.1.1"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_context_that_the_view_has_pushed_once_more_is_still_current(
    app: Flask, is_async: bool
) -> None:
    """The walk takes back what it has pushed; the end of the request would be that of the first push."""
    contexts: list[RequestContext] = []

    def push() -> str:
        contexts.append(request_ctx._get_current_object())  # type: ignore[attr-defined]
        contexts[0].push()
        return "pushed"

    async def push_async() -> str:
        return push()

    app.add_url_rule("/", view_func=push_async if is_async else push)
    assert get(app).body == b"pushed"
    assert len(contexts[0]._cv_tokens) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_context_that_the_view_has_left_is_an_error(app: Flask, is_async: bool) -> None:
    """Also one that was made current with nobody being told."""

    def leave() -> str:
        _cv_request.set(app.test_request_context("/other"))
        return "left"

    async def leave_async() -> str:
        return leave()

    app.add_url_rule("/", view_func=leave_async if is_async else leave)
    with pytest.raises(AssertionError, match="Popped wrong request context"):
        get(app)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_app_context_that_the_view_has_popped_is_missed(app: Flask, is_async: bool) -> None:
    def pop() -> str:
        app_ctx.pop()
        return "popped"

    async def pop_async() -> str:
        return pop()

    app.add_url_rule("/", view_func=pop_async if is_async else pop)
    with appcontext_pushed.connected_to(lambda app: None, app), pytest.raises(LookupError):
        get(app)


def test_a_context_of_the_app_s_own_is_pushed_and_popped_by_its_own_methods() -> None:
    events = []

    class Context(RequestContext):
        def push(self) -> None:
            events.append("push")
            super().push()

        def pop(self, *exc: t.Any) -> None:
            events.append("pop")
            super().pop(*exc)

    class Custom(Flask):
        def request_context(self, environ: t.Any) -> RequestContext:
            own = "HTTP_X_OWN" in environ
            return (Context if own else RequestContext)(self, environ)

    app = Custom("custom")

    @app.get("/")
    async def view() -> str:
        events.append("view")
        return ""

    own = [(b"x-own", b"1")]
    for headers in [], own, [], own:
        get(app, headers=headers)
    assert events == ["view", "push", "view", "pop"] * 2


def test_a_view_that_becomes_async_or_sync_later_is_answered(app: Flask) -> None:
    @app.get("/")
    def view() -> str:
        return "sync"

    async def later() -> str:
        await asyncio.sleep(0)
        return "async"

    assert get(app).body == b"sync"
    app.view_functions["view"] = later
    assert get(app).body == b"async"
    app.view_functions["view"] = view
    assert get(app).body == b"sync"


def test_class_based_views_run_on_the_loop(app: Flask) -> None:
    class One(View):
        async def dispatch_request(self, **kwargs: t.Any) -> str:  # type: ignore[override]
            return thread()

    class Many(MethodView):
        init_every_request = False

        async def get(self) -> str:
            return thread()

        def post(self) -> str:
            return thread()

    class Replaced(Many):
        def dispatch_request(self, **kwargs: t.Any) -> t.Any:
            return f"replaced, {current_app.ensure_sync(self.get)()}"

    app.add_url_rule("/one", view_func=One.as_view("one"))
    app.add_url_rule("/many", view_func=Many.as_view("many"))
    app.add_url_rule("/replaced", view_func=Replaced.as_view("replaced"))
    main = thread().encode()
    assert get(app, "/one").body == main
    assert get(app, "/many").body == main
    assert get(app, "/many", method="POST").body.startswith(b"tests.app-worker")
    assert get(app, "/replaced").body == b"replaced, " + main


def test_class_based_views_with_decorators_keep_them(app: Flask) -> None:
    def decorate(f: t.Any) -> t.Any:
        return lambda **kwargs: f"decorated {f(**kwargs)}"

    class Decorated(MethodView):
        decorators: t.ClassVar = [decorate]

        async def get(self) -> str:
            return thread()

    app.add_url_rule("/", view_func=Decorated.as_view("view"))
    assert get(app).body == b"decorated " + thread().encode()


def test_a_sync_decorator_of_an_async_view_works(app: Flask) -> None:
    """As extensions write them, with ensure_sync."""

    @app.get("/")
    def decorated() -> str:
        return f"decorated {current_app.ensure_sync(view)()}"

    async def view() -> str:
        await asyncio.sleep(0)
        return request.path

    assert get(app).body == b"decorated /"


# Every kind of function may be async, on both protocols.


def test_every_hook_may_be_async(app: Flask, anyclient: FlaskClient) -> None:
    events = []

    def note(name: str) -> t.Any:
        async def hook(*args: t.Any, **kwargs: t.Any) -> t.Any:
            await asyncio.sleep(0)
            events.append(name)
            return args[0] if name.startswith("after") else None

        return hook

    blueprint = Blueprint("bp", "bp")
    for scaffold in app, blueprint:
        scaffold.url_value_preprocessor(note(f"url value {scaffold.name}"))
        scaffold.before_request(note(f"before {scaffold.name}"))
        scaffold.after_request(note(f"after {scaffold.name}"))
        scaffold.teardown_request(note(f"teardown {scaffold.name}"))
    app.teardown_appcontext(note("teardown appcontext"))

    @app.errorhandler(KeyError)
    async def handler(error: KeyError) -> tuple[str, int]:
        await asyncio.sleep(0)
        return f"handled {error.args[0]}", 418

    @blueprint.get("/<name>")
    async def view(name: str) -> str:
        torsyq.after_this_request(note("after this"))
        raise KeyError(name)

    app.register_blueprint(blueprint)
    receivers = [note(f"signal {name}") for name in ("started", "tearing down", "pushed", "popped")]
    torsyq.request_started.connect(receivers[0], app)
    torsyq.request_tearing_down.connect(receivers[1], app)
    torsyq.appcontext_pushed.connect(receivers[2], app)
    torsyq.appcontext_popped.connect(receivers[3], app)
    response = anyclient.get("/k")
    assert (response.text, response.status_code) == ("handled k", 418)
    assert events == [
        "signal pushed",
        "signal started",
        "url value tests.app",
        "url value bp",
        "before tests.app",
        "before bp",
        "after this",
        "after bp",
        "after tests.app",
        "teardown bp",
        "teardown tests.app",
        "signal tearing down",
        "teardown appcontext",
        "signal popped",
    ]


def test_url_defaults_may_be_async_where_url_for_can_wait(
    app: Flask, anyclient: FlaskClient
) -> None:
    @app.url_defaults  # type: ignore[type-var]
    async def add(endpoint: str, values: dict[str, t.Any]) -> None:
        await asyncio.sleep(0)
        values["added"] = "yes"

    @app.get("/sync")
    def view() -> str:
        return url_for("view")

    @app.get("/async")
    async def async_view() -> str:
        with pytest.raises(RuntimeError, match="add.* is async"):
            url_for("view")
        return await asyncio.to_thread(url_for, "view")

    assert anyclient.get("/sync").text == anyclient.get("/async").text == "/sync?added=yes"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "where",
    [
        "url_value_preprocessors",
        "before_request_funcs",
        "after_request_funcs",
        "teardown_request_funcs",
        "teardown_appcontext_funcs",
        "request_started",
        "request_finished",
        "request_tearing_down",
        "appcontext_pushed",
        "appcontext_tearing_down",
        "appcontext_popped",
    ],
)
def test_what_is_registered_late_takes_part_in_the_next_walk(
    app: Flask, where: str, is_async: bool
) -> None:
    seen = []

    def hook(*args: t.Any, **kwargs: t.Any) -> t.Any:
        seen.append(where)
        return args[0] if where == "after_request_funcs" else None

    async def async_hook(*args: t.Any, **kwargs: t.Any) -> t.Any:
        await asyncio.sleep(0)
        return hook(*args, **kwargs)

    @app.get("/")
    async def view() -> str:
        return "answered"

    func = async_hook if is_async else hook
    assert (get(app).body, seen) == (b"answered", [])
    if where == "teardown_appcontext_funcs":
        app.teardown_appcontext_funcs.append(func)
    elif where.endswith(("funcs", "preprocessors")):
        getattr(app, where).setdefault(None, []).append(func)
    else:
        getattr(torsyq, where).connect(func, app)
    assert (get(app).body, seen) == (b"answered", [where])
    assert (get(app).body, seen) == (b"answered", [where] * 2)


def test_an_error_in_an_async_view_is_logged_and_answered(
    app: Flask, anyclient: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.testing = False

    @app.get("/")
    async def view() -> str:
        raise ZeroDivisionError("z")

    assert anyclient.get("/").status_code == 500
    assert "Exception on / [GET]" in caplog.text
    assert "ZeroDivisionError: z" in caplog.text


def test_an_error_in_an_async_view_is_propagated(app: Flask, anyclient: FlaskClient) -> None:
    errors: list[t.Any] = []
    app.teardown_request(errors.append)

    @app.get("/")
    async def view() -> str:
        raise ZeroDivisionError("z")

    with pytest.raises(ZeroDivisionError):
        anyclient.get("/")
    assert [type(error) for error in errors] == [ZeroDivisionError]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_header_that_cannot_be_sent_is_an_error_of_the_walk(
    app: Flask, anyclient: FlaskClient, is_async: bool
) -> None:
    app.testing = False

    def view() -> t.Any:
        response = app.response_class("x")
        response.headers._list.append(("X-Bad", "a\nb"))
        response.headers["Content-Location"] = "/"
        return response

    async def async_view() -> t.Any:
        return view()

    app.add_url_rule("/", view_func=async_view if is_async else view)
    assert anyclient.get("/").status_code == 500


def test_a_stream_keeps_its_contexts(app: Flask, anyclient: FlaskClient) -> None:
    ended = []

    @app.teardown_request
    async def teardown(error: t.Any) -> None:
        ended.append(request.path)

    @app.get("/async")
    async def view() -> t.Any:
        @stream_with_context
        async def pieces() -> t.AsyncIterator[str]:
            for name in "a", "b":
                await asyncio.sleep(0)
                yield request.args[name]

        return pieces()

    @app.get("/sync")
    def sync_view() -> t.Any:
        def made() -> t.Iterator[str]:
            for name in "a", "b":
                yield request.args[name]

        return stream_with_context(made())

    for path in "/async", "/sync":
        ended.clear()
        with anyclient.get(f"{path}?a=1&b=2") as response:
            assert response.get_data() == b"12"
        assert ended == [path] * 2
    assert _cv_request.get(None) is None


@pytest.mark.parametrize("stream", ["def", "async def"])
@pytest.mark.parametrize("view", ["def", "async def", "wrapped"])
def test_a_stream_sees_the_context_variables_of_its_walk(
    app: Flask, anyclient: FlaskClient, view: str, stream: str
) -> None:
    """Wherever that ran: in one worker thread, or on the loop and in threads."""
    own: ContextVar[str] = ContextVar("own", default="none")

    @app.before_request
    def before() -> None:
        own.set("red")

    def sync_pieces() -> t.Iterator[str]:
        yield own.get()
        own.set("blue")
        yield own.get()

    async def async_pieces() -> t.AsyncIterator[str]:
        for piece in sync_pieces():
            await asyncio.sleep(0)
            yield piece

    def sync_view() -> t.Any:
        return sync_pieces() if stream == "def" else async_pieces()

    async def async_view() -> t.Any:
        return sync_view()

    app.get("/")(sync_view if view == "def" else async_view)
    if view == "wrapped":
        inner = app.wsgi_app
        app.wsgi_app = lambda environ, start: inner(environ, start)  # type: ignore[assignment,method-assign]
    assert anyclient.get("/").text == "redblue"


def test_a_function_with_a_copied_request_context_may_be_async(
    app: Flask, anyclient: FlaskClient
) -> None:
    @app.get("/")
    async def view() -> dict[str, t.Any]:
        @copy_current_request_context
        async def work(n: int) -> str:
            await asyncio.sleep(0)
            return f"{request.args['x']}{n}"

        together = await asyncio.gather(*(work(n) for n in range(3)))
        in_thread = await asyncio.to_thread(work, 3)
        called = await current_app._call(work, 4)
        return {"seen": [*together, in_thread, called]}

    assert anyclient.get("/?x=v").json == {"seen": ["v0", "v1", "v2", "v3", "v4"]}


def test_a_session_that_waits_is_opened_and_saved_in_a_thread(app: Flask) -> None:
    from torsyq.sessions import SecureCookieSessionInterface

    seen = {}

    class Interface(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.Any:
            seen["open"] = thread()
            return super().open_session(app, request)

        def save_session(self, app: Flask, session: t.Any, response: t.Any) -> None:
            seen["save"] = thread()
            super().save_session(app, session, response)

    app.session_interface = Interface()

    @app.get("/")
    async def view() -> str:
        session["k"] = "v"
        return ""

    assert "set-cookie" in get(app).headers
    assert all(name.startswith("tests.app-worker") for name in seen.values())
    assert set(seen) == {"open", "save"}


def test_a_session_that_waits_for_nothing_needs_no_thread(app: Flask) -> None:
    @app.get("/")
    async def view() -> str:
        session["k"] = session.get("k", 0) + 1
        return str(session["k"])

    first = get(app)
    cookie = first.headers["set-cookie"].partition(";")[0].encode()
    assert get(app, headers=[(b"cookie", cookie)]).body == b"2"
    assert "thread_pool" not in app.__dict__


# Bodies that arrive while they are read.


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_is_read_while_it_arrives(app: Flask, kind: str) -> None:
    seen: list[bytes] = []

    @app.post("/sync", stream_body=True)
    def sync_view() -> str:
        for line in request.stream:
            seen.append(line)
        return "end"

    blueprint = Blueprint("bp", "bp")

    @blueprint.post("/async", stream_body=True)
    async def async_view() -> str:
        async for piece in stream():
            seen.append(piece)
        return "end"

    app.register_blueprint(blueprint)

    async def run() -> None:
        it = Exchange(app, scope(f"/{kind}", "POST"))
        task = asyncio.create_task(it.run())
        for number in range(3):
            it.tell(b"line %d\n" % number, more=True)
            await until(lambda: len(seen) == number + 1)  # noqa: B023
        assert not task.done()
        it.tell(b"last")
        await task
        assert it.body == b"end"
        assert seen == [b"line 0\n", b"line 1\n", b"line 2\n", b"last"]

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_asked_for_more_of_a_body_does_not_see_the_request(app: Flask, kind: str) -> None:
    """Where it begins to read, uvicorn remembers the context for the requests that come next on
    the connection, perhaps another client's behind a proxy. They would have seen the first's g."""
    seen: list[t.Any] = []
    mine: ContextVar[str] = ContextVar("mine")

    @app.before_request
    def before() -> None:
        mine.set("of the request")

    @app.post("/sync", stream_body=True)
    def sync_view() -> str:
        return str(len(request.stream.read()))

    @app.post("/async", stream_body=True)
    async def async_view() -> str:
        return str(len([piece async for piece in stream()]))

    class Server(Exchange):
        async def receive(self) -> Message:
            seen.append([var.get(None) for var in (_cv_request, _cv_app, mine)])
            return await super().receive()

    async def run() -> None:
        it = Server(app, scope(f"/{kind}", "POST"))
        task = asyncio.create_task(it.run())
        for number in range(3):
            await until(lambda: it.received == number)  # noqa: B023
            it.tell(b"x", more=number < 2)
        await task

    asyncio.run(run())
    # Where it took a while, somebody looked after the client besides.
    assert seen == [[None, None, None]] * max(3, len(seen))


@pytest.mark.parametrize("path", ["/sync", "/async", "/piecewise"])
def test_what_matching_sets_of_context_variables_is_the_request_s_alone(path: str) -> None:
    """A converter, or an app that finds its tenant by the host, may set some. The view sees them,
    and the next request on the connection does not."""
    tenant: ContextVar[str] = ContextVar("tenant", default="none")
    seen: list[str] = []

    class Tenants(Flask):
        def create_url_adapter(self, request: t.Any) -> t.Any:
            if request is not None:
                tenant.set(request.host)
            return super().create_url_adapter(request)

    app = Tenants("tenants")

    @app.post("/sync")
    def sync_view() -> str:
        return tenant.get()

    @app.post("/async")
    async def async_view() -> str:
        return tenant.get()

    @app.post("/piecewise", stream_body=True)
    async def piecewise() -> str:
        return tenant.get() + str(len([piece async for piece in stream()]))

    class Server(Exchange):
        async def receive(self) -> Message:
            seen.append(tenant.get())
            return await super().receive()

        async def send(self, message: Message) -> None:
            seen.append(tenant.get())
            await super().send(message)

    async def run() -> None:
        it = Server(app, scope(path, "POST"))
        it.tell(b"x")
        await it.run()
        assert it.body.startswith(b"localhost")

    asyncio.run(run())
    assert set(seen) == {"none"}


KINDS = ["/text", "/late", "/error", "/stream", "/lines", "/file", "/sync", "/sync-stream"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_begins_with_the_next_request_does_not_see_this_one(
    app: Flask, kind: str, tmp_path: Path
) -> None:
    """uvicorn begins with a request that came on the same connection as soon as all of an answer
    was sent, in the context in which it was. It would have seen the context variables of the app."""
    mine: ContextVar[str] = ContextVar("mine")
    (tmp_path / "large").write_bytes(b"x" * 500_000)

    @app.before_request
    async def before() -> None:
        mine.set("of the request")

    @app.get("/text")
    async def text() -> str:
        return mine.get()

    @app.get("/late")
    async def late() -> str:
        await asyncio.sleep(0)
        return mine.get()

    @app.get("/error")
    async def error() -> str:
        raise ZeroDivisionError

    @app.errorhandler(ZeroDivisionError)
    async def explain(error: ZeroDivisionError) -> tuple[str, int]:
        return mine.get(), 500

    @app.get("/stream")
    async def stream() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            yield mine.get()
            await asyncio.sleep(0)
            yield request.path

        return stream_with_context(pieces())

    @app.get("/lines")
    async def lines() -> t.Iterator[str]:
        return iter([mine.get(), "b"])

    @app.get("/file")
    async def file() -> t.Any:
        return send_file(tmp_path / "large")

    @app.get("/sync")
    def sync() -> str:
        return mine.get()

    @app.get("/sync-stream")
    def sync_stream() -> t.Iterator[str]:
        yield from ["a", "b"]

    seen: list[t.Any] = []

    class Server(Exchange):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                seen.extend(var.get(None) for var in (_cv_request, _cv_app, mine))

    async def run() -> Exchange:
        it = Server(app, scope(kind))
        it.tell()
        return await it.run()

    it = asyncio.run(run())
    assert seen == [None] * 3
    assert it.status == (500 if kind == "/error" else 200)
    if kind not in ("/file", "/sync-stream"):
        assert it.body.startswith(b"of the request")


def test_a_slow_view_takes_nothing_in_advance(app: Flask) -> None:
    go = asyncio.Event()

    @app.post("/", stream_body=True)
    async def view() -> str:
        iterator = aiter(stream())
        await anext(iterator)
        await go.wait()
        return str(len([piece async for piece in iterator]))

    async def run() -> None:
        it = Exchange(app, scope("/", "POST"))
        for _ in range(5):
            it.tell(b"x", more=True)
        it.tell(b"x")
        task = asyncio.create_task(it.run())
        await until(lambda: it.received)
        for _ in range(20):
            await asyncio.sleep(0)
        assert it.received == 1
        go.set()
        await task
        assert it.body == b"5"

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("announced", [False, True])
def test_a_streamed_body_keeps_to_the_limit(app: Flask, kind: str, announced: bool) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10

    @app.post("/sync", stream_body=True)
    def sync_view() -> str:
        return str(len(request.stream.read()))

    @app.post("/async", stream_body=True)
    async def async_view() -> str:
        return str(len([p async for p in stream()]))

    async def run(pieces: int) -> Exchange:
        sent = [(b"content-length", b"%d" % (5 * pieces))] if announced else []
        it = Exchange(app, scope(f"/{kind}", "POST", headers=[(b"host", b"x"), *sent]))
        for number in range(pieces):
            it.tell(b"12345", more=number < pieces - 1)
        return await it.run()

    assert asyncio.run(run(2)).status == 200
    assert asyncio.run(run(3)).status == 413


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_streamed_body_that_breaks_off_is_not_taken_for_whole(app: Flask, kind: str) -> None:
    errors: list[t.Any] = []
    app.config["TRAP_HTTP_EXCEPTIONS"] = True

    @app.errorhandler(ClientDisconnected)
    def gone(error: ClientDisconnected) -> tuple[str, int]:
        errors.append(error)
        return "gone", 400

    @app.post("/sync", stream_body=True)
    def sync_view() -> str:
        return str(len(request.stream.read()))

    @app.post("/async", stream_body=True)
    async def async_view() -> str:
        return str(len([p async for p in stream()]))

    async def run(end: t.Callable[[Exchange], None]) -> None:
        length = (b"content-length", b"10")
        it = Exchange(app, scope(f"/{kind}", "POST", headers=[(b"host", b"x"), length]))
        it.tell(b"12345", more=True)
        end(it)
        await it.run()

    asyncio.run(run(lambda it: it.disconnect()))
    asyncio.run(run(lambda it: it.tell(b"")))
    assert len(errors) == 2


def test_a_streamed_body_cannot_be_read_at_once_on_the_loop(app: Flask) -> None:
    @app.post("/", stream_body=True)
    async def view() -> str:
        with pytest.raises(RuntimeError, match="async for piece in request.stream"):
            request.get_data()
        return "told"

    assert get(app, method="POST", body=b"x").body == b"told"


def test_under_wsgi_a_streamed_body_is_the_servers(app: Flask, client: FlaskClient) -> None:
    @app.post("/", stream_body=True)
    async def view() -> bytes:
        return b"|".join([piece async for piece in stream()])

    @app.post("/sync", stream_body=True)
    def sync_view() -> bytes:
        return request.stream.read()

    assert client.post("/", data=b"body").data == b"body"
    assert client.post("/", data=b"").data == b""
    assert client.post("/sync", data=b"body").data == b"body"


def test_other_routes_of_an_app_with_streaming_ones_get_whole_bodies(app: Flask) -> None:
    @app.post("/stream", stream_body=True)
    def stream() -> str:
        return ""

    @app.post("/")
    async def view() -> t.Any:
        return request.get_data()

    assert get(app, method="POST", body=b"whole").body == b"whole"
    assert get(app, "/nowhere", method="POST", body=b"x").status == 404


def test_a_view_may_raise_its_own_limit_and_read_on(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10

    @app.post("/")
    def view() -> t.Any:
        request.max_content_length = 100
        return request.get_data()

    async def run(**values: t.Any) -> bytes:
        it = Exchange(app, scope("/", "POST", **values))
        for _ in range(9):
            it.tell(b"12345", more=True)
        it.tell(b"end")
        return (await it.run()).body

    assert asyncio.run(run()) == b"12345" * 9 + b"end"
    length = (b"content-length", b"48")
    assert asyncio.run(run(headers=[(b"host", b"x"), length])) == b"12345" * 9 + b"end"


def test_the_limit_of_a_request_class_bounds_what_is_received(app: Flask) -> None:
    class Small(Request):
        max_content_length = 10

    app.request_class = Small
    app.post("/")(lambda: request.get_data())

    async def run() -> Exchange:
        it = Exchange(app, scope("/", "POST"))
        for _ in range(9):
            it.tell(b"12345", more=True)
        it.tell(b"end")
        return await it.run()

    it = asyncio.run(run())
    assert (it.status, it.received) == (413, 3)


# Clients that go away.


def test_a_client_that_goes_away_ends_the_view_and_teardown_runs(app: Flask) -> None:
    events: list[t.Any] = []

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        events.append(("teardown", type(error)))

    @app.get("/")
    async def view() -> str:
        events.append("waits")
        try:
            await asyncio.sleep(60)
        finally:
            events.append("ends")
        return "never"

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        await asyncio.wait_for(task, 30)
        assert it.sent == []
        assert task.cancelling() == 0

    asyncio.run(run())
    assert events == ["waits", "ends", ("teardown", asyncio.CancelledError)]


@pytest.mark.parametrize("kind", ["teardown_request", "teardown_appcontext"])
def test_teardown_runs_though_the_client_goes_away_before_a_thread_is_free_for_it(
    app: Flask, kind: str
) -> None:
    app.config["ASGI_THREADS"] = 1
    busy = Blueprint("busy", __name__)
    events: list[str] = []
    go_on = threading.Event()

    @busy.before_request
    def block() -> None:
        events.append("blocks")
        assert go_on.wait(30)

    @busy.get("/busy")
    async def index() -> str:
        return "busy"

    @app.get("/")
    async def view() -> str:
        events.append("view")
        return "seen"

    @getattr(app, kind)
    def teardown(error: BaseException | None) -> None:
        events.append("teardown")

    app.register_blueprint(busy)

    async def run() -> None:
        others, it = Exchange(app, scope("/busy")), Exchange(app, scope())
        others.tell()
        it.tell()
        tasks = [asyncio.create_task(others.run())]
        await until(lambda: "blocks" in events)
        tasks.append(asyncio.create_task(it.run()))
        await until(lambda: "view" in events)
        it.disconnect()
        await until(lambda: tasks[1].cancelling() or tasks[1].done())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)

    asyncio.run(run())
    assert events == ["blocks", "view", "teardown", "teardown"]


def leave_amid(app: Flask, path: str, events: t.Sized, go_on: threading.Event) -> None:
    """Go away while a plain function works, which has noted so in *events* and waits to go on."""

    async def run() -> None:
        it = Exchange(app, scope(path))
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        await until(lambda: task.cancelling())
        await asyncio.sleep(0)  # The thread is told so.
        go_on.set()
        await asyncio.wait_for(task, 30)
        assert all(m["type"] == "http.response.start" or m.get("more_body") for m in it.sent)

    go_on.clear()
    asyncio.run(run())


def test_a_client_that_goes_away_in_a_plain_hook_ends_the_async_view_after_it(app: Flask) -> None:
    """Where a thread walks, since ``wsgi_app`` was wrapped. What cleans up runs to its end."""
    events: list[t.Any] = []
    go_on = threading.Event()
    inner = app.wsgi_app
    app.wsgi_app = lambda environ, start: inner(environ, start)  # type: ignore[assignment,method-assign]

    @app.before_request
    def hook() -> None:
        events.append("hook")
        assert go_on.wait(30)

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        events.append(("teardown", type(error)))

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(5)
        events.append("view")
        return "never"

    @app.get("/plain")
    def plain() -> str:
        return "never read"

    leave_amid(app, "/", events, go_on)
    assert events == ["hook", ("teardown", asyncio.CancelledError)]
    events.clear()
    leave_amid(app, "/plain", events, go_on)
    assert events == ["hook", ("teardown", type(None))]


def test_a_client_that_goes_away_ends_an_async_view_in_a_sync_decorator(app: Flask) -> None:
    """And no clean-up, although a thread waits for that, too."""
    events: list[t.Any] = []

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        events.append(("teardown", type(error)))

    async def view() -> str:
        events.append("waits")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ends")
        return "never"

    app.add_url_rule("/", "decorated", lambda: app.ensure_sync(view)())

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        await asyncio.wait_for(task, 30)
        assert it.sent == []

    asyncio.run(run())
    assert events == ["waits", "ends", ("teardown", asyncio.CancelledError)]


def test_a_client_that_goes_away_in_a_sync_decorator_ends_the_async_view_in_it(app: Flask) -> None:
    events: list[str] = []
    go_on = threading.Event()

    async def view() -> str:
        await asyncio.sleep(5)
        events.append("view")
        return "never"

    @app.get("/")
    def decorated() -> str:
        events.append("decorator")
        assert go_on.wait(30)
        return t.cast("str", app.ensure_sync(view)())

    @app.before_request
    async def have_the_loop_walk() -> None:
        await asyncio.sleep(0)

    leave_amid(app, "/", events, go_on)
    assert events == ["decorator"]


def test_a_client_that_goes_away_does_not_end_the_clean_up_of_a_stream(app: Flask) -> None:
    events: list[str] = []
    go_on = threading.Event()

    async def clean_up() -> None:
        await asyncio.sleep(0)
        events.append("clean")

    @app.get("/")
    def view() -> t.Iterator[str]:
        try:
            yield "x"
            events.append("works")
            assert go_on.wait(30)
            yield "x"
        finally:
            app.ensure_sync(clean_up)()

    leave_amid(app, "/", events, go_on)
    assert events == ["works", "clean"]


def test_thread_work_is_waited_for_before_teardown(app: Flask) -> None:
    events: list[str] = []
    go = threading.Event()

    @app.before_request
    def slow() -> None:
        events.append("begins")
        go.wait(30)
        events.append("ends")

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        events.append("teardown")

    @app.get("/")
    async def view() -> str:
        return "never"

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        await until(lambda: it.received == 2)
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        await asyncio.wait_for(task, 30)

    asyncio.run(run())
    assert events == ["begins", "ends", "teardown"]


@pytest.mark.parametrize("hook", ["after_request", "teardown_request"])
def test_a_client_that_goes_away_amid_a_hook_leaves_no_response_open(app: Flask, hook: str) -> None:
    """Nor one that answers an error."""
    events: list[str] = []

    async def wait(_: t.Any) -> None:
        events.append("waits")
        await asyncio.Event().wait()

    getattr(app, hook)(wait)

    @app.get("/")
    async def view() -> t.NoReturn:
        raise ZeroDivisionError

    @app.errorhandler(500)
    async def sorry(error: Exception) -> torsyq.Response:
        response = torsyq.Response("sorry", 500)
        response.call_on_close(lambda: events.append("closed"))
        return response

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        await asyncio.wait_for(task, 30)
        assert it.sent == []

    app.testing = False
    asyncio.run(run())
    assert events == ["waits", "closed"]


@pytest.mark.parametrize("kind", ["view", "class", "tuple", "handler"])
def test_an_answer_of_a_thread_that_comes_when_the_client_has_gone_is_closed(
    app: Flask, kind: str
) -> None:
    events: list[str] = []
    go = threading.Event()

    @app.before_request
    async def on_loop() -> None:
        """Else all of it would run in the thread."""

    def answer(*_: object) -> t.Any:
        events.append("works")
        assert go.wait(30)
        response = torsyq.Response("late")
        response.call_on_close(lambda: events.append("closed"))
        return (response, 201) if kind == "tuple" else response

    async def fail() -> t.NoReturn:
        raise ZeroDivisionError

    class Mixed(MethodView):
        get = answer

        async def post(self) -> None:
            """With which the class runs on the loop."""

    app.register_error_handler(ZeroDivisionError, answer)
    views = {"class": Mixed.as_view("mixed"), "handler": fail}
    app.add_url_rule("/", "index", views.get(kind, answer))

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        it.disconnect()
        await until(task.cancelling)
        go.set()
        await asyncio.wait_for(task, 30)
        assert (events, it.sent) == (["works", "closed"], [])

    asyncio.run(run())


def test_the_servers_own_cancelling_is_not_swallowed(app: Flask) -> None:
    events: list[str] = []

    @app.get("/")
    async def view() -> str:
        events.append("waits")
        await asyncio.sleep(60)
        return "never"

    async def run() -> None:
        it = Exchange(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: events)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


@pytest.mark.parametrize("client", ["reads", "does not read"])
def test_the_servers_own_cancelling_ends_a_stream_of_a_thread(app: Flask, client: str) -> None:
    """It has no end by itself, and the server would wait for it."""
    events: list[str] = []

    @app.get("/")
    def view() -> t.Iterator[str]:
        try:
            while True:
                yield "x"
        finally:
            events.append("closed")

    class Reader(Exchange):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if len(self.sent) == 5 and client == "does not read":
                await asyncio.Event().wait()

    async def run() -> None:
        it = Reader(app, scope())
        it.tell()
        task = asyncio.create_task(it.run())
        await until(lambda: len(it.sent) >= 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == ["closed"]

    asyncio.run(run())


@pytest.mark.parametrize("hook", ["def", "async def"])
def test_the_servers_own_cancelling_ends_a_thread_that_waits_for_the_body(
    app: Flask, hook: str
) -> None:
    events: list[t.Any] = []

    async def before() -> None: ...

    app.before_request(before if hook == "async def" else lambda: None)

    @app.post("/", stream_body=True)
    def view() -> str:
        events.append("waits")
        try:
            return str(request.stream.read())
        except ClientDisconnected as error:
            events.append(type(error))
            raise

    async def run() -> None:
        it = Exchange(app, scope(method="POST"))
        it.tell(b"begins", more=True)
        task = asyncio.create_task(it.run())
        await until(lambda: it.received == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert events == ["waits", ClientDisconnected]


@pytest.mark.parametrize("pieces", [[b""], [b"abc"], [b"", b"abc"], [b"ab", b"c"], [b"", b""]])
def test_a_body_that_nothing_announced_has_arrived_before_the_view(
    app: Flask, pieces: list[bytes]
) -> None:
    @app.post("/")
    async def view() -> t.Any:
        return request.get_data()

    async def run() -> Exchange:
        it = Exchange(app, scope(method="POST"))
        for piece in pieces[:-1]:
            it.tell(piece, more=True)
        it.tell(pieces[-1])
        return await it.run()

    assert asyncio.run(run()).body == b"".join(pieces)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"3")]])
def test_a_client_gone_before_its_body_came_is_refused(
    app: Flask, headers: list[tuple[bytes, bytes]]
) -> None:
    async def run() -> Exchange:
        it = Exchange(app, scope(method="POST", headers=headers))
        it.disconnect()
        return await it.run()

    assert [message.get("status") for message in asyncio.run(run()).sent] == [400, None]


def test_a_client_that_goes_away_after_streaming_its_body_is_noticed(app: Flask) -> None:
    events: list[str] = []

    @app.post("/", stream_body=True)
    async def view() -> str:
        async for _ in stream():
            await asyncio.sleep(0.05)
        events.append("waits")
        await asyncio.sleep(60)
        return "never"

    async def run() -> None:
        it = Exchange(app, scope(method="POST"))
        it.tell(b"a", more=True)
        task = asyncio.create_task(it.run())
        await until(lambda: it.received == 1)
        it.tell(b"b")
        await until(lambda: events)
        it.disconnect()
        await asyncio.wait_for(task, 30)

    asyncio.run(run())


# Isolation.


def isolation_app() -> Flask:
    app = Flask("isolation")
    app.secret_key = "k"

    @app.before_request
    async def before() -> None:
        g.name = request.args["name"]
        colour.set(request.args["name"])

    @app.get("/")
    async def view() -> str:
        session["name"] = request.args["name"]
        for pause in request.args["pauses"]:
            for _ in range(int(pause)):
                await asyncio.sleep(0)
            check()
        return request.args["name"]

    @app.get("/sync")
    def sync_view() -> str:
        session["name"] = request.args["name"]
        for _ in request.args["pauses"]:
            check()
        return request.args["name"]

    def check() -> None:
        seen = {request.args["name"], g.name, session["name"], colour.get()}
        assert len(seen) == 1, seen

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        check()

    return app


async def ask(app: Flask, name: str, pauses: str, path: str = "/") -> None:
    query = f"name={name}&pauses={pauses}".encode()
    answer = await exchange(app, path, query_string=query)
    assert (answer.status, answer.body) == (200, name.encode())


@settings(max_examples=50)
@given(st.lists(st.text("0123", max_size=6), min_size=2, max_size=5))
def test_requests_interleaved_in_any_way_do_not_see_each_other(pauses: list[str]) -> None:
    app = ISOLATED

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(pauses):
                group.create_task(ask(app, str(number), each))

    asyncio.run(run())


ISOLATED = isolation_app()
ISOLATED.config["PROPAGATE_EXCEPTIONS"] = True


PLACES = ["hook", "async hook", "view", "helper", "task", "pieces", "after", "teardown"]


class Marks:
    """Sets :data:`colour` to the request's name in the places it asks for, and looks everywhere."""

    def __init__(self) -> None:
        self.app = app = Flask("marks")
        app.config["PROPAGATE_EXCEPTIONS"] = True
        self.left: list[asyncio.Task[None]] = []
        app.before_request(lambda: self.at("hook"))
        app.after_request(self.after)
        app.teardown_request(lambda error: self.at("teardown"))
        app.add_url_rule("/sync", view_func=self.sync_view)
        app.add_url_rule("/async", view_func=self.view)
        app.add_url_rule("/pieces", view_func=self.pieces)
        app.add_url_rule("/async-pieces", view_func=self.async_pieces)

    def at(self, place: str) -> None:
        assert colour.get() in {"none", request.args["name"]}, place
        if place in request.args.getlist("in"):
            colour.set(request.args["name"])

    async def hook(self) -> None:
        self.at("async hook")

    def after(self, response: Response) -> Response:
        self.at("after")
        return response

    def sync_view(self) -> str:
        self.at("view")
        return "done"

    async def task(self) -> None:
        for _ in range(3):
            self.at("task")
            await asyncio.sleep(0)

    async def view(self) -> str:
        self.at("view")
        await asyncio.to_thread(self.at, "helper")
        await asyncio.create_task(self.task())
        self.left.append(asyncio.create_task(self.task()))
        return "done"

    def pieces(self) -> t.Any:
        def pieces() -> t.Iterator[str]:
            for piece in "do", "ne":
                self.at("pieces")
                yield piece
            self.at("pieces")

        self.at("view")
        return stream_with_context(pieces())

    async def async_pieces(self) -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            for piece in "do", "ne":
                self.at("pieces")
                yield piece
                await asyncio.to_thread(self.at, "helper")
            await asyncio.create_task(self.task())
            self.at("pieces")

        self.at("view")
        return stream_with_context(pieces())


class Pipelined(Exchange):
    """Calls *then* in the context in which the answer's end is sent, as uvicorn does."""

    def __init__(self, app: Flask, scope: Message, then: t.Callable[[], object]) -> None:
        super().__init__(app, scope)
        self.then = then

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.then()


async def answer_all(app: Flask, queries: dict[str, str], in_one_task: bool) -> None:
    """Requests of one connection: each begins where the one before has ended."""
    exchanges: list[Exchange] = []
    tasks: list[asyncio.Task[Exchange]] = []
    waiting = iter(queries.items())

    def begin() -> None:
        for query, path in waiting:
            it = Pipelined(app, scope(path, query_string=query.encode()), begin)
            it.tell()
            tasks.append(asyncio.create_task(it.run()))
            return

    if in_one_task:
        for query, path in waiting:
            exchanges.append(await exchange(app, path, query_string=query.encode()))
    else:
        begin()
        for number in range(len(queries)):
            exchanges.append(await tasks[number])
    assert [it.body for it in exchanges] == [b"done"] * len(queries)


A_REQUEST = st.tuples(
    st.sampled_from(["/sync", "/async", "/pieces", "/async-pieces"]),
    st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True),
)


@pytest.mark.parametrize("has_async_hook", [False, True])
@pytest.mark.parametrize("in_one_task", [False, True])
@settings(max_examples=30)
@given(lines=st.lists(st.lists(A_REQUEST, min_size=2, max_size=4), min_size=1, max_size=3))
def test_a_context_variable_is_not_seen_by_the_next_request_on_the_line(
    has_async_hook: bool, in_one_task: bool, lines: list[list[tuple[str, list[str]]]]
) -> None:
    """Wherever it is set: in hooks, views, streams, helper functions in threads, tasks."""
    marks = MARKS[has_async_hook]
    marks.left.clear()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for line, requests in enumerate(lines):
                queries = {
                    f"name={line}.{number}&{'&'.join(f'in={place}' for place in places)}": path
                    for number, (path, places) in enumerate(requests)
                }
                group.create_task(answer_all(marks.app, queries, in_one_task))
        await asyncio.gather(*marks.left)

    asyncio.run(run())
    assert colour.get() == "none"


MARKS = [Marks(), Marks()]
MARKS[True].app.before_request(MARKS[True].hook)


def test_a_thousand_tasks_and_64_threads_do_not_see_each_other() -> None:
    app = isolation_app()
    app.config.update(PROPAGATE_EXCEPTIONS=True, ASGI_THREADS=64)
    chance = random.Random(5)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                pauses = "".join(chance.choices("0123", k=3))
                path = "/sync" if number % 4 == 0 else "/"
                group.create_task(ask(app, str(number), pauses, path))

    asyncio.run(run())


def test_64_threads_of_a_wsgi_server_do_not_see_each_other() -> None:
    app = isolation_app()
    app.config["PROPAGATE_EXCEPTIONS"] = True
    barrier = threading.Barrier(64)
    failures = []

    def work(number: int) -> None:
        client = app.test_client()
        barrier.wait(60)
        for path in "/", "/sync", "/":
            answer = client.get(f"{path}?name={number}&pauses=102")
            if answer.text != str(number):
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert failures == []


@pytest.mark.parametrize("streaming", [False, True])
def test_a_request_that_matches_nothing_is_freed_without_the_cycle_collector(
    app: Flask, streaming: bool
) -> None:
    """Where some view is async, it is matched before it is known where it is to walk."""

    class Watched(Request):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            seen.append(weakref.ref(self))

    app.request_class = Watched

    if streaming:
        app.add_url_rule("/", "index", lambda: "", stream_body=True)
    else:

        @app.get("/")
        async def index() -> str:
            return ""

    with freed(2) as seen:
        assert get(app, "/nowhere").status == 404


def test_a_request_that_an_async_handler_answers_is_freed_without_the_cycle_collector(
    app: Flask,
) -> None:
    @app.errorhandler(404)
    async def missing(error: Exception) -> tuple[str, int]:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        seen.append(weakref.ref(error))
        return "nothing", 404

    with freed(2) as seen:
        assert get(app, "/nowhere").body == b"nothing"


def test_a_file_of_a_form_is_closed_when_its_request_has_ended(app: Flask) -> None:
    files = []

    @app.post("/")
    async def view() -> str:
        files.append(request.files["file"])
        return f"{files[0].stream.closed}"

    part = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\ntext'
    body = b"--b\r\n" + part + b"\r\n--b--\r\n"
    kind, size = b"multipart/form-data; boundary=b", b"%d" % len(body)
    headers = [(b"content-type", kind), (b"content-length", size)]
    assert asyncio.run(exchange(app, "/", "POST", body, headers=headers)).body == b"False"
    assert files[0].stream.closed


def test_a_request_is_freed_though_the_error_of_its_stream_is_held(app: Flask) -> None:
    """As a server may hold it, or a cycle in what the app did."""

    class Watched(Request):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            seen.append(weakref.ref(self))

    app.request_class = Watched

    @app.get("/")
    async def index() -> str:
        return "For its sake requests are matched before it is known where they are to walk."

    @app.get("/broken")
    def broken() -> t.Iterator[str]:
        yield "begun"
        raise ZeroDivisionError

    with freed(2) as seen, pytest.raises(ZeroDivisionError) as caught:
        get(app, "/broken")
    assert caught.value.__traceback__ is not None


def test_a_stream_that_cannot_be_sent_is_closed_though_the_client_leaves_meanwhile(
    app: Flask,
) -> None:
    """What is waited for then cleans up."""
    events: list[str] = []

    @app.get("/")
    def index() -> Response:
        response = Response(stream_with_context(pieces()))
        response.call_on_close(lambda: events.append("closed"))
        return response

    def pieces() -> t.Iterator[str]:
        try:
            yield "a"
        finally:
            app.async_to_sync(cleaning_up)()

    async def cleaning_up() -> None:
        events.append("begun")
        it.disconnect()
        while it.received < 2:
            await asyncio.sleep(0.001)
        for _ in range(9):
            await asyncio.sleep(0.001)
        events.append("ended")

    async def send(message: Message) -> None:
        raise ConnectionResetError

    it = Exchange(app, scope())
    it.tell()
    it.send = send  # type: ignore[method-assign]
    with suppress(ConnectionResetError):
        asyncio.run(it.run())
    assert events == ["begun", "ended", "closed"]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_an_upload_that_breaks_off_is_freed_without_the_cycle_collector(
    app: Flask, streaming: bool, begun: bool
) -> None:
    """Where a view takes bodies as they come, requests are matched before their bodies are here."""

    class Watched(Request):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            seen.append(weakref.ref(self))

    app.request_class = Watched
    app.add_url_rule("/", "index", lambda: "", methods=["POST"])
    if streaming:
        app.add_url_rule("/stream", "stream", lambda: "", methods=["POST"], stream_body=True)

    async def breaking_off() -> Exchange:
        upload = Exchange(app, scope(method="POST", headers=[(b"content-length", b"9")]))
        if begun:
            upload.tell(b"begun", more=True)
        upload.disconnect()
        return await upload.run()

    with freed(int(streaming)) as seen:
        assert asyncio.run(breaking_off()).status == 400


def test_a_request_that_the_server_cancels_is_freed_without_the_cycle_collector(app: Flask) -> None:
    @app.get("/")
    async def index() -> str:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def cancelling() -> None:
        task = asyncio.create_task(exchange(app, "/"))
        await until(lambda: seen)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    with freed() as seen:
        asyncio.run(cancelling())


@pytest.mark.parametrize("is_async", [False, True])
def test_a_request_whose_client_is_listened_to_is_freed_without_the_cycle_collector(
    app: Flask, is_async: bool
) -> None:
    """Who listens is cancelled at the end, and holds the error that it ends with."""
    listening = threading.Event()

    def index() -> str:
        seen.append(weakref.ref(request.environ["wsgi.input"]))
        assert listening.wait(30)
        return "x"

    async def index_async() -> str:
        seen.append(weakref.ref(request.environ["wsgi.input"]))
        await until(listening.is_set)
        return "x"

    app.add_url_rule("/", view_func=index_async if is_async else index, methods=["POST"])

    async def visit() -> Exchange:
        it = Exchange(app, scope(method="POST"))
        it.tell(b"body")

        async def receive() -> t.Any:
            if it.received:
                listening.set()
            return await Exchange.receive(it)

        it.receive = receive  # type: ignore[method-assign]
        return await it.run()

    with freed() as seen:
        assert asyncio.run(visit()).body == b"x"


async def exchange_in_task(app: Flask, path: str) -> BaseException | None:
    """What a request raises out of the app, in a task of its own as in a server."""
    task = asyncio.create_task(exchange(app, path))
    await asyncio.wait([task])
    return task.exception()


def test_a_view_that_exits_does_not_end_the_server(app: Flask) -> None:
    """Asyncio lets :exc:`SystemExit` out of the loop, through all that runs there."""
    ended: list[BaseException | None] = []
    app.add_url_rule("/fine", view_func=lambda: "fine")

    @app.get("/sync")
    def leave() -> t.NoReturn:
        raise SystemExit(2)

    @app.get("/sync-stream")
    def sync_stream() -> t.Any:
        yield "a"
        leave()

    @app.get("/stream")
    async def stream() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            yield "a"
            leave()

        return pieces()

    @app.get("/async")
    async def view() -> str:
        leave()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        ended.append(error)

    async def run() -> None:
        for path in "/sync", "/async", "/sync-stream", "/stream":
            error = await exchange_in_task(app, path)
            assert isinstance(error, RuntimeError), path
            assert "would have ended the server" in str(error)
            assert isinstance(error.__cause__, SystemExit)
        assert await exchange_in_task(app, "/fine") is None

    asyncio.run(run())
    assert [type(error) for error in ended] == [SystemExit, SystemExit, *[type(None)] * 3]


def test_an_unknown_kind_of_connection_is_refused(app: Flask) -> None:
    async def send(message: t.Any) -> None:
        raise AssertionError("nothing is answered")

    with pytest.raises(RuntimeError, match="'telnet'"):
        asyncio.run(app({"type": "telnet"}, None, send))


# Costs.


def test_an_async_view_keeps_to_its_budget_of_calls(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have loaded it. Beside it the view can be suspended.
    monkeypatch.delitem(sys.modules, "sqlalchemy", raising=False)

    @app.get("/")
    async def view() -> str:
        return "Hello, World!"

    here = view.__code__.co_filename, exchange.__code__.co_filename
    message = {"type": "http.request", "body": b"", "more_body": False}

    async def receive() -> t.Any:
        return message

    async def send(message: t.Any) -> None:
        pass

    async def run() -> list[str]:
        for _ in range(3):
            await app(scope(), receive, send)
        with Calls() as called:
            await app(scope(), receive, send)
        return [code.co_qualname for code in called if code.co_filename not in here]

    called = asyncio.run(run())
    assert len(called) <= 33, called
