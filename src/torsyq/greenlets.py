"""Real threads, also where gevent or eventlet have put greenlets in the place of threads.

All greenlets of a process run in one thread, and an event loop that runs in one of them seems to
run in each. So the lasting loop gets a real thread there too, and a greenlet that waits for it
lets the others run.
"""

from __future__ import annotations

import os
import sys
import threading
import typing as t
from contextvars import Context

#: Whether Ctrl+C ends no wait for a lock: so it was on Windows before Python 3.14.
UNINTERRUPTIBLE = sys.platform == "win32" and sys.version_info < (3, 14)
#: Seconds after which Ctrl+C is seen there, between two waits.
GLANCE = 0.5

#: Gevent's hub of the thread from which one was started: where greenlets can run.
_home: t.Any = None


class Latch(t.Protocol):
    """What one waits at until another opens it, once."""

    def acquire(self) -> object:
        """Wait until it is open."""

    def release(self) -> None:
        """Open it, from any thread."""


def threads_are_greenlets() -> bool:
    """Whether greenlets are in the place of threads."""
    return (
        _patcher("gevent.monkey", "threading") or _patcher("eventlet.patcher", "thread")
    ) is not None


def start_thread(run: t.Callable[[], None], name: str) -> None:
    """Start a real thread, which does not keep the process from ending.

    It has none of the caller's context variables.
    """
    global _home
    if (gevent := _patcher("gevent.monkey", "threading")) is not None:
        from gevent import get_hub

        _home = get_hub()
        gevent.get_original("_thread", "start_new_thread")(run, ())
        return
    eventlet = _patcher("eventlet.patcher", "thread")
    real = threading if eventlet is None else eventlet.original("threading")
    thread = real.Thread(target=run, name=name, daemon=True)
    # Without the GIL it would inherit them, and hold the request in which it was started.
    Context().run(thread.start)


def new_latch() -> Latch:
    """A latch that the thread or greenlet which made it can wait at."""
    if _patcher("gevent.monkey", "threading") is not None:
        return _GeventLatch()
    if _patcher("eventlet.patcher", "thread") is not None:
        return _EventletLatch()
    if UNINTERRUPTIBLE:
        return _PatientLatch()
    # PERF: a call of a coroutine takes 21 us with a bare lock, 25 with a concurrent.futures.Future.
    lock = threading.Lock()
    lock.acquire()
    return lock


def can_spawn() -> bool:
    """Whether what :func:`start_thread` has started can have greenlets run by who started it.

    Greenlets of its own, which it gets for threads, would keep the process from ending.
    """
    return _home is not None


def spawn(func: t.Callable[..., None], *args: t.Any) -> None:
    """Have *func* called in a greenlet of the thread that called :func:`start_thread`."""
    import gevent

    _home.loop.run_callback_threadsafe(gevent.spawn, func, *args)


def real_lock() -> threading.Lock:
    """A lock to be held for a moment, without a switch, by greenlets and by real threads.

    Those of gevent and eventlet fail where two threads want one at the same moment.
    """
    if (gevent := _patcher("gevent.monkey", "threading")) is not None:
        return gevent.get_original("_thread", "allocate_lock")()  # type: ignore[no-any-return]
    eventlet = _patcher("eventlet.patcher", "thread")
    real = threading if eventlet is None else eventlet.original("threading")
    return real.Lock()  # type: ignore[no-any-return]


class _PatientLatch:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.release = self._lock.release

    def acquire(self) -> None:
        while not self._lock.acquire(timeout=GLANCE):
            pass


class _GeventLatch:
    def __init__(self) -> None:
        from gevent import get_hub
        from gevent.event import Event

        # What gevent can be woken with by another thread.
        self._bell = get_hub().loop.async_()
        self._is_open = Event()
        self._bell.start(self._is_open.set)
        self.release = self._bell.send

    def acquire(self) -> None:
        try:
            self._is_open.wait()
        finally:
            # Not closed: a greenlet that was told to wait no longer leaves it to be rung.
            self._bell.stop()


class _EventletLatch:
    def __init__(self) -> None:
        # Eventlet knows nothing of other threads; a pipe that is closed wakes it.
        self._reader, self._writer = os.pipe()
        self._is_open = False

    def release(self) -> None:
        self._is_open = True
        os.close(self._writer)

    def __del__(self) -> None:
        # A greenlet that waits for a message no longer, as after eventlet's Timeout, is told of none.
        if not self._is_open:
            os.close(self._writer)

    def acquire(self) -> None:
        from eventlet.hubs import trampoline

        try:
            trampoline(self._reader, read=True)
        finally:
            os.close(self._reader)


def _patcher(name: str, patched: str) -> t.Any:
    """The module that has replaced threads by greenlets; None where it did not."""
    module = sys.modules.get(name)
    if module is None:
        return None
    is_patched = getattr(module, "is_module_patched", None) or module.is_monkey_patched
    return module if is_patched(patched) else None
