"""A request as ASGI's messages, made into what WSGI calls one."""

from __future__ import annotations

import sys
import typing as t
from io import BytesIO
from operator import itemgetter
from tempfile import SpooledTemporaryFile
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import ClientDisconnected

from .body import content_length
from .body import IN_MEMORY
from .headers import LONGEST_NAME_KEPT
from .headers import NAMES_KEPT
from .incoming import Incoming
from .incoming import Message
from .incoming import Receive

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Scope = t.MutableMapping[str, t.Any]

# The headers that the walk itself asks for, by their keys in the environment.
_ASKED_FOR = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTP_COOKIE",
        "HTTP_HOST",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
    }
)
_unnamed = {"CONTENT_TYPE", "CONTENT_LENGTH"}
# The mark of an environment that is not complete.
_BEGUN = "torsyq.begun"


def make_environ(scope: Scope) -> WSGIEnvironment:
    """The WSGI environment (:pep:`3333`) of an ASGI connection, but for its body."""
    environ = begin_environ(scope)
    complete_environ(environ)
    return environ


def begin_environ(scope: Scope) -> WSGIEnvironment:
    """What a walk on the event loop asks for of the environment.

    PERF: nobody reads the rest of most requests: 9 % of a text's, more where a browser sends more headers.
    """
    path: str = scope["path"]
    try:
        environ = _environs[_place_of(scope)].copy()
        environ["REQUEST_METHOD"], raw_query = scope["method"], scope["query_string"]
    except (KeyError, TypeError):
        environ, raw_query = _at_some_place(scope)
    if environ["SCRIPT_NAME"]:
        path = _below(scope["root_path"].rstrip("/"), path)
    environ["asgi.scope"] = scope
    environ["PATH_INFO"] = path if path.isascii() else _bytes_of_path(environ, path)
    if raw_query:
        environ["QUERY_STRING"] = raw_query.decode("latin-1")
    headers = scope["headers"]
    if type(headers) is not list:
        headers = scope["headers"] = [*headers]  # Perhaps they can be gone through only once.
    _put_headers(environ, headers, _asked_for)
    return environ


def complete_environ(environ: WSGIEnvironment) -> None:
    """Put what is left into an environment that :func:`begin_environ` made, unless it is there."""
    if _BEGUN not in environ:
        return
    scope = environ["asgi.scope"]
    raw_path = scope.get("raw_path")
    if raw_path is not None:
        uri, query = raw_path.decode("latin-1").partition("?")[0], environ["QUERY_STRING"]
        environ["REQUEST_URI"] = environ["RAW_URI"] = f"{uri}?{query}" if query else uri
    client = scope.get("client")
    if client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    environ["wsgi.errors"] = sys.stderr
    if environ["wsgi.input"] is None:
        environ["wsgi.input"] = BytesIO()
    _put_headers(environ, scope["headers"], _others)
    environ.pop(_BEGUN, None)


# What the environments of a place's requests have in common.
# PERF: copied, since they come to few places: a tenth of an environment's time.
_environs: dict[tuple[t.Any, ...], WSGIEnvironment] = {}
_place_of = itemgetter("scheme", "http_version", "root_path", "server")
# How many places are remembered.
_PLACES_KEPT = 64

# What a server need not say, and what that means.
_NOT_SAID = {
    "method": "GET",
    "scheme": "http",
    "http_version": "1.1",
    "root_path": "",
    "server": None,
    "query_string": b"",
}


def _at_some_place(scope: Scope) -> tuple[WSGIEnvironment, bytes]:
    """The environment to fill in and the query, if the place is new or the server said less."""
    said = {**_NOT_SAID, **scope}
    if said["server"] is not None:
        said["server"] = tuple(said["server"])
    place = _place_of(said)
    common = _environs.get(place)
    if common is None:
        if len(_environs) >= _PLACES_KEPT:
            _environs.clear()
        common = _environs[place] = _environ_of_place(*place)
    environ = common.copy()
    environ["REQUEST_METHOD"] = said["method"]
    return environ, said["query_string"]


def _environ_of_place(
    scheme: str, http_version: str, root_path: str, server: tuple[str, int | None] | None
) -> WSGIEnvironment:
    host, port = server or ("", None)
    environ = {
        "SCRIPT_NAME": root_path.rstrip("/").encode().decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": "" if port is None else str(port),
        "SERVER_PROTOCOL": f"HTTP/{http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        # See torsyq.ctx.when_over.
        "torsyq.under_way": True,
        _BEGUN: True,
        # What each request fills in.
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "wsgi.input": None,
        "wsgi.errors": None,
        "asgi.scope": None,
    }
    # PERF: a copy has the room of the original, and need not grow twice for what is put into it.
    room = [*map(str, range(7))]
    for key in room:
        environ[key] = None
    for key in room:
        del environ[key]
    return environ


def _below(root_path: str, path: str) -> str:
    # The path should begin with the root path; some servers leave it out.
    if path == root_path or path.startswith(f"{root_path}/"):
        return path[len(root_path) :]
    return path


