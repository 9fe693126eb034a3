"""Where sync code meets async code: a loop for coroutines, threads for plain functions.

Flask makes a new event loop for each call of an ``async def`` view, so nothing that belongs to a
loop outlives the call. Here one loop runs in a thread of its own from the first such call to the
end of the process, and the thread that needs a coroutine's result waits for it. A connection
pool or an HTTP client made in one request serves the next.

Under ASGI that loop is the server's, and plain functions run in worker threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
import typing as t
from concurrent.futures import Executor
from concurrent.futures import Future
from contextvars import Context
from contextvars import ContextVar
from contextvars import copy_context
from functools import partial
from functools import wraps

#: The loop of the ASGI server whose request is being handled.
serving_loop: ContextVar[asyncio.AbstractEventLoop] = ContextVar("torsyq.serving_loop")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def lasting_loop() -> asyncio.AbstractEventLoop:
    """The process's event loop, started in its thread when first asked for."""
    global _loop, _thread
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="torsyq-loop", daemon=True)
            _thread.start()
        return _loop


def _forget() -> None:
    # A forked child has the parent's objects, but not its threads.
    global _lock, _loop, _thread
    _lock = threading.Lock()
    _loop = _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run_coroutine(
    func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]],
) -> t.Callable[..., t.Any]:
    """Make a plain function that runs the ``async def`` *func* on the lasting loop.

    The coroutine sees the caller's context variables, and the caller sees what it changed.

    :raises RuntimeError: (when called) by a coroutine of that loop, which would wait for itself.
    """

    @wraps(func)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        loop = serving_loop.get(None) or lasting_loop()
        if _runs_here(loop):
            raise RuntimeError(
                f"{func!r} is async and was called as a sync function from the event loop, which"
                " cannot wait for itself. Usually an async view calls a sync helper that calls"
                " it through 'ensure_sync' or 'async_to_sync'. Await it in the view instead."
            )
        context = copy_context()
        future: Future[t.Any] = Future()
        loop.call_soon_threadsafe(_start, loop, func, args, kwargs, context, future)
        try:
            return future.result()
        finally:
            adopt(context)

    return wrapper


class EitherIterator:
    """An async iterator that can also be iterated where there is no event loop.

    There, each item is waited for on the lasting loop.
    """

    def __init__(self, source: t.AsyncIterable[t.Any]) -> None:
        self._iterator = aiter(source)

    def __aiter__(self) -> t.AsyncIterator[t.Any]:
        return self._iterator

    def __iter__(self) -> t.Iterator[t.Any]:
        step = run_coroutine(self._step)
        while (item := step()) is not _absent:
            yield item

    async def _step(self) -> t.Any:
        return await anext(self._iterator, _absent)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _start(
    loop: asyncio.AbstractEventLoop,
    func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]],
    args: tuple[t.Any, ...],
    kwargs: dict[str, t.Any],
    context: Context,
    future: Future[t.Any],
) -> None:
    async def settle() -> None:
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            future.set_result(result)

    # The future's holder keeps the task: the loop itself only knows it weakly.
    future.task = loop.create_task(settle(), context=context)  # type: ignore[attr-defined]


async def run_in_thread(
    pool: Executor, func: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any
) -> t.Any:
    """Run *func* in a thread of *pool* and wait for it.

    It sees the caller's context variables, and the caller sees what it changed. A thread cannot
    be stopped: if the caller is cancelled, it is so when the function has ended, so that nothing
    runs beside the clean-up.
    """
    context = copy_context()
    call = partial(context.run, func, *args, **kwargs)
    future = asyncio.get_running_loop().run_in_executor(pool, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
    finally:
        adopt(context)


def adopt(context: Context) -> None:
    """Take over into the current context what changed in *context*, a copy of it."""
    for var, value in context.items():
        if var.get(_absent) is not value:
            var.set(value)


_absent: t.Any = object()
