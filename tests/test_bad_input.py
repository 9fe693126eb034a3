"""Bad URLs, headers, cookies and sessions: the right 4xx, and the next request is served.

Each test runs over WSGI and over ASGI. Where Flask on Werkzeug fails, a test beside it says so.
"""

from __future__ import annotations

import json
import sys
import time
import typing as t
from datetime import datetime
from datetime import UTC
from pathlib import Path

import flask
import pytest
from itsdangerous import TimestampSigner
from itsdangerous.encoding import base64_encode
from werkzeug.routing import BaseConverter

import torsyq
from torsyq import abort
from torsyq import Flask
from torsyq import request
from torsyq import send_from_directory

from .bad_input import Answer
from .bad_input import Ask
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


# URLs.


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/int/" + b"1" * 5000, 404),
        (b"/int/-1", 404),
        (b"/int/\xd9\xa1", 200),
        (b"/int/1%00", 404),
        (b"/float/" + b"9" * 5000 + b".0", 200),
        (b"/float/nan", 404),
        (b"/uuid/" + b"0" * 36, 404),
        (b"/path/\xff\xfe", 200),
        (b"/path/a\0b", 200),
        (b"/path/a\r\nb", 404),
        (b"/string/", 404),
        (b"/string/a/b", 404),
        (b"", 404),
        (b"*", 404),
        (b"\xff", 404),
        (b"/" * 5000, 404),
        (b"/path/" + b"a/" * 20000, 200),
    ],
)
def test_a_malformed_path_is_found_or_not_found(
    app: Flask, ask: Lane, path: bytes, status: int
) -> None:
    for name in ("int", "float", "uuid", "path", "string"):
        app.add_url_rule(f"/{name}/<{name}:a>", name, lambda a: str(a), strict_slashes=False)
    assert ask(app, Ask(path)).status == status
    fine(ask, app)


@pytest.mark.parametrize("query", [b"%", b"%zz", b"\xff", b"a=%ff", b"&&=&", b"a=%00", b"%u0041"])
def test_a_malformed_query_is_read_as_far_as_it_goes(app: Flask, ask: Lane, query: bytes) -> None:
    app.add_url_rule("/q", view_func=lambda: repr(request.args) + request.url, endpoint="q")
    assert ask(app, Ask(b"/q", query=query)).status == 200
    fine(ask, app)


def test_flask_fails_on_bytes_in_a_query_that_are_no_text() -> None:
    def answer(framework: t.Any) -> Answer:
        app = plain_app(framework)
        app.add_url_rule("/q", view_func=lambda: repr(framework.request.args), endpoint="q")
        return over_wsgi(app, Ask(b"/q", query=b"a=\xff"))

    assert answer(flask).status == 500
    assert answer(torsyq).text == "ImmutableMultiDict([('a', '%FF')])"


class Failing(BaseConverter):
    def to_python(self, value: str) -> str:
        raise OSError(value)


@pytest.mark.parametrize("where", ["async", "sync"])
def test_a_converter_that_fails_is_an_error_of_the_app(ask: Lane, app: Flask, where: str) -> None:
    app.url_map.converters["failing"] = Failing
    app.add_url_rule("/f/<failing:a>", view_func=lambda a: "found", endpoint="found")
    if where == "async":

        @app.get("/later")
        async def later() -> str:
            return "later"

    answer = ask(app, Ask(b"/f/a"))
    assert (answer.status, b"Internal Server Error" in answer.body) == (500, True)
    fine(ask, app)


# Headers.


@pytest.mark.parametrize("value", ["Basic \xff", "Basic YYYYY", 'Digest a="', "\xff \xff"])
def test_unreadable_credentials_are_none(app: Flask, ask: Lane, value: str) -> None:
    @app.get("/me")
    def me() -> str:
        if request.authorization is None or request.authorization.username is None:
            abort(401)
        return "in"

    assert ask(app, Ask(b"/me", headers=[("Authorization", value)])).status == 401
    fine(ask, app)


def test_flask_fails_on_credentials_that_are_not_ascii() -> None:
    app = plain_app(flask)
    app.add_url_rule("/me", view_func=lambda: str(flask.request.authorization), endpoint="me")
    assert over_wsgi(app, Ask(b"/me", headers=[("Authorization", "Basic \xff")])).status == 500


ABSURD_DATES = [
    "1 Jan 99999999999999999999 00:00:00 GMT",
    "31 Dec 9999 23:59:59 -2359",
    "Thu, 01 Jan 1970 00:00:00 +9999999999",
    "Thu, 01 Jan 99999 00:00:00 GMT",
    "Thu, 31 Feb 2020 00:00:00 GMT",
    "9" * 5000,
]


@pytest.mark.parametrize("value", ABSURD_DATES)
@pytest.mark.parametrize(
    "name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range", "Date"]
)  # fmt: skip
def test_dates_of_no_calendar_are_ignored(app: Flask, ask: Lane, name: str, value: str) -> None:
    @app.get("/page")
    def page() -> torsyq.Response:
        request.date, request.if_modified_since, request.if_unmodified_since  # noqa: B018
        answer = torsyq.Response("page")
        answer.last_modified = datetime(2001, 9, 9, tzinfo=UTC)
        return answer.make_conditional(request, accept_ranges=True, complete_length=4)

    answer = ask(app, Ask(b"/page", headers=[(name, value), ("Range", "bytes=1-2")]))
    assert (answer.status, answer.body) in [(200, b"page"), (206, b"ag")]
    assert answer.status == (200 if name == "If-Range" else 206)
    fine(ask, app)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python takes such dates for none at all")
