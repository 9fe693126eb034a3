"""The name flask: every module and name of it is Torsyq's own object."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pickle
import re
import shutil
import subprocess
import sys
import types
import typing as t
import venv
from pathlib import Path
from unittest import mock
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

import torsyq
import torsyq.doors
from torsyq.cli import FLASK_VERSION

from .servers import environment
from .servers import PATIENCE
from .servers import run

ROOT = Path(__file__).parent.parent

MODULES = [
    "flask",
    "flask.app",
    "flask.blueprints",
    "flask.cli",
    "flask.config",
    "flask.ctx",
    "flask.debughelpers",
    "flask.globals",
    "flask.helpers",
    "flask.json",
    "flask.json.provider",
    "flask.json.tag",
    "flask.logging",
    "flask.sansio",
    "flask.sansio.app",
    "flask.sansio.blueprints",
    "flask.sansio.scaffold",
    "flask.sessions",
    "flask.signals",
    "flask.templating",
    "flask.testing",
    "flask.typing",
    "flask.views",
    "flask.wrappers",
]


def flask_names() -> list[str]:
    return [name for name in sys.modules if name == "flask" or name.startswith("flask.")]


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[None]:
    """A process in which nothing has imported flask; what the test imports is forgotten."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != torsyq.doors.path()])
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    before = {name: sys.modules.pop(name) for name in flask_names()}
    yield
    for name in flask_names():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def opened(unopened: None) -> None:
    torsyq.doors.open()


@pytest.mark.parametrize("name", MODULES)
def test_each_module_of_flask_is_the_module_of_torsyq(opened: None, name: str) -> None:
    ours = importlib.import_module(name.replace("flask", "torsyq", 1))
    importlib.import_module("flask")
    del sys.modules[name]
    assert importlib.import_module(name) is ours
    assert ours.__spec__ is not None
    assert ours.__spec__.name == ours.__name__


# Datadog's tracer throws out what it has loaded, importlib too, before the app starts; importing
# that again makes a PathFinder which is not the one that sys.meta_path has.
RELOADED = """
import importlib, sys
sys.modules.pop("importlib.machinery", None)
del sys.modules["importlib._bootstrap_external"]
import importlib.machinery
assert importlib.machinery.PathFinder not in sys.meta_path
import torsyq.doors; torsyq.doors.open()
"""


@pytest.mark.parametrize("before", ["", RELOADED], ids=["fresh", "reloaded"])
@pytest.mark.parametrize("order", ["", ".reverse()"])
def test_in_a_new_process_no_module_is_loaded_twice(
    tmp_path: Path, order: str, before: str
) -> None:
    """Whichever is imported first, with nothing of Torsyq there yet, or the import system new."""
    code = f"""{before}
import importlib, sys
names = {MODULES!r}
names{order}
found = [importlib.import_module(name) for name in names]
print([m.__name__ for m in found] == [n.replace("flask", "torsyq", 1) for n in names])
print(all(sys.modules[m.__name__] is m for m in found))
"""
    assert run(tmp_path, "-c", code).stdout == "True\nTrue\n"


def test_there_is_a_door_for_each_module_and_for_nothing_else() -> None:
    folder = Path(torsyq.doors.path())
    files = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__") for path in files}
    assert names == {*MODULES, "flask.__main__"}


def test_real_flask_has_no_module_without_a_door() -> None:
    """Against the list that the installed Flask gives, if it is there."""
    try:
        files = importlib.metadata.distribution("flask").files or []
    except importlib.metadata.PackageNotFoundError:  # pragma: no cover
        pytest.skip("Flask is not installed beside Torsyq")
    paths = [Path(str(file)) for file in files if str(file).endswith(".py")]
    names = {".".join(p.with_suffix("").parts).removesuffix(".__init__") for p in paths}
    assert names - {*MODULES, "flask.__main__"} == set()


def test_importing_a_submodule_first_gives_the_same_objects(opened: None) -> None:
    tag = importlib.import_module("flask.json.tag")
    assert tag is importlib.import_module("torsyq.json.tag")
    assert importlib.import_module("flask").json.tag is tag


def test_names_are_the_same_objects(opened: None) -> None:
    flask = importlib.import_module("flask")
    assert flask is torsyq
    assert flask.Flask is torsyq.Flask
    assert flask.request is torsyq.request


def test_loaded_submodules_are_in_sys_modules_at_once(opened: None) -> None:
    """As after importing Flask, for code that looks there."""
    importlib.import_module("flask")
    assert sys.modules["flask.globals"] is sys.modules["torsyq.globals"]


