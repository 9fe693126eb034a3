"""The quickstart on requests and responses: its snippets, and each claim of its text."""

from __future__ import annotations

import base64
import io
import json
import logging
import types
import typing as t
import zlib
from pathlib import Path

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.middleware.proxy_fix import ProxyFix

from .snippets import app as app
from .snippets import client as client
from .snippets import finish
from .snippets import framework as framework
from .snippets import run
from .snippets import templates
from .snippets import wsgi_client as wsgi_client

if t.TYPE_CHECKING:
    from torsyq import Flask
    from torsyq import Response


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


def test_a_cookie_is_read(app: Flask, wsgi_client: t.Any, framework: types.ModuleType) -> None:
    run("cookies_read.py", app=app)
    finish(app, "index")
    wsgi_client.set_cookie("username", "ann")
    with wsgi_client:
        wsgi_client.get("/")
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
    app: Flask, wsgi_client: t.Any, kind: str, parts: list[t.Any]
) -> None:
    def view() -> t.Any:
        return iter(parts) if kind == "iterator" else (part for part in parts)

    app.add_url_rule("/", view_func=view)
    response = wsgi_client.get("/")
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


def test_anything_else_is_called_as_a_wsgi_application(app: Flask, wsgi_client: t.Any) -> None:
    def wsgi(environ: dict[str, t.Any], start_response: t.Any) -> list[bytes]:
        start_response("299 OTHER", [("Content-Type", "text/x-other")])
        return [environ["PATH_INFO"].encode()]

    app.add_url_rule("/wsgi", view_func=lambda: wsgi)
    response = wsgi_client.get("/wsgi")
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
