"""The test client, the command runner, and the environs they build."""

from __future__ import annotations

import importlib.metadata
import typing as t

import click
import pytest
import werkzeug.test
from werkzeug.wrappers import Request as WerkzeugRequest

import torsyq
from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import session
from torsyq.cli import ScriptInfo
from torsyq.globals import _cv_app
from torsyq.globals import _cv_request
from torsyq.sessions import SecureCookieSessionInterface
from torsyq.sessions import SessionMixin
from torsyq.testing import EnvironBuilder
from torsyq.testing import FlaskClient
from torsyq.testing import FlaskCliRunner

# Environs


@pytest.fixture
def configured() -> Flask:
    app = Flask("app", root_path="/")
    app.config.update(
        SERVER_NAME="example.com:90", APPLICATION_ROOT="/root/", PREFERRED_URL_SCHEME="https"
    )
    return app


def url_of(app: Flask, *args: t.Any, **kwargs: t.Any) -> tuple[str, str, str]:
    builder = EnvironBuilder(app, *args, **kwargs)
    try:
        environ = builder.get_environ()
    finally:
        builder.close()
    return builder.base_url, environ["PATH_INFO"], environ["QUERY_STRING"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("http://localhost/", "/", "")),
        ("", ("http://localhost/", "", "")),
        ("/a?b=c#d", ("http://localhost/", "/a", "b=c")),
        ("/a?", ("http://localhost/", "/a", "")),
        ("http://host:8/x?y=1#z", ("http://host:8/", "/x", "y=1")),
        ("https://host", ("https://host/", "", "")),
        ("//host/x", ("http://host/", "/x", "")),
    ],
)
def test_a_path_may_be_a_url(app: Flask, path: str, expected: tuple[str, str, str]) -> None:
    assert url_of(app, path) == expected


@pytest.mark.parametrize(
    ("path", "kwargs", "expected"),
    [
        ("/", {}, ("https://example.com:90/root/", "/", "")),
        ("/", {"subdomain": "s"}, ("https://s.example.com:90/root/", "/", "")),
        ("/", {"subdomain": ""}, ("https://example.com:90/root/", "/", "")),
        ("/", {"url_scheme": "ws"}, ("ws://example.com:90/root/", "/", "")),
        ("/", {"base_url": "http://q/z"}, ("http://q/z/", "/", "")),
        ("http://h/x", {"subdomain": "s", "url_scheme": "ws"}, ("http://h/root/", "/x", "")),
        ("//h/x", {}, ("https://h/root/", "/x", "")),
    ],
)
def test_the_base_comes_from_the_config(
    configured: Flask, path: str, kwargs: dict[str, str], expected: tuple[str, str, str]
) -> None:
    assert url_of(configured, path, **kwargs) == expected


@pytest.mark.parametrize("other", ["subdomain", "url_scheme"])
def test_a_base_url_is_given_whole_or_in_parts(app: Flask, other: str) -> None:
    message = 'Cannot pass "subdomain" or "url_scheme" with "base_url".'
    with pytest.raises(AssertionError, match=message):
        EnvironBuilder(app, base_url="http://a/", **{other: "x"})


def test_further_arguments_are_werkzeug_s(app: Flask) -> None:
    assert url_of(app, "/", "http://base/", None, None, {"q": "1"}) == ("http://base/", "/", "q=1")


def test_json_is_written_as_the_app_does(app: Flask) -> None:
    builder = EnvironBuilder(app, json={"b": 1, "a": 2})
    assert builder.input_stream is not None
    assert builder.input_stream.read() == b'{"a": 2, "b": 1}'
    assert builder.content_type == "application/json"
    assert builder.json_dumps({"b": 1, "a": 2}, sort_keys=False) == '{"b": 1, "a": 2}'


# Requests


@pytest.fixture
def echo(app: Flask) -> FlaskClient:
    @app.route("/", methods=["GET", "POST"])
    def echo() -> dict[str, t.Any]:
        environ = request.environ
        return {
            "method": request.method,
            "url": request.url,
            "address": request.remote_addr,
            "agent": environ.get("HTTP_USER_AGENT"),
            "extra": environ.get("EXTRA"),
        }

    return app.test_client()


