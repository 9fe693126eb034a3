"""The aliases are Flask's, and an app written with them passes the type checker.

The functions below are also read by mypy, together with all tests: a signature that no longer
fits its alias fails there.
"""

from __future__ import annotations

import collections.abc as cabc
import io
import typing as t
from types import TracebackType

import flask
import flask.typing
import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as BaseResponse

import torsyq
import torsyq.typing as ft
from torsyq import Flask
from torsyq import Response

NAMES = [name for name in vars(flask.typing) if not name.startswith("_")]
# A type variable is equal only to itself.
GENERIC = {"ResponseClass", "AfterRequestCallable"}


def test_every_name_is_there() -> None:
    assert [name for name in NAMES if not hasattr(ft, name)] == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - GENERIC))
def test_an_alias_is_equal_to_flasks(name: str) -> None:
    assert getattr(ft, name) == getattr(flask.typing, name)


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_the_hints_of_the_view_that_comes_with_an_app_can_be_read(framework: t.Any) -> None:
    """What injects dependencies reads them of every view."""
    hints = t.get_type_hints(framework.Flask.send_static_file)
    assert hints == {"filename": str, "return": framework.Response}


@pytest.mark.parametrize("name", sorted(GENERIC))
def test_a_generic_alias_reads_like_flasks(name: str) -> None:
    assert repr(getattr(ft, name)) == repr(getattr(flask.typing, name))


def test_the_response_class_is_bound_to_a_response() -> None:
    assert ft.ResponseClass.__bound__ == t.ForwardRef("Response")


def test_after_request_is_generic_over_the_response_class() -> None:
    alias: t.Any = ft.AfterRequestCallable
    assert alias.__parameters__ == (ft.ResponseClass,)
    assert alias[Response] == (
        t.Callable[[Response], Response] | t.Callable[[Response], t.Awaitable[Response]]
    )


class Reading(t.TypedDict):
    river: str
    level: float


def whole_response() -> ft.ResponseReturnValue:
    return Response("x")


def werkzeug_response() -> ft.ResponseReturnValue:
    return BaseResponse("x")


def typed_dict() -> ft.ResponseReturnValue:
    return Reading(river="Esil", level=2.5)


def generated() -> ft.ResponseReturnValue:
    def parts() -> cabc.Iterator[bytes]:
        yield b"x"

    return parts()


def with_status_and_headers() -> ft.ResponseReturnValue:
    return "x", 202, {"X-Many": ["1", "2"]}


def with_header_list() -> ft.ResponseReturnValue:
    return ["x"], [("X-One", "1")]


def with_headers_object() -> ft.ResponseReturnValue:
    return b"x", Headers({"X-One": "1"})


@pytest.mark.parametrize(
    ("view", "status", "headers"),
    [
        (whole_response, 200, []),
        (werkzeug_response, 200, []),
        (typed_dict, 200, []),
        (generated, 200, []),
        (with_status_and_headers, 202, [("X-Many", "1"), ("X-Many", "2")]),
        (with_header_list, 200, [("X-One", "1")]),
        (with_headers_object, 200, [("X-One", "1")]),
    ],
)
def test_what_the_type_allows_is_answered(
    view: ft.RouteCallable, status: int, headers: list[tuple[str, str]]
) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=view)
    answer = app.test_client().get("/")
    assert answer.status_code == status
    assert [(name, value) for name, value in answer.headers if name.startswith("X-")] == headers


def test_decorators_keep_the_types_of_what_they_decorate() -> None:
    app = Flask(__name__)

    @app.get("/<int:number>")
    def double(number: int) -> str:
        return str(number * 2)

    @app.before_request
    async def check() -> ft.ResponseReturnValue | None:
        return None

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers["X-Stamp"] = "1"
        return response

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        assert error is None

    @app.context_processor
    def names() -> dict[str, t.Any]:
        return {"river": "Esil"}

    @app.errorhandler(KeyError)
    def lost(error: KeyError) -> tuple[dict[str, str], int]:
        return {"lost": str(error)}, 404

    # mypy: each is still a function of its own type.
    assert double(2).upper() == "4"
    assert lost(KeyError("k"))[1] == 404
    assert names()["river"] == "Esil"
    assert app.test_client().get("/21").headers["X-Stamp"] == "1"


def test_what_a_request_holds_has_the_types_that_it_has_in_flask() -> None:
    """A webhook signs ``request.get_data()``, which is no text to the type checker either."""
    app = Flask(__name__)
    with app.test_request_context(method="POST", data={"f": (io.BytesIO(b"x"), "name")}):
        file = torsyq.request.files["f"]
        t.assert_type(file, FileStorage)
        t.assert_type(torsyq.request.args.get("page", 1, type=int), int)
        assert file.filename == "name"
    with app.test_request_context(method="POST", data=b"body"):
        body = torsyq.request.get_data()
        t.assert_type(body, bytes)
        t.assert_type(torsyq.request.get_data(cache=False), bytes)
        text = torsyq.request.get_data(as_text=True)
        t.assert_type(text, str)
        t.assert_type(torsyq.request.data, bytes)
        assert (body, text) == (b"body", "body")


@pytest.mark.parametrize(
    "function",
    [
        torsyq.Response,
        torsyq.Response.__init__,
        torsyq.Response.set_cookie,
        torsyq.abort,
        torsyq.after_this_request,
        torsyq.redirect,
        torsyq.Flask.log_exception,
    ],
)
def test_the_hints_of_what_is_used_most_can_be_resolved(function: t.Any) -> None:
    """Containers for dependencies, and decorators that check types, do so."""
    assert t.get_type_hints(function)


def test_log_exception_can_be_overridden_with_the_types_it_has_in_flask() -> None:
    class Own(Flask):
        def log_exception(
            self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]
        ) -> None:
            super().log_exception(exc_info)

    hints = t.get_type_hints(Flask.log_exception), t.get_type_hints(flask.Flask.log_exception)
    assert hints[0] == hints[1] == t.get_type_hints(Own.log_exception)
