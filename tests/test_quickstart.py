"""Each snippet of Flask's quickstart, as the document prints it, and each claim of its text.

The snippets are the files of ``examples/quickstart``; a test supplies what the document leaves out
(``do_the_login()``, a template) and runs the file's own lines. Every test runs on Torsyq and on the
Flask it replaces, so that a claim which Flask does not keep cannot be asked of Torsyq.
"""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import doctest
import importlib
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import types
import typing as t
import uuid
import zlib
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup
from werkzeug.datastructures import FileStorage
from werkzeug.middleware.proxy_fix import ProxyFix

if t.TYPE_CHECKING:
    from torsyq import Flask
    from torsyq import Response

SNIPPETS = Path(__file__).parents[1] / "examples" / "quickstart"


@pytest.fixture(params=["torsyq", "flask"], autouse=True)
def framework(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module that ``import flask`` means in the snippets."""
    module = importlib.import_module(request.param)
    monkeypatch.setitem(sys.modules, "flask", module)
    return module


@pytest.fixture
def app(framework: types.ModuleType) -> Flask:
    """The ``app`` of the snippets that take it as given; an error in a view fails the test."""
    app: Flask = framework.Flask("quickstart", root_path=str(SNIPPETS))
    app.testing = True
    return app


@pytest.fixture
def client(app: Flask) -> t.Any:
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


@pytest.mark.parametrize("path", sorted(SNIPPETS.glob("*.py")), ids=lambda path: path.name)
def test_each_snippet_is_run_by_a_test_here(path: Path) -> None:
    """No snippet lies in the folder unseen."""
    compile(path.read_text("utf-8"), path, "exec")
    assert f'"{path.name}"' in Path(__file__).read_text("utf-8")


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


# Accessing request data


def test_test_request_context_binds_a_request(app: Flask, framework: types.ModuleType) -> None:
    run("context_locals.py", app=app)
    with pytest.raises(RuntimeError, match="Working outside of request context"):
        framework.request.path  # noqa: B018


def test_request_context_binds_a_whole_wsgi_environment(
    app: Flask, framework: types.ModuleType
) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    run("wsgi_environment.py", app=app, environ=environ, request=framework.request)


def test_request_is_imported_from_the_package(framework: types.ModuleType) -> None:
    assert run("import_request.py")["request"] is framework.request


@pytest.fixture
def login(app: Flask, framework: types.ModuleType) -> None:
    templates(app, login="<p>{{ error or 'welcome' }}</p>")
    run(
        "request_form.py",
        app=app,
        request=framework.request,
        render_template=framework.render_template,
        valid_login=lambda name, password: (name, password) == ("ann", "sesame"),
        log_the_user_in=lambda name: f"hello {name}",
    )


@pytest.mark.usefixtures("login")
def test_method_and_form_drive_a_login(client: t.Any) -> None:
    assert client.get("/login").text == "<p>welcome</p>"
    right = client.post("/login", data={"username": "ann", "password": "sesame"})
    assert right.text == "hello ann"
    wrong = client.post("/login", data={"username": "ann", "password": "?"})
    assert wrong.text == "<p>Invalid username/password</p>"


@pytest.mark.usefixtures("login")
def test_a_missing_form_key_is_answered_with_400(client: t.Any) -> None:
    response = client.post("/login", data={"username": "ann"})
    assert response.status == "400 BAD REQUEST"
    assert "Bad Request" in response.text


def test_a_missing_form_key_can_be_caught_as_a_keyerror(
    app: Flask, framework: types.ModuleType
) -> None:
    with app.test_request_context(method="POST"), pytest.raises(KeyError):
        framework.request.form["username"]


def test_put_brings_form_data_too(app: Flask, framework: types.ModuleType) -> None:
    with app.test_request_context(method="PUT", data={"a": "1"}):
        assert framework.request.form["a"] == "1"


@pytest.mark.parametrize(("url", "word"), [("/?key=құмыра", "құмыра"), ("/", "")])
def test_args_hold_the_parameters_of_the_address(
    app: Flask, framework: types.ModuleType, url: str, word: str
) -> None:
    with app.test_request_context(url):
        assert run("request_args.py", request=framework.request)["searchword"] == word


# File uploads


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the document's ``/var/www/uploads``."""
    save = FileStorage.save

    def elsewhere(self: FileStorage, dst: str) -> None:
        folder, _, name = dst.rpartition("/")
        assert folder == "/var/www/uploads"
        save(self, tmp_path / name)

    monkeypatch.setattr(FileStorage, "save", elsewhere)
    return tmp_path


@pytest.mark.parametrize(
    ("snippet", "sent", "stored"),
    [
        ("upload.py", "whatever.txt", "uploaded_file.txt"),
        ("upload_safely.py", "../../etc/pass wd.txt", "etc_pass_wd.txt"),
    ],
)
def test_an_upload_is_saved(
    app: Flask,
    client: t.Any,
    framework: types.ModuleType,
    uploads: Path,
    snippet: str,
    sent: str,
    stored: str,
) -> None:
    run(snippet, app=app, request=framework.request)
    finish(app, "upload_file")
    response = client.post("/upload", data={"the_file": (io.BytesIO(b"a file"), sent)})
    assert response.text == "done"
    assert [path.name for path in uploads.iterdir()] == [stored]
    assert (uploads / stored).read_bytes() == b"a file"


def test_an_upload_knows_its_name_on_the_client(app: Flask, framework: types.ModuleType) -> None:
    data = {"the_file": (io.BytesIO(b"a file"), "notes.txt")}
    with app.test_request_context("/upload", method="POST", data=data):
        file = framework.request.files["the_file"]
        assert file.filename == "notes.txt"
        assert file.read() == b"a file"


def test_without_the_enctype_no_file_arrives(app: Flask, framework: types.ModuleType) -> None:
    with app.test_request_context("/upload", method="POST", data={"the_file": "notes.txt"}):
        assert not framework.request.files
        assert framework.request.form["the_file"] == "notes.txt"


# Cookies


def test_a_cookie_is_read(app: Flask, client: t.Any, framework: types.ModuleType) -> None:
    run("cookies_read.py", app=app)
    finish(app, "index")
    client.set_cookie("username", "ann")
    with client:
        client.get("/")
        assert framework.request.cookies.get("username") == "ann"
        assert framework.request.cookies.get("other") is None


def test_a_cookie_is_stored(app: Flask, client: t.Any) -> None:
    run("cookies_store.py", app=app, render_template=lambda _: "the page")
    response = client.get("/")
    assert response.text == "the page"
    assert response.headers["Set-Cookie"] == 'username="the username"; Path=/'
    assert client.get_cookie("username").decoded_value == "the username"


def test_a_cookie_can_be_set_before_there_is_a_response(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    @app.get("/")
    def index() -> str:
        def remember(response: Response) -> Response:
            response.set_cookie("lang", "kk")
            return response

        framework.after_this_request(remember)
        return "ok"

    assert client.get("/").headers["Set-Cookie"] == "lang=kk; Path=/"


# Redirects and errors


def test_redirect_leads_to_another_endpoint_and_abort_ends_the_view(
    app: Flask, client: t.Any
) -> None:
    never = pytest.fail
    run("redirects_and_errors.py", app=app, this_is_never_executed=never)
    redirect = client.get("/")
    assert redirect.status_code == 302
    assert redirect.location == "/login"
    refused = client.get("/", follow_redirects=True)
    assert refused.status == "401 UNAUTHORIZED"
    assert "<h1>Unauthorized</h1>" in refused.text


def test_by_default_an_error_page_is_plain(client: t.Any) -> None:
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert "<h1>Not Found</h1>" in response.text


def test_an_error_handler_shows_its_own_page(app: Flask, client: t.Any) -> None:
    templates(app, page_not_found="<p>nothing here</p>")
    run("error_page.py", app=app)
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert response.text == "<p>nothing here</p>"


@pytest.mark.parametrize("code", [404, None])
def test_without_the_number_an_error_page_is_a_200(
    app: Flask, client: t.Any, code: int | None
) -> None:
    app.register_error_handler(404, lambda error: ("page", code) if code else "page")
    assert client.get("/nowhere").status_code == (code or 200)


# About responses


def test_a_response_object_is_returned_as_it_is(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    made = framework.Response("tea", status=418, mimetype="text/plain")
    seen: list[Response] = []
    app.add_url_rule("/", view_func=lambda: made)

    @app.after_request
    def see(response: Response) -> Response:
        seen.append(response)
        return response

    response = client.get("/")
    assert (response.status_code, response.text, response.mimetype) == (418, "tea", "text/plain")
    assert seen[0] is made


@pytest.mark.parametrize("value", ["мәтін", "мәтін".encode()])
def test_a_string_becomes_an_html_page(app: Flask, client: t.Any, value: str | bytes) -> None:
    app.add_url_rule("/", view_func=lambda: value)
    response = client.get("/")
    assert response.status == "200 OK"
    assert response.content_type == "text/html; charset=utf-8"
    assert response.text == "мәтін"


@pytest.mark.parametrize("parts", [["a", "б"], [b"a", "б".encode()]])
@pytest.mark.parametrize("kind", ["iterator", "generator"])
def test_an_iterator_or_generator_is_streamed(
    app: Flask, client: t.Any, kind: str, parts: list[t.Any]
) -> None:
    def view() -> t.Any:
        return iter(parts) if kind == "iterator" else (part for part in parts)

    app.add_url_rule("/", view_func=view)
    response = client.get("/")
    assert response.is_streamed
    assert "Content-Length" not in response.headers
    assert response.text == "aб"


@pytest.mark.parametrize("value", [{"a": 1}, [1, {"b": None}], [], {}])
def test_a_dict_or_list_becomes_json(app: Flask, client: t.Any, value: t.Any) -> None:
    app.add_url_rule("/", view_func=lambda: value)
    response = client.get("/")
    assert response.mimetype == "application/json"
    assert response.get_json() == value


@pytest.mark.parametrize(
    ("value", "status", "header"),
    [
        (("body", 201), 201, None),
        (("body", "202 FINE"), 202, None),
        (("body", {"X-It": "dict"}), 200, "dict"),
        (("body", [("X-It", "list")]), 200, "list"),
        (("body", 203, {"X-It": "both"}), 203, "both"),
        (({"json": True}, 201), 201, None),
    ],
)
def test_a_tuple_adds_status_and_headers(
    app: Flask, client: t.Any, value: t.Any, status: int, header: str | None
) -> None:
    app.add_url_rule("/", view_func=lambda: value)
    response = client.get("/")
    assert response.status_code == status
    assert response.headers.get("X-It") == header


def test_anything_else_is_called_as_a_wsgi_application(app: Flask, client: t.Any) -> None:
    def wsgi(environ: dict[str, t.Any], start_response: t.Any) -> list[bytes]:
        start_response("299 OTHER", [("Content-Type", "text/x-other")])
        return [environ["PATH_INFO"].encode()]

    app.add_url_rule("/wsgi", view_func=lambda: wsgi)
    response = client.get("/wsgi")
    assert (response.status, response.mimetype) == ("299 OTHER", "text/x-other")
    assert response.text == "/wsgi"


def test_make_response_gives_the_object_to_work_on(app: Flask, client: t.Any) -> None:
    templates(app, error="<p>gone astray</p>")
    run("error_page_plain.py", app=app)
    plain = client.get("/nowhere")
    assert (plain.status_code, plain.text) == (404, "<p>gone astray</p>")
    assert "X-Something" not in plain.headers


def test_make_response_takes_what_a_view_may_return(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    templates(app, error="<p>gone astray</p>")
    run("error_page_with_header.py", app=app, render_template=framework.render_template)
    response = client.get("/nowhere")
    assert (response.status_code, response.text) == (404, "<p>gone astray</p>")
    assert response.headers["X-Something"] == "A value"


# APIs with JSON


class User(t.NamedTuple):
    username: str
    theme: str
    image: str

    def to_json(self) -> dict[str, str]:
        return {"username": self.username}


def test_dicts_and_lists_make_a_json_api(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    ann = User("ann", "dark", "ann.png")
    app.add_url_rule("/image/<filename>", "user_image", lambda filename: filename)
    run(
        "json_api.py",
        app=app,
        url_for=framework.url_for,
        get_current_user=lambda: ann,
        get_all_users=lambda: [ann, ann._replace(username="bek")],
    )
    me = client.get("/me")
    assert me.mimetype == "application/json"
    assert me.json == {"username": "ann", "theme": "dark", "image": "/image/ann.png"}
    assert client.get("/users").json == [{"username": "ann"}, {"username": "bek"}]


def test_what_is_not_json_serializable_is_an_error(app: Flask, client: t.Any) -> None:
    app.add_url_rule("/", view_func=lambda: {"it": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        client.get("/")


# Sessions


@pytest.fixture
def sessions(app: Flask, framework: types.ModuleType) -> None:
    run(
        "sessions.py",
        app=app,
        request=framework.request,
        redirect=framework.redirect,
        url_for=framework.url_for,
    )


@pytest.mark.usefixtures("sessions")
def test_a_session_remembers_from_one_request_to_the_next(client: t.Any) -> None:
    assert client.get("/").text == "You are not logged in"
    assert "<input type=text name=username>" in client.get("/login").text
    page = client.post("/login", data={"username": "ann"}, follow_redirects=True)
    assert page.text == "Logged in as ann"
    assert client.get("/").text == "Logged in as ann"
    assert client.get("/logout", follow_redirects=True).text == "You are not logged in"


@pytest.mark.usefixtures("sessions")
def test_a_session_can_be_read_by_the_user_but_not_modified(client: t.Any) -> None:
    client.post("/login", data={"username": "ann"})
    payload, date, signature = client.get_cookie("session").value.split(".")
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == {"username": "ann"}
    forged = base64.urlsafe_b64encode(b'{"username":"bek"}').decode().rstrip("=")
    client.set_cookie("session", f"{forged}.{date}.{signature}")
    assert client.get("/").text == "You are not logged in"


def test_a_session_needs_a_secret_key(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    @app.get("/")
    def index() -> str:
        framework.session["a"] = 1
        return ""

    with pytest.raises(RuntimeError, match="no secret key was set"):
        client.get("/")


@pytest.mark.usefixtures("sessions")
def test_a_session_too_large_for_browsers_is_warned_of(client: t.Any) -> None:
    noise = "".join(chr(0x400 + zlib.crc32(bytes([i % 256, i >> 8])) % 250) for i in range(5000))
    with pytest.warns(UserWarning, match="'session' cookie is too large"):
        client.post("/login", data={"username": noise})


# Message flashing


def test_a_flashed_message_is_shown_by_the_next_request_and_only_that(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    app.secret_key = "a secret of the test"
    templates(app, layout="{% for m in get_flashed_messages() %}[{{ m }}]{% endfor %}")

    @app.post("/")
    def save() -> str:
        framework.flash("Saved <1>")
        return "ok"

    @app.get("/")
    def show() -> str:
        return str(framework.render_template("layout.html"))

    assert client.post("/").text == "ok"
    assert client.get("/").text == "[Saved &lt;1&gt;]"
    assert client.get("/").text == ""


# Logging


def test_the_logger_is_ready_to_use(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=app.name):
        run("log_calls.py", app=app)
    assert isinstance(app.logger, logging.Logger)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "A value for debugging"),
        ("WARNING", "A warning occurred (42 apples)"),
        ("ERROR", "An error occurred"),
    ]


# WSGI middleware


def test_middleware_wraps_wsgi_app_and_app_stays_the_application(
    app: Flask, client: t.Any, framework: types.ModuleType
) -> None:
    run("wsgi_middleware.py", app=app)
    app.add_url_rule("/", view_func=lambda: framework.request.remote_addr)
    assert isinstance(app, framework.Flask)
    assert isinstance(app.wsgi_app, ProxyFix)
    assert client.get("/", headers={"X-Forwarded-For": "203.0.113.7"}).text == "203.0.113.7"
