"""Puts requests to an app in this process, the way a server would and as cheaply as can be."""

from __future__ import annotations

import asyncio
import sys
import typing as t
from collections import abc as cabc
from io import BytesIO
from itertools import cycle
from itertools import islice
from time import process_time

from benchmarks.fanout import fanout
from benchmarks.workloads import Answer
from benchmarks.workloads import Request

# What a server hands over of a body at a time, and what a browser's request looks like.
CHUNK = 65536
BROWSER = {
    "Host": "127.0.0.1:8000",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "kk,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Connection": "keep-alive",
}


class Driver(t.Protocol):
    """An app with somebody who asks it."""

    def ask(self, request: Request) -> Answer:
        """The whole answer to one request."""

    def time(self, requests: cabc.Sequence[Request], count: int) -> float:
        """The CPU seconds that *count* requests took, the given ones in turn."""

    def close(self) -> None:
        """Shut the app down."""


class Wsgi:
    """Calls a WSGI app."""

    def __init__(self, app: t.Any) -> None:
        self.app = app

    def ask(self, request: Request) -> Answer:
        environ, body = self.environ(request), request.body
        environ["wsgi.input"] = BytesIO(body)
        started: list[t.Any] = []

        def start_response(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
            started[:] = [int(status[:3]), [(key.lower(), value) for key, value in headers]]

        answer = self.app(environ, start_response)
        try:
            whole = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return Answer(started[0], started[1], whole)

    def time(self, requests: cabc.Sequence[Request], count: int) -> float:
        app = self.app
        prepared = [(self.environ(request), request.body) for request in requests]
        began = process_time()
        for stored, body in islice(cycle(prepared), count):
            environ = stored.copy()
            environ["wsgi.input"] = BytesIO(body)
            answer = app(environ, _start_response)
            for _ in answer:
                pass
            if hasattr(answer, "close"):
                answer.close()
        return process_time() - began

    def close(self) -> None:
        pass

    @staticmethod
    def environ(request: Request) -> dict[str, t.Any]:
        """The environment a WSGI server makes of a request, with a place for its body."""
        environ = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "REQUEST_URI": request.path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": None,  # There already, so that the copy of a request need not grow.
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for key, value in (BROWSER | request.headers).items():
            name = key.upper().replace("-", "_")
            environ[name if name == "CONTENT_TYPE" else f"HTTP_{name}"] = value
        if request.method == "POST":
            environ["CONTENT_LENGTH"] = str(len(request.body))
        return environ


def _start_response(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
    """A server that does not look."""


class Asgi:
    """Calls an ASGI 3 app on one event loop that is kept for all requests."""

    def __init__(self, app: t.Any) -> None:
        self.app = app
        self.runner = asyncio.Runner()
        self.lifespan: asyncio.Task[None] | None = None
        self.to_app: asyncio.Queue[t.Any] | None = None
        self.runner.run(self._start())

    def ask(self, request: Request) -> Answer:
        sent: list[t.Any] = []

        async def run() -> None:
            exchange = _Exchange(_messages(request.body))

            async def send(message: t.Any) -> None:
                sent.append(message)
                await exchange.send(message)

            await self.app(self.scope(request), exchange.receive, send)

        self.runner.run(asyncio.wait_for(run(), 20))
        start = next(message for message in sent if message["type"] == "http.response.start")
        headers = [(k.decode().lower(), v.decode()) for k, v in start.get("headers", ())]
        whole = b"".join(message.get("body", b"") for message in sent)
        return Answer(start["status"], headers, whole)

    def time(self, requests: cabc.Sequence[Request], count: int) -> float:
        return self.runner.run(self._time(requests, count))

    async def _time(self, requests: cabc.Sequence[Request], count: int) -> float:
        app = self.app
        prepared = [(self.scope(request), _messages(request.body)) for request in requests]
        began = process_time()
        for stored, messages in islice(cycle(prepared), count):
            scope = stored.copy()
            scope["headers"] = stored["headers"].copy()
            scope["state"] = {}  # Some keep what they have parsed in it.
            exchange = _Exchange(messages)
            await app(scope, exchange.receive, exchange.send)
        return process_time() - began

    def echo(self, path: str, count: int) -> float:
        """The CPU seconds that *count* messages took to and fro over one WebSocket."""
        return self.runner.run(self._echo(path, count))

    async def _echo(self, path: str, count: int) -> float:
        to_app: asyncio.Queue[t.Any] = asyncio.Queue()
        to_client: asyncio.Queue[t.Any] = asyncio.Queue()
        scope = self.scope(Request(path)) | {"type": "websocket", "scheme": "ws"}
        scope["subprotocols"] = []
        del scope["method"]
        to_app.put_nowait({"type": "websocket.connect"})
        task = asyncio.ensure_future(self.app(scope, to_app.get, to_client.put))
        accepted = await asyncio.wait_for(to_client.get(), 20)
        assert accepted["type"] == "websocket.accept", accepted
        began = process_time()
        for n in range(count):
            to_app.put_nowait({"type": "websocket.receive", "text": f"message {n}"})
            sent = await to_client.get()
            assert sent.get("text") == f"message {n}", sent
        took = process_time() - began
        to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(task, 20)
        return took

    def fan_out(self, path: str, clients: int, count: int) -> float:
        """The CPU seconds that *count* events to so many clients took."""
        return self.runner.run(self._fan_out(path, clients, count))

    async def _fan_out(self, path: str, clients: int, count: int) -> float:
        listeners = [_Listener() for _ in range(clients)]
        scope = self.scope(Request(path))
        tasks = [
            asyncio.ensure_future(self.app(scope.copy(), x.receive, x.send)) for x in listeners
        ]
        while len(fanout.queues) < clients:
            await asyncio.sleep(0.001)
        # What a framework does once for a stream that lasts is not what an event costs.
        await asyncio.sleep(0.2)
        began = process_time()
        for n in range(count):
            fanout.publish(f"event {n}")
            # All have it before the next one is made, as a slow source would have it.
            while any(listener.events <= n for listener in listeners):
                await asyncio.sleep(0)
        took = process_time() - began
        fanout.publish(None)
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        return took

    def close(self) -> None:
        self.runner.run(self._stop())
        self.runner.close()

    async def _start(self) -> None:
        """Run the app's lifespan as far as it has one."""
        self.to_app = asyncio.Queue()
        up = asyncio.get_running_loop().create_future()

        async def send(message: t.Any) -> None:
            if message["type"] == "lifespan.startup.failed":
                raise RuntimeError(message.get("message"))
            if not up.done():
                up.set_result(None)

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        await self.to_app.put({"type": "lifespan.startup"})
        self.lifespan = asyncio.ensure_future(self.app(scope, self.to_app.get, send))
        await asyncio.wait({up, self.lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if self.lifespan.done():
            # An app is free to raise: it then knows no lifespan.
            self.lifespan.exception()

    async def _stop(self) -> None:
        if self.lifespan is not None and self.to_app is not None and not self.lifespan.done():
            await self.to_app.put({"type": "lifespan.shutdown"})
            await asyncio.wait({self.lifespan}, timeout=5)

    @staticmethod
    def scope(request: Request) -> dict[str, t.Any]:
        """The scope an ASGI server makes of a request."""
        headers = BROWSER | request.headers
        if request.method == "POST":
            headers["Content-Length"] = str(len(request.body))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": request.query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }


def _messages(body: bytes) -> list[dict[str, t.Any]]:
    """A body as it arrives."""
    parts = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)] or [b""]
    return [
        {"type": "http.request", "body": part, "more_body": n + 1 < len(parts)}
        for n, part in enumerate(parts)
    ]


class _Exchange:
    """The server's side of one request: the client stays until it has the whole answer."""

    __slots__ = ("left", "answered", "waiting")

    def __init__(self, messages: list[dict[str, t.Any]]) -> None:
        self.left = iter(messages)
        self.answered = False
        self.waiting: asyncio.Future[None] | None = None

    async def receive(self) -> t.Any:
        message = next(self.left, None)
        if message is not None:
            return message
        if not self.answered:
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        return {"type": "http.disconnect"}

    async def send(self, message: t.Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.answered = True
            if self.waiting is not None and not self.waiting.done():
                self.waiting.set_result(None)


class _Listener(_Exchange):
    """A client of server-sent events, which counts them."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        super().__init__([{"type": "http.request", "body": b"", "more_body": False}])
        self.events = 0

    async def send(self, message: t.Any) -> None:
        if message["type"] == "http.response.body":
            self.events += message.get("body", b"").count(b"data: event ")
        await super().send(message)


def driver(app: t.Any, protocol: str) -> Driver:
    """Who asks an app of this protocol."""
    return Wsgi(app) if protocol == "wsgi" else Asgi(app)
