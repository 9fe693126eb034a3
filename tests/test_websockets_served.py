"""WebSockets as each real server speaks them, over a socket, with a real client."""

from __future__ import annotations

import signal
import socket
import sys
import typing as t
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect

from tests.servers import free_port
from tests.servers import PATIENCE
from tests.servers import Process
from tests.servers import process
from tests.servers import until

APP = """
import asyncio
import os
from torsyq import Flask, abort, session, websocket, WebsocketDisconnected
from torsyq.channels import Broker

app = Flask(__name__)
broker = Broker()
app.secret_key = "k"
app.config["WEBSOCKET_MAX_MESSAGE_SIZE"] = 70_000

def say(line):
    # At once, whatever other threads say.
    os.write(1, line.encode() + b"\\n")

@app.get("/")
def index():
    return "up"

@app.websocket("/echo/<name>")
async def echo(name):
    await websocket.send(f"{name} {websocket.args.get('q')} {websocket.headers['X-Own']}")
    async for message in websocket:
        await websocket.send(message)

@app.websocket("/sync")
def sync():
    for message in websocket:
        websocket.send(message)

@app.websocket("/listening")
def listening():
    with broker.channel("quiet").subscribe() as messages:
        websocket.send("listening")
        for message in messages:
            websocket.send(message)

@app.websocket("/chosen")
async def chosen():
    session["n"] = session.get("n", 0) + 1
    subprotocol = (websocket.requested_subprotocols or [None])[-1]
    await websocket.accept({"X-Own": "1"}, subprotocol)
    await websocket.send(str(session["n"]))

@app.websocket("/refused")
async def refused():
    abort(409)

@app.websocket("/closed")
async def closed():
    await websocket.accept()
    await websocket.close(4001, "enough")

@app.websocket("/broken")
async def broken():
    await websocket.accept()
    raise ZeroDivisionError("broken here")

@app.websocket("/gone/<how>")
async def gone(how):
    await websocket.send("hello")
    try:
        if how == "receiving":
            await websocket.receive()
        elif how == "sending":
            while True:
                await websocket.send("x" * 10_000)
        else:
            await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        code = error.code if isinstance(error, WebsocketDisconnected) else "cancelled"
        say(f"gone {how} {code}")
        raise

@app.websocket("/deciding")
async def deciding():
    say("deciding")
    await asyncio.Event().wait()

@app.teardown_websocket
def teardown(exc):
    say(f"teardown {websocket.path}")
"""

COMMANDS = {
    "uvicorn": ("uvicorn", "served:app", "--ws", "websockets-sansio", "--port"),
    "uvicorn-wsproto": ("uvicorn", "served:app", "--ws", "wsproto", "--port"),
    "hypercorn": ("hypercorn", "served:app", "--bind"),
    "granian-asgi": ("granian", "--interface", "asgi", "served:app", "--port"),
    "granian-rsgi": ("granian", "--interface", "rsgi", "served:app", "--port"),
}

# RSGI has no words for these.
SILENT = {"granian-rsgi"}


class Served(t.NamedTuple):
    name: str
    port: int
    process: Process

    def connect(self, path: str, **options: t.Any) -> ClientConnection:
        return connect(  # type: ignore[no-any-return]
            f"ws://127.0.0.1:{self.port}{path}", open_timeout=PATIENCE, **options
        )


