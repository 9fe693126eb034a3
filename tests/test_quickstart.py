"""Each snippet of Flask's quickstart, as the document prints it, and each claim of its text.

The snippets are the files of ``examples/quickstart``; a test supplies what the document leaves out
(``do_the_login()``, a template) and runs the file's own lines. Every test runs on Torsyq and on the
Flask it replaces, so that a claim which Flask does not keep cannot be asked of Torsyq.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import doctest
import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import types
import typing as t
import uuid
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from .snippets import app as app
from .snippets import client as client
from .snippets import framework as framework
from .snippets import run
from .snippets import SNIPPETS
from .snippets import templates

if t.TYPE_CHECKING:
    from torsyq import Flask


@pytest.mark.parametrize("path", sorted(SNIPPETS.glob("*.py")), ids=lambda path: path.name)
def test_each_snippet_is_run_by_a_test(path: Path) -> None:
    """No snippet lies in the folder unseen."""
    compile(path.read_text("utf-8"), path, "exec")
    tests = Path(__file__).parent.glob("test_quickstart*.py")
    assert any(f'"{path.name}"' in test.read_text("utf-8") for test in tests)


# A minimal application


def test_a_minimal_application_says_hello_in_html(framework: types.ModuleType) -> None:
    app = run("hello.py")["app"]
    response = app.test_client().get("/")
    assert isinstance(app, framework.Flask)
    assert response.status == "200 OK"
    assert response.mimetype == "text/html"
    assert response.text == "<p>Hello, World!</p>"


@contextlib.contextmanager
def command(
    framework: types.ModuleType, *arguments: str, folder: Path = SNIPPETS
) -> cabc.Iterator[subprocess.Popen[str]]:
    """A command line of the framework, stopped with all its children at the end."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("FLASK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", framework.__name__, *arguments],
        cwd=folder,
        env=env | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        assert process.stdout
        process.stdout.close()


def read_until(process: subprocess.Popen[str], pattern: str) -> tuple[str, re.Match[str]]:
    """What the command printed up to a line with the pattern, and the match."""
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if match := re.search(pattern, line):
            return seen, match
    pytest.fail(f"the command ended without printing {pattern!r}:\n{seen}")


def get(url: str) -> str:
    host, port = re.fullmatch(r"http://([\d.]+):(\d+)", url).groups()  # type: ignore[union-attr]
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return connection.makefile("rb").read().decode()


def test_run_serves_the_application_at_a_printed_address(framework: types.ModuleType) -> None:
    with command(framework, "--app", "hello", "run", "--port", "0") as process:
        seen, found = read_until(process, r"Running on (http://127\.0\.0\.1:\d+)")
        assert " * Serving Flask app 'hello'" in seen
        assert "Hello, World!" in get(found[1])
        rest, _ = read_until(process, "Press CTRL")
        assert "Press CTRL+C to quit" in rest


def test_run_with_host_zero_listens_on_every_address(framework: types.ModuleType) -> None:
    arguments = ("--app", "hello", "run", "--host=0.0.0.0", "--port", "0")
    with command(framework, *arguments) as process:
        seen, found = read_until(process, r"Running on (http://127\.0\.0\.1:\d+)")
        assert "Running on all addresses (0.0.0.0)" in seen
        assert "Hello, World!" in get(found[1])


def test_run_with_debug_starts_the_reloader_and_the_debugger(framework: types.ModuleType) -> None:
    arguments = ("--app", "hello", "run", "--debug", "--port", "0")
    with command(framework, *arguments) as process:
        seen, _ = read_until(process, r"Debugger PIN: \d{3}-\d{3}-\d{3}")
    assert " * Debug mode: on" in seen
    assert " * Restarting with " in seen
    assert " * Debugger is active!" in seen


