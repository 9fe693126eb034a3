"""The command ``run`` of ``torsyq``: Flask's, and an option for the interface."""

from __future__ import annotations

import click

from ..interface import CONTENTS
from . import run_command as flask_run_command

run_command = click.Command(
    "run",
    params=[
        *flask_run_command.params,
        click.Option(
            ["--interface"],
            type=click.Choice(["auto", "wsgi", "asgi"]),
            default="auto",
            show_default=True,
            help=(
                f"How the server calls the app. By itself, ASGI if the app contains {CONTENTS}, and"
                " an ASGI server is installed; else WSGI."
            ),
        ),
    ],
    callback=flask_run_command.callback,
    help=flask_run_command.help,
    short_help=flask_run_command.short_help,
)
