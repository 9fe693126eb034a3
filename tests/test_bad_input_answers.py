"""What a client sends does not lead out: of the site, of a header, of a folder, of a log line.

Each test runs over WSGI and over ASGI. Where Flask on Werkzeug fails, a test beside it says so.
"""

from __future__ import annotations

import io
import logging
import os
import typing as t
from pathlib import Path
from urllib.parse import quote_from_bytes

import flask
import pytest
from jinja2 import TemplateNotFound

import torsyq
from torsyq import Flask
from torsyq import redirect
from torsyq import render_template
from torsyq import request
from torsyq import send_from_directory
from torsyq import url_for
from torsyq.globals import _cv_app
from torsyq.globals import _cv_request

from .bad_input import Ask
from .bad_input import environ_of
from .bad_input import fine
from .bad_input import Lane
from .bad_input import LANES
from .bad_input import over_wsgi
from .bad_input import plain_app


@pytest.fixture(params=LANES)
def ask(request: pytest.FixtureRequest) -> Lane:
    return LANES[request.param]


@pytest.fixture
def app() -> Flask:
    """An app in production: what is raised becomes a 500, and would be seen."""
    made: Flask = plain_app(torsyq)
    return made


# Hosts and redirects.


@pytest.mark.parametrize(
    "host",
    ["[::::]", "[::1", "a..b", "a b", "\xe9", "a" * 70, "a:99999", "", "a@evil.example", "a/b"],
)
def test_a_malformed_host_is_no_error(app: Flask, ask: Lane, host: str) -> None:
    app.add_url_rule("/dir/", view_func=lambda: url_for("dir", _external=True), endpoint="dir")
    for path in (b"/dir/", b"/dir", b"//dir//", b"/nothing"):
        assert ask(app, Ask(path, headers=[("Host", host)])).status in {200, 308, 400, 404}
    fine(ask, app)


def test_flask_fails_on_a_redirect_within_some_hosts() -> None:
    app = plain_app(flask)
    app.add_url_rule("/dir/", view_func=lambda: "dir", endpoint="dir")
    assert over_wsgi(app, Ask(b"/dir", headers=[("Host", "[::::]")])).status == 500
    assert over_wsgi(app, Ask(b"/dir", query=b"a=\r\nb")).status == 500


@pytest.mark.parametrize("path", [b"/ok", b"/dir", b"/nothing"])
def test_a_host_that_is_not_trusted_is_a_bad_request(app: Flask, ask: Lane, path: bytes) -> None:
    app.config["TRUSTED_HOSTS"] = ["localhost", ".example.com"]
    app.add_url_rule("/dir/", view_func=lambda: "dir", endpoint="dir")
    for host in (
        "evil.example",
        "localhost.evil.example",
        "notexample.com",
        "",
        "[::::]",
        "a@localhost",
    ):
        assert ask(app, Ask(path, headers=[("Host", host)])).status == 400
    for host in ("localhost", "localhost:80", "a.example.com"):
        assert ask(app, Ask(b"/ok", headers=[("Host", host)])).status == 200


@pytest.mark.parametrize(
    "path",
    [b"//evil.example/dir", b"/\\evil.example/dir", b"///evil.example/dir", b"/%5Cevil.example/dir"]
    + [b"/\tevil.example/dir", b"//evil.example//dir", b"/evil.example\\/dir", b"/\r\n/evil/dir"],
)
@pytest.mark.parametrize("rule", ["/<path:p>/", "/<a>/<b>/", "/<a>/dir/", "/evil.example/dir/"])
def test_no_slash_redirect_leads_to_another_site(
    app: Flask, ask: Lane, path: bytes, rule: str
) -> None:
    app.add_url_rule(rule, view_func=lambda **values: "found", endpoint="found")
    answer = ask(app, Ask(path))
    assert answer.status in {200, 308, 404}
    location = answer.header("Location") or "http://localhost/"
    assert location.startswith("http://localhost/")
    assert not location.startswith("http://localhost//")
    fine(ask, app)