def test_a_taken_port_is_named(framework: types.ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with command(framework, "--app", "hello", "run", "--port", port) as process:
            seen, _ = read_until(process, "in use by another program")
            assert process.wait(timeout=20) == 1
    assert "Address already in use" in seen
    assert f"Port {port}" in seen


@pytest.mark.parametrize("name", ["app.py", "wsgi.py"])
def test_app_py_and_wsgi_py_are_found_without_being_named(
    framework: types.ModuleType, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text((SNIPPETS / "hello.py").read_text())
    with command(framework, "routes", folder=tmp_path) as process:
        seen, _ = read_until(process, "hello_world")
    assert "Endpoint" in seen


# HTML escaping


def test_escape_shows_a_script_as_text(app: Flask, client: t.Any) -> None:
    run("html_escaping.py", app=app)
    assert client.get("/Дала").text == "Hello, Дала!"
    with app.test_request_context():
        shown = app.view_functions["hello"](name='<script>alert("bad")</script>')
    assert shown == "Hello, &lt;script&gt;alert(&#34;bad&#34;)&lt;/script&gt;!"
    # A slash would end the variable, so what a browser can send holds none.
    sent = client.get("/<script>alert(%22bad%22)").text
    assert sent == "Hello, &lt;script&gt;alert(&#34;bad&#34;)!"


# Routing


def test_route_binds_a_function_to_an_address(app: Flask, client: t.Any) -> None:
    run("routing.py", app=app)
    assert client.get("/").text == "Index Page"
    assert client.get("/hello").text == "Hello, World"
    assert client.get("/other").status_code == 404


def test_parts_of_an_address_become_keyword_arguments(app: Flask, client: t.Any) -> None:
    run("variable_rules.py", app=app)
    assert client.get("/user/Абай").text == "User Абай"
    assert client.get("/user/<b>").text == "User &lt;b&gt;"
    assert client.get("/post/42").text == "Post 42"
    assert client.get("/path/a/b/c").text == "Subpath a/b/c"


ID = "0b4f4f0e-2a64-4d7c-8a3d-3a8f1c2e9d10"


@pytest.mark.parametrize(
    ("converter", "accepted", "value", "refused"),
    [
        ("", "дала", "дала", ["a/b", ""]),
        ("string:", "дала", "дала", ["a/b", ""]),
        ("int:", "42", 42, ["-1", "1.5", "x"]),
        ("float:", "1.5", 1.5, ["-1.5", "1", "x"]),
        ("path:", "a/b/c", "a/b/c", [""]),
        ("uuid:", ID, uuid.UUID(ID), [ID[:-1], "x"]),
    ],
)
def test_converters_take_what_they_name_and_nothing_else(
    app: Flask, client: t.Any, converter: str, accepted: str, value: object, refused: list[str]
) -> None:
    seen: list[object] = []

    @app.get(f"/at/<{converter}part>")
    def at(part: object) -> str:
        seen.append(part)
        return "ok"

    assert client.get(f"/at/{accepted}").text == "ok"
    assert seen == [value]
    assert type(seen[0]) is type(value)
    assert [client.get(f"/at/{part}").status_code for part in refused] == [404] * len(refused)


def test_a_missing_trailing_slash_is_redirected_and_a_surplus_one_is_404(
    app: Flask, client: t.Any
) -> None:
    run("unique_urls.py", app=app)
    assert client.get("/projects/").text == "The project page"
    redirect = client.get("/projects")
    assert redirect.status_code == 308
    assert redirect.location == "http://localhost/projects/"
    assert client.get("/projects", follow_redirects=True).text == "The project page"
    assert client.get("/about").text == "The about page"
    assert client.get("/about/").status_code == 404
    assert "Not Found" in client.get("/about/").text


# URL building


def test_url_for_prints_what_the_document_prints(
    app: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    run("url_building.py", app=app)
    assert capsys.readouterr().out == (SNIPPETS / "url_building.txt").read_text()
    assert app.test_client().get("/user/Ann").text == "Ann's profile"


def test_url_for_escapes_and_stays_absolute_under_a_prefix(
    app: Flask, framework: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    run("url_building.py", app=app)
    with app.test_request_context(base_url="http://localhost/myapplication"):
        assert framework.url_for("login") == "/myapplication/login"
    with app.test_request_context("/user/somewhere/deep"):
        assert framework.url_for("profile", username="a b?") == "/user/a%20b%3F"


# HTTP methods


def do_the_login() -> str:
    return "logged in"


def show_the_login_form() -> str:
    return "the form"


@pytest.mark.parametrize("snippet", ["http_methods.py", "http_methods_by_shortcut.py"])
def test_one_address_answers_each_method_with_its_own(
    app: Flask, client: t.Any, snippet: str
) -> None:
    around = {"do_the_login": do_the_login, "show_the_login_form": show_the_login_form}
    run(snippet, app=app, **around)
    assert client.get("/login").text == "the form"
    assert client.post("/login").text == "logged in"
    assert client.put("/login").status_code == 405


def test_get_brings_head_and_every_route_answers_options(app: Flask, client: t.Any) -> None:
    run("routing.py", app=app)
    head = client.head("/hello")
    assert head.status_code == 200
    assert head.data == b""
    assert head.content_length == len("Hello, World")
    options = client.options("/hello")
    assert options.status_code == 200
    assert set(options.allow) == {"GET", "HEAD", "OPTIONS"}
    refused = client.post("/hello")
    assert refused.status_code == 405
    assert set(refused.allow) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_each_common_method_has_a_decorator(app: Flask, client: t.Any, method: str) -> None:
    getattr(app, method)("/")(lambda: "here")
    assert client.open("/", method=method.upper()).text == "here"


# Static files


def test_static_files_have_an_endpoint_and_are_served(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    with app.test_request_context():
        run("static_files.py", url_for=framework.url_for)
        address = framework.url_for("static", filename="style.css")
    assert address == "/static/style.css"
    with client.get(address) as response:
        assert response.mimetype == "text/css"
        assert response.data == (SNIPPETS / "static" / "style.css").read_bytes()
    assert client.get("/static/../hello.py").status_code == 404


# Rendering templates


def test_a_template_is_found_beside_the_module_and_filled_in(app: Flask, client: t.Any) -> None:
    run("rendering_templates.py", app=app)
    assert "<h1>Hello, World!</h1>" in client.get("/hello/").text
    page = client.get("/hello/Ann").text
    assert "<title>Hello from Flask</title>" in page
    assert "<h1>Hello Ann!</h1>" in page


def test_templates_escape_what_they_are_given(app: Flask, client: t.Any) -> None:
    run("rendering_templates.py", app=app)
    assert "<h1>Hello &lt;b&gt;!</h1>" in client.get("/hello/<b>").text


def test_markup_and_the_safe_filter_let_trusted_html_through(
    app: Flask, framework: types.ModuleType
) -> None:
    with app.app_context():
        rendered = framework.render_template("hello.html", name=Markup("<i>Ann</i>"))
        safe = framework.render_template_string("{{ it|safe }}", it="<i>Ann</i>")
    assert "<h1>Hello <i>Ann</i>!</h1>" in rendered
    assert safe == "<i>Ann</i>"


def test_a_package_finds_its_templates_inside_itself(
    framework: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "application" / "templates").mkdir(parents=True)
    (tmp_path / "application" / "__init__.py").write_text(
        "import flask\napp = flask.Flask(__name__)"
    )
    (tmp_path / "application" / "templates" / "hello.html").write_text("inside the package")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        app = importlib.import_module("application").app
        with app.app_context():
            assert framework.render_template("hello.html") == "inside the package"
    finally:
        sys.modules.pop("application", None)


def test_templates_see_config_request_session_g_and_two_functions(
    app: Flask, framework: types.ModuleType
) -> None:
    app.secret_key = "a secret of the test"
    with app.test_request_context("/here?x=1"):
        framework.g.word = "from g"
        framework.session["word"] = "from the session"
        framework.flash("from flash")
        text = framework.render_template_string(
            "{{ config.TESTING }} {{ request.args.x }} {{ g.word }} {{ session.word }}"
            " {{ url_for('static', filename='a') }} {{ get_flashed_messages()[0] }}"
        )
    assert text == "True 1 from g from the session /static/a from flash"


def test_a_template_may_extend_another(app: Flask, framework: types.ModuleType) -> None:
    templates(
        app,
        base="<header>{% block title %}{% endblock %}</header>",
        page="{% extends 'base.html' %}{% block title %}Page{% endblock %}",
    )
    with app.app_context():
        assert framework.render_template("page.html") == "<header>Page</header>"


def test_markup_behaves_as_the_document_shows() -> None:
    result = doctest.testfile(str(SNIPPETS / "markup.txt"), module_relative=False, encoding="utf-8")
    assert (result.failed, result.attempted) == (0, 4)


@pytest.mark.parametrize("extension", ["html", "htm", "xml", "xhtml", "svg", "txt"])
def test_the_extension_of_a_template_decides_on_escaping(
    app: Flask, framework: types.ModuleType, extension: str
) -> None:
    app.jinja_loader = jinja2.DictLoader({f"it.{extension}": "{{ it }}"})
    with app.app_context():
        text = framework.render_template(f"it.{extension}", it="<b>")
    assert text == ("<b>" if extension == "txt" else "&lt;b&gt;")


def test_templates_from_a_string_are_escaped(app: Flask, framework: types.ModuleType) -> None:
    """The document tells of an older Flask; 3.1 escapes these as well."""
    with app.app_context():
        assert framework.render_template_string("{{ it }}", it="<b>") == "&lt;b&gt;"
