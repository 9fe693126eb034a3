"""What is explained in debug mode."""

from __future__ import annotations

import logging
import typing as t

import pytest
from jinja2 import DictLoader
from jinja2 import FileSystemLoader
from werkzeug.routing import RequestRedirect

from torsyq import Blueprint
from torsyq import Flask
from torsyq import request
from torsyq.debughelpers import _dump_loader_info
from torsyq.debughelpers import attach_enctype_error_multidict
from torsyq.debughelpers import DebugFilesKeyError
from torsyq.debughelpers import explain_template_loading_attempts
from torsyq.debughelpers import FormDataRoutingRedirect
from torsyq.debughelpers import UnexpectedUnicodeError

# Files that did not come


@pytest.fixture
def upload(app: Flask) -> t.Callable[..., str]:
    app.debug = True

    @app.post("/")
    def view() -> str:
        try:
            return request.files["photo"].filename or ""
        except KeyError as error:
            return f"{type(error).__name__}: {error}"

    return lambda **kwargs: app.test_client().post("/", **kwargs).text


EXPLANATION = (
    "DebugFilesKeyError: You tried to access the file 'photo' in the request.files dictionary but"
    " it does not exist. The mimetype for the request is 'application/x-www-form-urlencoded'"
    " instead of 'multipart/form-data' which means that no file contents were transmitted. To fix"
    ' this error you should provide enctype="multipart/form-data" in your form.\n\n'
    "The browser instead transmitted some file names. This was submitted: "
)


@pytest.mark.usefixtures("protocol")
def test_a_form_without_enctype_is_explained(upload: t.Callable[..., str]) -> None:
    assert upload(data={"photo": "a.png"}) == f"{EXPLANATION}'a.png'"
    assert upload(data={"photo": ["a.png", "b.png"]}) == f"{EXPLANATION}'a.png', 'b.png'"


@pytest.mark.usefixtures("protocol")
def test_a_missing_file_of_another_name_is_not(upload: t.Callable[..., str]) -> None:
    assert upload(data={"other": "a.png"}).startswith("BadRequestKeyError")
    assert upload(json={"photo": "a.png"}).startswith("BadRequestKeyError")


@pytest.mark.usefixtures("protocol")
def test_outside_of_debug_mode_nothing_is_explained(
    app: Flask, upload: t.Callable[..., str]
) -> None:
    app.debug = False
    assert upload(data={"photo": "a.png"}).startswith("BadRequestKeyError")


def test_the_files_stay_what_they_are(app: Flask) -> None:
    with app.test_request_context(method="POST", data={"photo": "a.png"}):
        plain = type(request.files)
        attach_enctype_error_multidict(request)
        assert isinstance(request.files, plain)
        assert type(request.files).__name__ == plain.__name__
        assert request.files.get("photo") is None
        with pytest.raises(DebugFilesKeyError):
            request.files["photo"]


def test_without_names_only_the_cause_is_told(app: Flask) -> None:
    with app.test_request_context(method="POST", json={}):
        message = str(DebugFilesKeyError(request, "photo"))
    assert "'application/json' instead of" in message
    assert "file names" not in message


# Form data lost in a redirect


def explain(app: Flask, path: str, target: str) -> str:
    with app.test_request_context(path, method="POST"):
        request.routing_exception = RequestRedirect(target)
        return str(FormDataRoutingRedirect(request))


TRAILING = "The URL was defined with a trailing slash. Flask will redirect"


@pytest.mark.parametrize("target", ["http://localhost/a/", "http://localhost/a/?x=1"])
def test_a_missing_slash_is_explained(app: Flask, target: str) -> None:
    message = explain(app, "/a?x=1", target)
    assert message.startswith(
        f"A request was sent to 'http://localhost/a?x=1', but routing issued a redirect to the"
        f" canonical URL '{target}'. {TRAILING}"
    )
    assert message.endswith("drop form data.\n\nThis exception is only raised in debug mode.")


