"""What apps and blueprints share: registries, decorators, folders, and finding packages."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from datetime import timedelta
from pathlib import Path
from pathlib import PurePath

import flask
import flask.sansio.scaffold
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequestKeyError
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound

import torsyq
from torsyq import Blueprint
from torsyq import Flask
from torsyq import url_for
from torsyq.sansio.scaffold import _endpoint_from_view_func
from torsyq.sansio.scaffold import _find_package_path
from torsyq.sansio.scaffold import _is_inside
from torsyq.sansio.scaffold import find_package
from torsyq.sansio.scaffold import Scaffold

from .outcomes import complaint

Make = t.Callable[..., t.Any]

flasks: t.Any = flask.sansio.scaffold

# Something to register where nothing will call it.
function: t.Any = len


class Bare(Scaffold):
    """A scaffold that is neither app nor blueprint, and always open."""

    name = "bare"

    def _check_setup_finished(self, f_name: str) -> None:
        pass


class FlaskBare(flask.sansio.scaffold.Scaffold):
    name = "bare"

    def _check_setup_finished(self, f_name: str) -> None:
        pass


# Registries


def test_registries_are_plain_dictionaries_of_lists() -> None:
    """Extensions append to them without asking whether a key is there."""
    mine, flasks = vars(Bare("x", root_path="/r")), vars(FlaskBare("x", root_path="/r"))
    del mine["_held"], flasks["_static_folder"], flasks["_static_url_path"]
    assert mine.keys() == flasks.keys()
    for name, value in mine.items():
        assert type(value) is type(flasks[name]), name
        if name != "error_handler_spec":
            factory = getattr(value, "default_factory", None)
            assert factory is getattr(flasks[name], "default_factory", None), name
    spec = Bare("x", root_path="/r").error_handler_spec
    assert spec["scope"][404] == {}


def test_hooks_are_kept_in_the_order_they_came() -> None:
    scaffold = Bare("x", root_path="/r")

    def first(*args: t.Any) -> t.Any: ...
    def second(*args: t.Any) -> t.Any: ...

    default = scaffold.template_context_processors[None][0]
    for decorator, registry in (
        (scaffold.before_request, scaffold.before_request_funcs),
        (scaffold.after_request, scaffold.after_request_funcs),
        (scaffold.teardown_request, scaffold.teardown_request_funcs),
        (scaffold.context_processor, scaffold.template_context_processors),
        (scaffold.url_value_preprocessor, scaffold.url_value_preprocessors),
        (scaffold.url_defaults, scaffold.url_default_functions),
    ):
        assert decorator(first) is first
        assert decorator(second) is second
        functions = [f for f in registry[None] if f is not default]
        assert functions == [first, second]


@pytest.mark.usefixtures("protocol")
def test_what_was_written_to_a_registry_later_is_seen(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/").status_code == 404
    app.before_request_funcs.setdefault(None, []).append(lambda: "from the registry")
    assert client.get("/").text == "from the registry"


@pytest.mark.usefixtures("protocol")
def test_the_endpoint_decorator_gives_a_rule_its_view(app: Flask) -> None:
    app.add_url_rule("/", endpoint="later")

    @app.endpoint("later")
    def view() -> str:
        return "x"

    assert app.test_client().get("/").text == "x"


# Routes


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch"])
def test_each_method_has_its_decorator(app: Flask, method: str) -> None:
    with pytest.raises(TypeError, match=r"^Use the 'route' decorator to use the 'methods' arg"):
        getattr(app, method)("/", methods=["GET"])

    @getattr(app, method)("/")
    def view() -> str:
        return torsyq.request.method

    client = app.test_client()
    assert client.open("/", method=method.upper()).text == method.upper()
    assert client.open("/", method="TEA").status_code == 405


def test_method_decorators_go_through_an_overridden_route() -> None:
    seen = []

    class Noting(Bare):
        def route(self, rule: str, **options: t.Any) -> t.Any:
            seen.append((rule, options))
            return lambda f: f

    assert Noting("x", root_path="/r").delete("/item", endpoint="e")(function) is function
    assert seen == [("/item", {"methods": ["DELETE"], "endpoint": "e"})]


def test_route_goes_through_an_overridden_add_url_rule() -> None:
    seen = []

    class Noting(Bare):
        def add_url_rule(self, *args: t.Any, **options: t.Any) -> None:
            seen.append((args, options))

    assert (
        Noting("x", root_path="/r").route("/", endpoint="e", strict_slashes=False)(function)
        is function
    )
    assert seen == [(("/", "e", function), {"strict_slashes": False})]


def test_a_bare_scaffold_has_no_rules() -> None:
    with pytest.raises(NotImplementedError):
        Bare("x", root_path="/r").add_url_rule("/")
    with pytest.raises(NotImplementedError):
        Scaffold("x", root_path="/r").get("/")


def test_the_endpoint_is_the_name_of_the_function() -> None:
    assert _endpoint_from_view_func(function) == "len"
    with pytest.raises(AssertionError, match=r"^expected view func if endpoint is not provided\.$"):
        _endpoint_from_view_func(None)  # type: ignore[arg-type]


# Set-up ends with the first request

SETUP_METHODS: dict[str, tuple[t.Any, ...]] = {
    "get": ("/",),
    "route": ("/",),
    "add_url_rule": ("/", "endpoint"),
    "endpoint": ("e",),
    "before_request": (function,),
    "after_request": (function,),
    "teardown_request": (function,),
    "context_processor": (function,),
    "url_value_preprocessor": (function,),
    "url_defaults": (function,),
    "errorhandler": (404,),
    "register_error_handler": (404, function),
}


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("name", SETUP_METHODS)
def test_setup_is_over_after_the_first_request(name: str) -> None:
    def late(package: t.Any) -> tuple[type[BaseException], str] | None:
        app = package.Flask("x", root_path="/r")
        app.test_client().get("/")
        return complaint(lambda: getattr(app, name)(*SETUP_METHODS[name]))

    found = late(torsyq)
    assert found is not None
    assert found == late(flask)


# Error handlers

CLASSES_AND_CODES: list[t.Any] = [
    404,
    500,
    200,
    999,
    True,
    ValueError,
    HTTPException,
    NotFound,
    BadRequestKeyError,
    type("Teapot", (HTTPException,), {"code": 418}),
    NotFound(),
    ValueError("x"),
    int,
    object,
    BaseException,
    "404",
    None,
]


@pytest.mark.parametrize("key", CLASSES_AND_CODES, ids=repr)
def test_a_handler_is_kept_as_flask_keeps_it(key: t.Any) -> None:
    def kept(scaffold: t.Any) -> tuple[object, ...]:
        said = complaint(lambda: scaffold.register_error_handler(key, function))
        spec = {
            scope: {code: dict(by_class) for code, by_class in by_code.items()}
            for scope, by_code in scaffold.error_handler_spec.items()
        }
        return said, spec

    assert kept(Bare("x", root_path="/r")) == kept(FlaskBare("x", root_path="/r"))


def test_errorhandler_goes_through_register_error_handler() -> None:
    seen = []

    class Noting(Bare):
        def register_error_handler(self, *args: t.Any) -> None:
            seen.append(args)

    assert Noting("x", root_path="/r").errorhandler(KeyError)(function) is function
    assert seen == [(KeyError, function)]


# Folders


folders = st.none() | st.text("ab/.\\", max_size=6) | st.just(Path("files/here"))


@given(folders, st.none() | st.text("ab/", max_size=5))
def test_static_folder_and_url_are_flasks(folder: t.Any, url: str | None) -> None:
    def made(cls: Make) -> tuple[object, ...]:
        scaffold = cls("x", static_folder=folder, static_url_path=url, root_path="/r")
        return (
            scaffold.static_folder,
            scaffold._static_folder,
            scaffold.has_static_folder,
            scaffold.static_url_path,
            scaffold._static_url_path,
        )

    assert made(Bare) == made(FlaskBare)


def test_folders_can_be_set_and_unset() -> None:
    scaffold = Bare("x", static_folder="old", static_url_path="/old", root_path="/r")
    scaffold.static_folder = Path("new")
    scaffold.static_url_path = None
    assert [scaffold.static_folder, scaffold.static_url_path] == ["/r/new", "/new"]
    scaffold.static_folder = None
    assert [scaffold.static_folder, scaffold.static_url_path] == [None, None]


def test_the_root_is_found_from_the_import_name() -> None:
    assert Bare(__name__).root_path == os.path.dirname(os.path.abspath(__file__))


def test_the_loader_is_made_once_for_the_template_folder(tmp_path: Path) -> None:
    assert Bare("x", root_path="/r").jinja_loader is None
    scaffold = Bare("x", template_folder="pages", root_path=str(tmp_path))
    loader: t.Any = scaffold.jinja_loader
    assert loader.searchpath == [str(tmp_path / "pages")]
    assert scaffold.jinja_loader is loader


def test_repr_names_it() -> None:
    assert repr(Bare("x", root_path="/r")) == "<Bare 'bare'>"


# Files

Kind = t.Callable[..., t.Any]


def an_app(**options: t.Any) -> Flask:
    return Flask("x", **options)


def a_blueprint(**options: t.Any) -> Blueprint:
    return Blueprint("bp", "x", **options)


kinds = pytest.mark.parametrize("kind", [an_app, a_blueprint])


@pytest.mark.usefixtures("protocol")
@kinds
def test_static_files_are_sent(kind: Kind, tmp_path: Path, app: Flask) -> None:
    (tmp_path / "a.txt").write_text("text")
    owner = kind(root_path=str(tmp_path), static_folder=".", static_url_path="/files")
    if isinstance(owner, Blueprint):
        app.register_blueprint(owner, url_prefix="/pre")
        client, url = app.test_client(), "/pre/files/a.txt"
    else:
        client, url = owner.test_client(), "/files/a.txt"
    answer = client.get(url)
    assert answer.text == "text"
    assert answer.headers["Cache-Control"] == "no-cache"
    answer.close()
    assert client.get(url.replace("a.txt", "none.txt")).status_code == 404
    assert client.get(url.replace("a.txt", "../conftest.py")).status_code == 404


def test_the_url_of_a_blueprints_static_file(app: Flask) -> None:
    app.register_blueprint(a_blueprint(static_folder="s", root_path="/r"), url_prefix="/pre")
    with app.test_request_context("/"):
        assert url_for("bp.static", filename="a/b.css") == "/pre/s/a/b.css"


@kinds
def test_without_a_static_folder_nothing_is_sent(kind: Kind, app: Flask) -> None:
    owner = kind(static_folder=None)
    with (
        app.app_context(),
        pytest.raises(RuntimeError, match=r"^'static_folder' must be set to serve static_files\.$"),
    ):
        owner.send_static_file("x")


@kinds
@pytest.mark.parametrize(
    ("configured", "seconds"),
    [(None, None), (60, 60), (timedelta(minutes=2, milliseconds=1), 120)],
)
def test_the_age_of_files_is_configured(
    kind: Kind, configured: t.Any, seconds: int | None, app: Flask
) -> None:
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = configured
    with app.app_context():
        assert kind().get_send_file_max_age("a.css") == seconds


@pytest.mark.usefixtures("protocol")
def test_a_blueprint_may_decide_the_age_of_its_own_files(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")

    class Lasting(Blueprint):
        def get_send_file_max_age(self, filename: str | None) -> int:
            return 1000 if filename == "a.txt" else 0

    bp = Lasting("bp", "x", root_path=str(tmp_path), static_folder=".", static_url_path="/f")
    app.register_blueprint(bp)
    with app.test_client().get("/f/a.txt") as answer:
        assert answer.cache_control.max_age == 1000


@kinds
def test_resources_are_opened_beside_the_module(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("қазақ\r\n".encode())
    owner = kind(root_path=str(tmp_path))
    with owner.open_resource("a.txt") as file:
        assert file.read() == "қазақ\r\n".encode()
    with owner.open_resource("a.txt", "rt", encoding="utf-8") as file:
        assert file.read() == "қазақ\n"
    with owner.open_resource("a.txt", "r", "latin-1") as file:
        assert len(file.read()) == 11
    with pytest.raises(ValueError, match=r"^Resources can only be opened for reading\.$"):
        owner.open_resource("a.txt", "w")


def test_a_blueprints_text_is_utf8_an_apps_the_platforms(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")

    def encoding(owner: t.Any) -> str:
        with owner.open_resource("a.txt", "r") as file:
            return t.cast(str, file.encoding)

    assert encoding(a_blueprint(root_path=str(tmp_path))) == "utf-8"
    with open(tmp_path / "a.txt") as plain:
        assert encoding(an_app(root_path=str(tmp_path))) == plain.encoding


# Commands


@kinds
def test_the_command_group_is_made_when_first_used(kind: Kind) -> None:
    owner = kind()
    assert "cli" not in vars(owner)
    assert owner.cli is owner.cli
    assert owner.cli.name == owner.name
    assert type(owner.cli).__name__ == "AppGroup"


@kinds
def test_the_command_group_can_be_replaced(kind: Kind) -> None:
    import click

    owner = kind()
    group = owner.cli = click.Group("own")
    assert owner.cli is group


def test_setting_up_an_app_loads_neither_click_nor_jinja() -> None:
    code = """
