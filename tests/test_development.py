"""``torsyq run`` with what WSGI cannot serve: real processes, on each ASGI server."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import sys
import threading
import typing as t
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
from websockets.sync.client import connect

from torsyq import development
from torsyq import Flask
from torsyq.development import ENGINES
from torsyq.development import is_for_loop

from .servers import free_port
from .servers import PATIENCE
from .servers import Process
from .servers import process
from .servers import run
from .servers import until
from .test_cli_run import ask_debugger

Calls = list[tuple[bool, dict[str, t.Any]]]

CHAT = """
from flask import Flask, request, websocket

app = Flask(__name__)

def note(text):
    with open("events", "a") as file:
        file.write(text + "\\n")

@app.get("/")
def index():
    return "first"

@app.get("/async")
async def in_the_loop():
    return request.args["q"]

@app.get("/stream")
async def stream():
    import asyncio

    async def pieces():
        yield "begun\\n"
        while True:
            await asyncio.sleep(0.01)
            yield "more\\n"

    return pieces()

@app.get("/stuck")
def stuck():
    import time

    note("stuck")
    time.sleep(1000)

@app.get("/boom")
def boom():
    return 1 / 0

@app.get("/boom-async")
async def boom_async():
    return 1 / 0

@app.after_serving
def stop():
    note("stopped")

@app.websocket("/echo")
async def echo():
    while True:
        await websocket.send(await websocket.receive())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "chat.py").write_text(CHAT)
    return tmp_path


def echo(port: int, text: str) -> str | bytes:
    with connect(f"ws://127.0.0.1:{port}/echo") as client:
        client.send(text)
        return client.recv(timeout=PATIENCE)


def args(port: int, *more: str, program: str = "torsyq") -> tuple[str, ...]:
    return ("-m", program, "--app", "chat", "run", "-p", str(port), *more)


@pytest.mark.parametrize("engine", ENGINES)
def test_sockets_streams_and_views_are_served(project: Path, engine: str) -> None:
    only = f"import torsyq.development\ntorsyq.development.ENGINES = [{engine!r}]\n"
    (project / "chat.py").write_text(only + CHAT)
    port = free_port()
    with process(project, *args(port)) as server:
        assert server.wait_for(port).text == "first"
        assert echo(port, "salem") == "salem"
        answer = server.get(port, "/async?q=there")
        assert answer is not None
        assert answer.text == "there"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream", timeout=PATIENCE) as stream:
            assert [stream.readline(), stream.readline()] == [b"begun\n", b"more\n"]
        page = server.get(port, "/boom")
        assert page is not None
        assert page.status == 500
        server.wait_for_output("ZeroDivisionError: division by zero")
        server.stop()
        output = server.output
    assert output.startswith(" * Serving Flask app 'chat'\n * Debug mode: off\n")
    assert f" * Running on http://127.0.0.1:{port}\n" in output
    assert f" * Interface: asgi, on {engine}\n" in output
    assert re.search(r'127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 -', output)
    assert re.search(r'"GET /echo HTTP/1\.1" 101 -', output)
    assert (project / "events").read_text() == "stopped\n"


def test_in_debug_mode_code_is_reloaded(project: Path) -> None:
    """Again and again, the broken state in between included, and the hooks run at each end."""
    port = free_port()
    with process(project, *args(port, "--debug")) as server:
        assert server.wait_for(port).text == "first"
        assert echo(port, "salem") == "salem"
        server.wait_for_output(" * Debugger PIN: ")
        (project / "chat.py").write_text("raise RuntimeError('half a thought')\n")
        broken = server.wait_for(port, good=lambda answer: answer.status == 500)
        assert "half a thought" in broken.text
        (project / "chat.py").write_text(CHAT.replace('"first"', '"second"'))
        server.wait_for(port, good=lambda answer: answer.text == "second")
        assert echo(port, "again") == "again"
        assert (project / "events").read_text() == "stopped\n"
        assert server.output.count(" * Running on http") == 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", ["/stream", "/stuck"])
