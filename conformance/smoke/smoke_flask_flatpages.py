"""Flask-FlatPages: pages from files, their metadata, rendering, reloading, by the app's settings."""

from __future__ import annotations

import os
import pathlib

import flask
import pytest
from flask_flatpages import FlatPages
from flask_flatpages import pygments_style_defs

HELLO = "title: Hello\ntags: [a, b]\n\n# Head\n\nSome *text*.\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    pages = tmp_path / "pages"
    (pages / "sub").mkdir(parents=True)
    (pages / "hello.html").write_text(HELLO)
    (pages / "sub" / "deep.html").write_text("title: Deep\n\n```python\nx = 1\n```\n")
    return pages


@pytest.fixture
def app(folder: pathlib.Path) -> flask.Flask:
    app = flask.Flask(__name__, root_path=str(folder.parent))
    app.config.update(FLATPAGES_AUTO_RELOAD=True, TESTING=True)
    app.config["FLATPAGES_MARKDOWN_EXTENSIONS"] = ["codehilite", "fenced_code"]
    pages = FlatPages(app)

    @app.get("/<path:path>/")
    def page(path: str) -> str:
        found = pages.get_or_404(path)
        return flask.render_template_string("{{ page.title }}|{{ page.html|safe }}", page=found)

    @app.get("/")
    def index() -> list[str]:
        return sorted(page.path for page in pages)

    return app


def test_the_pages_of_the_folder(app: flask.Flask) -> None:
    assert app.test_client().get("/").json == ["hello", "sub/deep"]


def test_a_page_is_rendered(app: flask.Flask) -> None:
    text = app.test_client().get("/hello/").text
    assert text.startswith("Hello|<h1>Head</h1>")
    assert "<em>text</em>" in text


def test_an_unknown_page_is_404(app: flask.Flask) -> None:
    assert app.test_client().get("/nothing/").status_code == 404


def test_metadata(app: flask.Flask) -> None:
    with app.app_context():
        page = app.extensions["flatpages"][None].get("hello")
        assert page.meta == {"title": "Hello", "tags": ["a", "b"]}
        assert page["title"] == "Hello"
        assert str(page.html) == page.__html__()


def test_a_changed_file_is_read_again(app: flask.Flask, folder: pathlib.Path) -> None:
    client = app.test_client()
    assert client.get("/hello/").text.startswith("Hello|")
    file = folder / "hello.html"
    file.write_text(HELLO.replace("Hello", "Changed"))
    os.utime(file, (2_000_000_000, 2_000_000_000))
    assert client.get("/hello/").text.startswith("Changed|")


def test_another_extension_and_folder_by_the_config(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "one.md").write_text("title: One\n\ntext\n")
    app = flask.Flask(__name__, root_path=str(tmp_path))
    app.config.update(FLATPAGES_ROOT="notes", FLATPAGES_EXTENSION=".md")
    pages = FlatPages()
    pages.init_app(app)
    with app.app_context():
        assert [page.path for page in pages] == ["one"]


def test_a_renderer_of_the_apps_own(app: flask.Flask) -> None:
    app.config["FLATPAGES_HTML_RENDERER"] = lambda body, pages, page: (
        f"{page.path}: {body.strip()[:6]}"
    )
    assert app.test_client().get("/hello/").text == "Hello|hello: # Head"


def test_code_is_coloured(app: flask.Flask) -> None:
    assert "codehilite" in app.test_client().get("/sub/deep/").text
    assert ".codehilite" in pygments_style_defs("default")


def test_the_renderer_sees_the_app(app: flask.Flask) -> None:
    def render(body: str) -> str:
        return flask.render_template_string("{{ config.FLATPAGES_ROOT }}")

    app.config["FLATPAGES_HTML_RENDERER"] = render
    assert app.test_client().get("/hello/").text == "Hello|pages"
