"""A request says what Flask's request says, and never more than an HTTP error about bad input."""

from __future__ import annotations

import gc
import io
import json
import typing as t
import weakref

import flask
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug import datastructures as ds
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.exceptions import SecurityError
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.formparser import FormDataParser as WerkzeugFormDataParser
from werkzeug.routing import Rule
from werkzeug.test import create_environ

import torsyq
from torsyq.wrappers import Request
from torsyq.wrappers_request import _set_at_first

from .calls import calls_of

ATTRIBUTES = sorted(
    name
    for name in dir(flask.Request)
    if not name.startswith("_")
    and not callable(getattr(flask.Request, name))
    and name not in {"json_module", "routing_exception"}
)
ATTRIBUTES += ["method", "scheme", "server", "root_path", "path", "query_string", "headers"]
ATTRIBUTES += ["remote_addr", "shallow"]


def plain(value: t.Any) -> t.Any:
    """A value in a form that can be compared across requests."""
    if isinstance(value, ds.FileStorage):
        return value.name, value.filename, value.headers.to_wsgi_list(), value.read()
    if isinstance(value, ds.MultiDict):
        return type(value).__name__, [(name, plain(item)) for name, item in value.items(multi=True)]
    if isinstance(value, ds.Headers):
        return list(value)
    if isinstance(value, (ds.IfRange, ds.Range)):
        return type(value), vars(value)
    if isinstance(value, io.IOBase):
        return "stream", value.read()
    if (
        isinstance(value, (ds.Accept, ds.HeaderSet, ds.ETags))
        or "user_agent" in type(value).__module__
    ):
        return type(value), str(value)
    return value


def outcome(call: t.Callable[[], t.Any]) -> t.Any:
    try:
        return plain(call())
    except HTTPException as error:
        return type(error)


