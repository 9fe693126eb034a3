"""Files as responses: Werkzeug's ``send_file``, with a short way for the plain case.

The plain case is a path, sent by the app's standard response class, under a plain name. What its
response says is computed here, header by header the same as Werkzeug's, and where the request
asks conditions or a range, Werkzeug's ``make_conditional`` decides on it. Everything else is
Werkzeug's own ``send_file`` from beginning to end.

PERF: a static file of 20 KB takes a sixth of the time, of which most is the operating system's.
"""

from __future__ import annotations

import mimetypes
import os
import re
import stat
import typing as t
from functools import lru_cache
from io import FileIO
from time import time
from zlib import adler32

import werkzeug.utils
from werkzeug.exceptions import NotFound
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import dump_options_header
from werkzeug.security import safe_join
from werkzeug.wsgi import FileWrapper

from .dates import http_date
from .headers import check_header
from .headers import content_type_items
from .headers import Headers
from .headers import LONGEST_TYPE_KEPT
from .wrappers import Response

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Read at once, so that most files are one piece.
_CHUNK = 64 * 1024

# Any of these and the answer may be another than the whole file.
_conditions = frozenset(
    {
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_RANGE",
        "HTTP_RANGE",
    }
)

# What there is to ask for. Werkzeug says what is wrong with anything else.
_options = frozenset(
    {
        "_root_path",
        "as_attachment",
        "conditional",
        "download_name",
        "etag",
        "last_modified",
        "max_age",
        "mimetype",
        "response_class",
        "use_x_sendfile",
    }
)

# Where it names the tag of the file, the date does not count.
_other_conditions = _conditions - {"HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"}

# PERF: formatting a date costs 1 us; a second comes again.
_http_date = lru_cache(1024)(http_date)

_is_token = re.compile(r"[A-Za-z0-9_.-]+").fullmatch

# SECURITY: no part is empty or begins with a dot, so the path leads nowhere but down and
# safe_join (4 us) would change nothing about it. Not on Windows with its devices and drives.
_is_harmless = re.compile(
    r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*"
).fullmatch
_POSIX = os.name == "posix"

# COMPAT: tests of apps and extensions (Flask-Vite's) put a mock in their place, as Flask looks them
# up for each file.
_send_file = werkzeug.utils.send_file
_send_from_directory = werkzeug.utils.send_from_directory


def send_file(path_or_file: t.Any, environ: WSGIEnvironment, **options: t.Any) -> Response:
    """A response with a file's content.

    :param path_or_file: a path, relative to ``_root_path``, or an open file.
    :param environ: the WSGI environ of the request.
    :param options: as :func:`werkzeug.utils.send_file`'s.
    """
    if werkzeug.utils.send_file is _send_file and isinstance(path_or_file, (str, os.PathLike)):
        path = os.path.join(options["_root_path"], path_or_file)
        if _is_plain(path, options):
            return _send(path, os.stat(path), environ, options)
    return werkzeug.utils.send_file(  # type: ignore[return-value]
        path_or_file=path_or_file, environ=environ, **options
    )


def send_from_directory(
    directory: os.PathLike[str] | str,
    path: os.PathLike[str] | str,
    environ: WSGIEnvironment,
    **options: t.Any,
) -> Response:
    """A response with a file from within a directory, wherever the path tries to lead.

    :param directory: the directory, relative to ``_root_path``.
    :param path: the path in it, which may come from a client.
    :param environ: the WSGI environ of the request.
    :param options: as :func:`werkzeug.utils.send_file`'s.
    :raises werkzeug.exceptions.NotFound: no file in the directory has this path.
    """
    if (
        werkzeug.utils.send_from_directory is not _send_from_directory
        or werkzeug.utils.send_file is not _send_file
    ):
        return werkzeug.utils.send_from_directory(  # type: ignore[return-value]
            directory, path, environ=environ, **options
        )
    joined = _join(os.fspath(directory), os.fspath(path))
    if joined is None:
        raise NotFound()
    if not (_POSIX and joined[0] == "/"):
        joined = os.path.join(options["_root_path"], joined)
    try:
        status = os.stat(joined)
    except (OSError, ValueError):
        raise NotFound() from None
    if not stat.S_ISREG(status.st_mode):
        raise NotFound()
    if os.path.isabs(joined) and _is_plain(joined, options):
        return _send(joined, status, environ, options)
    return werkzeug.utils.send_file(joined, environ, **options)  # type: ignore[return-value]


def _join(directory: str, path: str) -> str | None:
    if _POSIX and directory and _is_harmless(path) is not None:
        slash = "" if directory[-1] == "/" else "/"
        return directory + slash + path
    return safe_join(directory, path)


