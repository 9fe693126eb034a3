"""Rules with several ``path`` parts, matched in time linear in the path.

A ``path`` converter's pattern is lazy: ``[^/].*?``. Between two of them, as in
``/<path:a>/to/<path:b>/end``, every place where the first may stop is tried together with every
place where the second may stop: the time is quadratic in the path's length, cubic for three,
and a client chooses the path.

Where only literal text, or whole segments of text or digits, stand between two ``path`` parts,
that search is needless. If the rest of the rule fits after some place where the first part may
stop, it fits after the earliest such place too, since the second part can take in what lies
between. So the earliest place settles it, and an atomic group says so. One exception keeps
other tries alive: ``.`` does not match a newline, but ``[^/]`` does, so what must hold a newline
(a segment in between, the first character of the next part) cannot be moved forward. There are
no more such places in a line than segments in between.

The patterns are changed in the rule before Werkzeug's matcher takes it, hence both matchers have
them; what matches, and with what values, stays the same. Other converters in between (one's own,
or several in one segment) keep Werkzeug's pattern and its cost.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from werkzeug.routing import Rule
from werkzeug.routing.matcher import State
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.routing.rules import RulePart

_PATH_GROUP = re.compile(r"\(\?P<(__werkzeug_\d+)>\[\^/\]\.\*\?\)")
#: The group of a ``string``, ``int`` or ``float`` converter.
_SEGMENT_GROUP = re.compile(
    r"\(\?P<__werkzeug_\d+>(\[\^/\]\{\d+(?:,\d*)?\}|(?:-\?)?\\d\+(?:\\\.\\d\+)?)\)"
)
#: What has one length only from where it begins: escaped or harmless characters, and such groups
#: as fill a whole segment.
_SETTLED = re.compile(
    rf"(?:\\[^\w\n]|[^\\()\[\]{{}}*+?|.^$\n]|(?<=/){_SEGMENT_GROUP.pattern}(?=/))+"
)


class LinearMatcher(StateMachineMatcher):
    """Werkzeug's matcher, with the patterns of the rules it gets made linear.

    Other threads may match while one adds rules and sorts, each of which has the map's lock.
    """

    def add(self, rule: Rule) -> None:
        rule._parts = [linear_part(part) for part in rule._parts]
        super().add(rule)

    def update(self) -> None:
        """Sort what was added; see :meth:`torsyq.routing.Map.update`."""
        _sort(self._root)


def _sort(state: State) -> None:
    # Not in place: a list is empty while it is sorted, and nothing would match.
    state.dynamic = sorted(state.dynamic, key=_weight_of)
    for child in state.static.values():
        _sort(child)
    for _, child in state.dynamic:
        _sort(child)


def _weight_of(transition: tuple[RulePart, State]) -> t.Any:
    return transition[0].weight


def linear_part(part: RulePart) -> RulePart:
    """The same part, without the search between two ``path`` groups where it is needless."""
    if not part.final or len(_PATH_GROUP.findall(part.content)) < 2:
        return part
    # Before, name, between, name, ..., after.
    pieces = _PATH_GROUP.split(part.content)
    content = pieces[0]
    for number in range(1, len(pieces), 2):
        name, after = pieces[number : number + 2]
        stop = ".*?"
        if number + 2 < len(pieces) and _SETTLED.fullmatch(after):
            between = _SEGMENT_GROUP.sub(r"(?:\1)", after)
            one_line = between.replace("[^/]", r"[^/\n]")
            stop = rf"(?:(?>.*?(?={between}[^/]))|.*?(?={between}[^/])(?!{one_line}[^/\n]))"
        content += f"(?P<{name}>[^/]{stop}){after}"
    return replace(part, content=content)