def environ_of(body: bytes = b"", **keys: t.Any) -> dict[str, t.Any]:
    environ = create_environ("/a/b", "http://example.com/root", query_string="x=1&y=%C3%A9")
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ | keys


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="g.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\ncontent\r\n--x--\r\n"
)
REQUESTS: list[dict[str, t.Any]] = [
    {},
    {"REQUEST_METHOD": "post", "PATH_INFO": "//a//b/", "SCRIPT_NAME": "/root/"},
    {"PATH_INFO": "/\xc3\xa9/\xff", "QUERY_STRING": "q=\xc3\xa9&a=b;c&&d&=e&f=%zz%"},
    {"HTTP_HOST": "example.com:443", "wsgi.url_scheme": "https", "REMOTE_ADDR": "1.2.3.4"},
    {"HTTP_HOST": "a b"},
    {"HTTP_HOST": "xn--n3h.net:8080"},
    {"SERVER_PORT": "x", "HTTP_COOKIE": 'a=b; c="d\\073"; a=e; é'},
    {"HTTP_COOKIE": ""},
    {"HTTP_X_FORWARDED_FOR": "1.1.1.1, 2.2.2.2", "HTTP_AUTHORIZATION": "Basic YTpi"},
    {"HTTP_RANGE": "bytes=0-1", "HTTP_IF_RANGE": '"x"', "HTTP_IF_MATCH": '"a", W/"b"'},
    {"HTTP_IF_RANGE": "Thu, 01 Jan 1970 00:00:00 GMT"},
    {"HTTP_IF_MODIFIED_SINCE": "Thu, 01 Jan 1970 00:00:00 GMT", "HTTP_DATE": "nonsense"},
    {"HTTP_IF_UNMODIFIED_SINCE": "1 Jan 1970", "HTTP_ACCEPT": "text/html;q=0.5,*/*"},
    {"HTTP_CACHE_CONTROL": "max-age=0", "HTTP_USER_AGENT": "x", "HTTP_MAX_FORWARDS": "3"},
    {"body": b"a=1&b=%C3%A9+c&a=2", "CONTENT_TYPE": "application/x-www-form-urlencoded"},
    {"body": b"a=1", "CONTENT_TYPE": "Application/X-WWW-Form-Urlencoded ; charset=utf-8"},
    {"body": b"a=\xff", "CONTENT_TYPE": "application/x-www-form-urlencoded"},
    {"body": MULTIPART, "CONTENT_TYPE": "multipart/form-data; boundary=x"},
    {"body": MULTIPART, "CONTENT_TYPE": 'multipart/form-data; boundary="x"'},
    {"body": MULTIPART, "CONTENT_TYPE": "multipart/form-data"},
    {"body": b'{"a": [1]}', "CONTENT_TYPE": "application/json"},
    {"body": b"{", "CONTENT_TYPE": "application/vnd.api+json"},
    {"body": b"\xff\xfe", "CONTENT_TYPE": "text/plain; charset=latin1"},
    {"body": b"abc", "CONTENT_LENGTH": "x"},
    {"body": b"abc", "CONTENT_TYPE": " ; a=b"},
    {"body": b"abc", "CONTENT_TYPE": None},
    {"body": b"abc", "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
]


@pytest.mark.parametrize("keys", REQUESTS)
def test_every_attribute_is_what_it_is_in_flask(keys: dict[str, t.Any]) -> None:
    for name in ATTRIBUTES:
        with Request(environ_of(**keys)) as ours, flask.Request(environ_of(**keys)) as theirs:
            found = outcome(lambda: getattr(ours, name))  # noqa: B023
            assert (name, found) == (name, outcome(lambda: getattr(theirs, name)))  # noqa: B023


@pytest.mark.parametrize("keys", REQUESTS)
def test_attributes_read_one_after_another_are_flasks_too(keys: dict[str, t.Any]) -> None:
    """Once a form is parsed, data is empty; once data is read, a form can still be parsed."""
    for order in (["form", "data", "files", "stream"], ["get_data", "form", "stream", "values"]):
        ours, theirs = Request(environ_of(**keys)), flask.Request(environ_of(**keys))
        for name in order:
            for request in (ours, theirs):
                if name == "get_data":
                    assert request.get_data(as_text=True) == request.get_data(as_text=True)
            if name != "get_data":
                assert outcome(lambda: getattr(ours, name)) == outcome(  # noqa: B023
                    lambda: getattr(theirs, name)  # noqa: B023
                )
        ours.close()
        theirs.close()


@pytest.mark.parametrize("maximum", [None, 3, 4])
@pytest.mark.parametrize("keys", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "4"}])
@pytest.mark.parametrize("kind", ["application/json", "", "application/x-www-form-urlencoded"])
def test_a_body_that_is_too_long_is_refused_whether_it_is_a_form_or_not(
    kind: str, keys: dict[str, str], maximum: int | None
) -> None:
    for order in (["form", "stream"], ["files", "data"], ["values"], ["get_data", "form", "data"]):
        ours, theirs = (
            cls(environ_of(b"1234", CONTENT_TYPE=kind, **keys)) for cls in (Request, flask.Request)
        )
        ours.max_content_length = theirs.max_content_length = maximum
        for name in order:
            found, expected = (
                outcome(lambda: read() if callable(read := getattr(request, name)) else read)  # noqa: B023
                for request in (ours, theirs)
            )
            assert (name, found) == (name, expected)


def test_an_environ_without_anything_is_a_request() -> None:
    assert repr(Request({})) == repr(flask.Request({}))
    for name in ("method", "scheme", "server", "root_path", "path", "query_string", "args"):
        assert getattr(Request({}), name) == getattr(flask.Request({}), name)


def test_making_a_request_is_one_call() -> None:
    environ = environ_of()
    assert calls_of(lambda: Request(environ)) == 1


