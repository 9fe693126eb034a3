"""The verbs of a view."""

from __future__ import annotations

import asyncio
import gc
import importlib.machinery
import inspect
import os
import subprocess
import sys
import types
import typing as t
import weakref
from functools import wraps
from pathlib import Path

import pytest
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as WerkzeugResponse

import torsyq
from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import session
from torsyq.globals import _cv_app
from torsyq.globals import _cv_request
from torsyq.helpers import _CollectErrors
from torsyq.helpers import _prepare_send_file_kwargs
from torsyq.helpers import _split_blueprint_path
from torsyq.helpers import get_debug_flag
from torsyq.helpers import get_load_dotenv
from torsyq.helpers import get_root_path
from torsyq.signals import message_flashed
from torsyq.testing import FlaskClient

# The environment


@pytest.mark.parametrize("value", ["", "0", "false", "FALSE", "no", "No"])
def test_debug_is_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLASK_DEBUG", value)
    assert get_debug_flag() is False


@pytest.mark.parametrize("value", ["1", "true", "on", "off", "n", " "])
def test_debug_is_on(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLASK_DEBUG", value)
    assert get_debug_flag() is True


def test_debug_is_off_when_nothing_is_said() -> None:
    assert get_debug_flag() is False


@pytest.mark.parametrize("default", [True, False])
def test_dotenv_files_are_read_by_default(monkeypatch: pytest.MonkeyPatch, default: bool) -> None:
    assert get_load_dotenv() is True
    assert get_load_dotenv(default) is default
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "")
    assert get_load_dotenv(default) is default


