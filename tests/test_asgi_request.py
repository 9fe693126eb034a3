"""A request as ASGI's messages."""

from __future__ import annotations

import asyncio
import tempfile
import tracemalloc
import typing as t
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected
from werkzeug.exceptions import RequestEntityTooLarge

from torsyq import asgi_request
from torsyq import Flask
from torsyq import request
from torsyq.asgi_request import make_environ
from torsyq.asgi_request import receive_body
from torsyq.wrappers import Request

from .asgi import Exchange
from .asgi import headers
from .asgi import scope


def test_headers_become_the_environments_keys() -> None:
    environ = make_environ(
        scope(
            headers=headers(
                ("host", "a.example:8000"), ("content-type", "text/plain"), ("x-one", "1")
            )
        )
    )
    assert environ["HTTP_HOST"] == "a.example:8000"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["HTTP_X_ONE"] == "1"
    assert "HTTP_CONTENT_TYPE" not in environ


def test_a_header_sent_twice_is_joined() -> None:
    environ = make_environ(
        scope(
            headers=headers(("accept", "a"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2"))
        )
    )
    assert environ["HTTP_ACCEPT"] == "a,b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_a_header_with_an_underscore_does_not_pass_for_one_with_a_hyphen() -> None:
    environ = make_environ(scope(headers=headers(("x_forwarded_for", "1.2.3.4"))))
    assert not any("FORWARDED" in key for key in environ)


def test_a_header_does_not_pass_for_another_whose_capitals_are_the_same() -> None:
    environ = make_environ(scope(headers=headers(("x-acce\xdf", "admin"))))
    assert not any("ACCE" in key for key in environ)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["host", "cookie", "x-a", "x_a", "X-A", "content-length", "x-new"]),
            st.text(st.characters(max_codepoint=255)),
        )
    )
)
def test_any_headers_become_what_each_by_itself_would(pairs: list[tuple[str, str]]) -> None:
    asgi_request._others.pop(b"x-new", None)
    expected: dict[str, str] = {}
    for name, value in pairs:
        if "_" not in name:
            key = name.upper().replace("-", "_")
            key = key if key == "CONTENT_LENGTH" else f"HTTP_{key}"
            joint = "; " if key == "HTTP_COOKIE" else ","
            expected[key] = f"{expected[key]}{joint}{value}" if key in expected else value
    bare = make_environ(scope(headers=[])).keys()
    # Some servers have lists where others have tuples.
    environ = make_environ(scope(headers=[[*pair] for pair in headers(*pairs)]))
    assert {key: environ[key] for key in environ if key not in bare} == expected


def test_a_server_may_leave_out_what_it_need_not_say() -> None:
    said = {"type": "http", "method": "PUT", "path": "/a", "headers": headers(("host", "b"))}
    environ = make_environ(said)
    assert environ["asgi.scope"] is said
    names = "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL"
    assert [environ[name] for name in names] == ["PUT", "", "/a", "", "HTTP/1.1"]
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "b")
    environ = make_environ(said | {"path": "/\ufffd", "raw_path": b"/%ff"})
    assert environ["PATH_INFO"] == "/\xff"


def test_an_environment_tells_the_place_its_request_came_to() -> None:
    places = [("localhost", 80), ["localhost", 81], ("/a/socket", None), None] * 2
    environs = [make_environ(scope(server=place)) for place in places]
    told = [(environ["SERVER_NAME"], environ["SERVER_PORT"]) for environ in environs]
    assert told == [("localhost", "80"), ("localhost", "81"), ("/a/socket", ""), ("", "")] * 2


def test_places_cannot_fill_the_memory() -> None:
    for number in range(200):
        environ = make_environ(scope("/a", root_path=f"/{number}"))
        assert environ["SCRIPT_NAME"] == f"/{number}"
    assert len(asgi_request._environs) < 100


