"""A body is read whole or not at all, and sent chunk by chunk."""

from __future__ import annotations

import gc
import http.client
import io
import json
import typing as t
import weakref
from functools import partial
from itertools import chain
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import ClosingIterator
from werkzeug.wsgi import get_content_length
from werkzeug.wsgi import get_input_stream
from werkzeug.wsgi import LimitedStream

from torsyq.body import AT_ONCE
from torsyq.body import BodyStream
from torsyq.body import Chunks
from torsyq.body import content_length
from torsyq.body import encode_chunks
from torsyq.body import gather_body
from torsyq.body import open_body
from torsyq.body import read_body as read_announced

from .calls import calls_of
from .servers import command
from .servers import free_port
from .servers import process


class Socket(io.RawIOBase):
    """An input that gives a few bytes at a time, as sockets do, and may break."""

    def __init__(self, data: bytes, step: int = 3, error: Exception | None = None) -> None:
        self.data, self.step, self.error = data, step, error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        if not self.data and self.error is not None:
            raise self.error
        size = min(self.step, len(self.data), len(buffer))
        buffer[:size], self.data = self.data[:size], self.data[size:]
        return size


def environ_of(
    data: bytes, length: str | None, ended: bool, make: t.Callable[..., t.Any] = io.BytesIO
) -> dict[str, t.Any]:
    environ: dict[str, t.Any] = {"wsgi.input": make(data)}
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    if ended:
        environ["wsgi.input_terminated"] = True
    return environ


def read_body(environ: dict[str, t.Any], maximum: int | None) -> bytes:
    return read_announced(environ, content_length(environ), maximum)


def outcome(call: t.Callable[[], t.Any]) -> t.Any:
    try:
        return call()
    except (ClientDisconnected, RequestEntityTooLarge) as error:
        return type(error)


bodies = st.binary(max_size=9)
lengths = st.one_of(st.none(), st.integers(0, 9).map(str), st.sampled_from(["", "-1", "x", " 3"]))
maxima = st.one_of(st.none(), st.integers(0, 9))


@given(bodies, lengths, st.booleans(), maxima, st.sampled_from([io.BytesIO, Socket]))
def test_reading_at_once_is_reading_the_stream(
    data: bytes, length: str | None, ended: bool, maximum: int | None, make: t.Any
) -> None:
    at_once = outcome(lambda: read_body(environ_of(data, length, ended, make), maximum))
    streamed = outcome(lambda: open_body(environ_of(data, length, ended, make), maximum).read())
    assert at_once == streamed


@given(bodies, lengths, st.booleans(), maxima)
def test_a_whole_body_is_what_werkzeug_reads(
    data: bytes, length: str | None, ended: bool, maximum: int | None
) -> None:
    announced = get_content_length(environ_of(data, length, ended))
    if announced is not None and announced > len(data):
        return
    if ended and maximum is not None and (len(data) > maximum or maximum == 0):
        return  # Cut by Werkzeug, or refused though empty.
    expected = outcome(
        lambda: get_input_stream(environ_of(data, length, ended), max_content_length=maximum).read()
    )
    assert outcome(lambda: read_body(environ_of(data, length, ended), maximum)) == expected


errors = st.sampled_from([None, OSError("Invalid chunk header"), ValueError("closed")])


def lines_of(environ: dict[str, t.Any]) -> list[bytes]:
    stream = environ["wsgi.input"]
    return [stream.readline(), stream.readline(2), *stream]


@given(bodies, lengths, st.booleans(), maxima, errors)
def test_a_gathered_body_is_read_as_where_it_came_from(
    data: bytes, length: str | None, ended: bool, maximum: int | None, error: Exception | None
) -> None:
    def gathered(given: int | None) -> dict[str, t.Any]:
        environ = environ_of(data, length, ended, partial(Socket, error=error))
        gather_body(environ, given)
        return environ

    environ = environ_of(data, length, ended, partial(Socket, error=error))
    expected = outcome(lambda: open_body(environ, maximum).read())
    assert outcome(lambda: open_body(gathered(maximum), maximum).read()) == expected
    # A view may raise its own limit.
    assert outcome(lambda: open_body(gathered(0), maximum).read()) == expected
    assert outcome(lambda: open_body(gathered(3), maximum).read()) == expected


