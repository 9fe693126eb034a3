"""Error pages are, byte for byte, what Werkzeug makes of the error."""

from __future__ import annotations

import typing as t
from datetime import datetime
from datetime import UTC
from pathlib import Path

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug import exceptions
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.routing import RequestRedirect
from werkzeug.test import create_environ
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as BaseResponse

from torsyq.pages import error_response
from torsyq.pages import redirect_response
from torsyq.wrappers import Response

from .calls import calls_of
from .servers import run


def sent(response: t.Any, environ: dict[str, t.Any]) -> t.Any:
    """Status, headers and body as a server sees them."""
    seen: list[t.Any] = []
    chunks = response(environ, lambda *given: seen.append(given))
    try:
        return seen[0], b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


class Paid(exceptions.HTTPException):
    code = 402
    description = "Pay\n<b>first</b>"


class Nothing(exceptions.HTTPException):
    """An error of the app's own whose status allows no body."""

    code = 204
    description = "nothing to say"


class Unchanged(exceptions.HTTPException):
    code = 304
    description = "as before"


class OwnBody(exceptions.NotFound):
    def get_body(self, environ: t.Any = None, scope: t.Any = None) -> str:
        return "gone fishing"


class OwnHeaders(exceptions.NotFound):
    def get_headers(self, environ: t.Any = None, scope: t.Any = None) -> list[tuple[str, str]]:
        return [("X-Own", "yes")]


class OwnDescription(exceptions.NotFound):
    def get_description(self, environ: t.Any = None, scope: t.Any = None) -> str:
        return "<p>mine</p>"


class Listed(exceptions.BadRequest):
    description = ["name", "e-mail"]  # type: ignore[assignment]


class Bare(exceptions.HTTPException):
    """It answers for itself, and never called Werkzeug's constructor."""

    code = 303

    def __init__(self) -> None:
        pass

    def get_response(self, environ: t.Any = None, scope: t.Any = None) -> BaseResponse:
        return BaseResponse("bare", 303)


def patched() -> exceptions.NotFound:
    error = exceptions.NotFound()
    error.get_body = lambda *a: "patched"  # type: ignore[method-assign]
    return error


def own_headers() -> exceptions.NotFound:
    error = exceptions.NotFound()
    error.get_headers = lambda *a: [("Content-Type", "text/x"), ("X-A", "b")]  # type: ignore[method-assign]
    return error


def key_error() -> exceptions.BadRequestKeyError:
    error = exceptions.BadRequestKeyError("name")
    error.show_exception = True
    return error


ERRORS: list[t.Callable[[], exceptions.HTTPException]] = [
    *exceptions.default_exceptions.values(),
    Paid, Nothing, Unchanged, Bare, OwnBody, OwnHeaders, OwnDescription, patched, own_headers,
    key_error, Listed,
    lambda: exceptions.NotFound("<script>\nalert(1)</script> é"),
    lambda: exceptions.NotFound(Markup("<b>bold</b>\nx")),
    lambda: exceptions.NotFound(""),
    lambda: exceptions.BadRequest([]),  # type: ignore[arg-type]
    lambda: exceptions.BadRequest(0),  # type: ignore[arg-type]
    lambda: exceptions.MethodNotAllowed(["GET", "HEAD"]),
    lambda: exceptions.MethodNotAllowed(["GET"], "no <posts>"),
    lambda: exceptions.RequestedRangeNotSatisfiable(12),
    lambda: exceptions.TooManyRequests(retry_after=3),
    lambda: exceptions.ServiceUnavailable(retry_after=datetime(2030, 1, 1, tzinfo=UTC)),
    lambda: exceptions.Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "x"})),
    lambda: exceptions.NotFound(response=BaseResponse("own", 410)),
    lambda: RequestRedirect("/there"),
    lambda: exceptions.BadRequestKeyError("k"),
]  # fmt: skip