def test_no_url_that_is_built_leads_to_another_site(app: Flask, ask: Lane) -> None:
    app.add_url_rule("/<path:p>", view_func=lambda p: redirect(url_for("p", p=p)), endpoint="p")
    for path in (b"/\\evil.example", b"/x//evil.example", b"/\t/evil.example", b"//evil.example/"):
        location = ask(app, Ask(path)).header("Location") or ""
        assert location[0] == "/"
        assert location[1] not in "/\\\t"


def test_a_query_cannot_end_the_header_of_a_slash_redirect(app: Flask, ask: Lane) -> None:
    app.add_url_rule("/dir/", view_func=lambda: "dir", endpoint="dir")
    answer = ask(app, Ask(b"/dir", query=b"a=\r\nSet-Cookie: b=c\0"))
    assert answer.status == 308
    assert answer.header("Set-Cookie") is None


@pytest.mark.parametrize(
    "target",
    ["//[", "http://[::1", "http://a..b/", "http://a:99999999/", "//\u2100", "http://\xad/"],
)
def test_a_redirect_to_what_is_no_url_is_sent(app: Flask, ask: Lane, target: str) -> None:
    app.add_url_rule("/next", view_func=lambda: redirect(target), endpoint="next")
    assert ask(app, Ask(b"/next")).status == 302
    fine(ask, app)


def test_flask_raises_out_of_wsgi_for_some_redirects() -> None:
    app = plain_app(flask)
    app.add_url_rule("/next", view_func=lambda: flask.redirect("//["), endpoint="next")
    with pytest.raises(ValueError, match="Invalid IPv6 URL"):
        over_wsgi(app, Ask(b"/next"))


# Answers: what an app may do by mistake with text from a client.


def mistaken_app(framework: t.Any) -> t.Any:
    app = plain_app(framework)
    request = framework.request

    @app.get("/value")
    def value() -> t.Any:
        return "x", {"X-Value": request.args["v"]}

    @app.get("/name")
    def name() -> t.Any:
        return "x", {request.args["v"]: "x"}

    @app.get("/type")
    def mimetype() -> t.Any:
        return framework.Response("x", mimetype=request.args["v"])

    @app.get("/status")
    def status() -> t.Any:
        return "x", request.args["v"]

    @app.get("/code")
    def code() -> t.Any:
        return "x", int(request.args["v"])

    @app.get("/cookie/<what>")
    def cookie(what: str) -> t.Any:
        response = framework.make_response("x")
        options = {"key": "a", what: request.args["v"]}
        response.set_cookie(**options)
        return response

    @app.get("/name-of-file")
    def name_of_file() -> t.Any:
        return framework.send_file(
            io.BytesIO(b"x"), "text/plain", as_attachment=True, download_name=request.args["v"]
        )

    return app


@pytest.mark.parametrize("end", [b"%0d%0a", b"%0a", b"%0d", b"%00"])
@pytest.mark.parametrize(
    "path",
    [b"/value", b"/name", b"/type", b"/name-of-file", b"/cookie/key", b"/cookie/path"]
    + [b"/cookie/domain", b"/cookie/expires", b"/cookie/samesite"],
)
def test_no_header_can_be_ended_early(ask: Lane, path: bytes, end: bytes) -> None:
    app = mistaken_app(torsyq)
    answer = ask(app, Ask(path, query=b"v=a" + end + b"Set-Cookie:b=c"))
    assert answer.status == 500
    assert answer.header("Set-Cookie") is None
    fine(ask, app)


@pytest.mark.parametrize("end", [b"%0d%0a", b"%0a", b"%0d", b"%00"])
def test_no_status_can_be_ended_early(ask: Lane, end: bytes) -> None:
    app = mistaken_app(torsyq)
    assert ask(app, Ask(b"/status", query=b"v=200 OK" + end + b"A: b")).status == 500
    fine(ask, app)


