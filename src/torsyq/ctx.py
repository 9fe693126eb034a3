"""The two contexts: what is current while an app, and while a request, is being worked on.

A request pushes one :class:`RequestContext`, which brings an :class:`AppContext` with it unless
one of the same app is current already. What a context holds beside the app and the request (the
URL adapter, ``g``, the session) comes into being when it is first read.
"""

from __future__ import annotations

import sys
import typing as t
from contextvars import ContextVar
from contextvars import Token
from functools import update_wrapper
from operator import attrgetter
from types import TracebackType

from werkzeug.exceptions import HTTPException

from . import typing as ft
from .globals import _current_app_context
from .globals import _current_request_context
from .globals import _cv_app
from .globals import _cv_request
from .lazy import lazy
from .lazy import shared
from .loop import a_loop_runs
from .loop import is_async
from .passed_on import passed_on
from .signals import appcontext_popped
from .signals import appcontext_pushed
from .signals import appcontext_tearing_down
from .signals import request_tearing_down

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.routing import MapAdapter

    from .app import Flask
    from .sessions import SessionMixin
    from .workers import Seat
    from .wrappers import Request

F = t.TypeVar("F", bound=t.Callable[..., t.Any])

#: Where a request's environment keeps what is to begin when the request is over.
BACKGROUND = "torsyq.background"

# Tells "no exception was given" from "there was none".
_sentinel = object()

_new = object.__new__
_enter_app_context = _cv_app.set
_leave_app_context = _cv_app.reset
_enter_request_context = _cv_request.set
_leave_request_context = _cv_request.reset


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
        ctx = _current_app_context(None)
        return object.__repr__(self) if ctx is None else f"<flask.g of '{ctx.app.name}'>"


def _not_pushed(current: ContextVar[t.Any]) -> t.NoReturn:
    """Refuse to pop a context once more than it was pushed, with the errors that Flask raises."""
    current.get()
    raise IndexError("This context is popped more often than it was pushed.")


def _popped_wrong(kind: str, current: object, popped: object) -> AssertionError:
    return AssertionError(f"Popped wrong {kind} context. ({current!r} instead of {popped!r})")


def _chain(push: tuple[t.Any, ...] | None) -> list[tuple[t.Any, ...]]:
    """The pushes of a context, the first one first."""
    return [] if push is None else [*_chain(push[-1]), push]


def after_this_request(f: ft.AfterRequestCallable[t.Any]) -> ft.AfterRequestCallable[t.Any]:
    """Have *f* called with the response of the request that is being handled, and only of it.

    It returns the response to send, the same one or another.

    :raises RuntimeError: no request is being handled.

    Example::

        @app.get("/")
        def index():
            @after_this_request
            def tag(response):
                response.headers["X-Seen"] = "yes"
                return response

            return "hello"
    """
    ctx = _current_request_context(None)
    if ctx is None:
        raise RuntimeError(
            "'after_this_request' can only be used when a request"
            " context is active, such as in a view function."
        )
    ctx._after_request_functions.append(f)
    return f


def copy_current_request_context(f: F) -> F:
    """Wrap *f* so that it runs in a copy of the present request context, wherever it is called.

    For work handed to a thread, a greenlet or a task. The copy shares the request and the session.
    An ``async def`` is to be awaited where there is an event loop, and runs to its end elsewhere.

    :raises RuntimeError: no request is being handled.

    Example::

        @copy_current_request_context
        def work():
            log(request.path)

        threading.Thread(target=work).start()
    """
    ctx = _current_request_context(None)
    if ctx is None:
        raise RuntimeError(
            "'copy_current_request_context' can only be used when a"
            " request context is active, such as in a view function."
        )
    copied = ctx.copy()

    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        if is_async(f) and a_loop_runs():
            return twin(*args, **kwargs)
        with copied:
            return copied.app.ensure_sync(f)(*args, **kwargs)

    async def twin(*args: t.Any, **kwargs: t.Any) -> t.Any:
        # A copy for each call, since several may be under way at once.
        async with copied.copy():
            return await f(*args, **kwargs)

    if is_async(f):
        wrapper._twin = twin  # type: ignore[attr-defined]
    return update_wrapper(wrapper, f)  # type: ignore[return-value]


def begin_background(environ: WSGIEnvironment) -> None:
    """Begin what was asked for while the request of *environ* was handled, now that it is over."""
    for begin in environ.pop(BACKGROUND, ()):
        begin()


def has_request_context() -> bool:
    """Whether a request is being handled, so that ``request`` and ``session`` can be used."""
    return _current_request_context(None) is not None


def has_app_context() -> bool:
    """Whether an application context is pushed, so that ``current_app`` and ``g`` can be used."""
    return _current_app_context(None) is not None


