"""Under gevent and eventlet a request is a greenlet, and async functions run all the same."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path
from unittest import mock

import pytest

from torsyq import greenlets

from .servers import run

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all(); from gevent import spawn, joinall",
    "eventlet": """
import warnings
warnings.simplefilter("ignore")
import eventlet; eventlet.monkey_patch()
from eventlet import spawn
joinall = lambda greenlets: [greenlet.wait() for greenlet in greenlets]
""",
}
APP = """
import asyncio
import threading
import time
from torsyq import current_app, Flask, g, request

app = Flask("app")
client = app.test_client
"""


@pytest.fixture(params=PATCHES)
def patched(request: pytest.FixtureRequest, tmp_path: Path) -> t.Callable[[str], list[str]]:
    """Runs a program in which greenlets have replaced threads; gives the lines it printed."""

    def run_patched(program: str) -> list[str]:
        done = run(tmp_path, "-c", PATCHES[request.param] + APP + program)
        print(done.stderr)
        assert done.returncode == 0
        return done.stdout.splitlines()

    return run_patched


def test_async_views_run_at_once(patched: t.Callable[[str], list[str]]) -> None:
    """Each of 50 waits for all the others, and sees its own request and ``g`` afterwards."""
    assert patched("""
here = 0
everyone = None

@app.get("/<number>")
async def view(number):
    global here, everyone
    everyone = everyone or asyncio.Event()
    g.number = number
    here += 1
    if here == 50:
        everyone.set()
    await asyncio.wait_for(everyone.wait(), 20)
    return f"{number} {g.number} {request.view_args['number']}"

def ask(number):
    assert client().get(f"/{number}").text == f"{number} {number} {number}"
    answered.append(number)

answered = []
joinall([spawn(ask, number) for number in range(50)])
print(len(answered))
""") == ["50"]


def test_a_waiting_request_lets_the_others_run(patched: t.Callable[[str], list[str]]) -> None:
    assert patched("""
ended = threading.Event()

@app.get("/waits")
async def waits():
    while not ended.is_set():
        await asyncio.sleep(0.01)
    return "waited"

@app.get("/ends")
def ends():
    ended.set()
    return "ended"

def ask(path):
    print(client().get(path).text)

joinall([spawn(ask, "/waits"), spawn(ask, "/ends")])
""") == ["ended", "waited"]


def test_a_sync_view_has_no_loop_running(patched: t.Callable[[str], list[str]]) -> None:
    """Though the lasting loop does: it has a thread of its own."""
    assert patched("""
@app.get("/async")
async def in_the_loop():
    return "in the loop"

@app.get("/sync")
def own_loop():
    return asyncio.run(asyncio.sleep(0, "a loop of its own"))

print(client().get("/async").text)
print(client().get("/sync").text)
""") == ["in the loop", "a loop of its own"]


def test_an_async_stream(patched: t.Callable[[str], list[str]]) -> None:
    assert patched("""
@app.get("/")
def stream():
    async def pieces():
        for piece in "abc":
            await asyncio.sleep(0)
            yield piece
    return pieces()

print(client().get("/").text)
""") == ["abc"]


def test_an_error_of_an_async_view(patched: t.Callable[[str], list[str]]) -> None:
    assert patched("""
@app.get("/")
async def fails():
    await asyncio.sleep(0)
    raise KeyError("on purpose")

@app.errorhandler(KeyError)
async def explain(error):
    return f"explained {error}"

print(client().get("/").text)
""") == ["explained 'on purpose'"]


def test_serving_hooks_and_background_tasks(patched: t.Callable[[str], list[str]]) -> None:
    """Sync and async ones run, and the process ends."""
    assert patched("""
@app.before_serving
def before():
    print("before")

@app.after_serving
async def after():
    print("after")

def plainly(number):
    time.sleep(0.01)
    done.append((number, current_app.name))

async def in_the_loop(number):
    await asyncio.sleep(0.01)
    done.append((number, current_app.name))

@app.get("/")
def index():
    app.add_background_task(plainly, 1)
    app.add_background_task(in_the_loop, 2)
    return "answered"

done = []
print(client().get("/").text)
end = time.monotonic() + 20
while len(done) < 2 and time.monotonic() < end:
    time.sleep(0.01)
