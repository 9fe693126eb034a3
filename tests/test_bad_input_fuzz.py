"""Whatever bytes come in, an app answers below 500 and is there for the next request."""

from __future__ import annotations

import json
import typing as t
from contextvars import Context
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle
from hypothesis.stateful import consumes
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from werkzeug.exceptions import HTTPException

import torsyq
from torsyq import Flask
from torsyq import g
from torsyq import request
from torsyq import session

from .bad_input import Answer
from .bad_input import Ask
from .bad_input import call_asgi
from .bad_input import environ_of
from .bad_input import LANES

ATTRIBUTES = sorted(
    {name for name in dir(torsyq.Request) if not name.startswith("_")}
    - {"routing_exception"}
    - {name for name in dir(torsyq.Request) if callable(getattr(torsyq.Request, name))}
    | {"form", "files", "headers", "method", "path", "query_string", "remote_addr", "root_path"}
    | {"scheme", "server", "stream", "args", "cookies", "host", "url", "data"}
)


def touch() -> dict[str, str]:
    """Read everything a request says; an HTTP error is an answer, any other a bug."""
    read = {}
    for name in ATTRIBUTES:
        try:
            value = getattr(request, name)
            # Werkzeug can read a tag that it can't write.
            read[name] = repr(vars(value) if name == "if_range" else value)
        except HTTPException as error:
            read[name] = repr(error)
    read["repr"] = repr(request)
    for name, option in (("silent", {"silent": True}), ("force", {"force": True})):
        try:
            read[name] = repr(request.get_json(**option))
        except HTTPException as error:
            read[name] = repr(error)
    return read


def kitchen_sink(hooks: bool) -> Flask:
    """An app that touches everything; with *hooks*, before, after and beside the view too."""
    app = Flask("sink", root_path=str(Path(__file__).parent), static_folder="inventory")
    app.config.update(
        SECRET_KEY="k", MAX_CONTENT_LENGTH=4000, MAX_FORM_MEMORY_SIZE=1000, MAX_FORM_PARTS=5
    )
    methods = ["GET", "POST", "PUT"]

    @app.route("/", methods=methods)
    @app.route("/sink/", methods=methods)
    @app.route("/int/<int:a>", methods=methods)
    @app.route("/float/<float(signed=True):a>", methods=methods)
    @app.route("/uuid/<uuid:a>", methods=methods)
    @app.route("/path/<path:a>", methods=methods)
    @app.route("/<path:a>/mid/<path:b>/", methods=methods)
    @app.route("/page/", defaults={"a": 1}, methods=methods)
    @app.route("/page/<int:a>", methods=methods)
    def sink(**values: t.Any) -> t.Any:
        session["count"] = session.get("count", 0) + 1
        torsyq.flash(request.path)
        answer = torsyq.jsonify(touch(), {name: str(value) for name, value in values.items()})
        answer.set_cookie("seen", request.args.get("a", "") or "no")
        answer.set_etag("abc")
        size = len(answer.get_data())
        return answer.make_conditional(request, accept_ranges=True, complete_length=size)

    @app.route("/page", methods=methods)
    def page() -> str:
        return torsyq.render_template_string(
            "{{ request.url }} {{ session }} {{ get_flashed_messages() }} {{ request.args }}"
        )

    @app.route("/json", methods=methods)
    def echo() -> t.Any:
        return torsyq.jsonify(request.get_json())

    @app.route("/form", methods=methods)
    def form() -> t.Any:
        return {**request.form, **{name: file.read().hex() for name, file in request.files.items()}}

    @app.route("/files/<path:name>")
    def send(name: str) -> t.Any:
        return torsyq.send_from_directory("inventory", name)

    @app.route("/url/<path:name>")
    def url(name: str) -> str:
        return torsyq.url_for("url", name=name, q=name, _anchor=name, _external=True)

    @app.route("/count")
    def count() -> str:
        return str(len(g.get("log", [])))

    if hooks:

        @app.before_request
        def before() -> None:
            g.log = [touch()]
            session.get("count")

        @app.after_request
        def after(response: t.Any) -> t.Any:
            response.headers["X-Endpoint"] = str(request.endpoint)
            g.log.append(touch())
            return response

        @app.teardown_request
        def teardown(error: BaseException | None) -> None:
            touch()

        @app.errorhandler(HTTPException)
        def handle(error: HTTPException) -> t.Any:
            touch()
            return {"error": error.name, "url": request.url}, error.code

        @app.context_processor
        def context() -> dict[str, t.Any]:
            return {"seen": session.get("count")}

    return app


