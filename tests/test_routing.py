"""The map's plan against Werkzeug's own matcher and builder, which are the specification."""

from __future__ import annotations

import copy
import os
import re
import threading
import time
import typing as t
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter
from werkzeug.routing import BuildError
from werkzeug.routing import IntegerConverter
from werkzeug.routing import Map as WerkzeugMap
from werkzeug.routing import MapAdapter as WerkzeugMapAdapter
from werkzeug.routing import RequestRedirect
from werkzeug.routing import Rule
from werkzeug.routing import Subdomain
from werkzeug.routing import Submount
from werkzeug.routing import ValidationError
from werkzeug.routing.exceptions import WebsocketMismatch
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.test import create_environ
from werkzeug.wrappers import Request

from torsyq import routing
from torsyq.routing import Map
from torsyq.routing import MapAdapter

from .calls import Calls
from .calls import calls_of

Environ = dict[str, t.Any]


class EvenConverter(BaseConverter):
    """Takes digits, refuses odd numbers on the way in and negative ones on the way out."""

    regex = r"\d+"

    def to_python(self, value: str) -> int:
        if int(value) % 2:
            raise ValidationError
        return int(value)

    def to_url(self, value: t.Any) -> str:
        if int(value) < 0:
            raise ValidationError
        return str(int(value))


class PairConverter(BaseConverter):
    """Spans a slash, and has a group of its own."""

    regex = "[ab]/(a|b)"
    weight = 70


class LoudConverter(BaseConverter):
    """A group of its own within one segment."""

    regex = "(a|b)+!"
    weight = 30

    def to_url(self, value: t.Any) -> str:
        return super().to_url(value) + "!"


class FailingConverter(BaseConverter):
    """Its own mistake, not the path's."""

    regex = "oops"

    def to_python(self, value: str) -> t.NoReturn:
        raise KeyError(value)


class BoundedConverter(IntegerConverter):
    weight = 49

    def to_python(self, value: str) -> int:
        return t.cast(int, super().to_python(value)) + 1000


CONVERTERS: dict[str, type[BaseConverter]] = {
    "even": EvenConverter,
    "pair": PairConverter,
    "loud": LoudConverter,
    "bounded": BoundedConverter,
}

#: Segments of rules, and texts that fit them.
SEGMENTS: dict[str, tuple[str, ...]] = {
    "a": ("a",),
    "b": ("b",),
    "new": ("new",),
    "é": ("é",),
    "a-b.c~(d)": ("a-b.c~(d)",),
    "<{}>": ("a", "x", "12", "é", "x-b"),
    "<string(length=2):{}>": ("ab", "12"),
    "<string(minlength=2, maxlength=3):{}>": ("new", "-2"),
    "<int:{}>": ("1", "12", "٣"),
    "<int(signed=True):{}>": ("-3", "4"),
    "<int(min=2, max=20):{}>": ("12", "1", "22"),
    "<int(fixed_digits=2):{}>": ("02", "22", "1"),
    "<float:{}>": ("1.5",),
    "<float(max=2.5, signed=True):{}>": ("-2.5", "1.5", "9.9"),
    "<any(a, b, 'a/b'):{}>": ("a", "a/b"),
    "<any(new, b):{}>": ("new", "b"),
    "<uuid:{}>": (f"{UUID(int=7)}",),
    "<path:{}>": ("a", "a/b", "new//a", "\na", "a/12/b"),
    "<even:{}>": ("12", "3", "1"),
    "<pair:{}>": ("a/b", "b/a"),
    "<loud:{}>": ("ab!", "b!"),
    "<bounded:{}>": ("1", "12"),
    "v<int:{}>": ("v1", "v12"),
    "<{}>.<{}>": ("x.y", "1.5"),
    "a-<path:{}>": ("a-x", "a-b/c"),
    "<path:{}>-b": ("x-b", "a/x-b"),
    "": ("",),
}
TEXTS = (
    *("a", "b", "new", "é", "a-b.c~(d)", "1", "12", "02", "-3", "3", "1.5", "-2.5", "22"),
    *("0" * 8 + "-0000-0000-0000-" + "0" * 12, "v1", "x.y", "a-b", "a-x-b", "ab!", "a!", "٣"),
    *("", "", ".", "..", "%2F", "a b", "\n", "\na", "a\nb", "\ufffd", "|", "<a>", "zzz"),
)
#: How hard to look, for a longer search: ROUTING_EXAMPLES=5000.
EXAMPLES = int(os.environ.get("ROUTING_EXAMPLES", "150"))
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "get")


@st.composite
def fitted_rules(draw: st.DrawFn) -> tuple[dict[str, t.Any], list[tuple[str, ...]]]:
    """The arguments of a rule, and the texts that fit each segment of it.

    They are drawn from few words, so that rules get in each other's way.
    """
    counter = iter("xyzuvw")
    text = ""
    fitting: list[tuple[str, ...]] = []
    for segment in draw(st.lists(st.sampled_from(sorted(SEGMENTS)), max_size=4)):
        wanted = [next(counter, "t") for _ in range(segment.count("{}"))]
        if "t" in wanted:
            break
        fitting.append(SEGMENTS[segment])
        text += "/" + segment.format(*wanted)
    if not text or draw(st.booleans()):
        text += "/"
        fitting.append(("",))
    arguments: dict[str, t.Any] = {
        "string": text,
        "endpoint": draw(st.sampled_from(["one", "two", "three"])),
    }
    arguments["methods"] = draw(
        st.one_of(st.none(), st.lists(st.sampled_from(["GET", "POST", "OPTIONS"]), max_size=2))
    )
    option = draw(st.integers(0, 11))
    if option == 0:
        arguments["strict_slashes"] = draw(st.booleans())
    elif option == 1:
        arguments["merge_slashes"] = draw(st.booleans())
    elif option == 2:
        arguments["alias"] = True
    elif option == 3:
        arguments["redirect_to"] = "elsewhere"
    elif option == 4:
        arguments["build_only"] = True
    elif option == 5:
        arguments["websocket"] = True
        arguments["methods"] = None
    elif option == 6:
        arguments["subdomain"] = draw(st.sampled_from(["api", "<sub>", "", "<path:sub>"]))
    elif option in {7, 8}:
        arguments["defaults"] = {draw(st.sampled_from("xyd")): draw(st.sampled_from([1, 2, "a"]))}
    return arguments, fitting


RULES = st.lists(fitted_rules(), min_size=1, max_size=5)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[dict[str, t.Any]], list[tuple[str, str]]]:
    """Rules, and requests most of which fit one of the rules or nearly do."""
    rules = draw(RULES)
    requests = []
    for _ in range(draw(st.integers(1, 12))):
        if draw(st.integers(0, 3)):
            _, fitting = draw(st.sampled_from(rules))
            parts = [draw(st.sampled_from(texts)) for texts in fitting]
        else:
            parts = draw(st.lists(st.sampled_from(TEXTS), max_size=5))
        path = "".join(f"/{part}" for part in parts)
        change = draw(st.integers(0, 5))
        if change == 0:
            path = path.removesuffix("/")
        elif change == 1:
            path += "/"
        elif change == 2:
            path = path.replace("/", "//", 2)
        requests.append((path, draw(st.sampled_from(METHODS))))
    return [spec for spec, _ in rules], requests


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "strict_slashes": st.booleans(),
        "merge_slashes": st.booleans(),
        "redirect_defaults": st.booleans(),
        "host_matching": st.just(True),
        "default_subdomain": st.sampled_from(["", "api"]),
        "sort_parameters": st.booleans(),
    },
)


