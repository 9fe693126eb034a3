"""The program: its options, its groups, what it reads and what it serves."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import typing as t
from pathlib import Path

import click
import pytest
from click.core import ParameterSource
from click.testing import CliRunner

import torsyq.cli
from torsyq import Blueprint
from torsyq import current_app
from torsyq import Flask
from torsyq.cli import _path_is_ancestor
from torsyq.cli import _set_debug
from torsyq.cli import cli
from torsyq.cli import FlaskGroup
from torsyq.cli import load_dotenv
from torsyq.cli import main
from torsyq.cli import run_command
from torsyq.cli import ScriptInfo
from torsyq.cli import show_server_banner

from .servers import run

pytestmark = pytest.mark.usefixtures("untouched_process")


def create_app(suffix: str = "", *, debug: bool = False) -> Flask:
    return Flask(f"made{suffix}{debug or ''}")


def broken_factory() -> Flask:
    raise TypeError("inside the factory")


def test_commands_of_the_app_and_its_blueprints_are_there(runner: CliRunner) -> None:
    app = Flask("with_commands")
    users = Blueprint("users", __name__)

    @app.cli.command()
    @click.argument("value", callback=lambda ctx, param, value: f"{current_app.name}:{value}")
    def mine(value: str) -> None:
        click.echo(value)

    @users.cli.command("create")
    def create() -> None:
        click.echo(f"created in {current_app.name}")

    app.register_blueprint(users)
    group = FlaskGroup(create_app=lambda: app)
    assert runner.invoke(group, ["mine", "x"]).output == "with_commands:x\n"
    assert runner.invoke(group, ["users", "create"]).output == "created in with_commands\n"
    assert runner.invoke(group, ["--help"]).output.split("Commands:")[1].split() == (
        [
            "mine",
            "routes",
            "Show",
            "the",
            "routes",
            "for",
            "the",
            "app.",
            "run",
            "Run",
            "a",
            "development",
            "server.",
            "shell",
            "Run",
            "a",
            "shell",
            "in",
            "the",
            "app",
            "context.",
            "users",
        ]
    )


def test_an_app_command_runs_in_its_own_app_not_in_the_current_one(
    app: Flask, runner: CliRunner
) -> None:
    other = Flask("other")

    @other.cli.command()
    def show() -> None:
        click.echo(current_app.name)

    group = FlaskGroup(create_app=lambda: other)
    with app.app_context():
        assert runner.invoke(group, ["show"]).output == "other\n"
    with other.app_context():
        assert runner.invoke(group, ["show"]).output == "other\n"


def test_a_group_nested_in_a_program_of_its_own(app: Flask, runner: CliRunner) -> None:
    program = click.Group("program")
    program.add_command(FlaskGroup(name="web", create_app=lambda: app))
    result = runner.invoke(program, ["web", "routes"])
    assert "/static/<path:filename>" in result.output


def test_an_object_given_to_the_group_is_kept(app: Flask, runner: CliRunner) -> None:
    info = ScriptInfo(create_app=lambda: app)
    by_settings = FlaskGroup(create_app=create_app, context_settings={"obj": info})
    assert by_settings.make_context("x", ["routes"]).obj is info
    assert FlaskGroup().make_context("x", ["routes"], obj=info).obj is info


def test_what_a_group_can_leave_out(runner: CliRunner) -> None:
    group = FlaskGroup(
        add_default_commands=False,
        add_version_option=False,
        params=[click.Option(["--extra"])],
        context_settings={"auto_envvar_prefix": "WIKI"},
    )
    assert group.commands == {}
    assert [p.name for p in group.params] == ["extra", "env_file", "app", "debug"]
    assert group.context_settings["auto_envvar_prefix"] == "WIKI"


def test_settings_handed_to_a_group_are_the_group_s() -> None:
    """What is added to the dictionary, by either side, both see."""
    settings: dict[str, t.Any] = {}
    group = FlaskGroup(context_settings=settings)
    assert group.context_settings is settings
    assert settings == {"auto_envvar_prefix": "FLASK"}


def test_an_unknown_command_without_an_app_says_both(project: Path, runner: CliRunner) -> None:
    result = runner.invoke(cli, ["nope"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Could not locate a Flask application.")
    assert "Error: No such command 'nope'." in result.stderr


def test_help_shows_why_the_apps_commands_are_missing(project: Path, runner: CliRunner) -> None:
    result = runner.invoke(cli, ["--help"])
    assert (result.exit_code, "Usage: flask" in result.stdout) == (0, True)
    assert result.stderr.startswith("Error: Could not locate a Flask application.")

    def broken() -> Flask:
        raise ValueError("oh no")

    result = runner.invoke(FlaskGroup(create_app=broken), ["--help"])
    assert result.exit_code == 0
    assert result.stderr.rstrip().endswith("ValueError: oh no")


@pytest.mark.parametrize("args", [["--help"], []])
def test_help_lists_the_commands_of_the_app_that_a_file_names(
    tmp_path: Path, args: list[str]
) -> None:
    (tmp_path / ".flaskenv").write_text("FLASK_APP=named\n")
    (tmp_path / "named.py").write_text(
        "from flask import Flask\napp = Flask('x')\n@app.cli.command()\ndef hidden_gem(): ...\n"
    )
    result = run(tmp_path, "-m", "flask", *args)
    assert "hidden-gem" in result.stdout + result.stderr


def test_commands_of_installed_packages(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each package's entry points are asked once; a plugin wins over the app's command."""
    asked = []

    class EntryPoint:
        name = "seed"

        def load(self) -> click.Command:
            return click.Command("anything", callback=lambda: click.echo("from a plugin"))

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    app = Flask("plugged")
    app.cli.command("seed")(lambda: click.echo("from the app"))
    group = FlaskGroup(create_app=lambda: app)
    assert runner.invoke(group, ["seed"]).output == "from a plugin\n"
    assert "seed" in runner.invoke(group, ["--help"]).output
    assert asked == ["flask.commands"]


