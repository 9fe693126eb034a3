"""Config: each way to load settings does what Flask's does."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import tomllib
import types
import typing as t

import flask.config
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import torsyq
from torsyq.config import Config
from torsyq.config import ConfigAttribute

FLASK_AND_OURS = flask.config.Config, Config


def outcome(config: t.Any, method: str, *args: t.Any, **kwargs: t.Any) -> object:
    """What the call gives or raises, and what the config holds after it."""
    try:
        result = getattr(config, method)(*args, **kwargs)
    except Exception as error:
        result = type(error), str(error), getattr(error, "filename", None)
    return result, dict(config)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    files = {
        "good.py": "import sys\nA = 1\nb = 2\nC_D = __name__\nFILE = __file__\n_E = 'e'\n",
        "syntax.py": "A = (\n",
        "raises.py": "A = 1\nraise KeyError('z')\n",
        "opens.py": "A = 1\nopen('nowhere')\n",
        "good.json": '{"A": 1, "b": 2, "C": {"d": 3}}',
        "list.json": '["ab"]',
        "good.toml": 'A = 1\nb = 2\n[C]\nd = "é"\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "good.py",
        "syntax.py",
        "raises.py",
        "opens.py",
        "missing.py",
        "folder",
        "good.py/below",
        "latin.py",
    ],
)
def test_pyfile(folder: pathlib.Path, name: str, silent: bool) -> None:
    (folder / "latin.py").write_bytes('# -*- coding: latin-1 -*-\nA = "föö"\n'.encode("latin-1"))
    theirs, ours = (
        outcome(cls(folder), "from_pyfile", name, silent=silent) for cls in FLASK_AND_OURS
    )
    assert ours == theirs


def test_pyfile_that_runs_fills_the_config(folder: pathlib.Path) -> None:
    config = Config(str(folder))
    assert config.from_pyfile(folder / "good.py") is True
    path = os.fspath(folder / "good.py")
    assert config == {"A": 1, "C_D": "config", "FILE": path, "_E": "e"}


def test_missing_file_is_named(folder: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="Unable to load configuration file") as caught:
        Config(folder).from_pyfile("missing.py")
    assert caught.value.filename == os.fspath(folder / "missing.py")


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize(
    "name", ["good.json", "list.json", "missing.json", "folder", "good.json/below", "good.py"]
)
def test_file(folder: pathlib.Path, name: str, silent: bool) -> None:
    theirs, ours = (
        outcome(cls(folder), "from_file", name, json.load, silent=silent) for cls in FLASK_AND_OURS
    )
    assert ours == theirs


def test_file_opened_as_bytes(folder: pathlib.Path) -> None:
    config = Config(folder)
    assert config.from_file("good.toml", tomllib.load, text=False) is True
    assert config == {"A": 1, "C": {"d": "é"}}


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("value", [None, "", "good.py", "missing.py"])
def test_envvar(
    folder: pathlib.Path, value: str | None, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("SETTINGS", value)
    theirs, ours = (
        outcome(cls(folder), "from_envvar", "SETTINGS", silent=silent) for cls in FLASK_AND_OURS
    )
    assert ours == theirs


class Attributes:
    A = 1
    b = 2

    @property
    def LAZY(self) -> str:
        return "made"


@pytest.mark.parametrize(
    "source",
    [
        Attributes,
        Attributes(),
        types.SimpleNamespace(A=1, b=2),
        {"A": 1},
        "errno",
        "os.path",
        "json:dumps",
        "no.such.module",
        "json.nothing",
        "",
    ],
)
def test_object(source: object) -> None:
    theirs, ours = (outcome(cls("/"), "from_object", source) for cls in FLASK_AND_OURS)
    assert str(ours) == str(theirs)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((None,), {"A": 1, "b": 2}),
        (({"A": 1, "B": 2},), {"B": 3}),
        (([("A", 1), ("b", 2)],), {}),
        ((5,), {}),
        (({1: 2},), {}),
    ],
)
def test_mapping(args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> None:
    theirs, ours = (outcome(cls("/"), "from_mapping", *args, **kwargs) for cls in FLASK_AND_OURS)
    assert ours == theirs


def test_mapping_takes_one() -> None:
    with pytest.raises(TypeError):
        Config("/").from_mapping({}, {})  # type: ignore[call-arg]


names = st.text("AbZ_", max_size=8)
texts = st.sampled_from(["1", "true", "null", '{"k": 1}', "[1, 2]", "text", "{bad", "", '"q"'])


@settings(deadline=None)
@given(
    st.dictionaries(names.map("PRE_".__add__) | names, texts, max_size=6),
    st.sampled_from(["PRE", "", "PRE_A"]),
    st.dictionaries(names, st.just(None) | st.dictionaries(names, st.integers()), max_size=2),
)
def test_prefixed_env(variables: dict[str, str], prefix: str, before: dict[str, t.Any]) -> None:
    variables.pop("", None)
    results = []
    for cls in FLASK_AND_OURS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", variables)
            start = json.loads(json.dumps(before))
            results.append(outcome(cls("/", start), "from_prefixed_env", prefix))
    assert results[0] == results[1]


def test_prefixed_env_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DB__pool__size", "5")
    monkeypatch.setenv("FLASK_DB__host", "example.org")
    config = Config("/", {"DB": {"pool": {"size": 1, "wait": 2}}})
    assert config.from_prefixed_env() is True
    assert config["DB"] == {"pool": {"size": 5, "wait": 2}, "host": "example.org"}


def test_prefixed_env_with_a_loader_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRE_A", "1")
    config = Config("/")
    config.from_prefixed_env("PRE", loads=lambda text: text + "!")
    assert config["A"] == "1!"


@given(
    st.dictionaries(st.text("AbC_", max_size=6), st.integers()),
    st.text("AbC_", max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_namespace(values: dict[str, int], namespace: str, lowercase: bool, trim: bool) -> None:
    theirs, ours = (
        cls("/", values).get_namespace(namespace, lowercase, trim) for cls in FLASK_AND_OURS
    )
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("base", FLASK_AND_OURS)
def test_a_subclass_sees_each_setting_and_is_not_asked_for_a_namespace(base: t.Any) -> None:
    class Shouting(base):  # type: ignore[misc]
        def __setitem__(self, name: str, value: str) -> None:
            super().__setitem__(name, f"{value}!")

        def __getitem__(self, name: str) -> str:
            return f"{super().__getitem__(name)}?"

    config = Shouting("")
    config.from_mapping({"A_B": "x", "a": "y"}, A_C="z")
    assert dict(config) == {"A_B": "x!", "A_C": "z!"}
    assert config.get_namespace("A_") == {"b": "x!", "c": "z!"}


def test_it_is_a_dict_that_says_so() -> None:
    config = Config(pathlib.Path("/folder"), {"A": 1})
    assert repr(config) == "<Config {'A': 1}>"
    assert config.root_path == pathlib.Path("/folder")
    assert pickle.loads(pickle.dumps(config)) == {"A": 1}
    assert repr(type("Mine", (Config,), {})("/")) == "<Mine {}>"
    assert Config("/") == {}


def test_defaults_are_copied() -> None:
    defaults = {"A": 1}
    Config("/", defaults)["A"] = 2
    assert defaults == {"A": 1}


def test_attribute_reads_and_writes_the_config() -> None:
    class App(torsyq.Flask):
        lifetime = ConfigAttribute[int]("LIFETIME", int)
        name_of_it = ConfigAttribute[str]("NAME_OF_IT")

    app = App("app")
    app.lifetime = "42"
    assert app.config["LIFETIME"] == "42"
    assert app.lifetime == 42
    with pytest.raises(KeyError):
        app.name_of_it  # noqa: B018
    assert isinstance(App.lifetime, ConfigAttribute)
    assert App.lifetime.__name__ == "LIFETIME"
