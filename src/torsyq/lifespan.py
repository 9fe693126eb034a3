"""What happens before the first request and after the last one."""

from __future__ import annotations

import sys
import typing as t
from contextvars import Context
from inspect import isasyncgen
from inspect import iscoroutine
from threading import Lock
from weakref import WeakSet

from .background import Background
from .background import name_of
from .background import without_request
from .helpers import _CollectErrors
from .lazy import deferred
from .lazy import held
from .loop import run_coroutine
from .loop import serving_loop
from .sansio.scaffold import setupmethod
from .threads import end_of
from .threads import within

if t.TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from .asgi_answer import Send
    from .incoming import Receive
else:
    asyncio = deferred("asyncio", globals())

# Held for a moment where an app begins or ceases to serve on a loop.
_lock = Lock()

T_serving = t.TypeVar("T_serving", bound=t.Callable[[], t.Any])
T_while_serving = t.TypeVar(
    "T_while_serving", bound=t.Callable[[], "t.AsyncGenerator[t.Any, None] | t.Iterator[t.Any]"]
)


class Lifespan(Background):
    """The part of :class:`.Flask` that starts and stops serving.

    Under ASGI the server says when, by the lifespan protocol. WSGI has no such words: there the
    app starts with its first request and stops with the process.

    A server may serve on several event loops, each in a thread of its own, as granian does where
    Python has no GIL. The app then starts on the loop that comes first, the others wait for that,
    and it stops on the loop that goes last.
    """

    @held
    def _serving(self) -> bool:
        # Whether the app serves: startup() has run, and shutdown() not yet.
        return False

    @held
    def _starting(self) -> Future[None] | None:
        # Done when it has started, or failed to; None where nobody is about it.
        return None

    @held
    def _serving_context(self) -> Context:
        # In which the functions run that are called when serving begins and ends.
        return without_request()

    @held
    def before_serving_funcs(self) -> list[t.Callable[[], t.Any]]:
        """Called before the first request, see :meth:`before_serving`."""
        return []

    @held
    def after_serving_funcs(self) -> list[t.Callable[[], t.Any]]:
        """Called after the last request, see :meth:`after_serving`."""
        return []

    @held
    def while_serving_funcs(self) -> list[t.Callable[[], t.Any]]:
        """Make the generators that surround serving, see :meth:`while_serving`."""
        return []

    @held
    def _while_serving(self) -> list[t.Any]:
        # The generators begun and not ended yet.
        return []

    @held
    def _serving_loops(self) -> WeakSet[asyncio.AbstractEventLoop]:
        # Those on which the app serves. Not all of them run: some servers have the app start, and
        # then begin to run the loop.
        return WeakSet()

    @setupmethod
    def before_serving(self, f: T_serving) -> T_serving:
        """Call the function, sync or async, in an app context before the first request.

        If it raises, the app does not serve: under ASGI the server is told and ends.

        Example::

            @app.before_serving
            async def connect():
                app.db = await create_pool(app.config["DATABASE_URL"])
        """
        self.before_serving_funcs.append(f)
        return f

    @setupmethod
    def after_serving(self, f: T_serving) -> T_serving:
        """Call the function, sync or async, in an app context after the last request, when the
        ``while_serving`` functions have ended. All of them run, even if one raises."""
        self.after_serving_funcs.append(f)
        return f

    @setupmethod
    def while_serving(self, f: T_while_serving) -> T_while_serving:
        """Run the generator function, sync or async, to its ``yield`` before the first request,
        and from there to its end after the last one.

        Example::

            @app.while_serving
            async def client():
                async with httpx.AsyncClient() as app.http:
                    yield
        """
        self.while_serving_funcs.append(f)
        return f

    async def startup(self) -> None:
        """Run the ``before_serving`` functions, then the ``while_serving`` ones to their yield.

        The server does this, or the first request; a second call does nothing. Of several at once
        one does it, and the others wait.
        """
        from concurrent.futures import Future

        own: Future[None] = Future()
        while (starting := self._claim_start(own)) is not None:
            if starting is own:
                await self._start(own)
                break
            await end_of(starting)
        if serving_loop.get(None) is None:
            self._stops_at_exit  # noqa: B018

    def _claim_start(self, own: Future[None]) -> Future[None] | None:
        """*own* if the caller is to start, else what to wait for; None: it serves."""
        with _lock:
            self._serving_loops.add(asyncio.get_running_loop())
            if self._serving:
                return None
            if self._starting is None:
                self._starting = own
            return self._starting

    async def _start(self, own: Future[None]) -> None:
        try:
            # Not the first request's, and the same for the end: what a generator sets of context
            # variables is its own.
            self._serving_context = without_request()
            if self._has_serving_funcs():
                await within(self._serving_context, self._begin_serving())
            with _lock:
                # Who looks whether it serves, and then whether it starts, must not miss both.
                self._serving = True
        except BaseException:
            with _lock:
                self._serving_loops.discard(asyncio.get_running_loop())
            raise
        finally:
            self._starting = None
            own.set_result(None)

    async def _begin_serving(self) -> None:
        async with self.app_context():
            try:
                for func in self.before_serving_funcs:
                    await self._call(func)
                for func in self.while_serving_funcs:
                    generator = _generator_of(func)
                    # First, since a thread begins it though who waits for that is cancelled.
                    self._while_serving.append(generator)
                    await self._advance(generator)
            except BaseException:
                await self._end_generators()
                raise

    async def shutdown(self) -> None:
        """Wait for the background tasks, run the ``while_serving`` functions, last begun first,
        to their end, then the ``after_serving`` ones.

        As long as the app serves on other loops, only this one's background tasks are waited for.
        """
        await self._drain_background()
        loop = asyncio.get_running_loop()
        with _lock:
            self._serving_loops.discard(loop)
            if not all(other.is_closed() for other in self._serving_loops):
                return
            was_serving, self._serving = self._serving, False
        try:
            if was_serving and self._has_serving_funcs():
                # Not of the loop on which it started, which may be gone.
                self._serving_context.run(serving_loop.set, loop)
                await within(self._serving_context, self._end_serving())
        finally:
            await super().shutdown()

    def _forget_loops(self) -> None:
        self._serving_loops.clear()

    async def _end_serving(self) -> None:
        errors = _CollectErrors()
        async with self.app_context():
            with errors:
                await self._end_generators()
            for func in self.after_serving_funcs:
                with errors:
                    await self._call(func)
            errors.raise_any("Errors at the end of serving")

    async def _end_generators(self) -> None:
        try:
            while self._while_serving:
                generator = self._while_serving.pop()
                if await self._advance(generator):
                    raise RuntimeError(
                        f"{name_of(generator)}() has a second 'yield'. A function of"
                        " 'while_serving' has one, between what is done before the first request"
                        " and after the last one."
                    )
        finally:
            if self._while_serving:
                await self._end_generators()

    async def _advance(self, generator: t.Any) -> bool:
        """Run *generator* to its next yield; whether it came to one."""
        if isasyncgen(generator):
            # Not for its loop to close at its own end: another one may be the last to go.
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)
            try:
                step = anext(generator, self)
            finally:
                sys.set_asyncgen_hooks(*hooks)
            return await step is not self
        return await self._call(next, generator, self) is not self

    def _begin(self) -> None:
        """Start with the first request, where no server said so before."""
        if not self._serving and self._has_serving_funcs():
            # It does not end with the client of the first request.
            without_request().run(run_coroutine(self.startup))
        self._got_first_request = True

    async def _begin_async(self) -> None:
        """:meth:`_begin` on the event loop."""
        if not self._serving and self._has_serving_funcs():
            # It does not end with the client of the first request.
            await asyncio.shield(asyncio.create_task(self.startup(), context=without_request()))
        self._got_first_request = True

    def _has_serving_funcs(self) -> bool:
        return bool(
            self.before_serving_funcs or self.after_serving_funcs or self.while_serving_funcs
        )

    async def _answer_lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            phase = message["type"]
            try:
                await (self.startup() if phase == "lifespan.startup" else self.shutdown())
            except Exception as error:
                self.logger.exception(f"Exception in {phase}")
                await send({"type": f"{phase}.failed", "message": repr(error)})
                return
            await send({"type": f"{phase}.complete"})
            if phase == "lifespan.shutdown":
                return


def _generator_of(func: t.Callable[[], t.Any]) -> t.Any:
    generator = func()
    if isasyncgen(generator) or hasattr(generator, "__next__"):
        return generator
    if iscoroutine(generator):
        generator.close()
    raise TypeError(
        f"{name_of(func)}() is no generator, as 'while_serving' needs, and gave a"
        f" {type(generator).__name__}. Usually it has no 'yield': put one between what is done before"
        " the first request and after the last one, or use 'before_serving'."
    )
