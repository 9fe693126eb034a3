"""The command shell."""

from __future__ import annotations

import os
import sys
import types
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner

from torsyq import Flask
from torsyq.cli import FlaskGroup

pytestmark = pytest.mark.usefixtures("untouched_process")


def module(name: str = "wiki", **names: t.Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names)
    return made


@pytest.fixture
def shelled() -> FlaskGroup:
    app = Flask("shelled")
    app.shell_context_processor(lambda: {"answer": 42})
    return FlaskGroup(create_app=lambda: app)


def test_the_shell_has_the_app_and_what_its_processors_add(
    runner: CliRunner, shelled: FlaskGroup
) -> None:
    result = runner.invoke(shelled, ["shell"], input="print(app.name, answer, bool(g))\n")
    assert "shelled 42 True" in result.stdout
    assert f"Python {sys.version} on {sys.platform}\nApp: shelled\nInstance: " in result.stderr


def test_the_shell_runs_the_users_startup_file(
    project: Path, runner: CliRunner, shelled: FlaskGroup
) -> None:
    # In what it says to be written in, whatever the system's encoding is.
    (project / "startup.py").write_bytes("# coding: cp1251\nstarted = 'да'\n".encode("cp1251"))
    os.environ["PYTHONSTARTUP"] = "startup.py"
    assert "да" in runner.invoke(shelled, ["shell"], input="print(started)\n").stdout
    os.environ["PYTHONSTARTUP"] = "not-there.py"
    assert "42" in runner.invoke(shelled, ["shell"], input="print(answer)\n").stdout


@pytest.mark.parametrize("readline", [True, False])
def test_the_shell_completes_its_own_names_where_it_can(
    runner: CliRunner, shelled: FlaskGroup, monkeypatch: pytest.MonkeyPatch, readline: bool
) -> None:
    completers: list[t.Callable[[str, int], str | None]] = []
    fake = module("readline", set_completer=completers.append)
    monkeypatch.setitem(sys.modules, "readline", fake if readline else None)
    completer = module("rlcompleter", Completer=lambda names: types.SimpleNamespace(complete=names))
    monkeypatch.setitem(sys.modules, "rlcompleter", completer)
    hooked = mock.Mock()
    monkeypatch.setattr(sys, "__interactivehook__", hooked, raising=False)
    runner.invoke(shelled, ["shell"])
    hooked.assert_called_once_with()
    assert [names["answer"] for names in t.cast(list[t.Any], completers)] == [42] * readline


def test_the_shell_without_an_interactive_hook(
    runner: CliRunner, shelled: FlaskGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys, "__interactivehook__", raising=False)
    assert "42" in runner.invoke(shelled, ["shell"], input="print(answer)\n").stdout
