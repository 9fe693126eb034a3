"""Query strings and forms come out as Werkzeug's parser has them, whatever they contain."""

from __future__ import annotations

import copy
import io
import pickle
import typing as t
from urllib.parse import parse_qsl

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser as WerkzeugParser

from torsyq.forms import FormDataParser
from torsyq.forms import multidict
from torsyq.forms import parse_multipart
from torsyq.forms import parse_query
from torsyq.forms import Values
from torsyq.multipart import parse_plain


@given(st.text("ab=&;+% 4éC3A9\x00\n", max_size=24))
@example("a=%C3%A9&%41=%ff&b%=%&c=%4&%e2%82=%E2%82%AC")
def test_any_query_string_is_read_as_the_standard_library_reads_it(text: str) -> None:
    expected = parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")
    found = parse_query(text, ImmutableMultiDict)
    assert isinstance(found, ImmutableMultiDict)
    assert found == ImmutableMultiDict(expected)
    assert list(found) == list(ImmutableMultiDict(expected))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=6))
def test_a_multidict_filled_at_once_is_the_usual_one(pairs: list[tuple[str, int]]) -> None:
    classes: list[t.Any] = [MultiDict, ImmutableMultiDict]
    for cls in classes:
        made = multidict(cls, pairs)
        assert isinstance(made, cls)
        assert made == cls(pairs)
        assert repr(made) == repr(cls(pairs))
        assert made.to_dict(flat=False) == cls(pairs).to_dict(flat=False)
        assert made.__dict__ == cls(pairs).__dict__


