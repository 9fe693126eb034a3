"""What of an app is better served on a loop, or not served without one."""

from __future__ import annotations

import typing as t

import pytest

from torsyq import Blueprint
from torsyq import Flask
from torsyq.interface import better_on_asgi
from torsyq.interface import beyond_wsgi
from torsyq.views import MethodView


async def asynchronous() -> str:
    return ""


def synchronous() -> str:
    return ""


def with_socket(app: Flask) -> None:
    app.websocket("/socket")(synchronous)


def with_socket_of_extension(app: Flask) -> None:
    app.route("/socket", websocket=True)(synchronous)


def with_body(app: Flask) -> None:
    app.post("/body", stream_body=True)(synchronous)


def with_view(app: Flask) -> None:
    app.get("/view")(asynchronous)


def with_class_of_views(app: Flask) -> None:
    class Views(MethodView):
        async def get(self) -> str:
            return ""

    app.add_url_rule("/class", view_func=Views.as_view("views"))


def with_hook_of_blueprint(app: Flask) -> None:
    blueprint = Blueprint("blueprint", __name__)
    blueprint.before_request(asynchronous)
    app.register_blueprint(blueprint)


def with_handler(app: Flask) -> None:
    async def handler(error: Exception) -> str:
        return ""

    app.register_error_handler(404, handler)


def with_start(app: Flask) -> None:
    app.before_serving(synchronous)


def with_stop(app: Flask) -> None:
    app.after_serving(synchronous)


def with_both(app: Flask) -> None:
    def both() -> t.Iterator[None]:
        yield

    app.while_serving(both)


@pytest.mark.parametrize(
    ("prepare", "beyond", "better"),
    [
        (lambda app: app.get("/sync")(synchronous), [], []),
        (with_socket, ["WebSockets"], ["WebSockets"]),
        (with_socket_of_extension, [], []),
        (with_body, ["streamed bodies"], ["streamed bodies"]),
        (with_start, ["serving hooks"], ["serving hooks"]),
        (with_stop, ["serving hooks"], ["serving hooks"]),
        (with_both, ["serving hooks"], ["serving hooks"]),
        (with_view, [], ["async views"]),
        (with_class_of_views, [], ["async views"]),
        (with_hook_of_blueprint, [], ["async hooks"]),
        (with_handler, [], ["async hooks"]),
    ],
)
def test_what_an_app_contains(
    app: Flask, prepare: t.Callable[[Flask], object], beyond: list[str], better: list[str]
) -> None:
    prepare(app)
    assert beyond_wsgi(app) == beyond
    assert better_on_asgi(app) == better
