"""In debug mode: who blocks the event loop, told by file and line.

While an async view computes or calls something that waits without ``await``, every other request
waits with it. A thread watches the loop while requests are handled; where the loop does not
answer in time, it logs what the loop's thread is doing.
"""

from __future__ import annotations

import os
import sys
import threading
import typing as t
from contextlib import suppress
from contextvars import Context
from functools import cache
from functools import wraps
from time import sleep
from weakref import ref
from weakref import WeakKeyDictionary

from .lazy import deferred

if t.TYPE_CHECKING:
    import asyncio
    import logging
    from types import FrameType

    class App(t.Protocol):
        """Who is told. Its logger is made where first read, and that is not before."""

        @property
        def logger(self) -> logging.Logger: ...
else:
    asyncio = deferred("asyncio", globals())

#: Seconds that a loop may take to answer.
LIMIT = 0.1


@cache
def _not_the_apps() -> tuple[str, ...]:
    """Where the code of others lives."""
    import sysconfig

    paths = sysconfig.get_paths()
    own = os.path.dirname(__file__)
    return tuple(f"{p}{os.sep}" for p in (own, *map(paths.get, ("stdlib", "purelib", "platlib"))))


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWatch] = WeakKeyDictionary()
_lock = threading.Lock()


def watched(
    func: t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]], app: App
) -> t.Callable[..., t.Coroutine[t.Any, t.Any, t.Any]]:
    """*func*, with a watch over the loop that runs it."""

    @wraps(func)
    async def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        with _watch_over(asyncio.get_running_loop(), app):
            return await func(*args, **kwargs)

    return wrapper


def _watch_over(loop: asyncio.AbstractEventLoop, app: App) -> LoopWatch:
    with _lock:
        watch = _watches.get(loop)
        if watch is None:
            watch = _watches[loop] = LoopWatch(loop)
        watch.app = ref(app)
        return watch


class LoopWatch:
    """Watches a loop as long as someone is within it."""

    #: Whose function came last; several share a loop.
    app: ref[App]

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Weakly: this is found by its loop, and must not keep it.
        self._loop = ref(loop)
        self._thread_id = 0
        self._inside = 0
        self._wake = threading.Event()
        self._beat = threading.Event()
        self._is_watching = False

    def __enter__(self) -> None:
        self._thread_id = threading.get_ident()
        self._inside += 1
        self._wake.set()
        if not self._is_watching:
            self._is_watching = True
            # In a browser no thread can be started: nobody watches.
            with suppress(RuntimeError):
                # Without the GIL it would inherit a request, and log as if within that.
                thread = threading.Thread(target=self._watch, name="torsyq-loop-watch", daemon=True)
                Context().run(thread.start)

    def __exit__(self, *exc_info: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._wake.clear()

    def _watch(self) -> None:
        # Gone when nobody has been inside for a while.
        while self._wake.wait(10 * LIMIT):
            self._beat.clear()
            if not self._ask():
                break
            if not self._beat.wait(LIMIT):
                self._report()
                # Once for each time that it is blocked.
                while self._inside and not self._beat.wait(LIMIT):
                    pass
            sleep(LIMIT / 4)
        self._is_watching = False

    def _ask(self) -> bool:
        """Have the loop answer; False if it is closed, or gone."""
        loop = self._loop()
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(self._beat.set)
        except RuntimeError:
            return False
        return True

    def _report(self) -> None:
        frame = sys._current_frames().get(self._thread_id)
        app = self.app()
        if frame is None or app is None:
            return
        frame = _frame_of_app(frame)
        code = frame.f_code
        app.logger.warning(
            f"The event loop has been blocked for more than {LIMIT * 1000:.0f} ms by"
            f" {code.co_filename}:{frame.f_lineno}, in {code.co_qualname}(). All other requests"
            " wait meanwhile. Usually an async view calls something that waits or computes without"
            " 'await'. Await an async version of it, or make the view a plain 'def': those run in"
            " threads."
        )


def _frame_of_app(frame: FrameType) -> FrameType:
    """The innermost call that is neither Python's, nor an installed package's, nor Torsyq's."""
    inner: FrameType | None = frame
    while inner is not None:
        if not _file_of(inner).startswith(_not_the_apps()):
            return inner
        inner = inner.f_back
    return frame


def _file_of(frame: FrameType) -> str:
    """Where the code is from. What was made at run time is from where its module is.

    COMPAT: SQLAlchemy, where it waits for a connection, is in such code.
    """
    name = frame.f_code.co_filename
    if not name.startswith("<"):
        return name
    module = sys.modules.get(frame.f_globals.get("__name__", ""))
    return getattr(module, "__file__", None) or name
