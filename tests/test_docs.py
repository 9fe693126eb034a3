"""The documentation says what is so: its code runs, its names exist, its tables are complete."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
import typing as t
from datetime import timedelta
from pathlib import Path

import click
import pytest

import torsyq
from torsyq import Flask
from torsyq.__main__ import torsyq as program

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
    if "_build" not in path.parts
]
FENCE = re.compile(r"^( *)(`{3,})([\w+-]*)\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks in a language, each with the number of its first line."""
    text = path.read_text("utf-8")
    return [
        (text.count("\n", 0, match.start(4)) + 1, textwrap.dedent(match[4]))
        for match in FENCE.finditer(text)
        if match[3] == language
    ]


def pages_with(*languages: str) -> list[pytest.MarkDecorator | t.Any]:
    return [
        pytest.param(path, id=str(path.relative_to(ROOT)))
        for path in PAGES
        if any(blocks(path, language) for language in languages)
    ]


def run_page(path: Path) -> str:
    """Run the program that the blocks of a page make up, then what was typed at its prompt.

    Returns what the prompt said otherwise than the page does.
    """
    names: dict[str, t.Any] = {"__name__": "page"}
    for line, source in blocks(path, "python"):
        exec(compile("\n" * (line - 1) + source, path, "exec"), names)
    runner = doctest.DocTestRunner()
    report: list[str] = []
    for line, source in blocks(path, "pycon"):
        typed = doctest.DocTestParser().get_doctest(source, {}, path.name, str(path), line - 1)
        typed.globs = names
        runner.run(typed, out=report.append, clear_globs=False)
    return "".join(report)


@pytest.mark.parametrize("path", pages_with("python", "pycon"))
def test_the_code_of_a_page_runs(path: Path, tmp_path: Path) -> None:
    """In a process and a folder of its own: pages write files, set variables, open the doors."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FLASK_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, path],
        cwd=tmp_path,
        env=environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_quickstart_is_the_same_in_both_languages() -> None:
    english, kazakh = DOCS / "quickstart.md", DOCS / "quickstart-kk.md"
    for language in "python", "pycon", "console", "html+jinja":
        shown = [source for _, source in blocks(english, language)]
        assert shown == [source for _, source in blocks(kazakh, language)]
        assert shown


def test_the_readme_shows_the_smallest_example() -> None:
    ((_, shown),) = blocks(ROOT / "README.md", "python")
    example = (ROOT / "examples" / "hello.py").read_text("utf-8")
    assert shown == example


def commands() -> list[t.Any]:
    found = []
    for path in PAGES:
        for _, source in blocks(path, "console"):
            for line in re.findall(r"^\$ (.+?)(?:\s+#.*)?$", source, re.MULTILINE):
                if line.startswith("torsyq "):
                    found.append(pytest.param(line, id=line))
    return found


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_documentation_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = program
    context = click.Context(command)
    while words:
        word = words.pop(0)
        options = {
            name: option
            for option in command.get_params(context)
            for name in (*option.opts, *option.secondary_opts)
        }
        if word.startswith("-"):
            option = options[word.partition("=")[0]]
            if not getattr(option, "is_flag", False) and "=" not in word:
                words.pop(0)
        else:
            assert isinstance(command, click.Group)
            name = "init-db" if word == "init-db" else word
            if name == "init-db":
                # A command of the example, which is tested with the example.
                return
            found = command.get_command(context, name)
            assert found is not None, f"no command {name}"
            command = found
    assert command


def test_every_configuration_key_is_documented_with_its_default() -> None:
    table = (DOCS / "howto" / "configuration.md").read_text("utf-8")
    documented = re.findall(r"^\| `([A-Z_]+)` \| `(.+?)` \|", table, re.MULTILINE)
    defaults = {
        key: "datetime.timedelta(days=31)" if value == timedelta(days=31) else repr(value)
        for key, value in Flask.default_config.items()
    }
    assert dict(documented) == defaults
    assert len(documented) == len(defaults)


def public_modules() -> set[str]:
    """Every module of Torsyq that Flask has as well, and those of its own that users import."""
    doors = ROOT / "src" / "torsyq" / "_doors" / "flask"
    files = (path.relative_to(doors).with_suffix("") for path in doors.rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in files}
    own = {
        *("asgi", "channels", "channels.redis", "doors", "languages"),
        *("routing", "serve", "sse", "testing_async", "websockets"),
    }
    return names - {"__init__", "__main__"} | own


def test_every_public_module_has_its_page() -> None:
    pages = {path.stem for path in (DOCS / "reference").glob("*.md")} - {"index"}
    assert pages == public_modules()


@pytest.mark.parametrize("name", sorted(public_modules()))
def test_a_reference_page_speaks_of_its_module(name: str) -> None:
    module = importlib.import_module(f"torsyq.{name}")
    text = (DOCS / "reference" / f"{name}.md").read_text("utf-8")
    assert text.startswith(f"# torsyq.{name}\n")
    for documented in re.findall(r"^\.\. auto\w+:: (\S+)", text, re.MULTILINE):
        target = t.cast("t.Any", torsyq)
        for part in documented.split(".")[1:]:
            target = getattr(target, part)
    assert module.__doc__


LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", path.read_text("utf-8"))
    for target in LINK.findall(prose):
        assert (path.parent / target).exists(), f"{path}: {target}"


if __name__ == "__main__":
    sys.exit(run_page(Path(sys.argv[1])) or None)
