"""Apps made at random do on Torsyq what they do on Flask, over WSGI and over ASGI.

An app is described by plain data, which hypothesis can make smaller: the functions it has, and what
each of them does, by the names of the tables below.
"""

from __future__ import annotations

import logging
import re
import sys
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from unittest import mock

import flask
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as WerkzeugResponse

import torsyq

from .protocols import PROTOCOLS

Framework = t.Any  # The modules flask and torsyq, which offer the same names.
Described = dict[str, t.Any]
T = t.TypeVar("T")


class World:
    """An app that was made as described, and what happened in it."""

    def __init__(self, fw: Framework, described: Described) -> None:
        self.fw = fw
        self.events: list[t.Any] = []
        self.app = fw.Flask(
            "world", root_path=str(Path(__file__).parent), static_folder="inventory"
        )
        self.app.config.update(described["config"])
        outer = fw.Blueprint("outer", "world", url_prefix="/outer", url_defaults={"d": 1})
        inner = fw.Blueprint("inner", "world", url_prefix="/<lang>")
        self.owners = {"app": self.app, "outer": outer, "inner": inner}
        for number, (owner, kind, *does) in enumerate(described["functions"]):
            self.add(owner, kind, self.function(f"{owner} {kind} {number}", *does))
        for number, (owner, rule, methods, *does) in enumerate(described["routes"]):
            view = self.function(f"{owner} view {number}", *does)
            self.owners[owner].add_url_rule(rule, f"v{number}", view, methods=methods)
        outer.register_blueprint(inner)
        self.app.register_blueprint(outer)

    def add(self, owner: str, kind: str, function: Callable[..., t.Any]) -> None:
        name, _, of = kind.partition(" ")
        method = getattr(self.owners[owner], name)
        if name == "errorhandler":
            method(ERRORS.get(of, of) if not of.isdigit() else int(of))(function)
        else:
            method(function)

    def function(
        self, name: str, is_async: bool, acts: list[str], fails: str | None, value: str | None
    ) -> Callable[..., t.Any]:
        """A view, hook or handler that does *acts* and then fails, or returns *value*."""

        def function(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self.note(name, [shown(a) for a in args], kwargs, self.fw.has_request_context())
            response = args[0] if "after_request" in name else None
            if "url_defaults" in name:  # Called by what it may do.
                return args[1].setdefault("q", "default")
            for act in acts:
                # In an async def no context can end whose teardown is async.
                if name.split()[1] != WITHOUT_END.get(act) and not (is_async and act == "nested"):
                    self.act(act, response)
            if "teardown" in name:
                return None  # Where one fails Flask leaves out the others.
            if fails is not None:
                FAILURES[fails](self)
            if response is not None:
                return response
            if "url_" in name:
                return None
            if "context_processor" in name:
                return {"who": name}
            if "errorhandler" in name and value is None:
                return args[0] if isinstance(args[0], HTTPException) else "handled"
            return None if value is None else VALUES[value](self)

        async def function_async(*args: t.Any, **kwargs: t.Any) -> t.Any:
            return function(*args, **kwargs)

        # A url_value_preprocessor is never awaited in Flask, nor is a context processor.
        return function_async if is_async and "url_" not in name else function

    def act(self, name: str, response: t.Any) -> None:
        try:
            if name in RESPONSE_ACTS:
                result = response and RESPONSE_ACTS[name](response)
            else:
                result = ACTS[name](self)
        except Exception as error:
            result = shown(error)
        self.note(name, shown(result))

    def note(self, *what: t.Any) -> None:
        self.events.append(what)

    def stream(self, *chunks: str | bytes) -> Iterator[str | bytes]:
        for chunk in chunks:
            self.note("stream", self.fw.has_request_context())
            yield chunk


def shown(value: t.Any) -> t.Any:
    """What can be compared of a value of either framework."""
    if isinstance(value, HTTPException):
        original = getattr(value, "original_exception", None)
        return type(value).__name__, value.code, value.description, shown(original)
    if isinstance(value, BaseException):
        return type(value).__name__, re.sub(" at 0x[0-9a-f]+", "", str(value))
    if hasattr(value, "status_code"):
        return value.status, settled(value.headers)
    return value


def settled(headers: t.Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what differs between two runs: the clock's dates, and the order of a set."""
    items = [(k, re.sub("Expires=[^;]+", "", v)) for k, v in headers if k not in {"Date", "date"}]
    return [(k, "".join(sorted(v)) if k.lower() == "allow" else v) for k, v in items]


def nested(world: World) -> t.Any:
    fw = world.fw
    with world.app.app_context():
        fw.g.n = "inner"
        inner = fw.has_request_context()
    with world.app.test_request_context("/other?q=2"):
        return inner, fw.request.path, fw.request.args["q"], fw.session.get("n")


def register_after(world: World) -> None:
    @world.fw.after_this_request
    def late(response: T) -> T:
        world.note("after this request", shown(response))
        return response


def counted(world: World) -> None:
    world.fw.session["n"] = world.fw.session.get("n", 0) + 1


#: What a function of the app may do; what comes of it, or the error, is written down.
ACTS: dict[str, Callable[[World], t.Any]] = {
    "args": lambda w: w.fw.request.args.to_dict(flat=False),
    "form": lambda w: (w.fw.request.form.to_dict(flat=False), w.fw.request.get_data()),
    "files": lambda w: [(f.filename, f.read()) for f in w.fw.request.files.values()],
    "json": lambda w: w.fw.request.get_json(),
    "json, silent": lambda w: w.fw.request.get_json(force=True, silent=True),
    "url": lambda w: (w.fw.request.url, w.fw.request.root_url, w.fw.request.full_path),
    "rule": lambda w: (w.fw.request.endpoint, w.fw.request.view_args, w.fw.request.blueprints),
    "session": lambda w: (dict(w.fw.session), w.fw.session.modified, w.fw.session.permanent),
    "count": counted,
    "permanent": lambda w: setattr(w.fw.session, "permanent", True),
    "forget": lambda w: w.fw.session.clear(),
    "append": lambda w: w.fw.session.setdefault("list", []).append(1),
    "g": lambda w: (w.fw.g.get("n"), sorted(w.fw.g)),
    "set g": lambda w: setattr(w.fw.g, "n", 1),
    "flash": lambda w: w.fw.flash("<é>", "kind"),
    "flashes": lambda w: w.fw.get_flashed_messages(with_categories=True),
    "url_for": lambda w: w.fw.url_for("static", filename="é ü", _external=True, _anchor="a b"),
    "own url": lambda w: w.fw.url_for(w.fw.request.endpoint, **(w.fw.request.view_args or {})),
    "template": lambda w: w.fw.render_template_string(
        "{{ request.path }} {{ who }} {{ g.n }} {{ session.n }} {{ get_flashed_messages() }}"
    ),
    "nested": nested,
    "after this request": register_after,
    "log": lambda w: w.app.logger.exception("logged"),
    "error": lambda w: shown(sys.exc_info()[1]),
}

#: What would call the same function again and again.
WITHOUT_END = {"template": "context_processor", "nested": "teardown_request"}

#: What an after_request function may do to the response, besides.
RESPONSE_ACTS: dict[str, Callable[[t.Any], t.Any]] = {
    "add header": lambda r: r.headers.add("X-Own", "ä"),
    "change header": lambda r: r.headers.__setitem__("Content-Type", "text/plain"),
    "status": lambda r: setattr(r, "status", "299 Own"),
    "cookie": lambda r: r.set_cookie("own", "ü;", max_age=5, samesite="Lax"),
    "set data": lambda r: r.set_data("other é"),
    "etag": lambda r: r.add_etag(),
    "conditional": lambda r: shown(r.make_conditional(flask.request or torsyq.request)),
}


ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (Exception, LookupError, HTTPException, NotFound)
}

#: How a function of the app may end instead of returning.
FAILURES: dict[str, Callable[[World], t.Any]] = {
    "abort 404": lambda w: w.fw.abort(404, "why <b>"),
    "abort, response": lambda w: w.fw.abort(w.fw.Response("own", 402)),
    "abort 777": lambda w: w.fw.abort(777),
    "KeyError": lambda w: w.fw.g.pop("k"),
    "ValueError": lambda w: int("v"),
    "form key": lambda w: w.fw.request.form["missing"],
    "no url": lambda w: w.fw.url_for("nowhere", a=1),
    "raise": lambda w: again(),
}


def again() -> t.NoReturn:
    raise


def wsgi_callable(world: World) -> t.Any:
    def answer(environ: t.Any, start_response: t.Any) -> list[bytes]:
        start_response("202 Fine", [("X-A", "1"), ("X-A", "2")])
        return [b"from ", b"wsgi"]

    return answer


#: What a view, an error handler or a before_request function may return.
VALUES: dict[str, Callable[[World], t.Any]] = {
    "text": lambda w: "é <text>",
    "bytes": lambda w: b"\xff",
    "dict": lambda w: {"é": [1, None], "a": 1.5},
    "bad json": lambda w: {"set": {1}},
    "generator": lambda w: w.stream("a", b"b", "é"),
    "with context": lambda w: w.fw.stream_with_context(w.stream("a", "b")),
    "template": lambda w: w.fw.stream_template_string("{{ request.path }} {{ who }}"),
    "wsgi": wsgi_callable,
    "response": lambda w: w.fw.Response(["x", b"y"], 206, {"X-A": "1"}, mimetype="text/x"),
    "werkzeug's": lambda w: WerkzeugResponse("wz", content_type="a/b"),
    "redirect": lambda w: w.fw.redirect("/é?q=ü", 303),
    "http error": lambda w: NotFound("returned"),
    "file": lambda w: w.fw.send_from_directory("inventory", "flask.json", max_age=3),
    "text, 204": lambda w: ("t", 204),
    "dict, headers": lambda w: ({"a": 1}, {"X-A": "1", "Content-Type": "a/json"}),
    "stream, 3": lambda w: (w.stream("s"), 203, [("X-A", "1"), ("X-A", "2")]),
    "response, 2": lambda w: (w.fw.Response("r", 202, {"X-A": "1"}), 203, {"X-A": "2"}),
}

# Descriptions.

OWNERS = st.sampled_from(["app", "app", "outer", "inner"])
# Seldom, since each takes Flask a new loop.
ASYNC = st.sampled_from([False] * 7 + [True])
#: What fails stops all that comes after it.
DOES: tuple[st.SearchStrategy[t.Any], ...] = (
    ASYNC,
    st.lists(st.sampled_from(sorted(ACTS)), max_size=3),
    st.sampled_from([None] * 9 + sorted(FAILURES)),
)
AFTER = st.lists(st.sampled_from(sorted(ACTS) + sorted(RESPONSE_ACTS) * 2), max_size=3)
SELDOM_A_VALUE = st.sampled_from([None] * 90 + sorted(VALUES))
HANDLED = ["404", "405", "500", "415", *sorted(ERRORS)]
FUNCTIONS = st.one_of(
    st.tuples(
        OWNERS,
        st.sampled_from(
            ["before_request", "before_request", "teardown_request", "context_processor"]
            + ["url_value_preprocessor", "url_defaults"]
        ),
        *DOES,
        SELDOM_A_VALUE,
    ),
    st.tuples(OWNERS, st.just("after_request"), ASYNC, AFTER, DOES[2], st.none()),
    st.tuples(
        OWNERS,
        st.sampled_from([f"errorhandler {of}" for of in HANDLED]),
        *DOES,
        st.none() | st.sampled_from(sorted(VALUES)),
    ),
)
RULES = {
    "/": ["/"],
    "/a/": ["/a/", "/a"],
    "/<x>": ["/x", "/é%20"],
    "/n/<int:x>": ["/n/7", "/n/x"],
    "/p/<path:x>": ["/p/q/r", "/p//q"],
    "/f/<float:x>/": ["/f/1.5", "/f/1.5/"],
}
PREFIXES = {"app": "", "outer": "/outer", "inner": "/outer/de"}
CONFIG: dict[str, list[t.Any]] = {
    "SECRET_KEY": ["k"],
    "DEBUG": [True],
    "TESTING": [True],
    "PROPAGATE_EXCEPTIONS": [False],
    "TRAP_HTTP_EXCEPTIONS": [True],
    "TRAP_BAD_REQUEST_ERRORS": [True],
    "SESSION_REFRESH_EACH_REQUEST": [False],
    "MAX_CONTENT_LENGTH": [2, 100],
    "MAX_FORM_PARTS": [1],
    "SERVER_NAME": ["localhost"],
    "TRUSTED_HOSTS": [["localhost"], ["other.example"]],
}
UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="up"; filename="u.txt"\r\n\r\nfile\r\n--b--\r\n'
)
BODIES: list[dict[str, t.Any]] = [
    {},
    {"data": {"f": "é", "g": ["1", "2"]}},
    {"data": UPLOAD, "content_type": "multipart/form-data; boundary=b"},
    {"json": {"a": "é"}},
    {"data": b"{bad", "content_type": "application/json"},
    {"data": b"raw \xff", "content_type": "text/plain"},
]
HEADERS = {
    "Accept": ["text/html"],
    "Host": ["other.example"],
    "Range": ["bytes=1-2"],
    "Cookie": ["session=bad; a=b"],
}
METHODS = st.sampled_from([["GET"], ["GET", "POST"], ["POST", "PUT"], ["GET", "OPTIONS"]])


