"""The threads in which sync functions run beside an event loop."""

from __future__ import annotations

import sys
import typing as t
from concurrent.futures import Executor
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from threading import Condition
from threading import RLock
from weakref import ref

from .greenlets import can_spawn
from .greenlets import real_lock
from .greenlets import spawn


def new_pool(count: int, name: str) -> Executor:
    """Threads, or greenlets where gevent has put these in their place."""
    if sys.platform == "emscripten":
        # In a browser there are no threads. What runs in place holds up the loop meanwhile.
        return InPlace()
    return Greenlets() if can_spawn() else WorkerThreads(count, name)


class Threads(ThreadPoolExecutor):
    """A pool of threads in which no context variables are set, whoever has them started."""

    if getattr(sys.flags, "thread_inherit_context", False):
        # As without the GIL, from Python 3.14 on. They would hold the request in which they were
        # started for as long as they live.
        def submit(
            self, fn: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
        ) -> Future[t.Any]:
            return Context().run(super().submit, fn, *args, **kwargs)


class WorkerThreads(Threads):
    """A pool of threads, and as many threads more that can each be kept to.

    :param count: of the pool's threads, and of the others.
    :param name: what the threads' names begin with.
    """

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, name)
        self._lanes: list[_Lane] = []
        # Several event loops may ask for seats at once.
        self._seating = RLock()

    def seat(self) -> Seat:
        """A seat in a thread, the one where the fewest are taken."""
        with self._seating:
            # PERF: of 40 threads the first is mostly free; asking all was a fifth of a request.
            for lane in self._lanes:
                if not lane.seats:
                    return Seat(self, lane)
            if len(self._lanes) == self._max_workers:
                return Seat(self, min(self._lanes, key=_Lane.taken))
            lane = _Lane(1, f"{self._thread_name_prefix}-{len(self._lanes)}")
            self._lanes.append(lane)
            return Seat(self, lane)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of all threads."""
        with self._seating:
            lanes = [*self._lanes]
        for lane in lanes:
            lane.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


class _Lane(Threads):
    """A single thread."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, name)
        #: The ids of the seats in it that are not freed yet. Not a number: one is freed in any
        #: thread, also by the collector within seat(), where no lock can be waited for.
        self.seats: set[int] = set()
        #: Held while something is given to it. Reentrant, for the collector's sake.
        self.submitting = RLock()

    def taken(self) -> int:
        """How many keep to it."""
        return len(self.seats)


class Seat(Executor):
    """Runs what it is given in one and the same thread, one thing at a time.

    What comes while something runs goes to the pool: what runs may be waiting for it.
    """

    def __init__(self, pool: Executor, lane: _Lane) -> None:
        self.pool = pool
        self._lane = lane
        # Gives what was submitted last, if that is still there: its error is held by nobody here.
        self._last: t.Callable[[], Future[t.Any] | None] = _nothing
        lane.seats.add(id(self))

    def __del__(self) -> None:
        self._lane.seats.discard(id(self))

    def submit(self, fn: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> Future[t.Any]:
        """Have *fn* called with these arguments; its result comes in a future."""
        with self._lane.submitting:
            # Asked, and not told by a callback: who waits for it may come back before that.
            last = self._last()
            if last is None or last.done():
                work = self._lane.submit(fn, *args, **kwargs)
                self._last = ref(work)
                return work
        return self.pool.submit(fn, *args, **kwargs)


def _nothing() -> None:
    return None


class InPlace(Executor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> Future[t.Any]:
        """Call *fn* with these arguments; its result is in the future."""
        future: Future[t.Any] = Future()
        _run(future, fn, args, kwargs)
        return future


class Greenlets(Executor):
    """Runs what it is given in greenlets, beside those that answer requests."""

    def submit(self, fn: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> Future[t.Any]:
        """Have *fn* called with these arguments; its result comes in a future."""
        future: Future[t.Any] = Future()
        future._condition = Condition(real_lock())
        spawn(_run, future, fn, args, kwargs)
        return future


def _run(
    future: Future[t.Any],
    func: t.Callable[..., t.Any],
    args: tuple[t.Any, ...],
    kwargs: dict[str, t.Any],
) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(func(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