def test_what_torsyq_adds_is_reached_under_the_flask_name_too(opened: None) -> None:
    """And is no second copy of the module, whether it was loaded before or not."""
    importlib.import_module("flask")
    assert importlib.import_module("flask.doors") is torsyq.doors
    del sys.modules["flask.doors"]
    assert importlib.import_module("flask.doors") is torsyq.doors


def test_what_neither_has_is_missing_under_its_flask_name(opened: None) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'flask\.ext'"):
        importlib.import_module("flask.ext")


WATCHER = """
import importlib.util, sys

class Loader:
    def __init__(self, loader):
        self.loader = loader
    def create_module(self, spec):
        return self.loader.create_module(spec)
    def exec_module(self, module):
        self.loader.exec_module(module)
        imported(module)

class Watcher:
    busy = set()
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "flask" or name in self.busy:
            return None
        self.busy.add(name)
        spec = importlib.util.find_spec(name)
        self.busy.discard(name)
        if spec is not None:
            spec.loader = Loader(spec.loader)
        return spec

seen = []
def imported(module):
    seen.append(module.__name__)
    if module.__name__ in patches:
        patches[module.__name__](module)
sys.meta_path.insert(0, Watcher())
"""


def test_who_watches_imports_sees_those_that_flask_makes(tmp_path: Path) -> None:
    """Tracers put a finder first and wait for ``flask.app``."""
    code = f"""
patches = {{}}
{WATCHER}
import torsyq.doors; torsyq.doors.open()
import flask, flask.views
print(*[name for name in {MODULES!r} if name not in seen])
print(seen.count("flask.app"), seen[-2:], flask is torsyq, flask.__spec__.name)
"""
    assert run(tmp_path, "-c", code).stdout == (
        "flask.debughelpers flask.testing\n1 ['flask', 'flask.views'] True torsyq\n"
    )


def test_who_watches_imports_can_patch_what_it_is_given(tmp_path: Path) -> None:
    """It is given the door itself, which is not what ``sys.modules`` has in the end."""
    code = f"""
def templating(module):
    made = module.render_template_string
    module.render_template_string = lambda *args: made(*args) + " and patched"
def helpers(module):
    made = module.url_for
    module.url_for = lambda *args: made(*args) + "?patched"
def package(module):
    module.jsonify = lambda value: "no JSON"
    module.extra = module.gone = 1
    del module.gone
    print("Flask" in dir(module), module.Flask.__name__, module.__name__)
    print(hasattr(module, "gone"))
patches = {{"flask.templating": templating, "flask.helpers": helpers, "flask": package}}
{WATCHER}
import torsyq.doors; torsyq.doors.open()
import flask
app = flask.Flask("app")
app.add_url_rule("/", "index")
with app.test_request_context():
    print(flask.render_template_string("text"))
    print(flask.url_for("index"), flask.helpers.url_for("index"))
print(flask.jsonify(1), flask.extra, torsyq.jsonify is flask.jsonify)
"""
    assert run(tmp_path, "-c", code).stdout.splitlines() == [
        "True Flask flask",
        "False",
        "text and patched",
        "/?patched /?patched",
        "no JSON 1 True",
    ]


def test_other_imports_are_left_alone(opened: None) -> None:
    """The doors stay out of the way of what is not flask, or of another flask put in place."""
    importlib.import_module("flask")
    keeper = sys.meta_path[0]
    assert keeper.find_spec("wave", None) is None
    with mock.patch.dict(sys.modules, flask=types.ModuleType("flask")):
        assert keeper.find_spec("flask.app", None) is None


def test_pickles_made_under_either_name_load(opened: None) -> None:
    config = pickle.loads(b"cflask.config\nConfig\n.")
    assert config is torsyq.Config
    again = pickle.loads(pickle.dumps(importlib.import_module("flask.config").Config("here")))
    assert type(again) is torsyq.Config


def test_patching_under_the_flask_name_patches_torsyq(opened: None) -> None:
    with mock.patch("flask.helpers.get_debug_flag", return_value=True):
        assert torsyq.helpers.get_debug_flag()
    assert not torsyq.helpers.get_debug_flag()


def test_opening_twice_changes_nothing(unopened: None) -> None:
    sys.path.append(torsyq.doors.path())
    torsyq.doors.open()
    first = sys.path[:]
    torsyq.doors.open()
    assert sys.path == first
    assert first[0] == torsyq.doors.path()
    assert first.count(torsyq.doors.path()) == 1


def test_opening_after_flask_was_imported_through_the_doors_is_fine(opened: None) -> None:
    importlib.import_module("flask")
    torsyq.doors.open()
    assert sys.modules["flask"] is torsyq


