"""Query strings and form bodies, parsed into the very types Werkzeug parses them into."""

from __future__ import annotations

import typing as t
from urllib.parse import unquote

from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser as _FormDataParser

if t.TYPE_CHECKING:
    from werkzeug.datastructures import FileStorage

Parsed = tuple[t.IO[bytes], MultiDict[str, str], "MultiDict[str, FileStorage]"]


def multidict(cls: type[MultiDict[str, t.Any]], pairs: list[tuple[str, t.Any]]) -> t.Any:
    """``cls(pairs)``, filled at once where *cls* is one of Werkzeug's two usual types."""
    if cls is not ImmutableMultiDict and cls is not MultiDict:
        return cls(pairs)
    lists: dict[str, list[t.Any]] = {}
    for key, value in pairs:
        if key in lists:
            lists[key].append(value)
        else:
            lists[key] = [value]
    result = dict.__new__(cls)
    dict.update(result, lists)
    return result


def parse_query(text: str, cls: type[MultiDict[str, t.Any]]) -> t.Any:
    """The pairs of a query string or of a url-encoded body, as *cls*.

    Percent-encoded bytes that are not UTF-8 stay encoded.
    """
    pairs = []
    for item in text.split("&"):
        if not item:
            continue
        name, _, value = item.replace("+", " ").partition("=")
        if "%" in item:
            name = unquote(name, errors="werkzeug.url_quote")
            value = unquote(value, errors="werkzeug.url_quote")
        pairs.append((name, value))
    return multidict(cls, pairs)


class FormDataParser(_FormDataParser):
    """Werkzeug's parser of form bodies, a url-encoded one read by :func:`parse_query`."""

    def _parse_urlencoded(
        self,
        stream: t.IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str],
    ) -> Parsed:
        return stream, parse_query(stream.read().decode(), self.cls), self.cls()
