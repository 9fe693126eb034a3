"""Oshaq, the hearth: rooms to talk in, over WebSockets.

One view answers each open page: it hears what its visitor says, publishes that in the room's
channel, and passes on what the channel brings. The channel keeps the last messages, so that who
comes, or comes back after a break, reads on where the talk was.

    uvicorn chat:app

One process serves it as it is. Several (on one machine or many) share their rooms through Redis:

    CHAT_REDIS=redis://localhost CHAT_SECRET_KEY=... uvicorn chat:app --workers 4
"""

from __future__ import annotations

import asyncio
import secrets
import typing as t
from datetime import datetime
from datetime import UTC
from urllib.parse import urlsplit

from torsyq import abort
from torsyq import Flask
from torsyq import redirect
from torsyq import render_template
from torsyq import request
from torsyq import Response
from torsyq import session
from torsyq import url_for
from torsyq import websocket
from torsyq.channels import Broker
from torsyq.channels import Subscription
from torsyq.channels.redis import RedisBroker

ROOMS = {
    "hearth": "Whatever comes to mind, by the fire",
    "road": "Where you are, and where to",
    "horses": "Of speed and patience",
    "stars": "For those who cannot sleep",
}
LONGEST_NAME = 24
LONGEST_TEXT = 1000

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY=secrets.token_hex(),
    SESSION_COOKIE_SAMESITE="Lax",
    WEBSOCKET_MAX_MESSAGE_SIZE=8 * LONGEST_TEXT,
    REDIS=None,
)
app.config.from_prefixed_env("CHAT")


def make_broker(name: str, history: int) -> Broker:
    url = app.config["REDIS"]
    if not url:
        return Broker(history=history)
    # Each has a prefix of its own: both have a channel for each room.
    return RedisBroker(url, prefix=f"chat-{name}:", history=history)


#: What was said, of which the last is kept.
talk = make_broker("talk", history=50)
#: Who comes and goes, which is nobody's business later.
door = make_broker("door", history=0)


@app.get("/")
def index() -> str:
    return render_template("index.html", rooms=ROOMS, wanted=request.args.get("room", "hearth"))


@app.post("/")
def enter() -> t.Any:
    name = " ".join(request.form["name"].split())[:LONGEST_NAME]
    room = request.form["room"]
    if not name or room not in ROOMS:
        abort(400)
    session["name"] = name
    return redirect(url_for("room", room=room))


@app.get("/rooms/<room>")
def room(room: str) -> t.Any:
    if room not in ROOMS:
        abort(404)
    if "name" not in session:
        return redirect(url_for("index", room=room))
    return render_template("room.html", room=room, rooms=ROOMS, longest=LONGEST_TEXT)


@app.after_request
def add_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@app.before_websocket
def check_origin() -> None:
    # Any site's page may open a WebSocket to here, and the browser sends our cookie along.
    if urlsplit(websocket.headers.get("Origin", "")).netloc != websocket.host:
        abort(403)


@app.websocket("/rooms/<room>/talk")
async def sit_down(room: str) -> None:
    if room not in ROOMS:
        abort(404)
    if "name" not in session:
        abort(403)
    name: str = session["name"]
    async with talk.channel(room).subscribe() as said, door.channel(room).subscribe() as moves:
        await websocket.accept()
        await door.channel(room).publish(event("came", name))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pass_on(said))
                tasks.create_task(pass_on(moves))
                await listen(room, name)
        finally:
            await door.channel(room).publish(event("left", name))


async def listen(room: str, name: str) -> None:
    """Publish what the visitor says, until they leave."""
    while True:
        text = str(await websocket.receive()).strip()[:LONGEST_TEXT]
        if text:
            await talk.channel(room).publish(event("said", name, text))


async def pass_on(messages: Subscription) -> None:
    async for message in messages:
        await websocket.send_json(message)


def event(kind: str, name: str, text: str = "") -> dict[str, str]:
    # The number lets a page that comes back leave out what it shows already.
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"id": secrets.token_hex(8), "kind": kind, "name": name, "text": text, "at": at}
