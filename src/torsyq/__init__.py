"""Torsyq: Flask's API, word for word, on a fast core over WSGI and ASGI."""

from __future__ import annotations

import sys
import typing as t
from importlib import import_module

from . import _werkzeug as _werkzeug
from . import json as json
from .app import Flask as Flask
from .blueprints import Blueprint as Blueprint
from .config import Config as Config
from .ctx import after_this_request as after_this_request
from .ctx import copy_current_request_context as copy_current_request_context
from .ctx import has_app_context as has_app_context
from .ctx import has_request_context as has_request_context
from .ctx_websocket import after_this_websocket as after_this_websocket
from .ctx_websocket import copy_current_websocket_context as copy_current_websocket_context
from .ctx_websocket import has_websocket_context as has_websocket_context
from .globals import current_app as current_app
from .globals import g as g
from .globals import request as request
from .globals import session as session
from .globals import websocket as websocket
from .helpers import abort as abort
from .helpers import flash as flash
from .helpers import get_flashed_messages as get_flashed_messages
from .helpers import get_template_attribute as get_template_attribute
from .helpers import make_response as make_response
from .helpers import redirect as redirect
from .helpers import send_file as send_file
from .helpers import send_from_directory as send_from_directory
from .helpers import stream_with_context as stream_with_context
from .helpers import url_for as url_for
from .json import jsonify as jsonify
from .signals import appcontext_popped as appcontext_popped
from .signals import appcontext_pushed as appcontext_pushed
from .signals import appcontext_tearing_down as appcontext_tearing_down
from .signals import before_render_template as before_render_template
from .signals import got_request_exception as got_request_exception
from .signals import got_websocket_exception as got_websocket_exception
from .signals import message_flashed as message_flashed
from .signals import request_finished as request_finished
from .signals import request_started as request_started
from .signals import request_tearing_down as request_tearing_down
from .signals import template_rendered as template_rendered
from .signals import websocket_finished as websocket_finished
from .signals import websocket_started as websocket_started
from .signals import websocket_tearing_down as websocket_tearing_down
from .wrappers import Request as Request
from .wrappers import Response as Response

if t.TYPE_CHECKING:
    from .sse import sse_response as sse_response
    from .templating import render_template as render_template
    from .templating import render_template_string as render_template_string
    from .templating import stream_template as stream_template
    from .templating import stream_template_string as stream_template_string
    from .templating_async import render_template_async as render_template_async
    from .templating_async import render_template_string_async as render_template_string_async
    from .templating_async import stream_template_async as stream_template_async
    from .templating_async import stream_template_string_async as stream_template_string_async
    from .websockets import Websocket as Websocket
    from .websockets import WebsocketDisconnected as WebsocketDisconnected

# Loaded when first read, since they bring Jinja or asyncio along.
_LATER = {
    "render_template": "templating",
    "render_template_async": "templating_async",
    "render_template_string": "templating",
    "render_template_string_async": "templating_async",
    "sse_response": "sse",
    "stream_template": "templating",
    "stream_template_async": "templating_async",
    "stream_template_string": "templating",
    "stream_template_string_async": "templating_async",
    "Websocket": "websockets",
    "WebsocketDisconnected": "websockets",
}

# COMPAT: ``flask.cli`` and ``flask.templating`` are there after a plain ``import flask``.
_MODULES = frozenset({"cli", "templating"})

# What ``from flask import *`` gives: Flask's names, whether loaded yet or not, and no others, which
# could hide those of the app.
_STARRED = (
    "Blueprint Config Flask Request Response abort after_this_request app appcontext_popped"
    " appcontext_pushed appcontext_tearing_down before_render_template blueprints cli config"
    " copy_current_request_context ctx current_app flash g get_flashed_messages"
    " get_template_attribute globals got_request_exception has_app_context has_request_context"
    " helpers json jsonify logging make_response message_flashed redirect render_template"
    " render_template_string request request_finished request_started request_tearing_down sansio"
    " send_file send_from_directory session sessions signals stream_template"
    " stream_template_string stream_with_context template_rendered templating typing url_for"
    " wrappers"
)


if not t.TYPE_CHECKING:  # Type checkers would find any name here.

    def __getattr__(name: str) -> t.Any:
        if name in _LATER:
            value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
            # Not globals(): here that name is the module torsyq.globals.
            setattr(sys.modules[__name__], name, value)
            return value
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name == "__all__":
            return _STARRED.split()
        if name == "__version__":
            import importlib.metadata
            import warnings

            warnings.warn(
                "The '__version__' attribute is deprecated and will be removed in"
                " Flask 3.2. Use feature detection or"
                " 'importlib.metadata.version(\"flask\")' instead.",
                DeprecationWarning,
                stacklevel=2,
            )
            try:
                return importlib.metadata.version("flask")
            except importlib.metadata.PackageNotFoundError:
                # Its dist-info lies behind the doors.
                return "3.1.3"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*vars(sys.modules[__name__]), *_LATER, *_MODULES})
