"""``torsyq serve``: the app in production, on granian.

The process that was started never imports the app: it watches the workers, each of which imports
it for itself. So nothing that an app opens when it is imported (connections, threads) is shared
between workers by accident.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import typing as t
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from pickle import PicklingError
from queue import Empty
from queue import SimpleQueue

import click

from .cli import _validate_key
from .cli import pass_script_info
from .cli import ScriptInfo
from .cli import show_server_banner
from .cli._checks import check_address
from .cli._checks import check_certificate
from .cli._script import encodable
from .connections import MOST
from .connections import most_connections
from .greenlets import GLANCE
from .greenlets import UNINTERRUPTIBLE
from .helpers import get_debug_flag
from .interface import better_on_asgi
from .interface import CONTENTS

if t.TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: ``--interface`` and what granian calls it.
INTERFACES = {"wsgi": "WSGI", "asgi": "ASGI", "rsgi": "RSGI"}

_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command("serve", short_help="Serve the app in production.")
@click.option(
    "--host", "-h", default="127.0.0.1", show_default=True, help="The interface to bind to."
)
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to bind to; with 0, one that is free.",
)
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
    show_default="WSGI: twice the cores and one; ASGI: the app's ASGI_THREADS",
    help="How many requests a worker handles in threads at once.",
)
@click.option(
    "--backpressure",
    type=click.IntRange(1, MOST),
    show_default="WSGI: 1024 among all workers; ASGI: by the limit of open files",
    help="How many connections a worker holds open at once; more wait to be accepted.",
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
    type=click.Choice(["auto", *INTERFACES]),
    default="auto",
    show_default=True,
    help=(
        f"How the server calls the app. By itself, ASGI if the app contains {CONTENTS}, else WSGI."
    ),
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

    SIGTERM and Ctrl+C stop it: no new requests are taken, those in flight are finished.
    """
    _need_granian()
    # Granian takes no names, and with port 0 would not tell which one it is.
    options["host"], options["port"] = check_address(options["host"], options["port"])
    if sys.platform == "win32" and options["workers"] > 1:
        click.echo(" * On Windows granian has one worker. Give it more --threads.", err=True)
        options["workers"] = 1
    if options["cert"]:
        check_certificate(*options["cert"])
    trial = check_app(info)
    reason = ""
    if options["interface"] == "auto":
        options["interface"] = "asgi" if trial.features else "wsgi"
        if trial.features:
            reason = f" (the app contains {' and '.join(trial.features)})"
    if options["threads"] is None:
        cores = os.cpu_count() or 1
        is_wsgi = options["interface"] == "wsgi"
        options["threads"] = 2 * cores + 1 if is_wsgi else trial.threads
    most = _most_connections(options["interface"], options["workers"])
    options["backpressure"] = options["backpressure"] or most
    show_server_banner(get_debug_flag(), info.app_import_path)
    click.echo(
        f" * Interface: {options['interface']}{reason}, workers: {options['workers']},"
        f" threads of each: {options['threads']}, connections of each: {options['backpressure']}"
    )
    serve(info, **options)


