"""Running the snippets of ``examples/quickstart`` on Torsyq and on Flask."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import jinja2
import pytest

from .protocols import framework_of
from .protocols import FRAMEWORKS

if t.TYPE_CHECKING:
    from torsyq import Flask

SNIPPETS = Path(__file__).parents[1] / "examples" / "quickstart"


@pytest.fixture(params=FRAMEWORKS, autouse=True)
def framework(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that ``import flask`` means in the snippets, over each protocol in turn."""
    return framework_of(request.param, monkeypatch)


@pytest.fixture
def app(framework: types.ModuleType) -> Flask:
    """The ``app`` of the snippets that take it as given; an error in a view fails the test."""
    app: Flask = framework.Flask("quickstart", root_path=str(SNIPPETS))
    app.testing = True
    return app


@pytest.fixture
def client(app: Flask) -> t.Any:
    return app.test_client()


@pytest.fixture
def wsgi_client(app: Flask, framework: types.ModuleType) -> t.Any:
    """A client for what only WSGI has: contexts that are kept, answers that are not yet read."""
    app.test_client_class = framework.testing.FlaskClient
    return app.test_client()


def run(snippet: str, **around: object) -> dict[str, t.Any]:
    """The names a snippet leaves behind, run among the names ``around`` it."""
    path = SNIPPETS / snippet
    names: dict[str, t.Any] = {"__name__": "quickstart", **around}
    exec(compile(path.read_text("utf-8"), path, "exec"), names)
    return names


def finish(app: Flask, endpoint: str) -> None:
    """Let a view that the document breaks off (``...``) return something."""
    view = app.view_functions[endpoint]

    def finished(**arguments: object) -> str:
        assert view(**arguments) is None
        return "done"

    app.view_functions[endpoint] = finished


def templates(app: Flask, **sources: str) -> None:
    app.jinja_loader = jinja2.DictLoader({f"{name}.html": text for name, text in sources.items()})