def both(
    specs: list[dict[str, t.Any]], **options: t.Any
) -> tuple[Map, WerkzeugMap, dict[int, int]]:
    """Our map and Werkzeug's with the same rules, and each rule's number by its identity."""
    ours = Map(converters=CONVERTERS, **options)
    theirs = WerkzeugMap(converters=CONVERTERS, **options)
    numbers: dict[int, int] = {}
    for number, spec in enumerate(specs):
        made = Rule(**spec), Rule(**spec)
        try:
            theirs.add(made[1])
        except (ValueError, SyntaxError):
            continue  # a default that its converter refuses
        ours.add(made[0])
        numbers[id(made[0])] = numbers[id(made[1])] = number
    return ours, theirs, numbers


def environ_for(path: str, method: str = "GET", **extra: str) -> Environ:
    environ: Environ = create_environ("/", method=method)
    environ["PATH_INFO"] = path.encode("utf-8", "surrogateescape").decode("latin1")
    environ.update(extra)
    return environ


def outcome(numbers: dict[int, int], match: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
    """What a match gives, in a form that can be compared across the two maps."""
    try:
        found = match(*args)
    except MethodNotAllowed as error:
        return MethodNotAllowed, error.valid_methods
    except RequestRedirect as error:
        return RequestRedirect, error.new_url
    except (HTTPException, LookupError, ValueError, AssertionError, TypeError) as error:
        return (type(error),)
    if found is None:
        return None
    rule, arguments = found
    return numbers[id(rule)], arguments, [type(value) for value in arguments.values()]


def match_of(url_map: WerkzeugMap, environ: Environ, subdomain: str | None) -> t.Any:
    return url_map.bind_to_environ(environ, subdomain=subdomain).match(return_rule=True)


def methods_of(url_map: WerkzeugMap, environ: Environ, subdomain: str | None) -> t.Any:
    adapter = url_map.bind_to_environ(environ, subdomain=subdomain)
    try:
        return list(adapter.allowed_methods())
    except (LookupError, ValueError, AssertionError, TypeError) as error:
        return type(error)


def may_ask(url_map: Map, path: str, expected: t.Any) -> bool:
    """Whether ``lookup`` is excused from knowing the answer."""
    plain_error = expected[0] in (NotFound, MethodNotAllowed)
    return (
        url_map.host_matching
        or any("<" in (rule.subdomain or "") for rule in url_map.iter_rules())
        or path == ""
        or ("//" in path and plain_error)
        or not (plain_error or isinstance(expected[0], int))
    )


def a_rule(string: str, endpoint: str = "one", **arguments: t.Any) -> dict[str, t.Any]:
    return {"string": string, "endpoint": endpoint, **arguments}


@settings(max_examples=EXAMPLES, deadline=None)
@example(
    ([a_rule("//a"), a_rule("//<x>")], [("//a", "GET"), ("//b", "GET"), ("//", "GET")]),
    {"merge_slashes": False},
)
@example(([a_rule("/", methods=["GET"]), a_rule("/", "two")], [("/", "get")]), {})
@given(scene=scenes(), options=OPTIONS)
def test_lookup_and_match_agree_with_werkzeug(
    scene: tuple[list[dict[str, t.Any]], list[tuple[str, str]]], options: dict[str, t.Any]
) -> None:
    """lookup gives Werkzeug's answer or, where excused, none; the adapter always Werkzeug's."""
    specs, requests = scene
    ours, theirs, numbers = both(specs, **options)
    subdomain = None if ours.host_matching else ours.default_subdomain
    for path, method in requests:
        environ = environ_for(path, method)
        expected = outcome(numbers, match_of, theirs, environ, subdomain)
        seen = outcome(numbers, ours.lookup, environ)
        if seen is None:
            assert may_ask(ours, path, expected), (path, method, expected)
        else:
            assert seen == expected, (path, method)
        assert outcome(numbers, match_of, ours, environ, subdomain) == expected
        assert methods_of(ours, environ, subdomain) == methods_of(theirs, environ, subdomain)


VALUES = st.one_of(
    st.none(),
    st.integers(-3, 30),
    st.booleans(),
    st.floats(0, 3, allow_nan=False),
    st.sampled_from(["a", "b", "new", "a/b", "é ü", "x y&z=%", "a+b", "//evil", "", "12", "\n"]),
    st.just("\udc00"),
    st.just(UUID(int=7)),
    st.lists(st.sampled_from(["a", "b", None]), max_size=2),
    st.sampled_from([b"raw", ("a", "b"), {"a"}]),
    st.sampled_from([b"%41 b"]),
)


def built(build: t.Callable[..., t.Any], **arguments: t.Any) -> t.Any:
    try:
        return build(**arguments)
    except (BuildError, TypeError, ValueError, LookupError, AssertionError) as error:
        return type(error), str(error)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    specs=RULES.map(lambda rules: [spec for spec, _ in rules]),
    options=OPTIONS,
    bound=st.fixed_dictionaries(
        {},
        optional={
            "script_name": st.sampled_from(["/app", "/app/", "", "//x"]),
            "subdomain": st.sampled_from(["", "api", "other"]),
            "url_scheme": st.sampled_from(["http", "https", "ws", "wss", ""]),
            "default_method": st.sampled_from(["GET", "POST", "PUT"]),
        },
    ),
    calls=st.lists(
        st.fixed_dictionaries(
            {"endpoint": st.sampled_from(["one", "two", "three", "none"])},
            optional={
                "values": st.one_of(
                    st.none(),
                    st.dictionaries(
                        st.sampled_from(["x", "y", "z", "u", "d", "sub", "q", "a b"]),
                        VALUES,
                        max_size=5,
                    ),
                ),
                "method": st.sampled_from(["GET", "POST", "OPTIONS", "PUT", ""]),
                "force_external": st.booleans(),
                "append_unknown": st.booleans(),
                "url_scheme": st.sampled_from(["https", "http", "ws", ""]),
            },
        ),
        min_size=1,
        max_size=10,
    ),
)
@example(
    specs=[a_rule("/<any(a, b):x>")],
    options={"sort_parameters": True},
    bound={},
    calls=[{"endpoint": "one", "values": {"x": 0, "q": ["a", None]}}],
)
def test_build_agrees_with_werkzeug(
    specs: list[dict[str, t.Any]],
    options: dict[str, t.Any],
    bound: dict[str, t.Any],
    calls: list[dict[str, t.Any]],
) -> None:
    """build gives the very URL, or the very error, that Werkzeug's adapter gives."""
    ours, theirs, _ = both(specs, **options)
    if options.get("host_matching"):
        bound.pop("subdomain", None)
    adapter = ours.bind("example.org", **bound)
    reference = theirs.bind("example.org", **bound)
    for call in calls:
        assert built(adapter.build, **call) == built(reference.build, **call), call