@cache
def the_app(hooks: bool) -> Flask:
    return kitchen_sink(hooks)


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="g.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\ncontent\r\n--x--\r\n"
)

pieces_of_path = st.sampled_from(
    [b"/", b"//", b"sink", b"int", b"float", b"uuid", b"path", b"mid", b"page", b"json", b"form"]
    + [b"files", b"url", b"inventory", b"flask.json", b"..", b".", b"1", b"-1.5", b"9" * 5000]
    + [b"\\", b"\r\n", b"\0", b"%2f", b"%", b"\xff", "é".encode(), "١".encode(), b"evil.example"]
    + [b"0" * 8 + b"-0000-0000-0000-" + b"0" * 12, b"a" * 300, b";", b"?", b"#", b":", b"@", b" "]
)
paths = st.one_of(
    st.lists(pieces_of_path, max_size=6).map(lambda pieces: b"/" + b"".join(pieces)),
    st.lists(pieces_of_path, max_size=6).map(lambda pieces: b"/" + b"/".join(pieces)),
    st.sampled_from([b"", b"*", b"/json", b"/form", b"/page", b"/sink/", b"/inventory/flask.json"]),
    st.binary(max_size=20),
)
# What an HTTP parser lets through in a value.
text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20)
odd = st.text("ab=;,/\"'\\ \t%-[]:@.*_+0129GMTqW~", max_size=24)
DATES = [
    "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 99999 00:00:00 GMT", "Thu, 31 Feb 2020 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 +9999999999", "01 Jan 0001 00:00:00 +2359", "1 Jan -5 1:1:1", "9" * 5000,
    "31 Dec 9999 23:59:59 -2359",
]  # fmt: skip
HEADERS: dict[str, list[str]] = {
    "Accept": ["text/html;q=1e999,a/b;q=nan", "a/b;q=-1", "*", "a/b;q=" + "9" * 5000, ";q=", "a;b*0=c"],
    "Accept-Charset": ["*", "idna", "utf-8;q=x", "bogus"],
    "Accept-Encoding": ["gzip;q=0", "*"],
    "Accept-Language": ["de-", "*-*", "en_US;q=0.5"],
    "Access-Control-Request-Headers": [",,", "a"],
    "Authorization": [
        "Basic", "Basic YTpi", "Basic Yg==", "Basic \xff", "Basic YYYYY", 'Digest a="', "Bearer", "X a=b,=,",
        "Digest username*=utf-8''%ff",
    ],
    "Cache-Control": ["max-age=x", "max-age=" + "9" * 5000, "=", "no-cache"],
    "Content-Encoding": ["gzip"],
    "Content-Type": [
        "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "multipart/form-data", 'multipart/form-data; boundary="', "multipart/form-data; boundary=\xff",
        "application/json; charset=bogus", "a/b; c*=utf-8''%ff", "a;b*" + "9" * 5000 + "=c", "text/plain",
    ],
    "Cookie": [
        "session=x.y.z", "session=.eJ.a.b", 'session="\\', "=", ";;;", "a", 'a="\\777"', "session=\xff",
        "session=" + "A" * 5000,
    ],
    "Date": DATES,
    "Host": [
        "localhost", "[::::]", "[::1", "a..b", "a b", "é", "a" * 70, "a:99999", "", "xn--a.xn--\x80",
        "evil.example/x", "a@evil.example", "localhost:80", "LOCALHOST", ".", "-", "[::1]:80", "a:",
    ],
    "If-Match": ["*", '"', 'W/"', '"abc"'],
    "If-Modified-Since": DATES,
    "If-None-Match": ["*", '"', 'W/"', '"abc"'],
    "If-Range": [*DATES, '"abc"', 'W/"abc"', '"'],
    "If-Unmodified-Since": DATES,
    "Max-Forwards": ["x", "9" * 5000, "²"],
    "Origin": ["null"],
    "Pragma": ['a="'],
    "Range": [
        "bytes=0-1", "bytes=-1", "bytes=5-3", "bytes=0-1,3-4", "bytes=1-" + "9" * 5000, "bytes=-" + "9" * 5000,
        "bytes=²-", "bytes=", "bytes=0--1", "x=1-2", "bytes=" + "0-0," * 50, "bytes=99999-", "bytes=-0",
    ],
    "Referer": ["x"],
    "Upgrade": ["websocket", "h2c"],
    "Connection": ["upgrade", "close"],
    "User-Agent": ["x"],
    "X-Forwarded-For": [",,"],
}  # fmt: skip
headers = st.lists(
    st.sampled_from(sorted(HEADERS)).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(st.sampled_from(HEADERS[name]), odd, text))
    ),
    max_size=6,
)
bodies = st.one_of(
    st.sampled_from(
        [b"", MULTIPART, MULTIPART[:-4], MULTIPART * 3, b"[" * 3000, b'{"a": 1}', b"a=1&b=%ff&\xff", b"x" * 5000]
        + [b'{"a":' * 500 + b"1" + b"}" * 500, b"--x--", b"--x\r\n\r\n", b'"\\ud800"', b"9" * 5000]
    ),
    st.lists(
        st.sampled_from(
            [b"--x", b"--x--", b"\r\n", b"\n", b"Content-Disposition: form-data", b"; name=a", b'; filename="b']
            + [b"; filename*=utf-16''%ff", b"Content-Type: text/plain; charset=x", b"a", b"\xff", b"\0", b":"]
        ),
        max_size=14,
    ).map(b"".join),
    st.binary(max_size=30),
)  # fmt: skip
asks = st.builds(
    Ask,
    path=paths,
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "X", "P-Q"]),
    query=st.one_of(st.binary(max_size=20), st.sampled_from([b"%", b"a=%ff&&=;", b"a=%0d%0ax", b"\xff"])),
    headers=headers,
    body=bodies,
    length=st.sampled_from(["", "", "", None, "0", "3", "99", "-1", "x", "9" * 30, "9" * 5000, "²", "1_0"]),
    chunked=st.booleans(),
    scheme=st.sampled_from(["http", "https"]),
)  # fmt: skip