def test_a_request_says_where_it_is_from(echo: FlaskClient) -> None:
    seen = echo.get("/").json
    assert seen is not None
    assert seen["address"] == "127.0.0.1"
    assert seen["agent"] == f"Werkzeug/{importlib.metadata.version('werkzeug')}"


def test_what_a_client_s_environs_start_from_can_be_changed(echo: FlaskClient) -> None:
    echo.environ_base["EXTRA"] = "x"
    seen = echo.get("/", environ_base={"REMOTE_ADDR": "9.9.9.9"}).json
    assert seen is not None
    assert (seen["extra"], seen["address"]) == ("x", "9.9.9.9")


def plain_environ() -> dict[str, t.Any]:
    return werkzeug.test.create_environ("/", "http://host/", method="POST")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda app: EnvironBuilder(app, "/", "http://host/", method="POST"), "http://host/"),
        (
            lambda app: werkzeug.test.EnvironBuilder("/", "http://host/", method="POST"),
            "http://host/",
        ),
        (lambda app: plain_environ(), "http://host/"),
        (lambda app: WerkzeugRequest(plain_environ()), "http://host/"),
    ],
    ids=["builder", "Werkzeug's builder", "environ", "request"],
)
def test_a_request_may_be_given_ready_made(
    app: Flask, echo: FlaskClient, make: t.Callable[[Flask], t.Any], expected: str
) -> None:
    echo.environ_base["EXTRA"] = "x"
    given = make(app)
    before = dict(given) if isinstance(given, dict) else None
    seen = echo.open(given).json
    assert seen is not None
    assert (seen["method"], seen["url"], seen["extra"]) == ("POST", expected, "x")
    if before is not None:
        assert given == before


def test_a_builder_can_be_sent_twice(app: Flask, echo: FlaskClient) -> None:
    builder = EnvironBuilder(app, "/", method="POST", data={"a": "b"})
    assert echo.open(builder).status_code == 200
    assert builder.environ_base is None
    assert echo.open(builder).status_code == 200
    builder.close()


def test_redirects_are_followed(app: Flask, echo: FlaskClient) -> None:
    app.add_url_rule("/old", view_func=lambda: torsyq.redirect("/"))
    response = echo.get("/old", follow_redirects=True)
    assert [step.status_code for step in response.history] == [302]
    assert response.request.path == "/"


def test_the_answer_s_json_is_read_as_the_app_does(app: Flask, echo: FlaskClient) -> None:
    module: object = echo.get("/").json_module
    assert module is app.json
    assert isinstance(echo.get("/"), torsyq.Response)


# Contexts that stay


def test_contexts_stay_until_the_block_ends(app: Flask, client: FlaskClient) -> None:
    ended: list[str] = []

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        ended.append(request.path)

    @app.get("/<word>")
    def view(word: str) -> str:
        g.word = session["word"] = word
        return ""

    with client:
        client.get("/one")
        assert (g.word, session["word"], request.path) == ("one", "one", "/one")
        client.get("/two")
        assert (g.get("word"), session["word"], request.path) == ("two", "two", "/two")
    assert _cv_request.get(None) is None
    assert _cv_app.get(None) is None
    assert ended == ["/one", "/one", "/two", "/two"]


def test_after_redirects_the_last_request_is_current(app: Flask, client: FlaskClient) -> None:
    @app.get("/first")
    def first() -> t.Any:
        session["first"] = True
        return torsyq.redirect("/second")

    @app.get("/second")
    def second() -> str:
        session["second"] = True
        return ""

    with client:
        client.get("/first", follow_redirects=True)
        assert request.path == "/second"
        assert dict(session) == {"first": True, "second": True}


def test_after_redirects_the_requests_before_are_kept_too(app: Flask, client: FlaskClient) -> None:
    ended: list[str] = []

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        ended.append(request.path)

    app.add_url_rule("/first", "first", lambda: torsyq.redirect("/second"))
    app.add_url_rule("/second", "second", lambda: "")
    with client:
        client.get("/first", follow_redirects=True)
        assert ended == ["/first", "/second"]
    assert ended == ["/first", "/second", "/second", "/first"]


def test_outside_of_a_block_nothing_stays(app: Flask, echo: FlaskClient) -> None:
    response = echo.get("/")
    assert "werkzeug.debug.preserve_context" not in response.request.environ
    assert _cv_request.get(None) is None


