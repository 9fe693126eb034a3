"""The default JSON provider writes and reads what Flask's does."""

from __future__ import annotations

import dataclasses
import gc
import json
import typing as t
import uuid
import weakref
from datetime import date
from datetime import datetime
from datetime import time
from datetime import timedelta
from datetime import timezone
from decimal import Decimal

import flask
import flask.json.provider
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

import torsyq
from torsyq.json.provider import _MAX_KEPT
from torsyq.json.provider import DefaultJSONProvider
from torsyq.json.provider import JSONProvider

from .outcomes import outcome


@dataclasses.dataclass
class Point:
    x: int
    y: object = None


class Html:
    def __html__(self) -> str:
        return "<b>"


extras = (
    st.dates(min_value=date(1000, 1, 1))
    | st.datetimes(min_value=datetime(1000, 1, 1))
    | st.datetimes(min_value=datetime(1971, 1, 1)).map(
        lambda d: d.replace(tzinfo=timezone(timedelta(hours=-8)))
    )
    | st.decimals()
    | st.uuids()
    | st.builds(Point, st.integers(), st.text())
    | st.text().map(Markup)
    | st.just(Html())
    | st.just(object())
    | st.just(time(1))
    | st.just(Point)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | extras,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.booleans(), inner)
    ),
    max_leaves=15,
)
looks = st.fixed_dictionaries(
    {},
    optional={
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "separators": st.sampled_from([None, (",", ":"), (", ", ": "), [";", "="]]),
        "sort_keys": st.booleans(),
        "ensure_ascii": st.booleans(),
        "default": st.sampled_from([None, str]),
        "skipkeys": st.booleans(),
        "allow_nan": st.booleans(),
        "cls": st.sampled_from([None, json.JSONEncoder]),
        "nonsense": st.just(1),
    },
)

theirs_app = flask.Flask("theirs")
ours_app = torsyq.Flask("ours")


def pair() -> tuple[t.Any, t.Any]:
    """Flask's provider and ours."""
    return flask.json.provider.DefaultJSONProvider(theirs_app), DefaultJSONProvider(ours_app)


@given(values, looks, st.booleans(), st.booleans())
@example({"b": 1, "a": [Point(1, Point(2))]}, {"indent": 2}, True, True)
@example({1: 1, "a": 2}, {}, True, True)
def test_dumps(value: t.Any, kwargs: dict[str, t.Any], sort: bool, ascii_only: bool) -> None:
    theirs, ours = pair()
    for provider in (theirs, ours):
        provider.sort_keys = sort
        provider.ensure_ascii = ascii_only
    expected = outcome(theirs.dumps, value, **kwargs)
    assert outcome(ours.dumps, value, **kwargs) == expected
    assert outcome(ours.dumps, value, **kwargs) == expected


json_texts = values.map(lambda value: outcome(json.dumps, value, default=str)).filter(
    lambda text: isinstance(text, str)
)
encodings = st.sampled_from(
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)


@given(json_texts | st.text(max_size=5), encodings)
@example("", "utf-8")
@example("\ufeff1", "utf-8")
@example("1", "utf-16-le")
@example("[]", "utf-8-sig")
@example(" \u00e9", "utf-8")
@example("[" * 100_000, "utf-8")
def test_loads(text: str, encoding: str) -> None:
    theirs, ours = pair()
    data = text.encode(encoding)
    for source in (text, data, bytearray(data)):
        assert repr(_outcome_of_loads(ours, source)) == repr(_outcome_of_loads(theirs, source))


def _outcome_of_loads(provider: t.Any, source: t.Any) -> t.Any:
    try:
        return provider.loads(source)
    except RecursionError:
        return RecursionError
    except Exception as error:
        return type(error), str(error)


@given(st.binary(max_size=8))
def test_loads_of_any_bytes(data: bytes) -> None:
    theirs, ours = pair()
    assert repr(outcome(ours.loads, data)) == repr(outcome(theirs.loads, data))


def test_loads_takes_the_options_of_json() -> None:
    assert pair()[1].loads(b"[1.5]", parse_float=Decimal) == [Decimal("1.5")]


def test_settings_count_from_the_next_call() -> None:
    provider = pair()[1]
    data = {"b": "é", "a": 1}
    assert provider.dumps(data) == '{"a": 1, "b": "\\u00e9"}'
    provider.sort_keys = False
    assert provider.dumps(data) == '{"b": "\\u00e9", "a": 1}'
    provider.ensure_ascii = False
    assert provider.dumps(data) == '{"b": "é", "a": 1}'
    provider.default = lambda o: "mine"
    assert provider.dumps(object()) == '"mine"'


def test_a_subclass_s_default_is_a_method() -> None:
    class Mine(DefaultJSONProvider):
        def default(self, o: t.Any) -> t.Any:
            return [type(self).__name__, DefaultJSONProvider.default(o)]

    assert Mine(ours_app).dumps(uuid.UUID(int=5)) == (
        '["Mine", "00000000-0000-0000-0000-000000000005"]'
    )


