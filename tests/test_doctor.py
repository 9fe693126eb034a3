"""``torsyq doctor``: extensions, names that are gone, routes, views, templates."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import textwrap
import typing as t

import pytest
from click.testing import CliRunner
from click.testing import Result
from jinja2 import FunctionLoader
from werkzeug.routing import BaseConverter

from torsyq import Blueprint
from torsyq import Flask
from torsyq.cli import _doctor_imports
from torsyq.cli import doctor
from torsyq.cli import NoAppException
from torsyq.cli._doctor_imports import about_failed_import
from torsyq.cli._doctor_imports import about_names
from torsyq.cli._doctor_imports import Extension
from torsyq.cli._doctor_imports import lacking
from torsyq.cli._doctor_imports import remedy
from torsyq.cli._doctor_imports import REMOVED
from torsyq.cli._doctor_imports import used_extensions
from torsyq.cli._doctor_imports import wanted_names
from torsyq.cli._doctor_routes import about_routes
from torsyq.cli._doctor_routes import about_templates
from torsyq.cli.doctor import doctor_command
from torsyq.views import MethodView
from torsyq.views import View


def test_the_prefix_of_python_may_be_the_project(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``python -m venv .`` on Windows, where :mod:`site` counts it to the packages' places."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    see(tmp_path, "from flask import Flask\napp = Flask(__name__)\n")
    assert doctor.own_sources(sys.modules["patient"].app) == [tmp_path / "patient.py"]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[None]:
    """Apps are imported by the command: forget them, and the folders put on the path."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("patient", "flask_ailing")):
            del sys.modules[name]


def write(folder: pathlib.Path, name: str, source: str) -> pathlib.Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(source))
    return file


def see(folder: pathlib.Path, source: str, *args: str) -> Result:
    file = write(folder, "patient.py", source)
    return CliRunner().invoke(doctor_command, ["--app", f"{file}:app", *args])


HEALTHY = "import torsyq\napp = torsyq.Flask(__name__)\n@app.get('/<x>')\ndef index(x): return x\n"


def test_a_healthy_app(tmp_path: pathlib.Path) -> None:
    result = see(tmp_path, HEALTHY)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("0 problems, 0 hints.\n")
    assert "torsyq 0" in result.output


def test_the_report_as_json(tmp_path: pathlib.Path) -> None:
    result = see(tmp_path, HEALTHY + "@app.get('/y/<y>')\ndef other(): return ''\n", "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["problems"] == 1
    assert report["findings"][0]["about"] == "/y/<y>"


def test_an_app_that_asks_for_what_is_gone_is_explained(tmp_path: pathlib.Path) -> None:
    """The import fails: the doctor still says which name it was for, and what to do."""
    result = see(
        tmp_path, "from torsyq import Markup\nfrom torsyq import Flask\napp = Flask(__name__)\n"
    )
    assert result.exit_code == 1
    assert (
        "flask.Markup is gone. It is markupsafe's: from markupsafe import Markup." in result.output
    )


def test_an_app_that_fails_for_its_own_reasons_is_an_error(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path, "patient_two.py", "import nowhere_to_be_found\n")
    with pytest.raises(NoAppException, match="nowhere_to_be_found"):
        doctor.examine(f"{file}:app")


def test_through_the_program(tmp_path: pathlib.Path) -> None:
    """``torsyq --app ... doctor`` looks at an app that says ``import flask``."""
    write(tmp_path, "patient.py", "import flask\napp = flask.Flask(__name__)\n")
    command = [sys.executable, "-m", "torsyq", "--app", "patient:app", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Extensions that patient:app uses:\n  none" in done.stdout


# -- routes and views ---------------------------------------------------------------------------


def found(app: Flask) -> list[str]:
    return [str(finding) for finding in about_routes(app)]


@pytest.fixture
def sick() -> Flask:
    return Flask("sick", static_folder=None)


def any_view(**kwargs: t.Any) -> str:
    return ""


def test_a_duplicate_rule(sick: Flask) -> None:
    sick.add_url_rule("/a/<x>", "first", any_view)
    sick.add_url_rule("/a/<x>", "second", any_view)
    assert found(sick) == [
        "problem: /a/<x>: GET never reaches 'second': the rule is a duplicate of '/a/<x>' ('first')."
        " Remove one of them, or give them different paths or methods."
    ]


def test_a_rule_hidden_under_another_name(sick: Flask) -> None:
    sick.add_url_rule("/a/<x>", "first", any_view)
    sick.add_url_rule("/a/<y>", "second", any_view)
    assert "is hidden by '/a/<x>' ('first')" in found(sick)[0]


def test_only_the_methods_both_have_are_lost(sick: Flask) -> None:
    sick.add_url_rule("/a", "first", any_view, methods=["POST"])
    sick.add_url_rule("/a", "second", any_view, methods=["GET", "POST"])
    assert [line.partition("reaches")[0] for line in found(sick)] == ["problem: /a: POST never "]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/<x>", "/static-one"),
        ("/<x>", "/<path:rest>"),
        ("/<x>", "/<int:number>"),
        ("/<int:number>", "/<float:number>"),
        ("/<any(a, b):x>", "/<any(b, c):y>"),
        ("/<string(length=2):x>", "/<string(minlength=3):y>"),
        ("/a/", "/a/b"),
        ("/<x>/", "/<x>"),
    ],
)
def test_rules_that_share_the_paths_between_them(sick: Flask, first: str, second: str) -> None:
    sick.add_url_rule(first, "first", any_view)
    sick.add_url_rule(second, "second", any_view)
    assert found(sick) == []


