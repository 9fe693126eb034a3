from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import subprocess
import sys
import typing as t
from datetime import timedelta
from pathlib import Path

import flask
import pytest
from jinja2 import DictLoader
from werkzeug.exceptions import BadRequestKeyError
from werkzeug.exceptions import Forbidden
from werkzeug.routing import BuildError

import torsyq
import torsyq.routing
from torsyq import Flask
from torsyq import request
from torsyq import session
from torsyq.testing import FlaskClient
from torsyq.testing import FlaskCliRunner

from .servers import until

Framework = t.Any
frameworks = pytest.mark.parametrize("framework", [flask, torsyq])


def outcome(call: t.Callable[[], t.Any]) -> t.Any:
    """What a call gives: its value, or the error's type and message."""
    try:
        return call()
    except Exception as error:
        return type(error).__name__, str(error)


# The constructor.


@frameworks
def test_the_views_of_static_files_have_the_names_they_have_in_flask(framework: Framework) -> None:
    """By which pgAdmin has Flask-WTF let them pass without a token."""
    app = framework.Flask("app")
    app.register_blueprint(framework.Blueprint("blog", "app", static_folder="static"))
    app.add_url_rule("/icon", "icon", app.send_static_file, defaults={"filename": "icon.png"})
    assert {
        endpoint: f"{view.__module__}.{view.__name__}"
        for endpoint, view in app.view_functions.items()
    } == {
        "static": "flask.app.<lambda>",
        "blog.static": "flask.blueprints.send_static_file",
        "icon": "flask.app.send_static_file",
    }


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"static_url_path": "/s"},
        {"static_folder": "assets"},
        {"static_folder": None},
        {"static_url_path": "", "static_folder": "x"},
        {"host_matching": True, "static_host": "static.example"},
        {"host_matching": True},
        {"static_host": "static.example"},
        {"static_folder": None, "host_matching": True},
        {"subdomain_matching": True},
        {"template_folder": None},
        {"instance_path": "relative"},
        {"instance_path": "/abs"},
        {"instance_path": "/abs", "instance_relative_config": True},
        {"root_path": "/elsewhere"},
    ],
    ids=repr,
)
def test_constructor_makes_what_flask_makes(kwargs: dict[str, t.Any]) -> None:
    def made(framework: Framework) -> t.Any:
        app = framework.Flask("made", **kwargs)
        return (
            repr(app),
            [(r.rule, r.endpoint, r.host, r.methods) for r in app.url_map.iter_rules()],
            app.static_folder,
            app.static_url_path,
            app.template_folder,
            app.instance_path,
            app.root_path,
            app.config.root_path,
            app.subdomain_matching,
            app.url_map.host_matching,
            app.name,
            app.jinja_loader and list(app.jinja_loader.searchpath),
        )

    assert outcome(lambda: made(torsyq)) == outcome(lambda: made(flask))


def test_default_config_is_flasks() -> None:
    ours, theirs = Flask("c").config, flask.Flask("c").config
    assert {key: ours[key] for key in theirs} == dict(theirs)