def test_an_environment_is_nobody_elses() -> None:
    first = make_environ(scope())
    first.clear()
    assert make_environ(scope())["SERVER_NAME"] == "localhost"


def test_clients_cannot_fill_the_memory_with_names_of_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = type(asgi_request._others)()
    monkeypatch.setattr(asgi_request, "_others", names)
    for number in range(5000):
        environ = make_environ(scope(headers=headers((f"x-{number}", "y"))))
        assert environ[f"HTTP_X_{number}"] == "y"
    assert len(names) < 2000


@pytest.mark.parametrize(
    ("root_path", "path", "expected"),
    [
        ("", "/a", ("", "/a")),
        ("/app", "/app/a", ("/app", "/a")),
        ("/app", "/app", ("/app", "")),
        ("/app/", "/app/a", ("/app", "/a")),
        ("/app", "/apple", ("/app", "/apple")),
        ("/app", "/a", ("/app", "/a")),
    ],
)
def test_the_root_path_is_taken_off_the_path(
    root_path: str, path: str, expected: tuple[str, str]
) -> None:
    environ = make_environ(scope(path, root_path=root_path))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_path_arrives(path: str) -> None:
    assert Request(make_environ(scope(f"/x{path}"))).path == f"/x{path}"


def test_bytes_of_a_path_that_are_not_utf_8_are_those_of_wsgi() -> None:
    environ = make_environ(scope("/caf\ufffd", raw_path=b"/caf%E9"))
    assert environ["PATH_INFO"] == "/caf\xe9"
    below = make_environ(scope("/r/caf\ufffd", raw_path=b"/r/caf%E9", root_path="/r"))
    assert below["PATH_INFO"] == "/caf\xe9"


def test_a_path_that_a_middleware_changed_is_taken_as_it_says() -> None:
    environ = make_environ(scope("/new\ufffd", raw_path=b"/old"))
    assert environ["PATH_INFO"] == "/new\ufffd".encode().decode("latin-1")


@pytest.mark.parametrize("raw_path", [b"/a%2Fb", b"/a%2Fb?q=1"])
def test_the_raw_path_is_kept(raw_path: bytes) -> None:
    environ = make_environ(scope("/a/b", raw_path=raw_path, query_string=b"q=1"))
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/a%2Fb?q=1"
    plain = make_environ(scope("/a/b", raw_path=b"/a%2Fb"))
    assert plain["REQUEST_URI"] == "/a%2Fb"


def test_a_unix_socket_has_no_port_and_no_client() -> None:
    environ = make_environ(scope(server=("/run/app.sock", None), client=None))
    assert environ["SERVER_PORT"] == ""
    assert "REMOTE_ADDR" not in environ
    assert make_environ(scope(server=None))["SERVER_NAME"] == ""


# The request's body.


@pytest.mark.parametrize(
    ("method", "version", "announced", "is_asked"),
    [
        ("GET", "1.1", (), False),
        ("HEAD", "1.0", (), False),
        ("GET", "1.1", ("content-length", "0"), True),
        ("GET", "1.1", ("transfer-encoding", "chunked"), True),
        ("GET", "2", (), True),
        ("POST", "1.1", (), True),
    ],
)
def test_a_server_is_not_asked_for_a_body_that_cannot_be(
    method: str, version: str, announced: tuple[str, ...], is_asked: bool
) -> None:
    """What is no HTTP/1 but says so may have one of each method that has a body at all."""
    app = Flask("bodies")
    received: list[int] = []

    @app.route("/", methods=["GET", "POST"])
    async def view() -> bytes:
        received.append(it.received)
        return request.get_data()

    pairs = [announced] if announced else []
    it = Exchange(app, scope(method=method, http_version=version, headers=headers(*pairs)))  # type: ignore[arg-type]
    it.tell()
    asyncio.run(it.run())
    assert received == [is_asked]


