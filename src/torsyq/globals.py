"""The names that mean "the current one": ``current_app``, ``g``, ``request``, ``session``.

Context variables hold what is current; each name is a proxy that reads through to them.
To everyone who asks, the proxies are :class:`werkzeug.local.LocalProxy`, and everything not
spelled out here (operators, names that do not begin with a small letter) is answered by it. What
views do all the time, public attributes and the session's items, is answered by a plain method
instead of Werkzeug's generic descriptor.

PERF: ``request.method`` costs a fifth, ``session["k"]`` a quarter of what they cost through the
generic descriptor. ``__getattribute__`` and not ``__getattr__``, since failing the ordinary
look-up first, which makes an exception, costs four times the rest.
"""

from __future__ import annotations

import typing as t
from contextvars import ContextVar
from threading import local

from werkzeug.local import LocalProxy

if t.TYPE_CHECKING:
    from .app import Flask
    from .ctx import RequestContext
    from .ctx_app import _AppCtxGlobals
    from .ctx_app import AppContext
    from .ctx_websocket import WebsocketContext
    from .sessions import SessionMixin
    from .websockets import Websocket
    from .wrappers import Request

_no_app_msg = """\
Working outside of application context.

This typically means that you attempted to use functionality that needed
the current application. To solve this, set up an application context
with app.app_context(). See the documentation for more information.\
"""
_no_req_msg = """\
Working outside of request context.

This typically means that you attempted to use functionality that needed
an active HTTP request. Consult the documentation on testing for
information about how to avoid this problem.\
"""

_no_websocket_msg = """\
Working outside of websocket context.

This typically means that you attempted to use functionality that needed
an open WebSocket connection: in a view for HTTP requests, or in one for
WebSockets that a WSGI server called. WebSockets need an ASGI server.\
"""

# Tells "no default was given" from "the default is None".
_missing: t.Any = object()

# An application context that was pushed by itself. A request's is found by way of the request.
_cv_pushed_app: ContextVar[AppContext] = ContextVar("torsyq.app_ctx")
_cv_request: ContextVar[RequestContext] = ContextVar("torsyq.request_ctx")
_cv_websocket: ContextVar[WebsocketContext] = ContextVar("torsyq.websocket_ctx")

# PERF: bound once, as others are in ctx.py: what calls a method of an imported object binds it anew
# each time (3 % of a text's request in all).
_pushed_app_context = _cv_pushed_app.get
_current_request_context = _cv_request.get


class _CurrentAppContext:
    """A context variable, to everyone who asks, of the current application context.

    What was pushed by itself comes first: it was pushed later than the request that is current, or
    the request shares it.
    """

    name = _cv_pushed_app.name
    # COMPAT: Werkzeug's LocalProxy asks its class.
    __class__ = ContextVar  # type: ignore[assignment]

    set = _cv_pushed_app.set
    reset = _cv_pushed_app.reset

    def __repr__(self) -> str:
        return repr(_cv_pushed_app)

    def get(self, default: t.Any = _missing, /) -> t.Any:
        ctx = _pushed_app_context(None)
        if ctx is not None:
            return ctx
        request_ctx = _current_request_context(None)
        if request_ctx is not None:
            return request_ctx._app_ctx
        if default is _missing:
            raise LookupError(self)
        return default


_cv_app: ContextVar[AppContext] = _CurrentAppContext()  # type: ignore[assignment]
_current_app_context = _cv_app.get


def _current_app_or_none() -> Flask | None:
    ctx = _pushed_app_context(None) or _current_request_context(None)
    return None if ctx is None else ctx.app


def _current_app() -> Flask:
    ctx = _pushed_app_context(None) or _current_request_context(None)
    if ctx is None:
        raise RuntimeError(_no_app_msg)
    return ctx.app


def _current_g() -> _AppCtxGlobals:
    ctx = _current_app_context(None)
    if ctx is None:
        raise RuntimeError(_no_app_msg)
    return ctx.g


_own_attribute = object.__getattribute__


class _Missed(local):
    """The error that ``__getattribute__`` of a proxy ended in, until ``__getattr__`` was asked."""

    error: AttributeError | None = None


_missed = _Missed()