@given(st.lists(st.sampled_from([b"a", b"\n"])).map(b"".join), maxima)
def test_a_gathered_body_has_the_lines_of_the_whole(data: bytes, maximum: int | None) -> None:
    environ = environ_of(data, None, True, Socket)
    gather_body(environ, maximum)
    assert lines_of(environ) == lines_of({"wsgi.input": io.BytesIO(data)})


def test_an_environment_without_a_body_has_none_to_gather() -> None:
    """As those that are made by hand."""
    for environ in {}, {"CONTENT_LENGTH": "3"}, environ_of(b"x", "0", True, Socket):
        before = dict(environ)
        gather_body(environ, None)
        assert environ == before


@pytest.mark.parametrize("read", [True, False])
def test_a_gathered_body_that_broke_off_is_freed_without_the_cycle_collector(read: bool) -> None:
    def gathered() -> weakref.ref[t.Any]:
        environ = environ_of(b"ab", "9", True, partial(Socket, error=OSError("reset")))
        gather_body(environ, None)
        for _ in range(2 * read):
            with pytest.raises(ClientDisconnected):
                open_body(environ, None).read()
        return weakref.ref(environ["wsgi.input"])

    gc.disable()
    try:
        assert gathered()() is None
    finally:
        gc.enable()


def test_no_more_than_the_body_and_the_limit_is_gathered() -> None:
    for length, maximum, left in (("3", None, b"def"), ("3", 2, b"abcdef"), (None, 2, b"def")):
        source = Socket(b"abcdef")
        environ = environ_of(b"", length, True, lambda _: source)  # noqa: B023
        if length is not None:
            del environ["wsgi.input_terminated"]
        gather_body(environ, maximum)
        assert source.data == left


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("maximum", [None, 100])
@pytest.mark.parametrize("make", [io.BytesIO, Socket])
def test_a_body_shorter_than_announced_is_refused(
    ended: bool, maximum: int | None, make: t.Any
) -> None:
    with pytest.raises(ClientDisconnected):
        read_body(environ_of(b"abc", "7", ended, make), maximum)
    stream = open_body(environ_of(b"abc", "7", ended, make), maximum)
    assert stream.read(3) == b"abc"
    with pytest.raises(ClientDisconnected):
        stream.read(3)


@pytest.mark.parametrize("error", [OSError("Invalid chunk header"), ValueError("closed")])
@pytest.mark.parametrize("length", [None, "9"])
@pytest.mark.parametrize("maximum", [None, 100])
def test_a_body_that_breaks_is_refused(
    error: Exception, length: str | None, maximum: int | None
) -> None:
    def make(data: bytes) -> Socket:
        return Socket(data, error=error)

    with pytest.raises(ClientDisconnected):
        read_body(environ_of(b"abc", length, True, make), maximum)


def test_a_body_that_breaks_at_the_maximum_is_refused() -> None:
    def make(data: bytes) -> Socket:
        return Socket(data, error=OSError())

    with pytest.raises(ClientDisconnected):
        open_body(environ_of(b"abc", None, True, make), 3).read()


def test_a_body_that_breaks_at_once_is_refused() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError

    with pytest.raises(ClientDisconnected):
        read_body({"wsgi.input": Broken(), "CONTENT_LENGTH": "4"}, None)


sizes = st.lists(st.sampled_from([-1, None, 0, 1, 2, 5, 20]), min_size=1, max_size=4)


@given(st.text("ab\n", max_size=9), lengths, st.booleans(), maxima, errors, sizes)
def test_a_line_is_what_reading_byte_by_byte_comes_to(
    text: str,
    length: str | None,
    ended: bool,
    maximum: int | None,
    error: Exception | None,
    sizes: list[int | None],
) -> None:
    def make(data: bytes) -> t.IO[bytes]:
        return io.BufferedReader(Socket(data, error=error))

    def lines(readline: t.Callable[[t.Any, int | None], bytes]) -> list[t.Any]:
        environ = environ_of(text.encode(), length, ended, make)
        found: list[t.Any] = []
        try:
            body = open_body(environ, maximum)
            found.extend(readline(body, size) for size in sizes)
        except (ClientDisconnected, RequestEntityTooLarge) as broken:
            found.append(type(broken))
        return found

    assert lines(lambda body, size: body.readline(size)) == lines(io.IOBase.readline)