def test_a_uuid_is_a_string_too(sick: Flask) -> None:
    """Both converters weigh the same, so the rule that was added first takes all."""
    sick.add_url_rule("/<x>", "first", any_view)
    sick.add_url_rule("/<uuid:x>", "second", any_view)
    assert "is hidden by '/<x>'" in found(sick)[0]


def test_a_converter_nobody_knows_is_left_alone(sick: Flask) -> None:
    class Odd(BaseConverter):
        regex = "odd"

    sick.url_map.converters["odd"] = Odd
    sick.add_url_rule("/<odd:x>", "first", any_view)
    sick.add_url_rule("/<odd:y>", "second", any_view)
    assert found(sick) == []


def test_hosts_and_subdomains_are_told_apart() -> None:
    app = Flask("hosts", host_matching=True, static_folder=None)
    app.add_url_rule("/", "one", any_view, host="one.test")
    app.add_url_rule("/", "two", any_view, host="two.test")
    app.add_url_rule("/", "any", any_view, host="<x>.test")
    app.add_url_rule("/b", "no_host", any_view)
    assert found(app) == []
    app = Flask("subs", subdomain_matching=True, static_folder=None)
    app.add_url_rule("/", "one", any_view, subdomain="one")
    app.add_url_rule("/", "none", any_view)
    app.add_url_rule("/", "again", any_view, subdomain="one")
    assert len(found(app)) == 1


def test_defaults_redirects_and_aliases_hide_nothing(sick: Flask) -> None:
    sick.add_url_rule("/pages/", "pages", any_view, defaults={"page": 1})
    sick.add_url_rule("/pages/<int:page>", "pages", any_view)
    sick.add_url_rule("/old", "old", any_view, redirect_to="pages/")
    sick.add_url_rule("/alias", "pages", any_view, alias=True, defaults={"page": 1})
    assert found(sick) == []


def test_a_view_that_wants_what_no_rule_gives(sick: Flask) -> None:
    sick.add_url_rule("/a/<x>", "view", lambda y: "")
    assert found(sick) == [
        "problem: /a/<x>: view() wants 'y', which the rule does not give."
        " Write <y> into the rule, or give a default.",
        "problem: /a/<x>: the rule gives 'x', which view() does not take. Add a parameter 'x' to the view.",
    ]


def test_defaults_on_either_side_are_enough(sick: Flask) -> None:
    sick.add_url_rule("/a", "rule", lambda page: "", defaults={"page": 1})
    sick.add_url_rule("/b", "view", lambda page=1, *, size=2: "")
    assert found(sick) == []


