"""How an app calls a function that may be sync or async, from sync code and from async code."""

from __future__ import annotations

import typing as t
from functools import cache
from functools import partial
from inspect import CO_COROUTINE
from sys import modules

from .blocking import watched
from .globals import _current_app_context
from .globals import _current_request_context
from .greenlets import threads_are_greenlets
from .known import Known
from .lazy import held
from .lazy import is_stock
from .lazy import stock
from .loop import current_ending
from .loop import is_async
from .loop import run_coroutine
from .loop import twin_of
from .responses import abandon
from .sansio.app import App
from .threads import clean_up_in_thread
from .threads import run_in_thread

if t.TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor


class Calling(App):
    """The part of :class:`.Flask` that calls functions, sync or async."""

    @stock
    def ensure_sync(self, func: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        """*func* itself, or for an ``async def`` a function that runs it to its end."""
        # PERF: is_async, inlined for plain functions (1 Python call of 2 a hook).
        code = getattr(func, "__code__", None)
        plain = code is not None and not code.co_flags & CO_COROUTINE
        if plain and "_is_coroutine_mark" not in func.__dict__:
            return func
        return self.async_to_sync(func) if is_async(func) else func

    _known: Known

    # COMPAT: some set it, to register more after the first request.
    _got_first_request = t.cast(
        "bool",
        property(
            lambda self: self._known.got_first_request,
            lambda self, value: setattr(self._known, "got_first_request", value),
        ),
    )

    def _are_sync(self, funcs: Sequence[t.Callable[..., t.Any]]) -> bool:
        """Whether hooks can be called as they are, since none of them is ``async def``.

        PERF: of ten hooks, two thirds of the time for asking about each of them.
        """
        sync_hooks = self._known.sync_hooks
        if sync_hooks.get(id(funcs)) == funcs:
            return True
        if any(map(is_async, funcs)) or not is_stock(self.ensure_sync):
            return False
        if len(sync_hooks) > 1000:
            sync_hooks.clear()  # Someone makes the lists anew.
        sync_hooks[id(funcs)] = [*funcs]
        return True

    @stock
    def async_to_sync(
        self, func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]]
    ) -> t.Callable[..., t.Any]:
        """Make a function that runs the ``async def`` *func* on the process's event loop.

        The loop lasts as long as the process, so that what belongs to a loop (a connection pool,
        an HTTP client) serves every request. Context variables are seen, and changes come back.
        Over ASGI it is cancelled when the client goes away, as an ``async def`` view is.

        Example::

            result = app.async_to_sync(fetch)(url)
        """
        return run_coroutine(self._for_the_loop(func), _gather_body)

    def _for_the_loop(
        self, func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]]
    ) -> t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]]:
        """The async *func* as it is run: holding up nobody where it waits for a database.

        In debug mode it is logged if it does.
        """
        if "sqlalchemy" in modules and (suspendable := _suspendable()) is not None:
            func = suspendable(func)
        return watched(func, self) if self.config["DEBUG"] else func

    @held
    def thread_pool(self) -> Executor:
        """The worker threads in which sync code runs under ASGI, sized by ``ASGI_THREADS``."""
        from .workers import new_pool

        return new_pool(self.config["ASGI_THREADS"], f"{self.name}-worker")

    def _thread_of_context(self) -> Executor:
        """Where a sync function of the present app context runs, always in the same thread.

        What belongs to a thread, as a connection of SQLite does, may so be kept in ``g``.
        """
        ctx = _current_app_context(None)
        pool = self.thread_pool
        if ctx is None or not hasattr(pool, "seat"):
            return pool
        # A request may outlast the pool it began with, where the server stops without it.
        if ctx._seat is None or ctx._seat.pool is not pool:
            walk = _current_request_context(None) or ctx
            ctx._seat = pool.seat(walk._is_new)
            walk._is_new = False
        return ctx._seat

    def _call(
        self, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> t.Awaitable[t.Any]:
        """Call *func* if it is ``async def``; run it in a worker thread if it is not.

        Torsyq's own steps do not wait for anything and run in place. A function may have an async
        twin, which is called instead.

        PERF: not ``async def`` itself, which would be a coroutine more for each step of *func*'s.
        """
        # PERF: is_async, inlined for functions that are plainly async.
        code = getattr(func, "__code__", None)
        plain = code is not None and code.co_flags & CO_COROUTINE
        if plain or is_async(func):
            walk = _current_request_context(None) or _current_app_context(None)
            if walk is not None:
                walk._is_new = False
            return func(*args, **kwargs)  # type: ignore[no-any-return]
        if is_stock(func):
            return _called(func, *args, **kwargs)
        twin = twin_of(func)
        if twin is not None:
            return twin(*args, **kwargs)  # type: ignore[no-any-return]
        return run_in_thread(self._thread_of_context(), func, *args, **kwargs)

    def _call_to_clean_up(
        self, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> t.Awaitable[t.Any]:
        """:meth:`_call`, also if the client goes away while *func* waits for a worker thread."""
        if may_be_awaited(func) or is_stock(func):
            return self._call(func, *args, **kwargs)
        return clean_up_in_thread(self._thread_of_context(), func, *args, **kwargs)

    def _ask(
        self, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> t.Awaitable[t.Any]:
        """:meth:`_call` of what answers. An answer that comes when nobody waits for it is closed."""
        if may_be_awaited(func) or is_stock(func):
            return self._call(func, *args, **kwargs)
        call = partial(_closed_if_late, func)
        return run_in_thread(self._thread_of_context(), call, *args, **kwargs)

    def _sync_wrapper(self, func: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        # What Blinker wraps the sync receivers of a signal with, when it awaits the others.
        return partial(self._call, func)

    def _clean_up_wrapper(self, func: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        return partial(self._call_to_clean_up, func)


def may_be_awaited(func: t.Callable[..., t.Any]) -> bool:
    """Whether *func* is ``async def``, or has an async twin, as a class of views may give it."""
    return is_async(func) or twin_of(func) is not None


def _gather_body() -> None:
    """Wait in this thread for the body of its request: on the loop, every request would wait."""
    ctx = _current_request_context(None)
    if ctx is not None:
        ctx.request._gather_body()


def _closed_if_late(func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> t.Any:
    """Call *func* in a thread; whoever cannot wait until it has answered ends that."""
    answer = func(*args, **kwargs)
    current_ending.get().add(partial(abandon, answer[0] if type(answer) is tuple else answer))
    return answer


@cache
def _suspendable() -> t.Callable[[t.Any], t.Any] | None:
    """What makes an async function one that holds up nobody while it waits for SQLAlchemy."""
    if threads_are_greenlets():
        return None
    try:
        from .databases import see_to_engines
        from .suspending import suspendable
    except ImportError:
        return None  # Without greenlet.
    see_to_engines()
    return suspendable


async def _called(func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> t.Any:
    return func(*args, **kwargs)
