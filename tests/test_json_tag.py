"""Tagged JSON, the same text as Flask's."""

from __future__ import annotations

import types
import typing as t
import uuid
from collections import namedtuple
from collections import OrderedDict
from datetime import date
from datetime import datetime
from datetime import UTC

import flask
import flask.json.tag
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

import torsyq
from torsyq.json import tag as ours_module
from torsyq.json.provider import DefaultJSONProvider
from torsyq.json.tag import JSONTag
from torsyq.json.tag import PassList
from torsyq.json.tag import TaggedJSONSerializer
from torsyq.json.tag import TagTuple

Pair = namedtuple("Pair", "a b")


class Html(dict[str, int]):
    def __html__(self) -> str:
        return "<b>"


class Text(str):
    __slots__ = ()


class HtmlText(str):
    __slots__ = ()

    def __html__(self) -> str:
        return f"<{self}>"


tag_like = st.sampled_from([" t", " di", " b", " m", " u", " d", " t__", " di__", " x", " ", ""])
moments = st.datetimes(min_value=datetime(1970, 1, 1)).map(
    lambda d: d.replace(microsecond=0, fold=0, tzinfo=UTC)
)
kept = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.text().map(Markup)
    | moments
    | tag_like
)


def containers(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | tag_like, inner, max_size=3)
    )


keeps_its_type = st.recursive(kept, containers, max_leaves=15)
anything = st.recursive(
    kept
    | st.dates(min_value=date(1000, 1, 1))
    | st.datetimes(min_value=datetime(1000, 1, 1))
    | st.text().map(HtmlText)
    | st.text().map(Text)
    | st.just(Html(a=1))
    | st.just(object())
    | st.just({1, 2})
    | st.just(Pair(1, (2,)))
    | st.just(OrderedDict(b=(1,), a=2)),
    lambda inner: (
        containers(inner)
        | st.dictionaries(st.integers() | st.none() | st.tuples(st.integers()), inner, max_size=3)
    ),
    max_leaves=15,
)


def outcome(call: t.Callable[[t.Any], t.Any], value: t.Any) -> t.Any:
    try:
        return call(value)
    except RecursionError:
        return RecursionError
    except Exception as error:
        return type(error), str(error)


@given(keeps_its_type)
@example({" t": (1, 2)})
@example({" t__": b"a"})
@example({" di": {" di": " di"}})
def test_what_is_written_is_read_again(value: t.Any) -> None:
    serializer = TaggedJSONSerializer()
    again = serializer.loads(serializer.dumps(value))
    assert again == value
    assert repr(again) == repr(value)


@given(anything)
@example({"b": (1,), "a": {"c": [b"", {" b": 1}]}})
def test_the_text_is_flask_s(value: t.Any) -> None:
    ours, theirs = TaggedJSONSerializer(), flask.json.tag.TaggedJSONSerializer()
    assert outcome(ours.dumps, value) == outcome(theirs.dumps, value)
    with torsyq.Flask("app").app_context(), flask.Flask("app").app_context():
        assert outcome(ours.dumps, value) == outcome(theirs.dumps, value)


texts = st.recursive(
    st.sampled_from(
        [
            '"x"',
            "1",
            "null",
            '"YQ=="',
            '"Y"',
            '" t"',
            '"Thu, 01 Jan 1970 00:00:00 GMT"',
            f'"{"0" * 32}"',
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        '" t"',
                        '" di"',
                        '" b"',
                        '" m"',
                        '" u"',
                        '" d"',
                        '" t__"',
                        '"\\u0020t"',
                        '"a"',
                        '""',
                    ]
                ),
                inner,
            ),
            max_size=2,
        ).map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}")
    ),
    max_leaves=8,
)


@given(texts | st.text(max_size=8))
@example('{"\\u0020t":[1]}')
@example('{" t" : [1]}')
@example('{ " t":[1]}')
@example("[" * 100_000)
def test_any_text_is_read_as_flask_reads_it(text: str) -> None:
    ours, theirs = TaggedJSONSerializer(), flask.json.tag.TaggedJSONSerializer()
    assert repr(outcome(ours.loads, text)) == repr(outcome(theirs.loads, text))


@given(anything)
def test_each_tag_is_flask_s(value: t.Any) -> None:
    ours, theirs = TaggedJSONSerializer(), flask.json.tag.TaggedJSONSerializer()
    for mine, other in zip(ours.order, theirs.order, strict=True):
        assert type(mine).__name__ == type(other).__name__
        assert mine.key == other.key
        assert mine.check(value) == other.check(value)
        if mine.check(value):
            assert mine.to_json(value) == other.to_json(value)
            assert mine.tag(value) == other.tag(value)


class Complex(JSONTag):
    __slots__ = ()
    key = " c"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, complex)

    def to_json(self, value: t.Any) -> t.Any:
        return self.serializer.tag((value.real, value.imag))

    def to_python(self, value: t.Any) -> t.Any:
        return complex(*value)


class Upper(JSONTag):
    """A tag without a key, for a type that no other tag asks for."""

    __slots__ = ()

    def check(self, value: t.Any) -> bool:
        return isinstance(value, str)

    def to_json(self, value: t.Any) -> t.Any:
        return value.upper()

    def tag(self, value: t.Any) -> t.Any:
        return self.to_json(value)


def test_a_tag_of_ones_own() -> None:
    serializer = TaggedJSONSerializer()
    serializer.register(Complex)
    assert serializer.dumps([1j]) == '[{" c":{" t":[0.0,1.0]}}]'
    assert serializer.loads(serializer.dumps({"a": [1j, "x"]})) == {"a": [1j, "x"]}


