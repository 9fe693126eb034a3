"""The walk of a WebSocket: its order, its hooks, its refusals and errors, and its session."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import typing as t
from functools import wraps

import pytest
from werkzeug.datastructures import Headers
from werkzeug.exceptions import Forbidden
from werkzeug.exceptions import NotFound

import torsyq
from tests.sockets import eventually
from tests.sockets import on_loop
from tests.sockets import Wire
from torsyq import abort
from torsyq import after_this_websocket
from torsyq import Blueprint
from torsyq import current_app
from torsyq import Flask
from torsyq import g
from torsyq import has_request_context
from torsyq import has_websocket_context
from torsyq import redirect
from torsyq import request
from torsyq import Response
from torsyq import send_file
from torsyq import session
from torsyq import url_for
from torsyq import websocket
from torsyq import WebsocketDisconnected
from torsyq.sessions import SecureCookieSession
from torsyq.sessions import SessionInterface
from torsyq.sessions import SessionMixin
from torsyq.testing import FlaskClient
from torsyq.views import View

Events = list[t.Any]


@pytest.fixture
def live(app: Flask) -> Flask:
    """An app that answers its errors, as it does outside of tests."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


# Routes


@on_loop
async def test_rules_convert_and_name_their_arguments(app: Flask) -> None:
    @app.websocket("/<int:number>/<path:rest>", defaults={"more": 1})
    async def view(number: int, rest: str, more: int) -> None:
        await websocket.send_json([number, rest, more])

    async with Wire(app, "/7/a/b") as wire:
        await wire.accepted()
        assert await wire.hear() == '[7, "a/b", 1]'


@on_loop
async def test_views_are_added_by_a_call_and_by_endpoint(app: Flask) -> None:
    async def one() -> None:
        await websocket.send(str(websocket.endpoint))

    app.add_websocket("/one", view_func=one)
    app.add_websocket("/two", "second", one)
    app.add_websocket("/three", endpoint="third")
    app.endpoint("third")(one)
    app.websocket("/four", endpoint="fourth")(one)
    for path, endpoint in ("one", "one"), ("two", "second"), ("three", "third"), ("four", "fourth"):
        async with Wire(app, f"/{path}") as wire:
            await wire.accepted()
            assert await wire.hear() == endpoint


def test_a_websocket_takes_no_methods(app: Flask) -> None:
    with pytest.raises(TypeError, match="takes no 'methods'"):
        app.websocket("/", methods=["GET"])(lambda: None)


