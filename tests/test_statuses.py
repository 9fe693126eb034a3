"""What a status says of an answer is what Werkzeug says."""

from __future__ import annotations

import pytest
from werkzeug.http import remove_entity_headers
from werkzeug.wrappers import Response as WerkzeugResponse

from torsyq.statuses import is_status
from torsyq.statuses import LINES_WITH_BODY
from torsyq.statuses import NOT_SENT_WITH
from torsyq.statuses import STATUS_LINES

NAMES = [
    "Accept-Ranges", "Age", "Allow", "Cache-Control", "Content-Encoding", "Content-Language",
    "Content-Length", "Content-Location", "Content-MD5", "Content-Range", "Content-Type", "Date",
    "ETag", "Expires", "Last-Modified", "Location", "Set-Cookie", "Vary", "X-Own",
]  # fmt: skip


@pytest.mark.parametrize("code", STATUS_LINES)
def test_a_status_is_written_as_werkzeug_writes_it(code: int) -> None:
    assert WerkzeugResponse(status=code).status == STATUS_LINES[code]
    assert is_status(STATUS_LINES[code])


def test_the_headers_that_a_304_is_sent_without_are_werkzeugs() -> None:
    headers = [(name, "x") for name in NAMES]
    remove_entity_headers(headers)
    assert [name for name in NAMES if name.lower() not in NOT_SENT_WITH[304]] == [
        name for name, _ in headers
    ]


def test_a_status_either_has_a_body_or_has_none() -> None:
    assert {code for code in STATUS_LINES if code >= 200} == {*LINES_WITH_BODY, *NOT_SENT_WITH}


@pytest.mark.parametrize("status", ["", "20", "600 X", "099", "200 a\r\nb", "200\0", "2000", "x"])
def test_what_is_no_status_is_told(status: str) -> None:
    assert is_status(status) is None
