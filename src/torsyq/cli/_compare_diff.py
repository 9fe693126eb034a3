"""What differs between two answers to the same request, and which of it explains itself."""

from __future__ import annotations

import base64
import dataclasses
import http.cookies
import typing as t
import zlib

if t.TYPE_CHECKING:
    Answer = dict[str, t.Any]

# Headers that hold a moment: two runs a second apart have different ones under the same framework.
MOMENTS = {
    "date": "the moment of the answer",
    "expires": "a moment reckoned from the answer's",
    "age": "reckoned from the answer's moment",
    "server-timing": "a measured time",
    "x-runtime": "a measured time",
    "x-response-time": "a measured time",
}
SHOWN = 60


@dataclasses.dataclass(frozen=True)
class Difference:
    """One difference between two answers.

    :param what: ``status``, ``header``, ``cookie``, ``body``, ``raised`` or ``missing``
    :param name: of the header or cookie
    :param explained: why the difference says nothing about the frameworks; empty if it does
    """

    what: str
    name: str
    flask: str
    torsyq: str
    explained: str = ""

    @property
    def place(self) -> tuple[str, str]:
        return self.what, self.name

    def __str__(self) -> str:
        text = f"{self.what} {self.name}".strip() + f": Flask {self.flask}, Torsyq {self.torsyq}"
        return f"{text} ({self.explained})" if self.explained else text


def differences(flask: Answer, torsyq: Answer, session_cookie: str = "session") -> list[Difference]:
    """Everything in which *torsyq* is not *flask*, in the order status, headers, cookies, body."""
    if "raised" in flask or "raised" in torsyq:
        one, other = (answer.get("raised") or answer["status"] for answer in (flask, torsyq))
        return [] if one == other else [Difference("raised", "", one, other)]
    found = list(_status(flask, torsyq))
    found += _headers(flask["headers"], torsyq["headers"])
    found += _cookies(flask["headers"], torsyq["headers"], session_cookie)
    found += _body(flask["body"], torsyq["body"])
    return found


def _status(flask: Answer, torsyq: Answer) -> t.Iterator[Difference]:
    if flask["status"] != torsyq["status"]:
        yield Difference("status", "", flask["status"], torsyq["status"])


def _headers(flask: list[list[str]], torsyq: list[list[str]]) -> t.Iterator[Difference]:
    ours, theirs = _by_name(torsyq), _by_name(flask)
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = theirs.get(name), ours.get(name)
        if name == "set-cookie" or one == other:
            continue
        explained = MOMENTS.get(name, "") if one and other else ""
        yield Difference("header", name, _show(one), _show(other), explained)


def _by_name(headers: list[list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def _show(values: list[str] | None) -> str:
    return "none" if values is None else ", ".join(map(repr, values))


def _cookies(
    flask: list[list[str]], torsyq: list[list[str]], session_cookie: str
) -> t.Iterator[Difference]:
    theirs, ours = _jar(flask), _jar(torsyq)
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = theirs.get(name), ours.get(name)
        if one is None or other is None:
            yield Difference("cookie", name, repr(one), repr(other))
        elif one != other:
            yield _cookie(name, one, other, name == session_cookie)


def _jar(headers: list[list[str]]) -> dict[str, str]:
    values = (value for name, value in headers if name.lower() == "set-cookie")
    return {value.partition("=")[0].strip(): value for value in values}


def _cookie(name: str, flask: str, torsyq: str, session: bool) -> Difference:
    (value, attributes), (other_value, other_attributes) = _crumbs(flask), _crumbs(torsyq)
    moments = attributes.pop("expires", ""), other_attributes.pop("expires", "")
    reasons = []
    if value != other_value:
        one, other = (_payload(text) if session else None for text in (value, other_value))
        if one is None or one != other:
            shown = [text if session else None for text in (one, other)]
            return Difference(
                "cookie", name, shown[0] or repr(value), shown[1] or repr(other_value)
            )
        reasons.append(f"the same payload {one}, signed at different moments")
    if attributes != other_attributes or bool(moments[0]) != bool(moments[1]):
        return Difference("cookie", name, repr(flask), repr(torsyq))
    if moments[0] != moments[1]:
        reasons.append("expires reckoned from the answer's moment")
    reason = "; ".join(reasons) or "the same attributes in another order"
    return Difference("cookie", name, repr(flask), repr(torsyq), reason)


def _crumbs(cookie: str) -> tuple[str, dict[str, str]]:
    first, *rest = cookie.split(";")
    parts = (part.strip().partition("=") for part in rest)
    return first.partition("=")[2], {name.lower(): value for name, _, value in parts}


def _payload(cookie: str) -> str | None:
    """The text inside a signed session cookie, unverified; None if it is not one."""
    try:
        (morsel,) = http.cookies.SimpleCookie(f"s={cookie}").values()
        data, _moment, _signature = morsel.value.rsplit(".", 2)
        packed = data.startswith(".")
        raw = base64.urlsafe_b64decode(data.lstrip(".") + "===")
        return (zlib.decompress(raw) if packed else raw).decode()
    except (ValueError, zlib.error):
        return None


def _body(flask: str, torsyq: str) -> t.Iterator[Difference]:
    if flask == torsyq:
        return
    one, other = base64.b64decode(flask), base64.b64decode(torsyq)
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    at = min(len(one), len(other)) if at is None else at
    begin = max(at - 10, 0)
    shown = (repr(text[begin : begin + SHOWN]) for text in (one, other))
    yield Difference("body", f"at byte {at} ({len(one)} and {len(other)} bytes)", *shown)


def excuse(found: list[Difference], between_flasks: list[Difference]) -> list[Difference]:
    """Explain the differences that also lie between two runs on Flask itself."""
    places = {_rough(difference) for difference in between_flasks}
    reason = "differs between two runs on Flask as well"
    return [
        dataclasses.replace(difference, explained=reason)
        if not difference.explained and _rough(difference) in places
        else difference
        for difference in found
    ]


def _rough(difference: Difference) -> tuple[str, str]:
    # Where in a body the first difference lies depends on the random text itself.
    return (difference.what, "") if difference.what == "body" else difference.place
