"""The journal: entries to read, search, write and change."""

from __future__ import annotations

import sqlite3
import typing as t

from flask import abort
from flask import Blueprint
from flask import current_app
from flask import flash
from flask import Flask
from flask import g
from flask import redirect
from flask import render_template
from flask import request
from flask import Response
from flask import send_from_directory
from flask import url_for

from . import pictures
from .accounts import login_required
from .database import connection
from .database import now
from .landscape import draw
from .words import highlight
from .words import paragraphs
from .words import translate as _

blueprint = Blueprint("journal", __name__)

LIMITS = {"title": 80, "place": 60, "body": 20_000}
SELECT = (
    "SELECT entry.*, account.name AS author_name"
    " FROM entry JOIN account ON account.id = entry.author"
)


class Page(t.NamedTuple):
    """One page of entries, and the numbers of its neighbours where there are any."""

    entries: list[sqlite3.Row]
    number: int
    before: int | None
    after: int | None


def init_app(app: Flask) -> None:
    app.add_template_filter(highlight)
    app.add_template_filter(paragraphs)


def find(query: str = "", author: str | None = None) -> Page:
    """The page of entries that the request's ``?page=`` asks for, newest first."""
    number = max(1, min(request.args.get("page", 1, type=int), 10**6))
    size = current_app.config["PER_PAGE"]
    pattern = query.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    entries = connection().execute(
        f"{SELECT} WHERE fold(title || char(10) || place || char(10) || body) LIKE ? ESCAPE '\\'"
        " AND (? IS NULL OR account.name = ?)"
        " ORDER BY entry.created DESC, entry.id DESC LIMIT ? OFFSET ?",
        (f"%{pattern}%", author, author, size + 1, (number - 1) * size),
    )
    found = entries.fetchall()
    after = number + 1 if len(found) > size else None
    return Page(found[:size], number, number - 1 or None, after)


def get_entry(number: int, *, own: bool = False) -> sqlite3.Row:
    """An entry; 404 if there is none, 403 if it must be the visitor's ``own`` and is not."""
    # SQLite knows no number that is larger.
    number = min(number, 2**63 - 1)
    entry = connection().execute(f"{SELECT} WHERE entry.id = ?", (number,)).fetchone()
    if entry is None:
        abort(404)
    if own and entry["author"] != g.account["id"]:
        abort(403)
    return t.cast("sqlite3.Row", entry)


@blueprint.get("/")
def feed() -> str:
    query = request.args.get("q", "").strip()[:100]
    return render_template("journal/feed.html", page=find(query), query=query)


@blueprint.get("/by/<name>")
def by_author(name: str) -> str:
    known = "SELECT 1 FROM account WHERE name = ?"
    if connection().execute(known, (name,)).fetchone() is None:
        abort(404)
    return render_template("journal/feed.html", page=find(author=name), author=name)


@blueprint.get("/entry/<int:number>")
def show(number: int) -> str:
    return render_template("journal/entry.html", entry=get_entry(number))


@blueprint.route("/new", methods=["GET", "POST"])
@login_required
def write() -> t.Any:
    if request.method == "GET":
        return render_template("journal/write.html", entry=None, errors={})
    values, picture, errors = read_form()
    if errors:
        return render_template("journal/write.html", entry=None, errors=errors), 422
    db = connection()
    cursor = db.execute(
        "INSERT INTO entry (title, place, body, picture, author, created)"
        " VALUES (:title, :place, :body, :picture, :author, :created)",
        {**values, "picture": picture, "author": g.account["id"], "created": now()},
    )
    db.commit()
    flash(_("Your entry is out on the steppe."), "success")
    return redirect(url_for(".show", number=cursor.lastrowid))


@blueprint.route("/entry/<int:number>/edit", methods=["GET", "POST"])
@login_required
def edit(number: int) -> t.Any:
    entry = get_entry(number, own=True)
    if request.method == "GET":
        return render_template("journal/write.html", entry=entry, errors={})
    values, picture, errors = read_form()
    if errors:
        return render_template("journal/write.html", entry=entry, errors=errors), 422
    db = connection()
    db.execute(
        "UPDATE entry SET title = :title, place = :place, body = :body,"
        " picture = coalesce(:picture, picture) WHERE id = :id",
        {**values, "picture": picture, "id": number},
    )
    db.commit()
    if picture and entry["picture"]:
        pictures.remove(entry["picture"])
    flash(_("Saved."), "success")
    return redirect(url_for(".show", number=number))


@blueprint.post("/entry/<int:number>/delete")
@login_required
def delete(number: int) -> t.Any:
    entry = get_entry(number, own=True)
    db = connection()
    db.execute("DELETE FROM entry WHERE id = ?", (number,))
    db.commit()
    if entry["picture"]:
        pictures.remove(entry["picture"])
    flash(_("The entry is gone with the wind."), "success")
    return redirect(url_for(".feed"))


def read_form() -> tuple[dict[str, str], str | None, dict[str, str]]:
    """The fields of the form, the name of the stored picture, and what is wrong with them."""
    values = {field: request.form[field].strip() for field in LIMITS}
    errors = {}
    for field, limit in LIMITS.items():
        if not values[field]:
            errors[field] = _("Please fill this in.")
        elif len(values[field]) > limit:
            errors[field] = _("Please keep to %(limit)s characters.", limit=limit)
    picture = None
    file = request.files.get("picture")
    if file and file.filename and not errors:
        try:
            picture = pictures.store(file)
        except pictures.NotAPicture:
            errors["picture"] = _("This file is not a PNG, JPEG, GIF or WebP picture.")
    return values, picture, errors


@blueprint.get("/picture/<name>")
def picture(name: str) -> Response:
    # A stored picture never changes under its name, so browsers may keep it.
    return send_from_directory(current_app.config["UPLOADS"], name, max_age=365 * 24 * 3600)


@blueprint.get("/landscape/<int:seed>.svg")
def landscape(seed: int) -> Response:
    """The picture of an entry that has none: a landscape drawn from its number."""
    response = Response(render_template("landscape.svg", **draw(seed)), mimetype="image/svg+xml")
    response.cache_control.public = True
    response.cache_control.max_age = 24 * 3600
    response.add_etag()
    return response.make_conditional(request)
