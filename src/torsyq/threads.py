"""How a coroutine waits for a thread, and how it goes on in a context of its own.

A plain function under ASGI runs in a worker thread, in the context of the walk it belongs to.
"""

from __future__ import annotations

import typing as t
from contextlib import suppress
from contextvars import Context
from contextvars import copy_context
from functools import partial
from types import coroutine

from .amid import amid
from .amid import amid_error
from .amid import Stopped
from .lazy import deferred
from .loop import adopt
from .loop import current_ending
from .loop import Ending

if t.TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor
    from concurrent.futures import Future
else:
    asyncio = deferred("asyncio", globals())

T = t.TypeVar("T")

_absent: t.Any = object()


async def run_in_thread(
    pool: Executor, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
) -> t.Any:
    """Run *func* in a thread of *pool* and wait for it.

    It sees the caller's context variables, and the caller sees what it changed. A thread cannot
    be stopped: if the caller is cancelled, what the function waits for ends by
    :data:`current_ending`, and the caller goes on when the function has ended, so that nothing
    runs beside the clean-up.
    """
    hop = _hop(pool, func, args, kwargs)
    del pool  # An error's traceback holds this frame, and the pool may be a seat.
    return await hop


async def clean_up_in_thread(
    pool: Executor, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
) -> t.Any:
    """:func:`run_in_thread`, also if the caller is cancelled before a thread is free for it."""
    hop = _hop(pool, func, args, kwargs)
    hop.is_sure = True
    del pool  # As above.
    return await hop


def _hop(
    pool: Executor,
    func: t.Callable[..., t.Any],
    args: tuple[t.Any, ...],
    kwargs: dict[str, t.Any],
) -> Hop:
    ending = Ending()
    ending.tells_the_next = True
    call = partial(_ended_by, ending, *amid_error(func, amid), *args, **kwargs)
    return Hop(pool, call, ending.come)


def _ended_by(
    ending: Ending, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
) -> t.Any:
    token = current_ending.set(ending)
    try:
        return func(*args, **kwargs)
    finally:
        # The caller, who sees what was changed, waits for something else from now on.
        current_ending.reset(token)


def _result_of(work: t.Any) -> t.Any:
    try:
        return work.result()
    except StopIteration as error:
        raise Stopped(f"A sync function raised {error!r}") from error
    except Exception:
        if work.cancelled():
            # The pool was shut down.
            raise asyncio.CancelledError() from None
        raise
    finally:
        # An error's traceback holds this frame: without this, work and error hold each other.
        del work


def end_of(work: t.Any) -> _End:
    """What the loop can await until *work* is done."""
    end = _End(asyncio.get_running_loop())
    work.add_done_callback(end.tell)
    return end


class _End:
    """A future for one task to await, which another thread may tell that it has come.

    PERF: :class:`asyncio.Future` has the task wait for the loop's next turn, this has it go on
    in the turn that is told: a turn less of two (a tenth of a sync view's answer over ASGI).
    """

    # What tells asyncio's tasks that this is a future: see :func:`asyncio.isfuture`.
    _asyncio_future_blocking = False

    _wakeup: t.Callable[[], object] | None = None
    _cancelled: asyncio.CancelledError | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def tell(self, work: object) -> None:
        """Say, in any thread, that it has come."""
        # A loop that is closed waits for nothing.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._wakeup is not None:
            wakeup, self._wakeup = self._wakeup, None
            try:
                wakeup()
            finally:
                # Who is cancelled holds its error, whose traceback leads here by way of result():
                # without this, they hold each other.
                del wakeup

    # What a task asks of a future.

    def __await__(self) -> t.Generator[t.Any, None, None]:
        self._asyncio_future_blocking = True
        yield self
        self.result()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wakeup: t.Callable[[_End], object], *, context: Context) -> None:
        self._wakeup = partial(context.run, wakeup, self)

    def result(self) -> None:
        if self._cancelled is not None:
            try:
                raise self._cancelled
            finally:
                # Its traceback holds this frame: without this, it and this one hold each other.
                self._cancelled = None

    def cancel(self, msg: t.Any = None) -> bool:
        if not self._note_cancelled(msg):
            return False
        self._loop.call_soon(self._wake)
        return True

    def _note_cancelled(self, msg: t.Any) -> bool:
        if self._wakeup is None or self._cancelled is not None:
            return False
        # COMPAT: AnyIO knows by the message whose cancelling it is.
        self._cancelled = asyncio.CancelledError(*(() if msg is None else (msg,)))
        return True


class Hop(_End):
    """A call in a thread of a pool, for a task to await.

    Where nobody calls :meth:`begin`, it runs in the context of who awaits it, so that a sync
    function may set back what another one has set: with the token, which is good in no other
    context. Where that context is not known, since :func:`within` does not see to it, it runs in a
    copy, and what it changed is taken over.

    :param stop: called where a task that is cancelled has to wait for the thread, to tell it so.
    """

    #: Whether it is made even if the task is cancelled before a thread is free.
    is_sure = False

    _work: Future[t.Any] | None = None
    _copy: Context | None = None

    def __init__(
        self,
        pool: Executor,
        call: t.Callable[[], t.Any],
        stop: t.Callable[[], object] | None = None,
    ) -> None:
        # PERF: not by super(), here and below (4 Python calls of 60 for a sync view's request).
        self._loop = asyncio.get_running_loop()
        self._pool, self._call, self._stop = pool, call, stop

    def begin(self, context: Context) -> None:
        """Have the call run in *context*, if it does not in another one. To be awaited at once."""
        if self._work is not None:
            return
        try:
            self._work = self._pool.submit(context.run, self._call)
        except Exception as error:
            # The task's, when it has begun to wait.
            from concurrent.futures import Future

            self._work = Future()
            self._work.set_exception(error)
        self._work.add_done_callback(self.tell)

    def __await__(self) -> t.Generator[t.Any, None, t.Any]:
        work = None
        try:
            try:
                self._asyncio_future_blocking = True
                yield self
                self.result()
            finally:
                work, self._work = self._work, None
                del self._pool  # Not sooner: the thread is kept as long as the call goes on.
                if self._copy is not None:
                    adopt(self._copy)
            return _result_of(work)
        finally:
            # As above.
            del work

    def add_done_callback(self, wakeup: t.Callable[[_End], object], *, context: Context) -> None:
        self._wakeup = partial(context.run, wakeup, self)
        if self._work is None:
            self._copy = copy_context()
            self.begin(self._copy)

    def cancel(self, msg: t.Any = None) -> bool:
        if not self._note_cancelled(msg):
            return False
        # Told when the thread has ended.
        work: t.Any = self._work
        has_begun = work.running() if self.is_sure else not work.cancel()
        if has_begun and self._stop is not None:
            self._stop()
        return True


@coroutine
def within(
    context: Context,
    work: t.Coroutine[t.Any, t.Any, T] | t.Generator[t.Any, t.Any, T],
    awaited: t.Any = _absent,
) -> t.Generator[t.Any, t.Any, T]:
    """Await *work*, every step of it in *context*: what it sets there is not set here.

    :param awaited: what it awaits, if it was begun already.
    """
    step, value = work.send, None
    try:
        while True:
            try:
                if awaited is _absent:
                    awaited = context.run(step, value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                if type(awaited) is Hop:
                    # Now, since a thread can be in the context only while no step is.
                    awaited.begin(context)
                value = yield awaited
                step = work.send
            except BaseException as error:
                step, value = work.throw, error
            awaited = _absent
    finally:
        # An error's traceback holds this frame, and a task holds its error: without this, they hold
        # each other.
        del value, awaited
