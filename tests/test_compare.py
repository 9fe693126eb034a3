"""``torsyq compare``: the same requests to one app on both frameworks, and what differs."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import pathlib
import runpy
import sys
import textwrap
import types
import typing as t

import pytest
from click.testing import CliRunner
from click.testing import Result

from torsyq import doors
from torsyq import Flask
from torsyq.cli import _compare_child
from torsyq.cli import compare
from torsyq.cli._compare_diff import Difference
from torsyq.cli._compare_diff import differences
from torsyq.cli._compare_diff import excuse
from torsyq.cli.compare import compare_command
from torsyq.sessions import SecureCookieSessionInterface

HELLO = """
import flask, os

app = flask.Flask(__name__)
app.secret_key = "key"

@app.get("/")
def index():
    return "Hello"

@app.get("/user/<name>")
def user(name):
    return name

@app.post("/login")
def login():
    flask.session["user"] = flask.request.form.get("name") or flask.request.json["name"]
    return flask.redirect("/me")

@app.get("/me")
def me():
    return flask.session.get("user", "nobody")
"""


def run(folder: pathlib.Path, source: str, *args: str, requests: str = "") -> Result:
    """Write the app and the requests down and compare in *folder*."""
    (folder / "hello.py").write_text(textwrap.dedent(source))
    (folder / "requests.jsonl").write_text(requests)
    app = str(folder / "hello.py") + ":app"
    more = ["--requests", str(folder / "requests.jsonl")] if requests else []
    return CliRunner().invoke(compare_command, ["--app", app, *more, *args])


def test_an_app_that_answers_alike(tmp_path: pathlib.Path) -> None:
    """Every GET rule without arguments, the recorded requests with cookies kept, exit status 0."""
    recorded = """
        # a comment
        {"method": "POST", "path": "/login", "body": {"name": "ada"}}
        {"path": "/me"}
        {"path": "/nowhere?x=1"}
    """
    result = run(tmp_path, HELLO, "--json", "--repeat", "2", requests=recorded)
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert [row["request"] for row in report["requests"]] == [
        "GET /",
        "GET /me",
        "POST /login",
        "GET /me",
        "GET /nowhere?x=1",
    ]
    assert report["different"] == 0
    assert report["ratio"] > 0


def test_an_app_that_asks_who_serves_it(tmp_path: pathlib.Path) -> None:
    """A real difference in status, header, cookie and body is told, and ends with status 1."""
    source = """
    import flask
    app = flask.Flask(__name__)
    ours = flask.Flask.__module__ == "torsyq.app"

    @app.get("/")
    def index():
        response = flask.make_response("ours" if ours else "theirs", 201 if ours else 200)
        response.headers["X-Who"] = str(ours)
        response.set_cookie("ours" if ours else "theirs", "1")
        return response
    """
    result = run(tmp_path, source, "--repeat", "0")
    assert result.exit_code == 1
    assert "GET /  DIFFERENT" in result.output
    assert "status: Flask 200 OK, Torsyq 201 CREATED" in result.output
    assert "header x-who: Flask 'False', Torsyq 'True'" in result.output
    assert "cookie ours: Flask None" in result.output
    assert "body at byte 0 (6 and 4 bytes): Flask b'theirs', Torsyq b'ours'" in result.output
    assert "1 different, 0 with differences that explain themselves, 0 the same." in result.output


def test_what_is_random_on_flask_as_well_is_explained(tmp_path: pathlib.Path) -> None:
    source = """
    import flask, uuid
    app = flask.Flask(__name__)

    @app.get("/")
    def index():
        return str(uuid.uuid4()), {"X-Id": str(uuid.uuid4())}
    """
    result = run(tmp_path, source, "--repeat", "1")
    assert result.exit_code == 0, result.output
    assert result.output.count("differs between two runs on Flask as well") == 2
    assert "times as fast" in result.output


def test_an_exception_out_of_the_app_is_an_answer_too(tmp_path: pathlib.Path) -> None:
    source = """
    import flask
    app = flask.Flask(__name__)
    app.testing = True

    @app.get("/")
    def index():
        raise LookupError(flask.Flask.__module__)
    """
    result = run(tmp_path, source, "--repeat", "0")
    assert "raised: Flask LookupError: flask.app, Torsyq LookupError: torsyq.app" in result.output


def test_a_view_that_exits_is_an_answer_too(tmp_path: pathlib.Path) -> None:
    source = HELLO.replace('return "Hello"', "raise SystemExit(3)")
    result = run(tmp_path, source, "--json", "--repeat", "1")
    report = json.loads(result.output)
    assert [row["different"] for row in report["requests"]] == [False, False]


def test_an_app_that_ends_the_process_is_told_in_a_sentence(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, HELLO.replace('return "Hello"', "os._exit(0)"))
    assert result.exit_code == 1
    assert "On Flask the app has ended the process before all was answered" in result.output


def test_routes_that_differ_are_told_before_anything(tmp_path: pathlib.Path) -> None:
    source = """
    import flask
    app = flask.Flask(__name__)
    app.add_url_rule("/" + flask.Flask.__module__, "index", lambda: "")
    """
    result = run(tmp_path, source)
    assert result.exit_code == 1
    assert "rules: Flask ['/flask.app'], Torsyq ['/torsyq.app']" in result.output


def test_a_command_can_put_the_data_back_before_each_side(tmp_path: pathlib.Path) -> None:
    source = """
    import flask, pathlib
    app = flask.Flask(__name__)

    @app.get("/")
    def index():
        with open(pathlib.Path(__file__).with_name("seen"), "a") as file:
            file.write("x")
        return pathlib.Path(__file__).with_name("seen").read_text()
    """
    wipe = f"rm -f {tmp_path / 'seen'}"
    assert "GET /  same\n\n" in run(tmp_path, source, "--repeat", "0", "--before", wipe).output
    without = run(tmp_path, source, "--repeat", "0").output
    assert "differs between two runs on Flask as well" in without


def test_an_app_that_does_not_load_says_on_which_side(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, "raise ValueError('broken app')")
    assert result.exit_code == 1
    assert "On Flask the app could not be run" in result.output
    assert "broken app" in result.output


def test_an_app_that_is_not_there_is_told_in_a_sentence(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, "")
    assert result.exit_code == 1
    assert result.output == (
        "Error: On Flask there is no app: Failed to find attribute 'app' in 'hello'.\n"
    )


def test_an_app_without_anything_to_ask_is_no_success(tmp_path: pathlib.Path) -> None:
    """Calibre-Web registers its routes in its own main()."""
    result = run(tmp_path, "import flask; app = flask.Flask(__name__, static_folder=None)")
    assert result.exit_code == 1
    assert result.output.startswith("Error: There is nothing to compare: ")


def test_an_app_that_imports_torsyq_by_name_has_no_other_side(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, HELLO.replace("import flask", "import torsyq as flask"))
    assert result.exit_code == 1
    assert "It imports 'torsyq' under that name" in result.output


@pytest.mark.parametrize("before", ["nosuchprogram", "false", "'"])
def test_a_command_before_that_fails_is_told_in_a_sentence(
    tmp_path: pathlib.Path, before: str
) -> None:
    result = run(tmp_path, HELLO, "--before", before)
    assert result.exit_code == 1
    assert result.output.startswith("Error: The command of --before failed: ")


def test_an_app_that_never_answers_is_stopped(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, "import threading; threading.Event().wait()", "--timeout", "0.5")
    assert result.exit_code == 1
    assert "had not answered after 0.5 seconds" in result.output


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: Expecting property name"),
        ('{"method": "GET"}', "line 2: 'path'"),
        ('{"path": "me"}', "line 2: 'path' has to begin with '/'"),
        ('["/me"]', "line 2: list indices"),
        ('{"path": 3}', "line 2: 'int' object"),
    ],
)
def test_a_recorded_request_that_is_none(tmp_path: pathlib.Path, line: str, complaint: str) -> None:
    result = run(tmp_path, HELLO, requests=f"\n{line}\n")
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())


def test_recorded_requests_are_lines_of_utf_8(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "requests"
    records = [{"path": "/дала", "body": "a\u2028b\x85c"}, {"path": "/"}]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    file.write_bytes("\r\n".join(["# two", *lines, ""]).encode())
    assert compare.read_requests(file) == records


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("flask", "pip install --ignore-installed --no-deps flask==3.1.3"),
        ("torsyq", "something puts Flask first on the path"),
    ],
)
def test_the_wrong_framework_on_a_side(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, side: str, said: str
) -> None:
    """Without the real Flask there is nothing to compare with, and the message says so."""
    monkeypatch.setitem(compare.MAKERS, side, "somebody.else")
    result = run(tmp_path, HELLO)
    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [("--repeat", "-1", "range x>=0"), ("--timeout", "-1", "range x>0")],
)
def test_a_senseless_number_is_refused(option: str, value: str, reason: str) -> None:
    result = CliRunner().invoke(compare_command, [option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output
    assert reason in result.output


def test_the_doors_in_pythonpath_are_shut_for_flask(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", doors.path())
    assert run(tmp_path, HELLO, "--repeat", "0").exit_code == 0


# -- the comparison itself ----------------------------------------------------------------------


def answer(
    body: bytes = b"", status: str = "200 OK", *headers: tuple[str, str]
) -> dict[str, t.Any]:
    content = base64.b64encode(body).decode()
    return {"status": status, "headers": [list(pair) for pair in headers], "body": content}


def told(flask: tuple[str, str], torsyq: tuple[str, str]) -> list[tuple[str, bool]]:
    """What is said of two answers with one header each: the difference, and whether it explains itself."""
    found = differences(answer(b"", "200 OK", flask), answer(b"", "200 OK", torsyq))
    return [(f"{one.what} {one.name}", bool(one.explained)) for one in found]


@pytest.mark.parametrize(
    ("flask", "torsyq", "expected"),
    [
        (("X-A", "1"), ("x-a", "1"), []),
        (("X-A", "1"), ("X-A", "2"), [("header x-a", False)]),
        (("X-A", "1"), ("X-B", "1"), [("header x-a", False), ("header x-b", False)]),
        (("Date", "now"), ("Date", "then"), [("header date", True)]),
        (("Date", "now"), ("X-A", "1"), [("header date", False), ("header x-a", False)]),
        (("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "a=1; Path=/"), []),
        (("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "a=2; Path=/"), [("cookie a", False)]),
        (("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "a=1; Path=/x"), [("cookie a", False)]),
        (
            ("Set-Cookie", "a=1; Secure; Path=/"),
            ("Set-Cookie", "a=1; Path=/; Secure"),
            [("cookie a", True)],
        ),
        (("Set-Cookie", "a=1; Expires=x"), ("Set-Cookie", "a=1; expires=y"), [("cookie a", True)]),
        (("Set-Cookie", "a=1; Expires=x"), ("Set-Cookie", "a=1"), [("cookie a", False)]),
        (
            ("Set-Cookie", "session=rubbish"),
            ("Set-Cookie", "session=other"),
            [("cookie session", False)],
        ),
    ],
)
def test_one_header(
    flask: tuple[str, str], torsyq: tuple[str, str], expected: list[tuple[str, bool]]
) -> None:
    assert told(flask, torsyq) == expected


def signed(payload: dict[str, object], moment: int) -> tuple[str, str]:
    """A session cookie as the framework signs it, at a moment of our choosing."""
    app = Flask("signer")
    app.secret_key = "key"
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    signer = serializer.make_signer(serializer.salt)
    signer.get_timestamp = lambda: moment  # type: ignore[attr-defined]
    return "Set-Cookie", "session=" + signer.sign(
        serializer.dump_payload(payload)
    ).decode() + "; Path=/"


@pytest.mark.parametrize("payload", [{"user": "ada"}, {"long": "a" * 500}])
def test_sessions_are_compared_by_their_payload(payload: dict[str, object]) -> None:
    """Two signatures of one payload explain themselves; two payloads do not."""
    one, later = signed(payload, 10**9), signed(payload, 10**9 + 5)
    assert one != later
    assert told(one, later) == [("cookie session", True)]
    assert told(one, signed({"user": "bob"}, 10**9)) == [("cookie session", False)]


def test_the_place_of_the_first_different_byte() -> None:
    (difference,) = differences(answer(b"x" * 50 + b"a"), answer(b"x" * 50))
    assert difference.name == "at byte 50 (51 and 50 bytes)"
    assert difference.flask == repr(b"x" * 10 + b"a")


def test_raising_on_one_side_only() -> None:
    (difference,) = differences({"raised": "ValueError: x"}, answer())
    assert (difference.flask, difference.torsyq) == ("ValueError: x", "200 OK")
    assert differences({"raised": "same"}, {"raised": "same"}) == []


def test_only_what_also_differs_between_two_flasks_is_excused() -> None:
    random = Difference("header", "x-id", "1", "2")
    real = Difference("header", "x-who", "1", "2")
    body = Difference("body", "at byte 3 (9 and 9 bytes)", "1", "2")
    noise = [
        Difference("header", "x-id", "1", "3"),
        Difference("body", "at byte 5 (9 and 9 bytes)", "", ""),
    ]
    excused = excuse([random, real, body], noise)
    assert [bool(difference.explained) for difference in excused] == [True, False, True]


# -- the child, in this process -----------------------------------------------------------------


def test_the_child_builds_paths_of_rules_without_arguments() -> None:
    app = Flask("child", subdomain_matching=True)
    app.config["SERVER_NAME"] = "localhost"
    view = lambda **kwargs: ""  # noqa: E731
    app.add_url_rule("/plain", "plain", view)
    app.add_url_rule("/pages/", "pages", view, defaults={"page": 1})
    app.add_url_rule("/pages/<int:page>", "pages", view)
    app.add_url_rule("/post", "post", view, methods=["POST"])
    app.add_url_rule("/sub", "sub", view, subdomain="api")
    rules = list(app.url_map.iter_rules())
    paths = [path for rule in rules for path in _compare_child.plain_path(app, rule)]
    assert paths == ["/plain", "/pages/"]


def test_the_child_speaks_wsgi(app: Flask) -> None:
    """Method, path, query, headers and a body in any of three forms arrive as written."""

    @app.route("/päth", methods=["PUT"])
    def view() -> dict[str, object]:
        from torsyq import request

        return {
            "q": request.args["q"],
            "h": request.headers["X-H"],
            "d": request.get_data(as_text=True),
        }

    def ask(**record: t.Any) -> t.Any:
        record = {"method": "put", "path": "/p%C3%A4th?q=1", "headers": [["X-H", "h"]], **record}
        return json.loads(base64.b64decode(_compare_child.ask(app, record)["body"]))

    assert ask(body="text") == {"q": "1", "h": "h", "d": "text"}
    assert ask(body_base64="YWJj")["d"] == "abc"
    assert ask(body={"a": 1})["d"] == '{"a": 1}'


def test_the_child_keeps_cookies_as_a_browser_would() -> None:
    jar: dict[str, str] = {}
    _compare_child.keep_cookies(
        jar, [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X", "y")]
    )
    assert jar == {"a": "1", "b": "2"}
    assert _compare_child.environ({"path": "/"}, jar)["HTTP_COOKIE"] == "a=1; b=2"
    _compare_child.keep_cookies(
        jar, [("Set-Cookie", "a=; Max-Age=0"), ("Set-Cookie", "b=x; Max-Age=0")]
    )
    assert jar == {}
    # As others than Werkzeug may write them.
    kept = {"a/b": "1", "prefs": '{"x": 1}', "c": '"quoted\\054"'}
    _compare_child.keep_cookies(
        jar, [("Set-Cookie", f"{name}={value}; Path=/") for name, value in kept.items()]
    )
    assert jar == kept


def test_timing_stops_when_its_time_is_up(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    @app.get("/")
    def index() -> str:
        calls.append(1)
        return ""

    monkeypatch.setattr(_compare_child, "SECONDS_PER_REQUEST", -1)
    assert t.cast(float, _compare_child.measure(app, {"path": "/"}, 5)) > 0
    assert len(calls) == 1
    assert _compare_child.measure(app, {"path": "/"}, 0) is None


def test_the_childs_whole_work(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded by whichever ``flask`` this process has; nothing in it is either framework's own."""
    import flask

    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "childs_hello.py").write_text(HELLO)
    app = str(tmp_path / "childs_hello.py") + ":app"
    requests = [{"path": "/me"}]
    job = {"maker": flask.Flask.__module__, "app": app, "requests": requests, "repeat": 1}
    account = _compare_child.work(job)
    assert account["rules"] == ["/", "/me"]
    assert [answer["status"] for answer in account["answers"]] == ["200 OK"] * 3
    assert len(account["times"]) == 2


