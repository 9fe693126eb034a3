"""Where the app is: from a name, a file or a folder to the object."""

from __future__ import annotations

import sys
import types
import typing as t
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torsyq import Flask
from torsyq.cli import find_app_by_string
from torsyq.cli import find_best_app
from torsyq.cli import locate_app
from torsyq.cli import NoAppException
from torsyq.cli import prepare_import

pytestmark = pytest.mark.usefixtures("untouched_process")


def module(name: str = "wiki", **names: t.Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names)
    return made


def create_app(suffix: str = "", *, debug: bool = False) -> Flask:
    return Flask(f"made{suffix}{debug or ''}")


def needs_arguments(first: str, second: str) -> Flask:
    return Flask(first + second)


def broken_factory() -> Flask:
    raise TypeError("inside the factory")


def test_an_app_named_app_or_application_is_found_before_others() -> None:
    first, second = Flask("first"), Flask("second")
    assert find_best_app(module(other=second, application=first)) is first
    assert find_best_app(module(application=second, app=first)) is first


def test_the_only_app_is_found_under_any_name() -> None:
    only = Flask("only")
    assert find_best_app(module(something=only, create_app=create_app)) is only


@pytest.mark.parametrize("name", ["create_app", "make_app"])
def test_a_factory_is_called_when_there_is_no_app(name: str) -> None:
    names: dict[str, t.Any] = {name: create_app}
    assert find_best_app(module(**names)).name == "made"


def test_a_factory_that_makes_something_else_is_passed_over() -> None:
    assert find_best_app(module(create_app=lambda: 3, make_app=create_app)).name == "made"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {},
            "Failed to find Flask application or factory in module 'wiki'."
            " Use 'wiki:name' to specify one.",
        ),
        (
            {"one": Flask("one"), "two": Flask("two")},
            "Detected multiple Flask applications in module 'wiki'."
            " Use 'wiki:name' to specify the correct one.",
        ),
        (
            {"create_app": needs_arguments},
            "Detected factory 'create_app' in module 'wiki', but could not call it without"
            " arguments. Use 'wiki:create_app(args)' to specify arguments.",
        ),
    ],
)
def test_why_no_app_was_found_in_a_module(names: dict[str, t.Any], message: str) -> None:
    with pytest.raises(NoAppException) as caught:
        find_best_app(module(**names))
    assert caught.value.message == message


@pytest.mark.parametrize("find", [find_best_app, lambda m: find_app_by_string(m, "create_app")])
def test_an_error_inside_a_factory_is_not_taken_for_wrong_arguments(
    find: t.Callable[[types.ModuleType], Flask],
) -> None:
    with pytest.raises(TypeError, match="inside the factory"):
        find(module(create_app=broken_factory))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app", "there"),
        (" app ", "there"),
        ("create_app", "made"),
        ("create_app()", "made"),
        ("create_app('x')", "madex"),
        ("create_app('x', debug=True)", "madexTrue"),
        # As in Flask, which does not look at it.
        ("create_app(**{'suffix': 'y'})", "made"),
        ("create_app('x', **unknown)", "madex"),
        ("create_app('x', )", "madex"),
    ],
)
def test_an_app_is_named_by_a_variable_or_a_call(text: str, name: str) -> None:
    found = find_app_by_string(module(app=Flask("there"), create_app=create_app), text)
    assert found.name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "Failed to find attribute 'nope' in 'wiki'."),
        ("a.b", "Failed to parse 'a.b' as an attribute name or function call."),
        ("a(", "Failed to parse 'a(' as an attribute name or function call."),
        ("", "Failed to parse '' as an attribute name or function call."),
        ("a.b()", "Function reference must be a simple name: 'a.b()'."),
        ("create_app(x)", "Failed to parse arguments as literal values: 'create_app(x)'."),
        (
            "create_app(1, 2, 3)",
            "The factory 'create_app(1, 2, 3)' in module 'wiki' could not be called with the"
            " specified arguments.",
        ),
        ("number", "A valid Flask application was not obtained from 'wiki:number'."),
        ("number()", "A valid Flask application was not obtained from 'wiki:number()'."),
    ],
)
def test_why_a_named_app_was_not_found(text: str, message: str) -> None:
    with pytest.raises(NoAppException) as caught:
        find_app_by_string(module(create_app=create_app, number=3), text)
    assert caught.value.message == message


@given(st.text(max_size=20))
def test_whatever_is_named_it_is_an_app_or_a_usage_error(text: str) -> None:
    try:
        assert find_app_by_string(module(app=Flask("x")), text).name == "x"
    except NoAppException:
        assert text.strip() != "app"


@pytest.mark.parametrize(
    ("value", "folder", "name"),
    [
        ("hello", ".", "hello"),
        ("hello.py", ".", "hello"),
        ("src/hello", "src", "hello"),
        ("a.b", ".", "a.b"),
        ("pkg", ".", "pkg"),
        ("pkg/sub/mod.py", ".", "pkg.sub.mod"),
        ("pkg/sub/__init__.py", ".", "pkg.sub"),
        ("pkg/sub/__init__", ".", "pkg.sub"),
        ("notes.txt", ".", "notes.txt"),
    ],
)
def test_a_path_becomes_a_name_and_its_folder_importable(
    project: Path, value: str, folder: str, name: str
) -> None:
    for package in ("pkg", "pkg/sub"):
        (project / package).mkdir()
        (project / package / "__init__.py").touch()
    assert prepare_import(value) == name
    assert sys.path[0] == str((project / folder).resolve())
    before = sys.path[:]
    prepare_import(value)
    assert sys.path == before


def test_an_app_is_located_with_and_without_its_name(project: Path) -> None:
    (project / "two_apps.py").write_text(
        "from torsyq import Flask\napp = Flask('one')\nother = Flask('two')\n"
    )
    assert locate_app("two_apps", None).name == "one"
    assert locate_app("two_apps", "other").name == "two"


def test_a_module_that_is_not_there(project: Path) -> None:
    with pytest.raises(NoAppException, match=r"^Could not import 'not_there'\.$"):
        locate_app("not_there", None)
    assert locate_app("not_there", None, raise_if_not_found=False) is None


@pytest.mark.parametrize(
    "locate", [locate_app, partial(locate_app, raise_if_not_found=False)], ids=["raise", "none"]
)
def test_a_failed_import_inside_the_module_is_shown_with_its_traceback(
    project: Path, locate: t.Callable[[str, str | None], Flask | None]
) -> None:
    (project / "half.py").write_text("import missing_dependency\n")
    with pytest.raises(NoAppException) as caught:
        locate("half", None)
    assert caught.value.message.startswith(
        "While importing 'half', an ImportError was raised:\n\nTraceback"
    )
    assert "No module named 'missing_dependency'" in caught.value.message