def outcome(read: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> t.Any:
    try:
        return read(*args, **kwargs)
    except (LookupError, TypeError) as error:
        return type(error), error.args


def to_number(value: str) -> int:
    if value == "x":
        raise TypeError
    return int(value)


@given(
    st.dictionaries(st.sampled_from("ab"), st.lists(st.sampled_from(["1", "x", ""]), max_size=2)),
    st.sampled_from(["a", "b", "c", []]),
)
def test_values_are_read_as_werkzeug_reads_them(lists: dict[str, list[str]], key: t.Any) -> None:
    theirs: t.Any = ImmutableMultiDict(lists)
    ours = Values(lists)
    for args in [(), ("d",), ("d", int), (None, to_number)]:
        assert outcome(ours.get, key, *args) == outcome(theirs.get, key, *args)
    assert outcome(ours.get, key, type=int) == outcome(theirs.get, key, type=int)
    assert outcome(ours.__getitem__, key) == outcome(theirs.__getitem__, key)
    assert outcome(ours.getlist, key) == outcome(theirs.getlist, key)
    assert list(ours.items()) == list(theirs.items())
    assert (repr(ours), hash(str(ours)), ours) == (repr(theirs), hash(str(theirs)), theirs)


def test_a_conversion_may_fail_in_its_own_way() -> None:
    with pytest.raises(ZeroDivisionError):
        Values({"a": "0"}).get("a", type=lambda value: 1 / int(value))


def test_values_that_were_pickled_are_werkzeugs() -> None:
    kept = pickle.loads(pickle.dumps(parse_query("a=1&a=2", ImmutableMultiDict)))
    assert type(kept) is ImmutableMultiDict
    assert kept.getlist("a") == ["1", "2"]
    assert copy.copy(kept) is kept


def test_a_copy_of_values_can_be_changed() -> None:
    values = parse_query("a=1", ImmutableMultiDict)
    changed = values.copy()
    assert type(changed) is MultiDict
    changed["a"] = "2"
    assert copy.deepcopy(values) == values
    with pytest.raises(TypeError, match="'ImmutableMultiDict' objects are immutable"):
        values["a"] = "2"


Form = tuple[list[t.Any], list[t.Any]]


def read(parser: t.Any, body: bytes, mimetype: str, options: dict[str, str], whole: bool) -> t.Any:
    """What a parser makes of a form, in a form that can be compared."""
    try:
        limits = parser.max_form_memory_size, parser.max_form_parts, parser.cls
        parsed = whole and parse_multipart(body, options.get("boundary", ""), *limits)
        if not parsed:
            parsed = parser.parse(io.BytesIO(body), mimetype, len(body), options)
        _, form, files = parsed
    except HTTPException as error:
        return type(error)
    found = []
    for name, file in files.items(multi=True):
        found.append((name, file.name, file.filename, file.headers.to_wsgi_list(), file.read()))
        file.close()
    return type(form).__name__, list(form.items(multi=True)), type(files).__name__, found


def compare(body: bytes, boundary: str = "x", **limits: t.Any) -> t.Any:
    options = {"boundary": boundary}
    mimetype = "multipart/form-data"
    # Werkzeug's parser leaves files open where it fails: these can be left.
    limits = {"stream_factory": lambda **_: io.BytesIO(), "cls": ImmutableMultiDict} | limits
    expected = read(WerkzeugParser(**limits), body, mimetype, options, whole=False)
    assert read(FormDataParser(**limits), body, mimetype, options, whole=False) == expected
    assert read(FormDataParser(**limits), body, mimetype, options, whole=True) == expected
    return expected


PIECES = [
    b"--x", b"--", b"\r\n", b"\r\n", b"\n", b"\r", b"x", b" ", b"\t", b"a" * 5, b"\xff", b"",
    b"\r\n--x\r\n", b"\r\n--x--\r\n", b"\r\n\r\n", b"--x\r\n",
    b'Content-Disposition: form-data; name="f"\r\n\r\n',
    b'Content-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\n',
    b'content-disposition: form-data; name=f; filename="a\\"b%22.txt"\r\n',
    b"Content-Disposition: form-data; name*=utf-8''%C3%A9\r\n",
    b"Content-Type: text/plain; charset=iso-8859-1\r\n", b"Content-Length: 3\r\n", b"X\r\n",
    b"Content-Type: text/plain;\r\n charset=ascii\r\n",
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_multipart_body_is_read_as_werkzeug_reads_it(pieces: list[bytes]) -> None:
    compare(b"".join(pieces))
    compare(b"--x\r\n" + b"".join(pieces) + b"\r\n--x--\r\n")


part = st.tuples(
    st.sampled_from(
        [
            'form-data; name="f"',
            'form-data; name="é"; filename="a.txt"',
            'form-data; name=""; filename=""',
            "form-data; name=f; filename=g",
            'form-data; name="a\\"b"; filename="%22"',
            "form-data",
            "attachment; filename=x",
        ]
    ),
    st.sampled_from(["", "Content-Type: text/plain", "content-type:text/x; charset=iso-8859-1",
                     "Content-Type: text/plain; charset=utf-7", "X-Y:  z \r\nContent-Length: 2"]),
    st.one_of(st.binary(max_size=12), st.sampled_from([b"\r\n", b"--x", b"\n--x\r\n", b"-" * 9])),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(part, max_size=4), st.sampled_from(["x", "-", "a-long-boundary-of-some-library-1"]))
def test_usual_multipart_bodies_are_read_as_werkzeug_reads_them(
    parts: list[tuple[str, str, bytes]], boundary: str
) -> None:
    body = b""
    for disposition, more, data in parts:
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
        body += (head + (more and f"{more}\r\n") + "\r\n").encode() + data + b"\r\n"
    compare(body + f"--{boundary}--\r\n".encode(), boundary)


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"library-1", b"--", b"-the-boundary-of-some-library-1"]
)
@pytest.mark.parametrize("boundary", ["the-boundary-of-some-library-1", "-" * 60])
def test_a_file_may_hold_the_end_of_the_boundary(boundary: str, data: bytes) -> None:
    """Of a long one the end is what is searched for."""
    content = b"before" + data + boundary[-32:].encode() + data + b"after"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="g"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    assert compare(body, boundary)[3][0][-1] == content


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b""
    for disposition, data in parts:
        body += f"--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
        body += data + b"\r\n"
    return body + b"--x--\r\n"


