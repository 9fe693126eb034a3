"""The application's logger, and where it writes when nobody set up logging."""

from __future__ import annotations

import logging
import sys
import typing as t

from werkzeug.local import LocalProxy

from .globals import request

if t.TYPE_CHECKING:
    from .sansio.app import App

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}


@LocalProxy
def wsgi_errors_stream() -> t.TextIO:
    """Where the server wants errors written: ``wsgi.errors`` of the current request, or
    ``sys.stderr`` when there is none. A :mod:`logging` handler may take it as its stream.
    """
    if request:
        stream: t.TextIO = request.environ["wsgi.errors"]
        return stream

    return sys.stderr


def has_level_handler(logger: logging.Logger) -> bool:
    """Whether any handler that gets the logger's messages takes those of its level."""
    level = logger.getEffectiveLevel()
    current: logging.Logger | None = logger

    while current is not None:
        if any(handler.level <= level for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None

    return False


#: Writes to :data:`wsgi_errors_stream`: time, level, module, message.
default_handler = logging.StreamHandler(wsgi_errors_stream)  # type: ignore[call-overload]
default_handler.setFormatter(
    logging.Formatter("[%(asctime)s] %(levelname)s in %(module)s: %(message)s")
)


def create_logger(app: App) -> logging.Logger:
    """The logger of the application's name, ready to use.

    In debug mode its level is ``DEBUG`` unless one was set. :data:`default_handler` is added when
    there is no handler for its level yet.

    :param app: the application.
    """
    logger = logging.getLogger(app.name)

    if app.debug and not logger.level:
        logger.setLevel(logging.DEBUG)

    if not has_level_handler(logger):
        logger.addHandler(default_handler)

    return logger


def printable(text: str) -> str:
    """The text with control characters and line separators written as escapes.

    SECURITY: a path may hold ``%0A``: logged as it is, it would put a line of the client's
    choice into the log (CWE-117).

    :param text: anything a client sent.

    .. code-block:: python

        printable("/a\\nERROR in app")  # "/a\\\\x0aERROR in app"
    """
    return text.translate(_CONTROL)