def _most_connections(interface: str, workers: int) -> int:
    """How many connections a worker holds open if nobody says how many: as many as it can.

    Over WSGI as many as granian has: requests beyond the threads only wait, and while few wait, a
    server that had too many is soon past those whose clients have gone.
    """
    most = most_connections() // (workers if _workers_are_threads() else 1)
    return min(most, max(1, 1024 // workers)) if interface == "wsgi" else most


def _workers_are_threads() -> bool:
    """Whether workers are threads of this process, as where Python runs without its lock."""
    from granian.server import MTServer
    from granian.server import Server

    return issubclass(Server, MTServer)


def _need_granian() -> None:
    try:
        import granian  # noqa: F401
    except ImportError:
        raise click.ClickException(
            "'torsyq serve' runs on granian, which is not installed."
            " Install it with: pip install 'torsyq[serve]'"
        ) from None


class Trial(t.NamedTuple):
    """What came out when the app was loaded for a trial."""

    features: list[str]
    threads: int


def check_app(info: ScriptInfo) -> Trial:
    """Load the app once in a process of its own, and end this one if that fails.

    Without it, a broken app would be reported by every worker, again at each restart.

    :param info: says which app
    :return: what the app contains that ASGI serves better, and its ``ASGI_THREADS``
    :raises SystemExit: the app could not be loaded; the reason is on stderr
    :raises click.ClickException: what makes the app cannot be handed to another process
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    trial = multiprocessing.Process(target=_try_app, args=(info, sender))
    try:
        trial.start()
    except (AttributeError, PicklingError, TypeError) as error:
        raise click.ClickException(
            f"A worker cannot be told how to make the app: {error}. Where processes are not forked"
            " (Windows, macOS, Python 3.14), that is a function at the top of a module, which is"
            " found by its name. Usually 'create_app' is a lambda or within another function."
        ) from None
    # This end is the child's alone, so that reading ends when the child does.
    sender.close()
    try:
        # On Windows reading does not end when the child does before it has taken over its end.
        if receiver not in wait([receiver, trial.sentinel]):
            raise EOFError
        result = Trial(*receiver.recv())
    except EOFError:
        trial.join()
        sys.exit(trial.exitcode or 1)
    finally:
        receiver.close()
    trial.join()
    return result


def _try_app(info: ScriptInfo, sender: Connection) -> None:
    code = 0
    try:
        app = info.load_app()
        sender.send((better_on_asgi(app), app.config["ASGI_THREADS"]))
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
        if not line.isprintable():
            line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        return encodable(line)


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
    backpressure: int,
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
    :param backpressure: how many connections a worker holds open at once
    :param cert: the files of certificate and key
    :param access_log: whether each request is written to stdout
    :param interface: a key of :data:`INTERFACES`
    :param stop_timeout: seconds for requests in flight when stopping
    """
    from granian.constants import HTTPModes
    from granian.constants import Interfaces
    from granian.server import Server

    are_threads = _workers_are_threads()
    certificate, key = map(Path, cert) if cert else (None, None)
    is_wsgi = interface == "wsgi"

    server = Server(
        "torsyq",
        address=host,
        port=port,
        interface=Interfaces[INTERFACES[interface]],
        workers=workers,
        # Under ASGI and RSGI the app has its own threads.
        blocking_threads=threads if is_wsgi else 1,
        # SECURITY: over WSGI and HTTP/2, granian 2.8 never ends the reading of a body that breaks
        # off: each would keep one of the threads, at work, for ever.
        http=HTTPModes.http1 if is_wsgi else HTTPModes.auto,
        backpressure=backpressure,
        websockets=not is_wsgi,
        log_access=access_log,
        log_dictconfig=_LOG_CONFIG,
        ssl_cert=certificate,
        ssl_key=key,
        respawn_failed_workers=True,
        # A thread can't be killed, and granian would end in an error.
        workers_kill_timeout=None if are_threads else stop_timeout,
    )
    if are_threads:
        shutdown = partial(_shut_down_in_time, server.shutdown, stop_timeout)
        server.shutdown = shutdown  # type: ignore[method-assign]
    server.main_loop_interrupt = _Interrupt()
    # A partial, since it is pickled where processes are not forked.
    loader = partial(_load_in_worker, info, interface, threads)
    server.serve(target_loader=loader, wrap_loader=False)


class _Interrupt(threading.Event):
    """What granian's loop waits for: each :meth:`set` ends one wait, now or later.

    Granian clears its own amid its work, and what it is told at that moment would be forgotten. Its
    signal handler sets it, too, and waited for ever for the lock of a wait that it interrupts.
    """

    def __init__(self) -> None:
        super().__init__()
        # Whose put() may interrupt its get().
        self._told: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """End a wait."""
        self._told.put(None)

    def clear(self) -> None:
        """Forget nothing."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, where need be in short turns, so that Ctrl+C is seen in between."""
        while True:
            try:
                self._told.get(timeout=GLANCE if UNINTERRUPTIBLE and timeout is None else timeout)
            except Empty:
                if timeout is not None:
                    return False
            else:
                return True


def _load_in_worker(info: ScriptInfo, interface: str, threads: int) -> t.Callable[..., t.Any]:
    # Without the GIL this is no process of its own, but the one that was started.
    if sys.platform != "win32" and multiprocessing.parent_process():
        _leave_interrupts()
        if interface == "wsgi":
            _be_woken_by_signals()
    app = info.load_app()
    if interface == "wsgi":
        return app
    app.config["ASGI_THREADS"] = threads
    # COMPAT: not 'app' for ASGI: Sentry's SDK puts a WSGI function in the place of Flask.__call__.
    return app if interface == "rsgi" else app.asgi_app


def _shut_down_in_time(
    shutdown: t.Callable[[int], None], seconds: float, exit_code: int = 0
) -> None:
    """Have granian shut down, and end the process where that takes too long.

    It waits for its workers, and then Python for the threads in which requests are at work.
    """
    timer = threading.Timer(seconds, _give_up, [exit_code])
    timer.daemon = True
    timer.start()
    shutdown(exit_code)


def _give_up(exit_code: int) -> None:
    click.echo("[WARNING] Ending, since a worker refused to gracefully stop", err=True)
    sys.stdout.flush()
    os._exit(exit_code)


def _leave_interrupts() -> None:
    """Pass over Ctrl+C, which a terminal sends to the workers and to who stops them alike."""
    # Neither blocked nor ignored: it would be so in what the app starts, too.
    signal.signal(signal.SIGINT, lambda *_: None)
    with suppress(ImportError):
        from granian import _signals

        _signals._get_signals = lambda: [signal.SIGTERM]


def _be_woken_by_signals() -> None:
    """Have the main thread, which waits for nothing else, see each signal to stop."""
    # COMPAT: of two signals at once the system may give the second to a thread of granian's, but
    # only the main thread runs what is called then. An event loop sees to that by itself.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    main = threading.get_ident()

    def wake() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGTERM:
                signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=wake, daemon=True).start()