@pytest.mark.parametrize("main_file", ["/somewhere/program.py", None])
@frameworks
def test_the_main_program_is_named_after_its_file(
    framework: Framework, main_file: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = sys.modules["__main__"]
    if main_file is None:
        monkeypatch.delattr(main, "__file__", raising=False)
    else:
        monkeypatch.setattr(main, "__file__", main_file, raising=False)
    app = framework.Flask("__main__", root_path="/", instance_path="/i")
    assert app.name == ("program" if main_file else "__main__")


@frameworks
def test_an_installed_package_has_its_instance_folder_under_the_prefix(
    framework: Framework, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    package = site / f"installed_for_{framework.__name__}"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    app = framework.Flask(package.name)
    assert app.instance_path == str(tmp_path / "var" / f"{package.name}-instance")


# Set-up.


@pytest.mark.parametrize(
    "register",
    [
        lambda app: app.add_url_rule("/x", view_func=None),
        lambda app: app.add_url_rule("/x", endpoint="x", methods="GET"),
        lambda app: (
            app.add_url_rule("/x", endpoint="x", view_func=print),
            app.add_url_rule("/y", endpoint="x", view_func=len),
        ),
        lambda app: (
            app.add_url_rule("/x", endpoint="x", view_func=print),
            app.add_url_rule("/y", endpoint="x", view_func=print),
        ),
        lambda app: app.add_url_rule("/x", view_func=print, provide_automatic_options=False),
        lambda app: app.add_url_rule("/x", view_func=print, methods=["get", "options"]),
    ],
)
def test_rules_are_registered_and_refused_as_in_flask(
    register: t.Callable[[t.Any], t.Any],
) -> None:
    def rules(framework: Framework) -> t.Any:
        app = framework.Flask("rules", static_folder=None)
        result = outcome(lambda: register(app))
        return result, [
            (r.rule, r.endpoint, r.methods, r.provide_automatic_options)
            for r in app.url_map.iter_rules()
        ]

    assert rules(torsyq) == rules(flask)


def test_methods_options_and_requirements_come_from_the_view(client: FlaskClient) -> None:
    def rule(framework: Framework) -> t.Any:
        def view() -> str:
            return ""

        view.methods = ["PUT"]  # type: ignore[attr-defined]
        view.required_methods = ["PATCH"]  # type: ignore[attr-defined]
        view.provide_automatic_options = False  # type: ignore[attr-defined]
        app = framework.Flask("rule", static_folder=None)
        app.add_url_rule("/", view_func=view)
        (rule,) = app.url_map.iter_rules()
        return rule.methods, rule.provide_automatic_options

    assert rule(torsyq) == rule(flask)


def test_automatic_options_can_be_switched_off_for_all(app: Flask, anyclient: FlaskClient) -> None:
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/", view_func=lambda: "", endpoint="index")
    assert anyclient.options("/").status_code == 405


@pytest.mark.usefixtures("protocol")
@frameworks
def test_set_up_after_the_first_request_is_refused(framework: Framework) -> None:
    app = framework.Flask("late")
    app.test_client().get("/")
    with pytest.raises(AssertionError, match="'before_request' can no longer be called") as error:
        app.before_request(print)
    assert "It has already handled its first request" in str(error.value)


@frameworks
def test_config_attributes(framework: Framework) -> None:
    app = framework.Flask("config")
    app.testing = True
    app.secret_key = "k"
    app.permanent_session_lifetime = 60
    assert (app.config["TESTING"], app.config["SECRET_KEY"]) == (True, "k")
    assert app.permanent_session_lifetime == timedelta(seconds=60)
    app.permanent_session_lifetime = timedelta(hours=1)
    assert app.permanent_session_lifetime == timedelta(hours=1)


@frameworks
def test_setting_debug_makes_templates_reload(framework: Framework) -> None:
    app = framework.Flask("debug")
    assert not app.jinja_env.auto_reload
    app.debug = True
    assert app.jinja_env.auto_reload
    pinned = framework.Flask("pinned")
    pinned.config["TEMPLATES_AUTO_RELOAD"] = False
    pinned.debug = True
    assert not pinned.jinja_env.auto_reload
    told_later = framework.Flask("told_later")
    told_later.jinja_options = {"auto_reload": False}
    told_later.debug = True
    told_later.config["TEMPLATES_AUTO_RELOAD"] = False
    assert told_later.jinja_env.auto_reload


@frameworks
def test_template_functions_are_registered_by_name(framework: Framework) -> None:
    app = framework.Flask("templates")

    @app.template_filter()
    def twice(s: str) -> str:
        return s * 2

    @app.template_filter("shout")
    def upper(s: str) -> str:
        return s.upper()

    @app.template_test()
    def short(s: str) -> bool:
        return len(s) < 3

    @app.template_test("long")
    def is_long(s: str) -> bool:
        return not short(s)

    @app.template_global()
    def greeting() -> str:
        return "hi"

    @app.template_global("bye")
    def farewell() -> str:
        return "bye"

    with app.app_context():
        text = framework.render_template_string(
            "{{ 'a'|twice }} {{ 'a'|shout }} {{ 'a' is short }} {{ 'abc' is long }}"
            " {{ greeting() }} {{ bye() }}"
        )
    assert text == "aa A True True hi bye"


@frameworks
def test_the_jinja_environment_follows_options_and_names(framework: Framework) -> None:
    class Own(framework.Flask):  # type: ignore[misc]
        jinja_options = {"trim_blocks": True, "auto_reload": True, "loader": DictLoader({"a": "b"})}

    app = Own("own")
    env = app.jinja_env
    assert (env.trim_blocks, env.auto_reload, env.get_template("a").render()) == (True, True, "b")
    assert env.policies["json.dumps_function"] == app.json.dumps
    names = {"url_for", "get_flashed_messages", "config", "request", "session", "g"}
    assert names <= env.globals.keys()
    assert [app.select_jinja_autoescape(n) for n in (None, "a.html", "a.svg", "a.txt")] == [
        True,
        True,
        True,
        False,
    ]


@frameworks
def test_context_processors_do_not_override_what_the_view_passed(framework: Framework) -> None:
    app = framework.Flask("processors")
    bp = framework.Blueprint("bp", "bp")
    app.context_processor(lambda: {"a": "app", "b": "app", "c": "app"})
    bp.context_processor(lambda: {"b": "bp", "c": "bp"})
    bp.add_url_rule("/", endpoint="index", view_func=lambda: "")
    app.register_blueprint(bp)
    with app.test_request_context("/"):
        context = {"c": "view"}
        app.update_template_context(context)
        assert [context[name] for name in "abc"] == ["app", "bp", "view"]
    with app.app_context():
        context = {}
        app.update_template_context(context)
        assert context["b"] == "app"


# Errors.


@pytest.mark.parametrize("config", [{}, {"TRAP_HTTP_EXCEPTIONS": True}])
@pytest.mark.parametrize("bad_request", [None, True, False, 0, 1])
@pytest.mark.parametrize("debug", [True, False])
def test_trapping_is_flasks(config: dict[str, t.Any], bad_request: int | None, debug: bool) -> None:
    def trapped(framework: Framework) -> list[str]:
        app = framework.Flask("trap")
        app.config.update(config, TRAP_BAD_REQUEST_ERRORS=bad_request)
        app.debug = debug
        errors = BadRequestKeyError("k"), Forbidden(), ValueError()
        return [repr(app.trap_http_exception(error)) for error in errors]

    assert trapped(torsyq) == trapped(flask)


@pytest.mark.usefixtures("protocol")
@frameworks
def test_a_missing_key_is_named_in_debug_mode_only(framework: Framework) -> None:
    for debug in False, True:
        app = framework.Flask("key")
        app.config.update(DEBUG=debug, TRAP_BAD_REQUEST_ERRORS=False)

        @app.get("/")
        def view() -> t.Any:
            return framework.request.args["missing"]

        response = app.test_client().get("/")
        assert response.status_code == 400
        assert ("missing" in response.text) is debug


@frameworks
def test_url_build_errors_are_handled_in_turn(framework: Framework) -> None:
    app = framework.Flask("build")
    asked = []

    def give_up(error: BuildError, endpoint: str, values: dict[str, t.Any]) -> None:
        asked.append(endpoint)

    def change(error: BuildError, endpoint: str, values: dict[str, t.Any]) -> str:
        raise BuildError("changed", {}, None)

    def answer(error: BuildError, endpoint: str, values: dict[str, t.Any]) -> str:
        return f"/{error.endpoint}/{values['_anchor']}"

    with app.test_request_context():
        app.url_build_error_handlers.append(give_up)
        with pytest.raises(BuildError, match="'nowhere'"):
            app.url_for("nowhere")
        app.url_build_error_handlers.append(change)
        with pytest.raises(BuildError, match="'changed'"):
            app.url_for("nowhere")
        app.url_build_error_handlers.append(answer)
        assert app.url_for("nowhere", _anchor="x") == "/changed/x"
    assert asked == ["nowhere"] * 3


@frameworks
def test_url_defaults_come_from_the_app_and_the_blueprints_of_the_endpoint(
    framework: Framework,
) -> None:
    app = framework.Flask("defaults")
    bp = framework.Blueprint("bp", "bp", url_prefix="/<lang>/bp")
    app.url_defaults(lambda endpoint, values: values.setdefault("q", "app"))
    bp.url_defaults(lambda endpoint, values: values.setdefault("lang", "kk"))
    bp.add_url_rule("/", endpoint="index", view_func=lambda lang: "")
    app.add_url_rule("/", endpoint="index", view_func=lambda: "")
    app.register_blueprint(bp)
    with app.test_request_context():
        assert app.url_for("bp.index") == "/kk/bp/?q=app"
        assert app.url_for("index") == "/?q=app"


# Files, logging, redirect, shell, clients.


@frameworks
def test_instance_resources_are_read_and_written(framework: Framework, tmp_path: Path) -> None:
    app = framework.Flask("instance", instance_path=str(tmp_path))
    with app.open_instance_resource("a.txt", "w") as text:
        text.write("сәлем")
    with app.open_instance_resource("a.txt") as data:
        assert data.read() == "сәлем".encode()
    with app.open_instance_resource("a.txt", "r", encoding="utf-8") as text:
        assert text.read() == "сәлем"


def test_the_logger_is_named_like_the_app(app: Flask) -> None:
    assert app.logger is logging.getLogger(app.name)
    assert app.logger is app.logger


def test_redirect_uses_the_response_class(app: Flask) -> None:
    response = app.redirect("/x", 303)
    assert type(response) is app.response_class
    assert (response.status_code, response.location) == (303, "/x")


def test_shell_context_holds_the_app_and_what_processors_add(app: Flask) -> None:
    app.shell_context_processor(lambda: {"extra": 1})
    names = app.make_shell_context()
    assert (names["app"], names["extra"]) == (app, 1)


def test_client_and_runner_classes_can_be_set(app: Flask) -> None:
    class Client(FlaskClient):
        """Another client."""

    class Runner(FlaskCliRunner):
        """Another runner."""

    assert type(app.test_client()) is FlaskClient
    assert type(app.test_cli_runner()) is FlaskCliRunner
    app.test_client_class = Client
    app.test_cli_runner_class = Runner
    assert type(app.test_client()) is Client
    assert type(app.test_cli_runner()) is Runner


@pytest.mark.usefixtures("protocol")
def test_an_app_is_freed_with_its_last_reference() -> None:
    import gc
    import weakref

    def make() -> weakref.ref[Flask]:
        app = Flask("freed")
        app.secret_key = "k"

        @app.get("/")
        def view() -> str:
            session["n"] = 1
            return request.path

        assert app.test_client().get("/").text == "/"
        return weakref.ref(app)

    made = make()
    # The thread in which its functions ran may be letting go of it just now.
    until("the app to be freed", lambda: (gc.collect(), made() is None)[1])


# run


class Ran(t.NamedTuple):
    host: str
    port: int
    options: dict[str, t.Any]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Ran]:
    """Calls of the development server, which does not start."""
    runs: list[Ran] = []

    def run_simple(host: str, port: int, app: object, **options: t.Any) -> None:
        runs.append(Ran(host, port, options))

    monkeypatch.setattr("werkzeug.serving.run_simple", run_simple)
    monkeypatch.setattr("torsyq.cli.show_server_banner", lambda debug, name: None)
    return runs


def test_run_serves_with_flasks_defaults(app: Flask, runs: list[Ran]) -> None:
    app.run(load_dotenv=False)
    options = {"threaded": True, "use_reloader": False, "use_debugger": False}
    assert runs == [Ran("127.0.0.1", 5000, options)]


def test_run_in_debug_mode_reloads_and_debugs(app: Flask, runs: list[Ran]) -> None:
    app.run(debug=True, load_dotenv=False, use_reloader=False)
    assert app.debug
    assert runs[0].options == {"threaded": True, "use_reloader": False, "use_debugger": True}


@pytest.mark.parametrize(
    ("server_name", "host", "port", "expected"),
    [
        ("kz.example:8080", None, None, ("kz.example", 8080)),
        ("kz.example", None, None, ("kz.example", 5000)),
        ("kz.example:8080", "0.0.0.0", 80, ("0.0.0.0", 80)),
        (None, None, 0, ("127.0.0.1", 0)),
        ("kz.example:0", None, None, ("kz.example", 0)),
        # os.environ.get("PORT", "")
        ("kz.example:8080", "", "", ("kz.example", 8080)),
        (None, None, "", ("127.0.0.1", 5000)),
        (None, None, "8000", ("127.0.0.1", 8000)),
    ],
)
def test_run_takes_the_address_from_server_name(
    app: Flask,
    runs: list[Ran],
    server_name: str | None,
    host: str | None,
    port: t.Any,
    expected: tuple[str, int],
) -> None:
    app.config["SERVER_NAME"] = server_name
    app.run(host, port, load_dotenv=False)
    assert (runs[0].host, runs[0].port) == expected


def test_run_reads_environment_files(
    app: Flask, runs: list[Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "torsyq.cli.load_dotenv", lambda: monkeypatch.setitem(os.environ, "FLASK_DEBUG", "1")
    )
    app.run()
    assert app.debug


def test_run_does_nothing_under_the_run_command(
    app: Flask,
    runs: list[Ran],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    app.run()
    assert runs == []
    assert "Ignoring a call to 'app.run()'" in capsys.readouterr().out
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    app.run()
    assert capsys.readouterr().out == ""


# The two protocols.


def test_the_app_is_wsgi_with_two_arguments_and_asgi_with_three(app: Flask) -> None:
    sent: list[t.Any] = []
    app.wsgi_app = lambda environ, start_response: [b"wsgi"]  # type: ignore[method-assign]

    async def asgi_app(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        sent.append(scope)

    app.asgi_app = asgi_app  # type: ignore[method-assign]
    assert app({}, print) == [b"wsgi"]
    coroutine = app({"type": "http"}, print, print)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert sent == [{"type": "http"}]


def test_importing_the_face_loads_only_what_every_app_needs() -> None:
    heavy = ["click", "jinja2", "asyncio", "torsyq.testing", "torsyq.cli", "torsyq.templating"]
    code = f"import sys, torsyq; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in {"[]", "['asyncio']"}


def test_an_app_may_set_its_attributes_in_its_own_way() -> None:
    class Own(Flask):
        def __setattr__(self, name: str, value: t.Any) -> None:
            object.__setattr__(self, name, value)

    app = Own("own")
    app.add_url_rule("/", "index", lambda: "here")
    assert app.test_client().get("/").text == "here"


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info >= (3, 13),
    reason="CPython 3.11 and 3.12 alone do not look into an object once its dict was asked for",
)
def test_serving_makes_the_app_no_dict_of_its_attributes() -> None:
    """The methods of one that has it are found more slowly."""

    class Own(Flask):
        """One whose instances' names no other test has added to."""

    app = Own(__name__)

    @app.get("/")
    def index() -> str:
        app.logger.debug("hello")
        return torsyq.render_template_string("{{ config.DEBUG }}")

    for number in range(6):
        setattr(app, f"extension{number}", number)
    assert app.name == app.cli.name
    assert app.test_client().get("/").text == "False"
    assert not [kept for kept in gc.get_referents(app) if type(kept) is dict and "url_map" in kept]


def test_an_app_that_serves_leaves_room_for_attributes_of_the_users(app: Flask) -> None:
    """CPython finds the methods of an object with at most 30 attributes sooner."""
    app.add_url_rule("/", "index", lambda: "here")
    app.after_serving(list)

    async def ask() -> str:
        async with app.async_test_client() as client:
            return (await client.get("/")).text

    assert app.test_client().get("/").text == asyncio.run(ask()) == "here"
    assert app.name == app.cli.name == app.logger.name
    assert len(vars(app)) <= 23


def test_a_copied_app_has_all_attributes_and_shares_no_later_ones(app: Flask) -> None:
    app.name = "first"
    copied = copy.copy(app)
    copied.name = "second"
    assert (app.name, copied.name, copied.url_map) == ("first", "second", app.url_map)
    assert copied.test_client().get("/").status_code == 404


def test_an_attribute_held_for_the_app_is_forgotten_when_deleted(app: Flask) -> None:
    env = app.jinja_env
    del app.jinja_env
    assert app.jinja_env is not env


# Other threads.


def test_looking_for_an_error_handler_adds_nothing_to_the_registry(
    app: Flask, client: FlaskClient
) -> None:
    """Another thread may be iterating over it."""
    blueprint = torsyq.Blueprint("blog", __name__)

    @blueprint.get("/<int:code>")
    def view(code: int) -> str:
        torsyq.abort(code)

    app.register_blueprint(blueprint)
    app.register_error_handler(404, lambda error: ("nothing", 404))
    assert client.get("/404").text == "nothing"
    assert client.get("/403").status_code == 403
    assert client.get("/unknown").text == "nothing"
    assert {name: {*codes} for name, codes in app.error_handler_spec.items()} == {None: {404}}


def test_handlers_and_views_may_be_added_while_all_are_looked_at(app: Flask) -> None:
    """As when the first request over ASGI looks for functions that are async."""
    app.register_error_handler(404, lambda error: "nothing")
    app.view_functions["one"] = lambda: "one"
    seen = 0
    for _ in app._functions():
        seen += 1
        app.view_functions[f"added {seen}"] = lambda: "added"
        error = type(f"Added{seen}", (Exception,), {})
        app.error_handler_spec[None][404][error] = lambda error: "added"
        app.error_handler_spec[None][500 + seen] = {}
    assert seen >= 3


def test_the_view_of_a_rule_is_there_before_the_rule(app: Flask) -> None:
    """Since another thread may match the rule at once."""
    known: list[bool] = []

    class Map(torsyq.routing.Map):
        def add(self, factory: t.Any) -> None:
            known.append(factory.endpoint in app.view_functions)
            super().add(factory)

    app.url_map = Map()
    app.add_url_rule("/", "index", lambda: "index")
    assert known == [True]
    with pytest.raises(ValueError, match="slash"):
        app.add_url_rule("wrong", "wrong", lambda: "wrong")
    assert [*app.view_functions] == ["static", "index"]