def test_the_doors_keeper_is_there_once(opened: None) -> None:
    importlib.import_module("flask")
    finders = sys.meta_path[:]
    del sys.modules["flask"]
    importlib.import_module("flask")
    assert sys.meta_path == finders


@pytest.mark.parametrize("file", ["/site-packages/flask/__init__.py", None])
def test_opening_too_late_says_which_flask_is_there_and_what_to_do(
    unopened: None, file: str | None
) -> None:
    other = types.ModuleType("flask")
    if file is not None:
        other.__file__ = file
    sys.modules["flask"] = other
    with pytest.raises(RuntimeError, match="already imported") as caught:
        torsyq.doors.open()
    assert (file or repr(other)) in str(caught.value)
    assert "before the first import of flask" in str(caught.value)
    assert torsyq.doors.path() not in sys.path


def test_importing_flask_stays_light(tmp_path: Path) -> None:
    """Neither Click nor Jinja nor the debugger come with it."""
    code = "import sys, flask; print(*(sys.modules.keys() & {'click', 'jinja2', 'werkzeug.debug'}))"
    result = run(tmp_path, "-c", code)
    assert (result.stdout, result.stderr) == ("\n", "")


def test_the_metadata_of_flask_lies_behind_the_doors() -> None:
    [found] = importlib.metadata.distributions(name="flask", path=[torsyq.doors.path()])
    assert (found.metadata["Name"], found.version) == ("Flask", FLASK_VERSION)
    # The command is of the wheel: what pip finds here, it removes when it uninstalls Flask.
    assert not found.entry_points
    assert not found.files


@pytest.mark.parametrize("args", [("-m", "flask"), ("-m", "flask.cli"), ("-m", "torsyq")])
def test_the_command_line_runs_as_a_module(tmp_path: Path, args: tuple[str, ...]) -> None:
    result = run(tmp_path, *args, "--version", doors=args[1] != "torsyq")
    assert result.returncode == 0, result.stderr
    assert f"Flask {FLASK_VERSION}\n" in result.stdout
    assert "Torsyq" in result.stdout


def test_torsyq_opens_the_doors_for_the_app(tmp_path: Path) -> None:
    """Also where Flask is installed: the app's own imports find Torsyq."""
    tmp_path.joinpath("hello.py").write_text(
        "import flask, torsyq\nassert flask is torsyq\napp = flask.Flask('hello')\n"
    )
    result = run(tmp_path, "-m", "torsyq", "--app", "hello", "routes", doors=False)
    assert "/static/<path:filename>" in result.stdout, result.stderr


# -- a wheel that is really built and installed ------------------------------------------------

RUNTIME = ("werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker", "greenlet")

HELLO = """
from flask import Flask
import flask

app = Flask(__name__)

@app.route("/")
def index():
    return flask.__name__
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignore)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [built] = (source / "dist").glob("*.whl")
    return built


class Installed(t.NamedTuple):
    """An environment with the wheel in it, and a folder with an app."""

    bin: Path
    folder: Path

    def run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / program, *args],
            cwd=self.folder,
            env=environment(doors=False),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def pip(self, *args: str | Path) -> str:
        """What pip says, run in the environment from outside."""
        pip = [sys.executable, "-m", "pip", f"--python={self.bin.parent}"]
        return subprocess.run(
            [*pip, "--disable-pip-version-check", *args],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout


def installed(folder: Path, wheel: Path, *packages: str) -> Installed:
    """Install the wheel into a new environment that sees, of what is here, these packages only."""
    home = folder / "env"
    venv.create(home, symlinks=True)
    [site] = home.glob("lib/python*/site-packages")
    for package in packages:
        files = importlib.metadata.distribution(package).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            origin = Path(str(importlib.metadata.distribution(package).locate_file(top)))
            site.joinpath(top).symlink_to(origin)
    folder.joinpath("hello.py").write_text(HELLO)
    made = Installed(home / "bin", folder)
    made.pip("install", "--no-deps", "--no-index", wheel)
    return made


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Torsyq with nothing but what it needs."""
    return installed(tmp_path_factory.mktemp("alone"), wheel, *RUNTIME)