@pytest.mark.parametrize("code", [b"0", b"-1", b"99", b"600", b"999", b"1000", b"9" * 20])
def test_a_status_no_server_takes_does_not_reach_it(ask: Lane, code: bytes) -> None:
    app = mistaken_app(torsyq)
    for path in (b"/code", b"/status"):
        assert ask(app, Ask(path, query=b"v=" + code)).status == 500
    for text in (b"", b"x", b"OK", b"%20", b"2xx"):
        assert ask(app, Ask(b"/status", query=b"v=" + text)).status == 500
    fine(ask, app)


def test_flask_sends_what_ends_a_header_or_is_no_status() -> None:
    app = mistaken_app(flask)
    started: list[t.Any] = []
    for path, query in (
        ("/name", b"v=a%0d%0ab"),
        ("/value", b"v=a%00b"),
        ("/status", b"v=200 OK%0d%0aA: b"),
        ("/code", b"v=999"),
        ("/cookie/path", b"v=%00"),
    ):
        environ = environ_of(Ask(path.encode(), query=query))
        app(environ, lambda status, headers, exc=None: started.append((status, headers)))
    assert started[0][1][0] == ("a\r\nb", "x")
    assert started[1][1][0] == ("X-Value", "a\0b")
    assert started[2][0] == "200 OK\r\nA: b"
    assert started[3][0].startswith("999 ")
    assert started[4][0] == "200 OK"


def test_a_header_that_is_not_latin_1_is_an_error_of_the_app_over_asgi() -> None:
    app = mistaken_app(torsyq)
    answer = LANES["asgi"](app, Ask(b"/value", query="v=\u2713".encode()))
    assert answer.status == 500
    assert b"Internal Server Error" in answer.body
    fine(LANES["asgi"], app)


# Files and templates.

