"""Headers behave as Werkzeug's do, and refuse what would end one early."""

from __future__ import annotations

import copy
import enum
import pickle
import typing as t

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from werkzeug import datastructures as ds
from werkzeug.http import parse_options_header
from werkzeug.urls import iri_to_uri

import torsyq.headers
from torsyq.headers import content_type_items
from torsyq.headers import EnvironHeaders
from torsyq.headers import Headers
from torsyq.headers import is_plain_location
from torsyq.headers import parse_content_type
from torsyq.headers import to_uri

from .calls import calls_of
from .outcomes import outcome

names = st.sampled_from(["X-A", "x-a", "Vary", "VARY", "Set-Cookie", "Content-Type"])


class Colour(str, enum.Enum):  # noqa: UP042 (str(Colour.RED) is not "red")
    RED = "red"


values = st.one_of(
    st.sampled_from(["", "a", "b", "é", 1, None, Colour.RED]),
    st.text("ab\t;,=\u00a0", max_size=4),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), names, values),
        st.tuples(st.just("add"), names, values),
        st.tuples(st.just("__setitem__"), names, values),
        st.tuples(st.just("setdefault"), names, values),
        st.tuples(st.just("setlist"), names, st.lists(values, max_size=3)),
        st.tuples(st.just("remove"), names),
        st.tuples(st.just("get"), names),
        st.tuples(st.just("getlist"), names),
        st.tuples(st.just("__contains__"), names),
        st.tuples(st.just("__getitem__"), names),
        st.tuples(st.just("pop"), names, st.none()),
        st.tuples(st.just("update"), st.dictionaries(names, values)),
        st.tuples(st.just("extend"), st.lists(st.tuples(names, values))),
        st.tuples(st.just("__len__")),
    ),
    max_size=8,
)


@given(steps)
def test_every_operation_does_what_werkzeugs_headers_do(steps: list[t.Any]) -> None:
    ours, theirs = Headers(), ds.Headers()
    for name, *arguments in steps:
        assert outcome(lambda: getattr(ours, name)(*arguments)) == outcome(  # noqa: B023
            lambda: getattr(theirs, name)(*arguments)  # noqa: B023
        )
        assert ours.to_wsgi_list() == theirs.to_wsgi_list()
    assert repr(ours) == repr(theirs)
    assert str(ours) == str(theirs)
    assert ours == theirs
    assert theirs == ours


def test_options_are_written_as_werkzeug_writes_them() -> None:
    ours, theirs = Headers(), ds.Headers()
    for headers in (ours, theirs):
        headers.add("Content-Disposition", "attachment", filename="a b.txt")
        headers.set("X-A", "b", c_d="e")
        headers["X-A"] = "f"
    assert ours.to_wsgi_list() == theirs.to_wsgi_list()


def test_items_and_slices_can_be_replaced() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("C", "3")])
    headers[0] = ("A", "one")
    headers[1:] = [("D", "4")]
    assert headers.to_wsgi_list() == [("A", "one"), ("D", "4")]


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize(
    "use",
    [
        lambda headers, name, value: headers.set(name, value),
        lambda headers, name, value: headers.add(name, value),
        lambda headers, name, value: headers.add(name, value, option="x"),
        lambda headers, name, value: headers.set(name, value, option="x"),
        lambda headers, name, value: headers.__setitem__(name, value),
        lambda headers, name, value: headers.__setitem__(0, (name, value)),
        lambda headers, name, value: headers.__setitem__(slice(None), [(name, value)]),
        lambda headers, name, value: headers.extend([(name, value)]),
        lambda headers, name, value: headers.update({name: value}),
        lambda headers, name, value: headers.setlist(name, [value]),
        lambda headers, name, value: headers.setdefault(name, value),
        lambda headers, name, value: Headers([(name, value)]),
    ],
)
def test_line_ends_and_nul_are_refused_in_names_and_values(
    use: t.Callable[..., t.Any], bad: str
) -> None:
    headers = Headers([("X", "y")])
    with pytest.raises(ValueError, match="must not contain"):
        use(headers, "X-A", bad)
    with pytest.raises(ValueError, match="must not contain"):
        use(headers, bad, "fine")
    assert headers.to_wsgi_list() == [("X", "y")]


def test_headers_are_equal_only_to_headers() -> None:
    assert Headers([("a", "b")]) != [("a", "b")]
    assert Headers([("a", "b")]) == Headers([("A", "b")])
    with pytest.raises(TypeError):
        hash(Headers())


def test_headers_can_be_copied_and_pickled() -> None:
    headers = Headers([("A", "b")])
    for other in (copy.copy(headers), headers.copy(), pickle.loads(pickle.dumps(headers))):
        assert type(other) is Headers
        assert other == headers
        assert other is not headers


def test_setting_a_header_is_one_call() -> None:
    headers = Headers([("Content-Type", "text/html"), ("X-A", "b")])
    assert calls_of(lambda: headers.set("X-A", "c")) == 1
    assert calls_of(lambda: headers.add("X-A", "c")) == 1


