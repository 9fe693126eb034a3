"""Sync code beneath an async view that waits as if it were async: the event loop goes on meanwhile.

Each step of the coroutine, from one ``await`` to the next, runs in a greenlet. What it calls can
leave that, however deep in sync code it is, and come back when something awaitable has come.
"""

from __future__ import annotations

import threading
import typing as t
from asyncio import current_task
from functools import wraps
from types import coroutine

from greenlet import getcurrent
from greenlet import greenlet
from greenlet import GreenletExit

from .amid import amid_async
from .amid import amid_error

T = t.TypeVar("T")

#: As many runners as a thread keeps for later.
_SPARE = 100


def can_suspend() -> bool:
    """Whether the caller is called by what :func:`suspendable` has made."""
    runner = getcurrent()
    # A task that was begun at once, in the midst of this one's step, is another's.
    return type(runner) is _Runner and runner.task is _current_task()


def suspend(awaitable: t.Awaitable[T]) -> T:
    """Await *awaitable* from sync code, where :func:`can_suspend` holds.

    Others run meanwhile, who do not expect it: it is for what would hold them all up otherwise.
    """
    return getcurrent().parent.switch(awaitable)  # type: ignore[no-any-return, union-attr]


def suspendable(
    func: t.Callable[..., t.Awaitable[T]],
) -> t.Callable[..., t.Coroutine[t.Any, t.Any, T]]:
    """The async *func*, the sync code in which may :func:`suspend` it."""

    @wraps(func)
    async def wrapper(*args: t.Any, **kwargs: t.Any) -> T:
        return await _in_greenlets(_awaited(*amid_error(func, amid_async), *args, **kwargs))

    return wrapper


async def _awaited(func: t.Callable[..., t.Awaitable[T]], /, *args: t.Any, **kwargs: t.Any) -> T:
    return await func(*args, **kwargs)


async def _result(awaitable: t.Awaitable[T]) -> T:
    return await awaitable


def _current_task() -> object:
    try:
        return current_task()
    except RuntimeError:
        return None  # It is closed where no loop runs.


class _Runner(greenlet):
    """Runs steps, one after another.

    PERF: a greenlet for each step takes 20 us (CPython 3.11), another step of this one 1 us.
    """

    step: t.Any = None
    value: t.Any = None
    task: object = None
    # What came of the step: what it awaits, or its error.
    awaited: t.Any = None
    failure: BaseException | None = None


def _run_steps() -> None:
    # Not a method, nor with a variable for the runner: a greenlet that is held by its own frames
    # is never freed.
    while True:
        _run_step(getcurrent())
        getcurrent().parent.switch(None)  # type: ignore[union-attr]


def _run_step(runner: t.Any) -> None:
    step, value = runner.step, runner.value
    runner.step = runner.value = None
    try:
        runner.awaited = step(value)
    except GreenletExit:
        raise
    except BaseException as error:
        runner.failure = error
    finally:
        # Where it was thrown in, its traceback holds this frame: they would hold each other.
        del step, value


class _Spare(threading.local):
    def __init__(self) -> None:
        self.runners: list[_Runner] = []


_spare = _Spare()


@coroutine
def _in_greenlets(work: t.Coroutine[t.Any, t.Any, T]) -> t.Generator[t.Any, t.Any, T]:
    spare = _spare.runners
    # The same for all steps: a greenlet that was begun in one, as SQLAlchemy's AsyncSession begins
    # them, comes back to it from the next ones too.
    runner = spare.pop() if spare else _Runner(_run_steps)
    step, value, awaited, error = work.send, None, None, None
    try:
        while True:
            runner.parent = here = getcurrent()
            runner.gr_context = here.gr_context
            runner.step, runner.value, runner.task = step, value, _current_task()
            waits_for = runner.switch()
            while waits_for is not None:
                try:
                    value = yield from _result(waits_for)
                except BaseException as exc:
                    waits_for = runner.throw(exc)
                else:
                    waits_for = runner.switch(value)
            awaited, error = runner.awaited, runner.failure
            runner.awaited = runner.failure = runner.gr_context = runner.task = None
            if error is not None:
                if len(spare) < _SPARE:
                    spare.append(runner)
                if isinstance(error, StopIteration):
                    return error.value  # type: ignore[no-any-return]
                raise error
            try:
                value = yield awaited
                step = work.send
            except BaseException as exc:
                step, value = work.throw, exc
    finally:
        # An error's traceback holds this frame: without this, they hold each other.
        del step, value, awaited, error