def test_a_value_that_cannot_be_converted_counts_only_where_no_other_is_missing() -> None:
    """Then the rule is not meant, and the next one is tried."""
    rules = [Rule("/<int:x>/<int:y>", endpoint="one"), Rule("/<x>", endpoint="one")]
    ours, theirs = (
        url_map.bind("localhost")
        for url_map in (Map(rules), WerkzeugMap([rule.empty() for rule in rules]))
    )
    for values in {"x": "no number"}, {"x": "no number", "y": None}, {"x": "no number", "y": 1}:
        answers = [
            built(adapter.build, endpoint="one", values=values) for adapter in (ours, theirs)
        ]
        assert answers[0] == answers[1]
    assert ours.build("one", {"x": "no number"}) == "/no%20number"


def plain_map(*specs: Rule, **options: t.Any) -> Map:
    return Map(specs, converters=CONVERTERS, **options)


@pytest.mark.parametrize(
    ("rule", "path", "arguments"),
    [
        ("/", "/", {}),
        ("/about", "/about", {}),
        ("/about", "//about", {}),
        ("/é", "/é", {}),
        ("/<x>", "/é", {"x": "é"}),
        ("/<x>", "/a b%", {"x": "a b%"}),
        ("/user/<int:x>", "/user/5", {"x": 5}),
        ("/user/<int:x>/", "/user/5/", {"x": 5}),
        ("/<int(signed=True):x>", "/-5", {"x": -5}),
        ("/<int(min=2, max=20):x>", "/20", {"x": 20}),
        ("/<float:x>", "/1.50", {"x": 1.5}),
        ("/<uuid:x>", f"/{UUID(int=7)}", {"x": UUID(int=7)}),
        ("/<any(a, b):x>", "/b", {"x": "b"}),
        ("/<string(length=2):x>/<y>", "/ab/c", {"x": "ab", "y": "c"}),
        ("/static/<path:x>", "/static/css/a.css", {"x": "css/a.css"}),
        ("/<path:x>/edit", "/a/b/edit", {"x": "a/b"}),
        ("/<path:x>/to/<path:y>/end", "/a/to/b/to/c/end", {"x": "a", "y": "b/to/c"}),
        ("/<path:x>/", "/a/b/", {"x": "a/b"}),
        ("/<even:x>", "/12", {"x": 12}),
        ("/<pair:x>/<y>", "/a/b/c", {"x": "a/b", "y": "c"}),
        ("/<loud:x>", "/ab!", {"x": "ab!"}),
        ("/<x>-<y>", "/a-b", {"x": "a", "y": "b"}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_lookup_knows_the_plain_cases(
    rule: str, path: str, arguments: dict[str, t.Any], method: str
) -> None:
    """What lookup is for never goes to Werkzeug."""
    url_map = plain_map(
        Rule(rule, endpoint="one", methods=["GET", "OPTIONS"]),
        Rule(rule, endpoint="two", methods=["POST"]),
    )

    found = url_map.lookup(environ_for(path, method))

    assert found is not None
    assert found[0].endpoint == ("two" if method == "POST" else "one")
    assert found[1] == arguments


def test_a_missing_path_is_the_root() -> None:
    url_map = plain_map(Rule("/", endpoint="index"))
    environ = environ_for("/")
    del environ["PATH_INFO"]

    found = url_map.lookup(environ)

    assert found is not None
    assert found[0].endpoint == "index"


def test_the_method_may_be_in_lower_case() -> None:
    url_map = plain_map(Rule("/", endpoint="index", methods=["PUT"]))

    assert url_map.lookup(environ_for("/", "put")) is not None


def test_a_rule_without_any_method_is_not_found() -> None:
    with pytest.raises(NotFound):
        plain_map(Rule("/", endpoint="one", methods=[])).lookup(environ_for("/"))


def test_a_value_its_converter_refuses_is_not_found() -> None:
    """Not even where another rule would take it: Werkzeug has chosen the rule by then."""
    url_map = plain_map(Rule("/<even:x>", endpoint="even"), Rule("/<path:x>", endpoint="rest"))

    with pytest.raises(NotFound):
        url_map.lookup(environ_for("/3"))


def test_a_branch_that_fails_is_left_for_the_next() -> None:
    url_map = plain_map(
        Rule("/a/<int:x>/edit", endpoint="one"),
        Rule("/a/<x>/<y>", endpoint="two"),
        Rule("/<x>/<int:y>/<z>", endpoint="three"),
        Rule("/a/<z>-<u>/x", endpoint="four", methods=["PUT"]),
        Rule("/b", endpoint="five", strict_slashes=False),
        Rule("/c/", endpoint="six", strict_slashes=False),
    )

    for path, endpoint in {
        "/a/5/edit": "one",
        "/a/5/see": "two",
        "/b/5/x": "three",
        "/a/q-r/x": "two",
        "/b/": "five",
        "/c": "six",
    }.items():
        found = url_map.lookup(environ_for(path))
        assert found is not None
        assert found[0].endpoint == endpoint


def test_unknown_paths_are_not_found() -> None:
    url_map = plain_map(Rule("/user/<int:id>", endpoint="user"), Rule("/", endpoint="index"))

    for path in ("/nope", "/user/x", "/user/5/6", "/user/-1", "/.", "/user/5\n"):
        with pytest.raises(NotFound):
            url_map.lookup(environ_for(path))


def test_an_empty_map_finds_nothing() -> None:
    with pytest.raises(NotFound):
        Map().lookup(environ_for("/"))


def test_a_wrong_method_is_told_the_right_ones() -> None:
    """All rules of the path count, the static and the dynamic."""
    url_map = plain_map(
        Rule("/new", endpoint="new", methods=["POST"]),
        Rule("/<x>", endpoint="page", methods=["GET"]),
    )

    with pytest.raises(MethodNotAllowed) as caught:
        url_map.lookup(environ_for("/new", "DELETE"))

    assert set(caught.value.valid_methods or ()) == {"GET", "HEAD", "POST"}
    found = url_map.lookup(environ_for("/new", "GET"))
    assert found is not None
    assert found[0].endpoint == "page"


def test_view_arguments_are_new_each_time() -> None:
    """A preprocessor that pops a value does not take it from the next request."""
    url_map = plain_map(
        Rule("/", endpoint="index"),
        Rule("/list", endpoint="list", defaults={"page": 1}),
        Rule("/<lang>", endpoint="lang"),
        Rule("/<lang>/<x>", endpoint="two"),
    )
    for path in ("/", "/list", "/en", "/en/x"):
        first = url_map.lookup(environ_for(path))
        assert first is not None
        first[1].clear()
        first[1]["left"] = True
        second = url_map.lookup(environ_for(path))
        assert second is not None
        assert "left" not in second[1]
    assert url_map.lookup(environ_for("/list"))[1] == {"page": 1}  # type: ignore[index]


def test_what_redirects_is_left_to_werkzeug() -> None:
    url_map = plain_map(
        Rule("/slash/", endpoint="slash"),
        Rule("/old", endpoint="old", redirect_to="new"),
        Rule("/alias", endpoint="page", alias=True),
        Rule("/page", endpoint="page"),
        Rule("/list/", endpoint="list", defaults={"page": 1}),
        Rule("/list/<int:page>", endpoint="list"),
        Rule("/x/<even:x>", endpoint="even"),
        Rule("/x/<x>/", endpoint="slash too"),
    )

    for path in ("/slash", "/old", "/alias", "/list/1", "/nope//x", "", "/x/y"):
        assert url_map.lookup(environ_for(path)) is None
    assert url_map.lookup(environ_for("/list/2")) is not None


def test_websocket_requests_are_left_to_werkzeug() -> None:
    url_map = plain_map(Rule("/", endpoint="index"), Rule("/ws", endpoint="ws", websocket=True))
    upgrade = {"HTTP_CONNECTION": "keep-alive, Upgrade", "HTTP_UPGRADE": "WebSocket"}

    assert url_map.lookup(environ_for("/", **upgrade)) is None
    assert url_map.lookup(environ_for("/", **{"wsgi.url_scheme": "ws"})) is None
    assert url_map.lookup(environ_for("/ws")) is None
    with pytest.raises(WebsocketMismatch):
        url_map.bind_to_environ(environ_for("/ws"), subdomain="").match()
    assert url_map.bind_to_environ(environ_for("/ws", **upgrade), subdomain="").match()[0] == "ws"


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "é", "a b", "exa_mple", "[::g]"])
def test_an_odd_host_is_left_to_werkzeug(host: str) -> None:
    """Werkzeug may refuse it, so lookup does not answer for it."""
    url_map = plain_map(Rule("/", endpoint="index"))

    assert url_map.lookup(environ_for("/", HTTP_HOST=host)) is None


def test_the_hosts_kept_are_bounded() -> None:
    url_map = plain_map(Rule("/", endpoint="index"))

    for number in range(2000):
        assert url_map.lookup(environ_for("/", HTTP_HOST=f"h{number}.example:80")) is not None

    assert len(url_map._plain_hosts) <= 256


def test_without_a_host_header_the_servers_name_counts() -> None:
    url_map = plain_map(Rule("/", endpoint="index"))
    environ = environ_for("/")
    del environ["HTTP_HOST"]

    assert url_map.lookup(environ) is not None
    environ["SERVER_NAME"] = "a..b"
    assert url_map.lookup(environ) is None


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda raw: "/" + raw.decode("latin1"))))
def test_no_path_makes_lookup_fail(path: str) -> None:
    """Whatever stands in PATH_INFO, the answer is a rule, an HTTP error or None."""
    url_map = plain_map(
        Rule("/", endpoint="index"),
        Rule("/<x>", endpoint="one"),
        Rule("/<int:x>/<path:y>/to/<path:z>", endpoint="two"),
        Rule("/<float:x>/", endpoint="three"),
        Rule("/u/<uuid:x>", endpoint="four"),
    )
    environ = environ_for("/")
    environ["PATH_INFO"] = path

    with suppress(NotFound):
        url_map.lookup(environ)


