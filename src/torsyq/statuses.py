"""Statuses: how they are written, and what an answer is sent without because of them."""

from __future__ import annotations

import re

from werkzeug.http import HTTP_STATUS_CODES

is_status = re.compile(r"[1-5][0-9]{2}(?: [^\r\n\0]*)?").fullmatch

BAD_STATUS = (
    "{!r} is no status an answer can have: a number from 100 to 599 is needed, and after it, if"
    " anything, a space and a reason on the same line."
)

STATUS_LINES = {
    code: f"{code} {reason.upper()}" for code, reason in HTTP_STATUS_CODES.items() if code < 600
}

#: The status lines of answers that have a body, by their code.
LINES_WITH_BODY = {
    code: line for code, line in STATUS_LINES.items() if code >= 200 and code not in (204, 304)
}

#: The headers that an answer without a body is sent without, by its code.
NOT_SENT_WITH = {
    204: frozenset({"content-length"}),
    304: frozenset(
        {
            "allow",
            "content-encoding",
            "content-language",
            "content-length",
            "content-md5",
            "content-range",
            "content-type",
            "last-modified",
        }
    ),
}
