"""What stands between the journal and those who mean it harm."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flask import abort
from flask import Flask
from flask import request
from flask import Response
from flask import session
from markupsafe import Markup

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def init_app(app: Flask) -> None:
    app.before_request(check_token)
    app.after_request(add_headers)
    app.jinja_env.globals["csrf_field"] = csrf_field


def own_key(path: Path) -> str:
    """The secret key of this installation: made once, readable by its owner only."""
    if not path.exists():
        made = path.with_name(secrets.token_hex())
        made.touch(mode=0o600)
        made.write_text(secrets.token_hex())
        # Of several processes that start at once, the first decides, and none reads half a key.
        with suppress(FileExistsError):
            path.hardlink_to(made)
        made.unlink()
    return path.read_text()


def csrf_field() -> Markup:
    """The hidden field that proves a form to be one of ours."""
    token = session.setdefault("token", secrets.token_urlsafe())
    return Markup('<input type="hidden" name="token" value="{}">').format(token)


def check_token() -> None:
    """Refuse a form that another site sent in our visitor's name."""
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        given, known = request.form.get("token", ""), session.get("token", "")
        if not known or not secrets.compare_digest(given.encode(), known.encode()):
            abort(400, "This form is out of date. Go back, reload the page and send it again.")


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def own_page(target: str | None) -> str | None:
    """The target, if it is a path of this site: a redirect must never lead off it."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    parts = urlsplit(target)
    return None if parts.scheme or parts.netloc or not target.isprintable() else target
