"""Who sees, over ASGI, that a client which waits is listened to, so that its leaving is noticed."""

from __future__ import annotations

import typing as t
from contextvars import Context
from threading import get_ident

if t.TYPE_CHECKING:
    import asyncio

#: Seconds between two looks round.
PATIENCE = 0.02


class Guest(t.Protocol):
    """Whom a :class:`Doorman` looks after."""

    #: Whether the doorman has seen it before.
    is_known: bool

    def listen(self) -> None:
        """Listen from now on, so that the client's leaving is noticed."""


class Doorman:
    """Sees that someone listens to each client that waits, so that its leaving is noticed.

    PERF: listening takes a task (6 us); most answers are given before it is worth that. So those
    who were already here at the last look round are listened to, and a look round is for all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: The thread that runs the loop.
        self.thread = get_ident()
        #: Those nobody listens to yet. Who leaves takes itself out.
        self.present: set[Guest] = set()
        #: Whether a look round is due.
        self.is_on_duty = False

    def watch(self, guest: Guest) -> None:
        """Have *guest* be listened to, if nobody does for a while."""
        guest.is_known = False
        self.present.add(guest)
        if not self.is_on_duty:
            self.come()

    def come(self) -> None:
        """Look round from now on, until nobody is left."""
        self.is_on_duty = True
        # The present context would hold a request as long as the timer runs.
        self.loop.call_later(PATIENCE, self._look_round, context=Context())

    def _look_round(self) -> None:
        known = [guest for guest in self.present if guest.is_known]
        self.present.difference_update(known)
        for guest in self.present:
            guest.is_known = True
        for guest in known:
            guest.listen()
        self.is_on_duty = False
        if self.present:
            self.come()
