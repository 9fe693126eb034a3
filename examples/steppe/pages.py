"""What every page shares: error pages, the choice of language and theme."""

from __future__ import annotations

import typing as t

from flask import Flask
from flask import redirect
from flask import render_template
from flask import request
from flask import session
from flask import url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from .guard import own_page
from .words import LANGUAGES

CHOICES = {"language": LANGUAGES, "theme": ("auto", "light", "dark")}
KNOWN = {400, 403, 404, 405, 413, 500}


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, show_error)
    app.add_url_rule("/choose", view_func=choose, methods=["POST"])
    app.context_processor(choices)


def show_error(error: HTTPException) -> t.Any:
    """An error as a page of the journal, or as JSON below ``/api``."""
    if error.response is not None:
        return error
    if request.path.startswith("/api/"):
        body: t.Any = {"error": error.name, "description": error.description}
    else:
        body = render_template("error.html", error=error, known=error.code in KNOWN)
    # Keep what the error itself has to say, such as the methods that a 405 allows.
    headers = [pair for pair in error.get_headers() if pair[0] != "Content-Type"]
    return body, error.code, headers


def choices() -> dict[str, t.Any]:
    return {"theme": session.get("theme", "auto"), "here": request.full_path.rstrip("?")}


def choose() -> Response:
    """Remember the language or the theme, and go back to the page where it was chosen."""
    for name, allowed in CHOICES.items():
        if request.form.get(name) in allowed:
            session[name] = request.form[name]
    return redirect(own_page(request.form.get("next")) or url_for("journal.feed"))
