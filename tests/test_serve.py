"""torsyq serve: real workers on granian, over HTTP, and what it refuses to start with."""

from __future__ import annotations

import datetime
import errno
import logging
import multiprocessing
import os
import re
import signal
import socket
import ssl
import sys
import typing as t
import urllib.request
from contextlib import suppress
from pathlib import Path
from queue import Empty

import click
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from granian._granian import BUILD_GIL
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import connect

from torsyq import Flask
from torsyq import serve
from torsyq.cli import ScriptInfo
from torsyq.cli._checks import check_address
from torsyq.cli._checks import check_certificate
from torsyq.greenlets import GLANCE
from torsyq.serve import AccessFormatter
from torsyq.serve import check_app
from torsyq.serve import serve_command
from torsyq.serve import Trial

from .servers import free_port
from .servers import PATIENCE
from .servers import process
from .servers import run
from .servers import until

HELLO = """
import os
import time
from pathlib import Path
from flask import Flask, request

app = Flask(__name__)

@app.route("/")
def index():
    return f"{type(app).__module__} {os.getpid()} {os.environ.get('COLOUR')}"

@app.route("/slow")
def slow():
    Path("begun").touch()
    while not Path("finish").exists():
        time.sleep(0.01)
    return "finished"

def create_app(name):
    made = Flask(name)
    made.add_url_rule("/", view_func=lambda: made.name)
    return made
"""


PARENT = """
import subprocess
import sys
from flask import Flask

app = Flask(__name__)
CHILD = '''
from signal import SIG_BLOCK, SIGINT, getsignal, pthread_sigmask
print(pthread_sigmask(SIG_BLOCK, []), getsignal(SIGINT).__name__)
'''

@app.route("/")
def index():
    return subprocess.check_output([sys.executable, "-c", CHILD])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(HELLO)
    return tmp_path


class Options(t.NamedTuple):
    """How the server is started."""

    port: int
    args: tuple[str, ...]


# Without the GIL, granian has threads for workers.
in_processes = pytest.mark.skipif(not BUILD_GIL, reason="workers are threads")


def options(*args: str, app: str = "hello") -> Options:
    port = free_port()
    return Options(port, ("-m", "torsyq", "--app", app, "serve", "-p", str(port), *args))


def test_it_serves_the_app_on_torsyq_in_a_process_of_its_own(project: Path) -> None:
    (project / ".env").write_text("COLOUR=blue\n")
    port, args = options("--threads", "2")
    with process(project, *args, doors=False) as server:
        module, pid, colour = server.wait_for(port).text.split()
        assert (module, colour) == ("torsyq.app", "blue")
        assert (int(pid) != server.popen.pid) == BUILD_GIL
        assert server.stop() == 0
    lines = server.output.splitlines()
    assert lines[:3] == [
        " * Serving Flask app 'hello'",
        " * Debug mode: off",
        " * Interface: wsgi, workers: 1, threads of each: 2, connections of each: 1024",
    ]
    assert '"GET / HTTP' not in server.output


ASYNC = """
import asyncio
import time
from pathlib import Path

from flask import Flask, current_app, websocket

app = Flask(__name__)
app.config.update(ASGI_THREADS=7)

def note(text):
    with open("events", "a") as file:
        file.write(text + "\\n")

@app.before_serving
async def start():
    app.begun = asyncio.get_running_loop()

@app.after_serving
def stop():
    note("stopped")

@app.get("/")
async def index():
    return str(app.begun is asyncio.get_running_loop())

@app.get("/task")
async def task():
    async def work():
        note("task begun")
        while not Path("finish").exists():
            await asyncio.sleep(0.01)
        note("task finished")

    app.add_background_task(work)
    return "later", 202

@app.websocket("/echo")
async def echo():
    try:
        while True:
            await websocket.send(await websocket.receive())
    finally:
        note("socket ended")
