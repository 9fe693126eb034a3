"""Torsyq offers what Flask offers: names, signatures, attributes, defaults, options.

``tests/inventory/flask-3.1.3.json`` says what that is; ``scripts/inventory.py`` wrote it down from
the real Flask, and describes Torsyq here in the same way.
"""

from __future__ import annotations

import importlib.util
import json
import typing as t
from functools import cache
from pathlib import Path

import pytest

from .servers import run

ROOT = Path(__file__).parents[1]

Facts: t.TypeAlias = dict[str, t.Any]


@cache
def flask() -> Facts:
    text = (ROOT / "tests" / "inventory" / "flask-3.1.3.json").read_text()
    return t.cast("Facts", json.loads(text))


@cache
def torsyq() -> Facts:
    spec = importlib.util.spec_from_file_location("inventory", ROOT / "scripts" / "inventory.py")
    assert spec is not None
    assert spec.loader is not None
    inventory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inventory)
    # By way of JSON, so that both are told in the same terms.
    facts = json.dumps(inventory.describe("torsyq", like=flask()))
    return t.cast("Facts", json.loads(facts))


# Where Torsyq differs and means to: what, and the reason.

# Parameters beyond Flask's, all optional and behind Flask's own.
EXTRA_PARAMETERS = {
    "flask.Flask.__call__": (["send=None"], "an ASGI server calls with three arguments"),
    "flask.app.Flask.__call__": (["send=None"], "an ASGI server calls with three arguments"),
}

# Config keys beyond Flask's.
EXTRA_CONFIG = {
    "ASGI_THREADS": "how many sync walks run at a time under ASGI",
    "BACKGROUND_TASK_SHUTDOWN_TIMEOUT": "how long the end of the app waits for background tasks",
    "ERROR_PAGE_LANGUAGES": "what the pages of errors may be written in",
    "WEBSOCKET_MAX_MESSAGE_SIZE": "the longest message a WebSocket takes",
    "WEBSOCKET_THREADS": "how many sync views of WebSockets run at a time",
}


# Filled in when first used, in Flask as here.
FILLED_LATER = {"flask.testing._werkzeug_version"}


def differences(there: Facts, here: Facts, path: str) -> t.Iterator[str]:
    """Everything of Flask's that is not the same in Torsyq."""
    for name, wanted in there.items():
        full = f"{path}.{name}"
        if full in FILLED_LATER and name in here:
            continue
        if name not in here:
            yield f"{full} is missing"
        else:
            yield from differences_of_one(wanted, here[name], full)


def differences_of_one(wanted: Facts, found: Facts, path: str) -> t.Iterator[str]:
    if wanted["kind"] != found["kind"]:
        yield f"{path} is a {found['kind']} and not a {wanted['kind']}"
        return
    for fact in sorted({*wanted, *found} - {"attributes"}):
        expected = wanted.get(fact)
        if fact == "signature":
            expected = [*wanted[fact], *EXTRA_PARAMETERS.get(path, ([], ""))[0]]
        if found.get(fact) != expected:
            yield f"{path}: {fact} {found.get(fact)} and not {expected}"
    yield from differences(wanted.get("attributes", {}), found.get("attributes", {}), path)


@pytest.mark.parametrize("module", flask()["modules"])
def test_module_offers_what_flask_s_does(module: str) -> None:
    here = torsyq()["modules"][module]
    assert list(differences(flask()["modules"][module], here, f"flask{module}")) == []


@pytest.mark.parametrize("name", flask()["instances"])
def test_instances_have_flask_s_attributes(name: str) -> None:
    assert set(flask()["instances"][name]) - set(torsyq()["instances"][name]) == set()


def test_default_config_is_flask_s() -> None:
    ours = {key: value for key, value in torsyq()["config"].items() if key not in EXTRA_CONFIG}
    assert ours == flask()["config"]


@pytest.mark.parametrize("command", flask()["commands"])
def test_commands_take_flask_s_options(command: str) -> None:
    assert torsyq()["commands"][command] == flask()["commands"][command]


def test_every_exception_is_still_one_and_has_a_reason() -> None:
    assert all(reason for _, reason in EXTRA_PARAMETERS.values())
    assert set(EXTRA_CONFIG) <= set(torsyq()["config"])
    assert all(EXTRA_CONFIG.values())


# That the comparison sees what it must


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        ({}, {"a": {"kind": "value"}}, []),
        ({"a": {"kind": "value"}}, {}, ["x.a is missing"]),
        ({"a": {"kind": "value"}}, {"a": {"kind": "class"}}, ["x.a is a class and not a value"]),
        (
            {"a": {"kind": "function", "signature": ["b", "c=1"]}},
            {"a": {"kind": "function", "signature": ["b", "c=2"]}},
            ["x.a: signature ['b', 'c=2'] and not ['b', 'c=1']"],
        ),
        (
            {"a": {"kind": "function", "signature": ["b"]}},
            {"a": {"kind": "function", "signature": ["b", "c=1"]}},
            ["x.a: signature ['b', 'c=1'] and not ['b']"],
        ),
        (
            {"a": {"kind": "class", "attributes": {"b": {"kind": "value", "value": "1"}}}},
            {"a": {"kind": "class", "attributes": {"b": {"kind": "value", "value": "2"}}}},
            ["x.a.b: value 2 and not 1"],
        ),
    ],
)
def test_a_difference_is_told(there: Facts, here: Facts, expected: list[str]) -> None:
    assert list(differences(there, here, "x")) == expected


def test_the_inventory_is_of_flask_3_1_3() -> None:
    assert (flask()["package"], flask()["version"]) == ("flask", "3.1.3")


def test_a_star_imports_what_flask_s_does(tmp_path: Path) -> None:
    """Names that are loaded when first read too; and none that could hide the app's own."""
    code = """
import sys
names = {}
exec("from {} import *".format(sys.argv[1]), names)
print(*sorted(name for name in names if not name.startswith("__")))
"""
    theirs = run(tmp_path, "-c", code, "flask").stdout.split()
    # What its module imports for itself.
    theirs = [name for name in theirs if name not in {"annotations", "t"}]
    assert run(tmp_path, "-c", code, "torsyq").stdout.split() == theirs
