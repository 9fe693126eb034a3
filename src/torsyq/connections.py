"""How many connections a server may hold open."""

from __future__ import annotations

import sys
from contextlib import suppress

#: Where files are unlimited; granian could not count as far.
MOST = 1 << 20

# Open files that are wanted where the system allows it: as many, or as macOS allows if not.
_WANTED = 65_536, 10_240


def most_connections() -> int:
    """How many connections this process may hold open: three quarters of its open files.

    The rest is for what the app opens. Granian, told of more than there can be, would try again and
    again to accept one. Where the system allows more open files than the process has been given, it
    takes them, and what it starts inherits that.
    """
    if sys.platform == "win32":
        return _WANTED[0]
    import resource

    kind, unlimited = resource.RLIMIT_NOFILE, resource.RLIM_INFINITY
    given, hard = resource.getrlimit(kind)
    if given == unlimited:
        return MOST
    for wanted in _WANTED:
        files = wanted if hard == unlimited else min(wanted, hard)
        if files > given:
            with suppress(OSError, ValueError):
                resource.setrlimit(kind, (files, hard))
                given = files
    return min(given, MOST) * 3 // 4
