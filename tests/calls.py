"""Which Python functions are called, for the tests that hold the code to a number of them."""

from __future__ import annotations

import gc
import sys
import typing as t
from types import CodeType

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Calls:
    """Inside of ``with``, the code of every function that is called in this thread.

    The collector rests meanwhile: what is called back by it would be among them.
    """

    def __enter__(self) -> list[CodeType]:
        called: list[CodeType] = []

        def note(frame: FrameType, event: str, arg: object) -> None:
            if event == "call" and frame.f_code.co_filename != __file__:
                called.append(frame.f_code)

        self.was_enabled = gc.isenabled()
        gc.disable()
        sys.setprofile(note)
        return called

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        if self.was_enabled:
            gc.enable()


def calls_of(function: Callable[[], object]) -> int:
    """How many Python functions a second call runs, itself left out."""
    function()
    with Calls() as called:
        function()
    return len(called) - 1
