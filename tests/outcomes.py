"""What a call comes to, in a form in which two can be compared."""

from __future__ import annotations

import typing as t

Complaint = tuple[type[BaseException], str] | None


def outcome(call: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> t.Any:
    """What a call gives, or the kind of its error and what that says."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


def complaint(call: t.Callable[[], object]) -> Complaint:
    """The kind of a call's error and what it says; None where there is none."""
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None
