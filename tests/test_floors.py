"""The shape of the package: src/torsyq/README.md says what it is, the syntax trees prove it."""

from __future__ import annotations

import ast
import re
import typing as t
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "torsyq"
MAP = ROOT / "README.md"
LONGEST_FILE = 650
LONGEST_FUNCTION = 60

Function: t.TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Import(t.NamedTuple):
    """One module's import of another one of the package."""

    module: str
    imported: str
    # "at import", "when called" (inside a function) or "type only".
    when: str


def module_name(path: Path) -> str:
    """``json/tag.py`` is ``json.tag``, ``json/__init__.py`` is ``json``, the face is ``""``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").removesuffix(".")


@cache
def sources() -> dict[str, Path]:
    """Every module but the doors, which are the names of others and hold no code of their own."""
    found = (path for path in sorted(ROOT.rglob("*.py")) if "_doors" not in path.parts)
    return {module_name(path): path for path in found}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


# Reading the map


@cache
def floors() -> dict[str, tuple[int, int]]:
    """Each module's floor, and its line in the map: what it may import lies before both."""
    found = {}
    floor = -1
    for number, line in enumerate(MAP.read_text().splitlines()):
        if heading := re.match(r"## Floor (\d+)", line):
            floor = int(heading[1])
        elif item := re.match(r"\* `([\w/.]+\.py)`: \S", line):
            found[module_name(ROOT / item[1])] = (floor, number)
    return found


@cache
def allowed() -> dict[Import, str]:
    """The imports from above, each with the reason for it."""
    rows = re.findall(
        r"^\| `([^`]+)` \| ([^|]+) \| (when called|type only) \| ([^|]+) \|$",
        MAP.read_text(),
        re.MULTILINE,
    )
    return {
        Import(module_name(ROOT / importer), module_name(ROOT / imported), when): why.strip()
        for importer, above, when, why in rows
        for imported in re.findall(r"`([^`]+)`", above)
    }


# Reading the imports


def imports_of(module: str) -> list[Import]:
    path = sources()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return [
        Import(module, target, when)
        for node, when in import_nodes(tree(path))
        for target in targets(node, package)
    ]


def import_nodes(
    node: ast.AST, when: str = "at import"
) -> t.Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, when
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from import_nodes(child, "type only")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and when == "at import":
            yield from import_nodes(child, "when called")
        else:
            yield from import_nodes(child, when)


def targets(node: ast.Import | ast.ImportFrom, package: str) -> t.Iterator[str]:
    """The modules of the package a statement imports, ``""`` for the face."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == "torsyq":
                yield alias.name.removeprefix("torsyq").removeprefix(".")
        return
    if node.level == 0:
        if node.module is None or node.module.partition(".")[0] != "torsyq":
            return
        start = node.module.removeprefix("torsyq").removeprefix(".")
    else:
        parts = [part for part in package.split(".") if part]
        start = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
    for alias in node.names:
        submodule = f"{start}.{alias.name}".removeprefix(".")
        yield submodule if submodule in sources() else start


def functions(module: str) -> t.Iterator[Function]:
    for node in ast.walk(tree(sources()[module])):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def length(function: Function) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    lines = t.cast("int", function.end_lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= t.cast("int", first.end_lineno) - first.lineno + 1
    return lines


# What the map says of each module


def test_the_map_lists_every_module_and_no_other() -> None:
    assert sorted(floors()) == sorted(sources())


@pytest.mark.parametrize("module", sources())
def test_imports_come_from_below(module: str) -> None:
    """From a lower floor, or on the same floor from a line above it: so there are no circles."""
    place = floors()
    wrong = [
        f"{found.imported or 'the face'} ({found.when})"
        for found in imports_of(module)
        if place[found.imported] >= place[module] and found not in allowed()
    ]
    assert wrong == []


def test_every_import_from_above_is_still_there_and_has_a_reason() -> None:
    real = {found for module in sources() for found in imports_of(module)}
    assert [one for one in allowed() if one not in real] == []
    assert all(allowed().values())


def test_the_table_holds_no_import_that_needs_no_permission() -> None:
    place = floors()
    assert [one for one in allowed() if place[one.imported] < place[one.module]] == []


@pytest.mark.parametrize("module", sources())
def test_nothing_imports_the_face_from_inside(module: str) -> None:
    """``import torsyq`` or ``from . import Flask`` inside is what makes circles."""
    assert [found for found in imports_of(module) if found.imported == ""] == []


@pytest.mark.parametrize("module", sources())
def test_files_are_short(module: str) -> None:
    assert len(sources()[module].read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("module", sources())
def test_functions_are_short(module: str) -> None:
    long = {found.name: length(found) for found in functions(module)}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


# That the reading of imports sees what it must


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import torsyq", ""),
        ("import torsyq.json.tag", "json.tag"),
        ("from torsyq import Flask", ""),
        ("from torsyq.json import tag", "json.tag"),
        ("from . import provider", "json.provider"),
        ("from .provider import JSONProvider", "json.provider"),
        ("from .. import Flask", ""),
        ("from .. import globals", "globals"),
        ("from ..globals import g", "globals"),
    ],
)
def test_an_import_is_resolved_to_the_module_it_loads(text: str, expected: str) -> None:
    node = t.cast("ast.ImportFrom", ast.parse(text).body[0])
    assert list(targets(node, "json")) == [expected]


def test_an_import_is_told_by_when_it_happens() -> None:
    text = """
if t.TYPE_CHECKING:
    import a
import b
def function():
    import c
    if t.TYPE_CHECKING:
        import d
class Class:
    import e
    async def method(self):
        import f
"""
    found = {node.names[0].name: when for node, when in import_nodes(ast.parse(text))}
    assert found == {
        "a": "type only",
        "b": "at import",
        "c": "when called",
        "d": "type only",
        "e": "at import",
        "f": "when called",
    }


def test_imports_of_others_are_no_concern() -> None:
    module = ast.parse("import os\nfrom werkzeug import routing\nfrom torsyqish import x")
    nodes = t.cast("list[ast.ImportFrom]", module.body)
    assert [name for node in nodes for name in targets(node, "")] == []


def test_a_docstring_does_not_count_as_length() -> None:
    function = t.cast(
        "Function", ast.parse('def f():\n    """One.\n\n    Two."""\n    return 1').body[0]
    )
    assert length(function) == 2
