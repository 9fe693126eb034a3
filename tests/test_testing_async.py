"""The test clients that call an app as an ASGI server does."""

from __future__ import annotations

import asyncio
import io
import typing as t

import pytest
from werkzeug.test import TestResponse

from torsyq import Flask
from torsyq import redirect
from torsyq import request
from torsyq import session
from torsyq import websocket
from torsyq.testing_async import AsgiClient
from torsyq.testing_async import make_scope
from torsyq.testing_async import WebsocketDisconnectError
from torsyq.testing_async import WebsocketResponseError

from .asgi import until


def echo_app(app: Flask) -> Flask:
    @app.route("/", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    async def echo() -> t.Any:
        await asyncio.sleep(0)
        return {
            "method": request.method,
            "args": request.args,
            "form": request.form,
            "files": {name: file.read().decode() for name, file in request.files.items()},
            "json": request.get_json(silent=True),
            "header": request.headers.get("X-Test"),
            "agent": request.user_agent.string[:8],
            "root": request.root_url,
            "addr": request.remote_addr,
        }

    return app


def test_requests_are_made_as_with_the_sync_client(app: Flask) -> None:
    echo_app(app)

    async def run() -> None:
        client = app.async_test_client()
        sent = await client.post(
            "/?q=1", data={"a": "b", "f": (io.BytesIO(b"file"), "name")}, headers={"X-Test": "yes"}
        )
        assert isinstance(sent, TestResponse)
        assert sent.json == {
            "method": "POST",
            "args": {"q": "1"},
            "form": {"a": "b"},
            "files": {"f": "file"},
            "json": None,
            "header": "yes",
            "agent": "Werkzeug",
            "root": "http://localhost/",
            "addr": "127.0.0.1",
        }
        assert (await client.put("/", json={"j": 1})).get_json()["json"] == {"j": 1}
        for method in "get", "put", "patch", "delete", "options", "trace":
            response = await getattr(client, method)("/")
            assert response.get_json()["method"] == method.upper()
        head = await client.head("/")
        assert (head.status, head.data) == ("200 OK", b"")
        there = await client.get("/", base_url="https://example.com/")
        assert there.get_json()["root"] == "https://example.com/"

    asyncio.run(run())


def test_a_large_body_arrives_whole(app: Flask) -> None:
    @app.post("/")
    async def view() -> str:
        return str(len(request.get_data()))

    async def run() -> None:
        response = await app.async_test_client().post("/", data=bytes(300_000))
        assert response.text == "300000"

    asyncio.run(run())


def test_the_app_runs_on_the_tests_own_loop(app: Flask) -> None:
    seen = []

    @app.get("/")
    async def view() -> str:
        seen.append(asyncio.get_running_loop())
        return ""

    async def run() -> None:
        await app.async_test_client().get("/")
        assert seen == [asyncio.get_running_loop()]

    asyncio.run(run())


def session_app(app: Flask) -> Flask:
    @app.get("/count")
    async def count() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/away")
    async def away() -> t.Any:
        return redirect("/count")

    return app


def test_cookies_are_kept_and_redirects_followed(app: Flask) -> None:
    session_app(app)

    async def run() -> None:
        client = app.async_test_client()
        assert (await client.get("/count")).text == "1"
        assert (await client.get("/away")).status_code == 302
        followed = await client.get("/away", follow_redirects=True)
        assert (followed.text, len(followed.history)) == ("2", 1)
        assert client.get_cookie("session") is not None
        client.delete_cookie("session")
        assert (await client.get("/count")).text == "1"
        forgetful = app.async_test_client(use_cookies=False)
        assert [(await forgetful.get("/count")).text for _ in range(2)] == ["1", "1"]

    asyncio.run(run())


def test_a_redirect_that_keeps_the_method_keeps_the_body(app: Flask) -> None:
    @app.post("/notes/")
    async def add() -> dict[str, str]:
        return request.form.to_dict()

    @app.post("/moved")
    async def moved() -> t.Any:
        return redirect(f"/notes/?was={len(request.form['text'])}", 307)

    async def run() -> None:
        client = app.async_test_client()
        added = await client.post("/notes", data={"text": "hello"}, follow_redirects=True)
        assert added.request.path == "/notes/"
        assert added.json == {"text": "hello"}
        long = "x" * 200_000
        added = await client.post("/moved", data={"text": long}, follow_redirects=True)
        assert added.json == {"text": long}

    asyncio.run(run())


def test_cookies_of_connections_are_kept_too(app: Flask) -> None:
    """Of those for pieces and of WebSockets, accepted or refused, as a browser does."""
    app.secret_key = "k"

    @app.get("/stream")
    async def stream() -> str:
        session["seen"] = ["stream"]
        return "text"

    @app.websocket("/<ending>")
    async def talk(ending: str) -> tuple[str, int] | None:
        session["seen"] += [ending]
        if ending == "refused":
            return "no", 403
        await websocket.accept()
        return None

    async def run() -> None:
        client = app.async_test_client()
        async with client.request("/stream") as connection:
            await connection.send_complete()
            assert await connection.receive() == b"text"
        async with client.websocket("/accepted"):
            pass
        with pytest.raises(WebsocketResponseError):
            await client.websocket("/refused").__aenter__()
        async with client.session_transaction() as found:
            assert found["seen"] == ["stream", "accepted", "refused"]

    asyncio.run(run())


def test_the_session_can_be_looked_into_and_changed(app: Flask) -> None:
    session_app(app)

    async def run() -> None:
        client = app.async_test_client()
        async with client.session_transaction() as saved:
            saved["n"] = 41
        assert (await client.get("/count")).text == "42"
        async with client.session_transaction() as saved:
            assert saved["n"] == 42

    asyncio.run(run())


def test_errors_reach_the_test(app: Flask) -> None:
    @app.get("/")
    async def view() -> str:
        raise LookupError("lost")

    async def run() -> None:
        with pytest.raises(LookupError, match="lost"):
            await app.async_test_client().get("/")

    asyncio.run(run())


def test_a_connection_streams_both_ways(app: Flask) -> None:
    @app.post("/", stream_body=True)
    async def view() -> t.Any:
        async def pieces() -> t.AsyncIterator[bytes]:
            async for piece in t.cast("t.Any", stream):
                yield piece.upper()

        stream = request.stream
        return pieces(), 201, {"X-Streamed": "yes"}

    async def run() -> None:
        async with app.async_test_client().request("/", method="POST") as connection:
            await connection.send(b"one")
            assert await connection.receive() == b"ONE"
            assert connection.status_code == 201
            assert connection.headers["X-Streamed"] == "yes"
            await connection.send(b"two")
            assert await connection.receive() == b"TWO"
            await connection.send(b"three")
            await connection.send_complete()
            response = await connection.as_response()
            assert (response.status, response.data) == ("201 CREATED", b"THREE")
            assert await connection.receive() == b""

    asyncio.run(run())


def test_a_connection_sends_a_body_with_any_method(app: Flask) -> None:
    app.add_url_rule("/", view_func=lambda: request.get_data())

    async def run() -> None:
        async with app.async_test_client().request("/") as connection:
            await connection.send(b"one")
            await connection.send_complete()
            assert (await connection.as_response()).data == b"one"

    asyncio.run(run())


def test_a_get_that_was_sent_nothing_has_no_body(app: Flask) -> None:
    """Who only listens, to a stream of events say, need not say that the request is complete."""

    @app.get("/")
    async def view() -> str:
        return "here"

    async def run() -> None:
        async with app.async_test_client().request("/") as connection:
            assert await asyncio.wait_for(connection.receive(), 10) == b"here"

    asyncio.run(run())


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("stream_body", [False, True])
def test_the_view_of_a_get_begins_without_being_asked_for_an_answer(
    app: Flask, stays: bool, stream_body: bool
) -> None:
    """As for a real client, which goes away before it was answered: the view is cancelled."""
    events: list[str] = []

    @app.get("/", stream_body=stream_body)
    async def view() -> str:
        if stream_body:
            assert [piece async for piece in t.cast("t.Any", request.stream)] == []
        events.append("begun")
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        finally:
            events.append("ended")

    async def run() -> None:
        async with app.async_test_client().request("/") as connection:
            if stays:
                await until(lambda: events)
            await connection.disconnect()
            await until(lambda: "ended" in events)

    asyncio.run(run())
    assert events == ["begun", "ended"]


def test_nothing_can_be_sent_to_a_view_that_has_begun_without_a_body(app: Flask) -> None:
    begun = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        begun.set()
        return "here"

    async def run() -> None:
        async with app.async_test_client().request("/") as connection:
            await begun.wait()
            await connection.send_complete()
            with pytest.raises(RuntimeError, match="complete"):
                await connection.send(b"late")
            assert await connection.receive() == b"here"

    asyncio.run(run())


def test_an_answer_is_asked_for_before_the_connection_ends(app: Flask) -> None:
    """Who leaves the block goes away. An empty answer after it would be taken for the app's own."""

    @app.get("/")
    async def view() -> str:
        return "here"

    async def run() -> None:
        async with app.async_test_client().request("/") as connection:
            assert await connection.receive() == b"here"
        for ask in connection.receive, connection.as_response:
            with pytest.raises(RuntimeError, match="inside its 'async with' block"):
                await ask()

    asyncio.run(run())


def test_a_client_starts_an_app_that_another_one_stopped(app: Flask) -> None:
    """Tests with either client may share an app: none finds it without what it serves with."""
    events: list[str] = []

    @app.while_serving
    async def serving() -> t.AsyncGenerator[None, None]:
        events.append("begins")
        yield
        events.append("ends")

    @app.get("/")
    def view() -> str:
        events.append("answers")
        return ""

    async def run() -> None:
        async with app.async_test_client() as client:
            await client.get("/")

    asyncio.run(run())
    app.test_client().get("/")
    assert events == ["begins", "answers", "ends", "begins", "answers"]


def test_a_connection_can_go_away(app: Flask) -> None:
    events: list[str] = []

    @app.get("/")
    async def view() -> str:
        events.append("waits")
        try:
            await asyncio.sleep(60)
        finally:
            events.append("ends")
        return ""

    async def run() -> None:
        async with app.async_test_client().request("/") as connection:
            await connection.send_complete()
            await until(lambda: events)
            await connection.disconnect()
            with pytest.raises(AssertionError, match="without an answer"):
                await connection.as_response()
        events.clear()
        with pytest.raises(KeyError):
            await fail()
        assert events == ["waits", "ends"]

    async def fail() -> None:
        async with app.async_test_client().request("/") as connection:
            await connection.send_complete()
            await until(lambda: events)
            raise KeyError("the test itself fails")

    asyncio.run(run())


# WebSockets, by the protocol alone.


def websocket_app(app: Flask, call: t.Callable[..., t.Awaitable[None]]) -> Flask:
    app.asgi_app = call  # type: ignore[method-assign,assignment]
    return app


def test_a_websocket_is_a_conversation(app: Flask) -> None:
    async def echo(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/chat")
        assert scope["subprotocols"] == ["v1", "v2"]
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": "v2", "headers": [(b"x-a", b"1")]})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        assert message["code"] == 1006

    async def run() -> None:
        client = websocket_app(app, echo).async_test_client()
        async with client.websocket("/chat", subprotocols=["v1", "v2"]) as socket:
            assert (socket.subprotocol, socket.headers["X-A"]) == ("v2", "1")
            await socket.send("text")
            assert await socket.receive() == "text"
            await socket.send(b"bytes")
            assert await socket.receive() == b"bytes"
            await socket.send_json({"a": 1})
            assert await socket.receive_json() == {"a": 1}

    asyncio.run(run())


def test_a_websocket_that_the_app_closes_is_told(app: Flask) -> None:
    async def close(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive()) == {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}
        await send({"type": "websocket.close", "code": 4000, "reason": "over"})

    async def run() -> None:
        async with websocket_app(app, close).async_test_client().websocket("/") as socket:
            await socket.close(1001, "bye")
            with pytest.raises(WebsocketDisconnectError) as caught:
                await socket.receive()
            assert (caught.value.code, caught.value.reason) == (4000, "over")

    asyncio.run(run())


def test_a_websocket_that_is_not_accepted_is_a_response(app: Flask) -> None:
    async def refuse(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        if scope["path"] == "/plain":
            return await send({"type": "websocket.close"})  # type: ignore[no-any-return]
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"log ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"in"})

    async def run(path: str) -> TestResponse:
        with pytest.raises(WebsocketResponseError) as caught:
            await websocket_app(app, refuse).async_test_client().websocket(path).__aenter__()
        return caught.value.response

    response = asyncio.run(run("/"))
    assert (response.status_code, response.text) == (401, "log in")
    assert asyncio.run(run("/plain")).status_code == 403


def test_a_websockets_app_is_stopped_when_the_test_fails(app: Flask) -> None:
    events: list[str] = []

    async def wait(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            await asyncio.sleep(60)
        finally:
            events.append("stopped")

    async def run() -> None:
        with pytest.raises(KeyError):
            async with websocket_app(app, wait).async_test_client().websocket("/"):
                raise KeyError("the test itself fails")

    asyncio.run(run())
    assert events == ["stopped"]


def test_an_error_behind_a_websocket_s_end_reaches_the_test(app: Flask) -> None:
    app.testing = True

    @app.websocket("/")
    async def view() -> None:
        await websocket.receive()
        raise KeyError("in the view")

    async def run() -> None:
        async with app.async_test_client().websocket("/") as socket:
            await socket.send("hello")
            await socket.receive()

    with pytest.raises(KeyError, match="in the view"):
        asyncio.run(run())
    # As for a client, where errors do not propagate.
    app.testing = False
    with pytest.raises(WebsocketDisconnectError, match="1011"):
        asyncio.run(run())


# The sync client.


def test_the_sync_client_calls_the_app_over_asgi(app: Flask) -> None:
    app.test_client_class = AsgiClient
    echo_app(session_app(app))
    seen = []

    @app.before_request
    async def before() -> None:
        seen.append(request.environ["asgi.scope"]["type"])

    client = app.test_client()
    assert client.post("/?q=1", json={"j": 1}).get_json()["json"] == {"j": 1}
    assert client.get("/away", follow_redirects=True).text == "1"
    assert client.get("/count").text == "2"
    assert set(seen) == {"http"}


def test_an_app_that_does_not_answer_is_told_of(app: Flask) -> None:
    async def silent(scope: t.Any, receive: t.Any, send: t.Any) -> None:
        return None

    app.test_client_class = AsgiClient
    with pytest.raises(AssertionError, match="without an answer"):
        websocket_app(app, silent).test_client().get("/")


def test_a_scope_says_what_the_environment_says(app: Flask) -> None:
    with app.test_request_context("/ж?q=ж", base_url="https://example.com:444/root") as ctx:
        scope = make_scope(ctx.request.environ)
    assert scope["root_path"] == "/root"
    assert scope["path"] == "/root/ж"
    assert scope["scheme"] == "https"
    assert scope["server"] == ("example.com", 444)
    assert scope["query_string"] == "q=ж".encode()
    assert (b"host", b"example.com:444") in scope["headers"]
