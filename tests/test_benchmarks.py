"""The benchmarks ask every framework the same and get right answers; their numbers are current.

Nothing here asserts a time.
"""

from __future__ import annotations

import gc
from xml.etree import ElementTree

import pytest
from benchmarks import asynchronous
from benchmarks import render
from benchmarks.drivers import driver
from benchmarks.frameworks import Framework
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.frameworks import Pool
from benchmarks.frameworks import Process
from benchmarks.frameworks import versions
from benchmarks.hops import by_stage
from benchmarks.hops import stage
from benchmarks.inprocess import calibrate
from benchmarks.inprocess import rate
from benchmarks.inprocess import verify
from benchmarks.results import load
from benchmarks.results import spread
from benchmarks.worker import Worker
from benchmarks.workloads import Answer
from benchmarks.workloads import BY_NAME
from benchmarks.workloads import Request
from benchmarks.workloads import ROUTES
from benchmarks.workloads import WORKLOADS

# The peers run from environments of their own, which `python -m benchmarks install` builds.
INSTALLED = [framework for framework in FRAMEWORKS.values() if framework.installed]


@pytest.mark.parametrize("framework", INSTALLED, ids=lambda framework: framework.name)
def test_every_workload_is_answered_rightly(framework: Framework) -> None:
    with Pool() as pool:
        for workload in WORKLOADS:
            if workload.name not in framework.missing:
                verify(pool(framework.name, workload.variant, ROUTES), workload)


@pytest.mark.parametrize(
    "framework",
    [framework for framework in INSTALLED if framework.name in asynchronous.PEERS],
    ids=lambda framework: framework.name,
)
def test_the_async_side_is_answered_rightly(framework: Framework) -> None:
    """Each echo is checked, and an event is waited for until all clients have it."""
    with Pool() as pool:
        process = pool(framework.name, "async@asgi")
        for name, path in asynchronous.PATHS.items():
            if (framework.name, name) not in asynchronous.MISSING:
                asynchronous.verify(process, path)
        assert process("time_echo", "/ws", 3) > 0
        assert process("time_events", "/events", 2, 2) > 0


def test_a_wrong_answer_ends_the_run() -> None:
    """The variant for errors has no route at '/', so its answer to plain text is a 404."""
    with Pool() as pool, pytest.raises(RuntimeError, match="GET /: 404"):
        verify(pool("torsyq", "errors"), BY_NAME["text"])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("text", Answer(200, [("content-type", "text/html")], b"Hello, Worl")),
        ("text", Answer(500, [("content-type", "text/html")], b"Hello, World!")),
        ("text", Answer(200, [("content-type", "application/json")], b"Hello, World!")),
        ("json", Answer(200, [("content-type", "application/json")], b'{"message": ""}')),
        ("cookie", Answer(200, [], b"7")),
        ("session", Answer(200, [("set-cookie", "session=x")], b"1")),
        ("template", Answer(200, [("content-type", "text/html")], b"<tr>" * 20)),
        ("redirect", Answer(302, [], b"")),
        ("404", Answer(200, [], b"")),
        ("static", Answer(200, [], b"")),
        ("stream", Answer(200, [], b"chunk 00 of one hundred\n")),
        ("routes", Answer(200, [], b"")),
    ],
)
def test_a_check_sees_what_is_wrong(name: str, wrong: Answer) -> None:
    workload = BY_NAME[name]
    assert not workload.right(workload.requests[0], wrong)


def test_documentation_shows_the_stored_runs() -> None:
    """`python -m benchmarks render` has nothing to change."""
    for path, text in render.rendered().items():
        assert (render.FOLDER / path).read_text(encoding="utf-8") == text, path


@pytest.mark.parametrize("name", render.PICTURES)
def test_pictures_are_well_formed(name: str) -> None:
    root = ElementTree.fromstring(render.rendered()[name])
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]


@pytest.mark.parametrize("name", render.TABLES)
def test_stored_runs_say_how_they_were_made(name: str) -> None:
    result = load(name)
    assert result is not None
    assert set(result) >= {"method", "date", "machine", "versions", "rows"}
    assert "python" in result["versions"]


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that is twice as slow in the second round changes no ratio."""
    slow = iter([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    base = iter([0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
    row = rate({"base": lambda n: next(base) * n, "own": lambda n: next(slow) * n}, "base", 2, 1e-9)
    assert row["own"]["median"] == 0.5
    assert row["base"]["median"] == 1


def test_a_batch_is_about_as_long_as_asked() -> None:
    assert calibrate(lambda count: count * 0.001, 0.02) == 20
    assert calibrate(lambda count: count * 1.0, 0.02) == 1


def test_spread_of_one_round_is_that_round() -> None:
    assert spread([2.0]) == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_a_process_that_ends_says_so() -> None:
    with pytest.raises(RuntimeError, match="see its error above"):
        Process("torsyq", "no such variant")


def test_versions_name_what_was_measured() -> None:
    found = versions([FRAMEWORKS["torsyq"], FRAMEWORKS["flask"]])
    assert {"python", "flask", "torsyq", "werkzeug"} <= set(found)


def test_calls_are_counted_for_the_innermost_step() -> None:
    assert stage("Flask.__call__ > Walk.wsgi_app > RequestContext.push > Map.lookup > f") == (
        "matching the URL"
    )
    assert stage("Flask.__call__ > Walk.wsgi_app > Response.__call__ > g") == "the response"
    assert stage("something else") == "the app's steps"
    assert sum(by_stage(Worker("torsyq", "main", 0).calls("text")).values()) <= 20


def test_drivers_agree_about_an_app() -> None:
    """The same app gives the same answers on WSGI and on ASGI."""
    pytest.importorskip("torsyq")
    from benchmarks.apps import torsyq

    app = torsyq.make("main", 0)
    wsgi, asgi = driver(app, "wsgi"), driver(app, "asgi")
    try:
        for name in ("text", "json", "user", "args", "form", "echo", "upload64", "stream", "404"):
            request = BY_NAME[name].requests[0]
            one, other = wsgi.ask(request), asgi.ask(request)
            assert (one.status, one.body) == (other.status, other.body), name
            assert asgi.time([request], 2) > 0
    finally:
        asgi.close()


def test_requests_leave_nothing_behind() -> None:
    """20,000 requests of every kind keep no object alive, and need no cycle collector."""
    worker = Worker("torsyq", "main", 0)
    names = ("text", "user", "args", "form", "echo", "cookie", "urls", "redirect", "404", "stream")
    for name in names:
        worker.time(name, 200)
    gc.collect()
    before = len(gc.get_objects())
    for name in names:
        assert worker.collected(name, 2000) == 0, name
    assert len(gc.get_objects()) - before < 50


def test_checks_read_headers_without_case() -> None:
    answer = Answer(200, [("content-type", "text/plain")], b"x")
    assert answer.header("content-type") == "text/plain"
    assert answer.header("location") == ""
    assert BY_NAME["text"].right(Request("/"), answer) is False