def test_a_number_too_long_for_int_is_not_found() -> None:
    url_map = plain_map(Rule("/<int:x>", endpoint="one"), Rule("/a/<int:x>/b", endpoint="two"))

    for path in ("/" + "9" * 5000, "/a/" + "9" * 5000 + "/b"):
        environ = environ_for(path)
        assert url_map.lookup(environ) is None
        with pytest.raises(NotFound):
            url_map.bind_to_environ(environ, subdomain="").match()


def test_a_converters_own_mistake_is_seen() -> None:
    url_map = Map([Rule("/<x:x>", endpoint="one")], converters={"x": FailingConverter})

    with pytest.raises(KeyError, match="oops"):
        url_map.lookup(environ_for("/oops"))


@pytest.mark.parametrize(
    ("regex", "error"),
    [
        ("(a", re.error),
        ("a{99999999999999999999}", OverflowError),
        ("(?P<__werkzeug_x>a)", ValueError),
    ],
)
def test_a_broken_pattern_fails_only_its_own_requests(regex: str, error: type[Exception]) -> None:
    class Broken(BaseConverter):
        pass

    Broken.regex = regex
    rules = [Rule("/", endpoint="index"), Rule("/x/<b:x>", endpoint="one")]
    for also in [], [Rule("/", endpoint="sub", subdomain="<b:x>")]:
        url_map = Map([*(rule.empty() for rule in rules), *also], converters={"b": Broken})
        environ = environ_for("/")
        assert also or url_map.lookup(environ) is not None
        assert url_map.bind_to_environ(environ, subdomain="").match() == ("index", {})
        assert url_map.bind("localhost").build("index") == "/"
        environ = environ_for("/x/a")
        assert url_map.lookup(environ) is None
        with pytest.raises(error):
            url_map.bind_to_environ(environ, subdomain="").match()


def test_a_converter_that_lacks_a_method_fails_only_its_own_requests() -> None:
    """One need not derive from Werkzeug's."""

    class OneWay:
        regex, weight, part_isolating = "[a-z]+", 100, True

        def __init__(self, url_map: WerkzeugMap) -> None:
            pass

    url_map = Map(
        [Rule("/", endpoint="index"), Rule("/x/<w:x>", endpoint="one"), Rule("/y", endpoint="one")],
        converters=t.cast("t.Any", {"w": OneWay}),
    )

    assert url_map.lookup(environ_for("/")) is not None
    with pytest.raises(AttributeError, match="to_python"):
        url_map.lookup(environ_for("/x/a"))
    assert url_map.bind("localhost").build("one") == "/y"
    with pytest.raises(AttributeError, match="to_url"):
        url_map.bind("localhost").build("one", {"x": "a"})


# Changes after the first request.


def test_what_a_test_puts_in_the_place_of_a_converters_methods_is_called() -> None:
    """With an app that has answered requests before."""
    url_map = plain_map(Rule("/<even:x>", endpoint="one"), Rule("/<loud:x>/y", endpoint="two"))
    environ = environ_for("/12")
    adapter = url_map.bind("localhost")
    assert url_map.lookup(environ) is not None
    assert adapter.build("one", {"x": 2}) == "/2"

    with (
        patch.object(EvenConverter, "to_python", return_value="found"),
        patch.object(EvenConverter, "to_url", return_value="made"),
    ):
        found = url_map.lookup(environ)
        assert found is not None
        assert found[1] == {"x": "found"}
        assert adapter.build("one", {"x": 2}) == "/made"


def test_a_rule_added_late_is_found() -> None:
    url_map = plain_map(Rule("/", endpoint="index"))
    with pytest.raises(NotFound):
        url_map.lookup(environ_for("/late"))
    with pytest.raises(BuildError):
        url_map.bind("localhost").build("late")

    url_map.add(Submount("/late", [Rule("/", endpoint="late"), Rule("/<x>", endpoint="later")]))

    assert url_map.lookup(environ_for("/late/")) is not None
    assert url_map.lookup(environ_for("/late/x")) is not None
    assert url_map.bind("localhost").build("late") == "/late/"


def test_an_endpoint_taken_out_by_hand_leaves_the_others_served() -> None:
    """``app.url_map._rules_by_endpoint.pop("static")`` is how some take away a route."""
    for kind in (Map, WerkzeugMap):
        rules = [Rule("/", endpoint="index"), Rule("/static/<path:name>", endpoint="static")]
        url_map: t.Any = kind([*rules, Rule("/old", endpoint="old")])
        for endpoint in ("static", "old"):
            url_map._rules_by_endpoint.pop(endpoint)
        url_map._remap = True
        adapter = url_map.bind_to_environ(environ_for("/"), subdomain="")
        assert adapter.match() == ("index", {})
        for path in ("/old", "/static/file"):
            with pytest.raises(KeyError):
                adapter.match(path)
        if isinstance(url_map, Map):
            assert url_map.lookup(environ_for("/")) == (rules[0], {})
            assert url_map.lookup(environ_for("/old")) is None
            assert url_map.lookup(environ_for("/static/file")) is None


