"""A response is what Flask's response is, in fewer calls, and never breaks an answer apart."""

from __future__ import annotations

import copy
import io
import pickle
import typing as t
from datetime import datetime
from datetime import UTC
from http import HTTPStatus

import flask
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug import datastructures as ds
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.test import create_environ
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as BaseResponse

import torsyq
from torsyq.headers import Headers
from torsyq.wrappers import Response

from .calls import calls_of

ABSURD = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"


def sent(response: t.Any, method: str = "GET", **keys: t.Any) -> t.Any:
    """Status, headers and body as a server sees them."""
    environ = create_environ("/here", "http://example.com/", method=method)
    seen: list[t.Any] = []
    chunks = response(environ | keys, lambda *given: seen.append(given))
    try:
        return seen[0], b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


def outcome(call: t.Callable[[], t.Any]) -> t.Any:
    try:
        return call()
    except Exception as error:
        return type(error)


def described(response: t.Any) -> t.Any:
    """What code that has a response in hand sees of it."""
    names = (
        "status", "status_code", "mimetype", "mimetype_params", "content_type", "content_length",
        "is_sequence", "is_streamed", "is_json", "direct_passthrough", "location", "vary",
    )  # fmt: skip
    return [list(response.headers)] + [str(getattr(response, name)) for name in names]


bodies: t.Any = st.sampled_from(
    [
        lambda: None, lambda: "", lambda: "text é", lambda: b"bytes", lambda: bytearray(b"array"),
        lambda: Markup("<b>"), lambda: ["a", b"b", "é"], lambda: ["one"], lambda: [b"one"],
        list, lambda: ("a", b"b"), lambda: iter(["a", b"b"]), lambda: (c for c in "abc"),
        lambda: io.BytesIO(b"line\nline\n"), lambda: [bytearray(b"x")],
    ]
)  # fmt: skip
statuses = st.sampled_from(
    [None, 200, 201, 204, 206, 299, 304, 100, 199, 404, 500, 599, HTTPStatus.CREATED, "200 OK",
     "404 gone fishing", "204", " 201 Created ", "299", "200  two spaces"]
)  # fmt: skip
headers: t.Any = st.sampled_from(
    [
        lambda: None, dict, lambda: {"X-A": "b"}, lambda: {"X-A": ["b", "c"]},
        lambda: [("X-A", "b"), ("x-a", "c")], lambda: {"content-type": "a/b"},
        lambda: {"Content-Length": "3"}, lambda: {"content-length": "3"},
        lambda: {"Location": "/there"}, lambda: {"Location": "/é?x=[&y= "},
        lambda: [("location", "/a"), ("Location", "/b")],
        lambda: [("Location", "/a"), ("X", "y"), ("Location", "/b")], lambda: {"Content-Location": "/é"},
        lambda: {"Location": "http://EXAMPLE.com:80/é#f"}, lambda: {"Location": "?next"},
        lambda: {"Location": "https://example.com:8080/there?x=1#y"},
        lambda: ds.Headers([("X-A", "b"), ("Content-Type", "c/d")]), lambda: ds.Headers(),
        lambda: ds.Headers([("Location", "/é")]), lambda: [("X-A", 1)], lambda: ds.MultiDict({"a": "b"}),
        lambda: {"Allow": "GET", "ETag": '"x"', "Content-Language": "kk", "Set-Cookie": "a=b"},
    ]
)  # fmt: skip
types = st.sampled_from(
    [None, "text/plain", "application/json", "application/xml", "image/svg+xml", "", "text/x; y=z"]
)
methods = st.sampled_from(["GET", "HEAD", "POST"])


class OursAbsolute(Response):
    autocorrect_location_header = True
    automatically_set_content_length = False
    default_mimetype = None
    default_status = 202


class FlasksAbsolute(flask.Response):
    autocorrect_location_header = True
    automatically_set_content_length = False
    default_mimetype = None
    default_status = 202


