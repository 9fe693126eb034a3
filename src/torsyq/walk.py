"""The walk of a request, from the server to the view and back.

A request walks down these methods, each of which a subclass may override::

    wsgi_app                        a context is made and pushed; the URL is matched
      full_dispatch_request         request_started
        preprocess_request          url_value_preprocessor, before_request
        dispatch_request            the view
        handle_user_exception       errorhandler
        finalize_request            request_finished
          make_response             what the view returned becomes a response
          process_response          after_this_request, after_request, the session is saved
      handle_exception              what nobody handled becomes a 500
      do_teardown_request           teardown_request, request_tearing_down
      do_teardown_appcontext        teardown_appcontext, appcontext_tearing_down

A step with nothing to do returns at once: no hooks, no loop; no receivers, no signal.
"""

from __future__ import annotations

import collections.abc as cabc
import sys
import typing as t

from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import BadRequestKeyError
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import InternalServerError
from werkzeug.routing import RequestRedirect
from werkzeug.routing import RoutingException
from werkzeug.routing import WebsocketMismatch

from .amid import raised
from .calling import _called
from .calling import Calling
from .contexts import Contexts
from .ctx import RequestContext
from .ctx_app import _sentinel
from .globals import _current_app_context
from .globals import _current_request_context
from .helpers import _CollectErrors
from .lazy import is_stock
from .lazy import stock
from .loop import clean_up
from .loop import is_async
from .responses import abandon
from .responses import answers_by_itself
from .responses import no_response
from .responses import Responses
from .sansio.websockets import explain_mismatch
from .sansio.websockets import is_ours
from .sessions import SessionInterface
from .signals import appcontext_tearing_down
from .signals import got_request_exception
from .signals import request_finished
from .signals import request_started
from .signals import request_tearing_down
from .wrappers import Request
from .wrappers import Response

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

    from . import typing as ft
    from .asgi_answer import Answer

# To who asks for a WebSocket of ours (not of an extension's, which takes the socket by itself).
_WEBSOCKET = (
    "This URL is a WebSocket. WebSockets need an ASGI server, and that may need a package for them,"
    " as uvicorn does: 'uvicorn[standard]'."
)