import sys
from torsyq import Blueprint, Flask
app = Flask("x")
bp = Blueprint("bp", "x", static_folder="s", template_folder="t")
bp.get("/")(lambda: "x")
app.register_blueprint(bp)
print([name for name in ("click", "jinja2", "torsyq.cli") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Packages


@pytest.mark.parametrize(
    "name",
    ["os", "sys", "json", "email.mime.text", "zlib", "werkzeug", "__main__", "no.such", ".x", ""],
)
def test_a_package_is_found_where_flask_finds_it(name: str) -> None:
    assert find_package(name) == flasks.find_package(name)
    assert _find_package_path(name) == flasks._find_package_path(name)


LAYOUTS = {
    "unix": "lib/python3.11/site-packages",
    "windows": "Lib/site-packages",
    "flat": "site-packages",
    "project": "src",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "name", ["reg_single", "reg_package", "reg_package.inner", "reg_space.part"]
)
def test_an_installed_package_has_a_prefix(
    layout: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / LAYOUTS[layout]
    (site / "reg_package" / "inner").mkdir(parents=True)
    (site / "reg_space" / "part").mkdir(parents=True)
    for file in ("reg_single.py", "reg_package/__init__.py", "reg_space/part/__init__.py"):
        (site / file).write_text("")
    (site / "reg_package/inner/__init__.py").write_text("")
    other = tmp_path / "other"
    (other / "reg_space" / "elsewhere").mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(other)
    for module in [module for module in sys.modules if module.startswith("reg_")]:
        monkeypatch.delitem(sys.modules, module)

    expected = None if layout == "project" else str(tmp_path)
    assert find_package(name) == (expected, str(site))
    assert flasks.find_package(name) == (expected, str(site))
    for module in [module for module in sys.modules if module.startswith("reg_")]:
        del sys.modules[module]


@pytest.mark.parametrize("folder", ["/", "/a", "/a/b", "/a/./b/", "a", "a/b"])
@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/b", "/a//b/.", "/ab", "/a/bc", "/a/b/c", "a/b", ""]
)
def test_what_lies_in_a_folder_is_what_pathlib_says(folder: str, path: str) -> None:
    assert _is_inside(folder, path) == PurePath(path).is_relative_to(folder)


def test_below_the_running_python_the_prefix_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", os.path.dirname(os.__file__))
    assert find_package("json") == (sys.prefix, sys.prefix)


def test_a_namespace_without_the_part_asked_for_is_its_first_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reg_space").mkdir()
    (tmp_path / "reg_space" / "single.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("reg_space", "reg_space.single", "reg_space.none"):
        assert find_package(name) == (None, str(tmp_path))
        assert flasks.find_package(name) == (None, str(tmp_path))
        for module in [module for module in sys.modules if module.startswith("reg_")]:
            del sys.modules[module]