def _bytes_of_path(environ: WSGIEnvironment, path: str) -> str:
    """The path's bytes as WSGI wants them, those too that are not UTF-8 if the server kept them."""
    scope = environ["asgi.scope"]
    if "\ufffd" in path and scope.get("raw_path"):
        raw = unquote_to_bytes(scope["raw_path"].partition(b"?")[0])
        # Not if a middleware has changed the one and left the other.
        if raw.decode(errors="replace") == scope["path"]:
            return _below(environ["SCRIPT_NAME"], raw.decode("latin-1"))
    return path.encode("utf-8", "surrogatepass").decode("latin-1")


# The environment's keys for the names of headers; None for those that are not of this kind.
_Keys = dict[bytes, str | None]
_asked_for: _Keys = {}
_others: _Keys = {}


def _put_headers(
    environ: WSGIEnvironment, headers: t.Iterable[tuple[bytes, bytes]], keys: _Keys
) -> None:
    """Put the headers that there are keys for.

    PERF: what is seldom (no name known, a name twice) is seen at the end: 10 headers in 0.8 us
    instead of 2.7.
    """
    count = len(environ)
    try:
        for raw_name, raw_value in headers:
            key = keys[raw_name]
            if key is not None:
                environ[key] = raw_value.decode("latin-1")
                count += 1
    except KeyError:
        count = -1
    if len(environ) != count:
        environ.update(_joined(headers, keys is _asked_for))


def _joined(headers: t.Iterable[tuple[bytes, bytes]], are_asked_for: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        key, value = _key_of(raw_name), raw_value.decode("latin-1")
        if key is None or (key in _ASKED_FOR) is not are_asked_for:
            continue
        if key in found:
            value = f"{found[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        found[key] = value
    return found


def _key_of(raw_name: bytes) -> str | None:
    # SECURITY: "X_Forwarded_For" would pass for "X-Forwarded-For", which proxies guard. So would
    # a name with "ß", whose capital is "SS".
    if b"_" in raw_name or not raw_name.isascii():
        return None
    name = raw_name.decode("latin-1").upper().replace("-", "_")
    key = name if name in _unnamed else f"HTTP_{name}"
    # SECURITY: clients could fill the memory with names.
    if len(_others) < NAMES_KEPT and len(raw_name) <= LONGEST_NAME_KEPT:
        is_asked_for = key in _ASKED_FOR
        _asked_for[raw_name] = key if is_asked_for else None
        _others[raw_name] = None if is_asked_for else key
    return key


#: The message of a request without a body.
NO_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}

# The methods whose requests have no body unless they announce one, and where that holds.
_BODILESS = {"GET", "HEAD"}
_HTTP_1 = {"HTTP/1.1", "HTTP/1.0"}


def may_have_body(environ: WSGIEnvironment) -> bool:
    """Whether a request's body must be asked for.

    PERF: to be told by a message that there is none is 2 % of a request, without the server's part
    in it.

    COMPAT: HTTP/1 announces each body (:rfc:`9112#section-6.3`), but what hands other things over
    as HTTP/1 (AWS Lambda's events) need not. So that is relied on for two methods alone.
    """
    return (
        environ["REQUEST_METHOD"] not in _BODILESS
        or "CONTENT_LENGTH" in environ
        or "HTTP_TRANSFER_ENCODING" in environ
        or environ["SERVER_PROTOCOL"] not in _HTTP_1
    )


async def receive_body(
    receive: Receive, environ: WSGIEnvironment, limit: int | None, begun: Message | None = None
) -> None:
    """Receive the whole body into ``wsgi.input``, on disk where it is large.

    A body beyond *limit* is left with the server: what exceeds it is taken from there only if
    the view raises its own limit and reads on.

    :param begun: the first message, if it was received already.
    :raises werkzeug.exceptions.ClientDisconnected: the client went away first.
    """
    length = content_length(environ)
    if limit is not None and length is not None and length > limit:
        stream_body(receive, environ)
        return
    message = await receive() if begun is None else begun
    if message["type"] == "http.disconnect":
        # It and the request that may have been made of it hold each other.
        environ.clear()
        raise ClientDisconnected()
    body = message.get("body", b"")
    # PERF: hypercorn tells of the end in a message of its own, after one with all that was announced.
    # Not to wait for it, and no file of pieces, is a seventh of a small body's request.
    if not message.get("more_body", False) or len(body) == length:
        environ["wsgi.input"] = BytesIO(body)
        size = len(body)
    else:
        file = environ["wsgi.input"] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed after the walk)
        try:
            size = file.write(body)
            while message.get("more_body", False):
                if limit is not None and size > limit:
                    file.seek(0)
                    return stream_body(receive, environ, file)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected()
                size += file.write(message.get("body", b""))
            file.seek(0)
        except BaseException:
            # The client or the disk is gone, or the server stops.
            file.close()
            environ.clear()
            raise
    if size and length is None:
        # It came in chunks; its length is known now.
        environ["CONTENT_LENGTH"] = str(size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)


def stream_body(
    receive: Receive, environ: WSGIEnvironment, begun: t.IO[bytes] | None = None
) -> None:
    """Make ``wsgi.input`` a body that arrives while it is read."""
    environ["wsgi.input"] = Incoming(receive, begun)
    environ["wsgi.input_terminated"] = True
