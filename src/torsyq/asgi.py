"""The app as an ASGI 3 application: what a server sends becomes a walk, and back.

The request API stays Flask's: the body has arrived before the walk begins, so ``request.form``
and ``request.get_json()`` need no ``await``. A walk whose functions are all sync is the WSGI walk,
whole, in one worker thread; one with an ``async def`` in it runs on the event loop, and its sync
functions in worker threads.
"""

from __future__ import annotations

import typing as t
from contextvars import copy_context
from functools import partial
from itertools import chain
from sys import modules
from threading import get_ident
from types import coroutine

from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge

from .asgi_answer import Answer
from .asgi_answer import refuse
from .asgi_answer import Send
from .asgi_answer import SENT_AT_ONCE
from .asgi_request import begin_environ
from .asgi_request import complete_environ
from .asgi_request import make_environ
from .asgi_request import may_have_body
from .asgi_request import NO_BODY
from .asgi_request import receive_body
from .asgi_request import Scope
from .asgi_request import stream_body
from .body import Chunks
from .calling import may_be_awaited
from .ctx import BACKGROUND
from .ctx import begin_all
from .ctx import RequestContext
from .ctx import UNDER_WAY
from .doorman import Doorman
from .globals import _cv_request
from .incoming import Receive
from .known import OnLoop
from .lazy import deferred
from .lazy import is_stock
from .lazy import stock
from .lifespan import Lifespan
from .loop import current_ending
from .loop import exit_of_app
from .loop import serving_loop
from .threads import Hop
from .threads import within
from .wrappers import Request
from .wrappers_request import BegunRequest

if t.TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from _typeshed.wsgi import WSGIEnvironment

    from .workers import Seat
else:
    asyncio = deferred("asyncio", globals())

_OTHER_LOOP = (
    "The ASGI server runs this app on an event loop that is not asyncio's. Usually it was told to"
    " use Trio. Tell it to use asyncio or uvloop, or serve the app as WSGI."
)
_set_serving_loop = serving_loop.set

# What a walk gives that has ended.
_ENDED: t.Any = object()


class _NotYet:
    """Stands for a request context while the URL is matched to decide on the walk.

    SECURITY: a converter of the app's own may look at who asks, if there is a request. There is one;
    if it looks, the walk in a thread has it look again, with the context pushed.
    """

    was_looked_at = False

    def __getattr__(self, name: str) -> t.NoReturn:
        self.was_looked_at = True
        raise RuntimeError("The request context is not there yet.")


