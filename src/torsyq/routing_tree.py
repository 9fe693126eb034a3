"""The compiled matcher: what :meth:`torsyq.routing.Map.lookup` walks.

Werkzeug keeps the rules of a map in a tree of states, one level for each segment of a path; a
segment is either static text or a regular expression. Its matcher interprets that tree and is
the specification of which rule wins. :func:`compile_tree` reads the same tree once and lays it
out so that walking it is cheap; :func:`find` takes the same decisions in the same order: static
before dynamic, dynamic by weight, the first rule that has the method, and a way back when a
branch fails. Whatever ends in a redirect is not decided here: :exc:`AskWerkzeug`.

PERF: a path of two segments, the second an ``int``, is found in 0.7 us; Werkzeug's matcher
takes 5.1 us for it (a closure, a list for each segment, a regular expression fetched from a
cache, its groups named and sorted).
"""

from __future__ import annotations

import re
import typing as t
from itertools import takewhile

from werkzeug.routing import BaseConverter
from werkzeug.routing import FloatConverter
from werkzeug.routing import IntegerConverter
from werkzeug.routing import Rule
from werkzeug.routing import UUIDConverter
from werkzeug.routing.converters import NumberConverter
from werkzeug.routing.matcher import State
from werkzeug.routing.rules import RulePart

from .lazy import deferred

if t.TYPE_CHECKING:
    import uuid
else:
    uuid = deferred("uuid", globals())

#: Tests of a whole segment (or rest) that is the value, by the pattern Werkzeug gives them. ``\d`` and
#: ``str.isdecimal`` take the same characters, those of Unicode's category Nd.
_SEGMENT_TESTS: dict[str, t.Callable[[str], object]] = {
    r"(?P<__werkzeug_0>[^/]{1,})\Z": len,
    r"(?P<__werkzeug_0>\d+)\Z": str.isdecimal,
    rf"(?P<__werkzeug_0>{FloatConverter.regex})\Z": re.compile(FloatConverter.regex).fullmatch,
    rf"(?P<__werkzeug_0>{UUIDConverter.regex})\Z": re.compile(UUIDConverter.regex).fullmatch,
    # PERF: lazy up to the end of the text is greedy, which takes two thirds of the time.
    r"(?P<__werkzeug_0>[^/].*?)\Z": re.compile(r"[^/].*").fullmatch,
}
#: What is left of a path after all of it but its last slash was consumed.
_SLASH = ("",)


class AskWerkzeug(Exception):
    """The answer is a redirect, or something else that only Werkzeug's adapter gives."""


class Leaf:
    """A rule at the end of its path, with what its match needs."""

    __slots__ = ("converts", "names", "redirects", "rivals", "rule")

    def __init__(self, rule: Rule, rivals: tuple[Rule, ...]) -> None:
        self.rule = rule
        #: Names of the view arguments, in the order in which the path gives their values. A
        #: name given twice counts once, as Werkzeug has it, and takes the first value.
        self.names = tuple(map(str, rule._converters))
        #: The conversions that do something.
        self.converts = tuple(
            (str(name), to_python)
            for name, converter in rule._converters.items()
            if (to_python := _to_python(converter)) is not None
        )
        #: A match of it always ends in a redirect.
        self.redirects = rule.redirect_to is not None or (rule.alias and rule.map.redirect_defaults)
        #: Rules whose URL is the canonical one for some of this rule's values.
        self.rivals = rivals

    @property
    def plain(self) -> bool:
        """Whether the path alone answers: no arguments, no redirect, a plain HTTP rule."""
        rule = self.rule
        return not (self.names or self.redirects or self.rivals or rule.defaults or rule.websocket)


class Way:
    """A dynamic transition: what a segment (or the whole rest) must look like, and where to."""

    __slots__ = ("final", "last", "node", "part", "pick", "suffixed", "test")

    def __init__(self, part: RulePart, node: Node, last: bool) -> None:
        self.part = part
        self.node = node
        #: No other way is tried after this one.
        self.last = last
        #: It consumes the rest of the path, slashes included.
        self.final = part.final
        #: The last group tells whether the text ended in a slash.
        self.suffixed = part.suffixed
        #: Gives something true for a text that fits.
        self.test: t.Callable[[str], t.Any]
        #: Gives the values out of the match; None: the text itself is the value.
        self.pick: t.Callable[[t.Any], tuple[str, ...]] | None
        self.test, self.pick = _segment_test(part)