def test_a_decorated_view_may_be_served_by_its_decorator(sick: Flask) -> None:
    """What a decorator shows is what counts; where it wraps, nothing more than a hint is given."""
    import functools

    def inject(view: t.Callable[..., str]) -> t.Callable[..., str]:
        @functools.wraps(view)
        def wrapper(**kwargs: t.Any) -> str:
            return view(user="ada", **kwargs)

        return wrapper

    def strict(view: t.Callable[..., str]) -> t.Callable[[], str]:
        @functools.wraps(view)
        def wrapper() -> str:
            return view()

        return wrapper

    sick.add_url_rule("/a/<x>", "injected", inject(lambda user, x: ""))
    sick.add_url_rule("/b/<x>", "strict", strict(lambda: ""))
    assert [line[:9] for line in found(sick)] == ["hint: /b/"]


def test_a_url_value_preprocessor_may_take_arguments_out(sick: Flask) -> None:
    sick.url_value_preprocessor(lambda endpoint, values: None)
    sick.add_url_rule("/<lang>/a", "a", lambda: "")
    assert found(sick)[0].startswith("hint: /<lang>/a: the rule gives 'lang'")


def test_class_based_views_by_method(sick: Flask) -> None:
    class Things(MethodView):
        def get(self, id: int) -> str:  # noqa: A002
            return ""

        def post(self) -> str:
            return ""

    class Page(View):
        def dispatch_request(self, name: str) -> str:  # type: ignore[override]
            return name

    sick.add_url_rule("/things/<int:id>", view_func=Things.as_view("things"))
    sick.add_url_rule("/page", view_func=Page.as_view("page"))
    texts = [line.partition(": ")[2] for line in found(sick)]
    assert texts[0].startswith(
        "/things/<int:id>: the rule gives 'id', which Things.post() does not take."
    )
    assert texts[1].startswith("/page: Page.dispatch_request() wants 'name'")


def test_methods_that_take_no_self(sick: Flask) -> None:
    class Things(MethodView):
        def __init__(self, table: str) -> None: ...

        @staticmethod
        def get(id: int) -> str:  # noqa: A002
            return ""

        @classmethod
        def put(cls, id: int) -> str:  # noqa: A002
            return ""

    sick.add_url_rule("/things/<int:id>", view_func=Things.as_view("things", "t"))
    assert found(sick) == []


def test_no_view_is_made_to_learn_what_it_takes(sick: Flask) -> None:
    """It may need more than its class to be made, or to tell its attributes."""

    class Table(MethodView, dict[str, str]):
        def get(self, id: int) -> str:  # type: ignore[override]  # noqa: A002
            return ""

    class Passing(View):
        def __init__(self, to: View) -> None:
            self.to = to

        def __getattr__(self, name: str) -> t.Any:
            return getattr(self.to, name)

        @property
        def dispatch_request(self) -> t.Any:
            return self.to.dispatch_request

    sick.add_url_rule("/table/<int:id>", view_func=Table.as_view("table"))
    sick.add_url_rule("/table", view_func=Table.as_view("whole"))
    sick.add_url_rule("/passing/<x>", view_func=Passing.as_view("passing", View()))
    texts = [line.partition(": ")[2] for line in found(sick)]
    assert len(texts) == 1
    assert texts[0].startswith("/table: Table.get() wants 'id'")


def test_a_method_behind_a_decorator_of_its_own(sick: Flask) -> None:
    import functools

    def wrap(method: t.Callable[..., str]) -> t.Callable[..., str]:
        @functools.wraps(method)
        def wrapper(*args: t.Any, **kwargs: t.Any) -> str:
            return method(*args, **kwargs)

        return wrapper

    class Things(MethodView):
        @wrap
        def get(self) -> str:
            return ""

    sick.add_url_rule("/things/<int:id>", view_func=Things.as_view("things"))
    assert found(sick) == []


def test_a_view_whose_signature_cannot_be_read(sick: Flask) -> None:
    sick.add_url_rule("/<x>", "odd", dict)
    assert found(sick) == []