PAIRS = [(Response, flask.Response), (OursAbsolute, FlasksAbsolute)]


@settings(max_examples=400)
@given(
    st.sampled_from(PAIRS), bodies, statuses, headers, types, types, st.booleans(), methods
)  # fmt: skip
def test_any_response_is_made_and_sent_as_flasks(
    classes: t.Any,
    body: t.Any,
    status: t.Any,
    headers: t.Any,
    mimetype: str | None,
    content_type: str | None,
    passthrough: bool,
    method: str,
) -> None:
    ours, theirs = (
        cls(body(), status, headers(), mimetype, content_type, passthrough) for cls in classes
    )
    assert described(ours) == described(theirs)
    # With a direct passthrough a server gets the chunks as they are, text included: an error there.
    assert outcome(lambda: sent(ours, method)) == outcome(lambda: sent(theirs, method))
    assert described(ours) == described(theirs)


def vary_by_cookie(response: t.Any) -> None:
    """As a session does."""
    (response._vary_by if isinstance(response, Response) else response.vary.add)("Cookie")


changes: t.Any = st.sampled_from(
    [
        lambda r: r.set_data("other"), lambda r: r.set_data(b""), lambda r: setattr(r, "data", "x"),
        lambda r: r.set_cookie("a", "b"), lambda r: r.set_cookie("a", "é", domain="x.y", secure=True),
        lambda r: r.set_cookie("a", "b", expires=datetime(2030, 1, 1, tzinfo=UTC), samesite="lax"),
        lambda r: r.delete_cookie("a", path="/x"), lambda r: r.headers.add("X-A", "b"),
        lambda r: r.headers.set("content-length", "1"), lambda r: setattr(r, "status", "404 No"),
        lambda r: setattr(r, "status_code", 304), lambda r: r.vary.add("Cookie"),
        lambda r: r.vary.update(["A", "B"]), lambda r: setattr(r.cache_control, "max_age", 3),
        lambda r: setattr(r, "mimetype", "text/x"), lambda r: r.headers.pop("Content-Type", None),
        lambda r: r.headers.clear(), lambda r: setattr(r, "location", "/é"), lambda r: r.add_etag(),
        lambda r: r.freeze(), lambda r: r.stream.write(b"more"), lambda r: r.get_data(),
        lambda r: setattr(r, "content_length", 2), lambda r: r.make_sequence(),
        lambda r: setattr(r, "content_security_policy", "default-src x"),
        lambda r: setattr(r, "retry_after", 3), lambda r: r.set_etag("x", weak=True),
        lambda r: setattr(r, "response", ["a", "b"]), lambda r: r.calculate_content_length(),
        lambda r: r.call_on_close(lambda: None), lambda r: repr(r), lambda r: r.get_json(silent=True),
        lambda r: setattr(r, "my_own", 1), lambda r: setattr(r, "allow", ["GET", "PUT"]),
        vary_by_cookie,
    ]
)  # fmt: skip


@settings(max_examples=400)
@given(st.sampled_from(["a", b"b", ["c", b"d"], None]), st.lists(changes, max_size=5), methods)
def test_any_response_is_changed_as_flasks(
    body: t.Any, changes: list[t.Callable[[t.Any], t.Any]], method: str
) -> None:
    pair = Response(body), flask.Response(body)
    for change in changes:
        results = [outcome(lambda: plain(change(response))) for response in pair]  # noqa: B023
        assert results[0] == results[1]
        assert described(pair[0]) == described(pair[1])
    assert sent(pair[0], method) == sent(pair[1], method)


def plain(value: t.Any) -> t.Any:
    return None if callable(value) else value


class Noting:
    """A stream that notes when it is closed."""

    def __init__(self, chunks: list[t.Any], notes: list[str]) -> None:
        self.chunks = iter(chunks)
        self.notes = notes

    def __iter__(self) -> t.Iterator[t.Any]:
        return self.chunks

    def __next__(self) -> t.Any:
        return next(self.chunks)

    def close(self) -> None:
        self.notes.append("stream")


