"""The prepared builder: what :meth:`torsyq.routing.MapAdapter.build` fills in.

A :class:`Recipe` is a rule taken apart into literal text and slots, each slot with the cheapest
function that does what its converter's ``to_url`` does. The rules of an endpoint are tried in
Werkzeug's order under Werkzeug's conditions. An endpoint with a rule that cannot be taken apart (its class
overrides a part of building, its host varies, it is for WebSockets) has no recipes, and
Werkzeug builds its URLs.
"""

from __future__ import annotations

import re
import typing as t
from types import MethodType
from urllib.parse import quote
from urllib.parse import quote_plus

from werkzeug.routing import BaseConverter
from werkzeug.routing import Rule
from werkzeug.routing import RuleFactory
from werkzeug.routing import ValidationError
from werkzeug.routing.converters import NumberConverter

if t.TYPE_CHECKING:
    from werkzeug.routing import Map

_Build = t.Callable[..., tuple[str, str]]

#: Characters kept as they are in a path and in a query, as Werkzeug has them (WHATWG URL).
_SAFE_IN_PATH = "!$&'()*+,/:;=@"
_SAFE_IN_QUERY = "!$'()*,/:;?@"
_is_safe_in_path = re.compile(rf"[\w.~{re.escape(_SAFE_IN_PATH)}-]*", re.ASCII).fullmatch
#: A name, the sign, and a value that need no quoting, or only a plus sign for each space.
_is_safe_pair = re.compile(
    "=".join([rf"[\w.~{re.escape(_SAFE_IN_QUERY)} -]*"] * 2), re.ASCII
).fullmatch

#: Methods that a rule's class may override to build in its own way.
_BUILDING = ("build", "suitable_for", "compile", "_compile_builder", "_encode_query_vars")

#: Names of converters that Werkzeug's builder can't be compiled with: an error when they are added.
_NO_ARGUMENTS = frozenset({"False", "None", "True", "__debug__"})


class BuiltLate(RuleFactory):
    """The rules of a *factory*; Werkzeug's builder of their URLs is compiled when one is asked for.

    PERF: compiling is nine tenths of adding a rule, and recipes build nearly all URLs. An app with
    1,000 routes starts in a seventh of the time, one with a single route in a third, and a rule takes
    a quarter less memory.
    """

    def __init__(self, factory: RuleFactory) -> None:
        self._factory = factory

    def get_rules(self, map: Map) -> t.Iterator[Rule]:  # noqa: A002
        """The rules, not yet bound to *map*."""
        for rule in self._factory.get_rules(map):
            if type(rule)._compile_builder is Rule._compile_builder:
                rule._compile_builder = MethodType(_late_builder, rule)  # type: ignore[method-assign]
            yield rule


def _late_builder(rule: Rule, append_unknown: bool = True) -> _Build:
    """What compiles the rule's builder, puts it in its own place, and calls it.

    Where compiling may fail (for a name that occurs twice, say) or ask a converter, that is done
    at once.
    """
    names = [text for is_slot, text in rule._trace if is_slot]
    if (
        rule.defaults
        or not f"{rule.rule}{rule.subdomain}{rule.host}".isascii()
        or not _NO_ARGUMENTS.isdisjoint(names)
        or len(names) != len(rule._converters)
    ):
        return Rule._compile_builder(rule, append_unknown)

    def build(rule: Rule, /, **values: t.Any) -> tuple[str, str]:
        built = MethodType(Rule._compile_builder(rule, append_unknown), rule)
        setattr(rule, "_build_unknown" if append_unknown else "_build", built)
        return t.cast("tuple[str, str]", built(**values))

    return build


class OddValues(Exception):
    """The values are of a kind that only Werkzeug's builder treats (or refuses) rightly."""


