"""One unchanged app on every server, over sockets: WSGI, ASGI and RSGI answer alike."""

from __future__ import annotations

import hashlib
import http.client
import json
import select
import signal
import socket
import typing as t
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .servers import ASGI_SERVERS
from .servers import command
from .servers import free_port
from .servers import PATIENCE
from .servers import Process
from .servers import process
from .servers import SERVERS
from .servers import until

HELLO = """
import hashlib
import os
import time
from pathlib import Path

from flask import (
    Flask, Response, abort, jsonify, request, session, stream_with_context, url_for, websocket
)

app = Flask(__name__)
app.config.update(SECRET_KEY="of the test", MAX_CONTENT_LENGTH=8_000_000)

def note(text):
    with open("events", "a") as file:
        file.write(text + "\\n")

def wait_for(name):
    end = time.monotonic() + 30
    while not Path(name).exists() and time.monotonic() < end:
        time.sleep(0.01)

@app.route("/")
def index():
    return f"hello {type(app).__module__}"

@app.route("/async")
async def in_the_loop():
    import asyncio

    await asyncio.sleep(0)
    return f"{request.args['q']} from a loop"

@app.route("/json", methods=["POST"])
def json():
    return jsonify(got=request.get_json(), type=request.content_type)

@app.route("/form", methods=["POST"])
def form():
    return jsonify(form=request.form.to_dict(flat=False), query=request.args.to_dict())

@app.route("/upload", methods=["POST"])
def upload():
    file = request.files["file"]
    return {
        "name": file.filename,
        "sha": hashlib.sha256(file.read()).hexdigest(),
        "title": request.form["title"],
    }

@app.route("/size", methods=["POST", "PUT"])
def size():
    data = request.data
    note(f"whole {len(data)}")
    return {"size": len(data), "sha": hashlib.sha256(data).hexdigest()}

@app.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    response = jsonify(count=session["count"], seen=sorted(request.cookies))
    response.set_cookie("plain", "a b", max_age=60)
    return response

@app.route("/stream/<name>")
def stream(name):
    @stream_with_context
    def pieces():
        try:
            yield f"first of {request.args['q']}\\n"
            wait_for(name)
            for number in range(100):
                yield f"{number} of {request.args['q']}\\n"
        finally:
            note(f"closed {name}")

    return Response(pieces(), mimetype="text/plain")

@app.route("/endless")
async def endless():
    async def pieces():
        try:
            while True:
                yield b"x" * 10_000
        finally:
            note("endless closed")

    return pieces()

@app.route("/big")
def big():
    return b"0123456789" * 300_000

@app.route("/boom")
def boom():
    raise RuntimeError("on purpose")

@app.route("/teapot")
def teapot():
    abort(418)

@app.route("/empty")
def empty():
    return "", 204

@app.route("/file")
def file():
    from flask import send_file

    return send_file(os.path.abspath(__file__), conditional=True)

@app.route("/where/<path:rest>")
def where(rest):
    return {
        "rest": rest,
        "url": request.url,
        "full": url_for("where", rest="x", _external=True),
        "remote": request.remote_addr,
        "accept": request.headers["X-Twice"],
        "has_port": bool(request.environ["SERVER_PORT"]),
    }

@app.before_serving
async def start():
    app.extensions["started"] = True

@app.after_serving
def stop():
    note("stopped")

@app.route("/started")
def started():
    return str(app.extensions["started"])

@app.websocket("/echo")
async def echo():
    await websocket.send(websocket.args["q"])
    async for message in websocket:
        await websocket.send(message)

@app.route("/slow")
def slow():
    note("slow begun")
    wait_for("finish")
    return "finished"

@app.teardown_request
def torn(error):
    if request.path.startswith(("/stream", "/endless")):
        note(f"torn {request.path}")
"""


class Server(t.NamedTuple):
    """A server under test."""

    name: str
    process: Process
    port: int
    folder: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def socket(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return made

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: t.Any = None,
        headers: t.Mapping[str, str] | None = None,
    ) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            return reply(connection.getresponse())
        finally:
            connection.close()

    def events(self) -> list[str]:
        file = self.folder / "events"
        return file.read_text().splitlines() if file.exists() else []

    def wait_for_event(self, event: str) -> None:
        try:
            until(f"the event {event!r}", lambda: event in self.events())
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.events()}\n{self.process.output}") from None


class Reply(t.NamedTuple):
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> t.Any:
        return json.loads(self.body)


def reply(response: http.client.HTTPResponse) -> Reply:
    return Reply(response.status, response.headers, response.read())


