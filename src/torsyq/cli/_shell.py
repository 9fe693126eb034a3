"""``flask shell``: Python with the app's context pushed and its names at hand."""

from __future__ import annotations

import os
import sys
import typing as t

import click

from ..globals import current_app
from ._script import with_appcontext


@click.command("shell", short_help="Run a shell in the app context.")
@with_appcontext
def shell_command() -> None:
    """Start an interactive Python shell inside the app's context.

    The app, 'g' and what its shell context processors add are there from the start; nothing
    needs to be imported to try a query or call a function of the project.
    """
    import code

    names: dict[str, t.Any] = {}
    _run_startup_file(names)
    names.update(current_app.make_shell_context())
    _prepare_line_editing(names)
    code.interact(
        banner=(
            f"Python {sys.version} on {sys.platform}\n"
            f"App: {current_app.import_name}\n"
            f"Instance: {current_app.instance_path}"
        ),
        local=names,
    )


def _run_startup_file(names: dict[str, t.Any]) -> None:
    """Run the user's ``PYTHONSTARTUP``, as plain ``python`` does before the first prompt."""
    path = os.environ.get("PYTHONSTARTUP")
    if path and os.path.isfile(path):
        with open(path, "rb") as file:
            exec(compile(file.read(), path, "exec"), names)


def _prepare_line_editing(names: dict[str, t.Any]) -> None:
    """Run the interpreter's interactive hook, with Tab completing the shell's own names."""
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return
    try:
        import readline
        from rlcompleter import Completer
    except ImportError:
        pass
    else:
        # Windows has no such module, unless somebody installs one.
        readline.set_completer(Completer(names).complete)  # type: ignore[attr-defined,unused-ignore]
    hook()