class Recipe:
    """How to build the URL of one rule."""

    __slots__ = ("defaults", "domain", "head", "known", "rule", "slots")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.defaults = dict(rule.defaults or {})
        #: The subdomain, and the text up to the first slot.
        self.domain, head, slots = _take_apart(rule)
        self.head = head.lstrip("/")
        #: Name, conversion to text, and the literal text after it, of each slot.
        self.slots = tuple(
            (name, _to_url(rule._converters[name]), literal) for name, literal in slots
        )
        #: The names that don't go into the query.
        self.known = frozenset(name for name, _, _ in self.slots) | self.defaults.keys()

    def path(self, values: dict[str, t.Any] | None, append_unknown: bool) -> str | None:
        """The path, without its slash, and query for *values*; None: the rule is not for them.

        :raises OddValues: Werkzeug has to look at them.
        """
        if not values:
            return None if self.slots else self.head
        if self.defaults and not self._suits(values):
            return None
        text = self.head
        try:
            for name, to_url, literal in self.slots:
                if (value := values.get(name)) is None:
                    return None
                text = f"{text}{to_url(value)}{literal}"
        except ValidationError:
            return None
        except Exception:
            # Of a rule that does not suit no value is converted in Werkzeug. It looks at the query
            # first, which may have an error of its own.
            if self._suits(values):
                raise OddValues from None
            return None
        if not self.head:
            text = text.lstrip("/")
        if len(values) > len(self.slots):
            if not append_unknown:
                raise OddValues
            text += self._query(values)
        return text

    def _suits(self, values: dict[str, t.Any]) -> bool:
        """Whether no value is missing or other than its default."""
        for name, _, _ in self.slots:
            if values.get(name) is None:
                return False
        for name, default in self.defaults.items():
            value = values.get(name)
            if value is not None and value != default:
                return False
        return True

    def _query(self, values: dict[str, t.Any]) -> str:
        """The values that are not in the path, as a query with its question mark."""
        pairs = []
        for name, value in values.items():
            if type(name) is not str:
                raise OddValues
            if value is None or name in self.known:
                continue
            if type(value) is int:
                value = str(value)
            elif type(value) is not str:
                raise OddValues
            # PERF: seeing that nothing needs quoting takes a sixth of quoting both.
            pair = f"{name}={value}"
            if not _is_safe_pair(pair):
                name = quote_plus(name, safe=_SAFE_IN_QUERY)
                pair = f"{name}={quote_plus(value, safe=_SAFE_IN_QUERY)}"
            pairs.append(pair)
        if not pairs:
            return ""
        if self.rule.map.sort_parameters:
            raise OddValues
        return "?" + "&".join(pairs).replace(" ", "+")


def recipes_for(rules: t.Iterable[Rule]) -> tuple[Recipe, ...]:
    """The recipes for the rules of an endpoint, in their order; none if one rule has no recipe."""
    rules = tuple(rules)
    return tuple(map(Recipe, rules)) if all(map(_has_recipe, rules)) else ()


def _has_recipe(rule: Rule) -> bool:
    kind = type(rule)
    if rule.map.host_matching or rule.websocket:
        return False
    if any(getattr(kind, name) is not getattr(Rule, name) for name in _BUILDING):
        return False
    if any(type(name) is not str for name in rule.defaults or ()):
        return False
    border = rule._trace.index((False, "|"))
    names = {text for is_slot, text in rule._trace[border:] if is_slot}
    if names.union(rule.defaults or ()) != rule.arguments:
        return False
    return not any(is_slot for is_slot, _ in rule._trace[:border])


def _take_apart(rule: Rule) -> tuple[str, str, list[tuple[str, str]]]:
    """The domain, the text up to the first slot, and each slot's name with the text after it."""
    domain = ""
    texts = [""]
    names: list[str] = []
    border = rule._trace.index((False, "|"))
    for position, (is_slot, text) in enumerate(rule._trace):
        if position == border:
            domain, texts = texts[0], [""]
        elif not is_slot:
            texts[-1] += quote(text, safe=_SAFE_IN_PATH)
        elif rule.defaults and text in rule.defaults:
            texts[-1] += rule._converters[text].to_url(rule.defaults[text])
        else:
            names.append(text)
            texts.append("")
    return domain, texts[0], list(zip(names, texts[1:], strict=True))


def _to_url(converter: BaseConverter) -> t.Callable[[t.Any], object]:
    """The cheapest function that does what the converter's ``to_url`` does.

    Its result is put into a format string, so a number will do where its text is wanted.
    """
    method = getattr(getattr(converter, "to_url", None), "__func__", None)
    if method is BaseConverter.to_url:
        return _path_text
    if (
        method is NumberConverter.to_url
        and isinstance(converter, NumberConverter)
        and converter.num_convert in (int, float)
        and not converter.fixed_digits
    ):
        return t.cast(t.Callable[[t.Any], object], converter.num_convert)
    # Joined, so that something other than text is the TypeError that it is in Werkzeug.
    return lambda value: "".join((converter.to_url(value),))


def _path_text(value: t.Any) -> str:
    """A value as part of a path. PERF: most texts need no quoting; finding out costs half of it."""
    text = value if type(value) is str else str(value)
    return text if _is_safe_in_path(text) else quote(text, safe=_SAFE_IN_PATH)
