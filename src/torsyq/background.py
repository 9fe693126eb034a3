"""Work that nobody waits for until the app stops: background tasks."""

from __future__ import annotations

import atexit
import sys
import typing as t
import weakref
from contextlib import suppress
from contextvars import Context
from contextvars import copy_context
from functools import partial

from .ctx import when_over
from .globals import _current_request_context
from .globals import _cv_pushed_app
from .globals import _cv_request
from .globals import _cv_websocket
from .lazy import deferred
from .lazy import held
from .loop import current_ending
from .loop import current_loop
from .loop import lasting_loop
from .loop import run_coroutine
from .loop import runs_here
from .loop import serving_loop
from .walk import Walk

if t.TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor
else:
    asyncio = deferred("asyncio", globals())

# Seconds a task is given to end when it has been cancelled.
_LAST_WORDS = 1


class Background(Walk):
    """The part of :class:`.Flask` that works in the background, and that stops."""

    @held
    def background_tasks(self) -> set[asyncio.Task[None]]:
        """The background tasks under way."""
        return set()

    def add_background_task(
        self, func: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any
    ) -> None:
        """Run *func* in the background: ``async def`` on the event loop, else in a worker thread.

        Asked for in a request, it begins when the request is over: under ASGI when its response
        has been sent, under WSGI when its context has gone; in a WebSocket, and where a thread asks
        for it when the request is over, at once. It runs in
        an application context of its own and sees the context variables of the caller, but no
        request: for that, see :func:`.copy_current_request_context`. An error is logged. When the
        app stops, tasks under way, and those that they begin, are given
        ``BACKGROUND_TASK_SHUTDOWN_TIMEOUT`` seconds.

        :param args: passed to *func*, as are the keywords.
        :raises TypeError: *func* is no function; usually it was called already.

        Example::

            @app.post("/orders")
            async def order():
                app.add_background_task(send_receipt, request.form["email"])
                return "Thank you", 202
        """
        if not callable(func):
            if asyncio.iscoroutine(func):
                func.close()
            raise TypeError(
                f"A background task is a function, and not a {type(func).__name__}. Usually it was"
                " called already: write 'add_background_task(func, argument)', and not"
                " 'add_background_task(func(argument))'."
            )
        if serving_loop.get(None) is None:
            self._stops_at_exit  # noqa: B018
        call = partial(self._for_the_loop(self._run_in_background), func, args, kwargs)
        begin = partial(self._begin_in_background, current_loop(), without_request(), call)
        ctx = _current_request_context(None)
        if ctx is None or _cv_websocket.get(None) is not None:
            # A WebSocket may stay open for days.
            begin()
        else:
            when_over(ctx, begin)

    def _begin_in_background(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        call: t.Callable[[], t.Coroutine[t.Any, t.Any, None]],
    ) -> None:
        def create() -> None:
            task = loop.create_task(call(), context=context)
            self.background_tasks.add(task)
            task.add_done_callback(self.background_tasks.discard)

        if runs_here(loop):
            create()
            return
        try:
            loop.call_soon_threadsafe(create)
        except RuntimeError:
            # Whoever asked for it, a thread, has outlived the server.
            self._stops_at_exit  # noqa: B018
            loop = lasting_loop()
            context.run(serving_loop.set, loop)
            loop.call_soon_threadsafe(create)

    async def _run_in_background(
        self, func: t.Callable[..., t.Any], args: tuple[t.Any, ...], kwargs: dict[str, t.Any]
    ) -> None:
        try:
            async with self.app_context() as ctx:
                ctx._is_new = True
                await self._call(func, *args, **kwargs)
        except (Exception, SystemExit):
            # SECURITY: the latter would end the loop, and the server with it.
            self.logger.exception(f"Exception in background task {name_of(func)}")

    async def _drain_background(self) -> None:
        """Wait for the background tasks as long as is configured, then cancel them."""
        timeout = self.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"]
        # What a thread has begun just before becomes a task in this turn of the loop.
        await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                # Some may have begun others meanwhile.
                while tasks := self._tasks_here():
                    await asyncio.wait(tasks)
        late = self._tasks_here()
        if late:
            self.logger.error(
                f"{len(late)} background task(s) did not end within {timeout} seconds and are"
                " cancelled. Raise 'BACKGROUND_TASK_SHUTDOWN_TIMEOUT' if they need longer."
            )
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=_LAST_WORDS)

    def _tasks_here(self) -> list[asyncio.Task[None]]:
        """The background tasks on the running loop: those of another end when that one does."""
        loop = asyncio.get_running_loop()
        return [task for task in list(self.background_tasks) if task.get_loop() is loop]

    # Stopping.

    async def shutdown(self) -> None:
        """Wait for the background tasks and let go of the worker threads.

        The server does this (by the lifespan protocol), or the end of the process under WSGI.
        """
        await self._drain_background()
        self._let_go_of_threads()

    def _forget_loops(self) -> None:
        """Take no other loop for one that goes later: see :class:`.Lifespan`."""

    def _let_go_of_threads(self) -> None:
        # Taken away first: what still comes in gets another one.
        pool = Background.thread_pool.taken_from(self)
        if pool is not None:
            pool.shutdown(wait=False)

    @held
    def _stops_at_exit(self) -> bool:
        """Read where no server tells the app that it stops: the end of the process does then."""
        from .workers import InPlace

        stop = partial(_stop, weakref.ref(self), InPlace())
        atexit.register(stop)
        forked = sys.modules.get("multiprocessing.util")
        if forked is not None:
            # A child that was forked, as granian's workers are, does not do the above.
            forked.Finalize(None, stop, exitpriority=0)
        return True


def _stop(ref: weakref.ref[Background], in_place: Executor) -> None:
    app = ref()
    # Two threads may both have registered it, and each of them for both ends.
    if app is not None and Background._stops_at_exit.taken_from(app):
        # The interpreter has mostly closed the pools of threads by now.
        app.thread_pool = in_place
        # No other loop will be the last to go.
        app._forget_loops()
        run_coroutine(app.shutdown)()


def name_of(func: t.Any) -> str:
    """What to call a function, or a generator, in a message."""
    return getattr(func, "__qualname__", None) or repr(func)


def without_request() -> Context:
    """A copy of the current context in which neither an app nor a request is current."""
    context = Context()
    without = {_cv_pushed_app, _cv_request, _cv_websocket, current_ending}
    for var, value in copy_context().items():
        if var not in without:
            context.run(var.set, value)
    return context
