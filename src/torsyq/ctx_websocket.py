"""What is current while a WebSocket is open: a request context that lasts as long as it does.

Since it is a request context, of the request that asked for the connection, ``g``, ``session``,
``url_for`` and what extensions make of ``request`` work in a WebSocket's view as in any other.
"""

from __future__ import annotations

import sys
import typing as t
from contextvars import Token
from functools import update_wrapper

from .ctx import _unseen
from .ctx import RequestContext
from .ctx_app import _not_pushed
from .ctx_app import _popped_wrong
from .ctx_app import _sentinel
from .globals import _current_request_context
from .globals import _cv_request
from .globals import _cv_websocket
from .loop import is_async

if t.TYPE_CHECKING:
    from . import typing as ft
    from .app import Flask
    from .ctx_app import AppContext
    from .sessions import SessionMixin
    from .websockets import Websocket

F = t.TypeVar("F", bound=t.Callable[..., t.Any])
T_after_websocket = t.TypeVar("T_after_websocket", bound="ft.AfterWebsocketCallable")


def has_websocket_context() -> bool:
    """Whether a WebSocket is being handled, so that ``websocket`` can be used."""
    return _cv_websocket.get(None) is not None


def after_this_websocket(f: T_after_websocket) -> T_after_websocket:
    """Have *f* called when the view of the present WebSocket has returned, and only of it.

    It gets, and returns, the response with which the connection is refused, or None.

    :raises RuntimeError: no WebSocket is being handled.
    """
    ctx = _cv_websocket.get(None)
    if ctx is None:
        raise RuntimeError(
            "'after_this_websocket' can only be used when a websocket"
            " context is active, such as in a websocket view function."
        )
    ctx._after_websocket_functions.append(f)
    return f


def copy_current_websocket_context(f: F) -> F:
    """Wrap *f* so that it runs in a copy of the present websocket context, wherever it is called.

    For a task or a thread that goes on when the view has returned, or that does not begin in the
    view's context. The copy shares the websocket and the session.

    :raises RuntimeError: no WebSocket is being handled.

    Example::

        @copy_current_websocket_context
        async def tick():
            await websocket.send("tick")

        asyncio.create_task(tick())
    """
    ctx = _cv_websocket.get(None)
    if ctx is None:
        raise RuntimeError(
            "'copy_current_websocket_context' can only be used when a"
            " websocket context is active, such as in a websocket view function."
        )
    copied = ctx.copy()

    async def awaited(*args: t.Any, **kwargs: t.Any) -> t.Any:
        async with copied.copy():
            return await f(*args, **kwargs)

    def called(*args: t.Any, **kwargs: t.Any) -> t.Any:
        with copied.copy():
            return f(*args, **kwargs)

    return update_wrapper(awaited if is_async(f) else called, f)  # type: ignore[return-value]


class WebsocketContext(RequestContext):
    """What is current while a WebSocket is being handled.

    Made by :meth:`.Flask.websocket_context`. Popping it runs the ``teardown_websocket``
    functions instead of the ``teardown_request`` functions.
    """

    def __init__(
        self, app: Flask, websocket: Websocket, session: SessionMixin | None = None
    ) -> None:
        request = websocket.request
        super().__init__(app, request.environ, request, session)
        self.websocket = websocket
        self._after_websocket_functions: list[ft.AfterWebsocketCallable] = []
        self._websocket_tokens: list[Token[WebsocketContext]] = []

    def copy(self) -> WebsocketContext:
        """A context of the same websocket and session, to be pushed in another task or thread."""
        return self.__class__(self.app, self.websocket, self._session)

    def push(self) -> None:
        """Make this the current websocket context, and the current request context."""
        self._websocket_tokens.append(_cv_websocket.set(self))
        super().push()

    async def push_async(self) -> None:
        """:meth:`push` on the event loop."""
        self._websocket_tokens.append(_cv_websocket.set(self))
        await super().push_async()

    def pop(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """Run the teardown functions and make the context before this one current again.

        :raises AssertionError: another context was pushed after this one and is still there.
        """
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        try:
            if self._pushes is not None and self._pushes[2] is None:
                self.app.ensure_sync(self.app.do_teardown_websocket)(exc)
        finally:
            current, app_ctx = self._leave(exc)
            if app_ctx is not None:
                app_ctx.pop(exc)
        self._check(current)

    async def pop_async(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """:meth:`pop` on the event loop."""
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        try:
            if self._pushes is not None and self._pushes[2] is None:
                await self.app.do_teardown_websocket(exc)
        finally:
            current, app_ctx = self._leave(exc)
            if app_ctx is not None:
                await app_ctx.pop_async(exc)
        self._check(current)

    def _leave(self, exc: BaseException | None) -> tuple[RequestContext, AppContext | None]:
        """Make the context before this one current; what was, and the app context to pop."""
        current = _current_request_context()
        token, app_ctx, self._pushes = self._pushes or _not_pushed(_cv_request)
        _cv_request.reset(token)
        _cv_websocket.reset(self._websocket_tokens.pop())
        if self._pushes is None:
            # As a request does it.
            self.request.environ["werkzeug.request"] = None
            error = self.request.routing_exception
            if error is not None and error is not exc:
                error.__traceback__ = error.__context__ = error.__cause__ = None
        return current, self._app_ctx if app_ctx is _unseen else app_ctx

    def _check(self, current: RequestContext) -> None:
        if current is not self:
            raise _popped_wrong("websocket", current, self)
