"""The conformance driver: it counts what a suite did on each side, and hides nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import tarfile
import textwrap
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from conformance import __main__ as driver  # noqa: E402
from conformance import catalogue  # noqa: E402
from conformance import report  # noqa: E402
from conformance import runner  # noqa: E402
from conformance import supply  # noqa: E402
from conformance import verdict  # noqa: E402
from conformance.catalogue import Known  # noqa: E402
from conformance.catalogue import Suite  # noqa: E402
from conformance.runner import Run  # noqa: E402

PYTHON = pathlib.Path(sys.executable)


@pytest.fixture(autouse=True)
def places(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Nothing of the repository's cache, results or report is touched."""
    for name in ("cache", "pins", "results", "smoke"):
        (tmp_path / name).mkdir()
    for module in (catalogue, supply, runner, report, driver):
        for name in ("CACHE", "PINS", "RESULTS", "SMOKE"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, tmp_path / name.lower())
    monkeypatch.setattr(report, "REPORT", tmp_path / "parity.md")
    monkeypatch.setattr(report, "PACKAGE_DATA", tmp_path / "parity.json")
    return tmp_path


def suite(**fields: t.Any) -> Suite:
    return Suite(**{"name": "Flask-Some", "version": "1.0", "smoke": True, **fields})


def write_smoke(places: pathlib.Path, source: str) -> None:
    (places / "smoke" / "smoke_flask_some.py").write_text(textwrap.dedent(source))


def run_here(
    places: pathlib.Path, source: str, side: runner.Side = "flask", **fields: t.Any
) -> Run:
    """Run a smoke file in this environment's own Python, on either side."""
    write_smoke(places, source)
    this = suite(**fields)
    work = supply.unpack(this, places / "work")
    product = places / "cache" / "product"
    if side == "torsyq" and not product.exists():
        product.symlink_to(ROOT / "src", target_is_directory=True)
    return runner.run(this, side, PYTHON, work, places / "logs" / "some.log")


# -- the pinned list -----------------------------------------------------------------------------


def test_the_list_is_whole() -> None:
    """Each suite is there once, Flask's own first, each with a pin, a hash or a written app."""
    suites = catalogue.load()
    assert suites[0].name == "Flask"
    assert len({one.slug for one in suites}) == len(suites)
    for one in suites:
        assert one.absent or (ROOT / "conformance" / "pins" / f"{one.slug}.txt").exists(), one.name
        assert one.absent or one.smoke or len(one.sha256) == 64, one.name
        if one.smoke:
            assert (ROOT / "conformance" / "smoke" / one.smoke_file).exists()


def test_flasks_own_suite_has_at_most_three_known_differences() -> None:
    assert sum(bool(known.test) for known in catalogue.load()[0].known) <= 3


def test_every_environment_pins_one_flask_and_one_werkzeug() -> None:
    for file in (ROOT / "conformance" / "pins").glob("*.txt"):
        pins = file.read_text().lower().splitlines()
        assert "flask==3.1.3" in pins, file.name
        assert "werkzeug==3.1.9" in pins, file.name


def test_reading_a_list(places: pathlib.Path) -> None:
    file = places / "suites.toml"
    file.write_text(
        '[[suite]]\nname = "A.b"\nversion = "1"\nargs = ["-x"]\nenv = { K = "v" }\n'
        '[[suite.known]]\ntest = "test_x.py::*"\nreason = "because"\n'
    )
    (one,) = catalogue.load(file)
    assert (one.slug, one.args, one.env) == ("a-b", ("-x",), (("K", "v"),))
    assert one.explain("test_x.py::test_y[1]") == "because"
    assert one.explain("test_z.py::test_y") == ""
    assert catalogue.pick([one], ["A_B"]) == [one]
    with pytest.raises(SystemExit, match="No such suite: c. There are: a-b."):
        catalogue.pick([one], ["C"])


def test_a_test_may_be_named_as_it_is_with_its_brackets() -> None:
    known = (Known("test_x.py::test[a]", "because"),)
    assert suite(known=known).explain("test_x.py::test[a]") == "because"


# -- archives ------------------------------------------------------------------------------------


def make_archive(places: pathlib.Path, one: Suite) -> str:
    """Put a small source archive where the download would have left it; its hash."""
    source = places / "source" / "some-1.0"
    (source / "tests").mkdir(parents=True)
    (source / "src").mkdir()
    (source / "tests" / "test_it.py").write_text("def test_it(): pass\n")
    place = places / "cache" / "sdists" / f"{one.slug}-{one.version}"
    place.mkdir(parents=True)
    with tarfile.open(place / "some-1.0.tar.gz", "w:gz") as tar:
        tar.add(source, "some-1.0")
    return hashlib.sha256((place / "some-1.0.tar.gz").read_bytes()).hexdigest()


