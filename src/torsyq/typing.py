"""The shapes that views, hooks and processors may have, as types.

Torsyq annotates its own signatures with these names, and so can an application::

    from torsyq.typing import ResponseReturnValue

    @app.get("/")
    def index() -> ResponseReturnValue:
        return "hello", 200, {"X-Greeting": "yes"}

Every callable may be ``async def`` wherever the name allows an awaitable result.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from types import TracebackType

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from werkzeug.datastructures import Headers
    from werkzeug.sansio.response import Response

# COMPAT: tools read these at run time and compare them with Flask's (documentation, dependency
# injection), so they are plain unions with forward references, not ``type`` statements.

#: What a view may return as the body: a response, or something that becomes one.
ResponseValue = t.Union[
    "Response",
    str,
    bytes,
    list[t.Any],
    # Not ``dict``: a ``TypedDict`` is only a ``Mapping`` to type checkers.
    t.Mapping[str, t.Any],
    t.Iterator[str],
    t.Iterator[bytes],
    cabc.AsyncIterable[str],
    cabc.AsyncIterable[bytes],
]

#: The value of one header; several values send the header several times.
HeaderValue = str | list[str] | tuple[str, ...]

#: The headers a view may return beside a body.
HeadersValue = t.Union[
    "Headers",
    t.Mapping[str, HeaderValue],
    t.Sequence[tuple[str, HeaderValue]],
]

#: Everything a view may return.
ResponseReturnValue = t.Union[
    ResponseValue,
    tuple[ResponseValue, HeadersValue],
    tuple[ResponseValue, int],
    tuple[ResponseValue, int, HeadersValue],
    "WSGIApplication",
]

#: Any response class: an ``after_request`` function gives back the class it was given.
ResponseClass = t.TypeVar("ResponseClass", bound="Response")

#: ``None`` for the application, else the dotted name of a blueprint.
AppOrBlueprintKey = str | None

AfterRequestCallable = (
    t.Callable[[ResponseClass], ResponseClass]
    | t.Callable[[ResponseClass], t.Awaitable[ResponseClass]]
)
BeforeFirstRequestCallable = t.Callable[[], None] | t.Callable[[], t.Awaitable[None]]
BeforeRequestCallable = (
    t.Callable[[], ResponseReturnValue | None]
    | t.Callable[[], t.Awaitable[ResponseReturnValue | None]]
)
ShellContextProcessorCallable = t.Callable[[], dict[str, t.Any]]
TeardownCallable = (
    t.Callable[[BaseException | None], None] | t.Callable[[BaseException | None], t.Awaitable[None]]
)
TemplateContextProcessorCallable = (
    t.Callable[[], dict[str, t.Any]] | t.Callable[[], t.Awaitable[dict[str, t.Any]]]
)
TemplateFilterCallable = t.Callable[..., t.Any]
TemplateGlobalCallable = t.Callable[..., t.Any]
TemplateTestCallable = t.Callable[..., bool]
URLDefaultCallable = t.Callable[[str, dict[str, t.Any]], None]
URLValuePreprocessorCallable = t.Callable[[str | None, dict[str, t.Any] | None], None]

#: Its argument is ``Any``: a handler names the very exception it is registered for, and the
#: type system can't tie the two together through a decorator.
ErrorHandlerCallable = (
    t.Callable[[t.Any], ResponseReturnValue] | t.Callable[[t.Any], t.Awaitable[ResponseReturnValue]]
)
RouteCallable = (
    t.Callable[..., ResponseReturnValue] | t.Callable[..., t.Awaitable[ResponseReturnValue]]
)
WebsocketCallable = (
    t.Callable[..., ResponseReturnValue | None]
    | t.Callable[..., t.Awaitable[ResponseReturnValue | None]]
)
#: Gets the response that refuses the connection, or None, and returns the like.
AfterWebsocketCallable = t.Callable[[t.Any], t.Any]
#: What :func:`sys.exc_info` gives, as Flask has it.
ExcInfo = tuple[type, BaseException, TracebackType] | tuple[None, None, None]