class _Pushable:
    """What ``with`` and ``async with`` push and pop."""

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
    # The thread that sync functions keep to in a walk on the event loop.
    _seat: Seat | None = None

    def __init__(self, app: Flask) -> None:
        self.app = app
        if not app._plain_contexts:
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

    def pop(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """Run the teardown functions and make the context before this one current again.

        :raises AssertionError: another context was pushed after this one and is still there.
        """
        pushes = self._pushes or _not_pushed(_cv_app)
        try:
            if pushes[-1] is None:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                self.app.do_teardown_appcontext(exc)
        finally:
            current = _current_app_context()
            # Read again: a teardown function may have pushed or popped it.
            token, self._pushes = self._pushes or _not_pushed(_cv_app)
            _leave_app_context(token)

        if current is not self:
            raise _popped_wrong("app", current, self)
        if appcontext_popped.receivers:
            appcontext_popped.send(self.app, _async_wrapper=self.app.ensure_sync)

    async def pop_async(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """:meth:`pop` on the event loop."""
        pushes = self._pushes or _not_pushed(_cv_app)
        try:
            if pushes[-1] is None:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                await self.app.do_teardown_appcontext_async(exc)
        finally:
            current = _current_app_context()
            # Read again: a teardown function may have pushed or popped it.
            token, self._pushes = self._pushes or _not_pushed(_cv_app)
            _leave_app_context(token)

        if current is not self:
            raise _popped_wrong("app", current, self)
        if appcontext_popped.receivers:
            await appcontext_popped.send_async(self.app, _sync_wrapper=self.app._sync_wrapper)


class RequestContext(_Pushable):
    """What is current while a request is being handled: the request and its session.

    Made by :meth:`.Flask.request_context` from a WSGI environment, and by
    :meth:`.Flask.test_request_context`; ``with`` pushes and pops it. It may be pushed several
    times; the last pop runs the teardown functions.
    """

    _pushed = False
    #: The messages that were flashed; None until they are first read.
    flashes: list[tuple[str, str]] | None = None

    def __init__(
        self,
        app: Flask,
        environ: WSGIEnvironment,
        request: Request | None = None,
        session: SessionMixin | None = None,
    ) -> None:
        self.app = app
        if request is None:
            request = app.request_class(environ)
            request.json_module = app.json
        self.request = request
        self._after_request_functions: list[ft.AfterRequestCallable[t.Any]] = []
        self._pushes: tuple[Token[RequestContext], AppContext | None, t.Any] | None = None
        # PERF: flags, and not a look into __dict__, which makes a dict of the attributes.
        self._session_is_open = session is not None
        if session is not None:
            self._session = session
        # Whether the map may be asked without an adapter.
        # SECURITY: a request class may name the trusted hosts as well, and only the adapter asks.
        any_host = app.config["TRUSTED_HOSTS"] is None and request.trusted_hosts is None
        self._has_plain_url = app._plain_contexts and any_host
        if not self._has_plain_url:
            # Making the adapter has an effect someone can see: it may refuse the request.
            self.url_adapter  # noqa: B018

    @property
    def _cv_tokens(self) -> list[tuple[Token[RequestContext], AppContext | None]]:
        # COMPAT: Flask keeps a list, and some count what is in it.
        return [push[:2] for push in _chain(self._pushes)]

    @lazy
    def _url_adapter(self) -> MapAdapter | None:
        self._has_plain_url = False
        try:
            return self.app.create_url_adapter(self.request)
        except HTTPException as error:
            self.request.routing_exception = error
            return None

    def _set_url_adapter(self, adapter: MapAdapter | None) -> None:
        # COMPAT: one that is set before the context is pushed matches the request.
        self._has_plain_url = False
        self._url_adapter = adapter

    #: Matches the request's URL, and builds others relative to it.
    # PERF: read in C, for url_for().
    url_adapter = t.cast(
        "MapAdapter | None", property(attrgetter("_url_adapter"), _set_url_adapter)
    )

    @property
    def session(self) -> SessionMixin:
        """The session, opened by the app's session interface and marked as accessed.

        :raises AssertionError: the context has not been pushed yet.
        """
        if not self._session_is_open and self._pushed:
            self.__dict__.setdefault("_session", self._open_session())
        session = self._session if self._session_is_open else None
        if session is None:
            raise AssertionError("The session has not yet been opened.")
        session.accessed = True
        return session

    def _open_session(self) -> SessionMixin | None:
        interface = self.app.session_interface
        session = interface.open_session(self.app, self.request)
        if session is None:
            session = interface.make_null_session(self.app)
        self._session_is_open = True
        return session

    def _open_session_at_once(self) -> None:
        if self.__dict__.get("_session") is None:
            # Until it is open there is none, and after a failure: it is not tried again, since
            # its store may be what fails, after a long wait.
            self._session_is_open = True
            self._session = None
            self._session = self._open_session()

    # The session without marking it as accessed, opened when first read.
    _session = shared(_open_session)

    def copy(self) -> RequestContext:
        """A context of the same request and session, to be pushed in another thread.

        See :func:`copy_current_request_context`.
        """
        session = self._session if self._pushed or self._session_is_open else None
        return self.__class__(
            self.app, environ=self.request.environ, request=self.request, session=session
        )

    def match_request(self) -> None:
        """Find the request's rule and view arguments, or keep the error for dispatching."""
        request = self.request
        try:
            found = None
            if self._has_plain_url:
                # The constructor saw that the map is ours; of an odd host it tells nothing.
                found = self.app.url_map.lookup(request.environ)  # type: ignore[attr-defined]
            if found is None and self.url_adapter is not None:
                found = self.url_adapter.match(return_rule=True)
            if found is not None:
                request.url_rule, request.view_args = found
        except HTTPException as error:
            request.routing_exception = error

    def push(self) -> None:
        """Make this the current request context, with an application context beneath it.

        Opens the session and matches the URL.
        """
        app = self.app
        current = _current_app_context(None)
        if current is not None and current.app is app:
            app_ctx = None
        elif app._plain_contexts:
            # PERF: app.app_context(), AppContext(app) and its push, inlined (3 Python calls of 23).
            app_ctx = _new(AppContext)
            app_ctx.app = app
            app_ctx._pushes = _enter_app_context(app_ctx), None
            if appcontext_pushed.receivers:
                appcontext_pushed.send(app, _async_wrapper=app.ensure_sync)
        else:
            app_ctx = app.app_context()
            app_ctx.push()

        self._pushes = _enter_request_context(self), app_ctx, self._pushes
        self._pushed = True
        # COMPAT: some extensions set an interface that derives from nothing.
        if not getattr(app.session_interface, "_lazy", False):
            self._open_session_at_once()
        if self.request.routing_exception is None:
            self.match_request()

    async def push_async(self) -> None:
        """:meth:`push` on the event loop."""
        app = self.app
        current = _current_app_context(None)
        if current is not None and current.app is app:
            app_ctx = None
        elif app._plain_contexts:
            # PERF: app.app_context(), AppContext(app) and its push, inlined (3 Python calls of 23).
            app_ctx = _new(AppContext)
            app_ctx.app = app
            app_ctx._pushes = _enter_app_context(app_ctx), None
            if appcontext_pushed.receivers:
                await appcontext_pushed.send_async(app, _sync_wrapper=app._sync_wrapper)
        else:
            app_ctx = app.app_context()
            await app_ctx.push_async()

        self._pushes = _enter_request_context(self), app_ctx, self._pushes
        self._pushed = True
        # COMPAT: some extensions set an interface that derives from nothing.
        if not getattr(app.session_interface, "_lazy", False):
            # It may wait for a disk or a server.
            await app._call(self._open_session_at_once)
        if self.request.routing_exception is None and self.request.url_rule is None:
            self.match_request()

    def pop(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """Run the teardown functions and make the context before this one current again.

        The application context pushed with it is popped with it.

        :raises AssertionError: another context was pushed after this one and is still there.
        """
        pushes = self._pushes or _not_pushed(_cv_request)
        is_last = pushes[-1] is None
        request = self.request
        try:
            if is_last:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                try:
                    self.app.do_teardown_request(exc)
                finally:
                    if request._to_close:
                        request.close()
        finally:
            current = _current_request_context()
            # Read again: a teardown function may have pushed or popped it.
            token, app_ctx, self._pushes = self._pushes or _not_pushed(_cv_request)
            _leave_request_context(token)
            if is_last:
                # What the request holds and is held by would wait for the collector.
                environ = request.environ
                environ["werkzeug.request"] = None
                error = request.routing_exception
                if error is not None and error is not exc:
                    error.__traceback__ = error.__context__ = error.__cause__ = None
                if BACKGROUND in environ and "asgi.scope" not in environ:
                    begin_background(environ)
            if app_ctx is not None:
                app_ctx.pop(exc)
            if current is not self:
                raise _popped_wrong("request", current, self)

    async def pop_async(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """:meth:`pop` on the event loop."""
        pushes = self._pushes or _not_pushed(_cv_request)
        is_last = pushes[-1] is None
        app, request = self.app, self.request
        try:
            if is_last:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                try:
                    # PERF: no coroutine of what has nothing to do, here and below: 2 % of a request.
                    if app.teardown_request_funcs or request_tearing_down.receivers:
                        await app.do_teardown_request_async(exc)
                finally:
                    if request._to_close:
                        request.close()
        finally:
            current = _current_request_context()
            # Read again: a teardown function may have pushed or popped it.
            token, app_ctx, self._pushes = self._pushes or _not_pushed(_cv_request)
            _leave_request_context(token)
            if is_last:
                # What the request holds and is held by would wait for the collector.
                environ = request.environ
                environ["werkzeug.request"] = None
                error = request.routing_exception
                if error is not None and error is not exc:
                    error.__traceback__ = error.__context__ = error.__cause__ = None
                if BACKGROUND in environ and "asgi.scope" not in environ:
                    begin_background(environ)
            if app_ctx is not None:
                if (
                    app.teardown_appcontext_funcs
                    or appcontext_tearing_down.receivers
                    or appcontext_popped.receivers
                ):
                    await app_ctx.pop_async(exc)
                else:
                    app_ctx.pop(exc)
            if current is not self:
                raise _popped_wrong("request", current, self)

    def __repr__(self) -> str:
        kind, request = type(self).__name__, self.request
        return f"<{kind} {request.url!r} [{request.method}] of {self.app.name}>"


__getattr__ = passed_on(__name__)
