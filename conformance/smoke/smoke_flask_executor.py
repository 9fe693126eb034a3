"""Flask-Executor: work in a pool that still sees the application's and the request's context."""

from __future__ import annotations

import typing as t

import flask
import pytest
from flask_executor import Executor


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="k", EXECUTOR_TYPE="thread", EXECUTOR_PROPAGATE_EXCEPTIONS=True)
    app.config["ANSWER"] = 42
    return app


def view(app: flask.Flask, view: t.Callable[[], str], path: str = "/") -> str:
    app.add_url_rule("/", "view", view)
    response = app.test_client().get(path)
    assert response.status_code == 200
    return response.text


def test_the_app_context_goes_along(app: flask.Flask) -> None:
    executor = Executor(app)
    assert (
        view(app, lambda: str(executor.submit(lambda: flask.current_app.config["ANSWER"]).result()))
        == "42"
    )


def test_the_request_context_goes_along(app: flask.Flask) -> None:
    executor = Executor(app)
    work = lambda: flask.request.args["q"]  # noqa: E731
    assert view(app, lambda: str(executor.submit(work).result()), "/?q=found") == "found"


def test_g_goes_along(app: flask.Flask) -> None:
    executor = Executor(app)

    def index() -> str:
        flask.g.name = "gina"
        return str(executor.submit(lambda: flask.g.name).result())

    assert view(app, index) == "gina"


def test_the_session_can_be_read(app: flask.Flask) -> None:
    executor = Executor(app)

    def index() -> str:
        flask.session["seen"] = "yes"
        return str(executor.submit(lambda: flask.session["seen"]).result())

    assert view(app, index) == "yes"


def test_map_keeps_the_order(app: flask.Flask) -> None:
    executor = Executor(app)
    double = lambda number: str(number * 2 + flask.current_app.config["ANSWER"])  # noqa: E731
    assert view(app, lambda: ",".join(executor.map(double, [1, 2, 3]))) == "44,46,48"


def test_a_job_can_be_submitted_by_its_decorator(app: flask.Flask) -> None:
    executor = Executor(app)

    @executor.job
    def shout(word: str) -> str:
        return word.upper() + flask.request.path

    assert view(app, lambda: str(shout.submit("hey").result())) == "HEY/"


def test_futures_are_kept_by_name(app: flask.Flask) -> None:
    executor = Executor(app)

    def index() -> str:
        executor.submit_stored("one", lambda: "stored")
        return str(executor.futures.pop("one").result())

    assert view(app, index) == "stored"


def test_an_exception_comes_back(app: flask.Flask) -> None:
    executor = Executor(app)

    def fail() -> None:
        raise LookupError(flask.request.path)

    def index() -> str:
        return repr(executor.submit(fail).exception())

    assert view(app, index) == "LookupError('/')"


def test_url_for_works_in_the_pool(app: flask.Flask) -> None:
    executor = Executor(app)
    assert (
        view(app, lambda: str(executor.submit(flask.url_for, "view", page=2).result()))
        == "/?page=2"
    )
