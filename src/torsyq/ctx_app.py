"""The application context: what is current while an app works, in a request or outside of one."""

from __future__ import annotations

import sys
import typing as t
from contextvars import ContextVar
from contextvars import Token
from types import TracebackType

from .globals import _current_app_or_none
from .globals import _cv_app
from .globals import _cv_pushed_app
from .globals import _pushed_app_context
from .lazy import lazy
from .lazy import shared
from .signals import appcontext_popped
from .signals import appcontext_pushed

if t.TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

    from .app import Flask
    from .workers import Seat

# Tells "no exception was given" from "there was none".
_sentinel = object()

# The pushes of a context that is current because its request is.
_WITH_REQUEST: tuple[t.Any, None] = None, None

_enter_app_context = _cv_pushed_app.set
_leave_app_context = _cv_pushed_app.reset


class _AppCtxGlobals:
    """The plain namespace behind ``g``, for the length of an application context.

    Attributes are set and read freely; ``in`` and iteration speak of their names.

    Example::

        def get_db():
            if "db" not in g:
                g.db = connect()
            return g.db
    """

    if t.TYPE_CHECKING:

        def __setattr__(self, name: str, value: t.Any) -> None: ...

    def __getattr__(self, name: str) -> t.Any:
        # COMPAT: a class of the app's own (app_ctx_globals_class) may call it on super().
        if name not in self.__dict__:
            raise AttributeError(name)
        return self.__dict__[name]

    def __delattr__(self, name: str) -> None:
        try:
            del self.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None

    def get(self, name: str, default: t.Any | None = None) -> t.Any:
        """The attribute *name*, or *default* where there is none."""
        return self.__dict__.get(name, default)

    def pop(self, name: str, default: t.Any = _sentinel) -> t.Any:
        """Take the attribute *name* away and return it.

        :raises KeyError: it is not there and no *default* was given.
        """
        if default is _sentinel:
            return self.__dict__.pop(name)
        return self.__dict__.pop(name, default)

    def setdefault(self, name: str, default: t.Any = None) -> t.Any:
        """The attribute *name*, set to *default* first where there is none."""
        return self.__dict__.setdefault(name, default)

    def __contains__(self, item: str) -> bool:
        return item in self.__dict__

    def __iter__(self) -> t.Iterator[str]:
        return iter(self.__dict__)

    def __repr__(self) -> str:
        app = _current_app_or_none()
        return object.__repr__(self) if app is None else f"<flask.g of '{app.name}'>"


def _not_pushed(current: ContextVar[t.Any]) -> t.NoReturn:
    """Refuse to pop a context once more than it was pushed, with the errors that Flask raises."""
    current.get()
    raise IndexError("This context is popped more often than it was pushed.")


def _popped_wrong(kind: str, current: object, popped: object) -> AssertionError:
    return AssertionError(f"Popped wrong {kind} context. ({current!r} instead of {popped!r})")


def _chain(push: tuple[t.Any, ...] | None) -> list[tuple[t.Any, ...]]:
    """The pushes of a context, the first one first."""
    return [] if push is None else [*_chain(push[-1]), push]


class _Pushable:
    """What ``with`` and ``async with`` push and pop."""

    # The thread that sync functions keep to in a walk on the event loop.
    _seat: Seat | None = None
    # Whether it is on the event loop, with no view and no sync function begun: it holds nothing
    # that others may wait for.
    _is_new = False

    if t.TYPE_CHECKING:

        def push(self) -> None: ...

        async def push_async(self) -> None: ...

        def pop(self, exc: BaseException | None = ...) -> None: ...

        async def pop_async(self, exc: BaseException | None = ...) -> None: ...

    def __enter__(self) -> t.Self:
        self.push()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.pop(exc_value)

    async def __aenter__(self) -> t.Self:
        await self.push_async()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.pop_async(exc_value)


class AppContext(_Pushable):
    """What is current while an app works, in a request or outside of one.

    Made by :meth:`.Flask.app_context`; ``with`` pushes and pops it. It may be pushed several
    times; the last pop runs the teardown functions.
    """

    # For each push the token to undo it with, and what was here before the push.
    _pushes: tuple[Token[AppContext], t.Any] | None = None

    def __init__(self, app: Flask) -> None:
        self.app = app
        if not app._known.plain_contexts:
            self.url_adapter = app.create_url_adapter(None)

    @property
    def _cv_tokens(self) -> list[Token[AppContext]]:
        # COMPAT: Flask keeps a list, and some count what is in it.
        return [push[0] for push in _chain(self._pushes)]

    @shared
    def g(self) -> _AppCtxGlobals:
        """The namespace that the ``g`` proxy reads through to."""
        return self.app.app_ctx_globals_class()

    @lazy
    def url_adapter(self) -> MapAdapter | None:
        """Builds URLs from ``SERVER_NAME``; None where that is not configured."""
        return self.app.create_url_adapter(None)

    def push(self) -> None:
        """Make this the current application context."""
        self._pushes = _enter_app_context(self), self._pushes
        if appcontext_pushed.receivers:
            appcontext_pushed.send(self.app, _async_wrapper=self.app.ensure_sync)

    async def push_async(self) -> None:
        """:meth:`push` on the event loop."""
        self._pushes = _enter_app_context(self), self._pushes
        if appcontext_pushed.receivers:
            await appcontext_pushed.send_async(self.app, _sync_wrapper=self.app._sync_wrapper)

    def _outlive_request(self) -> None:
        """Be current without the request, which is not any more, for as long as it takes to end.

        Where the request left another one pushed, that stays current, so that it is found below.
        """
        here = _enter_app_context(self) if _pushed_app_context(None) is None else None
        self._pushes = here, None  # type: ignore[assignment]

    def _leave(self) -> AppContext:
        """Make the context before this one current; give what was."""
        current = _pushed_app_context(None) or _not_pushed(_cv_app)
        # Read here: a teardown function may have pushed or popped it.
        token, self._pushes = self._pushes or _not_pushed(_cv_app)
        if self._pushes is None:
            # A task that goes on has this context, and is not to keep a thread.
            self._seat = None
        if token is None:
            # SECURITY: what a request left may not meet the next one, with what is in its g.
            _enter_app_context(None)
        else:
            _leave_app_context(token)
        return current

    def pop(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """Run the teardown functions and make the context before this one current again.

        :raises AssertionError: another context was pushed after this one and is still there.
        """
        if self._pushes is _WITH_REQUEST:
            self._outlive_request()
        pushes = self._pushes or _not_pushed(_cv_app)
        try:
            if pushes[1] is None:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                self.app.do_teardown_appcontext(exc)
        finally:
            current = self._leave()

        if current is not self:
            raise _popped_wrong("app", current, self)
        if appcontext_popped.receivers:
            appcontext_popped.send(self.app, _async_wrapper=self.app.ensure_sync)

    async def pop_async(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """:meth:`pop` on the event loop."""
        if self._pushes is _WITH_REQUEST:
            self._outlive_request()
        pushes = self._pushes or _not_pushed(_cv_app)
        try:
            if pushes[1] is None:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                await self.app.do_teardown_appcontext_async(exc)
        finally:
            current = self._leave()

        if current is not self:
            raise _popped_wrong("app", current, self)
        if appcontext_popped.receivers:
            await appcontext_popped.send_async(self.app, _sync_wrapper=self.app._sync_wrapper)