def test_another_redirect_is_explained_without_the_slash(app: Flask) -> None:
    assert TRAILING not in explain(app, "/a", "http://localhost/b")


@pytest.mark.usefixtures("protocol")
def test_the_walk_raises_it_where_the_method_would_be_lost(app: Flask) -> None:
    app.debug = True

    @app.before_request
    def lose() -> None:
        request.routing_exception = RequestRedirect("http://localhost/a/")
        request.routing_exception.code = 301
        app.raise_routing_exception(request)

    with pytest.raises(FormDataRoutingRedirect):
        app.test_client().post("/a")


# Templates


def log_of(caplog: pytest.LogCaptureFixture, app: Flask, attempts: list[t.Any]) -> str:
    with caplog.at_level(logging.INFO, app.logger.name):
        caplog.clear()
        explain_template_loading_attempts(app, "page.html", attempts)
    return caplog.records[0].getMessage()


@pytest.fixture
def empty() -> DictLoader:
    return DictLoader({})


def test_where_a_template_was_looked_for_is_told(
    caplog: pytest.LogCaptureFixture, app: Flask, empty: DictLoader
) -> None:
    blueprint = Blueprint("shop", "app.shop", root_path="/")
    attempts = [
        (FileSystemLoader(["one", "two"]), app, None),
        (empty, blueprint, ("text", None, None)),
        (empty, "somebody", ("text", "/file.html", None)),
    ]
    assert log_of(caplog, app, attempts) == (
        "Locating template 'page.html':\n"
        "    1: trying loader of application 'tests.app'\n"
        "       class: jinja2.loaders.FileSystemLoader\n"
        "       encoding: 'utf-8'\n"
        "       followlinks: False\n"
        "       searchpath:\n"
        "         - one\n"
        "         - two\n"
        "       -> no match\n"
        "    2: trying loader of blueprint 'shop' (app.shop)\n"
        "       class: jinja2.loaders.DictLoader\n"
        "       -> found ('<string>')\n"
        "    3: trying loader of 'somebody'\n"
        "       class: jinja2.loaders.DictLoader\n"
        "       -> found ('/file.html')\n"
        "Warning: multiple loaders returned a match for the template."
    )


def test_a_template_that_one_loader_has_is_no_trouble(
    caplog: pytest.LogCaptureFixture, app: Flask, empty: DictLoader
) -> None:
    text = log_of(caplog, app, [(empty, app, ("text", None, None)), (empty, app, None)])
    assert text.endswith("-> no match")


def test_a_blueprint_s_template_that_nobody_has_is_explained(
    caplog: pytest.LogCaptureFixture, app: Flask, empty: DictLoader
) -> None:
    app.add_url_rule("/", "shop.index")
    with app.test_request_context("/"):
        inside = log_of(caplog, app, [(empty, app, None)])
    explained = (
        "Error: the template could not be found.\n"
        "  The template was looked up from an endpoint that belongs to the blueprint 'shop'.\n"
        "  Maybe you did not place a template in the right folder?\n"
        "  See https://flask.palletsprojects.com/blueprints/#templates"
    )
    assert inside.endswith(explained)
    assert log_of(caplog, app, [(empty, app, None)]).endswith("could not be found.")
    with app.test_request_context("/elsewhere"):
        assert log_of(caplog, app, [(empty, app, None)]).endswith("could not be found.")


def test_only_plain_public_attributes_of_a_loader_are_told(empty: DictLoader) -> None:
    vars(empty).update(
        _hidden=1, flag=True, number=2.5, mixed=["a", 1], nothing=None, names=("a", "b"), data=b"x"
    )
    assert list(_dump_loader_info(empty)) == [
        "class: jinja2.loaders.DictLoader",
        "flag: True",
        "names:",
        "  - a",
        "  - b",
        "number: 2.5",
    ]


def test_mixed_text_and_bytes_are_both_kinds_of_error() -> None:
    assert issubclass(UnexpectedUnicodeError, AssertionError)
    assert issubclass(UnexpectedUnicodeError, UnicodeError)
