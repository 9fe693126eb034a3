"""What is asked of every framework, and which answer is right."""

from __future__ import annotations

import json
import random
import typing as t
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

# What the apps share, so that all of them do the same work.
ROOT = Path(__file__).resolve().parent
SCRATCH = ROOT.parent / ".bench"
TEMPLATES = ROOT / "templates"
STATIC = SCRATCH / "static"
SECRET = "the key of the benchmarks, which is no secret"
GREETING = "Hello, World!"
MEGABYTE = b"0123456789abcdef" * 65536
SHEET = b".steppe { color: #6a8f3c; width: 100% }\n" * 512  # 20 KB
ROWS = [{"id": n, "name": f"Row <{n}>", "price": n * 1.5} for n in range(20)]
FILE = random.Random(1).randbytes(1 << 20)  # As a picture or an archive looks.
CHUNKS = [b"chunk %02d of one hundred\n" % n for n in range(100)]
ROUTES = 500


class Trouble(Exception):
    """What the view of the workload ``error`` raises."""


def static_file() -> Path:
    """The file of 20 KB that is served, made at need."""
    path = STATIC / "page.css"
    if not path.exists() or path.stat().st_size != len(SHEET):
        STATIC.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SHEET)
    return path


def chunks() -> t.Iterator[bytes]:
    """The answer of the workload ``stream``."""
    yield from CHUNKS


@dataclass(frozen=True)
class Request:
    """One request, as the drivers put it to an app."""

    path: str
    method: str = "GET"
    query: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back: header names in lower case, in the order they were sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, empty where it was not sent."""
        return next((value for key, value in self.headers if key == name), "")


Check = t.Callable[[Request, Answer], bool]


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    :param requests: sent in turn.
    :param right: tells whether an answer is right.
    :param target: how many times as fast as Flask Torsyq is meant to be at least.
    :param variant: the app that is asked (see :mod:`benchmarks.apps`).
    :param warm: the session's cookie of a first answer goes with the requests.
    """

    name: str
    title: str
    requests: tuple[Request, ...]
    right: Check
    target: float
    variant: str = "main"
    warm: bool = False


def text(body: str, status: int = 200) -> Check:
    """Right is this text."""

    def right(_: Request, answer: Answer) -> bool:
        return (
            answer.status == status
            and answer.body == body.encode()
            and answer.header("content-type").startswith("text/")
            and answer.header("content-length") in {"", str(len(answer.body))}
        )

    return right


def data(value: t.Any) -> Check:
    """Right is this value as JSON."""

    def right(_: Request, answer: Answer) -> bool:
        return (
            answer.status == 200
            and json.loads(answer.body) == value
            and answer.header("content-type").startswith("application/json")
        )

    return right


def code(*status: int) -> Check:
    """Right is any answer with one of these statuses."""
    return lambda _, answer: answer.status in status


def octets(body: bytes) -> Check:
    """Right is this body, whole."""
    return lambda _, answer: answer.status == 200 and answer.body == body


def table(_: Request, answer: Answer) -> bool:
    """The page of the template: all of its parts, and no markup from the data."""
    return (
        answer.status == 200
        and answer.header("content-type").startswith("text/html")
        and answer.body.count(b"<tr>") == 20
        and b"Row &lt;19&gt;" in answer.body
        and b"<title>Rows</title>" in answer.body
        and answer.body.rstrip().endswith(b"</html>")
    )


def redirected(_: Request, answer: Answer) -> bool:
    """Sent to ``/``."""
    return answer.status in {302, 303, 307} and answer.header("location").endswith("/")


def cookie_set(_: Request, answer: Answer) -> bool:
    """The cookie that was sent is in the body; the next one is set."""
    return answer.status == 200 and answer.body == b"7" and _sets(answer, "visits=8")


def session_kept(_: Request, answer: Answer) -> bool:
    """The session of the request was read, and written again."""
    return answer.status == 200 and answer.body == b"2" and _sets(answer, "")


def last_part(request: Request, answer: Answer) -> bool:
    """The last part of the path is the body."""
    return answer.status == 200 and answer.body == request.path.rpartition("/")[2].encode()


