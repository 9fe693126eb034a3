"""What is freed as soon as nobody uses it, since no cycle of references holds it."""

from __future__ import annotations

import gc
import typing as t
from contextlib import contextmanager

from .servers import until

if t.TYPE_CHECKING:
    import weakref


@contextmanager
def freed(count: int = 1) -> t.Iterator[list[weakref.ref[t.Any]]]:
    """Inside of ``with`` *count* references go into the list; in the end what they mean is freed.

    The collector rests meanwhile. A thread lets go of what it worked on a moment after it is known
    to be done; so what it means need not be freed at once.
    """
    kept: list[weakref.ref[t.Any]] = []
    gc.collect()
    gc.disable()
    try:
        yield kept
        assert len(kept) == count
        until("all to be freed", lambda: all(ref() is None for ref in kept))
    finally:
        gc.enable()
