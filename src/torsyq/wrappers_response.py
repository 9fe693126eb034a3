"""The response: Werkzeug's, with what Flask changes of it, made in one call and sent in one.

That holds for text and bytes, unless a subclass or the instance replaced one of the steps Werkzeug
takes: then exactly these steps are taken.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urljoin

from werkzeug import datastructures as ds
from werkzeug._internal import _get_environ
from werkzeug.http import remove_entity_headers
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Request as RequestBase
from werkzeug.wrappers import Response as ResponseBase
from werkzeug.wsgi import get_current_url as get_environ_url

from . import json
from .body import Chunks
from .body import encode_chunks
from .cookies import dump_cookie
from .dates import without_absurd_dates
from .globals import _current_app_or_none
from .globals import current_app as current_app
from .headers import check_header
from .headers import content_type_items
from .headers import Headers
from .headers import is_plain_location
from .headers import LENGTHS
from .headers import SHORT
from .headers import to_uri
from .json.provider import text_response
from .lazy import lazy
from .lazy import stock
from .statuses import BAD_STATUS
from .statuses import is_status
from .statuses import LINES_WITH_BODY
from .statuses import NOT_SENT_WITH
from .statuses import STATUS_LINES

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment


_new = object.__new__
_new_headers = Headers.__new__
# Headers that sending has no business with.
_ordinary_names = frozenset(
    {
        "Allow",
        "Cache-Control",
        "Content-Type",
        "Date",
        "ETag",
        "Expires",
        "Last-Modified",
        "Set-Cookie",
        "Vary",
    }
)

# Headers that get Werkzeug's attention in any spelling.
_particular_names = frozenset({"content-length", "content-location", "location"})


# What a subclass or an instance may replace of making and sending a response.
_steps = frozenset(
    {
        "__call__",
        "__getattribute__",
        "__new__",
        "__setattr__",
        "_clean_status",
        "_status",
        "close",
        "direct_passthrough",
        "force_type",
        "get_app_iter",
        "get_wsgi_headers",
        "get_wsgi_response",
        "headers",
        "is_sequence",
        "iter_encoded",
        "response",
        "set_data",
        "status",
        "status_code",
    }
)
# Those of them that an instance does not have anyway.
_replaceable = _steps - {"_status", "direct_passthrough", "headers", "response"}
# What the constructor gives each instance, at once or when it is read.
_of_constructor = frozenset(
    {
        "_made_of",
        "_on_close",
        "_status",
        "_status_code",
        "direct_passthrough",
        "headers",
        "response",
    }
)


class _Folded:
    """An attribute that a response made of nothing but a body does not have until it is read.

    Then it gets all there are of this kind, but for those that were assigned meanwhile.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, response: Response | None, owner: type) -> t.Any:
        if response is None:
            return self
        own = response.__dict__
        made = response._made_of
        if made is None:
            if self.name in own:
                return own[self.name]  # Another thread was quicker.
            raise AttributeError(f"{self.name!r} is not there: was Response.__init__ called?")
        status, code, items, body = made
        headers = _new_headers(Headers)
        headers._list = [*items]
        if type(body) is bytes:
            headers._list.append(("Content-Length", str(len(body))))
            body = [body]
        own.setdefault("_status", status)
        own.setdefault("_status_code", code)
        own.setdefault("headers", headers)
        own.setdefault("response", body)
        # Last: a thread that does not find it any more finds the attributes.
        response._made_of = None
        return own[self.name]


