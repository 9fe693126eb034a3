"""The command run as a real process, over HTTP: banner, reloader, debugger, port."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

from .servers import environment
from .servers import free_port
from .servers import Process
from .servers import process
from .servers import run

HELLO = """
from flask import Flask

app = Flask(__name__)

@app.route("/")
def index():
    return "first"

@app.route("/boom")
def boom():
    return 1 / 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(HELLO)
    return tmp_path


def comparable(output: str) -> str:
    """Output without what differs from one start to the next."""
    output = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", output)
    output = re.sub(r"\d\d/\w\w\w/\d{4} \d\d:\d\d:\d\d", "DATE", output)
    return re.sub(r"\d{3}-\d{3}-\d{3}", "PIN", output)


def served(project: Path, *args: str, doors: bool = True) -> str:
    """The output of ``flask run`` up to and with the line of one request."""
    port = str(free_port())
    with process(project, *args, "--app", "hello", "run", "-p", port, doors=doors) as server:
        assert server.wait_for(int(port)).text == "first"
        server.wait_for_output('"GET / HTTP/1.1" 200')
        return server.output


def test_run_serves_the_app(project: Path) -> None:
    output = served(project, "-m", "torsyq")
    assert output.startswith(" * Serving Flask app 'hello'\n * Debug mode: off\n")
    assert "WARNING: This is a development server." in output


@pytest.mark.skipif(importlib.util.find_spec("flask") is None, reason="Flask is not installed")
def test_run_writes_what_flask_writes(project: Path) -> None:
    ours = served(project, "-m", "flask")
    theirs = served(project, "-m", "flask", doors=False)
    assert comparable(ours) == comparable(theirs)


@pytest.mark.parametrize("module", ["flask", "torsyq"])
def test_the_reloader_serves_the_changed_app(project: Path, module: str) -> None:
    """In a new process of the same program, so Torsyq stays Torsyq."""
    port = str(free_port())
    args = ("-m", module, "--app", "hello", "run", "-p", port, "--debug")
    with process(project, *args, doors=module == "flask") as server:
        assert server.wait_for(int(port)).text == "first"
        server.wait_for_output(" * Debugger PIN: ")
        (project / "hello.py").write_text(HELLO.replace('"first"', "type(app).__module__"))
        changed = server.wait_for(int(port), good=lambda answer: answer.text != "first")
        assert changed.text == "torsyq.app"
        assert server.output.count(" * Serving Flask app 'hello'") == 1
        assert "Detected change in" in server.output


def test_after_a_broken_change_the_error_is_shown_and_the_next_change_mends_it(
    project: Path,
) -> None:
    port = free_port()
    args = ("-m", "flask", "--app", "hello", "run", "-p", str(port), "--debug")
    with process(project, *args) as server:
        server.wait_for(port)
        (project / "hello.py").write_text("raise RuntimeError('half a thought')\n")
        shown = server.wait_for(port, good=lambda answer: answer.status == 500)
        assert "half a thought" in shown.text
        (project / "hello.py").write_text(HELLO.replace("first", "mended"))
        server.wait_for(port, good=lambda answer: answer.text == "mended")


def ask_debugger(server: Process, port: int, **query: str) -> str:
    answer = server.get(port, f"/?{urlencode({'__debugger__': 'yes', **query})}")
    assert answer is not None
    return answer.text


def test_the_debugger_asks_for_its_pin(project: Path) -> None:
    """The page of an error is interactive for the one who can read the terminal."""
    port = free_port()
    args = ("-m", "flask", "--app", "hello", "run", "-p", str(port), "--debug", "--no-reload")
    with process(project, *args) as server:
        page = server.wait_for(port, "/boom")
        assert page.status == 500
        assert "ZeroDivisionError" in page.text
        assert "EVALEX = true" in page.text
        secret = re.search(r'SECRET = "(\w+)"', page.text)
        assert secret is not None
        ask_debugger(server, port, cmd="printpin", s=secret[1])
        output = server.wait_for_output(" * Debugger pin code: ")
        found = re.search(r"pin code: (\d{3}-\d{3}-\d{3})", output)
        assert found is not None
        wrong = ask_debugger(server, port, cmd="pinauth", pin="000-000-000", s=secret[1])
        assert '"auth": false' in wrong
        right = ask_debugger(server, port, cmd="pinauth", pin=found[1], s=secret[1])
        assert '"auth": true' in right


def test_without_debug_an_error_is_a_plain_page(project: Path) -> None:
    port = free_port()
    with process(project, "-m", "flask", "--app", "hello", "run", "-p", str(port)) as server:
        page = server.wait_for(port, "/boom")
        assert page.status == 500
        assert "ZeroDivisionError" not in page.text
        server.wait_for_output("ZeroDivisionError: division by zero")


def test_a_taken_port_is_named(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(project, "-m", "flask", "--app", "hello", "run", "-p", str(port))
    assert result.returncode == 1
    assert f"Port {port} is in use by another program." in result.stderr


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("import missing_dependency", 2, "No module named 'missing_dependency'"),
        ("app = 3", 2, "Failed to find Flask application or factory in module 'hello'."),
        ("def (", 1, "SyntaxError"),
        ("raise RuntimeError('oh no')", 1, "RuntimeError: oh no"),
    ],
)
def test_a_broken_app_ends_run_with_the_reason(
    project: Path, text: str, code: int, message: str
) -> None:
    (project / "hello.py").write_text(text + "\n")
    result = run(project, "-m", "flask", "--app", "hello", "run", "--debug")
    assert (result.returncode, message in result.stderr) == (code, True), result.stderr


def test_app_run_in_a_module_does_not_stop_a_command(project: Path) -> None:
    (project / "hello.py").write_text(HELLO + "\napp.run()\n")
    result = run(project, "-m", "flask", "--app", "hello", "routes")
    assert result.returncode == 0
    assert "/boom" in result.stdout


def test_the_shell_of_a_real_process(project: Path) -> None:
    """With its standard input a file: the banner, the names, a clean end."""
    result = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "hello", "shell"],
        cwd=project,
        env=environment(),
        input="print(app.import_name, type(app).__module__)\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "hello torsyq.app" in result.stdout
    assert "App: hello\n" in result.stderr
    assert result.returncode == 0


def test_variables_of_a_file_configure_run(project: Path) -> None:
    port = free_port()
    (project / ".flaskenv").write_text(f"FLASK_APP=hello\nFLASK_RUN_PORT={port}\n")
    with process(project, "-m", "torsyq", "run") as server:
        assert server.wait_for(port).text == "first"