@pytest.mark.parametrize(
    ("value", "expected"), [("0", True), ("No", True), ("1", False), ("x", False)]
)
def test_dotenv_files_are_skipped_on_demand(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("FLASK_SKIP_DOTENV", value)
    assert get_load_dotenv(not expected) is expected


# Streams


def test_a_stream_reads_what_the_view_could(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/<word>")
    def stream(word: str) -> t.Any:
        g.word = word
        session["word"] = word

        def body() -> t.Iterator[str]:
            yield f"{request.args['q']} {g.word} {session['word']}"

        return torsyq.stream_with_context(body())

    assert anyclient.get("/w?q=1").text == "1 w w"


def test_a_stream_is_made_by_a_decorated_function(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    def stream() -> t.Any:
        @torsyq.stream_with_context
        def body(first: str, *, last: str) -> t.Iterator[str]:
            yield first + request.args["q"] + last

        assert body.__name__ == "body"
        return body("(", last=")")  # type: ignore[arg-type, call-arg]

    assert anyclient.get("/?q=1").text == "(1)"


def test_any_iterable_is_streamed(app: Flask) -> None:
    with app.test_request_context():
        assert list(torsyq.stream_with_context(["a", "b"])) == ["a", "b"]  # type: ignore[call-overload]


class Closing:
    def __init__(self) -> None:
        self.closed_at: list[str] = []

    def __iter__(self) -> t.Iterator[str]:
        return self

    def __next__(self) -> str:
        return "chunk"

    def close(self) -> None:
        self.closed_at.append(request.path)


def test_what_is_streamed_is_closed_while_the_contexts_are_there(app: Flask) -> None:
    body = Closing()
    with app.test_request_context("/here"):
        stream = t.cast("t.Generator[str]", torsyq.stream_with_context(body))
        assert next(stream) == "chunk"
        stream.close()
    assert set(body.closed_at) == {"/here"}


def test_a_stream_that_is_not_read_to_the_end_still_tears_down(
    app: Flask, client: FlaskClient
) -> None:
    errors: list[BaseException | None] = []
    app.teardown_request(errors.append)

    @app.get("/")
    def stream() -> t.Any:
        return torsyq.stream_with_context(iter(["a", "b"]))

    response = client.get("/")
    response.close()
    assert errors[0] is None
    assert isinstance(errors[1], GeneratorExit)
    assert _cv_request.get(None) is None


def test_an_error_in_a_stream_reaches_teardown_and_server(app: Flask, client: FlaskClient) -> None:
    errors: list[BaseException | None] = []
    app.teardown_request(errors.append)

    @app.get("/")
    def stream() -> t.Any:
        def body() -> t.Iterator[str]:
            yield "a"
            raise ZeroDivisionError

        return torsyq.stream_with_context(body())

    response = client.get("/")
    with pytest.raises(ZeroDivisionError):
        response.data  # noqa: B018
    assert isinstance(errors[1], ZeroDivisionError)


@pytest.mark.parametrize("stream_body", [False, True])
def test_the_body_that_arrives_can_be_iterated_as_in_flask(
    app: Flask, anyclient: FlaskClient, stream_body: bool
) -> None:
    """It can be iterated with ``async for`` too, which an ``async def`` view does."""

    @app.post("/lines", stream_body=stream_body)
    def lines() -> t.Any:
        return [line.decode() for line in torsyq.stream_with_context(request.stream)]

    @app.post("/louder", stream_body=stream_body)
    def louder() -> t.Any:
        return torsyq.Response(c.upper() for c in torsyq.stream_with_context(request.stream))

    @app.post("/async", stream_body=stream_body)
    async def read() -> str:
        body: t.Any = torsyq.stream_with_context(request.stream)
        return "".join([piece.decode() async for piece in body])

    assert anyclient.post("/lines", data=b"one\ntwo\n").json == ["one\n", "two\n"]
    assert anyclient.post("/louder", data=b"one\ntwo\n").data == b"ONE\nTWO\n"
    assert anyclient.post("/async", data=b"one\ntwo\n").data == b"one\ntwo\n"


def test_a_stream_needs_a_request(app: Flask) -> None:
    message = "'stream_with_context' can only be used when a request context is active"
    with app.app_context(), pytest.raises(RuntimeError, match=message):
        torsyq.stream_with_context(iter("a"))
    with pytest.raises(RuntimeError, match=message):
        torsyq.stream_with_context(lambda: iter("a"))()  # type: ignore[call-arg]


def test_an_async_stream_keeps_the_contexts(app: Flask) -> None:
    ended = []

    async def read() -> list[str]:
        with app.test_request_context("/here"):
            g.word = "w"

            async def body() -> t.AsyncIterator[str]:
                try:
                    yield request.path
                    yield g.word
                finally:
                    ended.append(request.path)

            stream = t.cast("t.AsyncIterator[str]", torsyq.stream_with_context(body()))
        assert _cv_app.get(None) is None
        return [chunk async for chunk in stream]

    assert asyncio.run(read()) == ["/here", "w"]
    assert ended == ["/here"]


def test_an_async_function_that_streams_is_decorated(app: Flask) -> None:
    async def read() -> list[str]:
        with app.test_request_context("/here"):

            @torsyq.stream_with_context
            async def body(word: str) -> t.AsyncIterator[str]:
                yield word + request.path

            stream = body("at ")
        return [chunk async for chunk in stream]

    assert asyncio.run(read()) == ["at /here"]


def test_an_async_iterable_without_aclose_is_streamed(app: Flask) -> None:
    class Count:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Count:
            return self

        async def __anext__(self) -> str:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return request.path

    async def read() -> list[str]:
        with app.test_request_context("/"):
            stream = t.cast("t.AsyncIterator[str]", torsyq.stream_with_context(Count()))
        return [chunk async for chunk in stream]

    assert asyncio.run(read()) == ["/", "/"]


def test_an_async_iterable_whose_iterator_can_be_closed_is_closed(app: Flask) -> None:
    closed = []

    class Paths:
        async def __aiter__(self) -> t.AsyncIterator[str]:
            try:
                while True:
                    yield request.path
            finally:
                closed.append(request.path)

    async def read() -> None:
        with app.test_request_context("/here"):
            stream: t.Any = torsyq.stream_with_context(t.cast("t.Any", Paths()))
        assert await anext(stream) == "/here"
        await stream.aclose()
        assert closed == ["/here"]

    asyncio.run(read())


# Answers


def test_a_response_is_made_of_what_a_view_may_return(app: Flask) -> None:
    with app.test_request_context():
        assert torsyq.make_response().data == b""
        assert torsyq.make_response("text").data == b"text"
        made = torsyq.make_response({"a": 1}, 201, {"X": "y"})
        assert (made.json, made.status_code, made.headers["X"]) == ({"a": 1}, 201, "y")


def test_a_redirect_is_the_app_s_if_there_is_one(app: Flask) -> None:
    outside = torsyq.redirect("/there", 301)
    assert (outside.status_code, outside.location) == (301, "/there")
    assert type(outside) is WerkzeugResponse
    assert type(torsyq.redirect("/there", Response=torsyq.Response)) is torsyq.Response
    with app.app_context():
        assert type(torsyq.redirect("/there")) is torsyq.Response


def test_an_app_that_redirects_otherwise_is_asked(
    monkeypatch: pytest.MonkeyPatch, app: Flask
) -> None:
    monkeypatch.setattr(app, "redirect", lambda location, code: f"{code} {location}")
    with app.app_context():
        assert torsyq.redirect("/there", 308) == "308 /there"  # type: ignore[comparison-overlap]


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("location", ["//[", "http://[", "//[::1", "\u2100//x", "http://\udcff/"])
def test_a_redirect_to_nonsense_is_answered(app: Flask, location: str) -> None:
    """The location often comes from the client: ``/login?next=//[``."""
    app.testing = False

    @app.get("/")
    def go() -> t.Any:
        return torsyq.redirect(location)

    response = app.test_client().get("/")
    assert response.status_code in {302, 500}


def test_abort_raises_the_exception_for_a_status(app: Flask) -> None:
    with pytest.raises(NotFound, match="gone fishing"):
        torsyq.abort(404, "gone fishing")
    with pytest.raises(LookupError):
        torsyq.abort(999)
    with app.app_context(), pytest.raises(BadRequest):
        torsyq.abort(400)


def test_abort_goes_by_the_app_s_exceptions(app: Flask) -> None:
    class Odd(BadRequest):
        code = 999

    app.aborter.mapping[999] = Odd
    with app.app_context(), pytest.raises(Odd):
        torsyq.abort(999)


def test_abort_takes_a_finished_response(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    def view() -> t.NoReturn:
        torsyq.abort(torsyq.Response("enough", 418))

    assert (anyclient.get("/").status_code, anyclient.get("/").text) == (418, "enough")


def test_url_for_is_the_app_s(app: Flask) -> None:
    app.add_url_rule("/<word>", "view", methods=["GET"])
    with app.test_request_context():
        assert torsyq.url_for("view", word="w", q=1, _anchor="a b") == "/w?q=1#a%20b"
        assert (
            torsyq.url_for("view", word="w", _external=True, _scheme="https")
            == "https://localhost/w"
        )


@pytest.mark.parametrize("where", ["subclass", "class", "instance", "wrapper"])
def test_url_for_asks_an_app_that_builds_urls_otherwise(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(Flask):
        if where == "subclass":

            def url_for(self, endpoint: str, /, **values: t.Any) -> str:  # type: ignore[override]
                return f"{super().url_for(endpoint, **values)} {values}"

    app = Own("app")
    app.add_url_rule("/<word>", "view")
    usual = app.url_for
    if where == "class":
        monkeypatch.setattr(Flask, "url_for", lambda self, *args, **values: f"/w {values}")
    elif where == "instance":
        app.url_for = lambda *args, **values: f"/w {values}"  # type: ignore[method-assign]
    elif where == "wrapper":
        app.url_for = wraps(usual)(  # type: ignore[method-assign]
            lambda *args, **values: f"{usual(*args, **values)} {values}"
        )
    with app.test_request_context():
        assert torsyq.url_for("view", word="w") == (
            "/w {'_anchor': None, '_method': None, '_scheme': None, '_external': None, 'word': 'w'}"
        )


def test_a_macro_of_a_template_is_called_from_python(tmp_path: Path) -> None:
    (tmp_path / "_cider.html").write_text("{% macro hello(who) %}Hello {{ who }}!{% endmacro %}")
    app = Flask("app", root_path=str(tmp_path), template_folder=".")
    with app.app_context():
        assert torsyq.get_template_attribute("_cider.html", "hello")("World") == "Hello World!"
        with pytest.raises(AttributeError):
            torsyq.get_template_attribute("_cider.html", "goodbye")


@pytest.mark.parametrize(
    "call",
    [
        lambda: torsyq.url_for("view"),
        lambda: torsyq.make_response("x"),
        lambda: torsyq.get_template_attribute("t", "a"),
        lambda: torsyq.send_from_directory(".", "x"),
    ],
)
def test_most_verbs_need_an_app(call: t.Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: torsyq.send_file("x"),
        lambda: torsyq.flash("x"),
        torsyq.get_flashed_messages,
    ],
)
def test_some_verbs_need_a_request(call: t.Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        call()


# Flashed messages


@pytest.fixture
def flashing(app: Flask) -> FlaskClient:
    @app.get("/flash")
    def flash() -> str:
        torsyq.flash("one")
        torsyq.flash("two", "error")
        torsyq.flash("three", "info")
        return ""

    return app.test_client()


@pytest.mark.usefixtures("protocol")
def test_messages_are_shown_by_the_next_request_and_only_once(
    app: Flask, flashing: FlaskClient
) -> None:
    @app.get("/")
    def show() -> list[t.Any]:
        return [torsyq.get_flashed_messages(), torsyq.get_flashed_messages()]

    flashing.get("/flash")
    assert flashing.get("/").json == [["one", "two", "three"], ["one", "two", "three"]]
    assert flashing.get("/").json == [[], []]


def test_messages_come_with_their_categories(app: Flask, flashing: FlaskClient) -> None:
    with flashing:
        flashing.get("/flash")
        pairs = [("message", "one"), ("error", "two"), ("info", "three")]
        assert torsyq.get_flashed_messages(with_categories=True) == pairs
        assert torsyq.get_flashed_messages(category_filter=["error"]) == ["two"]
        assert torsyq.get_flashed_messages(True, ["info", "message"]) == [pairs[0], pairs[2]]
        assert torsyq.get_flashed_messages(category_filter="none") == []


def test_flashing_changes_the_session_as_its_owner_can_see(app: Flask) -> None:
    with app.test_request_context():
        assert torsyq.get_flashed_messages() == []
        assert not session.modified
        torsyq.flash("x")
        assert session.modified
        assert session["_flashes"] == [("message", "x")]


def test_flashing_sends_a_signal(app: Flask) -> None:
    seen = []

    def receive(sender: Flask, message: str, category: str) -> None:
        seen.append((sender, message, category))

    with app.test_request_context(), message_flashed.connected_to(receive, app):
        torsyq.flash("x", "error")
    assert seen == [(app, "x", "error")]


def test_flashing_needs_a_secret_key(app: Flask) -> None:
    app.secret_key = None
    with app.test_request_context():
        assert torsyq.get_flashed_messages() == []
        with pytest.raises(RuntimeError, match="The session is unavailable because no secret key"):
            torsyq.flash("x")


# Files


def test_a_file_is_found_below_the_app_s_root(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    app = Flask("app", root_path=str(tmp_path))
    with app.test_request_context():
        with torsyq.send_file("a.txt", max_age=5) as response:
            assert response.direct_passthrough
            assert (response.mimetype, response.cache_control.max_age) == ("text/plain", 5)
        with torsyq.send_from_directory("", "a.txt", as_attachment=True) as response:
            response.direct_passthrough = False
            assert response.data == b"text"
            assert response.headers["Content-Disposition"] == "attachment; filename=a.txt"
        with pytest.raises(NotFound):
            torsyq.send_from_directory(".", "../a.txt")


def test_the_app_decides_how_long_files_are_kept(tmp_path: Path) -> None:
    class Keeping(Flask):
        def get_send_file_max_age(self, filename: str | None) -> int | None:
            assert filename is not None
            return 10 if filename.endswith(".css") else None

    (tmp_path / "a.css").touch()
    (tmp_path / "a.txt").touch()
    app = Keeping("app", root_path=str(tmp_path))
    with app.test_request_context():
        with torsyq.send_file("a.css") as response:
            assert response.cache_control.max_age == 10
        with torsyq.send_file("a.txt") as response:
            assert response.cache_control.no_cache


def test_what_the_app_knows_is_added_for_werkzeug(app: Flask) -> None:
    with app.test_request_context() as context:
        kwargs = _prepare_send_file_kwargs(mimetype="text/plain", environ=None)
        assert kwargs == {
            "mimetype": "text/plain",
            "max_age": app.get_send_file_max_age,
            "environ": context.request.environ,
            "use_x_sendfile": False,
            "response_class": torsyq.Response,
            "_root_path": app.root_path,
        }
        assert _prepare_send_file_kwargs(max_age=1)["max_age"] == 1


# Where a module is


def test_the_root_of_an_imported_module_is_its_directory() -> None:
    assert get_root_path("tests.test_helpers") == str(Path(__file__).parent)


def test_the_root_of_another_module_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "never.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert get_root_path("never") == str(tmp_path)
    assert "never" not in sys.modules


@pytest.mark.parametrize("name", ["no_such_module", "no_such.module"])
def test_the_root_of_an_unknown_module_is_the_working_directory(name: str) -> None:
    assert get_root_path(name) == os.getcwd()


def test_the_root_of_main_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from torsyq.helpers import get_root_path; print(get_root_path('__main__'))"
    )
    run = [sys.executable, str(tmp_path / "main.py")]
    found = subprocess.run(run, check=True, capture_output=True, text=True, cwd="/", timeout=60)
    assert found.stdout.strip() == str(tmp_path)


@pytest.mark.parametrize("loader", [None, object()])
def test_a_module_without_a_file(monkeypatch: pytest.MonkeyPatch, loader: t.Any) -> None:
    module = types.ModuleType("made_up")
    module.__spec__ = importlib.machinery.ModuleSpec("made_up", loader)
    monkeypatch.setitem(sys.modules, "made_up", module)
    if loader is None:
        assert get_root_path("made_up") == os.getcwd()
        return
    with pytest.raises(
        RuntimeError, match="No root path can be found for the provided module 'made_up'"
    ):
        get_root_path("made_up")


def test_a_loader_that_gives_no_name_has_its_module_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loader:
        def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
            return None

        def exec_module(self, module: types.ModuleType) -> None:
            module.__file__ = str(tmp_path / "by_hook.py")

    class Finder:
        def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
            if name != "by_hook":
                return None
            return importlib.machinery.ModuleSpec(name, t.cast("t.Any", Loader()))

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    try:
        assert get_root_path("by_hook") == str(tmp_path)
    finally:
        sys.modules.pop("by_hook", None)


def test_a_nested_blueprint_s_name_tells_its_parents() -> None:
    assert _split_blueprint_path("a.b.c") == ["a.b.c", "a.b", "a"]
    assert _split_blueprint_path("a") == ["a"]


# Collected errors


def raising(error: BaseException) -> t.Callable[[], t.NoReturn]:
    def function() -> t.NoReturn:
        raise error

    return function


def collect(*functions: t.Callable[[], object]) -> None:
    errors = _CollectErrors()
    for function in functions:
        with errors:
            function()
    errors.raise_any("while cleaning up")


def test_nothing_is_raised_when_nothing_was() -> None:
    ran = []
    collect(lambda: ran.append(1), lambda: ran.append(2))
    assert ran == [1, 2]


def test_several_cancellations_are_one() -> None:
    """A group of them would be an error to who has cancelled."""
    with pytest.raises(asyncio.CancelledError, match="first"):
        collect(raising(asyncio.CancelledError("first")), raising(asyncio.CancelledError("again")))
    with pytest.raises(BaseExceptionGroup):
        collect(raising(asyncio.CancelledError()), raising(ZeroDivisionError()))


def test_one_error_is_raised_as_it_is_after_the_others_ran() -> None:
    ran = []
    error = ZeroDivisionError("one")
    with pytest.raises(ZeroDivisionError) as caught:
        collect(raising(error), lambda: ran.append(2))
    assert caught.value is error
    assert error.__context__ is None
    assert ran == [2]


def test_several_errors_are_raised_as_a_group() -> None:
    errors = [ZeroDivisionError("one"), KeyError("two")]
    with pytest.raises(ExceptionGroup, match="while cleaning up") as caught:
        collect(*map(raising, errors))
    assert list(caught.value.exceptions) == errors


def test_an_interrupt_is_not_swallowed() -> None:
    ran = []
    with pytest.raises(KeyboardInterrupt):
        collect(raising(KeyboardInterrupt()), lambda: ran.append(2))
    with pytest.raises(BaseExceptionGroup):
        collect(raising(KeyboardInterrupt()), raising(ValueError()))
    assert ran == [2]


def test_errors_leave_no_reference_cycle() -> None:
    class Error(Exception):
        pass

    def function() -> t.NoReturn:
        raise Error

    gc.disable()
    try:
        try:
            collect(function)
        except Error as error:
            left = weakref.ref(error)
        assert left() is None
    finally:
        gc.enable()


def test_a_stream_is_a_plain_generator(app: Flask) -> None:
    """Servers and middleware ask for ``close`` and iterate; nothing more is promised."""
    with app.test_request_context():
        stream = torsyq.stream_with_context(iter("a"))
    assert inspect.isgenerator(stream)
    stream.close()
