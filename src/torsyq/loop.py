"""Where sync code waits for async code: the event loop, and who waits for what runs on it.

Flask makes a new event loop for each call of an ``async def`` view, so nothing that belongs to a
loop outlives the call. Here one loop runs in a thread of its own from the first such call to the
end of the process, and the thread that needs a coroutine's result waits for it. A connection
pool or an HTTP client made in one request serves the next.

Under ASGI that loop is the server's, and plain functions run in worker threads: :mod:`.threads`.
"""

from __future__ import annotations

import os
import sys
import threading
import typing as t
import weakref
from contextlib import suppress
from contextvars import Context
from contextvars import ContextVar
from contextvars import copy_context
from functools import partial
from functools import wraps
from inspect import CO_COROUTINE
from inspect import iscoroutinefunction
from types import FunctionType

from .amid import amid_async
from .amid import amid_error
from .greenlets import Latch
from .greenlets import new_latch
from .greenlets import start_thread
from .lazy import deferred

if t.TYPE_CHECKING:
    import asyncio
else:
    asyncio = deferred("asyncio", globals())

#: The loop of the ASGI server whose request is being handled.
serving_loop: ContextVar[asyncio.AbstractEventLoop] = ContextVar("torsyq.serving_loop")

_absent: t.Any = object()
_no_twin = lambda: None, None

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def lasting_loop() -> asyncio.AbstractEventLoop:
    """The process's event loop, started in its thread when first asked for.

    :raises RuntimeError: no thread can be started, as in a browser.
    """
    with _lock:
        if _loop is None:
            made, errors = new_latch(), list[BaseException]()
            try:
                start_thread(partial(_run_loop, made, errors), "torsyq-loop")
            except RuntimeError as error:
                raise RuntimeError(
                    "Sync code cannot wait for an async function here, since no thread can be"
                    " started to run it. Where there are no threads at all, as in Pyodide, call"
                    " the app over ASGI: 'await app(scope, receive, send)'."
                ) from error
            made.acquire()
            if errors:
                raise errors[0]
        return _loop  # type: ignore[return-value]


def _run_loop(made: Latch, errors: list[BaseException]) -> None:
    # Under gevent a loop belongs to the thread it was made in.
    global _loop
    try:
        loop = _loop = asyncio.new_event_loop()
    except BaseException as error:
        # The caller's, who would wait for ever.
        errors.append(error)
        return
    finally:
        made.release()
    while not loop.is_closed():
        # Not even who stops it ends it: the next request would wait for ever.
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            # Of a task or a callback that no request waits for.
            message = "Something on the event loop tried to end it"
            loop.call_exception_handler({"message": message, "exception": error})


def _forget() -> None:
    # A forked child has the parent's objects, but not its threads.
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def current_loop() -> asyncio.AbstractEventLoop:
    """Where coroutines run now: the serving loop, or the lasting one where no server has one."""
    return serving_loop.get(None) or _loop or lasting_loop()


def a_loop_runs() -> bool:
    """Whether this is called from within an event loop, where a coroutine can be awaited."""
    return "asyncio" in sys.modules and asyncio._get_running_loop() is not None


def exit_of_app(error: SystemExit) -> RuntimeError:
    """What to raise for *error* on a loop that is not the app's alone.

    SECURITY: the loop lets it out, and with it end the server and the requests of all others.
    """
    return RuntimeError(
        f"The app raised {error!r}, which would have ended the server. Usually it calls what is"
        " meant for a command line, and calls 'sys.exit'."
    )


def is_async(func: t.Callable[..., t.Any]) -> bool:
    """Whether *func* is an ``async def``, or a partial of one, or marked as one.

    PERF: 0.2 us instead of 0.3 for a plain function, which is told by its flags.
    """
    code = getattr(func, "__code__", None)
    if code is not None and "_is_coroutine_mark" not in func.__dict__:
        return bool(code.co_flags & CO_COROUTINE)
    return iscoroutinefunction(func)


def set_twin(func: t.Any, twin: t.Callable[..., t.Any]) -> None:
    """Have *twin* awaited on an event loop, where the sync *func* would need a thread."""
    func._twin = weakref.ref(func), twin


