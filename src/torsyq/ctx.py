"""The request context: what is current while a request is being worked on.

It brings an :class:`.AppContext` with it unless one of the same app is current already. That, and
what a context holds beside the app and the request (the URL adapter, ``g``, the session), comes
into being when it is first read.
"""

from __future__ import annotations

import sys
import typing as t
from contextvars import Token
from functools import update_wrapper
from operator import attrgetter

from werkzeug.exceptions import HTTPException

from . import typing as ft
from .ctx_app import _AppCtxGlobals as _AppCtxGlobals
from .ctx_app import _chain
from .ctx_app import _not_pushed
from .ctx_app import _popped_wrong
from .ctx_app import _Pushable
from .ctx_app import _sentinel
from .ctx_app import _WITH_REQUEST
from .ctx_app import AppContext as AppContext
from .globals import _current_app_context
from .globals import _current_app_or_none
from .globals import _current_request_context
from .globals import _cv_request
from .globals import _cv_websocket
from .globals import _pushed_app_context
from .lazy import lazy
from .lazy import shared
from .loop import a_loop_runs
from .loop import is_async
from .loop import set_twin
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
    from .wrappers import Request

F = t.TypeVar("F", bound=t.Callable[..., t.Any])

#: Where the environment of a request over ASGI keeps what is to begin when the request is over,
#: and where it tells whether it is under way. There is neither under WSGI.
BACKGROUND = "torsyq.background"
UNDER_WAY = "torsyq.under_way"

# Stands for the application context of a request that nobody has looked at yet.
_unseen: t.Any = object()

_enter_request_context = _cv_request.set
_leave_request_context = _cv_request.reset


def after_this_request(f: ft.AfterRequestCallable[t.Any]) -> ft.AfterRequestCallable[t.Any]:
    """Have *f* called with the response of the request that is being handled, and only of it.

    It returns the response to send, the same one or another.

    :raises RuntimeError: no request is being handled, or a WebSocket is.

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
    if _cv_websocket.get(None) is ctx:
        raise RuntimeError(
            "'after_this_request' was used in a WebSocket, which sends no response that the"
            " function could be called with. Use 'after_this_websocket'."
        )
    ctx._after_request_functions.append(f)
    return f


def copy_current_request_context(f: F) -> F:
    """Wrap *f* so that it runs in a copy of the present request context, wherever it is called.

    For work handed to a thread, a greenlet or a task. Each call has a copy of its own, so that
    several may be under way at once; all share the request and the session.
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
        with copied.copy():
            return copied.app.ensure_sync(f)(*args, **kwargs)

    async def twin(*args: t.Any, **kwargs: t.Any) -> t.Any:
        async with copied.copy():
            return await f(*args, **kwargs)

    update_wrapper(wrapper, f)
    if is_async(f):
        set_twin(wrapper, twin)
    return wrapper  # type: ignore[return-value]


def when_over(ctx: RequestContext, begin: t.Callable[[], object]) -> None:
    """Have *begin* called when the request is over, or at once where it is.

    Under ASGI that is when its answer has been sent, else when *ctx* has gone.
    """
    environ = ctx.request._environ
    is_asgi = environ.get(UNDER_WAY, False)
    waiting: list[t.Callable[[], object]] = (
        environ.setdefault(BACKGROUND, []) if is_asgi else vars(ctx).setdefault("_background", [])
    )
    waiting.append(begin)
    # Looked at now, since another thread may end it meanwhile, and have seen nothing waiting.
    if not (environ[UNDER_WAY] if is_asgi else ctx._pushes):
        begin_all(waiting)


def begin_all(waiting: list[t.Callable[[], object]]) -> None:
    """Begin what was waiting for the end of a request, each thing once."""
    while waiting:
        try:
            begin = waiting.pop(0)
        except IndexError:
            return  # Another thread was faster.
        begin()


def has_request_context() -> bool:
    """Whether a request is being handled, so that ``request`` and ``session`` can be used."""
    return _current_request_context(None) is not None


def has_app_context() -> bool:
    """Whether an application context is pushed, so that ``current_app`` and ``g`` can be used."""
    return _current_app_or_none() is not None


