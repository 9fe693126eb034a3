"""The request and the response: Werkzeug's, with what Flask adds to them, made cheaply.

Nothing of a request is looked at before it is asked for. A response from text or bytes is made in
one call and sent in one call, unless a subclass or the instance replaced one of the steps Werkzeug
takes: then exactly these steps are taken.
"""

from __future__ import annotations

import io
import typing as t

from werkzeug import datastructures as ds
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.sansio.utils import get_host
from werkzeug.wrappers import Request as RequestBase
from werkzeug.wrappers import Response as ResponseBase
from werkzeug.wsgi import _get_server
from werkzeug.wsgi import get_content_length

from . import json
from .cookies import dump_cookie
from .cookies import parse_cookie
from .forms import FormDataParser
from .forms import parse_query
from .globals import _cv_app
from .globals import current_app as current_app
from .headers import check_header
from .headers import EnvironHeaders
from .headers import Headers
from .lazy import lazy

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping
    from datetime import datetime
    from datetime import timedelta
    from http import HTTPStatus

    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import Rule


class Request(RequestBase):
    """A request, as views see it through the ``request`` proxy.

    Set :attr:`Flask.request_class <torsyq.Flask.request_class>` to a subclass to have another.

    :param environ: the WSGI environ of the request.
    :param populate_request: leave the request in the environ as ``werkzeug.request``.
    :param shallow: refuse to read the body.
    """

    json_module: t.Any = json
    form_data_parser_class = FormDataParser

    #: The rule that matched; ``None`` where none did, or before matching.
    url_rule: Rule | None = None
    #: What the rule's variable parts matched, by name.
    view_args: dict[str, t.Any] | None = None
    #: Why no rule matched; raised when the request is dispatched.
    routing_exception: HTTPException | None = None

    _max_content_length: int | None = None
    _max_form_memory_size: int | None = None
    _max_form_parts: int | None = None

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False
    ) -> None:
        # PERF: 0.2 us instead of 6: Werkzeug computes what is lazy below, asked for or not.
        self.environ = environ
        self.shallow = shallow
        if populate_request and not shallow:
            environ["werkzeug.request"] = self

    # What Werkzeug sets in its constructor

    @lazy
    def method(self) -> str:  # type: ignore[override]
        """The method of the request, in capitals."""
        return self.environ.get("REQUEST_METHOD", "GET").upper()  # type: ignore[no-any-return]

    @lazy
    def scheme(self) -> str:  # type: ignore[override]
        """The scheme of the URL, ``"http"`` or ``"https"``."""
        return self.environ.get("wsgi.url_scheme", "http")  # type: ignore[no-any-return]

    @lazy
    def server(self) -> tuple[str, int | None] | None:  # type: ignore[override]
        """Host and port the server answers for; the port is ``None`` for a Unix socket."""
        return _get_server(self.environ)

    @lazy
    def root_path(self) -> str:  # type: ignore[override]
        """Where the application is mounted, without a slash at the end."""
        return _decode_path(self.environ.get("SCRIPT_NAME") or "").rstrip("/")

    @lazy
    def path(self) -> str:  # type: ignore[override]
        """The path below :attr:`root_path`, with a slash at the beginning."""
        return "/" + _decode_path(self.environ.get("PATH_INFO") or "").lstrip("/")

    @lazy
    def query_string(self) -> bytes:  # type: ignore[override]
        """What follows the ``?`` in the URL, undecoded."""
        return self.environ.get("QUERY_STRING", "").encode("latin1")  # type: ignore[no-any-return]

    @lazy
    def headers(self) -> ds.Headers:  # type: ignore[override]
        """The headers of the request, read-only."""
        return EnvironHeaders(self.environ)

    @lazy
    def remote_addr(self) -> str | None:  # type: ignore[override]
        """The address the request came from."""
        return self.environ.get("REMOTE_ADDR")

    # Parsed when first read

    @lazy
    def args(self) -> ds.MultiDict[str, str]:  # type: ignore[override]
        """The parsed query string."""
        text = self.query_string.decode("utf-8", "werkzeug.url_quote")
        return parse_query(text, self.parameter_storage_class)  # type: ignore[no-any-return]

    @lazy
    def cookies(self) -> ds.ImmutableMultiDict[str, str]:  # type: ignore[override]
        """The cookies sent with the request."""
        header = ";".join(self.headers.getlist("Cookie"))
        return parse_cookie(header, self.dict_storage_class)  # type: ignore[return-value]

    @lazy
    def host(self) -> str:  # type: ignore[override]
        """The host the request was made to, with the port unless it is the scheme's own.

        :raises werkzeug.exceptions.SecurityError: it is not among the trusted hosts.
        """
        return get_host(self.scheme, self.headers.get("host"), self.server, self.trusted_hosts)

    # Limits

    @property
    def max_content_length(self) -> int | None:  # type: ignore[override]
        """The most bytes that will be read of the body; a larger one is answered 413.

        Each request starts with the config's :data:`MAX_CONTENT_LENGTH`; a view may set another.
        """
        if self._max_content_length is not None:
            return self._max_content_length
        ctx = _cv_app.get(None)
        if ctx is None:
            return super().max_content_length
        return ctx.app.config["MAX_CONTENT_LENGTH"]  # type: ignore[no-any-return]

    @max_content_length.setter
    def max_content_length(self, value: int | None) -> None:
        self._max_content_length = value

    @property
    def max_form_memory_size(self) -> int | None:  # type: ignore[override]
        """The most bytes a field of a multipart form may have that is no file; above, 413.

        Each request starts with the config's :data:`MAX_FORM_MEMORY_SIZE`.
        """
        if self._max_form_memory_size is not None:
            return self._max_form_memory_size
        ctx = _cv_app.get(None)
        if ctx is None:
            return super().max_form_memory_size
        return ctx.app.config["MAX_FORM_MEMORY_SIZE"]  # type: ignore[no-any-return]

    @max_form_memory_size.setter
    def max_form_memory_size(self, value: int | None) -> None:
        self._max_form_memory_size = value

    @property
    def max_form_parts(self) -> int | None:  # type: ignore[override]
        """The most parts a multipart form may have; above, 413.

        Each request starts with the config's :data:`MAX_FORM_PARTS`.
        """
        if self._max_form_parts is not None:
            return self._max_form_parts
        ctx = _cv_app.get(None)
        if ctx is None:
            return super().max_form_parts
        return ctx.app.config["MAX_FORM_PARTS"]  # type: ignore[no-any-return]

    @max_form_parts.setter
    def max_form_parts(self, value: int | None) -> None:
        self._max_form_parts = value

    # Where the request was routed

    @property
    def endpoint(self) -> str | None:
        """The endpoint of the rule that matched, ``None`` where none did."""
        rule = self.url_rule
        return None if rule is None else rule.endpoint

    @property
    def blueprint(self) -> str | None:
        """The registered name of the blueprint the endpoint belongs to, dots and all."""
        endpoint = self.endpoint
        if endpoint is None or "." not in endpoint:
            return None
        return endpoint.rpartition(".")[0]

    @property
    def blueprints(self) -> list[str]:
        """The names of that blueprint and of the ones it is nested in, innermost first."""
        name = self.blueprint
        if name is None:
            return []
        names = [name]
        while "." in name:
            name = name.rpartition(".")[0]
            names.append(name)
        return names

    # The body

    def _load_form_data(self) -> None:
        super()._load_form_data()
        ctx = _cv_app.get(None)
        if (
            ctx is not None
            and ctx.app.debug
            and self.mimetype != "multipart/form-data"
            and not self.files
        ):
            from .debughelpers import attach_enctype_error_multidict

            attach_enctype_error_multidict(self)

    def on_json_loading_failed(self, e: ValueError | None) -> t.Any:
        """Answer 400 to a body that is not the JSON it claims to be, with details in debug mode.

        :param e: what the parser said; ``None`` where the content type is not JSON's (then 415).
        """
        try:
            return super().on_json_loading_failed(e)
        except BadRequest as error:
            ctx = _cv_app.get(None)
            if ctx is not None and ctx.app.debug:
                raise
            raise BadRequest() from error


