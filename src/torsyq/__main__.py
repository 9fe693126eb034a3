"""``torsyq`` and ``python -m torsyq``: the command line, with the doors open.

Everything ``flask`` does, and Torsyq's own commands beside it. These stay out of the program
``flask``, whose commands are Flask's, the plugins' and the app's alone.
"""

from __future__ import annotations

import typing as t

import click
from werkzeug.utils import import_string

from .cli import cli
from .cli import FlaskGroup
from .doors import open as open_doors
from .doors import path


@click.command("doors", short_help="Print the folder that makes 'import flask' mean Torsyq.")
def doors_command() -> None:
    """Print the folder to put on PYTHONPATH to run any program on Torsyq.

    For example: PYTHONPATH=$(torsyq doors) gunicorn hello:app
    """
    click.echo(path())


class Program(FlaskGroup):
    """The group behind ``torsyq``. Its own commands are imported when they are called for."""

    own: dict[str, str] = {
        "compare": "torsyq.cli.compare:compare_command",
        "doctor": "torsyq.cli.doctor:doctor_command",
        "run": "torsyq.cli._run:run_command",
        "serve": "torsyq.serve:serve_command",
    }

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return Torsyq's own command of this name, without loading the app, or Flask's."""
        if name in self.own:
            command: click.Command = import_string(self.own[name])
            return command
        return super().get_command(ctx, name)

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run the command; of an option that it does not have, tell whose it is."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            option = error.option_name
            if error.ctx is None:
                raise
            program = ctx.command_path
            command = error.ctx.command_path.removeprefix(program)
            said = f"No such option {option!r}."
            if option in _options(self):
                message = f"{said} It goes before the command: {program} {option} ...{command}"
            elif command == " serve" and option in _options(self.commands["run"]):
                message = f"{said} The development server has it: {program} ... run {option}"
            else:
                raise
            raise click.NoSuchOption(option, message, ctx=error.ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, Torsyq's own among them."""
        return sorted({*super().list_commands(ctx), *self.own})


def _options(command: click.Command) -> set[str]:
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts)}


torsyq = Program(name="torsyq", help=cli.help)
torsyq.add_command(doors_command)


def main() -> None:
    """Open the doors, so that the app's ``import flask`` finds Torsyq; run the command line."""
    open_doors()
    torsyq.main()


if __name__ == "__main__":
    main()