def test_a_rule_that_cannot_be_built_is_left_out(app: Flask) -> None:
    app.add_url_rule("/x", "x", lambda: "")
    (rule,) = app.url_map.iter_rules("x")
    other = Flask("other")
    assert _compare_child.plain_path(other, rule) == []


def test_raising_and_writing_like_an_old_application() -> None:
    def raises(environ: t.Any, start_response: t.Any) -> t.Any:
        raise LookupError("lost")

    def writes(environ: t.Any, start_response: t.Any) -> list[bytes]:
        start_response("200 OK", [])(b"written ")
        return [b"returned"]

    assert _compare_child.ask(raises, {"path": "/"}) == {"raised": "LookupError: lost"}
    body = _compare_child.ask(writes, {"path": "/"})["body"]
    assert base64.b64decode(body) == b"written returned"


def test_the_child_as_a_script(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads a job and writes an account; with another Flask than asked for it only says which."""
    import flask

    job, account = tmp_path / "job", tmp_path / "account"
    job.write_text(json.dumps({"maker": "nobody", "app": None, "requests": [], "repeat": 0}))
    monkeypatch.setattr(sys, "argv", ["child", str(job), str(account)])
    runpy.run_path(str(compare.CHILD), run_name="__main__")
    assert json.loads(account.read_text()) == {"wrong_maker": flask.Flask.__module__}


def test_the_real_flask_is_the_release_that_is_claimed() -> None:
    assert importlib.metadata.version("flask") == "3.1.3"


def test_windows_is_given_a_command_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a shell a backslash would say something about the letter behind it."""
    ran: list[t.Any] = []
    on_windows = types.SimpleNamespace(name="nt", environ=os.environ, pathsep=os.pathsep)
    monkeypatch.setattr(compare, "os", on_windows)
    monkeypatch.setattr("subprocess.run", lambda command, **options: ran.append(command))
    compare._Sides("hello", [], 0, 1.0, r"C:\tools\reset.exe --all")._prepare("flask")
    assert ran == [r"C:\tools\reset.exe --all"]


def test_what_an_app_writes_need_not_be_text(tmp_path: pathlib.Path) -> None:
    """Nor in this process's encoding, as it mostly is not on Windows."""
    source = """
    import sys
    sys.stdout.buffer.write(b"\\xff\\x81")
    sys.stderr.buffer.write("\\u049b".encode("utf-16"))
    """
    result = run(tmp_path, textwrap.dedent(source) + HELLO, "--repeat", "0")
    assert result.exit_code == 0, result.output
