"""Torsyq: Flask's text, and on ASGI what Flask does not have."""

from __future__ import annotations

import typing as t

from benchmarks.apps import flask
from benchmarks.fanout import fanout

PROTOCOL = "wsgi"


def make(variant: str, size: int) -> t.Any:
    app = flask.make(variant, size, framework="torsyq")
    if variant == "async":
        _live(app)
    return app


def _live(app: t.Any) -> None:
    from torsyq import websocket
    from torsyq.sse import sse_response

    @app.websocket("/ws")
    async def echo() -> None:
        while True:
            await websocket.send(await websocket.receive())

    @app.get("/events")
    async def events() -> t.Any:
        return sse_response(fanout.listen())