# These do not tell the app that a body in chunks broke off.
CANNOT_TELL = {"granian-wsgi", "granian-rsgi", "torsyq-serve-wsgi"}


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Server]:
    """The server with the app, started once for all checks."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "hello.py").write_text(HELLO)
    port = free_port()
    with process(folder, *command(request.param, port)) as started:
        started.wait_for(port)
        yield Server(request.param, started, port, folder)


def test_it_serves_torsyq(server: Server) -> None:
    got = server.ask("/")
    assert (got.status, got.text) == (200, "hello torsyq.app")
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert got.headers["Content-Length"] == str(len(got.body))


def test_an_async_view(server: Server) -> None:
    assert server.ask("/async?q=answer").text == "answer from a loop"


def test_json(server: Server) -> None:
    sent = {"text": "торсық", "list": [1, 2.5, None]}
    headers = {"Content-Type": "application/json"}
    got = server.ask("/json", "POST", json.dumps(sent), headers)
    assert got.json == {"got": sent, "type": "application/json"}
    broken = server.ask("/json", "POST", "{", headers)
    assert broken.status == 400


def test_a_form(server: Server) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    got = server.ask("/form?a=%20b", "POST", "x=1&x=2&name=%D2%9B", headers)
    assert got.json == {"form": {"x": ["1", "2"], "name": ["қ"]}, "query": {"a": " b"}}


def multipart(content: bytes) -> tuple[bytes, dict[str, str]]:
    """A form with a title and a file."""
    head = (
        b'--edge\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    return head + content + b"\r\n--edge--\r\n", {
        "Content-Type": "multipart/form-data; boundary=edge"
    }


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_an_upload(server: Server, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    got = server.ask("/upload", "POST", *multipart(content))
    sha = hashlib.sha256(content).hexdigest()
    assert got.json == {"name": "big.bin", "sha": sha, "title": "A title"}


def test_cookies_and_the_session(server: Server) -> None:
    first = server.ask("/count")
    assert first.json == {"count": 1, "seen": []}
    sent = first.headers.get_all("Set-Cookie") or []
    assert len(sent) == 2
    cookies = "; ".join(cookie.partition(";")[0] for cookie in sent)
    again = server.ask("/count", headers={"Cookie": cookies})
    assert again.json == {"count": 2, "seen": ["plain", "session"]}
    assert again.headers["Vary"] == "Cookie"


def test_a_stream_arrives_while_it_is_made(server: Server) -> None:
    connection = server.connect()
    connection.request("GET", "/stream/go?q=this")
    response = connection.getresponse()
    assert response.readline() == b"first of this\n"
    (server.folder / "go").touch()
    assert response.read().splitlines()[-1] == b"99 of this"
    connection.close()
    server.wait_for_event("closed go")
    server.wait_for_event("torn /stream/go")


def test_a_big_answer(server: Server) -> None:
    got = server.ask("/big")
    assert got.body == b"0123456789" * 300_000
    assert got.headers["Content-Length"] == "3000000"


def test_a_file_whole_and_in_part(server: Server) -> None:
    got = server.ask("/file")
    assert got.text == HELLO
    part = server.ask("/file", headers={"Range": "bytes=1-6"})
    assert (part.status, part.text) == (206, HELLO[1:7])
    same = server.ask("/file", headers={"If-None-Match": got.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")


def test_head_has_the_headers_of_get_and_no_body(server: Server) -> None:
    connection = server.connect()
    for path, length in ("/", 16), ("/big", 3_000_000):
        connection.request("HEAD", path)
        got = reply(connection.getresponse())
        assert (got.status, got.body) == (200, b"")
        assert got.headers["Content-Length"] == str(length)
    # The connection, if it lives, is not confused by a body that was not asked for.
    connection.request("GET", "/")
    assert reply(connection.getresponse()).text == "hello torsyq.app"
    connection.close()


def test_options_names_the_methods(server: Server) -> None:
    got = server.ask("/size", "OPTIONS")
    assert set(got.headers["Allow"].split(", ")) == {"POST", "PUT", "OPTIONS"}
    assert server.ask("/size").status == 405


def test_errors(server: Server) -> None:
    assert server.ask("/no/such/page").status == 404
    assert server.ask("/teapot").status == 418
    got = server.ask("/boom")
    assert got.status == 500
    assert b"on purpose" not in got.body
    server.process.wait_for_output("RuntimeError: on purpose")
    assert server.ask("/").status == 200


def test_an_answer_without_a_body(server: Server) -> None:
    got = server.ask("/empty")
    assert (got.status, got.body) == (204, b"")


def test_what_a_request_says_of_itself(server: Server) -> None:
    """A path with escapes, a header sent twice, the address of the client."""
    with server.socket() as client:
        host = f"example.test:{server.port}".encode()
        client.sendall(
            b"GET /where/%D2%9B%20%3F/x?y=%20z HTTP/1.1\r\nHost: " + host + b"\r\nX-Twice: 1\r\n"
            b"X-Twice: 2\r\nConnection: close\r\n\r\n"
        )
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    got = json.loads(body)
    twice = got.pop("accept")
    assert twice.replace(" ", "") == "1,2"
    base = f"http://{host.decode()}"
    assert got == {
        "rest": "қ ?/x",
        "url": f"{base}/where/қ%20%3F/x?y=%20z",
        "full": f"{base}/where/x",
        "remote": "127.0.0.1",
        "has_port": True,
    }


def test_a_connection_serves_several_requests(server: Server) -> None:
    if server.name in {"gunicorn-sync", "torsyq-run"}:
        pytest.skip("this server ends each connection after its answer")
    connection = server.connect()
    connection.connect()
    taken = connection.sock
    body, headers = multipart(b"x" * 1000)
    for _ in range(3):
        connection.request("POST", "/upload", body, headers)
        assert reply(connection.getresponse()).json["name"] == "big.bin"
        connection.request("GET", "/teapot")
        assert reply(connection.getresponse()).status == 418
        assert connection.sock is taken
    connection.close()


def test_a_body_in_chunks(server: Server) -> None:
    pieces = [b"a" * 10, b"b" * 100_000, b"c"]
    connection = server.connect()
    connection.request("PUT", "/size", iter(pieces), encode_chunked=True)
    got = reply(connection.getresponse()).json
    connection.close()
    whole = b"".join(pieces)
    assert got == {"size": len(whole), "sha": hashlib.sha256(whole).hexdigest()}


def test_a_client_that_asks_before_it_sends(server: Server) -> None:
    with server.socket() as client:
        client.sendall(
            b"PUT /size HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        answer = read_all(client)
    assert b" 200 " in answer
    assert b'"size":3' in answer.replace(b" ", b"")


def send_until_answered(client: socket.socket, data: bytes) -> bytes:
    """Send what is not answered before its end, as browsers do.

    hypercorn 0.18.0 neither reads nor closes any more if it has put ten pieces aside that the app
    answered without: whoever only sends waits for ever.
    """
    rest = memoryview(data)
    while rest:
        readable, writable, _ = select.select([client], [client], [], PATIENCE)
        if readable:
            break
        assert writable, "the server neither reads nor answers"
        rest = rest[client.send(rest[:65536]) :]
    return client.recv(1000)


def test_a_body_over_the_limit(server: Server) -> None:
    """Is refused, whether its length was said or not, and the next request is served."""
    got = server.ask("/size", "PUT", b"x" * 8_000_000)
    assert got.status == 200
    for framing in (b"Content-Length: 8000001", b"Transfer-Encoding: chunked"):
        with server.socket() as client:
            client.sendall(b"PUT /size HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
            chunk = b"x" * 8_000_001
            if framing.startswith(b"T"):
                chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
            try:
                answer = send_until_answered(client, chunk)
            except ConnectionError:
                # The server has closed without reading what it does not want.
                answer = b"HTTP/1.1 413 "
            assert answer.split()[1] == b"413"
    assert server.ask("/").status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_cut_short_does_not_reach_the_view(server: Server, framing: str) -> None:
    if server.name in CANNOT_TELL and framing.startswith("T"):
        pytest.skip("granian hands the app what came of a broken body as if it were all")
    for stays in (True, False):
        with server.socket() as client:
            start = f"PUT /size HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n6\r\nabcdef\r\n"
            client.sendall(start.encode())
            if stays:
                client.shutdown(socket.SHUT_WR)
                answer = read_all(client)
                assert not answer or answer.split()[1] >= b"400"
    assert server.ask("/size", "PUT", b"next").status == 200
    # 6 by its chunks; 11 were sent of the 100.
    assert not {"whole 6", "whole 11"} & set(server.events())


def test_a_client_that_leaves_ends_the_stream(server: Server) -> None:
    """Sync and async generators are closed, and the request is torn down."""
    with server.socket() as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(5).startswith(b"HTTP/")
    server.wait_for_event("endless closed")
    server.wait_for_event("torn /endless")
    with server.socket() as client:
        client.sendall(b"GET /stream/gone?q=x HTTP/1.1\r\nHost: x\r\n\r\n")
        until("the stream to begin", lambda: b"first of x" in client.recv(4096))
    (server.folder / "gone").touch()
    server.wait_for_event("closed gone")
    server.wait_for_event("torn /stream/gone")
    assert server.ask("/").status == 200


def test_before_serving_has_run(server: Server) -> None:
    assert server.ask("/started").text == "True"


def test_a_websocket(server: Server) -> None:
    if server.name not in ASGI_SERVERS:
        with pytest.raises(InvalidStatus) as caught:
            connect(f"ws://127.0.0.1:{server.port}/echo?q=first")
        assert caught.value.response.status_code == 400
        return
    with connect(f"ws://127.0.0.1:{server.port}/echo?q=first") as client:
        assert client.recv(PATIENCE) == "first"
        for sent in ("text", b"bytes", "x" * 100_000):
            client.send(sent)
            assert client.recv(PATIENCE) == sent


@pytest.mark.parametrize("name", sorted(SERVERS.keys() - {"waitress", "torsyq-run"}))
def test_told_to_stop_it_finishes_the_request_in_flight(name: str, tmp_path: Path) -> None:
    """But for waitress and the development server, which end at once."""
    (tmp_path / "hello.py").write_text(HELLO)
    port = free_port()
    with process(tmp_path, *command(name, port)) as started:
        started.wait_for(port)
        server = Server(name, started, port, tmp_path)
        with server.socket() as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            server.wait_for_event("slow begun")
            started.popen.send_signal(signal.SIGTERM)
            (tmp_path / "finish").touch()
            answer = read_all(client)
        assert answer.endswith(b"finished"), started.output
        started.popen.wait(PATIENCE)
        assert "Traceback" not in started.output
        if name != "granian-asginl":
            assert server.events().count("stopped") == 1