def check(lane: str, app: Flask, ask: Ask) -> None:
    answer = LANES[lane](app, ask)
    assert answer.status < 500
    location = answer.header("Location")
    if location is not None:
        # Only where the client itself came from: no other site.
        assert not location.startswith(("//", "/\\"))
    assert LANES[lane](app, Ask(b"/count")).status == 200


@pytest.mark.parametrize("hooks", [False, True], ids=["bare", "hooks"])
@pytest.mark.parametrize("lane", LANES)
@settings(max_examples=60)
@given(asks)
def test_any_request_is_answered_below_500_and_so_is_the_next(
    lane: str, hooks: bool, ask: Ask
) -> None:
    check(lane, the_app(hooks), ask)


# Scopes as servers make them, odd ones too.

scopes: st.SearchStrategy[dict[str, t.Any]] = st.fixed_dictionaries(
    {
        "type": st.just("http"),
        "path": st.one_of(st.text(max_size=12), paths.map(lambda path: path.decode(errors="replace"))),
        "headers": headers.map(
            lambda pairs: [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in pairs]
        ),
    },
    optional={
        "method": st.sampled_from(["GET", "POST", "", "get"]),
        "query_string": st.binary(max_size=20),
        "raw_path": st.one_of(st.none(), st.binary(max_size=20)),
        "root_path": st.sampled_from(["", "/", "/sink", "/é", "sink/", "//evil.example"]),
        "scheme": st.sampled_from(["http", "https", "", "ws", "javascript"]),
        "server": st.sampled_from([None, ("localhost", 80), ("/run/socket", None), ("::1", 80), ("a b", 0)]),
        "client": st.sampled_from([None, ("127.0.0.1", 5), ("", 0), ("é", 1)]),
        "http_version": st.sampled_from(["1.0", "1.1", "2", "3", ""]),
        "extensions": st.just({}),
    },
)  # fmt: skip
messages = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("http.request")},
        optional={"body": st.binary(max_size=9), "more_body": st.booleans()},
    ),
    max_size=4,
)


