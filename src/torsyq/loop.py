"""The event loop of a process that is served over WSGI.

Flask makes a new event loop for each call of an ``async def`` view, so nothing that belongs to a
loop outlives the call. Here one loop runs in a thread of its own from the first such call to the
end of the process, and the thread that needs a coroutine's result waits for it. A connection
pool or an HTTP client made in one request serves the next.
"""

from __future__ import annotations

import asyncio
import os
import threading
import typing as t
from concurrent.futures import Future
from contextvars import Context
from contextvars import copy_context
from functools import wraps

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
        loop = lasting_loop()
        if threading.current_thread() is _thread:
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


def adopt(context: Context) -> None:
    """Take over into the current context what changed in *context*, a copy of it."""
    for var, value in context.items():
        if var.get(_absent) is not value:
            var.set(value)


_absent: t.Any = object()
