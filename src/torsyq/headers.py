"""Header lists as Werkzeug makes them: cheaper, and refusing what could split one.

A header written into a response by the application may carry text that came from a client. CR, LF
and NUL in it would end the header early and let the client write the next one (RFC 9110,
section 5.5), so they are refused where the header is set, in the name as in the value.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote

from werkzeug import datastructures as ds
from werkzeug.exceptions import BadRequestKeyError
from werkzeug.http import parse_options_header
from werkzeug.urls import iri_to_uri
from werkzeug.utils import get_content_type

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_find_unsafe = re.compile("[\r\n\0]").search


def check_header(name: t.Any, value: t.Any) -> None:
    """Refuse a header whose name or value could end it early.

    :raises ValueError: CR, LF or NUL is in one of them.
    """
    # SECURITY: response splitting.
    text = value if isinstance(value, str) else str(value)
    if _find_unsafe(text) is not None:
        raise ValueError(
            "Header values must not contain newline characters."
            if "\0" not in text
            else f"Header values must not contain NUL characters, as in {value!r} for {name!r}."
        )
    if _find_unsafe(str(name)) is not None:
        raise ValueError(f"Header names must not contain newline or NUL characters: {name!r}.")


class Headers(ds.Headers):
    """Werkzeug's ordered headers: a single call to set one, CR, LF and NUL refused everywhere.

    PERF: setting one takes two thirds of the time, looking whether it is there a fifth.
    """

    def set(self, key: str, value: t.Any, /, **kwargs: t.Any) -> None:
        """Replace every header called *key* by one; see :meth:`werkzeug.datastructures.Headers.set`.

        :raises ValueError: the name or the value contains CR, LF or NUL.
        """
        if kwargs:
            return self._set_with_options(key, value, kwargs)
        # PERF: isinstance() only where need be.
        if type(value) is not str and not isinstance(value, str):
            value = str(value)
        # PERF: isprintable() alone, without a regex, for nearly every header there is.
        if not (value.isprintable() and key.isprintable()):
            check_header(key, value)
        items = self._list
        ikey = key.lower()
        for index, (old, _) in enumerate(items):
            if old == key or old.lower() == ikey:
                items[index] = (key, value)
                break
        else:
            items.append((key, value))
            return
        index += 1
        if index != len(items):
            items[index:] = [item for item in items[index:] if item[0].lower() != ikey]

    def _set_with_options(self, key: str, value: t.Any, options: dict[str, t.Any]) -> None:
        plain = ds.Headers()
        plain.add(key, value, **options)
        self.set(key, plain._list[0][1])

    def __setitem__(self, key: t.Any, value: t.Any) -> None:
        if type(key) is str:
            self.set(key, value)
            return
        if isinstance(key, int):
            check_header(*value)
        elif isinstance(key, slice):
            value = list(value)
            for item in value:
                check_header(*item)
        super().__setitem__(key, value)

    def add(self, key: str, value: t.Any, /, **kwargs: t.Any) -> None:
        """Append a header; see :meth:`werkzeug.datastructures.Headers.add`.

        :raises ValueError: the name or the value contains CR, LF or NUL.
        """
        if kwargs:
            super().add(key, value, **kwargs)
            key, value = self._list.pop()
        elif type(value) is not str and not isinstance(value, str):
            value = str(value)
        if not (value.isprintable() and key.isprintable()):
            check_header(key, value)
        self._list.append((key, value))

    def __contains__(self, key: object) -> bool:
        ikey = key.lower()  # type: ignore[attr-defined]
        for name, _ in self._list:  # noqa: SIM110 (PERF: any() is a second frame)
            if name == key or name.lower() == ikey:
                return True
        return False

    def _get_key(self, key: str) -> str:
        ikey = key.lower()
        for name, value in self._list:
            if name == key or name.lower() == ikey:
                return value
        raise BadRequestKeyError(key)

    def __eq__(self, other: object) -> bool:
        if type(other) not in (Headers, ds.Headers):
            return NotImplemented
        mine = {(name.lower(), value) for name, value in self._list}
        return mine == {(name.lower(), value) for name, value in other}  # type: ignore[attr-defined]

    __hash__ = None


class EnvironHeaders(ds.EnvironHeaders):
    """The request's headers as a live view of the WSGI environ, one call to make and to read."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._list = []
        self.environ = environ

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        key = key.upper().replace("-", "_")
        if key == "CONTENT_TYPE" or key == "CONTENT_LENGTH":
            return key in self.environ
        return f"HTTP_{key}" in self.environ

    def get(  # type: ignore[override]
        self,
        key: str,
        default: t.Any = None,
        type: t.Any = None,  # noqa: A002
    ) -> t.Any:
        """The header's value, run through *type* if given, or *default*."""
        try:
            name = key.upper().replace("-", "_")
        except (AttributeError, TypeError):
            return default
        if name != "CONTENT_TYPE" and name != "CONTENT_LENGTH":
            name = f"HTTP_{name}"
        if name not in self.environ:
            return default
        if type is None:
            return self.environ[name]
        try:
            return type(self.environ[name])
        except ValueError:
            return default