def test_a_converter_added_late_serves_the_rules_after_it() -> None:
    url_map = Map([Rule("/", endpoint="index")])
    assert url_map.lookup(environ_for("/")) is not None
    url_map.converters["even"] = EvenConverter

    url_map.add(Rule("/<even:x>", endpoint="even"))

    assert url_map.lookup(environ_for("/4"))[1] == {"x": 4}  # type: ignore[index]


def test_flags_changed_late_are_obeyed() -> None:
    url_map = plain_map(
        Rule("/list/", endpoint="list", defaults={"page": 1}),
        Rule("/list/<int:page>", endpoint="list"),
        Rule("/", endpoint="api", subdomain="api"),
    )
    assert url_map.lookup(environ_for("/list/1")) is None
    url_map.redirect_defaults = False
    assert url_map.lookup(environ_for("/list/1")) is not None

    assert url_map.lookup(environ_for("/a//b")) is None
    url_map.merge_slashes = False
    with pytest.raises(NotFound):
        url_map.lookup(environ_for("/a//b"))

    url_map.default_subdomain = "api"
    assert url_map.lookup(environ_for("/"))[0].endpoint == "api"  # type: ignore[index]

    url_map.host_matching = True
    assert url_map.lookup(environ_for("/")) is None


def test_methods_changed_late_are_obeyed() -> None:
    rule = Rule("/<x>", endpoint="one", methods=["GET"])
    static = Rule("/", endpoint="index", methods=["GET"])
    url_map = plain_map(rule, static)
    for path in ("/", "/x"):
        assert url_map.lookup(environ_for(path)) is not None
        with pytest.raises(MethodNotAllowed):
            url_map.lookup(environ_for(path, "PUT"))

    for changed in (rule, static):
        assert changed.methods is not None
        changed.methods.add("PUT")

    for path in ("/", "/x"):
        assert url_map.lookup(environ_for(path, "PUT")) is not None


def test_a_plan_overtaken_by_a_change_is_not_kept() -> None:
    """A rule added by another thread while the plan is being made is not lost."""
    url_map = plain_map(Rule("/", endpoint="index"))
    update = url_map.update

    def update_and_add() -> None:
        update()
        url_map.__dict__.pop("update")
        Map.add(url_map, Rule("/late", endpoint="late"))

    url_map.__dict__["update"] = update_and_add
    assert url_map.lookup(environ_for("/")) is not None
    assert url_map._plan is None
    assert url_map.lookup(environ_for("/late")) is not None