@pytest.fixture(scope="module")
def beside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Torsyq with the real Flask beside it."""
    return installed(tmp_path_factory.mktemp("beside"), wheel, *RUNTIME, "flask")


CALL = "import hello; print(hello.app.test_client().get('/').text)"


def test_without_flask_importing_flask_gives_torsyq(alone: Installed) -> None:
    result = alone.run("python", "-c", CALL)
    assert (result.stdout, result.stderr) == ("torsyq\n", "")


def test_it_asks_for_all_that_it_needs_and_for_nothing_else(alone: Installed) -> None:
    assert alone.pip("check") == "No broken requirements found.\n"
    code = "import importlib.metadata as m; print(*m.requires('torsyq'), sep='\\n')"
    asked = map(Requirement, alone.run("python", "-c", code).stdout.splitlines())
    assert {each.name for each in asked if "extra" not in str(each.marker)} == {*RUNTIME}


@pytest.mark.parametrize("program", [["flask"], ["python", "-m", "flask"], ["torsyq"]])
def test_without_flask_its_command_line_works(alone: Installed, program: list[str]) -> None:
    result = alone.run(*program, "--app", "hello", "routes")
    assert result.stdout.splitlines()[2].split() == ["index", "GET", "/"], result.stderr
    assert "Torsyq" in alone.run(*program, "--version").stdout


def test_without_flask_its_version_is_known(alone: Installed) -> None:
    code = "import importlib.metadata as m, flask; print(m.version('flask'), flask.__version__)"
    result = alone.run("python", "-W", "ignore", "-c", code)
    assert result.stdout == f"{FLASK_VERSION} {FLASK_VERSION}\n", result.stderr


def test_pip_takes_it_for_the_flask_that_extensions_ask_for(alone: Installed) -> None:
    """And leaves it alone when that is uninstalled, or another version comes instead."""
    said = alone.pip("install", "--no-deps", "--no-index", "flask>=1")
    assert "Requirement already satisfied: flask>=1" in said
    assert "No files were found to uninstall" in alone.pip("uninstall", "--yes", "flask")
    assert alone.run("flask", "--version").returncode == 0
    assert "Flask 3.1.3" in alone.run("python", "-m", "flask", "--version").stdout
    assert "Version: 3.1.3" in alone.pip("show", "flask")


def test_beside_flask_the_name_is_flasks(beside: Installed) -> None:
    assert beside.run("python", "-c", CALL).stdout == "flask\n"
    version = beside.run("flask", "--version").stdout
    assert re.search("^Flask ", version, re.MULTILINE)
    assert "Torsyq" not in version


def test_beside_flask_opening_the_doors_gives_torsyq(beside: Installed) -> None:
    code = f"import torsyq.doors; torsyq.doors.open(); {CALL}"
    assert beside.run("python", "-c", code).stdout == "torsyq\n"
    result = beside.run("torsyq", "--app", "hello", "routes")
    assert result.stdout.splitlines()[2].split() == ["index", "GET", "/"], result.stderr


def test_beside_flask_the_folder_switches_any_program(beside: Installed) -> None:
    """``PYTHONPATH=$(torsyq doors) ...``"""
    folder = beside.run("torsyq", "doors").stdout.strip()
    result = subprocess.run(
        [beside.bin / "flask", "--version"],
        env=environment(doors=False, PYTHONPATH=folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "Torsyq" in result.stdout
    assert os.path.isdir(folder)


def test_the_wheel_puts_one_line_on_the_path_and_it_is_a_plain_folder(alone: Installed) -> None:
    """A line of code in a .pth file would run in every Python process."""
    [line] = [path.read_text() for path in alone.bin.parent.glob("lib/*/site-packages/*.pth")]
    assert line == "torsyq/_doors\n"


def test_an_editable_install_puts_only_folders_on_the_path_that_are_there(tmp_path: Path) -> None:
    """Of others Python 3.15 complains each time it starts."""
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["editable"])
    with ZipFile(wheel) as file:
        added = [file.read(name).decode() for name in file.namelist() if name.endswith(".pth")]
    folders = "".join(added).splitlines()
    assert folders
    assert [folder for folder in folders if not os.path.isdir(folder)] == []


def test_a_type_checker_finds_modules_and_private_names_behind_the_doors(tmp_path: Path) -> None:
    """Where Flask is not installed: of ``import *`` alone neither would be left."""
    tmp_path.joinpath("typed.py").write_text(
        "import flask\n"
        "from flask.ctx import _AppCtxGlobals\n"
        "from flask.globals import _cv_app\n"
        "from flask.globals import _cv_request\n"
        "from flask.sansio.scaffold import _endpoint_from_view_func\n"
        "flask.signals.request_started.connect(print)\n"
        "body: bytes = flask.request.get_data()\n"
        "made: _AppCtxGlobals = flask.app.Flask(__name__).app_ctx_globals_class()\n"
        "found: flask.ctx.AppContext | None = _cv_app.get(None)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "typed.py"]
    paths = {"MYPYPATH": torsyq.doors.path(), "MYPY_CACHE_DIR": str(tmp_path / "cache")}
    checked = subprocess.run(
        command, cwd=tmp_path, env=environment() | paths, capture_output=True, text=True
    )
    assert checked.stdout.startswith("Success"), checked.stdout + checked.stderr
