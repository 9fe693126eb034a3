"""Dash: layouts and callbacks on a Flask server of its own or of the app's."""

from __future__ import annotations

import re
import typing as t

import dash
import flask
import pytest
from dash import dcc
from dash import html
from dash import Input
from dash import Output

UPDATE = "/board/_dash-update-component"


@pytest.fixture
def server() -> flask.Flask:
    server = flask.Flask(__name__)

    @server.route("/")
    def index() -> str:
        return "beside"

    board = dash.Dash("board", server=server, url_base_pathname="/board/")
    board.layout = html.Div([dcc.Input(id="name"), html.Div(id="greeting"), html.Div(id="late")])

    @board.callback(Output("greeting", "children"), Input("name", "value"))
    def greet(name: str) -> str:
        dash.ctx.response.set_cookie("greeted", name)
        return f"Hello {name} from {flask.request.path} by {dash.ctx.triggered_id}"

    @board.callback(Output("late", "children"), Input("name", "n_submit"))
    def fail(count: int) -> str:
        raise dash.exceptions.PreventUpdate

    return server


def call(client: t.Any, output: str, prop: str, value: object) -> t.Any:
    return client.post(
        UPDATE,
        json={
            "output": f"{output}.children",
            "outputs": {"id": output, "property": "children"},
            "inputs": [{"id": "name", "property": prop, "value": value}],
            "changedPropIds": [f"name.{prop}"],
        },
    )


def test_the_page_and_what_it_loads(server: flask.Flask) -> None:
    client = server.test_client()
    assert client.get("/").text == "beside"
    page = client.get("/board/")
    assert page.content_type == "text/html; charset=utf-8"
    scripts = re.findall(r'src="(/board/_dash-component-suites[^"]+)"', page.text)
    assert scripts
    for script in scripts:
        with client.get(script) as answer:
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "max-age=31536000"


def test_every_path_below_is_the_page(server: flask.Flask) -> None:
    client = server.test_client()
    assert client.get("/board/some/page").status_code == 200
    assert client.get("/board/_dash-layout").json["type"] == "Div"
    assert len(client.get("/board/_dash-dependencies").json) == 2


def test_a_callback_is_called(server: flask.Flask) -> None:
    answer = call(server.test_client(), "greeting", "value", "Ada")
    greeting = answer.json["response"]["greeting"]["children"]
    assert greeting == f"Hello Ada from {UPDATE} by name"
    assert answer.headers["Set-Cookie"] == "greeted=Ada; Path=/"


def test_a_callback_may_change_nothing(server: flask.Flask) -> None:
    assert call(server.test_client(), "late", "n_submit", 1).status_code == 204


def test_an_unknown_callback_is_an_error(server: flask.Flask) -> None:
    assert call(server.test_client(), "nothing", "value", 1).status_code == 500


def test_a_server_of_its_own() -> None:
    board = dash.Dash("alone")
    board.layout = html.Div("text")
    client = board.server.test_client()
    assert client.get("/").status_code == 200
    assert client.get("/_dash-layout").json["props"] == {"children": "text"}
    assert client.get("/assets/none.css").status_code == 404


def test_the_developer_tools(server: flask.Flask) -> None:
    board = dash.Dash("tools")
    board.layout = html.Div("text")
    board.enable_dev_tools(debug=True, dev_tools_hot_reload=False)
    assert board.server.test_client().get("/_reload-hash").status_code == 200
