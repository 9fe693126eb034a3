"""The database: one SQLite file, one connection for each request that asks for it."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from datetime import UTC
from pathlib import Path

import click
from flask import current_app
from flask import Flask
from flask import g

from .sample import ENTRIES

SCHEMA = Path(__file__).with_name("schema.sql")


def init_app(app: Flask) -> None:
    app.teardown_appcontext(close)
    app.cli.command("init-db")(init_db)
    if not Path(app.config["DATABASE"]).exists():
        with app.app_context():
            create(sample=app.config["SAMPLE"])


def connection() -> sqlite3.Connection:
    """This request's connection, opened at the first call and closed when the request ends."""
    if "connection" not in g:
        g.connection = sqlite3.connect(current_app.config["DATABASE"])
        g.connection.row_factory = sqlite3.Row
        g.connection.execute("PRAGMA foreign_keys = ON")
        # SQLite's own LIKE folds the case of ASCII only; Дала must be found by дала.
        g.connection.create_function("fold", 1, str.casefold, deterministic=True)
    return g.connection


def close(error: BaseException | None) -> None:
    if "connection" in g:
        g.pop("connection").close()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def create(*, sample: bool) -> None:
    """Make the tables anew, with a few entries to look at if ``sample`` is true."""
    db = connection()
    db.executescript(SCHEMA.read_text("utf-8"))
    for number, entry in enumerate(ENTRIES if sample else (), start=1):
        # No password has the hash "!", so nobody can log in as the author of a sample.
        db.execute(
            "INSERT OR IGNORE INTO account (name, folded, password) VALUES (?, ?, '!')",
            (entry.author, entry.author.casefold()),
        )
        db.execute(
            "INSERT INTO entry (author, title, place, body, created)"
            " SELECT id, ?, ?, ?, ? FROM account WHERE name = ?",
            (
                entry.title,
                entry.place,
                entry.body,
                f"2026-0{number}-14T09:00:00+00:00",
                entry.author,
            ),
        )
    db.commit()


@click.option("--sample/--empty", default=True, help="With or without entries to look at.")
@click.confirmation_option(prompt="This deletes all accounts and entries. Go on?")
def init_db(sample: bool) -> None:
    """Make the database anew."""
    create(sample=sample)
    click.echo(f"Made {current_app.config['DATABASE']}.")