"""


def test_an_app_with_anything_async_is_served_on_a_loop(project: Path) -> None:
    """By itself; and stopping ends its sockets and its background tasks."""
    (project / "hello.py").write_text(ASYNC)
    port, args = options()
    with process(project, *args) as server:
        assert server.wait_for(port).text == "True"
        assert (
            " * Interface: asgi (the app contains WebSockets and serving hooks and async views),"
            " workers: 1, threads of each: 7, connections of each: "
        ) in server.output
        with connect(f"ws://127.0.0.1:{port}/echo") as client:
            client.send("salem")
            assert client.recv(timeout=PATIENCE) == "salem"
            answer = server.get(port, "/task")
            assert answer is not None
            assert answer.status == 202
            events = project / "events"
            until("the task", lambda: events.exists() and "task begun" in events.read_text())
            server.popen.send_signal(signal.SIGTERM)
            (project / "finish").touch()
            assert server.popen.wait(PATIENCE) == 0
        assert set(events.read_text().splitlines()) == {
            "task begun",
            "task finished",
            "socket ended",
            "stopped",
        }


def test_the_interface_can_be_forced(project: Path) -> None:
    (project / "hello.py").write_text(ASYNC)
    port, args = options("--interface", "wsgi", "--threads", "2")
    with process(project, *args) as server:
        assert server.wait_for(port).text == "True"
        assert " * Interface: wsgi, workers: 1, threads of each: 2," in server.output


# What begins a request over HTTP/2 with a body (RFC 9113), and three bytes of that.
HTTP_2 = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    b"\0\0\0\x04\0\0\0\0\0"
    b"\0\0\x06\x01\x04\0\0\0\x01\x83\x84\x86\x41\x01a"
    b"\0\0\x03\0\0\0\0\0\x01abc"
)


@pytest.mark.parametrize("interface", ["wsgi", "asgi", "rsgi"])
def test_a_body_over_http_2_that_breaks_off_keeps_no_thread(project: Path, interface: str) -> None:
    """Under WSGI, granian would never end the reading of it."""
    (project / "hello.py").write_text(
        """
from flask import Flask, request

app = Flask(__name__)

@app.route("/", methods=["GET", "POST"])
def index():
    return request.get_data()
"""
    )
    port, args = options("--interface", interface, "--threads", "1")
    with process(project, *args) as server:
        server.wait_for(port)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(HTTP_2)
                with suppress(ConnectionError):
                    client.recv(100)
        for _ in range(3):
            answer = server.get(port)
            assert answer is not None
            assert answer.status == 200


def test_a_factory_with_arguments(project: Path) -> None:
    port, args = options(app="hello:create_app('made here')")
    with process(project, *args) as server:
        assert server.wait_for(port).text == "made here"


@in_processes
def test_several_workers_answer(project: Path) -> None:
    port, args = options("--workers", "2")
    with process(project, *args) as server:
        server.wait_for(port)
        seen: set[str] = set()

        def both_seen() -> bool:
            answer = server.get(port)
            if answer is not None:
                seen.add(answer.text)
            return len(seen) == 2

        until("an answer from each worker", both_seen)


@in_processes
def test_a_worker_that_dies_is_replaced(project: Path) -> None:
    port, args = options()
    with process(project, *args) as server:
        first = server.wait_for(port).text
        os.kill(int(first.split()[1]), signal.SIGKILL)
        assert server.wait_for(port, good=lambda answer: answer.text != first).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_finishes_requests_in_flight(project: Path, number: int) -> None:
    port, args = options()
    with process(project, *args) as server, socket.socket() as client:
        server.wait_for(port)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        until("the view to begin", (project / "begun").exists)
        server.popen.send_signal(number)
        server.wait_for_output("Stopping worker")
        assert server.popen.poll() is None
        (project / "finish").touch()
        answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nfinished")
        assert server.popen.wait(PATIENCE) == 0


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_ctrl_c_is_left_to_the_process_that_was_started(project: Path, interface: str) -> None:
    """A terminal sends it to the workers as well, which would be told to stop twice."""
    port, args = options("--interface", interface)
    with process(project, *args) as server:
        worker = int(server.wait_for(port).text.split()[1])
        os.kill(worker, signal.SIGINT)
        os.killpg(server.popen.pid, signal.SIGINT)
        assert server.popen.wait(PATIENCE) == 0
        assert "Unexpected exit" not in server.output
        assert "refused to gracefully stop" not in server.output


@pytest.mark.parametrize("interface", ["wsgi", "asgi", "rsgi"])
def test_what_a_view_starts_can_be_interrupted(project: Path, interface: str) -> None:
    """A child has of its parent what signals it blocks or passes over."""
    (project / "parent.py").write_text(PARENT)
    port, args = options("--interface", interface, app="parent")
    with process(project, *args) as server:
        assert server.wait_for(port).text.split() == ["set()", "default_int_handler"]


def test_where_workers_are_threads_ctrl_c_stops_the_process() -> None:
    """As on a Python without its lock: they are told by the process, which is theirs."""
    handler = signal.getsignal(signal.SIGINT)
    app = Flask("threads")
    info = ScriptInfo(create_app=lambda: app)
    assert serve._load_in_worker(info, "wsgi", 1) is app
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


STUCK = """
import threading
import granian.server