@pytest.mark.skipif(sys.version_info < (3, 14), reason="is an error when the view is defined")
def test_a_view_annotated_with_what_only_type_checkers_import(sick: Flask) -> None:
    names: dict[str, t.Any] = {}
    exec("def view(word: Nowhere) -> Nowhere: ...", names)
    sick.add_url_rule("/<word>", "fits", names["view"])
    assert found(sick) == []


def test_an_endpoint_without_a_view(sick: Flask) -> None:
    sick.add_url_rule("/none", "none")
    assert found(sick) == [
        "problem: /none: The endpoint 'none' has no view. Register one: @app.endpoint(...)."
    ]


# -- templates ----------------------------------------------------------------------------------


def templates(folder: pathlib.Path, **files: str) -> Flask:
    for name, text in files.items():
        write(folder, f"templates/{name}.html", text)
    app = Flask("tpl", root_path=str(folder))
    app.add_url_rule("/", "index", any_view)
    page = Blueprint("admin", "admin_bp")
    page.add_url_rule("/users", "users", any_view)
    app.register_blueprint(page)
    return app


def test_url_for_to_an_endpoint_that_is_not_there(tmp_path: pathlib.Path) -> None:
    app = templates(
        tmp_path, a="<a href=\"{{ url_for('indx', x=1) }}\">", b="\n{{ url_for('zzz') }}"
    )
    assert [str(finding) for finding in about_templates(app)] == [
        "problem: a.html: line 1 builds a URL to 'indx', which is no endpoint of the app."
        " Did you mean 'index'?",
        "problem: b.html: line 2 builds a URL to 'zzz', which is no endpoint of the app."
        " Is its blueprint registered?",
    ]


def test_endpoints_that_are_there_or_cannot_be_known(tmp_path: pathlib.Path) -> None:
    known = "{{ url_for('index') }}{{ url_for('.users') }}{{ url_for('static', filename='x') }}"
    unknown = "{{ url_for(name) }}{{ url_for() }}{{ url_for(3) }}{{ other('zzz') }}"
    assert about_templates(templates(tmp_path, a=known, b=unknown)) == []


def test_an_endpoint_relative_to_no_blueprint(tmp_path: pathlib.Path) -> None:
    assert "'.nothing'" in str(
        about_templates(templates(tmp_path, a="{{ url_for('.nothing') }}"))[0]
    )


def test_where_the_app_handles_build_errors_it_is_a_hint(tmp_path: pathlib.Path) -> None:
    app = templates(tmp_path, a="{{ url_for('zzz') }}")
    app.url_build_error_handlers.append(lambda error, endpoint, values: "")
    assert about_templates(app)[0].level == "hint"


def test_a_template_that_does_not_parse(tmp_path: pathlib.Path) -> None:
    (finding,) = about_templates(templates(tmp_path, a="\n{% if %}"))
    assert finding.about == "a.html"
    assert "(line 2)" in finding.text


def test_files_that_are_no_text_are_passed_over(tmp_path: pathlib.Path) -> None:
    app = templates(tmp_path, a="fine")
    (tmp_path / "templates" / "logo.png").write_bytes(b"\x89{% if %}")
    (tmp_path / "templates" / "old.txt").write_bytes(b"\xff\xfe{% if %}")
    assert about_templates(app) == []


def test_a_loader_that_cannot_list_its_templates(app: Flask) -> None:
    app.jinja_env.loader = FunctionLoader(lambda name: "")
    assert about_templates(app) == []


LOADER = """
import torsyq as flask, jinja2, werkzeug.routing

class Themes(jinja2.BaseLoader):
    def list_templates(self):
        return [flask.current_app.config["THEME"] + ".html"]

    def get_source(self, environment, template):
        return "{{ url_for('nowhere') }} " + flask.current_app.name, None, lambda: True

class Team(werkzeug.routing.UnicodeConverter):
    def to_python(self, value):
        return flask.current_app.name + value

app = flask.Flask("own", root_path=".")
app.config["THEME"] = "aurora"
app.jinja_loader = Themes()
app.url_map.converters["team"] = Team

@app.route("/<team:team>")
def of(team):
    return team

@app.route("/<path:rest>")
def other(rest):
    return rest
"""