class Walk(Calling, Contexts, Responses):
    """The part of :class:`.Flask` that answers requests."""

    request_class: type[Request]
    response_class: type[Response]
    session_interface: SessionInterface

    if t.TYPE_CHECKING:

        def _begin(self) -> None: ...

        async def _begin_async(self) -> None: ...

        def log_exception(self, exc_info: ft.ExcInfo) -> None: ...

        def _log_unfinished_answer(self) -> None: ...

    @stock
    def wsgi_app(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> cabc.Iterable[bytes]:
        """The WSGI application itself, and the place for middleware.

        Example::

            app.wsgi_app = ProxyFix(app.wsgi_app)
        """
        ctx = self.request_context(environ)
        error: BaseException | None = None
        response: Response | None = None
        try:
            try:
                ctx.push()
                response = self.full_dispatch_request()
                if type(response) is Response:
                    # PERF: as a method: Python need not find out what a call of it is (1 % of a
                    # text's request, 3 % on CPython 3.12 and 3.13).
                    return response.__call__(environ, start_response)
                return response(environ, start_response)
            except Exception as exc:
                if response is not None:
                    if answers_by_itself(response):
                        raise
                    abandon(response)
                    response = None
                error = exc
                response = self.handle_exception(exc)
                return response(environ, start_response)
            except BaseException as exc:
                error = exc
                raise
        finally:
            if "werkzeug.debug.preserve_context" in environ:
                environ["werkzeug.debug.preserve_context"](_current_app_context())
                environ["werkzeug.debug.preserve_context"](_current_request_context())
            if error is not None and self.should_ignore_error(error):
                error = None
            try:
                ctx.pop(error)
            except BaseException:
                if response is not None:
                    # The server will not get to see what it should close.
                    abandon(response)
                raise
            finally:
                # The traceback holds this frame: without this, frame and error hold each other.
                error = None

    async def wsgi_app_async(
        self, ctx: RequestContext, environ: WSGIEnvironment, answer: Answer
    ) -> cabc.Iterable[bytes]:
        """:meth:`wsgi_app` on the event loop, for the context that was made to decide on it."""
        error: BaseException | None = None
        response: Response | None = None
        try:
            try:
                # PERF: no coroutine of a push that waits for nothing: 1 % of a request.
                if not ctx._push_at_once():
                    await ctx.push_async()
                response = await self.full_dispatch_request_async()
                return answer.take(response, ctx.request)
            except Exception as exc:
                if response is not None:
                    if answers_by_itself(response):
                        raise
                    abandon(response)
                    response = None
                error = exc = raised(exc)
                response = await self.handle_exception_async(exc)
                return answer.take(response, ctx.request)
            except BaseException as exc:
                error = exc
                raise
        finally:
            if "werkzeug.debug.preserve_context" in environ:
                environ["werkzeug.debug.preserve_context"](_current_app_context())
                environ["werkzeug.debug.preserve_context"](_current_request_context())
            if error is not None and self.should_ignore_error(error):
                error = None
            try:
                if not ctx._pop_at_once():
                    await ctx.pop_async(error)
            except BaseException:
                if response is not None:
                    # The server will not get to see what it should close.
                    abandon(response)
                raise
            finally:
                # The traceback holds this frame: without this, frame and error hold each other.
                error = None

    @stock
    def full_dispatch_request(self) -> Response:
        """Run the hooks, the view and the error handlers; the response that came of it."""
        if not self._known.got_first_request:
            self._begin()
        try:
            if request_started.receivers:
                request_started.send(self, _async_wrapper=self.ensure_sync)
            rv = self.preprocess_request()
            if rv is None:
                rv = self.dispatch_request()
        except Exception as error:
            rv = self.handle_user_exception(error)
        try:
            return self.finalize_request(rv)
        finally:
            # An HTTP error's traceback holds this frame: without this, they hold each other.
            del rv

    async def full_dispatch_request_async(self) -> Response:
        """:meth:`full_dispatch_request` on the event loop."""
        if not self._known.got_first_request:
            await self._begin_async()
        try:
            if request_started.receivers:
                await request_started.send_async(self, _sync_wrapper=self._sync_wrapper)
            rv = None
            # PERF: no coroutine of a step with nothing to do, here and below: 2 % of a request.
            if self.before_request_funcs or self.url_value_preprocessors:
                rv = await self.preprocess_request_async()
            if rv is None:
                rv = await self.dispatch_request_async()
        except Exception as error:
            rv = await self.handle_user_exception_async(error)
        try:
            response = self.make_response(rv)
            ctx = _current_request_context()
            if (
                ctx._after_request_functions
                or self.after_request_funcs
                or ctx._session_is_open
                or "HTTP_COOKIE" in ctx.request._environ
                or request_finished.receivers
            ):
                response = await self.finalize_request_async(response)
            return response
        finally:
            # An HTTP error's traceback holds this frame: without this, they hold each other.
            del rv

    @stock
    def preprocess_request(self) -> ft.ResponseReturnValue | None:
        """Call the URL value preprocessors and the ``before_request`` functions.

        What one of the latter returns, if not None, is the answer; the view is not called.
        """
        if not self.before_request_funcs and not self.url_value_preprocessors:
            return None
        request = _current_request_context().request
        names = (None, *reversed(request.blueprints))
        for name in names:
            for preprocess in self.url_value_preprocessors.get(name, ()):
                self.ensure_sync(preprocess)(request.endpoint, request.view_args)
        for name in names:
            funcs = self.before_request_funcs.get(name, ())
            sync = bool(funcs) and self._are_sync(funcs)
            for func in funcs:
                rv: t.Any = (func if sync else self.ensure_sync(func))()
                if rv is not None:
                    return rv  # type: ignore[no-any-return]
        return None

    async def preprocess_request_async(self) -> ft.ResponseReturnValue | None:
        """:meth:`preprocess_request` on the event loop."""
        if not self.before_request_funcs and not self.url_value_preprocessors:
            return None
        request = _current_request_context().request
        names = (None, *reversed(request.blueprints))
        for name in names:
            for preprocess in self.url_value_preprocessors.get(name, ()):
                await self._call(preprocess, request.endpoint, request.view_args)
        for name in names:
            funcs = self.before_request_funcs.get(name, ())
            for func in funcs:
                rv: t.Any = await self._call(func)
                if rv is not None:
                    return rv  # type: ignore[no-any-return]
        return None

    @stock
    def dispatch_request(self) -> ft.ResponseReturnValue:
        """Call the view that the request's URL belongs to.

        :raises werkzeug.exceptions.HTTPException: the URL matched none, or is a WebSocket's.
        """
        request = _current_request_context().request
        if request.routing_exception is not None:
            self.raise_routing_exception(request)
        rule: t.Any = request.url_rule
        if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
            return self.make_default_options_response()
        if rule.websocket and is_ours(rule):
            raise BadRequest(_WEBSOCKET)
        endpoint = rule.endpoint
        view = self.view_functions[endpoint]
        if self._known.sync_views.get(endpoint) is not view:
            sync_view = self.ensure_sync(view)
            if sync_view is view and is_stock(self.ensure_sync):
                self._known.sync_views[endpoint] = view
            view = sync_view
        arguments = request.view_args
        # PERF: without the dict of no arguments 1 % of a request.
        return view(**arguments) if arguments else view()  # type: ignore[no-any-return]

    def dispatch_request_async(self) -> t.Awaitable[ft.ResponseReturnValue]:
        """:meth:`dispatch_request` on the event loop.

        PERF: not ``async def`` itself, which would be a coroutine more (1 % of a request).
        """
        ctx = _current_request_context()
        request = ctx.request
        if request.routing_exception is not None:
            self.raise_routing_exception(request)
        rule: t.Any = request.url_rule
        if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
            return _called(self.make_default_options_response)
        if rule.websocket and is_ours(rule):
            raise BadRequest(_WEBSOCKET)
        endpoint = rule.endpoint
        view = self.view_functions[endpoint]
        if self._known.async_views.get(endpoint) is not view:
            if not is_async(view):
                return self._ask(view, **request.view_args)  # type: ignore[arg-type]
            self._known.async_views[endpoint] = view
        ctx._is_new = False
        arguments = request.view_args
        # PERF: self._call(), and the dict of no arguments, are 1 % of a request.
        return view(**arguments) if arguments else view()  # type: ignore[return-value]

    def raise_routing_exception(self, request: Request) -> t.NoReturn:
        """Raise what matching the URL ended in.

        In debug mode, a redirect that would lose the request's form says so instead.
        """
        error = request.routing_exception
        if (
            isinstance(error, RequestRedirect)
            and self.debug
            and error.code not in {307, 308}
            and request.method not in {"GET", "HEAD", "OPTIONS"}
        ):
            from .debughelpers import FormDataRoutingRedirect

            raise FormDataRoutingRedirect(request)
        if isinstance(error, WebsocketMismatch):
            explain_mismatch(error, _current_request_context().url_adapter, self.url_map)
        raise error  # type: ignore[misc]

    def make_default_options_response(self) -> Response:
        """The answer to OPTIONS: the methods of the URL, in ``Allow``."""
        methods = _current_request_context().url_adapter.allowed_methods()  # type: ignore[union-attr]
        response = self.response_class()
        response.allow.update(methods)
        return response

    @stock
    def finalize_request(
        self, rv: ft.ResponseReturnValue | HTTPException, from_error_handler: bool = False
    ) -> Response:
        """Make the response of *rv* and pass it through the ``after_request`` functions.

        :param from_error_handler: only log what goes wrong, since an error is being answered.
        """
        response = self.make_response(rv)
        try:
            response = self.process_response(response)
            if request_finished.receivers:
                request_finished.send(self, _async_wrapper=self.ensure_sync, response=response)
        except BaseException as error:
            if not from_error_handler or not isinstance(error, Exception):
                abandon(response)
                raise
            self._log_unfinished_answer()
        return response

    async def finalize_request_async(
        self, response: Response, from_error_handler: bool = False
    ) -> Response:
        """:meth:`finalize_request` on the event loop, for the response that was made."""
        try:
            response = await self.process_response_async(response)
            if request_finished.receivers:
                await request_finished.send_async(
                    self, _sync_wrapper=self._sync_wrapper, response=response
                )
        except BaseException as error:
            if not from_error_handler or not isinstance(error, Exception):
                abandon(response)
                raise
            self._log_unfinished_answer()
        return response

    @stock
    def process_response(self, response: Response) -> Response:
        """Call the ``after_this_request`` and ``after_request`` functions and save the session.

        The latter run in the reverse order of registration, the innermost blueprint's first.

        :raises TypeError: one of them returned None.
        """
        ctx = _current_request_context()
        if ctx._after_request_functions:
            for func in ctx._after_request_functions:
                response = self.ensure_sync(func)(response)
                if response is None:
                    raise no_response(func)
        if self.after_request_funcs:
            for name in (*ctx.request.blueprints, None):
                funcs = self.after_request_funcs.get(name, ())
                sync = bool(funcs) and self._are_sync(funcs)
                for func in reversed(funcs):
                    response = (func if sync else self.ensure_sync(func))(response)
                    if response is None:
                        raise no_response(func)

        if not ctx._session_is_open:
            # Not touched: only one that the client sent may have to be sent again, to live on.
            cookies = ctx.request._environ.get("HTTP_COOKIE")
            if cookies is None or f"{self.config['SESSION_COOKIE_NAME']}" not in cookies:
                return response
        session = ctx._session
        if not self.session_interface.is_null_session(session):
            self.session_interface.save_session(self, session, response)  # type: ignore[arg-type]
        return response

    async def process_response_async(self, response: Response) -> Response:
        """:meth:`process_response` on the event loop."""
        ctx = _current_request_context()
        if ctx._after_request_functions:
            for func in ctx._after_request_functions:
                response = await self._call(func, response)
                if response is None:
                    raise no_response(func)
        if self.after_request_funcs:
            for name in (*ctx.request.blueprints, None):
                funcs = self.after_request_funcs.get(name, ())
                for func in reversed(funcs):
                    response = await self._call(func, response)
                    if response is None:
                        raise no_response(func)

        if not ctx._session_is_open:
            # Not touched: only one that the client sent may have to be sent again, to live on.
            cookies = ctx.request._environ.get("HTTP_COOKIE")
            if cookies is None or f"{self.config['SESSION_COOKIE_NAME']}" not in cookies:
                return response
        session = ctx._session
        if not self.session_interface.is_null_session(session):
            await self._call(self.session_interface.save_session, self, session, response)
        return response

    # Errors.

    @stock
    def handle_http_exception(self, e: HTTPException) -> HTTPException | ft.ResponseReturnValue:
        """Answer an HTTP error: by its handler, or by itself where there is none."""
        # Neither an error that carries its own response nor a redirect of the router is handled.
        if e.code is None or isinstance(e, RoutingException):
            return e
        handler = self._find_error_handler(e, _current_request_context().request.blueprints)
        if handler is None:
            return e
        return self.ensure_sync(handler)(e)  # type: ignore[no-any-return]

    async def handle_http_exception_async(
        self, e: HTTPException
    ) -> HTTPException | ft.ResponseReturnValue:
        """:meth:`handle_http_exception` on the event loop."""
        # Neither an error that carries its own response nor a redirect of the router is handled.
        if e.code is None or isinstance(e, RoutingException):
            return e
        handler = self._find_error_handler(e, _current_request_context().request.blueprints)
        if handler is None:
            return e
        return await self._ask(handler, e)  # type: ignore[no-any-return]

    @stock
    def handle_user_exception(self, e: Exception) -> HTTPException | ft.ResponseReturnValue:
        """Answer an error by the handler registered for it.

        :raises Exception: *e* itself, where there is none; it becomes a 500.
        """
        if isinstance(e, HTTPException):
            if isinstance(e, BadRequestKeyError) and (
                self.debug or self.config["TRAP_BAD_REQUEST_ERRORS"]
            ):
                e.show_exception = True
            if not self.trap_http_exception(e):
                return self.handle_http_exception(e)
        handler = self._find_error_handler(e, _current_request_context().request.blueprints)
        if handler is None:
            raise
        return self.ensure_sync(handler)(e)  # type: ignore[no-any-return]

    async def handle_user_exception_async(
        self, e: Exception
    ) -> HTTPException | ft.ResponseReturnValue:
        """:meth:`handle_user_exception` on the event loop."""
        e = raised(e)
        if isinstance(e, HTTPException):
            if isinstance(e, BadRequestKeyError) and (
                self.debug or self.config["TRAP_BAD_REQUEST_ERRORS"]
            ):
                e.show_exception = True
            if not self.trap_http_exception(e):
                return await self.handle_http_exception_async(e)
        handler = self._find_error_handler(e, _current_request_context().request.blueprints)
        if handler is None:
            raise
        return await self._ask(handler, e)  # type: ignore[no-any-return]

    @stock
    def handle_exception(self, e: Exception) -> Response:
        """Answer an error that nobody handled: log it and send a 500.

        The handler for 500 or :class:`~werkzeug.exceptions.InternalServerError` makes the
        response, with *e* as ``original_exception``. In debug mode, under test, or with
        ``PROPAGATE_EXCEPTIONS``, the error is raised again instead.
        """
        exc_info = sys.exc_info()
        got_request_exception.send(self, _async_wrapper=self.ensure_sync, exception=e)
        propagate = self.config["PROPAGATE_EXCEPTIONS"]
        if propagate is None:
            propagate = self.testing or self.debug
        if propagate:
            # Raised bare where possible, so that the traceback does not grow by this frame.
            if exc_info[1] is e:
                raise
            raise e

        self.log_exception(exc_info)
        error: t.Any = InternalServerError(original_exception=e)
        handler = self._find_error_handler(error, _current_request_context().request.blueprints)
        if handler is not None:
            error = self.ensure_sync(handler)(error)
        return self.finalize_request(error, from_error_handler=True)

    async def handle_exception_async(self, e: Exception) -> Response:
        """:meth:`handle_exception` on the event loop."""
        exc_info = sys.exc_info()
        await got_request_exception.send_async(self, _sync_wrapper=self._sync_wrapper, exception=e)
        propagate = self.config["PROPAGATE_EXCEPTIONS"]
        if propagate is None:
            propagate = self.testing or self.debug
        if propagate:
            # Raised bare where possible, so that the traceback does not grow by this frame.
            if exc_info[1] is e:
                raise
            raise e

        # Not exc_info, which is of the error that carries it from a thread.
        self.log_exception((type(e), e, e.__traceback__))  # type: ignore[arg-type]
        error: t.Any = InternalServerError(original_exception=e)
        handler = self._find_error_handler(error, _current_request_context().request.blueprints)
        if handler is not None:
            error = await self._ask(handler, error)
        response = self.make_response(error)
        return await self.finalize_request_async(response, from_error_handler=True)

    # The ends of contexts.

    @stock
    def do_teardown_request(
        self,
        exc: BaseException | None = _sentinel,  # type: ignore[assignment]
    ) -> None:
        """Call the ``teardown_request`` functions, the innermost blueprint's first.

        All of them run, even if one raises; what was raised is raised at the end.
        """
        if not self.teardown_request_funcs and not request_tearing_down.receivers:
            return
        clean_up()
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        errors = _CollectErrors()
        for name in (*_current_request_context().request.blueprints, None):
            for func in reversed(self.teardown_request_funcs.get(name, ())):
                with errors:
                    self.ensure_sync(func)(exc)
        with errors:
            request_tearing_down.send(self, _async_wrapper=self.ensure_sync, exc=exc)
        errors.raise_any("Errors during request teardown")

    async def do_teardown_request_async(
        self,
        exc: BaseException | None = _sentinel,  # type: ignore[assignment]
    ) -> None:
        """:meth:`do_teardown_request` on the event loop."""
        if not self.teardown_request_funcs and not request_tearing_down.receivers:
            return
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        errors = _CollectErrors()
        for name in (*_current_request_context().request.blueprints, None):
            for func in reversed(self.teardown_request_funcs.get(name, ())):
                with errors:
                    await self._call_to_clean_up(func, exc)
        with errors:
            await request_tearing_down.send_async(
                self, _sync_wrapper=self._clean_up_wrapper, exc=exc
            )
        errors.raise_any("Errors during request teardown")

    @stock
    def do_teardown_appcontext(
        self,
        exc: BaseException | None = _sentinel,  # type: ignore[assignment]
    ) -> None:
        """Call the ``teardown_appcontext`` functions, last registered first.

        All of them run, even if one raises; what was raised is raised at the end.
        """
        if not self.teardown_appcontext_funcs and not appcontext_tearing_down.receivers:
            return
        clean_up()
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        errors = _CollectErrors()
        for func in reversed(self.teardown_appcontext_funcs):
            with errors:
                self.ensure_sync(func)(exc)
        with errors:
            appcontext_tearing_down.send(self, _async_wrapper=self.ensure_sync, exc=exc)
        errors.raise_any("Errors during app context teardown")

    async def do_teardown_appcontext_async(
        self,
        exc: BaseException | None = _sentinel,  # type: ignore[assignment]
    ) -> None:
        """:meth:`do_teardown_appcontext` on the event loop."""
        if not self.teardown_appcontext_funcs and not appcontext_tearing_down.receivers:
            return
        if exc is _sentinel:
            exc = sys.exc_info()[1]
        errors = _CollectErrors()
        for func in reversed(self.teardown_appcontext_funcs):
            with errors:
                await self._call_to_clean_up(func, exc)
        with errors:
            await appcontext_tearing_down.send_async(
                self, _sync_wrapper=self._clean_up_wrapper, exc=exc
            )
        errors.raise_any("Errors during app context teardown")
