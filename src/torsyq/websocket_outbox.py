"""What is sent to a WebSocket's client."""

from __future__ import annotations

import asyncio
import typing as t
from threading import get_ident
from time import monotonic

if t.TYPE_CHECKING:
    from .asgi_answer import Send
    from .incoming import Message
    from .websocket_inbox import Inbox
    from .websockets import Websocket

# After so many seconds of sending, other tasks have their turn.
_STRETCH = 0.001


class Outbox:
    """What is sent to the client, by the loop's own thread.

    PERF: apart from the websocket, whose attributes Python finds late, since its class has a
    ``__getattr__`` (2 % of an echo).
    """

    def __init__(self, send: Send, inbox: Inbox) -> None:
        #: The thread of the event loop.
        self.thread = get_ident()
        self.send: Send = send
        self._inbox = inbox
        self._last_turn = monotonic()

    async def put(self, websocket: Websocket, data: str | bytes) -> None:
        """Send a message of *websocket*, which is accepted first if it is not; see its ``send``."""
        message: Message
        if isinstance(data, str):
            if not data.isascii():
                # Half of a surrogate pair, as JSON may bring it, is an error in some servers, and
                # an empty message in others.
                data = data.encode("utf-8", "replace").decode()
            message = {"type": "websocket.send", "text": data}
        elif isinstance(data, (bytes, bytearray, memoryview)):
            message = {"type": "websocket.send", "bytes": bytes(data)}
        else:
            raise TypeError(
                f"A message is a string or bytes, and not a {type(data).__name__}."
                " To send it as JSON, use 'send_json'."
            )
        inbox = self._inbox
        if not inbox.is_open:
            await websocket._accept()
        if inbox.end is not None:
            raise await websocket._farewell()
        try:
            await self.send(message)
        except Exception as error:
            # Each server has its own way to say that nobody is there.
            raise await websocket._lost() from error
        now = monotonic()
        if now - self._last_turn > _STRETCH:
            # Not every server waits in its send, and the others want their turn.
            self._last_turn = now
            await asyncio.sleep(0)
