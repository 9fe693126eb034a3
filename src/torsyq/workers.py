"""The threads in which sync functions run beside an event loop."""

from __future__ import annotations

import sys
import typing as t
from collections import deque
from concurrent.futures import CancelledError
from concurrent.futures import Executor
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from itertools import count as count_up
from threading import Condition
from threading import RLock
from weakref import ref

from .greenlets import can_spawn
from .greenlets import real_lock
from .greenlets import spawn

# The most threads that are kept to: requests may wait for hours and keep theirs. Idle ones are cheap,
# but systems count them: four processes with so many are within the 4,915 of a systemd service.
MOST_LANES = 1000


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
    """A pool of threads, and threads beside it that are each kept to: see :class:`Seat`.

    :param count: of the pool's threads, of the newcomers at work at once in the other ones, and of
        those that are kept when nobody needs them.
    :param name: what the threads' names begin with.
    """

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, name)
        # Held here too: a pool of threads that the collector finds has told its threads to end, even
        # if it is given back then.
        self._lanes: set[_Lane] = set()
        # Those that nobody keeps to.
        self._free: list[_Lane] = []
        self._numbers = count_up()
        self._places = count
        self._waiting: deque[tuple[t.Any, ...]] = deque()
        # Several event loops may ask at once. Reentrant, for the collector's sake.
        self._lock = RLock()

    def seat(self, is_new: bool = False) -> Seat:
        """A seat in a thread that nobody else has, as far as there are threads.

        :param is_new: whether what it runs first waits for a place, since it has begun nothing yet
            that others may wait for.
        """
        return Seat(self, is_new)

    def begin(
        self,
        seat: Seat,
        fn: t.Callable[..., t.Any],
        args: tuple[t.Any, ...],
        kwargs: dict[str, t.Any],
    ) -> Future[t.Any]:
        """Have *seat* run its first function, when there is a place."""
        with self._lock:
            if not self._places:
                work: Future[t.Any] = Future()
                self._waiting.append((seat, work, fn, args, kwargs))
                return work
            self._places -= 1
        try:
            work = seat.run(fn, args, kwargs)
        except BaseException:
            self._leave_place()
            raise
        work.add_done_callback(self._leave_place)
        return work

    def _leave_place(self, _done: object = None) -> None:
        """Give a place that was taken to who has waited longest."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._places += 1
                    return
                seat, work, fn, args, kwargs = self._waiting.popleft()
            if not work.set_running_or_notify_cancel():
                continue
            try:
                begun = seat.run(fn, args, kwargs)
            except BaseException as error:
                # The one's who waits for it.
                work.set_exception(error)
            else:
                begun.add_done_callback(partial(self._pass_on, work))
                return

    def _pass_on(self, work: Future[t.Any], done: Future[t.Any]) -> None:
        self._leave_place()
        if done.cancelled():
            work.set_exception(CancelledError())
            return
        # Not raised: its traceback would hold this frame, and the future that holds the error.
        error = done.exception()
        if error is None:
            work.set_result(done.result())
        else:
            work.set_exception(error)

    def keep(self) -> _Kept:
        """A thread that nobody keeps to; where there are too many, one that somebody keeps to."""
        with self._lock:
            while True:
                lane = self._free.pop() if self._free else self._new_lane()
                if lane is not None:
                    return _Kept(lane, self._lanes, self._free, self._max_workers)
                lanes = [*self._lanes]  # Some may end meanwhile.
                shared = [kept for lane in lanes if (kept := lane.kept()) is not None]
                if shared:
                    # Each in its turn.
                    return shared[next(self._numbers) % len(shared)]

    def _new_lane(self) -> _Lane | None:
        if len(self._lanes) >= MOST_LANES:
            return None
        lane = _Lane(1, f"{self._thread_name_prefix}-{next(self._numbers)}")
        try:
            lane.submit(_nothing)
        except RuntimeError:
            # The system has no more threads to give.
            if not self._lanes:
                raise
            return None
        self._lanes.add(lane)
        return lane

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of all threads."""
        with self._lock:
            lanes = [*self._lanes]
            # What waits for a place gets other threads, which end with this.
            self._lanes, self._free = set(), []
        for lane in lanes:
            lane.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


class _Lane(Threads):
    """A single thread."""

    #: Gives what keeps it, if anything does.
    kept: t.Callable[[], _Kept | None]


class _Kept:
    """Keeps a lane from being given to others, until nobody has this any more.

    That may be in any thread and at any step, also of the collector's: no lock can be waited for.
    """

    def __init__(self, lane: _Lane, lanes: set[_Lane], free: list[_Lane], most_free: int) -> None:
        self.lane, self._lanes, self._free, self._most_free = lane, lanes, free, most_free
        lane.kept = ref(self)

    def __del__(self) -> None:
        if len(self._free) < self._most_free:
            self._free.append(self.lane)
        else:
            self._lanes.discard(self.lane)  # It ends.


class Seat(Executor):
    """Runs what it is given in one and the same thread, one thing at a time.

    Who has begun may hold what others wait for, and so waits for none of them: the thread is
    given to nobody else as long as the seat is there, and only what comes first waits for a place.
    What comes while something runs has a thread of its own: what runs may be waiting for it.
    """

    def __init__(self, pool: WorkerThreads, is_new: bool) -> None:
        self.pool = pool
        self._is_new = is_new
        self._kept: _Kept | None = None
        # Gives what was submitted last, if that is still there: its error is held by nobody here.
        self._last: t.Callable[[], Future[t.Any] | None] = _nothing
        # Held while something is given to it. Reentrant, for the collector's sake.
        self._submitting = RLock()

    def submit(self, fn: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> Future[t.Any]:
        """Have *fn* called with these arguments; its result comes in a future."""
        with self._submitting:
            # Asked, and not told by a callback: who waits for it may come back before that.
            last = self._last()
            if last is not None and not last.done():
                kept = self.pool.keep()
                return kept.lane.submit(_run_kept, kept, fn, args, kwargs)
            if self._is_new:
                work = self.pool.begin(self, fn, args, kwargs)
            else:
                work = self.run(fn, args, kwargs)
            self._last = ref(work)
            return work

    def run(
        self, fn: t.Callable[..., t.Any], args: tuple[t.Any, ...], kwargs: dict[str, t.Any]
    ) -> Future[t.Any]:
        """:meth:`submit`, whatever runs, and without waiting for a place."""
        with self._submitting:
            # Not sooner: where the first is cancelled while it waits, the next one is the first.
            self._is_new = False
            if self._kept is None:
                self._kept = self.pool.keep()
            return self._kept.lane.submit(fn, *args, **kwargs)


def _nothing() -> None:
    return None


def _run_kept(
    _kept: _Kept,
    func: t.Callable[..., t.Any],
    args: tuple[t.Any, ...],
    kwargs: dict[str, t.Any],
) -> t.Any:
    return func(*args, **kwargs)


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
