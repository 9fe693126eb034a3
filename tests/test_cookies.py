"""Cookies are read and written byte for byte as Werkzeug does it."""

from __future__ import annotations

import enum
import typing as t
import warnings
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from unittest import mock

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug import http
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.datastructures import MultiDict
from werkzeug.sansio.http import parse_cookie as werkzeug_parse_cookie

from torsyq.cookies import dump_cookie
from torsyq.cookies import parse_cookie

from .outcomes import outcome


@given(st.text('ab=; \t"\\,1\x0b\x85é\n', max_size=24))
def test_any_cookie_header_is_read_as_werkzeug_reads_it(header: str) -> None:
    expected = werkzeug_parse_cookie(header, ImmutableMultiDict)
    found = parse_cookie(header, ImmutableMultiDict)
    assert isinstance(found, ImmutableMultiDict)
    assert list(found.items(multi=True)) == list(expected.items(multi=True))


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.text("xyz=/_-.", max_size=4)), min_size=1, max_size=5
    )
)
def test_usual_cookies_are_read(pairs: list[tuple[str, str]]) -> None:
    header = "; ".join(f"{name}={value}" for name, value in pairs)
    assert list(parse_cookie(header, MultiDict).items(multi=True)) == list(
        MultiDict(pairs).items(multi=True)
    )


def test_another_storage_class_gets_the_pairs() -> None:
    class Own(MultiDict[str, str]):
        pass

    found = parse_cookie("a=b; a=c", Own)
    assert type(found) is Own
    assert found.getlist("a") == ["b", "c"]


class Word(str, enum.Enum):  # noqa: UP042 (str(Word.A) is not "a")
    A = "a"
    PATH = "/a"


usual: dict[str, t.Any] = {
    "key": "a", "value": "b", "max_age": None, "expires": None, "path": "/", "domain": None,
    "secure": False, "httponly": False, "samesite": None, "partitioned": False, "max_size": 4093,
}  # fmt: skip
# A setting read from the environment is a number, or text.
flags = st.sampled_from([True, False, True, False, None, 1, 0, "yes", ""])
arguments = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "session", "é", "", Word.A]),
        "value": st.text('ab1!"\\,; é\x7f\n%', max_size=6),
        "max_age": st.sampled_from([None, 0, 60, timedelta(days=1), False, True]),
        "expires": st.sampled_from([None, 0, 12.5, "soon", datetime(2030, 1, 1, tzinfo=UTC)]),
        "path": st.sampled_from(["/", None, "/a b", "/é?;", "", "/a%20b", Word.PATH]),
        "domain": st.sampled_from([None, "", "example.com", ".example.com:80", "é.example"]),
        "secure": flags,
        "httponly": flags,
        "samesite": st.sampled_from([None, "Lax", "lax", "Strict", "None", "odd"]),
        "partitioned": flags,
        "max_size": st.sampled_from([4093, 0]),
    }
)


@settings(max_examples=300)
@given(arguments)
@example(usual | {"max_age": timedelta(days=1), "httponly": True, "partitioned": True})
@example(usual | {"max_age": 0, "expires": 0, "secure": True, "samesite": "Lax", "path": "/a%20b"})
@example(usual | {"expires": "soon", "path": None})
@example(usual | {"key": Word.A, "value": Word.A, "path": Word.PATH})
@example(usual | {"secure": 1})
@example(usual | {"httponly": 0})
@example(usual | {"max_age": False})
@example(usual | {"expires": datetime(2030, 1, 1, tzinfo=UTC)})
def test_any_cookie_is_written_as_werkzeug_writes_it(arguments: dict[str, t.Any]) -> None:
    ours, theirs = (lambda: dump_cookie(**arguments)), (lambda: http.dump_cookie(**arguments))
    if arguments["expires"] is not None:
        assert outcome(ours) == outcome(theirs)
        return
    # Both take the time of day from these.
    with (
        mock.patch("torsyq.cookies.time", return_value=1_700_000_000.25),
        mock.patch("werkzeug.http.datetime", wraps=datetime) as clock,
    ):
        clock.now.return_value = datetime.fromtimestamp(1_700_000_000.25, UTC)
        assert outcome(ours) == outcome(theirs)


def test_a_cookie_too_large_is_warned_about_and_written() -> None:
    with pytest.warns(UserWarning, match="The 'a' cookie is too large"):
        cookie = dump_cookie(**usual | {"value": "x" * 60, "max_size": 50})
    assert cookie == f"a={'x' * 60}; Path=/"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dump_cookie(**usual | {"value": "x" * 60, "max_size": 0})


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\0b"])
@pytest.mark.parametrize("where", ["key", "path", "domain"])
def test_line_ends_and_nul_are_refused_outside_the_value(where: str, bad: str) -> None:
    with pytest.raises(ValueError, match="must not contain"):
        dump_cookie(**usual | {where: bad})


def test_a_value_with_a_line_end_is_escaped_and_read_back() -> None:
    cookie = http.dump_cookie("a", "b\r\nc")
    assert "\n" not in cookie
    assert parse_cookie(cookie.partition(";")[0], MultiDict)["a"] == "b\r\nc"
