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


def test_a_stand_in_imports_its_module_when_it_is_read() -> None:
    assert run(
        "import torsyq, sys, werkzeug.http, werkzeug.routing.converters as converters\n"
        "print(*(name in sys.modules for name in ('email', 'email.utils', 'uuid')))\n"
        "print(werkzeug.http.http_date(0))\n"
        "print(converters.UUIDConverter(None).to_python('0' * 32))\n"
        "print(*(name in sys.modules for name in ('email', 'email.utils', 'uuid')))"
    ).splitlines() == [
        "False False False",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "00000000-0000-0000-0000-000000000000",
        "True True True",
    ]


def test_others_get_the_module_itself() -> None:
    assert (
        run(
            "import torsyq, email.utils, email.message, shutil, sys, werkzeug.http\n"
            "print(type(shutil).__name__, type(email.utils).__name__)\n"
            "print(email.message.utils is sys.modules['email.utils'])"
        )
        == "module module\nTrue"
    )


def test_a_stand_in_sees_what_is_replaced_in_the_module() -> None:
    assert (
        run(
            "import torsyq, werkzeug.http\n"
            "from unittest import mock\n"
            "with mock.patch('email.utils.format_datetime', return_value='replaced'):\n"
            "    print(werkzeug.http.http_date(0))\n"
            "print(werkzeug.http.http_date(0))"
        )
        == "replaced\nThu, 01 Jan 1970 00:00:00 GMT"
    )


def test_a_module_takes_the_place_of_its_stand_in() -> None:
    assert (
        run(
            "import sys, torsyq, werkzeug.http\n"
            "sys.modules['werkzeug.absent'] = None\n"
            "print(type(werkzeug.http.email).__name__)\n"
            "werkzeug.http.http_date(0)\n"
            "print(werkzeug.http.email is sys.modules['email'])"
        )
        == "_StandIn\nTrue"
    )


def test_a_loaded_module_gets_no_stand_in() -> None:
    assert (
        run(
            "import email, uuid, torsyq, werkzeug.http, werkzeug.routing.converters as converters\n"
            "print(converters.uuid is uuid, werkzeug.http.email is email)\n"
            "print(type(email.utils).__name__)"
        )
        == "True True\nmodule"
    )


def test_a_name_imported_beside_a_stand_in_is_that_of_the_module() -> None:
    assert (
        run(
            "from torsyq._werkzeug import stand_ins\n"
            "with stand_ins('colorsys', 'wsgiref', 'wsgiref.util'):\n"
            "    from colorsys import rgb_to_hsv as before\n"
            "    import colorsys, wsgiref.types, wsgiref.util\n"
            "    kinds = type(colorsys).__name__, type(wsgiref.util).__name__\n"
            "import colorsys\n"
            "print(before is colorsys.rgb_to_hsv, *kinds, type(colorsys).__name__)"
        )
        == "True module module module"
    )


def test_stand_ins_leave_nothing_behind_when_an_import_fails() -> None:
    assert (
        run(
            "import sys\n"
            "from torsyq._werkzeug import stand_ins\n"
            "try:\n"
            "    with stand_ins('colorsys'):\n"
            "        import colorsys, no_such_module\n"
            "except ModuleNotFoundError:\n"
            "    print('colorsys' in sys.modules, colorsys.rgb_to_hsv(0, 0, 0))"
        )
        == "False (0.0, 0.0, 0)"
    )


def test_threads_that_read_a_stand_in_at_once_all_see_the_module() -> None:
    assert (
        run(
            "import threading\n"
            "from torsyq._werkzeug import stand_ins\n"
            "seen = []\n"
            "start = threading.Barrier(8)\n"
            "with stand_ins('shutil'):\n"
            "    import shutil as stand_in\n"
            "    def read():\n"
            "        start.wait(); seen.append(stand_in.rmtree)\n"
            "    threads = [threading.Thread(target=read) for _ in range(8)]\n"
            "    [t.start() for t in threads]; [t.join(60) for t in threads]\n"
            "import shutil\n"
            "print(len(seen), set(seen) == {shutil.rmtree})"
        )
        == "8 True"
    )