def test_loaders_and_converters_of_an_app_may_ask_for_it(tmp_path: pathlib.Path) -> None:
    """As FlaskBB's themes do, whose templates cannot be listed outside of an app context."""
    result = see(tmp_path, LOADER)
    assert "aurora.html: line 1 builds a URL to 'nowhere'" in result.output


# -- names ---------------------------------------------------------------------------------------


def wants(folder: pathlib.Path, source: str) -> list[str]:
    """The names of Flask and Werkzeug that a source wants and does not get; guarded ones in brackets."""
    file = write(folder, "some.py", source)
    return [f"[{w.full}]" if w.guarded else w.full for w in lacking(wanted_names([file]))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from flask import Flask, globals", []),
        ("from flask import *", []),
        ("from flask.globals import _cv_app, request_ctx", []),
        ("from flask import Markup", ["flask.Markup"]),
        ("from flask.ext.login import x", ["flask.ext.login.x"]),
        ("import flask.scaffold", ["flask.scaffold"]),
        ("import flask.json.provider as p\np.DefaultJSONProvider", []),
        ("import flask\nflask.json.provider.JSONProvider.dumps", []),
        ("import flask\nflask._app_ctx_stack.top", ["flask._app_ctx_stack.top"]),
        ("import flask as f\nf.escape('x')", ["flask.escape"]),
        ("import werkzeug.urls\nwerkzeug.urls.url_quote('x')", ["werkzeug.urls.url_quote"]),
        ("import werkzeug.urls as u\nu.url_quote('x')", ["werkzeug.urls.url_quote"]),
        ("try:\n from flask import Markup\nexcept ImportError: ...", ["[flask.Markup]"]),
        ("if x:\n from flask import Markup", ["[flask.Markup]"]),
        ("app.json_encoder = 1", [".json_encoder"]),
        ("self.app.json_encoder\nf().x", []),
        ("self.json_encoder = 1", []),
        ("from . import Markup\nimport flask_login", []),
        ("from flask import Markup\nfrom flask import Markup", ["flask.Markup"]),
        ("not python at all", []),
    ],
)
def test_names_that_are_wanted_and_gone(
    tmp_path: pathlib.Path, source: str, expected: list[str]
) -> None:
    assert wants(tmp_path, source) == expected


def test_a_finding_says_where_and_what_to_do(tmp_path: pathlib.Path) -> None:
    file = write(
        tmp_path, "some.py", "import flask\ntry: flask.Markup\nexcept: ...\nflask.safe_join\n"
    )
    assert [str(finding) for finding in about_names("Ailing", [file])] == [
        "hint: Ailing: some.py, line 2 wants flask.Markup, but only in a branch it can do without."
        " It is markupsafe's: from markupsafe import Markup.",
        "problem: Ailing: some.py, line 4 wants flask.safe_join."
        " Flask 2.1 removed it: from werkzeug.utils import safe_join.",
    ]


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_what_is_listed_as_removed_is_gone(tmp_path: pathlib.Path, name: str) -> None:
    """The table is true of this release and of the Werkzeug installed."""
    module, _, last = name.rpartition(".")
    source = f"from {module} import {last}" if module else f"import {name}"
    assert wants(tmp_path, source) == [name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("flask.ext.login", "import the extension by its own name"),
        (".json_encoder", "json_provider_class"),
        ("werkzeug.never.was", "The Werkzeug installed does not have it"),
        ("flask.never_was", "private name"),
    ],
)
def test_remedies(name: str, text: str) -> None:
    assert text in remedy(name)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("cannot import name 'Markup' from 'torsyq' (/somewhere)", "flask.Markup"),
        ("cannot import name 'url_quote' from 'werkzeug.urls' (/x)", "werkzeug.urls.url_quote"),
        ("No module named 'flask.ext'", "flask.ext"),
    ],
)
def test_a_failed_import_is_explained(message: str, name: str) -> None:
    finding = about_failed_import(message)
    assert finding is not None
    assert f"{name} is gone" in finding.text