environ_keys = st.sampled_from(
    ["HTTP_X_A", "HTTP_COOKIE", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "PATH_INFO"]
)
header_names = st.sampled_from(
    ["x-a", "X-A", "X_A", "Cookie", "Content-Type", "content_length", "Content-Length", "Nope", ""]
)


@given(st.dictionaries(environ_keys, st.sampled_from(["", "a", "1"])), header_names)
def test_request_headers_read_as_werkzeugs_do(environ: dict[str, str], name: str) -> None:
    ours, theirs = EnvironHeaders(environ), ds.EnvironHeaders(environ)
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)
    assert str(ours) == str(theirs)
    assert (name in ours) == (name in theirs)
    calls: list[t.Callable[[t.Any], t.Any]] = [
        lambda headers: headers.get(name),
        lambda headers: headers.get(name, "default"),
        lambda headers: headers.get(name, type=int),
        lambda headers: headers.get(name, -1, int),
        lambda headers: headers[name],
        lambda headers: headers.getlist(name),
        lambda headers: headers.set(name, "x"),
    ]
    for call in calls:
        assert outcome(lambda: call(ours)) == outcome(lambda: call(theirs))  # noqa: B023
    assert ours == theirs


def test_a_header_name_is_text() -> None:
    for headers in (EnvironHeaders({}), ds.EnvironHeaders({})):
        assert headers.get(1, "default") == "default"  # type: ignore[call-overload]
        assert headers.get(b"Accept", "default") == "default"  # type: ignore[call-overload]
        assert 1 not in headers  # type: ignore[operator]


def test_a_name_may_be_of_a_class_derived_from_text() -> None:
    class Name(str, enum.Enum):  # noqa: UP042
        ACCEPT = "Accept"

    for headers in (EnvironHeaders({"HTTP_ACCEPT": "a/b"}), Headers([("Accept", "a/b")])):
        assert Name.ACCEPT in headers
        assert headers[Name.ACCEPT] == headers.get(Name.ACCEPT) == "a/b"


def test_text_of_a_derived_class_is_looked_at_and_not_what_it_calls_itself() -> None:
    class Bad(str, enum.Enum):  # noqa: UP042
        VALUE = "a\r\nX-B: c"

    for call in (Headers().set, Headers().add, Headers().__setitem__):
        with pytest.raises(ValueError, match="must not contain newline"):
            call("X-A", Bad.VALUE)


@given(
    st.one_of(
        st.just(""),
        st.sampled_from(
            ["http://a.b", "https://a-b.c:80", "http://a:8080", "http://a:0", "http://a:080", "http://",
             "http://xn--a.b", "http://xn--n3h.net", "http://A.b", "http://a_b", "http://a.", "ftp://a",
             "http://u@a", "http://[::1]", "HTTP://a", "//a", "http://a:99999", "http://" + "a" * 64]
        ),
        st.text("abc.-:1", max_size=5).map("http://{}".format),
    ),
    st.text("/abc%41?#&=;:@!$'()*+,[]~\\^`{}|<>\" \té\x7f\n.-_", max_size=12),
)  # fmt: skip
@example("http://a:99999", "/")
@example("http://" + "a" * 64, "/")
def test_what_is_sent_as_it_is_would_be_sent_as_it_is(origin: str, path: str) -> None:
    location = origin + path
    if is_plain_location(location) is not None:
        assert iri_to_uri(location) == location
    try:
        expected = iri_to_uri(location)
    except ValueError:
        assert to_uri(location).isascii()
    else:
        assert to_uri(location) == expected


@pytest.mark.parametrize("location", ["//[", "http://[", "http://a..b/é", "http://x:y/"])
def test_what_is_no_url_is_quoted_not_raised(location: str) -> None:
    assert to_uri(location).isascii()


@given(st.text("ab/;= \t\"\\-*'%2utf8", max_size=16))
def test_content_types_are_parsed_as_werkzeug_parses_them(value: str) -> None:
    assert parse_content_type(value) == parse_options_header(value)


@pytest.mark.parametrize(
    "value",
    [
        "multipart/form-data; boundary=abc",
        'multipart/form-data; boundary="a b"',
        "text/html;charset=utf-8",
        "text/html ; Charset=UTF-8 ",
        " ; a=b",
        "a; b=c; d=e",
        "a; b*=utf-8''c",
    ],
)
def test_usual_content_types_are_parsed_as_werkzeug_parses_them(value: str) -> None:
    assert parse_content_type(value) == parse_options_header(value)


def test_content_types_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    known = torsyq.headers._Wired(torsyq.headers.WIRED)
    monkeypatch.setattr(torsyq.headers, "WIRED", known)
    for number in range(3000):
        items = content_type_items(f"text/x-{number}")
        assert items == (("Content-Type", f"text/x-{number}; charset=utf-8"),)
    assert len(known) < 3000
    known.clear()
    content_type_items(f"text/x-{'a' * 1000}")
    assert known == {}
