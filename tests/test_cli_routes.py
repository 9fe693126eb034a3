"""The command routes."""

from __future__ import annotations

import re
import typing as t

import pytest
from click.testing import CliRunner

from torsyq import Flask
from torsyq.cli import FlaskGroup


def table(runner: CliRunner, app: Flask, *args: str) -> list[list[str]]:
    output = runner.invoke(FlaskGroup(create_app=lambda: app), ["routes", *args]).output
    return [re.split(r"\s{2,}", line.rstrip()) for line in output.splitlines()]


@pytest.fixture
def routed() -> Flask:
    app = Flask("routed", static_folder=None)
    app.add_url_rule("/z", endpoint="a")
    app.add_url_rule("/a", endpoint="z", methods=["DELETE"])
    app.add_url_rule("/m", endpoint="m", methods=["PATCH", "GET"])
    return app


def test_the_table_of_routes(runner: CliRunner, routed: Flask) -> None:
    assert runner.invoke(FlaskGroup(create_app=lambda: routed), ["routes"]).output == (
        "Endpoint  Methods     Rule\n"
        "--------  ----------  ----\n"
        "a         GET         /z  \n"
        "m         GET, PATCH  /m  \n"
        "z         DELETE      /a  \n"
    )


@pytest.mark.parametrize(
    ("sort", "order"),
    [("endpoint", "amz"), ("methods", "zam"), ("rule", "zma"), ("domain", "azm"), ("match", "azm")],
)
def test_the_order_of_routes(runner: CliRunner, routed: Flask, sort: str, order: str) -> None:
    assert "".join(row[0] for row in table(runner, routed, "-s", sort)[2:]) == order


def test_all_methods_of_routes(runner: CliRunner, routed: Flask) -> None:
    rows = table(runner, routed, "--all-methods")[2:]
    assert [row[1] for row in rows] == [
        "GET, HEAD, OPTIONS",
        "GET, HEAD, OPTIONS, PATCH",
        "DELETE, OPTIONS",
    ]


def test_no_routes(runner: CliRunner) -> None:
    app = Flask("empty", static_folder=None)
    assert table(runner, app) == [["No routes were registered."]]


@pytest.mark.parametrize(("by_host", "title"), [(True, "Host"), (False, "Subdomain")])
def test_domains_of_routes(runner: CliRunner, by_host: bool, title: str) -> None:
    app = Flask("domains", static_folder=None, host_matching=by_host)
    for rule, domain in (("/b", "b"), ("/a", "a")):
        options: dict[str, t.Any] = {"host" if by_host else "subdomain": domain}
        app.add_url_rule(rule, endpoint=rule[1], **options)
    rows = table(runner, app, "-s", "domain")
    assert rows[0] == ["Endpoint", "Methods", title, "Rule"]
    assert [row[2] for row in rows[2:]] == ["a", "b"]
