"""The ways a request can take to an app and back, as clients that send it on them."""

from __future__ import annotations

import importlib
import sys
import types
import typing as t

import pytest

from torsyq import Flask
from torsyq.testing import FlaskClient
from torsyq.testing_async import AsgiClient


async def nothing(error: BaseException | None) -> None:
    """A teardown function that makes the app's walks under ASGI go on the event loop."""


class LoopClient(AsgiClient):
    """A client over ASGI whose requests walk on the event loop, be all else of the app sync."""

    def __init__(self, app: Flask, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(app, *args, **kwargs)
        if nothing not in app.teardown_appcontext_funcs:
            app.teardown_appcontext_funcs.append(nothing)


#: Over WSGI; over ASGI, walking in a worker thread; over ASGI, walking on the event loop.
PROTOCOLS: dict[str, type[FlaskClient]] = {
    "wsgi": FlaskClient,
    "asgi": AsgiClient,
    "asgi-loop": LoopClient,
}

#: What ``import flask`` may mean in a program that must run unchanged.
FRAMEWORKS = ["flask", *(f"torsyq-{protocol}" for protocol in PROTOCOLS)]


def framework_of(name: str, patch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module of one of :data:`FRAMEWORKS`, whose test clients send over that protocol."""
    module_name, _, protocol = name.partition("-")
    module = importlib.import_module(module_name)
    patch.setitem(sys.modules, "flask", module)
    if protocol:
        patch.setattr(module.Flask, "test_client_class", PROTOCOLS[protocol])
    return module