@given(st.text("ab\n", max_size=9), lengths, st.booleans(), maxima, errors, sizes)
def test_a_piece_is_what_filling_a_buffer_comes_to(
    text: str,
    length: str | None,
    ended: bool,
    maximum: int | None,
    error: Exception | None,
    sizes: list[int | None],
) -> None:
    def make(data: bytes) -> t.IO[bytes]:
        return io.BufferedReader(Socket(data, error=error))

    def pieces(read: t.Callable[[t.Any, int], bytes | None]) -> list[t.Any]:
        environ = environ_of(text.encode(), length, ended, make)
        found: list[t.Any] = []
        try:
            body = open_body(environ, maximum)
            found.extend((read(body, -1 if size is None else size), body.tell()) for size in sizes)
        except (ClientDisconnected, RequestEntityTooLarge) as broken:
            found.append(type(broken))
        return found

    def by_buffer(body: t.Any, size: int) -> bytes | None:
        is_ours = isinstance(body, io.RawIOBase)
        return io.RawIOBase.read(body, size) if is_ours else body.read(size)

    assert pieces(lambda body, size: body.read(size)) == pieces(by_buffer)


@pytest.mark.parametrize("ended", [True, False])
def test_short_pieces_of_a_body_take_one_call_each(ended: bool) -> None:
    body = open_body(environ_of(b"steppe" * 9, "54", ended), None)

    assert calls_of(lambda: body.read(6)) == 1


class GunicornsBody:
    """As that server's, which has these two methods."""

    __module__ = "gunicorn.http.body"

    def __init__(self, data: bytes) -> None:
        stream = io.BytesIO(data)
        self.read, self.readline = stream.read, stream.readline


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("make", [io.BytesIO, GunicornsBody])
def test_lines_are_taken_from_the_server_as_lines(
    make: t.Any, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not byte by byte, which takes 2 s for 1 MB."""
    monkeypatch.delattr(BodyStream, "readinto")
    monkeypatch.delattr(LimitedStream, "readinto")
    body = open_body(environ_of(b"one\ntwo\nthree", "13", ended, make), None)
    assert [*body] == [b"one\n", b"two\n", b"three"]


def test_an_input_of_unknown_lines_is_read_by_lines() -> None:
    """Granian's leave out the line feed."""

    class Unknown:
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)
            self.read = self.data.read

        def readline(self, size: int) -> bytes:
            return self.data.readline(size).rstrip(b"\n")

    assert [*open_body(environ_of(b"one\ntwo", "7", False, Unknown), None)] == [b"one\n", b"two"]


@pytest.mark.parametrize("ended", [False, True])
def test_reading_nothing_says_nothing_of_the_client(ended: bool) -> None:
    """Ijson reads nothing, to see whether that is text or bytes."""
    body = open_body(environ_of(b"abc", "3", ended), None)
    assert [body.read(0), body.read(2), body.read(0), body.read(2)] == [b"", b"ab", b"", b"c"]


def test_a_body_longer_than_a_middleware_says_is_read_to_its_end() -> None:
    """A middleware that unpacks the body leaves the packed length in the environ."""
    assert read_body(environ_of(b"unpacked" * 9000, "3", True), None) == b"unpacked" * 9000


def test_no_more_than_the_maximum_is_read() -> None:
    """Werkzeug hands the view as much as the maximum allows, as if that were the body."""
    with pytest.raises(RequestEntityTooLarge):
        read_body(environ_of(b"abc", None, True), 2)
    with pytest.raises(RequestEntityTooLarge):
        read_body(environ_of(b"abc", "3", False), 2)
    # Werkzeug answers 413 when a body exactly as long is read in pieces.
    stream = open_body(environ_of(b"abc", "3", True), 3)
    assert [stream.read(2), stream.read(2), stream.read(2)] == [b"ab", b"c", b""]
    endless = open_body(environ_of(b"abcd", None, True), 3)
    assert endless.read(3) == b"abc"
    with pytest.raises(RequestEntityTooLarge):
        endless.read(3)


