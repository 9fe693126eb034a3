"""Werkzeug's package face is put off, and is what it is as soon as someone looks."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_server_and_the_client_are_not_loaded() -> None:
    heavy = "['werkzeug.serving', 'werkzeug.test', 'http.server', 'ssl']"
    assert run(f"import torsyq, sys; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_its_names_are_there_when_read() -> None:
    assert (
        run(
            "import torsyq, werkzeug\n"
            "from werkzeug import Request\n"
            "import werkzeug.serving, werkzeug.test\n"
            "assert werkzeug.run_simple is werkzeug.serving.run_simple\n"
            "assert werkzeug.Client is werkzeug.test.Client\n"
            "print(type(werkzeug).__name__, Request.__module__, hasattr(werkzeug, 'nothing'))"
        )
        == "module werkzeug.wrappers.request False"
    )


def test_its_modules_are_there_when_read() -> None:
    assert (
        run("import torsyq, werkzeug\nprint(werkzeug.security.__name__, type(werkzeug).__name__)")
        == "werkzeug.security _Waiting"
    )


def test_an_imported_werkzeug_is_left_alone() -> None:
    assert run("import werkzeug, torsyq; print(type(werkzeug).__name__)") == "module"


def test_threads_that_look_at_once_all_see_it() -> None:
    assert (
        run(
            "import torsyq, werkzeug, threading\n"
            "seen = []\n"
            "start = threading.Barrier(8)\n"
            "def look():\n"
            "    start.wait(); seen.append(werkzeug.run_simple.__name__)\n"
            "threads = [threading.Thread(target=look) for _ in range(8)]\n"
            "[t.start() for t in threads]; [t.join(60) for t in threads]\n"
            "print(set(seen), len(seen))"
        )
        == "{'run_simple'} 8"
    )


def test_a_missing_package_is_named() -> None:
    assert (
        run(
            "from torsyq._werkzeug import put_off\n"
            "try:\n"
            "    put_off('no_such_package')\n"
            "except ModuleNotFoundError as error:\n"
            "    print(error.name, error)"
        )
        == "no_such_package No module named 'no_such_package'"
    )