class Response(ResponseBase):
    """The response every return value of a view ends up as; HTML unless told otherwise.

    Set :attr:`Flask.response_class <torsyq.Flask.response_class>` to a subclass to have another.

    :param response: the body: text, bytes, or an iterable of either.
    :param status: a code, or a code and a reason, ``"404 Not Found"``.
    :param headers: headers, as pairs, a mapping, or a :class:`~werkzeug.datastructures.Headers`.
    :param mimetype: the content type without a charset, which is added where it belongs.
    :param content_type: the whole content type, instead of *mimetype*.
    :param direct_passthrough: hand the body to the server as it is.
    :raises ValueError: the status is not in 100 to 599, or a header would end early.

    Example::

        return Response("saved", status=201, headers={"Location": "/notes/3"})
    """

    default_mimetype: str | None = "text/html"
    json_module: t.Any = json
    autocorrect_location_header = False

    direct_passthrough = False

    # A response made of nothing but a body is this: status, code, headers without the length,
    # the bytes or chunks. Once a header was added it has the length among its headers, and the
    # bytes in a list. Whatever of it is read makes attributes of all of it.
    # PERF: made and sent in 0.5 us and 2 Python calls, instead of 12.3 and 45.
    _made_of: tuple[str, int, Iterable[tuple[str, str]], t.Any] | None = None
    if not t.TYPE_CHECKING:
        headers = _Folded()
        response = _Folded()
        _status = _Folded()
        _status_code = _Folded()

    # Nobody replaced a step that making and sending a response consist of.
    _plain: t.ClassVar[bool] = True
    # Nor has a subclass a constructor of its own, which may set attributes before it calls this one.
    _made_plainly: t.ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__mro__[: cls.__mro__.index(Response)]
        cls._plain = _steps.isdisjoint(name for base in own for name in vars(base))
        cls._made_plainly = cls._plain and cls.__init__ is Response.__init__

    def __init__(
        self,
        response: Iterable[bytes] | bytes | Iterable[str] | str | None = None,
        status: int | str | HTTPStatus | None = None,
        headers: Mapping[str, str | Iterable[str]] | Iterable[tuple[str, str]] | None = None,
        mimetype: str | None = None,
        content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        if not self._made_plainly:
            if not self._plain:
                if not isinstance(headers, ds.Headers):
                    headers = Headers(headers or None)
                super().__init__(
                    response, status, headers, mimetype, content_type, direct_passthrough
                )
                return
            self._forget()
        if status is None:
            status = self.default_status
        if isinstance(response, str):
            response = response.encode()
        if headers is None and content_type is None and not direct_passthrough:
            if mimetype is None:
                mimetype = self.default_mimetype
            if (
                type(status) is int
                and status in LINES_WITH_BODY
                and mimetype is not None
                and (
                    self.automatically_set_content_length
                    if type(response) is bytes
                    else hasattr(response, "__next__")
                )
            ):
                line = LINES_WITH_BODY[status]
                self._made_of = line, status, content_type_items(mimetype), response
                return
        self._status, self._status_code = self._clean_status(status)
        if direct_passthrough:
            self.direct_passthrough = True
        data = response if isinstance(response, (bytes, bytearray)) else None
        if data is not None:
            self.response = [data]
        else:
            self.response = [] if response is None else response  # type: ignore[assignment]
        self._fill_headers(headers, mimetype, content_type, data)

    def _forget(self) -> None:
        # What the constructor is given now counts.
        for name in _of_constructor & self.__dict__.keys():
            del self.__dict__[name]

    def _unfold(self) -> None:
        """Have each attribute that Werkzeug's constructor sets."""
        if self._made_of is not None:
            self.headers  # noqa: B018
        self._on_close  # noqa: B018
        self.__dict__.setdefault("direct_passthrough", False)

    def __getstate__(self) -> t.Any:
        # A copy shares headers, body and what is called on close; a pickle may be read by Flask.
        self._unfold()
        return super().__getstate__()

    def _become(self, kind: type) -> None:
        if not issubclass(kind, Response):
            self._unfold()
        object.__dict__["__class__"].__set__(self, kind)

    if not t.TYPE_CHECKING:
        # COMPAT: ``force_type()`` of a response class that derives from Werkzeug's, and not from
        # ours, makes ours one of it. It finds nothing that is made when it is first read.
        __class__ = property(type, _become)

    @lazy
    def _on_close(self) -> list[t.Callable[[], t.Any]]:
        return []

    def _fill_headers(
        self,
        headers: Mapping[str, str | Iterable[str]] | Iterable[tuple[str, str]] | None,
        mimetype: str | None,
        content_type: str | None,
        data: bytes | bytearray | None,
    ) -> None:
        if headers is None:
            given: ds.Headers = _new_headers(Headers)
            given._list = []
        else:
            given = headers if isinstance(headers, ds.Headers) else Headers(headers)
        self.headers = given
        if content_type is None:
            if mimetype is None and "content-type" not in given:
                mimetype = self.default_mimetype
            if mimetype is not None:
                content_type = content_type_items(mimetype)[0][1]
        if content_type is not None:
            given["Content-Type"] = content_type
        if data is not None and self.automatically_set_content_length:
            given["Content-Length"] = str(len(data))

    @classmethod
    def _made(
        cls, body: bytes | list[bytes], status: int, headers: list[tuple[str, str]]
    ) -> t.Self:
        """A response without :meth:`__init__`, which of a subclass may do more.

        :param body: in a list, where the headers tell its length.
        :param status: one of :data:`LINES_WITH_BODY`.
        :param headers: that end where they should.
        """
        self = _new(cls)
        self._made_of = LINES_WITH_BODY[status], status, headers, body
        return self

    def _add_header(self, name: str, value: str) -> None:
        """``self.headers.add`` of a header that sending leaves as it is.

        Such are cookies, and locations that are plain paths.

        PERF: without making attributes of what is sent at once; a tenth of a request that sets a
        cookie.
        """
        made = self._made_of
        if made is None or "headers" in self.__dict__ or not self._plain:
            self.headers.add(name, value)
            return
        if not value.isprintable():
            check_header(name, value)
        status, code, items, body = made
        if type(body) is bytes:
            items = [*items, ("Content-Length", str(len(body))), (name, value)]
            self._made_of = status, code, items, [body]
        else:
            self._made_of = status, code, [*items, (name, value)], body

    def _vary_by(self, name: str) -> None:
        """``self.vary.add(name)``.

        PERF: without parsing the header and writing it again, nor making attributes of what is
        sent at once; 3 % of a request that uses the session.
        """
        made = self._made_of
        is_made_of = made is not None and "headers" not in self.__dict__ and self._plain
        # COMPAT: an app may put a plain dictionary there, which Werkzeug sends as well.
        items: t.Any = made[2] if is_made_of else getattr(self.headers, "_list", None)  # type: ignore[index]
        if items is not None:
            for header, _ in items:
                if header.lower() == "vary":
                    break
            else:
                self._add_header("Vary", name)
                return
        self.vary.add(name)

    @stock
    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as a WSGI application (PEP 3333).

        A body that needs no closing is returned as a plain list, which servers send at once.

        :raises ValueError: the status or a header can't be sent.
        """
        chunks: Iterable[bytes]
        made = self._made_of
        if (
            made is not None
            and len(self.__dict__) == 1
            and (type(self) is Response or self._plain)  # Its class may have been assigned.
            and environ["REQUEST_METHOD"] != "HEAD"
        ):
            status, _, headers, body = made
            if type(body) is bytes:
                size = len(body)
                length = LENGTHS[size] if size < SHORT else ("Content-Length", str(size))
                start_response(status, [*headers, length])
                return [body]
            if not self.autocorrect_location_header:
                chunks = body if type(body) is list else Chunks(encode_chunks(body), self.close)
                start_response(status, [*headers])
                return chunks
        # PERF: 2 us less than Werkzeug's steps, 8 us for a file.
        to_send = self._headers_as_they_are()
        if to_send is None:
            chunks, status, to_send = self.get_wsgi_response(environ)
            self._check(status, to_send)
            start_response(status, to_send)
            return chunks
        whole = self.response
        if type(whole) is not list or self.direct_passthrough or "_on_close" in self.__dict__:
            chunks = self.get_app_iter(environ)
        elif environ["REQUEST_METHOD"] == "HEAD" or self._status_code in NOT_SENT_WITH:
            chunks = []
        elif len(whole) == 1 and type(whole[0]) is bytes:
            chunks = whole
        else:
            chunks = [*encode_chunks(whole)]
        start_response(self._status, to_send)
        return chunks

    def _headers_as_they_are(self) -> list[tuple[str, str]] | None:
        """The headers to send where they are those that were set, but for the length.

        None where one of them takes more, or where a step of sending was replaced.
        """
        body = self.response
        unsent = NOT_SENT_WITH.get(self._status_code)
        if not (
            self._plain
            and (unsent is not None or self._status_code in LINES_WITH_BODY)
            and type(self.headers) is Headers
            and _replaceable.isdisjoint(self.__dict__)
            and (type(body) is list or not isinstance(body, (list, tuple)))
        ):
            return None
        headers = self.headers._list.copy()
        length = location = None
        for name, value in headers:
            if name in _ordinary_names:
                continue
            if name == "Content-Length":
                length = value
            elif name == "Location":
                if location is not None or self.autocorrect_location_header:
                    return None
                if is_plain_location(value) is None:
                    return None
                location = value
            elif name.lower() in _particular_names:
                return None
        if unsent is not None:
            return [item for item in headers if item[0].lower() not in unsent]
        if length is None and type(body) is list and self.automatically_set_content_length:
            headers.append(("Content-Length", str(sum(map(len, self.iter_encoded())))))
        return headers

    def _check(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """Refuse what would break the answer apart, or the server, where no setter could."""
        if is_status(status) is None:
            raise ValueError(BAD_STATUS.format(status))
        for name, value in headers:
            check_header(name, value)

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> ds.Headers:
        """The headers to send: a copy, URLs made ASCII, the length added where it is known."""
        headers = Headers(self.headers)
        code = self.status_code
        locations = headers.getlist("Location")
        if locations:
            location = to_uri(locations[-1])
            if self.autocorrect_location_header:
                here = iri_to_uri(get_environ_url(environ, strip_querystring=True))
                location = urljoin(here, location)
            headers["Location"] = location
        locations = headers.getlist("Content-Location")
        if locations:
            headers["Content-Location"] = to_uri(locations[-1])
        bodiless = 100 <= code < 200 or code == 204 or code == 304
        length_known = "Content-Length" in headers
        if code == 304:
            remove_entity_headers(headers)
        elif bodiless:
            headers.remove("Content-Length")
        elif not length_known and self.automatically_set_content_length and self.is_sequence:
            headers["Content-Length"] = str(sum(map(len, self.iter_encoded())))
        return headers

    def iter_encoded(self) -> Iterator[bytes]:
        """The body's chunks, text encoded."""
        return encode_chunks(self.response)

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        """The chunks to send; none where the method or the status allows no body."""
        code = self.status_code
        if environ["REQUEST_METHOD"] == "HEAD" or 100 <= code < 200 or code in (204, 304):
            return Chunks((), self.close)
        if self.direct_passthrough:
            return self.response  # type: ignore[return-value]
        return Chunks(self.iter_encoded(), self.close)

    def close(self) -> None:
        """Close the body, and call what was left with :meth:`call_on_close`."""
        own = self.__dict__
        made = self._made_of
        body = self.response if made is None or "response" in own else made[3]
        if hasattr(body, "close"):
            body.close()
        for func in own.get("_on_close", ()):
            func()

    @classmethod
    def force_type(cls, response: ResponseBase, environ: WSGIEnvironment | None = None) -> Response:
        """Turn a response of another class, or a WSGI application's answer, into this class.

        :raises ValueError: it has a status or a header that can't be sent.
        """
        result: Response = super().force_type(response, environ)  # type: ignore[assignment]
        if type(result.headers) is ds.Headers:
            result.headers.__class__ = Headers
        result._check(result.status, result.headers)
        return result

    def _clean_status(self, value: str | int | HTTPStatus) -> tuple[str, int]:
        if type(value) is int and value in STATUS_LINES:
            return STATUS_LINES[value], value
        if not isinstance(value, (int, str)):
            raise TypeError(
                f"A status is a number or text, such as '404 Not Found', not {value!r}."
            )
        status, code = super()._clean_status(value)
        if is_status(status) is None:
            raise ValueError(BAD_STATUS.format(value))
        return status, code

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: timedelta | int | None = None,
        expires: str | datetime | int | float | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | None = None,
        partitioned: bool = False,
    ) -> None:
        """Set a cookie; the parameters are those of the ``Set-Cookie`` header (RFC 6265).

        :raises ValueError: the name or an attribute contains CR, LF or NUL.
        """
        cookie = dump_cookie(
            key,
            value,
            max_age,
            expires,
            path,
            domain,
            secure,
            httponly,
            samesite,
            partitioned,
            self.max_cookie_size,
        )
        self._add_header("Set-Cookie", cookie)

    def make_conditional(
        self,
        request_or_environ: WSGIEnvironment | RequestBase,
        accept_ranges: bool | str = False,
        complete_length: int | None = None,
    ) -> Response:
        """Answer 304, 412 or a range where the request's conditions (RFC 9110, 13) say so.

        A condition whose date no calendar has is ignored.
        """
        environ = without_absurd_dates(_get_environ(request_or_environ))
        super().make_conditional(environ, accept_ranges, complete_length)
        return self

    @property
    def max_cookie_size(self) -> int:  # type: ignore[override]
        """Above this size of a cookie a warning is given: the config's :data:`MAX_COOKIE_SIZE`."""
        app = _current_app_or_none()
        if app is None:
            return super().max_cookie_size
        return app.config["MAX_COOKIE_SIZE"]  # type: ignore[no-any-return]


def response_of(
    body: str | bytes,
    status: int | str | HTTPStatus | None = None,
    mimetype: str | None = None,
) -> Response:
    """``Response(body, status, mimetype=mimetype)``.

    PERF: without what the constructor does to tell what it was given; 3 % of a text's request, 5 % of
    one that an error handler answers.
    """
    cls = Response
    if status is None:
        status = cls.default_status
    if mimetype is None:
        mimetype = cls.default_mimetype
    if (
        type(status) is not int
        or status not in LINES_WITH_BODY
        or mimetype is None
        or not cls.automatically_set_content_length
    ):
        return cls(body, status, mimetype=mimetype)
    if type(body) is str:
        body = body.encode()
    response = _new(cls)
    response._made_of = LINES_WITH_BODY[status], status, content_type_items(mimetype), body
    return response


text_response[Response] = response_of