def test_another_failed_import_is_not() -> None:
    assert about_failed_import("No module named 'numpy'") is None


# -- extensions ----------------------------------------------------------------------------------


@pytest.fixture
def ailing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An installed distribution, Flask-Ailing 1.0, that wants a name that is gone."""
    write(tmp_path, "flask_ailing/__init__.py", "def old():\n    from flask import escape\n")
    write(tmp_path, "flask_ailing/tests/test_x.py", "from flask import Markup\n")
    write(tmp_path, "unloaded_part/__init__.py", "from flask import Markup\n")
    info = tmp_path / "Flask_Ailing-1.0.dist-info"
    write(
        info,
        "METADATA",
        "Metadata-Version: 2.1\nName: Flask-Ailing\nVersion: 1.0\nRequires-Dist: Flask>=2\n",
    )
    names = (
        "flask_ailing/__init__.py",
        "flask_ailing/tests/test_x.py",
        "unloaded_part/__init__.py",
    )
    write(info, "RECORD", "".join(f"{name},,\n" for name in (*names, "flask_ailing/data.txt")))
    other = tmp_path / "Flasky-1.0.dist-info"
    requires = 'Requires-Dist: flask-login\nRequires-Dist: flask; extra == "web"\n'
    write(other, "METADATA", f"Metadata-Version: 2.1\nName: Flasky\nVersion: 1.0\n{requires}")
    write(other, "RECORD", "flask_ailing/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_an_extension_counts_when_it_is_loaded(ailing: pathlib.Path) -> None:
    assert "Flask-Ailing" not in [extension.name for extension in used_extensions()]
    __import__("flask_ailing")
    (extension,) = (one for one in used_extensions() if one.name == "Flask-Ailing")
    assert extension.version == "1.0"
    assert [file.name for file in extension.files] == ["__init__.py"]
    assert "Flasky" not in [one.name for one in used_extensions()]


def test_an_extension_in_the_report(ailing: pathlib.Path) -> None:
    result = see(ailing, "import flask_ailing\n" + HEALTHY)
    assert result.exit_code == 1
    assert "Flask-Ailing  1.0        not in the parity report" in result.output
    assert "problem: Flask-Ailing: __init__.py, line 2 wants flask.escape." in result.output


def test_what_the_parity_report_says(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity = write(
        tmp_path, "parity.json", '{"flask-ok": {"version": "2.0", "flask": 12, "torsyq": 11}}'
    )
    monkeypatch.setattr(_doctor_imports, "PARITY", parity)
    assert Extension("Flask_OK", "2.0", ()).parity() == "in the parity report: 11 of 12 tests"
    assert Extension("Flask-OK", "2.1", ()).parity().endswith("11 of 12 tests, of version 2.0")
    assert Extension("Flask-No", "1", ()).parity() == "not in the parity report"


# -- databases -----------------------------------------------------------------------------------

STORE = """
import sys

HIDE
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///patient.sqlite"
db = SQLAlchemy(app)


@app.get("/")
async def index():
    return "Salem"
"""
WITHOUT_GREENLET = "sys.modules['greenlet'] = None"


def hints(folder: pathlib.Path, source: str) -> list[str]:
    pytest.importorskip("flask_sqlalchemy")
    write(folder, "patient.py", source)
    command = [sys.executable, "-m", "torsyq", "--app", "patient:app", "doctor", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)["findings"]
    return [finding["text"] for finding in findings]


def test_without_greenlet_async_views_wait_for_a_database_on_the_loop(
    tmp_path: pathlib.Path,
) -> None:
    [text] = hints(tmp_path, STORE.replace("HIDE", WITHOUT_GREENLET))
    assert "since greenlet is not installed" in text


def test_with_it_they_wait_alone(tmp_path: pathlib.Path) -> None:
    assert hints(tmp_path, STORE.replace("HIDE", "")) == []


def test_plain_views_never_wait_on_the_loop(tmp_path: pathlib.Path) -> None:
    source = STORE.replace("HIDE", WITHOUT_GREENLET).replace("async def", "def")
    assert hints(tmp_path, source) == []