def test_a_long_body_is_not_reserved_memory_for_on_its_word() -> None:
    asked: list[int] = []

    class Input:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def read(self, size: int) -> bytes:
            asked.append(size)
            data, self.data = self.data, b""
            return data

    environ = environ_of(b"x" * 10, str(AT_ONCE * 1000), False, Input)
    with pytest.raises(ClientDisconnected):
        read_body(environ, None)
    assert max(asked) <= AT_ONCE


@given(
    st.sampled_from([None, "", "0", "12", "-3", "1_0", "+4", " 5 ", "٣", "9" * 30, "9" * 5000]),
    st.sampled_from([None, "chunked", "gzip, chunked", "identity"]),
)
def test_the_announced_length_is_werkzeugs(length: str | None, coding: str | None) -> None:
    environ = {"CONTENT_LENGTH": length, "HTTP_TRANSFER_ENCODING": coding}
    environ = {name: value for name, value in environ.items() if value is not None}
    assert content_length(environ) == get_content_length(environ)


def test_chunks_of_text_and_bytes_can_be_mixed() -> None:
    chunks: list[t.Any] = ["é", b"b", b"", bytearray(b"c"), "d", "e", Markup("<f>"), b"g"]
    expected = ["é".encode(), b"b", b"", b"c", b"d", b"e", b"<f>", b"g"]
    assert list(encode_chunks(chunks)) == expected
    assert list(encode_chunks(iter(chunks))) == expected


def test_a_chunk_is_asked_for_when_the_one_before_was_taken() -> None:
    made: list[int] = []
    source: list[str | bytes] = ["a", "b", b"c", "d"]

    def body() -> t.Iterator[str | bytes]:
        for number, chunk in enumerate(source):
            made.append(number)
            yield chunk

    chunks = encode_chunks(body())
    assert made == []
    for number in range(4):
        next(chunks)
        assert made == list(range(number + 1))


def test_an_error_between_two_chunks_is_the_bodys_own() -> None:
    def body() -> t.Iterator[str]:
        yield "a"
        raise ZeroDivisionError

    chunks = encode_chunks(body())
    assert next(chunks) == b"a"
    with pytest.raises(ZeroDivisionError):
        next(chunks)
    assert next(chunks, None) is None


def test_a_stream_closes_the_generator_and_then_the_response() -> None:
    events = []

    def body() -> t.Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            events.append("generator")

    chunks = Chunks(body(), lambda: events.append("response"))
    assert isinstance(chunks, ClosingIterator)
    assert next(chunks) == b"a"
    assert next(iter(chunks)) == b"b"
    chunks.close()
    assert events == ["generator", "response"]


def test_a_stream_never_begun_closes_the_response() -> None:
    events: list[str] = []
    Chunks((), lambda: events.append("response")).close()
    assert events == ["response"]


# Of a large one.

UPLOADS = """
from flask import Flask, request

app = Flask(__name__)

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

def size_of(file):
    size = 0
    while data := file.read(1 << 20):
        size += len(data)
    return size

@app.get("/")
def index():
    return {"peak": peak()}

@app.post("/sync")
def upload():
    return {"size": size_of(request.files["file"]), "peak": peak()}

@app.post("/async")
async def upload_async():
    return {"size": size_of(request.files["file"]), "peak": peak()}
"""


def upload_of(size: int) -> tuple[t.Iterator[bytes], dict[str, str]]:
    """A form with a file of so many bytes, made while it is sent, and its headers."""
    head = (
        b'--line\r\nContent-Disposition: form-data; name="file"; filename="large"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = b"\r\n--line--\r\n"
    piece = bytes(1 << 20)
    return chain([head], repeat(piece, size // len(piece)), [tail]), {
        "Content-Type": "multipart/form-data; boundary=line",
        "Content-Length": str(len(head) + size + len(tail)),
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
@pytest.mark.parametrize("server", ["uvicorn", "torsyq-serve-asgi", "torsyq-serve-wsgi"])
@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_an_upload_of_a_gigabyte_takes_a_few_megabytes_of_memory(
    server: str, path: str, tmp_path: Path
) -> None:
    (tmp_path / "hello.py").write_text(UPLOADS)
    port = free_port()
    with process(tmp_path, *command(server, port)) as running:
        before = json.loads(running.wait_for(port).text)["peak"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", path, *upload_of(1 << 30))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["size"] == 1 << 30
        # In kilobytes; the server's own buffers are in it.
        assert answer["peak"] - before < 48 << 10
