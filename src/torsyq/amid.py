"""Calls that another thread or the loop makes for one who handles an error."""

from __future__ import annotations

import sys
import typing as t


class Stopped(RuntimeError):
    """Carries a sync function's :exc:`StopIteration`, which Python lets out of no coroutine."""


def raised(error: t.Any) -> t.Any:
    """*error*, or the :exc:`StopIteration` that it carries."""
    return error.__cause__ if type(error) is Stopped else error


def amid_error(func: t.Callable[..., t.Any], caller: t.Callable[..., t.Any]) -> tuple[t.Any, ...]:
    """What to call elsewhere for *func* to find the error that the caller is handling, if any."""
    error = sys.exc_info()[1]
    return (func,) if error is None else (caller, raised(error), func)


def amid(
    error: BaseException, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
) -> t.Any:
    """Call *func* as one who handles *error*: ``logger.exception()`` and ``raise`` look for it."""
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback
        return func(*args, **kwargs)
    finally:
        # Where it is raised again, its traceback holds this frame: they would hold each other.
        del error, traceback, args, kwargs


async def amid_async(
    error: BaseException, func: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
) -> t.Any:
    """:func:`amid` for an ``async def``."""
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback
        return await func(*args, **kwargs)
    finally:
        # Where it is raised again, its traceback holds this frame: they would hold each other.
        del error, traceback, args, kwargs