def test_many_threads_may_come_first() -> None:
    """64 threads at an unprepared map all get their answer."""
    url_map = plain_map(*(Rule(f"/{n}/<int:x>/<y>", endpoint=str(n)) for n in range(200)))
    start = threading.Barrier(64)
    answers: list[t.Any] = []

    def request(number: int) -> None:
        start.wait()
        found = url_map.lookup(environ_for(f"/{number}/7/a"))
        built = url_map.bind("localhost").build(str(number), {"x": 7, "y": "a"})
        answers.append((found[0].endpoint if found else None, built))

    threads = [threading.Thread(target=request, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == sorted((str(n), f"/{n}/7/a") for n in range(64))


def test_what_matches_while_rules_are_sorted_finds_them() -> None:
    """As a thread does that had begun to match before another one added a rule."""
    found: list[t.Any] = []

    class Weight:
        """Compared when the rules are sorted."""

        def __init__(self, weight: int) -> None:
            self.weight = weight

        def __lt__(self, other: Weight) -> bool:
            for path in "/7", "/word":
                rule, _ = url_map._matcher.match("", path, "GET", False)
                found.append(rule.endpoint)
            return self.weight < other.weight

    class Word(BaseConverter):
        weight = Weight(100)  # type: ignore[assignment]

    class Number(BaseConverter):
        weight = Weight(50)  # type: ignore[assignment]
        regex = r"\d+"

    url_map = Map(
        [Rule("/<word:x>", endpoint="word"), Rule("/<number:x>", endpoint="number")],
        converters={"word": Word, "number": Number},
    )
    url_map.update()
    assert found[:2] == ["word", "word"]
    assert url_map.bind("localhost").match("/7")[0] == "number"


@pytest.mark.usefixtures("hasty")
def test_rules_may_be_added_in_threads_while_others_match_and_build() -> None:
    """All that was added is found, in the right order, and what was there before meanwhile."""
    threads, rules = 4, 25
    start = threading.Barrier(2 * threads, timeout=30)
    url_map = plain_map(Rule("/old/<x>", endpoint="old"))
    adding = [None] * threads

    def add(number: int) -> None:
        try:
            start.wait()
            for n in range(rules):
                name = f"{number}-{n}"
                url_map.add(Rule(f"/{n}/<x>/{number}", endpoint=f"text {name}"))
                url_map.add(Rule(f"/{n}/<int:x>/{number}", endpoint=name))
                url_map.add(Rule(f"/{n}/<int:x>/{number}/<y>", endpoint=name))
                assert url_map.bind("localhost").build(name, {"x": 7}) == f"/{n}/7/{number}"
        finally:
            adding.pop()

    def use() -> None:
        start.wait()
        while adding:
            found = url_map.lookup(environ_for("/old/7"))
            assert found is not None
            assert found[0].endpoint == "old"
            adapter = url_map.bind("localhost")
            assert adapter.match("/old/7") == ("old", {"x": "7"})
            assert adapter.build("old", {"x": 7, "q": [1, 2]}) == "/old/7?q=1&q=2"
            assert "old" in {rule.endpoint for rule in url_map.iter_rules()}

    with ThreadPoolExecutor(2 * threads) as pool:
        doing = [pool.submit(add, number) for number in range(threads)]
        doing += [pool.submit(use) for _ in range(threads)]
        for done in doing:
            done.result(60)
    for number in range(threads):
        for n in range(rules):
            found = url_map.lookup(environ_for(f"/{n}/7/{number}"))
            assert found is not None
            assert found[0].endpoint == f"{number}-{n}"
            assert url_map.bind("localhost").match(f"/{n}/7/{number}/z")[0] == f"{number}-{n}"


# What is overridden is honoured.


def test_a_map_that_binds_in_its_own_way_is_asked() -> None:
    class OwnMap(Map):
        def bind_to_environ(self, *args: t.Any, **kwargs: t.Any) -> MapAdapter:
            adapter = super().bind_to_environ(*args, **kwargs)
            adapter.path_info = "/other"
            return adapter

    url_map = OwnMap([Rule("/", endpoint="index"), Rule("/other", endpoint="other")])
    environ = environ_for("/")

    assert url_map.lookup(environ) is None
    assert url_map.bind_to_environ(environ, subdomain="").match()[0] == "other"
    assert url_map.describe() == "Werkzeug matches every path."


def test_a_matcher_of_ones_own_is_asked() -> None:
    class OwnMatcher(StateMachineMatcher):
        def match(self, *args: t.Any) -> t.Any:
            raise NotImplementedError

    url_map = Map([Rule("/", endpoint="index")])
    url_map._matcher = OwnMatcher(True)

    assert url_map.lookup(environ_for("/")) is None


def test_a_rule_that_builds_in_its_own_way_does() -> None:
    class Signed(Rule):
        def build(
            self, values: t.Mapping[str, t.Any], append_unknown: bool = True
        ) -> tuple[str, str] | None:
            built = super().build(values, append_unknown)
            return built and (built[0], built[1] + ";signed")

    url_map = plain_map(Signed("/<int:x>", endpoint="one"))

    assert url_map.bind("localhost").build("one", {"x": 1}) == "/1;signed"
    assert url_map.lookup(environ_for("/1")) is not None


def test_a_rule_that_parses_in_its_own_way_does() -> None:
    class HexConverter(BaseConverter):
        regex = "[0-9a-f]+"

        def to_python(self, value: str) -> int:
            return int(value, 16)

        def to_url(self, value: t.Any) -> str:
            return f"{value:x}"

    class Hexadecimal(Rule):
        def get_converter(self, *args: t.Any, **kwargs: t.Any) -> BaseConverter:
            return HexConverter(self.map)

    url_map = plain_map(Hexadecimal("/<x>", endpoint="one"))

    assert url_map.lookup(environ_for("/ff"))[1] == {"x": 255}  # type: ignore[index]
    assert url_map.bind("localhost").build("one", {"x": 255}) == "/ff"
    with pytest.raises(NotFound):
        url_map.lookup(environ_for("/fg"))


def test_a_converter_that_gives_no_text_is_an_error() -> None:
    class NumberConverter(BaseConverter):
        def to_url(self, value: t.Any) -> t.Any:
            return 5

    adapter = Map([Rule("/<n:x>", endpoint="one")], converters={"n": NumberConverter}).bind("a")

    with pytest.raises(TypeError, match="expected str instance, int found"):
        adapter.build("one", {"x": 1})


# The adapter.

ENVIRONS = st.fixed_dictionaries(
    {
        "wsgi.url_scheme": st.sampled_from(["http", "https"]),
        "REQUEST_METHOD": st.sampled_from(["GET", "POST", "get"]),
    },
    optional={
        "HTTP_HOST": st.sampled_from(
            ["localhost", "Example.ORG:8080", "example.org:80", "[::1]:5000", "a..b", "x" * 70, ""]
        ),
        "SERVER_NAME": st.sampled_from(["localhost", "::1", "a..b"]),
        "SERVER_PORT": st.sampled_from(["80", "443", "5000"]),
        "SCRIPT_NAME": st.sampled_from(["", "/app", "/app/", "/\xc3\xa9", "/\xff"]),
        "PATH_INFO": st.sampled_from(["", "/", "/a", "/\xc3\xa9", "/\xff"]),
        "QUERY_STRING": st.sampled_from(["", "a=1", "a=\xc3\xa9"]),
        "HTTP_UPGRADE": st.sampled_from(["websocket", "WebSocket", "h2c"]),
        "HTTP_CONNECTION": st.sampled_from(["upgrade", "keep-alive, Upgrade\t", "close"]),
    },
)
ATTRIBUTES = (
    *("server_name", "script_name", "subdomain", "url_scheme", "path_info"),
    *("default_method", "query_args", "websocket"),
)


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(
    environ=ENVIRONS,
    server_name=st.sampled_from([None, "localhost", "Example.org:443", "example.org:80", "a..b"]),
    subdomain=st.sampled_from([None, "", "api"]),
    order=st.permutations(ATTRIBUTES),
)
def test_an_adapter_has_the_attributes_that_werkzeugs_has(
    environ: Environ, server_name: str | None, subdomain: str | None, order: list[str]
) -> None:
    """Read in any order, after binding with the same errors and warnings."""

    def bind(url_map: WerkzeugMap) -> t.Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                adapter = url_map.bind_to_environ(environ, server_name, subdomain)
            except HTTPException as error:
                return type(error)
        assert isinstance(adapter, MapAdapter) or type(url_map) is WerkzeugMap
        seen = {name: getattr(adapter, name) for name in order}
        return seen, [str(warning.message) for warning in caught]

    assert bind(Map()) == bind(WerkzeugMap())


def test_an_adapter_is_made_of_a_request_too() -> None:
    adapter = Map().bind_to_environ(Request(environ_for("/here")), subdomain="")

    assert isinstance(adapter, WerkzeugMapAdapter)
    assert adapter.path_info == "/here"


def test_an_adapter_reads_no_more_than_it_is_asked() -> None:
    url_map = Map()
    adapter = url_map.bind_to_environ(environ_for("/"), subdomain="")

    assert "path_info" not in vars(adapter)
    assert adapter.path_info == "/"
    adapter.path_info = "/other"
    assert adapter.path_info == "/other"
    assert copy.copy(adapter).script_name == "/"


@pytest.mark.parametrize("adapter", [Map().bind("localhost"), MapAdapter.__new__(MapAdapter)])
def test_an_unknown_attribute_is_an_error(adapter: MapAdapter) -> None:
    with pytest.raises(AttributeError, match="'MapAdapter' object has no attribute 'nope'"):
        adapter.nope  # type: ignore[attr-defined]  # noqa: B018


def test_binding_what_is_no_environment_is_an_error() -> None:
    with pytest.raises(AssertionError, match="not a WSGI environment"):
        Map().bind_to_environ([], subdomain="")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="REQUEST_METHOD"):
        Map().bind_to_environ({"wsgi.url_scheme": "http", "HTTP_HOST": "a"}, subdomain="")


def test_host_matching_goes_by_the_host() -> None:
    url_map = Map([Rule("/", endpoint="one", host="<name>.example")], host_matching=True)
    environ = environ_for("/", HTTP_HOST="a.example")

    assert url_map.lookup(environ) is None
    assert url_map.bind_to_environ(environ).match() == ("one", {"name": "a"})
    assert url_map.bind_to_environ(environ).build("one", {"name": "b"}) == "http://b.example/"
    with pytest.raises(RuntimeError, match="host matching enabled"):
        url_map.bind_to_environ(environ, subdomain="")


def test_dynamic_subdomains_are_left_to_werkzeug_where_they_fit() -> None:
    """A rule for any subdomain does not fit the empty one; with a default subdomain it may."""
    rules = [Rule("/", endpoint="index"), Subdomain("<user>", [Rule("/", endpoint="user")])]

    found = Map(rules).lookup(environ_for("/"))
    assert found is not None
    assert found[0].endpoint == "index"
    rules[0] = Rule("/", endpoint="index")
    assert Map(rules, default_subdomain="www").lookup(environ_for("/")) is None


def test_allowed_methods_are_those_of_the_path_asked_for() -> None:
    url_map = plain_map(
        Rule("/", endpoint="any"),
        Rule("/a", endpoint="a", methods=["PUT"]),
        Rule("/b", endpoint="b", methods=["DELETE"]),
    )
    adapter = url_map.bind_to_environ(environ_for("/a"), subdomain="")

    assert list(adapter.allowed_methods()) == ["PUT"]
    assert list(adapter.allowed_methods("/b")) == ["DELETE"]
    adapter.path_info = "/b"
    assert list(adapter.allowed_methods()) == ["DELETE"]
    for path in ("/", "/nope"):
        adapter = url_map.bind_to_environ(environ_for(path), subdomain="")
        assert list(adapter.allowed_methods()) == []


# Building.


@pytest.mark.parametrize(
    ("endpoint", "values", "url"),
    [
        ("user", {"x": 7}, "/user/7"),
        ("user", {"x": "7", "tab": "posts"}, "/user/7?tab=posts"),
        ("user", {"x": 7, "tab": None}, "/user/7"),
        ("user", {"x": 7, "a b": "c&d", "e": 5}, "/user/7?a+b=c%26d&e=5"),
        ("user", {"x": 7, "q": ["a", "b"]}, "/user/7?q=a&q=b"),
        ("page", {"x": "é b/c"}, "/%C3%A9%20b/c"),
        ("list", {}, "/list/"),
        ("list", {"page": 1, "q": "a"}, "/list/?q=a"),
        ("list", {"page": 2}, "/list/2"),
        ("even", {"x": 4}, "/4"),
        ("even", {"x": -4}, "/any/-4"),
        ("deep", {"x": "//evil", "y": 1}, "/evil/1"),
    ],
)
def test_urls_are_built(endpoint: str, values: dict[str, t.Any], url: str) -> None:
    rules = {
        "/user/<int:x>": "user",
        "/<x>": "page",
        "/list/<int:page>": "list",
        "/<even:x>": "even",
        "/any/<x>": "even",
        "/<path:x>/<int:y>": "deep",
    }
    url_map = plain_map(
        Rule("/list/", endpoint="list", defaults={"page": 1}),
        *(Rule(rule, endpoint=name) for rule, name in rules.items()),
    )

    assert url_map.bind("localhost").build(endpoint, values) == url


def test_urls_are_built_as_asked() -> None:
    rule = Rule("/<x>", endpoint="one", defaults={"d": 1}, subdomain="api")
    adapter = plain_map(rule, sort_parameters=True).bind("a.example", "/app", url_scheme="https")
    values = {"x": "a", "c": "2", "b": 1}

    assert adapter.build("one", values) == "https://api.a.example/app/a?b=1&c=2"
    assert adapter.build("one", values, append_unknown=False) == "https://api.a.example/app/a"
    adapter.subdomain = "api"
    assert adapter.build("one", values) == "/app/a?b=1&c=2"
    assert adapter.build("one", {"x": "a"}, force_external=True, url_scheme="") == (
        "//api.a.example/app/a"
    )
    with pytest.raises(TypeError, match="keywords must be strings"):
        adapter.build("one", {"x": "a", 5: "b"})  # type: ignore[dict-item]
    with pytest.raises(BuildError):
        adapter.build("one", {"x": "a", "d": 2})
    with pytest.raises(BuildError):
        adapter.build("one")


def test_defaults_named_by_other_than_text_are_left_to_werkzeug() -> None:
    adapter = plain_map(Rule("/<x>", endpoint="one", defaults={5: 1})).bind("localhost")  # type: ignore[dict-item]

    with pytest.raises(BuildError):
        adapter.build("one", {"x": "a"})


def test_a_multidict_is_built_from_as_werkzeug_does() -> None:
    values = MultiDict([("x", "1"), ("q", "a"), ("q", "b")])

    adapter = plain_map(Rule("/<int:x>", endpoint="one")).bind("localhost")

    assert adapter.build("one", values) == "/1?q=a&q=b"


def test_an_unknown_endpoint_leaves_nothing_behind() -> None:
    """SECURITY: endpoints taken from a request do not fill the memory."""
    url_map = plain_map(Rule("/", endpoint="index"))
    adapter = url_map.bind("localhost")
    for number in range(3):
        with pytest.raises(BuildError):
            adapter.build(f"nope{number}")

    assert adapter.build("index") == "/"
    assert url_map._plan is not None
    assert list(url_map._plan.recipes) == ["index"]


# Cost.


def growth(call: t.Callable[[str], object], path: str) -> float:
    """How much longer a call takes for four times the path."""

    def cost(text: str) -> float:
        best = float("inf")
        for _ in range(7):
            start = time.thread_time()
            call(text)
            best = min(best, time.thread_time() - start)
        return best

    return cost(path * 4) / cost(path)


@pytest.mark.parametrize(
    "rule",
    [
        "/<path:x>/q/<path:y>/end",
        "/<path:x>/q/<path:y>/q/<path:z>/e",
        "/<path:x>/<y>/<path:z>/e",
        "/<path:x>/<y>/<int:z>/<path:u>",
    ],
)
def test_several_path_parts_take_linear_time(rule: str) -> None:
    """SECURITY: four times the path takes about four times as long, not 16 or 64 times."""
    url_map = plain_map(Rule(rule, endpoint="one"))

    def match(path: str) -> None:
        environ = environ_for(f"/z{path}/\n\n")
        with pytest.raises(NotFound):
            url_map.lookup(environ)
        with pytest.raises(NotFound):
            url_map.bind_to_environ(environ, subdomain="").match()

    assert growth(match, "/q/a/7" * 2000) < 9


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(
    rule=st.sampled_from(
        [
            "/<path:x>/q/<path:y>",
            "/<path:x>/q/<path:y>/",
            "/a/<path:x>/<path:y>/q/<path:z>",
            "/<path:x><path:y>",
            "/<path:x>/<int:y>/<path:z>",
            "/<path:x>/<y>/<path:z>/q",
            "/<path:x>/<int(signed=True):y>/q/<float:z>/<path:u>-1",
            "/<path:x>/<string(length=2):y>/<string(maxlength=2):z>/<path:u>",
            "/<path:x>/<y>-<z>/<path:u>",
            "/<path:x>/<y><path:u>",
            "/<path:x>.<path:y>-<path:z>/",
        ]
    ),
    path=st.text(st.sampled_from("a/q\n.-1//"), max_size=14),
)
@example("/<path:x>/q/<path:y>/q/<path:z>", "a/q/q/q/\nb/q/c")
def test_linear_patterns_match_as_werkzeugs(rule: str, path: str) -> None:
    """Newlines included: the one thing that makes the first place not the only one to try."""
    ours, theirs = Map([Rule(rule, endpoint="one")]), WerkzeugMap([Rule(rule, endpoint="one")])
    environ = environ_for("/" + path)
    numbers = {id(next(ours.iter_rules())): 0, id(next(theirs.iter_rules())): 0}

    expected = outcome(numbers, match_of, theirs, environ, "")
    assert outcome(numbers, match_of, ours, environ, "") == expected


@pytest.mark.parametrize(
    ("path", "method", "most"),
    [
        ("/", "GET", 1),
        ("/", "POST", 1),
        ("/user/5", "GET", 1),
        ("/user/5", "HEAD", 1),
        ("/r77/bob/edit", "GET", 3),
        ("/static/a.css", "GET", 1),
        ("/static/css/a.css", "GET", 3),
    ],
)
def test_lookup_takes_few_calls(path: str, method: str, most: int) -> None:
    """However many rules the map has."""
    url_map = plain_map(
        Rule("/", endpoint="index", methods=["GET"]),
        Rule("/", endpoint="save", methods=["POST"]),
        Rule("/user/<int:id>", endpoint="user", methods=["GET"]),
        Rule("/static/<path:name>", endpoint="static", methods=["GET"]),
        *(Rule(f"/r{n}/<name>/edit", endpoint=f"r{n}") for n in range(500)),
    )
    environ = environ_for(path, method)

    assert calls_of(lambda: url_map.lookup(environ)) <= most


def test_binding_and_building_take_few_calls() -> None:
    url_map = plain_map(Rule("/", endpoint="index"), Rule("/user/<int:id>", endpoint="user"))
    environ = environ_for("/")
    adapter = url_map.bind_to_environ(environ, subdomain="")

    assert calls_of(lambda: url_map.bind_to_environ(environ, subdomain="")) <= 1
    assert calls_of(lambda: adapter.build("index")) <= 2
    assert calls_of(lambda: adapter.build("user", {"id": 7})) <= 2
    assert calls_of(lambda: adapter.build("user", {"id": 7, "tab": "a b"})) <= 3


def test_rules_are_added_without_compiling_what_builds_their_urls() -> None:
    """Werkzeug's builder comes into being when it is asked, and gives what Werkzeug gives."""
    names = Submount("/a", [Rule("/<self>/<rule>", endpoint="names", subdomain="<map>")])
    url_map = plain_map(Rule("/user/<int:id>/<name>", endpoint="user"))
    url_map.add(names)
    werkzeugs = WerkzeugMap([rule.empty() for rule in url_map.iter_rules()])

    with Calls() as called:
        url_map.add(Rule("/late/<int:id>", endpoint="late"))
    assert Rule._compile_builder.__code__ not in called
    assert Rule._parse_rule.__code__ in called

    values = {"id": 3, "name": "ü b", "self": "x", "rule": "y", "map": "z", "q": [1, 2]}
    for rule, other in zip(url_map.iter_rules(), werkzeugs.iter_rules(), strict=False):
        for append_unknown in True, False, True:
            assert rule.build(values, append_unknown) == other.build(values, append_unknown)
    late = next(url_map.iter_rules("late"))
    assert late.build({"id": 4, "q": 1}) == ("", "/late/4?q=1")
    late.refresh()
    assert late.build({"id": 5}) == ("", "/late/5")


class NeverInURLs(BaseConverter):
    """Has no text for any value."""

    def to_url(self, value: t.Any) -> str:
        raise LookupError(value)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (Rule("/<True>", endpoint="x"), ValueError),
        (Rule("/<__debug__>", endpoint="x"), SyntaxError),
        (Rule("/<lang>/<lang>", endpoint="x"), SyntaxError),
        (Rule("/<lang>", endpoint="x", subdomain="<lang>"), SyntaxError),
        (Rule("/\udc00", endpoint="x"), UnicodeEncodeError),
        (Rule("/<never:x>", endpoint="x", defaults={"x": 1}), LookupError),
    ],
)
def test_a_rule_no_url_can_be_built_of_is_refused_when_it_is_added(
    rule: Rule, error: type[Exception]
) -> None:
    for url_map in WerkzeugMap(converters={"never": NeverInURLs}), Map():
        url_map.converters["never"] = NeverInURLs
        with pytest.raises(error):
            url_map.add(rule.empty())