def _sets(answer: Answer, start: str) -> bool:
    cookie = answer.header("set-cookie")
    return bool(cookie) and cookie.replace('"', "").strip().startswith(start)


def upload(size: int) -> Request:
    """A form with one file, as a browser sends it."""
    line = "----WebKitFormBoundary7MA4YWxkTrZu0gW9"
    head = (
        f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="data.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + FILE[:size] + f"\r\n--{line}--\r\n".encode()
    kind = f"multipart/form-data; boundary={line}"
    return Request("/upload", "POST", body=body, headers={"Content-Type": kind})


def random_paths(size: int, count: int = 200) -> tuple[Request, ...]:
    """Requests to routes of the variant ``routes``, in no order."""
    dice = random.Random(size)
    return tuple(
        Request(f"/section{dice.randrange(size)}/name{dice.randrange(1000)}") for _ in range(count)
    )


_form = b"name=Abai&age=58&town=Semey&subject=poems+and+words&sent=yes"
_echo = {"name": "steppe", "items": [{"id": n, "name": f"item number {n:03}"} for n in range(25)]}
_form_type = {"Content-Type": "application/x-www-form-urlencoded"}

WORKLOADS = (
    Workload("text", "plain text", (Request("/"),), text(GREETING), 20),
    Workload(
        "keyless",
        "plain text, no secret key",
        (Request("/"),),
        text(GREETING),
        12,
        variant="keyless",
    ),
    Workload("json", "JSON", (Request("/json"),), data({"message": GREETING}), 12),
    Workload(
        "user",
        "`/user/<int:id>` to JSON",
        (Request("/user/42"),),
        data({"id": 42, "name": "user 42"}),
        11,
    ),
    Workload(
        "args",
        "3 query arguments",
        (Request("/search", query="q=wide+steppe&page=3&size=20"),),
        text("wide steppe 3 20"),
        7,
    ),
    Workload(
        "form",
        "form, 5 fields",
        (Request("/form", "POST", body=_form, headers=_form_type),),
        text("Abai 58 Semey poems and words yes"),
        6,
    ),
    Workload(
        "echo",
        "JSON body of 1 KB, echoed",
        (
            Request(
                "/echo",
                "POST",
                body=json.dumps(_echo).encode(),
                headers={"Content-Type": "application/json"},
            ),
        ),
        data(_echo),
        4.5,
    ),
    Workload("upload64", "upload of 64 KB", (upload(65536),), text("65536"), 5),
    Workload("upload1m", "upload of 1 MB", (upload(1048576),), text("1048576"), 7),
    Workload(
        "cookie",
        "cookie read and set",
        (Request("/cookie", headers={"Cookie": "theme=dark; visits=7"}),),
        cookie_set,
        8,
    ),
    Workload(
        "session",
        "signed session, read and written",
        (Request("/session"),),
        session_kept,
        4.5,
        variant="session",
        warm=True,
    ),
    Workload("template", "template, base and 20 rows", (Request("/template"),), table, 1.6),
    Workload("404", "404", (Request("/no/such/page"),), code(404), 10),
    Workload("405", "405", (Request("/", "POST"),), code(405), 9),
    Workload("redirect", "redirect", (Request("/redirect"),), redirected, 12),
    Workload("urls", "3 URLs built", (Request("/urls"),), text("/ /user/42 /place/north/7"), 6),
    Workload("static", "static file of 20 KB", (Request("/static/page.css"),), octets(SHEET), 5),
    Workload("stream", "stream of 100 chunks", (Request("/stream"),), octets(b"".join(CHUNKS)), 12),
    Workload("big", "answer of 1 MB", (Request("/big"),), octets(MEGABYTE), 18),
    Workload(
        "error",
        "error handler for an exception",
        (Request("/error"),),
        text("in trouble", 503),
        9,
        variant="errors",
    ),
    Workload(
        "routes",
        f"{ROUTES} dynamic routes, at random",
        random_paths(ROUTES),
        last_part,
        12,
        variant="routes",
    ),
    Workload(
        "hooks", "10 hooks before, 10 after", (Request("/"),), text(GREETING), 8, variant="hooks"
    ),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