def test_what_never_ends_keeps_nobody_waiting(project: Path, engine: str, path: str) -> None:
    """Neither the new code nor Ctrl+C; a stream is ended, a sync view can't be."""
    only = f"import torsyq.development\ntorsyq.development.ENGINES = [{engine!r}]\n"
    (project / "chat.py").write_text(only + CHAT)
    events, port = project / "events", free_port()
    ask = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def begin(client: socket.socket, expected: str) -> None:
        client.settimeout(PATIENCE)
        client.sendall(ask)
        if path == "/stream":
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        else:
            until("the view", lambda: events.exists() and events.read_text() == expected)

    with process(project, *args(port, "--debug")) as server:
        server.wait_for(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            begin(client, "stuck\n")
            (project / "chat.py").write_text(only + CHAT.replace('"first"', '"second"'))
            server.wait_for(port, good=lambda answer: answer.text == "second")
            if path == "/stream":
                assert events.read_text() == "stopped\n"
            events.unlink()
            begin_again = socket.create_connection(("127.0.0.1", port))
        with begin_again:
            begin(begin_again, "stuck\n")
            os.killpg(server.popen.pid, signal.SIGINT)
            server.popen.wait(PATIENCE)


@pytest.mark.parametrize("is_told", ["first process", "both"])
def test_told_to_stop_in_debug_mode_the_hooks_run(project: Path, is_told: str) -> None:
    """Also of code that was reloaded, and with a stream open."""
    events, port = project / "events", free_port()
    with process(project, *args(port, "--debug")) as server:
        server.wait_for(port)
        (project / "chat.py").write_text(CHAT.replace('"first"', '"second"'))
        server.wait_for(port, good=lambda answer: answer.text == "second")
        events.unlink()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream", timeout=PATIENCE) as stream:
            assert stream.readline() == b"begun\n"
            if is_told == "both":
                os.killpg(server.popen.pid, signal.SIGTERM)
                assert server.popen.wait(PATIENCE) == 0
            else:
                assert server.stop() == 0
        assert events.read_text() == "stopped\n"


def test_told_to_stop_in_debug_mode_broken_code_is_no_obstacle(project: Path) -> None:
    port = free_port()
    with process(project, *args(port, "--debug")) as server:
        server.wait_for(port)
        (project / "chat.py").write_text("raise RuntimeError('half a thought')\n")
        server.wait_for(port, good=lambda answer: answer.status == 500)
        assert server.stop() == 0


def test_told_to_stop_twice_it_ends_though_the_second_process_does_not(project: Path) -> None:
    deaf = """
import os, signal

@app.get("/deaf")
async def deaf():
    note("deaf")
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    (project / "chat.py").write_text(CHAT + deaf)
    events, port = project / "events", free_port()
    with process(project, *args(port, "--debug")) as server, socket.socket() as client:
        server.wait_for(port)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /deaf HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until("the view", events.exists)

        def tell() -> int | None:
            server.popen.send_signal(signal.SIGTERM)
            return server.popen.poll()

        until("the end", lambda: tell() is not None)


@pytest.mark.parametrize("path", ["/boom", "/boom-async"])
def test_an_error_is_shown_in_the_debugger(project: Path, path: str) -> None:
    port = free_port()
    with process(project, *args(port, "--debug", "--no-reload")) as server:
        page = server.wait_for(port, path)
        assert page.status == 500
        assert "ZeroDivisionError" in page.text
        assert "EVALEX = true" in page.text
        secret = re.search(r'SECRET = "(\w+)"', page.text)
        frame = re.search(r'id="frame-(\d+)"', page.text)
        assert secret is not None
        assert frame is not None
        ask_debugger(server, port, cmd="printpin", s=secret[1])
        found = re.search(
            r"pin code: (\d{3}-\d{3}-\d{3})", server.wait_for_output(" * Debugger pin code: ")
        )
        assert found is not None
        right = ask_debugger(server, port, cmd="pinauth", pin=found[1], s=secret[1])
        assert '"auth": true' in right


STREAMS = """
from torsyq.sse import sse_response

app.config["ASGI_THREADS"] = 2

@app.get("/events")
async def events():
    async def source():
        import asyncio

        try:
            yield "begun"
            await asyncio.Event().wait()
        finally:
            note("closed")

    return sse_response(source())

@app.get("/<path>/fails")
async def fails(path):
    async def pieces():
        for piece in path.split("-"):
            yield piece if piece == "good" else [] / 0

    return pieces()
"""


@pytest.mark.parametrize(("path", "first"), [("/events", b"data: begun"), ("/stream", b"begun")])
def test_streams_hold_no_thread_beside_the_debugger_either(
    project: Path, path: str, first: bytes
) -> None:
    (project / "chat.py").write_text(CHAT + STREAMS)
    port = free_port()
    with process(project, *args(port, "--debug", "--no-reload")) as server, ExitStack() as stack:
        server.wait_for(port)
        for _ in range(5):
            address = f"http://127.0.0.1:{port}{path}"
            stream = stack.enter_context(urllib.request.urlopen(address, timeout=PATIENCE))
            assert stream.readline().rstrip() == first
        assert server.wait_for(port).text == "first"
        stack.close()
        if path == "/events":
            events = project / "events"
            until(
                "the end of each", lambda: events.exists() and events.read_text() == "closed\n" * 5
            )


def test_an_error_in_a_stream_is_shown_in_the_debugger(project: Path) -> None:
    (project / "chat.py").write_text(CHAT + STREAMS)
    port = free_port()
    with process(project, *args(port, "--debug", "--no-reload")) as server:
        page = server.wait_for(port, "/bad/fails")
        assert page.status == 500
        assert "TypeError: unsupported operand" in page.text
        assert "EVALEX = true" in page.text
        begun = server.wait_for(port, "/good-bad/fails")
        assert begun.status == 200
        assert begun.text.startswith("good")
        assert server.output.count("TypeError: unsupported operand") == 2


def test_a_plain_app_is_served_by_werkzeug(project: Path) -> None:
    (project / "chat.py").write_text(
        "from flask import Flask\napp = Flask(__name__)\napp.get('/')(lambda: 'plain')\n"
    )
    port = free_port()
    with process(project, *args(port)) as server:
        assert server.wait_for(port).text == "plain"
        assert f" * Running on http://127.0.0.1:{port}\n" in server.output
        assert "Interface" not in server.output


def test_the_interface_can_be_forced(project: Path) -> None:
    port = free_port()
    with process(project, *args(port, "--interface", "wsgi")) as server:
        assert server.wait_for(port, "/async?q=x").text == "x"
        assert f" * Running on http://127.0.0.1:{port}\n" in server.output
        assert "Interface" not in server.output


def test_flask_run_serves_websockets_too(project: Path) -> None:
    port = free_port()
    with process(project, *args(port, program="flask")) as server:
        assert server.wait_for(port).text == "first"
        assert echo(port, "salem") == "salem"


def test_it_serves_https(project: Path) -> None:
    port = free_port()
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE

    def ask(server: Process) -> t.Any:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trust) as answer:
                return answer.read()
        except OSError:
            assert server.popen.poll() is None, server.output
            return None

    with process(project, *args(port, "--cert", "adhoc")) as server:
        assert until("an answer over TLS", lambda: ask(server)) == b"first"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_app_that_fails_to_start_ends_it(project: Path, engine: str) -> None:
    (project / "chat.py").write_text(f"""
import torsyq.development
from torsyq import Flask

torsyq.development.ENGINES = [{engine!r}]
app = Flask(__name__)

@app.before_serving
async def connect():
    raise LookupError("no database")
""")
    ended = run(project, *args(free_port(), "--interface", "asgi"))
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1
    assert "LookupError: no database" in ended.stderr


def test_a_taken_port_ends_it(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(project, *args(port))
    assert result.returncode == 1
    assert f"Port {port} is in use by another program." in result.stderr


# -- in process --------------------------------------------------------------------------------


def app_with(*features: str) -> Flask:
    app = Flask("features")

    async def view() -> str:
        return ""

    def sync_view() -> str:
        return ""

    app.add_url_rule("/", "sync", sync_view)
    if "async" in features:
        app.add_url_rule("/async", "async", view)
    if "socket" in features:
        app.websocket("/socket")(lambda: None)
    return app


@pytest.mark.parametrize(
    ("features", "interface", "expected"),
    [
        ((), "auto", False),
        ((), "asgi", True),
        (("async",), "auto", True),
        (("async",), "flask", False),
        (("async",), "wsgi", False),
        (("socket",), "auto", True),
        (("socket",), "flask", True),
        (("socket",), "wsgi", False),
    ],
)
def test_what_the_app_contains_decides(
    features: tuple[str, ...], interface: str, expected: bool
) -> None:
    assert is_for_loop(app_with(*features), interface) is expected


def test_app_run_serves_sockets_too(project: Path) -> None:
    """A program that runs itself, as Quart's do, serves what ``torsyq run`` serves."""
    port = free_port()
    (project / "chat.py").write_text(f"{CHAT}\napp.run(port={port})\n")
    with process(project, "chat.py") as server:
        assert server.wait_for(port).text == "first"
        assert echo(port, "salem") == "salem"
        assert "Interface: asgi" in server.output
        server.stop()
    assert (project / "events").read_text() == "stopped\n"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What ``app.run()`` calls, instead of serving: whether that is the loop, and its options."""
    calls: Calls = []
    for name, here in (
        ("torsyq.development.run_on_loop", True),
        ("werkzeug.serving.run_simple", False),
    ):
        monkeypatch.setattr(name, lambda *args, here=here, **kw: calls.append((here, kw)))
    return calls


@pytest.mark.parametrize(
    ("features", "options", "on_loop"),
    [
        (("socket",), {}, True),
        (("socket",), {"threaded": False, "ssl_context": "adhoc", "extra_files": ["a"]}, True),
        (("async",), {}, False),
        (("socket",), {"passthrough_errors": True}, False),
        (("socket",), {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, False),
    ],
)
def test_app_run_takes_werkzeug_for_what_it_alone_can_do(
    features: tuple[str, ...], options: dict[str, t.Any], on_loop: bool, called: Calls
) -> None:
    app_with(*features).run(**options)
    ((here, given),) = called
    assert here is on_loop
    assert {"use_reloader": False, "use_debugger": False, "threaded": True} | options == given


def test_app_run_beside_the_main_thread_takes_werkzeug(called: Calls) -> None:
    """A loop needs threads, which Python refuses to a program whose main thread has ended."""
    thread = threading.Thread(target=app_with("socket").run)
    thread.start()
    thread.join()
    assert [here for here, _ in called] == [False]


def test_a_wsgi_callable_stands_for_an_app_that_does_not_load() -> None:
    assert not is_for_loop(lambda environ, start_response: [], "asgi")


def test_without_a_server_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(development, "ENGINES", ())
    with pytest.raises(click.ClickException, match=r"pip install 'torsyq\[serve\]'"):
        is_for_loop(app_with(), "asgi")
    assert not is_for_loop(app_with("async"), "auto")
    assert capsys.readouterr().err == ""
    assert not is_for_loop(app_with("socket"), "flask")
    said = capsys.readouterr().err
    assert "The app contains WebSockets: for that, an ASGI server is needed" in said


def test_a_ready_made_context_is_refused() -> None:
    with pytest.raises(click.ClickException, match="from files"):
        development.run_on_loop(
            "127.0.0.1", 0, app_with(), ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        )


def test_without_threads_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_with()
    monkeypatch.setattr(development.Engine, "run_to_signal", lambda self: None)
    development.run_on_loop("127.0.0.1", 0, app, threaded=False)
    assert app.config["ASGI_THREADS"] == 1


@pytest.mark.parametrize("told", [(False, 128), (False,), ()])
def test_granian_is_given_the_socket_as_its_system_has_it(told: tuple[object, ...]) -> None:
    """On Linux, on macOS, on Windows."""

    def holder(*given: object) -> tuple[object, ...]:
        if len(given) != 1 + len(told):
            raise TypeError("wrong number of arguments")
        return given

    assert development._held(holder, 7) == (7, *told)


def test_a_granian_that_takes_no_socket_is_named() -> None:
    with pytest.raises(TypeError, match="does not take a socket"):
        development._held(len, 7)


def test_sockets_are_not_duplicated_as_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows the number of a socket is no descriptor."""
    (project / "chat.py").write_text("import os\ndel os.dup\n" + CHAT)
    port = free_port()
    with process(project, *args(port, "--debug")) as server:
        assert server.wait_for(port).text == "first"
        assert echo(port, "salem") == "salem"


def test_development_is_loaded_for_development_only() -> None:
    done = run(Path(), "-c", "import sys, torsyq; print('torsyq.development' in sys.modules)")
    assert done.stdout == "False\n", (done, sys.path)
