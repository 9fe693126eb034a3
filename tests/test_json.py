"""``torsyq.json``: the current app's JSON, and the standard library's outside of one."""

from __future__ import annotations

import dataclasses
import io
import typing as t
from datetime import date
from decimal import Decimal

import flask
import pytest
from markupsafe import Markup

import torsyq
from torsyq import json
from torsyq.json.provider import JSONProvider


class Recorder(JSONProvider):
    """A provider that notes what it was asked."""

    def __init__(self, app: torsyq.Flask) -> None:
        super().__init__(app)
        self.calls: list[tuple[str, object, dict[str, t.Any]]] = []

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        self.calls.append(("dumps", obj, kwargs))
        return "dumped"

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        self.calls.append(("loads", s, kwargs))
        return "loaded"


@pytest.fixture
def recorder(app: torsyq.Flask) -> t.Iterator[Recorder]:
    app.json = recorder = Recorder(app)
    with app.app_context():
        yield recorder


def test_inside_an_app_its_provider_is_asked(recorder: Recorder) -> None:
    out = io.StringIO()
    assert json.dumps(1, a=2) == "dumped"
    json.dump(2, out, b=3)
    assert out.getvalue() == "dumped"
    assert json.loads("text", c=4) == "loaded"
    assert json.load(io.BytesIO(b"bytes"), d=5) == "loaded"
    assert recorder.calls == [
        ("dumps", 1, {"a": 2}),
        ("dumps", 2, {"b": 3}),
        ("loads", "text", {"c": 4}),
        ("loads", b"bytes", {"d": 5}),
    ]


@dataclasses.dataclass
class Point:
    x: int
    y: Decimal


def test_outside_of_one_the_same_types_are_written() -> None:
    data = {"b": Point(1, Decimal("2.50")), "a": [date(2020, 1, 1), Markup("<b>"), "é"]}
    expected = (
        '{"b": {"x": 1, "y": "2.50"}, "a": ["Wed, 01 Jan 2020 00:00:00 GMT", "<b>", "\\u00e9"]}'
    )
    assert json.dumps(data) == flask.json.dumps(data) == expected
    out = io.StringIO()
    json.dump(data, out)
    assert out.getvalue() == expected
    assert json.dumps({1, 2}, default=list) == "[1, 2]"


def test_outside_of_one_the_standard_library_reads() -> None:
    assert json.loads("[1]", parse_int=str) == ["1"]
    assert json.load(io.BytesIO(b"[1]")) == [1]
    with pytest.raises(ValueError):
        json.loads("{")


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "null"),
        ((1,), {}, "1"),
        ((None,), {}, "null"),
        ((1, 2), {}, "[1,2]"),
        (([1, 2],), {}, "[1,2]"),
        ((), {"b": 1, "a": 2}, '{"a":2,"b":1}'),
    ],
)
def test_jsonify(
    app: torsyq.Flask, args: tuple[t.Any, ...], kwargs: dict[str, t.Any], text: str
) -> None:
    with app.app_context():
        response = json.jsonify(*args, **kwargs)
    assert type(response) is torsyq.Response
    assert response.get_data(as_text=True) == f"{text}\n"
    assert response.mimetype == "application/json"


def test_jsonify_takes_one_kind_of_arguments(app: torsyq.Flask) -> None:
    with app.app_context(), pytest.raises(TypeError, match="either args or kwargs, not both"):
        json.jsonify(1, a=2)


def test_jsonify_needs_an_app() -> None:
    with pytest.raises(RuntimeError, match="Working outside of application context"):
        json.jsonify(1)