class Node:
    """What may follow after some segments of a path."""

    __slots__ = ("leaves", "static", "ways")

    def __init__(self) -> None:
        self.static: dict[str, Node] = {}
        self.ways: tuple[Way, ...] = ()
        self.leaves: tuple[Leaf, ...] = ()


def compile_tree(state: State, rivals: t.Callable[[Rule], tuple[Rule, ...]]) -> Node:
    """Lay out one of Werkzeug's states and all below it.

    :param rivals: Tells the rules that may be canonical for a rule's values.
    """
    node = Node()
    node.static = {text: compile_tree(child, rivals) for text, child in list(state.static.items())}
    dynamic = list(state.dynamic)
    node.ways = tuple(
        Way(part, compile_tree(child, rivals), last=number == len(dynamic))
        for number, (part, child) in enumerate(dynamic, start=1)
    )
    node.leaves = tuple(Leaf(rule, rivals(rule)) for rule in list(state.rules))
    return node


def static_paths(node: Node, path: str = "") -> t.Iterator[tuple[str, dict[str, Rule]]]:
    """Every path below *node* that has no dynamic segment, as a server sends it, and its rules
    by method.

    Only those where each rule is plain, so that the first with the method is the answer. No
    path is matched with two slashes in front: Werkzeug makes them one first.
    """
    if node.leaves and all(map(_is_plain_leaf, node.leaves)) and path[:2] != "//":
        by_method: dict[str, Rule] = {}
        for leaf in node.leaves:
            for method in leaf.rule.methods or ():
                by_method.setdefault(method, leaf.rule)
        yield path.encode().decode("latin1"), by_method
    for text, child in node.static.items():
        yield from static_paths(child, f"{path}/{text}")


def _is_plain_leaf(leaf: Leaf) -> bool:
    return leaf.plain and leaf.rule.methods is not None


class Ending(t.NamedTuple):
    """A segment that ends a path after static text: the commonest dynamic rule."""

    test: t.Callable[[str], t.Any]
    rule: Rule
    name: str
    to_python: t.Callable[[str], t.Any]


def endings(node: Node, path: str = "") -> t.Iterator[tuple[str, tuple[Node, tuple[Ending, ...]]]]:
    """For each static path below *node*, what may end it in one more segment.

    A static path is tried before all else, so what is found here is what :func:`find` finds.
    Each is listed up to the first way that takes more thought than a test and a conversion.
    """
    simple = tuple(map(_ending, takewhile(_is_ending, node.ways)))
    if simple and f"{path}/"[:2] != "//":
        yield path.encode().decode("latin1"), (node, simple)
    for text, child in node.static.items():
        yield from endings(child, f"{path}/{text}")


def _is_ending(way: Way) -> bool:
    if way.pick is not None or len(way.node.leaves) != 1:
        return False
    leaf = way.node.leaves[0]
    if leaf.redirects or leaf.rivals or leaf.rule.defaults or leaf.rule.websocket:
        return False
    return len(leaf.names) == 1 and all(_makes_value(to) for _, to in leaf.converts)


def _makes_value(to_python: t.Callable[[str], t.Any]) -> bool:
    return to_python in (int, float) or to_python is uuid.UUID


def _ending(way: Way) -> Ending:
    leaf = way.node.leaves[0]
    to_python = leaf.converts[0][1] if leaf.converts else str
    return Ending(way.test, leaf.rule, leaf.names[0], to_python)


def find(
    node: Node,
    parts: t.Sequence[str],
    at: int,
    values: tuple[str, ...],
    method: str,
    missed: list[Rule],
) -> tuple[Leaf, tuple[str, ...]] | None:
    """The first leaf that the segments from *at* on lead to, and the values met on the way.

    PERF: where nothing is left to try after a way, the walk goes on in the loop instead of
    calling itself: most paths are found in one call, whatever their length.

    :param missed: Collects rules at this path that do not take the method (or are WebSocket's).
    :raises AskWerkzeug: The path lacks the slash that a strict rule ends with.
    """
    rest: t.Sequence[str]
    end = len(parts)
    while at < end:
        part = parts[at]
        at += 1
        child = node.static.get(part)
        if child is not None:
            if not node.ways and (part or not node.leaves):
                node = child
                continue
            if (found := find(child, parts, at, values, method, missed)) is not None:
                return found
        for way in node.ways:
            text = "/".join(parts[at - 1 :]) if way.final else part
            if not (match := way.test(text)):
                continue
            if way.final:
                rest, begin = _SLASH if way.suffixed and match[match.re.groups] else (), 0
            else:
                rest, begin = parts, at
            got = (*values, text) if way.pick is None else values + way.pick(match)
            if way.last and part:
                node, parts, at, values = way.node, rest, begin, got
                end = len(parts)
                break
            if (found := find(way.node, rest, begin, got, method, missed)) is not None:
                return found
        else:
            return _find_loose(node, values, method, missed) if not part and at == end else None
    for leaf in node.leaves:
        rule = leaf.rule
        if (rule.methods is None or method in rule.methods) and not rule.websocket:
            return leaf, values
        missed.append(rule)
    return _find_slash(node, values, method) if "" in node.static else None


