"""What is freed as soon as nobody uses it, since no cycle of references holds it."""

from __future__ import annotations

import gc
import typing as t
from contextlib import contextmanager

if t.TYPE_CHECKING:
    import weakref


@contextmanager
def freed(count: int = 1) -> t.Iterator[list[weakref.ref[t.Any]]]:
    """Inside of ``with`` *count* references go into the list; in the end what they mean is freed.

    The collector rests meanwhile.
    """
    kept: list[weakref.ref[t.Any]] = []
    gc.collect()
    gc.disable()
    try:
        yield kept
        assert [ref() for ref in kept] == [None] * count
    finally:
        gc.enable()