def test_an_archive_is_unpacked_without_what_is_dropped(places: pathlib.Path) -> None:
    one = suite(smoke=False, drop=("src",))
    one = dataclasses.replace(one, sha256=make_archive(places, one))
    work = supply.unpack(one, places / "work")
    assert (work / "tests" / "test_it.py").exists()
    assert not (work / "src").exists()


def test_an_archive_with_another_hash_is_refused(places: pathlib.Path) -> None:
    one = suite(smoke=False, sha256="0" * 64)
    make_archive(places, one)
    with pytest.raises(supply.SupplyError, match="has sha256 .*, the list says 000"):
        supply.unpack(one, places / "work")


def test_a_suite_without_pins_says_so(
    places: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supply, "ROOT", places)
    result = driver._attempt(suite())
    assert result["absent"] == "pins/flask-some.txt is missing: run with --pin first"


def test_what_pip_says_is_passed_on() -> None:
    with pytest.raises(supply.SupplyError, match="^pip frobnicate: .*frobnicate"):
        supply.pip("frobnicate")


# -- runs ----------------------------------------------------------------------------------------


def test_each_test_is_counted_with_its_outcome_and_reason(places: pathlib.Path) -> None:
    seen = run_here(
        places,
        """
        import pytest
        def test_good(): pass
        def test_bad(): assert object() is None
        @pytest.mark.skip(reason="why")
        def test_skipped(): pass
        @pytest.mark.xfail
        def test_expected(): assert False
        @pytest.fixture
        def torn(): yield; raise ValueError("in teardown")
        def test_torn(torn): pass
        @pytest.mark.parametrize("value", [object()], ids=[hex(0xdeadbeef00)])
        def test_address(value): pass
        """,
    )
    outcomes = {test.partition("::")[2]: outcome for test, outcome in seen.outcomes.items()}
    assert outcomes == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
        "test_torn": "failed",
        "test_address[0x]": "passed",
    }
    assert "in teardown" in seen.why["smoke_flask_some.py::test_torn"]
    assert "object at 0x>" in seen.why["smoke_flask_some.py::test_bad"]
    assert (seen.framework, seen.ended) == (None, "")
    assert seen.count("failed") == 2


def test_a_file_that_does_not_import_is_a_failure(places: pathlib.Path) -> None:
    seen = run_here(places, "import nowhere_at_all")
    assert seen.outcomes == {"smoke_flask_some.py (collection)": "failed"}
    assert "nowhere_at_all" in seen.why["smoke_flask_some.py (collection)"]


@pytest.mark.parametrize("side", ["flask", "torsyq"])
def test_the_side_is_what_import_flask_gives(places: pathlib.Path, side: runner.Side) -> None:
    """The suite's own ``import flask`` decides, and what it got is written down."""
    source = f"import flask\ndef test_who(): assert {side!r} in flask.Flask.__module__"
    seen = run_here(places, source, side)
    assert list(seen.outcomes.values()) == ["passed"]
    assert seen.framework == runner.MAKERS[side]
    assert not verdict.wrong_framework(seen, side)
    assert verdict.wrong_framework(seen, "flask" if side == "torsyq" else "torsyq")


def test_the_wrong_side_is_found_before_the_run(places: pathlib.Path) -> None:
    """Here nothing is built, so that behind the doors' place there is only the real Flask."""
    runner.probe("flask", PYTHON, suite())
    with pytest.raises(SystemExit, match=r"should have given torsyq\.app and gave: flask\.app"):
        runner.probe("torsyq", PYTHON, suite())


def test_a_run_is_stopped_at_its_bound_and_what_was_seen_counts(places: pathlib.Path) -> None:
    source = """
    import threading
    def test_quick(): pass
    def test_endless(): threading.Event().wait()
    """
    seen = run_here(places, source, minutes=0.08)
    assert list(seen.outcomes.values()) == ["passed"]
    assert seen.ended == "stopped at its bound of 0.08 minutes"
    assert not runner.RUNNING


def test_arguments_environment_and_patterns(places: pathlib.Path) -> None:
    source = "import os\ndef test_env(): assert os.environ['K'] == 'v'\ndef test_other(): pass\n"
    seen = run_here(places, source, env=(("K", "v"),), args=("-k", "env"))
    assert list(seen.outcomes.values()) == ["passed"]
    for name in ("b", "a"):
        (places / f"test_{name}.py").touch()
    assert runner._expand(["test_*.py", "none"], places) == ["test_a.py", "test_b.py", "none"]


