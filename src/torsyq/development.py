"""The development server for what WSGI cannot serve: ``run`` on an event loop.

Werkzeug's reloader and debugger, and the lines it writes, around an ASGI server: the first that
is installed of granian, uvicorn and hypercorn.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import traceback
import typing as t
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import strftime

import click
from werkzeug._internal import _log
from werkzeug.serving import is_running_from_reloader
from werkzeug.serving import make_server

from .connections import most_connections
from .greenlets import GLANCE
from .greenlets import UNINTERRUPTIBLE
from .interface import better_on_asgi
from .interface import beyond_wsgi
from .logging import printable

if t.TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from .app import Flask
    from .asgi_answer import Send
    from .asgi_request import Scope
    from .incoming import Message
    from .incoming import Receive

ENGINES = ("granian", "uvicorn", "hypercorn")

# Seconds that requests and sockets are given when the server stops or starts anew, and then those
# that were cancelled, and the hooks.
_PATIENCE = 1.5

# What run_on_loop() takes of run_simple()'s.
_OPTIONS = {
    "use_reloader",
    "use_debugger",
    "threaded",
    "ssl_context",
    "extra_files",
    "exclude_patterns",
}

# The variable that says where the process of the reloader leaves its number while it serves.
_NOTE = "TORSYQ_RELOADER_NOTE"

_MISSING = "Install one with: pip install 'torsyq[serve]'"


def find_engine() -> str | None:
    """The ASGI server to run on; None if there is none."""
    return next((name for name in ENGINES if find_spec(name) is not None), None)


def is_for_loop(app: t.Any, interface: str) -> bool:
    """Whether ``run`` serves *app* on an event loop.

    :param interface: ``wsgi`` or ``asgi``; ``auto`` for what the app contains; ``flask`` for what
        it contains that a Flask app cannot, so that ``flask run`` stays what it is.
    :raises click.ClickException: it was asked for, and there is no ASGI server.
    """
    if interface == "wsgi" or not hasattr(app, "asgi_app"):
        return False
    engine = find_engine()
    if interface == "asgi":
        if engine is None:
            raise click.ClickException(f"There is no ASGI server to run on. {_MISSING}")
        return True
    beyond = beyond_wsgi(app)
    if beyond and engine is None and not is_running_from_reloader():
        click.secho(
            f" * The app contains {' and '.join(beyond)}: for that, an ASGI server is needed,"
            f" and there is none. {_MISSING}",
            fg="yellow",
            err=True,
        )
    return bool(engine and (beyond or (interface == "auto" and better_on_asgi(app))))


def runner_of(app: Flask, options: dict[str, t.Any]) -> t.Callable[..., None]:
    """What ``app.run()`` serves *app* with: the loop where the app needs it, else Werkzeug.

    :param options: which it will be called with. With those that only Werkzeug knows, it is that,
        and so it is in another thread than the main one, where no signal arrives.
    """
    # COMPAT: looked up late, since tests of apps replace it.
    from werkzeug.serving import run_simple

    is_possible = (
        options.keys() <= _OPTIONS
        and isinstance(options.get("ssl_context"), tuple | str | None)
        and threading.current_thread() is threading.main_thread()
    )
    return run_on_loop if is_possible and is_for_loop(app, "flask") else run_simple


def run_on_loop(
    hostname: str,
    port: int,
    application: Flask,
    *,
    use_reloader: bool = False,
    use_debugger: bool = False,
    threaded: bool = True,
    ssl_context: ssl.SSLContext | tuple[str, str | None] | t.Literal["adhoc"] | None = None,
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
) -> None:
    """What :func:`werkzeug.serving.run_simple` is for WSGI, with the same parameters.

    :raises SystemExit: it cannot listen at the address; stderr says why.
    :raises click.ClickException: the certificate is not in files.
    """
    if not threaded:
        application.config["ASGI_THREADS"] = 1
    if use_debugger:
        from .debugger import add_debugger

        add_debugger(application, hostname)
    engine = None
    try:
        with TemporaryDirectory() as folder:
            pair = _certificate(ssl_context, folder, hostname)
            listener = _listen(hostname, port, application, pair)
            engine = Engine(application, listener, pair)
            try:
                if use_reloader:
                    _run_with_reloader(engine, folder, extra_files, exclude_patterns)
                else:
                    engine.run_to_signal()
            finally:
                engine.stop()
                listener.close()
                if note := os.environ.pop(_NOTE, None):
                    Path(note).unlink(missing_ok=True)
    finally:
        reason = sys.exception()
        if engine is not None and engine.is_at_work() and not isinstance(reason, Exception):
            # Python would wait for the threads of sync views, perhaps for ever.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(getattr(reason, "code", 0))


def _listen(hostname: str, port: int, app: Flask, pair: tuple[str, str] | None) -> socket.socket:
    """The socket at the address, held by the first process also while code is reloaded."""
    if is_running_from_reloader():
        return socket.socket(fileno=int(os.environ["WERKZEUG_SERVER_FD"]))
    # Werkzeug's, for its messages. Its socket, which speaks TLS by itself, is held as a plain one.
    server = make_server(hostname, port, app, ssl_context=pair)
    listener = socket.fromfd(server.fileno(), server.address_family, server.socket_type)
    listener.set_inheritable(True)
    os.environ["WERKZEUG_SERVER_FD"] = str(listener.fileno())
    server.log_startup()
    server.server_close()
    _log("info", f" * Interface: asgi, on {find_engine()}\nPress CTRL+C to quit")
    return listener


def _run_with_reloader(
    engine: Engine,
    folder: str,
    extra_files: Iterable[str] | None,
    exclude_patterns: Iterable[str] | None,
) -> None:
    """Serve in a second process, which is started anew when code has changed.

    Werkzeug's first process kills the second, when it is told to stop. This one hands that on.
    """
    from werkzeug._reloader import reloader_loops
    from werkzeug._reloader import run_with_reloader

    if is_running_from_reloader():
        # It says nothing if the app that was there first needed no loop.
        if note := os.environ.get(_NOTE):
            Path(note).write_text(str(os.getpid()))
        run_with_reloader(engine.run, extra_files, exclude_patterns)
        return
    note = os.environ[_NOTE] = os.path.join(folder, "pid")

    def hand_on(*_: object) -> None:
        # Who tells it twice does not want to wait.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            os.kill(int(Path(note).read_text()), signal.SIGTERM)
        except (OSError, ValueError):
            sys.exit(0)  # The second process has not begun to serve, or has ended.

    signal.signal(signal.SIGTERM, hand_on)
    with suppress(KeyboardInterrupt):
        sys.exit(reloader_loops["auto"](extra_files, exclude_patterns).restart_with_reloader())


def _certificate(given: t.Any, folder: str, hostname: str) -> tuple[str, str] | None:
    if given is None or isinstance(given, tuple):
        return given
    if given == "adhoc":
        from werkzeug.serving import make_ssl_devcert

        return make_ssl_devcert(os.path.join(folder, "adhoc"), host=hostname)
    raise click.ClickException(
        "An ASGI server reads the certificate from files. Give them with --cert and --key, or"
        " serve on WSGI with --interface wsgi."
    )


class Engine:
    """An ASGI server in a thread.

    :param app: the app to serve.
    :param listener: the socket that listens.
    :param pair: the files of a certificate and its key.
    """

    def __init__(self, app: Flask, listener: socket.socket, pair: tuple[str, str] | None) -> None:
        self.app, self.pair = app, pair
        self.name = find_engine()
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        # Those at work: granian, and hypercorn from Python 3.12 on, would wait for them for ever.
        self._tasks: set[asyncio.Task[t.Any]] = set()
        self._has_failed = False
        self._tell: t.Callable[[], object] = lambda: None

    def run(self) -> None:
        """Serve until told to stop, or until the app has failed to start."""
        try:
            asyncio.run(self._serve())
        except Exception:
            # Servers raise their own errors then; the app's has been told.
            if not self._has_failed:
                raise
        finally:
            self._ended.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await getattr(self, f"_on_{self.name}")()

    async def _on_granian(self) -> None:
        import granian._granian
        from granian.constants import Interfaces
        from granian.server.embed import Server

        certificate, key = map(Path, self.pair) if self.pair else (None, None)
        server: t.Any = Server(
            self._answer,
            interface=Interfaces.ASGI,
            log_enabled=False,
            backpressure=most_connections(),
            ssl_cert=certificate,
            ssl_key=key,
        )
        # It has no option for a socket that is open already.
        server._shd = _held(granian._granian.SocketHolder, self._listener.dup().detach())
        server._init_shared_socket = lambda: None
        self._tell = server.stop
        await server.serve()

    async def _on_uvicorn(self) -> None:
        import uvicorn

        certificate, key = self.pair or (None, None)
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            log_level="warning",
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        self._tell = lambda: setattr(server, "should_exit", True)
        await server.serve(sockets=[self._listener.dup()])

    async def _on_hypercorn(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{self._listener.dup().detach()}"]
        config.certfile, config.keyfile = self.pair or (None, None)
        config.loglevel = "WARNING"
        config.graceful_timeout = 1
        told = asyncio.Event()
        self._tell = told.set
        app: t.Any = self._answer
        await serve(app, config, shutdown_trigger=told.wait, mode="asgi")

    def run_to_signal(self) -> None:
        """Serve until the process is told to stop, by Ctrl+C or SIGTERM.

        :raises SystemExit: the app has failed to start.
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        threading.Thread(target=self.run, daemon=True).start()
        try:
            # Not Thread.join(): interrupted by a signal, it takes the thread for ended.
            while not self._ended.wait(GLANCE if UNINTERRUPTIBLE else None):
                pass
        except KeyboardInterrupt:
            return
        if self._has_failed:
            sys.exit(1)

    def stop(self) -> None:
        """Tell the server to stop, and wait for that a little; end what does not end by itself.

        SIGTERM, which may come from two sides, does not cut that short, but ends the process then.
        """
        told: list[object] = []
        before = signal.signal(signal.SIGTERM, lambda *_: told.append(_))
        try:
            for step in (lambda: self._tell()), self._cancel:
                if self.is_at_work():
                    with suppress(RuntimeError):  # The loop has just been closed.
                        t.cast("t.Any", self._loop).call_soon_threadsafe(step)
                    self._ended.wait(_PATIENCE)
        finally:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        if told:
            sys.exit(0)

    def is_at_work(self) -> bool:
        """Whether it has begun to serve, and not ended."""
        return self._loop is not None and not self._ended.is_set()

    def _cancel(self) -> None:
        for task in self._tasks:
            # The server may have done so, and what cleans up then is not to be cut short.
            if not task.cancelling():
                task.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, in a task that can be cancelled."""
        if scope["type"] == "lifespan":
            await self._call(scope, receive, send)
            return
        task = t.cast("asyncio.Task[t.Any]", asyncio.current_task())
        self._tasks.add(task)
        try:
            await self._call(scope, receive, send)
        finally:
            self._tasks.discard(task)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app; write the line of the request, and its error if there is one."""
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            kind = message["type"]
            if kind.endswith("response.start") or kind == "websocket.accept":
                has_started = True
                _log_request(scope, message.get("status", 101))
            elif kind == "lifespan.startup.failed":
                self._has_failed = True
            await send(message)

        try:
            await self.app.asgi_app(scope, receive, watched)
        except Exception:
            if scope["type"] == "lifespan":
                raise
            _log("error", f"Error on request:\n{traceback.format_exc()}")
            if has_started or scope["type"] != "http":
                raise
            headers = [(b"content-type", b"text/plain")]
            await watched({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": b"Internal Server Error"})


def _held(holder: t.Any, fd: int) -> t.Any:
    """The socket *fd* as granian holds it, who is told two things more on Linux, one on macOS."""
    for more in [(False, 128), (False,), ()]:
        with suppress(TypeError):
            return holder(fd, *more)
    raise TypeError(f"granian's {holder!r} does not take a socket in any way that is known")


def _log_request(scope: Scope, status: int) -> None:
    query = scope["query_string"].decode("latin-1")
    path = printable(scope["path"] + (f"?{query}" if query else ""))
    client = (scope.get("client") or ("-",))[0]
    method = scope.get("method", "GET")
    line = f"{method} {path} HTTP/{scope.get('http_version', '1.1')}"
    _log("info", '%s - - [%s] "%s" %s -', client, strftime("%d/%b/%Y %H:%M:%S"), line, status)
