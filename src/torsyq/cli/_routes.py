"""``flask routes``: the table of what is registered."""

from __future__ import annotations

import typing as t

import click

from ..globals import current_app
from ._script import encodable
from ._script import with_appcontext

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.routing import Rule

_COLUMNS = {"endpoint": 0, "methods": 1, "domain": 2, "rule": 3}


@click.command("routes", short_help="Show the routes for the app.")
@click.option(
    "--sort",
    "-s",
    type=click.Choice([*_COLUMNS, "match"]),
    default="endpoint",
    help="Column to sort by; 'match' is the order in which rules are tried against a request.",
)
@click.option("--all-methods", is_flag=True, help="Show HEAD and OPTIONS methods.")
@with_appcontext
def routes_command(sort: str, all_methods: bool) -> None:
    """List every registered route with its endpoint and methods."""
    rules = list(current_app.url_map.iter_rules())
    if not rules:
        click.echo("No routes were registered.")
        return

    hosts = current_app.url_map.host_matching
    hidden = set() if all_methods else {"HEAD", "OPTIONS"}
    rows = [_row(rule, hidden, hosts) for rule in rules]
    if sort != "match":
        rows.sort(key=lambda row: row[_COLUMNS[sort]])

    titles = ["Endpoint", "Methods", "Host" if hosts else "Subdomain", "Rule"]
    if not any(row[_COLUMNS["domain"]] for row in rows):
        for line in (titles, *rows):
            del line[_COLUMNS["domain"]]
    _echo_table(titles, rows)


def _row(rule: Rule, hidden: set[str], hosts: bool) -> list[str]:
    methods = ", ".join(sorted((rule.methods or set()) - hidden))
    domain = (rule.host if hosts else rule.subdomain) or ""
    return [rule.endpoint, methods, domain, rule.rule]


def _echo_table(titles: list[str], rows: Iterable[list[str]]) -> None:
    lines = [titles, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        click.echo(encodable("  ".join(map(str.ljust, line, widths))))