def test_version_names_what_serves_the_app(runner: CliRunner) -> None:
    lines = runner.invoke(cli, ["--version"]).output.splitlines()
    assert lines == [
        f"Python {platform.python_version()}",
        "Flask 3.1.3",
        f"Werkzeug {importlib.metadata.version('werkzeug')}",
        f"Torsyq {importlib.metadata.version('torsyq')}",
    ]


def test_version_says_nothing_while_completing(capsys: pytest.CaptureFixture[str]) -> None:
    torsyq.cli.get_version(click.Context(cli, resilient_parsing=True), cli.params[0], True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("args", "variable", "debug"),
    [
        (["--debug"], None, "1 True"),
        (["--no-debug"], "1", "0 False"),
        ([], "1", "1 True"),
        ([], "yes", "1 True"),
        ([], None, "None False"),
    ],
)
def test_debug_is_an_option_and_a_variable(
    runner: CliRunner, args: list[str], variable: str | None, debug: str
) -> None:
    app = Flask("debugged")

    @app.cli.command()
    def show() -> None:
        click.echo(f"{os.environ.get('FLASK_DEBUG')} {current_app.debug}")

    if variable is not None:
        os.environ["FLASK_DEBUG"] = variable
    result = runner.invoke(FlaskGroup(create_app=lambda: app), [*args, "show"])
    assert result.output == f"{debug}\n"


def test_a_default_of_the_debug_option_changes_no_variable() -> None:
    ctx = click.Context(run_command)
    ctx.set_parameter_source("debug", ParameterSource.DEFAULT_MAP)
    option = t.cast(click.Option, run_command.params[0])
    assert _set_debug(ctx, option, True) is None
    assert "FLASK_DEBUG" not in os.environ