class Changing:
    """A response with which steps are taken, unseen between them."""

    def __init__(self, base: t.Any, body: t.Any) -> None:
        self.notes: list[str] = []
        changing = self

        class Own(base):  # type: ignore[misc]
            def __init__(self, *args: t.Any) -> None:
                self._status = "none yet"
                super().__init__(*args)
                self.headers["X-Own"] = "yes"

            def close(self) -> None:
                changing.notes.append("class")
                super().close()

        self.classes = {"base": base, "own": Own}
        self.response = base(self.body(body))
        self.kept: list[t.Any] = []

    def body(self, chunks: t.Any) -> t.Any:
        return Noting(chunks, self.notes) if isinstance(chunks, list) else chunks

    def take(self, step: str, value: t.Any) -> t.Any:
        response = self.response
        if step == "new":
            self.response = self.classes[value[0]](self.body(value[1]))
        elif step == "class":
            response.__class__ = self.classes[value]
        elif step == "response":
            self.kept.append(response.response)
            response.response = self.body(value)
        elif step == "copy":
            self.kept.append(response)
            try:
                self.response = value(response)
            except (AttributeError, TypeError, pickle.PicklingError):
                return "A stream cannot be copied so, nor can a function."
        elif step == "on_close":
            response.call_on_close(lambda: self.notes.append("callback"))
        elif step == "send":
            return sent(response, value)
        elif step == "set":
            name, setting = value
            setattr(response, name, copy.copy(setting))
        else:
            return value(response)
        return None


def pickled(response: t.Any) -> t.Any:
    return pickle.loads(pickle.dumps(response))


texts = st.sampled_from(["a", b"b", ["c", b"d"], []])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("new"), st.tuples(st.sampled_from(["base", "own"]), texts)),
        st.tuples(st.just("class"), st.sampled_from(["own", "base"])),
        st.tuples(st.just("response"), texts),
        st.tuples(st.just("copy"), st.sampled_from([copy.copy, copy.copy, copy.deepcopy, pickled])),
        st.tuples(st.just("on_close"), st.none()),
        st.tuples(st.just("send"), methods),
        st.tuples(
            st.just("set"),
            st.sampled_from(
                [
                    ("status", "404 No"), ("status_code", 204), ("data", "x"),
                    ("direct_passthrough", True), ("headers", ds.Headers({"X": "y"})),
                ]
            ),
        ),
        st.tuples(
            st.just("call"),
            st.sampled_from(
                [
                    lambda r: r.headers.add("X-A", "b"), lambda r: r.headers.pop("Content-Length"),
                    lambda r: r.get_data(), lambda r: r.close(), lambda r: list(r.headers),
                    lambda r: r.status, lambda r: r.freeze(), lambda r: r.is_streamed,
                    lambda r: r.set_cookie("a", "b"), lambda r: r.delete_cookie("c"),
                    vary_by_cookie,
                ]
            ),
        ),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=400)
@given(texts, steps, methods)
def test_any_response_is_copied_closed_and_sent_as_flasks(
    body: t.Any, steps: list[tuple[str, t.Any]], method: str
) -> None:
    pair = Changing(Response, body), Changing(flask.Response, body)
    for step, value in (*steps, ("send", method), ("send", method)):
        results = [outcome(lambda: each.take(step, value)) for each in pair]  # noqa: B023
        assert results[0] == results[1]
        assert pair[0].notes == pair[1].notes