@pytest.mark.parametrize("make", ERRORS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_is_answered_as_flask_answers_it(
    make: t.Callable[[], exceptions.HTTPException], method: str
) -> None:
    environ = create_environ("/missing", method=method)
    ours = error_response(make(), environ, Response)
    theirs = flask.Response.force_type(make(), environ)  # type: ignore[arg-type]
    assert type(ours) is Response
    assert (ours.status, ours.status_code) == (theirs.status, theirs.status_code)
    assert ours.headers == theirs.headers
    untouched = error_response(make(), environ, Response)
    assert sent(untouched, environ) == sent(ours, environ) == sent(theirs, environ)


def absolute(base: t.Any) -> t.Any:
    return type("Absolute", (base,), {"autocorrect_location_header": True})


def without_length(base: t.Any) -> t.Any:
    return type("WithoutLength", (base,), {"automatically_set_content_length": False})


def own_location(base: t.Any) -> t.Any:
    class OwnLocation(base):  # type: ignore[misc]
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            self.headers["Location"] = "/elsewhere"

    return OwnLocation


@given(
    st.one_of(
        st.text("/abc%41?#&=;:@!$'()*+,[]~\\^`{}|<>\" \té\x7f\n.-_", max_size=12),
        st.text("/a&'?#;", max_size=8).map("/a{}".format),
        st.sampled_from(["/a", "//host", "http://a.example/b", "/é", Markup("/&<a>")]),
    ),
    st.sampled_from([301, 302, 303, 307, 308, 200, 204, 304, 299, "303 Yonder"]),
    st.sampled_from([lambda base: base, absolute, without_length, own_location]),
    st.sampled_from(["GET", "HEAD"]),
    st.booleans(),
)
def test_a_redirect_is_made_and_sent_as_flask_does(
    location: str, code: t.Any, derived: t.Any, method: str, is_looked_at: bool
) -> None:
    environ = create_environ("/here", "http://example.com/", method=method)

    def answer(make: t.Any, base: t.Any) -> t.Any:
        try:
            response = make(location, code, derived(base))
        except ValueError as error:
            return str(error)
        seen = (list(response.headers), response.get_data()) if is_looked_at else None
        return seen, sent(response, environ)

    assert answer(redirect_response, Response) == answer(redirect, flask.Response)


def test_a_redirect_put_into_another_class_is_sent_by_that_one() -> None:
    environ = create_environ("/here", "http://example.com/")
    ours: t.Any = redirect_response("/there", 302, Response)
    theirs: t.Any = redirect("/there", 302, flask.Response)
    ours.__class__, theirs.__class__ = absolute(Response), absolute(flask.Response)
    assert sent(ours, environ) == sent(theirs, environ)
    assert dict(sent(ours, environ)[0][1])["Location"] == "http://example.com/there"


def test_a_redirect_in_a_foreign_class_is_that_class() -> None:
    assert type(redirect_response("/a", 302, BaseResponse)) is BaseResponse


def test_a_description_that_is_translated_is_told_anew() -> None:
    class Greeting:
        language = "en"

        def __html__(self) -> str:
            return {"en": "Not here.", "kk": "Мұнда жоқ."}[self.language]

    class Missing(exceptions.NotFound):
        description = Greeting()  # type: ignore[assignment]

    environ = create_environ("/")
    assert "Not here." in error_response(Missing(), environ).get_data(as_text=True)
    Greeting.language = "kk"
    assert "Мұнда жоқ." in error_response(Missing(), environ).get_data(as_text=True)


def test_a_changed_class_description_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = create_environ("/")
    error_response(exceptions.Gone(), environ)
    monkeypatch.setattr(exceptions.Gone, "description", "It left.")
    assert b"<p>It left.</p>" in error_response(exceptions.Gone(), environ).get_data()


def test_a_response_class_that_forces_types_its_own_way_does_so() -> None:
    class Own(Response):
        @classmethod
        def force_type(cls, response: t.Any, environ: t.Any = None) -> Own:
            return cls("forced", 404)

    assert error_response(exceptions.NotFound(), create_environ(), Own).get_data() == b"forced"


def test_a_foreign_response_class_is_served() -> None:
    environ = create_environ("/")
    response = error_response(exceptions.NotFound(), environ, BaseResponse)
    assert type(response) is BaseResponse
    assert response.status_code == 404


def test_a_subclass_is_answered_in_and_its_constructor_left_alone() -> None:
    """As with Flask, which turns Werkzeug's response into one of the class."""

    class Own(Response):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            raise AssertionError("not called")

    assert type(error_response(exceptions.NotFound(), create_environ(), Own)) is Own


def test_an_error_whose_code_is_no_status_is_an_error_of_the_app() -> None:
    class Odd(exceptions.HTTPException):
        code = 999

    class Bodiless(Odd):
        def get_body(self, environ: t.Any = None, scope: t.Any = None) -> str:
            return ""

    for error in (Odd(), Bodiless()):
        with pytest.raises(ValueError, match="no status"):
            error_response(error, create_environ())


def test_a_line_end_in_the_headers_of_an_error_is_refused() -> None:
    with pytest.raises(ValueError, match="must not contain"):
        error_response(exceptions.MethodNotAllowed(["GET\r\nX: y"]), create_environ())


def test_an_error_without_a_code_goes_werkzeugs_way() -> None:
    environ = create_environ()
    response = error_response(exceptions.HTTPException("x"), environ)
    expected = flask.Response.force_type(exceptions.HTTPException("x"), environ)  # type: ignore[arg-type]
    assert sent(response, environ) == sent(expected, environ)


def test_a_missing_page_takes_few_calls() -> None:
    environ = create_environ("/")
    error_response(exceptions.NotFound(), environ)
    error = exceptions.NotFound()
    assert calls_of(lambda: error_response(error, environ)) <= 5


STEPS = ["get_body", "get_description", "get_headers", "get_response", "__call__", "name"]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_put_into_werkzeug_s_class_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app may make all its error pages JSON so, also after the first of them was sent."""
    environ = create_environ()
    before = sent(error_response(exceptions.NotFound(), environ), environ)

    def get_headers(*args: t.Any) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json")]

    def get_response(*args: t.Any) -> Response:
        return Response("{}")

    values = {
        "get_body": lambda *args: "{}",
        "get_description": lambda *args: "{}",
        "get_headers": get_headers,
        "get_response": get_response,
        "__call__": lambda self, environ, start_response: get_response()(environ, start_response),
        "name": property(lambda self: "{}"),
    }
    monkeypatch.setattr(exceptions.HTTPException, name, values[name])
    after = sent(error_response(exceptions.NotFound(), environ), environ)
    expected = sent(Response.force_type(exceptions.NotFound(), environ), environ)  # type: ignore[arg-type]
    assert after == expected != before


def test_a_step_put_there_before_the_import_is_taken(tmp_path: Path) -> None:
    code = """
from werkzeug.exceptions import HTTPException
HTTPException.get_body = lambda *args: "{}"
import torsyq
print(torsyq.Flask("app").test_client().get("/").text)
"""
    assert run(tmp_path, "-c", code).stdout == "{}\n"