def some(options: dict[str, list[t.Any]], at_most: int) -> st.SearchStrategy[dict[str, t.Any]]:
    items = [(name, value) for name, values in options.items() for value in values]
    return st.lists(st.sampled_from(items), max_size=at_most).map(dict)


@st.composite
def described_apps(draw: st.DrawFn) -> Described:
    routes = draw(
        st.lists(
            st.tuples(OWNERS, st.sampled_from(sorted(RULES)), METHODS, *DOES).flatmap(
                lambda route: st.sampled_from(sorted(VALUES)).map(lambda value: (*route, value))
            ),
            min_size=1,
            max_size=3,
        )
    )
    asked = [(PREFIXES[r[0]] + path, r[2][0]) for r in routes for path in RULES[r[1]]]
    requests = st.tuples(
        st.sampled_from(asked * 4 + [("/inventory/flask.json", "GET"), ("/no/such/x", "GET")]),
        st.sampled_from([None] * 7 + ["HEAD", "OPTIONS", "POST"]),
        st.sampled_from(["", "q=1&q=%C3%A9", "q=%ff&x=+"]),
        st.sampled_from(BODIES),
        some(HEADERS, 1),
    )
    return {
        "config": draw(some(CONFIG, 4)),
        "functions": draw(st.lists(FUNCTIONS, max_size=5)),
        "routes": routes,
        "requests": draw(st.lists(requests, min_size=1, max_size=4)),
    }


