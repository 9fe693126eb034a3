"""WebSocket routes and hooks: what an app and a blueprint remember of them.

The registries come into being when they are first used.
"""

from __future__ import annotations

import typing as t
from collections import defaultdict

from .. import typing as ft
from ..lazy import shared
from .scaffold import Scaffold
from .scaffold import setupmethod
from .scaffold import T_teardown

if t.TYPE_CHECKING:
    from werkzeug.routing import Map
    from werkzeug.routing import WebsocketMismatch

T_after_websocket = t.TypeVar("T_after_websocket", bound=ft.AfterWebsocketCallable)
T_before_websocket = t.TypeVar("T_before_websocket", bound=ft.BeforeRequestCallable)
T_websocket = t.TypeVar("T_websocket", bound=ft.WebsocketCallable)


def is_ours(rule: t.Any) -> bool:
    """Whether *rule* is the WebSocket's of one of these routes.

    SECURITY: an extension has its own (``route("/", websocket=True)``). Its view takes the socket
    within a request, and is guarded as requests are.
    """
    return getattr(rule, "is_websocket_of_ours", False)


def explain_mismatch(error: WebsocketMismatch, adapter: t.Any, rules: Map) -> None:
    """Have the 400 to a request for a page say that the URL is a WebSocket's, if ours are there.

    :param adapter: what the URL was matched with.
    """
    if not adapter.websocket and any(map(is_ours, rules.iter_rules())):
        error.description = (
            "This URL is a WebSocket. It is opened by a script, with 'new WebSocket(...)', and not"
            " as a page. If it was, a proxy has not passed on the headers 'Upgrade' and"
            " 'Connection'."
        )


class Websockets(Scaffold):
    """A scaffold on which WebSockets can be registered."""

    @shared
    def before_websocket_funcs(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.BeforeRequestCallable]]:
        """Called before each WebSocket's view, by scope; see :meth:`before_websocket`."""
        return defaultdict(list)

    @shared
    def after_websocket_funcs(
        self,
    ) -> dict[ft.AppOrBlueprintKey, list[ft.AfterWebsocketCallable]]:
        """Called after each WebSocket's view, by scope; see :meth:`after_websocket`."""
        return defaultdict(list)

    @shared
    def teardown_websocket_funcs(self) -> dict[ft.AppOrBlueprintKey, list[ft.TeardownCallable]]:
        """Called when a WebSocket's context ends, by scope; see :meth:`teardown_websocket`."""
        return defaultdict(list)

    @setupmethod
    def websocket(self, rule: str, **options: t.Any) -> t.Callable[[T_websocket], T_websocket]:
        """Answer WebSockets of a URL with the decorated view function.

        ::

            @app.websocket("/echo/<name>")
            async def echo(name):
                while True:
                    await websocket.send(await websocket.receive())

        :param rule: the URL pattern, which starts with a slash.
        :param options: see :meth:`add_websocket`.
        :raises TypeError: ``methods`` is given.
        """

        def decorator(f: T_websocket) -> T_websocket:
            endpoint = options.pop("endpoint", None)
            self.add_websocket(rule, endpoint, f, **options)
            return f

        return decorator

    @setupmethod
    def add_websocket(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: ft.WebsocketCallable | None = None,
        **options: t.Any,
    ) -> None:
        """Register the URL of a WebSocket, its endpoint and its view function.

        The view may be ``async def``, or ``def``, which then runs in a thread of its own. Before
        it accepts, by itself or by the first message, it may refuse: what it returns, or the
        error it raises, is the answer, as a view's for HTTP.

        :param rule: the URL pattern; the same one may also have a view for HTTP.
        :param endpoint: the route's name, by default the view function's.
        :param view_func: the function; may be left to :meth:`endpoint`.
        :param options: passed to :class:`werkzeug.routing.Rule`.
        :raises TypeError: ``methods`` is given.
        """
        if "methods" in options:
            raise TypeError("A WebSocket begins with GET; its route takes no 'methods'.")
        self.add_url_rule(
            rule,
            endpoint,
            t.cast("ft.RouteCallable", view_func),
            provide_automatic_options=False,
            websocket=True,
            methods=["GET"],
            _is_ours=True,
            **options,
        )

    @setupmethod
    def before_websocket(self, f: T_before_websocket) -> T_before_websocket:
        """Call the function before each WebSocket's view.

        What it returns, unless ``None``, is the answer with which the connection is refused, and
        the view is not called. On a blueprint it is called for the blueprint's own only.
        """
        self.before_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def after_websocket(self, f: T_after_websocket) -> T_after_websocket:
        """Call the function when a WebSocket's view has returned.

        It gets, and returns, the response with which the connection is refused, or ``None``. It
        is not called when the client has gone or an exception is on its way: use
        :meth:`teardown_websocket` for what must happen at all events.
        """
        self.after_websocket_funcs.setdefault(None, []).append(f)
        return f

    @setupmethod
    def teardown_websocket(self, f: T_teardown) -> T_teardown:
        """Call the function when a WebSocket's context goes away, with the exception or ``None``.

        The client's going is a :class:`.WebsocketDisconnected`, or else the
        :class:`asyncio.CancelledError` with which the view was stopped.
        """
        self.teardown_websocket_funcs.setdefault(None, []).append(f)
        return f