class Server(granian.server.MTServer):
    def __init__(self, *args, workers_kill_timeout, **given):
        assert workers_kill_timeout is None

    def serve(self, **given):
        # A request that does not end.
        threading.Thread(target=threading.Event().wait).start()
        self.shutdown(3)

    def shutdown(self, exit_code=0):
        print("shutting down", exit_code)

granian.server.Server = Server
from torsyq.serve import serve
serve(
    None, host="", port=0, workers=1, threads=1, backpressure=1, cert=None, access_log=False,
    interface="wsgi", stop_timeout=1,
)
"""


def test_where_workers_are_threads_the_process_ends_after_the_timeout(tmp_path: Path) -> None:
    """Nobody can kill a thread; granian would end in an error, and Python wait for it for ever."""
    done = run(tmp_path, "-c", STUCK)
    assert done.returncode == 3
    assert done.stdout == "shutting down 3\n"
    assert "refused to gracefully stop" in done.stderr


def test_a_request_that_does_not_end_is_given_up_after_the_timeout(project: Path) -> None:
    port, args = options("--stop-timeout", "1")
    with process(project, *args) as server, socket.socket() as client:
        server.wait_for(port)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        until("the view to begin", (project / "begun").exists)
        server.stop()
        assert "refused to gracefully stop" in server.output


def test_the_access_log_shows_each_request_on_one_line(project: Path) -> None:
    """Whatever is in its path."""
    port, args = options("--access-log")
    with process(project, *args) as server:
        server.wait_for(port)
        assert server.get(port, "/a%0a%1b%5b31m[INFO]%20forged") is not None
        output = server.wait_for_output("forged")
    assert re.search(r'- "GET / HTTP/1\.1" 200 \d', output)
    assert r'- "GET /a\n\x1b[31m[INFO] forged HTTP/1.1" 404 ' in output


def test_the_access_log_has_also_what_its_encoding_lacks(project: Path) -> None:
    """Else there would be a traceback in the place of the line."""
    port, args = options("--access-log", "--interface", "asgi")
    with process(project, *args, PYTHONIOENCODING="cp1251") as server:
        server.wait_for(port)
        assert server.get(port, "/%D2%9B-last") is not None
        output = server.wait_for_output("-last")
    assert r'"GET /\u049b-last HTTP/1.1" 404' in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("app", "text", "code", "message"),
    [
        ("broken", "raise RuntimeError('oh no')", 1, "RuntimeError: oh no"),
        ("broken", "import missing_dependency", 2, "No module named 'missing_dependency'"),
        ("not_there", "", 2, "Error: Could not import 'not_there'."),
    ],
)
def test_a_broken_app_ends_it_at_once(
    project: Path, app: str, text: str, code: int, message: str
) -> None:
    (project / "broken.py").write_text(text + "\n")
    result = run(project, *options(app=app).args)
    assert (result.returncode, message in result.stderr) == (code, True), result.stderr
    assert "granian" not in result.stdout


def test_a_taken_port_ends_it(project: Path) -> None:
    """Granian would share the port with whoever has it."""
    port, args = options()
    with process(project, *args) as server:
        server.wait_for(port)
        result = run(project, *args)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use." in result.stderr
    assert "choose another with --port" in result.stderr


# -- HTTPS -------------------------------------------------------------------------------------


class Pair(t.NamedTuple):
    """The files of a certificate and of its key."""

    cert: Path
    key: Path


def certificate(folder: Path, password: bytes | None = None) -> Pair:
    """Make a certificate for localhost that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pair = Pair(folder / "cert.pem", folder / "key.pem")
    pair.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pair.key.write_bytes(key.private_bytes(pem, pkcs8, encryption))
    return pair