@settings(max_examples=100)
@given(scopes, messages, st.booleans())
def test_any_scope_is_answered_below_500_and_so_is_the_next(
    scope: dict[str, t.Any], messages: list[dict[str, t.Any]], gone: bool
) -> None:
    app = the_app(True)
    end = {"type": "http.disconnect"} if gone else {"type": "http.request"}
    assert call_asgi(app, scope, [*messages, end]).status < 500
    assert LANES["asgi"](app, Ask(b"/count")).status == 200


# Clients with sessions, at any moment of one another's requests.


def session_app() -> Flask:
    app = Flask("clients", static_folder=None)
    app.config["SECRET_KEY"] = "k"

    @app.before_request
    def before() -> None:
        g.client = request.headers["X-Client"]

    @app.route("/put/<key>", methods=["POST"])
    def put(key: str) -> str:
        session[key] = request.get_data(as_text=True)
        return str(g.client)

    @app.get("/all")
    def everything() -> t.Any:
        return dict(session)

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return str(g.client)

    @app.get("/fail")
    def fail() -> str:
        session["failed"] = g.client
        raise OSError(g.client)

    @app.get("/slow")
    def slow() -> t.Any:
        def rows() -> t.Iterator[str]:
            for _ in range(3):
                yield f"{g.client} {request.headers['X-Client']} {sorted(session.items())}\n"

        return torsyq.stream_with_context(rows())

    @app.errorhandler(OSError)
    def handle(error: OSError) -> t.Any:
        return f"{error} {g.client}", 400

    return app


class Clients(RuleBasedStateMachine):
    """Requests of several clients, streams among them begun and not ended: nobody sees another's."""

    names = st.sampled_from(["ann", "bob", "cem"])
    lanes = st.sampled_from(sorted(LANES))
    keys = st.sampled_from(["a", "b"])

    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.app = session_app()
        self.cookies: dict[str, str] = {}
        self.open: list[t.Any] = []
        self.state: dict[str, dict[str, str]] = {"ann": {}, "bob": {}, "cem": {}}

    def request(self, name: str, path: str, method: str = "GET", body: str = "") -> Ask:
        headers = [("Host", "localhost"), ("X-Client", name)]
        if name in self.cookies:
            headers.append(("Cookie", f"session={self.cookies[name]}"))
        return Ask(path.encode(), method, headers=headers, body=body.encode())

    def ask(self, lane: str, name: str, *args: str) -> Answer:
        answer = LANES[lane](self.app, self.request(name, *args))
        cookie = answer.header("Set-Cookie")
        if cookie is not None:
            self.cookies[name] = cookie.partition("=")[2].partition(";")[0]
        return answer

    @rule(lane=lanes, name=names, key=keys, value=st.text("xyz", max_size=3))
    def put(self, lane: str, name: str, key: str, value: str) -> None:
        assert self.ask(lane, name, f"/put/{key}", "POST", value).text == name
        self.state[name][key] = value

    @rule(lane=lanes, name=names)
    def look(self, lane: str, name: str) -> None:
        assert json.loads(self.ask(lane, name, "/all").text) == self.state[name]

    @rule(lane=lanes, name=names)
    def clear(self, lane: str, name: str) -> None:
        assert self.ask(lane, name, "/clear").text == name
        self.state[name].clear()

    @rule(lane=lanes, name=names)
    def fail(self, lane: str, name: str) -> None:
        assert self.ask(lane, name, "/fail").text == f"{name} {name}"
        self.state[name]["failed"] = name

    @rule(lane=lanes, name=names)
    def get_lost(self, lane: str, name: str) -> None:
        assert self.ask(lane, name, "/nothing").status == 404

    @rule(target=streams, name=names)
    def begin(self, name: str) -> t.Any:
        environ = environ_of(self.request(name, "/slow"))
        body = self.app(environ, lambda status, headers, exc=None: None)
        line = f"{name} {name} {sorted(self.state[name].items())}\n"
        stream = Context(), body, iter(body), line
        self.open.append(stream)
        return stream

    @rule(stream=streams)
    def go_on(self, stream: t.Any) -> None:
        context, _, rows, line = stream
        assert context.run(next, rows, b"").decode() in (line, "")

    @rule(stream=consumes(streams))
    def end(self, stream: t.Any) -> None:
        context, body, _, _ = stream
        context.run(body.close)
        self.open.remove(stream)

    def teardown(self) -> None:
        for context, body, _, _ in self.open:
            context.run(body.close)


TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=25, stateful_step_count=30)