@pytest.mark.parametrize(
    "made",
    [
        lambda: Response("text"),
        lambda: Response("text", 201, {"X": "y"}),
        lambda: Response(part for part in "ab"),
        lambda: Response([b"a"], direct_passthrough=True),
        lambda: torsyq.redirect("/there"),
    ],
)
def test_a_response_becomes_one_of_a_class_that_derives_from_werkzeugs(
    made: t.Callable[[], t.Any],
) -> None:
    """As ``app.response_class`` may: a view's ``Response`` is forced into it."""

    class Own(BaseResponse):
        pass

    app = torsyq.Flask(__name__)
    app.response_class = Own  # type: ignore[assignment]
    app.add_url_rule("/", view_func=lambda: made())
    with app.test_request_context():
        expected = sent(made())
        forced = Own.force_type(made())
    assert (type(forced), sent(forced)) == (Own, expected)
    answer = app.test_client().get("/")
    assert (answer.status, answer.data) == (expected[0][0], expected[1])


def test_a_pickle_holds_all_that_a_response_of_flask_has() -> None:
    """Flask may find it in a cache that both use."""
    for made, theirs in ((Response("a"), flask.Response("a")), (Response(["a"]), flask.Response())):
        assert vars(pickled(made)).keys() >= vars(theirs).keys()
        assert made.__class__ is Response
        assert isinstance(made, Response)


def test_a_constructor_called_again_begins_anew() -> None:
    def own(base: t.Any) -> t.Any:
        class Twice(base):  # type: ignore[misc]
            def __init__(self, *args: t.Any) -> None:
                self.response = ["of the subclass"]
                super().__init__("first", 404)
                self.headers["X-First"] = "yes"
                super().__init__(*args)

        return Twice

    for status in (None, 204):
        assert sent(own(Response)("last", status)) == sent(own(flask.Response)("last", status))


def test_threads_that_read_a_response_at_once_see_the_same() -> None:
    """As they do with one that is made once, for all requests."""
    response = Response("hello")
    status, code, items, body = t.cast("t.Any", response._made_of)
    seen: list[t.Any] = []

    class Interrupting:
        """The headers, during the reading of which another thread reads."""

        def __iter__(self) -> t.Iterator[t.Any]:
            if not seen:
                seen.append(None)
                seen.append((response.headers, response.status))
            return iter(items)

    response._made_of = status, code, Interrupting(), body
    assert response.response == [b"hello"]
    assert seen[1] == (response.headers, "200 OK")
    assert seen[1][0] is response.headers


# Calls


def test_making_and_sending_text_is_one_call_each() -> None:
    environ = create_environ()
    Response("warm", mimetype="text/plain")
    assert calls_of(lambda: Response("hello")) == 1
    assert calls_of(lambda: Response(b"hello", mimetype="text/plain")) == 1
    response = Response("hello")
    assert calls_of(lambda: response(environ, print_nothing)) == 2


def test_cookies_and_vary_make_no_attributes_of_what_can_be_sent_at_once() -> None:
    for body in ("hello", (c for c in "abc")):
        response = Response(body)
        response.set_cookie("a", "b")
        response.set_cookie("c", "d")
        vary_by_cookie(response)
        assert vars(response).keys() == {"_made_of"}
    environ = create_environ()
    response = Response("hello")
    response.set_cookie("a", "b")
    assert calls_of(lambda: response(environ, print_nothing)) == 2