def test_it_serves_https(project: Path) -> None:
    pair = certificate(project)
    port, args = options("--cert", str(pair.cert), "--key", str(pair.key))
    trust = ssl.create_default_context(cafile=pair.cert)

    def ask() -> str | None:
        try:
            with urllib.request.urlopen(f"https://localhost:{port}/", context=trust) as answer:
                return t.cast(bytes, answer.read()).decode()
        except OSError:
            assert server.popen.poll() is None, server.output
            return None

    with process(project, *args) as server:
        assert until("an answer over TLS", ask).startswith("torsyq.app ")


def test_a_certificate_and_key_that_fit_are_accepted(tmp_path: Path) -> None:
    pair = certificate(tmp_path)
    check_certificate(str(pair.cert), str(pair.key))


@pytest.mark.parametrize("wrong", ["other", "encrypted", "garbage", "missing"])
def test_a_key_that_cannot_be_used_is_named(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "other").mkdir()
    pair = certificate(tmp_path, b"secret" if wrong == "encrypted" else None)
    key = {"other": certificate(tmp_path / "other").key, "encrypted": pair.key}.get(wrong)
    if key is None:
        key = tmp_path / "made-up"
        if wrong == "garbage":
            key.write_text("nothing of the kind")
    with pytest.raises(click.ClickException, match="cannot be used with the key") as caught:
        check_certificate(str(pair.cert), str(key))
    assert repr(str(key)) in caught.value.message


# -- in process --------------------------------------------------------------------------------


def test_without_granian_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "granian", None)
    result = CliRunner().invoke(serve_command, [])
    assert result.exit_code == 1
    assert "pip install 'torsyq[serve]'" in result.output


@pytest.mark.parametrize("args", [["--cert", __file__], ["--key", __file__]])
def test_certificate_and_key_go_together(args: list[str]) -> None:
    result = CliRunner().invoke(serve_command, args)
    assert result.exit_code == 2
    assert "--cert" in result.output


@pytest.mark.parametrize(
    ("host", "reason"),
    [("host.invalid", "port 0: "), ("192.0.2.1", "Cannot assign requested address")],
)
def test_an_address_that_cannot_be_bound_is_named(host: str, reason: str) -> None:
    with pytest.raises(click.ClickException, match=f"cannot listen on {host}") as caught:
        check_address(host, 0)
    assert reason in caught.value.message
    assert "no address of this machine. With --host 127.0.0.1" in caught.value.message


def test_a_port_of_the_systems_own_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(click.ClickException, match="port 80: Permission denied. Ports below 1024"):
        check_address("127.0.0.1", 80)


def test_an_address_stays_free_after_the_check() -> None:
    port = free_port()
    check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)


