"""What a view may return becomes a response."""

from __future__ import annotations

import collections.abc as cabc
import sys
import typing as t
from contextlib import suppress

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from .globals import request
from .lazy import is_stock
from .loop import EitherIterator
from .pages import error_response
from .sansio.app import App
from .wrappers import Response
from .wrappers_response import response_of

if t.TYPE_CHECKING:
    from . import typing as ft


class Responses(App):
    """The part of :class:`.Flask` that makes responses."""

    response_class: type[Response]

    def make_response(self, rv: ft.ResponseReturnValue) -> Response:
        """Make a response of what a view may return.

        A string or bytes is the body; a dictionary or list is sent as JSON; an iterator streams;
        a response, an HTTP error or a WSGI application is taken as it is; a tuple adds a status,
        headers or both.

        :raises TypeError: it is None, or nothing of these.
        """
        kind = type(rv)
        if (kind is str or kind is bytes) and self.response_class is Response:
            return response_of(rv)  # type: ignore[arg-type]
        if kind is dict or kind is list:
            return self.json.response(rv)  # type: ignore[return-value]
        if kind is self.response_class:
            return rv  # type: ignore[return-value]

        status: t.Any = None
        headers: t.Any = None
        if isinstance(rv, tuple):
            if len(rv) == 2 and type(rv[1]) is int:
                rv, status = rv
                if type(rv) is str and self.response_class is Response:
                    return response_of(rv, status)
            else:
                rv, status, headers = _unpack(rv)

        if rv is None:
            raise TypeError(
                f"The view function for {request.endpoint!r} did not return a valid response."
                " The function either returned None or ended without a return statement."
            )
        if isinstance(rv, (str, bytes, bytearray)):
            # The constructor takes these two, so they are not applied again.
            # COMPAT: one of a subclass may have other defaults for them, or none.
            return self.response_class(rv, status=status, headers=headers)
        response: t.Any
        if isinstance(rv, self.response_class):
            response = rv
        elif isinstance(rv, (dict, list)):
            response = self.json.response(rv)
        elif isinstance(rv, HTTPException):
            response = error_response(rv, request.environ, self.response_class)
            if self.config.get("ERROR_PAGE_LANGUAGES"):
                from .languages import translate_page

                translate_page(rv, response)
        elif isinstance(rv, cabc.Iterator):
            return self.response_class(rv, status=status, headers=headers)
        elif isinstance(rv, BaseResponse) or callable(rv):
            try:
                response = self.response_class.force_type(rv, request.environ)  # type: ignore[arg-type]
            except TypeError as error:
                raise TypeError(f"{error}\n{_not_a_response(rv)}").with_traceback(
                    sys.exc_info()[2]
                ) from None
        elif isinstance(rv, cabc.AsyncIterable):
            return self.response_class(EitherIterator(rv), status=status, headers=headers)
        else:
            raise TypeError(_not_a_response(rv))

        if status is not None or headers:
            _add(response, status, headers)
        return response  # type: ignore[no-any-return]


def _unpack(rv: tuple[t.Any, ...]) -> tuple[t.Any, t.Any, t.Any]:
    """The body, status and headers of the tuple that a view returned."""
    if len(rv) == 2:
        body, second = rv
        if isinstance(second, (Headers, dict, tuple, list)):
            return body, None, second
        return body, second, None
    if len(rv) == 3:
        return rv
    raise TypeError(
        "The view function did not return a valid response tuple."
        " The tuple must have the form (body, status, headers),"
        " (body, status), or (body, headers)."
    )


def _add(response: t.Any, status: t.Any, headers: t.Any) -> None:
    """Set on a response what came beside it in a tuple."""
    try:
        if status is not None:
            if isinstance(status, (str, bytes, bytearray)):
                response.status = status
            else:
                response.status_code = status
        if headers:
            response.headers.update(headers)
    except BaseException:
        # The file in it.
        response.close()
        raise


def _not_a_response(rv: object) -> str:
    return (
        "The view function did not return a valid response. The return type must be a string,"
        " dict, list, tuple with headers or status, Response instance, or WSGI callable, but it"
        f" was a {type(rv).__name__}."
    )


def no_response(func: object) -> TypeError:
    """The error of an ``after_request`` or ``after_this_request`` function that returned None."""
    name = getattr(func, "__name__", None) or repr(func)
    return TypeError(
        f"The function {name!r}, which is called after a request, returned None instead of a"
        " response. Usually its 'return response' is missing."
    )


def answers_by_itself(response: t.Any) -> bool:
    """Whether a response calls the server in a way of its own, and so raises for the server.

    COMPAT: Flask-Sock's tells gunicorn by a ``StopIteration`` that the socket is taken over.
    """
    call = getattr(type(response), "__call__", None)  # noqa: B004 (it is its mark that is asked)
    return call is not None and not is_stock(call)


def abandon(response: t.Any) -> None:
    """Close a response that is not going to be sent, because of an error.

    What fails here (an after_request function may have returned anything) does not hide that error.
    """
    with suppress(Exception):
        response.close()
