"""The walk of a WebSocket, from the server's handshake to the last message and teardown.

It goes as a request's does, and lasts as long as the connection::

    full_dispatch_websocket         websocket_started
      preprocess_websocket          url_value_preprocessor, before_websocket
      dispatch_websocket            the view
      handle_user_exception_async   errorhandler
      finalize_websocket            after_this_websocket, after_websocket, websocket_finished
    handle_websocket_exception      what nobody handled: 500, or once accepted 1011
    do_teardown_websocket           teardown_websocket, websocket_tearing_down

What comes out before the connection is accepted is an HTTP response that refuses it.
"""

from __future__ import annotations

import sys
import typing as t
from contextlib import suppress
from functools import partial
from itertools import chain
from threading import Lock

from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import InternalServerError
from werkzeug.exceptions import ServiceUnavailable

from .amid import raised
from .asgi import Asgi
from .asgi_answer import GONE
from .asgi_answer import wire_headers
from .asgi_request import make_environ
from .asgi_request import Scope
from .ctx_websocket import WebsocketContext
from .globals import _cv_websocket
from .globals import request
from .headers import check_header
from .headers import Headers
from .helpers import _CollectErrors
from .lazy import deferred
from .lazy import held
from .lazy import imported
from .logging import printable
from .loop import exit_of_app
from .loop import is_async
from .loop import twin_of
from .responses import abandon
from .sansio.websockets import is_ours
from .sessions import SecureCookieSessionInterface
from .signals import got_request_exception
from .signals import got_websocket_exception
from .signals import websocket_finished
from .signals import websocket_started
from .signals import websocket_tearing_down

if t.TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from _typeshed.wsgi import WSGIEnvironment

    from . import typing as ft
    from .asgi_answer import Send
    from .doorman import Doorman
    from .incoming import Receive
    from .sessions import SessionMixin
    from .websockets import Websocket
    from .wrappers import Response
else:
    asyncio = deferred("asyncio", globals())

# To who asks for a WebSocket that an extension serves.
_OF_EXTENSION = "This WebSocket is an extension's, which needs a WSGI server."

# Held for a moment while the threads at work are counted: there may be several event loops.
_counting = Lock()

# Seconds that views are given to end when the server stops: the second in which one that has
# received may finish what it is about, and another in which it is cancelled.
_LAST_WORDS = 2


