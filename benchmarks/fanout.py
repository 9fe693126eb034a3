"""One source of events, many clients: what the workload ``events`` publishes through."""

from __future__ import annotations

import asyncio
import typing as t


class Fanout:
    """Hands every event to a queue per client."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[str | None]] = set()

    def publish(self, event: str | None) -> None:
        """Send an event to all who listen; None ends their streams."""
        for queue in self.queues:
            queue.put_nowait(event)

    async def listen(self) -> t.AsyncIterator[str]:
        """The events from now on."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.queues.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self.queues.discard(queue)

    async def lines(self) -> t.AsyncIterator[bytes]:
        """The events as ``text/event-stream`` has them."""
        async for event in self.listen():
            yield b"data: %s\n\n" % event.encode()


fanout = Fanout()