class RequestContext(_Pushable):
    """What is current while a request is being handled: the request and its session.

    Made by :meth:`.Flask.request_context` from a WSGI environment, and by
    :meth:`.Flask.test_request_context`; ``with`` pushes and pops it. It may be pushed several
    times; the last pop runs the teardown functions.
    """

    # What is to begin when this has gone. An instance has its own when something is added.
    _background: list[t.Callable[[], object]] = []
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
        self._has_app_ctx = False
        self._pushed = False
        self._session_is_open = session is not None
        if session is not None:
            self._session = session
        # Whether the map may be asked without an adapter.
        # SECURITY: a request class may name the trusted hosts as well, and only the adapter asks.
        any_host = app.config["TRUSTED_HOSTS"] is None and request.trusted_hosts is None
        self._has_plain_url = app._known.plain_contexts and any_host
        if not self._has_plain_url:
            # Making the adapter has an effect someone can see: it may refuse the request.
            self.url_adapter  # noqa: B018

    @property
    def _cv_tokens(self) -> list[tuple[Token[RequestContext], AppContext | None]]:
        # COMPAT: Flask keeps a list, and some count what is in it.
        return [
            (token, self._app_ctx if app_ctx is _unseen else app_ctx)
            for token, app_ctx, _ in _chain(self._pushes)
        ]

    @shared
    def _app_ctx(self) -> AppContext:
        """The application context that is current with this one, made when first looked at.

        PERF: of most requests only the app is asked for, which this context knows too: a tenth of
        a text's request.
        """
        self._has_app_ctx = True
        app_ctx = AppContext(self.app)
        app_ctx._pushes = _WITH_REQUEST
        return app_ctx

    def _app_ctx_to_push(self) -> AppContext | None:
        """The application context to push before this one; None: there is one of the same app."""
        current = _current_app_context(None)
        if current is None or current.app is not self.app:
            return self.app.app_context()
        if self._pushes is None:
            # Else it is pushed once more, maybe onto another one, and its own is still to come back.
            self._app_ctx, self._has_app_ctx = current, True
        return None

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
            # Who opens it, or fails to, knows no rule yet. On the event loop there is one already,
            # which decided on the walk.
            request = self.request
            matched = request.url_rule, request.view_args
            request.url_rule = request.view_args = None
            self._session = self._open_session()
            request.url_rule, request.view_args = matched

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
                found = self.app.url_map.lookup(request._environ)  # type: ignore[attr-defined]
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
        if (
            _pushed_app_context(None) is None
            and _current_request_context(None) is None
            and not self._has_app_ctx
            and self._pushes is None
            and app._known.plain_contexts
            and not appcontext_pushed.receivers
        ):
            app_ctx = _unseen  # Nothing is current, and this was not pushed before.
        else:
            app_ctx = self._app_ctx_to_push()
            if app_ctx is not None:
                app_ctx.push()

        self._pushes = _enter_request_context(self), app_ctx, self._pushes
        self._pushed = True
        # COMPAT: some extensions set an interface that derives from nothing.
        if not getattr(app.session_interface, "_lazy", False):
            self._open_session_at_once()
        if self._has_plain_url or self.url_adapter is not None:
            self.match_request()

    def _push_at_once(self) -> bool:
        """:meth:`push_async` where it waits for nothing; False where it might, and nothing is done.

        That is the first push of a request that was matched to decide on the walk.
        """
        app = self.app
        if (
            _pushed_app_context(None) is not None
            or _current_request_context(None) is not None
            or self._has_app_ctx
            or not app._known.plain_contexts
            or appcontext_pushed.receivers
            or not getattr(app.session_interface, "_lazy", False)
        ):
            return False
        self._pushes = _enter_request_context(self), _unseen, None
        self._pushed = True
        return True

    async def push_async(self) -> None:
        """:meth:`push` on the event loop."""
        app = self.app
        app_ctx = self._app_ctx_to_push()
        if app_ctx is not None:
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
        is_last = pushes[2] is None
        app, request = self.app, self.request
        try:
            if is_last:
                if exc is _sentinel:
                    exc = sys.exc_info()[1]
                try:
                    app.do_teardown_request(exc)
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
                request._environ["werkzeug.request"] = None
                error = request.routing_exception
                if error is not None and error is not exc:
                    error.__traceback__ = error.__context__ = error.__cause__ = None
                if self._background:
                    begin_all(self._background)
            if app_ctx is _unseen:
                # Where nobody looked at it, or waits for its end, it need never have been.
                is_wanted = (
                    self._has_app_ctx
                    or _pushed_app_context(None) is not None  # left by mistake
                    or app.teardown_appcontext_funcs
                    or appcontext_tearing_down.receivers
                    or appcontext_popped.receivers
                )
                app_ctx = self._app_ctx if is_wanted else None
            if app_ctx is not None:
                self._seat = app_ctx._seat  # For the body.
                app_ctx.pop(exc)
            if current is not self:
                raise _popped_wrong("request", current, self)

    def _pop_at_once(self) -> bool:
        """:meth:`pop_async` where it waits for nothing; False where it might, and nothing is done.

        That is the only pop of a request whose end nobody is to be told of.
        """
        app, request, pushes = self.app, self.request, self._pushes
        if (
            pushes is None
            or pushes[1] is not _unseen
            or self._has_app_ctx
            or request._to_close
            or request.routing_exception is not None
            or app.teardown_request_funcs
            or app.teardown_appcontext_funcs
            or request_tearing_down.receivers
            or appcontext_tearing_down.receivers
            or appcontext_popped.receivers
            or _pushed_app_context(None) is not None
            or _current_request_context(None) is not self
        ):
            return False
        self._pushes = None
        _leave_request_context(pushes[0])
        # What the request holds and is held by would wait for the collector.
        request._environ["werkzeug.request"] = None
        return True

    async def pop_async(self, exc: BaseException | None = _sentinel) -> None:  # type: ignore[assignment]
        """:meth:`pop` on the event loop."""
        pushes = self._pushes or _not_pushed(_cv_request)
        is_last = pushes[2] is None
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
                request._environ["werkzeug.request"] = None
                error = request.routing_exception
                if error is not None and error is not exc:
                    error.__traceback__ = error.__context__ = error.__cause__ = None
                if self._background:
                    begin_all(self._background)
            if app_ctx is _unseen:
                # Where nobody looked at it, or waits for its end, it need never have been.
                is_wanted = (
                    self._has_app_ctx
                    or _pushed_app_context(None) is not None  # left by mistake
                    or app.teardown_appcontext_funcs
                    or appcontext_tearing_down.receivers
                    or appcontext_popped.receivers
                )
                app_ctx = self._app_ctx if is_wanted else None
            if app_ctx is not None:
                self._seat = app_ctx._seat  # For the body.
                await app_ctx.pop_async(exc)
            if current is not self:
                raise _popped_wrong("request", current, self)

    def __repr__(self) -> str:
        kind, request = type(self).__name__, self.request
        return f"<{kind} {request.url!r} [{request.method}] of {self.app.name}>"


__getattr__ = passed_on(__name__)