def test_the_app_is_an_option_and_a_variable(project: Path, runner: CliRunner) -> None:
    for name in ("one", "two"):
        (project / f"{name}.py").write_text(
            f"from torsyq import Flask\napp = Flask('x')\napp.add_url_rule('/{name}', '{name}')\n"
        )
    os.environ["FLASK_APP"] = "one"
    assert "/one" in runner.invoke(cli, ["routes"]).output
    assert "/two" in runner.invoke(cli, ["--app", "two", "routes"]).output


def test_the_command_line_tells_app_run_to_do_nothing(app: Flask, runner: CliRunner) -> None:
    runner.invoke(FlaskGroup(create_app=lambda: app), ["routes"])
    assert os.environ["FLASK_RUN_FROM_CLI"] == "true"


def test_main_is_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flask", "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0


@pytest.fixture
def env_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the folder above the current one, and one in it."""
    (project / ".flaskenv").write_text("A=flaskenv\nB=flaskenv\nC=flaskenv\n")
    (project / ".env").write_text("A=env\nB=env\nNO_VALUE\nHAM=火腿\n", "utf-8")
    (project / "below").mkdir()
    (project / "below" / "more.env").write_text("A=more\nE=more\n")
    for name in ("A", "B", "C", "E", "HAM", "NO_VALUE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(project / "below")
    return project


def variables() -> dict[str, str]:
    return {n: os.environ[n] for n in ("A", "B", "C", "E", "HAM", "NO_VALUE") if n in os.environ}


def test_files_of_variables_are_found_upwards_and_never_replace(env_files: Path) -> None:
    os.environ["B"] = "mine"
    assert load_dotenv()
    assert variables() == {"A": "env", "B": "mine", "C": "flaskenv", "HAM": "火腿"}
    assert Path.cwd() == env_files / "below"


def test_a_named_file_wins_over_the_usual_ones(env_files: Path) -> None:
    assert load_dotenv("more.env")
    assert (variables()["A"], variables()["B"], variables()["E"]) == ("more", "env", "more")


def test_a_named_file_alone(env_files: Path) -> None:
    assert load_dotenv(Path("more.env"), load_defaults=False)
    assert variables() == {"A": "more", "E": "more"}
    assert not load_dotenv("not-there.env", load_defaults=False)
    assert not load_dotenv(load_defaults=False)


def test_without_dotenv_a_tip_is_given_where_there_is_something_to_read(
    env_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    tip = " * Tip: There are .env files present. Install python-dotenv to use them.\n"
    assert not load_dotenv()
    assert capsys.readouterr().err == ""
    assert not load_dotenv("more.env")
    assert capsys.readouterr().err == tip
    for name in (".env", ".flaskenv"):
        os.remove(env_files / (".flaskenv" if name == ".env" else ".env"))
        monkeypatch.chdir(env_files)
        assert not load_dotenv()
        assert capsys.readouterr().err == tip
        (env_files / (".flaskenv" if name == ".env" else ".env")).touch()
    assert variables() == {}


@pytest.mark.parametrize(
    ("args", "skip", "loads", "found"),
    [
        ([], None, True, {"A": "env", "B": "env", "C": "flaskenv", "HAM": "火腿"}),
        ([], "1", True, {}),
        ([], None, False, {}),
        (["-e", "more.env"], None, False, {"A": "more", "E": "more"}),
        (["-e", "more.env"], "1", True, {"A": "more", "E": "more"}),
    ],
)
def test_which_files_the_command_line_reads(
    env_files: Path,
    runner: CliRunner,
    args: list[str],
    skip: str | None,
    loads: bool,
    found: dict[str, str],
) -> None:
    if skip is not None:
        os.environ["FLASK_SKIP_DOTENV"] = skip
    group = FlaskGroup(create_app=create_app, load_dotenv=loads)
    seen = {}
    group.command("show")(lambda: seen.update(variables()))
    result = runner.invoke(group, [*args, "show"])
    assert result.exit_code == 0, result.output
    assert seen == found


def test_an_env_file_without_dotenv_is_an_error(
    env_files: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    result = runner.invoke(cli, ["-e", "more.env", "routes"])
    assert result.exit_code == 2
    assert "python-dotenv must be installed to load an env file." in result.output


@pytest.mark.parametrize(
    ("path", "other", "below"),
    [
        ("/a/b", "/a/b/c", True),
        ("/a/b/", "/a/b/c", True),
        ("/a/b", "/a/b/", True),
        ("/a/b", "/a/b", False),
        ("/a/b", "/a/bc", False),
        ("/a", "/a//b", False),
        ("/", "/x", True),
        ("", "x", True),
    ],
)
def test_path_is_ancestor(path: str, other: str, below: bool) -> None:
    assert _path_is_ancestor(path, other) is below


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[t.Any, ...], dict[str, t.Any]]]:
    """What the development server was asked to serve, instead of serving it."""
    calls: list[tuple[tuple[t.Any, ...], dict[str, t.Any]]] = []
    monkeypatch.setattr(torsyq.cli, "run_simple", lambda *args, **kw: calls.append((args, kw)))
    return calls


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], {"use_reloader": False, "use_debugger": False, "threaded": True}),
        (["--debug"], {"use_reloader": True, "use_debugger": True}),
        (["--debug", "--no-reload"], {"use_reloader": False, "use_debugger": True}),
        (["--debugger", "--without-threads"], {"use_debugger": True, "threaded": False}),
        (["--reload"], {"use_reloader": True, "use_debugger": False}),
        (["--cert", "adhoc"], {"ssl_context": "adhoc"}),
        (["--extra-files", os.pathsep.join("ab")], {"extra_files": ["a", "b"]}),
        (["--exclude-patterns", "*.x"], {"exclude_patterns": ["*.x"]}),
    ],
)
def test_what_run_asks_of_the_server(
    runner: CliRunner, served: list[t.Any], args: list[str], expected: dict[str, t.Any]
) -> None:
    result = runner.invoke(FlaskGroup(create_app=create_app), ["run", *args])
    assert result.exit_code == 0, result.output
    [((host, port, app), options)] = served
    assert (host, port, app.name) == ("127.0.0.1", 5000, "made")
    assert expected.items() <= options.items()


def test_options_of_run_are_variables_too(runner: CliRunner, served: list[t.Any]) -> None:
    os.environ.update(FLASK_RUN_PORT="8080", FLASK_RUN_HOST="::", FLASK_RUN_RELOAD="1")
    runner.invoke(FlaskGroup(create_app=create_app), ["run"])
    [((host, port, _), options)] = served
    assert (host, port, options["use_reloader"]) == ("::", 8080, True)


def test_an_app_that_cannot_be_loaded_ends_run(runner: CliRunner, served: list[t.Any]) -> None:
    result = runner.invoke(FlaskGroup(create_app=broken_factory), ["run"])
    assert isinstance(result.exception, TypeError)
    assert served == []


def test_after_a_reload_a_broken_app_is_served_as_its_error(
    runner: CliRunner, served: list[t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the browser shows it, and the reloader waits for the change that mends it."""
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    result = runner.invoke(FlaskGroup(create_app=broken_factory), ["run"])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.rstrip().endswith("TypeError: inside the factory")
    [((_, _, app), _)] = served
    with pytest.raises(TypeError, match="inside the factory"):
        app({}, None)


@pytest.mark.parametrize(
    ("debug", "path", "text"),
    [
        (False, "hello", " * Serving Flask app 'hello'\n * Debug mode: off\n"),
        (True, None, " * Debug mode: on\n"),
        (None, "hello", " * Serving Flask app 'hello'\n"),
    ],
)
def test_the_banner(
    capsys: pytest.CaptureFixture[str], debug: bool | None, path: str | None, text: str
) -> None:
    show_server_banner(debug, path)
    assert capsys.readouterr().out == text


def test_the_banner_is_not_repeated_after_a_reload(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    show_server_banner(True, "hello")
    assert capsys.readouterr().out == ""
