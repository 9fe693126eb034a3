"""An ASGI server of the smallest kind, for tests that are about the messages themselves."""

from __future__ import annotations

import asyncio
import typing as t

Message = t.MutableMapping[str, t.Any]
App = t.Callable[..., t.Any]


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as they are in a scope."""
    return [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs]


def scope(path: str = "/", method: str = "GET", **values: t.Any) -> Message:
    """The scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 5000),
        **values,
    }


class Exchange:
    """One request, with what the app sent; ``sent`` may be watched while the app runs."""

    def __init__(self, app: App, scope: Message) -> None:
        self.sent: list[Message] = []
        self.received = 0
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._app, self._scope = app, scope

    def tell(self, body: bytes = b"", more: bool = False) -> None:
        """Have a piece of the request's body arrive."""
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        """Have the client go away."""
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        message = await self._messages.get()
        self.received += 1
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self) -> Exchange:
        """Call the app until it returns."""
        await self._app(self._scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return t.cast("int", self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent[1:])


async def exchange(
    app: App, path: str = "/", method: str = "GET", body: bytes = b"", **values: t.Any
) -> Exchange:
    """One whole request and its answer."""
    it = Exchange(app, scope(path, method, **values))
    it.tell(body)
    return await it.run()


async def until(condition: t.Callable[[], t.Any]) -> None:
    """Wait until *condition* holds.

    :raises TimeoutError: it does not within half a minute.
    """
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