# Comparison.


class Log(logging.Handler):
    """Writes down what the app logs, and which error with it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.world.note("log", record.levelname, record.module, record.getMessage(), shown(error))


def happened(fw: Framework, described: Described, protocol: str = "wsgi") -> list[t.Any]:
    world = World(fw, described)
    if fw is torsyq:
        world.app.test_client_class = PROTOCOLS[protocol]
    client = world.app.test_client()
    world.app.logger.handlers[:] = [Log(world)]
    for (path, method), other, query, body, headers in described["requests"]:
        sent = {"method": other or method, "query_string": query, "headers": headers, **body}
        try:
            response = client.open(path, **sent)
        except Exception as error:
            world.note("raised", shown(error))
        else:
            # Over ASGI the reason and the spelling of names are lost.
            headers = [(name.lower(), value) for name, value in settled(response.headers)]
            world.note(response.status_code, headers, response.data)
    if fw is torsyq and (pool := type(world.app).thread_pool.taken_from(world.app)) is not None:
        pool.shutdown()
    return world.events


@settings(max_examples=150, derandomize=True)
@given(described_apps())
def test_an_app_made_at_random_does_the_same_on_flask_and_on_torsyq(described: Described) -> None:
    with mock.patch("time.time", return_value=1_700_000_000.0):  # Session cookies carry the time.
        on_flask = happened(flask, described)
        for protocol in PROTOCOLS:
            both = zip_longest(happened(torsyq, described, protocol), on_flask)
            assert next((pair for pair in both if pair[0] != pair[1]), None) is None, protocol
