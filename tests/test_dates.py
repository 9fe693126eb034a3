"""Dates are written and read as Werkzeug writes and reads them, but for those no calendar has."""

from __future__ import annotations

import time
import typing as t
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import http_date as werkzeug_http_date

from torsyq.dates import http_date
from torsyq.dates import parse_date
from torsyq.dates import without_absurd_dates

offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
zones = st.one_of(st.none(), st.just(UTC), offsets.map(timezone))


def outcome(call: t.Callable[[t.Any], str], moment: t.Any) -> t.Any:
    try:
        return call(moment)
    except Exception as error:
        return type(error)


@given(st.one_of(st.datetimes(timezones=zones), st.dates(), st.integers(), st.floats()))
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))))
@example(datetime(2024, 2, 29, 23, 59, 59, 999999))
@example(1.9999999)
@example(-0.5)
@example(True)
def test_any_moment_is_written_as_werkzeug_writes_it(moment: t.Any) -> None:
    assert outcome(http_date, moment) == outcome(werkzeug_http_date, moment)


@pytest.mark.parametrize("moment", [time.gmtime(0), date(2026, 1, 2), "text", [1], object()])
def test_what_else_werkzeug_takes_is_left_to_it(moment: t.Any) -> None:
    assert outcome(http_date, moment) == outcome(werkzeug_http_date, moment)


def test_no_moment_is_now() -> None:
    before = int(time.time())
    moment = parse_date(http_date())
    assert moment is not None
    assert before <= moment.timestamp() <= time.time()


ABSURD = "31 Dec 9999 23:59:59 -2359"


def test_a_date_no_calendar_has_is_none() -> None:
    assert parse_date(ABSURD) is None
    assert parse_date("Mon, 01 Jan 99999999999999999999 00:00:00 GMT") is None
    assert parse_date(None) is None
    assert parse_date("Thu, 01 Jan 1970 00:00:00 GMT").timestamp() == 0  # type: ignore[union-attr]


def test_absurd_conditions_count_as_absent_or_not_met() -> None:
    environ = {"HTTP_IF_MODIFIED_SINCE": ABSURD, "HTTP_IF_RANGE": ABSURD, "A": "b"}
    assert without_absurd_dates(environ) == {"A": "b", "HTTP_IF_RANGE": '""'}
    assert environ["HTTP_IF_RANGE"] == ABSURD
    fine = {"HTTP_IF_RANGE": '"x"'}
    assert without_absurd_dates(fine) is fine