def test_a_run_in_which_nothing_ran(places: pathlib.Path) -> None:
    assert run_here(places, "").ended == "pytest ended with status 5"


def test_told_to_stop_the_driver_leaves_nothing_running(places: pathlib.Path) -> None:
    code = "import subprocess, sys; from conformance import __main__, runner\n"
    code += "p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1, start_new_session=True)\n"
    code += "runner.RUNNING.add(p); import signal; signal.signal(signal.SIGTERM, __main__.stop)\n"
    # Not signal.pause(), which misses a signal that comes just before.
    code += "print(p.pid, flush=True)\nimport time\nwhile True: time.sleep(0.1)\n"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not pathlib.Path(f"/proc/{child}").exists()


# -- the comparison ------------------------------------------------------------------------------

FLASK = Run({"a": "passed", "b": "passed", "c": "failed", "d": "skipped"}, {}, 1.0)
TORSYQ = Run({"a": "passed", "b": "failed", "c": "passed"}, {"b": "AssertionError: no\nmore"}, 0.5)


@pytest.fixture
def compared(places: pathlib.Path) -> verdict.Result:
    (places / "pins" / "flask-some.txt").write_text("Flask==3.1.3\nother==1\n")
    return verdict.compare(suite(), FLASK, TORSYQ)


def test_what_is_lost_and_gained(compared: verdict.Result) -> None:
    assert compared["tests"] == 4
    assert compared["torsyq"]["passed_of_flask"] == 1
    assert [difference["test"] for difference in compared["lost"]] == ["b"]
    assert compared["gained"] == ["c"]
    assert compared["packages"] == {"flask": "3.1.3"}
    assert verdict.unexplained(compared) == compared["lost"]


def test_a_test_that_did_not_run_here_is_lost(compared: verdict.Result) -> None:
    result = verdict.compare(suite(), FLASK, Run({}, {}, 1.0, ended="pytest ended with status 3"))
    assert [difference["torsyq"] for difference in result["lost"]] == ["not run", "not run"]
    assert result["lost"][0]["why"] == "pytest ended with status 3"
    assert "torsyq: pytest ended with status 3" in verdict.summary(result)


def test_what_passes_when_run_again_is_unsteady_and_not_lost(places: pathlib.Path) -> None:
    (places / "pins" / "flask-some.txt").write_text("flask==3.1.3\n")
    result = verdict.compare(suite(), FLASK, TORSYQ, again=Run({"b": "passed"}, {}, 1.0))
    assert (result["lost"], result["unsteady"]) == ([], ["b"])
    assert result["torsyq"]["passed_of_flask"] == 2
    assert report._unsteady([result]).endswith("* Flask-Some: `b`\n")


def test_causes_are_read_from_the_list_when_shown(compared: verdict.Result) -> None:
    """A difference explained later is explained in the stored result too."""
    verdict.store(suite(), compared)
    explained = verdict.stored(suite(known=(Known("b", "Because."),)))
    assert explained is not None
    assert verdict.unexplained(explained) == []
    assert verdict.stored(suite(name="never")) is None