def test_a_tag_for_plain_values_is_asked() -> None:
    serializer = TaggedJSONSerializer()
    serializer.register(Upper)
    assert serializer.dumps({"a": ["b", ("c",)]}) == '{"a":["B",{" t":["C"]}]}'


def test_a_tag_put_into_the_order_by_hand_is_asked() -> None:
    serializer = TaggedJSONSerializer()
    serializer.order.insert(0, Upper(serializer))
    assert serializer.dumps(["a"]) == '["A"]'


def test_order() -> None:
    serializer = TaggedJSONSerializer()
    serializer.register(Complex, index=0)
    serializer.register(Upper, index=-1)
    names = [type(tag).__name__ for tag in serializer.order]
    assert names[0] == "Complex"
    assert names[-2:] == ["Upper", "TagDateTime"]


def test_a_key_is_taken_once() -> None:
    serializer = TaggedJSONSerializer()
    serializer.register(Complex)
    with pytest.raises(KeyError, match="Tag ' c' is already registered."):
        serializer.register(Complex)
    serializer.register(Complex, force=True, index=0)
    assert serializer.tags[" c"] is serializer.order[0]


def test_other_default_tags() -> None:
    class Few(TaggedJSONSerializer):
        __slots__ = ()
        default_tags = [TagTuple, PassList]

    serializer = Few()
    assert serializer.dumps([(1,), "a"]) == '[{" t":[1]},"a"]'
    assert serializer.dumps({"a": 1}) == '{"a":1}'
    assert serializer.loads('{" b":"YQ=="}') == {" b": "YQ=="}


def test_a_default_tag_added_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        TaggedJSONSerializer, "default_tags", [Upper, *TaggedJSONSerializer.default_tags]
    )
    assert TaggedJSONSerializer().dumps({"a": "b"}) == '{"a":"B"}'


@pytest.mark.parametrize("value", [[1, (2,)], {"a": {" t": "x"}}, "x", {"a": [{}]}])
def test_a_subclass_gets_flask_s_calls(value: t.Any) -> None:
    logs = []
    for module in (flask.json.tag, ours_module):
        log: list[object] = []

        class Spy(t.cast(t.Any, module).TaggedJSONSerializer):  # type: ignore[misc]
            __slots__ = ()

            def tag(self, value: t.Any, log: list[object] = log) -> t.Any:
                log.append(("tag", value))
                return super().tag(value)

            def untag(self, value: t.Any, log: list[object] = log) -> t.Any:
                log.append(("untag", value))
                return super().untag(value)

            def _untag_scan(self, value: t.Any, log: list[object] = log) -> t.Any:
                log.append(("scan", value))
                return super()._untag_scan(value)

        spy = Spy()
        assert spy.loads(spy.dumps(value)) == value
        logs.append(log)
    assert logs[0] == logs[1]


def test_plain_values_are_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    serializer = TaggedJSONSerializer()
    for tag in TaggedJSONSerializer.default_tags:
        monkeypatch.delattr(tag, "check")
    monkeypatch.delattr(TaggedJSONSerializer, "_untag_scan")
    value = {"a": 1, "b": ["x", None, {"c": True, "d": 1.5}], "e": {"f": "g"}}
    assert serializer.loads(serializer.dumps(value)) == value


def test_untag() -> None:
    serializer = TaggedJSONSerializer()
    assert serializer.untag({}) == {}
    assert serializer.untag({" t": [1]}) == (1,)
    assert serializer.untag({"a": [1]}) == {"a": [1]}
    assert serializer.untag({" t": 1, " b": 2}) == {" t": 1, " b": 2}


def test_the_base_says_what_a_tag_has_to_give() -> None:
    tag = JSONTag(TaggedJSONSerializer())
    for method in (tag.check, tag.to_json, tag.to_python, tag.tag):
        with pytest.raises(NotImplementedError):
            method(1)
    assert not hasattr(tag, "__dict__")


def test_uuid_round_trip() -> None:
    serializer = TaggedJSONSerializer()
    value = uuid.UUID(int=5)
    assert serializer.dumps(value) == f'{{" u":"{value.hex}"}}'
    assert serializer.loads(serializer.dumps(value)) == value


def test_the_app_s_provider_reads_and_writes() -> None:
    class Loud(DefaultJSONProvider):
        def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
            return super().dumps(obj, **kwargs).upper()

        def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
            return super().loads(s.lower(), **kwargs)

    app = torsyq.Flask("app")
    app.json = Loud(app)
    serializer = TaggedJSONSerializer()
    with app.app_context():
        assert serializer.dumps({"b": "x", "a": "y"}) == '{"A":"Y","B":"X"}'
        assert serializer.loads('{"A":"Y"}') == {"a": "y"}


@pytest.mark.parametrize("framework", [flask, torsyq])
def test_a_loads_put_onto_the_app_s_provider_reads(framework: t.Any) -> None:
    app = framework.Flask("app")
    read = []
    app.json.loads = lambda text: read.append(text) or {}  # type: ignore[func-returns-value]
    with app.app_context():
        framework.json.tag.TaggedJSONSerializer().loads('{"a":1}')
        app.json = types.SimpleNamespace(loads=app.json.loads)
        framework.json.tag.TaggedJSONSerializer().loads('{"b":1}')
    assert read == ['{"a":1}', '{"b":1}']