# --- What headers hold ------------------------------------------------------------------------

# A path, with query and fragment and perhaps a host, that is ASCII and quoted already:
# :func:`to_uri` is idle on it.
is_plain_location = re.compile(
    r"(?:https?://[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63})*(?::[1-9][0-9]{0,3})?)?"
    r"/(?:[\w.\-~%!$&'()*+,:;=@][\w.\-~%!$&'()*+,:;=@/]*)?"
    r"(?:\?[\w.\-~%!$&'()*+,:;=@/?]+)?(?:\#[\w.\-~%!$&'()*+,:;=@/?\#]+)?",
    re.ASCII,
).fullmatch

# A URL, and a query string, that are the same as URI and as IRI: :func:`werkzeug.urls.uri_to_iri`
# is idle on them.
is_plain_url = re.compile(
    r"https?://(?!.*xn--)[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63})*(?::[1-9][0-9]*)?"
    r"/[\w.\-~!$&'()*+,/:;=@]*",
    re.ASCII,
).fullmatch
is_plain_query = re.compile(rb"(?:[\w.\-~!$&'()*+,/:;=@?]|%20)*").fullmatch


def to_uri(location: str) -> str:
    """*location* in ASCII, as :func:`werkzeug.urls.iri_to_uri` has it.

    What is no URL at all (``//[``) cannot be taken apart and is only quoted.
    """
    if is_plain_location(location) is not None:
        return location
    try:
        return iri_to_uri(location)
    except ValueError:
        return quote(location, safe="%!#$&'()*+,/:;=?@[]")


# How many names of headers are remembered, in either direction over ASGI, and how long ones.
NAMES_KEPT = 1024
LONGEST_NAME_KEPT = 64


class _WireNames(dict[str, bytes]):
    def __missing__(self, name: str) -> bytes:
        wired = name.lower().encode("latin-1")
        # SECURITY: clients could fill the memory, where an app hands on what they or others name so.
        if len(self) < NAMES_KEPT and len(name) <= LONGEST_NAME_KEPT:
            self[name] = wired
        return wired


_wire_names = _WireNames()


class _Wired(dict[tuple[str, str], tuple[bytes, bytes]]):
    def __missing__(self, item: tuple[str, str]) -> tuple[bytes, bytes]:
        name, value = item
        return _wire_names[name], value.encode("latin-1")


#: Headers as ASGI wants them; those that are often the same are kept.
#: PERF: a pair looked up instead of its name looked up and its value encoded: 1 % of a text's request.
WIRED = _Wired()

#: Bodies of fewer bytes are short.
SHORT = 1024


class _Lengths(dict[int, tuple[str, str]]):
    def __missing__(self, size: int) -> tuple[str, str]:
        item = self[size] = "Content-Length", str(size)
        WIRED[item] = b"content-length", item[1].encode()
        return item


#: The headers of short bodies' lengths.
#: PERF: kept, as numbers are written slowly: 1 % of a text's request.
LENGTHS = _Lengths()

# How many of them are remembered; how many media types, and how long ones.
_WIRED_KEPT = 2048
_TYPES_KEPT = 128
LONGEST_TYPE_KEPT = 128


class _ContentTypeItems(dict[str, tuple[tuple[str, str]]]):
    def __missing__(self, mimetype: str) -> tuple[tuple[str, str]]:
        content_type = get_content_type(mimetype, "utf-8")
        check_header("Content-Type", content_type)
        item = "Content-Type", content_type
        # SECURITY: whoever names the type of what is sent back could fill the memory.
        if len(mimetype) <= LONGEST_TYPE_KEPT:
            if len(self) >= _TYPES_KEPT:
                self.clear()
            self[mimetype] = (item,)
            if content_type.isascii() and len(WIRED) < _WIRED_KEPT:
                WIRED[item] = b"content-type", content_type.encode()
        return (item,)


#: The header that names a mimetype, with the charset where one belongs, as a list of one.
#: Raises ValueError where it contains CR, LF or NUL.
content_type_items = _ContentTypeItems().__getitem__


_one_option = re.compile(r"([^;]*);[ \t]*([A-Za-z]+)=([A-Za-z0-9_.\-]+)[ \t]*", re.ASCII).fullmatch


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """:func:`werkzeug.http.parse_options_header`, quick about none and one plain option.

    PERF: 0.5 us instead of 5 for a multipart form's.
    """
    if ";" not in value:
        return value.strip(" \t"), {}
    found = _one_option(value)
    if found is None or not (name := found[1].strip(" \t")):
        return parse_options_header(value)
    return name, {found[2].lower(): found[3]}
