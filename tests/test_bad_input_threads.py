"""The first requests may come all at once: every lazy part is made right, and once."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from torsyq import Flask
from torsyq import g
from torsyq import jsonify
from torsyq import render_template_string
from torsyq import request
from torsyq import session
from torsyq import url_for

from .bad_input import Ask
from .bad_input import over_wsgi

THREADS = 16


def lazy_app() -> Flask:
    app = Flask("tests.first", static_folder=None)
    app.config["SECRET_KEY"] = "k"

    @app.before_request
    def before() -> None:
        g.number = request.args["n"]

    @app.get("/all/<int:number>")
    def everything(number: int) -> t.Any:
        # Each thread puts something of its own where all must find it.
        app.jinja_env.filters[f"own{number}"] = lambda value: f"{value}!"
        app.logger.debug("seen")
        app.background_tasks  # noqa: B018
        session["number"] = number
        source = "{{ n|own" + str(number) + " }} {{ url_for('other') }}"
        text = render_template_string(source, n=g.number)
        return jsonify(text=text, url=url_for("everything", number=number), env=id(app.jinja_env))

    @app.get("/other/")
    def other() -> str:
        return "other"

    @app.errorhandler(404)
    def missing(error: Exception) -> t.Any:
        return f"nothing {g.number}", 404

    return app


def at_once(calls: t.Sequence[t.Callable[[], t.Any]]) -> list[t.Any]:
    """The results of *calls*, all begun at the same moment."""
    start = Barrier(len(calls), timeout=30)

    def run(call: t.Callable[[], t.Any]) -> t.Any:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.usefixtures("hasty")
def test_first_requests_at_once_are_all_answered_right() -> None:
    for _ in range(20):
        app = lazy_app()

        def ask(number: int, app: Flask = app) -> t.Any:
            path = [f"/all/{number}", "/nothing", "/other", "/other/"][number % 4]
            return over_wsgi(app, Ask(path.encode(), query=f"n={number}".encode()))

        answers = at_once([lambda n=n: ask(n) for n in range(THREADS)])  # type: ignore[misc]
        environments = set()
        for number, answer in enumerate(answers):
            if number % 4 == 0:
                said = app.json.loads(answer.text)
                assert said["text"] == f"{number}! /other/"
                assert said["url"] == f"/all/{number}"
                environments.add(said["env"])
                assert f"own{number}" in app.jinja_env.filters
                assert "session=" in answer.header("Set-Cookie")
            else:
                expected = [(404, f"nothing {number}"), (308, None), (200, "other")][number % 4 - 1]
                assert answer.status == expected[0]
                assert expected[1] in (None, answer.text)
        assert environments == {id(app.jinja_env)}
        assert len(app.logger.handlers) <= 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", ["jinja_env", "logger", "cli", "thread_pool", "background_tasks"])
def test_threads_see_one_and_the_same_part(name: str) -> None:
    for _ in range(20):
        app = lazy_app()
        assert len({id(part) for part in at_once([lambda: getattr(app, name)] * THREADS)}) == 1  # noqa: B023


def test_an_app_stops_once_though_two_threads_saw_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[t.Any] = []
    monkeypatch.setattr("atexit.register", lambda *call: registered.append(call))
    app = lazy_app()
    stopped = []
    app.after_serving(lambda: stopped.append("stopped"))
    assert over_wsgi(app, Ask(b"/other/", query=b"n=1")).text == "other"
    for stop, *args in registered * 2:
        stop(*args)
    assert stopped == ["stopped"]


COLD = """
import sys, threading
sys.setswitchinterval(1e-6)
import torsyq
app = torsyq.Flask("cold", static_folder=None)
app.secret_key = "k"

@app.get("/<int:n>")
def view(n):
    torsyq.session["n"] = n
    app.logger, app.cli
    return torsyq.render_template_string("{{ n }}", n=n)

@app.get("/<int:n>/async")
async def wait(n):
    return str(n)

start = threading.Barrier(16)
wrong = []

def ask(n):
    try:
        start.wait(30)
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": f"/{n}" + "/async" * (n % 2), "SERVER_NAME": "a",
            "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        }
        started = []
        body = b"".join(app(environ, lambda status, headers, exc=None: started.append(status)))
        if (started, body) != (["200 OK"], str(n).encode()):
            wrong.append((n, started, body))
    except BaseException as error:
        wrong.append((n, repr(error)))

threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
print(wrong)
"""


def test_modules_loaded_by_the_first_requests_are_loaded_once_for_all() -> None:
    """In a new interpreter, where Jinja, Click and asyncio are not imported yet."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", COLD], capture_output=True, text=True, timeout=100
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")