def test_the_environ_knows_its_request() -> None:
    environ = environ_of()
    request = Request(environ)
    assert environ["werkzeug.request"] is request
    assert "werkzeug.request" not in Request(environ_of(), populate_request=False).environ
    shallow = Request(environ_of(b"x"), shallow=True)
    assert "werkzeug.request" not in shallow.environ
    for read in (shallow.get_data, lambda: shallow.stream, lambda: shallow.form):
        with pytest.raises(RuntimeError, match="shallow=True"):
            read()


def test_a_request_is_freed_without_the_cycle_collector() -> None:
    request = Request(environ_of(b"a=1", CONTENT_TYPE="application/x-www-form-urlencoded"))
    assert request.form["a"] == request.args["x"]
    assert request.cookies == {}
    reference = weakref.ref(request)
    del request.environ["werkzeug.request"]
    gc.disable()
    try:
        del request
        assert reference() is None
    finally:
        gc.enable()


# What may be assigned and overridden


@pytest.mark.parametrize(
    "name", ["path", "host", "args", "form", "headers", "url", "remote_addr", "stream"]
)
def test_attributes_can_be_assigned_and_deleted(name: str) -> None:
    request = Request(environ_of())
    before = plain(getattr(request, name))
    setattr(request, name, "changed")
    assert getattr(request, name) == "changed"
    delattr(request, name)
    assert plain(getattr(request, name)) == before


def test_assigned_headers_are_the_ones_read() -> None:
    for cls in (Request, flask.Request):
        request: t.Any = cls(environ_of(b"a=1", CONTENT_TYPE="application/x-www-form-urlencoded"))
        request.headers = ds.Headers(
            [("Cookie", "a=b"), ("Cookie", "c=d"), ("Host", "other"), ("Content-Type", "text/x")]
        )
        assert request.cookies.to_dict() == {"a": "b", "c": "d"}
        assert request.host == "other"
        assert request.mimetype == "text/x"
        assert not request.form


@pytest.mark.parametrize("base", [flask.Request, Request])
def test_properties_of_a_subclass_are_honoured(base: t.Any) -> None:
    class Own(base):  # type: ignore[misc]
        @property
        def args(self) -> t.Any:
            return {"super": super().args["x"]}

        @property
        def headers(self) -> t.Any:
            return ds.Headers([("Cookie", "own=1")])

        @headers.setter
        def headers(self, value: t.Any) -> None:
            pass

    request = Own(environ_of(HTTP_COOKIE="a=b"))
    assert request.args == {"super": "1"}
    assert request.cookies.to_dict() == {"own": "1"}


@pytest.mark.parametrize("base", [flask.Request, Request])
@pytest.mark.parametrize("name", _set_at_first)
def test_what_the_constructor_sets_goes_through_a_setter_of_a_subclass(
    base: t.Any, name: str
) -> None:
    environ = environ_of(SCRIPT_NAME="/at", REMOTE_ADDR="1.2.3.4")
    with_setter = property(
        lambda self: self.told[name], lambda self, value: self.__dict__.update(told={name: value})
    )
    plain = getattr(flask.Request(environ), name)
    assert getattr(type("Own", (base,), {name: with_setter})(environ), name) == plain
    # Werkzeug's constructor knows of nothing else that a class may have there.
    assert getattr(type("Own", (base,), {name: "of the class"})(environ), name) == plain
    with pytest.raises(AttributeError, match="setter"):
        type("Own", (base,), {name: property(lambda self: "")})(environ)


def test_a_stream_of_a_subclass_that_asks_for_ours_reads_on_where_it_was() -> None:
    class Own(Request):
        @property
        def stream(self) -> t.IO[bytes]:
            return super().stream

    sent = io.BytesIO(b"abcdef; the next request")
    environ = environ_of(CONTENT_LENGTH="6")
    environ["wsgi.input"] = sent
    request = Own(environ)
    assert (request.stream.read(3), request.stream.read()) == (b"abc", b"def")
    assert sent.read() == b"; the next request"