@pytest.fixture(scope="module", params=COMMANDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    (folder / "served.py").write_text(APP)
    port = free_port()
    *command, option = COMMANDS[request.param]
    where = f"127.0.0.1:{port}" if option == "--bind" else str(port)
    with process(folder, "-m", *command, option, where) as server:
        server.wait_for(port)
        yield Served(request.param, port, server)


def test_messages_go_both_ways(served: Served) -> None:
    with served.connect("/echo/aru?q=1", additional_headers={"X-Own": "own"}) as client:
        assert client.recv(PATIENCE) == "aru 1 own"
        for message in "text", "сәлем", b"\x00\xff", "", b"", "x" * 70_000:
            client.send(message)
            assert client.recv(PATIENCE) == message
        # What the client sends in fragments is one message.
        client.send(iter(["pie", "ces"]))
        assert client.recv(PATIENCE) == "pieces"
        client.ping().wait(PATIENCE)


def test_a_sync_view_serves_as_well(served: Served) -> None:
    with served.connect("/sync") as client:
        client.send("a")
        assert client.recv(PATIENCE) == "a"


def test_the_answer_carries_headers_session_and_subprotocol(served: Served) -> None:
    kept: dict[str, str] = {}
    for number in "1", "2":
        with served.connect("/chosen", subprotocols=["b", "a"], additional_headers=kept) as client:
            assert client.recv(PATIENCE) == number
            assert client.response is not None
            headers = client.response.headers
            if served.name in SILENT:
                return
            assert client.subprotocol == "a"
            if served.name == "granian-asgi":
                # It leaves out the headers, and so the cookie.
                return
            assert headers["X-Own"] == "1"
            kept = {"Cookie": headers["Set-Cookie"].partition(";")[0]}


def status_of(served: Served, path: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        served.connect(path)
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


@pytest.mark.parametrize(("path", "status"), [("/refused", 409), ("/lost", 404), ("/", 400)])
def test_a_refusal_has_its_status(served: Served, path: str, status: int) -> None:
    got, body = status_of(served, path)
    assert got == status
    if served.name not in SILENT:
        assert f"<title>{status} " in body


def end_of(client: ClientConnection) -> tuple[int, str]:
    def read_on() -> None:
        while True:
            client.recv(PATIENCE)

    with pytest.raises(ConnectionClosed):
        read_on()
    return t.cast("int", client.close_code), client.close_reason or ""


def test_the_app_s_end_has_its_code(served: Served) -> None:
    ends = {}
    for path in "/closed", "/broken", "/chosen":
        with served.connect(path, subprotocols=["a"]) as client:
            ends[path] = end_of(client)
    if served.name in SILENT:
        return
    assert ends["/closed"] == (4001, "enough")
    assert ends["/broken"] == (1011, "INTERNAL SERVER ERROR")
    assert ends["/chosen"][0] == 1000
    served.process.wait_for_output("ZeroDivisionError: broken here")


def test_a_message_too_big_is_1009(served: Served) -> None:
    with served.connect("/sync") as client:
        client.send("x" * 70_001)
        code, reason = end_of(client)
    if served.name not in SILENT:
        assert (code, reason) == (1009, "message too big")


@pytest.mark.parametrize("abruptly", [False, True], ids=["closing", "abruptly"])
@pytest.mark.parametrize("how", ["receiving", "waiting", "sending"])
def test_the_client_s_going_ends_the_view(served: Served, how: str, abruptly: bool) -> None:
    def ends() -> int:
        return served.process.output.count(f"teardown /gone/{how}")

    before = ends()
    with served.connect(f"/gone/{how}", max_queue=1, close_timeout=1) as client:
        assert client.recv(PATIENCE) == "hello"
        if abruptly:
            client.socket.shutdown(socket.SHUT_RDWR)
        client.close(1001)
    until("the teardown", lambda: ends() > before)
    assert f"gone {how}" in served.process.output


def test_who_goes_before_being_accepted_ends_the_view(served: Served) -> None:
    if served.name.startswith("granian"):
        pytest.skip("It tells of a client's going only once the client was accepted.")
    handshake = (
        "GET /deciding HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(handshake.encode())
        served.process.wait_for_output("deciding")
    served.process.wait_for_output("teardown /deciding")


def test_nothing_unexpected_was_logged(served: Served) -> None:
    """After all of the above: the one error of the app, and none of the server's."""
    output = served.process.output
    assert output.count("Traceback") == output.count("ZeroDivisionError: broken here")
    assert "never awaited" not in output
    assert "never retrieved" not in output


def test_a_server_stops_though_views_wait(served: Served) -> None:
    """For the client, and for what is published. Each cleans up, and nobody waits for threads."""
    if served.name == "hypercorn" and sys.version_info >= (3, 12):
        pytest.skip("It waits for open connections itself, whatever their views do.")
    ends = served.process.output.count
    before = {path: ends(f"teardown {path}") for path in ("/sync", "/listening", "/gone/waiting")}
    with (
        served.connect("/sync", close_timeout=1) as client,
        served.connect("/listening") as other,
        served.connect("/gone/waiting") as third,
    ):
        client.send("a")
        assert client.recv(PATIENCE) == "a"
        assert other.recv(PATIENCE) == "listening"
        assert third.recv(PATIENCE) == "hello"
        served.process.popen.send_signal(signal.SIGTERM)
        served.process.popen.wait(PATIENCE)
    for path, count in before.items():
        assert served.process.output.count(f"teardown {path}") == count + 1, path
