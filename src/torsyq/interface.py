"""WSGI or ASGI: which of them serves an app best, by what the app contains."""

from __future__ import annotations

import typing as t

from .calling import may_be_awaited
from .sansio.websockets import is_ours

if t.TYPE_CHECKING:
    from .app import Flask


#: What is found below, in the words of ``--help``.
CONTENTS = "WebSockets, streamed bodies, serving hooks or anything async"


def beyond_wsgi(app: Flask) -> list[str]:
    """What *app* contains that WSGI does not serve, or not fully."""
    found = {
        "WebSockets": any(map(is_ours, app.url_map.iter_rules())),
        "streamed bodies": app._streaming_rules,
        "serving hooks": app.before_serving_funcs
        or app.after_serving_funcs
        or app.while_serving_funcs,
    }
    return [name for name, is_there in found.items() if is_there]


def better_on_asgi(app: Flask) -> list[str]:
    """What *app* contains that ASGI serves better: that, and what is ``async def``.

    Example::

        >>> better_on_asgi(app)
        ['WebSockets', 'async views']
    """
    found = beyond_wsgi(app)
    if any(map(may_be_awaited, app.view_functions.values())):
        found.append("async views")
    elif any(map(may_be_awaited, app._functions())):
        found.append("async hooks")
    return found
