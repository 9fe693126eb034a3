"""The child process of ``torsyq compare``: one app, under whichever ``flask`` the path gives.

Run as a script, never imported by Torsyq, and importing nothing of Torsyq itself: on Flask's side
the process must be what it would have been without us. It reads a job (JSON) from the file named
first and writes its account (JSON) to the file named second; standard output stays the app's.
"""

from __future__ import annotations

import base64
import io
import json
import statistics
import sys
import time
import typing as t
from urllib.parse import unquote_to_bytes

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    App = Callable[[dict[str, t.Any], Callable[..., t.Any]], Iterable[bytes]]
    Record = dict[str, t.Any]

SECONDS_PER_REQUEST = 0.25


def main(job_file: str, account_file: str) -> None:
    with open(job_file) as file:
        job = json.load(file)
    account = work(job)
    with open(account_file, "w") as file:
        json.dump(account, file)


def work(job: Record) -> Record:
    """Load the app, answer every request once, in order, then time those that may be repeated."""
    import flask
    from flask.cli import NoAppException
    from flask.cli import ScriptInfo

    maker = flask.Flask.__module__
    if maker != job["maker"]:
        return {"wrong_maker": maker}
    try:
        app = ScriptInfo(app_import_path=job["app"]).load_app()
    except NoAppException as error:
        return {"no_app": error.format_message(), "imports_torsyq": "torsyq" in sys.modules}
    rules = sorted({path for rule in app.url_map.iter_rules() for path in plain_path(app, rule)})
    visits = [{"method": "GET", "path": path} for path in rules]
    answers = [ask(app, visit) for visit in visits]
    jar: dict[str, str] = {}
    for record in job["requests"]:
        answers.append(ask(app, record, jar))
    times = [measure(app, visit, job["repeat"]) for visit in visits]
    cookie = app.config["SESSION_COOKIE_NAME"]
    return {"rules": rules, "answers": answers, "times": times, "session_cookie": cookie}


def plain_path(app: t.Any, rule: t.Any) -> list[str]:
    """The path of a GET rule that takes no argument, on the app's own host; else nothing."""
    if "GET" not in (rule.methods or ()) or rule.websocket or rule.subdomain or rule.host:
        return []
    if set(rule.arguments) - set(rule.defaults or ()):
        return []
    with app.test_request_context():
        try:
            return [app.url_map.bind("localhost").build(rule.endpoint, dict(rule.defaults or {}))]
        except LookupError:
            return []


def ask(app: App, record: Record, jar: dict[str, str] | None = None) -> Record:
    """Send one request; the answer as data, or what was raised out of the app."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
    ) -> Callable[[bytes], None]:
        started.append((status, headers))
        return written.append

    try:
        body = app(environ(record, jar), start_response)
        try:
            written.extend(body)
        finally:
            getattr(body, "close", lambda: None)()
        status, headers = started[-1]
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Also SystemExit: the other requests are to be answered.
        return {"raised": f"{type(error).__name__}: {error}"}
    if jar is not None:
        keep_cookies(jar, headers)
    content = base64.b64encode(b"".join(written)).decode()
    return {"status": status, "headers": [list(pair) for pair in headers], "body": content}


def environ(record: Record, jar: dict[str, str] | None = None) -> Record:
    """The WSGI environment (PEP 3333) of a recorded request."""
    path, _, query = record["path"].partition("?")
    body = body_of(record)
    found: Record = {
        "REQUEST_METHOD": record.get("method", "GET").upper(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": record["path"],
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body:
        found["CONTENT_LENGTH"] = str(len(body))
    if jar:
        found["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in jar.items())
    for name, value in header_pairs(record):
        key = name.upper().replace("-", "_")
        found[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return found


def body_of(record: Record) -> bytes:
    if "body_base64" in record:
        return base64.b64decode(record["body_base64"])
    body = record.get("body", "")
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def header_pairs(record: Record) -> list[tuple[str, str]]:
    headers = record.get("headers", {})
    pairs = headers.items() if isinstance(headers, dict) else headers
    found = [(str(name), str(value)) for name, value in pairs]
    if not isinstance(record.get("body", ""), str):
        found.insert(0, ("Content-Type", "application/json"))
    return found


def keep_cookies(jar: dict[str, str], headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        if name.lower() == "set-cookie":
            pair, *attributes = value.split(";")
            key, _, text = pair.strip().partition("=")
            if text and "max-age=0" not in [one.strip().lower() for one in attributes]:
                jar[key] = text
            else:
                jar.pop(key, None)


def measure(app: App, visit: Record, repeat: int) -> float | None:
    """The median time of a request in milliseconds; None when nothing was asked for."""
    taken = []
    ends = time.perf_counter() + SECONDS_PER_REQUEST
    for _ in range(repeat):
        begins = time.perf_counter()
        ask(app, visit)
        taken.append(time.perf_counter() - begins)
        if time.perf_counter() > ends:
            break
    return statistics.median(taken) * 1000 if taken else None


if __name__ == "__main__":
    main(*sys.argv[1:])