#: What rules are made of, and what only looks like it.
PIECES = (
    *("/", "/", "/", "a", "é", "\0", "\n", "\udc00", "{x}", "|", "%", "<", ">", "<x", "int:", "()"),
    *("<x>", "<y>", "<self>", "<None>", "<__debug__>", "<int:x>", "<path:y>", "<any(a, 'b'):x>"),
    *("<int(min=1):y>", "<int(min='a'):x>", "<int(bad=1):x>", "<string(length=2):y>", "<nope:x>"),
    *("<never:x>", "<even:y>", "<string(length=99999999999999999999):y>"),
)
PIECED = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(
    text=PIECED,
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "subdomain": PIECED,
            "defaults": st.dictionaries(st.sampled_from(["x", "y", "True", "d d"]), VALUES),
            "websocket": st.booleans(),
            "methods": st.sampled_from([[], ["get"], ["POST"], "GET", [1]]),
            "merge_slashes": st.booleans(),
        },
    ),
    values=st.dictionaries(st.sampled_from(["x", "y", "self", "q"]), VALUES),
)
@example(text="<x>/<x>", arguments={}, values={})
def test_a_rule_is_added_or_refused_as_werkzeug_does(
    text: str, arguments: dict[str, t.Any], values: dict[str, t.Any]
) -> None:
    """With the very error, and at the same time: not when a URL is built, or none at all."""

    def add(kind: type[WerkzeugMap]) -> t.Any:
        url_map = kind(converters={**CONVERTERS, "never": NeverInURLs})
        try:
            rule = Rule(f"/{text}", endpoint="one", **arguments)
            url_map.add(rule)
        except Exception as error:
            return type(error), str(error)
        seen = str(rule), rule._trace, rule.arguments, rule.methods, rule.subdomain
        urls = [
            built(rule.build, values=values, append_unknown=append_unknown)
            for append_unknown in (True, False, True)
        ]
        return seen, urls

    assert add(Map) == add(WerkzeugMap)