def _find_slash(
    node: Node, values: tuple[str, ...], method: str
) -> tuple[Leaf, tuple[str, ...]] | None:
    """Look for a rule that has one slash more than the path."""
    for leaf in node.static[""].leaves:
        rule = leaf.rule
        if (rule.methods is None or method in rule.methods) and not rule.websocket:
            if rule.strict_slashes:
                raise AskWerkzeug
            return leaf, values
    return None


def _find_loose(
    node: Node, values: tuple[str, ...], method: str, missed: list[Rule]
) -> tuple[Leaf, tuple[str, ...]] | None:
    """Look for a rule that has one slash less than the path, and does not mind."""
    for leaf in node.leaves:
        rule = leaf.rule
        if rule.strict_slashes:
            continue
        if (rule.methods is None or method in rule.methods) and not rule.websocket:
            return leaf, values
        missed.append(rule)
    return None


def describe(node: Node, indent: str = "") -> t.Iterator[str]:
    """Show a tree, a line for each segment and each rule, in the order in which they are tried."""
    for leaf in node.leaves:
        rule = leaf.rule
        methods = "any method" if rule.methods is None else " ".join(sorted(rule.methods))
        remark = ", redirects" if leaf.redirects else ", WebSocket" if rule.websocket else ""
        yield f"{indent}= {rule.endpoint}({', '.join(leaf.names)}) [{methods}{remark}]"
    for text, child in node.static.items():
        yield f"{indent}/{text}"
        yield from describe(child, indent + "  ")
    for way in node.ways:
        pattern = re.sub(r"\?P<__werkzeug_\d+>", "", way.part.content).removesuffix(r"\Z")
        yield f"{indent}/{pattern}" + (" to the end" if way.final else "")
        yield from describe(way.node, indent + "  ")


def _segment_test(
    part: RulePart,
) -> tuple[t.Callable[[str], t.Any], t.Callable[[t.Any], tuple[str, ...]] | None]:
    """How to test a text against a part, and how to get the values out."""
    if part.content in _SEGMENT_TESTS:
        return _SEGMENT_TESTS[part.content], None
    try:
        pattern = re.compile(part.content)
        wanted = sorted(
            (int(name.removeprefix("__werkzeug_")), index)
            for name, index in pattern.groupindex.items()
            if name.startswith("__werkzeug_")
        )
    except Exception:
        # A broken converter fails where Werkzeug meets it, in its own request. Not all it may be is
        # an error of patterns: a number out of range, a warning made an error.
        return _ask, re.Match.groups
    if len(wanted) == pattern.groups:
        return pattern.match, re.Match.groups
    indexes = tuple(index for _, index in wanted)
    return pattern.match, lambda match: tuple(match[index] for index in indexes)


def _ask(text: str) -> t.NoReturn:
    raise AskWerkzeug


def _to_python(converter: BaseConverter) -> t.Callable[[str], t.Any] | None:
    """The cheapest function that does what the converter's ``to_python`` does; None: nothing.

    PERF: ``int`` itself takes half the time of the converter around it. Too many digits make it
    a ValueError, which the caller leaves to Werkzeug.
    """
    # A class that is none of Werkzeug's may have no such method, and fails in its own request.
    method = getattr(getattr(converter, "to_python", None), "__func__", None)
    if method is BaseConverter.to_python:
        return None
    if method is UUIDConverter.to_python:
        return uuid.UUID
    if (
        method is NumberConverter.to_python
        and type(converter) in (IntegerConverter, FloatConverter)
        and isinstance(converter, NumberConverter)
    ):
        if converter.fixed_digits or converter.min is not None or converter.max is not None:
            return converter.to_python
        return t.cast(t.Callable[[str], t.Any], converter.num_convert)
    # Looked up each time: a test may have put something in its place.
    return lambda text: converter.to_python(text)