def _raise_missed(proxy: LocalProxy[t.Any], name: str) -> t.Any:
    """``__getattr__`` of a proxy, which Python calls after the error.

    What computed the attribute, and failed, is not run once more.
    """
    error, _missed.error = _missed.error, None
    if error is None or name < "a":
        return getattr(proxy._get_current_object(), name)
    try:
        raise error
    finally:
        # Its traceback holds this frame: without this, they hold each other.
        del error


class _CurrentApp(LocalProxy["Flask"]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name < "a":
            return _own_attribute(self, name)
        # PERF: _current_app() takes a quarter longer, and _current_g() below a third.
        ctx = _pushed_app_context(None) or _current_request_context(None)
        if ctx is None:
            raise RuntimeError(_no_app_msg)
        try:
            return getattr(ctx.app, name)
        except AttributeError as error:
            _missed.error = error
            raise


class _G(LocalProxy["_AppCtxGlobals"]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name < "a":
            return _own_attribute(self, name)
        ctx = _pushed_app_context(None)
        if ctx is None:
            request_ctx = _current_request_context(None)
            if request_ctx is None:
                raise RuntimeError(_no_app_msg)
            ctx = request_ctx._app_ctx
        try:
            return getattr(ctx.g, name)
        except AttributeError as error:
            _missed.error = error
            raise

    def __setattr__(self, name: str, value: t.Any) -> None:
        setattr(_current_g(), name, value)

    def __contains__(self, name: str) -> bool:
        return name in _current_g()


class _CurrentRequest(LocalProxy["Request"]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name < "a":
            return _own_attribute(self, name)
        try:
            ctx = _cv_request.get()
        except LookupError:
            raise RuntimeError(_no_req_msg) from None
        try:
            return getattr(ctx.request, name)
        except AttributeError as error:
            _missed.error = error
            raise


class _CurrentSession(LocalProxy["SessionMixin"]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name < "a":
            return _own_attribute(self, name)
        try:
            ctx = _cv_request.get()
        except LookupError:
            raise RuntimeError(_no_req_msg) from None
        try:
            return getattr(ctx.session, name)
        except AttributeError as error:
            _missed.error = error
            raise

    def __getitem__(self, key: str) -> t.Any:
        try:
            ctx = _cv_request.get()
        except LookupError:
            raise RuntimeError(_no_req_msg) from None
        return ctx.session[key]

    def __setitem__(self, key: str, value: t.Any) -> None:
        self._get_current_object()[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._get_current_object()


class _CurrentWebsocket(LocalProxy["Websocket"]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> t.Any:
        if name < "a":
            return _own_attribute(self, name)
        try:
            ctx = _cv_websocket.get()
        except LookupError:
            raise RuntimeError(_no_websocket_msg) from None
        try:
            return getattr(ctx.websocket, name)
        except AttributeError as error:
            _missed.error = error
            raise

    def __aiter__(self) -> t.AsyncIterator[str | bytes]:
        return aiter(self._get_current_object())


for _class in _CurrentApp, _G, _CurrentRequest, _CurrentSession, _CurrentWebsocket:
    # COMPAT: an unbound proxy shows itself as "<LocalProxy unbound>", `type(request)` as Werkzeug's
    # class; `request.__doc__` is that of the request.
    _class.__name__ = _class.__qualname__ = "LocalProxy"
    _class.__module__ = LocalProxy.__module__
    _class.__doc__ = vars(LocalProxy)["__doc__"]
    _class.__getattr__ = _raise_missed  # type: ignore[assignment]

app_ctx: AppContext = LocalProxy(_cv_app, unbound_message=_no_app_msg)  # type: ignore[assignment]
current_app: Flask = _CurrentApp(_current_app)  # type: ignore[assignment]
g: _AppCtxGlobals = _G(_current_g)  # type: ignore[assignment]

request_ctx: RequestContext = LocalProxy(_cv_request, unbound_message=_no_req_msg)  # type: ignore[assignment]
request: Request = _CurrentRequest(_cv_request, "request", unbound_message=_no_req_msg)  # type: ignore[assignment,arg-type]
session: SessionMixin = _CurrentSession(_cv_request, "session", unbound_message=_no_req_msg)  # type: ignore[assignment,arg-type]

websocket_ctx: WebsocketContext = LocalProxy(_cv_websocket, unbound_message=_no_websocket_msg)  # type: ignore[assignment]
websocket: Websocket = _CurrentWebsocket(  # type: ignore[assignment]
    _cv_websocket,  # type: ignore[arg-type]
    "websocket",
    unbound_message=_no_websocket_msg,
)
