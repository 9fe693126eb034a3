"""Werkzeug's debugger on an event loop."""

from __future__ import annotations

import typing as t
from functools import wraps
from itertools import chain

from werkzeug.debug import DebuggedApplication
from werkzeug.wsgi import ClosingIterator

from .body import Chunks
from .body import Pieces

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

    from .app import Flask

# What an answer begins with for the debugger, and where that finds what the app returned.
_BEGUN: t.Any = object()
_BODY = "torsyq.debugged_body"


def add_debugger(app: Flask, hostname: str) -> None:
    """Show errors in Werkzeug's debugger.

    It is WSGI middleware, so each request goes through that stack in a thread; what is
    ``async def`` runs on the loop all the same, and a stream is sent from there.
    """
    debugged = _Debugger(_marked(app.wsgi_app), evalex=True)
    debugged.trusted_hosts.append(hostname)
    app.wsgi_app = debugged  # type: ignore[method-assign]


class _Debugger(DebuggedApplication):
    """Hands on what can be awaited as such, so that it is sent without a thread."""

    def debug_application(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> t.Iterator[bytes]:
        """The app's answer, with the page of an error in it."""
        pieces: t.Any = super().debug_application(environ, start_response)
        first = next(pieces)
        if first is not _BEGUN:
            return ClosingIterator(chain([first], pieces), pieces.close)
        body = environ.pop(_BODY)
        if type(body) is not Chunks or body.awaitable is None:
            return t.cast("t.Iterator[bytes]", pieces)
        source, filler, pause = body.awaitable, body.awaitable.filler, body.awaitable.pause
        stream = Pieces(_debugged(source, pieces), bytes, filler, pause)
        return Chunks(t.cast("t.Iterator[bytes]", stream), pieces.close)


def _marked(app: WSGIApplication) -> WSGIApplication:
    """*app*, whose answers begin with a mark for the debugger, which is no part of them."""

    @wraps(app)
    def marked(environ: WSGIEnvironment, start_response: StartResponse) -> t.Iterator[bytes]:
        environ[_BODY] = body = app(environ, start_response)
        try:
            yield _BEGUN
            yield from body
        finally:
            if hasattr(body, "close"):
                body.close()

    return marked


async def _debugged(pieces: Pieces, debugger: t.Any) -> t.AsyncIterator[bytes]:
    """Yield *pieces*, and what the *debugger* says of an error on the way."""
    try:
        try:
            async for item in pieces.items():
                yield pieces.encode(item)
        finally:
            await pieces.aclose()
    except Exception as error:
        page = [debugger.throw(error), *debugger]
    else:
        return
    for piece in page:
        yield piece