def test_a_client_is_used_in_one_block_at_a_time(client: FlaskClient) -> None:
    with client, pytest.raises(RuntimeError, match="Cannot nest client invocations"):
        client.__enter__()
    with client:
        assert client.get("/").status_code == 404


def test_a_request_that_raised_is_kept_with_the_next_one(app: Flask, client: FlaskClient) -> None:
    ended: list[BaseException | None] = []
    app.teardown_request(ended.append)

    @app.get("/bad")
    def bad() -> t.NoReturn:
        raise ZeroDivisionError

    @app.get("/good")
    def good() -> str:
        return ""

    with client:
        with pytest.raises(ZeroDivisionError):
            client.get("/bad")
        assert _cv_request.get(None) is None
        client.get("/good")
        assert request.path == "/good"
    assert [type(error) for error in ended] == [ZeroDivisionError, *[type(None)] * 3]


# Sessions


def test_a_session_is_changed_between_requests(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/")
    def view() -> str:
        session["seen"] = True
        return str(session["number"])

    with anyclient.session_transaction() as before:
        assert len(before) == 0
        before["number"] = 42
    assert anyclient.get("/").text == "42"
    with anyclient.session_transaction() as after:
        assert dict(after) == {"number": 42, "seen": True}


def test_a_session_is_opened_for_a_request(anyclient: FlaskClient) -> None:
    with anyclient.session_transaction("/path", base_url="http://elsewhere/") as opened:
        opened["a"] = 1
    assert anyclient.get_cookie("session") is None
    assert anyclient.get_cookie("session", domain="elsewhere") is not None


def test_an_error_in_the_block_leaves_the_session_as_it_was(anyclient: FlaskClient) -> None:
    def change_and_fail() -> None:
        with anyclient.session_transaction() as opened:
            opened["a"] = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert anyclient.get_cookie("session") is None


def test_a_session_transaction_leaves_the_current_request(app: Flask, echo: FlaskClient) -> None:
    with echo:
        echo.get("/")
        current = request._get_current_object()  # type: ignore[attr-defined]
        with echo.session_transaction():
            assert request._get_current_object() is current  # type: ignore[attr-defined]


def test_a_session_needs_cookies(app: Flask) -> None:
    client = app.test_client(use_cookies=False)
    message = "Cookies are disabled. Create a client with 'use_cookies=True'."
    with pytest.raises(TypeError, match=message), client.session_transaction():
        pass


def test_a_session_needs_a_key(app: Flask, client: FlaskClient) -> None:
    app.secret_key = None
    message = "Session backend did not open a session."
    with pytest.raises(RuntimeError, match=message), client.session_transaction():
        pass


def test_a_null_session_is_not_saved(app: Flask, anyclient: FlaskClient) -> None:
    class Null(SecureCookieSessionInterface):
        def is_null_session(self, obj: object) -> bool:
            return True

    app.session_interface = Null()
    with anyclient.session_transaction() as opened:
        opened["a"] = 1
    assert anyclient.get_cookie("session") is None


def test_the_session_is_saved_with_its_request_current(app: Flask, anyclient: FlaskClient) -> None:
    saved = []

    class Looking(SecureCookieSessionInterface):
        def save_session(
            self, app: Flask, session: SessionMixin, response: torsyq.Response
        ) -> None:
            saved.append(request.path)
            super().save_session(app, session, response)

    app.session_interface = Looking()
    with anyclient.session_transaction("/path") as opened:
        assert _cv_request.get(None) is None
        opened["a"] = 1
    assert saved == ["/path"]


# Commands


def test_a_command_is_run(app: Flask) -> None:
    @app.cli.command("hello")
    @click.argument("name")
    def hello(name: str) -> None:
        click.echo(f"Hello, {name}, from {torsyq.current_app.name}!")

    runner = app.test_cli_runner()
    assert isinstance(runner, FlaskCliRunner)
    assert runner.invoke(args=["hello", "World"]).output == "Hello, World, from tests.app!\n"
    assert runner.invoke(hello, "World").output == "Hello, World, from tests.app!\n"


def test_a_command_may_load_another_app(app: Flask) -> None:
    @app.cli.command("which")
    def which() -> None:
        click.echo(torsyq.current_app.name)

    other = ScriptInfo(create_app=lambda: Flask("other", root_path="/"))
    assert app.test_cli_runner().invoke(which, obj=other).output == "other\n"
