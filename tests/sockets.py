"""The server's end of a WebSocket, played by a test: what a server would do, without a server."""

from __future__ import annotations

import asyncio
import typing as t
from functools import wraps

from torsyq import Flask

PATIENCE = 20.0
"""Seconds after which what has not happened will not."""

Test = t.Callable[..., t.Coroutine[t.Any, t.Any, None]]


def on_loop(test: Test) -> t.Callable[..., None]:
    """Run an ``async def`` test on an event loop of its own, within a bound."""

    @wraps(test)
    def run(*args: t.Any, **kwargs: t.Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))

    return run


async def eventually(check: t.Callable[[], t.Any]) -> t.Any:
    """Let the loop run until *check* returns something true, and return that."""
    while not (found := check()):
        await asyncio.sleep(0.001)
    return found


class Wire:
    """One connection. Entering it lets the client ask for it; leaving it waits for the app's end.

    :param refusable: whether the server can send an HTTP response instead of accepting.
    """

    def __init__(
        self,
        app: Flask,
        path: str = "/",
        *,
        query: str = "",
        headers: t.Mapping[str, str] | None = None,
        subprotocols: t.Sequence[str] = (),
        refusable: bool = True,
        **scope: t.Any,
    ) -> None:
        self.app = app
        self.scope: dict[str, t.Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {"Host": "localhost", **(headers or {})}.items()
            ],
            "client": ("127.0.0.1", 50000),
            "server": ("localhost", 80),
            "subprotocols": list(subprotocols),
            "extensions": {"websocket.http.response": {}} if refusable else {},
            **scope,
        }
        self.to_app: asyncio.Queue[dict[str, t.Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[dict[str, t.Any]] = asyncio.Queue()
        #: Set to make ``send`` wait, as for a client that does not read.
        self.congested = False
        #: Set to make ``send`` fail, as when nobody is there.
        self.broken: Exception | None = None
        self.task: asyncio.Task[None]

    async def __aenter__(self) -> t.Self:
        self.to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        await self.app(self.scope, self.to_app.get, self._send)

    async def __aexit__(self, *error: object) -> None:
        if error[0] is not None:
            self.task.cancel()
        await asyncio.wait([self.task])
        if error[0] is None:
            self.task.result()

    async def _send(self, message: dict[str, t.Any]) -> None:
        if self.broken is not None:
            raise self.broken
        while self.congested:
            await asyncio.sleep(0.001)
        self.from_app.put_nowait(message)

    async def sent(self, kind: str = "") -> dict[str, t.Any]:
        """The next message of the app; an error if it ended without."""
        next_message = asyncio.ensure_future(self.from_app.get())
        await asyncio.wait([next_message, self.task], return_when=asyncio.FIRST_COMPLETED)
        if not next_message.done():
            # What was sent last may lie there still.
            await asyncio.sleep(0)
        if not next_message.done():
            next_message.cancel()
            self.task.result()
            raise AssertionError("the app has ended and sent nothing more")
        message = next_message.result()
        if kind:
            assert message["type"] == kind, message
        return message

    async def accepted(self) -> dict[str, t.Any]:
        return await self.sent("websocket.accept")

    async def refused(self) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of the answer that refuses the connection."""
        start = await self.sent("websocket.http.response.start")
        body = await self.sent("websocket.http.response.body")
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, body["body"].decode()

    def say(self, message: str | bytes) -> None:
        """Send a message, as the client."""
        kind = "text" if isinstance(message, str) else "bytes"
        self.to_app.put_nowait({"type": "websocket.receive", kind: message})

    async def hear(self) -> t.Any:
        """The next message for the client."""
        message = await self.sent("websocket.send")
        return message.get("text", message.get("bytes"))

    def leave(self, code: int | None = 1001, reason: str = "") -> None:
        """Go away, as the client."""
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def closed(self) -> tuple[int, str]:
        """Code and reason with which the app ended the connection."""
        message = await self.sent("websocket.close")
        return message["code"], message["reason"]
