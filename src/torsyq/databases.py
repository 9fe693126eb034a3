"""SQLAlchemy in async views: a view that waits for the database waits alone.

SQLAlchemy's sessions, and so Flask-SQLAlchemy's, are sync. A view that waited on the event loop for
a free connection would hold up the views that have one, and so wait for itself; one that waited for
a row or a table that is locked, the view that has locked it. Here such a view is suspended.
"""

from __future__ import annotations

import asyncio
import os
import threading
import typing as t
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from functools import partial

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.util.queue import Empty
from sqlalchemy.util.queue import Queue

from .suspending import can_suspend
from .suspending import suspend
from .threads import end_of
from .workers import Threads

T = t.TypeVar("T")

#: Seconds that the event loop waits for a statement or a commit. In those few only that take longer
#: does another view run while sync code of this one is not at its end.
PATIENCE = 0.02

#: What a dialect does that another transaction's locks may keep waiting. It has no event for all.
_MAY_WAIT = "do_execute", "do_executemany", "do_execute_no_params", "do_commit"

_seeing = threading.Lock()


def see_to_engines() -> None:
    """Have what waits for a database wait alone, if :func:`.suspendable` has made it."""
    event.listen(Engine, "engine_connect", _see_to_engine)


def _see_to_engine(connection: Connection, *_: object) -> None:
    pool: t.Any = connection.engine.pool
    # Pools of other kinds have no limit, or their connections are for one thread.
    if type(getattr(pool, "_pool", None)) is not Queue:
        return
    with _seeing:
        if type(pool._pool) is Queue:
            pool._pool = Line(pool._pool)
            dialect = connection.dialect
            for name in _MAY_WAIT:
                func = getattr(dialect, name)
                if type(func) is not partial:  # As it is when the pool was made anew.
                    setattr(dialect, name, partial(_waiting_alone, func))


class Line(Queue):  # type: ignore[type-arg]  # It has no arguments in SQLAlchemy 1.4.
    """The free connections of a pool, where async views stand in line for them."""

    def __init__(self, queue: Queue[t.Any]) -> None:
        # All that is its own: threads may be waiting in it.
        vars(self).update(vars(queue))
        self._waiting: deque[asyncio.Future[None]] = deque()

    def _full(self) -> bool:
        # Who is in line takes what SQLAlchemy would close, being one too many to keep.
        return 0 < self.maxsize <= self._qsize() and not self._waiting

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Give a connection back."""
        super().put(item, block, timeout)
        self._tell_next()

    def get(self, block: bool = True, timeout: float | None = None) -> t.Any:
        """Take a connection, when there is one.

        :raises sqlalchemy.util.queue.Empty: there was none in time.
        """
        if not block or not can_suspend():
            return super().get(block, timeout)
        return suspend(self._get_in_line(timeout))

    async def _get_in_line(self, timeout: float | None) -> t.Any:
        stand = self._waiting.append
        try:
            async with asyncio.timeout(timeout):
                while True:
                    turn = asyncio.get_running_loop().create_future()
                    # Before one looks: a thread may give one back at any time.
                    stand(turn)
                    try:
                        with suppress(Empty):
                            item = super().get(False)
                            self._leave(turn)
                            return item
                        await turn
                    except BaseException:
                        self._leave(turn)
                        raise
                    # A thread may have been faster: not to the end of the line.
                    stand = self._waiting.appendleft
        except TimeoutError:
            raise Empty from None

    def _leave(self, turn: asyncio.Future[None]) -> None:
        try:
            self._waiting.remove(turn)
        except ValueError:
            self._tell_next()  # It was this one's turn.

    def _tell_next(self) -> None:
        with suppress(IndexError):
            while True:
                turn = self._waiting.popleft()
                # Not a loop that is closed: nobody waits there.
                with suppress(RuntimeError):
                    turn.get_loop().call_soon_threadsafe(_come, turn)
                    return


def _come(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _waiting_alone(func: t.Callable[..., T], *args: t.Any) -> T:
    """Call *func*, in a thread where the caller can be suspended."""
    if not can_suspend():
        return func(*args)
    work: Future[T] = _threads().submit(copy_context().run, func, *args)
    try:
        with suppress(TimeoutError):
            work.exception(PATIENCE)
        if not work.done():
            suspend(_end(work))
        return work.result()
    finally:
        # An error's traceback holds this frame: without this, work and error hold each other.
        del work


async def _end(work: Future[t.Any]) -> None:
    """Wait until *work* has ended, also who is cancelled: nobody else may use its connection."""
    cancelled = None
    while not work.done():
        try:
            await end_of(work)
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        if cancelled is not None:
            raise cancelled
    finally:
        # As above.
        del cancelled


@cache
def _threads() -> Threads:
    # As many as connections are in use, which the pools see to.
    return Threads(10_000, "torsyq-sql")


if hasattr(os, "register_at_fork"):
    # A forked child has none of the parent's threads.
    os.register_at_fork(after_in_child=_threads.cache_clear)