class Asgi(Lifespan):
    """The part of :class:`.Flask` that speaks ASGI."""

    if t.TYPE_CHECKING:

        def _look_at_steps(self) -> OnLoop: ...

        async def _answer_websocket(
            self, scope: Scope, receive: Receive, send: Send, doorman: Doorman
        ) -> None: ...

    @stock
    def __call__(self, environ: t.Any, start_response: t.Any, send: t.Any = None) -> t.Any:
        """Answer a server: WSGI (:pep:`3333`) with two arguments, ASGI 3 with three.

        Through :attr:`wsgi_app` or :attr:`asgi_app` and the middleware around it.
        """
        if send is None:
            return self.wsgi_app(environ, start_response)
        return self.asgi_app(environ, start_response, send)

    async def asgi_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application itself, and the place for middleware.

        :raises RuntimeError: the loop is not asyncio's, or the kind of connection is unknown.

        Example::

            app.asgi_app = SomeMiddleware(app.asgi_app)
        """
        doorman = self._doorman_here()
        _set_serving_loop(doorman.loop)
        if scope["type"] != "http":
            return await self._answer_other(scope, receive, send, doorman)
        on_loop = self._on_loop_now()
        is_plain = on_loop.is_plain and self.request_class is Request
        environ = begin_environ(scope) if is_plain else make_environ(scope)
        # SECURITY: uvicorn begins with the next request on a line, perhaps another client's behind
        # a proxy, in the context in which this one's end was sent. It must not see what is in this.
        context = copy_context()
        ctx = context.run(self._matched, environ, is_plain) if self._streaming_rules else None
        if ctx is not None and getattr(ctx.request.url_rule, "stream_body", False):
            stream_body(receive, environ)  # The view begins while it is on the way.
        elif may_have_body(environ):
            # PERF: what announces no length seldom has a body: no coroutine for it, 2 % of a request.
            begun = None if "CONTENT_LENGTH" in environ else await receive()
            if begun != NO_BODY:
                try:
                    await receive_body(receive, environ, self._most_of_body(), begun)
                except ClientDisconnected:
                    return await refuse(send)
        answer = Answer(environ["wsgi.input"], receive, send, doorman)
        try:
            walk = self._walk(ctx, environ, answer, on_loop.is_possible, is_plain)
            awaited = context.run(next, walk, _ENDED)
            if awaited is not _ENDED:
                answer.watch_client()
                await within(context, walk, awaited)
            # They hold the walk's thread, and the body may be sent for hours.
            del ctx, awaited
            body = answer.body
            if type(body) is not list:
                answer.watch_client()
                body = await within(context, self._send_body(body, answer))
            last = body[0] if len(body) == 1 else b"".join(body)
            if len(last) > SENT_AT_ONCE:
                answer.watch_client()
            if not answer.has_started:
                answer.has_started = True
                await send(answer.opening)
            await send({"type": "http.response.body", "body": last})
        except asyncio.CancelledError:
            if not answer.client_is_gone:
                raise
        except (ClientDisconnected, RequestEntityTooLarge) as error:
            # No error of the app's: what it sends it reads from the request's body.
            if not answer.may_be_made_of_body:
                raise
            await answer.refuse(error.code)
        except SystemExit as error:
            raise exit_of_app(error) from error
        finally:
            environ[UNDER_WAY] = False
            if BACKGROUND in environ:
                begin_all(environ[BACKGROUND])
            answer.end()  # Last, since what is closed may fail.

    def _most_of_body(self) -> int | None:
        """The limit of bodies that a request begins with: its class may have one of its own."""
        most: t.Any = self.request_class.max_content_length
        return most if isinstance(most, int) else self.config["MAX_CONTENT_LENGTH"]

    def _doorman_here(self) -> Doorman:
        """The doorman of the loop that runs this."""
        doorman = self._known.doorman
        # PERF: half of the time in which the loop itself tells that it runs here (Python 3.11).
        if doorman is None or doorman.thread != get_ident() or not doorman.loop.is_running():
            try:
                doorman = self._known.doorman = Doorman(asyncio.get_running_loop())
            except RuntimeError:
                raise RuntimeError(_OTHER_LOOP) from None
        return doorman

    async def _answer_other(
        self, scope: Scope, receive: Receive, send: Send, doorman: Doorman
    ) -> None:
        kind = scope["type"]
        if kind == "websocket":
            answer = self._for_the_loop(self._answer_websocket)
            await answer(scope, receive, send, doorman)
        elif kind == "lifespan":
            await self._answer_lifespan(receive, send)
        else:
            raise RuntimeError(
                f"This app was sent a {kind!r} connection by the ASGI server,"
                " and can answer 'http', 'websocket' and 'lifespan'."
            )

    @coroutine
    def _walk(
        self,
        ctx: RequestContext | None,
        environ: WSGIEnvironment,
        answer: Answer,
        may_be_on_loop: bool,
        is_plain: bool,
    ) -> t.Generator[t.Any, t.Any, None]:
        """Walk, on the loop or in a worker thread, and give *answer* its body.

        PERF: a generator without a result, begun by ``next``: a coroutine would tell the one it has
        by an exception (4 % of a text's request).
        """
        if may_be_on_loop:
            ctx = ctx or self._matched(environ, is_plain)
            if ctx is not None and self._walks_on_loop(ctx):
                ctx._is_new = True
                if self.config["DEBUG"] or "sqlalchemy" in modules:
                    walk: t.Any = self._for_the_loop(self.wsgi_app_async)
                    work = walk(ctx, environ, answer)
                else:
                    work = self.wsgi_app_async(ctx, environ, answer)
                answer.body = yield from work
                answer.seat, ctx._seat = ctx._seat, None
                return
        if ctx is not None:
            # The walk in a thread makes its own. This one and its error would hold each other.
            ctx.request.routing_exception = None
            # Nor may what fails there hold it: its traceback holds this frame.
            ctx = None
        if is_plain:
            complete_environ(environ)
        hop = self._in_thread(None, self._walk_in_thread, environ, answer, stop=answer.come)
        answer.body = yield from hop.__await__()

    def _matched(self, environ: WSGIEnvironment, is_plain: bool) -> RequestContext | None:
        try:
            if is_plain:
                request = BegunRequest(environ)
                del request.environ  # It is completed when it is read.
                request.json_module = self.json
                ctx = RequestContext(self, environ, request)  # type: ignore[arg-type]
            else:
                ctx = self.request_context(environ)
            # PERF: what is for an app's own converters takes 2 % of a request.
            plan = getattr(self.url_map, "_plan", None)
            if plan is not None and not plan.has_own_converters:
                ctx.match_request()
                return ctx
            not_yet: t.Any = _NotYet()
            token = _cv_request.set(not_yet)
            try:
                ctx.match_request()
            finally:
                _cv_request.reset(token)
        except Exception:
            # A converter of the app's failed. The walk in a thread meets it too, and answers 500.
            return None
        if not_yet.was_looked_at:
            ctx.request.routing_exception = None  # They would hold each other.
            return None
        return ctx

    def _walk_in_thread(
        self, environ: WSGIEnvironment, answer: Answer
    ) -> list[bytes] | Chunks | None:
        """The WSGI application, middleware included; what remains to be sent of its answer."""
        current_ending.set(answer)
        cls: t.Any = type(self)
        # COMPAT: Sentry's SDK puts its middleware in the place of Flask.__call__.
        app = self.wsgi_app if is_stock(cls.__call__) else self
        body = app(environ, answer.start_response)
        if type(body) is Chunks and body.awaitable is not None:
            answer.to_close = body
            answer.context = copy_context()
            return body
        return answer.pump(body)

    async def _send_body(self, body: t.Any, answer: Answer) -> list[bytes]:
        """Send what comes in pieces; those that remain to be sent."""
        if not answer.has_body:
            answer.to_close = body
            if type(body) is Chunks and body.awaitable is not None:
                answer.seat = None  # It needs none.
                # PERF: a task, so that a piece need not wake the walk too: 4 % of an event's way.
                sending = self._for_the_loop(answer.send_awaitable)(body, body.awaitable)
                await asyncio.create_task(sending, context=answer.context)
                return []
            body = await self._in_thread(answer.seat, answer.pump, body, stop=answer.come)
        in_thread = partial(self._in_thread, answer.seat)
        return await answer.send_file(in_thread) if body is None else body

    def _in_thread(
        self,
        seat: Seat | None,
        func: t.Callable[..., t.Any],
        *args: t.Any,
        stop: t.Callable[[], None] | None = None,
    ) -> Hop:
        """Run *func* in a worker thread; what it changes of context variables stays there.

        :param seat: of the walk, if it has one.
        """
        pool: Executor = self.thread_pool
        if seat is not None and seat.pool is pool:
            pool = seat
        hop = Hop(pool, partial(func, *args), stop)
        hop.begin(copy_context())
        return hop

    # Where to walk.

    def _on_loop_now(self) -> OnLoop:
        """Whether walks may be walks on the loop, looked at anew where that may have changed."""
        on_loop = self._known.on_loop
        if on_loop.count != len(self.view_functions) or not on_loop.still_holds():
            on_loop = self._known.on_loop = self._look_at_steps()
        return on_loop

    def _functions(self) -> Iterable[t.Any]:
        """Every function a walk could meet."""
        names = (None, *self.blueprints)
        return chain([*self.view_functions.values()], self._hooks(names))

    def _walks_on_loop(self, ctx: RequestContext) -> bool:
        """Whether one of the functions of the request's walk is ``async def``."""
        rule = ctx.request.url_rule
        endpoint = None if rule is None else rule.endpoint
        view = self.view_functions.get(endpoint)  # type: ignore[arg-type]
        known = self._known.loop_walks.get(endpoint)
        if known is None or known[0] is not view:
            funcs = chain((view,), self._hooks((None, *ctx.request.blueprints)))
            known = view, any(map(may_be_awaited, funcs))
            self._known.loop_walks[endpoint] = known
        return known[1]

    def _hooks(self, names: tuple[str | None, ...]) -> Iterable[t.Any]:
        registries: tuple[t.Mapping[t.Any, t.Iterable[t.Any]], ...] = (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.url_value_preprocessors,
            self.template_context_processors,
        )
        return chain(
            self.teardown_appcontext_funcs,
            *(registry.get(name, ()) for registry in registries for name in names),
            (
                handler
                for name in names
                # Lists, since another thread may add to what they are made of.
                for by_class in list(self.error_handler_spec.get(name, {}).values())
                for handler in list(by_class.values())
            ),
        )
