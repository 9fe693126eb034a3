"""The logger of an app, and text that can't forge its lines."""

from __future__ import annotations

import io
import logging
import sys
import typing as t
import uuid

import flask.logging
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torsyq
from torsyq.logging import create_logger
from torsyq.logging import default_handler
from torsyq.logging import has_level_handler
from torsyq.logging import printable
from torsyq.logging import wsgi_errors_stream


@pytest.fixture
def parent() -> t.Iterator[logging.Logger]:
    """A logger above the app's, so that the root's handlers don't count.

    Where it must have none, a test clears the ones that pytest gives it as the test begins.
    """
    name = f"parent{uuid.uuid4().hex}"
    parent = logging.getLogger(name)
    parent.propagate = False
    yield parent
    for known in list(logging.root.manager.loggerDict):
        if known.startswith(name):
            del logging.root.manager.loggerDict[known]


@pytest.fixture
def app(parent: logging.Logger) -> torsyq.Flask:
    return torsyq.Flask(f"{parent.name}.app")


def test_an_app_logs_under_its_name_to_the_server(
    app: torsyq.Flask, parent: logging.Logger
) -> None:
    parent.handlers.clear()
    assert app.logger is logging.getLogger(app.name)
    assert app.logger.handlers == [default_handler]
    assert app.logger.level == logging.NOTSET


def test_debug_mode_lowers_the_level(app: torsyq.Flask) -> None:
    app.debug = True
    assert app.logger.level == logging.DEBUG


def test_a_level_that_was_set_stays(app: torsyq.Flask) -> None:
    logging.getLogger(app.name).setLevel(logging.WARNING)
    app.debug = True
    assert create_logger(app).level == logging.WARNING


def test_no_handler_is_added_where_there_is_one(app: torsyq.Flask, parent: logging.Logger) -> None:
    parent.addHandler(logging.StreamHandler())
    assert app.logger.handlers == []


def test_default_handler_writes_as_flask_s() -> None:
    theirs = flask.logging.default_handler.formatter
    assert default_handler.formatter is not None
    assert theirs is not None
    assert default_handler.formatter._fmt == theirs._fmt
    assert default_handler.stream is wsgi_errors_stream


def test_a_handler_counts_when_it_takes_the_logger_s_level() -> None:
    child = logging.Logger("child", logging.INFO)
    parent = logging.Logger("parent")
    child.parent = parent
    handler = logging.StreamHandler()
    assert not has_level_handler(child)

    parent.addHandler(handler)
    assert has_level_handler(child)

    handler.setLevel(logging.ERROR)
    assert not has_level_handler(child)

    handler.setLevel(logging.INFO)
    child.propagate = False
    assert not has_level_handler(child)


def test_the_stream_is_the_request_s(app: torsyq.Flask) -> None:
    stream = io.StringIO()
    with app.test_request_context(errors_stream=stream):
        assert wsgi_errors_stream._get_current_object() is stream
    assert wsgi_errors_stream._get_current_object() is sys.stderr


def test_a_line_as_it_is_written(app: torsyq.Flask, parent: logging.Logger) -> None:
    parent.handlers.clear()
    stream = io.StringIO()
    with app.test_request_context(errors_stream=stream):
        app.logger.error("broken")
    assert stream.getvalue().endswith("] ERROR in test_logging: broken\n")


def test_control_characters_are_written_as_escapes() -> None:
    assert printable("/a\nERROR\r\t\x00\x1b[31m\x7f\x85\u2028\u2029") == (
        "/a\\x0aERROR\\x0d\\x09\\x00\\x1b[31m\\x7f\\x85\\u2028\\u2029"
    )


@given(st.text())
def test_printable_text_is_one_line_and_stays_if_it_was(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(char) < 0x20 for char in shown)
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_a_path_can_not_forge_a_line(app: torsyq.Flask, parent: logging.Logger) -> None:
    parent.handlers.clear()

    @app.before_request
    def check() -> t.NoReturn:
        raise ValueError("broken")

    stream = io.StringIO()
    client = app.test_client()
    assert client.get("/a%0AERROR in app: forged", errors_stream=stream).status_code == 500
    assert not any(
        line.startswith("ERROR in app: forged") for line in stream.getvalue().splitlines()
    )
    assert "Exception on /a\\x0aERROR in app: forged [GET]" in stream.getvalue()


def test_an_error_is_logged_from_the_module_that_flask_names(
    app: torsyq.Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """The format of the default handler shows the module: ``ERROR in app: ...``."""

    @app.route("/")
    def index() -> str:
        raise ValueError

    app.logger.addHandler(caplog.handler)
    app.test_client().get("/")
    assert {(r.module, r.funcName) for r in caplog.records} == {("app", "log_exception")}
