"""Bytes that are no request, sent to real servers: they answer below 500 or hang up, and serve on."""

from __future__ import annotations

import random
import socket
import typing as t

import pytest

from . import servers

SINK = """
import torsyq
from torsyq import request, session

app = torsyq.Flask("sink", static_folder=None)
app.config.update(SECRET_KEY="k", MAX_CONTENT_LENGTH=100_000)

@app.route("/", defaults={"p": ""}, methods=["GET", "POST", "PUT"])
@app.route("/<path:p>", methods=["GET", "POST", "PUT"])
def sink(p):
    session["seen"] = p[:20]
    said = [request.url, request.args, request.cookies, request.authorization, request.range]
    said += [request.form, request.files, request.data, request.get_json(silent=True)]
    return repr(said)

@app.get("/ok")
def ok():
    return "fine"
"""
WAYS = {
    "development": ["-m", "torsyq", "--app", "sink", "run", "--port"],
    "granian": ["-m", "torsyq", "--app", "sink", "serve", "--port"],
    "granian asgi": ["-m", "torsyq", "--app", "sink", "serve", "--interface", "asgi", "--port"],
}
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
BLOBS = [
    b"",
    b"\r\n",
    b"\0" * 100,
    b"\xff" * 100,
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%00%0d%0aX:y HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%zz?%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //evil.example/.. HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"X-\xff / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::::]\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    HEAD + b"X: a\0b\r\n\r\n",
    HEAD + b"X\0: b\r\n\r\n",
    HEAD + b": b\r\n\r\n",
    HEAD + b"X : b\r\n\r\n",
    HEAD + b"X: a\r\n b\r\n\r\n",
    HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(2000)) + b"\r\n",
    HEAD + b"Authorization: Basic \xff\r\n\r\n",
    HEAD + b'Cookie: session=\xff; a="\\\r\n\r\n',
    HEAD + b"If-Modified-Since: 1 Jan 99999999999999999999 00:00:00 GMT\r\n\r\n",
    HEAD + b"Range: bytes=" + b"9" * 5000 + b"-\r\n\r\n",
    HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    HEAD + b"Expect: nonsense\r\n\r\n",
    POST + b"Content-Length: -1\r\n\r\nabc",
    POST + b"Content-Length: x\r\n\r\nabc",
    POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    POST + b"Content-Length: 200000\r\n\r\nabc",
    POST + b"Content-Length: 10\r\n\r\nabc",
    POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: nonsense\r\n\r\nabc",
    POST + b"Content-Type: application/json\r\nContent-Length: 50000\r\n\r\n" + b"[" * 50_000,
    POST + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5\r\n\r\n--x\r\n",
    HEAD + b"\r\n" + HEAD + b"\r\nrubbish\r\n\r\n",
]


def scrambled() -> t.Iterator[bytes]:
    """Requests with bytes changed, left out, repeated; the same ones in every run."""
    chance = random.Random(1)
    whole = [blob for blob in BLOBS if 20 < len(blob) < 300]
    for _ in range(150):
        blob = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(blob))
            match chance.randrange(4):
                case 0:
                    blob[at] = chance.randrange(256)
                case 1:
                    del blob[at : at + chance.randint(1, 8)]
                case 2:
                    blob[at:at] = blob[at : at + chance.randint(1, 30)]
                case 3:
                    blob[at:at] = chance.choice([b"\r\n", b"\0", b"\xff", b"%", b": ", b"\r\n\r\n"])
            if not blob:
                break
        yield bytes(blob)


def send(port: int, blob: bytes) -> bytes:
    """What a server answers to *blob*, after which the client sends no more."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=servers.PATIENCE) as connection:
        try:
            connection.sendall(blob)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                said += piece
        except OSError:
            # It has hung up on us.
            pass
    return said


@pytest.fixture(scope="module", params=WAYS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[tuple[servers.Process, int]]:
    folder = tmp_path_factory.mktemp("sink")
    folder.joinpath("sink.py").write_text(SINK)
    port = servers.free_port()
    with servers.process(folder, *WAYS[request.param], str(port)) as process:
        process.wait_for(port, "/ok")
        yield process, port


def check(server: tuple[servers.Process, int], blobs: t.Iterable[bytes]) -> None:
    process, port = server
    for blob in blobs:
        said = send(port, blob)
        if said.startswith(b"HTTP/"):
            status = int(said.split(b" ", 2)[1])
            # A server may say itself that it does not know a method or a version.
            assert status < 500 or status in {501, 505}, (blob[:200], said[:200])
        assert b"Traceback" not in said, blob[:200]
        assert process.get(port, "/ok") == (200, "fine"), blob[:200]
    assert "Traceback" not in process.output
    assert process.popen.poll() is None


def test_malformed_requests_are_refused_and_the_next_is_served(
    server: tuple[servers.Process, int],
) -> None:
    check(server, BLOBS)


def test_scrambled_requests_are_refused_and_the_next_is_served(
    server: tuple[servers.Process, int],
) -> None:
    check(server, scrambled())