def test_the_parts_of_a_usual_form_are_found_without_werkzeugs_decoder() -> None:
    body = form(('name="a"', b"1"), ('name="f"; filename="g"', b"2\r\n"), ('name="b"', b""))
    parts = parse_plain(body, b"x", None, None)
    assert parts is not None
    assert [(p.name, p.filename, p.data) for p in parts] == [
        ("a", None, b"1"), ("f", "g", b"2\r\n"), ("b", None, b""),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [3, 60, 140_000, 150_000, 160_000, 300_000])
@pytest.mark.parametrize("limit", [None, 0, 50, 65_536, 150_000, 300_000])
@pytest.mark.parametrize("what", ['name="f"', 'name="f"; filename="g"'])
def test_the_limit_of_a_field_is_werkzeugs(size: int, limit: int | None, what: str) -> None:
    compare(form((what, b"y" * size)), max_form_memory_size=limit)


@pytest.mark.parametrize("limit", [None, 0, 1, 2, 3])
def test_the_limit_of_parts_is_werkzeugs(limit: int | None) -> None:
    compare(form(('name="a"', b"1"), ('name="a"', b"2")), max_form_parts=limit)


def test_a_field_too_long_is_refused_by_the_search_too() -> None:
    with pytest.raises(RequestEntityTooLarge):
        parse_plain(form(('name="a"', b"y" * 200_000)), b"x", 150_000, None)


@pytest.mark.parametrize(
    ("mimetype", "options", "body"),
    [
        ("multipart/form-data", {}, form(('name="a"', b"1"))),
        ("multipart/form-data", {"boundary": "é"}, form(('name="a"', b"1"))),
        ("application/x-www-form-urlencoded", {}, b"a=1&b=2&a=%C3"),
        ("application/x-www-form-urlencoded", {}, b"a=\xff"),
        ("text/plain", {}, b"a=1"),
    ],
)
def test_other_types_and_boundaries_are_werkzeugs_business(
    mimetype: str, options: dict[str, str], body: bytes
) -> None:
    expected = read(WerkzeugParser(), body, mimetype, options, whole=False)
    assert read(FormDataParser(), body, mimetype, options, whole=False) == expected
    if mimetype == "multipart/form-data":
        assert read(FormDataParser(), body, mimetype, options, whole=True) == expected


def test_many_small_parts_and_a_large_file_arrive_whole() -> None:
    parts = [(f'name="f{n}"', b"v" * n) for n in range(50)]
    body = form(*parts, ('name="f"; filename="g"', bytes(range(256)) * 4000))
    assert len(compare(body)[3][0][4]) == 1_024_000


def broken_after_a_file() -> bytes:
    """A file, then a part without a disposition: the parser fails after it opened the file."""
    return form(('name="f"; filename="g"', b"1"))[:-7] + b"--x\r\nX: y\r\n\r\nz\r\n--x--\r\n"


def opening() -> tuple[list[io.BytesIO], t.Callable[..., io.BytesIO]]:
    opened: list[io.BytesIO] = []

    def factory(**kwargs: t.Any) -> io.BytesIO:
        opened.append(io.BytesIO())
        return opened[-1]

    return opened, factory


def test_files_of_a_form_that_is_broken_are_closed() -> None:
    opened, factory = opening()
    parser = FormDataParser(factory)
    body = broken_after_a_file()
    _, _, files = parser.parse(
        io.BytesIO(body), "multipart/form-data", len(body), {"boundary": "x"}
    )
    assert not files
    assert [file.closed for file in opened] == [True]


def test_files_of_a_form_that_is_too_large_are_closed() -> None:
    opened, factory = opening()
    parser = FormDataParser(factory, max_form_parts=1)
    body = form(('name="f"; filename="g"', b"1"), ('name="b"', b"2"))
    with pytest.raises(RequestEntityTooLarge):
        parser.parse(io.BytesIO(body), "multipart/form-data", len(body), {"boundary": "x"})
    assert [file.closed for file in opened] == [True]


def test_files_of_a_good_form_stay_open() -> None:
    opened, factory = opening()
    body = form(('name="f"; filename="g"', b"1"))
    FormDataParser(factory).parse(
        io.BytesIO(body), "multipart/form-data", len(body), {"boundary": "x"}
    )
    assert [file.closed for file in opened] == [False]