def test_storage_classes_of_a_subclass_are_used() -> None:
    class Own(Request):
        parameter_storage_class = ds.MultiDict  # type: ignore[assignment]
        dict_storage_class = ds.MultiDict  # type: ignore[assignment]

    request = Own(environ_of(b"a=1", CONTENT_TYPE="application/x-www-form-urlencoded"))
    assert [type(request.args), type(request.form), type(request.files)] == [ds.MultiDict] * 3
    assert type(request.cookies) is ds.MultiDict


class Trail(Request):
    """Every step of reading a form, noted down and otherwise left as it is."""

    trail: t.ClassVar[list[str]] = []

    def _get_file_stream(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self.trail.append("file")
        return io.BytesIO()

    def make_form_data_parser(self) -> t.Any:
        self.trail.append("parser")
        return super().make_form_data_parser()

    @property
    def want_form_data_parsed(self) -> bool:
        self.trail.append("want")
        return super().want_form_data_parsed

    def _get_stream_for_parsing(self) -> t.IO[bytes]:
        self.trail.append("stream")
        return super()._get_stream_for_parsing()


def test_a_subclass_sees_every_step_of_reading_a_form() -> None:
    Trail.trail.clear()
    request = Trail(environ_of(MULTIPART, CONTENT_TYPE="multipart/form-data; boundary=x"))
    assert type(request.files["f"].stream) is io.BytesIO
    assert Trail.trail == ["want", "parser", "stream", "file"]


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_a_step_put_onto_a_request_before_its_form_is_read_is_taken(framework: t.Any) -> None:
    app = framework.Flask("app")

    @app.before_request
    def choose() -> None:
        framework.request._get_file_stream = lambda *args, **kwargs: io.BytesIO()

    @app.post("/")
    def upload() -> str:
        return type(framework.request.files["f"].stream).__name__

    multipart = "multipart/form-data; boundary=x"
    answer = app.test_client().post("/", data=MULTIPART, content_type=multipart)
    assert answer.text == "BytesIO"


def test_a_form_parser_class_of_a_subclass_is_used() -> None:
    class Parser(WerkzeugFormDataParser):
        def parse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
            return io.BytesIO(), {"own": "form"}, {}

    class Own(Request):
        form_data_parser_class = Parser  # type: ignore[assignment]

    request = Own(environ_of(b"a=1", CONTENT_TYPE="application/x-www-form-urlencoded"))
    assert request.form == {"own": "form"}


# Routing


@pytest.mark.parametrize(
    "rule",
    [*(Rule("/", endpoint=name) for name in ("index", "a.index", "a.b.index")), Rule("/"), None],
)
def test_the_endpoint_and_its_blueprints(rule: Rule | None) -> None:
    ours, theirs = Request({}), flask.Request({})
    for request in (ours, theirs):
        assert (request.url_rule, request.view_args, request.routing_exception) == (None,) * 3
        request.url_rule = rule
    assert (ours.endpoint, ours.blueprint, ours.blueprints) == (
        theirs.endpoint, theirs.blueprint, theirs.blueprints,
    )  # fmt: skip


@pytest.mark.parametrize("base", [flask.Request, Request])
@pytest.mark.parametrize("name", ["endpoint", "blueprint"])
def test_an_endpoint_or_blueprint_of_a_subclass_s_own_counts(base: t.Any, name: str) -> None:
    own = type("Own", (base,), {name: "a.b.c"})
    request = own({})
    assert "a.b" in request.blueprints
    request.url_rule = Rule("/", endpoint="index")
    assert "a.b" in request.blueprints


# Limits


def test_limits_come_from_the_request_the_config_or_werkzeug(app: torsyq.Flask) -> None:
    names = ["max_content_length", "max_form_memory_size", "max_form_parts"]
    app.config.update(MAX_CONTENT_LENGTH=1, MAX_FORM_MEMORY_SIZE=2, MAX_FORM_PARTS=3)
    request = Request({})
    assert [getattr(request, name) for name in names] == [None, 500_000, 1000]
    with app.app_context():
        assert [getattr(request, name) for name in names] == [1, 2, 3]
        for name in names:
            setattr(request, name, 9)
        assert [getattr(request, name) for name in names] == [9, 9, 9]


@pytest.mark.parametrize("read", ["form", "files", "data", "get_json", "stream", "get_data"])
def test_a_body_announced_too_long_is_413(read: str) -> None:
    request = Request(environ_of(b"x" * 9, CONTENT_TYPE="application/json"))
    request.max_content_length = 8
    with pytest.raises(RequestEntityTooLarge):
        getattr(request, read, None)()  # type: ignore[misc]


@pytest.mark.parametrize("limit", ["max_form_memory_size", "max_form_parts"])
def test_a_form_beyond_a_limit_is_413(limit: str) -> None:
    for cls in (Request, flask.Request):
        request = cls(environ_of(MULTIPART, CONTENT_TYPE="multipart/form-data; boundary=x"))
        setattr(request, limit, 1)
        with pytest.raises(RequestEntityTooLarge):
            request.form  # noqa: B018


# Bodies


@pytest.mark.parametrize("read", ["form", "files", "data", "json", "get_data"])
@pytest.mark.parametrize("ended", [{}, {"wsgi.input_terminated": True}])
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_a_body_cut_short_does_not_reach_the_view(
    read: str, ended: dict[str, t.Any], content_type: str
) -> None:
    request = Request(
        environ_of(b'{"a": 1}', CONTENT_LENGTH="20", CONTENT_TYPE=content_type, **ended)
    )
    if read == "json" and content_type != "application/json":
        with pytest.raises(ClientDisconnected):
            request.get_json(force=True, silent=True)
    elif read in {"form", "files"} and content_type == "application/json":
        with pytest.raises(ClientDisconnected):
            request.stream.read()
    else:
        with pytest.raises(ClientDisconnected):
            getattr(request, read)()


def test_a_large_upload_is_read_in_pieces_and_equal() -> None:
    data = bytes(range(256)) * 10_000
    head, _, tail = MULTIPART.partition(b"content")
    for cls in (Request, flask.Request):
        body = head + data + tail
        request = cls(environ_of(body, CONTENT_TYPE="multipart/form-data; boundary=x"))
        assert request.files["f"].read() == data
        request.close()


def test_a_chunked_form_is_read() -> None:
    environ = environ_of(b"a=1", CONTENT_TYPE="application/x-www-form-urlencoded")
    del environ["CONTENT_LENGTH"]
    assert not Request(dict(environ)).form
    assert Request(environ | {"wsgi.input_terminated": True}).form["a"] == "1"


def test_uploads_are_closed_with_the_request() -> None:
    request = Request(environ_of(MULTIPART, CONTENT_TYPE="multipart/form-data; boundary=x"))
    with request:
        file = request.files["f"]
        assert file.read() == b"content"
    assert file.stream.closed


def test_an_upload_can_be_written_to_and_grow() -> None:
    """It is a spooled temporary file, as with Flask, which goes to the disk when it gets large."""
    request = Request(environ_of(MULTIPART, CONTENT_TYPE="multipart/form-data; boundary=x"))
    with request.files["f"].stream as stream:
        stream.seek(0, io.SEEK_END)
        stream.write(b"x" * 600_000)
        stream.seek(0)
        assert stream.read(8) == b"contentx"
        assert stream.fileno() > 0


# JSON


class Module:
    loads = staticmethod(json.loads)


class JSONRequest(Request):
    json_module = Module


class FlaskJSONRequest(flask.Request):
    json_module = Module


@pytest.mark.parametrize("body", [b'{"a": 1}', b"", b"nan?", b"\xff", b"9" * 5000, b"null"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "a/b+json"])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("cache", [False, True])
def test_json_is_read_as_in_flask(
    body: bytes, content_type: str, force: bool, silent: bool, cache: bool
) -> None:
    def read(cls: type[flask.Request]) -> t.Any:
        request = cls(environ_of(body, CONTENT_TYPE=content_type))
        first = outcome(lambda: request.get_json(force, silent, cache))
        return first, outcome(lambda: request.get_json(force, not silent, cache))

    assert read(JSONRequest) == read(FlaskJSONRequest)  # type: ignore[arg-type]


def test_json_nested_without_end_is_a_bad_request() -> None:
    body = b"[" * 100_000
    request = JSONRequest(environ_of(body, CONTENT_TYPE="application/json"))
    with pytest.raises(BadRequest):
        request.get_json()
    assert request.get_json(silent=True) is None


def test_what_a_subclass_makes_of_broken_json_is_kept() -> None:
    def read(base: t.Any) -> t.Any:
        class Own(base):  # type: ignore[misc]
            def on_json_loading_failed(self, e: ValueError | None) -> t.Any:
                return []

        request = Own(environ_of(b"{", CONTENT_TYPE="application/json"))
        first = request.get_json()
        return first, request.get_json() is first, request.get_json(silent=True)

    assert read(JSONRequest) == read(FlaskJSONRequest) == ([], True, None)


def test_why_json_could_not_be_read_is_told_in_debug_mode(app: torsyq.Flask) -> None:
    def description() -> str:
        request = JSONRequest(environ_of(b"{", CONTENT_TYPE="application/json"))
        with pytest.raises(BadRequest) as info:
            request.get_json()
        return str(info.value.description)

    with app.app_context():
        assert "Failed to decode" not in description()
        app.debug = True
        assert "Failed to decode" in description()


def test_another_type_than_json_is_415() -> None:
    with pytest.raises(UnsupportedMediaType):
        JSONRequest(environ_of(b"{}", CONTENT_TYPE="text/plain")).json  # noqa: B018


def test_json_of_the_app_reads_the_body(app: torsyq.Flask) -> None:
    app.json.loads = lambda data, **kwargs: ["own", data]  # type: ignore[method-assign]
    with app.app_context():
        request = Request(environ_of(b"x", CONTENT_TYPE="application/json"))
        assert request.json == ["own", b"x"]


def test_a_form_without_enctype_is_explained_in_debug_mode(app: torsyq.Flask) -> None:
    app.debug = True
    with app.app_context():
        request = Request(environ_of(b"f=a", CONTENT_TYPE="application/x-www-form-urlencoded"))
        assert request.form["f"] == "a"
        with pytest.raises(KeyError, match="enctype"):
            request.files["f"]


# Bad input

ABSURD = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"


def test_absurd_dates_are_ignored() -> None:
    request = Request(
        environ_of(
            HTTP_IF_MODIFIED_SINCE=ABSURD, HTTP_IF_UNMODIFIED_SINCE=ABSURD, HTTP_DATE=ABSURD,
            HTTP_IF_RANGE=ABSURD,
        )
    )  # fmt: skip
    assert request.if_modified_since is request.if_unmodified_since is request.date is None
    assert request.if_range.date is None


def test_bytes_that_are_no_text_stay_encoded_in_the_query() -> None:
    request = Request(environ_of(QUERY_STRING="a=\xff&b=%ff"))
    assert request.args.to_dict() == {"a": "%FF", "b": "%FF"}
    assert request.full_path == "/a/b?a=%FF&b=%ff"


@pytest.mark.parametrize("host", ["a..b", "[:::::]", "[::1", "a b", "é", "x" * 70, "a:99999", ""])
def test_an_impossible_host_is_none(host: str) -> None:
    request = Request(environ_of(HTTP_HOST=host))
    assert isinstance(request.host, str)
    for name in ("url", "base_url", "root_url", "host_url", "url_root"):
        assert getattr(request, name).startswith("http:")


def test_a_host_that_is_not_trusted_is_refused() -> None:
    request = Request(environ_of(HTTP_HOST="evil.example"))
    request.trusted_hosts = ["example.com"]
    for name in ("host", "url"):
        with pytest.raises(SecurityError):
            getattr(request, name)


@given(
    st.sampled_from(["a", "a.b", "A.b:81", "xn--n3h.net", "a:80", "1.2.3.4", "[::1]:8", "a..b"]),
    st.sampled_from(["", "/r", "/r/", "/\xc3\xa9"]),
    st.text("/ab%20?#;: \t\n\\~é", max_size=6),
    st.text("ab=&%20?#;: \t/\\'é", max_size=6),
    st.sampled_from(["http", "https", "ws"]),
)
def test_any_url_is_flasks(host: str, root: str, path: str, query: str, scheme: str) -> None:
    keys = {"HTTP_HOST": host, "SCRIPT_NAME": root, "PATH_INFO": path, "QUERY_STRING": query}
    ours = Request(environ_of() | keys | {"wsgi.url_scheme": scheme})
    theirs = flask.Request(ours.environ)
    for name in ("url", "base_url", "root_url", "host_url", "url_root", "host"):
        try:
            expected = getattr(theirs, name)
        except UnicodeError:
            expected = getattr(ours, name)
        assert getattr(ours, name) == expected


header_text = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=12),
    st.text("ab=;,/\"'\\ \t%-[]:@.*1929GMT", max_size=20),
    st.sampled_from(
        [ABSURD, "multipart/form-data; boundary=x", "application/json", "[", "bytes=1-9" + "9" * 5000,
         "Basic " + "Y" * 5, "Digest a=\"", "W/\"", "application/x-www-form-urlencoded", "[::::]",
         "multipart/form-data; boundary=\xff", "text/html;q=1e999,a/b;q=nan", "9" * 5000,
         "xn--a.xn--\x80", "chunked", "a..b", "Bearer", "Thu, 01 Jan 1970 00:00:00 +9999999999"]
    ),
)  # fmt: skip
fuzzed_keys = st.sampled_from(
    [
        "REQUEST_METHOD",
        "PATH_INFO",
        "QUERY_STRING",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
        "SERVER_NAME",
        "SERVER_PORT",
        "REMOTE_ADDR",
        "HTTP_HOST",
        "HTTP_COOKIE",
        "HTTP_ACCEPT",
        "HTTP_ACCEPT_CHARSET",
        "HTTP_ACCEPT_LANGUAGE",
        "HTTP_ACCEPT_ENCODING",
        "HTTP_AUTHORIZATION",
        "HTTP_CACHE_CONTROL",
        "HTTP_DATE",
        "HTTP_IF_MATCH",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_IF_RANGE",
        "HTTP_RANGE",
        "HTTP_MAX_FORWARDS",
        "HTTP_PRAGMA",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
        "HTTP_REFERER",
        "HTTP_USER_AGENT",
        "HTTP_CONTENT_ENCODING",
        "HTTP_CONTENT_MD5",
        "HTTP_ORIGIN",
    ]
)


@settings(max_examples=300)
@given(
    st.dictionaries(fuzzed_keys, header_text, max_size=6),
    st.one_of(st.binary(max_size=20), st.sampled_from([MULTIPART, b"[" * 5000, b"a=%ff&\xff"])),
    st.booleans(),
)
def test_whatever_a_client_sends_an_attribute_is_a_value_or_an_http_error(
    keys: dict[str, str], body: bytes, ended: bool
) -> None:
    environ = environ_of(body, **keys)
    if ended:
        environ["wsgi.input_terminated"] = True
    request = JSONRequest(environ)
    for name in ATTRIBUTES:
        outcome(lambda: getattr(request, name))  # noqa: B023
    repr(request)
    request.close()
