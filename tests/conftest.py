"""What every test has: an app, its client, and a watch over contexts left behind."""

from __future__ import annotations

import os
import signal
import sys
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck
from hypothesis import settings

from torsyq import Flask
from torsyq.globals import _cv_app
from torsyq.globals import _cv_request
from torsyq.testing import FlaskClient

from .protocols import PROTOCOLS

# Examples are not timed: the machine that runs them may be busy.
settings.register_profile("torsyq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("torsyq")
# The same examples each time: --hypothesis-profile=same.
settings.register_profile("same", derandomize=True)

# A shell has what it starts in the background ignore Ctrl+C, and whatever that starts. The servers of
# these tests are to heed it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the FLASK_* variables of whoever runs it."""
    for name in os.environ:
        if name.startswith("FLASK_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def leak_detector() -> t.Iterator[None]:
    """A test that leaves a context pushed fails, and does not spoil the next one."""
    yield
    left: list[object] = []
    while (request_ctx := _cv_request.get(None)) is not None:
        left.append(request_ctx)
        request_ctx.pop()
    while (app_ctx := _cv_app.get(None)) is not None:
        left.append(app_ctx)
        app_ctx.pop()
    assert not left, f"contexts left pushed: {left}"


@pytest.fixture
def app() -> Flask:
    app = Flask("tests.app", root_path=os.path.dirname(__file__))
    app.config.update(TESTING=True, SECRET_KEY="test key")
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way a request can take, in turn, for all that ``test_client()`` makes of any app.

    Over WSGI; over ASGI, walking in a worker thread; over ASGI, walking on the event loop.
    """
    name: str = request.param
    monkeypatch.setattr(Flask, "test_client_class", PROTOCOLS[name])
    return name


@pytest.fixture
def anyclient(app: Flask, protocol: str) -> FlaskClient:
    """A client for each way in turn: what holds on one holds on the others."""
    return app.test_client()


@pytest.fixture
def hasty() -> t.Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def untouched_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[None]:
    """What a command changes in the process is put back, and the test's own modules are forgotten."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    with mock.patch.dict(os.environ):
        yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one and importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def runner() -> CliRunner:
    """Runs commands without a terminal."""
    return CliRunner()