OUTSIDE = [
    b"../secret", b"..", b".", b"/etc/passwd", b"//etc/passwd", b"a/../../secret", b"./../secret", b"..\\secret",
    b"a.txt\0", b"\0", b"a.txt/..", b"sub", b"sub/", b"~", b"C:/secret", b"a" * 5000, b"a/" * 3000,
    b"\xff", b"a.txt\n", b"%2e%2e/secret", b"..%2fsecret", b"....//secret", b"..;/secret", b"fifo",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("static", "templates"):
        tmp_path.joinpath(folder, "sub").mkdir(parents=True)
        tmp_path.joinpath(folder, "a.txt").write_text("inside")
        os.mkfifo(tmp_path / folder / "fifo")
    tmp_path.joinpath("secret").write_text("secret")
    return tmp_path


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("where", [b"/static/", b"/send/", b"/blue/static/", b"/download?n="])
def test_no_path_leads_out_of_a_folder(ask: Lane, tree: Path, where: bytes, name: bytes) -> None:
    app = Flask("tests.app", root_path=str(tree))
    blue = torsyq.Blueprint("blue", __name__, url_prefix="/blue", static_folder=tree / "static")
    app.register_blueprint(blue)

    @app.get("/send/<path:name>")
    def send(name: str) -> t.Any:
        return send_from_directory("static", name)

    @app.get("/download")
    def download() -> t.Any:
        return send_from_directory(tree / "static", request.args["n"])

    path, _, query = where.partition(b"?")
    query = query and query + quote_from_bytes(name, "").encode()
    answer = ask(app, Ask(path if query else path + name, query=query))
    assert answer.status in {308, 404}
    assert b"secret" not in answer.body or answer.status == 308
    assert ask(app, Ask(b"/static/a.txt")).body == b"inside"


def test_a_link_in_a_static_folder_is_followed(ask: Lane, tree: Path) -> None:
    """As in Flask: who can put a link there can put the file there."""
    tree.joinpath("static", "link").symlink_to(tree / "secret")
    app = Flask("tests.app", root_path=str(tree))
    assert ask(app, Ask(b"/static/link")).body == b"secret"


@pytest.mark.parametrize("name", [*OUTSIDE, b"missing.html"])
def test_no_template_is_found_outside(ask: Lane, tree: Path, name: bytes) -> None:
    app = plain_app(torsyq)
    app.root_path = str(tree)

    @app.get("/page")
    def page() -> str:
        return render_template(request.args["n"])

    @app.errorhandler(TemplateNotFound)
    def missing(error: TemplateNotFound) -> t.Any:
        return "no template", 404

    query = b"n=" + quote_from_bytes(name, "").encode()
    answer = ask(app, Ask(b"/page", query=query))
    assert (answer.status, answer.body) == (404, b"no template")
    fine(ask, app)


# Logs, time, and the end of a request.


@pytest.mark.parametrize(
    "path", [b"/fail/\nERROR in app: forged", b"/fail/\r\x1b[2J", "/fail/\u2028x".encode()]
)
def test_no_path_forges_a_line_in_the_log(ask: Lane, path: bytes) -> None:
    app = plain_app(torsyq)
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    app.logger.addHandler(handler)

    @app.get("/fail/", defaults={"rest": ""})
    @app.get("/<string:a>/<string:rest>")
    def fail(rest: str, a: str = "") -> str:
        raise KeyError

    try:
        assert ask(app, Ask(path)).status == 500
    finally:
        app.logger.removeHandler(handler)
    first, second = out.getvalue().splitlines()[:2]
    assert first.startswith("Exception on /fail/\\")
    assert first.endswith(" [GET]")
    assert second == "Traceback (most recent call last):"


def test_flask_lets_a_path_forge_a_line_in_the_log() -> None:
    app = plain_app(flask)
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    app.logger.addHandler(handler)
    app.add_url_rule("/<a>", view_func=lambda a: 1 / 0, endpoint="fail")
    try:
        over_wsgi(app, Ask(b"/\nERROR in app: forged"))
    finally:
        app.logger.removeHandler(handler)
    assert "ERROR in app: forged [GET]" in out.getvalue().splitlines()


def test_rules_with_several_path_parts_take_linear_time() -> None:
    """Of the third power, as it is in Flask, it would be years: this test would not end."""
    rule = "/<path:a>/to/<path:b>/to/<path:c>/end"
    app = plain_app(torsyq)
    app.add_url_rule(rule, view_func=lambda **values: "found", endpoint="found")
    assert over_wsgi(app, Ask(b"/a/to" * 12_000)).status == 404
    assert over_wsgi(app, Ask(b"/a/to/b/to/c/end")).text == "found"


def test_all_teardown_functions_run_though_one_raises(ask: Lane) -> None:
    app = plain_app(torsyq)
    ran = []

    @app.teardown_appcontext
    def last(error: BaseException | None) -> None:
        ran.append("last")

    @app.teardown_request
    def second(error: BaseException | None) -> None:
        ran.append("second")

    @app.teardown_request
    def first(error: BaseException | None) -> None:
        ran.append("first")
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="the database is gone"):
        ask(app, Ask(b"/ok"))
    assert ran == ["first", "second", "last"]
    assert _cv_request.get(None) is None
    assert _cv_app.get(None) is None


def test_flask_leaves_out_teardown_functions_after_one_that_raises() -> None:
    app = plain_app(flask)
    ran = []
    app.teardown_request(lambda error: ran.append("second"))
    app.teardown_request(lambda error: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        over_wsgi(app, Ask(b"/ok"))
    assert ran == []


@pytest.mark.parametrize("method", ["", "get", "G\r\nX", "X" * 5000, "\xdf", "GET /"])
def test_a_malformed_method_is_not_allowed_or_not_found(app: Flask, ask: Lane, method: str) -> None:
    assert ask(app, Ask(b"/ok", method)).status == (200 if method == "get" else 405)
    assert ask(app, Ask(b"/nothing", method)).status == 404
    fine(ask, app)
