"""How the view of a WebSocket, or a hook before it, is ended when the connection is over."""

from __future__ import annotations

import asyncio
import typing as t
from contextlib import suppress
from contextvars import Context

from .loop import current_ending
from .loop import Ending
from .loop import runs_here

# A view that received a message before the client went has this many seconds to be done with it.
_GRACE = 1.0


class Viewer:
    """A view, or the hooks before it. Told of the end by what it calls, it ends by itself; else it
    is ended: an async one is cancelled, and of a sync one, in its thread, what it waits for.

    :param loop: that of the server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: For what else a sync view waits for, but for coroutines: these end as an async view does.
        self.ending = Ending()
        self.coroutines = self.ending.of_coroutines = Ending()
        self.coroutines.tells_the_next = True
        #: Whether it has asked for a message, and so may be about something.
        self.has_received = False
        #: Whether it was ended, and did not end by itself.
        self.has_cancelled = False
        # Ends it, of either kind, as long as it is at work; and its task, if it is async.
        self._cancel: t.Callable[[], object] | None = None
        self._task: asyncio.Task[t.Any] | None = None
        self._is_dismissed = False
        # It is told, and may clean up.
        self._knows = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(
        self, cancel: t.Callable[[], object], task: asyncio.Task[t.Any] | None = None
    ) -> None:
        """Let *cancel* end the view, or a hook, when the client goes or has gone before.

        :param task: that of an async one.
        """
        self._cancel, self._task, self._knows = cancel, task, False
        if self._is_dismissed:
            self.dismiss()

    def end(self) -> None:
        """Let nothing end it any more: it has ended."""
        self._cancel = self._task = None

    def dismiss(self) -> None:
        """Have it end if it does not do so by itself."""
        self._is_dismissed = True
        self.stop()
        delay = _GRACE if self.has_received else 0
        # The present context would hold the websocket as long as the timer runs.
        self._timer = self.loop.call_later(delay, self._end, context=Context())

    def stop(self) -> None:
        """Stop waiting for the moment to end it."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        if self._cancel is not None and not self._knows:
            # A second time it would be cut off where it cleans up.
            self.has_cancelled = self._knows = True
            self._cancel()

    def leave(self) -> None:
        """Have it end, since a task or a hook beside it has found or made an end of it."""
        self.be_told()
        self.dismiss()

    def be_told(self) -> None:
        """Leave it alone from now on if this is in its task: it knows, and may clean up."""
        if asyncio.current_task() in self._tasks():
            self._knows = True

    def be_told_in_thread(self) -> None:
        """The same for a sync one, if this is in its thread."""
        if current_ending.get(None) is self.ending and not runs_here(self.loop):
            self._knows = True
            self.coroutines.be_known()

    def _tasks(self) -> list[object]:
        """An async one's own task, or that of the coroutine a sync one waits for."""
        return self.coroutines.tasks() if self._task is None else [self._task]

    async def end_gathering(self) -> None:
        """Cancel one that waits in ``gather``, before one of what it gathers is told of the end.

        COMPAT: so views of Quart are written. Where one that is gathered ends, the others go on,
        and nobody would end them any more; where the view is cancelled, so are they.
        """
        for task in self._tasks():
            # Nothing public tells what a task waits for.
            waits_for: t.Any = getattr(task, "_fut_waiter", None)
            if hasattr(waits_for, "_children") and not waits_for.done():
                self._end()
                # Who is told is cancelled as well: here, and not where it cleans up.
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