def test_encoders_are_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = DefaultJSONProvider(ours_app)
    assert provider.dumps([1]) == provider.dumps([1], separators=None) == "[1]"
    with monkeypatch.context() as patch:
        patch.delattr(DefaultJSONProvider, "_make_encoder")
        assert provider.dumps([1]) == provider.dumps([1], separators=None) == "[1]"

    for indent in range(_MAX_KEPT + 10):
        assert provider.dumps([1], indent=indent) == json.dumps([1], indent=indent)
    assert len(provider._kept_encoders) == _MAX_KEPT
    assert len(DefaultJSONProvider._kept_encoders) == 0


def test_an_encoder_with_a_default_of_the_call_s_own_is_not_kept() -> None:
    provider = DefaultJSONProvider(ours_app)
    assert provider.dumps([{1}], default=list) == "[[1]]"
    assert len(provider._kept_encoders) == 0


def _circles() -> t.Iterator[t.Any]:
    circle: list[t.Any] = []
    circle.append(circle)
    yield circle
    yield {"a": (circle,)}
    deep: list[t.Any] = []
    for _ in range(100_000):
        deep = [deep]
    yield deep


@pytest.mark.parametrize("kwargs", [{}, {"indent": 1}, {"default": lambda o: [o]}])
def test_what_contains_itself_or_is_too_deep(kwargs: dict[str, t.Any]) -> None:
    theirs, ours = pair()
    for value in (*_circles(), object() if kwargs.get("default") else 1):
        assert _type_of_outcome(ours, value, kwargs) == _type_of_outcome(theirs, value, kwargs)


def _type_of_outcome(provider: t.Any, value: t.Any, kwargs: dict[str, t.Any]) -> t.Any:
    try:
        return provider.dumps(value, **kwargs)
    except RecursionError:
        return RecursionError
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("compact", [True, False, None])
@pytest.mark.parametrize("mimetype", ["application/json", "text/json", "application/vnd.api+json"])
def test_response(debug: bool, compact: bool | None, mimetype: str) -> None:
    answers = []
    for framework in (flask, torsyq):
        app: t.Any = framework.Flask("app")
        app.debug = debug
        app.json.compact = compact
        app.json.mimetype = mimetype
        response = app.json.response({"b": [1, {"c": "é"}], "a": Decimal("1.0")})
        assert type(response) is app.response_class
        answers.append((response.get_data(), list(response.headers), response.status))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1,), {}), ((1, 2), {}), ((), {"a": 1}), (([],), {}), ((1,), {"a": 1})],
)
def test_response_takes_values_or_names(args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> None:
    theirs, ours = (
        outcome(lambda p: p.response(*args, **kwargs).get_data(), provider) for provider in pair()
    )
    assert ours == theirs


@pytest.mark.parametrize("base", ["default", "plain"])
def test_a_subclass_gets_flask_s_calls(base: str) -> None:
    logs = []
    for framework in (flask, torsyq):
        module = t.cast(t.Any, framework).json.provider
        parent = module.DefaultJSONProvider if base == "default" else module.JSONProvider
        log: list[object] = []

        class Spy(parent):  # type: ignore[misc,valid-type]
            def dumps(self, obj: t.Any, log: list[object] = log, **kwargs: t.Any) -> str:
                log.append(("dumps", obj, kwargs))
                return "text"

            def loads(self, s: t.Any, log: list[object] = log, **kwargs: t.Any) -> t.Any:
                log.append(("loads", s, kwargs))

            def _prepare_response_obj(
                self, args: t.Any, kwargs: t.Any, log: list[object] = log
            ) -> t.Any:
                log.append(("prepare", args, kwargs))
                return super()._prepare_response_obj(args, kwargs)

        app: t.Any = t.cast(t.Any, framework).Flask("app")
        provider = Spy(app)
        log.append(provider.response({"a": 1}).get_data())
        log.append(provider.response(1, 2).mimetype)
        app.debug = True
        provider.response(a=1)
        logs.append(log)
    assert logs[0] == logs[1]


def test_the_base_says_what_a_subclass_has_to_give() -> None:
    provider = JSONProvider(ours_app)
    with pytest.raises(NotImplementedError):
        provider.dumps(1)
    with pytest.raises(NotImplementedError):
        provider.loads("1")


def test_the_provider_does_not_keep_the_app() -> None:
    app = torsyq.Flask("app")
    provider = app.json
    provider.dumps({})
    ref = weakref.ref(app)
    del app
    gc.collect()
    assert ref() is None
    assert provider.dumps([]) == "[]"


def test_separators_given_as_a_list() -> None:
    provider = DefaultJSONProvider(ours_app)
    assert provider.dumps([1, 2], separators=[";", "="]) == "[1;2]"
    assert len(provider._kept_encoders) == 0


def test_the_response_class_says_how_json_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    app = torsyq.Flask(__name__)
    monkeypatch.setattr(torsyq.Response, "default_status", 203)
    with app.app_context():
        assert app.json.response(a=1).status_code == 203
        app.json.mimetype = "text/x-json"  # type: ignore[attr-defined]
        assert app.json.response(a=1).content_type == "text/x-json; charset=utf-8"

        class Own(torsyq.Response):
            def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
                super().__init__(*args, **kwargs)
                self.headers["X-Own"] = "yes"

        app.response_class = Own
        assert app.json.response(a=1).headers["X-Own"] == "yes"
