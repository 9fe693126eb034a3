"""The parent of ``torsyq serve`` stops when it is told, whatever it does at that moment."""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import granian.server
import pytest

from torsyq import serve
from torsyq.cli import ScriptInfo

from .servers import PATIENCE
from .servers import run

OPTIONS: dict[str, t.Any] = {
    "host": "127.0.0.1",
    "port": 1,
    "workers": 1,
    "threads": 1,
    "backpressure": 1,
    "cert": None,
    "access_log": False,
    "interface": "asgi",
    "stop_timeout": 1,
}


def test_a_signal_while_a_dead_worker_is_replaced_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even between granian's last look for one and its clearing of what woke it."""

    def replace_worker(server: t.Any, **options: t.Any) -> None:
        class Respawned(dict[int, float]):
            def clear(self) -> None:
                server.signal_handler_interrupt()

        server.respawned_wrks = Respawned()
        server._respawn_workers = lambda *args: None
        server.interrupt_children.append(0)
        server.main_loop_interrupt.set()
        server._serve_loop(None, None)

    monkeypatch.setattr(granian.server.Server, "serve", replace_worker)
    parent = threading.Thread(
        target=serve.serve, args=(ScriptInfo("hello"),), kwargs=OPTIONS, daemon=True
    )
    parent.start()
    parent.join(PATIENCE)
    assert not parent.is_alive()


STORM = f"""
import signal
import granian.server

def wait_in_a_storm(server, **options):
    left = 200
    interrupt = server.main_loop_interrupt

    def told(*args):
        nonlocal left
        left -= 1
        server.signal_handler_interrupt()
        if left:
            signal.setitimer(signal.ITIMER_REAL, 0.0001)

    signal.signal(signal.SIGALRM, told)
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    while left:
        interrupt.set()
        interrupt.wait()
        interrupt.clear()
    print("done")

granian.server.Server.serve = wait_in_a_storm
from torsyq import serve
serve.serve(None, **{OPTIONS!r})
"""


def test_a_signal_may_come_at_any_step_of_the_wait(tmp_path: Path) -> None:
    """Its handler must not wait for a lock which the same thread holds."""
    assert run(tmp_path, "-c", STORM).stdout == "done\n"