class WebsocketWalk(Asgi):
    """The part of :class:`.Flask` that answers WebSockets."""

    #: Makes the object behind ``websocket``.
    websocket_class: type[Websocket] = t.cast(
        "type[Websocket]", imported("torsyq.websockets", "Websocket")
    )

    @held
    def _websockets(self) -> dict[Websocket, asyncio.Future[None]]:
        # Those that are open, and what is done when they are not any more.
        return {}

    @held
    def _websockets_in_threads(self) -> set[Websocket]:
        # Those whose sync views are at work.
        return set()

    def websocket_context(
        self, environ: WSGIEnvironment, receive: Receive, send: Send
    ) -> WebsocketContext:
        """Make the context of a WebSocket.

        :param environ: of the request that asks for the connection.
        :param receive: as the server gave it.
        :param send: as the server gave it.
        """
        handshake = self.request_class(environ)
        handshake.json_module = self.json
        limit = self.config["WEBSOCKET_MAX_MESSAGE_SIZE"]
        return WebsocketContext(
            self,  # type: ignore[arg-type]
            self.websocket_class(handshake, receive, send, limit),
        )

    async def _answer_websocket(
        self, scope: Scope, receive: Receive, send: Send, doorman: Doorman
    ) -> None:
        if (await receive())["type"] != "websocket.connect":
            # The client has gone already.
            return
        environ = make_environ(scope)
        # SECURITY: a server need not say it, and what a proxy says is "https". A WebSocket that passed
        # for HTTP would reach the views for HTTP, past their hooks.
        is_secure = environ["wsgi.url_scheme"] in {"https", "wss"}
        environ["wsgi.url_scheme"] = "wss" if is_secure else "ws"
        ctx = self.websocket_context(environ, receive, send)
        ctx.websocket._on_accept = partial(self._save_session_at_accept, ctx)
        ctx.websocket._inbox.be_watched(doorman)
        ended = self._websockets[ctx.websocket] = asyncio.get_running_loop().create_future()
        error: BaseException | None = None
        try:
            error = await self._run_websocket(ctx)
        except SystemExit as exc:
            error = exc
            raise exit_of_app(exc) from exc
        except BaseException as exc:
            error = exc
            raise
        finally:
            try:
                await ctx.websocket._finish()
            finally:
                if error is not None and self.should_ignore_error(error):
                    error = None
                try:
                    await ctx.pop_async(error)
                finally:
                    ctx._seat = None
                    # The traceback holds this frame: without this, frame and error hold each other.
                    error = None
                    del self._websockets[ctx.websocket]
                    ended.set_result(None)

    async def _run_websocket(self, ctx: WebsocketContext) -> BaseException | None:
        """Walk, and end the connection; what the teardown functions are to be told of."""
        error: BaseException | None = None
        response: Response | None = None
        try:
            try:
                ctx._is_new = True
                await ctx.push_async()
                response = await self.full_dispatch_websocket()
                await self._end_websocket(ctx.websocket, response)
            except Exception as exc:
                if response is not None:
                    abandon(response)
                    response = None
                error = exc = raised(exc)
                response = await self.handle_websocket_exception(exc)
                await self._end_websocket(ctx.websocket, response)
            finally:
                if response is not None:
                    response.close()
            return error
        except asyncio.CancelledError as exc:
            if not ctx.websocket._ended_view(exc):
                raise
            return exc
        finally:
            # As above.
            error = None

    async def full_dispatch_websocket(self) -> Response | None:
        """Run the hooks, the view and the error handlers; the response that came of it, if any."""
        if not self._got_first_request:
            await self._begin_async()
        rv: t.Any
        try:
            if websocket_started.receivers:
                await websocket_started.send_async(self, _sync_wrapper=self._sync_wrapper)
            rv = await _cv_websocket.get().websocket._view(self.preprocess_websocket())
            if rv is None:
                rv = await self.dispatch_websocket()
        except Exception as error:
            rv = await self.handle_user_exception_async(error)
        try:
            return await self.finalize_websocket(rv)
        finally:
            # An HTTP error's traceback holds this frame: without this, they hold each other.
            del rv

    async def preprocess_websocket(self) -> ft.ResponseReturnValue | None:
        """Call the URL value preprocessors and the ``before_websocket`` functions.

        What one of the latter returns, if not None, refuses the connection; the view is not
        called.
        """
        names = (None, *reversed(request.blueprints))
        for name in names:
            for preprocess in self.url_value_preprocessors.get(name, ()):
                await self._call(preprocess, request.endpoint, request.view_args)
        for name in names:
            for func in self.before_websocket_funcs.get(name, ()):
                rv = await self._call(func)
                if rv is not None:
                    return rv  # type: ignore[no-any-return]
        return None

    async def dispatch_websocket(self) -> ft.ResponseReturnValue | None:
        """Call the view that the URL belongs to.

        :raises werkzeug.exceptions.HTTPException: the URL matched none, or an extension's.
        :raises TypeError: the view returned a response when the connection was accepted already.
        """
        ctx = _cv_websocket.get()
        handshake = ctx.request
        if handshake.routing_exception is not None:
            self.raise_routing_exception(handshake)
        rule: t.Any = handshake.url_rule
        if not is_ours(rule):
            # SECURITY: the before_request functions, which guard its view, are not called here.
            raise BadRequest(_OF_EXTENSION)
        view = self.view_functions[rule.endpoint]
        ctx._is_new = False
        rv = await self._call_view(ctx.websocket, view, handshake.view_args or {})
        if rv is not None and ctx.websocket.accepted:
            raise TypeError(
                f"The view function for {handshake.endpoint!r} returned a {type(rv).__name__} after"
                " the websocket was accepted, which is too late for a response. Return None, and"
                " send messages with 'websocket.send'."
            )
        return rv  # type: ignore[no-any-return]

    async def _call_view(
        self,
        websocket: Websocket,
        view: t.Callable[..., t.Any],
        arguments: dict[str, t.Any],
    ) -> t.Any:
        twin = view if is_async(view) else twin_of(view)
        if twin is not None:
            return await websocket._view(twin(**arguments))
        limit = self.config["WEBSOCKET_THREADS"]
        with _counting:
            is_one_too_many = len(self._websockets_in_threads) >= limit
            if not is_one_too_many:
                self._websockets_in_threads.add(websocket)
        if is_one_too_many:
            self.logger.warning(
                f"The websocket on {printable(websocket.path)} was refused with 503, since {limit}"
                " sync views of WebSockets are at work. Raise 'WEBSOCKET_THREADS', or make the"
                " view 'async def', which takes no thread."
            )
            raise ServiceUnavailable()
        try:
            call = partial(view, **arguments)
            return await websocket._view_in_thread(self.websocket_thread_pool, call)
        finally:
            self._websockets_in_threads.discard(websocket)

    @held
    def websocket_thread_pool(self) -> ThreadPoolExecutor:
        """The threads of sync views of WebSockets, one for each, ``WEBSOCKET_THREADS`` at most.

        They are not those of :attr:`thread_pool`, which open connections would use up.
        """
        from .workers import Threads

        return Threads(self.config["WEBSOCKET_THREADS"], f"{self.name}-websocket")

    async def shutdown(self) -> None:
        """End the WebSockets; then as for requests."""
        # Granian leaves open ones as they are: nothing would be cleaned up, and the process would
        # wait for the threads of sync views.
        loop = asyncio.get_running_loop()
        here = [
            (websocket, ended)
            for websocket, ended in list(self._websockets.items())
            if ended.get_loop() is loop
        ]
        for websocket, _ in here:
            websocket._inbox.close(1001, "")
            websocket._viewer.dismiss()
        if here:
            await asyncio.wait([ended for _, ended in here], timeout=_LAST_WORDS)
        await super().shutdown()

    def _let_go_of_threads(self) -> None:
        pool = WebsocketWalk.websocket_thread_pool.taken_from(self)
        if pool is not None:
            pool.shutdown(wait=False)
        super()._let_go_of_threads()

    async def finalize_websocket(
        self, rv: t.Any, from_error_handler: bool = False
    ) -> Response | None:
        """Make the response of *rv*, if any, and pass it through the ``after_websocket`` functions.

        :param from_error_handler: only log what goes wrong, since an error is being answered.
        """
        response = None if rv is None else self.make_response(rv)
        try:
            response = await self.postprocess_websocket(response)
            if websocket_finished.receivers:
                await websocket_finished.send_async(
                    self, _sync_wrapper=self._sync_wrapper, response=response
                )
        except BaseException as error:
            if not from_error_handler or not isinstance(error, Exception):
                if response is not None:
                    abandon(response)
                raise
            self.logger.exception(
                "Websocket finalizing failed with an error while handling an error"
            )
        return response

    async def postprocess_websocket(self, response: Response | None) -> Response | None:
        """Call the ``after_this_websocket`` and ``after_websocket`` functions; save the session."""
        ctx = _cv_websocket.get()
        names = (*ctx.request.blueprints, None)
        of_scopes = (reversed(self.after_websocket_funcs.get(name, ())) for name in names)
        for func in chain(ctx._after_websocket_functions, *of_scopes):
            response = await self._call(func, response)
        await self._save_session_at_end(ctx, response)
        return response

    # The session. It can be sent to the client with the answer to its handshake only.

    def _session_to_save(self, ctx: WebsocketContext) -> SessionMixin | None:
        """The session; None where it could not be opened or nobody has touched it.

        So that no cookie need be read.
        """
        if "_session" not in ctx.__dict__:
            cookies = ctx.request.environ.get("HTTP_COOKIE")
            if cookies is None or f"{self.config['SESSION_COOKIE_NAME']}" not in cookies:
                return None
        return ctx._session

    async def _save_session(self, session: SessionMixin, response: Response) -> None:
        if not self.session_interface.is_null_session(session):
            await self._call(self.session_interface.save_session, self, session, response)

    async def _save_session_at_accept(self, ctx: WebsocketContext, headers: Headers) -> None:
        session = self._session_to_save(ctx)
        if session is None:
            return
        response = self.response_class()
        await self._save_session(session, response)
        for cookie in response.headers.getlist("Set-Cookie"):
            headers.add("Set-Cookie", cookie)
        # What changes from here on is told from what was sent. One that can't tell is changed at all
        # times, by its class.
        if "modified" in vars(session):
            session.modified = False

    async def _save_session_at_end(self, ctx: WebsocketContext, response: Response | None) -> None:
        session = self._session_to_save(ctx)
        if session is None:
            return
        if not ctx.websocket.accepted:
            if response is not None:
                await self._save_session(session, response)
        elif session.modified:
            if isinstance(self.session_interface, SecureCookieSessionInterface):
                self.logger.warning(
                    "The session was changed after the websocket on"
                    f" {printable(ctx.request.path)} was accepted. It is a cookie, which can't be"
                    " set any more. Change it before 'websocket.accept()', or in a view for HTTP."
                )
            else:
                await self._save_session(session, self.response_class())

    # Errors.

    async def handle_websocket_exception(self, e: Exception) -> Response | None:
        """Answer an error that nobody handled: log it and send a 500, or close with 1011.

        As :meth:`handle_exception` does it for requests.
        """
        exc_info = sys.exc_info()
        for signal in got_websocket_exception, got_request_exception:
            await signal.send_async(self, _sync_wrapper=self._sync_wrapper, exception=e)
        websocket = _cv_websocket.get().websocket
        propagate = self.config["PROPAGATE_EXCEPTIONS"]
        if propagate is None:
            propagate = self.testing or self.debug
        if propagate:
            if websocket.accepted:
                await websocket.close(1011)
            # Raised bare where possible, so that the traceback does not grow by this frame.
            if exc_info[1] is e:
                raise
            raise e

        # Not exc_info, which is of the error that carries it from a thread.
        self.log_exception((type(e), e, e.__traceback__))  # type: ignore[arg-type]
        server_error: t.Any = InternalServerError(original_exception=e)
        handler = self._find_error_handler(server_error, request.blueprints)
        if handler is not None:
            server_error = await self._ask(handler, server_error)
        return await self.finalize_websocket(server_error, from_error_handler=True)

    # The end.

    async def _end_websocket(self, websocket: Websocket, response: Response | None) -> None:
        if websocket.closed:
            return
        if response is None:
            await websocket.close(1000)
        elif websocket.accepted:
            await websocket._close_with(response.status_code, response.status.partition(" ")[2])
        else:
            await self._refuse_websocket(websocket, response)

    async def _refuse_websocket(self, websocket: Websocket, response: Response) -> None:
        """Send *response* instead of accepting; where the server can't, it sends its own 403."""
        if "websocket.http.response" not in (websocket.scope.get("extensions") or {}):
            await websocket.close(1008)
            return
        if not response.is_sequence:
            # What is streamed may wait.
            await self._call(response.make_sequence)
        headers = response.get_wsgi_headers(websocket.request.environ)
        for name, value in headers:
            check_header(name, value)
        start = {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": wire_headers(headers),
        }
        body = {"type": "websocket.http.response.body", "body": response.get_data()}
        websocket._inbox.close(1000, "")
        with suppress(*GONE):
            await websocket._send(start)
            await websocket._send(body)

    async def do_teardown_websocket(self, exc: BaseException | None = None) -> None:
        """Call the ``teardown_websocket`` functions, the innermost blueprint's first.

        All of them run, even if one raises; what was raised is raised at the end.
        """
        errors = _CollectErrors()
        for name in chain(request.blueprints, (None,)):
            for func in reversed(self.teardown_websocket_funcs.get(name, ())):
                with errors:
                    await self._call_to_clean_up(func, exc)
        if websocket_tearing_down.receivers:
            with errors:
                await websocket_tearing_down.send_async(
                    self, _sync_wrapper=self._clean_up_wrapper, exc=exc
                )
        errors.raise_any("Errors during websocket teardown")
