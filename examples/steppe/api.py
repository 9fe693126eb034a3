"""The journal as JSON, for programs to read."""

from __future__ import annotations

import sqlite3
import typing as t

from flask import Blueprint
from flask import request
from flask import url_for

from .journal import find
from .journal import get_entry

blueprint = Blueprint("api", __name__, url_prefix="/api")


def as_json(entry: sqlite3.Row) -> dict[str, t.Any]:
    picture = entry["picture"]
    return {
        "id": entry["id"],
        "title": entry["title"],
        "place": entry["place"],
        "body": entry["body"],
        "author": entry["author_name"],
        "created": entry["created"],
        "picture": picture and url_for("journal.picture", name=picture, _external=True),
        "url": url_for("journal.show", number=entry["id"], _external=True),
    }


@blueprint.get("/entries")
def entries() -> dict[str, t.Any]:
    """The entries, newest first: ``?q=`` searches, ``?page=`` turns the page."""
    query = request.args.get("q", "").strip()
    page = find(query, request.args.get("author"))
    again = {key: request.args.get(key) for key in ("q", "author")}
    return {
        "entries": [as_json(entry) for entry in page.entries],
        "next": page.after and url_for(".entries", **again, page=page.after, _external=True),
    }


@blueprint.get("/entries/<int:number>")
def entry(number: int) -> dict[str, t.Any]:
    return as_json(get_entry(number))