def test_of_a_name_the_number_is_served_the_one_of_ipv4_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Granian takes no names. Systems differ in which of "localhost" they name first."""
    found = socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)
    six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [six, *found])
    number, _ = check_address("localhost", 0)
    assert number == "127.0.0.1"


def test_a_free_port_is_chosen_and_told(project: Path) -> None:
    _, args = options("--port", "0")
    with process(project, *args) as server:
        output = server.wait_for_output("Started worker")
        (port,) = re.findall(r"Listening at: http://127\.0\.0\.1:(\d+)", output)
        assert server.wait_for(int(port)).text.startswith("torsyq.app ")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--port", "99999", "99999 is not in the range 0<=x<=65535"),
        ("--port", "-1", "-1 is not in the range 0<=x<=65535"),
        ("--port", "http", "'http' is not a valid integer range"),
        ("--workers", "0", "0 is not in the range x>=1"),
        ("--threads", "0", "0 is not in the range x>=1"),
        ("--backpressure", "0", "0 is not in the range 1<=x<=1048576"),
        ("--stop-timeout", "0", "0 is not in the range 1<=x<=1800"),
    ],
)
def test_a_senseless_number_is_refused(option: str, value: str, reason: str) -> None:
    result = CliRunner().invoke(serve_command, [option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output
    assert reason in result.output


def test_a_host_may_be_named(project: Path) -> None:
    port, args = options("--host", "localhost")
    with process(project, *args) as server:
        assert server.wait_for(port).text.startswith("torsyq.app ")


def test_on_windows_there_is_one_worker_and_no_banner_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, t.Any] = {}
    monkeypatch.setattr(serve, "check_app", lambda info: Trial([], 40))
    monkeypatch.setattr(serve, "serve", lambda info, **options: seen.update(options))
    monkeypatch.setattr(serve, "check_address", lambda host, port: (host, port))
    monkeypatch.setattr(sys, "platform", "win32")
    result = CliRunner().invoke(serve_command, ["-w", "4", "-t", "5"], obj=ScriptInfo("hello"))
    assert seen["workers"] == 1
    assert " * Interface: wsgi, workers: 1, threads of each: 5," in result.output
    assert " * On Windows granian has one worker." in result.output


def test_where_a_wait_cannot_be_interrupted_the_server_waits_in_short_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that Ctrl+C is seen on Windows before Python 3.14."""
    import granian.server

    turns: list[float | None] = []

    class Told:
        def get(self, timeout: float | None) -> None:
            turns.append(timeout)
            if len(turns) < 3:
                raise Empty

    monkeypatch.setattr(serve, "SimpleQueue", Told)
    monkeypatch.setattr(serve, "UNINTERRUPTIBLE", True)
    monkeypatch.setattr(
        granian.server.Server, "serve", lambda self, **options: self.main_loop_interrupt.wait()
    )
    serve.serve(
        ScriptInfo("hello"),
        host="127.0.0.1",
        port=1,
        workers=1,
        threads=1,
        backpressure=1,
        cert=None,
        access_log=False,
        interface="asgi",
        stop_timeout=1,
    )
    assert turns == [GLANCE] * 3


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_makes_the_app_and_cannot_be_handed_over_is_named(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 'create_app' within a function, where processes are not forked."""
    context: t.Any = multiprocessing.get_context(method)
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    with pytest.raises(click.ClickException, match="A worker cannot be told") as caught:
        check_app(ScriptInfo(create_app=lambda: Flask("local")))
    assert "<lambda>" in caught.value.message


class Died:
    """A process that has died before it took over its end of the pipe, which stays open."""

    exitcode = 3

    def __init__(self, target: object, args: tuple[object, t.Any]) -> None:
        self.held = os.dup(args[1].fileno())
        self.sentinel, left = multiprocessing.Pipe()
        left.close()

    def start(self) -> None:
        pass

    def join(self) -> None:
        os.close(self.held)


def test_a_trial_that_died_early_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the parent holds the child's end until the child has taken it over."""
    monkeypatch.setattr(multiprocessing, "Process", Died)
    with pytest.raises(SystemExit) as caught:
        check_app(ScriptInfo("hello"))
    assert caught.value.code == 3


def test_the_server_is_asked_for_what_the_options_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import granian.server
    from granian.constants import HTTPModes
    from granian.constants import Interfaces

    seen: dict[str, t.Any] = {}

    class Server:
        def __init__(self, target: str, **given: t.Any) -> None:
            seen.update(given)

        def serve(self, target_loader: t.Callable[[], Flask], wrap_loader: bool) -> None:
            seen["app"] = getattr(target_loader(), "__self__", app)

    monkeypatch.setattr(granian.server, "Server", Server)
    monkeypatch.setattr(serve, "check_app", lambda info: Trial([], 40))
    pair = certificate(tmp_path)
    app = Flask("in_process")
    args = ["-h", "127.0.0.1", "-p", "0", "-w", "3", "-t", "5", "--access-log"]
    args += ["--cert", str(pair.cert), "--key", str(pair.key), "--stop-timeout", "9"]
    result = CliRunner().invoke(serve_command, args, obj=ScriptInfo(create_app=lambda: app))
    assert result.exit_code == 0, result.output
    assert seen["app"] is app
    assert (seen["workers"], seen["blocking_threads"], seen["log_access"]) == (3, 5, True)
    assert (seen["ssl_cert"], seen["ssl_key"]) == pair
    assert (seen["interface"], seen["websockets"]) == (Interfaces.WSGI, False)
    assert seen["http"] == HTTPModes.http1
    assert seen["workers_kill_timeout"] == 9

    asgi = CliRunner().invoke(
        serve_command,
        ["-p", "0", "-t", "5", "--interface", "asgi"],
        obj=ScriptInfo(create_app=lambda: app),
    )
    assert " * Interface: asgi, workers: 1, threads of each: 5," in asgi.output
    assert (seen["interface"], seen["websockets"]) == (Interfaces.ASGI, True)
    assert seen["http"] == HTTPModes.auto
    assert (seen["blocking_threads"], app.config["ASGI_THREADS"]) == (1, 5)
    assert seen["app"] is app


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([], "wsgi, workers: 1, threads of each: 9"),
        (
            ["WebSockets", "async views"],
            "asgi (the app contains WebSockets and async views), workers: 1, threads of each: 7",
        ),
    ],
)
def test_what_the_app_contains_decides(
    features: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "check_app", lambda info: Trial(features, 7))
    monkeypatch.setattr(serve, "serve", lambda info, **options: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    result = CliRunner().invoke(serve_command, ["-p", "0"], obj=ScriptInfo("hello"))
    assert f" * Interface: {said}, connections of each: " in result.output


class Ended(Exception):
    """In place of the end of the process."""


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial of the app without a process of its own, so that its steps can be watched."""

    def end(code: int) -> t.NoReturn:
        raise Ended(code)

    class Process:
        exitcode: int

        def __init__(self, target: t.Callable[..., None], args: tuple[t.Any, ...]) -> None:
            self.run = target
            self.args = args
            self.sentinel, self.left = multiprocessing.Pipe()

        def start(self) -> None:
            try:
                self.run(*self.args)
            except Ended as ended:
                self.exitcode = ended.args[0]

        def join(self) -> None:
            pass

    monkeypatch.setattr(multiprocessing, "Process", Process)
    monkeypatch.setattr(os, "_exit", end)


def test_an_app_that_loads_is_no_reason_to_end(in_this_process: None) -> None:
    assert check_app(ScriptInfo(create_app=lambda: Flask("good"))) == Trial([], 40)


def test_the_reason_why_an_app_does_not_load_goes_to_stderr(
    in_this_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Flask:
        raise ValueError("oh no")

    with pytest.raises(SystemExit) as caught:
        check_app(ScriptInfo(create_app=broken))
    assert caught.value.code == 1
    assert capsys.readouterr().err.endswith(
        "ValueError: oh no\nError: The app could not be loaded; the server was not started.\n"
    )
    with pytest.raises(SystemExit) as caught:
        check_app(ScriptInfo("no_such_module"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "Error: Could not import 'no_such_module'.\n"


@given(st.text())
def test_a_line_of_the_access_log_is_printable(text: str) -> None:
    record = logging.LogRecord("access", logging.INFO, "", 0, "%s", (text,), None)
    line = AccessFormatter("%(message)s").format(record)
    assert line.isprintable()
    assert line == text or not text.isprintable()
