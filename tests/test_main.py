"""The program torsyq: Flask's commands and its own, with the doors open."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import torsyq.doors
from torsyq.__main__ import main
from torsyq.__main__ import torsyq as program
from torsyq.cli import cli
from torsyq.cli import FlaskGroup

from .servers import run


def test_it_has_flasks_commands_and_its_own() -> None:
    output = CliRunner().invoke(program, ["--help"]).stdout
    names = {line.split()[0] for line in output.split("Commands:")[1].splitlines() if line.strip()}
    assert {"run", "routes", "shell", "doors", "serve"} <= names


def test_flask_has_only_flasks() -> None:
    """So that no command of an app or of a plugin is shadowed there."""
    assert type(cli) is FlaskGroup
    assert sorted(cli.commands) == ["routes", "run", "shell"]


def test_doors_prints_the_folder_whatever_app_is_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("app.py").write_text("print('noise')\nraise RuntimeError\n")
    result = CliRunner().invoke(program, ["doors"])
    assert (result.exit_code, result.output) == (0, f"{torsyq.doors.path()}\n")


def test_its_own_commands_do_not_load_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that watches the workers must stay free of what the app opens."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("app.py").write_text("raise RuntimeError('loaded')\n")
    result = CliRunner().invoke(program, ["serve", "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: torsyq serve [OPTIONS]")


def test_an_unknown_command(tmp_path: Path) -> None:
    result = run(tmp_path, "-m", "torsyq", "nope", doors=False)
    assert result.returncode == 2
    assert "Error: No such command 'nope'." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["run", "--app", "hello"], "--app ... run"),
        (["serve", "-A", "hello"], "-A ... serve"),
        (["doctor", "--debug"], "--debug ... doctor"),
    ],
)
def test_an_option_behind_the_command_is_told_to_go_before_it(
    arguments: list[str], remedy: str
) -> None:
    result = CliRunner().invoke(program, arguments)
    assert result.exit_code == 2
    assert "No such option" in result.output
    assert result.output.endswith(f" It goes before the command: torsyq {remedy}\n")


@pytest.mark.parametrize("option", ["--reload", "--no-debugger"])
def test_an_option_of_run_behind_serve_is_told_whose_it_is(option: str) -> None:
    """Servers for production often have a reloader; here it is the development server's."""
    result = CliRunner().invoke(program, ["serve", option])
    assert result.exit_code == 2
    told = f"No such option '{option}'. The development server has it: torsyq ... run {option}\n"
    assert result.output.endswith(told)


def test_an_option_that_nobody_has_is_not() -> None:
    result = CliRunner().invoke(program, ["run", "--prot", "1"])
    assert result.exit_code == 2
    assert "No such option" in result.output
    assert "before the command" not in result.output


def test_main_opens_the_doors_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", ["torsyq", "doors"])
    for name in [name for name in sys.modules if name.split(".")[0] == "flask"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert sys.path[0] == torsyq.doors.path()


KAZAKH = """
from flask import Flask

app = Flask(__name__)

@app.get("/қала")
def қала():
    return ""

@app.cli.command("сәлем")
def hello():
    "қош келдің ┌─┐"
"""


@pytest.mark.parametrize("encoding", ["cp1251", "cp437", "utf-8"])
@pytest.mark.parametrize(
    "args",
    [
        ("routes",),
        ("doctor",),
        ("compare", "--repeat", "0"),
        ("shell",),
        ("--help",),
        ("run", "-h", "?"),
    ],
)
def test_what_the_encoding_of_the_output_lacks_is_written_as_escapes(
    tmp_path: Path, encoding: str, args: tuple[str, ...]
) -> None:
    """As in a file or a pipe on Windows. On Flask it is an error."""
    (tmp_path / "қосымша.py").write_text(KAZAKH, "utf-8")
    command = ("-m", "torsyq", "--app", "қосымша", *args)
    done = run(tmp_path, *command, encoding=encoding, PYTHONIOENCODING=encoding)
    assert "UnicodeEncodeError" not in done.stderr
    if args != ("shell",):
        assert ("қ" if encoding == "utf-8" else r"\u049b") in done.stdout