def _decode_path(text: str) -> str:
    """The text of a path that WSGI hands over as bytes dressed up as latin-1 (PEP 3333)."""
    if text.isascii():
        return text
    return text.encode("latin1").decode(errors="replace")


class Response(ResponseBase):
    """The response every return value of a view ends up as; HTML unless told otherwise.

    Set :attr:`Flask.response_class <torsyq.Flask.response_class>` to a subclass to have another.
    """

    default_mimetype: str | None = "text/html"
    json_module: t.Any = json
    autocorrect_location_header = False

    def __init__(
        self,
        response: Iterable[bytes] | bytes | Iterable[str] | str | None = None,
        status: int | str | HTTPStatus | None = None,
        headers: Mapping[str, str | Iterable[str]] | Iterable[tuple[str, str]] | None = None,
        mimetype: str | None = None,
        content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        if not isinstance(headers, ds.Headers):
            headers = Headers(headers)
        super().__init__(response, status, headers, mimetype, content_type, direct_passthrough)

    @property
    def max_cookie_size(self) -> int:  # type: ignore[override]
        """Above this size of a cookie a warning is given: the config's :data:`MAX_COOKIE_SIZE`."""
        ctx = _cv_app.get(None)
        if ctx is None:
            return super().max_cookie_size
        return ctx.app.config["MAX_COOKIE_SIZE"]  # type: ignore[no-any-return]