def twin_of(func: t.Callable[..., t.Any]) -> t.Callable[..., t.Any] | None:
    """What is to be awaited instead of *func*, if anything.

    SECURITY: not what a decorator around *func* shows as its own, since :func:`functools.wraps`
    copies it: the twin would go past the decorator, which may ask for a login.
    """
    if type(func) is not FunctionType:
        return None
    whose, twin = func.__dict__.get("_twin", _no_twin)
    return twin if whose() is func else None


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller is run by *loop*."""
    return asyncio._get_running_loop() is loop


def run_coroutine(
    func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]],
    prepare: t.Callable[[], object] | None = None,
) -> t.Callable[..., t.Any]:
    """Make a plain function that runs the ``async def`` *func* on the current loop and waits.

    The coroutine sees the caller's context variables, and the caller sees what it changed.

    :param prepare: called before, in the caller's thread.
    :raises RuntimeError: (when called) by a coroutine of that loop, which would wait for itself.

    Example::

        text = run_coroutine(fetch)("https://example.com")
    """

    @wraps(func)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        if prepare is not None:
            prepare()
        context = copy_context()
        try:
            return _run(context, func, args, kwargs)
        finally:
            adopt(context)

    return wrapper


def _run(
    context: Context,
    func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]],
    args: tuple[t.Any, ...] = (),
    kwargs: t.Mapping[str, t.Any] | None = None,
) -> t.Any:
    """Run *func* in *context* on the current loop, and wait for its result in this thread.

    It is cancelled when :data:`current_ending` comes, or at once if that has come and nobody was
    told so; what begins later than that cleans up.
    """
    loop = current_loop()
    if runs_here(loop):
        raise RuntimeError(
            f"{func!r} is async and was called as a sync function from the event loop, which"
            " cannot wait for itself. Usually an async view calls a sync helper that calls"
            " it through 'ensure_sync' or 'async_to_sync'. Await it in the view instead."
        )
    ending = current_ending.get(None)
    if ending is not None:
        ending = ending.of_coroutines or ending
        if ending.has_come and not ending.is_news:
            ending = None
    call = Call(loop, context, *amid_error(func, amid_async), *args, **(kwargs or {}))
    return call.result() if ending is None else ending.wait_for(call)


def waited_for(
    loop: asyncio.AbstractEventLoop,
    func: t.Callable[..., t.Awaitable[t.Any]],
    /,
    *args: t.Any,
    **kwargs: t.Any,
) -> t.Any:
    """Run the async *func* on *loop*, and wait for its result in this thread, another one.

    PERF: two turns of the loop, where :func:`asyncio.run_coroutine_threadsafe` takes three and
    chains futures: half of a chunk's way from a thread to its client.
    """
    return Call(loop, None, func, *args, **kwargs).result()


class Call:
    """A coroutine that runs on a loop, and that a thread waits for.

    :param loop: where it runs.
    :param context: what it runs in; None: a copy of the caller's.
    :param func: the ``async def``, called on the loop.
    """

    _task: asyncio.Task[None] | None = None
    _has_begun = False
    _is_cancelled = False

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
        func: t.Callable[..., t.Awaitable[t.Any]],
        /,
        *args: t.Any,
        **kwargs: t.Any,
    ) -> None:
        self._loop, self._context = loop, context
        self._func, self._args, self._kwargs = func, args, kwargs
        self._result: t.Any = None
        self._error: BaseException | None = None
        self._ended = new_latch()

    def result(self) -> t.Any:
        """What comes of it, from beginning to end."""
        self._loop.call_soon_threadsafe(self._start)
        self._ended.acquire()
        error = self._error
        if error is None:
            return self._result
        try:
            raise error
        finally:
            # The traceback holds this frame: without this, frame and error hold each other.
            del error
            self._error = None

    def _start(self) -> None:
        if self._is_cancelled:
            self._end_unbegun()
            return
        settling = self._settle()
        try:
            # The loop itself knows its tasks only weakly.
            self._task = self._loop.create_task(settling, context=self._context)
        except BaseException as error:
            # The caller's, who would wait for ever. A task factory may know no contexts.
            settling.close()
            self._error = error
            self._ended.release()
            return
        if not self._has_begun:
            self._task.add_done_callback(self._end_unbegun)

    def cancel(self) -> None:
        """Cancel it, from any thread: :meth:`result` raises :exc:`asyncio.CancelledError`.

        A second time does nothing: it may be cleaning up, and waiting for something in that.
        """
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._is_cancelled:
            self._is_cancelled = True
            if self._task is not None:
                self._task.cancel()

    def _end_unbegun(self, task: asyncio.Task[None] | None = None) -> None:
        # Cancelled before that, maybe by who cancels all tasks: no line of it has run.
        self._error = asyncio.CancelledError()
        if task is not None:
            # It holds its error, whose traceback holds this, until somebody takes it.
            with suppress(asyncio.CancelledError):
                task.result()
        self._ended.release()

    async def _settle(self) -> None:
        self._has_begun = True
        if self._task is not None:
            # PERF: or the loop would take one more turn (7 % of an async view under WSGI).
            self._task.remove_done_callback(self._end_unbegun)
        try:
            self._result = await self._func(*self._args, **self._kwargs)
        # Also SystemExit and KeyboardInterrupt: they are the caller's and must not end the loop.
        except BaseException as error:
            self._error = error
        finally:
            self._ended.release()


class EitherIterator:
    """An async iterator that can also be iterated where there is no event loop.

    There, each item is waited for on the current loop. All steps run in one context, so that
    what the source sets for itself stays set until its end, and is nobody else's.
    """

    def __init__(self, source: t.AsyncIterable[t.Any]) -> None:
        self._iterator = aiter(source)
        self._is_open = False
        self._context: Context | None = None

    def __aiter__(self) -> t.AsyncIterator[t.Any]:
        self._is_open = True
        return self._iterator

    def __iter__(self) -> t.Iterator[t.Any]:
        self._is_open = True
        self._context = context = copy_context()
        try:
            while (item := _run(context, self._step)) is not _absent:
                yield item
        finally:
            self.close()

    async def _step(self) -> t.Any:
        return await anext(self._iterator, _absent)

    async def aclose(self) -> None:
        """End the source early: its ``finally`` blocks run. Nothing if it never began."""
        if self._is_open:
            self._is_open = False
            close = getattr(self._iterator, "aclose", None)
            if close is not None:
                await close()

    def close(self) -> None:
        """:meth:`aclose`, where the source was iterated without a loop."""
        if self._is_open:
            clean_up()
            _run(self._context or copy_context(), self.aclose)


class Ending:
    """Ends what a thread waits for when nobody wants it any more: the thread cannot be stopped."""

    has_come = False
    #: Whether it has come and nobody was waiting for anything that it could end.
    is_news = False
    #: Whether it then ends what is waited for next.
    tells_the_next = False
    #: Ends the coroutines that the thread waits for, where these are given more time.
    of_coroutines: Ending | None = None
    # An instance has its own when something is added: most never need any.
    _calls: dict[t.Callable[[], object], None] = {}

    def come(self) -> None:
        """End all of it, and what is begun from now on."""
        self.is_news = self.tells_the_next
        self.has_come = True
        calls = [*self._calls]
        if not all(map(_has_ended, calls)):
            self.is_news = False
        for call in calls:
            call()

    def add(self, call: t.Callable[[], object]) -> None:
        """Have *call* called when it comes, in whatever thread; at once if it has come."""
        self.__dict__.setdefault("_calls", {})[call] = None
        if self.has_come:
            call()

    def remove(self, call: t.Callable[[], object]) -> None:
        """Have *call* called no more."""
        self._calls.pop(call, None)

    def tasks(self) -> list[object]:
        """What runs the coroutines that :meth:`wait_for` waits for."""
        calls = [getattr(cancel, "__self__", None) for cancel in list(self._calls)]
        return [call._task for call in calls if isinstance(call, Call)]

    def be_known(self) -> None:
        """Have what is waited for from now on run to its end: it cleans up."""
        self.tells_the_next = self.is_news = False

    def wait_for(self, call: Call) -> t.Any:
        """The result of *call*, which is cancelled when the end comes."""
        self.add(call.cancel)
        if self.has_come:
            self.is_news = False
        try:
            return call.result()
        finally:
            self.remove(call.cancel)


def _has_ended(cancel: t.Callable[[], object]) -> bool:
    # Its thread may not have noticed yet, and is told nothing by being cancelled now.
    call = getattr(cancel, "__self__", None)
    return isinstance(call, Call) and call._task is not None and call._task.done()


#: The end of what the present thread works for; unset where nobody tells it.
current_ending: ContextVar[Ending] = ContextVar("torsyq.ending")


def clean_up() -> None:
    """Have what is waited for from now on run to its end: it cleans up."""
    ending = current_ending.get(None)
    if ending is not None:
        ending.be_known()


def adopt(context: Context) -> None:
    """Take over into the current context what changed in *context*, a copy of it."""
    for var, value in context.items():
        if var.get(_absent) is not value:
            var.set(value)