def print_nothing(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
    """A server that does not care."""


class NoIterator:
    """Its ``iter()`` fails."""

    def __next__(self) -> str:
        raise AssertionError("not reached")


@pytest.mark.parametrize("body", [["\ud800"], NoIterator()])
def test_a_body_that_can_not_be_sent_is_seen_before_the_answer_begins(
    body: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = torsyq.Flask("app")
    monkeypatch.setattr(app.logger, "disabled", True)
    app.add_url_rule("/", "index", lambda: Response(body, headers=[("Content-Length", "1")]))
    app.add_url_rule("/plain", "plain", lambda: Response(body))
    begun: list[str] = []
    for path in "/", "/plain":
        app(create_environ(path), lambda status, headers: begun.append(status))
    assert begun == ["500 INTERNAL SERVER ERROR"] * 2


def test_text_is_sent_as_a_plain_list() -> None:
    environ = create_environ()
    assert type(Response("hello")(environ, print_nothing)) is list
    closing = Response("hello")
    closing.call_on_close(lambda: None)
    assert type(closing(environ, print_nothing)) is not list


def test_a_response_can_be_sent_twice() -> None:
    response = Response(["a", "b"])
    assert sent(response) == sent(response)


# Replaced steps

STEPS: dict[str, t.Callable[..., t.Any]] = {
    "get_wsgi_headers": lambda self, environ: ds.Headers([("X-Own", "yes")]),
    "get_app_iter": lambda self, environ: [b"own"],
    "get_wsgi_response": lambda self, environ: ([b"own"], "299 Own", [("X-Own", "yes")]),
    "iter_encoded": lambda self: iter([b"own"]),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_replaced_in_a_subclass_is_taken(name: str) -> None:
    ours = type("Own", (Response,), {name: STEPS[name]})
    theirs = type("Own", (flask.Response,), {name: STEPS[name]})
    assert sent(ours("hello")) == sent(theirs("hello"))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_replaced_in_a_mixin_is_taken(name: str) -> None:
    mixin = type("Mixin", (), {name: STEPS[name]})
    ours, theirs = type("Own", (mixin, Response), {}), type("Own", (mixin, flask.Response), {})
    assert sent(ours("hello")) == sent(theirs("hello"))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_replaced_on_the_instance_is_taken(name: str) -> None:
    pair: list[t.Any] = [Response("hello"), flask.Response("hello")]
    for response in pair:
        setattr(response, name, STEPS[name].__get__(response))
    assert sent(pair[0]) == sent(pair[1])


def test_headers_kept_elsewhere_get_the_cookie() -> None:
    class Own(Response):
        @property
        def headers(self) -> ds.Headers:  # type: ignore[override]
            return elsewhere

    elsewhere = ds.Headers()
    assigned = Response("hello")
    assigned.__class__ = Own
    assigned.set_cookie("a", "b")
    assert elsewhere["Set-Cookie"] == "a=b; Path=/"


def test_closing_is_the_subclasss_business() -> None:
    closed = []

    class Own(Response):
        def close(self) -> None:
            closed.append("class")
            super().close()

    response = Own("hello")
    response.call_on_close(lambda: closed.append("callback"))
    assert sent(response)[1] == b"hello"
    assert closed == ["class", "callback"]
    patched: t.Any = Response("hello")
    patched.close = lambda: closed.append("instance")
    sent(patched)
    assert closed[2:] == ["instance"]


def test_a_subclass_sees_the_attributes_that_are_set() -> None:
    def names(base: t.Any) -> set[str]:
        seen: set[str] = set()

        class Own(base):  # type: ignore[misc]
            def __setattr__(self, name: str, value: t.Any) -> None:
                seen.add(name)
                super().__setattr__(name, value)

        Own("text")
        return seen

    assert names(Response) == names(flask.Response)


def test_a_subclass_sees_the_steps_of_being_made() -> None:
    seen: list[t.Any] = []

    def own(base: t.Any) -> t.Any:
        class Own(base):  # type: ignore[misc]
            def set_data(self, value: t.Any) -> None:
                seen.append(value)
                super().set_data(value)

            def _clean_status(self, value: t.Any) -> t.Any:
                seen.append(value)
                return super()._clean_status(value)

        return Own

    for base in (Response, flask.Response):
        seen.append(described(own(base)("hello", 201)))
    assert seen[:3] == seen[3:]


@pytest.mark.parametrize("headers", [None, ds.Headers([("X", "y")]), [("X", "y")]])
def test_a_subclass_can_keep_its_status_elsewhere(headers: t.Any) -> None:
    class Own(Response):
        @property
        def status(self) -> t.Any:
            return "299 Own"

        @status.setter
        def status(self, value: t.Any) -> None:
            self._status, self._status_code = "299 Own", 299

    assert sent(Own("hello", 200, headers))[0][0] == "299 Own"


# Conversions


def test_a_werkzeug_response_becomes_one_of_ours() -> None:
    made = BaseResponse("hello", 201, {"X-A": "b"})
    response = Response.force_type(made)
    assert response is made
    assert type(response) is Response
    assert type(response.headers) is Headers
    assert sent(response) == sent(BaseResponse("hello", 201, {"X-A": "b"}))


def test_headers_of_the_apps_own_class_stay_theirs() -> None:
    class Own(ds.Headers):
        pass

    response = Response.force_type(BaseResponse("hello", headers=Own([("X-A", "b")])))
    assert type(response.headers) is Own
    assert sent(response) == sent(BaseResponse("hello", headers=Own([("X-A", "b")])))


def test_a_wsgi_application_becomes_one_of_ours() -> None:
    def application(environ: t.Any, start_response: t.Any) -> t.Any:
        start_response("201 Made", [("X-A", "b")])
        return [b"a", b"b"]

    environ = create_environ()
    response = Response.force_type(application, environ)  # type: ignore[arg-type]
    expected = flask.Response.force_type(application, environ)  # type: ignore[arg-type]
    assert sent(response) == sent(expected)
    with pytest.raises(TypeError):
        Response.force_type(application)  # type: ignore[arg-type]


def test_the_headers_given_are_the_ones_kept() -> None:
    given = ds.Headers([("X-A", "b")])
    assert Response("hello", headers=given).headers is given


def test_cookies_have_the_configs_limit(app: torsyq.Flask) -> None:
    app.config["MAX_COOKIE_SIZE"] = 10
    response = Response()
    assert response.max_cookie_size == 4093
    with app.app_context():
        assert response.max_cookie_size == 10
        with pytest.warns(UserWarning, match="too large"):
            response.set_cookie("a", "b" * 20)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/a", "/é?x=y z#f", "http://é.example/<b>", "//other", ""])
def test_a_redirect_is_sent_as_flasks(location: str, code: int) -> None:
    assert sent(redirect(location, code, Response)) == sent(
        redirect(location, code, flask.Response)
    )


def test_a_redirect_to_what_is_no_url_is_sent() -> None:
    (status, headers), _ = sent(redirect("//[", 302, Response))
    assert dict(headers)["Location"] == "//["
    assert sent(Response(headers={"Content-Location": "//[é"}))[0][0] == "200 OK"


def test_files_are_streamed_and_closed() -> None:
    for passthrough in (False, True):
        file = io.BytesIO(b"content")
        environ = create_environ()
        response = Response(file, direct_passthrough=passthrough)
        chunks: t.Any = response(environ, print_nothing)
        assert b"".join(chunks) == b"content"
        chunks.close()
        assert file.closed


# What is refused


@pytest.mark.parametrize(
    "status",
    [0, 99, 600, 1000, -200, True, "", " ", "wtf", "wtf 200", "99 x", "0 OK", "200x", "200\tOK",
     "200 O\r\nK", "200 OK\0x", "2000 OK", "٢٠٠ OK", None, 200.0, b"200 OK"],
)  # fmt: skip
def test_a_status_no_answer_can_have_is_refused_when_set(status: t.Any) -> None:
    response = Response()
    with pytest.raises((ValueError, TypeError)):
        response.status = status
    with pytest.raises((ValueError, TypeError)):
        response.status_code = status
    if status is not None:
        with pytest.raises((ValueError, TypeError)):
            Response(status=status)
    assert response.status == "200 OK"


def test_a_status_of_the_apps_own_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_STATUS_CODES, 299, "Own reason")
    monkeypatch.setitem(HTTP_STATUS_CODES, 999, "Impossible")
    assert Response(status=299).status == flask.Response(status=299).status == "299 OWN REASON"
    for use in (lambda: Response(status=999), lambda: setattr(Response(), "status_code", 999)):
        with pytest.raises(ValueError, match="no status"):
            use()


def test_a_status_no_answer_can_have_is_refused_from_elsewhere() -> None:
    with pytest.raises(ValueError, match="no status"):
        Response.force_type(BaseResponse("x", "wtf"))

    class Own(Response):
        def get_wsgi_response(self, environ: t.Any) -> t.Any:
            return [b""], "999", []

    with pytest.raises(ValueError, match="no status"):
        sent(Own())


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("body", [None, "made of this alone"])
def test_line_ends_and_nul_are_refused(bad: str, body: str | None) -> None:
    response = Response(body)
    for use in (
        lambda: response.set_cookie(bad),
        lambda: response.set_cookie("a", expires=bad),
        lambda: response.headers.add(bad, "x"),
        lambda: response.headers.set("X", bad),
        lambda: response.set_cookie("a", domain=bad),
        lambda: response.set_cookie("a", path=bad),
        lambda: setattr(response, "location", bad),
        lambda: setattr(response, "mimetype", bad),
        lambda: Response(content_type=bad),
        lambda: Response(mimetype=bad),
        lambda: Response(headers={bad: "x"}),
        lambda: Response(headers={"X": bad}, content_type="a/b"),
        lambda: Response.force_type(BaseResponse(headers=[(bad, "x")])),
    ):
        with pytest.raises(ValueError, match="must not contain"):
            use()
    assert {name for name, _ in response.headers} <= {"Content-Type", "Content-Length"}


def test_names_set_behind_our_back_are_refused_on_sending() -> None:
    headers = ds.Headers()
    response = Response("x", headers=headers)
    headers["X\r\nY"] = "z"
    with pytest.raises(ValueError, match="must not contain"):
        sent(response)


# Conditions


def conditional(cls: t.Any, keys: dict[str, str], etag: bool, **kwargs: t.Any) -> t.Any:
    response = cls("x" * 10, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})
    response.last_modified = datetime(2020, 1, 1, tzinfo=UTC)
    if etag:
        response.set_etag("tag")
    response.make_conditional(create_environ() | keys, **kwargs)
    return sent(response, **keys)


@pytest.mark.parametrize("etag", [False, True])
@pytest.mark.parametrize(
    "keys",
    [
        {}, {"HTTP_IF_NONE_MATCH": '"tag"'}, {"HTTP_IF_NONE_MATCH": '"other"'},
        {"HTTP_IF_MATCH": '"other"'}, {"HTTP_IF_MODIFIED_SINCE": "Sat, 01 Jan 2022 00:00:00 GMT"},
        {"HTTP_RANGE": "bytes=0-3"}, {"HTTP_RANGE": "bytes=0-3", "HTTP_IF_RANGE": '"tag"'},
        {"HTTP_RANGE": "bytes=0-3", "HTTP_IF_RANGE": '"other"'},
    ],
)  # fmt: skip
def test_conditions_are_answered_as_by_flask(keys: dict[str, str], etag: bool) -> None:
    kwargs = {"accept_ranges": True, "complete_length": 10}
    expected = conditional(flask.Response, keys, etag, **kwargs)
    assert conditional(Response, keys, etag, **kwargs) == expected


@pytest.mark.parametrize("etag", [False, True])
def test_absurd_dates_in_conditions_are_ignored(etag: bool) -> None:
    usual = conditional(Response, {}, etag)
    assert conditional(Response, {"HTTP_IF_MODIFIED_SINCE": ABSURD}, etag) == usual
    keys = {"HTTP_RANGE": "bytes=0-3", "HTTP_IF_RANGE": ABSURD}
    (status, _), body = conditional(Response, keys, etag, accept_ranges=True, complete_length=10)
    assert (status, body) == ("200 OK", b"x" * 10)