print(sorted(done))
""") == ["before", "answered", "[(1, 'app'), (2, 'app')]", "after"]


def test_a_greenlet_listens_to_a_channel(patched: t.Callable[[str], list[str]]) -> None:
    """What an async view says, on the loop's own thread, reaches it."""
    assert patched("""
from torsyq.channels import Broker

room = Broker().channel("room")
got = []

def listen():
    with room.subscribe() as messages:
        for message in messages:
            got.append(message)
            if message == "b":
                break

@app.get("/<message>")
async def say(message):
    await room.publish(message)
    return "said"

listening = spawn(listen)
while not room.broker._topics:
    time.sleep(0)
said = [client().get(f"/{message}").text for message in "ab"]
joinall([listening])
print(*said, *got)
""") == ["said said a b"]


def test_greenlets_and_the_loop_use_a_channel_at_the_same_moment(
    patched: t.Callable[[str], list[str]],
) -> None:
    """They are in two threads, and wait for each other's locks."""
    assert patched("""
import sys
from torsyq.channels import Broker

sys.setswitchinterval(1e-6)
room = Broker().channel("room")

@app.get("/")
async def say():
    for _ in range(3000):
        await room.publish("from the loop")
    said.append(True)
    return "said"

def ask():
    client().get("/")

def say_here():
    while not said:
        with room.subscribe():
            room.publish_sync("from a greenlet")
        time.sleep(0)

said = []
joinall([spawn(ask), spawn(say_here)])
print(*said)
""") == ["True"]


def test_a_greenlet_that_gives_up_waiting(tmp_path: Path) -> None:
    """Leaves the view to itself, and the loop to the others."""
    program = """
from gevent import Timeout

@app.get("/long")
async def long():
    await asyncio.sleep(0.1)
    finished.set()

@app.get("/short")
async def short():
    return "short"

finished = threading.Event()
client().get("/short")
with Timeout(0.01, False):
    client().get("/long")
    print("not given up")
print(client().get("/short").text)
print(finished.wait(20))
"""
    done = run(tmp_path, "-c", PATCHES["gevent"] + APP + program)
    assert (done.stdout.splitlines(), done.stderr) == (["short", "True"], "")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nothing tells what is open")
def test_a_greenlet_that_gives_up_waiting_for_a_message_leaves_nothing_open(tmp_path: Path) -> None:
    program = """
import os
from torsyq.channels import Broker

def give_up():
    with channel.subscribe() as messages, eventlet.Timeout(0.001, False):
        next(messages)
        print("not given up")

channel = Broker().channel("quiet")
give_up()
before = len(os.listdir("/proc/self/fd"))
for _ in range(10):
    give_up()
print(len(os.listdir("/proc/self/fd")) - before)
"""
    done = run(tmp_path, "-c", PATCHES["eventlet"] + APP + program)
    assert (done.stdout.splitlines(), done.stderr) == (["0"], "")


def test_an_async_view_has_a_body_that_comes_late(
    patched: t.Callable[[str], list[str]], request: pytest.FixtureRequest
) -> None:
    """A socket of greenlets can be read by these only, not by the thread of the event loop."""
    if "eventlet" in request.node.name and sys.version_info >= (3, 14):
        pytest.skip("eventlet leaves a lock as it is on Python 3.14, and says so, and hangs")
    assert patched("""
import socket

@app.post("/whole")
async def whole():
    return request.data

@app.post("/streamed", stream_body=True)
async def streamed():
    return b"".join([piece async for piece in request.stream])

def send(client):
    time.sleep(0.05)
    client.sendall(b"body")
    client.close()

for path in "/whole", "/streamed":
    ours, theirs = socket.socketpair()
    sending = spawn(send, theirs)
    with ours, ours.makefile("rb") as body:
        late = {"wsgi.input": body, "CONTENT_LENGTH": "4"}
        print(client().post(path, environ_overrides=late).text)
    joinall([sending])
""") == ["body", "body"]


def test_where_a_wait_cannot_be_interrupted_one_waits_in_short_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that Ctrl+C ends a command that is ``async def`` on Windows before Python 3.14."""
    monkeypatch.setattr(greenlets, "UNINTERRUPTIBLE", True)
    monkeypatch.setattr(greenlets, "GLANCE", 0.001)
    latch = greenlets.new_latch()
    lock = mock.Mock(acquire=mock.Mock(side_effect=[False, False, True]))
    with monkeypatch.context() as patch:
        patch.setattr(latch, "_lock", lock)
        latch.acquire()
    assert lock.acquire.call_args_list == [mock.call(timeout=0.001)] * 3
    greenlets.start_thread(latch.release, "opener")
    latch.acquire()