def test_a_builder_of_ones_own_is_compiled_when_its_rule_is_added() -> None:
    compiled = []

    class Own(Rule):
        def _compile_builder(self, append_unknown: bool = True) -> t.Callable[..., tuple[str, str]]:
            compiled.append(append_unknown)
            return super()._compile_builder(append_unknown)

    url_map = plain_map(Own("/user/<int:id>", endpoint="user"))

    assert compiled == [False, True]
    assert next(url_map.iter_rules()).build({"id": 7}) == ("", "/user/7")


def test_the_plan_can_be_read() -> None:
    url_map = plain_map(
        Rule("/", endpoint="index", methods=["GET"]),
        Rule("/old", endpoint="old", redirect_to="/"),
        Rule("/user/<int:id>", endpoint="user"),
        Rule("/static/<path:name>", endpoint="static", methods=["GET"]),
        Rule("/ws", endpoint="ws", websocket=True),
    )

    assert url_map.describe().splitlines() == [
        "/",
        "  = index() [GET HEAD]",
        "/old",
        "  = old() [any method, redirects]",
        "/user",
        "  /(\\d+)",
        "    = user(id) [any method]",
        "/static",
        "  /([^/].*?) to the end",
        "    = static(name) [GET HEAD]",
        "/ws",
        "  = ws() [any method, WebSocket]",
        "found by the whole path: /",
        "found by all but the last segment: /user/, /static/",
    ]
    assert Map().describe().endswith("the last segment: none")


def test_the_warning_of_a_strange_host_names_flasks_module() -> None:
    """Filters that people wrote name it; an endless choice of hosts does not fill the memory."""
    environ = environ_for("/") | {"HTTP_HOST": "elsewhere.test"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Current server name", UserWarning, "flask.app")
        adapters = [
            Map().bind_to_environ(environ | {"HTTP_HOST": f"h{number}.test"}, "app.test")
            for number in range(600)
        ]
    assert {adapter.subdomain for adapter in adapters} == {"<invalid>"}
    assert len(routing._warned) <= routing._HOSTS_KEPT + 2
