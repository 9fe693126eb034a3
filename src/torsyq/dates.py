"""Dates as HTTP writes them (RFC 9110, section 5.6.7)."""

from __future__ import annotations

import typing as t
from datetime import datetime
from datetime import UTC

from werkzeug.http import http_date as _werkzeug_http_date
from werkzeug.http import parse_date as _werkzeug_parse_date

if t.TYPE_CHECKING:
    from datetime import date
    from time import struct_time

    from _typeshed.wsgi import WSGIEnvironment

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "",
    *["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
)
_TWO_DIGITS = tuple(f"{number:02}" for number in range(60))


def http_date(moment: datetime | date | int | float | struct_time | None = None) -> str:
    """A moment as text: ``"Thu, 01 Jan 1970 00:00:00 GMT"``.

    :param moment: a datetime, UTC unless it says otherwise; or a timestamp; or what else
        :func:`werkzeug.http.http_date` takes.

    PERF: a third of the time.
    """
    if isinstance(moment, (int, float)):
        moment = datetime.fromtimestamp(moment, UTC)
    elif not isinstance(moment, datetime):
        return _werkzeug_http_date(moment)
    elif moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    two = _TWO_DIGITS
    day = f"{_DAYS[moment.weekday()]}, {two[moment.day]} {_MONTHS[moment.month]} {moment.year:04}"
    return f"{day} {two[moment.hour]}:{two[moment.minute]}:{two[moment.second]} GMT"


def parse_date(value: str | None) -> datetime | None:
    """The moment a date header means; ``None`` where the calendar has no such moment."""
    try:
        return _parse_date(value)
    except OverflowError:
        return None


def is_absurd_date(value: str | None) -> bool:
    """Whether *value* is a date that nothing can be computed with."""
    try:
        _parse_date(value)
    except OverflowError:
        return True
    return False


def _parse_date(value: str | None) -> datetime | None:
    """As Werkzeug's parser, which lets an OverflowError out for years and offsets beyond all
    bounds. The same here for what is in none of the years 1 to 9999 by UTC."""
    moment = _werkzeug_parse_date(value)
    if moment is not None:
        moment.utctimetuple()
    return moment


def without_absurd_dates(environ: WSGIEnvironment) -> WSGIEnvironment:
    """*environ*, or a copy where a condition carries a date that can't be computed with.

    Such an ``If-Modified-Since`` counts as absent (RFC 9110, section 13.1.3), such an ``If-Range``
    as not met (section 13.1.5).
    """
    if is_absurd_date(environ.get("HTTP_IF_MODIFIED_SINCE")):
        environ = {**environ}
        del environ["HTTP_IF_MODIFIED_SINCE"]
    if is_absurd_date(environ.get("HTTP_IF_RANGE")):
        environ = {**environ, "HTTP_IF_RANGE": '""'}
    return environ