def test_flask_fails_on_some_dates() -> None:
    app = plain_app(flask)

    @app.get("/page")
    def page() -> t.Any:
        answer = flask.Response("page")
        answer.last_modified = datetime(2001, 9, 9, tzinfo=UTC)
        return answer.make_conditional(flask.request)

    headers = [("If-Modified-Since", ABSURD_DATES[0])]
    assert over_wsgi(app, Ask(b"/page", headers=headers)).status == 500


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("bytes=0-1", 206),
        ("bytes=-2", 206),
        ("bytes=9-", 416),
        ("bytes=5-3", 416),
        ("bytes=1-" + "9" * 5000, 416),
        ("bytes=-" + "9" * 5000, 416),
        ("bytes=\xb2-", 416),
        ("bytes=0--1", 416),
        ("bytes=0-0,2-3", 416),
        ("bytes=" + "0-0," * 3000, 416),
        ("lines=1-2", 416),
        ("=", 416),
        ("", 416),
    ],
)
def test_a_range_is_sent_or_cannot_be(
    app: Flask, ask: Lane, tmp_path: Path, value: str, status: int
) -> None:
    tmp_path.joinpath("page").write_bytes(b"page")
    app.add_url_rule("/page", "page", lambda: send_from_directory(tmp_path, "page"))
    answer = ask(app, Ask(b"/page", headers=[("Range", value)]))
    assert answer.status == status
    assert answer.body == b"page" or len(answer.body) == 2 or status == 416
    fine(ask, app)


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Range"])
@pytest.mark.parametrize(
    "value", ["*", '"', "W/", '"abc', ",,,", "\xff", '"' * 5000, 'W/"a",' * 99]
)
def test_malformed_conditions_are_no_error(app: Flask, ask: Lane, name: str, value: str) -> None:
    @app.get("/page")
    def page() -> torsyq.Response:
        answer = torsyq.Response("page")
        answer.set_etag("abc")
        return answer.make_conditional(request, accept_ranges=True, complete_length=4)

    assert ask(app, Ask(b"/page", headers=[(name, value)])).status in {200, 304, 412}
    fine(ask, app)


# Cookies and sessions.


@pytest.mark.parametrize(
    "header", ["=", "a", "=a", ";;;", 'a="\\777"', 'a="\\', '"' * 5000, "a=\xff; b=c", "; " * 5000]
)
def test_malformed_cookies_are_left_out(app: Flask, ask: Lane, header: str) -> None:
    app.add_url_rule("/c", view_func=lambda: repr(request.cookies), endpoint="c")
    assert ask(app, Ask(b"/c", headers=[("Cookie", header)])).status == 200
    fine(ask, app)


def counting_app(framework: t.Any) -> t.Any:
    app = plain_app(framework)

    @app.route("/visit")
    def visit() -> str:
        framework.session["visits"] = framework.session.get("visits", 0) + 1
        return str(framework.session["visits"])

    return app


def signed(app: t.Any, data: t.Any, age: int = 0, key: str = "k") -> str:
    """A cookie as someone who has the key could make it."""

    class Aged(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - age

    signer = Aged(key, salt="cookie-session", key_derivation="hmac")
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return signer.sign(base64_encode(text)).decode()


def visits(ask: Lane, app: t.Any, cookie: str) -> Answer:
    return ask(app, Ask(b"/visit", headers=[("Cookie", f"session={cookie}")]))


def test_a_session_of_ours_is_read(ask: Lane) -> None:
    app = counting_app(torsyq)
    assert visits(ask, app, signed(app, {"visits": 4})).text == "5"


@pytest.mark.parametrize(
    "how", ["key", "age", "future", "list", "text", "null", "deep", "bytes", "tag"]
)
def test_a_session_that_cannot_be_taken_is_empty(ask: Lane, how: str) -> None:
    app = counting_app(torsyq)
    data: t.Any = {"visits": 4}
    cookie = {
        "key": lambda: signed(app, data, key="other"),
        "age": lambda: signed(app, data, age=32 * 24 * 3600),
        "future": lambda: signed(app, data, age=-3600),
        "list": lambda: signed(app, [1, 2]),
        "text": lambda: signed(app, "text"),
        "null": lambda: signed(app, None),
        "deep": lambda: signed(app, b"[" * 50_000),
        "bytes": lambda: signed(app, b"\xff"),
        "tag": lambda: signed(app, {"visits": {" u": "no UUID"}}),
    }[how]()
    assert visits(ask, app, cookie).text == "1"
    fine(ask, app)


@pytest.mark.parametrize("at", range(0, 60, 4))
def test_a_session_with_one_character_changed_is_empty(ask: Lane, at: int) -> None:
    app = counting_app(torsyq)
    good = signed(app, {"visits": 4})
    at = min(at, len(good) - 2)
    bad = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
    assert visits(ask, app, bad).text == "1"
    fine(ask, app)


@pytest.mark.parametrize("data", [[1, 2], "text", b"\xff", {"visits": {" u": "no UUID"}}])
def test_flask_fails_on_a_signed_session_it_cannot_take(data: t.Any) -> None:
    app = counting_app(flask)
    assert visits(over_wsgi, app, signed(app, data)).status == 500


def test_a_huge_session_cookie_is_refused(ask: Lane) -> None:
    """If that took more than linear time, this test would not end."""
    app = counting_app(torsyq)
    assert visits(ask, app, "A" * 1_000_000).text == "1"