@pytest.mark.parametrize(("lost", "status"), [(True, 1), (False, 0)])
def test_the_verdict(
    compared: verdict.Result, lost: bool, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    if not lost:
        compared["lost"] = []
    assert driver._verdict([compared, verdict.absent(suite(), "no")]) == status
    assert capsys.readouterr().out == f"1 passed, {int(lost)} failed\n"


def test_without_flasks_own_suite_nothing_is_proved(compared: verdict.Result) -> None:
    compared["lost"] = []
    flask = verdict.absent(suite(name="Flask"), "no network")
    assert driver._verdict([flask, compared]) == 1


def test_a_suite_that_passes_nothing_on_flask_proves_nothing(compared: verdict.Result) -> None:
    empty = verdict.compare(suite(), Run({}, {}, 1.0), Run({}, {}, 1.0))
    assert driver._verdict([empty]) == 1
    assert driver._verdict([]) == 1


# -- the report ----------------------------------------------------------------------------------


def test_the_report(compared: verdict.Result, places: pathlib.Path) -> None:
    compared["lost"] *= 2
    compared["lost"][1] = compared["lost"][1] | {"test": "z[1]"}
    one = suite(known=(Known("z[1]", "Because."),), note="A note.")
    verdict.store(one, compared)
    gone = Suite("Gone", "2", absent="The archive is empty.")
    report.write([one, gone, Suite("Never", "3")])
    page = (places / "parity.md").read_text()
    assert "**1 of the 2 tests** that pass on Flask pass on Torsyq (50.00 %), in 1 suites." in page
    assert "| Flask-Some | 1.0 | 4 | 2 | 1 | 50.00 % |" in page
    assert "* **Flask-Some**: Because.\n  * `z[1]`" in page
    assert "not explained yet (`AssertionError: no`)" in page
    assert "* Flask-Some: `c`" in page
    assert "* **Flask-Some**: A note." in page
    assert "* **Gone** 2: The archive is empty." in page
    assert "Never" not in page
    figures = json.loads((places / "parity.json").read_text())
    assert figures == {
        "flask-some": {
            "name": "Flask-Some",
            "version": "1.0",
            "flask": 2,
            "torsyq": 1,
            "smoke": True,
        }
    }


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert report._percent(99_999, 100_000) == "99.99 %"
    assert report._percent(7, 7) == "100 %"


def test_the_stored_page_is_what_the_stored_results_give() -> None:
    """Nobody edits the page by hand, and no result is stored without it."""
    code = (
        "from conformance import catalogue, report; print(report.render(catalogue.load()), end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == (ROOT / "docs" / "parity.md").read_text(), done.stderr


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture
def one_suite(places: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The list is one smoke app, its environment this one, the product this checkout."""
    one = suite()
    (places / "pins" / "flask-some.txt").write_text("flask==3.1.3\n")
    monkeypatch.setattr(driver, "load", lambda: [one])
    monkeypatch.setattr(driver, "environment", lambda suite: PYTHON)

    def product() -> pathlib.Path:
        place = places / "cache" / "product"
        place.symlink_to(ROOT / "src", target_is_directory=True)
        return place

    monkeypatch.setattr(driver, "product", product)
    return one


def test_a_whole_run(
    one_suite: Suite, places: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides are run and compared, the result stored, the page written, the status told."""
    source = "import flask\ndef test_same(): pass\ndef test_who(): assert 'flask' in flask.Flask.__module__\n"
    write_smoke(places, source)
    assert driver.main(["--suite", "flask-some"]) == 1
    said = capsys.readouterr().out
    assert "1 of     2 passed on Flask" in said
    assert "failed: smoke_flask_some.py::test_who: AssertionError" in said
    assert said.endswith("1 passed, 1 failed\n")
    assert "1 of the 2 tests" in (places / "parity.md").read_text()
    assert driver.main(["--list"]) == 0
    assert "1 of     2 passed on Flask" in capsys.readouterr().out


def test_a_test_that_fails_now_and_then_is_run_again(
    one_suite: Suite, places: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails on Torsyq when it is run first; by itself, the second time, it passes."""
    source = """
    import flask, pathlib
    seen = pathlib.Path(__file__).parent.parent / "seen"

    def test_unsteady():
        if flask.Flask.__module__ == "torsyq.app":
            assert seen.exists() or seen.touch()
    def test_other(): pass
    """
    write_smoke(places, source)
    assert driver.main([]) == 0
    assert capsys.readouterr().out.endswith("2 passed, 0 failed\n")
    assert "passed when run again by themselves" in (places / "parity.md").read_text()


def test_one_side_only(
    one_suite: Suite, places: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_smoke(places, "def test_bad(): assert False, 'so'\n")
    assert driver.main(["--only", "flask"]) == 1
    assert "test_bad: AssertionError: so" in capsys.readouterr().out
    assert not list((places / "results").iterdir())
    write_smoke(places, "def test_good(): pass\n")
    assert driver.main(["--only", "torsyq"]) == 0


def test_a_quick_run_takes_what_fits(
    one_suite: Suite,
    places: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    compared: verdict.Result,
) -> None:
    """A suite never timed, or longer than what is left, is left out; nothing is stored."""
    write_smoke(places, "def test_good(): pass\n")
    assert driver.main(["--quick"]) == 1
    verdict.store(one_suite, compared)
    before = one_suite.result.read_text()
    (places / "cache" / "product").unlink()
    assert driver.main(["--quick"]) == 0
    assert one_suite.result.read_text() == before
    monkeypatch.setattr(driver, "QUICK_SECONDS", 1)
    (places / "cache" / "product").unlink()
    assert driver.main(["--quick"]) == 1


def test_many_differences_are_cut_short_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    lost = [{"torsyq": "failed", "test": f"t{n}", "why": "", "reason": "r"} for n in range(15)]
    driver._tell(lost)
    said = capsys.readouterr().out
    assert said.count("failed: t") == 12
    assert "and 3 more: see the stored result" in said
