"""Rules with several ``path`` parts, matched in time linear in the path.

A ``path`` converter's pattern is lazy: ``[^/].*?``. Between two of them, as in
``/<path:a>/to/<path:b>/end``, every place where the first may stop is tried together with every
place where the second may stop: the time is quadratic in the path's length, cubic for three,
and a client chooses the path.

Where only literal text stands between two ``path`` parts that search is needless. If the rest of
the rule fits after some place where the literal occurs, it fits after the first place too, since
the second part can take in what lies between. So the first place settles it, and an atomic group
says so. One exception keeps a second try alive: ``.`` does not match a newline but ``[^/]``, a
part's first character, does, so a part that must begin with a newline cannot be moved forward.

The patterns are changed in the rule before Werkzeug's matcher takes it, hence both matchers have
them; what matches, and with what values, stays the same.
"""

from __future__ import annotations

import re
from dataclasses import replace

from werkzeug.routing import Rule
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.routing.rules import RulePart

_PATH_GROUP = re.compile(r"\(\?P<(__werkzeug_\d+)>\[\^/\]\.\*\?\)")
#: Escaped or harmless characters only: a pattern that matches one text.
_LITERAL = re.compile(r"(?:\\[^\w\n]|[^\\()\[\]{}*+?|.^$\n])+")


class LinearMatcher(StateMachineMatcher):
    """Werkzeug's matcher, with the patterns of the rules it gets made linear."""

    def add(self, rule: Rule) -> None:
        rule._parts = [linear_part(part) for part in rule._parts]
        super().add(rule)


def linear_part(part: RulePart) -> RulePart:
    """The same part, with no search where two ``path`` groups have a literal between them."""
    if not part.final or len(_PATH_GROUP.findall(part.content)) < 2:
        return part
    # Before, name, between, name, ..., after.
    pieces = _PATH_GROUP.split(part.content)
    content = pieces[0]
    for name, after in zip(pieces[1::2], pieces[2::2], strict=True):
        if after is not pieces[-1] and _LITERAL.fullmatch(after):
            stop = rf"(?:(?>.*?(?={after}[^/]))|.*(?={after}\n))"
        else:
            stop = ".*?"
        content += f"(?P<{name}>[^/]{stop}){after}"
    return replace(part, content=content)
