from __future__ import annotations

from importlib import import_module
from unittest import mock

import pytest
from werkzeug.local import LocalProxy

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
    return type(value).__name__, name and name.removeprefix("flask").removeprefix("torsyq")


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