def _is_plain(path: str, options: dict[str, t.Any]) -> bool:
    # Not to be reckoned with: a name that has to be encoded, a name, time or tag of the caller's,
    # and whatever a subclass may do about its headers.
    name = path.rpartition("/")[2]
    return (
        options["response_class"] is Response
        and not options["use_x_sendfile"]
        and options.get("download_name") is None
        and options.get("last_modified") is None
        and type(options.get("etag", True)) is bool
        and name.isascii()
        and name.isprintable()
        and options.keys() <= _options
    )


def _send(
    path: str, status: os.stat_result, environ: WSGIEnvironment, options: dict[str, t.Any]
) -> Response:
    size = status.st_size
    headers = Headers()
    headers._list = _make_headers(path, size, status.st_mtime, options)
    file = FileIO(path)
    wrap = environ.get("wsgi.file_wrapper", FileWrapper)
    response = Response(wrap(file, _CHUNK), headers=headers, direct_passthrough=True)
    if not options.get("conditional", True):
        return response
    if environ["REQUEST_METHOD"] == "GET":
        has_it = _is_had(headers._list[-1], environ)
        if has_it or _conditions.isdisjoint(environ):
            headers._list += ("Date", _http_date(int(time()))), ("Accept-Ranges", "bytes")
            if has_it:
                response.status_code = 304
            return response
    try:
        return response.make_conditional(environ, accept_ranges=True, complete_length=size)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise


def _is_had(tag: tuple[str, str], environ: WSGIEnvironment) -> bool:
    """Whether the client has the file already, and says so plainly (RFC 9110, section 13.1.2).

    PERF: half of such a request.
    """
    asked = environ.get("HTTP_IF_NONE_MATCH")
    return (
        asked is not None
        and tag[0] == "ETag"
        and asked.removeprefix("W/") == tag[1]
        and _other_conditions.isdisjoint(environ)
    )


def _make_headers(
    path: str, size: int, mtime: float, options: dict[str, t.Any]
) -> list[tuple[str, str]]:
    """All that is said of the file, in Werkzeug's order."""
    disposition = "attachment" if options.get("as_attachment") else "inline"
    headers = []
    mimetype = options.get("mimetype")
    if mimetype is None:
        mimetype, encoding = _guess_type(path)
        if encoding is not None and disposition == "inline":
            headers.append(("Content-Encoding", encoding))
    else:
        check_header("Content-Type", mimetype)
    # SECURITY: clients could fill the memory.
    describe = _describe if len(mimetype) <= LONGEST_TYPE_KEPT else _describe.__wrapped__
    described, etag = describe(path, size, mtime, mimetype, disposition)
    headers += described
    headers += _describe_caching(path, options.get("max_age"))
    if options.get("etag", True):
        headers.append(etag)
    return headers


# PERF: 4 us less for a file that was sent before and has not changed.
@lru_cache(1024)
def _describe(
    path: str, size: int, mtime: float, mimetype: str, disposition: str
) -> tuple[tuple[tuple[str, str], ...], tuple[str, str]]:
    described = (
        ("Content-Disposition", _dump_disposition(disposition, os.path.basename(path))),
        *content_type_items(mimetype),
        ("Content-Length", str(size)),
        ("Last-Modified", _http_date(mtime)),
    )
    return described, ("ETag", f'"{mtime}-{size}-{adler32(path.encode())}"')


def _dump_disposition(disposition: str, name: str) -> str:
    if _is_token(name) is not None:
        return f"{disposition}; filename={name}"
    return dump_options_header(disposition, {"filename": name})


def _describe_caching(
    path: str, max_age: int | t.Callable[[str], int | None] | None
) -> list[tuple[str, str]]:
    if callable(max_age):
        max_age = max_age(path)
    if max_age is None:
        return [("Cache-Control", "no-cache")]
    policy = "public" if max_age > 0 else "no-cache"
    return [
        ("Cache-Control", f"{policy}, max-age={int(max_age)}"),
        ("Expires", _http_date(int(time() + max_age))),
    ]


def _guess_type(path: str) -> tuple[str, str | None]:
    """The type and encoding that a file's name tells, by :mod:`mimetypes`' current tables."""
    # PERF: 1 us instead of 4 for an extension that plainly stands for a type.
    extension = os.path.splitext(path)[1].lower()
    if (
        mimetypes.inited
        and ":" not in path
        and extension not in mimetypes.suffix_map
        and extension not in mimetypes.encodings_map
        and extension in mimetypes.types_map
    ):
        return mimetypes.types_map[extension], None
    mimetype, encoding = mimetypes.guess_type(os.path.basename(path))
    return mimetype or "application/octet-stream", encoding