def test_setup_is_over_after_the_first_connection(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        """Refuses."""

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.closed()

    client()
    with pytest.raises(AssertionError, match="'websocket' can no longer be called"):
        app.websocket("/late")


@on_loop
async def test_one_url_may_have_a_view_for_each_protocol(app: Flask) -> None:
    @app.get("/both")
    def page() -> str:
        return url_for("talk")

    @app.websocket("/both")
    async def talk() -> None:
        await websocket.send(url_for("page") + " " + url_for("page", _external=True))

    assert app.test_client().get("/both").text == "ws://localhost/both"
    page_over_tls = app.test_client().get("/both", base_url="https://localhost")
    assert page_over_tls.text == "wss://localhost/both"
    async with Wire(app, "/both", scheme="wss") as wire:
        await wire.accepted()
        assert await wire.hear() == "/both https://localhost/both"


UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


@pytest.mark.parametrize("headers", [{}, UPGRADE])
@pytest.mark.parametrize(
    ("scheme", "secure"), [(None, ""), ("ws", ""), ("http", ""), ("wss", "s"), ("https", "s")]
)
def test_a_websocket_is_one_whatever_its_scheme_is_called(
    app: Flask, headers: dict[str, str], scheme: str | None, secure: str
) -> None:
    """SECURITY: it does not reach a view for HTTP, whose hooks would not be called."""
    app.before_request(lambda: abort(401))
    app.get("/page", endpoint="page")(lambda: "secret")

    @app.websocket("/talk")
    async def talk() -> None:
        await websocket.send_json([websocket.scheme, url_for("page", _external=True)])

    @on_loop
    async def client() -> None:
        for path in "/page", "/talk":
            wire = Wire(app, path, headers=headers, scheme=scheme)
            if scheme is None:
                del wire.scope["scheme"]
            async with wire:
                if path == "/page":
                    assert (await wire.refused())[0] == 400
                else:
                    await wire.accepted()
                    url = f"http{secure}://localhost/page"
                    assert json.loads(await wire.hear()) == [f"ws{secure}", url]

    client()


@on_loop
@pytest.mark.parametrize("options", [True, False])
async def test_a_websocket_of_an_extension_is_a_bad_request(app: Flask, options: bool) -> None:
    """SECURITY: its view counts on what guards requests, such as ``before_request``."""
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = options
    app.route("/theirs", websocket=True)(lambda: "secret")
    async with Wire(app, "/theirs") as wire:
        status, _, body = await wire.refused()
    assert (status, "needs a WSGI server" in body) == (400, True)


def test_a_get_for_a_websocket_is_a_bad_request(app: Flask) -> None:
    @app.websocket("/talk")
    async def talk() -> None:
        """Never called."""

    assert app.test_client().get("/talk").status_code == 400


def test_a_page_at_the_url_of_a_websocket_says_what_it_is(
    app: Flask, anyclient: FlaskClient
) -> None:
    """Who writes one opens it in the browser first."""

    @app.websocket("/talk")
    async def talk() -> None:
        await websocket.receive()

    answer = anyclient.get("/talk")
    assert answer.status_code == 400
    assert "This URL is a WebSocket." in answer.text
    assert "a proxy has not passed on" in answer.text


def test_the_url_of_an_extensions_websocket_is_answered_as_by_flask(app: Flask) -> None:
    app.route("/theirs", websocket=True)(lambda: "taken")
    answer = app.test_client().get("/theirs")
    assert answer.status_code == 400
    assert "This URL" not in answer.text


def test_a_websocket_of_an_extension_is_answered_on_wsgi(app: Flask) -> None:
    """Also where no route answers OPTIONS by itself, which is what ours have in common."""
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.route("/theirs", websocket=True)(lambda: "taken")
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert app.test_client().get("/theirs", headers=upgrade).text == "taken"


@on_loop
async def test_a_websocket_for_a_page_is_a_bad_request(app: Flask) -> None:
    @app.get("/page")
    def page() -> str:
        raise AssertionError("not called")

    @app.websocket("/talk")
    async def talk() -> None:
        raise AssertionError("not called")

    async with Wire(app, "/page") as wire:
        status, _, body = await wire.refused()
        assert status == 400
        assert "This URL" not in body


def test_a_websocket_on_wsgi_says_what_it_needs(live: Flask) -> None:
    @live.websocket("/talk")
    async def talk() -> None:
        await websocket.receive()

    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = live.test_client().get("/talk", headers=upgrade)
    assert answer.status_code == 400
    assert "WebSockets need an ASGI server, and that may need a package for them" in answer.text


@pytest.mark.parametrize("is_async", [True, False])
def test_a_view_may_be_a_class(app: Flask, is_async: bool) -> None:
    class Echo(View):
        def dispatch_request(self, word: str) -> t.Any:  # type: ignore[override]
            websocket.send(word)  # type: ignore[unused-coroutine]

    class AsyncEcho(View):
        async def dispatch_request(self, word: str) -> t.Any:  # type: ignore[override]
            await websocket.send(word)

    app.add_websocket("/<word>", view_func=(AsyncEcho if is_async else Echo).as_view("echo"))

    @on_loop
    async def client() -> None:
        async with Wire(app, "/hi") as wire:
            await wire.accepted()
            assert await wire.hear() == "hi"

    client()


@on_loop
async def test_no_way_to_an_async_class_leads_past_a_decorator(app: Flask) -> None:
    """SECURITY: also where ``functools.wraps`` gives the decorator's function what the view has."""

    class Secret(View):
        async def dispatch_request(self) -> None:  # type: ignore[override]
            await websocket.send("secret")

    def forbidden(view: t.Any) -> t.Any:
        @wraps(view)
        def wrapper() -> None:
            raise Forbidden

        return wrapper

    app.add_websocket("/", view_func=forbidden(Secret.as_view("secret")))
    async with Wire(app) as wire:
        assert (await wire.refused())[0] == 403


@on_loop
async def test_middleware_of_asgi_app_is_passed(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.send(websocket.scope["added"])

    inner = app.asgi_app

    async def middleware(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await inner({**scope, "added": "by middleware"}, receive, send)

    app.asgi_app = middleware  # type: ignore[method-assign]
    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.hear() == "by middleware"


# The order of things


def hooked(app: Flask, events: Events) -> None:
    """Register every kind of hook and signal, sync and async ones, on the app and blueprints."""
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    inner = Blueprint("inner", __name__, url_prefix="/inner")
    for name, scaffold in ("app", app), ("outer", outer), ("inner", inner):

        def before(name: str = name) -> None:
            events.append(f"{name} before")

        async def before_async(name: str = name) -> None:
            events.append(f"{name} before async")

        def after(response: t.Any, name: str = name) -> t.Any:
            events.append(f"{name} after {response}")
            return response

        async def after_async(response: t.Any, name: str = name) -> t.Any:
            events.append(f"{name} after async {response}")
            return response

        def teardown(exc: BaseException | None, name: str = name) -> None:
            events.append(f"{name} teardown {exc!r}")

        async def teardown_async(exc: BaseException | None, name: str = name) -> None:
            events.append(f"{name} teardown async {exc!r}")

        def values(endpoint: str | None, values: t.Any, name: str = name) -> None:
            events.append(f"{name} values {endpoint} {values}")

        scaffold.before_websocket(before)
        scaffold.before_websocket(before_async)
        scaffold.after_websocket(after)
        scaffold.after_websocket(after_async)
        scaffold.teardown_websocket(teardown)
        scaffold.teardown_websocket(teardown_async)
        scaffold.url_value_preprocessor(values)
        # Those for requests are not for websockets.
        scaffold.before_request(lambda: pytest.fail("called"))
        scaffold.after_request(lambda response: pytest.fail("called"))
        scaffold.teardown_request(lambda exc: pytest.fail("called"))

    @inner.before_app_websocket
    def before_all() -> None:
        events.append("inner before app")

    @inner.after_app_websocket
    def after_all(response: t.Any) -> t.Any:
        events.append("inner after app")
        return response

    @inner.teardown_app_websocket
    def teardown_all(exc: BaseException | None) -> None:
        events.append("inner teardown app")

    @app.teardown_appcontext
    def teardown_app(exc: BaseException | None) -> None:
        events.append(f"appcontext {exc!r}")

    @inner.websocket("/<int:number>")
    async def view(number: int) -> None:
        events.append("view")

        @after_this_websocket
        def after_this(response: t.Any) -> t.Any:
            events.append("after this")
            return response

        await websocket.accept()

    outer.register_blueprint(inner)
    app.register_blueprint(outer)


@on_loop
async def test_hooks_run_in_the_order_of_a_request_s(app: Flask) -> None:
    events: Events = []
    hooked(app, events)
    names = ("websocket_started", "websocket_finished", "websocket_tearing_down")
    receivers = []
    for name in names:

        def receive(sender: Flask, name: str = name, **extra: t.Any) -> None:
            events.append(f"{name} {sorted(extra)}")

        receivers.append(receive)
        getattr(torsyq, name).connect(receive, app)

    async with Wire(app, "/outer/inner/5") as wire:
        await wire.accepted()
        assert await wire.closed() == (1000, "")
    endpoint = "outer.inner.view {'number': 5}"
    assert events == [
        "websocket_started []",
        f"app values {endpoint}",
        f"outer values {endpoint}",
        f"inner values {endpoint}",
        "app before",
        "app before async",
        "inner before app",
        "outer before",
        "outer before async",
        "inner before",
        "inner before async",
        "view",
        "after this",
        "inner after async None",
        "inner after None",
        "outer after async None",
        "outer after None",
        "inner after app",
        "app after async None",
        "app after None",
        "websocket_finished ['response']",
        "inner teardown async None",
        "inner teardown None",
        "outer teardown async None",
        "outer teardown None",
        "inner teardown app",
        "app teardown async None",
        "app teardown None",
        "websocket_tearing_down ['exc']",
        "appcontext None",
    ]


@on_loop
async def test_what_a_before_function_returns_refuses(app: Flask) -> None:
    seen = []

    @app.before_websocket
    async def no() -> tuple[str, int]:
        return "not you", 403

    @app.after_websocket
    def after(response: t.Any) -> t.Any:
        seen.append(response.status)
        response.headers["X-After"] = "1"
        return response

    @app.websocket("/")
    async def view() -> None:
        raise AssertionError("not called")

    async with Wire(app) as wire:
        status, headers, body = await wire.refused()
    assert (status, headers["x-after"], body) == (403, "1", "not you")
    assert seen == ["403 FORBIDDEN"]


@on_loop
async def test_a_before_function_may_accept_and_talk(app: Flask) -> None:
    @app.before_websocket
    async def password() -> str | None:
        if await websocket.receive() != "open sesame":
            await websocket.close(4403, "no")
            return None
        return None

    @app.websocket("/")
    async def view() -> None:
        await websocket.send("treasure")

    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("open sesame")
        assert await wire.hear() == "treasure"
    async with Wire(app) as wire:
        await wire.accepted()
        wire.say("please")
        assert await wire.closed() == (4403, "no")


@on_loop
async def test_all_teardown_functions_run_even_if_one_raises(app: Flask) -> None:
    events: Events = []

    @app.teardown_websocket
    def last(exc: BaseException | None) -> None:
        events.append("last")

    @app.teardown_websocket
    def broken(exc: BaseException | None) -> None:
        raise KeyError("broken")

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()

    wire = await Wire(app).__aenter__()
    await wire.closed() if (await wire.accepted()) else None
    await asyncio.wait([wire.task])
    with pytest.raises(KeyError, match="broken"):
        wire.task.result()
    assert events == ["last"]


@on_loop
async def test_teardown_functions_run_even_if_the_server_loses_patience(app: Flask) -> None:
    events: Events = []

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        events.append("teardown")

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        await asyncio.Event().wait()

    class SlowToLetGo(Wire):
        async def _run(self) -> None:
            await self.app(self.scope, self.receive, self._send)

        async def receive(self) -> dict[str, t.Any]:
            events.append("listening")
            try:
                return await self.to_app.get()
            except asyncio.CancelledError:
                events.append("stopping")
                await asyncio.Event().wait()
                raise

    wire = await SlowToLetGo(app).__aenter__()
    await wire.accepted()
    await eventually(lambda: events.count("listening") == 2)
    wire.task.cancel()
    await eventually(lambda: "stopping" in events)
    wire.task.cancel()
    await asyncio.wait([wire.task])
    assert events[2:] == ["stopping", "teardown"]


# Contexts


@on_loop
async def test_the_names_of_a_request_work_in_a_websocket(app: Flask) -> None:
    events: Events = []

    @app.before_websocket
    def before() -> None:
        g.user = "aru"

    @app.websocket("/<name>", subdomain=None)
    async def view(name: str) -> None:
        events.append((current_app.name, g.user, request.path, request.args["a"], websocket.path))
        await asyncio.create_task(in_task())
        await asyncio.to_thread(in_thread)

    async def in_task() -> None:
        events.append((g.user, websocket.path))

    def in_thread() -> None:
        events.append((g.user, websocket.path, threading.current_thread() is not main))

    main = threading.current_thread()
    async with Wire(app, "/x", query="a=1") as wire:
        await wire.closed()
    assert events == [
        ("tests.app", "aru", "/x", "1", "/x"),
        ("aru", "/x"),
        ("aru", "/x", True),
    ]


@on_loop
async def test_connections_do_not_see_each_other(app: Flask) -> None:
    """A hundred at once, whose views and hooks, sync ones too, take turns."""

    @app.before_websocket
    def before() -> None:
        g.number = request.args["n"]

    @app.websocket("/async")
    async def view() -> None:
        async for message in websocket:
            await asyncio.sleep(0)
            await websocket.send(f"{g.number} {request.args['n']} {message!r}")

    @app.websocket("/sync")
    def sync_view() -> None:
        for message in t.cast("t.Iterable[str]", websocket):
            websocket.send(f"{g.number} {request.args['n']} {message!r}")  # type: ignore[unused-coroutine]

    async def client(number: int, path: str) -> None:
        async with Wire(app, path, query=f"n={number}") as wire:
            await wire.accepted()
            for word in "abc":
                wire.say(word)
                assert await wire.hear() == f"{number} {number} {word!r}"
            wire.leave()

    paths = ["/async"] * 70 + ["/sync"] * 30
    await asyncio.gather(*(client(number, path) for number, path in enumerate(paths)))


# Refusing


@on_loop
async def test_what_a_view_returns_before_accepting_refuses(app: Flask) -> None:
    @app.websocket("/text")
    async def text() -> tuple[str, int, dict[str, str]]:
        return "wrong password", 401, {"WWW-Authenticate": "Basic"}

    @app.websocket("/stream")
    def stream() -> t.Iterator[str]:
        return iter(["pie", "ces"])

    @app.websocket("/awaited-stream")
    async def awaited_stream() -> t.AsyncIterator[str]:
        async def pieces() -> t.AsyncIterator[str]:
            yield "pie"
            yield "ces"

        return pieces()

    async with Wire(app, "/text") as wire:
        status, headers, body = await wire.refused()
        assert (status, headers["www-authenticate"], body) == (401, "Basic", "wrong password")
    for path in "/stream", "/awaited-stream":
        async with Wire(app, path) as wire:
            assert (await wire.refused())[::2] == (200, "pieces")


@on_loop
async def test_a_response_that_refuses_is_closed(live: Flask) -> None:
    closed: Events = []

    @live.websocket("/<how>")
    async def view(how: str) -> Response:
        response = Response("no", 403)
        response.call_on_close(lambda: closed.append(how))
        if how == "aborts":
            abort(response)
        return response

    @live.after_websocket
    def fail(response: Response | None) -> Response | None:
        if websocket.path == "/fails-after" and response and response.status_code == 403:
            raise ZeroDivisionError
        return response

    ways = {"returns": 403, "aborts": 403, "fails-after": 500}
    for how, expected in ways.items():
        async with Wire(live, f"/{how}") as wire:
            assert (await wire.refused())[0] == expected
    assert closed == [*ways]


@on_loop
async def test_a_server_that_stops_amid_a_hook_leaves_no_response_open(app: Flask) -> None:
    events: Events = []

    @app.websocket("/")
    async def view() -> Response:
        response = Response("no", 403)
        response.call_on_close(lambda: events.append("closed"))
        return response

    @app.after_websocket
    async def wait(response: Response | None) -> Response | None:
        events.append("waits")
        await asyncio.Event().wait()
        return response

    wire = await Wire(app).__aenter__()
    await eventually(lambda: events)
    wire.task.cancel()
    await asyncio.wait([wire.task])
    assert events == ["waits", "closed"]


@on_loop
@pytest.mark.parametrize("value", ["\u049b", "a\r\nX-Evil: 1"])
async def test_a_response_that_cannot_be_sent_refuses_with_500(live: Flask, value: str) -> None:
    """SECURITY: nor does one that writes its headers by itself, which no setter has seen."""

    class Own(Response):
        def get_wsgi_headers(self, environ: t.Any) -> Headers:
            headers = Headers()
            headers._list = [("X-A", value)]
            return headers

    @live.websocket("/talk")
    async def talk() -> Response:
        return Own("no")

    async with Wire(live, "/talk") as wire:
        status, headers, _ = await wire.refused()
    assert (status, "x-a" in dict(headers)) == (500, False)


@on_loop
async def test_a_client_that_went_before_it_was_refused_is_no_error(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        wire.broken = OSError("gone")
        abort(403)

    async with Wire(app) as wire:
        pass


@on_loop
async def test_a_file_may_refuse(app: Flask, tmp_path: t.Any) -> None:
    (tmp_path / "no.txt").write_bytes(b"members only")

    @app.websocket("/")
    async def view() -> tuple[Response, int]:
        return send_file(tmp_path / "no.txt"), 403

    async with Wire(app) as wire:
        status, headers, body = await wire.refused()
        assert (status, headers["content-length"], body) == (403, "12", "members only")


@on_loop
async def test_a_view_that_never_accepts_refuses(app: Flask) -> None:
    @app.websocket("/nothing")
    async def nothing() -> None:
        """Neither accepts nor answers."""

    @app.websocket("/close")
    async def close() -> None:
        await websocket.close()

    for path in "/nothing", "/close":
        async with Wire(app, path) as wire:
            # Servers make a 403 of it.
            assert await wire.closed() == (1000, "")


@on_loop
async def test_errors_and_redirects_refuse(live: Flask) -> None:
    @live.websocket("/forbidden")
    async def forbidden() -> None:
        abort(403)

    @live.websocket("/moved")
    async def moved() -> t.Any:
        return redirect("/elsewhere")

    @live.websocket("/slash/")
    async def slash() -> None:
        """Redirected to."""

    @live.websocket("/handled")
    async def handled() -> None:
        raise KeyError("k")

    @live.websocket("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @live.errorhandler(404)
    async def lost(error: NotFound) -> tuple[str, int]:
        return f"no {websocket.path}", 404

    @live.errorhandler(KeyError)
    def key(error: KeyError) -> tuple[str, int]:
        return "key", 418

    @live.errorhandler(500)
    def sorry(error: t.Any) -> tuple[str, int]:
        return f"sorry for {type(error.original_exception).__name__}", 500

    for path, expected in {
        "/lost": (404, "no /lost"),
        "/handled": (418, "key"),
        "/broken": (500, "sorry for ZeroDivisionError"),
    }.items():
        async with Wire(live, path) as wire:
            assert (await wire.refused())[::2] == expected
    async with Wire(live, "/forbidden") as wire:
        assert (await wire.refused())[0] == 403
    for path, status, location in ("/moved", 302, "/elsewhere"), ("/slash", 308, "/slash/"):
        async with Wire(live, path) as wire:
            got, headers, _ = await wire.refused()
            assert got == status
            assert headers["location"].endswith(location)


@on_loop
async def test_a_server_that_cannot_say_more_closes(app: Flask) -> None:
    async with Wire(app, "/lost", refusable=False) as wire:
        assert await wire.closed() == (1008, "")


@on_loop
async def test_an_untrusted_host_is_refused(app: Flask) -> None:
    app.config["TRUSTED_HOSTS"] = ["good.example"]

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()

    async with Wire(app, headers={"Host": "bad.example"}) as wire:
        assert (await wire.refused())[0] == 400
    async with Wire(app, headers={"Host": "good.example"}) as wire:
        await wire.accepted()


# Errors of an open connection


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, (1007, "BAD REQUEST")),
        (403, (1008, "FORBIDDEN")),
        (404, (1008, "NOT FOUND")),
        (413, (1009, "REQUEST ENTITY TOO LARGE")),
        (415, (1003, "UNSUPPORTED MEDIA TYPE")),
        (500, (1011, "INTERNAL SERVER ERROR")),
        (503, (1013, "SERVICE UNAVAILABLE")),
    ],
)
def test_an_http_error_becomes_a_code(app: Flask, status: int, expected: tuple[int, str]) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        abort(status)

    @on_loop
    async def client() -> None:
        async with Wire(app) as wire:
            await wire.accepted()
            assert await wire.closed() == expected

    client()


@on_loop
async def test_a_long_status_fits_into_a_reason(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        abort(Response(status=f"409 {'ә' * 100}"))

    async with Wire(app) as wire:
        await wire.accepted()
        assert await wire.closed() == (1008, "ә" * 61)


@on_loop
async def test_a_handler_decides_on_the_code_by_its_status(app: Flask) -> None:
    @app.websocket("/<int:status>")
    async def view(status: int) -> None:
        await websocket.accept()
        raise KeyError(status)

    @app.errorhandler(KeyError)
    def handle(error: KeyError) -> tuple[str, int]:
        return "", error.args[0]

    for status, code in (200, 1000), (403, 1008), (501, 1011):
        async with Wire(app, f"/{status}") as wire:
            await wire.accepted()
            assert (await wire.closed())[0] == code


@on_loop
async def test_an_unhandled_error_is_logged_reported_and_closes_with_1011(
    live: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    seen: Events = []

    @live.websocket("/")
    async def view() -> None:
        await websocket.accept()
        raise ZeroDivisionError("z")

    @live.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        seen.append(repr(exc))

    def report(sender: Flask, exception: Exception) -> None:
        seen.append(f"reported {exception!r}")

    torsyq.got_request_exception.connect(report, live)
    torsyq.got_websocket_exception.connect(report, live)
    async with Wire(live) as wire:
        await wire.accepted()
        assert await wire.closed() == (1011, "INTERNAL SERVER ERROR")
    error = "ZeroDivisionError('z')"
    assert seen == [f"reported {error}", f"reported {error}", error]
    (record,) = caplog.records
    assert record.getMessage() == "Exception on / [GET]"
    assert record.exc_info


@pytest.mark.parametrize("place", ["view", "before_websocket"])
@pytest.mark.parametrize("handled", [StopIteration, 500])
@on_loop
async def test_a_stop_iteration_is_an_error_like_any_other(
    live: Flask, caplog: pytest.LogCaptureFixture, handled: t.Any, place: str
) -> None:
    """Although no coroutine, and so no step of the walk, can raise it."""
    seen: Events = []

    def stop() -> t.NoReturn:
        raise StopIteration("here")

    live.websocket("/")(stop if place == "view" else lambda: "")
    if place == "before_websocket":
        live.before_websocket(stop)
    live.teardown_websocket(lambda error: seen.append(repr(error)))

    @live.errorhandler(handled)
    def handle(error: t.Any) -> tuple[str, int]:
        seen.append(repr(getattr(error, "original_exception", error)))
        seen.append(repr(sys.exc_info()[1]))
        return "sorry", 500

    async with Wire(live) as wire:
        assert (await wire.refused())[::2] == (500, "sorry")
    stopped = "StopIteration('here')"
    assert seen == [stopped, stopped, "None" if handled is StopIteration else stopped]
    for record in caplog.records:
        assert record.exc_info is not None
        assert record.exc_info[0] is StopIteration
    assert len(caplog.records) == (handled == 500)


@pytest.mark.parametrize("kind", ["sync", "async"])
@on_loop
async def test_a_view_that_exits_does_not_end_the_server(app: Flask, kind: str) -> None:
    """Asyncio lets :exc:`SystemExit` out of the loop, through all that runs there."""
    ended: Events = []

    @app.websocket("/sync")
    def leave() -> None:
        raise SystemExit(2)

    @app.websocket("/async")
    async def view() -> None:
        leave()

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        ended.append(type(exc))

    with pytest.raises(RuntimeError, match="would have ended the server"):
        async with Wire(app, f"/{kind}"):
            pass
    assert ended == [SystemExit]


@on_loop
async def test_a_test_gets_the_error_and_the_client_the_code(app: Flask) -> None:
    @app.websocket("/<when>")
    async def view(when: str) -> None:
        if when == "late":
            await websocket.accept()
        raise ZeroDivisionError("z")

    for when in "early", "late":
        wire = await Wire(app, f"/{when}").__aenter__()
        if when == "late":
            await wire.accepted()
            assert (await wire.closed())[0] == 1011
        await asyncio.wait([wire.task])
        with pytest.raises(ZeroDivisionError):
            wire.task.result()
        assert wire.from_app.empty()


@on_loop
async def test_an_ignored_error_is_not_told_to_teardown() -> None:
    class Calm(Flask):
        def should_ignore_error(self, error: BaseException | None) -> bool:
            return isinstance(error, KeyError)

    app = Calm("calm", static_folder=None)
    seen: Events = []
    app.teardown_websocket(seen.append)

    @app.websocket("/")
    async def view() -> None:
        raise KeyError

    async with Wire(app) as wire:
        assert (await wire.refused())[0] == 500
    assert seen == [None]


@on_loop
async def test_an_error_in_an_after_function_is_an_error(
    live: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @live.after_websocket
    def after(response: t.Any) -> t.Any:
        raise KeyError("after")

    @live.websocket("/")
    async def view() -> None:
        await websocket.accept()

    async with Wire(live) as wire:
        await wire.accepted()
        assert (await wire.closed())[0] == 1011
    assert [record.getMessage() for record in caplog.records] == [
        "Exception on / [GET]",
        "Websocket finalizing failed with an error while handling an error",
    ]


@on_loop
async def test_a_response_after_accepting_comes_too_late(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> str:
        await websocket.accept()
        return "text"

    wire = await Wire(app).__aenter__()
    await asyncio.wait([wire.task])
    with pytest.raises(TypeError, match=r"'view' returned a str after the websocket was accepted"):
        wire.task.result()


@on_loop
async def test_an_error_once_the_client_has_gone_is_logged_all_the_same(
    live: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @live.websocket("/")
    async def view() -> None:
        try:
            await websocket.receive()
        except WebsocketDisconnected:
            raise ZeroDivisionError from None

    async with Wire(live) as wire:
        await wire.accepted()
        wire.leave()
    assert wire.from_app.empty()
    assert len(caplog.records) == 1


# Sessions


def cookie_of(app: Flask, **values: t.Any) -> dict[str, str]:
    interface = t.cast("t.Any", app.session_interface)
    return {"Cookie": f"session={interface.get_signing_serializer(app).dumps(values)}"}


@on_loop
async def test_the_session_is_read(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        await websocket.send(session["name"])

    async with Wire(app, headers=cookie_of(app, name="aru")) as wire:
        # Read, but not changed: nothing to set.
        assert (await wire.accepted())["headers"] == []
        assert await wire.hear() == "aru"


@on_loop
async def test_the_session_is_saved_when_the_connection_is_accepted_or_refused(app: Flask) -> None:
    @app.websocket("/<how>")
    async def view(how: str) -> str | None:
        session["name"] = how
        if how == "refuse":
            return "no"
        await websocket.accept({"X-Own": "1"})
        return None

    async with Wire(app, "/accept") as wire:
        headers = (await wire.accepted())["headers"]
        assert [name for name, _ in headers] == [b"x-own", b"set-cookie"]
        assert headers[1][1].startswith(b"session=")
    async with Wire(app, "/refuse") as wire:
        _, refused_headers, _ = await wire.refused()
        assert refused_headers["set-cookie"].startswith("session=")


@on_loop
async def test_a_session_that_is_changed_too_late_is_warned_of(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/<when>")
    async def view(when: str) -> None:
        session["early"] = 1
        await websocket.accept()
        if when == "late":
            session["late"] = 1

    with caplog.at_level(logging.WARNING):
        for when in "early", "late":
            async with Wire(app, f"/{when}") as wire:
                await wire.closed() if await wire.accepted() else None
    (record,) = caplog.records
    assert "after the websocket on /late was accepted" in record.getMessage()


@on_loop
async def test_an_app_without_sessions_may_have_no_name_for_their_cookie(app: Flask) -> None:
    app.config["SESSION_COOKIE_NAME"] = None

    @app.websocket("/")
    async def view() -> None:
        await websocket.send("hi")

    async with Wire(app, headers={"Cookie": "a=b"}) as wire:
        await wire.accepted()
        assert await wire.hear() == "hi"


@on_loop
async def test_an_unchanged_or_impossible_session_costs_nothing(app: Flask) -> None:
    @app.websocket("/")
    async def view() -> None:
        assert "name" not in session
        await websocket.accept()

    for key in "key", None:
        app.secret_key = key
        async with Wire(app) as wire:
            assert (await wire.accepted())["headers"] == []


@on_loop
async def test_a_session_on_the_server_is_saved_at_the_end_too(app: Flask) -> None:
    store: dict[str, t.Any] = {}
    saved: Events = []

    class Stored(SessionInterface):
        def open_session(self, app: t.Any, request: t.Any) -> SecureCookieSession:
            # Waiting for a server would block the loop.
            assert threading.current_thread() is not main
            return SecureCookieSession(store)

        def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
            assert threading.current_thread() is not main
            store.update(session)
            saved.append(dict(session))

    main = threading.current_thread()
    app.session_interface = Stored()

    @app.websocket("/")
    async def view() -> None:
        session["a"] = 1
        await websocket.accept()
        session["b"] = 2

    async with Wire(app) as wire:
        await wire.closed() if await wire.accepted() else None
    assert saved == [{"a": 1}, {"a": 1, "b": 2}]


@on_loop
async def test_a_session_that_does_not_tell_of_changes_is_saved_at_the_end(app: Flask) -> None:
    saved: Events = []

    class Plain(dict[str, t.Any], SessionMixin):
        """The least that a session may be: it is always said to be changed."""

    class Stored(SessionInterface):
        def open_session(self, app: t.Any, request: t.Any) -> Plain:
            return Plain()

        def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:
            saved.append(dict(session))

    app.session_interface = Stored()

    @app.websocket("/")
    async def view() -> None:
        await websocket.accept()
        session["late"] = True

    async with Wire(app) as wire:
        await wire.closed() if await wire.accepted() else None
    assert saved == [{}, {"late": True}]


# Afterwards


@on_loop
async def test_background_work_begins_at_once_and_outlives_the_connection(app: Flask) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    order: Events = []

    async def work() -> None:
        assert not has_websocket_context()
        assert not has_request_context()
        begun.set()
        await go_on.wait()
        order.append("work")
        done.set()

    @app.teardown_websocket
    def teardown(exc: BaseException | None) -> None:
        order.append("teardown")

    @app.websocket("/")
    async def view() -> None:
        app.add_background_task(work)
        await begun.wait()
        await websocket.accept()
        order.append("view")

    async with Wire(app) as wire:
        await wire.accepted()
    go_on.set()
    await done.wait()
    assert order == ["view", "teardown", "work"]


# Subclasses


@on_loop
async def test_a_subclass_may_replace_a_step(live: Flask) -> None:
    class Mine(Flask):
        async def dispatch_websocket(self) -> t.Any:
            rv = await super().dispatch_websocket()
            events.append("dispatched")
            return rv

    events: Events = []
    app = Mine("mine", static_folder=None)

    @app.websocket("/")
    async def view() -> None:
        raise Forbidden

    @app.websocket("/ok")
    async def ok() -> None:
        await websocket.accept()

    async with Wire(app) as wire:
        assert (await wire.refused())[0] == 403
    async with Wire(app, "/ok") as wire:
        await wire.accepted()
    assert events == ["dispatched"]