@pytest.fixture
def made() -> t.Iterator[list[dict[str, t.Any]]]:
    """Environments, whose bodies are closed in the end."""
    environs: list[dict[str, t.Any]] = []
    yield environs
    for environ in environs:
        environ["wsgi.input"].close()


async def received(
    pieces: list[bytes], limit: int | None = None, **environ: str
) -> tuple[dict[str, t.Any], Exchange]:
    it = Exchange(None, scope())  # type: ignore[arg-type]
    for piece in pieces:
        it.tell(piece, more=piece is not pieces[-1])
    made: dict[str, t.Any] = {"REQUEST_METHOD": "POST", "wsgi.input": BytesIO(), **environ}
    await receive_body(it.receive, made, limit)
    return made, it


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"bc"], [b"", b"abc"]])
def test_a_body_without_a_length_gets_one_when_it_is_here(
    pieces: list[bytes], made: list[dict[str, t.Any]]
) -> None:
    environ, _ = asyncio.run(received(pieces, HTTP_TRANSFER_ENCODING="chunked"))
    made.append(environ)
    assert environ["CONTENT_LENGTH"] == "3"
    assert Request(environ).get_data() == b"abc"


def test_a_body_shorter_than_announced_is_not_taken_for_whole() -> None:
    environ, _ = asyncio.run(received([b"abc"], CONTENT_LENGTH="5"))
    with pytest.raises(ClientDisconnected):
        Request(environ).get_data()


def test_no_more_is_received_than_was_announced(made: list[dict[str, t.Any]]) -> None:
    environ, it = asyncio.run(received([b"abc", b""], CONTENT_LENGTH="3"))
    made.append(environ)
    assert it.received == 1
    assert Request(environ).get_data() == b"abc"


def test_a_body_announced_too_large_is_not_received() -> None:
    environ, it = asyncio.run(received([b"abcdef"], limit=5, CONTENT_LENGTH="6"))
    assert it.received == 0
    with Flask("limit").test_request_context():
        request = Request(environ)
        request.max_content_length = 5
        with pytest.raises(RequestEntityTooLarge):
            request.get_data()


def test_no_more_of_a_body_too_large_is_received_than_shows_it(
    made: list[dict[str, t.Any]],
) -> None:
    environ, it = asyncio.run(received([b"abc"] * 9 + [b"end"], limit=5))
    made.append(environ)
    assert it.received == 2
    request = Request(environ)
    request.max_content_length = 5
    with pytest.raises(RequestEntityTooLarge):
        request.get_data()


@pytest.mark.parametrize("first", [[], [b"a"]])
def test_a_client_that_goes_away_during_the_body_is_noticed(first: list[bytes]) -> None:
    async def run() -> None:
        it = Exchange(None, scope())  # type: ignore[arg-type]
        for piece in first:
            it.tell(piece, more=True)
        it.disconnect()
        with pytest.raises(ClientDisconnected):
            await receive_body(it.receive, {}, None)

    asyncio.run(run())


def test_a_large_body_waits_on_disk() -> None:
    """1 GB arrives and is read in pieces, and at no time is a hundredth of it in memory."""
    piece = bytes(1 << 16)
    app = Flask("large")

    @app.post("/")
    async def view() -> dict[str, t.Any]:
        source = request.environ["wsgi.input"]
        assert isinstance(source, tempfile.SpooledTemporaryFile)
        size = 0
        while data := source.read(1 << 16):
            size += len(data)
        return {"size": size, "on_disk": source._rolled}  # type: ignore[attr-defined]

    async def run() -> Exchange:
        it = Exchange(app, scope(method="POST"))
        left = 1 << 14

        async def receive() -> dict[str, t.Any]:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": piece, "more_body": left > 0}

        it.receive = receive  # type: ignore[method-assign]
        return await it.run()

    tracemalloc.start()
    try:
        it = asyncio.run(run())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert it.body == b'{"on_disk":true,"size":1073741824}\n'
    assert peak < 6 << 20
