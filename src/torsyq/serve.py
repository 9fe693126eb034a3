"""``torsyq serve``: the app in production, on granian.

The process that was started never imports the app: it watches the workers, each of which imports
it for itself. So nothing that an app opens when it is imported (connections, threads) is shared
between workers by accident.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import sys
import traceback
import typing as t
from pathlib import Path

import click

from .cli import _validate_key
from .cli import pass_script_info
from .cli import ScriptInfo
from .cli import show_server_banner
from .helpers import get_debug_flag

#: ``--interface`` and what granian calls it.
INTERFACES = {"wsgi": "WSGI"}

_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command("serve", short_help="Serve the app in production.")
@click.option("--host", "-h", default="127.0.0.1", help="The interface to bind to.")
@click.option("--port", "-p", default=8000, help="The port to bind to.")
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many processes; about one for each core.",
)
@click.option(
    "--threads",
    "-t",
    type=click.IntRange(min=1),
    default=lambda: 2 * (os.cpu_count() or 1) + 1,
    show_default="twice the cores and one",
    help="How many requests a worker handles at once.",
)
@click.option("--cert", type=_FILE, is_eager=True, help="A certificate file, to serve HTTPS.")
@click.option(
    "--key",
    type=_FILE,
    callback=_validate_key,
    expose_value=False,
    help="The key file of the certificate.",
)
@click.option("--access-log/--no-access-log", help="Write a line for each request.")
@click.option(
    "--interface",
    type=click.Choice(list(INTERFACES)),
    default="wsgi",
    show_default=True,
    help="How the server calls the app.",
)
@click.option(
    "--stop-timeout",
    type=click.IntRange(1, 1800),
    default=30,
    show_default=True,
    help="Seconds that requests in flight are given when the server is told to stop.",
)
@pass_script_info
def serve_command(info: ScriptInfo, /, **options: t.Any) -> None:
    """Serve the app with worker processes that survive one another.

    SIGTERM and Ctrl-C stop it: no new requests are taken, those in flight are finished.
    """
    _need_granian()
    check_address(options["host"], options["port"])
    if options["cert"]:
        check_certificate(*options["cert"])
    check_app(info)
    show_server_banner(get_debug_flag(), info.app_import_path)
    click.echo(
        f" * Interface: {options['interface']}, workers: {options['workers']},"
        f" threads of each: {options['threads']}"
    )
    serve(info, **options)


def _need_granian() -> None:
    try:
        import granian  # noqa: F401
    except ImportError:
        raise click.ClickException(
            "'torsyq serve' runs on granian, which is not installed."
            " Install it with: pip install 'torsyq[serve]'"
        ) from None


def check_address(host: str, port: int) -> None:
    """Bind to the address for a moment.

    Granian lets several servers share a port, so a server that was forgotten, or another
    program, would take a part of the requests without a word.

    :param host: the interface to bind to
    :param port: the port to bind to; 0 lets the system choose and is always free
    :raises click.ClickException: it cannot be bound; says why
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                # What a server stopped a moment ago leaves behind is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise click.ClickException(
            f"The server cannot listen on {host} port {port}: {error.strerror or error}."
            " If another program is using the port, stop it or choose another with --port."
        ) from None


def check_certificate(certificate: str, key: str) -> None:
    """Read the certificate and its key.

    :param certificate: the file of the certificate, with those it was signed by
    :param key: the file of its key, not encrypted
    :raises click.ClickException: they cannot be used together
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password: a key that wants one fails here instead of asking at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"The certificate {certificate!r} cannot be used with the key {key!r}: {error}."
            " Both must be PEM files, the key must belong to the certificate and not be encrypted."
        ) from None


def check_app(info: ScriptInfo) -> None:
    """Load the app once in a process of its own, and end this one if that fails.

    Without it, a broken app would be reported by every worker, again at each restart.

    :param info: says which app
    :raises SystemExit: the app could not be loaded; the reason is on stderr
    """
    trial = multiprocessing.Process(target=_try_app, args=(info,))
    trial.start()
    trial.join()
    if trial.exitcode:
        sys.exit(trial.exitcode)


def _try_app(info: ScriptInfo) -> None:
    code = 0
    try:
        info.load_app()
    except click.ClickException as error:
        code = error.exit_code
        error.show()
    except Exception:
        code = 1
        traceback.print_exc()
        click.echo("Error: The app could not be loaded; the server was not started.", err=True)
    # At once: threads that the app started must not keep the trial alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class AccessFormatter(logging.Formatter):
    """Writes a line of the access log.

    SECURITY: a path is logged decoded, and with ``%0a`` in it would write lines of its own, or
    steer the terminal that shows them with ``%1b``. Control characters are written as escapes.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, printable whatever the request was."""
        line = super().format(record)
        if line.isprintable():
            return line
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


# Replaces granian's formatters, hence the first, which is granian's own.
_LOG_CONFIG = {
    "formatters": {
        "generic": {"format": "[%(levelname)s] %(message)s"},
        "access": {"()": AccessFormatter, "fmt": "%(message)s"},
    }
}


def serve(
    info: ScriptInfo,
    *,
    host: str,
    port: int,
    workers: int,
    threads: int,
    cert: tuple[str, str] | None,
    access_log: bool,
    interface: str,
    stop_timeout: int,
) -> None:
    """Run granian until it is told to stop.

    :param info: says which app
    :param host: the interface to bind to
    :param port: the port to bind to
    :param workers: how many processes
    :param threads: how many requests a worker handles at once
    :param cert: the files of certificate and key
    :param access_log: whether each request is written to stdout
    :param interface: a key of :data:`INTERFACES`
    :param stop_timeout: seconds for requests in flight when stopping
    """
    from granian.constants import Interfaces
    from granian.server import Server

    certificate, key = map(Path, cert) if cert else (None, None)
    server = Server(
        "torsyq",
        address=host,
        port=port,
        interface=Interfaces[INTERFACES[interface]],
        workers=workers,
        blocking_threads=threads,
        websockets=interface != "wsgi",
        log_access=access_log,
        log_dictconfig=_LOG_CONFIG,
        ssl_cert=certificate,
        ssl_key=key,
        respawn_failed_workers=True,
        workers_kill_timeout=stop_timeout,
    )
    server.serve(target_loader=info.load_app, wrap_loader=False)
