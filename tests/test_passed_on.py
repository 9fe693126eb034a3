from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from werkzeug.local import LocalProxy

from torsyq import Flask
from torsyq.cli import ScriptInfo
from torsyq.passed_on import _KEPT_IN
from torsyq.passed_on import _SOURCES

MODULES = sorted(
    {*_SOURCES, "config", "globals", "json", "json.provider", "json.tag", "logging", "views"}
)
entries = pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in _SOURCES for name in _SOURCES[module]]
)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_that_flask_s_module_has_can_be_imported(module: str) -> None:
    theirs, ours = import_module(f"flask.{module}"), import_module(f"torsyq.{module}")
    names = {name for name in vars(theirs) if not name.startswith("__")} - {"annotations"}
    assert [name for name in sorted(names) if not hasattr(ours, name)] == []


def nature(value: object) -> tuple[str, str | None]:
    if issubclass(type(value), LocalProxy):
        return "LocalProxy", None
    name = getattr(value, "__name__", None)
    if isinstance(value, ModuleType):
        return "module", name and name.removeprefix("flask").removeprefix("torsyq")
    return value.__class__.__name__, name and name.removeprefix("flask").removeprefix("torsyq")


@entries
def test_a_name_passed_on_is_what_it_is_in_flask(module: str, name: str) -> None:
    theirs = getattr(import_module(f"flask.{module}"), name)
    ours = getattr(import_module(f"torsyq.{module}"), name)
    assert nature(ours) == nature(theirs)


def test_other_names_are_missing_as_from_any_module() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from torsyq.app import nothing  # noqa: F401
    with pytest.raises(AttributeError, match=r"module 'torsyq\.app' has no attribute 'nothing'"):
        import_module("torsyq.app").nothing  # noqa: B018


def test_a_name_passed_on_can_be_patched() -> None:
    with mock.patch("torsyq.app.Rule", "patched"):
        assert import_module("torsyq.app").Rule == "patched"
    assert import_module("torsyq.app").Rule.__module__ == "werkzeug.routing.rules"


@pytest.mark.parametrize("name", ["locate_app", "find_best_app", "prepare_import"])
def test_a_step_of_finding_the_app_can_be_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although ``ScriptInfo`` and that step are in files of their own."""
    tmp_path.joinpath("made.py").write_text("import torsyq\napp = torsyq.Flask('made')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for file in _KEPT_IN["cli"]:
        import_module(f"torsyq.{file}")
    step = getattr(import_module("torsyq.cli"), name)
    with mock.patch(f"torsyq.cli.{name}", side_effect=step) as replaced:
        assert ScriptInfo("made").load_app().name == "made"
    assert replaced.call_count == 1
    ScriptInfo("made").load_app()
    assert replaced.call_count == 1


def test_a_name_that_the_walk_reads_can_be_replaced_in_the_module_app() -> None:
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: "text")
    with mock.patch("torsyq.app.request_started") as signal:
        app.test_client().get("/")
    assert signal.mock_calls
    before = len(signal.mock_calls)
    app.test_client().get("/")
    assert len(signal.mock_calls) == before


def test_removing_a_name_that_is_nowhere_else_leaves_nothing() -> None:
    module = import_module("torsyq.app")
    module.extra = 1  # type: ignore[attr-defined]
    del module.extra
    assert not hasattr(module, "extra")
